//! What lies in a store's directory, by the names that docs/FORMAT.md gives: told without opening a store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// All files of a store, each with what tells whether it was written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objects(BTreeMap<PathBuf, Object>);

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    size: u64,
    inode: u64,
    mtime: (i64, i64),
}

impl Objects {
    /// Lists the store at `root`.
    #[track_caller]
    pub(crate) fn of(root: &Path) -> Self {
        let (mut objects, mut pending) = (BTreeMap::new(), vec![root.to_owned()]);
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).unwrap().map(Result::unwrap) {
                let stat = entry.metadata().unwrap();
                if stat.is_dir() {
                    pending.push(entry.path());
                    continue;
                }
                let mtime = (stat.mtime(), stat.mtime_nsec());
                let object = Object { size: stat.len(), inode: stat.ino(), mtime };
                objects.insert(entry.path().strip_prefix(root).unwrap().to_owned(), object);
            }
        }
        Self(objects)
    }

    /// The files of one kind: `chunks`, `layers`, `manifests`, `names`.
    pub(crate) fn of_kind(&self, kind: &str) -> Self {
        let is_kind = |path: &Path| path.components().any(|part| part.as_os_str() == kind);
        self.filtered(|path, _| is_kind(path))
    }

    /// Those that `before` has not, or has with another content.
    pub(crate) fn since(&self, before: &Self) -> Self {
        self.filtered(|path, object| before.0.get(path) != Some(object))
    }

    /// Whether all of these are still there, untouched.
    pub(crate) fn are_all_in(&self, later: &Self) -> bool {
        self.since(later).len() == 0
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.values().map(|object| object.size).sum()
    }

    /// Their paths in the store.
    pub(crate) fn paths(&self) -> BTreeSet<&Path> {
        self.0.keys().map(PathBuf::as_path).collect()
    }

    fn filtered(&self, keep: impl Fn(&Path, &Object) -> bool) -> Self {
        Self(
            self.0
                .iter()
                .filter(|(path, object)| keep(path, object))
                .map(|(path, object)| (path.clone(), object.clone()))
                .collect(),
        )
    }
}

/// The content of each chunk and layer index of a store, hashed, by its path.
#[track_caller]
pub(crate) fn contents(root: &Path, kind: &str) -> BTreeMap<PathBuf, String> {
    let objects = Objects::of(root).of_kind(kind);
    objects.paths().into_iter().map(|path| (path.to_owned(), digest(&root.join(path)))).collect()
}

/// The SHA-256 of a file.
#[track_caller]
pub(crate) fn digest(file: &Path) -> String {
    let (mut hash, mut file) = (Sha256::new(), fs::File::open(file).unwrap());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match std::io::Read::read(&mut file, &mut buffer).unwrap() {
            0 => return hex::encode(hash.finalize()),
            n => hash.update(&buffer[..n]),
        }
    }
}
