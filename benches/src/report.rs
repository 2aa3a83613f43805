//! Tables of medians, as Markdown.

/// The values of one figure over all runs.
#[derive(Default, Clone)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// Adds the value of one more run.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The median, or none of an empty series.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => None,
            n if n % 2 == 1 => sorted.get(middle).copied(),
            _ => Some(f64::midpoint(*sorted.get(middle - 1)?, *sorted.get(middle)?)),
        }
    }

    /// Minimum and maximum, or none of an empty series.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        let low = self.0.iter().copied().reduce(f64::min)?;
        let high = self.0.iter().copied().reduce(f64::max)?;
        Some((low, high))
    }

    /// `median (minimum–maximum)`.
    pub(crate) fn cell(&self) -> String {
        self.median().zip(self.range()).map_or_else(
            || "–".to_owned(),
            |(median, (low, high))| format!("{} ({}–{})", number(median), number(low), number(high)),
        )
    }
}

/// Three significant digits, thousands spelled out.
fn number(value: f64) -> String {
    match value {
        v if v >= 10_000.0 => format!("{:.1} k", v / 1000.0),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// Prints a table: the first column names the contenders.
pub(crate) fn table(title: &str, columns: &[&str], rows: &[(String, Vec<String>)]) {
    print!("{}", markdown(title, columns, rows));
}

/// A table as Markdown: the first column names the contenders.
pub(crate) fn markdown(title: &str, columns: &[&str], rows: &[(String, Vec<String>)]) -> String {
    let mut text =
        format!("\n### {title}\n\n| | {} |\n|---|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for (name, cells) in rows {
        text += &format!("| {name} | {} |\n", cells.join(" | "));
    }
    text
}

/// What was left out of a table, with the reasons.
pub(crate) fn left_out(skipped: &[String]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let lines: String = skipped.iter().map(|line| format!("* {}\n", line.replace('\n', " "))).collect();
    format!("\nLeft out:\n\n{lines}")
}
