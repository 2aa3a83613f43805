//! An image that the real binary mounted, and the agent behind it.
//!
//! Invariant: when the value is gone, so are the mount and the agent, whatever became of either.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::UnmountFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::home::Home;
use super::tool::{output, run};

/// Both faces of an image.
pub(crate) const FACES: [&str; 2] = ["tree", "erofs"];

/// For what happens at once but in another process; a machine under load takes its time.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A mounted image.
pub(crate) struct Mount<'h> {
    home: &'h Home,
    root: PathBuf,
    agent: Pid,
}

impl<'h> Mount<'h> {
    #[track_caller]
    pub(crate) fn new(home: &'h Home, name: &str, face: &str) -> Self {
        Self::with(home, name, &["--via", face])
    }

    /// Mounts with these options of `frazil mount`.
    #[track_caller]
    pub(crate) fn with(home: &'h Home, name: &str, options: &[&str]) -> Self {
        let root = home.mountpoint();
        let words = ["mount"].iter().chain(options).chain([&name]).map(OsStr::new);
        run(&mut home.frazil(words.chain([root.as_os_str()])));
        Self::at(home, root)
    }

    /// What is mounted at this directory already.
    #[track_caller]
    pub(crate) fn at(home: &'h Home, root: PathBuf) -> Self {
        let pid = record(home, &root).unwrap()["pid"].as_i64().unwrap();
        Self { home, root, agent: Pid::from_raw(i32::try_from(pid).unwrap()).unwrap() }
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the tree.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root().join(path)
    }

    /// What the agent wrote so far.
    pub(crate) fn log(&self) -> String {
        let logs = files(&self.home.path("runtime/frazil/mounts"), "log");
        logs.iter().map(|log| fs::read_to_string(log).unwrap()).collect()
    }

    /// The first line of the agent's log that has all these words; it may take a moment.
    #[track_caller]
    pub(crate) fn log_line(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            let mut lines = log.lines();
            if let Some(line) = lines.find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "no line of the log has {words:?}:\n{log}");
            thread::sleep(POLL);
        }
    }

    /// Kills the agent, as an out-of-memory killer would.
    pub(crate) fn kill_agent(&self) {
        kill_process(self.agent, Signal::KILL).unwrap();
        assert!(soon(|| !self.agent_lives()), "the agent survives SIGKILL");
    }

    /// Whether the agent's process is there.
    pub(crate) fn agent_lives(&self) -> bool {
        // A process without a command line has ended, whether or not its parent knows.
        fs::read(format!("/proc/{}/cmdline", self.agent.as_raw_nonzero())).is_ok_and(|line| !line.is_empty())
    }

    /// How many threads and descriptors the agent has.
    #[track_caller]
    pub(crate) fn agent_holds(&self) -> (usize, usize) {
        let agent = PathBuf::from(format!("/proc/{}", self.agent.as_raw_nonzero()));
        let count = |what: &str| fs::read_dir(agent.join(what)).unwrap().count();
        (count("task"), count("fd"))
    }

    /// Ends the mount by `frazil unmount`, and makes sure that nothing of it is left.
    #[track_caller]
    pub(crate) fn unmount(self) {
        run(&mut self.home.frazil([OsStr::new("unmount"), self.root().as_os_str()]));
        assert!(!is_mounted(self.root()), "it is still mounted");
        assert!(!self.agent_lives(), "its agent still runs");
        assert_eq!(fs::read_dir(self.root()).unwrap().count(), 0);
        assert_eq!(record(self.home, self.root()), None);
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        if is_mounted(self.root()) {
            let _ = output(&mut self.home.frazil([OsStr::new("unmount"), self.root().as_os_str()]));
        }
        if is_mounted(self.root()) {
            let _ = rustix::mount::unmount(self.root(), UnmountFlags::DETACH);
        }
        if self.agent_lives() && !soon(|| !self.agent_lives()) {
            let _ = kill_process(self.agent, Signal::KILL);
        }
    }
}

/// Whether something becomes true before anyone loses patience.
pub(crate) fn soon(what: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !what() {
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

/// Whether something is mounted at this very directory.
pub(crate) fn is_mounted(directory: &Path) -> bool {
    mounts_below(directory).iter().any(|mount| mount == directory)
}

/// Where something is mounted in this directory, the last one first.
pub(crate) fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    mounts.filter(|mount| mount.starts_with(directory)).collect()
}

/// What the host remembers of the mount at `directory`.
fn record(home: &Home, directory: &Path) -> Option<Value> {
    let records = files(&home.path("runtime/frazil/mounts"), "json");
    // One that is being written, or has just gone, is another mount's.
    let records = records.iter().filter_map(|file| serde_json::from_slice(&fs::read(file).ok()?).ok());
    records.into_iter().find(|record: &Value| record["directory"].as_str() == directory.to_str())
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension() == Some(OsStr::new(extension))).collect()
}
