//! An image against the source that it was made from: the layers are read and flattened again, and every path,
//! attribute and byte is compared with what a reader of the image sees.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use frazil_erofs::{DiskInode, FileType, Image, Inode, InodeIndex, InodeKind, Nid, ReadAt, Tree, WalkLimits};
use frazil_format::BLOCK_SIZE;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use super::AddressSpace;
use super::content::{ContentHash, ContentHasher};
use super::words;
use crate::ConvertError;
use crate::flatten::Flattener;
use crate::ingest::{Allowance, ReceivePiece, blob_through_threads, read_archive};
use crate::source::{Platform, Source};

/// Differences that are told one by one; the others are only counted.
const MAX_DIFFERENCES: usize = 1000;
/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 1 << 20;

/// What comparing an image with its source came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Comparison {
    /// Paths that the source's image has.
    pub paths: u64,
    /// Bytes of files that were compared.
    pub bytes: u64,
    /// How many differences there are.
    pub different: u64,
    /// The first thousand of them, by path.
    pub differences: Vec<Difference>,
}

/// Something in which an image differs from its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Difference {
    /// The path, escaped as in a Rust byte string.
    pub path: String,
    /// What differs: `missing`, `extra`, `type`, `mode`, `content` and so on.
    pub what: &'static str,
    /// What the source has.
    pub expected: String,
    /// What the image has.
    pub found: String,
}

/// Compares an image with what its source, read again, says it should be.
///
/// # Errors
/// If the source could not be read. An image that cannot be read differs.
pub async fn against_source(
    image: Arc<dyn AddressSpace>,
    source: &dyn Source,
    platform: &Platform,
    max_image_bytes: u64,
) -> Result<Comparison, ConvertError> {
    let expected = read_source(source, platform, max_image_bytes).await?;
    let runtime = Handle::current();
    let compared = tokio::task::spawn_blocking(move || compare(&expected, Space { image, runtime }));
    compared.await.map_err(|_| ConvertError::Stopped)
}

/// A tree and the hashes of its files by their data's first block.
struct Expected {
    tree: Tree,
    hashes: HashMap<u64, ContentHash>,
}

async fn read_source(
    source: &dyn Source,
    platform: &Platform,
    max_image_bytes: u64,
) -> Result<Expected, ConvertError> {
    let image = source.resolve(platform).await?;
    let allowance = Arc::new(Allowance::new("the uncompressed layers", max_image_bytes));
    let files = Arc::new(Allowance::new("the files of the layers", max_image_bytes));
    let (mut flattener, mut hashes, mut blocks) = (Flattener::new(), HashMap::new(), 0);
    for layer in &image.layers {
        let (allowance, files) = (Arc::clone(&allowance), Arc::clone(&files));
        let read = move |pieces: &mut ReceivePiece<'_>| {
            let mut hasher = ContentHasher::new(files);
            read_archive(pieces, &allowance, &mut hasher).map(|read| (read, hasher))
        };
        let blob = source.layer(layer).await?;
        let (read, hasher) = blob_through_threads(blob, layer, |_| (), read).await?;
        hashes.extend(hasher.hashes.into_iter().map(|(offset, hash)| (blocks + offset / BLOCK_SIZE, hash)));
        blocks += hasher.stream_len / BLOCK_SIZE;
        flattener.layer(layer.diff_id, hasher.stream_len, read.entries.into_iter())?;
    }
    Ok(Expected { tree: flattener.finish().0, hashes })
}

/// The image as the EROFS reader wants it.
struct Space {
    image: Arc<dyn AddressSpace>,
    runtime: Handle,
}

impl ReadAt for Space {
    type Error = std::io::Error;

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let bytes = self.runtime.block_on(self.image.read(offset, buf.len()))?;
        if bytes.len() != buf.len() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buf.copy_from_slice(&bytes);
        Ok(())
    }
}

fn compare(expected: &Expected, space: Space) -> Comparison {
    let mut report = Report::default();
    match Image::open(space) {
        Ok(image) => {
            Comparer { expected, image: &image, links: Links::default(), report: &mut report }.tree()
        }
        Err(error) => report.differs(b"", "image", "an EROFS image", error),
    }
    let Report(mut comparison) = report;
    comparison.differences.sort();
    comparison
}

#[derive(Default)]
struct Report(Comparison);

impl Report {
    fn differs(&mut self, path: &[u8], what: &'static str, expected: impl ToString, found: impl ToString) {
        self.0.different += 1;
        if self.0.differences.len() < MAX_DIFFERENCES {
            let path = path.escape_ascii().to_string();
            let (expected, found) = (expected.to_string(), found.to_string());
            self.0.differences.push(Difference { path, what, expected, found });
        }
    }

    /// Reports in the words of [`words`] if the two differ.
    fn same<T: PartialEq>(
        &mut self,
        path: &[u8],
        what: &'static str,
        expected: &T,
        found: &T,
        in_words: impl Fn(&T) -> String,
    ) {
        if expected != found {
            self.differs(path, what, in_words(expected), in_words(found));
        }
    }
}

/// Which inode of the image stands for which one of the source; hard links must agree.
#[derive(Default)]
struct Links {
    to_image: HashMap<InodeIndex, Nid>,
    to_source: HashMap<Nid, InodeIndex>,
}

