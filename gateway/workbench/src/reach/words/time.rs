//! Lengths of time, points in time, hours of the day and days of the week, as people say them.

use cedar_policy::pst;
use pst::{BinaryOp, Expr, Literal, UnaryOp};

pub(super) const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const WEEKDAYS: &str = "on weekdays";
const ON: &str = "on ";
const FROM: &str = "from ";
const BEFORE: &str = "before ";

/// These days of the week.
pub(super) fn on_days(days: &[&str]) -> String {
    match days {
        [] => "on no day".to_owned(),
        all if all.len() == WEEK.len() => "on any day".to_owned(),
        ["mon", "tue", "wed", "thu", "fri"] => WEEKDAYS.to_owned(),
        some => format!("{ON}{}", some.join(", ")),
    }
}

/// The days that [`on_days`] says.
fn days_of(said: &str) -> Option<Vec<&'static str>> {
    if said == WEEKDAYS {
        return WEEK.get(..5).map(<[_]>::to_vec);
    }
    let all = said.strip_prefix(ON)?.split(", ");
    all.map(|day| WEEK.into_iter().find(|known| *known == day)).collect()
}

/// The text in `duration("…")` and the like.
pub(super) fn constructed(by: UnaryOp, e: &Expr) -> Option<&str> {
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
pub(super) fn span(e: &Expr) -> Option<String> {
    let text = constructed(UnaryOp::Duration, e)?;
    let millis = millis(text)?;
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fit = units.into_iter().find(|(unit, _)| millis > 0 && millis % unit == 0);
    Some(fit.map_or_else(|| text.to_owned(), |(unit, letter)| format!("{}{letter}", millis / unit)))
}

/// A point in time: as it was written, or as partial evaluation writes one that it knows, which is so many
/// milliseconds from 1970.
pub(super) fn moment(e: &Expr) -> Option<String> {
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
pub(super) fn clock(e: &Expr) -> Option<String> {
    let minutes = millis(constructed(UnaryOp::Duration, e)?)?;
    (minutes % 60_000 == 0).then(|| {
        let minutes = minutes / 60_000;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    })
}

/// Conditions of which all must hold, and which are said together: hours of the day, and the days. Those that
/// exclude each other are said one beside the other, and that no time is so: a rule with such a mistake must not
/// read like a good one.
pub(in crate::reach) fn together(all: Vec<String>) -> Vec<String> {
    let hour = |word: &str, text: &str| {
        let at = text.strip_prefix(word)?;
        (at.len() == 5 && at.as_bytes().get(2) == Some(&b':')).then(|| at.to_owned())
    };
    let (mut from, mut before, mut days): (Option<String>, Option<String>, Option<Vec<&str>>) =
        Default::default();
    let (mut rest, mut first, mut said) = (Vec::new(), None, Vec::new());
    for text in all {
        let place = rest.len();
        if let Some(at) = hour(FROM, &text) {
            from = Some(from.map_or(at.clone(), |latest| latest.max(at)));
        } else if let Some(at) = hour(BEFORE, &text) {
            before = Some(before.map_or(at.clone(), |earliest| earliest.min(at)));
        } else if let Some(on) = days_of(&text) {
            days =
                Some(days.map_or(on.clone(), |both| both.into_iter().filter(|d| on.contains(d)).collect()));
        } else {
            rest.push(text);
            continue;
        }
        said.push(text);
        first.get_or_insert(place);
    }
    let Some(first) = first else { return rest };
    let never = days.as_ref().is_some_and(Vec::is_empty)
        || from.as_ref().zip(before.as_ref()).is_some_and(|(from, before)| from >= before);
    let time = if never {
        vec![format!("{} (at no time)", said.join(" and "))]
    } else {
        let days = days.map(|days| on_days(&days));
        match (from, before) {
            (Some(from), Some(before)) => {
                let hours = format!("{from} to {before}");
                vec![days.map_or(hours.clone(), |days| format!("{days} {hours}"))]
            }
            (from, before) => {
                let from = from.map(|at| format!("{FROM}{at}"));
                let before = before.map(|at| format!("{BEFORE}{at}"));
                [days, from, before].into_iter().flatten().collect()
            }
        }
    };
    rest.splice(first..first, time);
    rest
}
