//! Conditions as people say them. What has no words here is shown in Cedar.

use std::sync::Arc;

use cedar_policy::pst;
use pst::{BinaryOp, Expr, Literal, UnaryOp, Var};

use super::need::text;

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WEEKDAYS: &str = "on weekdays";

/// A condition, or that it does not hold.
pub(super) fn of(e: &Expr, wanted: bool) -> String {
    let said = match e {
        Expr::GetAttr { .. } => path(e).and_then(|path| flag(&path, wanted)),
        Expr::BinaryOp { op, left, right } => pair(*op, left, right, wanted),
        Expr::HasAttr { .. }
        | Expr::Literal(_)
        | Expr::Var(_)
        | Expr::UnaryOp { .. }
        | Expr::Like { .. }
        | Expr::Is { .. } => None,
        // Whatever else there is.
        _ => None,
    };
    said.unwrap_or_else(|| if wanted { text(e) } else { format!("!({})", text(e)) })
}

/// `context.session.mfa` as `session.mfa`.
fn path(e: &Expr) -> Option<String> {
    match e {
        Expr::GetAttr { expr, attr } => match &**expr {
            Expr::Var(Var::Context) => Some(attr.to_string()),
            inner => Some(format!("{}.{attr}", path(inner)?)),
        },
        _ => None,
    }
}

fn flag(path: &str, wanted: bool) -> Option<String> {
    let (yes, no) = match path {
        "session.mfa" => ("more than one factor", "one factor only"),
        "session.phishingResistant" => ("a phishing-resistant sign-in", "no phishing-resistant sign-in"),
        "session.known" => ("a sign-in whose time is known", "a sign-in whose time nobody knows"),
        "geo.anonymizer" => ("through an anonymizer", "not through an anonymizer that is known"),
        "geo.anonymizerKnown" => {
            ("it is known whether through an anonymizer", "nobody knows whether through an anonymizer")
        }
        "device.managed" => ("a managed device", "a device that nobody manages"),
        "device.compliant" => ("a compliant device", "a device that is not compliant"),
        "device.known" => ("a device that is known", "a device that nobody knows"),
        "device.ownerMatches" => ("a device of their own", "a device that is not their own"),
        "risk.known" => ("a risk that was computed", "a risk that nobody computed"),
        "granted" => ("the directory grants the app", "the directory does not grant the app"),
        _ => return None,
    };
    Some(if wanted { yes } else { no }.to_owned())
}

fn pair(op: BinaryOp, left: &Expr, right: &Expr, wanted: bool) -> Option<String> {
    match op {
        BinaryOp::Contains | BinaryOp::ContainsAny | BinaryOp::ContainsAll => held(op, left, right, wanted),
        BinaryOp::IsInRange if path(left)? == "ip" => {
            let network = constructed(UnaryOp::Ip, right)?;
            Some(format!("{} {network}", if wanted { "from" } else { "not from" }))
        }
        _ => {
            let relation = Relation::of(op)?;
            let relation = if wanted { relation } else { relation.opposite() };
            match path(left) {
                Some(path) => compared(&path, relation, right),
                None => compared(&path(right)?, relation.swapped(), left),
            }
        }
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Relation {
    const fn of(op: BinaryOp) -> Option<Self> {
        Some(match op {
            BinaryOp::Eq => Self::Equal,
            BinaryOp::NotEq => Self::Unequal,
            BinaryOp::Less => Self::Less,
            BinaryOp::LessEq => Self::AtMost,
            BinaryOp::Greater => Self::More,
            BinaryOp::GreaterEq => Self::AtLeast,
            _ => return None,
        })
    }

    const fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::Unequal,
            Self::Unequal => Self::Equal,
            Self::Less => Self::AtLeast,
            Self::AtMost => Self::More,
            Self::More => Self::AtMost,
            Self::AtLeast => Self::Less,
        }
    }

    /// With the other value in front.
    const fn swapped(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Unequal => Self::Unequal,
            Self::Less => Self::More,
            Self::AtMost => Self::AtLeast,
            Self::More => Self::Less,
            Self::AtLeast => Self::AtMost,
        }
    }

    /// `age` is what is compared.
    fn age(self, what: &str, long: &str) -> Option<String> {
        Some(match self {
            Self::Less => format!("{what} less than {long} ago"),
            Self::AtMost => format!("{what} at most {long} ago"),
            Self::More => format!("{what} more than {long} ago"),
            Self::AtLeast => format!("{what} {long} ago or longer"),
            Self::Equal | Self::Unequal => return None,
        })
    }
}

