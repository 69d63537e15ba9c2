//! What the two sides say to each other, as lists that begin with a word.

use bytes::Bytes;

use super::CloseReason;
use crate::banana::Element;
use crate::ids::ObjectId;

/// The version of the protocol. Both sides have to have the same.
pub(super) const VERSION: i64 = 6;

/// What the peer has said.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Version(i64),
    Call(Call),
    Answer {
        number: i64,
        value: Element,
    },
    Error {
        number: i64,
        failure: Element,
    },
    GiveBack(ObjectId),
    /// The peer does not know a word of ours. There is none that it should not know, so nothing follows from it.
    NotUnderstood,
    /// A word that is not known here, or one about caches, which are not kept here.
    Unknown(Bytes),
}

/// A call of the peer, with arguments that are not yet read.
#[derive(Debug, PartialEq)]
pub(super) struct Call {
    pub(super) number: i64,
    /// `None` for an object that cannot exist: one with a name, or in a cache.
    pub(super) object: Option<ObjectId>,
    pub(super) method: String,
    pub(super) wants_answer: bool,
    pub(super) args: Element,
    pub(super) kwargs: Element,
}

impl Message {
    pub(super) fn of(element: Element) -> Result<Self, CloseReason> {
        let Element::List(list) = element else {
            return Err(malformed("message"));
        };
        let mut rest = list.into_iter();
        let Some(Element::Bytes(word)) = rest.next() else {
            return Err(malformed("message"));
        };
        match &word[..] {
            b"version" => numbers(rest, "version").map(|[version]| Self::Version(version)),
            b"decref" => numbers(rest, "decref").map(|[number]| Self::GiveBack(ObjectId::from_wire(number))),
            b"message" => Ok(Self::Call(Call::of(rest)?)),
            b"cachemessage" => Ok(Self::Call(Call { object: None, ..Call::of(rest)? })),
            b"answer" => numbered(rest, "answer").map(|(number, value)| Self::Answer { number, value }),
            b"error" => numbered(rest, "error").map(|(number, failure)| Self::Error { number, failure }),
            b"didNotUnderstand" => Ok(Self::NotUnderstood),
            _ => Ok(Self::Unknown(word)),
        }
    }
}

impl Call {
    fn of(rest: std::vec::IntoIter<Element>) -> Result<Self, CloseReason> {
        let rest: Vec<_> = rest.collect();
        let [number, object, method, wants_answer, args, kwargs] =
            rest.try_into().map_err(|_| malformed("call"))?;
        let (Element::Int(number), Element::Bytes(method), Element::Int(wants_answer)) =
            (number, method, wants_answer)
        else {
            return Err(malformed("call"));
        };
        let object = match object {
            Element::Int(number) => Some(ObjectId::from_wire(number)),
            Element::Bytes(_) => None,
            _ => return Err(malformed("call")),
        };
        let method = String::from_utf8(method.into()).map_err(|_| malformed("name of a method"))?;
        Ok(Self { number, object, method, wants_answer: wants_answer != 0, args, kwargs })
    }
}

/// Makes what is sent: a word and what belongs to it.
pub(super) fn said<const N: usize>(word: &'static str, rest: [Element; N]) -> Element {
    Element::List([Element::word(word)].into_iter().chain(rest).collect())
}

/// Makes a call. The object is a number of the peer's, or the one name that every peer knows.
pub(super) fn call(number: i64, object: Element, method: &str, args: Element, kwargs: Element) -> Element {
    let method = Element::Bytes(Bytes::copy_from_slice(method.as_bytes()));
    said("message", [Element::Int(number), object, method, Element::Int(1), args, kwargs])
}

fn numbers<const N: usize>(
    rest: std::vec::IntoIter<Element>,
    what: &'static str,
) -> Result<[i64; N], CloseReason> {
    let numbers = rest.map(|element| match element {
        Element::Int(number) => Ok(number),
        _ => Err(malformed(what)),
    });
    let numbers: Vec<_> = numbers.collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| malformed(what))
}

fn numbered(
    mut rest: std::vec::IntoIter<Element>,
    what: &'static str,
) -> Result<(i64, Element), CloseReason> {
    match (rest.next(), rest.next(), rest.next()) {
        (Some(Element::Int(number)), Some(value), None) => Ok((number, value)),
        _ => Err(malformed(what)),
    }
}

fn malformed(what: &'static str) -> CloseReason {
    CloseReason::Malformed { what }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(element: Element, expected: Message) {
        assert_eq!(Message::of(element), Ok(expected));
    }

    #[track_caller]
    fn check_malformed(element: Element, what: &'static str) {
        assert_eq!(Message::of(element), Err(malformed(what)));
    }

    fn call_of(object: Element) -> [Element; 6] {
        let (args, kwargs) = (Element::word("args"), Element::word("kwargs"));
        [Element::Int(9), object, Element::word("print"), Element::Int(1), args, kwargs]
    }

    #[test]
    fn each_word_is_read() {
        check(said("version", [Element::Int(6)]), Message::Version(6));
        check(said("decref", [Element::Int(3)]), Message::GiveBack(ObjectId::from_wire(3)));
        let (number, value) = (4, Element::Float(0.5));
        check(
            said("answer", [Element::Int(4), value.clone()]),
            Message::Answer { number, value: value.clone() },
        );
        check(said("error", [Element::Int(4), value.clone()]), Message::Error { number, failure: value });
        check(said("didNotUnderstand", [Element::word("x")]), Message::NotUnderstood);
        check(said("decache", [Element::Int(1)]), Message::Unknown(Bytes::from_static(b"decache")));
    }

    #[test]
    fn a_call_names_an_object_by_number() {
        let expected = |object| {
            Message::Call(Call {
                number: 9,
                object,
                method: "print".to_owned(),
                wants_answer: true,
                args: Element::word("args"),
                kwargs: Element::word("kwargs"),
            })
        };
        let ours = ObjectId::from_wire(2);
        check(said("message", call_of(Element::Int(2))), expected(Some(ours)));
        check(said("message", call_of(Element::word("root"))), expected(None));
        check(said("cachemessage", call_of(Element::Int(2))), expected(None));
    }

    #[test]
    fn what_is_built_wrong_is_refused() {
        check_malformed(Element::Int(1), "message");
        check_malformed(Element::List(vec![]), "message");
        check_malformed(Element::List(vec![Element::Int(1)]), "message");
        check_malformed(said("version", []), "version");
        check_malformed(said("version", [Element::word("6")]), "version");
        check_malformed(said("decref", [Element::Int(1), Element::Int(2)]), "decref");
        check_malformed(said("answer", [Element::Int(1)]), "answer");
        check_malformed(said("error", [Element::word("1"), Element::Int(1)]), "error");
        check_malformed(said("message", [Element::Int(1)]), "call");
        check_malformed(said("message", call_of(Element::Float(1.0))), "call");
        let mut call = call_of(Element::Int(1));
        call[2] = Element::Bytes(Bytes::from_static(b"\xff"));
        check_malformed(said("message", call), "name of a method");
    }
}
