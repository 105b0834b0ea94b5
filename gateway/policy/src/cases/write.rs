//! From a situation back to a case that somebody reads, runs and keeps.
//!
//! What is found by a solver, by a replay or in the shadow is shown as a case: it says only what differs
//! from the base, like one that a person wrote, and `doorward policy test` runs it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::principal::{User, UserId};
use doorward_model::{Compliance, LifecycleStage, Presence, Principal, Risk, RouteFacts, UnixMillis};
use toml::{Table, Value};

use super::resolve::{facts, route_id, user};
use super::{Cases, VISITOR, written};
use crate::question::Decision;
use crate::situation::Situation;

/// How many words about a person a case lays over somebody who is defined already, before it defines
/// another one.
const DIFFERS_MAX: usize = 3;

/// A case to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewCase<'a> {
    /// What it shows, in one line.
    pub name: &'a str,
    /// What happens.
    pub situation: &'a Situation,
    /// What must come of it.
    pub expect: Decision,
    /// The policies that must decide.
    pub by: &'a [Arc<str>],
}

impl Cases {
    /// The case as a text that can be put in a file of `cases/` beside these: the definitions that it
    /// needs and are not there, and itself.
    ///
    /// # Errors
    /// The route is defined here with other facts, so that no case can name it.
    pub fn write(&self, case: &NewCase<'_>) -> Result<String, String> {
        let mut text = String::new();
        let situation = case.situation;
        self.define_route(&situation.route, &mut text)?;
        let (who, differs) = self.define_principal(situation, &mut text);
        let _ = writeln!(text, "[[case]]\nname = {}", string(case.name));
        let _ = writeln!(text, "who = {}", string(&who));
        if let Some(differs) = differs.filter(|d| !d.is_empty()) {
            let _ = writeln!(text, "person = {}", Value::Table(differs));
        }
        let _ = writeln!(text, "does = \"{} {}\"", situation.action, situation.route.id);
        for (key, table) in self.circumstances(situation) {
            if !table.is_empty() {
                let _ = writeln!(text, "{key} = {}", Value::Table(table));
            }
        }
        if let Some(risk) = self.risk(situation.risk) {
            let _ = writeln!(text, "risk = {risk}");
        }
        if situation.granted != self.base.granted.unwrap_or(false) {
            let _ = writeln!(text, "granted = {}", situation.granted);
        }
        let by: Vec<Value> = case.by.iter().map(|id| Value::from(&**id)).collect();
        let _ = writeln!(text, "expect = \"{}\"\nby = {}", case.expect, Value::Array(by));
        Ok(text)
    }

    fn define_route(&self, route: &RouteFacts, text: &mut String) -> Result<(), String> {
        let name = route.id.as_str();
        match self.routes.get(name) {
            Some(known) if route_id(name).map(|id| facts(id, known)).as_ref() == Some(route) => Ok(()),
            Some(_) => Err(format!("the route `{name}` is defined with other facts in these cases")),
            None => {
                let _ = writeln!(text, "[route.{}]", string(name));
                if !route.app_groups.is_empty() {
                    let groups = route.app_groups.iter().map(|g| Value::from(g.as_str())).collect();
                    let _ = writeln!(text, "groups = {}", Value::Array(groups));
                }
                let _ = writeln!(text, "tier = \"{}\"", route.tier.as_str());
                if !route.scope.is_empty() {
                    let _ = writeln!(text, "scope = {}", string(&route.scope));
                }
                for (key, holds) in [("admin_surface", route.admin_surface), ("public", route.public)] {
                    if holds {
                        let _ = writeln!(text, "{key} = true");
                    }
                }
                text.push('\n');
                Ok(())
            }
        }
    }

