//! A week of a company of 500 people and 20 apps, made of a seed: the same seed, the same week.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use doorward_audit::trail::HttpVersion;
use doorward_audit::{Arrival, Ending, Event, Outcome, Ruling, Trail};
use doorward_model::principal::{Agent, ServiceAccount, Visitor};
use doorward_model::{
    AppId, Assurance, Compliance, CountryCode, DeviceAssurance, DeviceId, DevicePosture, Employment,
    LifecycleStage, Place, Presence, Principal, Refusal, RefusalCode, Risk, RiskReason, RiskReasons,
    RouteFacts, RouteId, Tier, UnixMillis, User, Weekday,
};
use doorward_policy::{Action, Decision, PolicyBundle, Situation, record};

use super::company::{APPS, ROLES};

/// Monday, 2024-11-18, 00:00: long ago, so that every file of the log is younger.
pub(crate) const BEGIN: UnixMillis = UnixMillis(1_731_888_000_000);
const WEEK_MILLIS: u64 = 7 * 86_400_000;
const PEOPLE: usize = 500;
const MACHINES: usize = 12;

/// Random numbers (SplitMix64), the same for the same seed everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

struct Person {
    principal: Arc<Principal>,
    device: DevicePosture,
    places: Vec<Place>,
    /// How they sign in: mostly with a second factor, some with a key.
    key: bool,
    signed_in: UnixMillis,
    mfa_at: Option<UnixMillis>,
}

/// The company and its week.
pub(crate) struct Week {
    dice: Dice,
    people: Vec<Person>,
    machines: Vec<(Arc<Principal>, LifecycleStage, Place)>,
    routes: Vec<RouteFacts>,
    step_millis: u64,
    at: u64,
}

impl Week {
    /// A week with so many requests.
    pub(crate) fn new(seed: u64, requests: usize) -> Self {
        let mut dice = Dice(seed);
        let people: Vec<Person> = (0..PEOPLE).map(|n| person(n, &mut dice)).collect();
        let machines = (0..MACHINES).map(|n| machine(n, &people, &mut dice)).collect();
        let routes = (0..APPS).flat_map(routes_of).collect();
        Self { dice, people, machines, routes, step_millis: WEEK_MILLIS / requests as u64, at: 0 }
    }

    /// The next request.
    pub(crate) fn next(&mut self) -> Situation {
        let dice = &mut self.dice;
        self.at += self.step_millis;
        let now =
            UnixMillis(BEGIN.0 + i64::try_from(self.at + dice.roll() % self.step_millis.max(1)).unwrap());
        let seconds = u64::try_from(now.seconds()).unwrap();
        // The epoch was a Thursday.
        let weekday = Weekday::ALL[usize::try_from((seconds / 86_400 + 3) % 7).unwrap()];
        let busy = if dice.chance(60) { PEOPLE / 5 } else { PEOPLE };
        let who = dice.below(busy);
        // Everybody has a few apps that they use all day, and looks at others now and then.
        let often = (who * 7 + dice.below(4) * 5) % self.routes.len();
        let route = self.routes[if dice.chance(85) { often } else { dice.below(self.routes.len()) }].clone();
        let action = match dice.below(100) {
            0..78 => Action::Get,
            78..92 => Action::Post,
            92..95 => Action::Put,
            95..97 => Action::Delete,
            97..99 => Action::Head,
            _ => Action::Upgrade,
        };
        let path = match dice.below(10) {
            0 => format!("/export/{}", dice.below(50)),
            1..4 => "/".to_owned(),
            _ => format!("/documents/{}", dice.below(400)),
        };
        let mut situation = Situation {
            principal: Arc::new(Principal::Visitor(Visitor)),
            owner_stage: LifecycleStage::Unknown,
            granted: false,
            action,
            host: format!("{}.corp.example", route.id.app()),
            route,
            session: Assurance::default(),
            device: DevicePosture::default(),
            place: office(),
            risk: Risk::scored(0),
            now,
            local_time: Duration::from_secs(seconds % 86_400),
            weekday,
            path,
            user_agent: Some(
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned(),
            ),
        };
        match dice.below(100) {
            0..3 => situation.place = abroad(dice),
            3..10 => {
                let (principal, owner_stage, place) = dice.pick(&self.machines);
                (situation.principal, situation.owner_stage, situation.place) =
                    (principal, owner_stage, place);
                situation.user_agent = Some("machine/1".to_owned());
            }
            _ => {
                acts(&mut self.people[who], dice, &mut situation);
            }
        }
        situation
    }
}

