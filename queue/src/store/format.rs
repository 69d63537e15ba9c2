//! Rows as bytes. `FORMAT.md` has them, field by field.
//!
//! A value carries a checksum over its key and itself, so that a row that is damaged, cut or under another row's key is
//! found. Whatever bytes are read: they never make this panic, and nothing is allocated that they only claim to hold.

mod fields;
mod key;
mod outcome;
mod value;

use bytes::{BufMut, Bytes, BytesMut};

use self::fields::Fields;
pub(crate) use self::fields::Malformed;
use self::key::decode_key;
pub(crate) use self::key::encode_key;
use super::blobs::BlobName;
use super::row::Row;

/// The format that this version writes, and the only one that it reads: format 1 was in no release.
pub(crate) const FORMAT: u32 = 2;

/// Longest content of a row, in bytes: far above what the limits of commands allow.
pub(crate) const ROW_BYTES_MAX: usize = 16 << 20;

/// Longest content that stays in the database, in bytes. Longer ones would be copied along when their neighbours change.
pub(crate) const INLINE_BYTES_MAX: usize = 16 << 10;

/// Bytes of the checksum at a value's end.
const CHECKSUM_BYTES: usize = 8;

/// A row as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// What goes under its key.
    pub(crate) value: Bytes,
    /// What goes into a side file first.
    pub(crate) blob: Option<(BlobName, Bytes)>,
}

/// Where the content of a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// In the value.
    Inline(Bytes),
    /// In a side file.
    Blob {
        /// Its name.
        name: BlobName,
        /// Its length, in bytes; at most [`ROW_BYTES_MAX`].
        len: usize,
    },
}

/// Writes a row. Its content goes into the value up to `inline_bytes_max`, else into a side file.
///
/// # Errors
///
/// The length of the content if that is above [`ROW_BYTES_MAX`].
pub(crate) fn encode_row(key: &[u8], row: &Row, inline_bytes_max: usize) -> Result<Encoded, usize> {
    let mut content = BytesMut::new();
    value::put_row(row, &mut content);
    if content.len() > ROW_BYTES_MAX {
        return Err(content.len());
    }
    if content.len() <= inline_bytes_max {
        return Ok(Encoded { value: seal_inline(key, &content), blob: None });
    }
    let name = blob_name(key, &content);
    let mut reference = BytesMut::new();
    reference.put_slice(&name.to_bytes());
    reference.put_u64(content.len() as u64);
    let value = seal(key, Placement::Blob, &reference);
    Ok(Encoded { value, blob: Some((name, content.freeze())) })
}

/// Makes a value of a content that is no row.
pub(crate) fn seal_inline(key: &[u8], content: &[u8]) -> Bytes {
    seal(key, Placement::Inline, content)
}

/// Returns the checksum of a value, right or wrong.
pub(crate) fn checksum_in(value: &[u8]) -> u64 {
    value.last_chunk().map_or(0, |checksum| u64::from_be_bytes(*checksum))
}

/// Checks a value and says where its content is.
pub(crate) fn decode_value(key: &[u8], mut value: Bytes) -> Result<Content, Malformed> {
    let sealed_len = value.len().checked_sub(CHECKSUM_BYTES).ok_or(Malformed("value without checksum"))?;
    let checksum = value.split_off(sealed_len);
    if checksum != checksum_of(key, &value)[..] {
        return Err(Malformed("value with a wrong checksum"));
    }
    let mut fields = Fields::new(value);
    match fields.u8()? {
        0 => Ok(Content::Inline(fields.into_rest())),
        1 => {
            let name = BlobName::from_bytes(fields.array()?);
            let len = usize::try_from(fields.u64()?).ok().filter(|len| *len <= ROW_BYTES_MAX);
            fields.finish()?;
            Ok(Content::Blob { name, len: len.ok_or(Malformed("side file above the limit"))? })
        }
        _ => Err(Malformed("value of an unknown placement")),
    }
}

/// Checks what was read from a side file.
pub(crate) fn check_blob(key: &[u8], name: BlobName, content: &[u8]) -> Result<(), Malformed> {
    if blob_name(key, content) == name { Ok(()) } else { Err(Malformed("side file with a wrong checksum")) }
}

/// Reads a row from its key and its whole content.
pub(crate) fn decode_row(key: &[u8], content: Bytes) -> Result<Row, Malformed> {
    let key = decode_key(key)?;
    let mut fields = Fields::new(content);
    let row = value::row(key, &mut fields)?;
    fields.finish()?;
    Ok(row)
}

/// Writes a row's key and content as they are stored, without checksum: for tests and fuzzing.
#[cfg(any(test, feature = "sim"))]
pub fn write_row(row: &Row) -> (Bytes, Bytes) {
    let mut content = BytesMut::new();
    value::put_row(row, &mut content);
    (encode_key(&row.key()), content.freeze())
}

/// Reads what [`write_row`] has written, or any other bytes; `None` if no row is written so.
#[cfg(any(test, feature = "sim"))]
pub fn read_row(key: &[u8], content: &[u8]) -> Option<Row> {
    decode_row(key, Bytes::copy_from_slice(content)).ok()
}

#[derive(Clone, Copy)]
enum Placement {
    Inline = 0,
    Blob = 1,
}

fn seal(key: &[u8], placement: Placement, content: &[u8]) -> Bytes {
    let mut value = BytesMut::with_capacity(1 + content.len() + CHECKSUM_BYTES);
    value.put_u8(placement as u8);
    value.put_slice(content);
    let checksum = checksum_of(key, &value);
    value.put_slice(&checksum);
    value.freeze()
}

fn checksum_of(key: &[u8], sealed: &[u8]) -> [u8; CHECKSUM_BYTES] {
    hash(key, sealed)
}

/// Equal contents of equal rows have equal names, so that a batch may be applied again; all others differ, so that a
/// row's old content stays while the new one is written.
fn blob_name(key: &[u8], content: &[u8]) -> BlobName {
    BlobName::from_bytes(hash(key, content))
}

/// The first bytes of BLAKE3 over the key's length, the key and the content.
fn hash<const N: usize>(key: &[u8], content: &[u8]) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes()).update(key).update(content);
    let mut hash = [0; N];
    hasher.finalize_xof().fill(&mut hash);
    hash
}
