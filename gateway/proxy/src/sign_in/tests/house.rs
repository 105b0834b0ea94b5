//! A house in which people sign in, with two apps, a provider, and browsers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, Once};
use std::time::Instant;

use doorward_audit::{Audit, AuditConfig, AuditSection, Identity};
use doorward_context::config::{GeoipSection, NetworkSection, check_geoip, check_network};
use doorward_context::{Calendar, Places};
use doorward_identity::config::{IssuerSection, check};
use doorward_identity::seal::SealKey;
use doorward_identity::session::SESSION_COOKIE;
use doorward_identity::{BrowserSession, KeyClient, TokenTimes, Verifier};
use doorward_model::time::Clocks;
use doorward_model::{KeyPath, Target};
use doorward_policy::Policies;
use doorward_policy::shadow::Shadow;
use doorward_state::directory::Directory;
use doorward_state::sessions::ToEnd;
use doorward_state::{Action, Change, RevocationSection, Revocations};
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::super::*;
use super::provider::Provider;
use crate::accounts::Accounts;
use crate::assertion::Signer;
use crate::config::{AppSection, LimitsSection, SignInSection, StreamsSection};
use crate::inflight::Inflight;
use crate::joining::Joining;
use crate::metrics::Metrics;
use crate::people::People;
use crate::review::Review;

/// 2026-11-21, noon.
pub(super) const NOON: i64 = 1_795_262_400_000;
pub(super) const LOGIN: &str = "login.corp.example";
pub(super) const WIKI: &str = "wiki.corp.example";
pub(super) const PAYROLL: &str = "payroll.corp.example";
const SKEW: Duration = Duration::from_millis(200);

pub(super) struct Doors {
    pub(super) house: House,
    pub(super) sign_in: Arc<SignIn>,
    pub(super) provider: Provider,
    pub(super) revocations: Revocations,
    pub(super) dir: tempfile::TempDir,
    broken: Arc<std::sync::atomic::AtomicBool>,
    only_asks: Arc<std::sync::atomic::AtomicBool>,
    sealing: Hook,
    now: Arc<Mutex<UnixMillis>>,
    began: Instant,
}

/// What is done when something is sealed next.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// Whose word counts in the house.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Token,
    Directory,
}

/// Where a browser stands.
#[derive(Debug)]
pub(super) enum At {
    /// A page of ours.
    Page(OwnAnswer),
    /// A page of an app: its address.
    App(String),
    /// The provider's: the address that it was sent to.
    Provider(String),
}

/// A browser and its cookies.
#[derive(Clone, Default)]
pub(super) struct Browser {
    jar: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

impl Doors {
    pub(super) async fn open() -> Self {
        Self::with(Word::Token, "", |_| {}).await
    }

