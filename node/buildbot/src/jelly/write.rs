//! Writing values as elements.

use bytes::Bytes;

use super::Value;
use crate::banana::{Element, EncodeError};
use crate::ids::{ObjectId, RemoteId};
use crate::limits::Limits;

/// Writes a value. How long it may be is for [`encode`](crate::banana::encode) to say.
///
/// # Errors
///
/// [`EncodeError::TooDeep`] when values are nested too deep.
pub fn write(value: Value, limits: &Limits) -> Result<Element, EncodeError> {
    Writer::new(limits).write(value)
}

/// Writes values and remembers whose objects are named in them.
#[derive(Debug)]
pub(crate) struct Writer {
    depth_max: usize,
    /// Objects of this side, as often as they are given.
    pub(crate) given: Vec<ObjectId>,
    /// Objects of the peer.
    pub(crate) named: Vec<RemoteId>,
}

impl Writer {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { depth_max: limits.depth(), given: Vec::new(), named: Vec::new() }
    }

    pub(crate) fn write(&mut self, value: Value) -> Result<Element, EncodeError> {
        self.value(value, self.depth_max)
    }

    /// Writes a value nested as deep as `depth`: this function and its helpers call each other that often.
    fn value(&mut self, value: Value, depth: usize) -> Result<Element, EncodeError> {
        let inner = depth.checked_sub(1).ok_or(EncodeError::TooDeep { max: self.depth_max });
        Ok(match value {
            Value::Int(value) => Element::Int(value),
            Value::Long(value) => Element::Long(value),
            Value::Float(value) => Element::Float(value),
            Value::Bytes(bytes) => Element::Bytes(bytes),
            Value::None => typed("None", []),
            Value::Bool(value) => typed("boolean", [Element::word(if value { "true" } else { "false" })]),
            Value::Text(text) => typed("unicode", [Element::Bytes(Bytes::from(text))]),
            Value::List(values) => self.values("list", values, inner?)?,
            Value::Tuple(values) => self.values("tuple", values, inner?)?,
            Value::Set(values) => self.values("set", values, inner?)?,
            Value::Dict(pairs) => self.dictionary(pairs, inner?)?,
            Value::Object(object) => {
                self.given.push(object);
                typed("remote", [Element::Int(object.to_wire())])
            }
            Value::Remote(remote) => {
                self.named.push(remote);
                typed("local", [Element::Int(remote.to_wire())])
            }
            Value::Failure(failure) => {
                let (class, state) = failure.into_state();
                typed(class, [self.value(state, inner?)?])
            }
        })
    }

    fn values(
        &mut self,
        kind: &'static str,
        values: Vec<Value>,
        depth: usize,
    ) -> Result<Element, EncodeError> {
        let mut list = Vec::with_capacity(values.len() + 1);
        list.push(Element::word(kind));
        for value in values {
            list.push(self.value(value, depth)?);
        }
        Ok(Element::List(list))
    }

    fn dictionary(&mut self, pairs: Vec<(Value, Value)>, depth: usize) -> Result<Element, EncodeError> {
        let mut list = Vec::with_capacity(pairs.len() + 1);
        list.push(Element::word("dictionary"));
        for (key, value) in pairs {
            list.push(Element::List(vec![self.value(key, depth)?, self.value(value, depth)?]));
        }
        Ok(Element::List(list))
    }
}

fn typed<const N: usize>(kind: &'static str, rest: [Element; N]) -> Element {
    Element::List([Element::word(kind)].into_iter().chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jelly::Failure;

    #[test]
    fn objects_are_named_from_where_they_are() {
        let mut writer = Writer::new(&Limits::default());
        let (ours, theirs) = (ObjectId::from_wire(3), RemoteId::from_wire(4));
        let value = Value::List(vec![Value::Object(ours), Value::Remote(theirs), Value::Object(ours)]);
        let Ok(Element::List(written)) = writer.write(value) else { panic!("a list") };
        assert_eq!(written[1], typed("remote", [Element::Int(3)]));
        assert_eq!(written[2], typed("local", [Element::Int(4)]));
        assert_eq!(writer.given, [ours, ours]);
        assert_eq!(writer.named, [theirs]);
    }

    #[test]
    fn nesting_is_bounded() {
        let limits = Limits { depth_max: 3, ..Limits::default() };
        let nested = |levels| (0..levels).fold(Value::Int(0), |inner, _| Value::List(vec![inner]));
        assert!(write(nested(3), &limits).is_ok());
        assert_eq!(write(nested(4), &limits), Err(EncodeError::TooDeep { max: 3 }));
    }

    #[test]
    fn a_failure_has_what_a_peer_takes_out_of_it() {
        let failure = Value::Failure(Box::new(Failure::new("a.B", "text")));
        let limits = Limits::default();
        let Ok(Element::List(written)) = write(failure.clone(), &limits) else { panic!("a list") };
        assert_eq!(written[0], Element::word("twisted.spread.pb.CopyableFailure"));
        assert_eq!(crate::jelly::read(Element::List(written), &limits), Ok(failure));
    }
}
