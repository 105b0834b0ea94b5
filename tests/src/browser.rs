//! A real Chromium, without a screen, driven as a person would (`tests/browser/drive.mjs`).
//!
//! One runs for each test program, and a [`Browser`] in it for each test, which shares no cookie with the others.
//! It believes every name under `corp.example` to be this machine, and trusts one certificate beside those that the system
//! trusts: [`certificate`], by its public key. Any other is refused as everywhere.
//!
//! What a person would see is kept under `target/screenshots/`, light and dark.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::node::Script;
use crate::tls::{Authority, Certificate};

/// Under it everything is this machine.
pub const DOMAIN: &str = "corp.example";

/// Somebody's browser.
pub struct Browser {
    context: String,
    page: u64,
}

/// What a person sees, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The address.
    pub url: String,
    /// The status of the last answer that was a page.
    pub status: u16,
    /// The title.
    pub title: String,
    /// All text.
    pub text: String,
}

/// A WebSocket that the script of a page opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSocket {
    /// It was opened.
    pub opened: bool,
    /// How many messages came.
    pub messages: u64,
    /// The code and the reason of its end, and when that was.
    pub closed: Option<(u16, String, i64)>,
}

static CERTIFICATE: LazyLock<(Authority, Certificate)> = LazyLock::new(|| {
    let authority = Authority::new();
    let certificate = authority.certificate(&[&format!("*.{DOMAIN}")]);
    (authority, certificate)
});

/// What every host of [`DOMAIN`] shows, and Chromium trusts.
#[must_use]
pub fn certificate() -> &'static Certificate {
    &CERTIFICATE.1
}

/// Who signed it, for other clients.
#[must_use]
pub fn authority() -> &'static Authority {
    &CERTIFICATE.0
}

static RUNNING: OnceCell<Script> = OnceCell::const_new();

async fn chromium() -> &'static Script {
    RUNNING
        .get_or_init(async || {
            let script = Script::start("drive.mjs");
            let executable = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
            script.order("start", json!({"executable": executable, "args": arguments()})).await;
            script
        })
        .await
}

fn arguments() -> Vec<String> {
    let key = KeyPair::from_pem(&certificate().key).unwrap().subject_public_key_info();
    let key = base64::engine::general_purpose::STANDARD.encode(digest(&SHA256, &key));
    let mut arguments = vec![
        format!("--ignore-certificate-errors-spki-list={key}"),
        format!("--host-resolver-rules=MAP *.{DOMAIN} 127.0.0.1"),
    ];
    let plain = [
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "no-proxy-server",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
    ];
    arguments.extend(plain.map(|name| format!("--{name}")));
    arguments
}

// === impl Browser ===

impl Browser {
    /// A new one, with one tab and nothing in it.
    ///
    /// # Panics
    /// When Chromium does not start.
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// The same, of somebody who goes on where the browser warns of a certificate.
    ///
    /// # Panics
    /// When Chromium does not start.
    pub async fn past_warnings() -> Self {
        Self::with(json!({"past_warnings": true})).await
    }

    async fn with(how: Value) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let context = format!("context-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let browser = Self { context, page: 1 };
        browser.order("context", how).await;
        browser
    }

    /// Another tab of the same browser.
    pub async fn tab(&self) -> Self {
        let page = next_page();
        self.order("tab", json!({"tab": page})).await;
        Self { context: self.context.clone(), page }
    }

    /// Types an address.
    pub async fn go(&self, url: &str) -> Seen {
        self.see("goto", json!({"url": url})).await
    }

    /// Types an address.
    ///
    /// # Errors
    /// When the browser shows no page of it.
    pub async fn try_go(&self, url: &str) -> Result<Seen, String> {
        Ok(seen(&self.try_order("goto", json!({"url": url})).await?))
    }

    /// Types an address, and stops before one that begins so: which that is, if the way leads there.
    pub async fn stop_before(&self, url: &str, before: &str) -> Option<String> {
        let asked = self.order("stop_before", json!({"url": url, "before": before})).await;
        asked.as_str().map(str::to_owned)
    }

    /// Goes back.
    pub async fn back(&self) -> Seen {
        self.see("back", json!({})).await
    }

    /// Loads the page again.
    pub async fn reload(&self) -> Seen {
        self.see("reload", json!({})).await
    }

    /// What is there.
    pub async fn look(&self) -> Seen {
        self.see("look", json!({})).await
    }

