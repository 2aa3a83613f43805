//! A server of somebody else's, on a port of this machine that nobody else has.
//!
//! Invariant: its process is gone with the value.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::mount::soon;
use super::tool::{cannot_start, run, tool};

/// A server that answers.
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts the command with a port as its last argument, and waits until that is listened at.
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.arg(address.port().to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) => panic!("{} (moto_server: .ci/moto)", cannot_start(command.get_program(), &error)),
        };
        let server = Self { process, address };
        assert!(soon(|| TcpStream::connect(address).is_ok()), "{command:?} does not start");
        server
    }

    /// A web server that publishes a directory.
    #[track_caller]
    pub(crate) fn web(directory: &Path) -> Self {
        let mut command = tool("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(directory);
        Self::start(&mut command)
    }

    /// The services of a cloud: buckets, keys.
    #[track_caller]
    pub(crate) fn cloud() -> Self {
        Self::start(tool("moto_server").args(["-H", "127.0.0.1", "-p"]))
    }

    /// The same, with an empty bucket.
    #[track_caller]
    pub(crate) fn with_bucket(bucket: &str) -> Self {
        let server = Self::cloud();
        let url = format!("http://{}/{bucket}", server.address);
        let script = "import sys, urllib.request as r; r.urlopen(r.Request(sys.argv[1], method='PUT'))";
        run(tool("python3").args(["-c", script, &url]));
        server
    }

    /// A plain memcached node.
    #[track_caller]
    pub(crate) fn memcached() -> Self {
        Self::start(tool("memcached").args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-m", "64", "-p"]))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
