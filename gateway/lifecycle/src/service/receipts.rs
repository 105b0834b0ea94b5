//! The receipt of every change that takes access away: owed with the change, made when it is known what came
//! of it, kept for whoever asks years later.
//!
//! ```text
//!  a change ── its batch: person, revocations, `pending:<id>` ──► disk ──► the answer names <id>
//!                                                                  │
//!   every node: how far it has come, what it ended ──► round ◄─────┘ ◄── after a crash: what still waits
//!                                                        │ all said, nothing runs; or the patience is over
//!                                                        ▼
//!             debts of who did not confirm ──► facts that agree ──► sealed ──► `<id>`, `pending:<id>` gone
//! ```
//!
//! The cast: [`Witness`] is what the rest of the gateway can tell; [`Receipts`] the loop that makes receipts;
//! [`ReceiptRow`] and [`Found`] what is read of them.
//!
//! What holds:
//! * a receipt is owed in the same transaction that takes access away, so none is lost by a crash;
//! * nobody waits for a receipt to be cut off: it is made afterwards;
//! * what is not known is said to be not known, and who did not confirm owes an answer;
//! * a receipt is made once, whoever tries: making it takes the record away that says that it is owed;
//! * one that cannot be made is told loudly, and tried again.
//!
//! What it never does: take access away, or give it.

mod counting;
mod facts;
mod kept;
mod maker;
mod pending;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_model::directory::{GroupId, Machine, PersonId};
use doorward_model::{Target, UnixMillis, UserId};
use doorward_state::directory::form::Member;
use doorward_state::{Action, Committed, Expected, Record, RecordKind, Write};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use uuid::Uuid;

use super::answer::{Asker, Failed};
use super::directory::{Place, Read, Versioned};
use super::plan::Plan;
use super::view::Holder;
use super::{Inner, Lifecycle};
use crate::machine::Command;
use crate::receipt::facts::{Debt, ProtocolEnded, Remainder};
use crate::receipt::{PublicKeys, Signer};
use kept::Head;
use pending::{Making, WAITS};

pub(super) use pending::Pend;

pub use counting::{CountSessions, KeptSessions};
pub use kept::ReceiptRow;
pub use maker::Receipts;

/// Of a change of a group that takes out more people no receipts are made: the log names them.
pub const GROUP_RECEIPTS_MAX: usize = 100;
/// The most receipts that are worked on at once; the others wait in the store.
pub const RECEIPTS_OPEN_MAX: usize = 8192;
/// Before the id of a record that has a public key, which other nodes of the directory show too.
const KEY: &str = "key:";
/// How many records one list looks through at most.
const LOOKED_AT_MAX: usize = 10_000;
/// Why it is not known what other processes have, where there is no Redis through which they could be asked.
pub(super) const NOT_ALONE: &str =
    "another process may have the directory open, and without `[revocation.redis]` none can be asked";
const PAGE_RECORDS: usize = 500;

/// Asks something of the rest of the gateway that is known at once.
pub type Ask<A, T> = Arc<dyn Fn(A) -> T + Send + Sync>;

/// What the rest of the gateway can tell, and who signs.
#[derive(Clone)]
pub struct Witness {
    /// `gateway.public_url`.
    pub gateway: String,
    /// `gateway.node`.
    pub node: String,
    /// The version of the gateway.
    pub version: String,
    /// Which process this is, as the fleet knows it.
    pub instance: Uuid,
    /// Holds the key.
    pub signer: Arc<Signer>,
    /// How long every node may take to say what it ended, before the receipt is made without.
    pub patience: Duration,
    /// What revocations ended here, the first of which was applied at that time. None when something of that
    /// time was forgotten.
    pub ended: Ask<(Vec<Uuid>, UnixMillis), Option<Vec<ProtocolEnded>>>,
    /// How many exchanges run here that one of these has a part in.
    pub running: Ask<BTreeSet<UserId>, u64>,
    /// From now on it is counted what these are allowed here.
    pub watch: Ask<Vec<UserId>, ()>,
    /// How much these were allowed here, and since when it is counted. None while it is not.
    pub allowed: Ask<Vec<UserId>, Option<(u64, UnixMillis)>>,
    /// How much these were allowed since, as the files of the audit log have it; the error is why that is not
    /// known. Reads the disk.
    pub logged: Ask<(Vec<UserId>, UnixMillis), Result<u64, String>>,
    /// What is kept of somebody's sessions of browsers. None where nobody signs in with one.
    pub sessions: Option<CountSessions>,
    /// Ways in that no revocation closes, whoever it is about.
    pub remains: Ask<(), Vec<Remainder>>,
    /// Whether people of an issuer are judged by what their tokens say.
    pub token_decides: Ask<doorward_model::IssuerId, bool>,
}

