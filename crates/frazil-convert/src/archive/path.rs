//! Paths as members name them, made safe: lexically cleaned, so that none leaves the image's root.
//!
//! Absolute paths start at the image's root, and `..` stops there, as umoci and the kernel's chroot have it.
//! Symbolic links are not looked at here: the flattener resolves them inside the tree.

/// The longest name of one file, in bytes (`NAME_MAX`).
pub(crate) const NAME_MAX: usize = 255;
/// The longest path, in bytes (`PATH_MAX` without its NUL).
pub(crate) const PATH_MAX: usize = 4095;

/// The path without `.`, `..`, leading, trailing and doubled slashes; the root is the empty path.
pub(crate) fn clean(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut cleaned: Vec<u8> = Vec::with_capacity(path.len());
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => cleaned.truncate(cleaned.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            _ if name.len() > NAME_MAX => return Err("a name of its path is longer than 255 bytes"),
            _ => {
                if !cleaned.is_empty() {
                    cleaned.push(b'/');
                }
                cleaned.extend_from_slice(name);
            }
        }
    }
    if cleaned.len() > PATH_MAX { Err("its path is longer than 4,095 bytes") } else { Ok(cleaned) }
}

/// A cleaned path's directory and its last name; the root has no name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_root() {
        for (path, cleaned) in [
            (&b"./usr//bin/./sh"[..], &b"usr/bin/sh"[..]),
            (b"/etc/passwd", b"etc/passwd"),
            (b"../../x", b"x"),
            (b"a/../../b", b"b"),
            (b"a/b/..", b"a"),
            (b"a/..", b""),
            (b"./", b""),
            (b"", b""),
            (b"d/", b"d"),
            (b"\xff\xfe/\x80", b"\xff\xfe/\x80"),
            (b"...", b"..."),
        ] {
            assert_eq!(clean(path).unwrap(), cleaned, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn names_and_paths_have_the_kernels_bounds() {
        assert!(clean(&[b'x'; 255]).is_ok());
        assert!(clean(&[b'x'; 256]).is_err());
        let path = |names: usize| [b"abcdefg".as_slice()].repeat(names).join(&b'/');
        assert_eq!(clean(&path(512)).unwrap().len(), 4095);
        assert!(clean(&path(513)).is_err());
    }

    #[test]
    fn a_path_splits_at_its_last_slash() {
        assert_eq!(split(b"a/b/c"), (&b"a/b"[..], &b"c"[..]));
        assert_eq!(split(b"a"), (&b""[..], &b"a"[..]));
        assert_eq!(split(b""), (&b""[..], &b""[..]));
    }
}
