//! The bucket of an S3 server: moto, which is Python and slow, so its row says what the client adds to the server's
//! answer, and nothing of S3. Beside it the least that a client can do: one GET after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use frazil_cache::Origin;
use frazil_store::{Store, StoreOptions};

use super::CHUNK_LEN;
use super::latencies::timed;
use super::levels::read;
use crate::fleet::chunks;

/// How often the server is looked for until it listens.
const MAX_POLLS: usize = 600;
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The server; it ends with the value.
pub(super) struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    pub(super) fn start() -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("setpriv")
            // It must not outlive this process, however that ends.
            .args(["--pdeathsig", "KILL", "moto_server"])
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("moto_server runs: install moto[s3,server] from PyPI")?;
        let server = Self { process, address };
        for _ in 0..MAX_POLLS {
            if TcpStream::connect(address).is_ok() {
                server.http().ask("PUT /images", &[])?;
                server.http().ask("PUT /images/bare", &vec![7; CHUNK_LEN])?;
                return Ok(server);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        bail!("moto_server does not start")
    }

    pub(super) fn http(&self) -> Http {
        Http(self.address)
    }

    pub(super) fn reader(&self) -> anyhow::Result<Reader> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["tiers", "--role", "s3"])
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = process.stdin.take().context("standard input was not piped")?;
        let answers = BufReader::new(process.stdout.take().context("standard output was not piped")?);
        Ok(Reader { process, questions, answers })
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A client that makes a connection for each request: moto keeps none open.
pub(super) struct Http(SocketAddr);

impl Http {
    pub(super) fn get(&self) -> anyhow::Result<()> {
        let body = self.ask("GET /images/bare", &[])?;
        anyhow::ensure!(body.len() == CHUNK_LEN, "another object than was put");
        Ok(())
    }

    /// The body of the answer.
    fn ask(&self, what: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let (address, len) = (self.0, body.len());
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        // Nobody signs these requests, so the object must be everybody's.
        let rest = "x-amz-acl: public-read\r\nConnection: close\r\n\r\n";
        write!(stream, "{what} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\n{rest}")?;
        stream.write_all(body)?;
        let mut stream = BufReader::new(stream);
        let (mut head, mut len) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            anyhow::ensure!(stream.read_line(&mut head)? > 0, "moto_server hung up");
            let line = head.get(start..).unwrap_or_default();
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                len = value.trim().parse()?;
            }
        }
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "moto_server refuses {what}: {head}");
        let mut answer = vec![0; len];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

/// A process whose environment is an S3 user's, which reads chunks when it is told how many.
pub(super) struct Reader {
    process: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Reader {
    pub(super) fn read(&mut self, from: usize, count: usize) -> anyhow::Result<Vec<Duration>> {
        writeln!(self.questions, "{from} {count}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        line.split_whitespace().map(|nanos| Ok(Duration::from_nanos(nanos.parse()?))).collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What that process does.
pub(super) fn read_as_told() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let chunks = chunks(CHUNK_LEN);
    let store = runtime.block_on(async {
        let store = Store::open_or_create(&"s3://images/prefix".parse()?, &StoreOptions::default()).await?;
        for (wanted, chunk) in &chunks {
            store.put_chunk(wanted.root, &wanted.id, chunk).await?;
        }
        anyhow::Ok(store)
    })?;
    let origin = Arc::new(Origin::new(store));
    for line in std::io::stdin().lines() {
        let line = line?;
        let (from, count) = line.split_once(' ').context("FROM COUNT")?;
        let latencies = read(&runtime, &origin, &chunks, from.parse()?, count.parse()?)?;
        let words: Vec<String> = latencies.iter().map(|latency| latency.as_nanos().to_string()).collect();
        println!("{}", words.join(" "));
    }
    Ok(())
}

/// How long each of so many GETs of one object takes.
pub(super) fn bare(http: &Http, from: usize, count: usize) -> anyhow::Result<Vec<Duration>> {
    timed(from, count, |_| http.get())
}
