//! Which processes keep a mount from being unmounted, as far as this user may see.

use std::path::Path;

/// Users of a mount that are named; the rest of a long list helps nobody.
pub(super) const NAMED_MAX: usize = 5;

/// Open files of one process that are looked at.
const FILES_MAX: usize = 4096;

/// `name (pid)` of processes that stand in, or have files open below, a directory. Looks at links in /proc only,
/// never at the mount, which may be dead.
pub(super) fn holders(dir: &Path) -> Vec<String> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    // The process that asks may stand in the directory as well; that is no news, and ends with the process.
    let own = std::process::id().to_string();
    processes
        .flatten()
        .filter(|process| process.file_name() != *own)
        .filter(|process| process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|process| holds(&process.path(), dir))
        .take(NAMED_MAX)
        .map(|process| {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            format!("{} ({})", name.trim(), process.file_name().to_string_lossy())
        })
        .collect()
}

fn holds(process: &Path, dir: &Path) -> bool {
    let is_below = |link: &Path| std::fs::read_link(link).is_ok_and(|target| target.starts_with(dir));
    if ["cwd", "root", "exe"].iter().any(|link| is_below(&process.join(link))) {
        return true;
    }
    let Ok(files) = std::fs::read_dir(process.join("fd")) else { return false };
    files.flatten().take(FILES_MAX).any(|file| is_below(&file.path()))
}
