//! A pattern of names with `*`, `?`, `[..]` and `**`, matched folder by folder. Pure.

use std::path::{Path, PathBuf};

use glob::Pattern;

/// A pattern: a path without wildcards, and what is looked for below it.
#[derive(Debug)]
pub(super) struct PathPattern {
    /// The path, as it is written; empty if the pattern begins with a wildcard.
    base: String,
    parts: Vec<Part>,
    /// Only folders are meant: it ends in a separator.
    folders_only: bool,
}

/// How far the names down to a folder match: parts that the names in it may go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reached(Vec<usize>);

/// Why a pattern is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    /// Nothing is looked for.
    #[error("a pattern names something")]
    Empty,
    /// It is longer than any path.
    #[error("a pattern has at most {max} bytes")]
    TooLong { max: usize },
    /// It goes up after a wildcard.
    #[error("a pattern does not go up by .. after a wildcard")]
    Parent,
    /// A name in it is no pattern.
    #[error("{name} is no pattern: {reason}")]
    Name { name: String, reason: &'static str },
}

/// What a name in a pattern asks for.
#[derive(Debug)]
enum Part {
    /// Any number of folders, also none.
    AnyDepth,
    /// One name.
    Name(Pattern),
}

impl PathPattern {
    pub(super) fn read(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong { max: PATTERN_BYTES_MAX });
        }
        let mut names: Vec<_> = text.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
        // Twice any number of folders is any number of folders.
        names.dedup_by(|name, before| *name == "**" && *before == "**");
        // The last name is looked for even if it has no wildcard.
        let plain = names.iter().take_while(|name| !name.contains(['*', '?', '['])).count();
        let plain = plain.min(names.len().saturating_sub(1));
        let (base, looked_for) = names.split_at(plain);
        if looked_for.is_empty() {
            return Err(PatternError::Empty);
        }
        let start = if text.starts_with('/') { "/" } else { "" };
        Ok(Self {
            base: format!("{start}{}", base.join("/")),
            parts: looked_for.iter().copied().map(Part::read).collect::<Result<_, _>>()?,
            folders_only: text.ends_with('/'),
        })
    }

    /// Returns the folder that the search begins in.
    pub(super) fn base(&self) -> &Path {
        Path::new(&self.base)
    }

    /// Returns the path of what was found below the base.
    pub(super) fn path(&self, below: &Path) -> String {
        let path: PathBuf = self.base().join(below);
        path.to_string_lossy().into_owned()
    }

    /// Returns whether folders alone are meant.
    pub(super) fn folders_only(&self) -> bool {
        self.folders_only
    }

    /// Returns how far the search has come in its base.
    pub(super) fn start(&self) -> Reached {
        let mut parts = Vec::new();
        self.reach(0, &mut parts);
        Reached(parts)
    }

    /// Returns how far it has come with a name, in a folder up to which it had come as far as `reached`.
    pub(super) fn step(&self, reached: &Reached, name: &str) -> Reached {
        let mut parts = Vec::new();
        for &part in &reached.0 {
            match self.parts.get(part) {
                // A wildcard does not stand for the dot that hides a name.
                Some(Part::AnyDepth) if !name.starts_with('.') => self.reach(part, &mut parts),
                Some(Part::Name(pattern))
                    if name.starts_with('.') == pattern.as_str().starts_with('.')
                        && pattern.matches(name) =>
                {
                    self.reach(part + 1, &mut parts);
                }
                _ => {}
            }
        }
        Reached(parts)
    }

    /// Returns whether a name that was reached is one of those that are looked for.
    pub(super) fn is_found(&self, reached: &Reached) -> bool {
        reached.0.contains(&self.parts.len())
    }

    /// Returns whether something that is looked for may lie below a name that was reached.
    pub(super) fn goes_on(&self, reached: &Reached) -> bool {
        reached.0.iter().any(|&part| part < self.parts.len())
    }

    /// Adds a part to those that were reached, and the one behind it if it may stand for nothing.
    fn reach(&self, mut part: usize, reached: &mut Vec<usize>) {
        loop {
            if !reached.contains(&part) {
                reached.push(part);
            }
            if !matches!(self.parts.get(part), Some(Part::AnyDepth)) {
                return;
            }
            part += 1;
        }
    }
}

