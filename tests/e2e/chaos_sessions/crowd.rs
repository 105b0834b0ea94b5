//! Browsers with a session each, which ask all the time, and what each may be answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_identity::session::SESSION_COOKIE;
use doorward_tests::browser::{DOMAIN, authority};
use doorward_tests::front_door::{filled, person};
use doorward_tests::gateway::Operator;
use doorward_tests::h1::Response;
use doorward_tests::pauses::Pauses;
use doorward_tests::provider::Factor;
use doorward_tests::visitor::{SCRIPT, Visitor};
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use tokio::sync::Mutex;

/// How many sign in at once.
const AT_ONCE: usize = 8;
/// How many ask at once.
const WORKERS: usize = 6;
/// How long each of them waits then, so that the machine has time for the gateway, too.
const BETWEEN: Duration = Duration::from_millis(20);
/// How long a browser that is refused for want of the store may have to try, until it is let in again.
const BACK_SECONDS_MAX: u64 = 30;

/// Every node.
pub(crate) const ALL: u64 = u64::MAX;

/// What somebody may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// They are in.
    In,
    /// Their access is being taken: from now on either answer is right.
    Doomed,
    /// That was acknowledged at this moment: after the bound of the promise nothing but no is right.
    Out(Instant),
    /// They signed out at this moment: the session is over, and another one may begin.
    Left(Instant),
}

/// Where the crowd goes, and what it is promised there.
pub(crate) struct Town {
    /// The port of the address.
    pub(crate) port: u16,
    /// The ports of the nodes behind it; each request goes to any of them.
    pub(crate) nodes: Vec<u16>,
    /// Who takes access away.
    pub(crate) operator: Operator,
    /// How long after an acknowledgment somebody may still be let in.
    pub(crate) bound: Duration,
}

/// Everybody, and what was seen.
pub(crate) struct Crowd {
    town: Town,
    browsers: Vec<Somebody>,
    page: String,
    /// The nodes of which 503 and no answer are right, as the store, or they themselves, are away: a bit each.
    trouble: AtomicU64,
    /// What goes on, for a message.
    story: std::sync::Mutex<String>,
    done: AtomicBool,
    /// When nobody ran: then, too, 503 and no answer are right.
    pauses: Pauses,
    seen: Seen,
}

struct Somebody {
    name: String,
    browser: Mutex<Visitor<'static>>,
    standing: std::sync::Mutex<Standing>,
}

/// What is known when a request begins, and when it was answered.
#[derive(Clone, Copy)]
struct Moment {
    at: Instant,
    standing: Standing,
    trouble: u64,
}

/// What was answered.
#[derive(Default)]
struct Seen {
    let_in: AtomicU64,
    kept_out: AtomicU64,
    unsure: AtomicU64,
    cut_off: AtomicU64,
    signed_out: AtomicU64,
    asked_while_troubled: AtomicU64,
}

/// Names and what is said of them.
pub(crate) fn people(count: usize) -> BTreeMap<String, Value> {
    let name = |i| format!("u{i:03}");
    (0..count)
        .map(|i| (name(i), person(&format!("Person {i}"), &name(i), &["employee", "engineer"])))
        .collect()
}

// === impl Crowd ===

impl Town {
    /// An address at an app, or at `login`.
    fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}.{DOMAIN}:{}{path}", self.port)
    }

    pub(crate) fn browser(&self, seed: u64) -> Visitor<'static> {
        let mut browser = Visitor::new(authority());
        browser.goes_to_any_of(self.nodes.clone(), seed);
        browser
    }
}

impl Somebody {
    fn new(name: String, browser: Visitor<'static>) -> Self {
        Self { name, browser: Mutex::new(browser), standing: std::sync::Mutex::new(Standing::In) }
    }

    fn standing(&self) -> Standing {
        *self.standing.lock().unwrap()
    }

    fn is_in(&self) -> bool {
        self.standing() == Standing::In
    }

    fn becomes(&self, standing: Standing) {
        *self.standing.lock().unwrap() = standing;
    }
}

