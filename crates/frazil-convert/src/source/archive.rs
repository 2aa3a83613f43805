//! A tar file as a map from names to byte ranges, so that blobs are read where they lie.
//!
//! The file is walked once, header by header; contents are skipped. Invariant: a lookup gives a range inside
//! of the file or an error; links are followed by name inside of the archive and cannot leave it, and a name
//! that occurs twice has no meaning here, because tar readers differ on which one wins.
//! Format: POSIX.1-2008 `pax`, and GNU tar's long names.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header, PaxExtensions};
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::{BlobStream, SourceError};

const BLOCK_BYTES: u64 = 512;
/// Most entries of an archive: images have hundreds.
const MAX_ENTRIES: usize = 100_000;
/// Largest long name or pax record set, in bytes.
const MAX_EXTENSION_BYTES: u64 = 64 << 10;
/// Most links between a name and its file.
const MAX_LINKS: usize = 8;

/// The index of one tar file.
pub(super) struct Archive {
    path: PathBuf,
    entries: HashMap<String, Slot>,
}

/// A file's content in the archive, in bytes from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    offset: u64,
    size: u64,
}

enum Slot {
    File(Extent),
    /// The full name that a symbolic or hard link leads to.
    Link(String),
    Unusable(&'static str),
}

/// What extension headers say of the entry that follows them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Archive {
    /// Walks the tar file at `path`.
    pub(super) async fn open(path: &Path) -> Result<Self, SourceError> {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || Self::scan(path)).await.map_err(|_| SourceError::Cancelled)?
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file that `name` leads to, with its size in bytes.
    pub(super) async fn open_entry(&self, name: &str) -> Result<(BlobStream, u64), SourceError> {
        let extent = self.find(name)?;
        let failed = |source| SourceError::Io { path: self.path.clone(), source };
        let mut file = tokio::fs::File::open(&self.path).await.map_err(failed)?;
        file.seek(SeekFrom::Start(extent.offset)).await.map_err(failed)?;
        Ok((Box::new(file.take(extent.size)), extent.size))
    }

    fn find(&self, name: &str) -> Result<Extent, SourceError> {
        let bad = |name: &str, reason| SourceError::BadEntry {
            path: self.path.clone(),
            name: name.to_owned(),
            reason,
        };
        let mut current = name;
        for _ in 0..=MAX_LINKS {
            match self.entries.get(current) {
                Some(Slot::File(extent)) => return Ok(*extent),
                Some(Slot::Link(target)) => current = target,
                Some(Slot::Unusable(reason)) => return Err(bad(current, reason)),
                None => {
                    return Err(SourceError::MissingEntry {
                        path: self.path.clone(),
                        name: current.to_owned(),
                    });
                }
            }
        }
        Err(bad(name, "its links lead nowhere"))
    }

    fn scan(path: PathBuf) -> Result<Self, SourceError> {
        let failed = |source| SourceError::Io { path: path.clone(), source };
        // Checked before opening: a fifo would make open(2) wait for ever.
        if !std::fs::metadata(&path).map_err(failed)?.is_file() {
            let reason = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
            return Err(SourceError::BadArchive { path, source: reason });
        }
        let file = File::open(&path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut walk = Walk { file, length, position: 0 };
        let first = walk.block().map_err(failed)?;
        if let Some(format) = first.as_ref().and_then(|block| compression_of(block)) {
            return Err(SourceError::CompressedArchive { path, format });
        }
        let entries = match walk.entries(first) {
            Ok(entries) => entries,
            Err(source) => return Err(SourceError::BadArchive { path, source }),
        };
        Ok(Self { path, entries })
    }
}

fn compression_of(head: &[u8; BLOCK_BYTES as usize]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        _ => None,
    }
}

/// A position in a tar file that is being read.
struct Walk {
    file: File,
    length: u64,
    position: u64,
}

