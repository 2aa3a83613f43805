//! Which file lies at an offset of the image: for a log line that says more than a number, and for whoever
//! asks what was read.
//!
//! Asked seldom, so it may walk the tree; bounded, since what broke may be the tree.

use std::sync::Arc;
use std::time::Duration;

use frazil_erofs::{FileType, ReadError as AttemptError, WalkEntry, WalkLimits};

use crate::ReadError;
use crate::reader::Image;
use crate::tree::{Files, fetch};

/// A log line waits this long for its file's name.
const PATIENCE: Duration = Duration::from_secs(5);

/// The most entries that are looked at; and how many between two pauses for others, so that the reactor goes
/// on.
const LIMITS: WalkLimits = WalkLimits { depth: 4096, entries: 2_000_000 };
const ENTRIES_AT_ONCE: usize = 512;

/// The path of the file whose data covers the byte at `offset`, or what else is there; `None` if it cannot be
/// found out.
pub(crate) async fn file_at(image: &Arc<Image>, offset: u64) -> Option<String> {
    if offset < image.geometry().metadata_len {
        return Some("(metadata)".to_owned());
    }
    tokio::time::timeout(PATIENCE, search(image, offset)).await.ok()?
}

async fn search(image: &Arc<Image>, offset: u64) -> Option<String> {
    let mut found = None;
    let searched = each_entry(image, |entry| {
        if covers(entry, offset) {
            found = Some(format!("/{}", String::from_utf8_lossy(&entry.path)));
        }
        found.is_none()
    });
    searched.await.ok()?;
    found
}

/// Shows every entry of the tree to `visit`, until it has seen enough and says false. Metadata that is not at hand
/// is fetched.
pub(crate) async fn each_entry(
    image: &Arc<Image>,
    mut visit: impl FnMut(&WalkEntry) -> bool + Send,
) -> Result<(), ReadError> {
    let files = Files::open(image).await?;
    let mut walk = files.erofs().walk(LIMITS);
    loop {
        for _ in 0..ENTRIES_AT_ONCE {
            match walk.next() {
                None => return Ok(()),
                Some(Ok(entry)) => {
                    if !visit(&entry) {
                        return Ok(());
                    }
                }
                Some(Err(AttemptError::Source(missing))) => {
                    fetch(image, missing).await?;
                }
                Some(Err(AttemptError::Image(error))) => return Err(error.into()),
            }
        }
        tokio::task::yield_now().await;
    }
}

fn covers(entry: &WalkEntry, offset: u64) -> bool {
    let extents = entry.inode.extents();
    // A file's last block is its own to the end.
    let body = extents.body.start..extents.body.end.next_multiple_of(4096);
    entry.inode.file_type == FileType::Regular && body.contains(&offset)
}
