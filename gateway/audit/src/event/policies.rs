//! Policies that come into force, for everybody or for some. OCSF: Entity Management (3004).

use std::sync::Arc;

use super::Actor;
use super::block::{BundleOut, DifferenceOut, ShareOut};
use super::house::{UPDATE_POLICY, Written, bundle_entity};
use super::standing::{actor, source};
use super::wire::{Head, Line, Severity, Status};
use crate::trail::cut;

/// How many names of policies or apps one event has.
const LIST_MAX: usize = 50;
/// How much of one name is recorded, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// How much of one text is recorded, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// How many apps a line for people names.
const APPS_SHOWN_MAX: usize = 3;
/// A hundred percent, in hundredths of one.
const WHOLE: u16 = 10_000;
const PROFILES: &[&str] = &["datetime"];

/// Another policy bundle is in force.
#[derive(Clone, Debug)]
pub struct PolicySwap {
    /// Who caused it.
    pub actor: Actor,
    /// Its revision.
    pub revision: Arc<str>,
    /// The revision before, unless it is the first.
    pub previous: Option<Arc<str>>,
    /// Where it was read from.
    pub source: String,
    /// How many policies it has.
    pub policies: u64,
    /// How many of its own cases held.
    pub cases: u64,
    /// Who made it, where it is a bundle.
    pub author: Option<String>,
    /// Why, in the actor's own words.
    pub cause: Option<String>,
    /// What a trial of it had found.
    pub found: Option<String>,
    /// What checks, tests and proofs came to, a line each.
    pub results: Vec<String>,
    /// The policies that were not in the one before.
    pub added: Vec<String>,
    /// The policies that are not in it any more.
    pub removed: Vec<String>,
    /// The policies that say something else.
    pub changed: Vec<String>,
}

/// A share is asked of another policy bundle than the one in force, or not any more.
#[derive(Clone, Debug)]
pub struct PolicyStage {
    /// Who caused it.
    pub actor: Actor,
    /// What happened.
    pub step: StageStep,
    /// The bundle.
    pub revision: Arc<str>,
    /// What is in force for everybody else.
    pub in_force: Arc<str>,
    /// How many people, in hundredths of a percent.
    pub hundredths: u16,
    /// At which apps; none: at all.
    pub apps: Vec<String>,
    /// Who made it.
    pub author: Option<String>,
    /// Why, in the actor's own words.
    pub cause: Option<String>,
    /// What checks, tests and proofs came to, a line each.
    pub results: Vec<String>,
    /// The policies that are not in the one in force.
    pub added: Vec<String>,
    /// The policies that only the one in force has.
    pub removed: Vec<String>,
    /// The policies that say something else.
    pub changed: Vec<String>,
}

/// What happened to a roll-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageStep {
    /// It began.
    Started,
    /// Its share is another one.
    Advanced,
    /// It ended, and is not in force.
    Stopped,
    /// It is there for every node of the fleet to take.
    Published,
}

impl StageStep {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Advanced => "advanced",
            Self::Stopped => "stopped",
            Self::Published => "published",
        }
    }
}

pub(super) fn swapped(head: &Head<'_>, swap: &PolicySwap, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("admin", PROFILES, None);
    let mut line = Line::new(head, metadata, UPDATE_POLICY, Severity::Informational, Status::Success, true);
    line.actor = Some(actor(&swap.actor));
    line.src_endpoint = source(&swap.actor);
    line.message = Some(format!("Policies {} are in force", text(&swap.revision)));
    line.entity = Some(bundle_entity(swap.previous.as_deref()));
    line.entity_result = Some(bundle_entity(Some(&swap.revision)));
    line.unmapped.doorward.bundle = Some(BundleOut {
        in_force: Some(text(&swap.revision)),
        previous: swap.previous.as_deref().map(text),
        source: text(&swap.source),
        policies: Some(swap.policies),
        cases: Some(swap.cases),
        author: swap.author.as_deref().map(text),
        cause: swap.cause.as_deref().map(text),
        found: swap.found.as_deref().map(text),
        results: results(&swap.results),
        difference: difference(&swap.added, &swap.removed, &swap.changed),
        ..BundleOut::default()
    });
    line.write(out)
}

pub(super) fn staged(head: &Head<'_>, stage: &PolicyStage, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("admin", PROFILES, None);
    let mut line = Line::new(head, metadata, UPDATE_POLICY, Severity::Informational, Status::Success, true);
    line.actor = Some(actor(&stage.actor));
    line.src_endpoint = source(&stage.actor);
    let revision = text(&stage.revision);
    line.message = Some(match stage.step {
        StageStep::Started | StageStep::Advanced => {
            format!("Policies {revision} are asked for {}", whom(stage))
        }
        StageStep::Stopped => format!("Policies {revision} are asked for nobody any more"),
        StageStep::Published => format!("Policies {revision} are published for every node of the fleet"),
    });
    line.entity = Some(bundle_entity(Some(&stage.in_force)));
    line.entity_result = Some(bundle_entity(Some(&stage.revision)));
    line.unmapped.doorward.bundle = Some(BundleOut {
        in_force: Some(text(&stage.in_force)),
        source: "rollout",
        author: stage.author.as_deref().map(text),
        cause: stage.cause.as_deref().map(text),
        results: results(&stage.results),
        difference: difference(&stage.added, &stage.removed, &stage.changed),
        share: Some(ShareOut {
            revision,
            step: stage.step.as_str(),
            hundredths: stage.hundredths,
            apps: names(&stage.apps),
        }),
        ..BundleOut::default()
    });
    line.write(out)
}

/// Who is asked, for people: how many of them, and where if not at every app.
fn whom(stage: &PolicyStage) -> String {
    let who = match stage.hundredths {
        WHOLE.. => "everybody".to_owned(),
        part => format!("{}% of people", f64::from(part) / 100.0),
    };
    let (shown, more) = (names(&stage.apps), stage.apps.len().saturating_sub(APPS_SHOWN_MAX));
    let some = shown.iter().take(APPS_SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    match (some.is_empty(), more) {
        (true, _) => who,
        (false, 0) => format!("{who} at {some}"),
        (false, more) => format!("{who} at {some} and {more} more apps"),
    }
}

fn difference<'a>(
    added: &'a [String],
    removed: &'a [String],
    changed: &'a [String],
) -> Option<DifferenceOut<'a>> {
    let total = added.len() + removed.len() + changed.len();
    let all = DifferenceOut { added: names(added), removed: names(removed), changed: names(changed), total };
    (total > 0).then_some(all)
}

fn results(results: &[String]) -> Vec<&str> {
    results.iter().take(LIST_MAX).map(|result| text(result)).collect()
}

fn names(names: &[String]) -> Vec<&str> {
    names.iter().take(LIST_MAX).map(|name| cut(name, NAME_BYTES_MAX)).collect()
}

fn text(text: &str) -> &str {
    cut(text, TEXT_BYTES_MAX)
}
