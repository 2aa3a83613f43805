//! Tar members that no honest tool writes: the header's fields are what a test says they are.

use tar::{EntryType, Header};

/// One member; what is not said is that of a plain file of root's, without data.
pub(crate) struct Member {
    header: Header,
    data: Vec<u8>,
}

impl Member {
    /// A member by a name that is at most 100 bytes long, and is written as it is.
    #[track_caller]
    pub(crate) fn new(kind: EntryType, name: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_748_736_000);
        header.set_size(0);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        Self { header, data: Vec::new() }
    }

    /// A regular file.
    #[track_caller]
    pub(crate) fn file(name: &str, data: &[u8]) -> Self {
        Self::new(EntryType::Regular, name.as_bytes()).data(data)
    }

    /// A directory.
    #[track_caller]
    pub(crate) fn directory(name: &str) -> Self {
        Self::new(EntryType::Directory, name.as_bytes())
    }

    /// A symbolic link.
    #[track_caller]
    pub(crate) fn symlink(name: &str, target: &str) -> Self {
        Self::new(EntryType::Symlink, name.as_bytes()).link(target)
    }

    /// A hard link.
    #[track_caller]
    pub(crate) fn hardlink(name: &str, target: &str) -> Self {
        Self::new(EntryType::Link, name.as_bytes()).link(target)
    }

    /// An extended header in front of what comes next, with records that are written as they are.
    #[track_caller]
    pub(crate) fn pax(records: &[u8]) -> Self {
        Self::new(EntryType::XHeader, b"pax").data(records)
    }

    /// With this data, and a size that tells of it.
    pub(crate) fn data(mut self, data: &[u8]) -> Self {
        self.header.set_size(data.len() as u64);
        self.data = data.to_vec();
        self
    }

    /// With a size that need not be the data's.
    pub(crate) fn size(mut self, size: u64) -> Self {
        self.header.set_size(size);
        self
    }

    fn link(mut self, target: &str) -> Self {
        self.header.set_link_name_literal(target).unwrap();
        self
    }

    fn write(mut self, archive: &mut Vec<u8>) {
        self.header.set_cksum();
        archive.extend(self.header.as_bytes());
        archive.extend(&self.data);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
}

/// A PAX record, its own length in front.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..20).map(|digits| rest + digits).find(|len| len.to_string().len() + rest == *len).unwrap();
    [len.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

/// An archive of these members, with its end marker.
pub(crate) fn archive(members: impl IntoIterator<Item = Member>) -> Vec<u8> {
    let mut archive = Vec::new();
    for member in members {
        member.write(&mut archive);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}
