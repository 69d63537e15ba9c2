//! Exceptions of Python, as far as they travel: their class's name and texts.

use std::fmt;

use super::Value;

/// An exception that a call has raised. Twisted has `twisted.python.failure.Failure` on both sides of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The dotted name of the exception's class, as in `builtins.OSError`. Never looked up.
    pub class: String,
    /// The exception's text.
    pub value: String,
    /// Where it was raised, for people. A peer says "Traceback unavailable" unless it was told to send them.
    pub traceback: String,
    /// The dotted names of the class and of what it inherits from, by which a peer decides whether it expects the
    /// exception.
    pub parents: Vec<String>,
}

/// Longest text and traceback that are written, in bytes. What is longer is cut at a character: a failure always fits
/// into a message.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// Longest name of a class that is written, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Most parents that are written.
const PARENTS_MAX: usize = 64;

/// The class that Twisted writes a failure as.
const CLASS: &str = "twisted.spread.pb.CopyableFailure";

/// Names under which a failure is read.
const CLASSES: [&str; 3] = [CLASS, "twisted.spread.pb.CopiedFailure", "twisted.python.failure.Failure"];

impl Failure {
    /// Makes a failure of a class and a text, without traceback, and with no other parent than the class.
    pub fn new(class: impl Into<String>, value: impl Into<String>) -> Self {
        let class = class.into();
        Self {
            parents: vec![class.clone()],
            class,
            value: value.into(),
            traceback: "Traceback unavailable\n".to_owned(),
        }
    }

    /// Returns whether the exception is of this class, or of one that inherits from it.
    pub fn is(&self, class: &str) -> bool {
        self.class == class || self.parents.iter().any(|parent| parent == class)
    }

    /// Returns whether something of this class is read as a failure.
    pub(super) fn is_class(class: &[u8]) -> bool {
        CLASSES.iter().any(|known| known.as_bytes() == class)
    }

    /// Makes a failure of the attributes that a peer gave it, as far as they are what they should be.
    pub(super) fn of_state(state: &Value) -> Option<Self> {
        let class = state.get("type")?.as_text()?.to_owned();
        let text = |key| state.get(key).and_then(Value::as_text).unwrap_or_default().to_owned();
        let parents = match state.get("parents") {
            Some(Value::List(parents) | Value::Tuple(parents)) => {
                parents.iter().filter_map(Value::as_text).map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Some(Self { value: text("value"), traceback: text("traceback"), parents, class })
    }

    /// Returns the class's name and the attributes that a peer needs to have, cut to what fits.
    pub(super) fn into_state(self) -> (&'static str, Value) {
        let parents =
            self.parents.into_iter().take(PARENTS_MAX).map(|parent| Value::Text(cut(parent, NAME_BYTES_MAX)));
        let state = [
            ("type", Value::Bytes(cut(self.class, NAME_BYTES_MAX).into())),
            ("value", Value::Text(cut(self.value, TEXT_BYTES_MAX))),
            ("parents", Value::List(parents.collect())),
            ("traceback", Value::Text(cut(self.traceback, TEXT_BYTES_MAX))),
            ("tb", Value::None),
            ("frames", Value::List(Vec::new())),
            ("stack", Value::List(Vec::new())),
            ("count", Value::Int(0)),
            ("captureVars", Value::Bool(false)),
            ("unsafeTracebacks", Value::Int(0)),
        ];
        (CLASS, Value::Dict(state.map(|(key, value)| (key.into(), value)).into()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.value)
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_what_its_parents_are() {
        let mut failure = Failure::new("builtins.FileNotFoundError", "no such file");
        failure.parents.push("builtins.OSError".to_owned());
        assert!(failure.is("builtins.FileNotFoundError"));
        assert!(failure.is("builtins.OSError"));
        assert!(!failure.is("builtins.ValueError"));
        assert_eq!(failure.to_string(), "builtins.FileNotFoundError: no such file");
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let failure = Failure::new("a.B", "ä".repeat(TEXT_BYTES_MAX) + "end");
        let (_, state) = failure.into_state();
        let value = state.get("value").and_then(Value::as_text).expect("a text");
        assert_eq!(value.len(), TEXT_BYTES_MAX);
        let failure = Failure::new("a.B", format!("x{}", "ä".repeat(TEXT_BYTES_MAX)));
        let (_, state) = failure.into_state();
        assert_eq!(state.get("value").and_then(Value::as_text).map(str::len), Some(TEXT_BYTES_MAX - 1));
    }

    #[test]
    fn odd_attributes_are_left_out_and_a_missing_class_is_refused() {
        let state = |pairs: &[(&str, Value)]| {
            Value::Dict(pairs.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
        };
        let odd = state(&[("type", "a.B".into()), ("value", Value::Int(1)), ("parents", Value::None)]);
        assert_eq!(Failure::of_state(&odd), Some(Failure { class: "a.B".to_owned(), ..Failure::default() }));
        assert_eq!(Failure::of_state(&state(&[("value", "text".into())])), None);
        assert_eq!(Failure::of_state(&Value::None), None);
    }
}
