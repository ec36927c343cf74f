//! Plain tables for lists of things: a header, a line, and a row each; a long last column is wrapped under itself.

use std::ops::Range;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle,
};

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

    /// As text of at most `width` columns where the last column can be wrapped to that; figures are the columns
    /// `figures`, counted from 0.
    pub fn render(mut self, figures: Range<usize>, width: usize) -> String {
        let last = self.table.column_count().saturating_sub(1);
        for (index, column) in self.table.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
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