struct Comparer<'a> {
    expected: &'a Expected,
    image: &'a Image<Space>,
    links: Links,
    report: &'a mut Report,
}

impl Comparer<'_> {
    fn tree(&mut self) {
        let mut found = BTreeMap::new();
        for entry in self.image.walk(WalkLimits::default()) {
            match entry {
                Ok(entry) => drop(found.insert(entry.path, entry.inode)),
                Err(error) => {
                    self.report.differs(b"", "image", "a readable tree", error);
                    break;
                }
            }
        }
        for (path, index) in paths(&self.expected.tree) {
            self.report.0.paths += 1;
            let Some(expected) = self.expected.tree.get(index) else { continue };
            match found.remove(&path) {
                Some(inode) => self.inode(&path, index, expected, &inode),
                None => self.report.differs(
                    &path,
                    "missing",
                    words::file_type(expected.kind.file_type()),
                    "nothing",
                ),
            }
        }
        for (path, inode) in found {
            self.report.differs(&path, "extra", "nothing", words::file_type(inode.file_type));
        }
    }

    fn inode(&mut self, path: &[u8], index: InodeIndex, expected: &Inode, found: &DiskInode) {
        let file_type = expected.kind.file_type();
        if file_type != found.file_type {
            return self
                .report
                .same(path, "type", &file_type, &found.file_type, |kind| words::file_type(*kind));
        }
        self.report.same(path, "mode", &expected.mode, &(found.mode & 0o7777), |mode| format!("{mode:04o}"));
        self.report.same(
            path,
            "owner",
            &(expected.uid, expected.gid),
            &(found.uid, found.gid),
            |(uid, gid)| format!("{uid}:{gid}"),
        );
        self.report.same(path, "mtime", &expected.mtime, &found.mtime, words::time);
        match self.image.xattrs(found) {
            Ok(xattrs) => self.report.same(path, "xattrs", &expected.xattrs, &xattrs, words::xattrs),
            Err(error) => self.report.differs(path, "xattrs", "readable ones", error),
        }
        let first_time = self.links(path, index, found);
        match &expected.kind {
            InodeKind::File { size, data } => {
                self.report.same(path, "size", size, &found.size, |size| format!("{size} bytes"));
                if first_time && *size == found.size && *size > 0 {
                    self.content(path, self.expected.hashes.get(&data.0), found);
                }
            }
            InodeKind::Symlink(target) => match self.image.read_link(found) {
                Ok(link) => self
                    .report
                    .same(path, "target", target, &link, |target| target.escape_ascii().to_string()),
                Err(error) => self.report.differs(path, "target", target.escape_ascii(), error),
            },
            InodeKind::CharDevice { major, minor } | InodeKind::BlockDevice { major, minor } => {
                let device = found.device.map(|device| (device.major, device.minor));
                self.report
                    .same(path, "device", &Some((*major, *minor)), &device, |device| words::device(*device));
            }
            InodeKind::Directory(_) | InodeKind::Fifo | InodeKind::Socket => {}
        }
    }

    /// Whether the inode is met for the first time.
    fn links(&mut self, path: &[u8], index: InodeIndex, found: &DiskInode) -> bool {
        if found.file_type == FileType::Directory {
            return true;
        }
        let first_time = !self.links.to_image.contains_key(&index);
        let nid = *self.links.to_image.entry(index).or_insert(found.nid);
        let source = *self.links.to_source.entry(found.nid).or_insert(index);
        if nid != found.nid || source != index {
            self.report.differs(
                path,
                "hard links",
                format!("those of inode {index}"),
                format!("those of inode {source}"),
            );
        }
        first_time
    }

    fn content(&mut self, path: &[u8], expected: Option<&ContentHash>, found: &DiskInode) {
        let expected = expected.map(hex::encode).unwrap_or_default();
        match self.hash(found) {
            Ok(hash) => {
                self.report.0.bytes += found.size;
                if expected != hash {
                    self.report.differs(path, "content", expected, hash);
                }
            }
            Err(error) => self.report.differs(path, "content", expected, error),
        }
    }

    fn hash(&self, file: &DiskInode) -> Result<String, String> {
        let (mut hasher, mut buffer, mut offset) = (Sha256::new(), vec![0; READ_BYTES], 0);
        while offset < file.size {
            let count = self.image.read(file, offset, &mut buffer).map_err(|error| error.to_string())?;
            match buffer.get(..count).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => hasher.update(bytes),
                None => return Err(format!("it ends at byte {offset}")),
            }
            offset += count as u64;
        }
        Ok(hex::encode(hasher.finalize()))
    }
}

/// Every path of a tree: the root first, then depth first in the order of names.
fn paths(tree: &Tree) -> Vec<(Vec<u8>, InodeIndex)> {
    let (mut paths, mut pending) = (Vec::new(), vec![(Vec::new(), Tree::ROOT)]);
    while let Some((path, index)) = pending.pop() {
        if let Some(InodeKind::Directory(names)) = tree.get(index).map(|inode| &inode.kind) {
            pending.extend(names.iter().rev().map(|(name, child)| {
                let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
                ([path.as_slice(), slash, name].concat(), *child)
            }));
        }
        paths.push((path, index));
    }
    paths
}
