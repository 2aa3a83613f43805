//! What a host cache tells a scraper, in peace and on a bad day.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::cached::Cached;
use crate::support::home::Home;
use crate::support::mount::{Mount, soon};
use crate::support::tool::{output, run, tool};
use crate::support::tree::snapshot;

/// A small image.
const HELLO: &str = concat!("oci-archive:", env!("CARGO_MANIFEST_DIR"), "/../../fixtures/hello.oci.tar");

/// Through the host cache, chunk by chunk: what tiers are asked for is what is read.
fn mount<'h>(home: &'h Home, cached: &Cached) -> Mount<'h> {
    let socket = cached.socket();
    Mount::with(home, "hello", &["--via", "tree", "--no-profile", "--cache", socket.to_str().unwrap()])
}

/// Where the metrics are, as the log says; the socket may be there a moment before.
fn port(cached: &Cached) -> u16 {
    const AT: &str = "metrics are at http://127.0.0.1:";
    assert!(soon(|| cached.log().contains(AT)), "{}", cached.log());
    cached.log().split(AT).nth(1).unwrap().split('/').next().unwrap().parse().unwrap()
}

/// What the scraped page says.
fn scrape(port: u16, path: &str) -> String {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    socket.read_to_string(&mut page).unwrap();
    page
}

#[test]
fn metrics_tell_a_scraper_what_stats_tell_people() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    let cached = Cached::start(&home, &["--metrics", "0"]);
    mount(&home, &cached).unmount();
    let port = port(&cached);
    let page = scrape(port, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    let asked = cached.asked("memory");
    for line in [
        &*format!("frazil_tier_requests_total{{tier=\"memory\"}} {asked}\n"),
        "# TYPE frazil_tier_latency_seconds histogram\n",
        "frazil_tier_latency_seconds_bucket{le=\"+Inf\",tier=\"origin\"}",
        "frazil_requests_total{kind=\"manifest\"} 1\n",
        "frazil_memory_kept_bytes ",
        "frazil_disk_quarantined_total 0\n",
        "frazil_origin_queue_depth 0\n",
        "frazil_tier_hits_total{tier=\"memory\"} ",
        "frazil_tier_misses_total{tier=\"disk\"} ",
        "frazil_amplification ",
        "frazil_stalls_total ",
        "frazil_requests_hurried_total ",
        "# EOF\n",
    ] {
        assert!(page.contains(line), "{line} is not in:\n{page}");
    }
    assert!(scrape(port, "/").starts_with("HTTP/1.1 404 "));
    let mut rude = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let _ = rude.write_all(&vec![b'x'; 64 << 10]);
    assert!(scrape(port, "/metrics").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_read_of_an_expired_root_through_a_host_cache_is_counted_and_stops_deletion() {
    let home = Home::new();
    home.convert(HELLO, "hello");
    let before = snapshot(home.mount("hello", "tree").root());
    let (names, copy) = (home.store().join("names"), home.path("names"));
    run(tool("cp").arg("-a").arg(&names).arg(&copy));
    home.says(["root", "new"]);
    let gc = ["gc", "run", "--retire-after", "0s", "--expire-after", "0s", "--delete-after"];
    home.says([&gc[..], &["7d"]].concat());
    let state = || home.tells(["root", "list", "--json"])["roots"][0]["state"].clone();
    assert_eq!(state(), "expired");
    // A bad day: names come back from a copy that is older than the migration.
    let restore = || {
        fs::remove_dir_all(&names).unwrap();
        run(tool("cp").arg("-a").arg(&copy).arg(&names));
    };
    restore();

    let cached = Cached::start(&home, &["--metrics", "0"]);
    let reads = || {
        let page = scrape(port(&cached), "/metrics");
        let line = page.lines().find_map(|line| line.strip_prefix("frazil_expired_root_reads_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(reads(), 0);
    let mount = mount(&home, &cached);
    assert_eq!(snapshot(mount.root()), before);
    assert!(soon(|| reads() > 0), "{}", cached.log());
    assert!(cached.log().contains("a root that nobody should read is read"), "{}", cached.log());
    mount.unmount();

    // A second wrong decision: without the name nothing but the alarm stands before the data.
    home.says(["rm", "hello"]);
    home.refuses(["root", "delete", "1", "--after", "0s"]).is(1, "nothing is deleted", "clear-alarm");
    output(&mut home.frazil([&gc[..], &["0s"]].concat()));
    assert_eq!(state(), "expired");
    restore();
    assert_eq!(snapshot(home.mount("hello", "tree").root()), before);
}
