//! The whole house as people with a browser find it: a gateway with TLS at `login.`, `wiki.`, `payroll.` and
//! `build.corp.example`, a real OpenID provider, and apps that have pages.
//!
//! Alice is in HR and runs payroll, bob is an engineer, dana runs the platform; carol is an engineer whose address
//! the provider does not call verified.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use doorward_demo::apps::{Pace, SampleApp};
use doorward_demo::loopback::Loopback;
use http::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{DOMAIN, certificate};
use crate::gateway::{Config, Gateway, PORT, Signal};
use crate::provider::{Factor, OpenIdProvider};

/// The provider's name in the configuration.
pub const ISSUER: &str = "corp";

/// Where the apps run.
const APPS: [&str; 3] = ["wiki", "payroll", "build"];

/// Who says what people are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum People {
    /// The directory of the gateway, to which all but strangers are invited.
    Known,
    /// The provider.
    Token,
}

/// It runs until it is dropped.
pub struct FrontDoor {
    /// The gateway.
    pub gateway: Gateway,
    /// Where people prove who they are.
    pub provider: OpenIdProvider,
    people: BTreeMap<String, Value>,
    _folder: TempDir,
}

/// What a gateway of the [module](self) stands on, and is configured with.
pub(crate) struct Outside {
    pub(crate) provider: OpenIdProvider,
    pub(crate) config: Config,
    pub(crate) folder: TempDir,
}

// === impl FrontDoor ===

impl FrontDoor {
    /// Starts it with the people of the [module](self).
    pub async fn start(people: People, change: impl FnOnce(&mut Config)) -> Self {
        Self::with(people, company(), change).await
    }

    /// Starts it with other people, each with what is said of them; see [`person`].
    ///
    /// # Panics
    /// When something does not start.
    pub async fn with(
        people: People,
        company: BTreeMap<String, Value>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let Outside { provider, mut config, folder } = Outside::of(people, &company).await;
        change(&mut config);
        let gateway = Gateway::start(config).await;
        let house = Self { gateway, provider, people: company, _folder: folder };
        house.provider.serves(addresses(|host, path| house.url(host, path))).await;
        if people == People::Known {
            for (name, said) in &house.people {
                house.invite(name, said).await;
            }
        }
        house
    }

    /// An address at an app, or at `login`.
    #[must_use]
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}.{DOMAIN}:{}{path}", self.gateway.address().port())
    }

    /// Does something with somebody whom the directory knows: `deactivate`, `end-sessions`, …
    ///
    /// # Panics
    /// When it is refused.
    pub async fn operate(&self, name: &str, action: &str) -> Value {
        let named = self.gateway.api("GET", &format!("/api/v1/users?named={name}@{DOMAIN}"), None).await;
        let found: Value = serde_json::from_str(&named.text).unwrap();
        let id = found["users"][0]["id"].as_str().unwrap_or_else(|| panic!("nobody is {name}: {found}"));
        let path = format!("/api/v1/users/{id}/{action}");
        let answer = self.gateway.api("POST", &path, Some(&json!({"cause": "a test"}))).await;
        assert!((200..300).contains(&answer.status), "{action} {name}: {}", answer.text);
        serde_json::from_str(&answer.text).unwrap_or_default()
    }

    /// Ends the gateway with a signal and starts it anew, with a change of its configuration between.
    #[must_use]
    pub async fn restart(self, signal: Signal, change: impl FnOnce(&mut Config)) -> Self {
        Self { gateway: self.gateway.restart_with(signal, change).await, ..self }
    }

    async fn invite(&self, name: &str, said: &Value) {
        let body = json!({
            "user_name": name, "emails": [said["email"]], "name": said["name"], "roles": said["roles"],
            "employment": said["employment"], "home_country": said["country"], "department": said["department"],
        });
        let answer = self.gateway.api("POST", "/api/v1/users", Some(&body)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }
}

// === impl Outside ===

impl Outside {
    /// Starts the provider and the apps.
    pub(crate) async fn of(people: People, company: &BTreeMap<String, Value>) -> Self {
        let provider =
            OpenIdProvider::start(json!({"redirect_uris": ["https://to.be.said.example"]}), company).await;
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = certificate().write(folder.path(), DOMAIN);
        let secret = folder.path().join("client.secret");
        std::fs::write(&secret, provider.secret()).unwrap();
        owner_only(&secret);
        let mut issuer = provider.section(ISSUER, &secret.display().to_string());
        issuer["email_domains"] = json!([DOMAIN]);
        let mut config = Config::new();
        config
            .set("listen", json!([]))
            .listen_tls(&chain, &key)
            .add("issuer", issuer)
            .set("sign_in", json!({"url": format!("https://login.{DOMAIN}:{PORT}"), "organization": "Corp"}))
            .local_is_corp();
        if people == People::Known {
            config.set("directory.people", json!("known"));
        }
        apps(&mut config).await;
        Self { provider, config, folder }
    }
}

