//! A page of commands: blocks to paste (```` ```sh ````), behind each what it prints (```` ```text ````), and between them prose that may
//! say `exit code 2`. In what is printed `…` stands for whatever is there, and a line that is only `…` for any number of lines.

use std::fmt;

/// A block to paste.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paste {
    /// What.
    pub(crate) shell: String,
    /// What it prints, where the page says so.
    prints: Option<Vec<String>>,
    /// What it ends with.
    code: i32,
}

/// What a block should have done and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Surprise {
    /// It ended with another code than this one.
    Code(i32, Option<i32>),
    /// It printed something else than this.
    Text(String),
}

impl fmt::Display for Surprise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(wanted, found) => write!(f, "it ended with {found:?} and not with {wanted}"),
            Self::Text(wanted) => write!(f, "it did not print this:\n{wanted}\n"),
        }
    }
}

/// The blocks of a page, in their order.
pub(crate) fn pastes(page: &str) -> Vec<Paste> {
    let mut found: Vec<Paste> = Vec::new();
    // Prose and fenced text take turns.
    for (i, part) in page.split("\n```").enumerate() {
        let last = found.last_mut();
        if i % 2 == 0 {
            let code = part.split_once("exit code ").and_then(|(_, rest)| {
                rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().ok()
            });
            if let (Some(last), Some(code)) = (last, code) {
                last.code = code;
            }
            continue;
        }
        match (part.split_once('\n'), last) {
            (Some(("sh", shell)), _) => found.push(Paste { shell: shell.to_owned(), prints: None, code: 0 }),
            (Some(("text", text)), Some(last)) => {
                last.prints = Some(text.lines().map(str::to_owned).collect())
            }
            (other, _) => panic!("neither `sh` nor `text`: {other:?}"),
        }
    }
    found
}

impl Paste {
    /// Compares with what was printed, on both channels, and with the exit code.
    pub(crate) fn check(&self, printed: &str, code: Option<i32>) -> Result<(), Surprise> {
        let Some(wanted) = &self.prints else {
            return if code == Some(self.code) { Ok(()) } else { Err(Surprise::Code(self.code, code)) };
        };
        let printed: Vec<&str> = printed.trim_end().lines().map(|l| l.trim_end()).collect();
        let lines: Vec<&str> = wanted.iter().map(String::as_str).collect();
        if !lines_fit(&lines, &printed) {
            return Err(Surprise::Text(wanted.join("\n")));
        }
        if code == Some(self.code) { Ok(()) } else { Err(Surprise::Code(self.code, code)) }
    }
}

/// Whether lines are those that a page says.
fn lines_fit(wanted: &[&str], printed: &[&str]) -> bool {
    match wanted.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first.trim() == "…" => (0..=printed.len())
            .any(|skip| printed.get(skip..).is_some_and(|printed| lines_fit(rest, printed))),
        Some((first, rest)) => match printed.split_first() {
            Some((line, printed)) => line_fits(first.trim_end(), line) && lines_fit(rest, printed),
            None => false,
        },
    }
}

/// Whether a line is the one that a page says.
fn line_fits(wanted: &str, printed: &str) -> bool {
    let Some((before, after)) = wanted.split_once('…') else { return wanted == printed };
    let Some(rest) = printed.strip_prefix(before) else { return false };
    let mut ends: Vec<usize> = rest.char_indices().map(|(at, _)| at).collect();
    ends.push(rest.len());
    ends.iter().any(|at| rest.get(*at..).is_some_and(|rest| line_fits(after, rest)))
}

#[test]
fn a_page_is_read_as_it_is_written() {
    let page = "Prose.\n\n```sh\ncd x\n```\n\nMore.\n\n```sh\nfalse\nb\n```\n\n```text\nno\n…\n```\n\nWith exit code 1, so.\n\n```sh\nc\n```\n";
    let found = pastes(page);
    let shells: Vec<_> = found.iter().map(|p| (p.shell.as_str(), p.code, p.prints.is_some())).collect();
    assert_eq!(shells, [("cd x", 0, false), ("false\nb", 1, true), ("c", 0, false)]);
    assert_eq!(found[1].check("no\nmatter\nwhat\n", Some(1)), Ok(()));
    assert_eq!(found[1].check("no", Some(1)), Ok(()));
    assert_eq!(found[1].check("no\n", Some(0)), Err(Surprise::Code(1, Some(0))));
    assert_eq!(found[1].check("yes\n", Some(1)), Err(Surprise::Text("no\n…".to_owned())));
    assert_eq!(found[0].check("whatever", Some(0)), Ok(()));
    assert_eq!(found[0].check("whatever", None), Err(Surprise::Code(0, None)));
}

#[test]
fn three_dots_stand_for_what_differs_and_for_nothing_else() {
    for (wanted, printed, fits) in [
        ("a … c", "a b c", true),
        ("a … c", "a  c", true),
        ("a … c", "a b d", false),
        ("… c", "xx c", true),
        ("… c", "xx c ", false),
        ("a…", "a", true),
        ("a…b…", "axxbyyb", true),
        ("a", "a b", false),
    ] {
        assert_eq!(line_fits(wanted, printed), fits, "{wanted} {printed}");
    }
    for (wanted, printed, fits) in [
        (&["…", "b"][..], &["a", "a", "b"][..], true),
        (&["…", "b"], &["b"], true),
        (&["a", "b"], &["a", "x", "b"], false),
        (&["a", "…"], &["a"], true),
        (&["a"], &["a", "b"], false),
        (&["a", "b"], &["a"], false),
    ] {
        assert_eq!(lines_fit(wanted, printed), fits, "{wanted:?} {printed:?}");
    }
}