fn acts(person: &mut Person, dice: &mut Dice, situation: &mut Situation) {
    let now = situation.now;
    if now.since(person.signed_in) > Duration::from_secs(13 * 3600) || dice.below(400) == 0 {
        person.signed_in = now;
        person.mfa_at = dice.chance(97).then_some(now);
    }
    situation.principal = Arc::clone(&person.principal);
    situation.session = Assurance {
        mfa: person.mfa_at.is_some(),
        phishing_resistant: person.key && person.mfa_at.is_some(),
        authenticated_at: Some(person.signed_in),
        mfa_at: person.mfa_at,
    };
    situation.device = person.device.clone();
    situation.place = if dice.below(300) == 0 { abroad(dice) } else { dice.pick(&person.places) };
    situation.granted = dice.chance(4);
    situation.risk = match dice.below(200) {
        0 => Risk::UNKNOWN,
        1 => Risk::scored(75),
        2..6 => {
            let mut reasons = RiskReasons::default();
            reasons.add(RiskReason::NewCountry, 25);
            reasons.add(RiskReason::NewNetwork, 10);
            Risk::explained(35, reasons)
        }
        n => Risk::scored(if n < 40 { 10 } else { 0 }),
    };
}

fn place(ip: Ipv4Addr, country: &str, zones: &[&str]) -> Place {
    Place {
        ip: IpAddr::V4(ip),
        networks: zones.iter().map(|zone| (*zone).to_owned()).collect(),
        country: CountryCode::new(country).unwrap(),
        continent: Some("EU".to_owned()),
        asn: Some(64_500),
        anonymizer: Presence::No,
        location: None,
    }
}

fn office() -> Place {
    place(Ipv4Addr::new(10, 1, 0, 1), "DE", &["corp"])
}

fn abroad(dice: &mut Dice) -> Place {
    let country = dice.pick(&["US", "BR", "FR", "ZZ", "KP"]);
    place(Ipv4Addr::new(203, 0, 113, u8::try_from(dice.below(40)).unwrap()), country, &[])
}

fn user(n: usize, dice: &mut Dice) -> User {
    let employment = match dice.below(20) {
        0..17 => Employment::Employee,
        17..19 => Employment::Contractor,
        _ => Employment::Partner,
    };
    let end = BEGIN.plus(Duration::from_millis(dice.roll() % (2 * WEEK_MILLIS)));
    let mut roles: BTreeSet<String> =
        (0..=dice.below(3)).map(|_| format!("r{}", dice.below(ROLES))).collect();
    if n.is_multiple_of(50) {
        roles.insert("admin".to_owned());
    }
    User {
        id: format!("corp:p{n:03}").parse().unwrap(),
        name: Some(format!("Person {n}")),
        email: Some(format!("p{n:03}@corp.example")),
        groups: (0..4 + dice.below(16)).map(|_| format!("group-{:03}", dice.below(200))).collect(),
        roles,
        stage: if n % 97 == 5 { LifecycleStage::Suspended } else { LifecycleStage::Active },
        employment,
        contract_end: (employment != Employment::Employee && dice.chance(90)).then_some(end),
        home_country: CountryCode::new(dice.pick(&["DE", "FR", "PL"])).unwrap(),
        department: Some(format!("department-{}", n % 12)),
        tags: Default::default(),
    }
}

