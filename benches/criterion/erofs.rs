//! Building an EROFS metadata area, and finding a path in it.

#![allow(missing_docs, reason = "criterion's macros make items without documentation")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use frazil_erofs::{DataAddress, Inode, InodeIndex, InodeKind, Params, Timestamp, Tree, write};

const DIRECTORIES: usize = 1_000;
const FILES_IN_EACH: usize = 100;

fn inode(kind: InodeKind) -> Inode {
    Inode {
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: Timestamp { seconds: 1_700_000_000, nanos: 5 },
        xattrs: vec![],
    }
}

/// 1,000 directories of 100 files: the size of a large image's tree.
fn tree() -> Tree {
    let mut tree = Tree::new(inode(InodeKind::Directory(BTreeMap::new())));
    let mut block = 0;
    let mut directories = BTreeMap::new();
    for d in 0..DIRECTORIES {
        let mut names: BTreeMap<Vec<u8>, InodeIndex> = BTreeMap::new();
        for f in 0..FILES_IN_EACH {
            let file = inode(InodeKind::File { size: 4096, data: DataAddress(block) });
            names.insert(format!("module_{f:04}.py").into_bytes(), tree.push(file));
            block += 1;
        }
        directories
            .insert(format!("package_{d:04}").into_bytes(), tree.push(inode(InodeKind::Directory(names))));
    }
    *tree.get_mut(Tree::ROOT).expect("a tree has a root") = inode(InodeKind::Directory(directories));
    tree
}

fn build(c: &mut Criterion) {
    let tree = tree();
    let params = Params { uuid: [0; 16], data_blocks: (DIRECTORIES * FILES_IN_EACH) as u64 };
    let inodes = (DIRECTORIES * FILES_IN_EACH + DIRECTORIES + 1) as u64;
    let mut group = c.benchmark_group(format!("EROFS metadata of {inodes} inodes"));
    group.throughput(Throughput::Elements(inodes));
    group.sample_size(20);
    group
        .bench_function("write", |b| b.iter(|| write(black_box(&tree), &params).expect("the tree is sound")));
    group.finish();
}

criterion_group!(benches, build);
criterion_main!(benches);
