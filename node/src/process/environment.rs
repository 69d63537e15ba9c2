//! The environment that a process gets, and how it is told.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path;

use super::event::Piece;
use super::spec::ProcessSpec;

/// Returns the variables of the process that `spec` describes.
pub(super) fn of(spec: &ProcessSpec) -> BTreeMap<OsString, OsString> {
    let mut variables = BTreeMap::new();
    if !spec.env_clear {
        variables.extend(std::env::vars_os());
    }
    for (name, value) in &spec.env {
        match value {
            Some(value) => variables.insert(name.into(), value.into()),
            None => variables.remove::<OsString>(&name.into()),
        };
    }
    if let Some(cwd) = spec.cwd.as_ref().and_then(|cwd| path::absolute(cwd).ok()) {
        variables.insert("PWD".into(), cwd.into());
    }
    variables
}

/// Cuts variables into pieces that are no larger than others. There is at least one.
pub(super) fn pieces(variables: &BTreeMap<OsString, OsString>) -> VecDeque<Piece> {
    let (mut pieces, mut piece, mut bytes) = (VecDeque::new(), Vec::new(), 0);
    for (name, value) in variables {
        let (name, value) = (cut(name.to_string_lossy().into()), cut(value.to_string_lossy().into()));
        let added = name.len() + value.len();
        if bytes + added > PIECE_BYTES_MAX && !piece.is_empty() {
            pieces.push_back(Piece::Environment(std::mem::take(&mut piece)));
            bytes = 0;
        }
        bytes += added;
        piece.push((name, value));
    }
    pieces.push_back(Piece::Environment(piece));
    pieces
}

/// Shortens what would not fit into a piece.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        text.push('…');
    }
    text
}

/// Names and values of one piece together. An update takes 64 KiB, and each of them its length beside it.
const PIECE_BYTES_MAX: usize = 32 << 10;
/// Longest name or value that is told whole.
const TEXT_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn told(variables: &[(&str, String)]) -> Vec<Vec<(String, String)>> {
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let pieces = pieces(&variables).into_iter();
        pieces
            .map(|piece| match piece {
                Piece::Environment(variables) => variables,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_large_environment_comes_in_several_pieces_and_a_small_one_in_one() {
        assert_eq!(told(&[]), [vec![]]);
        let whole = "x".repeat(TEXT_BYTES_MAX);
        let pieces = told(&[("a", whole.clone()), ("b", whole.clone()), ("c", format!("{whole}x"))]);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1], [("b".to_owned(), whole.clone())]);
        assert_eq!(pieces[2], [("c".to_owned(), format!("{whole}…"))]);
    }

    #[test]
    fn what_is_no_text_is_told_all_the_same() {
        let variables = BTreeMap::from([("a".into(), OsString::from_vec(vec![b'x', 0xff]))]);
        let told = pieces(&variables);
        assert_eq!(told, [Piece::Environment(vec![("a".to_owned(), "x\u{fffd}".to_owned())])]);
    }
}