fn person(n: usize, dice: &mut Dice) -> Person {
    let managed = dice.chance(90);
    let compliance = match dice.below(20) {
        0..17 => Compliance::Compliant,
        17..19 => Compliance::NotCompliant,
        _ => Compliance::Unknown,
    };
    let home = Ipv4Addr::new(198, 51, u8::try_from(n / 250).unwrap(), u8::try_from(n % 250).unwrap());
    let mut places = vec![office(), place(home, "DE", &[])];
    if dice.chance(40) {
        places.push(place(Ipv4Addr::new(10, 9, 0, u8::try_from(n % 250).unwrap()), "DE", &["vpn"]));
    }
    Person {
        principal: Arc::new(Principal::User(user(n, dice))),
        device: DevicePosture {
            id: Some(DeviceId::new(&format!("laptop-{n}")).unwrap()),
            managed,
            compliance,
            platform: Some(dice.pick(&["linux", "macos", "windows"]).to_owned()),
            assurance: DeviceAssurance::Cookie,
            owner_matches: true,
            asserted_at: Some(BEGIN),
        },
        places,
        key: dice.chance(50),
        signed_in: UnixMillis(0),
        mfa_at: None,
    }
}

fn machine(n: usize, people: &[Person], dice: &mut Dice) -> (Arc<Principal>, LifecycleStage, Place) {
    let id = format!("corp:machine-{n}").parse().unwrap();
    let Principal::User(owner) = &*people[dice.below(PEOPLE)].principal else { panic!("a person") };
    let scopes = (0..3).map(|_| format!("app{:02}", dice.below(APPS))).collect();
    let at = if n.is_multiple_of(6) { abroad(dice) } else { office() };
    if n.is_multiple_of(2) {
        let account = ServiceAccount { id, owner: owner.id.clone(), scopes, stage: LifecycleStage::Active };
        (Arc::new(Principal::ServiceAccount(account)), owner.stage, at)
    } else {
        let agent = Agent { id, on_behalf_of: owner.clone(), scopes };
        (Arc::new(Principal::Agent(agent)), LifecycleStage::Unknown, at)
    }
}

fn routes_of(app: usize) -> Vec<RouteFacts> {
    let name = format!("app{app:02}");
    let tier = Tier::ALL[1 + app % 3];
    let route = |route: &str, tier, admin_surface, public| RouteFacts {
        id: RouteId::new(AppId::new(&name).unwrap(), route).unwrap(),
        app_groups: vec![if app < 8 { "engineering" } else { "business" }.to_owned()],
        tier,
        scope: name.clone(),
        admin_surface,
        public,
    };
    let mut routes = vec![route("all", tier, false, false)];
    if app.is_multiple_of(4) {
        routes.push(route("admin", Tier::Restricted, true, false));
    }
    if app == 0 {
        routes.push(route("welcome", Tier::Public, false, true));
    }
    routes
}

/// The event of a request that these policies decide, as the gateway records it.
pub(crate) fn event(number: usize, situation: &Situation, bundle: &PolicyBundle) -> Event {
    let verdict = bundle.decide(&situation.question());
    let refusal = verdict.refusal.clone();
    let ruling = Ruling {
        outcome: match verdict.decision {
            Decision::Allow => Outcome::Allowed,
            Decision::Deny => {
                Outcome::Denied(refusal.as_ref().map_or(RefusalCode::NoPermit, |refusal| refusal.code))
            }
        },
        determining: verdict.determining,
        errors: verdict.errors.into_iter().map(|(id, why)| format!("{id}: {why}")).collect(),
        latency_micros: 57,
        revision: verdict.revision.to_string().into(),
        situation: Some(record::write(&situation.question()).into()),
    };
    told(number, situation, ruling, refusal)
}

fn told(number: usize, situation: &Situation, ruling: Ruling, refusal: Option<Refusal>) -> Event {
    let mut trail = Trail::begin(Arrival {
        request_id: &format!("req-{number:08}").into(),
        received_at: situation.now,
        method: if situation.action == Action::Upgrade { "GET" } else { situation.action.as_str() },
        host: &situation.host,
        path: &situation.path,
        http_version: HttpVersion::Http2,
        user_agent: situation.user_agent.as_deref().map(str::as_bytes),
        peer: situation.place.ip,
        trace: None,
    });
    trail.routed(&situation.route.id);
    trail.identified(Arc::clone(&situation.principal), None, situation.session, &situation.device);
    trail.located(situation.place.clone());
    trail.risked(situation.risk);
    trail.decided(ruling);
    if let Some(refusal) = &refusal {
        trail.refused(refusal);
    }
    trail.answered(if refusal.is_some() { 403 } else { 200 });
    trail.finished(Ending::Completed, 512, 18_230, Duration::from_millis(12));
    Event::RequestDecided(Box::new(trail))
}
