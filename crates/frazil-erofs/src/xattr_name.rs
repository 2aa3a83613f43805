//! Names of extended attributes: EROFS stores one byte for a known prefix, then the rest of the name.
//!
//! A name without a known prefix cannot be stored, and the kernel would not show it. Indexes are the
//! `EROFS_XATTR_INDEX_*` of the kernel's `erofs_fs.h`.

/// The largest value of one xattr, in bytes: its length is a 16-bit field.
pub const XATTR_VALUE_MAX: usize = u16::MAX as usize;

/// The largest xattr body of one inode, in bytes: a header of 12, then as many units of 4 as a 16-bit
/// count can hold. Each xattr takes 4 + name (less its prefix) + value, rounded up to a multiple of 4.
pub const XATTR_BODY_MAX: usize = 12 + 4 * (u16::MAX as usize - 1);

/// Bytes of a name after its prefix: their number is an 8-bit field.
const SUFFIX_MAX: usize = u8::MAX as usize;

/// A prefix that stands before a name of its own, by index.
const PREFIXES: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
/// Names that are all prefix, by index.
const WHOLE_NAMES: [(u8, &[u8]); 2] = [(2, b"system.posix_acl_access"), (3, b"system.posix_acl_default")];

/// A name taken apart the way it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexedName<'a> {
    pub(crate) index: u8,
    pub(crate) suffix: &'a [u8],
}

/// Whether EROFS can carry an xattr of this full name (such as `user.mime_type`) and the kernel will show it.
/// Names that fail [`write`](crate::write) would be dropped or refused by the caller beforehand.
pub fn xattr_is_representable(name: &[u8]) -> bool {
    split(name).is_some()
}

pub(crate) fn split(name: &[u8]) -> Option<IndexedName<'_>> {
    if let Some((index, _)) = WHOLE_NAMES.iter().find(|(_, whole)| *whole == name) {
        return Some(IndexedName { index: *index, suffix: &[] });
    }
    let (index, suffix) =
        PREFIXES.iter().find_map(|(index, prefix)| Some((*index, name.strip_prefix(*prefix)?)))?;
    let storable = !suffix.is_empty() && suffix.len() <= SUFFIX_MAX && !suffix.contains(&0);
    storable.then_some(IndexedName { index, suffix })
}

/// The full name of a stored name; `None` for an index that the kernel does not show either.
pub(crate) fn join(name: IndexedName<'_>) -> Option<Vec<u8>> {
    let mut prefixes = PREFIXES.iter().chain(&WHOLE_NAMES);
    let (_, prefix) = prefixes.find(|(index, _)| *index == name.index)?;
    Some([prefix, name.suffix].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_split_into_the_kernels_prefixes_and_join_again() {
        for (name, index, suffix) in [
            (&b"user.a"[..], 1, &b"a"[..]),
            (b"system.posix_acl_access", 2, b""),
            (b"system.posix_acl_default", 3, b""),
            (b"trusted.overlay.opaque", 4, b"overlay.opaque"),
            (b"security.capability", 6, b"capability"),
        ] {
            let split = split(name).unwrap();
            assert_eq!(split, IndexedName { index, suffix });
            assert_eq!(join(split).unwrap(), name);
        }
    }

    #[test]
    fn names_that_the_kernel_could_not_show_are_not_representable() {
        let long = [&b"user."[..], &[b'x'; 256]].concat();
        for name in [&b""[..], b"user", b"user.", b"system.nfs4_acl", b"lustre.lov", b"user.a\0b", &long] {
            assert!(!xattr_is_representable(name), "{}", name.escape_ascii());
        }
        assert!(xattr_is_representable(&long[..long.len() - 1]));
    }
}
