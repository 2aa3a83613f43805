//! A tree as a list of paths with all that can be seen of them: the form in which readers are compared.

use std::collections::{BTreeMap, HashMap};

use frazil_erofs::{
    BLOCK_SIZE, DeviceNumber, DiskInode, FileType, Image, InodeIndex, InodeKind, Timestamp, Tree, WalkLimits,
};

/// All paths, without a slash at the start; the root's is empty.
pub(crate) type Listing = BTreeMap<Vec<u8>, Seen>;

/// What can be seen of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) file_type: FileType,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) nlink: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) device: Option<DeviceNumber>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// A file's data or a symlink's target.
    pub(crate) content: Vec<u8>,
    /// The first path, in order, of the same inode.
    pub(crate) first_path: Vec<u8>,
}

/// Fills in `first_path` for paths that were gathered with some number of their inode.
pub(crate) fn number_links(paths: BTreeMap<Vec<u8>, (u64, Seen)>) -> Listing {
    let mut first_paths: HashMap<u64, Vec<u8>> = HashMap::new();
    let with_first_path = |(path, (number, mut seen)): (Vec<u8>, (u64, Seen))| {
        seen.first_path = first_paths.entry(number).or_insert_with(|| path.clone()).clone();
        (path, seen)
    };
    paths.into_iter().map(with_first_path).collect()
}

pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// What the tree says should be seen, its files' data taken from the data area.
pub(crate) fn expected(tree: &Tree, data: &[u8]) -> Listing {
    let mut paths = BTreeMap::new();
    let mut links: HashMap<InodeIndex, u32> = HashMap::new();
    let mut pending = vec![(Vec::new(), Tree::ROOT)];
    while let Some((path, index)) = pending.pop() {
        let inode = tree.get(index).unwrap();
        let mut seen = Seen {
            file_type: inode.kind.file_type(),
            mode: inode.mode,
            uid: inode.uid,
            gid: inode.gid,
            nlink: 0,
            mtime: inode.mtime,
            device: None,
            xattrs: inode.xattrs.iter().cloned().collect(),
            content: Vec::new(),
            first_path: Vec::new(),
        };
        *links.entry(index).or_default() += 1;
        match &inode.kind {
            InodeKind::Directory(names) => {
                let is_directory =
                    |child: &&InodeIndex| matches!(tree.get(**child).unwrap().kind, InodeKind::Directory(_));
                links.insert(index, 2 + names.values().filter(is_directory).count() as u32);
                pending.extend(names.iter().map(|(name, child)| (join(&path, name), *child)));
            }
            InodeKind::File { size: 0, .. } => {}
            InodeKind::File { size, data: address } => {
                let start = address.0 as usize * BLOCK_SIZE;
                seen.content = data[start..start + *size as usize].to_vec();
            }
            InodeKind::Symlink(target) => seen.content.clone_from(target),
            InodeKind::CharDevice { major, minor } | InodeKind::BlockDevice { major, minor } => {
                seen.device = Some(DeviceNumber { major: *major, minor: *minor });
            }
            InodeKind::Fifo | InodeKind::Socket => {}
        }
        paths.insert(path, (u64::from(index.0), seen));
    }
    for (number, seen) in paths.values_mut() {
        seen.nlink = links[&InodeIndex(*number as u32)];
    }
    number_links(paths)
}

/// What this crate's own reader sees.
pub(crate) fn read(image: &Image<&[u8]>) -> Listing {
    let mut paths = BTreeMap::new();
    for entry in image.walk(WalkLimits::default()) {
        let entry = entry.unwrap();
        let seen = see(image, &entry.inode);
        assert_eq!(paths.insert(entry.path, (entry.inode.nid.0, seen)), None);
    }
    number_links(paths)
}

fn see(image: &Image<&[u8]>, inode: &DiskInode) -> Seen {
    let xattrs: BTreeMap<_, _> = image.xattrs(inode).unwrap().into_iter().collect();
    for (name, value) in &xattrs {
        assert_eq!(image.xattr(inode, name).unwrap().as_ref(), Some(value));
    }
    assert_eq!(image.xattr(inode, b"user.absent").unwrap(), None);
    Seen {
        file_type: inode.file_type,
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        nlink: inode.nlink,
        mtime: inode.mtime,
        device: inode.device,
        xattrs,
        content: match inode.file_type {
            FileType::Regular => {
                let mut content = vec![0; inode.size as usize + 1];
                let len = image.read(inode, 0, &mut content).unwrap();
                content.truncate(len);
                content
            }
            FileType::Symlink => image.read_link(inode).unwrap(),
            _ => Vec::new(),
        },
        first_path: Vec::new(),
    }
}
