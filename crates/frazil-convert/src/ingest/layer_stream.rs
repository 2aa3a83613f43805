//! The layer stream: the data of a layer's files one behind the other, each starting on a block.

use frazil_format::BLOCK_SIZE;

use super::allowance::Allowance;
use super::entries::FileSink;
use crate::ConvertError;
use crate::archive::Sink;
use crate::cut::{Cut, Cutter};

/// Writes a layer stream and gives its chunks away as they are cut.
pub(crate) struct LayerStream<'a, E> {
    cutter: Cutter,
    emit: E,
    allowance: &'a Allowance,
}

impl<'a, E: FnMut(Cut) -> Result<(), ConvertError>> LayerStream<'a, E> {
    pub(crate) fn new(cutter: Cutter, emit: E, allowance: &'a Allowance) -> Self {
        Self { cutter, emit, allowance }
    }

    /// The stream's length so far, in bytes; between files it is a multiple of the block size.
    pub(crate) fn len(&self) -> u64 {
        self.cutter.len()
    }

    pub(crate) fn finish(mut self) -> Result<(), ConvertError> {
        self.cutter.finish(&mut self.emit)
    }
}

impl<E: FnMut(Cut) -> Result<(), ConvertError>> Sink for LayerStream<'_, E> {
    type Error = ConvertError;

    fn data(&mut self, bytes: &[u8]) -> Result<(), ConvertError> {
        self.allowance.take(bytes.len() as u64)?;
        self.cutter.data(bytes, &mut self.emit)
    }

    fn zeros(&mut self, len: u64) -> Result<(), ConvertError> {
        self.allowance.take(len)?;
        self.cutter.zeros(len, &mut self.emit)
    }
}

impl<E: FnMut(Cut) -> Result<(), ConvertError>> FileSink for LayerStream<'_, E> {
    fn start_file(&mut self, _: &[u8], _: u64) -> Result<u64, ConvertError> {
        Ok(self.len())
    }

    fn end_file(&mut self) -> Result<(), ConvertError> {
        self.zeros(self.len().wrapping_neg() % BLOCK_SIZE)
    }
}
