//! Policies that are asked beside those in force: started, told about, put in force, ended.
//!
//! A candidate is a bundle that is held ([`super::releases`]). It is noted on the disk, so that it goes on after a
//! restart; what it had found is counted anew then, as it is whenever other policies come into force.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use doorward_audit::event::{PolicyShadow, ShadowStep};
use doorward_audit::{Actor, Event};
use doorward_console::ShadowCall;
use doorward_model::UnixMillis;
use doorward_model::limits::POLICY_SHADOW_STACK_BYTES;
use doorward_policy::shadow::{ByName, Change, Counts, Example, Lane, Report, Sample, Shadow, Side, Unfit};
use doorward_policy::{Policies, Revision};
use serde_json::{Value, json};

use super::Wired;
use super::releases::{How, NotDone, Shadowed, Wish, is_about, name, swap};
use super::reload::record;

/// How often it is told in the log that more differences were found.
const TELL_EVERY: Duration = Duration::from_secs(600);
/// How many policies one line names.
const NAMES_MAX: usize = 5;

/// What is known here about policies that are asked beside those in force.
#[derive(Debug, Default)]
pub(crate) struct Shadows {
    /// One change at a time, so that what is noted is what runs.
    changing: Mutex<()>,
    /// How many differences were told last of what has run in a lane since then.
    told: Mutex<[Option<(UnixMillis, u64)>; 2]>,
}

/// Starts the thread that asks them. It ends with the process.
pub(super) fn open(policies: &Arc<Policies>) -> io::Result<Shadow> {
    let policies = Arc::clone(policies);
    let (shadow, work) = Shadow::new(Arc::new(move || policies.bundle()));
    let thread =
        thread::Builder::new().name("policy-shadow".to_owned()).stack_size(POLICY_SHADOW_STACK_BYTES);
    thread.spawn(move || {
        step_back();
        work.go_on();
    })?;
    Ok(shadow)
}

/// How much less often the thread runs than those that answer requests.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets other threads go first where all processors have work. Linux counts this for each thread by itself; elsewhere
/// it would be the whole gateway, so there the thread takes its turn with the others.
fn step_back() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "policies in the shadow are asked with the priority of requests");
    }
}

/// Does what an operator asks for. Blocks: bundles are read, and what is done is put on record.
pub(super) fn answer(wired: &Wired, call: ShadowCall, actor: Actor) -> Result<Value, NotDone> {
    let _one_at_a_time = wired.shadows.changing.lock().unwrap_or_else(PoisonError::into_inner);
    settle(wired);
    match call {
        ShadowCall::Show => {}
        ShadowCall::Start { revision, sample } => start(wired, &revision, sample, &actor)?,
        ShadowCall::Promote(why) => {
            let runs = wired.house.shadow.report(Lane::Candidate, (wired.house.clock)());
            is_about(&why, runs.map(|report| report.candidate.to_string()))?;
            let wish = Wish { actor, how: How::Promoted, cause: why.cause, found: None, anyway: why.anyway };
            return promote(wired, wish);
        }
        ShadowCall::Stop(why) => {
            let runs = wired.house.shadow.report(Lane::Candidate, (wired.house.clock)());
            is_about(&why, runs.map(|report| report.candidate.to_string()))?;
            let report = wired.house.shadow.stop((wired.house.clock)());
            let report = report.ok_or_else(|| NotDone::Conflict(Unfit::NothingRuns.to_string()))?;
            over(wired, ShadowStep::Stopped, &report, &actor, why.cause);
            return Ok(with(told(wired), Lane::Candidate.as_str(), shown(&report)));
        }
    }
    Ok(told(wired))
}

fn start(wired: &Wired, revision: &str, sample: Sample, actor: &Actor) -> Result<(), NotDone> {
    let (house, now) = (&wired.house, (wired.house.clock)());
    let candidate = wired.releases.candidate(wired, revision)?;
    let in_force = house.policies.bundle().revision().to_string();
    let unfit = |why: Unfit| NotDone::Conflict(why.to_string());
    house.shadow.start(candidate.bundle, sample, now).map_err(unfit)?;
    let (revision, by, sample) = (revision.to_owned(), name(actor), sample.to_string());
    let noted = Shadowed { revision, sample, in_force, at: now.0, by };
    if let Err(error) = wired.releases.note_shadow(Some(&noted)) {
        tracing::error!(%error, "it cannot be noted which policies are asked in the shadow; a restart forgets them");
    }
    if let Some(report) = house.shadow.report(Lane::Candidate, now) {
        tell(wired, ShadowStep::Started, Lane::Candidate, &report, actor, None);
    }
    Ok(())
}

