//! Looking at offboarding cases: the gateway sees for itself that nothing is left of whoever left, and says
//! so in their case.
//!
//! What is evidence of what:
//! * that every node has acknowledged: each says that it has come as far as everything that is published;
//! * that no sign-in is left: the revocations have each of them disabled, and no session of a browser is kept;
//! * that nothing runs: nobody of theirs is in flight here, and no other node has anything open that one of
//!   all their revocations told to end, those before they left included;
//! * that nothing was allowed: this process counts it since they are cut off; where it began later, the files
//!   of its audit log are read; other processes say whom they let in although they were switched off. A node
//!   that has ended took its count with it: that it let nobody in rests on its acknowledgment.
//!
//! What nobody says is not known, and never zero: where other processes may be that cannot be asked, where one
//! left something out, where it is not known which revocations cut somebody off.

mod elsewhere;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use doorward_model::directory::{MachineState, PersonId};
use doorward_model::{Target, UnixMillis, UserId};
use doorward_state::{NodeAnswer, NodeReport, RecordKind};
use uuid::Uuid;

use super::answer::{Asker, Failed};
use super::cases::{CaseAct, CaseWrite};
use super::directory::Place;
use super::receipts::{Desk, Found, NOT_ALONE};
use super::{Inner, Lifecycle};
use crate::machine::Actor;
use crate::offboarding::{Case, CaseState, Count, Denied, Seen, SeenNode};
use crate::receipt::facts::{Answer, Facts};
use crate::receipt::{PublicKeys, open};
use elsewhere::{Cuts, at_least, elsewhere, unless_some};

/// The most cases that are looked at in one round.
const ROUND_CASES_MAX: usize = 64;
/// How long one round waits for the nodes.
const ASKS: Duration = Duration::from_secs(1);
/// A case is looked at again after a quarter of its age, within these.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_hours(1);
/// How often the store is asked which cases are open: others open some, too.
const READ_EVERY: Duration = Duration::from_mins(10);
const PAGE_RECORDS: usize = 500;

/// Who left and is not proved to be gone, or whose case is not closed.
#[derive(Default)]
pub(super) struct OpenCases(Mutex<BTreeMap<Uuid, Open>>);

/// What is remembered of a case between two looks.
struct Open {
    /// When it is looked at next.
    next: UnixMillis,
    /// What the log had of the time before this process counted. It is read once.
    logged: Option<u64>,
}

/// What the fleet says in one round.
struct Fleetwide {
    nodes: Result<Vec<SeenNode>, String>,
    /// The other processes.
    others: Vec<NodeReport>,
}

impl OpenCases {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Uuid, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A case was written.
    pub(super) fn changed(&self, case: Option<&CaseWrite>) {
        if let Some(case) = case {
            self.is_now(&case.step.case);
        }
    }

    fn is_now(&self, case: &Case) {
        match case.state() {
            CaseState::Open | CaseState::Verified => {
                let open = || Open { next: case.cut_at(), logged: None };
                self.lock().entry(case.person()).or_insert_with(open);
            }
            CaseState::Closed | CaseState::Returned => _ = self.lock().remove(&case.person()),
        }
    }

    fn due(&self, now: UnixMillis) -> Vec<Uuid> {
        let cases = self.lock();
        let due = cases.iter().filter(|(_, open)| open.next <= now).map(|(person, _)| *person);
        due.take(ROUND_CASES_MAX).collect()
    }

    fn again(&self, person: Uuid, at: UnixMillis) {
        if let Some(open) = self.lock().get_mut(&person) {
            open.next = at;
        }
    }

    fn logged(&self, person: Uuid) -> Option<u64> {
        self.lock().get(&person)?.logged
    }

    fn was_logged(&self, person: Uuid, allowed: u64) {
        if let Some(open) = self.lock().get_mut(&person) {
            open.logged = Some(allowed);
        }
    }
}