fn compared(path: &str, relation: Relation, value: &Expr) -> Option<String> {
    match path {
        "session.age" => relation.age("signed in", &span(value)?),
        "session.mfaAge" => relation.age("a second factor", &span(value)?),
        "device.postureAge" => relation.age("the device was vouched for", &span(value)?),
        "risk.score" => {
            let Expr::Literal(Literal::Long(score)) = value else { return None };
            Some(match relation {
                Relation::Equal => format!("risk {score}"),
                Relation::Unequal => format!("risk other than {score}"),
                Relation::Less => format!("risk below {score}"),
                Relation::AtMost => format!("risk at most {score}"),
                Relation::More => format!("risk above {score}"),
                Relation::AtLeast => format!("risk {score} or more"),
            })
        }
        "time.localTime" => {
            let at = clock(value)?;
            Some(match relation {
                Relation::AtLeast => format!("from {at}"),
                Relation::Less => format!("before {at}"),
                Relation::More => format!("after {at}"),
                Relation::AtMost => format!("until {at}"),
                Relation::Equal | Relation::Unequal => return None,
            })
        }
        "time.now" => {
            let at = moment(value)?;
            Some(match relation {
                Relation::AtLeast => format!("from {at} on"),
                Relation::Less => format!("before {at}"),
                Relation::More => format!("after {at}"),
                Relation::AtMost => format!("until {at}"),
                Relation::Equal | Relation::Unequal => return None,
            })
        }
        "geo.country" | "time.weekday" | "risk.level" | "device.assurance" => {
            let yes = match relation {
                Relation::Equal => true,
                Relation::Unequal => false,
                Relation::Less | Relation::AtMost | Relation::More | Relation::AtLeast => return None,
            };
            listed(path, &[entity(value)?], yes)
        }
        _ => None,
    }
}

/// A set and what is in it.
fn held(op: BinaryOp, left: &Expr, right: &Expr, wanted: bool) -> Option<String> {
    if let Expr::Set(words) = left
        && op == BinaryOp::Contains
    {
        let words: Option<Vec<String>> = words.iter().map(|w| entity(w)).collect();
        return listed(&path(right)?, &words?, wanted);
    }
    let names: Vec<String> = match (op, right) {
        (BinaryOp::Contains, Expr::Literal(Literal::String(name))) => vec![name.to_string()],
        (BinaryOp::ContainsAny | BinaryOp::ContainsAll, Expr::Set(names)) => {
            let name = |e: &Arc<Expr>| match &**e {
                Expr::Literal(Literal::String(name)) => Some(name.to_string()),
                _ => None,
            };
            names.iter().map(name).collect::<Option<_>>()?
        }
        _ => return None,
    };
    let (one, names) = (names.len() == 1, names.join(", "));
    let all = op == BinaryOp::ContainsAll && !one;
    let networks = match (one, all) {
        (true, _) => format!("the network {names}"),
        (false, true) => format!("all of the networks {names}"),
        (false, false) => format!("one of the networks {names}"),
    };
    match (path(left)?.as_str(), wanted) {
        ("zones", true) => Some(format!("in {networks}")),
        ("zones", false) if one => Some(format!("outside {networks}")),
        ("zones", false) => Some(format!("not in {networks}")),
        ("risk.reasons", true) => Some(format!("risky for {names}")),
        ("risk.reasons", false) => Some(format!("not risky for {names}")),
        _ => None,
    }
}

/// One of the words of a closed list, or none of them.
fn listed(path: &str, words: &[String], yes: bool) -> Option<String> {
    let not = if yes { "" } else { "not " };
    let joined = words.join(", ");
    match path {
        "geo.country" => Some(match words {
            [unknown] if unknown == "ZZ" && yes => "from a country that nobody knows".to_owned(),
            [unknown] if unknown == "ZZ" => "from a country that is known".to_owned(),
            [_] => format!("{not}from {joined}"),
            _ => format!("{not}from one of {joined}"),
        }),
        "time.weekday" => {
            let days: Vec<&str> =
                WEEK.into_iter().filter(|day| words.iter().any(|w| w == day) == yes).collect();
            let days = days.join(", ");
            Some(if days == "mon, tue, wed, thu, fri" { WEEKDAYS.to_owned() } else { format!("on {days}") })
        }
        "risk.level" => Some(format!("risk {not}{}", words.join(" or "))),
        "device.assurance" => Some(format!("a device {not}proved by {}", words.join(" or "))),
        _ => None,
    }
}

