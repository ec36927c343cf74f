//! Plain tables for lists of things: a header, a line, and a row each; a long last column is wrapped under itself.

use std::ops::Range;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};

/// What is left to a last column that is longer, on however narrow a terminal: a word a line is no text.
const LEAST: usize = 20;
/// Spaces after a column.
const GAP: u16 = 2;
/// And what stands between two.
const SEPARATOR: usize = 1;

/// A table that grows by rows.
#[derive(Debug)]
pub struct Listing {
    table: Table,
}

impl Listing {
    /// An empty table with this header.
    pub fn new(header: &[&str]) -> Self {
        let mut table = Table::new();
        table
            .load_style(
                TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')),
            )
            .set_content_arrangement(ContentArrangement::Dynamic)
            .force_no_tty()
            .set_header(header.to_vec());
        Listing { table }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.table.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    /// As text of at most `width` columns where the last column can be wrapped to that and still be read; figures are the columns
    /// `figures`, counted from 0.
    pub fn render(mut self, figures: Range<usize>, width: usize) -> String {
        let widths = self.table.column_max_content_widths();
        let least = widths.iter().rev().enumerate().map(|(index, &width)| {
            let width = usize::from(width);
            let shown = if index == 0 { width.min(LEAST) } else { width };
            shown + usize::from(GAP) + SEPARATOR
        });
        let width = width.max(least.sum());
        let last = widths.len().saturating_sub(1);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if figures.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            if index != last {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        self.table
            .set_width(width.try_into().unwrap_or(u16::MAX))
            .trim_fmt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_column_is_wrapped_at_words_however_narrow_the_terminal() {
        let table = |width| {
            let mut table = Listing::new(&["claim", "what it says"]);
            table.row([
                "xgs-all-reduce".to_owned(),
                "Nearly twice the bandwidth between two sites".to_owned(),
            ]);
            table.render(0..0, width)
        };
        let narrow = "\
claim            what it says
────
xgs-all-reduce   Nearly twice the
                 bandwidth between two
                 sites";
        for width in [0, 1, 30] {
            let text = table(width);
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            let expected: Vec<&str> = narrow.lines().collect();
            // The line below the header is as long as the table.
            assert_eq!(lines[0], expected[0], "{width}");
            assert_eq!(lines[2..], expected[2..], "{width}");
        }
        assert_eq!(table(80).lines().count(), 3);
    }
}
