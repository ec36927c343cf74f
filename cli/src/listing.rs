//! Plain tables for lists of things.

use comfy_table::{CellAlignment, Table, presets};

/// An empty table with this header.
pub fn listing(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(header.to_vec());
    table
}

/// Aligns figures.
pub fn align_right(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
