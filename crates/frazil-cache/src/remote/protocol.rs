//! The few words of memcached's meta protocol that the tier speaks: `mg` and `ms`, each with an opaque token.
//!
//! Specified in memcached's `doc/protocol.txt`. A node answers in the order it was asked, and repeats the token;
//! a token that does not fit means that bytes were lost or made up, and the connection is of no use any more.

use bytes::BytesMut;

/// The longest line that a node may answer, in bytes. The longest that is known is an error's.
pub(super) const MAX_LINE_LEN: usize = 1024;

/// The first line of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    /// A value of `len` bytes follows, and a line's end.
    Value {
        /// The length of the value.
        len: usize,
        /// The token of the question.
        token: Option<u32>,
    },
    /// There is nothing under the key.
    Miss {
        /// The token of the question; older nodes leave it out.
        token: Option<u32>,
    },
    /// The value is stored.
    Stored {
        /// The token of the question.
        token: Option<u32>,
    },
    /// The value is not stored: no memory, or too large.
    NotStored,
}

/// The answer is not one that a memcached node gives, or it is to something that was never asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotAnAnswer;

impl Line {
    /// Reads a line without its end.
    pub(super) fn parse(line: &[u8]) -> Result<Self, NotAnAnswer> {
        let line = str::from_utf8(line).map_err(|_| NotAnAnswer)?;
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            Some("VA") => {
                let len = words.next().and_then(|len| len.parse().ok()).ok_or(NotAnAnswer)?;
                Ok(Self::Value { len, token: token(words)? })
            }
            Some("EN") => Ok(Self::Miss { token: token(words)? }),
            Some("HD") => Ok(Self::Stored { token: token(words)? }),
            Some("NS" | "SERVER_ERROR") => Ok(Self::NotStored),
            _ => Err(NotAnAnswer),
        }
    }

    /// Whether this line can answer the question with the token.
    pub(super) fn answers(&self, question: u32) -> bool {
        match *self {
            Self::Value { token, .. } | Self::Stored { token } => token == Some(question),
            Self::Miss { token } => token.is_none_or(|token| token == question),
            Self::NotStored => true,
        }
    }
}

fn token<'a>(words: impl Iterator<Item = &'a str>) -> Result<Option<u32>, NotAnAnswer> {
    let mut token = None;
    for word in words {
        if let Some(text) = word.strip_prefix('O') {
            token = Some(text.parse().map_err(|_| NotAnAnswer)?);
        }
    }
    Ok(token)
}

/// Asks for the value of a key.
pub(super) fn put_get(into: &mut BytesMut, key: &str, token: u32) {
    put(into, format_args!("mg {key} v O{token}\r\n"));
}

/// Announces a value of `len` bytes for a key; the value and a line's end must follow.
pub(super) fn put_set(into: &mut BytesMut, key: &str, len: usize, token: u32) {
    put(into, format_args!("ms {key} {len} O{token}\r\n"));
}

fn put(into: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    use std::fmt::Write;
    // A BytesMut grows: writing to it does not fail.
    let _ = into.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_answer_of_a_node_is_understood() {
        let parse = |line: &str| Line::parse(line.as_bytes());
        assert_eq!(parse("VA 3 O9"), Ok(Line::Value { len: 3, token: Some(9) }));
        assert_eq!(parse("EN O77"), Ok(Line::Miss { token: Some(77) }));
        assert_eq!(parse("EN"), Ok(Line::Miss { token: None }));
        assert_eq!(parse("HD O5"), Ok(Line::Stored { token: Some(5) }));
        assert_eq!(parse("NS O5"), Ok(Line::NotStored));
        assert_eq!(parse("SERVER_ERROR object too large for cache"), Ok(Line::NotStored));
        for line in
            ["", "ERROR", "CLIENT_ERROR bad data chunk", "VA", "VA x O1", "VA -1", "HD Ox", "HTTP/1.1 503"]
        {
            assert_eq!(parse(line), Err(NotAnAnswer), "{line}");
        }
    }

    #[test]
    fn an_answer_to_another_question_is_not_taken() {
        let answers = |line: &str| Line::parse(line.as_bytes()).unwrap().answers(9);
        assert!(answers("VA 3 O9") && answers("EN") && answers("EN O9") && answers("HD O9"));
        assert!(!answers("VA 3 O8") && !answers("VA 3") && !answers("EN O8") && !answers("HD"));
    }

    #[test]
    fn questions_are_spelled_as_the_protocol_says() {
        let mut bytes = BytesMut::new();
        put_get(&mut bytes, "k", 4_294_967_295);
        put_set(&mut bytes, "k", 3, 7);
        assert_eq!(bytes, "mg k v O4294967295\r\nms k 3 O7\r\n");
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = Line::parse(&line);
        }
    }
}
