//! Bytes on their way from one stage of an ingestion to the next, in pieces through a bounded queue.
//!
//! Invariant: a stage that dies is not mistaken for the end of its bytes. The end is a piece of its own, an empty
//! one; a queue that closes without it means [`ConvertError::Stopped`].

use std::io::{self, BufRead, Read};

use bytes::{Buf, Bytes};

use crate::ConvertError;

/// The size of a piece in bytes.
pub(super) const PIECE_BYTES: usize = 256 << 10;
/// How many pieces wait between two stages.
pub(super) const QUEUED_PIECES: usize = 8;

/// Bytes, the end (no bytes), or why there are no more.
pub(super) type Piece = Result<Bytes, ConvertError>;

/// The receiving end of a queue as a reader, with a look at each piece as it passes.
pub(super) struct Pieces<R, L> {
    receive: R,
    look: L,
    current: Bytes,
    ended: bool,
}

impl<R, L> Pieces<R, L>
where
    R: FnMut() -> Option<Piece>,
    L: FnMut(&[u8]) -> Result<(), ConvertError>,
{
    pub(super) fn new(receive: R, look: L) -> Self {
        Self { receive, look, current: Bytes::new(), ended: false }
    }

    /// The rest of the current piece, or the next one; empty at the end.
    pub(super) fn next_piece(&mut self) -> Piece {
        self.refill()?;
        Ok(std::mem::take(&mut self.current))
    }

    fn refill(&mut self) -> Result<(), ConvertError> {
        if self.current.is_empty() && !self.ended {
            let piece = (self.receive)().unwrap_or(Err(ConvertError::Stopped))?;
            self.ended = piece.is_empty();
            (self.look)(&piece)?;
            self.current = piece;
        }
        Ok(())
    }
}

impl<R, L> BufRead for Pieces<R, L>
where
    R: FnMut() -> Option<Piece>,
    L: FnMut(&[u8]) -> Result<(), ConvertError>,
{
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.refill().map_err(io::Error::other)?;
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count.min(self.current.len()));
    }
}

impl<R, L> Read for Pieces<R, L>
where
    R: FnMut() -> Option<Piece>,
    L: FnMut(&[u8]) -> Result<(), ConvertError>,
{
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
