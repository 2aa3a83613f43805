//! Extended attributes as the two families of tars write them.
//!
//! `SCHILY.xattr.NAME` has the raw value. `LIBARCHIVE.xattr.NAME` has it in base64 and the name URL-encoded. bsdtar
//! writes both for one attribute; the raw one wins, whatever their order.

use std::collections::BTreeMap;

/// The attributes of one member by their whole name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Xattrs {
    schily: BTreeMap<Vec<u8>, Vec<u8>>,
    libarchive: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Xattrs {
    pub(super) fn set_schily(&mut self, name: &[u8], value: &[u8]) {
        self.schily.insert(name.to_vec(), value.to_vec());
    }

    pub(super) fn set_libarchive(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.libarchive.insert(name, value);
    }

    /// Every attribute once, sorted by name.
    pub(super) fn into_sorted(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = self.libarchive;
        all.extend(self.schily);
        all.into_iter().collect()
    }
}

/// `%XX` to bytes.
pub(super) fn url_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let (digits, tail) = tail.split_at_checked(2)?;
            decoded.push(hex::decode(digits).ok()?.first().copied()?);
            rest = tail;
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    Some(decoded)
}

/// Base64 with or without padding, as libarchive writes it.
pub(super) fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    let unpadded = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let text = text.get(..unpadded)?;
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.chunks(4) {
        let bits = group.iter().try_fold(0u32, |bits, byte| Some(bits << 6 | sextet(*byte)?))?;
        let [_, a, b, c] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        match group.len() {
            4 => decoded.extend([a, b, c]),
            3 => decoded.extend([a, b]),
            2 => decoded.push(a),
            _ => return None,
        }
    }
    Some(decoded)
}

fn sextet(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_decodes_with_and_without_padding() {
        for (text, bytes) in
            [("", ""), ("Zg==", "f"), ("Zg", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg", "foob")]
        {
            assert_eq!(base64_decode(text.as_bytes()).unwrap(), bytes.as_bytes());
        }
        assert_eq!(base64_decode(b"/+8").unwrap(), [0xff, 0xef]);
        assert!(base64_decode(b"Z").is_none());
        assert!(base64_decode(b"Zm9*").is_none());
    }

    #[test]
    fn names_are_url_decoded() {
        assert_eq!(url_decode(b"user.a%3db%25").unwrap(), b"user.a=b%");
        assert!(url_decode(b"user.%3").is_none());
        assert!(url_decode(b"user.%zz").is_none());
    }

    #[test]
    fn the_raw_value_wins_over_the_encoded_one() {
        let mut xattrs = Xattrs::default();
        xattrs.set_schily(b"user.a", b"raw");
        xattrs.set_libarchive(b"user.a".to_vec(), b"encoded".to_vec());
        xattrs.set_libarchive(b"user.0".to_vec(), b"only".to_vec());
        let sorted = xattrs.into_sorted();
        assert_eq!(sorted, [(b"user.0".to_vec(), b"only".to_vec()), (b"user.a".to_vec(), b"raw".to_vec())]);
    }
}
