//! The case: what is known of it, and how it changes.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use doorward_model::{AppId, DeviceId, UnixMillis, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::items::{Evidence, Item, ItemKind, Prover};
use super::look::{Finding, Seen};
use super::{
    CASE_BYTES_MAX, CASE_ITEMS_MAX, CASE_OPENING_BYTES_MAX, CASE_SAID_BYTES_MAX, CASE_TEXT_BYTES_MAX,
    CaseEvent, Denied, Owed, Step,
};
use crate::receipt::wire::{self, words};

words! {
    /// Where a case stands.
    pub enum CaseState {
        /// Not everything has been seen to be over.
        Open = "open",
        /// The gateway has seen that nothing is left; others have work to do.
        Verified = "verified",
        /// Everything has its evidence.
        Closed = "closed",
        /// The person came back first.
        Returned = "returned",
    }
}

words! {
    /// Which version of the document it is.
    pub(crate) enum Form {
        /// The first.
        Case1 = "doorward-case/1",
    }
}

/// A case. Written as JSON, read again with all that it promises checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    form: Form,
    #[serde(with = "wire::text")]
    id: Uuid,
    #[serde(with = "wire::text")]
    person: Uuid,
    #[serde(with = "wire::maybe")]
    receipt: Option<Uuid>,
    #[serde(with = "wire::millis")]
    opened_at: UnixMillis,
    opened_by: String,
    #[serde(with = "wire::millis")]
    cut_at: UnixMillis,
    #[serde(with = "wire::millis")]
    patience_until: UnixMillis,
    state: CaseState,
    #[serde(with = "wire::millis_maybe")]
    looked_at: Option<UnixMillis>,
    #[serde(with = "wire::millis_maybe")]
    verified_at: Option<UnixMillis>,
    end: Option<End>,
    items: Vec<Item>,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// When.
    #[serde(with = "wire::millis")]
    pub at: UnixMillis,
    /// Who ended it.
    pub by: String,
    /// The items that had no evidence then, by name. Empty for a case that is closed.
    pub left_open: Vec<String>,
}

/// What a case begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Names the case.
    pub id: Uuid,
    /// The person, by the id of the directory.
    pub person: Uuid,
    /// The receipt of what was taken away, if there is one.
    pub receipt: Option<Uuid>,
    /// Who took it away.
    pub by: String,
    /// From when on nothing may have been allowed: when every node had the revocations, or was to have them.
    pub cut_at: UnixMillis,
    /// Who answers for the items.
    pub owner: String,
    /// By when all is to be done.
    pub due_at: UnixMillis,
    /// How long what the gateway sees for itself may take before it is owed.
    pub patience: Duration,
    /// Machines that the person owns.
    pub machines: Vec<UserId>,
    /// Devices that are bound to the person.
    pub devices: Vec<DeviceId>,
    /// Apps that a source manages.
    pub managed_apps: Vec<AppId>,
    /// Apps where somebody must remove the account, and who answers for it.
    pub manual_apps: Vec<(AppId, String)>,
}

