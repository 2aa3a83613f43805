//! Results on stdout, remarks on stderr.
//!
//! Invariant: nothing here panics when a reader goes away; a closed stdout surfaces as an `io::Error` that
//! `failure` takes for a success.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

/// Writes text to stdout and flushes it.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => error.into(),
        _ => anyhow::Error::new(error).context("cannot write to the standard output"),
    })
}

/// Writes one JSON document to stdout.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes a remark for the person who watches to stderr.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Bytes as people read them: three digits and a binary unit.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let (mut value, mut unit) = (count as f64 / 1024.0, 0);
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A share as people read it: `12.3 %`.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "0 %".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// A duration as people read it: milliseconds below ten seconds.
pub(crate) fn duration(duration: std::time::Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds < 10_000 {
        format!("{milliseconds} ms")
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}

/// A duration in the largest unit of which there are two.
pub(crate) fn roughly(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("days", 86_400), ("hours", 3600), ("minutes", 60)];
    match units.into_iter().find(|(_, len)| seconds / len >= 2) {
        Some((unit, len)) => format!("{} {unit}", seconds / len),
        None => format!("{seconds} seconds"),
    }
}

/// A table with a heading, columns as wide as they need.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds one row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text; the last column is not padded.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}  ");
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
    fn bytes_keep_three_digits() {
        let cases = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_048_575, "1.0 MiB")];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(bytes(150 << 20), "150 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn a_table_aligns_its_columns() {
        let mut table = Table::new(&["NAME", "SIZE"]);
        table.row(vec!["hello".into(), "7.6 MiB".into()]);
        assert_eq!(table.render(), "NAME   SIZE\nhello  7.6 MiB\n");
    }
}
