//! The link beside curl: what curl measures is what was configured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

const BODY_BYTES: usize = 5_000_000;

/// A server that answers every request of a connection with as many zeros as the path says.
fn serve() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || answer(client));
        }
    });
    Ok(address)
}

fn answer(client: TcpStream) -> Option<()> {
    let mut to = client.try_clone().ok()?;
    let mut lines = BufReader::new(client).lines();
    while let Some(Ok(request)) = lines.next() {
        let len: usize = request.split(['/', ' ']).find_map(|word| word.parse().ok())?;
        for line in lines.by_ref() {
            if line.ok()?.is_empty() {
                break;
            }
        }
        let mut response = format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes();
        response.resize(response.len() + len, 0);
        to.write_all(&response).ok()?;
    }
    Some(())
}

struct Link {
    process: Child,
    output: BufReader<ChildStdout>,
    address: String,
}

impl Link {
    fn open(spec: &str, server: SocketAddr) -> anyhow::Result<Self> {
        Self::with(spec, &[], server)
    }

    /// A link to a server that is in this trouble.
    fn troubled(trouble: &str, server: SocketAddr) -> anyhow::Result<Self> {
        Self::with("1ms/1Gbit", &["--trouble", trouble], server)
    }

    fn with(spec: &str, options: &[&str], server: SocketAddr) -> anyhow::Result<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_frazil-bench"))
            .args(["link", "--link", spec, "--to", &server.to_string()])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(process.stdout.take().context("piped")?);
        let mut address = String::new();
        output.read_line(&mut address)?;
        Ok(Self { process, output, address: address.trim().to_owned() })
    }

    /// Ends it and says what has crossed it.
    fn close(mut self) -> anyhow::Result<serde_json::Value> {
        drop(self.process.stdin.take());
        let mut text = String::new();
        self.output.read_to_string(&mut text)?;
        self.process.wait()?;
        Ok(serde_json::from_str(&text)?)
    }
}

/// Seconds that each transfer took, by curl's own clock; all of them over one connection, each with `parallel` others.
fn curl(link: &Link, paths: &[usize], parallel: &[&str]) -> anyhow::Result<Vec<f64>> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "%{time_total}\n"])
        .args(parallel);
    for path in paths {
        command.args(["--output", "/dev/null"]).arg(format!("http://{}/{path}", link.address));
    }
    let output = command.stderr(Stdio::inherit()).output().context("curl runs: install the package curl")?;
    ensure!(output.status.success(), "curl: {}", output.status);
    String::from_utf8(output.stdout)?.lines().map(|line| Ok(line.parse()?)).collect()
}

#[test]
fn a_first_small_request_takes_two_round_trips_and_the_next_ones_take_one() -> anyhow::Result<()> {
    let link = Link::open("40ms/1Gbit", serve()?)?;
    let times = curl(&link, &[100; 5], &[])?;
    let (first, next) = times.split_first().context("curl said nothing")?;
    assert!(*first >= 0.080, "connecting and asking took {first} s");
    assert!(next.iter().all(|&time| time >= 0.040), "asking took {next:?} s");
    // How much later an answer may be than that is the machine's business, which may be busy.
    let counts = link.close()?;
    assert_eq!((&counts["connections"], &counts["exchanges"]), (&1.into(), &5.into()), "{counts}");
    assert!(counts["down_bytes"].as_u64().is_some_and(|bytes| (500..1000).contains(&bytes)), "{counts}");
    Ok(())
}

#[test]
fn one_transfer_has_the_whole_bandwidth_and_two_have_half_of_it_each() -> anyhow::Result<()> {
    let link = Link::open("2ms/200Mbit", serve()?)?;
    let alone = BODY_BYTES as f64 * 8.0 / 200e6;
    let one = curl(&link, &[BODY_BYTES; 2], &[])?;
    assert!(one.iter().all(|&time| time >= alone), "{BODY_BYTES} bytes took {one:?} s, not {alone}");
    let two = curl(&link, &[BODY_BYTES; 2], &["--parallel", "--parallel-immediate"])?;
    let last = two.iter().copied().fold(0.0, f64::max);
    assert!(last >= alone * 2.0 * 0.98, "two transfers of {BODY_BYTES} bytes took {two:?} s");
    // Neither starves: the first to end had not half the time for itself.
    assert!(
        two.iter().all(|&time| time >= alone * 1.4),
        "two transfers of {BODY_BYTES} bytes took {two:?} s"
    );
    assert_eq!(link.close()?["exchanges"], 4);
    Ok(())
}

#[test]
fn an_origin_in_trouble_is_late_or_says_503_to_whom_it_should() -> anyhow::Result<()> {
    let link = Link::troubled("late=150ms", serve()?)?;
    let times = curl(&link, &[100; 3], &[])?;
    assert!(times.iter().all(|&time| time >= 0.150), "answers came after {times:?} s");
    let statuses = |trouble: &str, paths: &[usize]| -> anyhow::Result<Vec<u16>> {
        let link = Link::troubled(trouble, serve()?)?;
        let mut command = Command::new("curl");
        command.args(["--silent", "--noproxy", "*", "--write-out", "%{http_code}\n"]);
        for path in paths {
            command.args(["--output", "/dev/null"]).arg(format!("http://{}/{path}", link.address));
        }
        let output = command.output().context("curl runs: install the package curl")?;
        String::from_utf8(output.stdout)?.lines().map(|line| Ok(line.parse()?)).collect()
    };
    let said = statuses("fails=1/5", &[100; 20])?;
    assert_eq!(said.iter().filter(|status| **status == 503).count(), 4, "{said:?}");
    assert_eq!(statuses("refuses=/77", &[76, 77, 78, 77])?, [200, 503, 200, 503]);
    Ok(())
}

#[test]
fn an_origin_that_stalls_keeps_the_connection_and_sends_no_more() -> anyhow::Result<()> {
    for (trouble, got) in [("swallows=/50000", 0), ("halts=/5000000", 1 << 20), ("stalls=1/1", 16 << 10)] {
        let link = Link::troubled(trouble, serve()?)?;
        let path = trouble.split_once("=/").map_or("100000", |(_, path)| path);
        let output = Command::new("curl")
            .args(["--silent", "--noproxy", "*", "--max-time", "2", "--include"])
            .arg(format!("http://{}/{path}", link.address))
            .output()
            .context("curl runs: install the package curl")?;
        assert_eq!((output.status.code(), output.stdout.len()), (Some(28), got), "{trouble}: curl timed out");
    }
    Ok(())
}
