//! Making receipts, round after round: each round asks the fleet once for all that are to be made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use doorward_model::UnixMillis;
use doorward_state::{
    Action, Batch, Expected, NewDebt, Position as Place, Published, Receipt as Acknowledged, Record,
    RecordKind, Row, Version, Write,
};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::super::Inner;
use super::super::answer::{Asker, Failed};
use super::super::ask::{Outcome, Stray};
use super::super::debts::kind_of;
use super::counting::Counted;
use super::facts::{Fleetwide, Standing, facts, missed};
use super::pending::{Pend, Pending, WAITS};
use super::{Desk, Heard, NOT_ALONE, PAGE_RECORDS, RECEIPTS_OPEN_MAX, kept};
use crate::machine::Actor;
use crate::receipt::Receipt;
use crate::receipt::facts as written;

/// How long it is waited between two rounds while something is to be made.
const ROUND_EVERY: Duration = Duration::from_millis(50);
/// How long one round waits for the nodes.
const ROUND_ASKS: Duration = Duration::from_millis(500);
/// How often it is looked for receipts that nobody makes.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// How long a former process of this node may take.
const FORMER_WAITS: Duration = Duration::from_secs(1);
/// Whoever took the call makes the receipt, for so long beyond the patience; then anybody does.
const OTHERS_WAIT: Duration = Duration::from_secs(60);
/// How long it is waited before one that could not be made is tried again.
const TRY_AGAIN: Duration = Duration::from_mins(1);
/// Whose position covers what was published before: the log was polled so often since.
const POLLS_SINCE: u64 = 2;
/// Rows of the log of one target that are looked through for one that a former process wrote.
const ROWS_MAX: usize = 200;

/// A receipt that is to be made.
#[derive(Clone, Debug)]
pub(in crate::service) struct Work {
    pub(super) id: Uuid,
    pub(super) pending: Pending,
    version: Version,
    /// What the process knows that took the call. None for one that was taken up from the store.
    heard: Option<Heard>,
    /// What the log has of one that was taken up.
    found: Vec<Acknowledged>,
    /// Since when this process waits.
    since: UnixMillis,
    /// By when it was out, where that was only found out.
    pub(super) published_by: Option<Published>,
    /// How many polls there had been when it was found that everything is out.
    out_at: Option<u64>,
    /// Not to be tried before.
    not_before: UnixMillis,
    /// The sessions of browsers that ended with it.
    pub(super) sessions: Counted,
}

impl Work {
    pub(in crate::service) fn new(
        pend: &Pend,
        version: Version,
        heard: Option<Heard>,
        now: UnixMillis,
    ) -> Self {
        Self::of(pend.id, pend.pending.clone(), (version, heard, pend.sessions.clone()), now)
    }

    fn of(
        id: Uuid,
        pending: Pending,
        (version, heard, sessions): (Version, Option<Heard>, Counted),
        now: UnixMillis,
    ) -> Self {
        Self {
            id,
            pending,
            version,
            heard,
            found: Vec::new(),
            since: now,
            published_by: None,
            out_at: None,
            not_before: now,
            sessions,
        }
    }

    pub(super) fn receipts(&self) -> &[Acknowledged] {
        self.heard.as_ref().map_or(&self.found, |heard| &heard.receipts)
    }

    pub(super) fn revocation_ids(&self) -> Vec<Uuid> {
        self.receipts().iter().map(|receipt| receipt.id).collect()
    }

    pub(super) fn applied_at(&self) -> UnixMillis {
        let first = self.receipts().iter().map(|receipt| receipt.applied_at).min();
        first.unwrap_or(self.pending.asked.at)
    }

    pub(super) const fn is_taken_up(&self) -> bool {
        self.heard.is_none()
    }

    pub(super) fn place(&self) -> Option<(u64, u64)> {
        self.heard.as_ref()?.place
    }

