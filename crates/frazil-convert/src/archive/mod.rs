//! A reader of tar archives that takes nothing on trust: members in order, their data streamed, holes as holes.
//!
//! Invariant: what it accepts, it reads as GNU tar and Go's `archive/tar` (umoci, containerd, docker) do, so that
//! an image holds the files that its scanner saw. docs/decisions has why this is not the `tar` crate. Whoever
//! reads to the end marker must still read the rest of the bytes, for the digest: [`ArchiveReader::into_inner`].
//! Formats: see `header`, `pax` and `sparse`.

mod error;
mod header;
mod input;
mod member;
mod path;
mod pax;
mod sparse;
mod xattr;

use std::io::BufRead;

pub use error::ArchiveError;
pub(crate) use member::{Member, MemberKind};
pub(crate) use path::{NAME_MAX, PATH_MAX, split};

use header::{Header, RECORD_BYTES, SparseBlock};
use input::Input;
use member::{Extensions, Flag, assemble, classify, shown};
use pax::Records;
use sparse::{Extent, MAX_EXTENTS, MapText, SparseMap};

/// The most data of one extended header or long name, in bytes; Go's reader has the same bound.
const MAX_EXTENSION_BYTES: u64 = 1 << 20;
/// The most extended headers in front of one member.
const MAX_EXTENSIONS: usize = 64;

/// Where a member's data goes.
pub(crate) trait Sink {
    /// Why data could not be taken.
    type Error: From<ArchiveError>;
    /// The next bytes.
    fn data(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
    /// The next `len` bytes are zero.
    fn zeros(&mut self, len: u64) -> Result<(), Self::Error>;
}

/// Reads an archive from its first byte to its end marker.
pub(crate) struct ArchiveReader<R> {
    input: Input<R>,
    /// What of the current member's data was not read yet, in bytes.
    unread: u64,
    /// The padding that fills its last record, in bytes.
    padding: u64,
    map: Option<SparseMap>,
}

impl<R: BufRead> ArchiveReader<R> {
    pub(crate) fn new(bytes: R) -> Self {
        Self { input: Input::new(bytes), unread: 0, padding: 0, map: None }
    }

    /// What the bytes come from, to read on behind the end marker.
    pub(crate) fn into_inner(self) -> R {
        self.input.into_inner()
    }

    /// The next member, or none at the end. Data of the current one that was not copied is passed over.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>, ArchiveError> {
        if !self.finish_member()? {
            return Ok(None);
        }
        let mut extensions = None;
        for _ in 0..MAX_EXTENSIONS {
            let offset = self.input.offset();
            let Some(header) = self.header()? else {
                return if extensions.is_none() { Ok(None) } else { Err(self.input.truncated()) };
            };
            match header.type_flag() {
                b'x' | b'L' | b'K' => {
                    self.extension(&header, extensions.get_or_insert_default(), offset)?;
                }
                b'g' if extensions.is_none() => self.pass_over_global(&header, offset)?,
                b'g' => {
                    // Some readers keep what was said before a global header for the next member, others
                    // forget it.
                    let reason = "a global header stands between a member and its extended header";
                    return Err(ArchiveError::Header { offset, reason });
                }
                _ => return self.member(&header, extensions.unwrap_or_default(), offset).map(Some),
            }
        }
        Err(ArchiveError::Header {
            offset: self.input.offset(),
            reason: "too many extended headers for one member",
        })
    }

