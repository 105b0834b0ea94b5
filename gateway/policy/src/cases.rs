//! What must be allowed and what must not, written down beside the policies.
//!
//! The cases are run through the same [`PolicyBundle::decide`] as a request, on the bundle that
//! would be put in force. One case that does not hold, and it is not.

mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_model::principal::{Agent, ServiceAccount, User, UserId, Visitor};
use doorward_model::{
    AppId, Assurance, CountryCode, DevicePosture, Employment, IssuerId, LifecycleStage, Place, Presence,
    Principal, Risk, RouteFacts, RouteId, SubjectId, Tier, UnixMillis,
};
use toml::Spanned;

use crate::bundle::PolicyBundle;
use crate::failure::{Finding, SourceFile, Span};
use crate::known::Known;
use crate::question::{Action, Decision, Question, Verdict};

/// The file that says what holds in all files.
const BASE: &str = "cases/base.toml";
/// Who signed in as nobody.
const VISITOR: &str = "visitor";
/// The issuer of people whose `id` is not written.
const ISSUER: &str = "corp";

/// All cases of a folder.
#[derive(Debug)]
pub(crate) struct Cases {
    base: written::Situation,
    /// Everybody's name. A case says only that, so that it must not stand for two.
    names: BTreeSet<String>,
    people: BTreeMap<String, written::Person>,
    accounts: BTreeMap<String, written::ServiceAccount>,
    agents: BTreeMap<String, written::Agent>,
    routes: BTreeMap<String, written::Route>,
    files: Vec<CaseFile>,
}

/// The cases of one file.
#[derive(Debug)]
struct CaseFile {
    source: Arc<SourceFile>,
    base: written::Situation,
    cases: Vec<Spanned<written::Case>>,
}

/// Reads the files of cases.
pub(crate) fn read(files: &[Arc<SourceFile>], known: Option<&Known>, findings: &mut Vec<Finding>) -> Cases {
    let mut all = Cases {
        base: written::Situation::default(),
        names: BTreeSet::from([VISITOR.to_owned()]),
        people: BTreeMap::new(),
        accounts: BTreeMap::new(),
        agents: BTreeMap::new(),
        routes: BTreeMap::new(),
        files: Vec::new(),
    };
    for source in files {
        match toml::from_str::<written::File>(&source.text) {
            Ok(file) => all.add(source, file, known, findings),
            Err(e) => {
                let span = e.span().map(|s| Span { start: s.start, len: s.len() });
                let help = "the words of a case are in the README of the policies";
                findings.push(Finding::new(e.message().trim_end()).at(source, span).help(help));
            }
        }
    }
    all
}

/// Takes the definitions of one file into those of all; a name stands for one thing.
fn define<T>(
    into: &mut BTreeMap<String, T>,
    names: &mut BTreeSet<String>,
    from: BTreeMap<String, Spanned<T>>,
    source: &Arc<SourceFile>,
    findings: &mut Vec<Finding>,
) {
    for (name, value) in from {
        let span = span(&value);
        let taken = !names.insert(name.clone());
        into.insert(name.clone(), value.into_inner());
        if taken {
            let finding = Finding::new(format!("`{name}` is defined twice")).at(source, Some(span));
            findings.push(finding.help("a name means the same in all files of cases; choose another"));
        }
    }
}

fn span<T>(of: &Spanned<T>) -> Span {
    let range = of.span();
    Span { start: range.start, len: range.len() }
}

impl Cases {
    fn add(
        &mut self,
        source: &Arc<SourceFile>,
        file: written::File,
        known: Option<&Known>,
        findings: &mut Vec<Finding>,
    ) {
        if let Some(known) = known {
            file.route.iter().for_each(|(name, route)| findings.extend(unreal(name, route, source, known)));
        }
        let names = &mut self.names;
        define(&mut self.people, names, file.person, source, findings);
        define(&mut self.accounts, names, file.service_account, source, findings);
        define(&mut self.agents, names, file.agent, source, findings);
        let mut routes = self.routes.keys().cloned().collect();
        define(&mut self.routes, &mut routes, file.route, source, findings);
        if source.path == BASE {
            self.base = file.base.clone();
        }
        self.files.push(CaseFile { source: Arc::clone(source), base: file.base, cases: file.case });
    }

    /// How many cases there are.
    pub(crate) fn len(&self) -> usize {
        self.files.iter().map(|f| f.cases.len()).sum()
    }

