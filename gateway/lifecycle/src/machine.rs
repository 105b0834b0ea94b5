//! What may happen to a person, who may ask for it, and what follows.
//!
//! Pure: no I/O, no clock, no randomness. The rules are a table ([`EDGES`]), which
//! `docs/reference/lifecycle.md` shows; [`apply`] looks up the one edge that a [`Command`] takes and
//! tells what is different afterwards. Whoever calls it writes the person and the consequences
//! in one transaction, and records the events.
//!
//! ```text
//!  Command ─┐                    ┌─ Step ── after          the person from now on
//!  Person ──┼─► apply ─ one edge ┤        ├─ events         what the log tells
//!  who, when┘     │              │        └─ consequences   what is cut off, dropped, opened, owed
//!                 └ no edge ─────┴─ Denied                  why not, and what to do
//! ```
//!
//! Cast: [`Circumstances`] say who asks, when, and by which [`Rules`]; [`Edge`] is a row of the table;
//! [`Cut`] is what the revocations must be told.
//!
//! Invariants, held by `tests/machine`:
//! * What the table does not have does not happen. Nothing leaves `deleted`.
//! * Whoever is not admitted has every sign-in disabled; whoever is let in again has none from before.
//! * A source never lifts a hold or a suspension, nor sheds one by making the person anew. A signal lifts
//!   only its own.
//! * What an operator gave by hand ends when the person leaves, and does not return with them.
//! * A word that is older than a later no of the same hand gives nothing back.
//! * Saying the same twice changes nothing, and is no error.

mod actor;
mod command;
mod consequence;
mod denied;
mod edge;
mod effect;
mod event;
mod table;
mod when;

use std::sync::Arc;

use doorward_model::directory::{Hand, Person, StateKind};
use doorward_model::limits::REVOCATION_CAUSE_BYTES_MAX;

pub use actor::{Actor, ActorKind, Circumstances, IssuerRule, Rules};
pub use command::{Command, CommandKind, Nature};
pub use consequence::{Act, CaseStep, Consequences, Cut, Dropped, Owed, OwedKind, Stop, Whom};
pub use denied::{Denied, Why};
pub use edge::{Edge, Sessions};
pub(crate) use event::source_text;
pub use event::{Activity, Changed, Event, EventName};
pub use table::EDGES;
pub use when::When;

/// The most sign-ins of one person.
pub const LINKS_MAX: usize = 16;
/// The most grants of one kind that one person has, each origin counted: no more groups than a
/// request may tell policies of ([`doorward_model::limits::GROUPS_MAX`]).
pub const GRANTS_MAX: usize = doorward_model::limits::GROUPS_MAX;
/// The most e-mail addresses of one person.
pub const EMAILS_MAX: usize = 32;
/// The most tags of one person.
pub const TAGS_MAX: usize = 64;

/// How far ahead of our clock the word of another may be believed, when it says when it said no.
pub const ASSERTED_AHEAD_SECONDS_MAX: u64 = 60;

/// What a command did.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The person before it. None when it made them known.
    pub before: Option<Arc<Person>>,
    /// The person from now on.
    pub after: Arc<Person>,
    /// The row of the table that it took.
    pub edge: &'static Edge,
    /// What the log tells, in order. Nothing when everything was so already.
    pub events: Vec<Event>,
    /// What follows for access.
    pub consequences: Consequences,
}

impl Step {
    /// Whether there is something to write. Also a repetition may note that a no was said later.
    #[must_use]
    pub fn changes_anything(&self) -> bool {
        self.before.as_ref() != Some(&self.after)
    }
}

/// Does what `command` asks for, if the table has an edge for it.
///
/// # Errors
/// [`Denied`], which says what stands in the way. It is an event of its own: record it.
pub fn apply(
    person: Option<&Arc<Person>>,
    command: &Command,
    circumstances: &Circumstances<'_>,
) -> Result<Step, Denied> {
    let state = person.map(|person| person.state.kind());
    let denied = |why| Denied { command: command.kind(), state, why };
    if state == Some(StateKind::Deleted) {
        return Err(denied(Why::Deleted));
    }
    let edge = choose(person.map(Arc::as_ref), command, circumstances).map_err(denied)?;
    if !edge.is_repetition() {
        bounded(person.map(Arc::as_ref), command, circumstances).map_err(denied)?;
    }
    let after = effect::after(person.map(Arc::as_ref), command, edge, circumstances);
    let after = after.ok_or_else(|| denied(Why::NoEdge))?;
    let changed = person.is_none_or(|person| **person != after);
    let after = match person {
        Some(person) if !changed => Arc::clone(person),
        Some(_) | None => Arc::new(after),
    };
    let before = person.map(Arc::as_ref);
    let consequences = consequence::of(before, &after, command, edge, circumstances);
    let events = event::of(before, &after, edge);
    Ok(Step { before: person.cloned(), after, edge, events, consequences })
}

