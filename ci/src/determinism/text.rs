//! What came of a comparison, for people.

use comfy_table::{Cell, ContentArrangement, LineStyle, Table, TableStyle};

use super::{Comparison, LeftOut};

/// What stands where one side has nothing.
const NOTHING: &str = "—";

/// The verdict, a table of the differences, what was left out; a cell that does not fit `width` is wrapped.
pub(super) fn text(comparison: &Comparison, width: usize) -> String {
    let Comparison {
        a,
        b,
        files,
        bytes,
        count,
        differing,
        left_out,
    } = comparison;
    let mut text = if comparison.same() {
        format!("the same: {files} files, {bytes} bytes\n")
    } else {
        let plural = if *count == 1 { "" } else { "s" };
        format!(
            "NOT the same: {count} difference{plural} in {} of {files} files\n",
            differing.len()
        )
    };
    text += &format!("  a: {}\n  b: {}\n", a.display(), b.display());
    if !differing.is_empty() {
        text += &table(comparison, width);
    }
    for LeftOut { what, why } in left_out {
        text += &format!("# left out: {what} ({why})\n");
    }
    text
}

fn table(comparison: &Comparison, width: usize) -> String {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .force_no_tty();
    table.set_header(["file", "where", "a", "b"].map(Cell::new));
    for file in &comparison.differing {
        for (index, difference) in file.first.iter().enumerate() {
            let name = if index == 0 { file.file.as_str() } else { "" };
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| NOTHING.into());
            table.add_row([
                name.to_owned(),
                difference.place.to_string(),
                value(&difference.a),
                value(&difference.b),
            ]);
        }
        let more = file.count - file.first.len() as u64;
        if more > 0 {
            table.add_row(["", &format!("and {more} more"), "", ""]);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((1, 0));
    }
    table.trim_fmt() + "\n"
}
