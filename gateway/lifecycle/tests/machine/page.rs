//! `docs/reference/lifecycle.md` is written from the table.

use std::fmt::Write as _;

use doorward_lifecycle::machine::{ActorKind, EDGES, Edge, EventName, When};
use doorward_model::directory::StateKind;

const PAGE: &str = "../../docs/reference/lifecycle.md";
const OPENING: &str = include_str!("opening.txt");

fn words<T>(all: &[T], word: impl Fn(&T) -> &'static str) -> String {
    all.iter().map(|one| format!("`{}`", word(one))).collect::<Vec<_>>().join(", ")
}

fn row(edge: &Edge) -> String {
    let when = if edge.when == When::Always { "" } else { edge.when.as_str() };
    let to = edge.to.map_or_else(|| "–".to_owned(), |to| format!("`{}`", to.as_str()));
    let from = words(edge.from, |from| from.map_or("nobody yet", StateKind::as_str));
    let who = edge.who.iter().map(|who| who.as_str()).collect::<Vec<_>>().join(", ");
    let events = words(edge.events, |event| event.as_str());
    let (id, command, sessions) = (edge.id, edge.command.as_str(), edge.sessions.as_str());
    format!("| {id} | `{command}` | {from} | {who} | {when} | {to} | {events} | {sessions} |")
}

#[test]
fn the_page_is_the_table() {
    let mut text = OPENING.to_owned();
    text.push_str(
        "\n## The table\n\n\
         | edge | command | from | who | when | to | events | what is open |\n|---|---|---|---|---|---|---|---|\n",
    );
    for edge in EDGES.iter().filter(|edge| !edge.is_repetition()) {
        writeln!(text, "{}", row(edge)).unwrap();
    }
    text.push_str("\nNothing would change, and that is no error:\n\n| command | in | who |\n|---|---|---|\n");
    for edge in EDGES.iter().filter(|edge| edge.is_repetition()) {
        let from = words(edge.from, |from| from.map_or("nobody yet", StateKind::as_str));
        let who = edge.who.iter().map(|who| who.as_str()).collect::<Vec<_>>().join(", ");
        writeln!(text, "| `{}` | {from} | {who} |", edge.command.as_str()).unwrap();
    }
    text.push_str("\n## The events\n\n| event | OCSF activity |\n|---|---|\n");
    for name in EventName::ALL {
        writeln!(text, "| `{}` | {} |", name.as_str(), name.activity().as_str()).unwrap();
    }
    crate::generated(PAGE, &text);
}

#[test]
fn every_actor_and_every_event_is_in_the_table() {
    for who in ActorKind::ALL {
        assert!(EDGES.iter().any(|edge| edge.who.contains(&who)), "{who:?}");
    }
    let told: Vec<_> = EDGES.iter().flat_map(|edge| edge.events).collect();
    for name in EventName::ALL {
        assert!(told.contains(&name) || *name == EventName::Denied, "{name:?}");
    }
}