impl Walk {
    fn entries(&mut self, first: Option<[u8; BLOCK_BYTES as usize]>) -> io::Result<HashMap<String, Slot>> {
        let mut entries = HashMap::new();
        let mut extensions = Extensions::default();
        let mut next = first;
        for count in 0.. {
            let Some(block) = next.filter(|block| block.iter().any(|byte| *byte != 0)) else { break };
            if count >= MAX_ENTRIES {
                return Err(malformed("too many entries"));
            }
            let header = checked(&block)?;
            match header.entry_type() {
                EntryType::GNULongName => extensions.name = Some(self.extension(header)?),
                EntryType::GNULongLink => extensions.link = Some(self.extension(header)?),
                EntryType::XHeader => extensions.read_pax(&self.extension(header)?)?,
                EntryType::XGlobalHeader => drop(self.extension(header)?),
                _ => {
                    let taken = std::mem::take(&mut extensions);
                    if let Some((name, slot)) = self.entry(header, taken)? {
                        insert(&mut entries, name, slot);
                    }
                }
            }
            next = self.block()?;
        }
        Ok(entries)
    }

    /// The next header, or `None` at the end of the file (some writers leave out the end marker).
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK_BYTES as usize]>> {
        if self.position >= self.length {
            return Ok(None);
        }
        let mut block = [0; BLOCK_BYTES as usize];
        self.file.seek(SeekFrom::Start(self.position))?;
        self.file.read_exact(&mut block)?;
        self.position = self.position.saturating_add(BLOCK_BYTES);
        Ok(Some(block))
    }

    /// Steps over `size` bytes of content and their padding.
    fn content(&mut self, size: u64) -> io::Result<Extent> {
        let extent = Extent { offset: self.position, size };
        let end = self.position.checked_add(size).ok_or_else(|| malformed("a size that overflows"))?;
        if end > self.length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off"));
        }
        self.position =
            end.checked_next_multiple_of(BLOCK_BYTES).ok_or_else(|| malformed("a size that overflows"))?;
        Ok(extent)
    }

    fn extension(&mut self, header: &Header) -> io::Result<Vec<u8>> {
        let extent = self.content(header.entry_size()?)?;
        if extent.size > MAX_EXTENSION_BYTES {
            return Err(malformed("an extension header that is too long"));
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(extent.offset))?;
        (&mut self.file).take(extent.size).read_to_end(&mut bytes)?;
        if header.entry_type() != EntryType::XHeader {
            bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        }
        Ok(bytes)
    }

    /// What a name leads to; `None` for what no image refers to (directories, names outside of the archive).
    fn entry(&mut self, header: &Header, extensions: Extensions) -> io::Result<Option<(String, Slot)>> {
        let kind = header.entry_type();
        let size = match extensions.size {
            Some(size) => size,
            None => header.entry_size()?,
        };
        // Links may state the size of what they lead to, but only files have content.
        let has_content = !matches!(
            kind,
            EntryType::Link
                | EntryType::Symlink
                | EntryType::Directory
                | EntryType::Char
                | EntryType::Block
                | EntryType::Fifo
        );
        let extent = self.content(if has_content { size } else { 0 })?;
        let name = extensions.name.unwrap_or_else(|| header.path_bytes().into_owned());
        let Some(name) = normal_name("", &name) else { return Ok(None) };
        let link =
            || extensions.link.clone().or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let slot = match kind {
            EntryType::Regular | EntryType::Continuous => Slot::File(extent),
            EntryType::Directory => return Ok(None),
            EntryType::Symlink => {
                let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
                leads_to(link().and_then(|target| match target.first() {
                    Some(b'/') => None,
                    _ => normal_name(parent, &target),
                }))
            }
            EntryType::Link => leads_to(link().and_then(|target| normal_name("", &target))),
            _ => Slot::Unusable("it is not a regular file"),
        };
        Ok(Some((name, slot)))
    }
}

