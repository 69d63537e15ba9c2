//! Arbitrary elements and values.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use runnel_buildbot::banana::{Dialect, Element};
use runnel_buildbot::jelly::{Failure, Value};
use runnel_buildbot::{ObjectId, RemoteId};

pub(crate) fn dialect() -> impl Strategy<Value = Dialect> {
    prop_oneof![Just(Dialect::None), Just(Dialect::Pb)]
}

/// Strings, words of the vocabulary among them.
pub(crate) fn string() -> impl Strategy<Value = Bytes> {
    let word = prop_oneof![Just("None"), Just("list"), Just("remote"), Just("uncache"), Just("message")];
    prop_oneof![vec(any::<u8>(), 0..40).prop_map(Bytes::from), word.prop_map(Bytes::from)]
}

/// Numbers of every length.
fn integer() -> impl Strategy<Value = i128> {
    (any::<i128>(), 0_u32..128).prop_map(|(value, shift)| value >> shift)
}

pub(crate) fn element() -> impl Strategy<Value = Element> {
    let leaf = prop_oneof![
        integer().prop_map(Element::from),
        any::<f64>().prop_filter("unequal to itself", |value| !value.is_nan()).prop_map(Element::Float),
        string().prop_map(Element::Bytes),
    ];
    leaf.prop_recursive(8, 64, 8, |inner| vec(inner, 0..8).prop_map(Element::List))
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        integer().prop_map(Value::from),
        any::<f64>().prop_filter("unequal to itself", |value| !value.is_nan()).prop_map(Value::Float),
        string().prop_map(Value::Bytes),
        any::<String>().prop_map(Value::Text),
        any::<i64>().prop_map(|number| Value::Object(ObjectId::from_wire(number))),
        any::<i64>().prop_map(|number| Value::Remote(RemoteId::from_wire(number))),
        failure().prop_map(|failure| Value::Failure(Box::new(failure))),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::List),
            vec(inner.clone(), 0..8).prop_map(Value::Tuple),
            vec(inner.clone(), 0..8).prop_map(Value::Set),
            vec((inner.clone(), inner), 0..8).prop_map(Value::Dict),
        ]
    })
}

fn failure() -> impl Strategy<Value = Failure> {
    let text = || "[a-z. ä]{0,20}";
    (text(), text(), text(), vec(text(), 0..3)).prop_map(|(class, value, traceback, parents)| Failure {
        class,
        value,
        traceback,
        parents,
    })
}
