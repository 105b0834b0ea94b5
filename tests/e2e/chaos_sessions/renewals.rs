//! Whether sign-ins still stand is asked at three nodes, of a provider whose refresh tokens are good once, while it
//! fails in every way and Redis dies between the question and the answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::seal::{SealKey, Sealer};
use doorward_identity::session::{AgentMark, Kept, SESSION_COOKIE, SessionKey, Whence};
use doorward_identity::{BrowserSession, Secret};
use doorward_model::time::Clocks;
use doorward_model::{
    Assurance, CountryCode, DevicePosture, Employment, KeyPath, LifecycleStage, Risk, UnixMillis, User,
};
use doorward_servers::{Disk, Fsync, Redis, Setup};
use doorward_state::{RedisSection, RevocationSection, SessionRecord, Sessions};
use doorward_tests::browser::DOMAIN;
use doorward_tests::front_fleet::FrontFleet;
use doorward_tests::visitor::Visitor;
use doorward_tests::wire::now;
use serde_json::json;

use crate::crowd::{ALL, Crowd, Town};
use crate::desk::{Desk, ISSUER, SECRET, TROUBLES};
use crate::faults::Site;

const NODES: usize = 3;
/// How many people there are: one comes to their time each second. Each is signed in twice.
const PEOPLE: i64 = INTERVAL;
/// `sign_in.revalidate_minutes`, in seconds: the least that can be configured.
const INTERVAL: i64 = 60;
/// For how long the provider fails.
const STORM: Duration = Duration::from_secs(15);
/// How long it may take until somebody was asked about, the pauses after failures included; whoever was asked about
/// a moment too early, as the machine stood still, has their turn an interval later.
const ASKED_MAX: Duration = Duration::from_secs(150);
const LEASE: Duration = Duration::from_secs(1);

/// How long a node waits for an answer of the store.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the store does between question and answer.
#[derive(Clone, Copy, Debug)]
enum Store {
    /// Nothing was written, and nothing is lost.
    Dies,
    /// What was written comes to be after the node gave it up, which writes it again.
    StandsStill,
}

/// One of the sessions of the test.
struct Made {
    name: String,
    browser: Visitor<'static>,
}

/// Three nodes, their store and the provider, and sessions of everybody.
struct House {
    redis: Redis,
    desk: Desk,
    town: Town,
    made: Vec<Made>,
    _fleet: FrontFleet,
    _folder: tempfile::TempDir,
}

/// What makes sessions as nodes do.
struct Maker<'a> {
    town: &'a Town,
    desk: &'a Desk,
    sealer: Sealer,
    sessions: Sessions,
}

// === impl House ===

impl House {
    async fn open() -> Self {
        let setup = Setup { append_only: Some(Fsync::Always), ..Setup::default() };
        let (redis, folder, desk) = (Redis::start(&setup), tempfile::tempdir().unwrap(), Desk::start().await);
        let key = Site::new_key(folder.path());
        let secret = folder.path().join("desk.secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let section = json!({"addresses": [redis.address().to_string()], "tls": false});
        let fleet = FrontFleet::start(Default::default(), NODES, &section, |config| {
            config
                .set("sign_in.key_files", json!([key]))
                .set("sign_in.revalidate_minutes", json!(INTERVAL / 60))
                .add("issuer", desk.section(&secret.display().to_string()));
        })
        .await;
        let (nodes, operator) = (fleet.ports(), fleet.nodes[0].operator().clone());
        let town = Town { port: nodes[0], nodes, operator, bound: LEASE };
        let maker =
            Maker { town: &town, desk: &desk, sealer: sealer(&key), sessions: store(&redis, folder.path()) };
        // Each second some of them come to their time; the two of a person half an interval apart.
        let mut made = Vec::new();
        for who in 0..PEOPLE {
            for (half, silent) in [("a", who), ("b", (who + INTERVAL / 2) % INTERVAL)] {
                made.push(maker.make(format!("u{who:03}{half}"), who, silent, made.len() as u64).await);
            }
        }
        drop(maker);
        Self { redis, desk, made, town, _fleet: fleet, _folder: folder }
    }
}

// === impl Maker ===

impl Maker<'_> {
    /// Somebody who signed in a while ago, and of whom the provider last said so many seconds ago that it stands.
    async fn make(&self, name: String, who: i64, silent: i64, seed: u64) -> Made {
        let session = signed_in(&self.sealer, who, silent);
        let refresh = Secret::new(self.desk.signed_in(&name));
        let kept = Kept { refresh, session: Some(session.clone()) };
        let sealed = kept.seal(&self.sealer, session.id).unwrap();
        self.sessions.create(record(&session, sealed)).await.unwrap();
        let (host, mut browser) = (format!("wiki.{DOMAIN}"), self.town.browser(seed));
        browser.put_cookie(&host, SESSION_COOKIE, &session.seal(&self.sealer, &host).unwrap());
        Made { name, browser }
    }
}

fn signed_in(sealer: &Sealer, who: i64, silent: i64) -> BrowserSession {
    let ago = |seconds: i64| UnixMillis(now().0 - seconds * 1000);
    let began = ago(600);
    BrowserSession {
        id: SessionKey::random(sealer).unwrap(),
        user: User {
            id: format!("{ISSUER}:u{who:03}").parse().unwrap(),
            name: None,
            email: Some(format!("u{who:03}@desk.example")),
            groups: Default::default(),
            roles: ["employee", "engineer"].map(str::to_owned).into(),
            stage: LifecycleStage::Active,
            employment: Employment::Employee,
            contract_end: None,
            home_country: CountryCode::new("DE").unwrap(),
            department: None,
            tags: Default::default(),
        },
        issuer_session: None,
        assurance: Assurance {
            mfa: true,
            phishing_resistant: false,
            authenticated_at: Some(began),
            mfa_at: Some(began),
        },
        device: DevicePosture::default(),
        risk: Risk::UNKNOWN,
        signed_in_at: began,
        seen_at: now(),
        validated_at: ago(silent),
        expires_at: began.plus(Duration::from_secs(12 * 3600)),
        renewable: true,
        binding: None,
        from: Whence {
            ip: [127, 0, 0, 1].into(),
            country: CountryCode::UNKNOWN,
            asn: None,
            agent: AgentMark::default(),
        },
    }
}

