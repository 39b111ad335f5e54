//! What goes to standard output, and what is said on standard error.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde_json::Value as Json;

use crate::args::Format;

/// Says something to whoever watches. Nobody listening is no error.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes data as it is. A reader that has gone is an error that ends the command, quietly.
pub(crate) fn bytes(data: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(data).and_then(|()| stdout.flush())
}

/// Writes one JSON document.
pub(crate) fn json(json: &Json) -> io::Result<()> {
    bytes(format!("{json:#}\n").as_bytes())
}

/// Writes one line of JSON, of several.
pub(crate) fn json_line(json: &Json) -> io::Result<()> {
    bytes(format!("{json}\n").as_bytes())
}

/// Writes one JSON document, or a table of the same.
pub(crate) fn show(format: Format, json: &Json, table: &Table) -> io::Result<()> {
    match format {
        Format::Json => self::json(json),
        Format::Text => bytes(table.render().as_bytes()),
    }
}

/// Names and the largest first, as `bireme_daemon::units` reads them.
const SIZES: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes, for people: to a tenth of the largest unit of which there is one, cut off rather than rounded up.
pub(crate) fn size(bytes: u64) -> String {
    let Some((unit, scale)) = SIZES.into_iter().find(|(_, scale)| bytes >= *scale) else {
        return format!("{bytes}B");
    };
    match (bytes / scale, bytes % scale * 10 / scale) {
        (whole, 0) => format!("{whole}{unit}"),
        (whole, tenth) => format!("{whole}.{tenth}{unit}"),
    }
}

/// Rows of cells, for people.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; none for a list of names and values.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let headings: Vec<_> = headings.iter().map(|&heading| heading.to_owned()).collect();
        Self { rows: if headings.is_empty() { Vec::new() } else { vec![headings] } }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Columns are as wide as their widest cell; the last is not filled up.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_can_be_typed() {
        let sizes = [(0, "0B"), (1_023, "1023B"), (1 << 30, "1GiB"), (40_442_403_200, "37.6GiB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
            assert!(bireme_daemon::units::bytes(text).is_ok_and(|read| read <= bytes), "{text}");
        }
    }

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", "N"]);
        table.row(["a".into(), "1".into()]);
        table.row(["longer".into(), "22".into()]);
        assert_eq!(table.render(), "NAME    N\na       1\nlonger  22\n");
    }
}
