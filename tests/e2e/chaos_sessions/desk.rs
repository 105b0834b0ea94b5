//! A provider whose refresh tokens are good once, which takes a spent one for a stolen one and ends the sign-in (RFC
//! 9700 §4.14.2), and which fails as it is told. It remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use doorward_tests::keys::{Algorithm, TestKey};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::random::Random;

/// Its name in the configuration.
pub(crate) const ISSUER: &str = "desk";
/// The gateway's secret there.
pub(crate) const SECRET: &str = "a-secret-of-the-testbed-that-nobody-else-has";
/// Longer than a gateway waits for an answer.
const FOR_EVER: Duration = Duration::from_secs(15);

/// How it answers a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum How {
    /// With a new token; the old one is spent.
    Renews,
    /// `invalid_grant`.
    SaysNo,
    /// 500.
    Fails,
    /// 429.
    IsBusy,
    /// Not before the other side gives up.
    Hangs,
    /// It closes before it says anything.
    Closes,
    /// It closes in the middle of an answer that it does not stand by: the old token is good still.
    Breaks,
    /// The same, and the old token is spent.
    BreaksAndSpends,
}

/// What goes wrong while it storms; each leaves the token good.
pub(crate) const TROUBLES: [How; 5] = [How::Fails, How::IsBusy, How::Hangs, How::Closes, How::Breaks];

/// It runs until it is dropped.
pub(crate) struct Desk {
    office: Arc<Office>,
    serving: JoinHandle<()>,
}

struct Office {
    url: String,
    keys: String,
    sign_ins: Mutex<BTreeMap<String, SignIn>>,
    random: Mutex<Random>,
    storms: AtomicBool,
    /// How often something went wrong: each of [`TROUBLES`] in turn.
    troubles: AtomicUsize,
    answered: Mutex<BTreeMap<How, u64>>,
    /// The next refresh that succeeds is held: it came, and may be answered.
    holds: AtomicBool,
    came: Notify,
    goes_on: Notify,
}

/// A sign-in and its tokens, which are its name and a number.
#[derive(Default)]
struct SignIn {
    /// The number of the token that is good.
    good: u64,
    /// It was ended here.
    ended: bool,
    /// Its next answer is lost on the way.
    will_be_lost: bool,
    /// It ended because a gateway gave its token back.
    given_back: bool,
    /// How often a token came back that was spent.
    spent: u64,
    /// How often somebody was told no.
    refused: u64,
}

// === impl Desk ===

