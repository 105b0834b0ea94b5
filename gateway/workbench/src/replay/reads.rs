//! What a condition looks at in the circumstances of a request.
//!
//! Where two requests of one person for one route are the same in everything that a condition looks at, it comes
//! to the same. A time is looked at in a gentler way where it is only compared: whatever lies on the same side of
//! every limit that it is compared with, comes to the same.
//!
//! The condition is walked in Cedar's own JSON form, and whatever this does not know is taken for a look at all
//! of it: too much is read rather than too little, which costs time and never changes a decision.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entities, EntityUid, EvalResult, Expression, Policy, Request, eval_expression};
use serde_json::Value;

/// A time among the circumstances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Clock {
    /// `context.time.now`.
    Now,
    /// `context.time.localTime`.
    Local,
    /// `context.session.age`.
    Age,
    /// `context.session.mfaAge`.
    MfaAge,
    /// `context.device.postureAge`.
    PostureAge,
}

/// A fact among the circumstances. Of the place, the device (but for the age of its posture) and the risk each is
/// one fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fact {
    Place,
    Device,
    Risk,
    Mfa,
    PhishingResistant,
    SessionKnown,
    Weekday,
    Host,
    Path,
    UserAgent,
    Granted,
}

/// How a time is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// It is compared with these limits only, in milliseconds; in order.
    Compared {
        /// Limits that stand in the policies.
        limits: BTreeSet<i64>,
        /// The end of the contract of whoever asks, or of whom they act for.
        contract_end: bool,
    },
    /// Any other way: every second counts.
    Exactly,
}

/// What is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reads {
    pub(super) facts: BTreeSet<Fact>,
    pub(super) clocks: BTreeMap<Clock, Look>,
    /// Who asks, what is to be done or what it is for is looked at as well.
    pub(super) scene: bool,
}

impl Clock {
    const ALL: [(Self, &'static [&'static str]); 5] = [
        (Self::Now, &["time", "now"]),
        (Self::Local, &["time", "localTime"]),
        (Self::Age, &["session", "age"]),
        (Self::MfaAge, &["session", "mfaAge"]),
        (Self::PostureAge, &["device", "postureAge"]),
    ];

    fn at(path: &[&str]) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == path).map(|(clock, _)| clock)
    }
}

impl Fact {
    const ALL: [(Self, &'static [&'static str]); 19] = [
        (Self::Place, &["ip"]),
        (Self::Place, &["zones"]),
        (Self::Place, &["geo"]),
        (Self::Device, &["device", "managed"]),
        (Self::Device, &["device", "compliant"]),
        (Self::Device, &["device", "known"]),
        (Self::Device, &["device", "id"]),
        (Self::Device, &["device", "platform"]),
        (Self::Device, &["device", "assurance"]),
        (Self::Device, &["device", "ownerMatches"]),
        (Self::Risk, &["risk"]),
        (Self::Mfa, &["session", "mfa"]),
        (Self::PhishingResistant, &["session", "phishingResistant"]),
        (Self::SessionKnown, &["session", "known"]),
        (Self::Weekday, &["time", "weekday"]),
        (Self::Host, &["http", "host"]),
        (Self::Path, &["http", "path"]),
        (Self::UserAgent, &["http", "userAgent"]),
        (Self::Granted, &["granted"]),
    ];
}

impl Look {
    fn join(&mut self, other: &Self) {
        match (&mut *self, other) {
            (
                Self::Compared { limits, contract_end },
                Self::Compared { limits: more, contract_end: also },
            ) => {
                limits.extend(more);
                *contract_end |= also;
            }
            (Self::Compared { .. }, Self::Exactly) => *self = Self::Exactly,
            (Self::Exactly, _) => {}
        }
    }
}

impl Reads {
    /// What a condition looks at, as it is written in a policy. Runs on the caller's stack, which must be one on
    /// which policies are read.
    pub(super) fn of(condition: &str) -> Self {
        let text = format!("permit (principal, action, resource) when {{\n{condition}\n}};");
        let policy = Policy::parse(None, text).ok().and_then(|policy| policy.to_json().ok());
        let mut reads = Self::default();
        match policy.as_ref().and_then(|json| json.get("conditions")) {
            Some(conditions) => reads.walk(conditions),
            None => reads.everything(),
        }
        reads
    }

    fn everything(&mut self) {
        self.whole(&[]);
        self.scene = true;
    }

