//! Writing and reading the fields of a row.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use runnel_codec::{CommandKey, CommandName, Epoch, NodeId, Seq};

/// What was read is nothing that was ever written. The text says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Bytes of which every read takes from the front.
#[derive(Debug)]
pub(super) struct Fields {
    rest: Bytes,
}

impl Fields {
    pub(super) fn new(content: Bytes) -> Self {
        Self { rest: content }
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128, Malformed> {
        self.array().map(u128::from_be_bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let array = *self.rest.first_chunk().ok_or(Malformed("row that ends early"))?;
        self.rest.advance(N);
        Ok(array)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("flag that is neither 0 nor 1")),
        }
    }

    /// Reads what a flag says is there.
    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        if self.flag()? { read(self).map(Some) } else { Ok(None) }
    }

    /// Reads a list of which each element takes at least one byte.
    pub(super) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let count = self.u32()?;
        // Not allocated at once: the count is only a claim.
        (0..count).map(|_| read(self)).collect()
    }

    /// Reads one byte that is a row of a table.
    pub(super) fn choice<T: Copy>(&mut self, table: &[T]) -> Result<T, Malformed> {
        table.get(usize::from(self.u8()?)).copied().ok_or(Malformed("number of an unknown choice"))
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let len = self.u32()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.rest.len() => Ok(self.rest.split_to(len)),
            _ => Err(Malformed("bytes that end early")),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let bytes = self.bytes()?;
        std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| Malformed("text that is not UTF-8"))
    }

    /// Reads the name of a node, which a 0 ends.
    pub(super) fn node(&mut self) -> Result<NodeId, Malformed> {
        let len = self.rest.iter().position(|byte| *byte == 0).ok_or(Malformed("name without end"))?;
        let name = self.rest.split_to(len);
        self.rest.advance(1);
        let name = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok());
        name.ok_or(Malformed("name that no node can have"))
    }

    pub(super) fn command_name(&mut self) -> Result<CommandName, Malformed> {
        self.text()?.parse().map_err(|_| Malformed("name that no command can have"))
    }

    pub(super) fn epoch(&mut self) -> Result<Epoch, Malformed> {
        Epoch::from_wire(self.u64()?).ok_or(Malformed("epoch 0"))
    }

    pub(super) fn seq(&mut self) -> Result<Seq, Malformed> {
        Seq::from_wire(self.u64()?).ok_or(Malformed("command number 0"))
    }

    pub(super) fn key(&mut self) -> Result<CommandKey, Malformed> {
        Ok(CommandKey { epoch: self.epoch()?, seq: self.seq()? })
    }

    pub(super) fn duration(&mut self) -> Result<Duration, Malformed> {
        let (secs, nanos) = (self.u64()?, self.u32()?);
        if nanos >= 1_000_000_000 {
            return Err(Malformed("duration with too many nanoseconds"));
        }
        Ok(Duration::new(secs, nanos))
    }

    /// Returns all that is left.
    pub(super) fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Checks that nothing is left.
    pub(super) fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed("row that does not end")) }
    }
}

pub(super) fn put_option<T>(value: Option<T>, out: &mut BytesMut, put: impl FnOnce(T, &mut BytesMut)) {
    out.put_u8(value.is_some().into());
    if let Some(value) = value {
        put(value, out);
    }
}

pub(super) fn put_list<T>(list: &[T], out: &mut BytesMut, mut put: impl FnMut(&T, &mut BytesMut)) {
    out.put_u32(len_of(list));
    for element in list {
        put(element, out);
    }
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut BytesMut) {
    out.put_u32(len_of(bytes));
    out.put_slice(bytes);
}

pub(super) fn put_node(node: &NodeId, out: &mut BytesMut) {
    out.put_slice(node.as_str().as_bytes());
    out.put_u8(0);
}

pub(super) fn put_epoch(epoch: Epoch, out: &mut BytesMut) {
    out.put_u64(epoch.to_wire());
}

pub(super) fn put_key(key: CommandKey, out: &mut BytesMut) {
    put_epoch(key.epoch, out);
    out.put_u64(key.seq.to_wire());
}

pub(super) fn put_duration(duration: Duration, out: &mut BytesMut) {
    out.put_u64(duration.as_secs());
    out.put_u32(duration.subsec_nanos());
}

fn len_of<T>(list: &[T]) -> u32 {
    // A row that long would not fit in memory twice, and is refused as too large after it was written.
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}
