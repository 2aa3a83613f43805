//! Somebody's frazil: the real binary, with a store, a keyring and a runtime directory that nobody else has.
//!
//! Invariant: where things are kept is decided here and by nothing in the caller's environment, and all of it is
//! gone with the value. What is mounted is a `Mount`, which ends before its home does.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::UnmountFlags;
use serde_json::Value;
use tempfile::TempDir;

use super::mount::{Mount, mounts_below};
use super::refusal::Refusal;
use super::tool::{output, run, tool};

/// What could decide where things are kept, or how much is said.
const AMBIENT: [&str; 17] = [
    "FRAZIL_CONFIG",
    "FRAZIL_CACHE",
    "FRAZIL_MEMORY_BUDGET",
    "FRAZIL_DISK_DIR",
    "FRAZIL_DISK_QUOTA",
    "FRAZIL_REMOTE",
    "FRAZIL_CACHED_SOCKET",
    "XDG_CACHE_HOME",
    "FRAZIL_STORE",
    "FRAZIL_KEYS",
    "FRAZIL_ACCESS_LOG",
    "FRAZIL_LOG",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "RUST_LOG",
];

/// One user of frazil on a machine of its own.
pub(crate) struct Home {
    directory: Directory,
    store: PathBuf,
    keys: PathBuf,
}

/// A temporary directory in which nothing stays mounted, not even what a test did not expect to be.
struct Directory(TempDir);

impl Drop for Directory {
    fn drop(&mut self) {
        for mount in mounts_below(self.0.path()) {
            // The agent ends when its mount does; should this fail, removing the directory does too.
            let _ = rustix::mount::unmount(mount, UnmountFlags::DETACH);
        }
    }
}

impl Home {
    /// A user with no store and no keys yet.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        for name in ["runtime", "mounts"] {
            DirBuilder::new().mode(0o700).create(directory.path().join(name)).unwrap();
        }
        let (store, keys) = (directory.path().join("store"), directory.path().join("keys"));
        Self { directory: Directory(directory), store, keys }
    }

    /// A user with another store, and the keys of this one.
    pub(crate) fn with_another_store(&self) -> Self {
        Self { keys: self.keys.clone(), ..Self::new() }
    }

    /// A user with the keys of this one, who finds the store somewhere else.
    pub(crate) fn with_its_store_at(&self, store: &str) -> Self {
        Self { store: store.into(), keys: self.keys.clone(), ..Self::new() }
    }

    /// A user with the store of this one, and other keys.
    pub(crate) fn with_other_keys(&self) -> Self {
        Self { store: self.store.clone(), ..Self::new() }
    }

    /// A user whose store is, or will be, in this directory.
    pub(crate) fn with_store_at(store: &Path) -> Self {
        Self { store: store.to_owned(), ..Self::new() }
    }

    /// Writes the user's configuration file.
    pub(crate) fn configure(&self, text: &str) {
        let directory = self.path(".config/frazil");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config.toml"), text).unwrap();
    }

    /// A file of this home, for whatever a test keeps.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.0.path().join(name)
    }

    /// A new empty directory, where something may be mounted.
    #[track_caller]
    pub(crate) fn mountpoint(&self) -> PathBuf {
        TempDir::new_in(self.path("mounts")).unwrap().keep()
    }

    /// The store's directory.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// The keyring's directory.
    pub(crate) fn keys(&self) -> &Path {
        &self.keys
    }

    /// The program, to be run with these arguments.
    pub(crate) fn frazil<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        self.set_up(tool(env!("CARGO_BIN_EXE_frazil")), arguments)
    }

    /// The program, to be run by another one that is given it as its last arguments: `strace`, `setpriv`, ….
    pub(crate) fn frazil_under<S: AsRef<OsStr>>(
        &self,
        mut wrapper: Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        wrapper.arg(env!("CARGO_BIN_EXE_frazil"));
        self.set_up(wrapper, arguments)
    }

    fn set_up<S: AsRef<OsStr>>(
        &self,
        mut command: Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        for variable in AMBIENT {
            command.env_remove(variable);
        }
        command.env("HOME", self.directory.0.path()).env("XDG_RUNTIME_DIR", self.path("runtime"));
        command.arg("--store").arg(&self.store).arg("--keys").arg(&self.keys).args(arguments);
        command
    }

    /// What the program prints; it must succeed.
    #[track_caller]
    pub(crate) fn says<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        run(&mut self.frazil(arguments))
    }

    /// The document that the program prints; it must succeed.
    #[track_caller]
    pub(crate) fn tells<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Value {
        serde_json::from_str(&self.says(arguments)).unwrap()
    }

    /// Why the program does not do it; it must fail, in its own words.
    #[track_caller]
    pub(crate) fn refuses<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Refusal {
        Refusal::of(&output(&mut self.frazil(arguments)))
    }

    /// Converts a source and gives the summary.
    #[track_caller]
    pub(crate) fn convert(&self, source: &str, name: &str) -> Value {
        self.tells(["convert", "--json", "--plain-http", "--name", name, source])
    }

    /// Mounts an image through a face, `tree` or `erofs`.
    #[track_caller]
    pub(crate) fn mount(&self, name: &str, face: &str) -> Mount<'_> {
        Mount::new(self, name, face)
    }

    /// The names that can be seen in the store.
    #[track_caller]
    pub(crate) fn images(&self) -> Vec<String> {
        let rows = self.tells(["images", "--json"]);
        rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Every chunk of the image is there and is right.
    #[track_caller]
    pub(crate) fn verify(&self, name: &str) {
        let found = self.tells(["verify", "--json", name]);
        assert_eq!(found["sound"], true, "{found:#}");
    }

    /// Writes the image's block image into a file of this home.
    #[track_caller]
    pub(crate) fn export(&self, name: &str) -> PathBuf {
        let file = self.path("exported");
        let _ = fs::remove_file(&file);
        self.says([OsStr::new("export"), OsStr::new(name), file.as_os_str()]);
        file
    }
}
