//! Percent-encoding: how an image name becomes one file name, and a path becomes a URL, and back.
//!
//! Invariant: `decode(encode(x)) == x`, and what is not the encoding of anything decodes to nothing.

use std::fmt::Write;

/// Writes every byte that `keep` refuses as `%XX`.
pub(crate) fn encode(bytes: &[u8], keep: fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii() && byte != b'%' && keep(byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The bytes that were encoded; `None` where a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? << 4 | digit(bytes.next()?)?,
            other => other,
        });
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        for keep in [|_| true, |_| false, |byte: u8| byte.is_ascii_alphanumeric()] {
            assert_eq!(decode(&encode(&all, keep)), Some(all.clone()));
        }
    }

    #[test]
    fn what_is_not_an_encoding_decodes_to_nothing() {
        for text in ["%", "%4", "%zz", "a%2", "%+1", "%é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
