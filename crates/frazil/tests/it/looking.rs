//! What an agent says of its mount: to people, to scripts and to scrapers, closed in or not.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::Value;

use crate::support::cached::Cached;
use crate::support::home::Home;
use crate::support::images;
use crate::support::mount::{FACES, Mount};

const READ: &str = "usr/bin/python3.11";

fn home() -> Home {
    let home = Home::new();
    home.convert(&images::debian_python().source(), "python");
    home
}

fn explained(home: &Home, mount: &Mount<'_>) -> Value {
    home.tells(["explain", "--json", mount.root().to_str().unwrap()])
}

fn file<'a>(explained: &'a Value, path: &str) -> &'a Value {
    let files = explained["files"].as_array().unwrap();
    files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path}: {explained:#}"))
}

#[test]
fn a_mount_tells_which_files_were_read_from_which_level_and_how_long_that_took() {
    let home = home();
    for face in FACES {
        // With what the first mount taught, the second would wait for nothing.
        let options = ["--via", face, "--cache", "none", "--no-profile"];
        let mount = Mount::with(&home, "python", &options);
        let before = explained(&home, &mount);
        assert!(before["files"].as_array().unwrap().is_empty(), "{before:#}");
        assert!(before["metadata"]["read_bytes"].as_u64().unwrap() > 0, "{before:#}");

        let content = fs::read(mount.path(READ)).unwrap();
        let after = explained(&home, &mount);
        let python = file(&after, "/usr/bin/python3.11");
        assert_eq!(python["bytes"], content.len());
        let read = python["read_bytes"].as_u64().unwrap() as usize;
        // Blocks of zeros are in no chunk, and so are not read.
        assert!(read <= content.len() && read > content.len() / 10 * 9, "{python:#}");
        assert!(python["chunks"].as_u64().unwrap() > 1, "{python:#}");
        assert_eq!(python["from"], serde_json::json!([["origin", python["chunks"]]]));
        assert!(python["waits"]["count"].as_u64().unwrap() > 0, "{python:#}");
        assert!(python["waits"]["longest_us"].as_u64() <= python["waits"]["total_us"].as_u64());
        let others = after["files"].as_array().unwrap().len() - 1;
        assert_eq!(others, 0, "nothing else was read: {after:#}");

        let words = home.says(["explain", mount.root().to_str().unwrap()]);
        for word in ["touched", "waited", "(metadata)", "/usr/bin/python3.11", "origin"] {
            assert!(words.contains(word), "{words}");
        }
        mount.unmount();
    }
}

#[test]
fn an_agent_that_is_closed_in_still_answers_and_knows_which_level_of_its_host_had_a_chunk() {
    let home = home();
    let cached = Cached::start(&home, &[]);
    let socket = cached.socket();
    let options = ["--via", "tree", "--cache", socket.to_str().unwrap()];
    for level in ["origin", "memory"] {
        let mount = Mount::with(&home, "python", &options);
        fs::read(mount.path(READ)).unwrap();
        let explained = explained(&home, &mount);
        let python = file(&explained, "/usr/bin/python3.11");
        assert_eq!(python["from"], serde_json::json!([[level, python["chunks"]]]), "{python:#}");
        mount.unmount();
    }
}

#[test]
fn an_agents_stats_agree_with_its_explanation_and_a_scraper_reads_them() {
    let home = home();
    let mount = home.mount("python", "tree");
    fs::read(mount.path(READ)).unwrap();
    let directory = mount.root().to_str().unwrap();
    let (stats, explained) = (home.tells(["stats", "--json", directory]), explained(&home, &mount));
    for field in ["chunks_touched", "requests", "fetched_bytes"] {
        assert!(stats[field].as_u64().unwrap() > 0, "{stats:#}");
        assert!(stats[field].as_u64() <= explained[field].as_u64(), "{field}: {stats:#}");
    }
    let page = home.says(["stats", "--prometheus", directory]);
    let value = |name: &str| {
        let line =
            page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {page}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("frazil_agent_chunks_touched_total") >= stats["chunks_touched"].as_f64().unwrap());
    assert!(value("frazil_agent_latency_seconds_count{level=\"origin\"}") > 0.0);
    assert!(value("frazil_agent_prefetched_total{source=\"read-ahead\"}") >= 0.0);
    assert!(page.ends_with("# EOF\n"), "{page}");
    let words = home.says(["stats", directory]);
    assert!(words.contains("P99") && words.contains("origin"), "{words}");
    mount.unmount();
}

#[test]
fn the_control_socket_is_its_users_own_and_goes_with_the_mount() {
    let home = home();
    let mount = home.mount("python", "tree");
    let sockets = || {
        let entries = fs::read_dir(home.path("runtime/frazil/mounts")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "sock")).collect::<Vec<_>>()
    };
    let [socket] = &sockets()[..] else { panic!("one socket") };
    assert_eq!(fs::metadata(socket).unwrap().mode() & 0o777, 0o600);
    let root = mount.root().to_owned();
    mount.unmount();
    assert!(sockets().is_empty());
    let refusal = home.refuses(["explain", root.to_str().unwrap()]);
    refusal.is(1, "no agent of yours answers", "frazil mount");
}
