//! A memcached on a free port of the loopback, ended when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often a node is looked for until it listens.
const MAX_POLLS: usize = 1000;
const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) struct Memcached {
    process: Child,
    pub(crate) address: SocketAddr,
}

impl Memcached {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("setpriv")
            // It must not outlive this process, however that ends.
            .args(["--pdeathsig", "KILL", "memcached"])
            .args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-m", "256", "-t", "2"])
            .args(["-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("setpriv runs: install the package util-linux")?;
        let node = Self { process, address };
        for _ in 0..MAX_POLLS {
            if TcpStream::connect(address).is_ok() {
                return Ok(node);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        bail!("memcached does not listen on {address}");
    }

    /// Stops the process, which keeps its connections and answers nothing.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.process), Signal::STOP)?)
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Raw> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        Ok(Raw(BufReader::new(stream)))
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One blocking connection: the least that a client can do.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    pub(crate) fn set(&mut self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        let stream = self.0.get_mut();
        write!(stream, "ms {key} {}\r\n", value.len())?;
        stream.write_all(value)?;
        stream.write_all(b"\r\n")?;
        let line = self.line()?;
        anyhow::ensure!(line == "HD", "memcached says {line}");
        Ok(())
    }

    pub(crate) fn get(&mut self, key: &str) -> anyhow::Result<Vec<u8>> {
        write!(self.0.get_mut(), "mg {key} v\r\n")?;
        let line = self.line()?;
        let len: usize = line.strip_prefix("VA ").with_context(|| line.clone())?.parse()?;
        let mut value = vec![0; len + 2];
        self.0.read_exact(&mut value)?;
        value.truncate(len);
        Ok(value)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
