//! Small files under a directory, whole or not there, within a bound.
//!
//! A disk that is full, read-only or failing keeps nothing, and is nobody's error: it is said once, in the log.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// The most files that are kept.
const MAX_FILES: usize = 1 << 16;

/// How long after a directory was made its first file is in it for certain.
const FILLED: Duration = Duration::from_secs(60);

/// A directory of them.
#[derive(Clone, Debug)]
pub(in crate::host) struct Files(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    budget_bytes: u64,
    /// Distinguishes what is written at once.
    number: AtomicU64,
    complained: AtomicBool,
}

/// What was there.
pub(in crate::host) enum Outcome {
    /// The content.
    Found(Bytes),
    /// Nothing that can be read.
    Absent,
}

impl Files {
    pub(in crate::host) fn new(path: PathBuf, budget_bytes: u64) -> Self {
        let (number, complained) = (AtomicU64::new(0), AtomicBool::new(false));
        Self(Arc::new(Directory { path, budget_bytes, number, complained }))
    }

    pub(in crate::host) fn path(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    pub(in crate::host) async fn read(&self, name: &str, max_len: u64) -> Outcome {
        let path = self.path(name);
        self.work(move |directory| directory.read(&path, max_len)).await.unwrap_or(Outcome::Absent)
    }

    /// What a file begins with, up to `len` bytes; none if there is nothing that can be read.
    pub(in crate::host) async fn read_front(&self, name: &str, len: u64) -> Option<Bytes> {
        let path = self.path(name);
        let read = move |_: &Directory| {
            let mut front = Vec::new();
            let file = fs::File::open(&path)?;
            io::Read::read_to_end(&mut io::Read::take(file, len), &mut front)?;
            Ok::<_, io::Error>(Bytes::from(front))
        };
        self.work(read).await?.ok()
    }

    pub(in crate::host) async fn write(&self, name: &str, bytes: Bytes) {
        self.write_parts(name, move || vec![bytes]).await;
    }

    /// Writes these parts one after the other; they, too, are made off the reactor.
    pub(in crate::host) async fn write_parts(
        &self,
        name: &str,
        parts: impl FnOnce() -> Vec<Bytes> + Send + 'static,
    ) {
        let path = self.path(name);
        self.work(move |directory| directory.complain(directory.write(&path, &parts()))).await;
    }

    pub(in crate::host) async fn remove(&self, name: &str) {
        let path = self.path(name);
        self.work(move |directory| {
            directory.complain(match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            });
        })
        .await;
    }

    /// Works off the reactor. None if the runtime is shutting down.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Directory) -> T + Send + 'static,
    ) -> Option<T> {
        let directory = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&directory)).await.ok()
    }
}

impl Directory {
    fn read(&self, path: &Path, max_len: u64) -> Outcome {
        let read = || {
            let file = fs::File::open(path)?;
            if file.metadata()?.len() > max_len {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            // What is used stays: the age of a file is that of its last use.
            let _ = file.set_modified(SystemTime::now());
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, max_len), &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Outcome::Found(bytes.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Outcome::Absent,
            Err(error) => {
                self.complain(Err(error));
                Outcome::Absent
            }
        }
    }

    /// All of it or nothing, to whoever reads; what a power cut leaves is found out when it is read.
    fn write(&self, path: &Path, parts: &[Bytes]) -> io::Result<()> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        if len > self.budget_bytes {
            return Ok(());
        }
        let parent = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(&self.path)?;
        self.make_room(len)?;
        // After room was made: a directory without a file may have gone with that.
        fs::create_dir_all(parent)?;
        let number = self.number.fetch_add(1, Relaxed);
        let unfinished = parent.join(format!(".{}-{number}.unfinished", std::process::id()));
        let written = fs::File::create(&unfinished)
            .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)))
            .and_then(|()| fs::rename(&unfinished, path));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes the files that were not used for longest, unfinished ones included, until `len` bytes fit.
    fn make_room(&self, len: u64) -> io::Result<()> {
        let mut files = Vec::new();
        list(&self.path, 2, &mut files)?;
        let mut total = files.iter().fold(len, |sum, file| sum.saturating_add(file.len));
        if total <= self.budget_bytes && files.len() < MAX_FILES {
            return Ok(());
        }
        files.sort_by_key(|file| file.used);
        let mut too_many = files.len().saturating_sub(MAX_FILES - 1);
        for file in &files {
            if total <= self.budget_bytes && too_many == 0 {
                break;
            }
            match fs::remove_file(&file.path) {
                // Somebody else makes room too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            total = total.saturating_sub(file.len);
            too_many = too_many.saturating_sub(1);
        }
        Ok(())
    }

    fn complain(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome
            && !self.complained.swap(true, Relaxed)
        {
            tracing::warn!(directory = %self.path.display(), %error, "names and manifests are not kept");
        }
    }
}

struct Listed {
    path: PathBuf,
    len: u64,
    used: SystemTime,
}

/// Lists the files of a directory and of those in it, `levels` levels deep. An inner directory whose files
/// all had to go goes too.
fn list(directory: &Path, levels: u32, files: &mut Vec<Listed>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && levels > 1 {
            let before = files.len();
            match list(&entry.path(), levels - 1, files) {
                // Somebody else makes room too.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                listed => listed?,
            }
            let is_old =
                metadata.modified().is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > FILLED));
            if files.len() == before && is_old {
                // Not if a file has come meanwhile.
                let _ = fs::remove_dir(entry.path());
            }
        } else if metadata.is_file() {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            files.push(Listed { path: entry.path(), len: metadata.len(), used });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_goes_with_its_last_file_and_not_before_its_first() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path().to_owned(), 10);
        let write = async |name: &str| files.write(name, Bytes::from_static(b"123456")).await;
        write("old/0").await;
        let long_ago = SystemTime::now() - 2 * FILLED;
        for path in ["old/0", "old"] {
            fs::File::open(files.path(path)).unwrap().set_modified(long_ago).unwrap();
        }
        fs::create_dir(files.path("new")).unwrap();
        write("second/0").await;
        assert!(matches!(files.read("old/0", 10).await, Outcome::Absent), "it had to make room");
        fs::File::open(files.path("old")).unwrap().set_modified(long_ago).unwrap();
        write("third/0").await;
        assert!(!files.path("old").exists() && files.path("new").exists());
        fs::create_dir(files.path("old")).unwrap();
        fs::File::open(files.path("old")).unwrap().set_modified(long_ago).unwrap();
        write("old/1").await;
        assert!(matches!(files.read("old/1", 10).await, Outcome::Found(_)), "it goes where nothing was left");
        write("third/0").await;
        assert!(matches!(files.read("third/0", 10).await, Outcome::Found(bytes) if bytes == "123456"));
    }
}