    /// Writes into a field, by its label.
    pub async fn fill(&self, label: &str, value: &str) {
        self.order("fill", json!({"label": label, "value": value})).await;
    }

    /// Chooses from a list, by its label.
    pub async fn choose(&self, label: &str, value: &str) {
        self.order("choose", json!({"label": label, "value": value})).await;
    }

    /// Presses a button or a link, by its name, and sees where that leads.
    pub async fn click(&self, name: &str) -> Seen {
        self.see("click", json!({"name": name})).await
    }

    /// Presses a link, by its name, that opens a tab of its own.
    pub async fn click_into_tab(&self, name: &str) -> Self {
        let page = next_page();
        self.order("click_into_tab", json!({"name": name, "tab": page})).await;
        Self { context: self.context.clone(), page }
    }

    /// Waits until the page says this.
    pub async fn expect(&self, text: &str) -> Seen {
        self.see("expect", json!({"text": text})).await
    }

    /// Waits until the page is at an address that begins so.
    pub async fn at(&self, url: &str) -> Seen {
        self.see("at", json!({"url": url})).await
    }

    /// Keeps what is seen, light and dark.
    ///
    /// # Panics
    /// When it cannot be written.
    pub async fn screenshot(&self, name: &str) {
        let folder = screenshots();
        std::fs::create_dir_all(&folder).unwrap();
        self.order("screenshot", json!({"path": folder.join(name)})).await;
    }

    /// Every cookie of the browser, as an object each: `name`, `domain`, `path`, `httpOnly`, `secure`, `sameSite` …
    ///
    /// # Panics
    /// Never, unless the script is broken.
    pub async fn cookies(&self) -> Vec<Value> {
        self.order("cookies", json!({})).await.as_array().unwrap().clone()
    }

    /// The script of the page asks for something: `status`, `redirected`, `headers`, `text`.
    pub async fn fetch(&self, url: &str, options: Value) -> Value {
        self.order("fetch", json!({"url": url, "options": options})).await
    }

    /// The same, if the browser lets the script see the answer.
    ///
    /// # Errors
    /// When it does not.
    pub async fn try_fetch(&self, url: &str, options: Value) -> Result<Value, String> {
        self.try_order("fetch", json!({"url": url, "options": options})).await
    }

    /// The page sends a form.
    pub async fn post(&self, url: &str, fields: Value) -> Seen {
        self.see("post", json!({"url": url, "fields": fields})).await
    }

    /// What became of the WebSocket that the script of the page opened, as it says itself in `window.theSocket`.
    pub async fn socket(&self) -> PageSocket {
        PageSocket::from(&self.order("socket_state", json!({})).await)
    }

    async fn see(&self, order: &str, with: Value) -> Seen {
        seen(&self.order(order, with).await)
    }

    async fn order(&self, order: &str, with: Value) -> Value {
        chromium().await.order(order, self.place(with)).await
    }

    async fn try_order(&self, order: &str, with: Value) -> Result<Value, String> {
        chromium().await.try_order(order, self.place(with)).await
    }

    fn place(&self, mut with: Value) -> Value {
        with["context"] = json!(self.context);
        with["page"] = json!(self.page);
        with
    }
}

fn next_page() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(2);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn seen(seen: &Value) -> Seen {
    let text = |key: &str| seen[key].as_str().unwrap_or_default().to_owned();
    let status = seen["status"].as_u64().and_then(|s| u16::try_from(s).ok()).unwrap_or(0);
    Seen { url: text("url"), status, title: text("title"), text: text("text") }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(script) = RUNNING.get() {
            script.tell("close", self.place(json!({})));
        }
    }
}

impl From<&Value> for PageSocket {
    fn from(state: &Value) -> Self {
        let closed = state["closed"].as_object().map(|closed| {
            let code = closed["code"].as_u64().and_then(|c| u16::try_from(c).ok()).unwrap_or(0);
            let reason = closed["reason"].as_str().unwrap_or_default().to_owned();
            (code, reason, closed["at_millis"].as_i64().unwrap_or(0))
        });
        let messages = state["messages"].as_u64().unwrap_or(0);
        Self { opened: state["opened"] == true, messages, closed }
    }
}

/// Where screenshots are kept.
///
/// # Panics
/// When this test does not lie where cargo puts it.
#[must_use]
pub fn screenshots() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().find(|a| a.join("deps").is_dir()).unwrap();
    profile.parent().unwrap().join("screenshots")
}
