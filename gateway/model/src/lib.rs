//! The vocabulary of Doorward: what the other crates talk about.
//!
//! Plain types, no I/O, no async, no clock, nothing that is serialized. A reader of NIST
//! SP 800-162 finds here the attributes of subject ([`principal`], [`session`],
//! [`assurance`], [`device`]), of environment ([`place`], [`risk`]) and of object
//! ([`resource`]); the access decision itself is made in the crate `policy`.
//!
//! ```text
//!  who        Principal ── User | ServiceAccount | Agent | Visitor
//!  how sure   AuthSession, Assurance, DevicePosture
//!  where      Place                      how odd   Risk
//!  what       RouteFacts (app, route, tier, scope)
//!  standing   Target, Entry, Standing    (who was cut off, and since when)
//!  known      directory::{Person, Group, Machine}
//!  our no     Refusal
//! ```
//!
//! Invariants that hold everywhere:
//! * what is unknown has its own value and is never read as "yes";
//! * every number carries its unit in its name; every bound stands in [`limits`].

pub mod assurance;
pub mod complaint;
pub mod demand;
pub mod device;
pub mod directory;
pub mod lifecycle;
pub mod limits;
pub mod mail;
pub mod place;
pub mod principal;
pub mod refusal;
pub mod resource;
pub mod revocation;
pub mod risk;
pub mod session;
pub mod time;

pub use assurance::Assurance;
pub use complaint::{Complaint, KeyPath};
pub use demand::{Demand, Strength};
pub use device::{Compliance, DeviceAssurance, DeviceId, DevicePosture, Thumbprint};
pub use lifecycle::{Employment, LifecycleStage};
pub use mail::MailDomain;
pub use place::{CountryCode, Location, Place, Presence};
pub use principal::{Agent, IssuerId, Principal, ServiceAccount, SubjectId, User, UserId, Visitor};
pub use refusal::{Explained, FailedClause, Refusal, RefusalCode};
pub use resource::{AppId, RouteFacts, RouteId, Tier};
pub use revocation::{Entry, EntryKind, Presented, Standing, Target};
pub use risk::{Risk, RiskLevel, RiskReason, RiskReasons};
pub use session::{AuthSession, SessionId, TokenId};
pub use time::{UnixMillis, Weekday};
