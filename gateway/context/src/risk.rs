//! How odd does a request look? An additive score whose every part has a name, from what is known of one person.
//!
//! ```text
//!  Happening ─► History ─────────────► Assessment { score, level, reasons }
//!  (seen here,   │  what was learned     each reason with what it adds
//!   failed,      │  of one person,
//!   a signal)    ╰─► encode / decode    kept by the crate `state`, at most 4 KiB
//! ```
//! The cast: a [`Sighting`] is a request, or a sign-in, from a place by a device; a [`History`] is what is
//! remembered of one person; [`Terms`] say what counts how much; an [`Assessment`] says what is odd and why.
//!
//! How it works:
//! * What is odd about a place and a device is told once, when a sign-in is first seen there, and holds for
//!   that sign-in there: waiting makes nothing less odd. What was medium is settled by a second factor that is
//!   proved for it, so that nobody is asked twice for the same flight.
//! * What is odd is not learned. A place or a device becomes known when the risk there is low, or is medium and
//!   the person has proved a second factor since, or has proved one that cannot be phished. So whoever steals a
//!   sign-in does not teach us that they are usual.
//! * A proof that cannot be phished, on the same device, halves what came before it.
//! * Signals, failures, anonymizers and hosting ranges count at the time of each request.
//!
//! What always holds:
//! * It is a function of the happenings and the terms. The same history twice gives the same scores, with
//!   `encode` and `decode` anywhere in between.
//! * Time is whole seconds. A clock that goes back makes no time negative: between two moments lie at least 60 s.
//! * What nobody knows adds nothing, and says so.
//! * Distances are whole kilometers, rounded; the rounding is the only thing that could differ between
//!   platforms, by a kilometer at most.
//! * Everything is bounded: what has not been used for longest gives way.
//!
//! What it never does: read a clock, wait, ask anybody outside, or decide. Policies decide
//! (`context.risk`).

mod code;
mod history;
mod sighting;
mod terms;

use doorward_model::{Risk, RiskLevel, RiskReason, RiskReasons, UnixMillis};

pub use code::{BYTES_MAX, Unreadable};
pub use history::{Change, History};
pub use sighting::{Salt, Sighting};
pub use terms::{Terms, Weights};

/// Something that says how odd a person's next request looks.
#[derive(Clone, Debug)]
pub enum Happening<'a> {
    /// They were seen: a request, or a sign-in.
    Seen(Sighting<'a>),
    /// Something that they tried failed.
    Failed {
        /// When.
        at: UnixMillis,
    },
    /// A source of signals said how risky they look (CAEP 1.0 §3.8).
    Told {
        /// When it was so, by the source's word.
        at: UnixMillis,
        /// How risky; [`RiskLevel::Unknown`] says nothing.
        level: RiskLevel,
    },
}

/// How odd something looks, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assessment {
    /// From 0, nothing odd, to 100.
    pub score: u8,
    /// Why.
    pub reasons: RiskReasons,
}

impl Assessment {
    /// The level.
    #[must_use]
    pub const fn level(&self) -> RiskLevel {
        RiskLevel::of(self.score)
    }

    /// What policies and the log are told.
    #[must_use]
    pub const fn risk(&self) -> Risk {
        Risk::explained(self.score, self.reasons)
    }

    /// Every reason, what it adds, and what it means, for people.
    pub fn told(&self) -> impl Iterator<Item = (RiskReason, u8, &'static str)> + '_ {
        self.reasons.iter().map(|(reason, points)| (reason, points, reason.words()))
    }
}
