//! Samples, percentiles, and tables that read well as text too.

use std::time::Duration;

/// Times that were measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn join(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// p50, p99 and the largest, each divided by `unit`.
    pub(crate) fn told(&self, unit: Duration) -> [String; 3] {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        // The nearest rank: the smallest sample that so many are not above.
        let rank = |percent: usize| (sorted.len() * percent).div_ceil(100).max(1) - 1;
        [50, 99, 100].map(|percent| {
            let sample = sorted.get(rank(percent));
            sample.map_or_else(|| "-".to_owned(), |d| number(d.as_secs_f64() / unit.as_secs_f64()))
        })
    }
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        small if small >= 1.0 => 2,
        0.0 => 0,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

/// Prints a table under a sentence that says what it is of.
pub(crate) fn print(title: &str, heads: &[&str], rows: &[Vec<String>]) {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain([heads[i].chars().count()]).max().unwrap_or(0)
    };
    let line = |cells: &[String]| {
        let padded = |(i, cell): (usize, &String)| match i {
            0 => format!("{cell:<w$}", w = width(i)),
            _ => format!("{cell:>w$}", w = width(i)),
        };
        format!("| {} |", cells.iter().enumerate().map(padded).collect::<Vec<_>>().join(" | "))
    };
    println!("\n{title}\n");
    println!("{}", line(&heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>()));
    let rules = (0..heads.len()).map(|i| match i {
        0 => "-".repeat(width(i) + 2),
        _ => format!("{}:", "-".repeat(width(i) + 1)),
    });
    println!("|{}|", rules.collect::<Vec<_>>().join("|"));
    for row in rows {
        println!("{}", line(row));
    }
}
