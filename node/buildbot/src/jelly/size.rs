//! How large a value is, before a copy of it is made.

use super::{Failure, Value};

/// How much memory and how much of the stack a value takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) text_bytes: usize,
    pub(super) depth: usize,
}

impl Size {
    pub(super) fn of(value: &Value) -> Self {
        let mut size = Self { values: 1, ..Self::default() };
        match value {
            Value::Text(text) => size.text_bytes = text.len(),
            Value::Failure(failure) => size.text_bytes = text_bytes(failure),
            Value::List(values) | Value::Tuple(values) | Value::Set(values) => {
                values.iter().for_each(|value| size.add(Self::of(value)));
            }
            Value::Dict(pairs) => {
                pairs
                    .iter()
                    .flat_map(|(key, value)| [key, value])
                    .for_each(|value| size.add(Self::of(value)));
            }
            _ => {}
        }
        if !matches!(value, Value::Int(_) | Value::Long(_) | Value::Float(_) | Value::Bytes(_)) {
            size.depth += 1;
        }
        size
    }

    fn add(&mut self, inner: Self) {
        self.values += inner.values;
        self.text_bytes += inner.text_bytes;
        self.depth = self.depth.max(inner.depth);
    }
}

fn text_bytes(failure: &Failure) -> usize {
    let parents: usize = failure.parents.iter().map(|parent| size_of::<String>() + parent.len()).sum();
    size_of::<Failure>() + failure.class.len() + failure.value.len() + failure.traceback.len() + parents
}
