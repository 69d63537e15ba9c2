//! Reading values out of elements.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::size::Size;
use super::{Failure, Value};
use crate::banana::Element;
use crate::ids::{ObjectId, RemoteId};
use crate::limits::Limits;

/// Why an element is no value that is known here. The connection can go on: the peer's call is answered with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JellyError {
    /// A type, or a class of objects, that is not among those that are read.
    #[error("values of type {kind} are not read")]
    NotAllowed {
        /// Its name, cut to 64 characters.
        kind: String,
    },
    /// The element is not built as its type says.
    #[error("malformed {what}")]
    Malformed {
        /// What was wrong.
        what: &'static str,
    },
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// Values are nested too deep.
    #[error("values are nested deeper than {max} levels")]
    TooDeep {
        /// Allowed.
        max: usize,
    },
    /// There are too many values, those that are referred to counted each time.
    #[error("more than {max} values")]
    TooManyValues {
        /// Allowed.
        max: usize,
    },
    /// What is referred to is longer than a message may be, counted each time.
    #[error("texts of more than {max} bytes")]
    TooMuchText {
        /// Allowed, in bytes.
        max: usize,
    },
    /// A value contains itself, or refers to one that has not come.
    #[error("a value refers to one that is not complete")]
    Unfinished,
}

/// Reads a value.
///
/// # Errors
///
/// When it is none that is known here, or more than the limits allow.
pub fn read(element: Element, limits: &Limits) -> Result<Value, JellyError> {
    Reader::new(limits).read(element)
}

/// Reads one value and remembers which references came with it, also if the value cannot be read.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    limits: &'a Limits,
    /// What was made so far, the copies of what is referred to among it.
    made: Size,
    referred: HashMap<i64, (Value, Size)>,
    arrivals: Vec<RemoteId>,
}

type Rest = std::vec::IntoIter<Element>;

