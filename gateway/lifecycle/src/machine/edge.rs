//! The shape of a row of the table.

use doorward_model::directory::StateKind;

use super::actor::ActorKind;
use super::command::CommandKind;
use super::event::EventName;
use super::when::When;

/// What becomes of what a person has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sessions {
    /// It goes on. Where there was none, there is none.
    Keep,
    /// Everything ends.
    End,
    /// What is open at the app ends.
    AtApp,
    /// What was opened with the sign-in ends.
    OfLink,
}

impl Sessions {
    /// The words for it in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::End => "end",
            Self::AtApp => "end at the app",
            Self::OfLink => "end of the sign-in",
        }
    }
}

/// One row of the table. Rows with the same state and command are tried in order; the first whose
/// actor and condition fit is taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Edge {
    /// Its name, such as `T17`. Several rows may have one.
    pub id: &'static str,
    /// In which states it begins. `None`: nobody is known yet.
    pub from: &'static [Option<StateKind>],
    /// What is asked for.
    pub command: CommandKind,
    /// Who may ask.
    pub who: &'static [ActorKind],
    /// On what condition.
    pub when: When,
    /// Where it leads. `None`: the state stays.
    pub to: Option<StateKind>,
    /// What the log tells, in order.
    pub events: &'static [EventName],
    /// What becomes of what is open.
    pub sessions: Sessions,
}

impl Edge {
    /// Whether it stands for "nothing would change".
    #[must_use]
    pub fn is_repetition(&self) -> bool {
        self.when == When::AlreadySo
    }

    /// Whether it says that a source overrides what an operator did by hand.
    #[must_use]
    pub fn overrides(&self) -> bool {
        self.when == When::SourceOverrides
    }
}