    /// Where the last of it stands in the log of the fleet. None while that is not known.
    fn position(&self) -> Option<Place> {
        let out = self.receipts().iter().map(|receipt| receipt.published);
        match out.collect::<Option<Vec<Published>>>() {
            Some(all) if !all.is_empty() => all.into_iter().map(|out| out.position).max_by_key(|at| at.id),
            Some(_) | None => self.published_by.map(|out| out.position),
        }
    }
}

/// The loop that makes receipts.
pub struct Receipts {
    inner: Arc<Inner>,
    queue: mpsc::Receiver<Work>,
    open: Vec<Work>,
}

impl Receipts {
    pub(super) const fn new(inner: Arc<Inner>, queue: mpsc::Receiver<Work>) -> Self {
        Self { inner, queue, open: Vec::new() }
    }

    /// Makes receipts for ever. Drop the future to end it: what is owed stays in the store.
    pub async fn keep(mut self) {
        let Some(desk) = self.inner.desk.get() else { return };
        let inner = Arc::clone(&self.inner);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let idle = self.open.is_empty();
            tokio::select! {
                _ = sweep.tick() => inner.take_up(desk, &mut self.open).await,
                work = self.queue.recv(), if idle => match work {
                    Some(work) => self.open.push(work),
                    None => return,
                },
                () = tokio::time::sleep(ROUND_EVERY), if !idle => {}
            }
            while self.open.len() < RECEIPTS_OPEN_MAX
                && let Ok(work) = self.queue.try_recv()
            {
                self.open.push(work);
            }
            inner.round(desk, &mut self.open).await;
            desk.open.store(u64::try_from(self.open.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

fn system(cause: &str, request_id: &str) -> Asker {
    Asker {
        actor: Actor::System,
        asserted_at: None,
        cause: cause.into(),
        request_id: request_id.into(),
        if_version: None,
    }
}

impl Inner {
    /// Takes up what is owed and nobody makes: this node's own of before, and others' after a while.
    async fn take_up(&self, desk: &Desk, open: &mut Vec<Work>) {
        let mut after = WAITS.to_owned();
        while open.len() < RECEIPTS_OPEN_MAX {
            let page = self.ports.revocations.record_page(RecordKind::Receipt, Some(&after), PAGE_RECORDS);
            let page = match page.await {
                Ok(page) => page,
                Err(error) => return tracing::warn!(%error, "it cannot be read which receipts are owed"),
            };
            let Some(last) = page.last().map(|record| record.id.to_string()) else { return };
            after = last;
            for record in page {
                let Some(work) = self.owed(desk, &record) else { continue };
                if !open.iter().any(|known| known.id == work.id) {
                    open.push(work);
                }
            }
        }
    }

    fn owed(&self, desk: &Desk, record: &Record) -> Option<Work> {
        let id = Uuid::parse_str(record.id.strip_prefix(WAITS)?).ok()?;
        let pending = match Pending::read(record.body.as_deref()?) {
            Ok(pending) => pending,
            Err(error) => {
                tracing::error!(%id, error, "what is owed of a receipt cannot be read: none can be made");
                return None;
            }
        };
        let now = (self.ports.clock)();
        let waited = now.since(pending.asked.at);
        let theirs = desk.witness.patience.saturating_add(OTHERS_WAIT);
        // One of this very process is on its way, unless it never came into the queue; during an upgrade the
        // former process may be about to make it.
        let is_mine = pending.instance != desk.witness.instance && pending.node == desk.witness.node;
        ((is_mine && waited >= FORMER_WAITS) || waited >= theirs).then(|| {
            let sessions = Counted::taken_up(&pending.targets(), &desk.witness);
            Work::of(id, pending, (record.version, None, sessions), now)
        })
    }

    /// Looks at everything once, and makes what can be made.
    async fn round(&self, desk: &Desk, open: &mut Vec<Work>) {
        let now = (self.ports.clock)();
        let wanting =
            |work: &&mut Work| work.is_taken_up() && work.found.is_empty() && now >= work.not_before;
        for work in open.iter_mut().filter(wanting) {
            if let Err(error) = self.find(work).await {
                tracing::warn!(id = %work.id, %error, "what a receipt is to tell cannot be read yet");
                work.not_before = now.plus(TRY_AGAIN);
                desk.fails(work.id, now);
            }
        }
        self.find_places(open).await;
        let fleetwide = self.ask_fleet(open).await;
        let mut left = Vec::with_capacity(open.len());
        for mut work in std::mem::take(open) {
            let now = (self.ports.clock)();
            let standing = Standing::of(&work, desk, &of_work(&work, &fleetwide), now);
            let over = now.since(work.since) >= desk.witness.patience;
            let complete = standing.is_complete() && work.sessions.is_over();
            if now < work.not_before || !(complete || over) {
                left.push(work);
                continue;
            }
            if let Err(error) = self.make(desk, &work, standing, now).await {
                tracing::error!(id = %work.id, %error, "a receipt cannot be made, and is tried again");
                work.not_before = now.plus(TRY_AGAIN);
                desk.fails(work.id, now);
                left.push(work);
            }
        }
        *open = left;
    }

    /// Finds in the log of revocations what a former process wrote of a change.
    async fn find(&self, work: &mut Work) -> Result<(), Failed> {
        let mut found: Vec<Acknowledged> = Vec::new();
        for wanted in &work.pending.targets {
            let rows = self.ports.revocations.list(Some(wanted.target.clone()), ROWS_MAX, None).await?;
            let ours = |row: &&Row| {
                let action = match row.action {
                    Action::Revoke => written::Action::Revoke,
                    Action::Disable => written::Action::Disable,
                    Action::Reactivate => return false,
                };
                let is_found = found.iter().any(|found| found.id == row.id);
                action == wanted.action && work.pending.is_of(&row.request_id) && !is_found
            };
            // Of several of one request, the first after the call; a clock may have been set back since.
            let after = rows.iter().filter(ours).rfind(|row| row.recorded_at >= work.pending.asked.at);
            let row = after.or_else(|| rows.iter().find(ours)).cloned();
            if let Some(row) = row {
                found.push(Acknowledged {
                    id: row.id,
                    target: row.target,
                    entry: row.entry,
                    applied_at: row.recorded_at,
                    durable_at: row.recorded_at,
                    ended: doorward_state::Ended::default(),
                    published: None,
                });
            }
        }
        if found.len() < work.pending.targets.len() {
            return Err(Failed::Damaged {
                kind: RecordKind::Receipt,
                id: work.id.to_string(),
                why: "the log of revocations does not have what it says".to_owned(),
            });
        }
        work.found = found;
        Ok(())
    }

    /// Where what is out stands, for changes of which that is not known: the process that published them
    /// died, or gave up waiting.
    async fn find_places(&self, open: &mut [Work]) {
        let Some(health) = self.ports.revocations.fleet_health() else { return };
        let mut lacking: Vec<&mut Work> = open.iter_mut().filter(|work| work.position().is_none()).collect();
        if lacking.iter().any(|work| work.out_at.is_none())
            && matches!(self.ports.revocations.all_is_published().await, Ok(true))
        {
            for work in lacking.iter_mut().filter(|work| work.out_at.is_none()) {
                work.out_at = Some(health.polls_total);
            }
        }
        let polled = |since: u64| health.polls_total >= since.saturating_add(POLLS_SINCE);
        for work in lacking {
            if let (Some(position), true) = (health.position, work.out_at.is_some_and(polled)) {
                work.published_by = Some(Published { at: (self.ports.clock)(), position });
            }
        }
    }

    /// Asks for the furthest place of each epoch. The error is what holds of all of them where there is no fleet.
    async fn ask_fleet(&self, open: &[Work]) -> Result<BTreeMap<Uuid, Fleetwide>, Fleetwide> {
        let revocations = &self.ports.revocations;
        if revocations.fleet_health().is_none() {
            let is_alone = revocations.is_alone();
            return Err(if is_alone { Fleetwide::Alone } else { Fleetwide::Unknown(NOT_ALONE.to_owned()) });
        }
        let mut places: BTreeMap<Uuid, Place> = BTreeMap::new();
        for place in open.iter().filter_map(Work::position) {
            let furthest = places.entry(place.epoch).or_insert(place);
            furthest.id = furthest.id.max(place.id);
        }
        let mut told = BTreeMap::new();
        for (epoch, place) in places {
            let asked = self.ports.revocations.fleet(place, ROUND_ASKS).await;
            let fleetwide = match asked {
                Ok(reports) => Fleetwide::Asked(place, reports, (self.ports.clock)()),
                Err(error) => Fleetwide::Unknown(error.to_string()),
            };
            told.insert(epoch, fleetwide);
        }
        Ok(told)
    }

    async fn make(
        &self,
        desk: &Desk,
        work: &Work,
        standing: Standing,
        now: UnixMillis,
    ) -> Result<(), Failed> {
        let terms = &self.settings.debts;
        let due_at = now.plus(terms.due);
        let owed: Vec<(written::Debt, String)> =
            standing.missing().into_iter().map(|node| missed(work, node, (&terms.owner, due_at))).collect();
        let debts = owed.iter().map(|(debt, _)| debt.clone()).collect();
        let (revision, run) = ((self.ports.revision)(), self.ports.audit.run());
        let facts = facts(work, desk, standing, (debts, revision.as_deref(), run), now);
        let bad = |what: String| Failed::Bad { field: "receipt", what };
        let receipt = Receipt::of(work.id, facts).map_err(|error| bad(error.to_string()))?;
        let sealed = desk.witness.signer.seal(&receipt).map_err(|error| bad(error.to_string()))?;
        let asker = system("a node did not confirm what was taken away", &work.pending.asked.request_id);
        // Owed before the receipt says so: after a crash both are done again, under the same ids.
        for (debt, cause) in owed {
            let written::Debt { id, kind, about, owner, due_at, .. } = debt;
            let new = NewDebt { id, kind: kind_of(kind), about, owner, cause, opened_at: now, due_at };
            self.open_debt(new, &asker).await;
        }
        let mut writes = kept::writes(&receipt, &sealed)?;
        writes.push(Write {
            kind: RecordKind::Receipt,
            id: format!("{WAITS}{}", work.id).into(),
            expected: Expected::Version(work.version),
            body: None,
            keys: Vec::new(),
        });
        let mut stray = Stray::default();
        match self.commit(Batch { writes, changes: Vec::new() }, &[], &mut stray).await? {
            Outcome::Saved(..) => {
                desk.made_total.fetch_add(1, Ordering::Relaxed);
                let summary = receipt.summary();
                tracing::debug!(
                    id = %work.id,
                    enforced_everywhere = summary.enforced_everywhere,
                    nothing_runs = summary.nothing_runs,
                    "a receipt is made"
                );
            }
            // Another process has made it.
            Outcome::Again => {}
        }
        desk.works(work.id);
        desk.made.notify_waiters();
        Ok(())
    }
}

/// What concerns one of them.
fn of_work(work: &Work, told: &Result<BTreeMap<Uuid, Fleetwide>, Fleetwide>) -> Fleetwide {
    let told = match told {
        Ok(told) => told,
        Err(all) => return all.clone(),
    };
    let known = work.position().and_then(|place| told.get(&place.epoch));
    known.cloned().unwrap_or_else(|| {
        let unpublished = work.heard.as_ref().and_then(|heard| heard.unpublished.clone());
        let why = unpublished.unwrap_or_else(|| "it is not known yet whether it is out".to_owned());
        Fleetwide::Unknown(why)
    })
}

impl Desk {
    fn fails(&self, id: Uuid, now: UnixMillis) {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(id, now);
    }

    fn works(&self, id: Uuid) {
        self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&id);
    }
}
