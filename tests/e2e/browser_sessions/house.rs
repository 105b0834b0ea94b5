//! The company with `[sign_in]`, by TLS, whose key the tests have.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_demo::apps::{Pace, SampleApp};
use doorward_identity::seal::{SealKey, Sealer};
use doorward_identity::session::{AgentMark, BrowserSession, SESSION_COOKIE, SessionKey, Whence};
use doorward_model::{
    Assurance, CountryCode, DevicePosture, Employment, LifecycleStage, Risk, UnixMillis, User,
};
use doorward_tests::company::{Company, sample};
use doorward_tests::gateway::{Config, Gateway, PORT};
use doorward_tests::h1::{H1, Head, Response};
use doorward_tests::issuer::Issuer;
use doorward_tests::openid::OpenId;
use doorward_tests::raw::{Answer, RawUpstream};
use doorward_tests::tls::Authority;
use doorward_tests::wire::{now, until};
use doorward_tests::ws::{Refused, Ws};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the wiki is.
pub(crate) const WIKI: &str = "wiki.test";
/// Where payroll is.
pub(crate) const PAYROLL: &str = "payroll.test";
/// Where engineers build.
pub(crate) const BUILD: &str = "build.test";

/// A WebSocket there that says what it hears.
pub(crate) const SOCKET: &str = "/logs?every_millis=0";

/// What a browser says of a page that a person opens.
pub(crate) const OPENS: &[(&str, &str)] =
    &[("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
/// What it says of what a page of the app fetches.
pub(crate) const FETCHES: &[(&str, &str)] =
    &[("accept", "*/*"), ("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];
/// What it says of a form that a page of the app sends.
pub(crate) const SENDS: &[(&str, &str)] = &[
    ("accept", "text/html"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "same-origin"),
];

/// It runs until it is dropped.
pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) issuer: Issuer,
    pub(crate) sealer: Sealer,
    pub(crate) app: RawUpstream,
    pub(crate) authority: Authority,
    pub(crate) provider: OpenId,
    _folder: TempDir,
}

/// A path of the app, and what its answer says besides.
const LINES: &[(&str, &str)] = &[
    ("/public", "cache-control: public, max-age=60\r\n"),
    ("/maxage", "cache-control: max-age=60\r\n"),
    ("/private", "cache-control: private\r\n"),
    (
        "/cookies",
        "set-cookie: a=1\r\nset-cookie: __Host-doorward-session=x; Path=/; Secure\r\nset-cookie: b=2\r\n",
    ),
];

fn script(head: &Head) -> Answer {
    let lines = LINES.iter().find(|(path, _)| head.target() == *path).map_or("", |(_, lines)| lines);
    Answer::bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{lines}\r\nok"))
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let app = RawUpstream::start(script).await;
        let build = sample(SampleApp::Build, Pace::default()).await;
        let mut company =
            Company::with(&[("wiki", app.address()), ("payroll", app.address()), ("build", build)]).await;
        let provider = OpenId::start().await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(&path, mode).unwrap();
            path.display().to_string()
        };
        let key: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap() ^ 0x5a);
        let key_file = file("session.key", &STANDARD.encode(key));
        let secret = file("client.secret", doorward_tests::openid::SECRET);
        let authority = Authority::new();
        let names = ["login.test", WIKI, PAYROLL, BUILD];
        let (chain, private) = authority.certificate(&names).write(folder.path(), "apps");
        let sign_in = json!({"url": format!("https://login.test:{PORT}"), "key_files": [key_file]});
        company
            .config
            .set("listen", json!([]))
            .listen_tls(&chain, &private)
            .add("issuer", provider.section("corp", &secret))
            .set("sign_in", sign_in)
            .local_is_corp();
        change(&mut company.config);
        let (issuer, gateway) = company.start().await;
        let sealer = Sealer::new(vec![SealKey::new(key)], Arc::new(random)).unwrap();
        Self { gateway, issuer, sealer, app, authority, provider, _folder: folder }
    }

    /// Somebody who signed in a moment ago, with a code.
    pub(crate) fn session(&self, name: &str, roles: &[&str]) -> BrowserSession {
        let now = now();
        BrowserSession {
            id: SessionKey::random(&self.sealer).unwrap(),
            user: User {
                id: format!("corp:{name}").parse().unwrap(),
                name: None,
                email: Some(format!("{name}@corp.example")),
                groups: Default::default(),
                roles: roles.iter().map(|role| (*role).to_owned()).collect(),
                stage: LifecycleStage::Active,
                employment: Employment::Employee,
                contract_end: None,
                home_country: CountryCode::new("DE").unwrap(),
                department: None,
                tags: Default::default(),
            },
            issuer_session: None,
            assurance: proved(true, false, now),
            device: DevicePosture::default(),
            risk: Risk::UNKNOWN,
            signed_in_at: now,
            seen_at: now,
            validated_at: now,
            expires_at: now.plus(Duration::from_secs(12 * 3600)),
            renewable: false,
            binding: None,
            from: Whence {
                ip: [127, 0, 0, 1].into(),
                country: CountryCode::UNKNOWN,
                asn: None,
                agent: AgentMark::default(),
            },
        }
    }

    /// Bob, an engineer.
    pub(crate) fn bob(&self) -> BrowserSession {
        self.session("bob", &["employee", "engineer"])
    }

    /// Alice, who runs payroll.
    pub(crate) fn alice(&self) -> BrowserSession {
        self.session("alice", &["employee", "hr", "payroll-admin"])
    }

    /// The line `Cookie` with a session's cookie of a host.
    pub(crate) fn cookie(&self, session: &BrowserSession, host: &str) -> String {
        format!("{SESSION_COOKIE}={}", session.seal(&self.sealer, host).unwrap())
    }

    pub(crate) async fn connect(&self, host: &str) -> H1 {
        H1::connect_tls(self.gateway.address(), &self.authority, host).await
    }

    /// Asks with a cookie, if there is one, and with further lines.
    pub(crate) async fn ask(
        &self,
        (method, host, target): (&str, &str, &str),
        cookie: &str,
        lines: &[(&str, &str)],
    ) -> Response {
        let mut all = lines.to_vec();
        if !cookie.is_empty() {
            all.push(("cookie", cookie));
        }
        self.connect(host).await.ask(method, host, target, &all).await
    }

    /// Opens the wiki's page with a cookie; status and code of the refusal.
    pub(crate) async fn fetch(&self, cookie: &str) -> (u16, Option<String>) {
        told(&self.ask(("GET", WIKI, "/page"), cookie, FETCHES).await)
    }

    pub(crate) async fn websocket(&self, cookie: &str, lines: &[(&str, &str)]) -> Result<Ws, Refused> {
        let mut all = lines.to_vec();
        all.push(("cookie", cookie));
        Ws::open_tls(self.gateway.address(), &self.authority, BUILD, SOCKET, &all).await
    }

    /// The cookie that an answer brings, opened.
    pub(crate) fn renewed(&self, answer: &Response, host: &str) -> Option<BrowserSession> {
        let start = format!("{SESSION_COOKIE}=");
        let lines = answer.head.values("set-cookie");
        let mut ours = lines.iter().filter(|line| line.starts_with(&start));
        let line = ours.next()?;
        assert!(ours.next().is_none(), "{lines:?}");
        let (value, attributes) = line[start.len()..].split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; Secure; HttpOnly; SameSite=Lax");
        Some(BrowserSession::open(&self.sealer, host, value).unwrap_or_else(|| panic!("{line}")))
    }

    /// The event of a request's decision.
    pub(crate) async fn decision(&self, id: &str) -> Value {
        until("the decision in the log", || {
            self.gateway.events().into_iter().find(|event| {
                event["metadata"]["correlation_uid"] == id
                    && !event["unmapped"]["doorward"]["decision"].is_null()
            })
        })
        .await
    }

    /// What an app was sent with a target, the newest last.
    pub(crate) fn sent(&self, target: &str) -> Vec<Head> {
        let all = self.app.requests().into_iter().map(|request| request.head);
        all.filter(|head| head.target() == target).collect()
    }

    pub(crate) async fn metric(&self, name: &str) -> f64 {
        self.gateway.metrics().await.get(name).copied().unwrap_or_else(|| panic!("no metric {name}"))
    }
}