/// The addresses of a gateway, as its provider has to know them.
pub(crate) fn addresses(at: impl Fn(&str, &str) -> String) -> Value {
    let callback = format!("/.doorward/callback/{ISSUER}");
    json!({
        "redirect_uris": [at("login", "/.doorward/callback"), at("login", &callback)],
        "post_logout_redirect_uris": [at("login", "/.doorward/signed-out")],
    })
}

/// Everybody of the [module](self).
#[must_use]
pub fn company() -> BTreeMap<String, Value> {
    let mut carol = person("Carol Celik", "carol", &["employee", "engineer"]);
    carol["email_verified"] = json!(false);
    let named = [
        ("alice", person("Alice Adler", "alice", &["employee", "hr", "payroll-admin"])),
        ("bob", person("Bob Brandt", "bob", &["employee", "engineer"])),
        ("carol", carol),
        ("dana", person("Dana Dietz", "dana", &["employee", "engineer", "platform-admin"])),
    ];
    named.into_iter().map(|(name, said)| (name.to_owned(), said)).collect()
}

/// What is said of somebody who is employed and has these roles.
#[must_use]
pub fn person(full_name: &str, name: &str, roles: &[&str]) -> Value {
    json!({
        "name": full_name, "email": format!("{name}@{DOMAIN}"), "email_verified": true, "roles": roles,
        "groups": [], "employment": "employee", "country": "DE", "department": "all",
    })
}

/// What stands in the form of the provider.
#[must_use]
pub fn filled(name: &str, factor: Factor) -> [(&str, &str); 4] {
    [("user", name), ("password", crate::provider::PASSWORD), ("factor", factor.value()), ("go", "in")]
}

fn owner_only(file: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

// === the apps ===

async fn apps(config: &mut Config) {
    let admin = json!({"id": "admin", "path": "/admin", "tier": "restricted", "admin_surface": true});
    let welcome = json!({"id": "welcome", "path": "/welcome", "tier": "public", "public": true});
    for app in APPS {
        let more = match app {
            "wiki" => json!({"route": [welcome, admin]}),
            "payroll" => {
                json!({"groups": ["finance"], "tier": "restricted", "scope": "payroll:read", "route": [admin]})
            }
            _ => json!({"groups": ["engineering"], "scope": "build:run"}),
        };
        config.app(app, &format!("{app}.{DOMAIN}"), serve(app).await, more);
    }
}

async fn serve(app: &str) -> SocketAddr {
    let pace = Pace { tick: Duration::from_millis(200), ..Pace::default() };
    let router = match app {
        "wiki" => SampleApp::Wiki.router(pace),
        "payroll" => payroll(),
        _ => SampleApp::Build.router(pace).route("/live", get(async || Html(LIVE))),
    };
    let loopback = Loopback::port(0).await.unwrap();
    let address = loopback.address();
    tokio::spawn(loopback.serve(router));
    address
}

/// Pages, one with a form.
fn payroll() -> Router {
    let form = "<form method=post action=/leave><label>From <input name=from></label><button>Ask for leave</button></form>\
                <p><a href=/admin>Administration</a></p>";
    let saved = async |body: String| {
        let from = body.split('&').find_map(|pair| pair.strip_prefix("from=")).unwrap_or_default();
        let plain = from.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect::<String>();
        Html(page("Leave", &format!("Saved: from {plain}"), ""))
    };
    Router::new()
        .route("/", get(async move |headers: HeaderMap| Html(page("Payroll", &user(&headers), form))))
        .route(
            "/admin",
            get(async |headers: HeaderMap| Html(page("Payroll administration", &user(&headers), ""))),
        )
        .route("/leave", axum::routing::post(saved))
        .route("/data", get(async || axum::Json(json!({"runs": 3}))))
}

fn user(headers: &HeaderMap) -> String {
    let user = headers.get("x-doorward-user").map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    format!("You are {}.", user.unwrap_or_else(|| "nobody".to_owned()))
}

fn page(title: &str, text: &str, more: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>\
         <meta name=color-scheme content='light dark'><h1>{title}</h1><p>{text}</p>{more}</html>"
    )
}

/// A page that holds a WebSocket open, and says what becomes of it.
const LIVE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Build log</title>
<meta name="color-scheme" content="light dark"><h1>Build log</h1><p id="state">Connecting …</p><pre></pre>
<p><a href="/live">Open anew</a></p>
<script>
const [state, log] = [document.querySelector('#state'), document.querySelector('pre')];
const seen = window.theSocket = { opened: false, messages: 0, closed: null };
const socket = new WebSocket(`wss://${location.host}/logs`);
socket.onopen = () => { seen.opened = true; state.textContent = 'Connected.'; };
socket.onmessage = ({ data }) => {
  seen.messages += 1;
  log.textContent = `${log.textContent}${data}\n`.split('\n').slice(-9).join('\n');
};
socket.onclose = ({ code, reason }) => {
  seen.closed = { code, reason, at_millis: Date.now() };
  state.textContent = `The connection was closed: ${reason || code}`;
};
</script></html>"#;
