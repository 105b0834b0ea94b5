//! Samples, percentiles, and a table of them.

use std::time::Duration;

/// Times that were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

/// One line of the table.
pub(crate) struct Row {
    name: String,
    cells: [String; 8],
}

impl Samples {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The median; nothing of nothing.
    pub(crate) fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// How many, p50, p99 and the largest, in milliseconds.
    pub(crate) fn told(&self) -> [String; 4] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: the smallest sample that so many are not above.
        let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).max(1) - 1;
        let millis = |at: usize| {
            sorted.get(at).map_or_else(|| "-".to_owned(), |d| format!("{:.2}", d.as_secs_f64() * 1000.0))
        };
        [sorted.len().to_string(), millis(rank(50)), millis(rank(99)), millis(rank(100))]
    }
}

impl Row {
    pub(crate) fn new(name: &str, idle: &Samples, loaded: Option<&Samples>) -> Self {
        let [a, b, c, d] = idle.told();
        let [e, f, g, h] = loaded.cloned().unwrap_or_default().told();
        Self { name: name.to_owned(), cells: [a, b, c, d, e, f, g, h] }
    }
}

/// A table that reads well as text too. `what` stands above the names of the rows.
pub(crate) fn markdown(what: &str, rows: &[Row]) -> String {
    let heads = ["n", "p50", "p99", "max", "n (load)", "p50", "p99", "max"];
    let names = rows.iter().map(|r| r.name.chars().count());
    let first = names.chain([what.chars().count()]).max().unwrap_or(0);
    let width = |i: usize| rows.iter().map(|r| r.cells[i].len()).chain([heads[i].len()]).max().unwrap_or(0);
    let line = |name: &str, cells: &[String]| {
        let cells: Vec<_> = cells.iter().enumerate().map(|(i, c)| format!("{c:>w$}", w = width(i))).collect();
        format!("| {name:<first$} | {} |\n", cells.join(" | "))
    };
    let mut text = line(what, &heads.map(str::to_owned));
    let rule: Vec<_> = (0..heads.len()).map(|i| format!("{}:", "-".repeat(width(i) + 1))).collect();
    text.push_str(&format!("|{}|{}|\n", "-".repeat(first + 2), rule.join("|")));
    for row in rows {
        text.push_str(&line(&row.name, &row.cells));
    }
    text
}
