//! What the kernel says is mounted: `/proc/self/mountinfo` (proc(5)).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::block::SOURCE_PREFIX;
use crate::session::SUBTYPE;

/// One line of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MountLine {
    /// The mount's number, unique while it exists.
    pub(super) id: u64,
    /// The superblock's device number, `major:minor`.
    pub(super) device: String,
    /// Where it is.
    pub(super) dir: PathBuf,
    /// The file system's type.
    pub(super) fs_type: String,
    /// What it shows.
    pub(super) source: String,
}

impl MountLine {
    /// Whether this crate mounted it.
    pub(super) fn is_frazil(&self) -> bool {
        match self.fs_type.as_str() {
            "erofs" => self.source.starts_with(SOURCE_PREFIX) || self.is_on_our_loop_device(),
            fs_type => fs_type.strip_prefix("fuse.") == Some(SUBTYPE),
        }
    }

    fn is_on_our_loop_device(&self) -> bool {
        let Some(name) = self.source.strip_prefix("/dev/") else { return false };
        let backing = std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
        backing.is_ok_and(|path| path.trim_start_matches('/').starts_with(SOURCE_PREFIX))
    }
}

/// The topmost mount at exactly this directory.
pub(super) fn mount_at(dir: &Path) -> io::Result<Option<MountLine>> {
    Ok(mounts()?.into_iter().rfind(|mount| mount.dir == dir))
}

/// All mounts, the later ones on top.
pub(super) fn mounts() -> io::Result<Vec<MountLine>> {
    let text = std::fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// `36 35 98:0 /root /mnt rw,noatime shared:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<MountLine> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
    let dir = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let fs_type = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let source = OsString::from_vec(unescape(fields.next()?)).to_string_lossy().into_owned();
    Some(MountLine { id, device, dir, fs_type, source })
}

/// Space, tab, newline, backslash and `#` stand as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, behind @ ..] = rest {
        let octal =
            behind.get(..3).filter(|_| *byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*byte);
                rest = behind;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_line_with_spaces_and_optional_fields_is_taken_apart() {
        let line = br"36 35 0:52 / /mnt/a\040b ro,nosuid shared:1 master:2 - fuse.frazil hello\040world ro,user_id=0";
        let mount = parse(line).unwrap();
        assert_eq!(mount.id, 36);
        assert_eq!(mount.device, "0:52");
        assert_eq!(mount.dir.as_os_str().as_bytes(), b"/mnt/a b");
        assert_eq!(mount.source, "hello world");
        assert!(mount.is_frazil());
        assert!(parse(b"").is_none());
        assert!(parse(b"36 35 0:52 / /mnt ro").is_none());
    }

    #[test]
    fn only_our_own_mounts_are_ours() {
        let line = |text: &str| parse(text.as_bytes()).unwrap();
        assert!(line("1 2 0:3 / /m ro - erofs frazil:library!hello ro").is_frazil());
        assert!(!line("1 2 0:3 / /m ro - erofs /dev/sda1 ro").is_frazil());
        assert!(!line("1 2 0:3 / /m ro - fuse.sshfs host: ro").is_frazil());
        assert!(!line("1 2 0:3 / /m ro - ext4 frazil:hello ro").is_frazil());
    }
}
