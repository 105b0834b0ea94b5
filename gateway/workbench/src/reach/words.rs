//! Conditions as people say them. What has no words here is shown in Cedar.

mod time;

use std::sync::Arc;

use cedar_policy::pst;
use pst::{BinaryOp, Expr, Literal, UnaryOp, Var};

pub(super) use self::time::together;
use self::time::{WEEK, clock, constructed, moment, on_days, span};
use super::need::text;

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
    let all = op == BinaryOp::ContainsAll;
    let (path, list) = (path(left)?, names.join(", "));
    let (networks, risky) = match (names.as_slice(), wanted, all) {
        ([], ..) => return None,
        ([one], true, _) => (format!("in the network {one}"), format!("risky for {one}")),
        ([one], false, _) => (format!("outside the network {one}"), format!("not risky for {one}")),
        (_, true, false) => (format!("in one of the networks {list}"), format!("risky for one of {list}")),
        (_, true, true) => (format!("in all of the networks {list}"), format!("risky for all of {list}")),
        (_, false, false) => (format!("in none of the networks {list}"), format!("risky for none of {list}")),
        (_, false, true) => {
            (format!("outside at least one of the networks {list}"), format!("risky for not all of {list}"))
        }
    };
    match path.as_str() {
        "zones" => Some(networks),
        "risk.reasons" => Some(risky),
        _ => None,
    }
}

/// One of the words of a closed list, or none of them.
fn listed(path: &str, words: &[String], yes: bool) -> Option<String> {
    let joined = words.join(", ");
    // Of several: one of them, or none.
    let proved = |joiner: &str| words.join(joiner);
    let either = match (words, yes) {
        ([_], true) => joined.clone(),
        ([_], false) => format!("not {joined}"),
        (_, true) => proved(" or "),
        (_, false) => format!("neither {}", proved(" nor ")),
    };
    match path {
        "geo.country" => Some(match (words, yes) {
            ([unknown], true) if unknown == "ZZ" => "from a country that nobody knows".to_owned(),
            ([unknown], false) if unknown == "ZZ" => "from a country that is known".to_owned(),
            ([_], true) => format!("from {joined}"),
            ([_], false) => format!("not from {joined}"),
            (_, true) => format!("from one of {joined}"),
            (_, false) => format!("from none of {joined}"),
        }),
        "time.weekday" => {
            let days = WEEK.into_iter().filter(|day| words.iter().any(|w| w == day) == yes);
            Some(on_days(&days.collect::<Vec<_>>()))
        }
        "risk.level" => Some(format!("risk {either}")),
        "device.assurance" => Some(match (words, yes) {
            ([_], false) => format!("a device not proved by {joined}"),
            _ => format!("a device proved by {either}"),
        }),
        _ => None,
    }
}

fn entity(e: &Expr) -> Option<String> {
    match e {
        Expr::Literal(Literal::EntityUID(uid)) => Some(uid.eid.to_string()),
        _ => None,
    }
}
