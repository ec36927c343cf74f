//! Plain tables in the look of all of longhaul's: a header, a line, and a row each.

use std::ops::Range;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

/// A table that grows by rows; cells that do not fit its width are wrapped.
#[derive(Debug)]
pub(crate) struct Listing(Table);

impl Listing {
    /// An empty one.
    pub fn new(width: usize) -> Self {
        let mut table = Table::new();
        table
            .load_style(
                TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')),
            )
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(width).unwrap_or(u16::MAX))
            .force_no_tty();
        Self(table)
    }

    /// Names the columns.
    pub fn header<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        self.0.set_header(names.into_iter().collect::<Vec<_>>());
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells.into_iter().collect::<Vec<_>>());
    }

    /// The table, each line ended; the columns `figures`, counted from 0, stand right.
    pub fn render(mut self, figures: Range<usize>) -> String {
        for (index, column) in self.0.column_iter_mut().enumerate() {
            column.set_padding((1, 0));
            if figures.contains(&index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.0.trim_fmt() + "\n"
    }
}