impl Lifecycle {
    /// Looks at cases, for ever, and every `period` whether one is due. Does nothing where no receipts are
    /// made. Drop the future to end it.
    pub async fn keep_cases(&self, period: Duration) {
        let inner = &self.inner;
        let Some(desk) = inner.desk.get() else { return };
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut read_at: Option<UnixMillis> = None;
        loop {
            ticks.tick().await;
            let now = (inner.ports.clock)();
            if read_at.is_none_or(|at| now.since(at) >= READ_EVERY) {
                match inner.read_open_cases().await {
                    Ok(()) => read_at = Some(now),
                    Err(error) => {
                        tracing::warn!(%error, "it cannot be read which offboarding cases are open")
                    }
                }
            }
            inner.look_at_cases(desk, now).await;
        }
    }

    /// How many offboarding cases are not closed, as far as this process knows.
    #[must_use]
    pub fn open_cases_count(&self) -> usize {
        self.inner.cases.lock().len()
    }
}

fn asker() -> Asker {
    Asker {
        actor: Actor::System,
        asserted_at: None,
        cause: "the gateway looked".into(),
        request_id: "case-look".into(),
        if_version: None,
    }
}

impl Inner {
    async fn read_open_cases(&self) -> Result<(), Failed> {
        let mut after: Option<String> = None;
        loop {
            let page = self.ports.revocations.record_page(RecordKind::Case, after.as_deref(), PAGE_RECORDS);
            let page = page.await?;
            let Some(last) = page.last().map(|record| record.id.to_string()) else { return Ok(()) };
            for record in page {
                match Case::read(record.body.as_deref().unwrap_or_default()) {
                    // A person has one case that is open; one that is over says nothing of the next.
                    Ok(case) if case.end().is_none() => self.cases.is_now(&case),
                    Ok(_) => {}
                    Err(error) => tracing::error!(id = %record.id, %error, "a case cannot be read"),
                }
            }
            after = Some(last);
        }
    }

    async fn look_at_cases(&self, desk: &Desk, now: UnixMillis) {
        let due = self.cases.due(now);
        if due.is_empty() {
            return;
        }
        let fleetwide = self.ask_for_cases(desk).await;
        for person in due {
            let id = PersonId::from_u128(person.as_u128());
            let looked = self.look_at_case(desk, id, &fleetwide).await;
            let now = (self.ports.clock)();
            match looked {
                Ok(Some(cut_at)) => {
                    let age = now.since(cut_at) / 4;
                    self.cases.again(person, now.plus(age.clamp(AGAIN_MIN, AGAIN_MAX)));
                }
                // It is over, or somebody else's word ended it.
                Ok(None) => _ = self.cases.lock().remove(&person),
                Err(error) => {
                    tracing::warn!(person = %id, %error, "a case cannot be looked at now");
                    self.cases.again(person, now.plus(AGAIN_MIN * 10));
                }
            }
        }
    }

    /// What every node says of all that was ever committed.
    async fn ask_for_cases(&self, desk: &Desk) -> Fleetwide {
        let unknown = |why: &str| Fleetwide { nodes: Err(why.to_owned()), others: Vec::new() };
        let revocations = &self.ports.revocations;
        let here = SeenNode {
            node: desk.witness.node.clone(),
            instance: desk.witness.instance,
            answer: Answer::Applied,
        };
        let Some(before) = revocations.fleet_health() else {
            let is_alone = revocations.is_alone();
            let nodes = if is_alone { Ok(vec![here]) } else { Err(NOT_ALONE.to_owned()) };
            return Fleetwide { nodes, others: Vec::new() };
        };
        match revocations.all_is_published().await {
            Ok(true) => {}
            Ok(false) => return unknown("changes wait to be published"),
            Err(error) => return unknown(&error.to_string()),
        }
        // What was published before is behind the place where this node stands after two more polls.
        let polled = async {
            loop {
                match revocations.fleet_health() {
                    Some(health) if health.polls_total >= before.polls_total + 2 => return health.position,
                    Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    None => return None,
                }
            }
        };
        let Ok(Some(position)) = tokio::time::timeout(ASKS, polled).await else {
            return unknown("this node has no place in the log of the fleet");
        };
        match revocations.fleet(position, ASKS).await {
            Ok(reports) => {
                let is_other = |of: &NodeReport| {
                    let silent = matches!(of.answer, NodeAnswer::Silent { .. });
                    of.instance != here.instance && !(silent && of.node == here.node)
                };
                let others: Vec<NodeReport> = reports.into_iter().filter(is_other).collect();
                let nodes = std::iter::once(here).chain(others.iter().map(seen_node)).collect();
                Fleetwide { nodes: Ok(nodes), others }
            }
            Err(error) => unknown(&error.to_string()),
        }
    }