    /// The name by which the case calls whoever asks, and what differs in them.
    fn define_principal(&self, situation: &Situation, text: &mut String) -> (String, Option<Table>) {
        match &*situation.principal {
            Principal::Visitor(_) => (VISITOR.to_owned(), None),
            Principal::User(person) => {
                let (name, differs) = self.define_person(person, text);
                (name, Some(differs))
            }
            Principal::Agent(agent) => {
                let (person, differs) = self.define_person(&agent.on_behalf_of, text);
                let name = self.free(&agent.id);
                let _ = writeln!(text, "[agent.{}]\nid = {}", key(&name), string(&agent.id.to_string()));
                let _ = writeln!(text, "on_behalf_of = {}\n{}", string(&person), scopes(&agent.scopes));
                (name, Some(differs))
            }
            Principal::ServiceAccount(account) => {
                let owner = self
                    .people
                    .iter()
                    .find(|(name, person)| user(name, person).is_ok_and(|owner| owner.id == account.owner));
                let owner = owner.map_or_else(
                    || {
                        let name = self.free(&account.owner);
                        let _ = writeln!(
                            text,
                            "[person.{}]\nid = {}\n",
                            key(&name),
                            string(&account.owner.to_string())
                        );
                        name
                    },
                    |(name, _)| name.clone(),
                );
                let name = self.free(&account.id);
                let _ = writeln!(
                    text,
                    "[service_account.{}]\nid = {}",
                    key(&name),
                    string(&account.id.to_string())
                );
                let _ = writeln!(text, "owner = {}", string(&owner));
                if account.stage != LifecycleStage::Active {
                    let _ = writeln!(text, "stage = \"{}\"", account.stage.as_str());
                }
                if situation.owner_stage != LifecycleStage::Unknown {
                    let _ = writeln!(text, "owner_stage = \"{}\"", situation.owner_stage.as_str());
                }
                let _ = writeln!(text, "{}", scopes(&account.scopes));
                (name, None)
            }
        }
    }

    /// Somebody who is defined already and differs in little, or a person of their own.
    fn define_person(&self, person: &User, text: &mut String) -> (String, Table) {
        let candidates = self.people.iter().filter_map(|(name, known)| {
            let known = user(name, known).ok()?;
            Some((name, differences(&known, person)))
        });
        let nearest = candidates.min_by_key(|(_, differs)| differs.len());
        if let Some((name, differs)) = nearest.filter(|(_, differs)| differs.len() <= DIFFERS_MAX) {
            return (name.clone(), differs);
        }
        let name = self.free(&person.id);
        let _ = writeln!(text, "[person.{}]", key(&name));
        let nobody = User {
            id: UserId::new(person.id.issuer().clone(), person.id.subject().clone()),
            name: None,
            email: None,
            groups: BTreeSet::new(),
            roles: BTreeSet::new(),
            stage: LifecycleStage::Active,
            employment: doorward_model::Employment::Unknown,
            contract_end: None,
            home_country: doorward_model::CountryCode::UNKNOWN,
            department: None,
            tags: std::collections::BTreeMap::new(),
        };
        let _ = writeln!(text, "id = {}", string(&person.id.to_string()));
        for (word, value) in differences(&nobody, person) {
            let _ = writeln!(text, "{word} = {value}");
        }
        text.push('\n');
        (name, Table::new())
    }

    /// A name of a definition that nobody has: made of the subject.
    fn free(&self, id: &UserId) -> String {
        let plain: String = id
            .subject()
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .take(40)
            .collect();
        let plain = plain.trim_matches('-');
        let plain = if plain.is_empty() { "somebody" } else { plain };
        let numbered = (2..).map(|n| format!("{plain}-{n}"));
        let mut names = std::iter::once(plain.to_owned()).chain(numbered);
        names.find(|name| !self.names.contains(name)).unwrap_or_else(|| plain.to_owned())
    }