    /// Whether the circumstances are looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.clocks.is_empty()
    }

    fn look(&mut self, clock: Clock, look: Look) {
        match self.clocks.get_mut(&clock) {
            Some(known) => known.join(&look),
            None => {
                self.clocks.insert(clock, look);
            }
        }
    }

    /// All that lies at this path of the context, or below it.
    fn whole(&mut self, path: &[&str]) {
        // A path that goes on behind a fact lies within it.
        let touches = |known: &[&str]| known.starts_with(path) || path.starts_with(known);
        let known = Fact::ALL.iter().map(|(_, at)| *at).chain(Clock::ALL.iter().map(|(_, at)| *at));
        if !known.into_iter().any(touches) {
            // A word that is not known here may mean anything.
            return self.everything();
        }
        self.facts.extend(Fact::ALL.into_iter().filter(|(_, at)| touches(at)).map(|(fact, _)| fact));
        for (clock, _) in Clock::ALL.into_iter().filter(|(_, at)| touches(at)) {
            self.look(clock, Look::Exactly);
        }
    }

    fn walk(&mut self, at: &Value) {
        if let Some(path) = chain(at, "context") {
            return self.whole(&path);
        }
        match at {
            Value::Object(map) => {
                if map.get("Var").is_some_and(|name| name != "context") {
                    self.scene = true;
                }
                for (operator, below) in map {
                    match operator.as_str() {
                        // A literal: nothing is looked at in it, whatever it is called.
                        "Value" if map.len() == 1 => {}
                        "<" | "<=" | ">" | ">=" | "==" | "!=" if self.compares(below) => {}
                        "has" if self.has(below) => {}
                        _ => self.walk(below),
                    }
                }
            }
            Value::Array(all) => all.iter().for_each(|one| self.walk(one)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// `context.a has b` looks at `context.a.b` and at nothing else of `context.a`.
    fn has(&mut self, sides: &Value) -> bool {
        let (Some(left), Some(name)) = (sides.get("left"), sides.get("attr")) else { return false };
        let Some(mut path) = chain(left, "context") else { return false };
        match name {
            Value::String(name) => path.push(name),
            // `has a.b` looks at `a` first.
            Value::Array(names) => path.extend(names.first().and_then(Value::as_str)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {}
        }
        self.whole(&path);
        true
    }

    /// A time on one side, and on the other a limit that the circumstances do not change.
    fn compares(&mut self, sides: &Value) -> bool {
        let (Some(left), Some(right)) = (sides.get("left"), sides.get("right")) else { return false };
        let clock = |side| chain(side, "context").and_then(|path| Clock::at(&path));
        let (clock, other) = match (clock(left), clock(right)) {
            (Some(clock), None) => (clock, right),
            (None, Some(clock)) => (clock, left),
            (Some(_), Some(_)) | (None, None) => return false,
        };
        let look = match limit(other) {
            Some(limit) => Look::Compared { limits: [limit].into(), contract_end: false },
            None if clock == Clock::Now && is_contract_end(other) => {
                self.scene = true;
                Look::Compared { limits: BTreeSet::new(), contract_end: true }
            }
            None => return false,
        };
        self.look(clock, look);
        true
    }
}

/// The attributes behind a variable, as in `context.session.age`.
fn chain<'a>(at: &'a Value, variable: &str) -> Option<Vec<&'a str>> {
    let mut path = Vec::new();
    let mut at = at;
    loop {
        let map = at.as_object().filter(|map| map.len() == 1)?;
        if let Some(name) = map.get("Var") {
            path.reverse();
            return (name.as_str() == Some(variable)).then_some(path);
        }
        let step = map.get(".")?;
        path.push(step.get("attr")?.as_str()?);
        at = step.get("left")?;
    }
}

fn is_contract_end(at: &Value) -> bool {
    chain(at, "principal")
        .is_some_and(|path| path == ["contractEnd"] || path == ["onBehalfOf", "contractEnd"])
}

/// What a literal of a time comes to in milliseconds, by Cedar's own reading.
fn limit(at: &Value) -> Option<i64> {
    let map = at.as_object().filter(|map| map.len() == 1)?;
    let (function, arguments) = map.iter().next()?;
    let [argument] = arguments.as_array()?.as_slice() else { return None };
    let text = argument.get("Value")?.as_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | ':' | '.');
    if !text.chars().all(is_plain) {
        return None;
    }
    let expression = match function.as_str() {
        "duration" => format!("duration(\"{text}\").toMilliseconds()"),
        "datetime" => {
            format!("datetime(\"{text}\").durationSince(datetime(\"1970-01-01\")).toMilliseconds()")
        }
        _ => return None,
    };
    let expression: Expression = expression.parse().ok()?;
    let nobody: EntityUid = "A::\"\"".parse().ok()?;
    let request = Request::new(nobody.clone(), nobody.clone(), nobody, Context::empty(), None).ok()?;
    match eval_expression(&request, &Entities::empty(), &expression).ok()? {
        EvalResult::Long(millis) => Some(millis),
        EvalResult::Bool(_)
        | EvalResult::String(_)
        | EvalResult::EntityUid(_)
        | EvalResult::Set(_)
        | EvalResult::Record(_)
        | EvalResult::ExtensionValue(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(condition: &str) -> Reads {
        Reads::of(condition)
    }

    fn compared(limits: &[i64], contract_end: bool) -> Look {
        Look::Compared { limits: limits.iter().copied().collect(), contract_end }
    }

    #[test]
    fn what_stands_in_a_condition_is_looked_at() {
        let facts = |condition| Vec::from_iter(reads(condition).facts);
        assert_eq!(facts("context.session.mfa"), [Fact::Mfa]);
        assert_eq!(
            facts("!(context.granted || context.http.path like \"/a*\")"),
            [Fact::Path, Fact::Granted]
        );
        assert_eq!(facts("context.http has userAgent"), [Fact::UserAgent]);
        assert_eq!(facts("context has http.userAgent"), [Fact::Host, Fact::Path, Fact::UserAgent]);
        assert_eq!(facts("if context.session.known then true else principal.x == 1"), [Fact::SessionKnown]);
        assert_eq!(facts("[context.time.weekday].contains(resource.day)"), [Fact::Weekday]);
        assert_eq!(facts("{\"Var\": \"context\"} == principal.x || \"context\" == principal.x"), []);
        assert_eq!(facts("context.geo.country == Country::\"DE\" && principal.context == 1"), [Fact::Place]);
        assert_eq!(facts("context.device.postureAge < duration(\"1h\")"), []);
        assert_eq!(facts("context.device has id && context.risk.score > 3"), [Fact::Device, Fact::Risk]);
        assert_eq!(facts("context[\"session\"][\"mfa\"]"), [Fact::Mfa]);
    }

    #[test]
    fn whoever_looks_at_more_than_the_circumstances_says_so() {
        for (condition, scene) in [
            ("context.geo.country == principal.homeCountry", true),
            ("context.time.now < principal.contractEnd", true),
            ("resource.public && context.granted", true),
            ("action == Action::\"GET\" || context.granted", true),
            ("context.zones.contains(\"principal\") && !context.granted", false),
            ("no condition at all", true),
            ("context.mood", true),
        ] {
            let reads = reads(condition);
            assert_eq!((reads.scene, reads.is_empty()), (scene, false), "{condition}");
        }
        assert!(reads("resource.public").is_empty());
    }

    #[test]
    fn a_whole_record_is_all_that_is_in_it() {
        let session = reads("context.session == resource.session");
        assert_eq!(Vec::from_iter(session.facts), [Fact::Mfa, Fact::PhishingResistant, Fact::SessionKnown]);
        assert_eq!(session.clocks, [(Clock::Age, Look::Exactly), (Clock::MfaAge, Look::Exactly)].into());
        for all in [
            "context == resource.x",
            "[context].contains(resource.x)",
            "(if true then context else context).granted",
        ] {
            let all = reads(all);
            assert_eq!((all.facts.len(), all.clocks.len()), (11, Clock::ALL.len()));
            assert!(all.clocks.values().all(|look| *look == Look::Exactly));
        }
    }

    #[test]
    fn a_time_that_is_only_compared_has_limits() {
        let clocks = |condition| reads(condition).clocks;
        let minutes = 60_000;
        assert_eq!(
            clocks(
                "context.session.mfaAge <= duration(\"15m\") && duration(\"-1d\") < context.session.mfaAge"
            ),
            [(Clock::MfaAge, compared(&[-86_400_000, 15 * minutes], false))].into()
        );
        assert_eq!(
            clocks(
                "context.time.now < principal.contractEnd || context.time.now != datetime(\"1970-01-02T00:00:00+0100\")"
            ),
            [(Clock::Now, compared(&[82_800_000], true))].into()
        );
        assert_eq!(
            clocks("principal.onBehalfOf.contractEnd > context.time.now"),
            [(Clock::Now, compared(&[], true))].into()
        );
    }

    #[test]
    fn a_time_that_anything_else_is_done_with_counts_to_the_second() {
        for condition in [
            "context.time.now.toTime() < duration(\"8h\")",
            "context.time.now.offset(duration(\"1d\")) < principal.contractEnd",
            "context.time.now < resource.contractEnd",
            "context.time.now < (if principal.x then principal.contractEnd else datetime(\"1970-01-01\"))",
            "[context.time.now].contains(datetime(\"1970-01-01\"))",
            "context.time.now < datetime(principal.x)",
        ] {
            assert_eq!(reads(condition).clocks, [(Clock::Now, Look::Exactly)].into(), "{condition}");
        }
        let both = reads("context.session.age < context.session.mfaAge");
        assert_eq!(both.clocks, [(Clock::Age, Look::Exactly), (Clock::MfaAge, Look::Exactly)].into());
        let twice = reads("context.session.age < duration(\"1h\") || context.session.age == principal.x");
        assert_eq!(twice.clocks, [(Clock::Age, Look::Exactly)].into());
    }
}