    /// With further tables `[[issuer]]`, and with something else changed in `[sign_in]`.
    pub(super) async fn with(word: Word, issuers: &str, change: impl FnOnce(&mut SignInSection)) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| drop(rustls::crypto::aws_lc_rs::default_provider().install_default()));
        let provider = Provider::start().await;
        let dir = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
        let began = Instant::now();
        let now = Arc::new(Mutex::new(UnixMillis(NOON)));
        let clock: doorward_model::time::Clock = {
            let now = Arc::clone(&now);
            Arc::new(move || now.lock().unwrap().plus(began.elapsed()))
        };
        let ticks: crate::Ticks = Arc::new(move || began.elapsed());
        let clocks = Clocks { wall: Arc::clone(&clock), uptime: Arc::clone(&ticks) };
        let config = revocation_config(dir.path());
        let revocations = Revocations::open(&config, clocks.clone()).unwrap().0;
        let sessions = Sessions::open(&config, dir.path(), clocks).unwrap();
        let verifier = verifier(&provider.url, issuers, dir.path());
        let providers =
            Arc::new(Providers::new(&verifier, Arc::clone(&clock), Arc::new(|| Some([7; 16]))).unwrap());
        let mut section = SignInSection { url: Some(format!("https://{LOGIN}")), ..SignInSection::default() };
        change(&mut section);
        let mut complaints = Vec::new();
        let terms = config::check_sign_in(&section, &KeyPath::top(), dir.path(), dir.path(), &mut complaints);
        let terms = terms.unwrap_or_else(|| panic!("{complaints:?}"));
        let (broken, only_asks, sealing) = (Arc::default(), Arc::default(), Hook::default());
        let lifetimes = Lifetimes { idle: terms.idle, absolute: terms.absolute };
        let sealer = Sealer::new(vec![SealKey::new([9; 32])], hooked(&sealing)).unwrap();
        let sign_in = Arc::new(SignIn {
            opened: OpenedSessions::new(sealer, lifetimes),
            terms,
            providers,
            sessions,
            sightings: crate::sightings::sightings().0,
            end: ending(&revocations, &broken, &only_asks),
            validation: Validation::default(),
            redeeming: Redeeming::default(),
            passing: Passing::default(),
            giving_back: GivingBack::default(),
            numbers: SignInNumbers::new(&mut Registry::default()),
            slim: word == Word::Directory,
        });
        let directory = Directory::new(revocations.records());
        let people = match word {
            Word::Token => People::AsTokensSay,
            Word::Directory => People::known(directory.clone(), BTreeSet::new()),
        };
        let policies = Arc::new(policies());
        let in_force = Arc::clone(&policies);
        let shadow = Arc::new(Shadow::new(Arc::new(move || in_force.bundle())).0);
        let house = House {
            routes: crate::route_table(apps(dir.path())).unwrap(),
            proxies: Arc::default(),
            verifier: Arc::new(verifier),
            people,
            accounts: Accounts::new(directory),
            joining: Joining::default(),
            sign_in: Some(Arc::clone(&sign_in)),
            places: Arc::new(places(dir.path())),
            risks: None,
            calendar: Calendar::utc(),
            revocations: Arc::new(revocations.clone()),
            inflight: Arc::new(Inflight::new(Arc::clone(&ticks))),
            shadow,
            policies,
            review: Review::default(),
            signer: Arc::new(Signer::open(&dir.path().join("assertion.key"), "https://gw").unwrap()),
            audit: Arc::new(audit(dir.path(), &clock)),
            metrics: Metrics::new(&mut Registry::default()),
            limits: config::check_limits(&LimitsSection::default(), &KeyPath::top(), &mut Vec::new()),
            streams: config::check_streams(&StreamsSection::default(), &KeyPath::top(), &mut Vec::new()),
            stream_grace: Duration::ZERO,
            issuer_skew: SKEW,
            clock,
            ticks,
        };
        Self { house, sign_in, provider, revocations, dir, broken, only_asks, sealing, now, began }
    }

    pub(super) fn now(&self) -> UnixMillis {
        (self.house.clock)()
    }

    pub(super) fn passes(&self, time: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(time);
    }

    /// Another node of the same fleet.
    pub(super) fn second_node(&self) -> Arc<SignIn> {
        let sealer = self.sign_in.sealer().clone();
        Arc::new(SignIn {
            terms: self.sign_in.terms.clone(),
            opened: OpenedSessions::new(sealer, *self.sign_in.lifetimes()),
            providers: Arc::clone(&self.sign_in.providers),
            sessions: self.sign_in.sessions.clone(),
            sightings: crate::sightings::sightings().0,
            end: ending(&self.revocations, &self.broken, &self.only_asks),
            validation: Validation::default(),
            redeeming: Redeeming::default(),
            passing: Passing::default(),
            giving_back: GivingBack::default(),
            numbers: SignInNumbers::new(&mut Registry::default()),
            slim: self.sign_in.slim,
        })
    }

    /// Whether nothing can be revoked.
    pub(super) fn cannot_end(&self, yes: bool) {
        self.broken.store(yes, std::sync::atomic::Ordering::SeqCst);
    }

    /// Whether what is asked for is taken, and nobody does it: a node without a directory, and no other in touch.
    pub(super) fn only_asks(&self, yes: bool) {
        self.only_asks.store(yes, std::sync::atomic::Ordering::SeqCst);
    }

    /// The next thing that is sealed has this done before.
    pub(super) fn when_sealing(&self, act: impl FnOnce() + Send + 'static) {
        *self.sealing.lock().unwrap() = Some(Box::new(act));
    }

    /// Nothing of the records of sessions can be read or written, until they come back.
    pub(super) fn records_go_away(&self) {
        let file = self.dir.path().join("sessions.sqlite3");
        std::fs::rename(&file, self.dir.path().join("sessions.away")).unwrap();
        std::fs::create_dir(&file).unwrap();
    }

    pub(super) fn records_come_back(&self) {
        let file = self.dir.path().join("sessions.sqlite3");
        // The store tries again and again: where there is no file for a moment, it would make another one.
        let lock = std::fs::File::open(self.dir.path().join("sessions.sqlite3.lock")).unwrap();
        lock.lock().unwrap();
        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(self.dir.path().join("sessions.away"), &file).unwrap();
    }

    pub(super) async fn revoke(&self, target: Target, action: Action) {
        let change = Change {
            target,
            action,
            cause: String::new(),
            actor: "operator".to_owned(),
            request_id: "r".to_owned(),
        };
        self.revocations.apply(change).await.unwrap();
    }

    /// What `begin` does to a browser that opens a page of an app without a session.
    pub(super) fn begin(&self, browser: &mut Browser, address: &str, demand: Demand) -> String {
        let (host, target) = split(address);
        let app = self.house.routes.first_app(host).unwrap();
        let headers = browser.cookies_of(host);
        let at = AppRequest {
            host,
            target,
            app: &app.app.id,
            provider: app.app.provider.as_ref(),
            headers: &headers,
        };
        let redirect = self.sign_in.begin(&at, demand, self.now()).unwrap();
        browser.keep(host, redirect.cookies.iter().map(String::as_str));
        redirect.location
    }

    /// Opens a page of an app, without a session there.
    pub(super) async fn opens(&self, browser: &mut Browser, address: &str) -> At {
        self.opens_with(browser, address, Demand::default()).await
    }

    pub(super) async fn opens_with(&self, browser: &mut Browser, address: &str, demand: Demand) -> At {
        let location = self.begin(browser, address, demand);
        self.goes(browser, &location).await
    }

    /// Goes to an address, and on to wherever it is sent.
    pub(super) async fn goes(&self, browser: &mut Browser, address: &str) -> At {
        let mut address = address.to_owned();
        for _ in 0..10 {
            if address.starts_with(&self.provider.url) || address.starts_with("http://") {
                return At::Provider(address);
            }
            let (host, target) = split(&address);
            if !self.sign_in.is_own(host, target.split('?').next().unwrap()) {
                return At::App(address);
            }
            let answer = self.asks(browser, &address, "GET", "").await;
            let Some(location) = answer.headers.get("location") else { return At::Page(answer) };
            let location = location.to_str().unwrap();
            address = if location.starts_with('/') {
                format!("https://{host}{location}")
            } else {
                location.to_owned()
            };
        }
        panic!("it is sent around and around, last to {address}");
    }

    /// One request of a browser.
    pub(super) async fn asks(
        &self,
        browser: &mut Browser,
        address: &str,
        method: &str,
        form: &str,
    ) -> OwnAnswer {
        let request = self.request(browser, address, method, form);
        let answer = self.sign_in.serve(&self.house, &request).await;
        browser.keep(
            &request.host,
            answer.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()),
        );
        answer
    }

    /// What a browser sends.
    pub(super) fn request(&self, browser: &Browser, address: &str, method: &str, form: &str) -> OwnRequest {
        let (host, target) = split(address);
        let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
        let mut headers = browser.cookies_of(host);
        for (name, value) in &browser.headers {
            headers.insert(*name, value.parse().unwrap());
        }
        OwnRequest {
            request_id: "req-1".into(),
            now: self.now(),
            method: method.parse().unwrap(),
            version: HttpVersion::Http2,
            host: host.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
            peer: IpAddr::from([192, 0, 2, 7]),
            client: IpAddr::from([192, 0, 2, 7]),
            https: true,
            certificate: None,
            unfit: None,
            asks_for_certificate: false,
            body: Bytes::from(form.to_owned()),
        }
    }

    /// Somebody signs in at the provider to which a browser was sent, and comes back.
    pub(super) async fn comes_back(
        &self,
        browser: &mut Browser,
        at: At,
        who: &str,
        proof: super::provider::Proof,
    ) -> At {
        let At::Provider(sent_to) = at else { panic!("not at the provider: {at:?}") };
        let back = self.provider.answer(&sent_to, who, proof, self.now().seconds());
        self.goes(browser, &back).await
    }

    /// Signs in, and opens a page.
    pub(super) async fn signs_in(&self, browser: &mut Browser, who: &str, address: &str) -> At {
        let at = self.opens(browser, address).await;
        self.comes_back(browser, at, who, super::provider::Proof::Password).await
    }

    /// The session that a browser has at a host.
    pub(super) fn session(&self, browser: &Browser, host: &str) -> Option<BrowserSession> {
        BrowserSession::open(self.sign_in.sealer(), host, browser.cookie(host, SESSION_COOKIE)?)
    }

    /// The events of sign-ins, once there are so many.
    pub(super) async fn told(&self, count: usize) -> Vec<Value> {
        for _ in 0..3000 {
            let told = lines(&self.dir.path().join("audit"));
            if told.len() >= count {
                return told;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}", lines(&self.dir.path().join("audit")));
    }

    /// How long the house has been open.
    pub(super) fn open_for(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Browser {
    pub(super) fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.jar.get(host)?.get(name).map(String::as_str)
    }

    pub(super) fn names(&self, host: &str) -> Vec<&str> {
        self.jar.get(host).map(|jar| jar.keys().map(String::as_str).collect()).unwrap_or_default()
    }

    pub(super) fn set(&mut self, host: &str, name: &str, value: &str) {
        self.jar.entry(host.to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }

    fn cookies_of(&self, host: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let pairs: Vec<String> =
            self.jar.get(host).iter().flat_map(|jar| jar.iter()).map(|(n, v)| format!("{n}={v}")).collect();
        if !pairs.is_empty() {
            headers.insert(header::COOKIE, pairs.join("; ").parse().unwrap());
        }
        headers
    }

    fn keep<'a>(&mut self, host: &str, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            let (pair, terms) = line.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.starts_with("__Host-doorward-"), "{line}");
            for term in ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"] {
                assert!(terms.split("; ").any(|t| t.trim() == term), "{line}");
            }
            let jar = self.jar.entry(host.to_owned()).or_default();
            if terms.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl At {
    pub(super) fn page(self) -> (u16, String) {
        let Self::Page(answer) = self else { panic!("no page of ours: {self:?}") };
        (answer.status.as_u16(), String::from_utf8(answer.body).unwrap())
    }

    pub(super) fn app(self) -> String {
        let Self::App(address) = self else {
            match self {
                Self::Page(answer) => {
                    panic!("no app: {} {}", answer.status, String::from_utf8_lossy(&answer.body))
                }
                other => panic!("no app: {other:?}"),
            }
        };
        address
    }

    pub(super) fn provider(self) -> String {
        let Self::Provider(address) = self else { panic!("not the provider: {self:?}") };
        address
    }
}

fn split(address: &str) -> (&str, &str) {
    let rest = address.strip_prefix("https://").unwrap_or_else(|| panic!("not https: {address}"));
    rest.split_at(rest.find('/').unwrap())
}

fn hooked(hook: &Hook) -> doorward_identity::seal::RandomBytes {
    let hook = Arc::clone(hook);
    Arc::new(move |bytes| {
        let act = hook.lock().unwrap().take();
        act.into_iter().for_each(|act| act());
        random(bytes)
    })
}

fn random(bytes: &mut [u8]) -> bool {
    aws_lc_rs::rand::fill(bytes).is_ok()
}

fn ending(
    revocations: &Revocations,
    broken: &Arc<std::sync::atomic::AtomicBool>,
    only_asks: &Arc<std::sync::atomic::AtomicBool>,
) -> End {
    let (revocations, broken, only_asks) = (revocations.clone(), Arc::clone(broken), Arc::clone(only_asks));
    Box::new(move |end| {
        let (revocations, broken, only_asks) =
            (revocations.clone(), Arc::clone(&broken), Arc::clone(&only_asks));
        Box::pin(async move {
            if only_asks.load(std::sync::atomic::Ordering::SeqCst) {
                return Ok(());
            }
            if broken.load(std::sync::atomic::Ordering::SeqCst) {
                return Err("the disk is full".to_owned());
            }
            let ToEnd { target, cause, request_id, .. } = end;
            let change =
                Change { target, action: Action::Revoke, cause, actor: "gateway".to_owned(), request_id };
            revocations.apply(change).await.map(drop).map_err(|e| e.to_string())
        })
    })
}

fn revocation_config(dir: &Path) -> doorward_state::RevocationConfig {
    RevocationSection::default().check(&KeyPath::top(), dir, dir, "gw-1", &mut Vec::new()).unwrap()
}

fn verifier(url: &str, more: &str, dir: &Path) -> Verifier {
    #[derive(serde::Deserialize)]
    struct File {
        issuer: Vec<IssuerSection>,
    }
    use std::os::unix::fs::PermissionsExt;
    let secret = dir.join("client.secret");
    std::fs::write(&secret, "a secret of the tests").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{url}'\naudiences = ['api']\nalgorithms = ['ES256']\n\
         email_domains = ['corp.example']\n[issuer.assurance]\nmfa_amr = ['mfa']\n[issuer.sign_in]\n\
         client_id = 'doorward'\nclient_secret_file = 'client.secret'\ntitle = 'Corp'\n{more}"
    );
    let file: File = toml::from_str(&text).unwrap();
    let mut complaints = Vec::new();
    let issuers = check(&file.issuer, &KeyPath::top(), dir, &mut complaints);
    assert_eq!(complaints, []);
    let times = TokenTimes { issuer_skew: SKEW, retention: Duration::from_secs(400 * 86_400) };
    Verifier::new(issuers, KeyClient::new().unwrap(), times)
}

fn apps(dir: &Path) -> Vec<config::App> {
    let app = |id: &str| {
        let text = format!(
            "id = '{id}'\nhosts = ['{id}.corp.example']\nupstream = {{ addresses = ['127.0.0.1:9'] }}"
        );
        toml::from_str::<AppSection>(&text).unwrap()
    };
    let mut complaints = Vec::new();
    let apps = config::check_apps(&[app("wiki"), app("payroll")], &KeyPath::top(), dir, &mut complaints);
    assert_eq!(complaints, []);
    apps
}

fn places(dir: &Path) -> Places {
    let (top, mut none) = (KeyPath::top(), Vec::new());
    let network = check_network(&NetworkSection::default(), &top, &mut none).unwrap();
    let geoip = check_geoip(&GeoipSection::default(), &top, dir, &mut none).unwrap();
    Places::new(geoip.atlas, network.named, geoip.age_max)
}

fn policies() -> Policies {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    Policies::open(&folder, None, UnixMillis(NOON)).unwrap_or_else(|e| panic!("{e:?}"))
}

fn audit(dir: &Path, clock: &doorward_model::time::Clock) -> Audit {
    let section =
        AuditSection { dir: Some(dir.join("audit")), flush_millis_max: Some(20), ..AuditSection::default() };
    let config = AuditConfig::check(&section, &KeyPath::top(), dir, dir, &mut Vec::new()).unwrap();
    let identity = Identity { node: "gw-1".to_owned(), version: "0".to_owned() };
    Audit::open(config, identity, Arc::clone(clock)).unwrap().0
}

fn lines(dir: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let files = files.filter(|p| p.extension().is_some_and(|e| e == "jsonl"));
    let texts: Vec<String> = files.map(|f| std::fs::read_to_string(f).unwrap()).collect();
    let whole = texts.iter().flat_map(|t| t.split_inclusive('\n').filter(|l| l.ends_with('\n')));
    whole
        .map(|l| serde_json::from_str::<Value>(l).unwrap())
        .filter(|e| e["metadata"]["log_name"] == "sign_in")
        .collect()
}