impl Part {
    fn read(name: &str) -> Result<Self, PatternError> {
        match name {
            "**" => Ok(Self::AnyDepth),
            ".." => Err(PatternError::Parent),
            _ => match Pattern::new(name) {
                Ok(pattern) => Ok(Self::Name(pattern)),
                Err(error) => Err(PatternError::Name { name: name.to_owned(), reason: error.msg }),
            },
        }
    }
}

/// Bytes of a pattern: what a system takes as a path, and a bound for what each name costs.
const PATTERN_BYTES_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a pattern without a base finds a path.
    fn finds(pattern: &str, path: &str) -> bool {
        let pattern = PathPattern::read(pattern).unwrap();
        let reached = path.split('/').fold(pattern.start(), |reached, name| pattern.step(&reached, name));
        pattern.is_found(&reached)
    }

    #[track_caller]
    fn check(pattern: &str, found: &[&str], not_found: &[&str]) {
        for path in found {
            assert!(finds(pattern, path), "{pattern} finds {path}");
        }
        for path in not_found {
            assert!(!finds(pattern, path), "{pattern} does not find {path}");
        }
    }

    #[test]
    fn wildcards_stand_for_parts_of_one_name() {
        check("*.rs", &["a.rs", "b.rs"], &[".rs", ".a.rs", "a/b.rs", "a.rsx"]);
        check("?", &["a", "ä"], &["ab", "."]);
        check("[a-c]x", &["ax", "cx"], &["dx", "x"]);
        check("[!a]x", &["bx"], &["ax"]);
        check("[[]x", &["[x"], &["x"]);
        check(".*", &[".a"], &["a"]);
        check("*/b", &["a/b"], &["b", "a/a/b", ".a/b"]);
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let name = "a".repeat(255);
        check(&"*a".repeat(60), &[&name], &[]);
        check(&format!("{}b", "*a".repeat(60)), &[], &[&name]);
    }

    #[test]
    fn two_stars_stand_for_any_folders_that_are_not_hidden() {
        check("**/b", &["b", "a/b", "a/a/a/b"], &["a/c", ".a/b", "a/.b/b"]);
        check("**", &["a", "a/b"], &[".a", "a/.b"]);
        check("**/a/**/b", &["a/b", "x/a/y/z/b"], &["b", "x/b"]);
        check("**/**/b", &["b", "a/b"], &["a"]);
    }

    #[test]
    fn what_stands_before_the_first_wildcard_is_the_base() {
        let read = |text| PathPattern::read(text).unwrap();
        for (text, base) in [("a/b/*.c", "a/b"), ("/a/./*/", "/a"), ("/*", "/"), ("*", ""), ("a/b", "a")] {
            assert_eq!(read(text).base(), Path::new(base), "{text}");
        }
        assert_eq!(read("/a/*").path(Path::new("b/c")), "/a/b/c");
        assert_eq!(read("*").path(Path::new("b")), "b");
        assert!(read("a/*/").folders_only() && !read("a/*").folders_only());
    }

    #[test]
    fn a_folder_is_searched_as_long_as_something_may_lie_in_it() {
        let pattern = PathPattern::read("a*/b").unwrap();
        let reached = pattern.step(&pattern.start(), "ab");
        assert!(pattern.goes_on(&reached) && !pattern.is_found(&reached));
        let found = pattern.step(&reached, "b");
        assert!(!pattern.goes_on(&found) && pattern.is_found(&found));
        assert!(!pattern.goes_on(&pattern.step(&pattern.start(), "b")));
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        let refusal = |text: &str| PathPattern::read(text).unwrap_err();
        assert_eq!(refusal(""), PatternError::Empty);
        assert_eq!(refusal("/"), PatternError::Empty);
        assert_eq!(refusal(&"a/".repeat(2049)), PatternError::TooLong { max: 4096 });
        assert_eq!(refusal("*/../a"), PatternError::Parent);
        for text in ["a**b", "[a"] {
            assert!(matches!(refusal(text), PatternError::Name { .. }), "{text}");
        }
    }
}
