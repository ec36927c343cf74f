//! Tables: a line that differs is told by its columns.

use std::io::{self, BufRead};

use ::csv::{ByteRecord, ReaderBuilder};

use super::bytes::{Lines, shortened, shown};
use super::tally::{Place, Tally};

/// Line by line, columns by the names in the first file's header. No field of a result holds a line feed.
pub(super) fn compare(
    a: &mut dyn BufRead,
    b: &mut dyn BufRead,
    tally: &mut Tally,
) -> io::Result<()> {
    let mut header = None;
    let mut lines = Lines::default();
    while lines.next(a, b)? {
        let header = header.get_or_insert_with(|| fields(&lines.a));
        if lines.a == lines.b {
            continue;
        }
        let line = lines.number;
        let (of_a, of_b) = (fields(&lines.a), fields(&lines.b));
        // Half a line, a line too many, or other quotes around the same: there is no column to name.
        if of_a.len() != of_b.len() || of_a == of_b {
            tally.found(Place::Line { line }, shown(&lines.a), shown(&lines.b));
            continue;
        }
        for (index, (a, b)) in of_a.iter().zip(&of_b).enumerate() {
            if a != b {
                let column = header.get(index).map(text);
                let column = column.unwrap_or_else(|| format!("column {}", index + 1));
                let place = Place::Cell { line, column };
                tally.found(place, Some(text(a)), Some(text(b)));
            }
        }
    }
    Ok(())
}

/// The fields of a line; none if it is no record.
fn fields(line: &[u8]) -> ByteRecord {
    let mut record = ByteRecord::new();
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line);
    if reader.read_byte_record(&mut record).is_err() {
        record.clear();
    }
    record
}

fn text(field: &[u8]) -> String {
    shortened(&String::from_utf8_lossy(field))
}
