//! The name of a chunk's file: `chunks/<first byte of the id>/<root>-<id>`.
//!
//! Two hundred and fifty-six directories keep each small: a terabyte of 200 KiB chunks is 20,000 files in each.

use crate::policy::residents::Key;

/// The directory of all chunks, below the version's.
pub(super) const CHUNKS: &str = "chunks";

/// How many directories the files are spread over.
pub(super) const FAN_OUT: usize = 256;

/// The directory of this number, below the version's.
pub(super) fn fan_out_directory(number: usize) -> String {
    format!("{CHUNKS}/{number:02x}")
}

/// The file of a chunk, below the version's directory.
pub(super) fn chunk_file(key: &Key) -> String {
    let [first, ..] = key.id.as_bytes();
    format!("{}/{}", fan_out_directory(usize::from(*first)), base_name(key))
}

/// The file's name in its directory.
pub(super) fn base_name(key: &Key) -> String {
    format!("{}-{}", key.root, key.id)
}

/// The chunk of this file, if it is in the directory where it belongs.
pub(super) fn parse(directory: usize, name: &str) -> Option<Key> {
    let (root, id) = name.split_once('-')?;
    let key = Key { root: root.parse().ok()?, id: id.parse().ok()? };
    let [first, ..] = key.id.as_bytes();
    (usize::from(*first) == directory).then_some(key)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use frazil_format::{ChunkId, RootId};

    use super::*;

    #[test]
    fn a_name_says_which_chunk_it_is() {
        let key = Key { root: RootId::FIRST, id: ChunkId::from_bytes([0xab; 32]) };
        let file = chunk_file(&key);
        assert_eq!(file, format!("chunks/ab/00000001-{}", "ab".repeat(32)));
        assert_eq!(parse(0xab, &base_name(&key)), Some(key));
        assert_eq!(parse(0xac, &base_name(&key)), None, "not where it belongs");
        for foreign in ["", "-", "lost+found", "1-ab", &base_name(&key).to_uppercase()] {
            assert_eq!(parse(0xab, foreign), None, "{foreign:?}");
        }
    }
}
