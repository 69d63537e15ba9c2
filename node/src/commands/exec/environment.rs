//! The variables of a program, as a command names them.

use runnel_codec::{Decode, Encode};

/// What a command makes of a variable.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "runnel_codec::bincode")]
pub enum EnvValue {
    /// It is set to this.
    Text(String),
    /// It is set to these, joined by colons; a list in which nothing is removes it.
    List(Vec<String>),
    /// It is removed.
    Removed,
}

impl From<&str> for EnvValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for EnvValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl EnvValue {
    /// Returns the value; `None` if the variable is to be removed.
    pub(super) fn into_value(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(parts) if parts.is_empty() => None,
            Self::List(parts) => Some(parts.join(":")),
            Self::Removed => None,
        }
    }

    /// Replaces `${NAME}` by what `own` says of it. A part of a list of which that leaves nothing goes: an empty part of
    /// `PATH` would stand for the current folder.
    pub(super) fn expand(self, own: impl Fn(&str) -> Option<String>) -> Self {
        match self {
            Self::Text(text) => Self::Text(expand(&text, &own)),
            Self::List(parts) => {
                let expanded = parts.into_iter().map(|part| (part.is_empty(), expand(&part, &own)));
                let kept = expanded.filter(|(was_empty, part)| *was_empty || !part.is_empty());
                Self::List(kept.map(|(_, part)| part).collect())
            }
            Self::Removed => Self::Removed,
        }
    }
}

fn expand(text: &str, own: impl Fn(&str) -> Option<String>) -> String {
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("${") {
        expanded.push_str(before);
        let Some((name, after)) = behind.split_once('}').filter(|(name, _)| is_name(name)) else {
            expanded.push_str("${");
            rest = behind;
            continue;
        };
        expanded.push_str(&own(name).unwrap_or_default());
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str) -> Option<String> {
        match name {
            "PATH" => Some("/bin:/usr/bin".to_owned()),
            "ODD" => Some("${PATH}".to_owned()),
            _ => None,
        }
    }

    #[track_caller]
    fn check(value: EnvValue, expected: Option<&str>) {
        assert_eq!(value.expand(own).into_value().as_deref(), expected);
    }

    fn list(parts: &[&str]) -> EnvValue {
        EnvValue::List(parts.iter().map(|&part| part.to_owned()).collect())
    }

    #[test]
    fn names_are_replaced_once_and_what_is_missing_is_empty() {
        check("a${PATH}b${MISSING}c".into(), Some("a/bin:/usr/binbc"));
        check("${ODD}".into(), Some("${PATH}"));
        check("".into(), Some(""));
        check(EnvValue::Removed, None);
    }

    #[test]
    fn what_names_nothing_stays() {
        for text in ["$PATH", "${PATH", "${}", "${A-B}", "$ {PATH}", "}"] {
            check(text.into(), Some(text));
        }
        check("${a ${PATH}".into(), Some("${a /bin:/usr/bin"));
    }

    #[test]
    fn a_list_is_joined_without_what_vanishes() {
        check(list(&["/opt/bin", "${PATH}"]), Some("/opt/bin:/bin:/usr/bin"));
        check(list(&["${MISSING}", "/opt/bin", "${MISSING}${MISSING}"]), Some("/opt/bin"));
        check(list(&["a", "", "b"]), Some("a::b"));
        check(list(&["${MISSING}"]), None);
        check(list(&[]), None);
    }
}