impl Extensions {
    fn read_pax(&mut self, records: &[u8]) -> io::Result<()> {
        for record in PaxExtensions::new(records) {
            let record = record?;
            match record.key_bytes() {
                b"path" => self.name = Some(record.value_bytes().to_vec()),
                b"linkpath" => self.link = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or_else(|| malformed("a pax size that is no number"))?);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn insert(entries: &mut HashMap<String, Slot>, name: String, slot: Slot) {
    match entries.entry(name) {
        MapEntry::Vacant(vacant) => drop(vacant.insert(slot)),
        MapEntry::Occupied(mut occupied) => {
            occupied.insert(Slot::Unusable("the archive has it more than once"));
        }
    }
}

fn leads_to(target: Option<String>) -> Slot {
    target.map_or(Slot::Unusable("it is a link out of the archive"), Slot::Link)
}

/// `path` seen from the directory `parent`, without `.` and `..`; `None` if it leaves the archive.
pub(super) fn normal_name(parent: &str, path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let mut parts: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn checked(block: &[u8; BLOCK_BYTES as usize]) -> io::Result<&Header> {
    let header = Header::from_byte_slice(block);
    let stated = header.cksum()?;
    // The checksum counts its own field as blanks.
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let (before, field_and_after) = block.split_at(148);
    let after = field_and_after.get(8..).unwrap_or_default();
    match sum(before) + sum(after) + 8 * u32::from(b' ') == stated {
        true => Ok(header),
        false => Err(malformed("a header with a wrong checksum")),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it has {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of files (with content) and symbolic links (`name -> target`).
    fn archive(entries: &[(&str, &str)]) -> (tempfile::NamedTempFile, Result<Archive, SourceError>) {
        let mut builder = tar::Builder::new(tempfile::NamedTempFile::new().unwrap());
        for (name, content) in entries {
            let mut header = Header::new_gnu();
            match content.strip_prefix("-> ") {
                Some(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, name, target).unwrap();
                }
                None => {
                    header.set_size(content.len() as u64);
                    builder.append_data(&mut header, name, content.as_bytes()).unwrap();
                }
            }
        }
        let file = builder.into_inner().unwrap();
        let archive = Archive::scan(file.path().to_owned());
        (file, archive)
    }

    async fn read(archive: &Archive, name: &str) -> String {
        let mut text = String::new();
        archive.open_entry(name).await.unwrap().0.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn files_are_found_through_long_names_and_links() {
        let long = format!("{}/layer.tar", "d".repeat(150));
        let (_file, archive) =
            archive(&[(&long, "long"), ("a/layer.tar", "-> ../b/x"), ("b/x", "-> y"), ("b/y", "end")]);
        let archive = archive.unwrap();
        assert_eq!(read(&archive, &long).await, "long");
        assert_eq!(read(&archive, "a/layer.tar").await, "end");
        assert!(matches!(archive.find("nothing"), Err(SourceError::MissingEntry { .. })));
    }

    #[test]
    fn links_out_of_the_archive_and_in_circles_lead_nowhere() {
        let (_file, archive) = archive(&[
            ("up", "-> ../../etc/passwd"),
            ("root", "-> /etc/passwd"),
            ("a", "-> b"),
            ("b", "-> a"),
            ("twice", "1"),
            ("twice", "2"),
        ]);
        let archive = archive.unwrap();
        for name in ["up", "root", "a", "twice"] {
            assert!(matches!(archive.find(name), Err(SourceError::BadEntry { .. })), "{name}");
        }
    }

    #[test]
    fn a_cut_or_damaged_archive_is_refused() {
        let (file, whole) = archive(&[("a", "content"), ("b", &"x".repeat(5000))]);
        assert!(whole.is_ok());
        let mut bytes = std::fs::read(file.path()).unwrap();
        std::fs::write(file.path(), &bytes[..3000]).unwrap();
        let scan = || Archive::scan(file.path().to_owned());
        assert!(matches!(scan(), Err(SourceError::BadArchive { .. })));
        bytes[1030] ^= 1;
        std::fs::write(file.path(), &bytes).unwrap();
        assert!(matches!(scan(), Err(SourceError::BadArchive { .. })));
        std::fs::write(file.path(), [0x1f, 0x8b].repeat(400)).unwrap();
        assert!(matches!(scan(), Err(SourceError::CompressedArchive { format: "gzip", .. })));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2048)) {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), bytes).unwrap();
            let _ = Archive::scan(file.path().to_owned());
        }
    }
}
