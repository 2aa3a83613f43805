//! How a mount ends: politely, by a plain umount, by a killed agent; and what it leaves behind, which is nothing.

use std::fs;
use std::time::{Duration, Instant};

use frazil_mount::{Face, FaceChoice, unmount};

use crate::support::agent::Agent;
use crate::support::mounts::{FACES, TestMount, mount_lines};
use crate::support::posix::{drop_caches, plain_umount};
use crate::support::sample::everything;

const NOBODY: u32 = 65534;

#[test]
fn a_plain_umount_ends_the_session_and_leaves_no_mount() {
    for face in FACES {
        let mut mount = TestMount::new(&everything(), face);
        plain_umount(mount.dir.path());
        mount.wait_for_end();
        assert_eq!(mount_lines(mount.dir.path()), Vec::<String>::new());
        assert_eq!(fs::read_dir(mount.dir.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_plain_umount_ends_the_agents_process() {
    for face in FACES {
        let dir = tempfile::tempdir().unwrap();
        let mut agent = Agent::start(dir.path(), face);
        assert_eq!(fs::read(dir.path().join("etc/passwd")).unwrap(), b"root:x:0:0::/:/bin/sh\n");
        plain_umount(dir.path());
        let start = Instant::now();
        while agent.process.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(30), "the agent goes on without a mount");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn dropping_a_mount_unmounts_it_even_in_use() {
    for face in FACES {
        let mut mount = TestMount::new(&everything(), face);
        let opened = fs::File::open(mount.path("etc/passwd")).unwrap();
        drop(mount.mounted.take());
        assert_eq!(mount_lines(mount.dir.path()), Vec::<String>::new());
        drop(opened);
    }
}

#[test]
fn a_killed_agent_gives_errors_and_no_hang_and_its_mount_can_be_unmounted() {
    for face in FACES {
        let dir = tempfile::tempdir().unwrap();
        let mut agent = Agent::start(dir.path(), face);
        agent.kill();
        drop_caches();
        let error = fs::read(dir.path().join("bin/ping")).unwrap_err();
        let errno = error.raw_os_error().unwrap();
        assert!([libc::EIO, libc::ENOTCONN, libc::ECONNABORTED].contains(&errno), "{error}");
        assert_eq!(mount_lines(dir.path()).len(), 1);
        unmount(dir.path()).unwrap();
        assert_eq!(mount_lines(dir.path()), Vec::<String>::new());
    }
}

#[test]
fn an_ordinary_user_mounts_a_tree_reads_it_and_unmounts_it() {
    assert!(fs::exists("/usr/bin/fusermount3").unwrap(), "apt install fuse3");
    for face in [FaceChoice::Just(Face::Tree), FaceChoice::Best] {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut agent = Agent::start_as(NOBODY, dir.path(), face);
        let path = |path: &str| dir.path().join(path).to_str().unwrap().to_owned();
        let read = agent.run_as(NOBODY, "cat", &[&path("hard too")]);
        assert_eq!(read.stdout, b"root:x:0:0::/:/bin/sh\n", "{}", String::from_utf8_lossy(&read.stderr));
        // The image's own permissions hold: this one is root's and group 4000000000's.
        assert!(!agent.run_as(NOBODY, "ls", &[&path("etc")]).status.success());
        // Nobody else may enter, not even root.
        assert!(!agent.run_as(0, "ls", &[&path("")]).status.success());
        let unmounted = agent.run_as(NOBODY, "fusermount3", &["-u", &path("")]);
        assert!(unmounted.status.success(), "{}", String::from_utf8_lossy(&unmounted.stderr));
        agent.process.wait().unwrap();
    }
}
