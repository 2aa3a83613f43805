//! A web server (nginx) that publishes a store, in order or in trouble, on a free loopback port.
//!
//! It ends when its value is dropped; should the test be killed, the kernel ends it.

use std::fmt::Write;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::mount::soon;
use super::tool::{cannot_start, tool};

/// What a web server does when it is asked for an object of the kind that is in trouble.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Trouble {
    /// It says 503.
    Refuses,
    /// It never answers.
    Swallows,
    /// It sends a mebibyte and then, as good as nothing.
    Halts,
}

/// A running web server.
pub(crate) struct Web {
    process: Child,
    address: SocketAddr,
    _directory: TempDir,
    /// Whoever connects here waits for ever.
    _hole: TcpListener,
}

impl Web {
    /// Publishes a directory. Paths with this text in them are in trouble.
    #[track_caller]
    pub(crate) fn publish(root: &Path, part: &str, trouble: Trouble) -> Self {
        let directory = TempDir::new().unwrap();
        let hole = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let does = match trouble {
            Trouble::Refuses => "return 503;".to_owned(),
            Trouble::Swallows => {
                format!("proxy_read_timeout 1h; proxy_pass http://{};", hole.local_addr().unwrap())
            }
            Trouble::Halts => "limit_rate_after 1m; limit_rate 1;".to_owned(),
        };
        let file = directory.path().join("nginx.conf");
        let config =
            configuration(directory.path(), root, address, &format!("location ~ {part} {{ {does} }}"));
        fs::write(&file, config).unwrap();
        let mut command = tool("setpriv");
        command.args(["--pdeathsig", "KILL", "nginx", "-p"]).arg(directory.path()).arg("-c").arg(&file);
        let log = directory.path().join("nginx.err");
        command.arg("-e").arg(&log).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(directory.path().join("nginx.out")).unwrap());
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{}", cannot_start(command.get_program(), &error)));
        let web = Self { process, address, _directory: directory, _hole: hole };
        assert!(
            soon(|| TcpStream::connect(address).is_ok()),
            "nginx does not start (is the package nginx-light here?): {}",
            fs::read_to_string(log).unwrap_or_default()
        );
        web
    }

    /// Where the store is published.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        // Only fails if it has already ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(own: &Path, root: &Path, address: SocketAddr, location: &str) -> String {
    let (own, root) = (own.display(), root.display());
    let mut config = format!(
        "daemon off; master_process off; pid {own}/pid; error_log {own}/nginx.err;\n\
         events {{ worker_connections 512; }}\nhttp {{ access_log off; "
    );
    for place in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        write!(config, "{place}_temp_path {own}/{place}; ").unwrap();
    }
    config + &format!("server {{ listen {address}; root {root}; {location} }} }}\n")
}
