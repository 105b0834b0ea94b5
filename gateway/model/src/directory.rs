//! Whom the directory knows: people, groups, and the machines that people answer for.
//!
//! Plain types. What may change in a [`Person`], and who may ask for it, is the table in the crate
//! `lifecycle` (`docs/reference/lifecycle.md`); how a person is stored is `state`. A reader of
//! RFC 7643 finds here what lies behind the SCIM resources `User` and `Group`.
//!
//! ```text
//!  sign-ins (issuer:subject) ─┐                        ┌─ roles   ┐ each with its origin: the
//!  source_active ─────────────┼─► Person ─► admitted() ├─ groups  ┤ source, an operator, a default
//!  state, holds ──────────────┘       └──► stage()     └─ apps    ┘
//!                                              │ answers for
//!                                              ▼
//!                                           Machine (service account, agent)
//! ```
//!
//! Invariants:
//! * An id is given out once. It outlives its person as a tombstone.
//! * Two facts, not one: what the source says, and what was said here. Access needs the state
//!   `active`, the source's yes, and no hold; [`Person::admitted`] is the only place that says so.
//! * A fact that could not be followed to its end (a group nested too deep) is an error, never a
//!   shorter list.

mod device;
mod given;
mod group;
mod id;
mod machine;
mod person;
mod profile;
mod token;

pub use device::{Blocked, DEVICES_BOUND_MAX, Device, POSTURE_HOURS_MAX, Posture};
pub use given::{Given, Grants, Origin};
pub use group::{GROUP_NESTING_MAX, Group, NestingError, memberships};
pub use id::{ConnectionId, GroupId, MachineId, PersonId, RoleName, StreamName};
pub use machine::{Machine, MachineKind, MachineState, MachineStateKind, StopCause};
pub use person::{
    Edit, Edited, Hand, Hold, HoldOrigin, Left, Offboarding, Person, PersonState, Source, StateKind,
};
pub use profile::{Email, Profile, ProfileField};
pub use token::{
    Extent, MACHINE_TOKEN_DAYS_MAX, MACHINE_TOKEN_USED_SECONDS, MACHINE_TOKENS_MAX, MachineToken,
    TOKEN_LIMITS_MAX, TokenHash,
};
