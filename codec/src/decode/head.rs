//! Reading a head.

use bytes::Bytes;

use super::fields::Fields;
use super::frame_reader::check_len;
use crate::class::Class;
use crate::encode::head_flag;
use crate::error::DecodeError;
use crate::head::{Head, UpdatePolicy};
use crate::limits::Limits;
use crate::names::KnownNames;

/// Bytes that a head may have besides its arguments.
pub(super) const HEAD_OVERHEAD_BYTES_MAX: usize = 512;

/// Reads the content of a complete head.
pub(super) fn decode_head(content: Bytes, limits: &Limits, names: &KnownNames) -> Result<Head, DecodeError> {
    let mut fields = Fields::new("head", content);
    let flags = fields.u8()?;
    if flags & !head_flag::ALL != 0 {
        return Err(DecodeError::Malformed { what: "head with unknown flags" });
    }
    let has = |flag: u8| flags & flag != 0;
    let class = fields.choice(Class::from_wire)?;
    let updates = fields.choice(UpdatePolicy::from_wire)?;
    let name_len = fields.u8()?.into();
    let key = fields.key()?;
    let deadline = fields.millis()?;
    if !has(head_flag::HAS_DEADLINE) && !deadline.is_zero() {
        return Err(DecodeError::Malformed { what: "head with a deadline that its flags deny" });
    }
    let head = Head {
        key,
        class,
        idempotent: has(head_flag::IDEMPOTENT),
        cancelled: has(head_flag::CANCELLED),
        resent: has(head_flag::RESENT),
        started: has(head_flag::STARTED),
        early: has(head_flag::EARLY),
        updates,
        deadline_remaining: has(head_flag::HAS_DEADLINE).then_some(deadline),
        updates_received: fields.u64()?,
        result_body_received: fields.u64()?,
        updates_credit: fields.u64()?,
        result_body_credit: fields.u64()?,
        payload_bytes: fields.u32()?,
        has_body: has(head_flag::HAS_BODY),
        name: fields.text(name_len, |text| names.intern(text))?,
        args: fields.into_rest(),
    };
    check_len("arguments", head.args.len() as u64, limits.args_bytes_max)?;
    check_len("payload", head.payload_bytes.into(), limits.payload_bytes_max)?;
    Ok(head)
}
