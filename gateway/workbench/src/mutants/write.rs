//! The edits of one policy.

use std::ops::Range;

use cedar_policy::{ActionConstraint, EntityUid, PrincipalConstraint, ResourceConstraint};
use doorward_model::limits::POLICY_MUTANTS_ELEMENTS_MAX;
use doorward_policy::conditions::{Kind as Shape, Part};
use doorward_policy::{Condition, Conditions, PolicySource};

use super::Edit;
use super::words::{Kind, Word, closing, elements, words};

/// The edits of a policy.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) edits: Vec<Edit>,
    /// Elements of long lists that are not left out, as some others are.
    pub(super) thinned: usize,
    /// Edits for which there was no room.
    pub(super) left_out: usize,
}

/// Every edit, in the order in which they are made: the policy as a whole, its scope, its conditions. `room` is how
/// much text there may be of what comes of them, in bytes; what they take of it is taken off.
pub(super) fn edits(source: &PolicySource, room: &mut usize) -> Made {
    let text = source.text();
    let conditions = Conditions::new(source.policy());
    let mut edits = Edits { text, conditions: &conditions, made: Made::default(), room };
    edits.push("the policy is removed", 0..text.len(), String::new());
    edits.effect();
    edits.scope();
    edits.clauses();
    for (number, condition) in conditions.all().iter().enumerate() {
        if condition.part() == Part::Clause {
            edits.condition(number, condition);
        }
    }
    edits.made
}

struct Edits<'a> {
    text: &'a str,
    conditions: &'a Conditions,
    made: Made,
    room: &'a mut usize,
}

impl<'a> Edits<'a> {
    fn push(&mut self, what: impl Into<String>, span: Range<usize>, by: String) {
        // What is edited, and the policy that comes of it.
        match self.room.checked_sub(self.text.len() + by.len()) {
            Some(left) => {
                *self.room = left;
                self.made.edits.push(Edit { what: what.into(), span, by });
            }
            None => self.made.left_out += 1,
        }
    }

