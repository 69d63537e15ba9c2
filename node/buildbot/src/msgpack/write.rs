//! Values as the bytes of MessagePack, each as short as it can be.

use rmp::encode;

use crate::jelly::Value;

/// A value has no form in MessagePack: an integer beyond 64 bits, a longer text than a length can say, or something that
/// belongs to the other protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value cannot be said in MessagePack")]
pub struct WriteError;

/// Writes a value. Tuples and sets become lists.
///
/// # Errors
///
/// When the value has no form in MessagePack.
pub fn write(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::new();
    append(value, &mut out)?;
    Ok(out)
}

fn append(value: &Value, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let written = match value {
        Value::None => encode::write_nil(out).is_ok(),
        Value::Bool(flag) => encode::write_bool(out, *flag).is_ok(),
        Value::Int(number) => encode::write_sint(out, *number).is_ok(),
        Value::Long(number) => {
            let number = number.to_i128().and_then(|number| u64::try_from(number).ok()).ok_or(WriteError)?;
            encode::write_uint(out, number).is_ok()
        }
        Value::Float(number) => encode::write_f64(out, *number).is_ok(),
        Value::Text(text) => len_of(text.len()).and_then(|_| encode::write_str(out, text).ok()).is_some(),
        Value::Bytes(bytes) => len_of(bytes.len()).and_then(|_| encode::write_bin(out, bytes).ok()).is_some(),
        Value::List(values) | Value::Tuple(values) | Value::Set(values) => {
            let len = len_of(values.len()).ok_or(WriteError)?;
            encode::write_array_len(out, len).map_err(|_| WriteError)?;
            return values.iter().try_for_each(|value| append(value, out));
        }
        Value::Dict(pairs) => {
            let len = len_of(pairs.len()).ok_or(WriteError)?;
            encode::write_map_len(out, len).map_err(|_| WriteError)?;
            return pairs.iter().try_for_each(|(key, value)| {
                append(key, out)?;
                append(value, out)
            });
        }
        Value::Object(_) | Value::Remote(_) | Value::Failure(_) => false,
    };
    if written { Ok(()) } else { Err(WriteError) }
}

/// Returns a length that can be said.
fn len_of(len: usize) -> Option<u32> {
    u32::try_from(len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::RemoteId;

    #[test]
    fn what_has_no_form_is_refused_wherever_it_is() {
        let object = Value::Remote(RemoteId::from_wire(1));
        let wide = Value::from(i128::from(u64::MAX) + 1);
        for value in [object, wide, Value::from(i128::from(i64::MIN) - 1)] {
            assert_eq!(write(&Value::List(vec![value.clone()])), Err(WriteError));
            assert_eq!(write(&Value::Dict(vec![("a".into(), value)])), Err(WriteError));
        }
        assert!(write(&Value::from(i128::from(u64::MAX))).is_ok());
    }
}
