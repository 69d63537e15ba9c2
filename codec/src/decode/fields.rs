//! Reading the fields of one complete frame.

use std::time::Duration;

use bytes::{Buf, Bytes};

use crate::error::DecodeError;
use crate::id::{CommandKey, Epoch, Seq};
use crate::varint::PartialVarint;

/// The rest of a frame's content. Every read takes from the front and fails at the end.
pub(crate) struct Fields {
    what: &'static str,
    rest: Bytes,
}

impl Fields {
    /// Reads `content` of the frame that errors call `what`.
    pub(crate) fn new(what: &'static str, content: Bytes) -> Self {
        Self { what, rest: content }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.check(1)?;
        Ok(self.rest.get_u8())
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.check(4)?;
        Ok(self.rest.get_u32())
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.check(8)?;
        Ok(self.rest.get_u64())
    }

    pub(crate) fn millis(&mut self) -> Result<Duration, DecodeError> {
        self.u64().map(Duration::from_millis)
    }

    pub(crate) fn hash(&mut self) -> Result<[u8; 32], DecodeError> {
        self.check(32)?;
        let mut hash = [0; 32];
        self.rest.copy_to_slice(&mut hash);
        Ok(hash)
    }

    pub(crate) fn key(&mut self) -> Result<CommandKey, DecodeError> {
        let epoch = self.nonzero(Epoch::from_wire)?;
        let seq = self.nonzero(Seq::from_wire)?;
        Ok(CommandKey { epoch, seq })
    }

    /// Reads a number for which `from_wire` refuses 0.
    pub(crate) fn nonzero<T>(&mut self, from_wire: fn(u64) -> Option<T>) -> Result<T, DecodeError> {
        let number = self.u64()?;
        from_wire(number).ok_or_else(|| self.malformed())
    }

    /// Reads one byte that is a row of a table.
    pub(crate) fn choice<T>(&mut self, from_wire: fn(u8) -> Option<T>) -> Result<T, DecodeError> {
        let byte = self.u8()?;
        from_wire(byte).ok_or_else(|| self.malformed())
    }

    /// Reads the number of elements of a list, each of which takes at least `element_bytes_min`.
    pub(crate) fn count(&mut self, element_bytes_min: usize) -> Result<usize, DecodeError> {
        let mut input = &self.rest[..];
        let count = PartialVarint::default().read(&mut input)?.ok_or_else(|| self.malformed())?;
        let used = self.rest.len() - input.len();
        self.rest.advance(used);
        let possible = self.rest.len() / element_bytes_min;
        usize::try_from(count).ok().filter(|count| *count <= possible).ok_or_else(|| self.malformed())
    }

    /// Reads a text of one to 255 bytes and makes a name of it.
    pub(crate) fn name<T, E>(&mut self, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, DecodeError> {
        let len = self.u8()?.into();
        self.text(len, parse)
    }

    /// Reads a text of `len` bytes and makes a name of it.
    pub(crate) fn text<T, E>(
        &mut self,
        len: usize,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, DecodeError> {
        self.check(len)?;
        let parsed = std::str::from_utf8(&self.rest[..len]).ok().and_then(|text| parse(text).ok());
        self.rest.advance(len);
        parsed.ok_or_else(|| self.malformed())
    }

    /// Returns how many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Returns all that is left.
    pub(crate) fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Checks that nothing is left.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }

    pub(crate) fn malformed(&self) -> DecodeError {
        DecodeError::Malformed { what: self.what }
    }

    fn check(&self, len: usize) -> Result<(), DecodeError> {
        if self.rest.len() < len { Err(self.malformed()) } else { Ok(()) }
    }
}