fn entity(e: &Expr) -> Option<String> {
    match e {
        Expr::Literal(Literal::EntityUID(uid)) => Some(uid.eid.to_string()),
        _ => None,
    }
}

/// The text in `duration("…")` and the like.
fn constructed(by: UnaryOp, e: &Expr) -> Option<&str> {
    match e {
        Expr::UnaryOp { op, expr } if *op == by => match &**expr {
            Expr::Literal(Literal::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// How many milliseconds `1h30m` are. Only what is not negative.
fn millis(text: &str) -> Option<u64> {
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest.get(..digits)?.parse().ok()?;
        let after = rest.get(digits..)?;
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = match after.get(..letters)? {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        sum = sum.checked_add(number.checked_mul(unit)?)?;
        rest = after.get(letters..)?;
    }
    Some(sum)
}

/// A length of time in the largest unit that fits.
fn span(e: &Expr) -> Option<String> {
    let text = constructed(UnaryOp::Duration, e)?;
    let millis = millis(text)?;
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fit = units.into_iter().find(|(unit, _)| millis > 0 && millis % unit == 0);
    Some(fit.map_or_else(|| text.to_owned(), |(unit, letter)| format!("{}{letter}", millis / unit)))
}

/// A point in time: as it was written, or as partial evaluation writes one that it knows, which is so many
/// milliseconds from 1970.
fn moment(e: &Expr) -> Option<String> {
    match e {
        Expr::BinaryOp { op: BinaryOp::Offset, left, right } => {
            let since = constructed(UnaryOp::Datetime, left).filter(|text| *text == "1970-01-01")?;
            let text = constructed(UnaryOp::Duration, right)?;
            let millis = match text.strip_prefix('-') {
                Some(before) => -i64::try_from(millis(before)?).ok()?,
                None => i64::try_from(millis(text)?).ok()?,
            };
            Some(utc(millis).unwrap_or_else(|| format!("{since} and {text}")))
        }
        _ => constructed(UnaryOp::Datetime, e).map(str::to_owned),
    }
}

/// A point in time of the years 0 to 9999 as RFC 3339 writes it: days to a date by Hinnant's `civil_from_days`.
fn utc(millis: i64) -> Option<String> {
    let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    // Counted from March, so that a leap day is the last of its year.
    let from_march = (5 * of_year + 2) / 153;
    let (month, day) = (
        if from_march < 10 { from_march + 3 } else { from_march - 9 },
        of_year - (153 * from_march + 2) / 5 + 1,
    );
    let year = year + era * 400 + i64::from(month <= 2);
    let (seconds, millis) = (rest / 1000, rest % 1000);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}") };
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}{fraction}Z"))
}

/// A time of day.
fn clock(e: &Expr) -> Option<String> {
    let minutes = millis(constructed(UnaryOp::Duration, e)?)?;
    (minutes % 60_000 == 0).then(|| {
        let minutes = minutes / 60_000;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    })
}

/// Conditions that are said together: hours of the day, and the days.
pub(super) fn together(mut all: Vec<String>) -> Vec<String> {
    let hour = |word: &str, text: &str| {
        let at = text.strip_prefix(word)?;
        (at.len() == 5 && at.as_bytes().get(2) == Some(&b':')).then(|| at.to_owned())
    };
    let from = all.iter().position(|t| hour("from ", t).is_some());
    let before = all.iter().position(|t| hour("before ", t).is_some());
    let (Some(from), Some(before)) = (from, before) else { return all };
    let (Some(start), Some(end)) =
        (all.get(from).and_then(|t| hour("from ", t)), all.get(before).and_then(|t| hour("before ", t)))
    else {
        return all;
    };
    let hours = format!("{start} to {end}");
    let day = all.iter().position(|t| t == WEEKDAYS || t.starts_with("on "));
    let said = match day.and_then(|d| all.get(d)) {
        Some(days) => format!("{days} {hours}"),
        None => hours,
    };
    let mut taken: Vec<usize> = [Some(from), Some(before), day].into_iter().flatten().collect();
    taken.sort_unstable();
    let first = taken.first().copied().unwrap_or(0);
    for at in taken.into_iter().rev() {
        all.remove(at);
    }
    all.insert(first.min(all.len()), said);
    all
}