/// What the service keeps of receipts.
pub(super) struct Desk {
    pub(super) witness: Witness,
    queue: mpsc::Sender<maker::Work>,
    /// Told whenever receipts were made.
    made: Notify,
    made_total: AtomicU64,
    open: AtomicU64,
    failed: Mutex<HashMap<Uuid, UnixMillis>>,
}

/// How receipts fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptsHealth {
    /// Made by this process.
    pub made_total: u64,
    /// This process is about to make them.
    pub open: u64,
    /// They cannot be made, and are tried again.
    pub failing: u64,
}

/// What there is of a receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is made: the signed line, without a line feed.
    Made(String),
    /// It is owed, and not made yet.
    Pending,
}

/// What the answer of a change knows, and the store does not.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) receipts: Vec<doorward_state::Receipt>,
    /// The numbers of the first and the last event that tells of it.
    pub(super) place: Option<(u64, u64)>,
    pub(super) unpublished: Option<String>,
}

impl Inner {
    fn making<'a>(&'a self, desk: &'a Desk, now: UnixMillis) -> Making<'a> {
        let Witness { instance, ref node, .. } = desk.witness;
        Making { id: (self.ports.ids)(), instance, node, revocations: &self.ports.revocations, now }
    }

    /// The receipt that a change owes, if it takes anything away and receipts are made here.
    pub(super) fn pend(
        &self,
        read: Option<&Read>,
        plan: &Plan,
        owned: &[Versioned<Machine>],
        (commands, asker): (&[Command], &Asker),
        now: UnixMillis,
    ) -> Option<Pend> {
        let desk = self.desk.get()?;
        let before = &read?.person;
        let making = self.making(desk, now);
        let due_at = now.plus(self.settings.debts.due);
        let debts = super::debts::orphans_of(plan).into_iter().map(|(id, about)| Debt {
            id,
            kind: crate::receipt::facts::DebtKind::OrphanMachine,
            instance: None,
            about,
            owner: self.settings.debts.owner.clone(),
            due_at,
        });
        let pend = Pend::of_plan((before, plan), owned, (commands, asker), &making, debts.collect());
        pend.map(|pend| pend.counting(&desk.witness))
    }

    /// The receipt of what is cut off past all lives.
    pub(super) async fn pend_targets(
        &self,
        targets: &[Target],
        action: Action,
        asker: &Asker,
    ) -> Option<Pend> {
        let desk = self.desk.get()?;
        let mut holders = BTreeSet::new();
        for target in targets {
            if let Target::User(user) | Target::UserAtApp(user, _) = target {
                holders.insert(match self.holder(user, Place::Memory).await {
                    Ok(Some(Holder::Person(person))) => Some(person),
                    Ok(Some(Holder::Machine(_)) | None) | Err(_) => None,
                });
            }
        }
        let only = holders.first().copied().flatten().filter(|_| holders.len() == 1);
        let known = match only {
            Some(person) => self.read(person, Place::Memory).await.ok().flatten(),
            None => None,
        };
        let making = self.making(desk, (self.ports.clock)());
        let known = known.as_ref().map(|read| &*read.person);
        let pend = Pend::of_targets((targets, action), known, asker, &making);
        pend.map(|pend| pend.counting(&desk.witness))
    }

