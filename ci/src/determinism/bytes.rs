//! Text line by line; anything else by its first byte that differs.

use std::io::{self, BufRead, Read};

use super::tally::{Place, Tally};

/// A longer line is taken in pieces of this many bytes, each counted as a line: a file without line feeds is not held whole.
const LONGEST_LINE: u64 = 1 << 20;
/// What is told of a line or a cell.
const SHOWN: usize = 200;

/// Line by line. After a line that one side lacks, all that follow differ.
pub(super) fn lines(a: &mut dyn BufRead, b: &mut dyn BufRead, tally: &mut Tally) -> io::Result<()> {
    let mut lines = Lines::default();
    while lines.next(a, b)? {
        if lines.a != lines.b {
            let line = lines.number;
            tally.found(Place::Line { line }, shown(&lines.a), shown(&lines.b));
        }
    }
    Ok(())
}

/// Up to the first difference.
pub(super) fn bytes(a: &mut dyn BufRead, b: &mut dyn BufRead, tally: &mut Tally) -> io::Result<()> {
    bytes_from(0, a, b, tally)
}

/// The same of files of which the first `offset` bytes have been compared.
pub(super) fn bytes_from(
    mut offset: u64,
    a: &mut dyn BufRead,
    b: &mut dyn BufRead,
    tally: &mut Tally,
) -> io::Result<()> {
    loop {
        let (here, there) = (a.fill_buf()?, b.fill_buf()?);
        let both = here.len().min(there.len());
        let differs = here.iter().zip(there).position(|(a, b)| a != b);
        let at = differs.unwrap_or(both);
        if differs.is_some() || (both == 0 && here.len() != there.len()) {
            let byte = |side: &[u8]| side.get(at).map(|byte| format!("{byte:#04x}"));
            let place = Place::Byte {
                offset: offset + at as u64,
            };
            tally.found(place, byte(here), byte(there));
            return Ok(());
        }
        if both == 0 {
            return Ok(());
        }
        a.consume(both);
        b.consume(both);
        offset += both as u64;
    }
}

/// Two files read line by line, beside each other.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// With its line feed; empty at the end.
    pub(super) a: Vec<u8>,
    pub(super) b: Vec<u8>,
    /// Its number, from 1.
    pub(super) number: u64,
}

impl Lines {
    /// Whether there is one more on either side.
    pub(super) fn next(&mut self, a: &mut dyn BufRead, b: &mut dyn BufRead) -> io::Result<bool> {
        self.number += 1;
        read_line(a, &mut self.a)?;
        read_line(b, &mut self.b)?;
        Ok(!self.a.is_empty() || !self.b.is_empty())
    }
}

fn read_line(from: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    from.take(LONGEST_LINE).read_until(b'\n', line)?;
    Ok(())
}

/// The beginning of a line; nothing if there is none. A line feed that lacks at the end of the file shows, since it differs, too.
pub(super) fn shown(line: &[u8]) -> Option<String> {
    if line.is_empty() {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let text = match text.strip_suffix('\n') {
        Some(whole) => whole.escape_debug().collect(),
        None => format!("{} (no line feed)", text.escape_debug()),
    };
    Some(shortened(&text))
}

/// `text`, cut where it is too long to be read.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
