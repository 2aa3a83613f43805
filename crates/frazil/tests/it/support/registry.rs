//! A real registry (docker-registry, the reference implementation) on a free loopback port.
//!
//! It keeps its blobs in a temporary directory and ends when its value is dropped; should the test be killed,
//! the kernel ends it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::image::Image;
use super::tool::{cannot_start, run, tool};

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// A running registry.
pub(crate) struct Registry {
    process: Child,
    directory: TempDir,
    /// `127.0.0.1:PORT`.
    address: String,
}

impl Registry {
    /// Starts an empty registry and waits until it listens.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let config = directory.path().join("config.yml");
        fs::write(&config, configuration(directory.path().join("blobs"))).unwrap();
        let output = |name: &str| Stdio::from(File::create(directory.path().join(name)).unwrap());
        let mut command = tool("setpriv");
        command.args(["--pdeathsig", "KILL", "docker-registry", "serve"]).arg(&config);
        command.stdin(Stdio::null()).stdout(output("access.log")).stderr(output("error.log"));
        let process =
            command.spawn().unwrap_or_else(|error| panic!("{}", cannot_start(command.get_program(), &error)));
        let mut registry = Self { process, directory, address: String::new() };
        registry.address = registry.wait_for_address();
        registry
    }

    /// The host part of a reference to an image here: `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Copies an image to this registry as `name` (`repository:tag`), and returns its source there.
    #[track_caller]
    pub(crate) fn push(&self, image: &Image, name: &str) -> String {
        let source = format!("docker://{}/{name}", self.address);
        let options = ["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"];
        run(tool("skopeo").args(options).arg(image.source()).arg(&source));
        source
    }

    /// Every request so far, oldest first, as `METHOD PATH STATUS`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.log("access.log").lines().filter_map(request).collect()
    }

    fn log(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.path().join(name)).unwrap()).into_owned()
    }

    /// The registry chose its port itself, so that no other process can have taken it; its log names it.
    fn wait_for_address(&mut self) -> String {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let log = self.log("error.log");
            if let Some((_, rest)) = log.split_once("listening on ") {
                let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
                if let Some(address) = end.and_then(|end| rest.get(..end)) {
                    return address.to_owned();
                }
            }
            let exited = self.process.try_wait().unwrap();
            assert!(
                exited.is_none(),
                "docker-registry did not start (is the package docker-registry here?):\n{log}"
            );
            assert!(Instant::now() < deadline, "docker-registry does not say where it listens:\n{log}");
            thread::sleep(POLL);
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // Only fails if it has already ended, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configuration(blobs: PathBuf) -> String {
    let blobs = blobs.display();
    format!(
        "version: 0.1\nlog: {{level: info, formatter: text}}\nstorage: {{filesystem: {{rootdirectory: {blobs}}}}}\n\
         http: {{addr: '127.0.0.1:0', secret: only-tests-push-here}}\n"
    )
}

/// `METHOD PATH STATUS` of a line in Apache's common log format.
fn request(line: &str) -> Option<String> {
    let mut quoted = line.split('"');
    let (request, rest) = (quoted.nth(1)?, quoted.next()?);
    let mut words = request.split(' ');
    Some(format!("{} {} {}", words.next()?, words.next()?, rest.split_whitespace().next()?))
}
