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

    /// Replaces `${NAME}` by what `own` says of it, and takes what that makes from `room`, in bytes; `None` if there is not
    /// as much. A part of a list of which that leaves nothing goes: an empty part of `PATH` would stand for the current
    /// folder.
    pub(super) fn expand(self, own: impl Fn(&str) -> Option<String>, room: &mut usize) -> Option<Self> {
        match self {
            Self::Text(text) => expand(&text, &own, room).map(Self::Text),
            Self::List(parts) => {
                let mut kept = Vec::new();
                for part in parts {
                    let expanded = expand(&part, &own, room)?;
                    if part.is_empty() || !expanded.is_empty() {
                        kept.push(expanded);
                    }
                }
                Some(Self::List(kept))
            }
            Self::Removed => Some(Self::Removed),
        }
    }
}

fn expand(text: &str, own: impl Fn(&str) -> Option<String>, room: &mut usize) -> Option<String> {
    let (mut expanded, mut rest) = (String::new(), text);
    let mut push = |text: &str| {
        *room = room.checked_sub(text.len())?;
        expanded.push_str(text);
        Some(())
    };
    while let Some((before, behind)) = rest.split_once("${") {
        push(before)?;
        let Some((name, after)) = behind.split_once('}').filter(|(name, _)| is_name(name)) else {
            push("${")?;
            rest = behind;
            continue;
        };
        push(&own(name).unwrap_or_default())?;
        rest = after;
    }
    push(rest)?;
    Some(expanded)
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
        let expanded = value.expand(own, &mut 1000).expect("there is room");
        assert_eq!(expanded.into_value().as_deref(), expected);
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

    #[test]
    fn no_more_is_made_of_values_than_there_is_room_for() {
        let mut room = "/bin:/usr/bin".len() + 2;
        assert_eq!(EnvValue::from("1${PATH}2").expand(own, &mut room), Some("1/bin:/usr/bin2".into()));
        assert_eq!(room, 0);
        assert_eq!(EnvValue::Removed.expand(own, &mut room), Some(EnvValue::Removed));
        assert_eq!(list(&["", "1"]).expand(own, &mut room), None);
        assert_eq!(list(&["${PATH}", "${PATH}"]).expand(own, &mut 20), None);
    }
}
