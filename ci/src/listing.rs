//! Plain tables in the look of all of longhaul's: a header, a line, and a row each.

use std::ops::Range;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle, Width,
};

/// A longer word is broken, if it has to be.
const LONGEST_WORD: usize = 24;

/// A table that grows by rows; cells that do not fit its width are wrapped, but not within a word: then the table is wider.
#[derive(Debug)]
pub(crate) struct Listing {
    table: Table,
    width: usize,
    /// Of each column, its longest word.
    words: Vec<usize>,
}

impl Listing {
    /// An empty one.
    pub fn new(width: usize) -> Self {
        let mut table = Table::new();
        table
            .load_style(
                TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')),
            )
            .set_content_arrangement(ContentArrangement::Dynamic)
            .force_no_tty();
        Self {
            table,
            width,
            words: Vec::new(),
        }
    }

    /// Names the columns.
    pub fn header<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        let names: Vec<&str> = names.into_iter().collect();
        self.measure(&names);
        self.table.set_header(names);
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        self.measure(&cells);
        self.table.add_row(cells);
    }

    /// Takes note of the longest words of a row.
    fn measure(&mut self, cells: &[impl AsRef<str>]) {
        self.words.resize(self.words.len().max(cells.len()), 0);
        for (longest, cell) in self.words.iter_mut().zip(cells) {
            let words = cell.as_ref().split_whitespace();
            let word = words.map(|word| word.chars().count()).max();
            *longest = (*longest).max(word.unwrap_or(0).min(LONGEST_WORD));
        }
    }

    /// The table, each line ended; the columns `figures`, counted from 0, stand right.
    pub fn render(mut self, figures: Range<usize>) -> String {
        const GAP: usize = 1;
        const SEPARATOR: usize = 1;
        let short = |width: usize| u16::try_from(width).unwrap_or(u16::MAX);
        let least: usize = self.words.iter().map(|word| word + GAP + SEPARATOR).sum();
        self.table.set_width(short(self.width.max(least)));
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((short(GAP), 0));
            let word = Width::Fixed(short(self.words[index] + GAP));
            column.set_constraint(ColumnConstraint::LowerBoundary(word));
            if figures.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.table.trim_fmt() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_figures_stay_whole_however_narrow_the_terminal() {
        for width in [0, 1, 20, 40, 120] {
            let mut table = Listing::new(width);
            table.header(["stack", "figure", "baseline"]);
            table.row(["cubic", "time-p99 in place", "0.00086163 GB/s"].map(str::to_owned));
            let text = table.render(2..3);
            for word in ["stack", "cubic", "time-p99", "0.00086163", "baseline"] {
                assert!(text.contains(word), "{width}: {text}");
            }
        }
    }
}