/// What somebody proved, and when.
pub(crate) const fn proved(mfa: bool, key: bool, at: UnixMillis) -> Assurance {
    Assurance {
        mfa,
        phishing_resistant: key,
        authenticated_at: Some(at),
        mfa_at: if mfa { Some(at) } else { None },
    }
}

/// So many seconds ago.
pub(crate) fn ago(seconds: i64) -> UnixMillis {
    UnixMillis(now().0 - seconds * 1000)
}

/// The same sign-in, some time ago.
pub(crate) fn since(session: BrowserSession, seconds: i64) -> BrowserSession {
    let back = |at: UnixMillis| UnixMillis(at.0 - seconds * 1000);
    BrowserSession {
        signed_in_at: back(session.signed_in_at),
        seen_at: back(session.seen_at),
        validated_at: back(session.validated_at),
        expires_at: back(session.expires_at),
        assurance: proved(
            session.assurance.mfa,
            session.assurance.phishing_resistant,
            back(session.signed_in_at),
        ),
        ..session
    }
}

/// Status and code of an answer.
pub(crate) fn told(answer: &Response) -> (u16, Option<String>) {
    (answer.status(), answer.head.value("x-doorward-refusal"))
}

pub(crate) fn refused(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

fn random(bytes: &mut [u8]) -> bool {
    use aws_lc_rs::rand::SecureRandom as _;
    SystemRandom::new().fill(bytes).is_ok()
}
