//! Every kind of inode, with every attribute, through both faces.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::support::mounts::{FACES, TestMount};
use crate::support::posix::{drop_caches, set_xattr, xattr, xattr_names};
use crate::support::sample::{Kind, Node, Sample, directory, everything, file};

/// Every path below a directory, as readdir gives it.
fn walk(dir: &Path, prefix: &[u8], found: &mut BTreeSet<Vec<u8>>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_vec();
        let path = if prefix.is_empty() { name } else { [prefix, b"/", &name].concat() };
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &path, found);
        }
        found.insert(path);
    }
}

fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

fn check_attributes(path: &Path, node: &Node) {
    let shown = fs::symlink_metadata(path).unwrap();
    assert_eq!(shown.mode() & 0o7777, u32::from(node.mode), "mode of {path:?}");
    assert_eq!((shown.uid(), shown.gid()), (node.uid, node.gid), "owner of {path:?}");
    assert_eq!((shown.mtime(), shown.mtime_nsec()), (node.mtime.seconds, i64::from(node.mtime.nanos)));
    assert_eq!(shown.ctime_nsec(), shown.mtime_nsec(), "ctime of {path:?}");
    let (kind, device) = (shown.file_type(), shown.rdev());
    match &node.kind {
        Kind::Directory => assert!(kind.is_dir()),
        Kind::File(content) => {
            assert_eq!(shown.len(), content.len() as u64);
            assert!(fs::read(path).unwrap() == *content, "content of {path:?}");
        }
        Kind::Symlink(target) => {
            assert_eq!(fs::read_link(path).unwrap().as_os_str().as_bytes(), target);
            assert_eq!(shown.len(), target.len() as u64);
        }
        Kind::CharDevice(major, minor) => {
            assert!(kind.is_char_device());
            assert_eq!((libc::major(device), libc::minor(device)), (*major, *minor));
        }
        Kind::BlockDevice(major, minor) => {
            assert!(kind.is_block_device());
            assert_eq!((libc::major(device), libc::minor(device)), (*major, *minor));
        }
        Kind::Fifo => assert!(kind.is_fifo()),
        Kind::Socket => assert!(kind.is_socket()),
        Kind::HardLink(_) => unreachable!(),
    }
    let (_, names) = xattr_names(path, 65_536).unwrap();
    let names: BTreeSet<Vec<u8>> =
        names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect();
    assert_eq!(names, node.xattrs.keys().cloned().collect(), "xattrs of {path:?}");
    for (name, value) in &node.xattrs {
        assert_eq!(xattr(path, name, 65_536).unwrap().1, *value, "an xattr of {path:?}");
    }
}

fn check_tree(root: &Path, sample: &Sample) {
    let mut found = BTreeSet::from([Vec::new()]);
    walk(root, b"", &mut found);
    assert_eq!(found, sample.0.keys().cloned().collect());
    let mut inodes: BTreeMap<&[u8], BTreeSet<u64>> = BTreeMap::new();
    let mut links: BTreeMap<&[u8], u64> = BTreeMap::new();
    for (path, node) in &sample.0 {
        let first = if let Kind::HardLink(target) = &node.kind { target } else { path };
        check_attributes(&at(root, path), &sample.0[first]);
        let shown = fs::symlink_metadata(at(root, path)).unwrap();
        inodes.entry(first).or_default().insert(shown.ino());
        *links.entry(first).or_default() += 1;
        if !shown.is_dir() {
            let names = sample.0.iter().filter(|(other, node)| match &node.kind {
                Kind::HardLink(target) => target == first,
                _ => *other == first,
            });
            assert_eq!(shown.nlink(), names.count() as u64, "links of {path:?}");
        }
    }
    assert!(inodes.values().all(|numbers| numbers.len() == 1), "hard links share an inode");
    let different: BTreeSet<&u64> = inodes.values().flatten().collect();
    assert_eq!(different.len(), inodes.len(), "different files have different inodes");
}

#[test]
fn every_kind_of_inode_looks_as_it_was_made_through_both_faces() {
    let sample = everything();
    for face in FACES {
        let mount = TestMount::new(&sample, face);
        check_tree(mount.dir.path(), &sample);
        // And again, from an empty kernel cache.
        drop_caches();
        check_tree(mount.dir.path(), &sample);
    }
}

