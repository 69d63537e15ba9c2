//! Keys of rows: they sort as bytes like they sort as [`RowKey`]s.

use bytes::{BufMut, Bytes, BytesMut};
use runnel_codec::{CommandKey, NodeId};

use super::fields::{Fields, Malformed, put_key, put_node};
use crate::store::row::RowKey;

/// The first byte of a key. Gaps leave room for later kinds beside their relatives.
mod kind {
    pub(super) const STORE: u8 = 0x01;
    pub(super) const RECEIVER: u8 = 0x10;
    pub(super) const COMMAND: u8 = 0x11;
    pub(super) const PROGRESS: u8 = 0x12;
    pub(super) const UPDATE: u8 = 0x13;
    pub(super) const OUTCOME: u8 = 0x14;
    pub(super) const SENDER: u8 = 0x20;
    pub(super) const RUN: u8 = 0x21;
    pub(super) const TOKEN: u8 = 0x22;
    pub(super) const OUTPUT: u8 = 0x23;
    pub(super) const RESULT_PIECE: u8 = 0x24;
}

/// Writes a key.
pub(crate) fn encode_key(key: &RowKey) -> Bytes {
    let mut out = BytesMut::with_capacity(KEY_BYTES_USUAL);
    match key {
        RowKey::Store => out.put_u8(kind::STORE),
        RowKey::Receiver(peer) => put_peer(kind::RECEIVER, peer, &mut out),
        RowKey::Command(peer, key) => put_command(kind::COMMAND, peer, *key, &mut out),
        RowKey::Progress(peer, key) => put_command(kind::PROGRESS, peer, *key, &mut out),
        RowKey::Update(peer, key, number) => put_numbered(kind::UPDATE, peer, *key, *number, &mut out),
        RowKey::Outcome(peer, key) => put_command(kind::OUTCOME, peer, *key, &mut out),
        RowKey::Sender(peer) => put_peer(kind::SENDER, peer, &mut out),
        RowKey::Run(peer, key) => put_command(kind::RUN, peer, *key, &mut out),
        RowKey::Token(peer, key) => put_command(kind::TOKEN, peer, *key, &mut out),
        RowKey::Output(peer, key, number) => put_numbered(kind::OUTPUT, peer, *key, *number, &mut out),
        RowKey::ResultPiece(peer, key, offset) => {
            put_numbered(kind::RESULT_PIECE, peer, *key, *offset, &mut out);
        }
    }
    out.freeze()
}

/// Reads a key.
pub(super) fn decode_key(key: &[u8]) -> Result<RowKey, Malformed> {
    let mut fields = Fields::new(Bytes::copy_from_slice(key));
    let key = match fields.u8()? {
        kind::STORE => RowKey::Store,
        kind::RECEIVER => RowKey::Receiver(fields.node()?),
        kind::COMMAND => RowKey::Command(fields.node()?, fields.key()?),
        kind::PROGRESS => RowKey::Progress(fields.node()?, fields.key()?),
        kind::UPDATE => RowKey::Update(fields.node()?, fields.key()?, fields.u64()?),
        kind::OUTCOME => RowKey::Outcome(fields.node()?, fields.key()?),
        kind::SENDER => RowKey::Sender(fields.node()?),
        kind::RUN => RowKey::Run(fields.node()?, fields.key()?),
        kind::TOKEN => RowKey::Token(fields.node()?, fields.key()?),
        kind::OUTPUT => RowKey::Output(fields.node()?, fields.key()?, fields.u64()?),
        kind::RESULT_PIECE => RowKey::ResultPiece(fields.node()?, fields.key()?, fields.u64()?),
        _ => return Err(Malformed("row of an unknown kind")),
    };
    fields.finish()?;
    Ok(key)
}

/// Enough for a name of 20 letters and all numbers.
const KEY_BYTES_USUAL: usize = 48;

fn put_peer(kind: u8, peer: &NodeId, out: &mut BytesMut) {
    out.put_u8(kind);
    put_node(peer, out);
}

fn put_command(kind: u8, peer: &NodeId, key: CommandKey, out: &mut BytesMut) {
    put_peer(kind, peer, out);
    put_key(key, out);
}

fn put_numbered(kind: u8, peer: &NodeId, key: CommandKey, number: u64, out: &mut BytesMut) {
    put_command(kind, peer, key, out);
    out.put_u64(number);
}
