//! A layer written entry by entry, for what no builder's tool would do by itself.

use std::fs::File;
use std::path::Path;

use tar::{Builder, EntryType, Header};

/// The time of every entry that asks for no other: seconds since the epoch, and nanoseconds.
pub(crate) const MTIME: (u64, u32) = (1_748_736_000, 123_456_789);

/// A tar of the POSIX (PAX) kind, in memory, in the order of the calls.
pub(crate) struct Layer {
    archive: Builder<Vec<u8>>,
}

/// What an entry says besides its path; start from `Attributes::mode`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    mode: u32,
    owner: (u64, u64),
    xattrs: &'a [(&'a str, &'a [u8])],
}

impl<'a> Attributes<'a> {
    /// Permission bits, owned by root, without extended attributes.
    pub(crate) const fn mode(mode: u32) -> Self {
        Self { mode, owner: (0, 0), xattrs: &[] }
    }

    /// Owned by this user and group.
    pub(crate) const fn owner(mut self, uid: u64, gid: u64) -> Self {
        self.owner = (uid, gid);
        self
    }

    /// With these extended attributes.
    pub(crate) const fn xattrs(mut self, xattrs: &'a [(&'a str, &'a [u8])]) -> Self {
        self.xattrs = xattrs;
        self
    }
}

impl Layer {
    /// A layer without entries.
    pub(crate) fn new() -> Self {
        Self { archive: Builder::new(Vec::new()) }
    }

    /// A regular file.
    pub(crate) fn file(self, path: &str, attributes: Attributes<'_>, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, attributes, content, |_| ())
    }

    /// A directory.
    pub(crate) fn directory(self, path: &str, attributes: Attributes<'_>) -> Self {
        self.entry(EntryType::Directory, path, attributes, &[], |_| ())
    }

    /// A symbolic link.
    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, Attributes::mode(0o777), &[], |header| {
            header.set_link_name_literal(target).unwrap();
        })
    }

    /// One more name for the file at `target`.
    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, Attributes::mode(0o644), &[], |header| {
            header.set_link_name_literal(target).unwrap();
        })
    }

    /// A device node, `EntryType::Char` or `EntryType::Block`.
    pub(crate) fn device(self, path: &str, kind: EntryType, (major, minor): (u32, u32)) -> Self {
        self.entry(kind, path, Attributes::mode(0o660), &[], |header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        })
    }

    /// A named pipe.
    pub(crate) fn fifo(self, path: &str, attributes: Attributes<'_>) -> Self {
        self.entry(EntryType::Fifo, path, attributes, &[], |_| ())
    }

    /// Deletes what lower layers have at `path`.
    pub(crate) fn whiteout(self, path: &str) -> Self {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.file(format!("{directory}/.wh.{name}").trim_start_matches('/'), Attributes::mode(0o644), &[])
    }

    /// Hides everything that lower layers have inside the directory `path`.
    pub(crate) fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), Attributes::mode(0o644), &[])
    }

    /// Writes the tar to the file `tar`.
    #[track_caller]
    pub(crate) fn write(self, tar: &Path) {
        let bytes = self.archive.into_inner().unwrap();
        std::io::Write::write_all(&mut File::create(tar).unwrap(), &bytes).unwrap();
    }

    fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        attributes: Attributes<'_>,
        content: &[u8],
        set: impl FnOnce(&mut Header),
    ) -> Self {
        let mtime = format!("{}.{:09}", MTIME.0, MTIME.1);
        let names =
            attributes.xattrs.iter().map(|(name, _)| format!("SCHILY.xattr.{name}")).collect::<Vec<_>>();
        let xattrs = names.iter().zip(attributes.xattrs).map(|(name, (_, value))| (name.as_str(), *value));
        let records = std::iter::once(("mtime", mtime.as_bytes())).chain(xattrs);
        self.archive.append_pax_extensions(records).unwrap();

        let mut header = Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_entry_type(kind);
        header.set_mode(attributes.mode);
        header.set_uid(attributes.owner.0);
        header.set_gid(attributes.owner.1);
        header.set_mtime(MTIME.0);
        header.set_size(content.len() as u64);
        set(&mut header);
        header.set_cksum();
        self.archive.append(&header, content).unwrap();
        self
    }
}
