//! `traces.toml`, run.

use doorward_context::risk::{Happening, History, Salt, Sighting, Terms};
use doorward_model::{DeviceId, RiskLevel, RiskReason};
use serde::Deserialize;

use crate::world::{agent, assurance, moment, place, terms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Book {
    trace: Vec<Trace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    name: String,
    /// So many sign-ins, one a day, before the trace begins.
    #[serde(default)]
    usual: u8,
    /// From where those come.
    #[serde(default = "berlin")]
    usual_from: String,
    /// By which device.
    usual_device: Option<String>,
    #[serde(default)]
    damaged: bool,
    #[serde(default)]
    weights: std::collections::BTreeMap<String, u8>,
    distance_km_min: Option<u32>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    at: String,
    #[serde(default = "session")]
    session: String,
    #[serde(default = "berlin")]
    from: String,
    #[serde(default = "firefox")]
    with: String,
    device: Option<String>,
    #[serde(default = "nothing")]
    proof: String,
    #[serde(default)]
    failures_here: u8,
    /// So many failures, and nobody is seen.
    failures: Option<u8>,
    /// A signal, and nobody is seen.
    told: Option<String>,
    /// The score, the level and the reasons.
    #[serde(default)]
    expect: String,
}

fn berlin() -> String {
    "berlin".to_owned()
}

fn session() -> String {
    "today".to_owned()
}

fn firefox() -> String {
    "firefox".to_owned()
}

fn nothing() -> String {
    "none".to_owned()
}

impl Trace {
    fn terms(&self) -> Terms {
        let mut terms = terms();
        for (name, points) in &self.weights {
            let reason = RiskReason::ALL.into_iter().find(|r| r.as_str() == name).unwrap();
            terms.weights.set(reason, *points);
        }
        terms.distance_km_min = self.distance_km_min.unwrap_or(terms.distance_km_min);
        terms
    }

    fn every_step(&self) -> impl Iterator<Item = Step> {
        let before = (1..=self.usual).map(|day| Step {
            at: format!("-{}d", self.usual + 1 - day),
            session: format!("usual-{day}"),
            from: self.usual_from.clone(),
            with: firefox(),
            device: self.usual_device.clone(),
            proof: "mfa".to_owned(),
            failures_here: 0,
            failures: None,
            told: None,
            expect: String::new(),
        });
        before.collect::<Vec<_>>().into_iter()
    }
}

/// What a step does to a history: what it came to, where somebody was seen.
fn take(mut history: History, step: &Step, terms: &Terms) -> (History, Option<String>) {
    let at = moment(&step.at);
    if let Some(failures) = step.failures {
        for _ in 0..failures {
            history = history.after(&Happening::Failed { at }, terms).0;
        }
        return (history, None);
    }
    if let Some(level) = &step.told {
        let level = RiskLevel::ALL.into_iter().find(|l| l.as_str() == level).unwrap();
        return (history.after(&Happening::Told { at, level }, terms).0, None);
    }
    let (place, assurance) = (place(&step.from), assurance(&step.proof, at));
    let device = step.device.as_deref().map(|id| DeviceId::new(id).unwrap());
    let sighting = Sighting {
        at,
        session: &step.session,
        place: &place,
        device: device.as_ref(),
        agent: agent(&step.with),
        assurance: &assurance,
        failures_here: step.failures_here,
    };
    let foreseen = history.assess(&sighting, terms);
    let (history, assessment) = history.after(&Happening::Seen(sighting), terms);
    let assessment = assessment.unwrap();
    assert_eq!(foreseen, assessment, "to look changes nothing");
    (history, Some(assessment.risk().to_string()))
}

fn book() -> Book {
    toml::from_str(include_str!("traces.toml")).unwrap()
}

/// Every trace, twice: as it is, and with the history written and read after every step.
#[test]
fn every_trace_comes_to_what_it_says() {
    let traces = book().trace;
    assert!(traces.len() >= 30, "{} traces", traces.len());
    let mut wrong = Vec::new();
    for trace in &traces {
        let terms = trace.terms();
        for through_bytes in [false, true] {
            let mut history =
                if trace.damaged { History::damaged(Salt::default()) } else { History::default() };
            for step in trace.every_step() {
                history = take(history, &step, &terms).0;
            }
            for (i, step) in trace.steps.iter().enumerate() {
                let (after, came_to) = take(history, step, &terms);
                history = if through_bytes { History::decode(&after.encode()).unwrap() } else { after };
                let came_to = came_to.unwrap_or_default();
                if came_to != step.expect {
                    let step_of = format!("`{}`, step {}", trace.name, i + 1);
                    wrong.push(format!("{step_of}: `{came_to}` is not `{}`", step.expect));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever can add something does in some trace.
#[test]
fn every_reason_is_in_some_trace() {
    let traces = book().trace;
    let seen = |reason: RiskReason| {
        traces
            .iter()
            .flat_map(|t| &t.steps)
            .any(|step| step.expect.split(['(', ',', ' ', ')']).any(|word| word == reason.as_str()))
    };
    let elsewhere = [RiskReason::Issuer, RiskReason::HistoryUnavailable];
    let missing: Vec<_> =
        RiskReason::ALL.into_iter().filter(|r| !elsewhere.contains(r) && !seen(*r)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