    /// Looks at the case of one person. From when on nothing may have been allowed; None where there is no
    /// case any more.
    async fn look_at_case(
        &self,
        desk: &Desk,
        person: PersonId,
        fleetwide: &Fleetwide,
    ) -> Result<Option<UnixMillis>, Failed> {
        let Some(case) = self.open_case(person).await?.map(|case| case.it) else { return Ok(None) };
        let cut_at = case.cut_at();
        let facts = match case.receipt() {
            Some(receipt) => match self.facts_of(desk, receipt).await? {
                // What was taken away is told by it, so it comes first.
                None => return Ok(Some(cut_at)),
                facts => facts,
            },
            None => None,
        };
        let seen = self.seen(desk, person, facts.as_ref(), (fleetwide, cut_at)).await?;
        match self.on_case(person, &CaseAct::Look(Box::new(seen)), &asker()).await {
            Ok(_) | Err(Failed::Case(Denied::TooEarly { .. } | Denied::Stale { .. })) => Ok(Some(cut_at)),
            Err(Failed::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a receipt says. None while it is not made.
    async fn facts_of(&self, desk: &Desk, id: Uuid) -> Result<Option<Facts>, Failed> {
        let damaged = |why: String| Failed::Damaged { kind: RecordKind::Receipt, id: id.to_string(), why };
        let line = match self.receipt(id).await? {
            Some(Found::Made(line)) => line,
            Some(Found::Pending) => return Ok(None),
            None => return Err(damaged("the receipt of a case is not there".to_owned())),
        };
        let set = self.all_keys(desk).await?;
        let keys = PublicKeys::parse(&set.to_string()).map_err(damaged)?;
        let opened = open(line.as_bytes(), &keys).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(opened.receipt.facts().clone()))
    }

    async fn seen(
        &self,
        desk: &Desk,
        person: PersonId,
        facts: Option<&Facts>,
        (fleetwide, cut_at): (&Fleetwide, UnixMillis),
    ) -> Result<Seen, Failed> {
        let read = self.read(person, Place::Disk).await?;
        let mut links: BTreeSet<UserId> =
            facts.iter().flat_map(|facts| facts.person.links.iter().cloned()).collect();
        links.extend(read.iter().flat_map(|read| read.person.links.iter().cloned()));
        let links: Vec<UserId> = links.into_iter().collect();
        let is_off = |user: &UserId| {
            let known = self.ports.revocations.lookup(&Target::User(user.clone()));
            known.is_some_and(|entry| entry.disabled)
        };
        let left = links.iter().filter(|link| !is_off(link)).count();
        let (sessions, refresh_tokens) = kept(desk, &links, u64::try_from(left).unwrap_or(u64::MAX)).await;
        let (allowed, log_whole_since) = self.allowed(desk, person, &links, cut_at).await;
        let streams = (desk.witness.running)(links.iter().cloned().collect());
        let (streams, allowed) = match &fleetwide.nodes {
            Ok(_) if fleetwide.others.is_empty() => (Count::Known(streams), allowed),
            Ok(_) => match self.cuts_of(facts, &links).await? {
                Ok(cuts) => elsewhere(&fleetwide.others, &cuts, streams, allowed),
                Err(why) => (at_least(streams, &why), unless_some(allowed, &why)),
            },
            Err(why) => (at_least(streams, why), unless_some(allowed, why)),
        };
        let mut machines = BTreeSet::new();
        for machine in self.view.owned_by(person) {
            if let Some(machine) = self.read_machine(machine, Place::Disk).await?
                && machine.it.owner == person
                && machine.it.state == MachineState::Active
                && !is_off(&machine.it.user)
            {
                machines.insert(machine.it.user);
            }
        }
        Ok(Seen {
            at: (self.ports.clock)(),
            nodes: fleetwide.nodes.clone(),
            sessions,
            streams,
            allowed,
            log_whole_since,
            refresh_tokens,
            // The tokens of a machine are good while it is.
            api_tokens: Count::Known(u64::try_from(machines.len()).unwrap_or(u64::MAX)),
            machines_running: Some(machines),
            devices_bound: Some(self.view.bound_to(person).into_iter().collect()),
            apps: BTreeMap::new(),
        })
    }

    /// Every revocation that cut these off, also before they left: whoever had been suspended is not cut off
    /// again. The error is why they are not all known.
    async fn cuts_of(&self, facts: Option<&Facts>, links: &[UserId]) -> Result<Result<Cuts, String>, Failed> {
        let told = facts.iter().flat_map(|facts| &facts.revocations);
        let mut cuts = Cuts::of(told.map(|of| (of.id, of.applied_at)));
        for link in links {
            let target = Target::User(link.clone());
            let rows = self.ports.revocations.list(Some(target), elsewhere::CUTS_MAX, None).await?;
            let rows: Vec<_> = rows.iter().map(|row| (row.id, row.action, row.recorded_at)).collect();
            if !cuts.has_log(&rows) {
                return Ok(Err(format!("it is not known by which revocations {link} was cut off")));
            }
        }
        Ok(cuts.some())
    }

    /// What these were allowed here, and since when that is known. Where this process began to count later,
    /// the log has what was before.
    async fn allowed(
        &self,
        desk: &Desk,
        person: PersonId,
        links: &[UserId],
        cut_at: UnixMillis,
    ) -> (Count, UnixMillis) {
        (desk.witness.watch)(links.to_vec());
        let counted = (desk.witness.allowed)(links.to_vec());
        let person = Uuid::from_u128(person.as_u128());
        match (counted, self.cases.logged(person)) {
            (Some((allowed, since)), _) if since <= cut_at => return (Count::Known(allowed), since),
            (Some((allowed, _)), Some(before)) => {
                return (Count::Known(allowed.saturating_add(before)), cut_at);
            }
            (Some(_), None) | (None, _) => {}
        }
        let (logged, links) = (Arc::clone(&desk.witness.logged), links.to_vec());
        let read = tokio::task::spawn_blocking(move || logged((links, cut_at))).await;
        match read {
            Ok(Ok(allowed)) => {
                self.cases.was_logged(person, allowed);
                (Count::Known(allowed), cut_at)
            }
            Ok(Err(why)) => (Count::Unknown(why), cut_at),
            Err(_) => (Count::Unknown("the audit log could not be read".to_owned()), cut_at),
        }
    }
}

/// Sign-ins that would be accepted, `left` of them at their provider, and refresh tokens that are kept.
async fn kept(desk: &Desk, links: &[UserId], left: u64) -> (Count, Count) {
    let Some(count) = &desk.witness.sessions else { return (Count::Known(left), Count::Known(0)) };
    match count(links.to_vec()).await {
        Ok(kept) => (Count::Known(left.saturating_add(kept.sessions)), Count::Known(kept.refresh_tokens)),
        Err(why) => (at_least(left, &why), Count::Unknown(why)),
    }
}

fn seen_node(report: &NodeReport) -> SeenNode {
    let answer = match report.answer {
        NodeAnswer::Applied { .. } => Answer::Applied,
        NodeAnswer::Behind { .. } => Answer::Behind,
        NodeAnswer::Silent { .. } => Answer::Silent,
    };
    SeenNode { node: report.node.clone(), instance: report.instance, answer }
}
