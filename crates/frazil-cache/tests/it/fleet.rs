//! Real memcached nodes for the tests, and a way to do things to them behind the tier's back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How often a node is looked for until it listens.
const MAX_POLLS: usize = 2000;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A memcached on a free port of the loopback, ended when it is dropped, whatever the test did.
pub(crate) struct Memcached {
    process: Child,
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
}

impl Memcached {
    pub(crate) fn start() -> Self {
        Self::start_with(&["-m", "64"])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // Another process may take a free port before the node does.
        for _ in 0..20 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            if let Some(process) = spawn(address, &arguments) {
                return Self { process, address, arguments };
            }
        }
        panic!("memcached does not start: install the package memcached");
    }

    pub(crate) fn start_with_tls(certificate: &Path, key: &Path) -> Self {
        let certificate = format!("ssl_chain_cert={},ssl_key={}", certificate.display(), key.display());
        Self::start_with(&["-m", "64", "-Z", "-o", &certificate])
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, empty, where it was.
    pub(crate) fn restart(&mut self) {
        self.kill();
        for _ in 0..MAX_POLLS {
            if let Some(process) = spawn(self.address, &self.arguments) {
                self.process = process;
                return;
            }
        }
        panic!("memcached does not come back");
    }

    /// Stops the process, which keeps its connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    pub(crate) fn raw(&self) -> Raw {
        Raw(BufReader::new(TcpStream::connect(self.address).unwrap()))
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The process, once it listens; `None` if it ended instead.
fn spawn(address: SocketAddr, arguments: &[String]) -> Option<Child> {
    let mut process = Command::new("setpriv")
        // It must not outlive this test, however that ends.
        .args(["--pdeathsig", "KILL", "memcached"])
        .args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-t", "2", "-p", &address.port().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("setpriv runs: install the package util-linux");
    for _ in 0..MAX_POLLS {
        if process.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(address).is_ok() {
            return Some(process);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let _ = process.kill();
    let _ = process.wait();
    None
}

/// A connection that does to a node's items what it likes.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    fn command(&mut self, bytes: &[u8]) -> String {
        self.0.get_mut().write_all(bytes).unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        let line = self.command(format!("mg {key} v\r\n").as_bytes());
        let len: usize = line.strip_prefix("VA ")?.parse().unwrap();
        let mut value = vec![0; len + 2];
        self.0.read_exact(&mut value).unwrap();
        value.truncate(len);
        Some(value)
    }

    pub(crate) fn set(&mut self, key: &str, value: &[u8]) {
        let mut bytes = format!("ms {key} {}\r\n", value.len()).into_bytes();
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n");
        assert_eq!(self.command(&bytes), "HD", "{key}");
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.command(format!("md {key}\r\n").as_bytes());
    }

    /// Makes the node as empty as a new one.
    pub(crate) fn flush(&mut self) {
        assert_eq!(self.command(b"flush_all\r\n"), "OK");
    }

    /// One figure of `stats`.
    pub(crate) fn stat(&mut self, name: &str) -> u64 {
        let mut line = self.command(b"stats\r\n");
        let mut found = None;
        while line != "END" {
            if let Some(value) = line.strip_prefix(&format!("STAT {name} ")) {
                found = Some(value.parse().unwrap());
            }
            let mut next = String::new();
            self.0.read_line(&mut next).unwrap();
            line = next.trim_end().to_owned();
        }
        found.unwrap()
    }
}