impl Desk {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = json!({"keys": [TestKey::generate(Algorithm::Es256).jwk()]}).to_string();
        let office = Arc::new(Office {
            url,
            keys,
            sign_ins: Mutex::default(),
            random: Mutex::new(Random::seeded("desk", 1)),
            storms: AtomicBool::new(false),
            troubles: AtomicUsize::new(0),
            answered: Mutex::default(),
            holds: AtomicBool::new(false),
            came: Notify::new(),
            goes_on: Notify::new(),
        });
        let shared = Arc::clone(&office);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let office = Arc::clone(&shared);
                tokio::spawn(async move {
                    // Whoever gave up hears no more.
                    let _gave_up = office.serve(stream).await;
                });
            }
        });
        Self { office, serving }
    }

    /// Its table `[[issuer]]`; the file holds [`SECRET`].
    pub(crate) fn section(&self, secret_file: &str) -> Value {
        json!({
            "id": ISSUER, "issuer": self.office.url, "audiences": ["doorward-api"], "algorithms": ["ES256"],
            "token_types": ["at+jwt"], "email_domains": ["desk.example"],
            "assurance": {"mfa_amr": ["mfa"]},
            "sign_in": {"client_id": "doorward", "client_secret_file": secret_file},
        })
    }

    /// Somebody signed in here: the refresh token.
    pub(crate) fn signed_in(&self, name: &str) -> String {
        self.office.sign_ins().insert(name.to_owned(), SignIn::default());
        format!("{name}/0")
    }

    /// Ends a sign-in.
    pub(crate) fn ends(&self, name: &str) {
        self.of(name, |sign_in| sign_in.ended = true);
    }

    /// The next answer about a sign-in is lost on its way, after its token was spent.
    pub(crate) fn loses_answer(&self, name: &str) {
        self.of(name, |sign_in| sign_in.will_be_lost = true);
    }

    /// Whether every other answer is none.
    pub(crate) fn storms(&self, yes: bool) {
        self.office.storms.store(yes, Ordering::SeqCst);
    }

    /// Waits until somebody brings a good token, and lets them wait, with the token spent, until [`Desk::goes_on`].
    pub(crate) async fn holds_the_next(&self) {
        self.office.holds.store(true, Ordering::SeqCst);
        self.office.came.notified().await;
    }

    /// Answers whoever waits.
    pub(crate) fn goes_on(&self) {
        self.office.goes_on.notify_one();
    }

    /// How often spent tokens of a sign-in came back, and how often somebody was told no.
    pub(crate) fn seen(&self, name: &str) -> (u64, u64) {
        self.of(name, |sign_in| (sign_in.spent, sign_in.refused))
    }

    /// Whether a gateway gave the token back that was good.
    pub(crate) fn was_given_back(&self, name: &str) -> bool {
        self.of(name, |sign_in| sign_in.given_back)
    }

    /// How often it answered how.
    pub(crate) fn answered(&self) -> BTreeMap<How, u64> {
        self.office.answered.lock().unwrap().clone()
    }

    fn of<T>(&self, name: &str, what: impl FnOnce(&mut SignIn) -> T) -> T {
        what(self.office.sign_ins().get_mut(name).unwrap_or_else(|| panic!("nobody is {name}")))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

// === impl Office ===

impl Office {
    fn sign_ins(&self) -> MutexGuard<'_, BTreeMap<String, SignIn>> {
        self.sign_ins.lock().unwrap()
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let length = head.to_ascii_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length:").and_then(|length| length.trim().parse().ok())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).await?;
        match head.split(' ').nth(1).unwrap_or_default() {
            "/.well-known/openid-configuration" => answer(&mut stream, "200 OK", &self.document()).await,
            "/keys" => answer(&mut stream, "200 OK", &self.keys).await,
            "/token" => self.refresh(&mut stream, &String::from_utf8_lossy(&body)).await,
            "/revoke" => {
                self.is_given_back(&String::from_utf8_lossy(&body));
                answer(&mut stream, "200 OK", "").await
            }
            _ => answer(&mut stream, "404 Not Found", "{}").await,
        }
    }

    fn document(&self) -> String {
        let at = |path: &str| format!("{}{path}", self.url);
        json!({
            "issuer": self.url, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "jwks_uri": at("/keys"), "revocation_endpoint": at("/revoke"),
            "authorization_response_iss_parameter_supported": true,
        })
        .to_string()
    }

    async fn refresh(&self, stream: &mut TcpStream, form: &str) -> std::io::Result<()> {
        let (name, number) = brought(form, "refresh_token=");
        let (how, next) = self.decides(&name, number);
        *self.answered.lock().unwrap().entry(how).or_default() += 1;
        if how == How::Renews && self.holds.swap(false, Ordering::SeqCst) {
            self.came.notify_one();
            self.goes_on.notified().await;
        }
        let tokens = json!({
            "access_token": "a-token", "token_type": "Bearer", "expires_in": 300, "refresh_token": format!("{name}/{next}"),
        });
        let tokens = tokens.to_string();
        match how {
            How::Renews => answer(stream, "200 OK", &tokens).await,
            How::SaysNo => {
                let no = json!({"error": "invalid_grant"}).to_string();
                answer(stream, "400 Bad Request", &no).await
            }
            How::Fails => answer(stream, "500 Internal Server Error", r#"{"error":"server_error"}"#).await,
            How::IsBusy => answer(stream, "429 Too Many Requests", r#"{"error":"slow_down"}"#).await,
            How::Hangs => {
                tokio::time::sleep(FOR_EVER).await;
                Ok(())
            }
            How::Closes => Ok(()),
            How::Breaks | How::BreaksAndSpends => {
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                    tokens.len()
                );
                stream.write_all(format!("{head}{}", &tokens[..tokens.len() / 2]).as_bytes()).await
            }
        }
    }

    /// A sign-in ends with its token.
    fn is_given_back(&self, form: &str) {
        let (name, number) = brought(form, "token=");
        if let Some(sign_in) = self.sign_ins().get_mut(&name).filter(|s| s.good == number && !s.ended) {
            sign_in.ended = true;
            sign_in.given_back = true;
        }
    }

    /// What becomes of a token that is brought, and the number of the one that comes after it.
    fn decides(&self, name: &str, number: u64) -> (How, u64) {
        let mut all = self.sign_ins();
        let sign_in = all.get_mut(name).unwrap_or_else(|| panic!("nobody is {name}"));
        if number != sign_in.good {
            sign_in.spent += 1;
            sign_in.ended = true;
        }
        let fails = || {
            let mut random = self.random.lock().unwrap();
            (random.one_of(2) == 0)
                .then(|| TROUBLES[self.troubles.fetch_add(1, Ordering::SeqCst) % TROUBLES.len()])
        };
        let how = match (self.storms.load(Ordering::SeqCst).then(fails).flatten(), sign_in.ended) {
            (Some(trouble), _) => trouble,
            (None, true) => How::SaysNo,
            (None, false) if std::mem::take(&mut sign_in.will_be_lost) => How::BreaksAndSpends,
            (None, false) => How::Renews,
        };
        match how {
            How::Renews | How::BreaksAndSpends => sign_in.good += 1,
            How::SaysNo => sign_in.refused += 1,
            How::Fails | How::IsBusy | How::Hangs | How::Closes | How::Breaks => {}
        }
        (how, sign_in.good)
    }
}

/// The token of a form: the name of its sign-in and its number.
fn brought(form: &str, field: &str) -> (String, u64) {
    let token = form.split('&').find_map(|pair| pair.strip_prefix(field)).unwrap_or_default();
    let (name, number) = token.split_once("%2F").unwrap_or_else(|| panic!("no token of ours: {form}"));
    (name.to_owned(), number.parse().unwrap())
}

async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}
