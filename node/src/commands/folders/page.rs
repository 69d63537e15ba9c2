//! One answer's share of a long list: the first names after a given one, in order, within bounds. Pure.
//!
//! Whatever comes or goes between two answers, no name that stays is left out or told twice.

use std::collections::BTreeMap;

use runnel_codec::SMALL_BODY_BYTES_MAX;

/// Collects names in any order and keeps the first of them.
#[derive(Debug)]
pub(super) struct Page<T> {
    after: Option<String>,
    entries_max: usize,
    kept: BTreeMap<String, T>,
    bytes: usize,
    /// The first name that was let go of: nothing from it on is kept, or the page would have a hole.
    end: Option<String>,
}

impl<T> Page<T> {
    /// Makes a page of at most `entries_max` names, at least one, that come after `after`.
    pub(super) fn new(after: Option<String>, entries_max: usize) -> Self {
        Self { after, entries_max: entries_max.max(1), kept: BTreeMap::new(), bytes: 0, end: None }
    }

    /// Takes a name, if it belongs to the page. Equal names are one.
    pub(super) fn offer(&mut self, name: String, value: T) {
        let is_before = self.after.as_ref().is_some_and(|after| name <= *after);
        let is_behind = self.end.as_ref().is_some_and(|end| name >= *end);
        if is_before || is_behind || self.kept.contains_key(&name) {
            return;
        }
        self.bytes += bytes_of(&name);
        self.kept.insert(name, value);
        while self.kept.len() > 1 && (self.kept.len() > self.entries_max || self.bytes > ANSWER_BYTES_MAX) {
            let Some((name, _)) = self.kept.pop_last() else { break };
            self.bytes -= bytes_of(&name);
            self.end = Some(name);
        }
    }

    /// Returns the names in order, and after which to go on if there are more.
    pub(super) fn finish(self) -> (Vec<(String, T)>, Option<String>) {
        let next = self.end.and_then(|_| self.kept.last_key_value().map(|(name, _)| name.clone()));
        (self.kept.into_iter().collect(), next)
    }
}

/// What an entry takes in an answer, at most.
fn bytes_of(name: &str) -> usize {
    name.len() + ENTRY_BYTES
}

/// Bytes of an entry beside its name: the length and the kind.
const ENTRY_BYTES: usize = 8;

/// Bytes of all entries of an answer: room is left for what stands beside them.
const ANSWER_BYTES_MAX: usize = SMALL_BODY_BYTES_MAX / 4 * 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads all pages of `names`, offered in the order given.
    fn pages(names: &[String], entries_max: usize) -> Vec<Vec<String>> {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let mut page = Page::new(after, entries_max);
            for name in names {
                page.offer(name.clone(), ());
            }
            let (entries, next) = page.finish();
            pages.push(entries.into_iter().map(|(name, ())| name).collect());
            match next {
                None => return pages,
                next => after = next,
            }
        }
    }

    fn text(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn pages_join_in_order_without_gaps() {
        let names = text(&["e", "b", "a", "d", "c", "b"]);
        let expected = vec![text(&["a", "b"]), text(&["c", "d"]), text(&["e"])];
        assert_eq!(pages(&names, 2), expected);
        assert_eq!(pages(&names, 5), [text(&["a", "b", "c", "d", "e"])]);
        assert_eq!(pages(&[], 2), [Vec::<String>::new()]);
    }

    #[test]
    fn a_page_of_long_names_is_short_and_has_no_hole() {
        // The long one is let go of, and the short one behind it must not take its place.
        let long = |first: char| format!("{first}{}", "x".repeat(20_000));
        let names = vec![long('a'), long('b'), long('c'), "d".to_owned()];
        assert_eq!(pages(&names, 10), [vec![long('a'), long('b')], vec![long('c'), "d".to_owned()]]);
    }

    #[test]
    fn one_name_is_told_however_long() {
        let names = vec!["x".repeat(100_000), "y".to_owned()];
        assert_eq!(pages(&names, 1).concat(), names);
    }
}