    /// The receipts of people who are taken out of a group, if they are not too many for that.
    pub(super) async fn pend_removed(
        &self,
        removed: &[Member],
        group: GroupId,
        asker: &Asker,
        now: UnixMillis,
    ) -> Vec<Pend> {
        let Some(desk) = self.desk.get() else { return Vec::new() };
        let people = removed.iter().filter_map(|member| match member {
            Member::Person(id) => Some(*id),
            Member::Group(_) => None,
        });
        let people: Vec<PersonId> = people.collect();
        if people.len() > GROUP_RECEIPTS_MAX {
            return Vec::new();
        }
        let mut pends = Vec::with_capacity(people.len());
        for person in people {
            // Who cannot be read is taken out all the same.
            if let Ok(Some(read)) = self.read(person, Place::Memory).await {
                let making = self.making(desk, now);
                pends.extend(Pend::of_removal(&read.person, group, asker, &making));
            }
        }
        pends
    }

    /// What is owed is on the disk: it is made as soon as the nodes have said what there is to say.
    pub(super) fn receipt_is_owed(
        &self,
        pend: &Pend,
        committed: &Committed,
        version_at: usize,
        heard: Heard,
    ) {
        let (Some(desk), Some(version)) = (self.desk.get(), committed.records.get(version_at)) else {
            return;
        };
        let work = maker::Work::new(pend, *version, Some(heard), (self.ports.clock)());
        // What has no place now is found in the store later, and what its process had ended is not told then.
        if desk.queue.try_send(work).is_err() {
            tracing::warn!(id = %pend.id, "too many receipts are to be made at once: this one is made later");
        }
    }
}

impl Lifecycle {
    /// From now on every change that takes access away leads to a receipt; the loop that makes them is
    /// returned, and works off what was owed before. To be called once, before anything is changed.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn make_receipts(&self, witness: Witness) -> Result<Receipts, Failed> {
        let (queue, work) = mpsc::channel(RECEIPTS_OPEN_MAX);
        self.inner.publish_key(&witness.signer).await?;
        let desk = Desk {
            witness,
            queue,
            made: Notify::new(),
            made_total: AtomicU64::new(0),
            open: AtomicU64::new(0),
            failed: Mutex::default(),
        };
        if self.inner.desk.set(desk).is_err() {
            return Err(Failed::Refused {
                what: "receipts are made already",
                help: "use what was returned first",
            });
        }
        Ok(Receipts::new(Arc::clone(&self.inner), work))
    }

    /// A receipt by its id. None where there is none, and none is owed.
    ///
    /// # Errors
    /// When the store cannot be read, or what it has makes no sense.
    pub async fn receipt(&self, id: Uuid) -> Result<Option<Found>, Failed> {
        self.inner.receipt(id).await
    }

    /// Waits until a receipt is made, for so long at most; then it is pending still.
    ///
    /// # Errors
    /// As [`Self::receipt`].
    pub async fn await_receipt(&self, id: Uuid, bound: Duration) -> Result<Option<Found>, Failed> {
        let Some(desk) = self.inner.desk.get() else { return self.receipt(id).await };
        let waiting = async {
            loop {
                let made = desk.made.notified();
                match self.receipt(id).await {
                    Ok(Some(Found::Pending)) => made.await,
                    found => return found,
                }
            }
        };
        match tokio::time::timeout(bound, waiting).await {
            Ok(found) => found,
            Err(_) => self.receipt(id).await,
        }
    }

    /// Receipts that are made, in the order of their ids, which is that of the changes: behind `after`, at
    /// most `limit`, of one person if that is asked. The second is where to go on, if there may be more.
    ///
    /// # Errors
    /// When the store cannot be read, or what it has makes no sense.
    pub async fn receipts(
        &self,
        person: Option<PersonId>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<(Vec<ReceiptRow>, Option<Uuid>), Failed> {
        let wanted = person.map(|person| Uuid::from_u128(person.as_u128()));
        let (mut rows, mut looked_at) = (Vec::new(), 0);
        let mut behind = after.map(|after| format!("{after}~"));
        loop {
            let revocations = &self.inner.ports.revocations;
            let page = revocations.record_page(RecordKind::Receipt, behind.as_deref(), PAGE_RECORDS).await?;
            let Some(end) = page.last().map(|record| record.id.to_string()) else { return Ok((rows, None)) };
            for record in &page {
                let Some((id, head)) = Head::read(record)? else {
                    // Behind the last receipt stand keys, and what is owed.
                    if record.id.starts_with(KEY) || record.id.starts_with(WAITS) {
                        return Ok((rows, None));
                    }
                    continue;
                };
                looked_at += 1;
                let row = head.row(id);
                if wanted.is_none_or(|wanted| row.person == Some(wanted)) {
                    rows.push(row);
                }
                if rows.len() >= limit || looked_at >= LOOKED_AT_MAX {
                    return Ok((rows, Some(id)));
                }
            }
            behind = Some(end);
        }
    }

    /// The public keys with which receipts of this directory are sealed, whichever node sealed them, as a JWK
    /// set (RFC 7517 §5). None where no receipts are made.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn receipt_keys(&self) -> Result<Option<Value>, Failed> {
        let Some(desk) = self.inner.desk.get() else { return Ok(None) };
        self.inner.all_keys(desk).await.map(Some)
    }

    /// How receipts fare. None where none are made.
    #[must_use]
    pub fn receipts_health(&self) -> Option<ReceiptsHealth> {
        let desk = self.inner.desk.get()?;
        let failing = desk.failed.lock().unwrap_or_else(PoisonError::into_inner).len();
        Some(ReceiptsHealth {
            made_total: desk.made_total.load(Ordering::Relaxed),
            open: desk.open.load(Ordering::Relaxed),
            failing: u64::try_from(failing).unwrap_or(u64::MAX),
        })
    }
}