    fn written(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// The words before the scope: annotations, and what the policy does.
    fn effect(&mut self) {
        let all = words(self.text);
        let named = |word: &&Word<'_>| word.text == "permit" || word.text == "forbid";
        let annotated = |number: usize| number > 0 && all.get(number - 1).is_some_and(|w| w.text == "@");
        let found = all.iter().enumerate().find(|(number, word)| named(word) && !annotated(*number));
        if let Some((_, word)) = found {
            let other = if word.text == "permit" { "forbid" } else { "permit" };
            self.push(format!("it does not {} but {other}", word.text), word.span.clone(), other.to_owned());
        }
    }

    fn side(&self, part: Part) -> Option<Range<usize>> {
        self.conditions.all().iter().find(|c| c.part() == part).and_then(Condition::span)
    }

    fn scope(&mut self) {
        let policy = self.conditions.policy();
        let wider = |name: &str, eq: Option<EntityUid>, is: Option<String>, is_in: bool, any: bool| {
            let mut all: Vec<String> = Vec::new();
            if let Some(uid) = eq {
                all.push(format!("{name} in {uid}"));
                all.push(format!("{name} is {}", uid.type_name()));
            }
            if let Some(kind) = is.filter(|_| is_in) {
                all.push(format!("{name} is {kind}"));
            }
            if !any {
                all.push(name.to_owned());
            }
            all
        };
        use {PrincipalConstraint as P, ResourceConstraint as R};
        let principal = match policy.principal_constraint() {
            P::Any => wider("principal", None, None, false, true),
            P::In(_) | P::Is(_) => wider("principal", None, None, false, false),
            P::Eq(uid) => wider("principal", Some(uid), None, false, false),
            P::IsIn(kind, _) => wider("principal", None, Some(kind.to_string()), true, false),
        };
        let resource = match policy.resource_constraint() {
            R::Any => wider("resource", None, None, false, true),
            R::In(_) | R::Is(_) => wider("resource", None, None, false, false),
            R::Eq(uid) => wider("resource", Some(uid), None, false, false),
            R::IsIn(kind, _) => wider("resource", None, Some(kind.to_string()), true, false),
        };
        for (part, all) in [(Part::Principal, principal), (Part::Resource, resource)] {
            let Some(span) = self.side(part) else { continue };
            for by in all {
                self.push("the scope is wider", span.clone(), by);
            }
        }
        self.actions(&policy.action_constraint());
    }

    fn actions(&mut self, constraint: &ActionConstraint) {
        let Some(span) = self.side(Part::Action) else { return };
        match constraint {
            ActionConstraint::Any => return,
            ActionConstraint::Eq(_) => {}
            ActionConstraint::In(_) => self.sets(&span, "an action is missing", 2),
        }
        self.push("the scope is wider", span, "action".to_owned());
    }

    /// The clauses, each of them dropped whole: from its word to its bracket.
    fn clauses(&mut self) {
        let all = words(self.text);
        let begins: Vec<usize> = all
            .iter()
            .zip(all.iter().skip(1))
            .enumerate()
            .filter(|(_, (word, next))| matches!(word.text, "when" | "unless") && next.text == "{")
            .map(|(number, _)| number)
            .collect();
        for begin in begins {
            let (Some(word), Some(close)) =
                (all.get(begin), closing(&all, begin + 1).and_then(|c| all.get(c)))
            else {
                continue;
            };
            let what = format!("the clause `{}` is dropped", word.text);
            self.push(what, word.span.start..close.span.end, String::new());
        }
    }

    fn condition(&mut self, number: usize, condition: &Condition) {
        let Some(span) = condition.span() else { return };
        let text = self.written(&span);
        match condition.kind() {
            // The `unless` around a condition: what is in it is a condition of its own.
            Shape::Not(_) if !text.starts_with('!') => return,
            Shape::Not(inner) => {
                if let Some(inner) = self.conditions.get(*inner).and_then(Condition::span) {
                    let by = format!("({})", self.written(&inner));
                    self.push("a `!` is dropped", span.clone(), by);
                }
            }
            Shape::All(below) => self.chain(&span, below, "&&", "||"),
            Shape::Any(below) => self.chain(&span, below, "||", "&&"),
            Shape::If { .. } => {}
            Shape::Atom => self.atom(&span),
        }
        // What was never a place of its own is not edited twice.
        let same = |other: &Condition| other.span() == Some(span.clone());
        if self
            .conditions
            .all()
            .iter()
            .take(number)
            .any(|c| c.part() == Part::Clause && same(c) && !is_unless(c))
        {
            return;
        }
        for by in ["true", "false"] {
            self.push(format!("a condition is always {by}"), span.clone(), by.to_owned());
        }
        if !text.starts_with('!') {
            self.push("a condition is the opposite", span.clone(), format!("!({text})"));
        }
    }

    /// One of the signs between the links of a chain is the other one.
    fn chain(&mut self, span: &Range<usize>, below: &[usize], sign: &str, other: &str) {
        let links: Vec<Option<Range<usize>>> =
            below.iter().map(|n| self.conditions.get(*n).and_then(Condition::span)).collect();
        let Some(links) = links.into_iter().collect::<Option<Vec<_>>>() else { return };
        for changed in 1..links.len() {
            if *self.room < span.len() {
                self.made.left_out += 1;
                continue;
            }
            let mut by = String::new();
            for (at, link) in links.iter().enumerate() {
                if at > 0 {
                    let sign = if at == changed { other } else { sign };
                    by.push_str(&format!(" {sign} "));
                }
                let composite = below.get(at).and_then(|n| self.conditions.get(*n)).is_some_and(composite);
                let text = self.written(link);
                by.push_str(&if composite { format!("({text})") } else { text.to_owned() });
            }
            self.push(format!("a `{sign}` is `{other}`"), span.clone(), format!("({by})"));
        }
    }

    /// What stands inside a condition: comparisons, borders, sets.
    fn atom(&mut self, span: &Range<usize>) {
        let inside = words(self.written(span));
        let base = span.start;
        let place = |word: &Word<'_>| base + word.span.start..base + word.span.end;
        for (number, word) in inside.iter().enumerate() {
            let next = |more: usize| inside.get(number + more);
            match word.kind {
                Kind::Sign => {
                    if let Some(near) = nearest(word.text) {
                        self.push(format!("`{}` is `{near}`", word.text), place(word), near.to_owned());
                    }
                }
                Kind::Number => {
                    let Ok(is) = word.text.parse::<i64>() else { continue };
                    for by in [is.checked_sub(1), is.checked_add(1)].into_iter().flatten() {
                        let by = if by < 0 { format!("({by})") } else { by.to_string() };
                        self.push("a border is moved by 1", place(word), by);
                    }
                }
                Kind::Name if matches!(word.text, "duration" | "datetime") => {
                    let Some((text, close)) = next(2).zip(next(3)) else { continue };
                    if text.kind != Kind::Text || close.text != ")" {
                        continue;
                    }
                    let span = base + word.span.start..base + close.span.end;
                    for step in ["-1s", "1s"] {
                        let by = moved(word.text, self.written(&span), text.text, step);
                        self.push("a border is moved by 1 second", span.clone(), by);
                    }
                }
                Kind::Name if next(1).is_some_and(|w| w.text == "(") => {
                    let other = match word.text {
                        "containsAll" => "containsAny",
                        "containsAny" => "containsAll",
                        _ => continue,
                    };
                    self.push(format!("`{}` is `{other}`", word.text), place(word), other.to_owned());
                }
                Kind::Name | Kind::Text | Kind::Open | Kind::Close => {}
            }
        }
        self.sets(span, "an element is missing", 1);
    }

    /// Each set in a text, without each of its elements. `least`: how many must be there for one to go.
    fn sets(&mut self, span: &Range<usize>, what: &str, least: usize) {
        let inside = words(self.written(span));
        for (open, word) in inside.iter().enumerate().filter(|(_, w)| w.text == "[" && w.kind == Kind::Open) {
            let Some(close) = closing(&inside, open) else { continue };
            let all = elements(&inside, open, close);
            if all.len() < least {
                continue;
            }
            let (from, to) = (word.span.start, inside.get(close).map_or(0, |w| w.span.end));
            let many = all.len().min(POLICY_MUTANTS_ELEMENTS_MAX);
            self.made.thinned += all.len() - many;
            for gone in (0..many).map(|n| n * all.len() / many) {
                let rest = all.iter().enumerate().filter(|(at, _)| *at != gone);
                let rest: Vec<&str> =
                    rest.map(|(_, e)| self.written(&(span.start + e.start..span.start + e.end))).collect();
                let by = format!("[{}]", rest.join(", "));
                self.push(what, span.start + from..span.start + to, by);
            }
        }
    }
}

/// A condition of more than one word, which needs brackets in a chain.
fn composite(condition: &Condition) -> bool {
    match condition.kind() {
        Shape::All(_) | Shape::Any(_) | Shape::If { .. } => true,
        Shape::Not(_) | Shape::Atom => false,
    }
}

/// The opposite that an `unless` stands for.
fn is_unless(condition: &Condition) -> bool {
    match condition.kind() {
        Shape::Not(_) => !condition.text().starts_with('!'),
        Shape::All(_) | Shape::Any(_) | Shape::If { .. } | Shape::Atom => false,
    }
}

/// The comparison that differs in the border only.
fn nearest(sign: &str) -> Option<&'static str> {
    match sign {
        "==" => Some("!="),
        "!=" => Some("=="),
        "<" => Some("<="),
        "<=" => Some("<"),
        ">" => Some(">="),
        ">=" => Some(">"),
        _ => None,
    }
}