    /// Asks the bundle about every case; adds a finding for each that does not hold.
    pub(crate) fn run(&self, bundle: &PolicyBundle, findings: &mut Vec<Finding>) {
        for file in &self.files {
            for spanned in &file.cases {
                let case = spanned.get_ref();
                let outcome = self.ask(bundle, file, case).and_then(|v| compare(case, &v));
                if let Err((message, help)) = outcome {
                    let whole = span(spanned);
                    let mark = Span { start: whole.start, len: 0 };
                    let message = format!("case `{}`: {message}", case.name);
                    findings.push(Finding::new(message).at(&file.source, Some(mark)).help(help));
                }
            }
        }
    }

    fn ask(&self, bundle: &PolicyBundle, file: &CaseFile, case: &written::Case) -> Result<Verdict, Wrong> {
        let (principal, owner_stage) = self.who(case)?;
        let (action, route) = self.does(&case.does)?;
        let place = case.place.over(&file.base.place.over(&self.base.place));
        let session = case.session.over(&file.base.session.over(&self.base.session));
        let device = case.device.over(&file.base.device.over(&self.base.device));
        let time = case.time.over(&file.base.time.over(&self.base.time));
        let http = case.http.over(&file.base.http.over(&self.base.http));
        let now = needed(time.now, "time.now")?.0;
        let ago = |age: Option<written::Age>| age.and_then(|a| a.0).map(|d| now.minus(d));
        let question = Question {
            principal: &principal,
            owner_stage,
            action,
            route: &route,
            session: &Assurance {
                mfa: session.mfa.unwrap_or(false),
                phishing_resistant: session.phishing_resistant.unwrap_or(false),
                authenticated_at: ago(session.age),
                mfa_at: ago(session.mfa_age),
            },
            device: &DevicePosture {
                id: device.id,
                managed: device.managed.unwrap_or(false),
                compliance: device.compliant.unwrap_or_default(),
                platform: device.platform,
            },
            place: &Place {
                ip: needed(place.ip, "place.ip")?,
                networks: place.zones.unwrap_or_default(),
                country: place.country.unwrap_or(CountryCode::UNKNOWN),
                continent: place.continent,
                asn: place.asn,
                anonymizer: place.anonymizer.unwrap_or(Presence::Unknown),
            },
            risk: match case.risk.or(file.base.risk).or(self.base.risk) {
                Some(written::Score::Known(score)) => Risk::scored(score.0),
                Some(written::Score::Unknown(written::Nobody::Unknown)) | None => Risk::UNKNOWN,
            },
            now,
            local_time: needed(time.local, "time.local")?.0,
            weekday: needed(time.weekday, "time.weekday")?,
            host: http.host.as_deref().unwrap_or("app.example"),
            path: http.path.as_deref().unwrap_or("/"),
            user_agent: http.user_agent.as_deref(),
        };
        Ok(bundle.decide(&question))
    }

    fn who(&self, case: &written::Case) -> Result<(Arc<Principal>, LifecycleStage), Wrong> {
        let name = case.who.as_str();
        let mut owner_stage = LifecycleStage::Unknown;
        let differs =
            |person| case.person.as_ref().map_or_else(|| written::Person::clone(person), |d| d.over(person));
        if case.person.is_some() && !self.people.contains_key(name) && !self.agents.contains_key(name) {
            let help = "remove `person`, or define another program in `cases/base.toml`";
            return Err((format!("`{name}` is no person, so that nothing differs in one"), help.to_owned()));
        }
        let principal = if let Some(person) = self.people.get(name) {
            Principal::User(user(name, &differs(person))?)
        } else if let Some(account) = self.accounts.get(name) {
            owner_stage = account.owner_stage.unwrap_or(LifecycleStage::Unknown);
            Principal::ServiceAccount(ServiceAccount {
                id: id(name)?,
                owner: self.person(&account.owner)?.id,
                scopes: account.scopes.clone(),
                stage: account.stage.unwrap_or(LifecycleStage::Active),
            })
        } else if let Some(agent) = self.agents.get(name) {
            let person = self.people.get(&agent.on_behalf_of).ok_or_else(|| nobody(&agent.on_behalf_of))?;
            let on_behalf_of = user(&agent.on_behalf_of, &differs(person))?;
            Principal::Agent(Agent { id: id(name)?, on_behalf_of, scopes: agent.scopes.clone() })
        } else if name == VISITOR {
            Principal::Visitor(Visitor)
        } else {
            return Err(nobody(name));
        };
        Ok((Arc::new(principal), owner_stage))
    }

    fn person(&self, name: &str) -> Result<User, Wrong> {
        user(name, self.people.get(name).ok_or_else(|| nobody(name))?)
    }

