//! What a condition looks at in the circumstances of a request.
//!
//! Where two requests of one person for one route are the same in everything that a condition looks at, it comes
//! to the same. A time is looked at in a gentler way where it is only compared: whatever lies on the same side of
//! every limit that it is compared with, comes to the same.
//!
//! The condition is walked in Cedar's own JSON form. Whatever this walk does not know is taken for a look at all of
//! it: too much is read rather than too little, which costs time and never changes a decision. What looks at a word
//! of the circumstances that is not known here cannot be told at all, and is asked about each time.
//!
//! An entity is looked into only by way of `principal`, `action` or `resource`: strict validation refuses
//! `User::"corp:alice" in Role::"hr"`. A set of policies that was never validated may do so, and whoever looks into
//! an entity by any other way is taken to look at all three.

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
    /// Who asks is looked at.
    pub(super) who: bool,
    /// What is to be done is looked at.
    pub(super) action: bool,
    /// What it is for is looked at.
    pub(super) route: bool,
}

/// A word of the circumstances that is not known here.
#[derive(Debug, PartialEq, Eq)]
struct UnknownWord;

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
    /// What a condition looks at, as it is written in a policy; none where that cannot be told. Runs on the
    /// caller's stack, which must be one on which policies are read.
    pub(super) fn of(condition: &str) -> Option<Self> {
        let text = format!("permit (principal, action, resource) when {{\n{condition}\n}};");
        let policy = Policy::parse(None, text).ok()?.to_json().ok()?;
        let mut reads = Self::default();
        for clause in policy.get("conditions")?.as_array()? {
            reads.walk(clause.get("body")?).ok()?;
        }
        Some(reads)
    }

    /// Whether more than the circumstances is looked at.
    pub(super) const fn looks_at_scene(&self) -> bool {
        self.who || self.action || self.route
    }

    fn scene(&mut self) {
        (self.who, self.action, self.route) = (true, true, true);
    }

    fn everything(&mut self) -> Result<(), UnknownWord> {
        self.scene();
        self.whole(&[])
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
    fn whole(&mut self, path: &[&str]) -> Result<(), UnknownWord> {
        // A path that goes on behind a fact lies within it.
        let touches = |known: &[&str]| known.starts_with(path) || path.starts_with(known);
        let known = Fact::ALL.iter().map(|(_, at)| *at).chain(Clock::ALL.iter().map(|(_, at)| *at));
        if !known.into_iter().any(touches) {
            return Err(UnknownWord);
        }
        self.facts.extend(Fact::ALL.into_iter().filter(|(_, at)| touches(at)).map(|(fact, _)| fact));
        for (clock, _) in Clock::ALL.into_iter().filter(|(_, at)| touches(at)) {
            self.look(clock, Look::Exactly);
        }
        Ok(())
    }

    /// An expression: an object with one key, which says what it is.
    fn walk(&mut self, at: &Value) -> Result<(), UnknownWord> {
        if let Some(path) = chain(at, "context") {
            return self.whole(&path);
        }
        let operation = at.as_object().filter(|map| map.len() == 1).and_then(|map| map.iter().next());
        let Some((operator, below)) = operation else { return self.everything() };
        match operator.as_str() {
            "Value" => Ok(()),
            "Var" => self.variable(below),
            "<" | "<=" | ">" | ">=" | "==" | "!=" if self.compares(below) => Ok(()),
            "<" | "<=" | ">" | ">=" | "==" | "!=" | "&&" | "||" | "+" | "-" | "*" | "contains"
            | "containsAll" | "containsAny" => self.parts(below, &["left", "right"]),
            "!" | "neg" | "isEmpty" => self.parts(below, &["arg"]),
            "if-then-else" => self.parts(below, &["if", "then", "else"]),
            "like" => self.parts(below, &["left"]),
            "has" if below.get("left").is_some_and(|left| chain(left, "context").is_some()) => {
                self.has(below)
            }
            "." | "has" => self.looks_into(below),
            "in" | "getTag" | "hasTag" => {
                self.looks_into(below)?;
                self.parts(below, &["right"])
            }
            "is" if below.get("in").is_none() => self.parts(below, &["left"]),
            "is" => {
                self.looks_into(below)?;
                self.parts(below, &["in"])
            }
            "Set" => self.each(below.as_array().into_iter().flatten()),
            // The keys of a record are names, whatever they are called.
            "Record" => self.each(below.as_object().into_iter().flat_map(serde_json::Map::values)),
            // A function of an extension, such as `ip` and `isInRange`, has a list of arguments. Unknown words have none.
            _ => match below {
                Value::Array(arguments) => self.each(arguments),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    self.everything()
                }
            },
        }
    }

    fn each<'v>(&mut self, all: impl IntoIterator<Item = &'v Value>) -> Result<(), UnknownWord> {
        all.into_iter().try_for_each(|one| self.walk(one))
    }

    /// The parts of an operation. One that is not there makes it another operation than the one that is known.
    fn parts(&mut self, operation: &Value, names: &[&str]) -> Result<(), UnknownWord> {
        names.iter().try_for_each(|name| match operation.get(name) {
            Some(part) => self.walk(part),
            None => self.everything(),
        })
    }

    fn variable(&mut self, name: &Value) -> Result<(), UnknownWord> {
        match name.as_str() {
            Some("principal") => self.who = true,
            Some("action") => self.action = true,
            Some("resource") => self.route = true,
            Some(_) | None => return self.everything(),
        }
        Ok(())
    }

    /// What stands on the left is looked into.
    fn looks_into(&mut self, operation: &Value) -> Result<(), UnknownWord> {
        let is_known =
            |of: &Value| ["principal", "action", "resource"].iter().any(|v| chain(of, v).is_some());
        if !operation.get("left").is_some_and(is_known) {
            self.scene();
        }
        self.parts(operation, &["left"])
    }

    /// `context.a has b` looks at `context.a.b` and at nothing else of `context.a`.
    fn has(&mut self, sides: &Value) -> Result<(), UnknownWord> {
        let Some(mut path) = sides.get("left").and_then(|left| chain(left, "context")) else {
            return self.everything();
        };
        match sides.get("attr") {
            Some(Value::String(name)) => path.push(name),
            // `has a.b` looks at `a` first.
            Some(Value::Array(names)) => path.extend(names.first().and_then(Value::as_str)),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {}
        }
        self.whole(&path)
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
                self.who = true;
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
mod tests;
