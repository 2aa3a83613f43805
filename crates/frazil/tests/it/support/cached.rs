//! A host cache: the real binary, serving agents of a home whose keyring it cannot see.
//!
//! Invariant: its process is gone with the value.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::home::Home;
use super::mount::soon;

/// A host cache, running or not.
pub(crate) struct Cached {
    /// The store of another home, and keys that are not there.
    keyless: Home,
    options: Vec<OsString>,
    process: Option<Child>,
}

impl Cached {
    /// Starts one for the store of this home, with these options of `frazil cached`.
    #[track_caller]
    pub(crate) fn start(home: &Home, options: &[&str]) -> Self {
        let mut cached = Self {
            keyless: home.with_other_keys(),
            options: options.iter().map(OsString::from).collect(),
            process: None,
        };
        cached.restart();
        cached
    }

    /// Starts it, again or for the first time, and waits until its socket answers.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let mut command = self.keyless.frazil([OsStr::new("cached"), OsStr::new("-v")]);
        let log = fs::File::options().create(true).append(true).open(self.log_file()).unwrap();
        command.arg("--socket").arg(self.socket()).arg("--disk-dir").arg(self.disk()).args(&self.options);
        self.process = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        assert!(soon(|| UnixStream::connect(self.socket()).is_ok()), "{}", self.log());
    }

    /// Kills it.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Sends it a signal.
    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.process.as_ref().unwrap()), signal).unwrap();
    }

    /// Asks it to end, and waits until it has; it must succeed.
    #[track_caller]
    pub(crate) fn terminate(&mut self) {
        self.ends_by(Signal::TERM);
    }

    /// Sends it a signal that asks it to end, and waits until it has; it must succeed.
    #[track_caller]
    pub(crate) fn ends_by(&mut self, signal: Signal) {
        let mut process = self.process.take().unwrap();
        kill_process(Pid::from_child(&process), signal).unwrap();
        let status = process.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Where agents find it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.keyless.path("cached.sock")
    }

    /// What it keeps on disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.keyless.path("cache")
    }

    /// The keyring that it would have.
    pub(crate) fn keys(&self) -> &Path {
        self.keyless.keys()
    }

    /// What it wrote so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// What it has counted.
    #[track_caller]
    pub(crate) fn stats(&self) -> Value {
        self.keyless.tells(["stats", "--json", "--socket", self.socket().to_str().unwrap()])
    }

    /// What it has counted, for people.
    #[track_caller]
    pub(crate) fn stats_in_words(&self) -> String {
        self.keyless.says(["stats", "--socket", self.socket().to_str().unwrap()])
    }

    /// How often a tier was asked for a chunk.
    #[track_caller]
    pub(crate) fn asked(&self, tier: &str) -> u64 {
        let stats = self.stats();
        let tiers = stats["tiers"].as_array().unwrap();
        let found = tiers.iter().find(|found| found[0] == tier).unwrap();
        found[1]["requests"].as_u64().unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.keyless.path("cached.log")
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