    fn does(&self, does: &str) -> Result<(Action, RouteFacts), Wrong> {
        let wrong = || {
            let help = "write an action and a route, such as `GET payroll/all`; `UPGRADE` opens a WebSocket";
            (format!("`{does}` is not something that can be done"), help.to_owned())
        };
        let (word, name) = does.split_once(' ').ok_or_else(wrong)?;
        let action = Action::ALL.into_iter().find(|a| a.as_str() == word).ok_or_else(wrong)?;
        let id = route_id(name).ok_or_else(wrong)?;
        let written = self.routes.get(name).ok_or_else(|| {
            let help = format!("define `[route.\"{name}\"]` in `{BASE}`, as it is in the configuration");
            (format!("nobody says what the route `{name}` is"), help)
        })?;
        Ok((action, facts(id, written)))
    }
}

fn route_id(name: &str) -> Option<RouteId> {
    let (app, route) = name.split_once('/')?;
    AppId::new(app).and_then(|app| RouteId::new(app, route)).ok()
}

fn facts(id: RouteId, written: &written::Route) -> RouteFacts {
    RouteFacts {
        id,
        app_groups: written.groups.clone(),
        tier: written.tier.unwrap_or(Tier::Internal),
        scope: written.scope.clone(),
        admin_surface: written.admin_surface,
        public: written.public,
    }
}

/// A finding about a route that is in the configuration as another one than here: its cases would
/// hold for something that does not exist.
fn unreal(
    name: &str,
    route: &Spanned<written::Route>,
    source: &Arc<SourceFile>,
    known: &Known,
) -> Option<Finding> {
    let real = known.differs(&facts(route_id(name)?, route.get_ref()))?;
    let message = format!("the route `{name}` is not as in the configuration, which says {real}");
    let finding = Finding::new(message).at(source, Some(span(route)));
    Some(finding.help("write the same in both; cases about another route prove nothing"))
}

/// What is wrong with a case, and how to mend it.
type Wrong = (String, String);

fn needed<T>(value: Option<T>, key: &str) -> Result<T, Wrong> {
    value.ok_or_else(|| (format!("`{key}` is not written"), format!("write it in the case or in `{BASE}`")))
}

fn nobody(name: &str) -> Wrong {
    let help =
        format!("define `[person.{name}]`, `[service_account.{name}]` or `[agent.{name}]` in `{BASE}`");
    (format!("nobody says who `{name}` is"), help)
}

fn id(name: &str) -> Result<UserId, Wrong> {
    let made = IssuerId::new(ISSUER).and_then(|issuer| Ok(UserId::new(issuer, SubjectId::new(name)?)));
    made.map_err(|e| (e.to_string(), "choose another name".to_owned()))
}

/// A person, active unless written otherwise; everything else is unknown unless written.
fn user(name: &str, person: &written::Person) -> Result<User, Wrong> {
    Ok(User {
        id: person.id.clone().map_or_else(|| id(name), Ok)?,
        name: None,
        email: None,
        groups: person.groups.clone().unwrap_or_default(),
        roles: person.roles.clone().unwrap_or_default(),
        stage: person.stage.unwrap_or(LifecycleStage::Active),
        employment: person.employment.unwrap_or(Employment::Unknown),
        contract_end: person.contract_end.map(|m: written::Moment| -> UnixMillis { m.0 }),
        home_country: person.home_country.unwrap_or(CountryCode::UNKNOWN),
        department: person.department.clone(),
        tags: person.tags.clone().unwrap_or_default(),
    })
}

fn compare(case: &written::Case, verdict: &Verdict) -> Result<(), Wrong> {
    let got: BTreeSet<&str> = verdict.determining.iter().map(|id| id.as_ref()).collect();
    let by = |ids: &BTreeSet<&str>| match (ids.is_empty(), verdict.errors.is_empty()) {
        (true, true) => "because nothing permits it".to_owned(),
        (true, false) => "because a policy could not be evaluated".to_owned(),
        (false, _) => format!("by {}", ids.iter().copied().collect::<Vec<_>>().join(", ")),
    };
    let outcome = format!("got {} {}", verdict.decision, by(&got));
    let detail = verdict.refusal.as_ref().map(|r| r.to_string()).unwrap_or_default();
    if verdict.decision != case.expect || !verdict.errors.is_empty() {
        let help = if detail.is_empty() { "mend the policy, or the case".to_owned() } else { detail };
        return Err((format!("expected {}, {outcome}", case.expect), help));
    }
    let Some(expected) = &case.by else {
        return match case.expect {
            Decision::Allow => Ok(()),
            Decision::Deny => {
                let help =
                    "write `by = [\"the-policy\"]`, or `by = []` if it is only that nothing permits it";
                Err((format!("does not say which policy denies; {outcome}"), help.to_owned()))
            }
        };
    };
    let expected: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    if expected == got {
        return Ok(());
    }
    let message = format!("expected {} {}, {outcome}", case.expect, by(&expected));
    Err((message, "the decision is right, its reason is not: mend the policy, or `by`".to_owned()))
}
