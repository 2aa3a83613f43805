//! The judge of fidelity is itself judged: it sees no change where there is none, and each kind where there is.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};
use tempfile::TempDir;

use crate::support::difference::{assert_same, differences};
use crate::support::images;
use crate::support::tree::snapshot;
use crate::support::umoci::{unpack, unpacked};

/// A small tree with one path of each type.
fn tree() -> TempDir {
    let root = TempDir::new().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::write(at("file"), "content").unwrap();
    fs::write(at("twin"), "content").unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("file", at("link")).unwrap();
    node(&at("pipe"), FileType::Fifo, 0);
    node(&at("device"), FileType::CharacterDevice, makedev(1, 3));
    for name in ["file", "twin", "directory", ""] {
        touch(&at(name), Duration::from_secs(1_700_000_000));
    }
    root
}

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).unwrap();
}

fn touch(path: &Path, since_epoch: Duration) {
    File::open(path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + since_epoch))
        .unwrap();
}

/// What the judge says of a change that leaves everything but one path alone.
#[track_caller]
fn after(change: impl FnOnce(&Path)) -> String {
    let root = tree();
    let before = snapshot(root.path());
    change(root.path());
    touch(root.path(), Duration::from_secs(1_700_000_000));
    let lines = differences(&before, &snapshot(root.path()));
    lines.join("\n")
}

#[test]
fn an_image_unpacked_twice_is_the_same_tree() {
    let directory = TempDir::new().unwrap();
    let again = unpack(&images::debian_upper(), &directory.path().join("bundle"));
    let tree = snapshot(&again);
    assert!(tree.len() > 1_000, "only {} paths", tree.len());
    assert_same(&snapshot(&unpacked(&images::debian_upper())), &tree);
}

#[test]
fn reading_a_tree_does_not_change_it() {
    let root = tree();
    assert_same(&snapshot(root.path()), &snapshot(root.path()));
}

#[test]
#[should_panic(expected = "the trees differ at 1 paths")]
fn different_trees_are_not_the_same() {
    let root = tree();
    let before = snapshot(root.path());
    touch(&root.path().join("file"), Duration::new(1_700_000_000, 1));
    assert_same(&before, &snapshot(root.path()));
}

#[test]
fn a_changed_content_is_seen_behind_the_same_size_and_time() {
    let change = after(|root| {
        fs::write(root.join("file"), "CONTENT").unwrap();
        touch(&root.join("file"), Duration::from_secs(1_700_000_000));
    });
    assert!(change.starts_with("~ \"file\": kind File { size: 7, sha256: "), "{change}");
    assert!(!change.contains('\n') && !change.contains("mtime"), "{change}");
}

#[test]
fn a_nanosecond_is_seen() {
    let change = after(|root| touch(&root.join("file"), Duration::new(1_700_000_000, 1)));
    assert_eq!(change, "~ \"file\": mtime (1700000000, 0) ≠ (1700000000, 1)");
}

#[test]
fn a_mode_bit_is_seen() {
    let change =
        after(|root| fs::set_permissions(root.join("file"), Permissions::from_mode(0o4644)).unwrap());
    assert_eq!(change, "~ \"file\": mode 0644 ≠ 4644");
}

#[test]
fn an_owner_is_seen_also_of_a_link() {
    let change = after(|root| std::os::unix::fs::lchown(root.join("link"), Some(70_000), Some(3)).unwrap());
    assert_eq!(change, "~ \"link\": uid 0 ≠ 70000, gid 0 ≠ 3");
    let change = after(|root| chown(root.join("directory"), None, Some(5)).unwrap());
    assert_eq!(change, "~ \"directory\": gid 0 ≠ 5");
}

#[test]
fn an_extended_attribute_is_seen_by_name_and_value() {
    let set = |root: &Path, path: &str, name: &str, value: &[u8]| {
        lsetxattr(root.join(path), name, value, XattrFlags::empty()).unwrap();
    };
    let change = after(|root| set(root, "directory", "user.frazil", b"ice"));
    assert_eq!(change, "~ \"directory\": xattrs {} ≠ {\"user.frazil\": [105, 99, 101]}");
    let change =
        after(|root| set(root, "file", "security.capability", &crate::support::upper::NET_BIND_CAPABILITY));
    assert!(change.starts_with("~ \"file\": xattrs {} ≠ {\"security.capability\": [1, 0, 0, 2"), "{change}");
}

#[test]
fn a_link_target_and_a_device_number_are_seen() {
    let change = after(|root| {
        fs::remove_file(root.join("device")).unwrap();
        node(&root.join("device"), FileType::CharacterDevice, makedev(1, 5));
    });
    assert!(
        change.contains("CharDevice { major: 1, minor: 3 } ≠ CharDevice { major: 1, minor: 5 }"),
        "{change}"
    );
    let change = after(|root| {
        fs::remove_file(root.join("link")).unwrap();
        symlink("twin", root.join("link")).unwrap();
    });
    assert!(change.contains("Symlink { target: \"file\" } ≠ Symlink { target: \"twin\" }"), "{change}");
}

#[test]
fn a_change_of_type_is_seen() {
    let change = after(|root| {
        fs::remove_file(root.join("pipe")).unwrap();
        fs::create_dir(root.join("pipe")).unwrap();
    });
    assert!(change.contains("~ \"pipe\": kind Fifo ≠ Directory"), "{change}");
}

#[test]
fn a_hardlink_is_not_a_copy() {
    let change = after(|root| {
        fs::remove_file(root.join("twin")).unwrap();
        fs::hard_link(root.join("file"), root.join("twin")).unwrap();
    });
    let lines: Vec<_> = change.lines().collect();
    assert_eq!(lines.len(), 2, "{change}");
    assert_eq!(lines[0], "~ \"file\": names 1 ≠ 2, hardlink group None ≠ Some(\"file\")");
}

#[test]
fn a_path_too_few_or_too_many_is_seen() {
    assert!(after(|root| fs::remove_file(root.join("file")).unwrap()).starts_with("- \"file\" File"));
    assert!(after(|root| fs::write(root.join("new"), "").unwrap()).starts_with("+ \"new\" File { size: 0"));
}
