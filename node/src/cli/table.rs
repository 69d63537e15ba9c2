//! Aligned tables, and colours where they can be seen.

use std::fmt::Write;

/// Lines of cells under headings. The last column is as wide as it likes.
#[derive(Debug)]
pub(super) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// One cell.
#[derive(Debug)]
pub(super) struct Cell {
    text: String,
    colour: Option<Colour>,
}

/// Few colours, each with one meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// All is well.
    Green,
    /// Worth a look.
    Yellow,
    /// Something is wrong.
    Red,
}

/// Whether colours are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Coloured,
    Plain,
}

impl Table {
    pub(super) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a line, one cell for each heading.
    pub(super) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        assert_eq!(N, self.headings.len(), "a cell for each heading");
        self.rows.push(cells.into());
    }

    /// Writes the table, each line with its end.
    pub(super) fn render(&self, paint: Paint) -> String {
        let widths: Vec<usize> = self
            .headings
            .iter()
            .enumerate()
            .map(|(column, heading)| {
                let cells = self.rows.iter().map(|row| row[column].text.chars().count());
                cells.chain([heading.len()]).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for (column, heading) in self.headings.iter().enumerate() {
            push(&mut text, heading, None, self.padding(column, &widths, heading.len()));
        }
        end_line(&mut text);
        for row in &self.rows {
            for (column, cell) in row.iter().enumerate() {
                let colour = cell.colour.filter(|_| paint == Paint::Coloured);
                let padding = self.padding(column, &widths, cell.text.chars().count());
                push(&mut text, &cell.text, colour, padding);
            }
            end_line(&mut text);
        }
        text
    }

    fn padding(&self, column: usize, widths: &[usize], length: usize) -> usize {
        if column + 1 == self.headings.len() { 0 } else { widths[column] - length + GAP }
    }
}

impl Cell {
    /// Makes a cell. Control characters, which could move a terminal's cursor, are replaced.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text: String = text.into();
        let text = text
            .chars()
            .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
            .collect();
        Self { text, colour: None }
    }

    pub(super) fn coloured(text: impl Into<String>, colour: Colour) -> Self {
        Self { colour: Some(colour), ..Self::new(text) }
    }
}

fn push(text: &mut String, cell: &str, colour: Option<Colour>, padding: usize) {
    match colour {
        Some(colour) => write!(text, "\x1b[{}m{cell}\x1b[0m", colour.code()),
        None => write!(text, "{cell}"),
    }
    .expect("a String takes everything");
    text.extend(std::iter::repeat_n(' ', padding));
}

fn end_line(text: &mut String) {
    text.truncate(text.trim_end_matches(' ').len());
    text.push('\n');
}

impl Colour {
    fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
        }
    }
}

/// Blanks between columns.
const GAP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NODE", "STATE", "REMOTE"]);
        table.row([Cell::new("w1"), Cell::coloured("up", Colour::Green), Cell::new("192.0.2.7:51820")]);
        table.row([Cell::new("longer-name"), Cell::coloured("down", Colour::Red), Cell::new("")]);
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            table().render(Paint::Plain),
            "NODE         STATE  REMOTE\nw1           up     192.0.2.7:51820\nlonger-name  down\n"
        );
    }

    #[test]
    fn colours_do_not_move_columns() {
        let coloured = table().render(Paint::Coloured);
        assert!(coloured.contains("\x1b[32mup\x1b[0m     192"), "{coloured:?}");
        let plain = coloured.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        assert_eq!(plain, table().render(Paint::Plain));
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        let mut table = Table::new(&["SUMMARY"]);
        table.row([Cell::new("a\x1b[2Jb\nc")]);
        assert_eq!(table.render(Paint::Plain), "SUMMARY\na\u{fffd}[2Jb\u{fffd}c\n");
    }
}