fn record(session: &BrowserSession, sealed: String) -> SessionRecord {
    SessionRecord {
        id: session.id.to_string().into(),
        person: session.user.id.clone(),
        issuer_session: None,
        signed_in_at: session.signed_in_at,
        seen_at: session.seen_at,
        validated_at: session.validated_at,
        expires_at: session.expires_at,
        client: session.from.ip,
        agent: String::new(),
        device: None,
        apps: Default::default(),
        refresh: Some(sealed.into_bytes()),
        version: 0,
    }
}

/// The store that the nodes have.
fn store(redis: &Redis, folder: &Path) -> Sessions {
    let addresses = Some(vec![redis.address().to_string()]);
    let redis = RedisSection { addresses, tls: Some(false), ..RedisSection::default() };
    let section = RevocationSection { redis: Some(redis), ..RevocationSection::default() };
    let config = section.check(&KeyPath::top(), folder, folder, "the-test", &mut Vec::new()).unwrap();
    let began = Instant::now();
    let clocks = Clocks { wall: Arc::new(now), uptime: Arc::new(move || began.elapsed()) };
    Sessions::open(&config, folder, clocks).unwrap()
}

fn sealer(key_file: &PathBuf) -> Sealer {
    let key = STANDARD.decode(std::fs::read_to_string(key_file).unwrap()).unwrap();
    let random = |bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).is_ok();
    Sealer::new(vec![SealKey::new(key.try_into().unwrap())], Arc::new(random)).unwrap()
}

/// Waits until all of these were told no there.
async fn told_no(desk: &Desk, names: &[String]) {
    let began = Instant::now();
    while let Some(name) = names.iter().find(|name| desk.seen(name).1 == 0) {
        assert!(began.elapsed() < ASKED_MAX, "nobody asked whether {name} stands");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The store fails while a node waits for the provider, and is mended.
async fn between_question_and_answer(store: Store, redis: &Redis, desk: &Desk, crowd: &Crowd) {
    crowd.tell(format!("while the store {store:?} between question and answer"));
    desk.holds_the_next().await;
    crowd.troubled(ALL);
    match store {
        Store::Dies => redis.kill9(),
        Store::StandsStill => redis.stop(),
    }
    desk.goes_on();
    match store {
        Store::Dies => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            redis.restart(Disk::Kept);
        }
        Store::StandsStill => {
            tokio::time::sleep(PATIENCE + Duration::from_secs(1)).await;
            redis.cont();
        }
    }
    crowd.all_are_well(&format!("the store {store:?}")).await;
    crowd.troubled(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_refresh_token_is_brought_twice_and_the_providers_no_alone_ends_a_session() {
    let House { redis, desk, made, town, _fleet, _folder } = House::open().await;
    let began = Instant::now();
    let names: Vec<String> = made.iter().map(|made| made.name.clone()).collect();
    let crowd = Crowd::of(town, made.into_iter().map(|made| (made.name, made.browser)).collect());
    // The first time with the store at hand: a node that just started has not heard of it yet.
    crowd.troubled(ALL);
    desk.storms(true);
    crowd.all_are_well("the start").await;
    crowd.troubled(0);
    let asking = crowd.ask_all_the_time();
    crowd.tell("while the provider fails".to_owned());
    tokio::time::sleep(STORM.saturating_sub(began.elapsed())).await;
    while !TROUBLES.iter().all(|how| desk.answered().contains_key(how)) {
        assert!(
            began.elapsed() < STORM + ASKED_MAX,
            "the provider did not fail in every way: {:?}",
            desk.answered()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    desk.storms(false);

    for store in [Store::Dies, Store::StandsStill] {
        between_question_and_answer(store, &redis, &desk, &crowd).await;
    }

    // Of the first of two sessions of some the provider has enough, and of others an answer is lost.
    crowd.tell("while the provider ends some".to_owned());
    let gone = i64::try_from(began.elapsed().as_secs()).unwrap();
    let due_in = |seconds: i64| format!("u{:03}a", (-gone - seconds).rem_euclid(INTERVAL));
    let ended: Vec<String> = (8..12).map(due_in).collect();
    let lost: Vec<String> = (14..17).map(due_in).collect();
    for name in ended.iter().chain(&lost) {
        crowd.dooms(name);
    }
    ended.iter().for_each(|name| desk.ends(name));
    lost.iter().for_each(|name| desk.loses_answer(name));
    told_no(&desk, &ended).await;
    // The token of these is spent, and nobody has the next one. It is brought again: nobody can know better.
    told_no(&desk, &lost).await;
    for name in ended.iter().chain(&lost) {
        crowd.is_out_everywhere(name).await;
    }
    crowd.all_are_well("all of that").await;
    crowd.stop(asking).await;
    for name in &names {
        let most = u64::from(lost.contains(name));
        assert!(ended.contains(name) || !desk.was_given_back(name), "the token of {name} was thrown away");
        assert!(desk.seen(name).0 <= most, "a spent token of {name} was brought {} times", desk.seen(name).0);
    }
    println!("{}; the provider {:?}", crowd.line(), desk.answered());
}
