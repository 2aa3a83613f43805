//! A member of an archive, put together from its header and the extended headers in front of it.

use frazil_erofs::{XATTR_BODY_MAX, XATTR_VALUE_MAX, xattr_is_representable};
use frazil_format::Attributes;

use super::ArchiveError;
use super::header::Header;
use super::path::{PATH_MAX, clean};
use super::pax::{Records, Time};

/// What the kernel reports for every symbolic link.
const SYMLINK_MODE: u16 = 0o777;
const MODE_MASK: i64 = 0o7777;
/// The kernel's device numbers have 12 bits of major and 20 of minor.
const MAJOR_LIMIT: u32 = 1 << 12;
const MINOR_LIMIT: u32 = 1 << 20;
/// What EROFS stores of an attribute besides its name and value, rounding included, in bytes.
const XATTR_OVERHEAD_BYTES: usize = 8;
/// Names of attributes that belong to the machine an image runs on and not to the image: an overlay file system
/// mounted above would believe its own (an unprivileged one those of users), and labels are the host's policy.
const HOST_XATTRS: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.selinux"];
/// What of a path is shown in an error, in bytes.
const SHOWN_PATH_BYTES: usize = 256;

/// A member of an archive.
#[derive(Debug)]
pub(crate) struct Member {
    /// The cleaned path; the root is empty.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: MemberKind,
    /// Owner, mode, times and extended attributes.
    pub(crate) attributes: Attributes,
    /// The names of extended attributes that no mounted image could or should show.
    pub(crate) dropped_xattrs: Vec<Vec<u8>>,
    /// Where its header starts in the archive, in bytes.
    pub(crate) offset: u64,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemberKind {
    /// A directory.
    Directory,
    /// A regular file of this many bytes, holes included.
    File(u64),
    /// Another name of the file at this cleaned path.
    Hardlink(Vec<u8>),
    /// A symbolic link and its target, as it is written.
    Symlink(Vec<u8>),
    /// A character device, major and minor.
    CharDevice(u32, u32),
    /// A block device, major and minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// What stands in front of a header and changes what it means.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) records: Records,
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
}

impl Extensions {
    /// The name as it is written, the most specific source first.
    pub(super) fn name(&self, header: &Header) -> Vec<u8> {
        let records = &self.records;
        let written = records.sparse.name.as_ref().or(self.long_name.as_ref()).or(records.path.as_ref());
        written.cloned().unwrap_or_else(|| header.name())
    }

    fn link_name<'a>(&'a self, header: &'a Header) -> &'a [u8] {
        self.long_link.as_deref().or(self.records.link_path.as_deref()).unwrap_or_else(|| header.link_name())
    }

    /// The length of the data that follows the header, in bytes.
    pub(super) fn size(&self, header: &Header) -> Option<u64> {
        self.records.size.or_else(|| header.size())
    }
}

/// What a header's type flag stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Flag {
    File,
    GnuSparse,
    Other,
}

/// How to read the flag of a member with this name as it is written: archives of the seventh edition mark a
/// directory by a trailing slash alone.
pub(super) fn classify(flag: u8, name: &[u8]) -> Flag {
    match flag {
        b'\0' if name.ends_with(b"/") => Flag::Other,
        b'\0' | b'0' | b'7' => Flag::File,
        b'S' => Flag::GnuSparse,
        _ => Flag::Other,
    }
}

/// The member that a header and its extensions describe; `size` is a regular file's, holes included.
pub(super) fn assemble(
    header: &Header,
    extensions: Extensions,
    size: u64,
    offset: u64,
) -> Result<Member, ArchiveError> {
    let name = extensions.name(header);
    let invalid = |reason| ArchiveError::Member { offset, path: shown(&name), reason };
    let path = clean(&name).map_err(invalid)?;
    let kind = kind(header, &extensions, &name, size).map_err(invalid)?;
    let kind =
        kind.ok_or(ArchiveError::UnknownType { offset, path: shown(&name), flag: header.type_flag() })?;
    let (attributes, dropped_xattrs) = attributes(header, extensions.records, &kind).map_err(invalid)?;
    Ok(Member { path, kind, attributes, dropped_xattrs, offset })
}