    /// What differs from the base, by the table of a case.
    fn circumstances(&self, s: &Situation) -> [(&'static str, Table); 5] {
        let base = &self.base;
        let mut place = Differs::default();
        place.word("ip", s.place.ip.to_string(), base.place.ip.map(|ip| ip.to_string()));
        let zones =
            |zones: &BTreeSet<String>| Value::Array(zones.iter().map(|z| Value::from(z.as_str())).collect());
        place.value("zones", zones(&s.place.networks), zones(&base.place.zones.clone().unwrap_or_default()));
        let country = base.place.country.unwrap_or(doorward_model::CountryCode::UNKNOWN);
        place.word("country", s.place.country.as_str(), Some(country.as_str()));
        place.word(
            "continent",
            s.place.continent.as_deref().unwrap_or_default(),
            Some(said(&base.place.continent)),
        );
        let asn = base.place.asn.as_ref().and_then(|asn| asn.0);
        place.value("asn", i64::from(s.place.asn.unwrap_or(0)).into(), i64::from(asn.unwrap_or(0)).into());
        let known = base.place.anonymizer.unwrap_or(Presence::Unknown);
        place.word("anonymizer", presence(s.place.anonymizer), Some(presence(known)));

        let mut session = Differs::default();
        session.value("mfa", s.session.mfa.into(), base.session.mfa.unwrap_or(false).into());
        let phishing_resistant = base.session.phishing_resistant.unwrap_or(false);
        session.value("phishing_resistant", s.session.phishing_resistant.into(), phishing_resistant.into());
        session.word("age", ago(s.session.authenticated_at, s.now), Some(written_age(base.session.age)));
        session.word("mfa_age", ago(s.session.mfa_at, s.now), Some(written_age(base.session.mfa_age)));

        let mut device = Differs::default();
        let id = base.device.id.as_ref().and_then(|id| id.0.as_ref()).map_or("", |id| id.as_str());
        device.word("id", s.device.id.as_ref().map_or("", |id| id.as_str()), Some(id));
        device.value("managed", s.device.managed.into(), base.device.managed.unwrap_or(false).into());
        let compliant = base.device.compliant.unwrap_or_default();
        device.word("compliant", compliance(s.device.compliance), Some(compliance(compliant)));
        device.word(
            "platform",
            s.device.platform.as_deref().unwrap_or_default(),
            Some(said(&base.device.platform)),
        );
        let assurance = base.device.assurance.unwrap_or_default();
        device.word("assurance", s.device.assurance.as_str(), Some(assurance.as_str()));
        let owner = base.device.owner_matches.unwrap_or(false);
        device.value("owner_matches", s.device.owner_matches.into(), owner.into());
        device.word(
            "posture_age",
            ago(s.device.asserted_at, s.now),
            Some(written_age(base.device.posture_age)),
        );

        let (mut time, mut base_time) = (Differs::default(), base.time.clone());
        if base.time.now.map(|now| now.0) != Some(s.now)
            && let Some(now) = moment(s.now)
        {
            time.0.insert("now".to_owned(), now);
            // What goes with a moment need not be said.
            base_time = written::Time { now: Some(written::Moment(s.now)), ..written::Time::default() }
                .after(&base_time);
        }
        time.word("local", time_of_day(s.local_time), base_time.local.map(|local| time_of_day(local.0)));
        time.word("weekday", s.weekday.as_str(), base_time.weekday.map(|day| day.as_str()));

        let mut http = Differs::default();
        http.word("host", &s.host, Some(base.http.host.as_deref().unwrap_or("app.example")));
        http.word("path", &s.path, Some(base.http.path.as_deref().unwrap_or("/")));
        http.word(
            "user_agent",
            s.user_agent.as_deref().unwrap_or_default(),
            Some(said(&base.http.user_agent)),
        );
        [("place", place.0), ("session", session.0), ("device", device.0), ("time", time.0), ("http", http.0)]
    }

    /// The risk, where it differs from the base.
    fn risk(&self, risk: Risk) -> Option<Value> {
        let base = match self.base.risk {
            Some(written::Score::Known(score)) => Risk::scored(score.0),
            Some(written::Score::Explained(why)) => Risk::explained(why.score.0, why.reasons.0),
            Some(written::Score::Unknown(written::Nobody::Unknown)) | None => Risk::UNKNOWN,
        };
        let reasons: Vec<Value> =
            risk.reasons().iter().map(|(reason, _)| Value::from(reason.as_str())).collect();
        if risk == base {
            return None;
        }
        Some(match risk.score() {
            None => Value::from("unknown"),
            Some(score) if reasons.is_empty() => Value::from(i64::from(score)),
            Some(score) => {
                let mut table = Table::new();
                table.insert("score".to_owned(), i64::from(score).into());
                table.insert("reasons".to_owned(), Value::Array(reasons));
                Value::Table(table)
            }
        })
    }
}

/// The words in which a case differs from the base.
#[derive(Default)]
struct Differs(Table);

impl Differs {
    fn value(&mut self, word: &str, is: Value, base: Value) {
        if is != base {
            self.0.insert(word.to_owned(), is);
        }
    }

