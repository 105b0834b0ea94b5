//! What could be changed: another network is one of those that the policies name, a role is the one that a permit
//! wants, another hour one of the next week or one that a policy names.

use std::time::Duration;

use cedar_policy_core::ast::Literal;
use doorward_model::limits::EXPLAIN_FACTS_MAX;
use doorward_model::{CountryCode, Employment, Principal, UnixMillis, Weekday};
use jiff::Timestamp;

use super::{Change, Edit};
use crate::explain::facts;
use crate::explain::hand::{Hand, is_group};
use crate::explain::way::Involved;
use crate::situation::Situation;

/// How many networks, countries or bounds on the time are tried.
const NAMED_MAX: usize = 8;
/// The steps of a search for another time.
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// An hour at which most things are open.
const NOON: u64 = 12 * HOUR;

/// How a hand could change a situation so that the conditions come out otherwise: some changes to be made together,
/// in `max` ways at most.
pub(in crate::explain) fn candidates(
    from: &Situation,
    by: Hand,
    involved: &[Involved<'_>],
    max: usize,
) -> Vec<Vec<Change>> {
    let of = Wanted { from, by, mine: involved.iter().filter(|one| one.hand == by).collect() };
    match by {
        Hand::SignInAgain | Hand::SecondFactor | Hand::SecurityKey => {
            sign_ins(by).into_iter().map(|change| vec![change]).take(max).collect()
        }
        Hand::OtherNetwork => of.networks().into_iter().take(max).collect(),
        Hand::OtherTime => of.times(max).into_iter().map(|change| vec![change]).collect(),
        Hand::EnrolledDevice => vec![vec![Change::new(by, "use an enrolled device", Edit::Device)]],
        Hand::Owner => of.grants().into_iter().map(|change| vec![change]).take(max).collect(),
        Hand::Accounts => of.accounts().into_iter().take(max).collect(),
        Hand::Someone | Hand::Nobody => Vec::new(),
    }
}

fn sign_ins(at_least: Hand) -> Vec<Change> {
    let ways = [
        (Hand::SignInAgain, "sign in again"),
        (Hand::SecondFactor, "sign in with a second factor"),
        (Hand::SecurityKey, "sign in with a security key"),
    ];
    ways.into_iter()
        .filter(|(hand, _)| *hand >= at_least)
        .map(|(hand, what)| Change::new(hand, what, Edit::SignIn(hand)))
        .collect()
}

/// What one hand would have to bring about.
struct Wanted<'a> {
    from: &'a Situation,
    by: Hand,
    mine: Vec<&'a Involved<'a>>,
}