fn kind(
    header: &Header,
    extensions: &Extensions,
    name: &[u8],
    size: u64,
) -> Result<Option<MemberKind>, &'static str> {
    let flag = header.type_flag();
    Ok(Some(match flag {
        _ if classify(flag, name) != Flag::Other => MemberKind::File(size),
        b'1' => MemberKind::Hardlink(clean(extensions.link_name(header))?),
        b'2' => MemberKind::Symlink(symlink_target(extensions.link_name(header))?),
        b'3' | b'4' => {
            let (major, minor) = header.device().ok_or("its device number is not a number")?;
            if major >= MAJOR_LIMIT || minor >= MINOR_LIMIT {
                return Err("its device number is too large");
            }
            if flag == b'3' {
                MemberKind::CharDevice(major, minor)
            } else {
                MemberKind::BlockDevice(major, minor)
            }
        }
        b'5' | b'\0' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        _ => return Ok(None),
    }))
}

fn symlink_target(target: &[u8]) -> Result<Vec<u8>, &'static str> {
    match target.len() {
        0 => Err("its target is empty"),
        1..=PATH_MAX => Ok(target.to_vec()),
        _ => Err("its target is longer than 4,095 bytes"),
    }
}

fn attributes(
    header: &Header,
    records: Records,
    kind: &MemberKind,
) -> Result<(Attributes, Vec<Vec<u8>>), &'static str> {
    let id = |record: Option<u32>, field: Option<i64>| record.or_else(|| field?.try_into().ok());
    let mode = header.mode().ok_or("its mode is not a number")? & MODE_MASK;
    let time = match records.mtime {
        Some(time) => time,
        None => Time { seconds: header.mtime_seconds().ok_or("its mtime is not a number")?, nanos: 0 },
    };
    let (xattrs, dropped) = keep_representable(records.xattrs.into_sorted(), kind);
    let attributes = Attributes {
        mode: if matches!(kind, MemberKind::Symlink(_)) { SYMLINK_MODE } else { mode as u16 },
        uid: id(records.uid, header.uid()).ok_or("its uid is not a 32-bit number")?,
        gid: id(records.gid, header.gid()).ok_or("its gid is not a 32-bit number")?,
        mtime_seconds: time.seconds,
        mtime_nanos: time.nanos,
        xattrs,
    };
    Ok((attributes, dropped))
}

type NamedValues = Vec<(Vec<u8>, Vec<u8>)>;

/// Splits off the names of attributes that no mounted file could show.
fn keep_representable(xattrs: NamedValues, kind: &MemberKind) -> (NamedValues, Vec<Vec<u8>>) {
    let carries_user = matches!(kind, MemberKind::Directory | MemberKind::File(_));
    let mut left = XATTR_BODY_MAX;
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for (name, value) in xattrs {
        let cost = name.len() + value.len() + XATTR_OVERHEAD_BYTES;
        let showable = xattr_is_representable(&name)
            && !HOST_XATTRS.iter().any(|host| name.starts_with(host))
            && value.len() <= XATTR_VALUE_MAX
            // The kernel allows `user.` attributes on nothing but files and directories.
            && (carries_user || !name.starts_with(b"user."));
        match left.checked_sub(cost).filter(|_| showable) {
            Some(rest) => {
                left = rest;
                kept.push((name, value));
            }
            None => dropped.push(name),
        }
    }
    (kept, dropped)
}

/// A path as an error shows it.
pub(super) fn shown(path: &[u8]) -> Vec<u8> {
    path.get(..SHOWN_PATH_BYTES).unwrap_or(path).to_vec()
}