    fn word(&mut self, word: &str, is: impl AsRef<str>, base: Option<impl AsRef<str>>) {
        if base.as_ref().map(AsRef::as_ref) != Some(is.as_ref()) {
            self.0.insert(word.to_owned(), Value::from(is.as_ref()));
        }
    }
}

/// What has to be written over `known` so that it is `person`.
fn differences(known: &User, person: &User) -> Table {
    let list =
        |all: &BTreeSet<String>| Value::Array(all.iter().map(|one| Value::from(one.as_str())).collect());
    let mut differs = Differs::default();
    differs.word("id", person.id.to_string(), Some(known.id.to_string()));
    differs.value("groups", list(&person.groups), list(&known.groups));
    differs.value("roles", list(&person.roles), list(&known.roles));
    differs.word("stage", person.stage.as_str(), Some(known.stage.as_str()));
    differs.word("employment", person.employment.as_str(), Some(known.employment.as_str()));
    let end = |end: Option<UnixMillis>| end.and_then(moment).unwrap_or_else(|| Value::from(""));
    differs.value("contract_end", end(person.contract_end), end(known.contract_end));
    differs.word("home_country", person.home_country.as_str(), Some(known.home_country.as_str()));
    let department = |user: &User| user.department.clone().unwrap_or_default();
    differs.word("department", department(person), Some(department(known)));
    let tags = |user: &User| {
        Value::Table(user.tags.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect())
    };
    differs.value("tags", tags(person), tags(known));
    differs.0
}

fn scopes(scopes: &BTreeSet<String>) -> String {
    let list = scopes.iter().map(|scope| Value::from(scope.as_str())).collect();
    format!("scopes = {}\n", Value::Array(list))
}

fn string(text: &str) -> String {
    Value::from(text).to_string()
}

/// A key of TOML: bare where it may be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if bare { name.to_owned() } else { string(name) }
}

fn said(written: &Option<written::Maybe<String>>) -> &str {
    written.as_ref().and_then(|maybe| maybe.0.as_deref()).unwrap_or_default()
}

const fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Yes => "yes",
        Presence::No => "no",
        Presence::Unknown => "unknown",
    }
}

const fn compliance(compliance: Compliance) -> &'static str {
    match compliance {
        Compliance::Compliant => "yes",
        Compliance::NotCompliant => "no",
        Compliance::Unknown => "unknown",
    }
}

/// How long before `now` something was, in the coarsest unit that says it exactly.
fn ago(at: Option<UnixMillis>, now: UnixMillis) -> String {
    at.map_or_else(|| "never".to_owned(), |at| span(now.since(at)))
}

fn written_age(age: Option<written::Age>) -> String {
    age.and_then(|age| age.0).map_or_else(|| "never".to_owned(), span)
}

