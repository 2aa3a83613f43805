//! Images that `mkfs.erofs` wrote: compact inodes, inline files and shared xattrs are read as well.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use frazil_erofs::{ErofsError, ReadError, WalkLimits};
use rustix::fs::{XattrFlags, setxattr};

use crate::sample::open;
use crate::{kernel, listing};

fn source_tree(root: &Path) {
    fs::create_dir(root.join("many")).unwrap();
    for number in 0..400 {
        fs::write(root.join(format!("many/file-{number}")), vec![b'm'; number * 30]).unwrap();
    }
    fs::write(root.join("large"), vec![b'l'; 300_000]).unwrap();
    symlink("many/file-1", root.join("link")).unwrap();
    for name in ["many", "large", "many/file-1", "many/file-2", "many/file-3", "many/file-4"] {
        let path = root.join(name);
        setxattr(&path, "user.shared", b"the same for all", XattrFlags::empty()).unwrap();
        setxattr(&path, "user.own", name.as_bytes(), XattrFlags::empty()).unwrap();
    }
}

fn mkfs(options: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (source, image) = (directory.path().join("source"), directory.path().join("image"));
    fs::create_dir(&source).unwrap();
    source_tree(&source);
    let output = Command::new("mkfs.erofs")
        .args(options)
        .args([&image, &source])
        .output()
        .expect("mkfs.erofs is missing: install Debian's package erofs-utils");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(image).unwrap()
}

#[test]
fn what_mkfs_erofs_wrote_is_read_as_the_kernel_reads_it() {
    for options in [
        &["-x1", "-E", "force-inode-compact", "-T0"][..],
        &["-x1", "-E", "force-inode-extended"],
        &["-x-1"],
        &["-E", "noinline_data"],
    ] {
        let image = mkfs(options);
        assert_eq!(listing::read(&open(&image)), kernel::read(&image), "{options:?}");
    }
}

#[test]
fn what_mkfs_erofs_compressed_or_cut_into_chunks_is_refused() {
    for options in [&["-zlz4"][..], &["--chunksize=4096"]] {
        let bytes = mkfs(options);
        let image = open(&bytes);
        let error = image.walk(WalkLimits::default()).find_map(Result::err);
        assert!(matches!(error, Some(ReadError::Image(ErofsError::UnsupportedInode { .. }))), "{options:?}");
    }
}
