//! The pages for whoever runs a fleet: what they quote is said, and what they configure exists.

use std::collections::BTreeMap;

use crate::{files, none, top};

const FAULTS: [&str; 2] = ["docs/operating/when-redis-is-down.md", "docs/operating/when-postgres-is-down.md"];

/// What Redis says itself, as the pages quote it.
const OF_REDIS: [&str; 5] = ["OOM", "MISCONF", "NOREPLICAS", "MOVED", "max number of clients"];

fn read(path: &str) -> String {
    std::fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All that the gateway can say: its source, with the strings that go over several lines put together.
fn said() -> String {
    let sources = files(&top().join("gateway"), "rs");
    let text: String = sources.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let mut lines = text.split("\\\n");
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |all, line| all + line.trim_start())
}

/// The cells of every table that has a column of this name, below it.
fn column(page: &str, name: &str) -> Vec<String> {
    let (mut cells, mut at) = (Vec::new(), None);
    for line in page.lines() {
        let row: Vec<&str> = line.split('|').map(str::trim).collect();
        if row.len() < 3 {
            at = None;
        } else if let Some(found) = row.iter().position(|cell| *cell == name) {
            at = Some(found);
        } else if let Some(cell) = at.and_then(|at| row.get(at)) {
            cells.push((*cell).to_owned());
        }
    }
    cells
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn what_the_log_is_said_to_say_it_says() {
    let (said, mut faults, mut seen) = (said(), Vec::new(), 0);
    for page in FAULTS {
        for cell in column(&read(page), "line") {
            for line in quoted(&cell) {
                seen += 1;
                if !said.contains(&format!("\"{line}\"")) {
                    faults.push(format!("{page}: {line}"));
                }
            }
        }
    }
    assert!(seen > 12, "the lines were not found");
    none(&faults, "lines of the log that nobody writes");
}

#[test]
fn a_failure_shows_as_the_page_says() {
    let known = said() + &read("docs/reference/metrics.md") + &read("docs/reference/operator-api.md");
    let (mut faults, mut seen) = (Vec::new(), 0);
    for page in FAULTS {
        let text = read(page);
        for cell in column(&text, "shows as") {
            for words in quoted(&cell) {
                seen += 1;
                if !known.contains(words) && !OF_REDIS.contains(&words) {
                    faults.push(format!("{page}: {words}"));
                }
            }
        }
        let metrics = text.split('`').filter(|word| word.starts_with("doorward_"));
        faults.extend(
            metrics
                .filter(|name| !known.contains(&format!("| `{name}` |")))
                .map(|name| format!("{page}: {name}")),
        );
    }
    assert!(seen > 40, "the failures were not found: {seen}");
    none(&faults, "what no failure shows as");
}

#[test]
fn every_test_that_the_pages_name_exists() {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for page in FAULTS {
        let text = read(page);
        for (file, name) in text.split('`').filter_map(|span| span.split_once(".rs::")) {
            seen += 1;
            let source = std::fs::read_to_string(top().join(format!("{file}.rs"))).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                faults.push(format!("{page}: {file}.rs::{name}"));
            }
        }
    }
    assert!(seen > 30, "the tests were not found: {seen}");
    none(&faults, "tests that do not exist");
}

#[test]
fn configurations_of_the_pages_have_known_keys() {
    let example = read("deploy/doorward.example.toml");
    let known = |key: &str| {
        example.lines().any(|line| line.trim_start_matches("# ").starts_with(&format!("{key} = ")))
    };
    let (mut faults, mut seen) = (Vec::new(), 0);
    let page = read("docs/operating/fleet.md");
    for block in page.split("```toml\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        let table: toml::Table = block.parse().unwrap_or_else(|e| panic!("{e}:\n{block}"));
        let mut tables: Vec<(String, &toml::Table)> = vec![(String::new(), &table)];
        while let Some((name, table)) = tables.pop() {
            for (key, value) in table {
                let whole = format!("{name}{key}");
                match value {
                    toml::Value::Table(inner) => tables.push((format!("{whole}."), inner)),
                    toml::Value::Array(all) if all.first().is_some_and(toml::Value::is_table) => {
                        let inner = all.iter().filter_map(toml::Value::as_table);
                        tables.extend(inner.map(|table| (format!("{whole}."), table)));
                    }
                    _ => {
                        seen += 1;
                        if !known(key) {
                            faults.push(whole);
                        }
                    }
                }
            }
        }
    }
    assert!(seen > 25, "the configurations were not found: {seen}");
    none(&faults, "keys that deploy/doorward.example.toml does not show");
}

/// Words of a table in `docs/operating/fleet.md` and the value of that setting in the sample.
#[test]
fn the_sample_of_redis_is_what_the_page_asks_for() {
    let sample = read("deploy/redis/redis.conf");
    let said: BTreeMap<&str, &str> = sample
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .collect();
    for (setting, value) in [
        ("maxmemory-policy", "noeviction"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("save", "\"\""),
        ("stop-writes-on-bgsave-error", "no"),
        ("min-replicas-to-write", "1"),
        ("min-replicas-max-lag", "2"),
    ] {
        assert_eq!(said.get(setting), Some(&value), "{setting}");
        let page = read("docs/operating/fleet.md");
        let row = page.lines().find(|line| line.contains(&format!("| `{setting}`")));
        let row = row.or_else(|| page.lines().find(|line| line.contains(&format!("`{setting} {value}`"))));
        assert!(row.is_some_and(|row| row.contains(value)), "the page says nothing of {setting}");
    }
}