/// Puts in force what was asked: exactly that revision, in the place of exactly those that it was compared with.
fn promote(wired: &Wired, wish: Wish) -> Result<Value, NotDone> {
    let (house, now) = (&wired.house, (wired.house.clock)());
    let promotable = house.shadow.promotable(wish.anyway, now);
    let (_, report) = promotable.map_err(|unfit| NotDone::Conflict(hindered(&unfit)))?;
    if report.tally.failed > 0 && !wish.anyway {
        // In the shadow that harms nobody; in force it would stand before every request.
        let (failed, decided) = (report.tally.failed, report.tally.decided);
        let why =
            format!("it broke down over {failed} of {} requests: look for that first", failed + decided);
        return Err(NotDone::Conflict(why));
    }
    let wish = Wish { found: Some(line(&report)), ..wish };
    let (revision, expected) = (report.candidate.to_string(), report.in_force.to_string());
    let swapped = wired.releases.put_in_force(wired, &revision, &wish, Some(&expected))?;
    let _what_it_found_is_told_already = house.shadow.stop(now);
    over(wired, ShadowStep::Promoted, &report, &wish.actor, wish.cause.clone());
    Ok(swap(&swapped))
}

fn hindered(unfit: &Unfit) -> String {
    match unfit {
        Unfit::OthersInForce { .. } => {
            format!(
                "{unfit}: it may take back what was changed since. Start it anew, made from what is in force"
            )
        }
        Unfit::NothingDecided => format!("{unfit}: wait for requests"),
        Unfit::Panicked(_) => format!("{unfit}: in force, it would end the request each time"),
        Unfit::NothingRuns | Unfit::Runs(_) | Unfit::InForce(_) => unfit.to_string(),
    }
}

/// Nothing runs any more.
fn over(wired: &Wired, step: ShadowStep, report: &Report, actor: &Actor, cause: Option<String>) {
    if let Err(error) = wired.releases.note_shadow(None) {
        tracing::error!(%error, "the end of a shadow cannot be noted; after a restart it goes on");
    }
    tell(wired, step, Lane::Candidate, report, actor, cause);
}

/// A candidate that came into force in another way, by a roll-out or by the folder, is none any more.
fn settle(wired: &Wired) {
    let (house, now) = (&wired.house, (wired.house.clock)());
    let in_force = |report: &Report| report.candidate == report.in_force;
    if house.shadow.report(Lane::Candidate, now).as_ref().is_some_and(in_force)
        && let Some(report) = house.shadow.stop(now)
    {
        let cause = Some("it is in force".to_owned());
        over(wired, ShadowStep::Promoted, &report, &Actor::Gateway, cause);
    }
}

/// After a restart the same candidate is asked again.
pub(super) fn begun(wired: &Wired) {
    let Some(noted) = wired.releases.shadowed() else { return };
    let (house, now) = (&wired.house, (wired.house.clock)());
    let resumed = wired.releases.candidate(wired, &noted.revision).and_then(|candidate| {
        let sample = noted.sample.parse().unwrap_or(Sample::ALL);
        let then = Revision::from_hex(&noted.in_force).unwrap_or_else(|| candidate.bundle.revision());
        let resumed = house.shadow.resume(candidate.bundle, sample, (UnixMillis(noted.at), then), now);
        resumed.map_err(|unfit| NotDone::Conflict(unfit.to_string()))
    });
    match resumed {
        Ok(()) => tracing::info!(
            revision = noted.revision,
            by = noted.by,
            "policies are asked in the shadow again; what they had found is counted anew"
        ),
        Err(error) => {
            tracing::warn!(revision = noted.revision, %error, "policies are not asked in the shadow any more");
            if let Err(error) = wired.releases.note_shadow(None) {
                tracing::error!(%error, "the end of a shadow cannot be noted");
            }
        }
    }
}

// === the log ===

/// Says every so often, from now on, what was found since it was said last.
pub(super) async fn keep_telling(wired: Arc<Wired>) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let wired = Arc::clone(&wired);
        // What is told is waited for until it is on the disk.
        let _ = tokio::task::spawn_blocking(move || tell_found(&wired)).await;
    }
}

fn tell_found(wired: &Wired) {
    let _one_at_a_time = wired.shadows.changing.lock().unwrap_or_else(PoisonError::into_inner);
    settle(wired);
    let now = (wired.house.clock)();
    for lane in Lane::ALL {
        let Some(report) = wired.house.shadow.report(lane, now) else { continue };
        if wired.shadows.is_news(lane, &report) {
            tell(wired, ShadowStep::Found, lane, &report, &Actor::Gateway, None);
        }
    }
}

fn tell(wired: &Wired, step: ShadowStep, lane: Lane, report: &Report, actor: &Actor, cause: Option<String>) {
    let tally = &report.tally;
    let revision = report.candidate.to_string();
    tracing::info!(
        lane = lane.as_str(),
        revision,
        step = step.as_str(),
        found = line(report),
        "policies in the shadow"
    );
    let shadow = PolicyShadow {
        actor: actor.clone(),
        step,
        lane: lane.as_str(),
        revision: revision.into(),
        in_force: report.in_force.to_string().into(),
        since: report.since,
        sample: report.sample.to_string(),
        decided: tally.decided,
        missed: report.missed + tally.failed,
        newly_denied: tally.total.newly_denied,
        newly_allowed: tally.total.newly_allowed,
        other_policies: tally.total.other_policies,
        policies: most(&tally.by_policy),
        cause,
    };
    record(wired, Event::PolicyShadow(Box::new(shadow)));
}