/// The first row that fits the state, the command, who asks, and the circumstances. A connection
/// speaks for its own people only.
fn choose(
    person: Option<&Person>,
    command: &Command,
    circumstances: &Circumstances<'_>,
) -> Result<&'static Edge, Why> {
    let state = person.map(|person| person.state.kind());
    let kind = command.kind();
    let rows = || EDGES.iter().filter(|edge| edge.command == kind && edge.from.contains(&state));
    if rows().next().is_none() {
        return Err(Why::NoEdge);
    }
    let actor = circumstances.actor.kind();
    let theirs = || rows().filter(|edge| edge.who.contains(&actor));
    if theirs().next().is_none() {
        return Err(Why::NotTheirs(actor));
    }
    if let (Some(person), Actor::Source(connection)) = (person, &circumstances.actor)
        && person.source.connection() != Some(connection)
        && kind != CommandKind::TakeOver
    {
        return Err(Why::NotItsSource);
    }
    let mut whens = Vec::new();
    for edge in theirs() {
        if edge.when.holds(person, command, circumstances) {
            let lifts = kind.nature() == Nature::Lifts && !edge.is_repetition();
            return if lifts { in_order(person, circumstances).map(|()| edge) } else { Ok(edge) };
        }
        whens.push(edge.when);
    }
    whens.retain(|when| *when != When::AlreadySo);
    Err(if whens.is_empty() { Why::NoEdge } else { Why::Unmet(whens) })
}

/// A word that gives back counts only if it is later than the last one of the same hand that took
/// away. A tie is a no.
fn in_order(person: Option<&Person>, circumstances: &Circumstances<'_>) -> Result<(), Why> {
    let Some(asserted_at) = circumstances.asserted_at else { return Ok(()) };
    let hand: Hand = circumstances.actor.hand();
    match person.and_then(|person| person.taken_as_of.get(&hand)) {
        Some(taken_as_of) if asserted_at <= *taken_as_of => {
            Err(Why::Older { asserted_at, taken_as_of: *taken_as_of })
        }
        Some(_) | None => Ok(()),
    }
}

/// What no row has to say: the bounds of one person.
fn bounded(person: Option<&Person>, command: &Command, circumstances: &Circumstances<'_>) -> Result<(), Why> {
    if circumstances.cause.len() > REVOCATION_CAUSE_BYTES_MAX {
        return Err(Why::TooMany { what: "bytes of the cause", max: REVOCATION_CAUSE_BYTES_MAX });
    }
    let fits = |what, count: usize, max: usize| {
        if count > max { Err(Why::TooMany { what, max }) } else { Ok(()) }
    };
    if let Some(profile) = command.profile() {
        fits("e-mail addresses", profile.emails.len(), EMAILS_MAX)?;
        fits("tags", profile.tags.len(), TAGS_MAX)?;
    }
    if let Command::ScimCreate { links, .. } = command {
        fits("sign-ins", links.len(), LINKS_MAX)?;
    }
    if let Command::Invite { roles, .. } = command {
        fits("roles", roles.len(), GRANTS_MAX)?;
    }
    let Some(person) = person else { return Ok(()) };
    if let Command::Link(_) = command {
        fits("sign-ins", person.links.len() + 1, LINKS_MAX)?;
    }
    if let Command::GiveRole(_) = command {
        fits("roles", person.roles.len() + 1, GRANTS_MAX)?;
    }
    if let Command::AddGroup(_) = command {
        fits("groups", person.groups.len() + 1, GRANTS_MAX)?;
    }
    if let Command::GiveApp(_) = command {
        fits("apps", person.apps.len() + 1, GRANTS_MAX)?;
    }
    Ok(())
}