impl Crowd {
    /// Signs everybody in, at the provider's own forms.
    pub(crate) async fn signed_in(town: Town, names: impl Iterator<Item = String>) -> Arc<Self> {
        let page = town.url("wiki", "/");
        let browsers = stream::iter(names.zip(1..))
            .map(|(name, seed)| {
                let (page, mut browser) = (page.clone(), town.browser(seed));
                async move {
                    let form = browser.go(&page).await.unwrap();
                    let seen = browser.submit(&form, &filled(&name, Factor::Otp)).await.unwrap();
                    let text = seen.response.text();
                    assert!(text.contains("This is the app wiki"), "{name}: {text}\n{:#?}", seen.way);
                    Somebody::new(name, browser)
                }
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        Self::here(town, browsers)
    }

    /// Those who have a session already.
    pub(crate) fn of(town: Town, all: Vec<(String, Visitor<'static>)>) -> Arc<Self> {
        Self::here(town, all.into_iter().map(|(name, browser)| Somebody::new(name, browser)).collect())
    }

    fn here(town: Town, browsers: Vec<Somebody>) -> Arc<Self> {
        let page = town.url("wiki", "/");
        let (trouble, done) = (AtomicU64::new(0), AtomicBool::new(false));
        let story = std::sync::Mutex::default();
        let pauses = Pauses::watch();
        Arc::new(Self { town, browsers, page, trouble, story, done, pauses, seen: Seen::default() })
    }

    /// Has them ask until [`Crowd::stop`].
    pub(crate) fn ask_all_the_time(self: &Arc<Self>) -> Vec<tokio::task::JoinHandle<()>> {
        let worker = |first: usize| {
            let crowd = Arc::clone(self);
            tokio::spawn(async move {
                for i in (first..crowd.browsers.len()).step_by(WORKERS).cycle() {
                    if crowd.done.load(Ordering::SeqCst) {
                        return;
                    }
                    crowd.ask(&crowd.browsers[i]).await;
                    tokio::time::sleep(BETWEEN).await;
                }
            })
        };
        (0..WORKERS).map(worker).collect()
    }

    /// From now on 503 and no answer at all are right of these nodes, a bit each, and of no others.
    pub(crate) fn troubled(&self, nodes: u64) {
        self.trouble.store(nodes, Ordering::SeqCst);
    }

    /// Says what goes on from now on.
    pub(crate) fn tell(&self, what: String) {
        *self.story.lock().unwrap() = what;
    }

    fn moment(&self, who: &Somebody) -> Moment {
        let (standing, trouble) = (who.standing(), self.trouble.load(Ordering::SeqCst));
        Moment { at: Instant::now(), standing, trouble }
    }

    /// One request by one of them, and whether its answer is one that may be.
    async fn ask(&self, who: &Somebody) -> Option<u16> {
        let mut browser = who.browser.lock().await;
        let before = self.moment(who);
        let answer = browser.ask("GET", &self.page, &SCRIPT, b"").await;
        let reached = browser.reached();
        drop(browser);
        self.judge(who, before, reached, &answer);
        if answer.is_err() {
            // As browsers do.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        answer.ok().map(|answer| answer.status())
    }

    fn judge(
        &self,
        who: &Somebody,
        before: Moment,
        reached: Option<u16>,
        answer: &std::io::Result<Response>,
    ) {
        let after = self.moment(who);
        let node = self.town.nodes.iter().position(|port| Some(*port) == reached).unwrap_or(0);
        let in_trouble = (before.trouble | after.trouble) & (1 << node) != 0;
        let troubled = in_trouble || self.pauses.touch(before.at, after.at);
        let count = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        let seen = &self.seen;
        if troubled {
            count(&seen.asked_while_troubled);
        }
        let what = || {
            let (millis, story) = (before.at.elapsed().as_millis(), self.story.lock().unwrap().clone());
            let text = answer.as_ref().map(Response::text);
            format!("{} got, from node {node}, after {millis} ms, {story}: {text:?}", who.name)
        };
        let is_late = match before.standing {
            Standing::In | Standing::Doomed => false,
            Standing::Out(since) | Standing::Left(since) => before.at >= since + self.town.bound,
        };
        match answer.as_ref().map(Response::status) {
            Ok(200) => {
                assert!(!is_late, "let in after the acknowledgment: {}", what());
                count(&seen.let_in)
            }
            Ok(401 | 403) => {
                assert_ne!(after.standing, Standing::In, "valid and refused: {}", what());
                count(&seen.kept_out)
            }
            Ok(502 | 503) | Err(_) if troubled => count(&seen.unsure),
            // Whoever is cut off in the middle of a request gets no answer. Nobody else is left without one: every
            // request has a connection of its own, so that none is one which the gateway had let go.
            Err(_) if after.standing != Standing::In && !is_late => count(&seen.cut_off),
            Ok(502 | 503) | Err(_) => panic!("unsure without a reason: {}", what()),
            Ok(other) => panic!("{other}: {}", what()),
        };
    }

    /// One of those who are in.
    fn any(&self, nth: usize) -> &Somebody {
        let left: Vec<&Somebody> = self.browsers.iter().filter(|who| who.is_in()).collect();
        left[nth % left.len()]
    }

    /// Takes the access of one that still has it.
    pub(crate) async fn revoke(&self, nth: usize) {
        let who = self.any(nth);
        who.becomes(Standing::Doomed);
        let id = format!("corp:{}", who.name);
        let bound = Instant::now() + Duration::from_secs(BACK_SECONDS_MAX);
        loop {
            let answer = self.town.operator.change("disable", "user", &id, serde_json::json!({})).await;
            if answer.as_ref().is_some_and(|a| (200..300).contains(&a.status)) {
                break;
            }
            assert!(Instant::now() < bound, "no acknowledgment for {id}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        who.becomes(Standing::Out(Instant::now()));
    }

    /// One that is in signs out, at any node, and keeps the cookie: it is no good from when the page says so.
    pub(crate) async fn sign_out(&self, nth: usize) {
        let who = self.any(nth);
        who.becomes(Standing::Doomed);
        let (host, mut browser) = (format!("wiki.{DOMAIN}"), who.browser.lock().await);
        let cookie = browser.cookie(&host, SESSION_COOKIE).unwrap().to_owned();
        let way_out = self.town.url("wiki", "/.doorward/sign-out");
        let bound = Instant::now() + Duration::from_secs(BACK_SECONDS_MAX);
        let mut said = String::new();
        while !said.contains("Your session has ended") {
            assert!(Instant::now() < bound, "{} cannot sign out: {said}", who.name);
            if !said.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            browser.put_cookie(&host, SESSION_COOKIE, &cookie);
            said = match browser.go(&way_out).await {
                Ok(page) if page.response.text().contains("<form") => {
                    let after = browser.submit(&page, &[("how", "local")]).await;
                    after.map_or_else(|e| e.to_string(), |page| page.response.text())
                }
                Ok(page) => page.response.text(),
                Err(e) => e.to_string(),
            };
        }
        browser.put_cookie(&host, SESSION_COOKIE, &cookie);
        drop(browser);
        self.seen.signed_out.fetch_add(1, Ordering::Relaxed);
        who.becomes(Standing::Left(Instant::now()));
    }

    fn named(&self, name: &str) -> &Somebody {
        self.browsers.iter().find(|who| who.name == name).unwrap_or_else(|| panic!("nobody is {name}"))
    }

    /// From now on either answer is right for one of them.
    pub(crate) fn dooms(&self, name: &str) {
        self.named(name).becomes(Standing::Doomed);
    }

    /// Waits until each node refuses one of them, which no node takes back.
    pub(crate) async fn is_out_everywhere(&self, name: &str) {
        let (who, bound) = (self.named(name), Instant::now() + Duration::from_secs(BACK_SECONDS_MAX));
        let mut browser = who.browser.lock().await;
        for node in &self.town.nodes {
            browser.goes_to_any_of(vec![*node], 0);
            loop {
                let answer = browser.ask("GET", &self.page, &SCRIPT, b"").await;
                if answer.as_ref().is_ok_and(|answer| answer.status() == 401) {
                    break;
                }
                assert!(Instant::now() < bound, "{name} is not out at node {node}: {answer:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        browser.goes_to_any_of(self.town.nodes.clone(), 0);
        drop(browser);
        who.becomes(Standing::Left(Instant::now()));
    }

    /// Some that are in open another app: nobody is asked to sign in for it.
    pub(crate) async fn visit(&self, first: usize, count: usize) {
        let address = self.town.url("build", "/");
        for nth in first..first + count {
            let who = self.any(nth);
            let mut browser = who.browser.lock().await;
            let mut began = Instant::now();
            let mut seen = browser.go(&address).await;
            while seen.as_ref().map_or(true, |seen| seen.response.status() == 503)
                && self.pauses.touch(began, Instant::now())
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
                began = Instant::now();
                seen = browser.go(&address).await;
            }
            let seen = seen.unwrap_or_else(|e| panic!("{} at build: {e}", who.name));
            let arrived = seen.url == address && seen.response.status() == 200;
            assert!(arrived, "{} is not in at build: {:#?}\n{}", who.name, seen.way, seen.response.text());
        }
    }

    /// Waits until whoever is valid is let in, each of them.
    pub(crate) async fn all_are_well(&self, after: &str) {
        for who in self.browsers.iter().filter(|who| who.is_in()) {
            // Of each, as all of them together take a busy machine long.
            let bound = Instant::now() + Duration::from_secs(BACK_SECONDS_MAX);
            while self.ask(who).await != Some(200) {
                assert!(Instant::now() < bound, "{} is not let in after {after}", who.name);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Whoever is out does not come in by signing in anew, either.
    pub(crate) async fn nobody_comes_back(&self, most: usize) -> usize {
        let is_disabled = |who: &&Somebody| matches!(who.standing(), Standing::Out(_));
        let out = self.browsers.iter().filter(is_disabled).take(most);
        let mut tried = 0;
        for who in out {
            let seen = who.browser.lock().await.go(&self.page).await.unwrap();
            let text = seen.response.text();
            assert!(!text.contains("This is the app wiki"), "{} came back: {:#?}", who.name, seen.way);
            tried += 1;
        }
        tried
    }

    /// Ends the asking; what the tasks found comes with them.
    pub(crate) async fn stop(&self, asking: Vec<tokio::task::JoinHandle<()>>) {
        self.done.store(true, Ordering::SeqCst);
        for task in asking {
            task.await.unwrap();
        }
    }

    /// What was seen, as one line.
    pub(crate) fn line(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seen = &self.seen;
        format!(
            "{} browsers: {} let in, {} kept out, {} unsure, {} cut off, {} signed out; \
             {} asked while the store or the gateway was away",
            self.browsers.len(),
            count(&seen.let_in),
            count(&seen.kept_out),
            count(&seen.unsure),
            count(&seen.cut_off),
            count(&seen.signed_out),
            count(&seen.asked_while_troubled),
        )
    }
}
