//! What operators ask of the bundles, and what they are told.

use std::sync::Arc;

use doorward_audit::event::PolicyRejection;
use doorward_audit::{Actor, Event};
use doorward_console::{Future, ReleaseCall, ReleaseRefused, ReleaseWhy, ShadowCall};
use doorward_policy::{Difference, Finding};
use doorward_workbench::release::CaseCounts;
use serde_json::{Value, json};

use super::rollout::Wanted;
use super::shelf::{Change, Kept};
use super::{How, NotDone, Origin, Swapped, Wish, short};
use crate::wire::reload::record;
use crate::wire::{Wired, shadow};

/// Does one call off the runtime: bundles are read, checked and put on record, which takes its time.
pub(in crate::wire) fn answer(
    wired: &Arc<Wired>,
    call: ReleaseCall,
    actor: Actor,
) -> Future<Result<Value, ReleaseRefused>> {
    let wired = Arc::clone(wired);
    Box::pin(async move {
        let task = tokio::task::spawn_blocking(move || {
            let (tried, by) = (tried(&call), actor.clone());
            let done = done(&wired, call, actor);
            if let (Some(tried), Err(not)) = (tried, &done) {
                tell_refused(&wired, by, tried, not);
            }
            done.map_err(ReleaseRefused::from)
        });
        task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a change of bundles panicked; the policies before are in force");
            Err(ReleaseRefused::Failed("the gateway's own log says why".to_owned()))
        })
    })
}

fn done(wired: &Wired, call: ReleaseCall, actor: Actor) -> Result<Value, NotDone> {
    let releases = &wired.releases;
    match call {
        ReleaseCall::Standing => Ok(standing(wired)),
        ReleaseCall::List => Ok(listed(wired)),
        ReleaseCall::Hold(packed) => {
            let (kept, hints) = releases.hold(wired, &packed, &actor, Origin::Uploaded)?;
            Ok(and(bundle(wired, &kept), [("hints", findings(&hints))]))
        }
        ReleaseCall::Forget(revision) => {
            releases.forget(wired, &revision)?;
            Ok(json!({ "revision": revision, "outcome": "forgotten" }))
        }
        // Whatever it is that goes wrong, a roll-out is what came last.
        ReleaseCall::Back { revision: None, why } if releases.rollout().is_some() => {
            let revision = releases.stop(wired, &wish(actor, How::Back, why))?;
            let none = difference(&Difference::default());
            Ok(json!({
                "outcome": "stopped", "revision": revision, "previous": null, "difference": none,
                "rollout_ended": revision, "hints": [],
            }))
        }
        ReleaseCall::Back { revision, why } => {
            let swapped = releases.back(wired, revision.as_deref(), &wish(actor, How::Back, why))?;
            Ok(swap(&swapped))
        }
        ReleaseCall::Publish { revision, why } => {
            let sequence = releases.publish(wired, &revision, &wish(actor, How::Pulled, why))?;
            Ok(json!({ "outcome": "published", "revision": revision, "sequence": sequence }))
        }
        ReleaseCall::Rollout => Ok(rollout(wired)),
        ReleaseCall::RollOut { revision, hundredths, apps, why } => {
            let wanted = Wanted { revision, hundredths, apps };
            let changes = releases.roll_out(wired, wanted, &wish(actor, How::RolledOut, why))?;
            Ok(and(rollout(wired), [("difference", difference(&changes))]))
        }
        ReleaseCall::Finish(why) => {
            is_about(&why, releases.rollout().map(|rollout| rollout.revision))?;
            let swapped = releases.finish(wired, &wish(actor, How::RolledOut, why))?;
            Ok(swap(&swapped))
        }
        ReleaseCall::Shadow(call) => shadow::answer(wired, call, actor),
        ReleaseCall::Stop(why) => {
            is_about(&why, releases.rollout().map(|rollout| rollout.revision))?;
            let revision = releases.stop(wired, &wish(actor, How::RolledOut, why))?;
            Ok(json!({ "revision": revision, "outcome": "stopped" }))
        }
    }
}

