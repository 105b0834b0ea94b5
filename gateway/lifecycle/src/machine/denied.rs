//! Why something does not happen.

use std::fmt;

use doorward_model::UnixMillis;
use doorward_model::directory::StateKind;

use super::actor::ActorKind;
use super::command::CommandKind;
use super::event::EventName;
use super::when::When;

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The person is deleted, and that is final. To SCIM they are not found (RFC 7644 §3.6).
    Deleted,
    /// The table has no such edge.
    NoEdge,
    /// It has, and not for this actor.
    NotTheirs(ActorKind),
    /// Another source speaks for the person.
    NotItsSource,
    /// None of these conditions holds.
    Unmet(Vec<When>),
    /// The same hand said no later than this yes.
    Older {
        /// When the yes was said, by its own word.
        asserted_at: UnixMillis,
        /// When the no was said.
        taken_as_of: UnixMillis,
    },
    /// A bound would be passed.
    TooMany {
        /// What there would be too many of.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

/// A command that does nothing. It is recorded as [`EventName::Denied`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is refused for somebody who is `{}`: {why}", .command.as_str(), state_word(*.state))]
pub struct Denied {
    /// What was asked for.
    pub command: CommandKind,
    /// Where the person stands. None: nobody is known.
    pub state: Option<StateKind>,
    /// What stands in the way.
    pub why: Why,
}

/// The word for where somebody stands, also where nobody is known.
pub(super) const fn state_word(state: Option<StateKind>) -> &'static str {
    match state {
        Some(kind) => kind.as_str(),
        None => "unknown",
    }
}

impl Denied {
    /// The event to record.
    pub const EVENT: EventName = EventName::Denied;

    /// What can be done about it.
    #[must_use]
    pub fn help(&self) -> String {
        match &self.why {
            Why::Deleted => "deleting is final: make them known anew, which gives them another id".to_owned(),
            Why::NoEdge => match self.state {
                None => {
                    "nobody of this id is known: invite them, or let their source make them known".to_owned()
                }
                Some(_) if self.makes_known() => {
                    "they are known already: ask for a change of the person who is there".to_owned()
                }
                Some(state) => {
                    format!("see the rows of `{}` in the reference of the lifecycle", state.as_str())
                }
            },
            Why::NotTheirs(actor) => {
                format!("a {} may not ask for it: ask somebody who may", actor.as_str())
            }
            Why::NotItsSource => "ask the source that made them known".to_owned(),
            Why::Unmet(whens) => {
                let words: Vec<_> = whens.iter().map(|when| when.as_str()).collect();
                format!("it is possible when {}", words.join(", or when "))
            }
            Why::Older { .. } => "nothing: a later word of the same sender holds".to_owned(),
            Why::TooMany { what, max } => format!("keep to at most {max} {what}"),
        }
    }

    const fn makes_known(&self) -> bool {
        matches!(
            self.command,
            CommandKind::Invite | CommandKind::SignUp | CommandKind::FirstSignIn | CommandKind::ScimCreate
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("they are deleted for ever"),
            Self::NoEdge => f.write_str("there is no such step from there"),
            Self::NotTheirs(actor) => write!(f, "a `{}` may not ask for it", actor.as_str()),
            Self::NotItsSource => f.write_str("another source speaks for them"),
            Self::Unmet(_) => f.write_str("its condition does not hold"),
            Self::Older { asserted_at, taken_as_of } => {
                write!(f, "it was said at {}, and access was taken as of {}", asserted_at.0, taken_as_of.0)
            }
            Self::TooMany { what, max } => write!(f, "there would be more than {max} {what}"),
        }
    }
}
