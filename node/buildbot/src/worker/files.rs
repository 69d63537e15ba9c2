//! Commands about folders that have more than a path.

use std::time::Duration;

use super::Refusal;
use super::arguments::{Arguments, list_of, path_of};

/// `rmdir`: what is to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveFolders {
    /// Folders and files, at least one.
    pub paths: Vec<String>,
    /// How long the removal may say nothing. Default: 120 s.
    pub silence_timeout: Option<Duration>,
    /// How long it may take.
    pub time_max: Option<Duration>,
}

/// `cpdir`: what is to be copied where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyFolder {
    /// The folder that is there.
    pub from: String,
    /// The folder that is made.
    pub to: String,
    /// How long the copying may say nothing. Default: 120 s.
    pub silence_timeout: Option<Duration>,
    /// How long it may take.
    pub time_max: Option<Duration>,
}

impl RemoveFolders {
    pub(super) fn of(args: Arguments<'_>) -> Result<Self, Refusal> {
        let (silence_timeout, time_max) = times_of(args)?;
        Ok(Self { paths: paths_of(args, "dir")?, silence_timeout, time_max })
    }
}

impl CopyFolder {
    pub(super) fn of(args: Arguments<'_>) -> Result<Self, Refusal> {
        let (silence_timeout, time_max) = times_of(args)?;
        Ok(Self { from: args.path("fromdir")?, to: args.path("todir")?, silence_timeout, time_max })
    }
}

/// Returns one path, or those of a list.
pub(super) fn paths_of(args: Arguments<'_>, argument: &'static str) -> Result<Vec<String>, Refusal> {
    let value = args.required(argument)?;
    match list_of(value) {
        None => Ok(vec![path_of(value, argument)?]),
        Some([]) => Err(Refusal::Wrong { argument, expected: "at least one path" }),
        Some(paths) => paths.iter().map(|path| path_of(path, argument)).collect(),
    }
}

/// Returns the limits of silence and of the whole time. A limit that is said to be `None` is none.
fn times_of(args: Arguments<'_>) -> Result<(Option<Duration>, Option<Duration>), Refusal> {
    let silence_timeout = match args.0.get("timeout") {
        None => Some(SILENCE_TIMEOUT),
        Some(_) => args.time_limit("timeout")?,
    };
    Ok((silence_timeout, args.time_limit("maxTime")?))
}

const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jelly::Value;

    fn dict(pairs: Vec<(&str, Value)>) -> Value {
        Value::Dict(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    #[test]
    fn one_folder_or_several_are_removed() {
        let one = dict(vec![("dir", "a".into())]);
        let expected = RemoveFolders {
            paths: vec!["a".to_owned()],
            silence_timeout: Some(Duration::from_secs(120)),
            time_max: None,
        };
        assert_eq!(RemoveFolders::of(Arguments(&one)), Ok(expected));
        let list = Value::List(vec!["a".into(), "b".into()]);
        let more = dict(vec![("dir", list), ("timeout", Value::None), ("maxTime", Value::Int(9))]);
        let expected = RemoveFolders {
            paths: vec!["a".to_owned(), "b".to_owned()],
            silence_timeout: None,
            time_max: Some(Duration::from_secs(9)),
        };
        assert_eq!(RemoveFolders::of(Arguments(&more)), Ok(expected));
        let none = dict(vec![("dir", Value::List(vec![]))]);
        assert!(matches!(RemoveFolders::of(Arguments(&none)), Err(Refusal::Wrong { argument: "dir", .. })));
    }

    #[test]
    fn a_folder_is_copied_from_one_place_to_another() {
        let args = dict(vec![("fromdir", "source".into()), ("todir", "build".into())]);
        let copy = CopyFolder::of(Arguments(&args)).expect("it is good");
        assert_eq!((copy.from.as_str(), copy.to.as_str()), ("source", "build"));
        let args = dict(vec![("fromdir", "source".into())]);
        assert_eq!(CopyFolder::of(Arguments(&args)), Err(Refusal::Missing { argument: "todir" }));
    }
}