/// Which policies a call would have held or put in force, in words for the log; none for one that asks or takes away.
fn tried(call: &ReleaseCall) -> Option<String> {
    let held = |revision: &str| Some(format!("bundle {} (held)", short(revision)));
    match call {
        ReleaseCall::Hold(_) => Some("a bundle that was sent".to_owned()),
        ReleaseCall::Back { revision: Some(revision), .. }
        | ReleaseCall::RollOut { revision, .. }
        | ReleaseCall::Publish { revision, .. }
        | ReleaseCall::Shadow(ShadowCall::Start { revision, .. }) => held(revision),
        ReleaseCall::Back { revision: None, .. } => Some("what was in force before".to_owned()),
        ReleaseCall::Finish(_) => Some("the bundle that is being rolled out".to_owned()),
        ReleaseCall::Shadow(ShadowCall::Promote(_)) => Some("the bundle in the shadow".to_owned()),
        ReleaseCall::Standing
        | ReleaseCall::List
        | ReleaseCall::Forget(_)
        | ReleaseCall::Rollout
        | ReleaseCall::Stop(_)
        | ReleaseCall::Shadow(ShadowCall::Show | ShadowCall::Stop(_)) => None,
    }
}

/// Puts on record that policies were refused for what they are. That a call came at the wrong time is not that.
fn tell_refused(wired: &Wired, actor: Actor, source: String, not: &NotDone) {
    let mistakes = match not {
        NotDone::Refused(_) => vec![not.to_string()],
        NotDone::Unfit(failure) => failure.findings.iter().map(ToString::to_string).collect(),
        NotDone::Blocked(against) => against.clone(),
        NotDone::Unknown(_) | NotDone::Conflict(_) | NotDone::Failed(_) => return,
    };
    let in_force = Some(wired.house.policies.bundle().revision().to_string().into());
    record(wired, Event::PolicyRejected(Box::new(PolicyRejection { actor, in_force, source, mistakes })));
}

/// Whoever says about which revision a call is means no other one, which somebody else may have begun with.
pub(in crate::wire) fn is_about(why: &ReleaseWhy, runs: Option<String>) -> Result<(), NotDone> {
    match (&why.about, runs) {
        (Some(about), Some(runs)) if *about != runs => Err(NotDone::Conflict(format!(
            "revision {} is under way by now, and not {}",
            short(&runs),
            short(about)
        ))),
        (_, _) => Ok(()),
    }
}

fn wish(actor: Actor, how: How, why: ReleaseWhy) -> Wish {
    Wish { actor, how, cause: why.cause, found: None, anyway: why.anyway }
}

// === what is told ===

/// Which of folder and bundles speaks, and since when. The whole folder is read for it.
fn standing(wired: &Wired) -> Value {
    let (releases, policies) = (&wired.releases, &wired.house.policies);
    let speaks = if policies.is_of_folder() { "folder" } else { "bundle" };
    let noted = releases.in_force().filter(|_| speaks == "bundle");
    json!({
        "scope": "node",
        "in_force": policies.bundle().revision().to_string(),
        "in_folder": policies.in_folder().map(|revision| revision.to_string()),
        "speaks": speaks,
        "since": noted.as_ref().map(|noted| noted.at),
        "by": noted.as_ref().map(|noted| &noted.by),
        "how": noted.as_ref().map(|noted| noted.how.as_str()),
        "cause": noted.as_ref().and_then(|noted| noted.cause.as_ref()),
    })
}

fn listed(wired: &Wired) -> Value {
    let releases = &wired.releases;
    let said = releases.nodes(wired);
    let nodes = said.as_ref().and_then(|said| said.as_ref().ok());
    let more = [
        ("nodes", nodes.map(|said| said.iter().map(node).collect::<Vec<_>>()).into()),
        ("nodes_unknown", said.as_ref().and_then(|said| said.as_ref().err()).cloned().into()),
        ("pulled", releases.pulled().into()),
        ("trouble", releases.pull_trouble().into()),
        ("rollout", rollout(wired).get("rollout").cloned().unwrap_or_default()),
        ("bundles", releases.held().iter().map(|kept| bundle(wired, kept)).collect()),
        ("history", releases.history().iter().map(change).collect()),
    ];
    and(standing(wired), more)
}