/// A duration or a point in time, a second before or after.
fn moved(kind: &str, whole: &str, text: &str, step: &str) -> String {
    match (kind, seconds(text.trim_matches('"'))) {
        ("duration", Some(seconds)) => {
            let seconds = if step.starts_with('-') { seconds - 1 } else { seconds + 1 };
            format!("duration(\"{}\")", spelled(seconds))
        }
        // Cedar adds them up itself; a sum of durations it does not have.
        ("datetime", _) => format!("{whole}.offset(duration(\"{step}\"))"),
        _ => whole.to_owned(),
    }
}

/// The seconds of a duration as Cedar writes it: `1d2h3m4s`. None for a part of a second, or for one that is too long.
fn seconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut all: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let (unit, behind) = if let Some(behind) = rest.strip_prefix('d') {
            (86_400, behind)
        } else if let Some(behind) = rest.strip_prefix('h') {
            (3600, behind)
        } else if let Some(behind) = rest.strip_prefix("m").filter(|behind| !behind.starts_with('s')) {
            (60, behind)
        } else if let Some(behind) = rest.strip_prefix('s') {
            (1, behind)
        } else {
            return None;
        };
        all = count.checked_mul(unit).and_then(|more| all.checked_add(more)).filter(|all| *all < 1 << 40)?;
        rest = behind;
    }
    Some(sign * all)
}

fn spelled(seconds: i64) -> String {
    let sign = if seconds < 0 { "-" } else { "" };
    let mut left = seconds.unsigned_abs();
    let mut text = String::new();
    for (unit, letter) in [(86_400, 'd'), (3600, 'h'), (60, 'm')] {
        if left >= unit {
            text.push_str(&format!("{}{letter}", left / unit));
            left %= unit;
        }
    }
    if left > 0 || text.is_empty() {
        text.push_str(&format!("{left}s"));
    }
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_moved_by_a_second() {
        let told = |text: &str| seconds(text).map(|s| [spelled(s - 1), spelled(s + 1)]);
        let expect = |a: &str, b: &str| Some([a.to_owned(), b.to_owned()]);
        assert_eq!(told("15m"), expect("14m59s", "15m1s"));
        assert_eq!(told("12h"), expect("11h59m59s", "12h1s"));
        assert_eq!(told("1d1s"), expect("1d", "1d2s"));
        assert_eq!(told("0s"), expect("-1s", "1s"));
        assert_eq!(told("-1s"), expect("-2s", "0s"));
        for odd in ["5ms", "x", "1", "99999999999999999999d", "9999999999999d"] {
            assert_eq!(told(odd), None, "{odd}");
        }
    }
}