fn span(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        s if s.is_multiple_of(86_400) => format!("{}d", s / 86_400),
        s if s.is_multiple_of(3600) => format!("{}h", s / 3600),
        s if s.is_multiple_of(60) => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

fn time_of_day(since_midnight: Duration) -> String {
    let seconds = since_midnight.as_secs();
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// A point in time as TOML writes it, to the second.
fn moment(at: UnixMillis) -> Option<Value> {
    let at = jiff::Timestamp::from_second(at.seconds()).ok()?;
    at.to_string().parse::<toml::value::Datetime>().ok().map(Value::Datetime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::{Case, read};
    use crate::failure::SourceFile;

    const BASE: &str = include_str!("../../../../policies/cases/base.toml");

    fn of(files: &[(&str, &str)]) -> Cases {
        let mut findings = Vec::new();
        let files: Vec<_> =
            files.iter().map(|(path, text)| SourceFile::new((*path).into(), (*text).into())).collect();
        let cases = read(&files, &[], None, &mut findings);
        assert_eq!(crate::failure::plain(&findings), "");
        cases
    }

    fn only(cases: &Cases) -> Situation {
        let mut all: Vec<Case<'_>> = cases.iter().collect();
        assert_eq!(all.len(), 1);
        all.remove(0).situation.unwrap()
    }

    /// Every case that comes with Doorward, and some that leave nothing as it is.
    #[test]
    fn what_is_written_is_read_as_what_it_was() {
        let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/cases");
        let mut files = vec![("cases/base.toml".to_owned(), BASE.to_owned())];
        for entry in std::fs::read_dir(shipped).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("cases/{}", path.file_name().unwrap().to_str().unwrap());
            if name != "cases/base.toml" {
                files.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
        let odd = r#"
[person."Ødd one"]
id = "other:Ødd \"one\""
groups = ["a", "b \\ c"]
roles = ["hr"]
stage = "leave"
employment = "partner"
contract_end = 2026-03-04T10:00:00Z
home_country = "FR"
department = "x"
tags = { costCenter = "42", "a b" = "c" }
[agent."Ødd agent"]
on_behalf_of = "Ødd one"
[[case]]
name = "odd"
who = "Ødd agent"
does = "UPGRADE odd/all"
expect = "deny"
by = []
place = { ip = "2001:db8::1", zones = [], country = "ZZ", continent = "EU", asn = 64496, anonymizer = "unknown" }
session = { mfa = false, phishing_resistant = false, age = "never", mfa_age = "61s" }
device = { id = "", managed = false, compliant = "no", platform = "", assurance = "mtls", owner_matches = true, posture_age = "2h" }
risk = { score = 35, reasons = ["new_country"] }
time = { now = 2026-03-05T11:00:01Z, local = "23:59:59", weekday = "wed" }
http = { host = "x.example", path = "/a\"b", user_agent = "" }
granted = true
[route."odd/all"]
tier = "public"
public = true
"#;
        files.push(("cases/odd.toml".to_owned(), odd.to_owned()));
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let all = of(&files);
        let base = of(&[("cases/base.toml", BASE)]);
        assert!(all.len() > 60);
        for case in all.iter() {
            let situation = case.situation.unwrap();
            let by = [Arc::from("some.policy")];
            let new = NewCase { name: case.name, situation: &situation, expect: Decision::Deny, by: &by };
            let text = base.write(&new).unwrap();
            let read = of(&[("cases/base.toml", BASE), ("cases/new.toml", &text)]);
            assert_eq!(only(&read), situation, "{text}");
        }
    }

    #[test]
    fn a_case_says_only_what_differs() {
        let base = of(&[("cases/base.toml", BASE)]);
        let text = "[[case]]\nname = \"x\"\nwho = \"alice\"\nperson = { roles = [\"hr\"] }\ndoes = \"GET payroll/all\"\n\
                    place = { country = \"FR\" }\nexpect = \"allow\"\nby = [\"payroll.hr\"]\n";
        let situation = only(&of(&[("cases/base.toml", BASE), ("cases/x.toml", text)]));
        let by = [Arc::from("payroll.hr")];
        let new = NewCase { name: "x", situation: &situation, expect: Decision::Allow, by: &by };
        assert_eq!(base.write(&new).unwrap(), text);
    }

    #[test]
    fn a_route_of_another_kind_has_no_case() {
        let base = of(&[("cases/base.toml", BASE)]);
        let text = "[[case]]\nname = \"x\"\nwho = \"visitor\"\ndoes = \"GET wiki/all\"\nexpect = \"allow\"\n";
        let mut situation = only(&of(&[("cases/base.toml", BASE), ("cases/x.toml", text)]));
        situation.route.public = true;
        let new = NewCase { name: "x", situation: &situation, expect: Decision::Allow, by: &[] };
        assert!(base.write(&new).unwrap_err().contains("`wiki/all` is defined with other facts"));
    }
}
