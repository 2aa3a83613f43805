//! Small images, built in memory: a description of a tree in, a manifest and its sealed chunks out.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use frazil_erofs::{BLOCK_SIZE, DataAddress, Inode, InodeIndex, InodeKind, Params, Timestamp, Tree};
use frazil_format::{Chunk, ChunkId, Compression, Geometry, Manifest, Payload, RootId, ScopeSecret, Sealer};

/// The length of the sample's chunks, in bytes; a multiple of the block size.
pub(crate) const CHUNK_LEN: usize = 64 << 10;

/// A file of any type, with everything that a mount should show of it.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Directory,
    File(Vec<u8>),
    Symlink(Vec<u8>),
    CharDevice(u32, u32),
    BlockDevice(u32, u32),
    Fifo,
    Socket,
    /// Another name of the file at this path.
    HardLink(Vec<u8>),
}

impl Node {
    pub(crate) fn new(kind: Kind) -> Self {
        let mode = match kind {
            Kind::Directory => 0o755,
            Kind::Symlink(_) => 0o777,
            _ => 0o644,
        };
        let mtime = Timestamp { seconds: 1_700_000_000, nanos: 0 };
        Self { kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() }
    }

    pub(crate) fn mode(mut self, mode: u16) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    pub(crate) fn mtime(mut self, seconds: i64, nanos: u32) -> Self {
        self.mtime = Timestamp { seconds, nanos };
        self
    }

    pub(crate) fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.insert(name.as_bytes().to_vec(), value.to_vec());
        self
    }
}

pub(crate) fn file(content: impl Into<Vec<u8>>) -> Node {
    Node::new(Kind::File(content.into()))
}

pub(crate) fn directory() -> Node {
    Node::new(Kind::Directory)
}

/// Bytes that zstd cannot shrink, different for every seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// A tree to be: paths without a leading slash; parents come before their children. The root is `""`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample(pub(crate) BTreeMap<Vec<u8>, Node>);

impl Sample {
    pub(crate) fn new() -> Self {
        Self(BTreeMap::from([(Vec::new(), directory())]))
    }

    pub(crate) fn with(mut self, path: &str, node: Node) -> Self {
        self.0.insert(path.as_bytes().to_vec(), node);
        self
    }

    /// The content of the file at a path, its hard links followed.
    pub(crate) fn content(&self, path: &[u8]) -> Option<&[u8]> {
        match &self.0.get(path)?.kind {
            Kind::File(content) => Some(content),
            Kind::HardLink(target) => self.content(target),
            _ => None,
        }
    }
}

/// An image as a converter would leave it.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) manifest: Manifest,
    pub(crate) sealed: HashMap<ChunkId, Bytes>,
    /// The block image, to compare with.
    pub(crate) plain: Vec<u8>,
    /// Where each file's data starts in the image, in bytes.
    pub(crate) data_at: BTreeMap<Vec<u8>, u64>,
}

impl Built {
    /// The chunk that holds the image's byte at `offset`.
    pub(crate) fn chunk_at(&self, offset: u64) -> Chunk {
        let covers = |chunk: &&Chunk| (chunk.offset..chunk.offset + u64::from(chunk.len)).contains(&offset);
        *self.manifest.chunks.iter().find(covers).unwrap()
    }

    /// The first chunk of a file's data.
    pub(crate) fn chunk_of(&self, path: &str) -> Chunk {
        self.chunk_at(self.data_at[path.as_bytes()])
    }
}

impl Sample {
    /// Builds the image; chunks are cut at multiples of [`CHUNK_LEN`] from the start of both areas.
    pub(crate) fn build(&self) -> Built {
        let (tree, data, block_of) = self.lay_out();
        let data_blocks = (data.len() / BLOCK_SIZE) as u64;
        let params = Params { uuid: [7; 16], data_blocks };
        let metadata = frazil_erofs::write(&tree, &params).unwrap();
        let metadata_len = metadata.bytes.len() as u64;
        let data_at = block_of
            .into_iter()
            .map(|(path, block)| (path, metadata_len + block * BLOCK_SIZE as u64))
            .collect();
        let (mut chunks, mut keys, mut sealed) = (Vec::new(), Vec::new(), HashMap::new());
        let sealer = Sealer::new(&ScopeSecret::from_bytes([3; 32]), RootId::FIRST);
        for (start, area) in [(0, &metadata.bytes), (metadata_len, &data)] {
            for (n, plain) in area.chunks(CHUNK_LEN).enumerate() {
                if plain.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let one = sealer.seal(&Payload::compress(plain, Compression::default())).unwrap();
                chunks.push(Chunk {
                    offset: start + (n * CHUNK_LEN) as u64,
                    len: plain.len() as u32,
                    sealed_len: one.chunk.len() as u32,
                    id: one.id,
                });
                keys.push(one.key);
                sealed.insert(one.id, one.chunk.into_bytes());
            }
        }
        let mut plain = metadata.bytes;
        plain.extend_from_slice(&data);
        let geometry = Geometry {
            root: RootId::FIRST,
            tenant: "tests".into(),
            name: "sample".into(),
            created_seconds: 0,
            metadata_len,
            metadata_scope: ScopeSecret::from_bytes([3; 32]).id(),
            image_len: plain.len() as u64,
            layers: Vec::new(),
        };
        Built { manifest: Manifest { geometry, chunks, keys, config: Vec::new() }, sealed, plain, data_at }
    }