fn jwks(keys: &PublicKeys) -> Vec<Value> {
    let set: Value = serde_json::from_str(&keys.jwks()).unwrap_or_default();
    set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default()
}

impl Inner {
    pub(super) async fn receipt(&self, id: Uuid) -> Result<Option<Found>, Failed> {
        let revocations = &self.ports.revocations;
        let kind = RecordKind::Receipt;
        // What is owed is looked for first: it may be made in between, and then it is found.
        let owed = revocations.record(kind, &format!("{WAITS}{id}")).await?;
        let Some(record) = revocations.record(kind, &id.to_string()).await? else {
            let owed = owed.filter(|record| record.body.is_some());
            return Ok(owed.map(|_| Found::Pending));
        };
        let Some((id, head)) = Head::read(&record)? else { return Ok(None) };
        let (mut line, parts) = head.line(id);
        for part in parts {
            let found = revocations.record(kind, &part).await?;
            let why = || "a part of it is missing".to_owned();
            let damaged = || Failed::Damaged { kind, id: part.clone(), why: why() };
            line.push_str(&kept::part(found.as_ref()).ok_or_else(damaged)?);
        }
        Ok(Some(Found::Made(line)))
    }

    /// The public keys of this node, the newest first, and then those of others.
    pub(super) async fn all_keys(&self, desk: &Desk) -> Result<Value, Failed> {
        let mut keys = jwks(desk.witness.signer.public_keys());
        for record in self.keys().await? {
            let key: Option<Value> =
                record.body.as_deref().and_then(|body| serde_json::from_slice(body).ok());
            let is_new = |key: &Value| !keys.iter().any(|known| known.get("kid") == key.get("kid"));
            keys.extend(key.filter(is_new));
        }
        Ok(json!({ "keys": keys }))
    }

    async fn keys(&self) -> Result<Vec<Record>, Failed> {
        let page = self.ports.revocations.record_page(RecordKind::Receipt, Some(KEY), PAGE_RECORDS).await?;
        Ok(page.into_iter().filter(|record| record.id.starts_with(KEY)).collect())
    }

    /// Puts the public keys of this node beside the receipts, for the other nodes to show.
    async fn publish_key(&self, signer: &Signer) -> Result<(), Failed> {
        let mut writes = Vec::new();
        for key in jwks(signer.public_keys()) {
            let Some(kid) = key.get("kid").and_then(Value::as_str) else { continue };
            let id = format!("{KEY}{kid}");
            if self.ports.revocations.record(RecordKind::Receipt, &id).await?.is_some() {
                continue;
            }
            let (kind, body) = (RecordKind::Receipt, Some(key.to_string().into_bytes().into()));
            writes.push(Write { kind, id: id.into(), expected: Expected::Any, body, keys: Vec::new() });
        }
        if writes.is_empty() {
            return Ok(());
        }
        let mut stray = super::ask::Stray::default();
        let batch = doorward_state::Batch { writes, changes: Vec::new() };
        self.commit(batch, &[], &mut stray).await.map(drop)
    }
}
