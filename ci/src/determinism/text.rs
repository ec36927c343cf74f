//! What came of a comparison, for people.

use super::{Comparison, LeftOut};
use crate::listing::Listing;

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
    let mut table = Listing::new(width);
    table.header(["file", "where", "a", "b"]);
    for file in &comparison.differing {
        for (index, difference) in file.first.iter().enumerate() {
            let name = if index == 0 { file.file.as_str() } else { "" };
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| NOTHING.into());
            table.row([
                name.to_owned(),
                difference.place.to_string(),
                value(&difference.a),
                value(&difference.b),
            ]);
        }
        let more = file.count - file.first.len() as u64;
        if more > 0 {
            let more = format!("and {more} more");
            table.row([String::new(), more, String::new(), String::new()]);
        }
    }
    table.render(0..0)
}
