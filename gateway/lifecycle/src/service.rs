//! Changing lives: the one place where a command becomes records, revocations and audit events.
//!
//! Whatever the intake (SCIM, RFC 7644; a signal; an operator; a date that came), it ends in
//! [`Lifecycle::ask`]: read, decide by the table ([`crate::machine`]), and write everything that follows in
//! one transaction. Nothing else writes people, groups or machines.
//!
//! ```text
//!  ask(whom, command, asker)
//!      │ read ── person, memberships, machines, each with its version
//!      │ decide ─ machine::apply: pure ──── Denied ──► on record, refused
//!      │ a yes ── on record before it happens; no log, no yes
//!      │ commit ─ one Batch: records ┬ revocations bite in memory, then all of it on the disk
//!      │             conflict ───────┘ read again, decide anew, some times
//!      ▼ tell ─── events, revocations, control debts
//!    Done: the person, the receipts, what was ended     and later, of what took access away: the receipt
//! ```
//!
//! The cast: [`Lifecycle`] is the handle. An [`Asker`] says who asks, why, and when it happened by their
//! word; [`Whom`] says whom it is about; [`Done`] is the answer and [`Failed`] the refusal, one variant for
//! each thing that a caller does differently. Groups ([`GroupChange`]), machines ([`NewMachine`]), cases
//! ([`CaseAct`]), dates ([`Lifecycle::keep_time`]) and who joins ([`Lifecycle::join`]) go the same way. [`GuardTerms`] say how much a connection
//! may take away at once.
//!
//! What holds:
//! * records and the revocations that follow from them are one batch: nothing is half-applied;
//! * a no bites before the disk and before the log; a yes is on the disk and in the log first;
//! * what was decided on a record that has changed since is decided anew, so two at once are as one after the
//!   other; whoever leaves writes their memberships too, so that nothing is put beside a leaving;
//! * a person who was cut off by a decision that was not made in the end is let in again;
//! * a sign-in that something else than the directory disabled is let in by nobody but an operator;
//! * a caller who goes away stops nothing half-way: the work is on a task of its own;
//! * a group change of thousands is one batch, or refused as a whole;
//! * asking for the same twice writes nothing and opens no second debt.
//!
//! What it never does: speak HTTP, know what a SCIM document says (the caller passes it through), decide
//! whether a request gets in, or look at a clock of its own.

mod answer;
mod ask;
mod cases;
mod cutting;
mod debts;
mod devices;
mod directory;
mod groups;
mod guard;
mod joining;
mod letting;
mod looks;
mod machines;
mod members;
mod plan;
mod receipts;
mod silence;
mod tell;
mod timers;
mod tokens;
mod view;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use doorward_audit::Audit;
use doorward_model::AppId;
use doorward_model::time::Clock;
use doorward_state::{DebtTerms, Records, Revocations, StateError};
use uuid::Uuid;

use crate::machine::Rules;
use guard::Guard;
use timers::PutOff;
use view::View;

pub use answer::{Asker, Done, Failed, Whom};
pub use cases::{CaseAct, CaseDone};
pub use cutting::CutOff;
pub(crate) use cutting::MessageNote;
pub use devices::{DeviceAct, DeviceDone, NewDevice, Said};
pub use directory::{GROUP_NAME_BYTES_MAX, PAGE_MAX};
pub use doorward_identity::ServiceToken;
pub use groups::{GroupChange, GroupDone, Known};
pub use guard::{GuardTerms, Halt, Took};
pub use joining::NotJoined;
pub use machines::{MACHINES_OWNED_MAX, MachineAct, MachineDone, NewMachine};
pub use members::Delta;
pub use receipts::{
    Ask, CountSessions, Found, GROUP_RECEIPTS_MAX, KeptSessions, RECEIPTS_OPEN_MAX, ReceiptRow, Receipts,
    ReceiptsHealth, Witness,
};
pub(crate) use silence::{Silent, Undone};
pub use timers::{DUE_ROUND_MAX, Due};
pub use tokens::NewToken;
pub use view::Holder;

/// How often a change is decided anew because somebody else changed the same meanwhile.
pub const ATTEMPTS_MAX: u32 = 8;

/// Makes ids: UUIDs of version 7 (RFC 9562 §5.7), each another.
pub type Ids = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// Says which policy bundle is in force, for the log.
pub type Revision = Arc<dyn Fn() -> Option<Arc<str>> + Send + Sync>;

/// What the service works with.
#[derive(Clone)]
pub struct Ports {
    /// Where everything is written.
    pub revocations: Revocations,
    /// Where it is told.
    pub audit: Audit,
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
    /// The revision of the policies in force.
    pub revision: Revision,
}

/// How offboarding cases begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseTerms {
    /// How long after a leaving everything is to be done.
    pub due: Duration,
    /// How long what the gateway sees for itself may take before it is owed.
    pub patience: Duration,
    /// How long after the change every node has the revocations, or refuses everything.
    pub cut_within: Duration,
    /// Apps outside of the gateway where somebody must remove the account, and who answers for it.
    pub manual_apps: Vec<(AppId, String)>,
}

impl Default for CaseTerms {
    fn default() -> Self {
        Self {
            due: Duration::from_hours(72),
            patience: Duration::from_mins(15),
            cut_within: Duration::from_secs(2),
            manual_apps: Vec::new(),
        }
    }
}

/// What the organization wants.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is allowed when people join.
    pub rules: Rules,
    /// Who answers for what is owed, and until when.
    pub debts: DebtTerms,
    /// How much a connection may take away at once.
    pub guard: GuardTerms,
    /// How offboarding cases begin.
    pub cases: CaseTerms,
}

/// Everything that changes people, groups and machines. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Lifecycle {
    inner: Arc<Inner>,
}

struct Inner {
    ports: Ports,
    settings: Settings,
    records: Records,
    view: View,
    guard: Guard,
    put_off: PutOff,
    /// Set where receipts are made.
    desk: OnceLock<receipts::Desk>,
    cases: looks::OpenCases,
    /// Held by whoever is joining.
    joins: tokio::sync::Mutex<()>,
}

impl Lifecycle {
    /// Begins to work on the directory that `ports.revocations` has opened: looks at every record once, takes
    /// up the connections that were stopped, and puts right what is owed.
    ///
    /// # Errors
    /// On a gateway node, which has no directory, and when what is owed cannot be read.
    pub async fn open(ports: Ports, settings: Settings) -> Result<Self, StateError> {
        if !ports.revocations.has_directory() {
            return Err(StateError::NotHere);
        }
        let records = ports.revocations.records();
        let seen = records.clone();
        let looked = tokio::task::spawn_blocking(move || View::of(&seen)).await;
        let view = looked.map_err(|_| StateError::Interrupted)?;
        let guard = Guard::new(settings.guard.clone());
        let put_off = PutOff::default();
        let (desk, cases) = (OnceLock::new(), looks::OpenCases::default());
        let joins = tokio::sync::Mutex::default();
        let inner = Inner { ports, settings, records, view, guard, put_off, desk, cases, joins };
        let service = Self { inner: Arc::new(inner) };
        service.reconcile().await?;
        Ok(service)
    }

    /// Does `work` on a task of its own, so that a caller who goes away stops nothing half-way.
    async fn on_its_own<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Failed>> + Send + 'static,
    ) -> Result<T, Failed> {
        tokio::spawn(work).await.unwrap_or(Err(Failed::Interrupted))
    }
}