impl Wanted<'_> {
    fn literals(&self) -> Vec<&Literal> {
        self.mine.iter().flat_map(|one| facts::literals(one.condition.expr())).collect()
    }

    fn names(&self) -> Vec<String> {
        self.mine.iter().flat_map(|one| facts::names(one.condition.expr())).collect()
    }

    fn change(&self, what: impl Into<String>, edit: Edit) -> Change {
        Change::new(self.by, what, edit)
    }

    // === where ===

    /// The networks and the countries that the conditions name, and the person's own country; without an anonymizer
    /// where that is asked.
    fn networks(&self) -> Vec<Vec<Change>> {
        let names = self.names();
        let reads = |fact: &str| names.iter().any(|name| name.starts_with(fact));
        let mut all: Vec<Change> = Vec::new();
        let (mut networks, literals) = (Vec::new(), self.literals());
        for literal in literals.into_iter().take(NAMED_MAX) {
            match literal {
                Literal::String(text) => match text.split('/').next().and_then(|ip| ip.parse().ok()) {
                    Some(ip) => all.push(self.change(format!("come from `{text}`"), Edit::Address(ip))),
                    None => {
                        let one = [text.to_string()].into();
                        all.push(self.change(format!("come from the network `{text}`"), Edit::Networks(one)));
                        networks.push(text.to_string());
                    }
                },
                Literal::EntityUID(uid) if uid.entity_type().to_string() == "Country" => {
                    all.extend(self.country(uid.eid().as_ref()));
                }
                Literal::EntityUID(_) | Literal::Bool(_) | Literal::Long(_) => {}
            }
        }
        if networks.len() > 1 {
            let told = networks.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" and ");
            let what = format!("come from an address that is in the networks {told}");
            all.push(self.change(what, Edit::Networks(networks.into_iter().collect())));
        }
        if reads("context.zones") {
            let what = "come from none of the named networks";
            all.push(self.change(what, Edit::Networks(Default::default())));
        }
        if reads("context.geo.country") {
            let home = match &*self.from.principal {
                Principal::User(user) => user.home_country,
                Principal::Agent(agent) => agent.on_behalf_of.home_country,
                Principal::ServiceAccount(_) | Principal::Visitor(_) => CountryCode::UNKNOWN,
            };
            all.extend(self.country(home.as_str()));
        }
        let mut all: Vec<Vec<Change>> = all.into_iter().map(|change| vec![change]).collect();
        if reads("context.geo.anonymizer") {
            let none = self.change("come without an anonymizer", Edit::NoAnonymizer);
            all.iter_mut().for_each(|changes| changes.push(none.clone()));
            all.push(vec![none]);
        }
        all
    }

    fn country(&self, code: &str) -> Option<Change> {
        let country = CountryCode::new(code).ok().filter(|country| *country != CountryCode::UNKNOWN)?;
        Some(self.change(format!("come from {country}"), Edit::Country(country)))
    }

    // === when ===

    /// The hours of the next week, noon first; then the times that the conditions name, and a minute later.
    fn times(&self, max: usize) -> Vec<Change> {
        let local = self.from.local_time.as_secs();
        let until = |time: u64| match (time + DAY - local % DAY) % DAY {
            0 => DAY,
            seconds => seconds,
        };
        let week = |time: u64| (0..7).map(move |day| until(time) + day * DAY);
        let hours = (1..=7 * 24).map(|hour| hour * HOUR - local % HOUR);
        let mut named = Vec::new();
        for literal in self.bounds() {
            let Literal::String(text) = literal else { continue };
            if let Some(at) = time_of_day(text) {
                named.extend(week(at).chain(week((at + 60) % DAY)));
            } else if let Some(at) = moment(text) {
                let later = at.saturating_sub(self.from.now.0);
                let seconds = u64::try_from(later).unwrap_or(0).div_ceil(1000);
                named.extend([seconds, seconds + 60].into_iter().filter(|_| seconds > 0));
            }
        }
        let later = week(NOON).chain(hours).chain(named);
        let dated = self.names().iter().any(|name| name == "context.time.now");
        later.take(max).map(|seconds| self.time(seconds, dated)).collect()
    }

    /// What these policies compare the time with, also where that is as it should be now.
    fn bounds(&self) -> Vec<&Literal> {
        let mut all: Vec<&Literal> = Vec::new();
        for (_, condition) in self.mine.iter().flat_map(|one| one.conditions.atoms()) {
            if facts::names(condition.expr()).iter().any(|name| name.starts_with("context.time.")) {
                let new = facts::literals(condition.expr()).into_iter().filter(|one| !all.contains(one));
                let new: Vec<_> = new.collect();
                all.extend(new);
            }
        }
        all.truncate(NAMED_MAX);
        all
    }

    fn time(&self, later: u64, dated: bool) -> Change {
        let since_midnight = self.from.local_time.as_secs() + later;
        let (days, local) = (since_midnight / DAY, since_midnight % DAY);
        let today = Weekday::ALL.iter().position(|day| *day == self.from.weekday).unwrap_or(0);
        let ahead = today + usize::try_from(days % 7).unwrap_or(0);
        let weekday = Weekday::ALL.into_iter().cycle().nth(ahead).unwrap_or(self.from.weekday);
        let now = self.from.now.plus(Duration::from_secs(later));
        let seconds = if local % 60 == 0 { String::new() } else { format!(":{:02}", local % 60) };
        let mut what =
            format!("come on {} at {:02}:{:02}{seconds}", weekday.as_str(), local / HOUR, local / 60 % 60);
        if dated && let Ok(at) = Timestamp::from_millisecond(now.0) {
            what.push_str(&format!(", which is {at}"));
        }
        // To the second, as it is told.
        let now = UnixMillis(if dated { now.0.div_euclid(1000) * 1000 } else { now.0 });
        self.change(what, Edit::Time { now, local: Duration::from_secs(local), weekday, dated })
    }

    // === who ===

    /// What an owner can give: a role, a group, the app, a scope.
    fn grants(&self) -> Vec<Change> {
        let owner = self
            .mine
            .iter()
            .find_map(|one| one.conditions.policy().annotation("owner"))
            .filter(|o| !o.is_empty());
        let of = owner.map_or_else(String::new, |owner| format!(" from its owner ({owner})"));
        let mut all = Vec::new();
        let groups = self.literals().into_iter().filter_map(|literal| match literal {
            Literal::EntityUID(uid) if is_group(&uid.entity_type().to_string()) => Some(uid),
            Literal::EntityUID(_) | Literal::String(_) | Literal::Bool(_) | Literal::Long(_) => None,
        });
        for uid in groups.take(EXPLAIN_FACTS_MAX) {
            let (is_role, id): (bool, &str) = (uid.entity_type().to_string() == "Role", uid.eid().as_ref());
            let edit = if is_role { Edit::Role(id.to_owned()) } else { Edit::Group(id.to_owned()) };
            all.push(self.change(format!("get {uid}{of}"), edit));
        }
        let names = self.names();
        if names.iter().any(|name| name == "context.granted") {
            all.push(self.change(format!("be granted the app{of}"), Edit::App));
        }
        let scope = &self.from.route.scope;
        if names.iter().any(|name| name == "principal.scopes") && !scope.is_empty() {
            all.push(self.change(format!("get the scope `{scope}`{of}"), Edit::Scope(scope.clone())));
        }
        all
    }

    /// What the account could say otherwise: each fact that is asked alone, then all of them.
    fn accounts(&self) -> Vec<Vec<Change>> {
        let mut facts: Vec<String> = Vec::new();
        for name in self.names() {
            let fact = name.trim_start_matches("principal.").trim_start_matches("onBehalfOf.");
            if !facts.iter().any(|known| known == fact) {
                facts.push(fact.to_owned());
            }
        }
        let each: Vec<Vec<Change>> = facts.iter().map(|fact| self.account(fact)).collect();
        let mut all: Vec<Vec<Change>> = each.iter().flatten().map(|change| vec![change.clone()]).collect();
        if each.iter().filter(|ways| !ways.is_empty()).count() > 1 {
            all.push(each.iter().filter_map(|ways| ways.first().cloned()).collect());
        }
        all
    }

    /// What could stand in the account for one fact.
    fn account(&self, fact: &str) -> Vec<Change> {
        let literals = self.literals();
        let named = |kind: &'static str| {
            let of_kind = literals.iter().filter_map(move |literal| match literal {
                Literal::EntityUID(uid) if uid.entity_type().to_string() == kind => {
                    let id: &str = uid.eid().as_ref();
                    Some(id.to_owned())
                }
                _ => None,
            });
            of_kind.take(NAMED_MAX)
        };
        match fact {
            "lifecycle" => vec![self.change("the account must be active", Edit::Active)],
            "employment" => {
                let wanted = named("Employment").chain(["employee".to_owned()]);
                let known = |word: String| Employment::ALL.into_iter().find(|e| e.as_str() == word);
                let say = |e: Employment| format!("the account must say `{}`", e.as_str());
                wanted.filter_map(known).map(|e| self.change(say(e), Edit::Employment(e))).collect()
            }
            "contractEnd" => {
                let day = 1000 * i64::try_from(DAY).unwrap_or(i64::MAX);
                let end = UnixMillis((self.from.now.0.div_euclid(day) + 365) * day);
                let told = Timestamp::from_millisecond(end.0).map(|at| at.strftime("%Y-%m-%d").to_string());
                let what = |on| format!("the contract in the account must end later, such as on {on}");
                told.map(|on| self.change(what(on), Edit::ContractEnd(end))).into_iter().collect()
            }
            "homeCountry" => {
                let wanted = std::iter::once(self.from.place.country.to_string()).chain(named("Country"));
                let known =
                    |code: String| CountryCode::new(&code).ok().filter(|c| *c != CountryCode::UNKNOWN);
                let say = |c: CountryCode| format!("the account must say that their country is {c}");
                wanted.filter_map(known).map(|c| self.change(say(c), Edit::HomeCountry(c))).collect()
            }
            "department" => literals
                .iter()
                .filter_map(|literal| match literal {
                    Literal::String(name) => Some(name.to_string()),
                    Literal::EntityUID(_) | Literal::Bool(_) | Literal::Long(_) => None,
                })
                .take(NAMED_MAX)
                .map(|name| {
                    let what = format!("the account must say that the department is `{name}`");
                    self.change(what, Edit::Department(name))
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}

/// A time of day as policies write durations (`11h30m`), in whole minutes since midnight, told in seconds.
fn time_of_day(text: &str) -> Option<u64> {
    let (mut seconds, mut number) = (0_u64, String::new());
    for letter in text.chars() {
        let unit = match letter {
            '0'..='9' => {
                number.push(letter);
                continue;
            }
            'h' => HOUR,
            'm' => 60,
            _ => return None,
        };
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    (number.is_empty() && !text.is_empty() && seconds < DAY).then_some(seconds)
}

/// A moment as policies write it: a date, or a date with a time.
fn moment(text: &str) -> Option<i64> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    whole.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}