impl<'a> Reader<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, made: Size::default(), referred: HashMap::new(), arrivals: Vec::new() }
    }

    pub(crate) fn read(&mut self, element: Element) -> Result<Value, JellyError> {
        self.value(element, self.limits.depth())
    }

    /// Returns the references that came, as often as the peer has counted them.
    pub(crate) fn into_arrivals(self) -> Vec<RemoteId> {
        self.arrivals
    }

    /// Reads a value that may be nested as deep as `depth`: this function and its helpers call each other that often.
    fn value(&mut self, element: Element, depth: usize) -> Result<Value, JellyError> {
        self.charge(Size { values: 1, ..Size::default() })?;
        match element {
            Element::Int(value) => Ok(Value::Int(value)),
            Element::Long(value) => Ok(Value::Long(value)),
            Element::Float(value) => Ok(Value::Float(value)),
            Element::Bytes(bytes) => Ok(Value::Bytes(bytes)),
            Element::List(list) => {
                let depth = depth.checked_sub(1).ok_or(JellyError::TooDeep { max: self.limits.depth() })?;
                self.typed(list.into_iter(), depth)
            }
        }
    }

    fn typed(&mut self, mut rest: Rest, depth: usize) -> Result<Value, JellyError> {
        let Some(Element::Bytes(kind)) = rest.next() else {
            return Err(JellyError::Malformed { what: "list without a type" });
        };
        match &kind[..] {
            b"None" => exactly(rest).map(|[]| Value::None),
            b"boolean" => boolean(rest),
            b"unicode" => text(rest),
            b"list" => Ok(Value::List(self.values(rest, depth)?)),
            b"tuple" => Ok(Value::Tuple(self.values(rest, depth)?)),
            b"set" | b"frozenset" => Ok(Value::Set(self.values(rest, depth)?)),
            b"dictionary" => self.dictionary(rest, depth),
            b"reference" => self.reference(rest, depth),
            b"dereference" => self.dereference(number(rest)?, depth),
            b"remote" => {
                let remote = RemoteId::from_wire(number(rest)?);
                self.arrivals.push(remote);
                Ok(Value::Remote(remote))
            }
            b"local" => Ok(Value::Object(ObjectId::from_wire(number(rest)?))),
            b"instance" => self.instance(rest, depth),
            class => self.copy(class, rest, depth),
        }
    }

    fn values(&mut self, rest: Rest, depth: usize) -> Result<Vec<Value>, JellyError> {
        rest.map(|element| self.value(element, depth)).collect()
    }

    fn dictionary(&mut self, rest: Rest, depth: usize) -> Result<Value, JellyError> {
        let mut pairs = Vec::with_capacity(rest.len());
        for pair in rest {
            let Element::List(pair) = pair else {
                return Err(JellyError::Malformed { what: "dictionary" });
            };
            let [key, value] = exactly(pair.into_iter())?;
            pairs.push((self.value(key, depth)?, self.value(value, depth)?));
        }
        Ok(Value::Dict(pairs))
    }

    /// Reads a value that the rest of the message may refer to.
    fn reference(&mut self, rest: Rest, depth: usize) -> Result<Value, JellyError> {
        let [id, element] = exactly(rest)?;
        let Element::Int(id) = id else {
            return Err(JellyError::Malformed { what: "reference" });
        };
        let value = self.value(element, depth)?;
        let size = Size::of(&value);
        self.charge(size)?;
        match self.referred.entry(id) {
            Entry::Vacant(entry) => entry.insert((value.clone(), size)),
            Entry::Occupied(_) => return Err(JellyError::Malformed { what: "reference" }),
        };
        Ok(value)
    }

    /// Makes a copy of a value that is complete.
    fn dereference(&mut self, id: i64, depth: usize) -> Result<Value, JellyError> {
        let Some((_, size)) = self.referred.get(&id) else {
            return Err(JellyError::Unfinished);
        };
        let size = *size;
        if size.depth > depth {
            return Err(JellyError::TooDeep { max: self.limits.depth() });
        }
        self.charge(size)?;
        Ok(self.referred[&id].0.clone())
    }

    /// Reads an object as Twisted wrote it before version 15: its class stands in a list of its own.
    fn instance(&mut self, rest: Rest, depth: usize) -> Result<Value, JellyError> {
        let [class, state] = exactly(rest)?;
        let Element::List(class) = class else {
            return Err(JellyError::Malformed { what: "instance" });
        };
        let [Element::Bytes(kind), Element::Bytes(name)] = exactly(class.into_iter())? else {
            return Err(JellyError::Malformed { what: "instance" });
        };
        if &kind[..] != b"class" {
            return Err(JellyError::Malformed { what: "instance" });
        }
        self.copy(&name, vec![state].into_iter(), depth)
    }

    /// Reads an object that the peer has copied: failures, and none of any other class.
    fn copy(&mut self, class: &[u8], rest: Rest, depth: usize) -> Result<Value, JellyError> {
        if !Failure::is_class(class) {
            let kind = String::from_utf8_lossy(class).chars().take(64).collect();
            return Err(JellyError::NotAllowed { kind });
        }
        let [state] = exactly(rest)?;
        let state = self.value(state, depth)?;
        let failure = Failure::of_state(&state).ok_or(JellyError::Malformed { what: "failure" })?;
        Ok(Value::Failure(Box::new(failure)))
    }

    fn charge(&mut self, size: Size) -> Result<(), JellyError> {
        self.made.values += size.values;
        self.made.text_bytes += size.text_bytes;
        let (values_max, text_max) = (self.limits.elements_max, self.limits.message_bytes_max);
        if self.made.values > values_max {
            return Err(JellyError::TooManyValues { max: values_max });
        }
        if self.made.text_bytes > text_max {
            return Err(JellyError::TooMuchText { max: text_max });
        }
        Ok(())
    }
}

/// Takes exactly as many elements as there have to be.
fn exactly<const N: usize>(rest: Rest) -> Result<[Element; N], JellyError> {
    let elements: Vec<_> = rest.collect();
    elements.try_into().map_err(|_| JellyError::Malformed { what: "number of elements" })
}

