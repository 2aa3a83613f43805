//! An image that is completed on its host: all of it is there afterwards, and the store is not asked again.

use std::fs;

use crate::support::cached::Cached;
use crate::support::difference::assert_same;
use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::{Mount, soon};
use crate::support::objects::Objects;
use crate::support::tree::snapshot;

fn home() -> Home {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "python");
    home
}

#[test]
fn a_hydrated_image_is_read_whole_while_its_store_is_away_and_is_not_fetched_twice() {
    let home = home();
    let plain = Mount::with(&home, "python", &["--via", "tree", "--no-profile", "--cache", "none"]);
    let expected = snapshot(plain.root());
    plain.unmount();

    let cached = Cached::start(&home, &[]);
    let socket = cached.socket();
    let hydrate = ["hydrate", "python", "--json", "--cache", socket.to_str().unwrap()];
    let first = home.tells(hydrate);
    assert_eq!(first["failed_chunks"], 0, "{first:#}");
    assert!(first["bytes"].as_u64().unwrap() >= Objects::of(home.store()).of_kind("chunks").bytes());
    let fetched = cached.asked("origin");
    let again = home.tells(hydrate);
    assert_eq!((&again["chunks"], cached.asked("origin")), (&first["chunks"], fetched));

    let away = home.path("away");
    fs::rename(home.store().join("roots"), &away).unwrap();
    let mounted = Mount::with(&home, "python", &["--no-profile", "--cache", socket.to_str().unwrap()]);
    assert_same(&expected, &snapshot(mounted.root()));
    mounted.unmount();
    fs::rename(&away, home.store().join("roots")).unwrap();
}

#[test]
fn a_mount_is_completed_by_its_directory_and_an_eager_one_by_itself() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let socket = cached.socket();
    let cache = ["--cache", socket.to_str().unwrap()];
    let lazy = Mount::with(&home, "python", &cache);
    let directory = lazy.root().to_str().unwrap().to_owned();
    let hydrated = home.tells(["hydrate", &directory, "--json", cache[0], cache[1]]);
    assert_eq!(hydrated["image"], "python");
    let whole = cached.asked("origin");
    lazy.unmount();

    let other = Cached::start(&home, &[]);
    let socket = other.socket();
    let eager = Mount::with(&home, "python", &["--eager", "--cache", socket.to_str().unwrap()]);
    assert!(soon(|| other.asked("origin") >= whole), "{} of {whole}", other.asked("origin"));
    eager.unmount();
}

#[test]
fn a_mount_without_a_host_cache_is_completed_by_its_own_agent() {
    let home = home();
    let disk = home.path("own");
    let options = ["--cache", "none", "--disk-quota", "1G", "--disk-dir", disk.to_str().unwrap()];
    let mounted = Mount::with(&home, "python", &options);
    let directory = mounted.root().to_str().unwrap().to_owned();
    home.refuses(["hydrate", &directory, "--cache", "none", "--rate", "1M"]).is(
        1,
        "cannot limit its rate",
        "--rate",
    );
    let asked = home.tells(["hydrate", &directory, "--json", "--cache", "none"]);
    assert_eq!(asked["image"], "python");
    let whole = Objects::of(home.store()).of_kind("chunks").bytes();
    assert!(soon(|| bytes_below(&disk) >= whole), "{} of {whole} bytes", bytes_below(&disk));
    mounted.unmount();
}

#[test]
fn a_rate_is_kept_and_an_image_that_nothing_would_keep_is_refused() {
    let home = home();
    home.refuses(["hydrate", "python", "--cache", "none"]).is(1, "nothing on this host would keep", "cached");
    let disk = home.path("own");
    let disk = disk.to_str().unwrap();
    let whole = Objects::of(home.store()).of_kind("chunks").bytes();
    // In two seconds, that is.
    let rate = (whole / 2).to_string();
    let options = ["--json", "--cache", "none", "--disk-quota", "1G", "--disk-dir", disk, "--rate", &rate];
    let hydrated = home.tells(["hydrate", "python"].iter().copied().chain(options));
    assert!(hydrated["seconds"].as_f64().unwrap() >= 1.5, "{hydrated:#}");
    assert!(hydrated["bytes"].as_u64().unwrap() >= whole, "{hydrated:#}");
}

/// All bytes of the files in a directory and below it.
fn bytes_below(directory: &std::path::Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(of).sum()
}
