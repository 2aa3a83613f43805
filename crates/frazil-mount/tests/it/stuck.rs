//! A tier that never answers: cached reads go on, whoever waits can be killed, and the mount can be taken down.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::mounts::{FACES, TestMount, mount_lines};
use crate::support::sample::{CHUNK_LEN, Sample, directory, file, noise};
use crate::support::tier::Fault;

/// Far above what anything here takes, far below the reader's deadline of a minute.
const PATIENCE: Duration = Duration::from_secs(20);

fn sample() -> Sample {
    let mut sample = Sample::new()
        .with("aaa", file(noise(1, 3 * CHUNK_LEN)))
        .with("stuck", file(noise(2, 3 * CHUNK_LEN)))
        .with("zzz", directory());
    // So much metadata that the last directory is in another chunk than the root.
    for n in 0..3000 {
        sample = sample.with(&format!("zzz/{n:04}-{}", "x".repeat(200)), file(""));
    }
    sample
}

fn run(program: &str, path: &Path) -> Child {
    Command::new(program).arg(path).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn wait(child: &mut Child) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "the process does not die");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn wait_until(what: &str, mut happens: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happens() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn while_the_tier_is_stuck_cached_reads_go_on_and_blocked_programs_die_by_sigkill() {
    for face in FACES {
        let options = frazil_mount::ImageOptions { metadata_ahead_bytes: 0, ..Default::default() };
        let mut mount = TestMount::with(&sample(), face, options);
        assert_eq!(fs::read(mount.path("aaa")).unwrap(), noise(1, 3 * CHUNK_LEN));
        mount.tier.break_all_others(Fault::Stuck);
        let asked = mount.tier.asked().len();
        // More of each than there are threads that serve.
        let mut blocked: Vec<Child> = (0..6).map(|_| run("cat", &mount.path("stuck"))).collect();
        blocked.extend((0..6).map(|_| run("ls", &mount.path("zzz"))));
        wait_until("nobody asks the tier", || mount.tier.asked().len() > asked);
        std::thread::sleep(Duration::from_millis(300));

        let (told, tell) = mpsc::channel();
        let path = mount.path("aaa");
        std::thread::spawn(move || told.send(fs::read(path).unwrap()));
        let read = tell.recv_timeout(PATIENCE).expect("a cached read waits behind a stuck one");
        assert_eq!(read, noise(1, 3 * CHUNK_LEN));
        assert_eq!(fs::metadata(mount.path("stuck")).unwrap().len(), 3 * CHUNK_LEN as u64);
        assert!(blocked.iter_mut().all(|child| child.try_wait().unwrap().is_none()), "nobody was blocked");

        for child in &mut blocked {
            child.kill().unwrap();
        }
        blocked.iter_mut().for_each(wait);
        mount.unmount();
        assert_eq!(mount_lines(mount.dir.path()), Vec::<String>::new());
    }
}

#[test]
fn a_stuck_read_ends_with_eio_at_the_deadline() {
    for face in FACES {
        let deadline = Duration::from_millis(500);
        let options = frazil_mount::ImageOptions { deadline, ..Default::default() };
        let mount = TestMount::with(&sample(), face, options);
        mount.tier.break_all_others(Fault::Stuck);
        let error = fs::read(mount.path("stuck")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EIO), "through the {face} face");
    }
}
