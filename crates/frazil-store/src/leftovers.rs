//! What killed writers leave behind in a directory store, and how it goes away.
//!
//! A write that never finished is a file `NAME#N` beside the object that it would have become: never listed,
//! never read. The first write into a directory sweeps that directory's old ones, so that only writers pay, each
//! directory once, and no store needs a pass over all of its chunks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// How old an unfinished write must be to be taken for dead. Objects are written in one go, in seconds; a day
/// leaves room for suspended machines and for clocks that disagree. Should a live one be swept after all, its
/// writer gets an error and nothing else.
pub(crate) const MIN_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The most files that one sweep looks at.
const MAX_LOOKED_AT: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Leftovers {
    store: PathBuf,
    swept: Mutex<HashSet<PathBuf>>,
}

impl Leftovers {
    pub(crate) fn of_directory(store: &Path) -> Self {
        Self { store: store.to_owned(), swept: Mutex::new(HashSet::new()) }
    }

    /// Removes a directory in which no object is any more, with what killed writers left in it. Says nothing if it
    /// cannot: it is only tidiness.
    pub(crate) async fn clear(&self, directory: &object_store::path::Path) {
        let directory = self.store.join(directory.as_ref());
        let cleared = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(&directory));
        if let Ok(Err(error)) = cleared.await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "cannot remove an empty directory");
        }
    }

    /// Sweeps the directory that the object is going to lie in, unless this was done before.
    pub(crate) async fn sweep_beside(&self, object: &object_store::path::Path) {
        let Some((directory, _)) = object.as_ref().rsplit_once('/') else { return };
        let directory = self.store.join(directory);
        let is_first = match self.swept.lock() {
            Ok(mut swept) => swept.insert(directory.clone()),
            Err(_) => false,
        };
        if is_first {
            let swept =
                tokio::task::spawn_blocking(move || sweep(&directory, crate::layout::is_unfinished, MIN_AGE));
            // Not being able to sweep must not stop a write.
            let _ = swept.await;
        }
    }
}

/// Removes the files of a directory that have such a name and were not written to for at least `min_age`.
pub(crate) fn sweep(directory: &Path, is_leftover: fn(&str) -> bool, min_age: Duration) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let leftovers = entries
        .take(MAX_LOOKED_AT)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_str().is_some_and(is_leftover));
    for entry in leftovers {
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|written| written.elapsed());
        if !matches!(age, Ok(Ok(age)) if age >= min_age) {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Ok(()) => tracing::info!(path = %entry.path().display(), "removed an unfinished write"),
            Err(error) => tracing::debug!(path = %entry.path().display(), %error, "cannot remove"),
        }
    }
}