#[test]
fn a_directory_of_thousands_of_names_is_listed_once_each() {
    let mut sample = Sample::new().with("many", directory());
    for n in 0..5000 {
        sample = sample.with(&format!("many/{n}-{}", "long".repeat(n % 40)), file(n.to_string()));
    }
    for face in FACES {
        let mount = TestMount::new(&sample, face);
        let names: Vec<_> =
            fs::read_dir(mount.path("many")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 5000);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 5000);
        assert_eq!(fs::read(mount.path("many/7-longlonglonglonglonglonglong")).unwrap(), b"7");
    }
}

#[test]
fn whatever_would_write_is_refused_with_erofs_through_both_faces() {
    for face in FACES {
        let mount = TestMount::new(&everything(), face);
        let at = |path| mount.path(path);
        let attempts = [
            fs::write(at("new"), "x"),
            fs::write(at("etc/passwd"), "x"),
            fs::create_dir(at("new")),
            fs::remove_file(at("etc/passwd")),
            fs::remove_dir(at("sticky")),
            fs::rename(at("etc/passwd"), at("moved")),
            fs::hard_link(at("etc/passwd"), at("another")),
            std::os::unix::fs::symlink("x", at("new")),
            std::os::unix::fs::chown(at("etc/passwd"), Some(1), None),
            fs::set_permissions(at("etc/passwd"), fs::metadata(at("etc")).unwrap().permissions()),
            fs::OpenOptions::new().append(true).open(at("etc/passwd")).map(drop),
            set_xattr(&at("etc/passwd"), "user.new", b"x"),
        ];
        for (n, attempt) in attempts.into_iter().enumerate() {
            let errno = attempt.unwrap_err().raw_os_error();
            assert_eq!(errno, Some(libc::EROFS), "attempt {n} through the {face} face");
        }
    }
}

#[test]
fn what_is_not_there_has_the_errno_that_says_so() {
    for face in FACES {
        let mount = TestMount::new(&everything(), face);
        let errno = |outcome: std::io::Result<()>| outcome.unwrap_err().raw_os_error().unwrap();
        // Twice: the second answer comes from the kernel's cache.
        for _ in 0..2 {
            assert_eq!(errno(fs::metadata(mount.path("nowhere")).map(drop)), libc::ENOENT);
        }
        assert_eq!(errno(fs::metadata(mount.path("empty/below")).map(drop)), libc::ENOTDIR);
        assert_eq!(errno(fs::read(mount.path("etc")).map(drop)), libc::EISDIR);
        assert_eq!(errno(fs::read_link(mount.path("empty")).map(drop)), libc::EINVAL);
        assert_eq!(errno(fs::read_dir(mount.path("empty")).map(drop)), libc::ENOTDIR);
        let path = mount.path("xattrs");
        assert_eq!(errno(xattr(&path, b"user.other", 100).map(drop)), libc::ENODATA);
        assert_eq!(errno(xattr(&path, b"trusted.two", 299).map(drop)), libc::ERANGE);
        assert_eq!(xattr(&path, b"trusted.two", 0).unwrap().0, 300);
        assert_eq!(errno(xattr_names(&path, 3).map(drop)), libc::ERANGE);
        assert_eq!(xattr_names(&path, 0).unwrap().0, "user.one user.empty trusted.two ".len());
    }
}

#[test]
fn reads_past_the_end_are_short_and_in_the_middle_exact() {
    let sample = everything();
    for face in FACES {
        let mount = TestMount::new(&sample, face);
        let content = sample.content(b"sparse").unwrap();
        let opened = fs::File::open(mount.path("sparse")).unwrap();
        for (offset, len) in
            [(0, 1), (4999, 2), (4096, 300_000), (304_999, 10_000), (309_999, 10), (310_000, 5)]
        {
            let mut bytes = vec![9; len];
            let read = opened.read_at(&mut bytes, offset as u64).unwrap();
            let expected = &content[offset..content.len().min(offset + len)];
            assert!(bytes[..read] == *expected, "{len} bytes at {offset} through the {face} face");
        }
        let statistics = rustix::fs::statvfs(mount.dir.path()).unwrap();
        assert_eq!(statistics.f_blocks * statistics.f_frsize, mount.image.len());
        assert_eq!((statistics.f_bfree, statistics.f_namemax), (0, 255));
    }
}
