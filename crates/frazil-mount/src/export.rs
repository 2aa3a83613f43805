//! The whole block image as one file, for a virtual machine's disk.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::MountError;
use crate::reader::{Image, READ_LEN_MAX};

/// Parts that are read ahead of the one that is written.
const PARTS_AHEAD: usize = 4;

/// The unit in which zeros become holes, in bytes.
const HOLE_LEN: usize = 4096;

/// What an export wrote.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Exported {
    /// Length of the file in bytes.
    pub len: u64,
    /// Bytes that were written; the rest are holes.
    pub written: u64,
}

/// Writes the block image into a file from its start on, leaving holes where it is zero, and sets the file's
/// length. The file must be new or empty.
///
/// # Errors
///
/// [`MountError::Read`] if a chunk cannot be had, [`MountError::Export`] if the file cannot be written.
pub async fn export(image: &Arc<Image>, file: File) -> Result<Exported, MountError> {
    let len = image.len();
    let parts = (0..len).step_by(READ_LEN_MAX);
    let file = Arc::new(file);
    let written = stream::iter(parts)
        .map(|offset| async move { Ok::<_, MountError>((offset, image.read(offset, READ_LEN_MAX).await?)) })
        .buffered(PARTS_AHEAD)
        .try_fold(0, |written, (offset, part)| {
            let file = Arc::clone(&file);
            async move { Ok(written + blocking(move || write_part(&file, offset, &part)).await?) }
        })
        .await?;
    blocking(move || {
        file.set_len(len)?;
        file.as_ref().flush()
    })
    .await?;
    Ok(Exported { len, written })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, MountError> {
    let outcome = tokio::task::spawn_blocking(work).await.map_err(io::Error::from).flatten();
    outcome.map_err(|source| MountError::Export { source })
}

/// Writes the runs of a part that are not zero; gives how many bytes those are.
fn write_part(file: &File, offset: u64, part: &Bytes) -> io::Result<u64> {
    let mut written = 0;
    let mut start = 0;
    while start < part.len() {
        let is_hole = |at: usize| part[at..part.len().min(at + HOLE_LEN)].iter().all(|byte| *byte == 0);
        let hole = is_hole(start);
        let mut end = (start + HOLE_LEN).min(part.len());
        while end < part.len() && is_hole(end) == hole {
            end = (end + HOLE_LEN).min(part.len());
        }
        if !hole {
            file.write_all_at(&part[start..end], offset + start as u64)?;
            written += (end - start) as u64;
        }
        start = end;
    }
    Ok(written)
}