    /// Copies the current member's data, holes included.
    pub(crate) fn copy_data<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let Some(map) = self.map.take() else {
            let len = std::mem::take(&mut self.unread);
            return self.input.copy(len, |bytes| sink.data(bytes));
        };
        let mut end = 0;
        for Extent { offset, len } in map.extents {
            sink.zeros(offset - end)?;
            self.input.copy(len, |bytes| sink.data(bytes))?;
            self.unread -= len;
            end = offset + len;
        }
        sink.zeros(map.real_size - end)
    }

    /// Passes over what is left of the current member; false if the archive ends there. A last record that is not
    /// filled up ends it as well: a writer that was not closed leaves that, and other readers accept it.
    fn finish_member(&mut self) -> Result<bool, ArchiveError> {
        self.map = None;
        let unread = std::mem::take(&mut self.unread);
        if self.input.skip(unread)? != unread {
            return Err(self.input.truncated());
        }
        let padding = std::mem::take(&mut self.padding);
        Ok(self.input.skip(padding)? == padding)
    }

    fn header(&mut self) -> Result<Option<Header>, ArchiveError> {
        let offset = self.input.offset();
        let Some(record) = self.input.record()? else { return Ok(None) };
        if record != [0; RECORD_BYTES] {
            return Header::parse(record).map(Some).map_err(|reason| ArchiveError::Header { offset, reason });
        }
        match self.input.record()? {
            Some(second) if second != [0; RECORD_BYTES] => {
                Err(ArchiveError::Header { offset, reason: "a lone zero record is no end marker" })
            }
            _ => Ok(None),
        }
    }

    /// Passes over a global header, as all container tools do: what it could say is about the archive, such as a
    /// commit's id.
    fn pass_over_global(&mut self, header: &Header, offset: u64) -> Result<(), ArchiveError> {
        self.set_data(own_size(header, offset)?);
        if self.finish_member()? { Ok(()) } else { Err(self.input.truncated()) }
    }

    /// Reads an extended header or a long name. Its own size is never overridden by another one.
    fn extension(&mut self, header: &Header, into: &mut Extensions, offset: u64) -> Result<(), ArchiveError> {
        let len = own_size(header, offset)?;
        if len > MAX_EXTENSION_BYTES {
            return Err(ArchiveError::ExtensionTooLarge { offset, len, limit: MAX_EXTENSION_BYTES });
        }
        self.set_data(len);
        let at = self.input.offset();
        let mut data = Vec::new();
        self.unread = 0;
        self.input.copy(len, |bytes| -> Result<(), ArchiveError> {
            data.extend_from_slice(bytes);
            Ok(())
        })?;
        // An empty long name says nothing.
        let long = || Some(header::text(&data).to_vec()).filter(|name| !name.is_empty());
        match header.type_flag() {
            b'L' => into.long_name = long(),
            b'K' => into.long_link = long(),
            _ => {
                let invalid = |reason| ArchiveError::Extension { offset: at, reason };
                into.records = Records::parse(&data).map_err(invalid)?;
            }
        }
        if self.finish_member()? { Ok(()) } else { Err(self.input.truncated()) }
    }

    fn member(
        &mut self,
        header: &Header,
        extensions: Extensions,
        offset: u64,
    ) -> Result<Member, ArchiveError> {
        let name = extensions.name(header);
        let flag = classify(header.type_flag(), &name);
        let len = if flag == Flag::Other {
            // Links, directories and devices have no data, whatever their size field says.
            0
        } else {
            let reason = "its size is not a number";
            extensions.size(header).ok_or_else(|| ArchiveError::Member {
                offset,
                path: shown(&name),
                reason,
            })?
        };
        self.set_data(len);
        let invalid = |reason| ArchiveError::Sparse { offset, path: shown(&name), reason };
        if extensions.records.sparse.name.is_some() && !(flag == Flag::File && extensions.records.is_sparse())
        {
            // Some readers take this name for the member's, others do not.
            return Err(invalid("it has the name of a sparse file, and is none"));
        }
        if flag == Flag::GnuSparse || (flag == Flag::File && extensions.records.is_sparse()) {
            let (extents, real_size) = match flag {
                Flag::GnuSparse => self.gnu_sparse(header, &invalid)?,
                _ => self.pax_sparse(&extensions.records, &invalid)?,
            };
            self.map = Some(SparseMap::check(extents, real_size, self.unread).map_err(invalid)?);
        }
        let size = self.map.as_ref().map_or(len, |map| map.real_size);
        assemble(header, extensions, size, offset)
    }

    fn set_data(&mut self, len: u64) {
        self.map = None;
        self.unread = len;
        self.padding = len.wrapping_neg() % RECORD_BYTES as u64;
    }

    /// The old GNU map: in the header, and in further records behind it that do not count as data.
    fn gnu_sparse(
        &mut self,
        header: &Header,
        invalid: &impl Fn(&'static str) -> ArchiveError,
    ) -> Result<(Vec<Extent>, u64), ArchiveError> {
        let real_size = header.gnu_real_size().filter(|_| header.is_gnu());
        let real_size = real_size.ok_or_else(|| invalid("its header is not of the GNU format"))?;
        let mut extents = Vec::new();
        let block = header.gnu_sparse();
        let mut continues = block.continues;
        add_extents(&mut extents, &block, invalid)?;
        while continues {
            let record = self.input.record()?.ok_or_else(|| self.input.truncated())?;
            let block = SparseBlock::extension(&record);
            add_extents(&mut extents, &block, invalid)?;
            continues = block.continues;
        }
        Ok((extents, real_size))
    }

    /// A map in the extended header (versions 0.0 and 0.1) or in front of the data (1.0).
    fn pax_sparse(
        &mut self,
        records: &Records,
        invalid: &impl Fn(&'static str) -> ArchiveError,
    ) -> Result<(Vec<Extent>, u64), ArchiveError> {
        let sparse = &records.sparse;
        let real_size = sparse.real_size.ok_or_else(|| invalid("its real size is missing"))?;
        let in_data = sparse.major == Some(1);
        let numbers = match &sparse.map {
            _ if in_data => self.map_in_data(invalid)?,
            Some(map) => map.clone(),
            None => Vec::new(),
        };
        let extents = SparseMap::pairs(&numbers).map_err(invalid)?;
        if !in_data && sparse.extents.is_some_and(|count| count != extents.len() as u64) {
            return Err(invalid("the map has not as many extents as it says"));
        }
        Ok((extents, real_size))
    }

    fn map_in_data(
        &mut self,
        invalid: &impl Fn(&'static str) -> ArchiveError,
    ) -> Result<Vec<u64>, ArchiveError> {
        let mut text = MapText::default();
        loop {
            let left = self.unread.checked_sub(RECORD_BYTES as u64);
            self.unread = left.ok_or_else(|| invalid("the map is longer than the data"))?;
            let record = self.input.record()?.ok_or_else(|| self.input.truncated())?;
            if text.take(&record).map_err(invalid)? {
                return Ok(text.into_numbers());
            }
        }
    }
}

fn own_size(header: &Header, offset: u64) -> Result<u64, ArchiveError> {
    header.size().ok_or(ArchiveError::Header { offset, reason: "its size is not a number" })
}

fn add_extents(
    extents: &mut Vec<Extent>,
    block: &SparseBlock<'_>,
    invalid: &impl Fn(&'static str) -> ArchiveError,
) -> Result<(), ArchiveError> {
    for extent in block.extents() {
        let (offset, len) = extent.ok_or_else(|| invalid("a number of its map is none"))?;
        if extents.len() >= MAX_EXTENTS {
            return Err(invalid("the map has more than 262,144 extents"));
        }
        extents.push(Extent { offset, len });
    }
    Ok(())
}