/// An object with more members.
pub(in crate::wire) fn and<const N: usize>(object: Value, more: [(&str, Value); N]) -> Value {
    match object {
        Value::Object(mut members) => {
            members.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
            Value::Object(members)
        }
        other => other,
    }
}

/// What a node said of itself. It is shown to people, and nothing rests on it.
fn node((name, said): &(String, String)) -> Value {
    let said: Value = serde_json::from_str(said).unwrap_or_default();
    let text = |key: &str| {
        let text = said.get(key).and_then(Value::as_str);
        text.map(|text| text.chars().take(300).collect::<String>())
    };
    json!({
        "node": name,
        "in_force": text("in_force"),
        "pulled": said.get("pulled").and_then(Value::as_u64),
        "trouble": text("trouble"),
        "at": said.get("at").and_then(Value::as_i64),
    })
}

fn bundle(wired: &Wired, kept: &Kept) -> Value {
    let in_force = wired.house.policies.bundle().revision().to_string() == kept.revision;
    json!({
        "revision": kept.revision,
        "sequence": kept.sequence,
        "author": kept.author,
        "note": kept.note,
        "created_at": kept.created_at,
        "origin": kept.origin,
        "at": kept.at,
        "by": kept.by,
        "policies": kept.policies,
        "cases": kept.cases,
        "difference": {
            "added": kept.added, "removed": kept.removed, "changed": kept.changed,
            "cases": kept.cases_differ.unwrap_or_default(),
        },
        "results": kept.results,
        "signed_by": kept.signed_by,
        "in_force": in_force,
    })
}

fn change(change: &Change) -> Value {
    json!({
        "revision": change.revision,
        "previous": change.previous,
        "at": change.at,
        "by": change.by,
        "how": change.how.as_str(),
        "cause": change.cause,
    })
}

fn rollout(wired: &Wired) -> Value {
    let policies = &wired.house.policies;
    let in_force = policies.bundle();
    let rollout = wired.releases.rollout();
    // What is noted, and whether it is so: a bundle that could not be loaded after a restart is asked by nobody.
    let staged = policies.staged();
    let told = rollout.map(|rollout| {
        json!({
            "revision": rollout.revision,
            "hundredths": rollout.hundredths,
            "apps": rollout.apps,
            "since": rollout.at,
            "by": rollout.by,
            "asked": staged.as_ref().is_some_and(|s| s.bundle.revision().to_string() == rollout.revision),
            "decisions": staged.as_ref().map(|s| json!({ "staged": s.asked().0, "in_force": s.asked().1 })),
            "difference": staged.as_ref().map(|s| difference(&in_force.difference(&s.bundle))),
        })
    });
    json!({ "scope": "node", "in_force": in_force.revision().to_string(), "rollout": told })
}

/// What came of putting a bundle in force.
pub(in crate::wire) fn swap(swapped: &Swapped) -> Value {
    json!({
        "outcome": if swapped.previous.is_some() { "swapped" } else { "unchanged" },
        "revision": swapped.revision,
        "previous": swapped.previous,
        "difference": difference(&swapped.difference),
        "rollout_ended": swapped.rollout_ended,
        "hints": findings(&swapped.hints),
    })
}

fn difference(difference: &Difference) -> Value {
    json!({
        "added": difference.added, "removed": difference.removed, "changed": difference.changed,
        "cases": CaseCounts::of(&difference.cases).unwrap_or_default(),
    })
}

fn findings(findings: &[Finding]) -> Value {
    let told = |finding: &Finding| {
        let (line, column) = finding.line_and_column().unzip();
        json!({
            "file": finding.file(), "line": line, "column": column,
            "message": finding.message(), "help": finding.help_text(),
        })
    };
    findings.iter().map(told).collect()
}

impl From<NotDone> for ReleaseRefused {
    fn from(not: NotDone) -> Self {
        let told = not.to_string();
        match not {
            NotDone::Unknown(_) => Self::Unknown(told),
            NotDone::Refused(refused) => Self::Bundle { detail: told, help: refused.help().to_owned() },
            NotDone::Unfit(failure) => Self::Unfit(failure),
            NotDone::Blocked(against) => Self::NotProved(against),
            NotDone::Conflict(_) => Self::Conflict(told),
            NotDone::Failed(_) => Self::Failed(told),
        }
    }
}
