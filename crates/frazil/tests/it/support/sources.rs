//! The house's own code, for tests that hold documents to it.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below a directory of each crate, such as `src`; of the whole crates for the empty one.
pub(crate) fn of_crates(directory: &str) -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        let directory = entry.unwrap().path().join(directory);
        if directory.is_dir() {
            below(&directory, &mut found);
        }
    }
    found
}

fn below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}
