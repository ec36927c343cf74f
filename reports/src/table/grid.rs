//! A table as text, and the choice among layouts by width.

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

/// Header lines over rows of cells.
#[derive(Clone, Debug, Default)]
pub(super) struct Grid {
    columns: Vec<Column>,
}

/// Where a column's text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

#[derive(Clone, Debug)]
struct Column {
    header: String,
    align: Align,
    cells: Vec<String>,
}

impl Grid {
    /// Adds a column; its header may have several lines.
    pub fn column(&mut self, header: &str, align: Align, cells: impl IntoIterator<Item = String>) {
        self.columns.push(Column {
            header: header.to_owned(),
            align,
            cells: cells.into_iter().collect(),
        });
    }

    /// The table, each line ended.
    pub fn render(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(
                TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')),
            )
            .set_content_arrangement(ContentArrangement::Disabled)
            .force_no_tty();
        // Headers stand on their column's last line, as in nccl-tests.
        let height = self
            .columns
            .iter()
            .map(|column| column.header.lines().count())
            .max()
            .unwrap_or(0);
        let cell = |text: &str, align| {
            Cell::new(text).set_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            })
        };
        table.set_header(self.columns.iter().map(|column| {
            let padding = "\n".repeat(height - column.header.lines().count().max(1));
            cell(&format!("{padding}{}", column.header), column.align)
        }));
        let rows = self
            .columns
            .iter()
            .map(|column| column.cells.len())
            .max()
            .unwrap_or(0);
        for row in 0..rows {
            table.add_row(self.columns.iter().map(|column| {
                cell(
                    column.cells.get(row).map_or("", String::as_str),
                    column.align,
                )
            }));
        }
        for column in table.column_iter_mut() {
            column.set_padding((1, 0));
        }
        table.trim_fmt() + "\n"
    }
}

/// The first of the layouts whose lines all fit into `width`, else the last.
pub(super) fn fitting(width: usize, layouts: impl IntoIterator<Item = String>) -> String {
    let mut last = String::new();
    for layout in layouts {
        if line_width(&layout) <= width {
            return layout;
        }
        last = layout;
    }
    last
}

/// The length of the longest line, in characters.
pub(super) fn line_width(text: &str) -> usize {
    text.lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(0)
}

/// `text` behind `head`, broken between words so that no line passes `width`; further lines are indented to
/// stand under the first.
pub(super) fn paragraph(head: &str, text: &str, width: usize) -> String {
    let indent = head.chars().count();
    let mut lines = vec![head.to_owned()];
    let mut used = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > indent && used + 1 + length > width {
            lines.push(" ".repeat(indent));
            used = indent;
        }
        let line = lines.last_mut().expect("there is always a line");
        if used > indent {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    lines.join("\n") + "\n"
}
