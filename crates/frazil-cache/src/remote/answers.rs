//! What a node says, taken apart: lines and values, from a stream that may break anywhere.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::landing::Landing;
use super::protocol::{MAX_LINE_LEN, NotAnAnswer};
use super::shard::{HEADER_LEN, Item, index_of};

/// How many bytes are read ahead of what is known to come: a line and a header, and of a value as little as can be,
/// since that is copied to where it stays.
const READ_AHEAD: usize = 2 << 10;

/// How many bytes of a value that nobody wants are read at once.
const SKIP_LEN: usize = 16 << 10;

/// Turns an answer that makes no sense into the connection's error.
pub(super) fn not_an_answer(_: NotAnAnswer) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Reads lines and values from a node, and not a byte more into a value than belongs to it.
pub(super) struct AnswerReader<R> {
    wire: R,
    ahead: BytesMut,
    /// Whether the end of a value's line is still to come. The value is of use without it: whoever asked
    /// verifies it.
    owes_end: bool,
}

impl<R: AsyncRead + Unpin> AnswerReader<R> {
    pub(super) fn new(wire: R) -> Self {
        Self { wire, ahead: BytesMut::with_capacity(READ_AHEAD), owes_end: false }
    }

    /// The next line without its end; `None` if the node hung up between two answers.
    pub(super) async fn line(&mut self) -> io::Result<Option<BytesMut>> {
        if self.owes_end {
            if !self.read_to(b"\r\n".len()).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.ahead.split_to(b"\r\n".len()) != b"\r\n"[..] {
                return Err(not_an_answer(NotAnAnswer));
            }
            self.owes_end = false;
        }
        let mut searched = 0;
        loop {
            if let Some(at) = self.ahead[searched..].iter().position(|&byte| byte == b'\n') {
                let mut line = self.ahead.split_to(searched + at + 1);
                line.truncate(line.len() - 1);
                if line.ends_with(b"\r") {
                    line.truncate(line.len() - 1);
                }
                return Ok(Some(line));
            }
            searched = self.ahead.len();
            if searched > MAX_LINE_LEN {
                return Err(not_an_answer(NotAnAnswer));
            }
            if !self.read_to(searched + 1).await? {
                return if searched == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// Reads ahead until there are `len` bytes; says whether there are.
    async fn read_to(&mut self, len: usize) -> io::Result<bool> {
        while self.ahead.len() < len {
            self.ahead.reserve(READ_AHEAD);
            if self.wire.read_buf(&mut (&mut self.ahead).limit(READ_AHEAD)).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A value of `len` bytes, its body read to where it stays.
    pub(super) async fn item(&mut self, len: usize, landing: &Landing) -> io::Result<Item> {
        let head_len = len.min(HEADER_LEN);
        if !self.read_to(head_len).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let head = self.ahead.split_to(head_len).freeze();
        let whole = len - head_len;
        let mut body = landing.room(index_of(&head), whole);
        body.put(self.ahead.split_to(whole.min(self.ahead.len())));
        while body.len() < whole {
            let missing = whole - body.len();
            if self.wire.read_buf(&mut (&mut body).limit(missing)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.owes_end = true;
        Ok(Item { head, body })
    }

    /// Reads a value that nobody wants.
    pub(super) async fn skip(&mut self, len: usize) -> io::Result<()> {
        let mut missing = len + 2;
        loop {
            let here = missing.min(self.ahead.len());
            self.ahead.advance(here);
            missing -= here;
            if missing == 0 {
                return Ok(());
            }
            self.ahead.clear();
            self.ahead.reserve(SKIP_LEN);
            if self.wire.read_buf(&mut (&mut self.ahead).limit(missing.min(SKIP_LEN))).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &[u8]) -> AnswerReader<&[u8]> {
        AnswerReader::new(bytes)
    }

    async fn item(reader: &mut AnswerReader<&[u8]>, len: usize) -> io::Result<Vec<u8>> {
        let Item { head, body } = reader.item(len, &Landing::of(100)).await?;
        Ok([&head[..], &body[..]].concat())
    }

    #[tokio::test]
    async fn values_hold_any_byte_and_lines_end_where_they_end() {
        let long = [b'\n'; 5000];
        let answers =
            [b"VA 4 O1\r\n\r\nEN\r\nEN\r\nVA 3 O2\r\nabc\r\nVA 5000 O3\r\n", &long[..], b"\r\nHD\r\n"];
        let answers = answers.concat();
        let mut reader = reader(&answers);
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 4 O1");
        assert_eq!(item(&mut reader, 4).await.unwrap(), b"\r\nEN");
        assert_eq!(reader.line().await.unwrap().unwrap(), "EN");
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 3 O2");
        reader.skip(3).await.unwrap();
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 5000 O3");
        assert_eq!(item(&mut reader, 5000).await.unwrap(), long);
        assert_eq!(reader.line().await.unwrap().unwrap(), "HD");
        assert!(reader.line().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn answers_without_an_end_are_errors() {
        let endless = vec![b'x'; 4 * READ_AHEAD];
        assert_eq!(reader(&endless).line().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader(b"VA").line().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(item(&mut reader(b"ab"), 3).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        for (answer, kind) in
            [(&b"abcxx"[..], io::ErrorKind::InvalidData), (b"abc\r", io::ErrorKind::UnexpectedEof)]
        {
            let mut reader = reader(answer);
            assert_eq!(
                item(&mut reader, 3).await.unwrap(),
                b"abc",
                "whose bytes they are is found out by its hash"
            );
            assert_eq!(reader.line().await.unwrap_err().kind(), kind);
        }
        assert_eq!(reader(b"ab").skip(3).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