/// Why a document is not a case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCase {
    /// It is not written as cases are.
    #[error("it is not a case: {0}")]
    Unreadable(String),
    /// It is, and contradicts itself.
    #[error("it contradicts itself: {0}")]
    Contradiction(&'static str),
    /// It is too large to be written or read.
    #[error("a case has at most {CASE_BYTES_MAX} bytes, this one has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

// === impl Case: what is known ===

impl Case {
    /// What names it.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// The person, by the id of the directory.
    #[must_use]
    pub const fn person(&self) -> Uuid {
        self.person
    }

    /// The receipt of what was taken away.
    #[must_use]
    pub const fn receipt(&self) -> Option<Uuid> {
        self.receipt
    }

    /// Where it stands.
    #[must_use]
    pub const fn state(&self) -> CaseState {
        self.state
    }

    /// From when on nothing may have been allowed.
    #[must_use]
    pub const fn cut_at(&self) -> UnixMillis {
        self.cut_at
    }

    /// When the gateway had seen that nothing is left. None while it has not.
    #[must_use]
    pub const fn verified_at(&self) -> Option<UnixMillis> {
        self.verified_at
    }

    /// How it ended, if it has.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Its items.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The names of the items without evidence.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        self.items.iter().filter(|item| item.evidence.is_none()).map(|item| item.kind.name()).collect()
    }

    fn is_core_shown(&self) -> bool {
        let core = self.items.iter().filter(|item| item.kind.prover() == Prover::Core);
        core.clone().count() == ItemKind::CORE.len() && core.clone().all(|item| item.evidence.is_some())
    }

    /// Writes it.
    ///
    /// # Errors
    /// When it is larger than [`CASE_BYTES_MAX`].
    pub fn write(&self) -> Result<Vec<u8>, BadCase> {
        let bytes = serde_json::to_vec(self).map_err(|e| BadCase::Unreadable(e.to_string()))?;
        if bytes.len() > CASE_BYTES_MAX {
            return Err(BadCase::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads it again.
    ///
    /// # Errors
    /// See [`BadCase`]. A case that promises what its items do not show is none.
    pub fn read(bytes: &[u8]) -> Result<Self, BadCase> {
        if bytes.len() > CASE_BYTES_MAX {
            return Err(BadCase::TooLarge { bytes: bytes.len() });
        }
        let case: Self = serde_json::from_slice(bytes).map_err(|e| BadCase::Unreadable(e.to_string()))?;
        case.contradiction().map_or(Ok(case), |what| Err(BadCase::Contradiction(what)))
    }

    /// What it promises and does not hold.
    fn contradiction(&self) -> Option<&'static str> {
        let kinds: BTreeSet<&ItemKind> = self.items.iter().map(|item| &item.kind).collect();
        if kinds.len() != self.items.len() || ItemKind::CORE.iter().any(|core| !kinds.contains(core)) {
            return Some("an item stands there twice, or one that every case has is missing");
        }
        if self.items.iter().any(|item| item.owed && item.evidence.is_some()) {
            return Some("an item that has its evidence is owed");
        }
        let left_open = self.end.as_ref().map(|end| &end.left_open);
        match self.state {
            CaseState::Open if self.is_core_shown() => Some("it is open, and nothing is left"),
            CaseState::Verified | CaseState::Closed if !self.is_core_shown() => {
                Some("it is verified, and something is left")
            }
            CaseState::Closed if !self.unfinished().is_empty() => {
                Some("it is closed, and something is missing")
            }
            CaseState::Open | CaseState::Verified if left_open.is_some() => {
                Some("it has an end, and goes on")
            }
            CaseState::Closed | CaseState::Returned if left_open != Some(&self.unfinished()) => {
                Some("its end does not say what was missing")
            }
            CaseState::Closed | CaseState::Returned if self.items.iter().any(|item| item.owed) => {
                Some("it is over, and something is owed")
            }
            CaseState::Open if self.verified_at.is_some() => {
                Some("it is open, and says when it was verified")
            }
            CaseState::Verified | CaseState::Closed if self.verified_at.is_none() => {
                Some("it is verified, and does not say when")
            }
            CaseState::Open | CaseState::Verified | CaseState::Closed | CaseState::Returned => None,
        }
    }
}

// === impl Case: how it changes ===

impl Case {
    /// Opens a case.
    ///
    /// # Errors
    /// When a text is bad, or an item is named twice.
    pub fn open(opening: Opening, now: UnixMillis) -> Result<Step, Denied> {
        let Opening { id, person, receipt, by, cut_at, owner, due_at, patience, .. } = opening;
        let kinds = ItemKind::CORE
            .into_iter()
            .chain([ItemKind::RefreshTokensRevoked {}, ItemKind::NoApiTokens {}])
            .chain(opening.machines.into_iter().map(|machine| ItemKind::MachineHandled { machine }))
            .chain(opening.devices.into_iter().map(|device| ItemKind::DeviceUnbound { device }))
            .chain(opening.managed_apps.into_iter().map(|app| ItemKind::AppDeprovisioned { app }));
        let item = |kind: ItemKind, owner: String| Item {
            kind,
            owner,
            due_at,
            evidence: None,
            owed: false,
            debts: 0,
        };
        let mut items: Vec<Item> = kinds.map(|kind| item(kind, owner.clone())).collect();
        let manual = opening.manual_apps.into_iter();
        items.extend(manual.map(|(app, owner)| item(ItemKind::ManualApp { app }, owner)));
        let kinds: BTreeSet<&ItemKind> = items.iter().map(|item| &item.kind).collect();
        if items.len() > CASE_ITEMS_MAX || kinds.len() != items.len() {
            return Err(Denied::BadItems);
        }
        text("by", &by)?;
        for item in &items {
            text("owner", &item.owner)?;
        }
        let case = Self {
            form: Form::Case1,
            id,
            person,
            receipt,
            opened_at: now,
            opened_by: by,
            cut_at,
            patience_until: now.plus(patience),
            state: CaseState::Open,
            looked_at: None,
            verified_at: None,
            end: None,
            items,
        };
        case.fits(CASE_OPENING_BYTES_MAX)?;
        Ok(Step { case, events: vec![CaseEvent::Open], owed: Vec::new(), settled: Vec::new() })
    }

    /// Takes in what the gateway saw. The case is verified when one look shows everything on which that
    /// rests; it is open again when a later one contradicts it.
    ///
    /// # Errors
    /// When the case is over, or the look is older than what is known.
    pub fn verify(&self, seen: &Seen, now: UnixMillis) -> Result<Step, Denied> {
        self.lives()?;
        if seen.at < self.cut_at {
            return Err(Denied::TooEarly { seen_at: seen.at, cut_at: self.cut_at });
        }
        if let Some(known_at) = self.looked_at.filter(|known_at| seen.at < *known_at) {
            return Err(Denied::Stale { seen_at: seen.at, known_at });
        }
        let mut case = self.clone();
        case.looked_at = Some(seen.at);
        let mut causes = Vec::with_capacity(case.items.len());
        for item in &mut case.items {
            let finding = seen.finding(&item.kind, self.cut_at);
            // What verification rests on is shown by one look, and all of it by the same.
            let stands = item.kind.prover() != Prover::Core || self.state == CaseState::Verified;
            let cause = match finding {
                Finding::Shown(what) => {
                    match &item.evidence {
                        Some(Evidence::Said { .. }) => {}
                        Some(Evidence::Seen { .. }) | None => {
                            item.evidence = Some(Evidence::Seen { at: seen.at, what });
                        }
                    }
                    String::new()
                }
                Finding::Contradicted(why) => {
                    item.evidence = None;
                    why
                }
                Finding::Silent(why) => {
                    if !stands {
                        item.evidence = None;
                    }
                    why
                }
            };
            causes.push(cause);
        }
        let mut events = Vec::new();
        if changed(&self.items, &case.items) {
            events.push(CaseEvent::Item);
        }
        match (self.state, case.is_core_shown()) {
            (CaseState::Open, true) => {
                case.state = CaseState::Verified;
                case.verified_at = Some(seen.at);
                events.push(CaseEvent::Verify);
            }
            (CaseState::Verified, false) => {
                case.state = CaseState::Open;
                case.verified_at = None;
                events.push(CaseEvent::Reopen);
            }
            (CaseState::Open, false)
            | (CaseState::Verified, true)
            | (CaseState::Closed | CaseState::Returned, _) => {}
        }
        let settled = case.settle("it has its evidence");
        let owed = case.owe(&causes, now);
        Ok(Step { case, events, owed, settled })
    }

    /// Takes somebody's word for an item that the gateway cannot see, or cannot see alone.
    ///
    /// # Errors
    /// When the case is over, there is no such item, or the gateway sees it for itself.
    pub fn say(&self, item: &str, by: &str, note: &str, now: UnixMillis) -> Result<Step, Denied> {
        self.lives()?;
        text("by", by)?;
        text("note", note)?;
        let mut case = self.clone();
        let found = case.items.iter_mut().find(|known| known.kind.name() == item);
        let known = found.ok_or_else(|| Denied::NoItem(wire::cut(item)))?;
        match known.kind.prover() {
            Prover::Said | Prover::SeenOrSaid => {}
            Prover::Core | Prover::Seen => return Err(Denied::NotByWord(known.kind.name())),
        }
        known.evidence = Some(Evidence::Said { at: now, by: by.to_owned(), note: note.to_owned() });
        let settled = case.settle("it has its evidence");
        case.fits(CASE_SAID_BYTES_MAX)?;
        Ok(Step { case, events: vec![CaseEvent::Item], owed: Vec::new(), settled })
    }

    /// Closes a verified case of which every item has its evidence.
    ///
    /// # Errors
    /// When it is not so.
    pub fn close(&self, by: &str, now: UnixMillis) -> Result<Step, Denied> {
        self.lives()?;
        text("by", by)?;
        if self.state != CaseState::Verified {
            return Err(Denied::NotVerified);
        }
        let left_open = self.unfinished();
        if !left_open.is_empty() {
            return Err(Denied::Unfinished(left_open));
        }
        let mut case = self.clone();
        case.state = CaseState::Closed;
        case.end = Some(End { at: now, by: by.to_owned(), left_open });
        Ok(Step { case, events: vec![CaseEvent::Close], owed: Vec::new(), settled: Vec::new() })
    }

    /// Ends the case because the person is back. What was not done stays on record.
    ///
    /// # Errors
    /// When the case is over.
    pub fn returned(&self, by: &str, now: UnixMillis) -> Result<Step, Denied> {
        self.lives()?;
        text("by", by)?;
        let mut case = self.clone();
        case.state = CaseState::Returned;
        case.end = Some(End { at: now, by: by.to_owned(), left_open: self.unfinished() });
        let mut settled = Vec::new();
        for (i, item) in case.items.iter_mut().enumerate() {
            if std::mem::take(&mut item.owed) {
                settled.push((debt_id(self.id, i, item.debts), "the person is back".to_owned()));
            }
        }
        Ok(Step { case, events: vec![CaseEvent::Return], owed: Vec::new(), settled })
    }

    /// Whether there is room for what comes later.
    fn fits(&self, bytes_max: usize) -> Result<(), Denied> {
        let bytes = serde_json::to_vec(self).map_or(usize::MAX, |written| written.len());
        if bytes > bytes_max { Err(Denied::TooLarge { bytes, bytes_max }) } else { Ok(()) }
    }

    const fn lives(&self) -> Result<(), Denied> {
        match self.state {
            CaseState::Open | CaseState::Verified => Ok(()),
            CaseState::Closed | CaseState::Returned => Err(Denied::Over(self.state)),
        }
    }

    /// Settles what has its evidence.
    fn settle(&mut self, how: &str) -> Vec<(Uuid, String)> {
        let mut settled = Vec::new();
        for (i, item) in self.items.iter_mut().enumerate() {
            if item.owed && item.evidence.is_some() {
                item.owed = false;
                settled.push((debt_id(self.id, i, item.debts), how.to_owned()));
            }
        }
        settled
    }

    /// Opens debts of what is without evidence and not owed yet.
    fn owe(&mut self, causes: &[String], now: UnixMillis) -> Vec<Owed> {
        let patient = now < self.patience_until;
        let mut owed = Vec::new();
        for (i, (item, cause)) in self.items.iter_mut().zip(causes).enumerate() {
            let waits = match item.kind.prover() {
                Prover::Core | Prover::Seen => patient,
                Prover::SeenOrSaid | Prover::Said => false,
            };
            if item.evidence.is_some() || item.owed || waits {
                continue;
            }
            item.owed = true;
            item.debts = item.debts.saturating_add(1);
            owed.push(Owed {
                id: debt_id(self.id, i, item.debts),
                kind: item.kind.debt(),
                about: format!("{} of the offboarding case {}", item.kind.name(), self.id),
                owner: item.owner.clone(),
                cause: cause.clone(),
                opened_at: now,
                due_at: item.due_at,
            });
        }
        owed
    }
}

/// Whether an item got evidence, or lost it.
fn changed(before: &[Item], after: &[Item]) -> bool {
    before.iter().zip(after).any(|(before, after)| before.evidence.is_some() != after.evidence.is_some())
}

fn text(field: &'static str, text: &str) -> Result<(), Denied> {
    if text.trim().is_empty() || text.len() > CASE_TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(Denied::BadText(field));
    }
    Ok(())
}

/// The `nth` debt of an item. RFC 9562 §5.8: a form of our own, told by its version.
fn debt_id(case: Uuid, item: usize, nth: u32) -> Uuid {
    let hash = digest(&SHA256, format!("{case} {item} {nth}").as_bytes());
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
