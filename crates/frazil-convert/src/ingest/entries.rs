//! An archive's members as the entries of a layer, their data into a sink.
//!
//! Whiteouts are told by their names alone, whatever their type, as in the OCI image specification (layer.md,
//! "Whiteouts"). A character device 0/0 is no whiteout there and stays a device (docs/decisions).

use std::io::BufRead;

use frazil_format::{Content, Entry, EntryKind};

use crate::ConvertError;
use crate::archive::{ArchiveError, ArchiveReader, Member, MemberKind, Sink, split};
use crate::summary::Warnings;

const WHITEOUT: &[u8] = b".wh.";
const AUFS_METADATA: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The most memory that the entries of one layer take, in bytes: two million files with paths of a hundred bytes.
const MAX_ENTRY_BYTES: u64 = 384 << 20;
/// What an entry takes besides its texts, in bytes.
const ENTRY_OVERHEAD_BYTES: u64 = 96;

/// Dropped extended attributes of one layer that are named in the log.
const SHOWN_XATTRS: u64 = 5;
/// What of an attribute's name the log shows, in bytes; the kernel takes no longer one.
const SHOWN_NAME_BYTES: usize = 255;

/// Where the data of a layer's files goes.
pub(crate) trait FileSink: Sink<Error = ConvertError> {
    /// A file starts: its offset in the layer stream in bytes.
    fn start_file(&mut self, path: &[u8], len: u64) -> Result<u64, ConvertError>;
    /// The file's data is complete.
    fn end_file(&mut self) -> Result<(), ConvertError>;
}

/// Reads an archive to its end marker: the entries, in order, and what is left of the bytes.
pub(crate) fn read_entries<R: BufRead>(
    bytes: R,
    sink: &mut impl FileSink,
) -> Result<(Vec<Entry>, Warnings, R), ConvertError> {
    let mut archive = ArchiveReader::new(bytes);
    let (mut entries, mut warnings) = (Vec::new(), Warnings::default());
    let mut memory = MAX_ENTRY_BYTES;
    while let Some(member) = archive.next_member()? {
        let Some(path) = place(&member)? else { continue };
        warn(&member, &mut warnings);
        let entry = match path {
            Place::Whiteout(path) => Entry { path, kind: EntryKind::Whiteout },
            Place::Opaque(path) => Entry { path, kind: EntryKind::Opaque },
            Place::There => inode(member, &mut archive, sink)?,
        };
        memory = memory
            .checked_sub(cost(&entry))
            .ok_or(ConvertError::TooManyEntries { limit: MAX_ENTRY_BYTES })?;
        entries.push(entry);
    }
    if warnings.dropped_xattrs > SHOWN_XATTRS {
        tracing::warn!(count = warnings.dropped_xattrs, "dropped extended attributes in one layer");
    }
    Ok((entries, warnings, archive.into_inner()))
}

/// Tells of the first dropped attributes and counts the others: a layer can have millions.
fn warn(member: &Member, warnings: &mut Warnings) {
    for name in &member.dropped_xattrs {
        if warnings.dropped_xattrs < SHOWN_XATTRS {
            let shown = name.get(..SHOWN_NAME_BYTES).unwrap_or(name);
            let (path, name) = (member.path.escape_ascii(), shown.escape_ascii());
            tracing::warn!(%path, xattr = %name, "dropped an extended attribute that no mounted image could or should show");
        }
        warnings.dropped_xattrs += 1;
    }
}

/// What a member's path says.
enum Place {
    There,
    Whiteout(Vec<u8>),
    Opaque(Vec<u8>),
}

/// Tells whiteouts from files. What aufs kept for itself in a layer's root is nothing at all.
fn place(member: &Member) -> Result<Option<Place>, ConvertError> {
    let (directory, name) = split(&member.path);
    if name == OPAQUE {
        return Ok(Some(Place::Opaque(directory.to_vec())));
    }
    if name.starts_with(AUFS_METADATA) || member.path.starts_with(AUFS_METADATA) {
        return Ok(None);
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Some(Place::There)),
        Some(b"" | b"." | b"..") => {
            let reason = "it is a whiteout of nothing";
            Err(ArchiveError::Member { offset: member.offset, path: member.path.clone(), reason }.into())
        }
        Some(name) if directory.is_empty() => Ok(Some(Place::Whiteout(name.to_vec()))),
        Some(name) => Ok(Some(Place::Whiteout([directory, b"/", name].concat()))),
    }
}

fn inode<R: BufRead>(
    member: Member,
    archive: &mut ArchiveReader<R>,
    sink: &mut impl FileSink,
) -> Result<Entry, ConvertError> {
    let Member { path, kind, attributes, offset, .. } = member;
    let content = match kind {
        MemberKind::Hardlink(target) => return Ok(Entry { path, kind: EntryKind::Hardlink(target) }),
        MemberKind::File(len) => {
            let start = sink.start_file(&path, len)?;
            archive.copy_data(sink)?;
            sink.end_file()?;
            Content::File { offset: start, len }
        }
        MemberKind::Directory => Content::Directory,
        MemberKind::Symlink(target) => Content::Symlink(target),
        MemberKind::CharDevice(major, minor) => Content::CharDevice { major, minor },
        MemberKind::BlockDevice(major, minor) => Content::BlockDevice { major, minor },
        MemberKind::Fifo => Content::Fifo,
    };
    if path.is_empty() && content != Content::Directory {
        let reason = "the root of an image is a directory";
        return Err(ArchiveError::Member { offset, path, reason }.into());
    }
    Ok(Entry { path, kind: EntryKind::Inode(attributes, content) })
}

/// What an entry takes in memory, in bytes.
pub(super) fn cost(entry: &Entry) -> u64 {
    let texts = match &entry.kind {
        EntryKind::Inode(attributes, content) => {
            let target = if let Content::Symlink(target) = content { target.len() } else { 0 };
            let xattr = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len() + 48;
            target + attributes.xattrs.iter().map(xattr).sum::<usize>()
        }
        EntryKind::Hardlink(target) => target.len(),
        EntryKind::Whiteout | EntryKind::Opaque => 0,
    };
    ENTRY_OVERHEAD_BYTES + (entry.path.len() + texts) as u64
}
