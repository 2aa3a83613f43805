//! What a node says, taken apart: lines and values, from a stream that may break anywhere.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::protocol::{MAX_LINE_LEN, NotAnAnswer};

/// How many bytes are read ahead of what is known to come.
const READ_AHEAD: usize = 16 << 10;

/// Makes it the connection's error.
pub(super) fn not_an_answer(_: NotAnAnswer) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Reads lines and values from a node, and not a byte more into a value than belongs to it.
pub(super) struct AnswerReader<R> {
    wire: R,
    ahead: BytesMut,
}

impl<R: AsyncRead + Unpin> AnswerReader<R> {
    pub(super) fn new(wire: R) -> Self {
        Self { wire, ahead: BytesMut::with_capacity(READ_AHEAD) }
    }

    /// The next line without its end; `None` if the node hung up between two answers.
    pub(super) async fn line(&mut self) -> io::Result<Option<BytesMut>> {
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
            self.ahead.reserve(READ_AHEAD);
            let mut room = (&mut self.ahead).limit(READ_AHEAD);
            if self.wire.read_buf(&mut room).await? == 0 {
                return if searched == 0 { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// A value of so many bytes, and the line's end behind it.
    pub(super) async fn value(&mut self, len: usize) -> io::Result<Bytes> {
        let whole = len + 2;
        let mut value = BytesMut::with_capacity(whole);
        value.put(self.ahead.split_to(whole.min(self.ahead.len())));
        while value.len() < whole {
            let missing = whole - value.len();
            if self.wire.read_buf(&mut (&mut value).limit(missing)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !value.ends_with(b"\r\n") {
            return Err(not_an_answer(NotAnAnswer));
        }
        value.truncate(len);
        Ok(value.freeze())
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
            self.ahead.reserve(READ_AHEAD);
            if self.wire.read_buf(&mut (&mut self.ahead).limit(missing.min(READ_AHEAD))).await? == 0 {
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

    #[tokio::test]
    async fn values_hold_any_byte_and_lines_end_where_they_end() {
        let mut reader = reader(b"VA 4 O1\r\n\r\nEN\r\nEN\r\nVA 3 O2\r\nabc\r\nHD\r\n");
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 4 O1");
        assert_eq!(reader.value(4).await.unwrap(), "\r\nEN");
        assert_eq!(reader.line().await.unwrap().unwrap(), "EN");
        assert_eq!(reader.line().await.unwrap().unwrap(), "VA 3 O2");
        reader.skip(3).await.unwrap();
        assert_eq!(reader.line().await.unwrap().unwrap(), "HD");
        assert!(reader.line().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn answers_without_an_end_are_errors() {
        let endless = vec![b'x'; 4 * READ_AHEAD];
        assert_eq!(reader(&endless).line().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader(b"VA").line().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader(b"ab").value(3).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(reader(b"abcxx").value(3).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(reader(b"ab").skip(3).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
