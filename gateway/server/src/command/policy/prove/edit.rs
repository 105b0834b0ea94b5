//! What an edit changes: of what is allowed, and of what must hold.

use std::fmt::Write as _;

use doorward_workbench::prove::{Edit, Redrawn, Verdict};
use serde_json::{Value, json};

use super::super::super::{Exit, printable};
use super::{breach_human, line_human, line_json, way};
use crate::color::Style;

/// A broken line, gone or not, and what is newly allowed are 2; a line that is less than it was, and what nobody
/// knows, 1.
pub(super) fn verdict_of(edit: &Edit, lines: &Redrawn) -> Exit {
    let [_, broken, _] = lines.before.counts();
    match (&edit.widens, &edit.narrows) {
        _ if broken > 0 => Exit::Mistaken,
        (Verdict::Broken(_), _) => Exit::Mistaken,
        (Verdict::Unknown(_), _) | (Verdict::Proved, Verdict::Unknown(_)) => Exit::Failed,
        (Verdict::Proved, Verdict::Proved | Verdict::Broken(_)) if lines.is_less() => Exit::Failed,
        (Verdict::Proved, Verdict::Proved | Verdict::Broken(_)) => Exit::Done,
    }
}

/// What it changes of what is allowed, and then of the red lines.
pub(super) fn human(edit: &Edit, lines: &Redrawn, style: Style) -> String {
    let mut text = allowed_human(edit, lines, style);
    text.push_str(&lines_human(lines, style));
    text
}

fn allowed_human(edit: &Edit, lines: &Redrawn, style: Style) -> String {
    let sentence = match (&edit.widens, &edit.narrows) {
        (Verdict::Proved, Verdict::Proved) if lines.is_nothing() => {
            style.green("The edit changes nothing: both allow the same.")
        }
        (Verdict::Proved, Verdict::Proved) if lines.is_less() => {
            style.red("Both allow the same. But red lines are not as they were:")
        }
        (Verdict::Proved, Verdict::Proved) => style.green("Both allow the same. There are more red lines:"),
        (Verdict::Proved, Verdict::Broken(_)) => {
            style.green("The edit only narrows: nothing is newly allowed.")
        }
        (Verdict::Broken(_), Verdict::Proved) => style.red("The edit only widens: nothing is newly denied."),
        (Verdict::Broken(_), Verdict::Broken(_)) => {
            style.red("The edit widens in some places and narrows in others.")
        }
        (Verdict::Broken(_), Verdict::Unknown(_)) => {
            style.red("The edit widens; whether it narrows, too, is not known.")
        }
        (Verdict::Proved, Verdict::Unknown(_)) => {
            style.yellow("Nothing is newly allowed; whether the edit narrows is not known.")
        }
        (Verdict::Unknown(_), Verdict::Broken(_)) => {
            style.yellow("The edit narrows; whether it widens, too, is not known.")
        }
        (Verdict::Unknown(_), Verdict::Proved | Verdict::Unknown(_)) => {
            style.yellow("Whether the edit widens is not known.")
        }
    };
    let mut text = format!("{sentence}\n");
    for (what, verdict) in [("newly allowed", &edit.widens), ("newly denied", &edit.narrows)] {
        match verdict {
            Verdict::Proved => {}
            Verdict::Unknown(why) => {
                let _ = writeln!(text, "{what}: unknown, {}", printable(why));
            }
            Verdict::Broken(breach) => {
                let _ = writeln!(text, "{what}, for one:");
                text.push_str(&breach_human(breach, &None));
            }
        }
    }
    text
}

fn lines_human(lines: &Redrawn, style: Style) -> String {
    let mut text = String::new();
    let Redrawn { added, removed, changed, softened, before } = lines;
    for (what, names, is_less) in [
        ("removed", removed, true),
        ("changed", changed, true),
        ("softened (`@unknown(\"report\")`)", softened, true),
        ("added", added, false),
    ] {
        if !names.is_empty() {
            let told = format!("red lines {what}: {}", printable(&names.join(", ")));
            let _ = writeln!(text, "{}", if is_less { style.red(&told) } else { told });
        }
    }
    if !before.lines.is_empty() {
        text.push_str("as they were before the edit, of the policies after it:\n");
        before.lines.iter().for_each(|line| text.push_str(&line_human(line, style)));
    }
    text
}

pub(super) fn json(edit: &Edit, lines: &Redrawn) -> Value {
    let Redrawn { added, removed, changed, softened, before } = lines;
    let before: Vec<Value> = before.lines.iter().map(line_json).collect();
    json!({
        "widens": way(&edit.widens),
        "narrows": way(&edit.narrows),
        "red_lines": {
            "added": added, "removed": removed, "changed": changed, "softened": softened, "before": before,
        },
    })
}
