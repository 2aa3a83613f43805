//! Which files a command opens: what Nydus's users give it as a list.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::scene::Scene;

/// One path of the image a line, in no order; kept beside the image.
pub(super) fn files_opened(scene: &Scene<'_>) -> anyhow::Result<String> {
    let list = scene.here.join(format!("files-{}", scene.workload.name));
    let tree = scene.unpacked()?;
    scene.once(&list, || trace(scene, &tree, &list))?;
    Ok(std::fs::read_to_string(list)?)
}

fn trace(scene: &Scene<'_>, tree: &Path, list: &Path) -> anyhow::Result<()> {
    let log = list.with_extension("strace");
    // The tree stays as it was unpacked: what a first run writes (compiled Python, say) would make its later ones quicker.
    let in_tree = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && mount -t proc proc \"$0/proc\" && mount --rbind /dev \"$0/dev\" && root=$0 && exec env --ignore-environment PATH=\"$PATH\" chroot \"$root\" \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "strace", "--follow-forks", "--quiet=all", "--decode-fds=path"])
        .args(["--trace=open,openat,execve", "--output"])
        .arg(&log)
        .args(["sh", "-c", in_tree])
        .arg(tree)
        .args(scene.workload.argv)
        .stderr(Stdio::inherit())
        .output()
        .context("strace runs: install the package strace")?;
    ensure!(output.status.success(), "the traced command failed: {}", output.status);
    let tree = tree.canonicalize()?;
    let mut files = BTreeSet::new();
    for line in String::from_utf8_lossy(&std::fs::read(&log)?).lines() {
        // `openat(…) = 3</path>`, as the kernel resolved it.
        if let Some(path) = line.rsplit_once(" = ").and_then(|(_, result)| result.split_once('<')) {
            files.extend(inside(&tree, Path::new(path.1.trim_end_matches('>'))));
        }
    }
    // The kernel opens the program and its loader by itself.
    for path in scene.workload.argv.first().into_iter().chain(&["/lib64/ld-linux-x86-64.so.2"]) {
        let resolved = Command::new("chroot").arg(&tree).args(["/usr/bin/readlink", "-f", path]).output();
        if let Ok(output) = resolved {
            files.insert(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
    }
    let lines: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    Ok(std::fs::write(list, lines.join("\n") + "\n")?)
}

/// The path as the image has it, if it is a file of the image.
fn inside(tree: &Path, path: &Path) -> Option<PathBuf> {
    let relative = path.strip_prefix(tree).ok()?;
    let there = path.is_file() && !relative.starts_with("proc") && !relative.starts_with("dev");
    there.then(|| Path::new("/").join(relative))
}