    fn lay_out(&self) -> (Tree, Vec<u8>, BTreeMap<Vec<u8>, u64>) {
        let mut data = Vec::new();
        let mut block_of = BTreeMap::new();
        let mut tree = None::<Tree>;
        let mut index_of: BTreeMap<&[u8], InodeIndex> = BTreeMap::new();
        for (path, node) in &self.0 {
            if matches!(node.kind, Kind::HardLink(_)) {
                continue;
            }
            let kind = match &node.kind {
                Kind::Directory => InodeKind::Directory(BTreeMap::new()),
                Kind::File(content) => {
                    let block = (data.len() / BLOCK_SIZE) as u64;
                    block_of.insert(path.clone(), block);
                    data.extend_from_slice(content);
                    data.resize(data.len().next_multiple_of(BLOCK_SIZE), 0);
                    InodeKind::File { size: content.len() as u64, data: DataAddress(block) }
                }
                Kind::Symlink(target) => InodeKind::Symlink(target.clone()),
                Kind::CharDevice(major, minor) => InodeKind::CharDevice { major: *major, minor: *minor },
                Kind::BlockDevice(major, minor) => InodeKind::BlockDevice { major: *major, minor: *minor },
                Kind::Fifo => InodeKind::Fifo,
                Kind::Socket => InodeKind::Socket,
                Kind::HardLink(_) => unreachable!(),
            };
            let inode = Inode {
                kind,
                mode: node.mode,
                uid: node.uid,
                gid: node.gid,
                mtime: node.mtime,
                xattrs: node.xattrs.clone().into_iter().collect(),
            };
            let index = match &mut tree {
                Some(tree) => tree.push(inode),
                None => {
                    tree = Some(Tree::new(inode));
                    Tree::ROOT
                }
            };
            index_of.insert(path, index);
        }
        let mut tree = tree.unwrap();
        for (path, node) in self.0.iter().filter(|(path, _)| !path.is_empty()) {
            let target = match &node.kind {
                Kind::HardLink(target) => target.as_slice(),
                _ => path.as_slice(),
            };
            let (parent, name) = match path.iter().rposition(|byte| *byte == b'/') {
                Some(slash) => (&path[..slash], &path[slash + 1..]),
                None => (&path[..0], path.as_slice()),
            };
            tree.link(index_of[parent], name.to_vec(), index_of[target]);
        }
        (tree, data, block_of)
    }
}

/// One of every kind of inode, with every attribute at an unusual value.
pub(crate) fn everything() -> Sample {
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    Sample::new()
        .with("bin", directory())
        .with("bin/ping", file(noise(1, 70_000)).mode(0o755).xattr("security.capability", &capability))
        .with("bin/su", file(noise(2, 10)).mode(0o4755))
        .with("dev", directory())
        .with("dev/null", Node::new(Kind::CharDevice(1, 3)).mode(0o666))
        .with("dev/sda", Node::new(Kind::BlockDevice(8, 0x12345)).mode(0o660).owner(0, 6))
        .with("dev/fifo", Node::new(Kind::Fifo).mode(0o600))
        .with("dev/socket", Node::new(Kind::Socket).mode(0o700))
        .with("empty", file(""))
        .with("etc", directory().mode(0o750).owner(100_000, 4_000_000_000).mtime(-5, 123_456_789))
        .with("etc/passwd", file("root:x:0:0::/:/bin/sh\n").mtime(1_234_567_890, 987_654_321))
        .with("etc/hard", Node::new(Kind::HardLink(b"etc/passwd".to_vec())))
        .with("hard too", Node::new(Kind::HardLink(b"etc/passwd".to_vec())))
        .with("link", Node::new(Kind::Symlink(b"etc/passwd".to_vec())).owner(5, 6).mtime(9, 9))
        .with("long link", Node::new(Kind::Symlink([b'x'; 4095].to_vec())))
        .with(&"n".repeat(255), file("a long name"))
        .with("sparse", file([vec![1; 5000], vec![0; 300_000], noise(3, 5000)].concat()))
        .with("sticky", directory().mode(0o1777))
        .with(
            "xattrs",
            file("x").xattr("user.one", b"1").xattr("user.empty", b"").xattr("trusted.two", &[0; 300]),
        )
        .with("zeros", file(vec![0; 200_000]))
}
