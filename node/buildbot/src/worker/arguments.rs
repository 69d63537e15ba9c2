//! Taking arguments out of the dictionary in which a command has them.

use std::time::Duration;

use super::Refusal;
use crate::ids::RemoteId;
use crate::jelly::Value;

/// The arguments of a command. What is not asked for is ignored: a newer master may say more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a>(pub(super) &'a Value);

/// The name of an argument.
type Name = &'static str;

impl<'a> Arguments<'a> {
    /// Returns an argument, unless it is missing or `None`.
    pub(super) fn given(self, name: Name) -> Option<&'a Value> {
        self.0.get(name).filter(|value| **value != Value::None)
    }

    pub(super) fn required(self, name: Name) -> Result<&'a Value, Refusal> {
        self.given(name).ok_or(Refusal::Missing { argument: name })
    }

    pub(super) fn path(self, name: Name) -> Result<String, Refusal> {
        path_of(self.required(name)?, name)
    }

    /// Returns a path, or an empty one if there is none.
    pub(super) fn path_or_empty(self, name: Name) -> Result<String, Refusal> {
        self.given(name).map_or(Ok(String::new()), |value| path_of(value, name))
    }

    /// Returns a truth: a master says some of them as numbers.
    pub(super) fn flag(self, name: Name, default: bool) -> Result<bool, Refusal> {
        match self.given(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::Int(number @ (0 | 1))) => Ok(*number == 1),
            Some(_) => Err(Refusal::Wrong { argument: name, expected: "true or false" }),
        }
    }

    /// Returns a time. A master says it in seconds, whole or not.
    pub(super) fn seconds(self, name: Name) -> Result<Option<Duration>, Refusal> {
        let wrong = Refusal::Wrong { argument: name, expected: "a number of seconds" };
        let time = match self.given(name) {
            None => return Ok(None),
            Some(Value::Int(seconds)) => u64::try_from(*seconds).ok().map(Duration::from_secs),
            Some(Value::Float(seconds)) => Duration::try_from_secs_f64(*seconds).ok(),
            Some(_) => None,
        };
        time.ok_or(wrong).map(|time| Some(time.min(SECONDS_MAX)))
    }

    /// Returns a time of which 0 means that there is no limit.
    pub(super) fn time_limit(self, name: Name) -> Result<Option<Duration>, Refusal> {
        Ok(self.seconds(name)?.filter(|time| !time.is_zero()))
    }

    /// Returns a number that is not negative.
    pub(super) fn count(self, name: Name) -> Result<Option<u64>, Refusal> {
        let wrong = Refusal::Wrong { argument: name, expected: "a number that is not negative" };
        let count = |value: &Value| value.as_int().and_then(|number| u64::try_from(number).ok());
        self.given(name).map(|value| count(value).ok_or(wrong)).transpose()
    }

    pub(super) fn remote(self, name: Name) -> Result<RemoteId, Refusal> {
        match self.required(name)? {
            Value::Remote(remote) => Ok(*remote),
            _ => Err(Refusal::Wrong { argument: name, expected: "an object" }),
        }
    }
}

/// Returns a text that the system takes as a path: not empty, not too long, without a zero byte.
pub(super) fn path_of(value: &Value, argument: Name) -> Result<String, Refusal> {
    match text_of(value, argument)? {
        text if !text.is_empty() && text.len() <= PATH_BYTES_MAX => Ok(text),
        _ => Err(Refusal::Wrong { argument, expected: "a path" }),
    }
}

/// Returns a text that the system takes: without a zero byte.
pub(super) fn text_of(value: &Value, argument: Name) -> Result<String, Refusal> {
    match value.as_text() {
        Some(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(Refusal::Wrong { argument, expected: "a text" }),
    }
}

/// Returns the values of a list, or of a tuple: masters say both.
pub(super) fn list_of(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(values) | Value::Tuple(values) => Some(values),
        _ => None,
    }
}

/// Longest path that the kernel takes, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// No time is longer: ten years, within what every clock can add.
const SECONDS_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[track_caller]
    fn check<T: std::fmt::Debug + PartialEq>(
        value: Value,
        take: impl FnOnce(Arguments<'_>) -> Result<T, Refusal>,
        expected: Result<T, &'static str>,
    ) {
        let dict = Value::Dict(vec![("a".into(), value)]);
        let expected = expected.map_err(|expected| Refusal::Wrong { argument: "a", expected });
        assert_eq!(take(Arguments(&dict)), expected);
    }

    #[test]
    fn paths_and_texts_are_what_the_system_takes() {
        let path = |arguments: Arguments<'_>| arguments.path("a");
        check("build".into(), path, Ok("build".to_owned()));
        check(Value::Bytes(Bytes::from_static(b"build")), path, Ok("build".to_owned()));
        check("".into(), path, Err("a path"));
        check("a\0b".into(), path, Err("a text"));
        check(Value::Text("a".repeat(4097)), path, Err("a path"));
        check(Value::Int(1), path, Err("a text"));
        let none = Value::Dict(vec![("a".into(), Value::None)]);
        assert_eq!(Arguments(&none).path("a"), Err(Refusal::Missing { argument: "a" }));
        assert_eq!(Arguments(&none).path_or_empty("a"), Ok(String::new()));
    }

    #[test]
    fn truths_are_also_numbers() {
        let flag = |arguments: Arguments<'_>| arguments.flag("a", true);
        check(Value::None, flag, Ok(true));
        check(Value::Bool(false), flag, Ok(false));
        check(Value::Int(0), flag, Ok(false));
        check(Value::Int(1), flag, Ok(true));
        check(Value::Int(2), flag, Err("true or false"));
        check("slave-config".into(), flag, Err("true or false"));
    }

    #[test]
    fn times_are_seconds_in_reason() {
        let seconds = |arguments: Arguments<'_>| arguments.seconds("a");
        let limit = |arguments: Arguments<'_>| arguments.time_limit("a");
        check(Value::None, seconds, Ok(None));
        check(Value::Int(1200), seconds, Ok(Some(Duration::from_secs(1200))));
        check(Value::Float(0.5), seconds, Ok(Some(Duration::from_millis(500))));
        check(Value::Int(0), seconds, Ok(Some(Duration::ZERO)));
        check(Value::Int(0), limit, Ok(None));
        check(Value::Int(i64::MAX), seconds, Ok(Some(SECONDS_MAX)));
        for wrong in [Value::Int(-1), Value::Float(f64::NAN), Value::Float(f64::INFINITY), "5".into()] {
            check(wrong, seconds, Err("a number of seconds"));
        }
    }

    #[test]
    fn counts_are_not_negative() {
        let count = |arguments: Arguments<'_>| arguments.count("a");
        check(Value::None, count, Ok(None));
        check(Value::Int(7), count, Ok(Some(7)));
        check(Value::Int(-7), count, Err("a number that is not negative"));
        check(Value::Float(7.0), count, Err("a number that is not negative"));
    }
}
