//! Bad days: whatever is killed, and whoever does the same at the same time, nothing half-done can be seen, the
//! next one completes it, and nothing is left behind.
//!
//! A conversion is killed after a random number of its requests to the store, so that each stage of it comes to its
//! turn on a fast machine and on a slow one. The seed of a failing run is in its message.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::support::difference::assert_same;
use crate::support::forged::{Member, archive};
use crate::support::home::Home;
use crate::support::images;
use crate::support::layout::Layout;
use crate::support::mount::{FACES, Mount, is_mounted};
use crate::support::objects::{Objects, digest};
use crate::support::tree::snapshot;
use crate::support::umoci::unpacked;

/// Rounds of killing; each is followed by a conversion that completes.
const ROUNDS: usize = 3;
/// Kills in a row before a conversion is let go.
const KILLS: usize = 3;
/// Far beyond any honest answer: whoever waits longer hangs.
const HANGS: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_micros(200);

/// Starts a conversion whose requests to the store can be counted in `log`.
#[track_caller]
fn start(home: &Home, source: &str, log: &Path) -> Child {
    let words = ["convert", "--quiet", "--access-log", log.to_str().unwrap(), "--name", "image", source];
    home.frazil(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn requests(log: &Path) -> usize {
    fs::read(log).map_or(0, |log| log.iter().filter(|byte| **byte == b'\n').count())
}

/// Lets the conversion make so many requests and kills it, unless it has ended before.
#[track_caller]
fn kill_after(mut conversion: Child, log: &Path, count: usize) -> bool {
    let (mut follower, mut news, mut seen) = (None, Vec::new(), 0);
    while seen < count && conversion.try_wait().unwrap().is_none() {
        follower = follower.or_else(|| File::open(log).ok());
        if let Some(log) = &mut follower {
            news.clear();
            log.read_to_end(&mut news).unwrap();
            seen += news.iter().filter(|byte| **byte == b'\n').count();
        }
        thread::sleep(POLL);
    }
    conversion.kill().unwrap();
    !conversion.wait().unwrap().success()
}

#[test]
fn a_conversion_killed_at_any_moment_shows_nothing_and_the_next_one_completes_it() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let source = images::debian_python().source();
    let whole = Home::new();
    let log = whole.path("access.log");
    assert!(start(&whole, &source, &log).wait().unwrap().success());
    let (most, expected) = (requests(&log), digest(&whole.export("image")));
    assert!(most > 500, "{most} requests");

    for round in 0..ROUNDS {
        let home = Home::new();
        home.convert(&images::debian().source(), "base");
        // In some rounds the base is known, in others every layer is new.
        let home = if round % 2 == 0 { home } else { home.with_another_store() };
        let before = if round % 2 == 0 { home.images() } else { Vec::new() };
        for kill in 0..KILLS {
            let (log, count) = (home.path(&format!("{kill}.log")), random.usize(0..=most));
            let killed = kill_after(start(&home, &source, &log), &log, count);
            if killed && requests(&log) > 0 && home.store().join("frazil.json").exists() {
                let images = home.images();
                // Killed after the name was published and before it said so: then all of it is there.
                if images == before {
                    continue;
                }
                home.verify("image");
            }
        }
        let summary = home.convert(&source, "image");
        home.verify("image");
        for name in before {
            home.verify(&name);
        }
        assert_eq!(summary["image_chunks"], home.tells(["inspect", "--json", "image"])["total"]["chunks"]);
        assert!(digest(&home.export("image")) == expected, "seed {seed}, round {round}: another image");
    }
}

#[test]
fn two_conversions_of_one_image_at_once_both_succeed_and_give_one_image() {
    let home = Home::new();
    let alone = home.with_another_store();
    let source = images::debian_python().source();
    // The keys are made first: two that make keys at once are another story.
    home.says(["init", "--quiet"]);
    alone.convert(&source, "image");

    let (one, two) = (home.path("one.log"), home.path("two.log"));
    let mut both = [start(&home, &source, &one), start(&home, &source, &two)];
    for conversion in &mut both {
        assert!(conversion.wait().unwrap().success());
    }
    assert_eq!(home.images(), ["image"]);
    home.verify("image");
    let chunks = |home: &Home| {
        let chunks = Objects::of(home.store()).of_kind("chunks");
        chunks.paths().into_iter().map(Path::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(chunks(&home), chunks(&alone));
}

#[test]
fn a_first_conversion_started_twice_makes_one_store_and_one_keyring() {
    let home = Home::new();
    let layout = Layout::create(&home.path("layout"));
    let image = layout.image("image", &[&archive([Member::file("file", b"content")])]);
    let (one, two) = (home.path("one.log"), home.path("two.log"));
    let both = [start(&home, &image.source(), &one), start(&home, &image.source(), &two)];
    for conversion in both {
        let output = conversion.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(home.images(), ["image"]);
    home.verify("image");
    assert_eq!(Objects::of(home.store()).of_kind("layers").len(), 1, "one scope secret");
}

#[test]
fn what_is_mounted_stays_what_it_was_while_its_name_and_its_store_change() {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "image");
    let expected = snapshot(&unpacked(&images::debian_python()));
    for face in FACES {
        let mount = home.mount("image", face);
        // The name goes to another image, half of which is new to the store, while the old one is read.
        let log = home.path("while-mounted.log");
        let mut conversion = start(&home, &images::debian_node().source(), &log);
        assert_same(&expected, &snapshot(mount.root()));
        assert!(conversion.wait().unwrap().success());
        assert_same(&expected, &snapshot(mount.root()));
        let other = home.mount("image", face);
        assert!(other.path("usr/bin/node").exists() && !mount.path("usr/bin/node").exists());
        home.convert(&images::debian_python().source(), "image");
    }
    home.verify("image");
}

/// What comes of this within any patience; a hang fails the test and its thread is left to the kernel.
#[track_caller]
fn at_once<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(what()));
    receiver.recv_timeout(HANGS).expect("it hangs")
}

#[test]
fn when_the_agent_is_killed_reads_fail_and_unmount_leaves_nothing() {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "image");
    for face in FACES {
        let mount = home.mount("image", face);
        let mut open = File::open(mount.path("usr/bin/python3.11")).unwrap();
        mount.kill_agent();

        let never_read = mount.path("usr/bin/bash");
        let errors = at_once(move || {
            [io::copy(&mut open, &mut io::sink()).unwrap_err(), fs::read(never_read).unwrap_err()]
        });
        for error in errors {
            let errno = error.raw_os_error().unwrap();
            let expected = [libc::EIO, libc::ENOTCONN, libc::ECONNABORTED];
            assert!(expected.contains(&errno), "{error} through {face}");
        }
        mount.unmount();

        // The same place can be mounted again, by hand of an agent that ends as one should.
        home.mount("image", face).unmount();
    }
}

#[test]
fn a_mount_whose_directory_has_a_dead_mount_is_refused_until_it_is_unmounted() {
    let home = Home::new();
    home.convert(&images::debian().source(), "image");
    for face in FACES {
        let mount = home.mount("image", face);
        mount.kill_agent();
        let words = ["mount", "--via", face, "image", mount.root().to_str().unwrap()];
        home.refuses(words).is(1, "", "unmount");
        assert!(is_mounted(mount.root()));
        mount.unmount();
    }
}

#[test]
fn what_runs_from_a_mount_whose_agent_is_killed_can_be_killed_too() {
    let home = Home::new();
    home.convert(&images::debian().source(), "image");
    for face in FACES {
        let mount = Mount::new(&home, "image", face);
        let mut program = std::process::Command::new("chroot")
            .arg(mount.root())
            .args(["sleep", "1000"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert!(crate::support::mount::soon(|| {
            fs::read(format!("/proc/{}/cmdline", program.id())).unwrap().starts_with(b"sleep")
        }));
        mount.kill_agent();
        program.kill().unwrap();
        at_once(move || program.wait().unwrap());
        mount.unmount();
    }
}
