//! How two trees differ, in lines a person can act on.

use std::fmt::{Debug, Write};
use std::path::Path;

use super::tree::{Metadata, Tree};

/// More lines than this hide the pattern instead of showing it.
const MAX_LINES: usize = 40;

/// Panics unless both trees are the same, and says where they are not.
#[track_caller]
pub(crate) fn assert_same(expected: &Tree, actual: &Tree) {
    let lines = differences(expected, actual);
    if lines.is_empty() {
        return;
    }
    let mut text = format!("the trees differ at {} paths (expected ≠ actual):\n", lines.len());
    for line in lines.iter().take(MAX_LINES) {
        writeln!(text, "  {line}").unwrap();
    }
    if lines.len() > MAX_LINES {
        writeln!(text, "  … and {} more", lines.len() - MAX_LINES).unwrap();
    }
    panic!("{text}");
}

/// One line for each path that is missing (`-`), unexpected (`+`) or different (`~`).
pub(crate) fn differences(expected: &Tree, actual: &Tree) -> Vec<String> {
    let missing = expected.iter().filter(|(path, _)| !actual.contains_key(*path));
    let unexpected = actual.iter().filter(|(path, _)| !expected.contains_key(*path));
    let both = expected.iter().filter_map(|(path, left)| Some((path, left, actual.get(path)?)));
    let mut lines: Vec<_> =
        missing.map(|(path, node)| format!("- {} {:?}", named(path), node.kind)).collect();
    lines.extend(unexpected.map(|(path, node)| format!("+ {} {:?}", named(path), node.kind)));
    lines.extend(
        both.filter(|(_, left, right)| left != right)
            .map(|(path, left, right)| format!("~ {}: {}", named(path), fields(left, right).join(", "))),
    );
    lines
}

fn named(path: &Path) -> String {
    if path.as_os_str().is_empty() { "/".to_owned() } else { format!("{path:?}") }
}

fn fields(left: &Metadata, right: &Metadata) -> Vec<String> {
    let octal = |mode: u32| format!("{mode:04o}");
    let all = [
        field("kind", &left.kind, &right.kind),
        (left.mode != right.mode).then(|| format!("mode {} ≠ {}", octal(left.mode), octal(right.mode))),
        field("uid", &left.uid, &right.uid),
        field("gid", &left.gid, &right.gid),
        field("mtime", &left.mtime, &right.mtime),
        field("names", &left.names, &right.names),
        field("hardlink group", &left.hardlink_group, &right.hardlink_group),
        field("xattrs", &left.xattrs, &right.xattrs),
    ];
    all.into_iter().flatten().collect()
}

fn field<T: Debug + PartialEq>(name: &str, left: &T, right: &T) -> Option<String> {
    (left != right).then(|| format!("{name} {left:?} ≠ {right:?}"))
}
