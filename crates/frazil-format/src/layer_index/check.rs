//! What must be true of a layer index, checked before it is sealed and after it is opened.

use super::{Attributes, BLOCK_SIZE, Content, Entry, EntryKind, LayerIndex};
use crate::FormatError;
use crate::bounds::MAX_IMAGE_LEN;
use crate::chunk_order::ChunkOrder;

/// Checks everything.
pub(super) fn check(index: &LayerIndex) -> Result<(), FormatError> {
    if index.stream_len > MAX_IMAGE_LEN || !index.stream_len.is_multiple_of(BLOCK_SIZE) {
        return Err(FormatError::BadGeometry { problem: "the stream length is not a number of blocks" });
    }
    let mut order = ChunkOrder::new(index.stream_len);
    for chunk in &index.chunks {
        order.check(chunk.offset, chunk.len, chunk.sealed_len)?;
    }
    for (number, entry) in (0..).zip(&index.entries) {
        check_entry(entry, index.stream_len).map_err(|problem| FormatError::BadEntry { number, problem })?;
    }
    Ok(())
}

fn check_entry(entry: &Entry, stream_len: u64) -> Result<(), &'static str> {
    check_path(&entry.path)?;
    match &entry.kind {
        EntryKind::Inode(attributes, content) => {
            check_attributes(attributes)?;
            check_content(content, stream_len)
        }
        EntryKind::Hardlink(target) => check_path(target),
        EntryKind::Whiteout | EntryKind::Opaque => Ok(()),
    }
}

fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() {
        return Ok(());
    }
    if path.contains(&0) {
        return Err("the path has a zero byte");
    }
    if path.split(|&byte| byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")) {
        return Err("the path is not clean");
    }
    Ok(())
}

fn check_attributes(attributes: &Attributes) -> Result<(), &'static str> {
    if attributes.mode > 0o7777 {
        return Err("the mode has unknown bits");
    }
    if attributes.mtime_nanos >= 1_000_000_000 {
        return Err("the modification time has too many nanoseconds");
    }
    if !attributes.xattrs.is_sorted_by(|(one, _), (next, _)| one < next) {
        return Err("the extended attributes are not sorted by name");
    }
    Ok(())
}

fn check_content(content: &Content, stream_len: u64) -> Result<(), &'static str> {
    match *content {
        Content::File { offset, .. } if !offset.is_multiple_of(BLOCK_SIZE) => {
            Err("the file does not start on a block")
        }
        Content::File { offset, len } if offset.checked_add(len).is_none_or(|end| end > stream_len) => {
            Err("the file ends behind the stream")
        }
        _ => Ok(()),
    }
}