/// The names by how often they make a difference.
fn most(by_policy: &ByName<Arc<str>>) -> Vec<String> {
    let mut all: Vec<(&Arc<str>, u64)> =
        by_policy.iter().map(|(name, counts)| (name, counts.all())).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    all.into_iter().map(|(name, _)| name.to_string()).collect()
}

/// What was found, in a line: for whoever reads later why these policies were put in force.
fn line(report: &Report) -> String {
    let tally = &report.tally;
    let Counts { newly_denied, newly_allowed, other_policies } = tally.total;
    let mut text = format!(
        "of {} requests {newly_denied} newly denied, {newly_allowed} newly allowed, {other_policies} by other policies",
        tally.decided
    );
    for (what, count) in [("ended in a panic", tally.failed), ("missed", report.missed)] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    let names = most(&tally.by_policy);
    if !names.is_empty() {
        let some = names.get(..names.len().min(NAMES_MAX)).unwrap_or_default();
        text.push_str(&format!("; most by {}", some.join(", ")));
    }
    text
}

// === what is told ===

fn told(wired: &Wired) -> Value {
    let house = &wired.house;
    let report = |lane| house.shadow.report(lane, (house.clock)()).as_ref().map(shown);
    json!({
        "scope": "node",
        "in_force": house.policies.bundle().revision().to_string(),
        "candidate": report(Lane::Candidate),
        "report_only": report(Lane::ReportOnly),
    })
}

fn shown(report: &Report) -> Value {
    let tally = &report.tally;
    let (first, last) = tally.first_and_last.unzip();
    json!({
        "revision": report.candidate.to_string(),
        "policies": report.policies,
        "reporting": names(&*report.reporting),
        "in_force": report.in_force.to_string(),
        "in_force_at_start": report.in_force_at_start.to_string(),
        "started_at": report.started_at.0,
        "since": report.since.0,
        "restarts": report.restarts,
        "sample": report.sample.to_string(),
        "requests": {
            "seen": report.seen,
            "decided": tally.decided,
            "waiting": report.waiting(),
            "passed_over": report.passed_over,
            "missed": report.missed,
            "failed": tally.failed,
            "elsewhere": report.elsewhere,
        },
        "differences": counts(&tally.total),
        "first_at": first.map(|at| at.0),
        "last_at": last.map(|at| at.0),
        "by_kind": {
            "rows": tally.by_kind.iter().map(|(kind, of)| row(kind, of)).collect::<Vec<_>>(),
            "others": counts(&Counts::default()),
        },
        "by_app": by_name(&tally.by_app),
        "by_policy": by_name(&tally.by_policy),
        "examples": tally.examples().map(example).collect::<Vec<_>>(),
    })
}

fn counts(counts: &Counts) -> Value {
    Change::ALL.iter().map(|change| (change.as_str().to_owned(), Value::from(counts.of(*change)))).collect()
}

fn row(name: &str, of: &Counts) -> Value {
    with(counts(of), "name", name.into())
}

/// An object with one more member, or another one.
fn with(mut object: Value, name: &str, value: Value) -> Value {
    if let Value::Object(members) = &mut object {
        members.insert(name.to_owned(), value);
    }
    object
}

fn by_name<K: Ord + Clone + ToString>(by_name: &ByName<K>) -> Value {
    json!({
        "rows": by_name.iter().map(|(name, of)| row(&name.to_string(), of)).collect::<Vec<_>>(),
        "others": counts(&by_name.others()),
    })
}

fn example(example: &Example) -> Value {
    json!({
        "at": example.at.0,
        "request_id": &*example.request_id,
        "kind": example.kind,
        "who": example.who,
        "action": example.action.as_str(),
        "route": example.route.as_str(),
        "change": example.difference.change.as_str(),
        "policies": names(&example.difference.policies),
        "in_force": side(&example.in_force),
        "candidate": side(&example.candidate),
    })
}

fn side(side: &Side) -> Value {
    json!({
        "decision": side.decision.as_str(),
        "code": side.code.map(|code| code.as_str()),
        "determining": names(&side.determining),
        "errors": names(&side.errors),
    })
}

fn names<'a>(names: impl IntoIterator<Item = &'a Arc<str>>) -> Vec<&'a str> {
    names.into_iter().map(|name| &**name).collect()
}

// === impl Shadows ===

impl Shadows {
    /// Whether more was found than was told of what has run in this lane since then, and notes it.
    fn is_news(&self, lane: Lane, report: &Report) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = told.get_mut(lane as usize) else { return false };
        let (since, all) = (report.since, report.tally.total.all());
        let before = last.filter(|(then, _)| *then == since).map_or(0, |(_, all)| all);
        if all <= before {
            return false;
        }
        *last = Some((since, all));
        true
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The kernel's own word for it, the 19th field of a thread's `stat`; the 2nd is in brackets.
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        rest.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn one_thread_steps_back_and_no_other() {
        let before = nice();
        let there = thread::spawn(|| {
            step_back();
            nice()
        });
        assert_eq!((there.join().unwrap(), nice()), ((before + NICE).min(19), before));
    }
}
