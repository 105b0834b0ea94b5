//! The whole matrix, by running it: each state, each command, each actor.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use doorward_lifecycle::machine::{ActorKind, CommandKind, Why};
use doorward_model::directory::StateKind;

use crate::sample::{actor, command, person, step};

const FILE: &str = "tests/machine/matrix.txt";

/// What the machine answers, in a few words.
fn answer(state: Option<StateKind>, kind: CommandKind, who: ActorKind) -> String {
    match step(state.map(person), &command(kind), &actor(who)) {
        Ok(step) if step.edge.is_repetition() => "nothing to do".to_owned(),
        Ok(step) => match step.edge.to {
            Some(to) => format!("{} to {}", step.edge.id, to.as_str()),
            None => step.edge.id.to_owned(),
        },
        Err(denied) => match denied.why {
            Why::Deleted => "no: deleted is final".to_owned(),
            Why::NoEdge => "no such step".to_owned(),
            Why::NotTheirs(_) => "not theirs".to_owned(),
            Why::NotItsSource => "no: not its source".to_owned(),
            Why::Unmet(whens) => {
                let whens: Vec<_> = whens.iter().map(|when| when.as_str()).collect();
                format!("only when {}", whens.join(", or when "))
            }
            Why::Older { .. } => "no: older".to_owned(),
            Why::TooMany { .. } => "no: too many".to_owned(),
        },
    }
}

fn line(state: Option<StateKind>, kind: CommandKind) -> String {
    let mut by_answer: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for who in ActorKind::ALL {
        by_answer.entry(answer(state, kind, who)).or_default().push(who.as_str());
    }
    if by_answer.len() == 1 {
        return by_answer.into_keys().next().unwrap();
    }
    let parts = by_answer.iter().filter(|(answer, _)| *answer != "not theirs");
    parts.map(|(answer, who)| format!("{}: {answer}", who.join(", "))).collect::<Vec<_>>().join("; ")
}

#[test]
fn the_matrix_is_the_machine() {
    let mut text = String::from(
        "Each state of the sample person, each command, each actor: the edge that is taken, or why not.\n\
         Actors that are not named may not ask. The sample is provisioned by the connection that asks\n\
         (invited and pending_verification: by none), has not been touched by hand, has left (deactivated)\n\
         because the source said so, and is suspended by an operator.\n\
         Written by the test `the_matrix_is_the_machine` with DOORWARD_BLESS=1.\n",
    );
    for state in [None].into_iter().chain(StateKind::ALL.map(Some)) {
        writeln!(text, "\n== {}", state.map_or("nobody yet", StateKind::as_str)).unwrap();
        for kind in CommandKind::ALL {
            writeln!(text, "{:<18} {}", kind.as_str(), line(state, *kind)).unwrap();
        }
    }
    crate::generated(FILE, &text);
}
