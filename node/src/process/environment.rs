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
        let added = name.len() + value.len() + VARIABLE_BYTES;
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

/// What one piece takes. An update has 64 KiB, and its reader twice that in memory.
const PIECE_BYTES_MAX: usize = 64 << 10;
/// What a variable takes in memory beside its name and its value.
const VARIABLE_BYTES: usize = 2 * size_of::<String>();
/// Longest name or value that is told whole.
const TEXT_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use runnel_codec::Command;

    use super::*;
    use crate::commands::{Exec, ExecUpdate};

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
        let variables = ["a", "b", "c", "d", "e"].map(|name| (name, format!("{whole}x")));
        let pieces = told(&variables);
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(pieces[1][1], ("e".to_owned(), format!("{whole}…")));
    }

    #[test]
    fn each_piece_fits_into_an_update_however_small_its_variables_are() {
        for len in [0, 1, 10, 100, 1000, TEXT_BYTES_MAX] {
            let variables = (0..5000).map(|name| (format!("{name}").into(), "x".repeat(len).into()));
            let variables: BTreeMap<OsString, OsString> = variables.take(10_000_000 / (len + 100)).collect();
            let mut count = 0;
            for piece in pieces(&variables) {
                let Piece::Environment(piece) = piece else { panic!("{piece:?}") };
                let update = ExecUpdate::Environment(piece);
                let bytes = Exec::encode_update(&update).unwrap();
                assert_eq!(Exec::decode_update(&bytes).as_ref(), Ok(&update), "{len}");
                let ExecUpdate::Environment(piece) = update else { panic!() };
                count += piece.len();
            }
            assert_eq!(count, variables.len());
        }
    }

    #[test]
    fn what_is_no_text_is_told_all_the_same() {
        let variables = BTreeMap::from([("a".into(), OsString::from_vec(vec![b'x', 0xff]))]);
        let told = pieces(&variables);
        assert_eq!(told, [Piece::Environment(vec![("a".to_owned(), "x\u{fffd}".to_owned())])]);
    }
}