fn boolean(rest: Rest) -> Result<Value, JellyError> {
    match exactly(rest)? {
        [Element::Bytes(word)] if &word[..] == b"true" => Ok(Value::Bool(true)),
        [Element::Bytes(word)] if &word[..] == b"false" => Ok(Value::Bool(false)),
        _ => Err(JellyError::Malformed { what: "boolean" }),
    }
}

fn text(rest: Rest) -> Result<Value, JellyError> {
    let [Element::Bytes(bytes)] = exactly(rest)? else {
        return Err(JellyError::Malformed { what: "text" });
    };
    let text = String::from_utf8(Vec::from(bytes)).map_err(|_| JellyError::NotUtf8)?;
    Ok(Value::Text(text))
}

fn number(rest: Rest) -> Result<i64, JellyError> {
    match exactly(rest)? {
        [Element::Int(number)] => Ok(number),
        _ => Err(JellyError::Malformed { what: "number of an object" }),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn limits() -> Limits {
        Limits { elements_max: 40, message_bytes_max: 100, depth_max: 6, ..Limits::default() }
    }

    fn list(elements: impl IntoIterator<Item = Element>) -> Element {
        Element::List(elements.into_iter().collect())
    }

    fn words(words: &[&'static str]) -> Element {
        list(words.iter().map(|word| Element::word(word)))
    }

    /// A list of a type and what belongs to it.
    fn typed<const N: usize>(kind: &'static str, rest: [Element; N]) -> Element {
        list([Element::word(kind)].into_iter().chain(rest))
    }

    fn text(text: &'static str) -> Element {
        words(&["unicode", text])
    }

    #[track_caller]
    fn check(element: Element, expected: Value) {
        assert_eq!(read(element, &limits()), Ok(expected));
    }

    #[track_caller]
    fn check_refused(element: Element, expected: JellyError) {
        assert_eq!(read(element, &limits()), Err(expected));
    }

    #[track_caller]
    fn check_malformed(element: Element) {
        assert!(matches!(read(element, &limits()), Err(JellyError::Malformed { .. })));
    }

    #[test]
    fn each_type_is_read() {
        check(Element::Int(5), Value::Int(5));
        check(Element::word("raw"), Value::Bytes(Bytes::from_static(b"raw")));
        check(words(&["None"]), Value::None);
        check(words(&["boolean", "true"]), Value::Bool(true));
        check(words(&["boolean", "false"]), Value::Bool(false));
        check(text("hi"), "hi".into());
        check(typed("list", [Element::Int(1)]), Value::List(vec![Value::Int(1)]));
        check(typed("tuple", []), Value::Tuple(vec![]));
        check(typed("set", [Element::Int(1)]), Value::Set(vec![Value::Int(1)]));
        check(typed("frozenset", [Element::Int(1)]), Value::Set(vec![Value::Int(1)]));
        let pair = list([text("a"), Element::Int(1)]);
        check(typed("dictionary", [pair]), Value::Dict(vec![("a".into(), Value::Int(1))]));
        check(typed("remote", [Element::Int(3)]), Value::Remote(RemoteId::from_wire(3)));
        check(typed("local", [Element::Int(3)]), Value::Object(ObjectId::from_wire(3)));
    }

    #[test]
    fn failures_are_read_in_the_new_form_and_in_the_old_one() {
        let state = typed("dictionary", [list([text("type"), Element::word("a.B")])]);
        let expected = Failure { class: "a.B".to_owned(), ..Failure::default() };
        let expected = Value::Failure(Box::new(expected));
        check(typed("twisted.spread.pb.CopyableFailure", [state.clone()]), expected.clone());
        let class = words(&["class", "twisted.python.failure.Failure"]);
        check(typed("instance", [class, state]), expected);
    }

    #[test]
    fn nothing_else_is_made_of_what_a_peer_says() {
        let names =
            ["module", "class", "function", "method", "persistent", "unpersistable", "cache", "os.system"];
        for name in names {
            let refused = JellyError::NotAllowed { kind: name.to_owned() };
            check_refused(words(&[name, "os"]), refused.clone());
        }
        let class = words(&["class", "builtins.object"]);
        let refused = JellyError::NotAllowed { kind: "builtins.object".to_owned() };
        check_refused(typed("instance", [class, typed("dictionary", [])]), refused);
        let name = Element::Bytes(Bytes::from(vec![0xff; 100]));
        let refused = JellyError::NotAllowed { kind: "\u{fffd}".repeat(64) };
        check_refused(list([name]), refused);
    }

    #[test]
    fn what_is_built_wrong_is_refused() {
        check_malformed(list([]));
        check_malformed(list([Element::Int(1)]));
        check_malformed(words(&["None", "more"]));
        check_malformed(words(&["boolean", "maybe"]));
        check_malformed(words(&["boolean"]));
        check_malformed(typed("unicode", [Element::Int(1)]));
        check_malformed(typed("dictionary", [Element::Int(1)]));
        check_malformed(typed("dictionary", [list([Element::Int(1)])]));
        check_malformed(words(&["remote", "root"]));
        check_malformed(typed("reference", [Element::Int(1)]));
        check_malformed(typed("twisted.spread.pb.CopyableFailure", [typed("dictionary", [])]));
        let bad = Element::Bytes(Bytes::from_static(b"\xff"));
        check_refused(typed("unicode", [bad]), JellyError::NotUtf8);
    }

    #[test]
    fn a_value_that_is_referred_to_is_copied() {
        let first = typed("reference", [Element::Int(1), typed("list", [text("a")])]);
        let again = typed("dereference", [Element::Int(1)]);
        let value = Value::List(vec!["a".into()]);
        check(typed("tuple", [first, again.clone(), again]), Value::Tuple(vec![value; 3]));
    }

    #[test]
    fn a_value_within_itself_is_refused() {
        let own = typed("list", [typed("dereference", [Element::Int(1)])]);
        check_refused(typed("reference", [Element::Int(1), own]), JellyError::Unfinished);
        check_refused(typed("dereference", [Element::Int(1)]), JellyError::Unfinished);
        let twice = || typed("reference", [Element::Int(1), typed("list", [])]);
        check_malformed(typed("list", [twice(), twice()]));
    }

    #[test]
    fn references_do_not_multiply_beyond_the_limits() {
        let refer = |id| typed("dereference", [Element::Int(id)]);
        let mut doubled = vec![typed("reference", [Element::Int(0), typed("list", [Element::Int(1)])])];
        for id in 1..5 {
            let both = typed("list", [refer(id - 1), refer(id - 1)]);
            doubled.push(typed("reference", [Element::Int(id), both]));
        }
        let all = list([Element::word("tuple")].into_iter().chain(doubled));
        check_refused(all, JellyError::TooManyValues { max: 40 });

        let long = "a text of forty characters and not less!";
        let first = typed("reference", [Element::Int(0), typed("list", [text(long)])]);
        check_refused(typed("tuple", [first, refer(0), refer(0)]), JellyError::TooMuchText { max: 100 });

        let mut deeper = vec![typed("reference", [Element::Int(0), typed("list", [])])];
        for id in 1..7 {
            deeper.push(typed("reference", [Element::Int(id), typed("list", [refer(id - 1)])]));
        }
        let all = list([Element::word("tuple")].into_iter().chain(deeper));
        assert!(matches!(
            read(all, &Limits { elements_max: 1000, ..limits() }),
            Err(JellyError::TooDeep { max: 6 })
        ));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels| (0..levels).fold(Element::Int(0), |inner, _| typed("list", [inner]));
        assert!(read(nested(6), &limits()).is_ok());
        check_refused(nested(7), JellyError::TooDeep { max: 6 });
    }

    #[test]
    fn references_are_remembered_when_what_they_came_with_is_refused() {
        let limits = limits();
        let mut reader = Reader::new(&limits);
        let remote = typed("remote", [Element::Int(7)]);
        assert!(reader.read(typed("list", [remote, words(&["module", "os"])])).is_err());
        assert_eq!(reader.into_arrivals(), [RemoteId::from_wire(7)]);
    }
}
