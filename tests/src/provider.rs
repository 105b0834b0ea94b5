//! An OpenID provider as companies have one: `oidc-provider` from npm, which is certified, run by
//! `tests/browser/provider.mjs`, with people, ways to sign in and faults that the test chooses.

use std::collections::BTreeMap;

use base64::Engine as _;
use doorward_demo::provider::AUDIENCE;
use doorward_servers::Port;
use serde_json::{Value, json};

use crate::node::Script;

/// The gateway's name at the provider.
pub const CLIENT_ID: &str = "doorward-browser";
/// The password of everybody.
pub const PASSWORD: &str = "correct horse";
const CLIENT_SECRET: &str = "not-a-secret-of-anybody-0123456789abcdef";

/// How somebody signs in at it, from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Factor {
    /// A password: `amr` is `["pwd"]`.
    None,
    /// And a one-time password: `["pwd", "otp", "mfa"]`.
    Otp,
    /// A security key: `["hwk", "user", "mfa"]`.
    Webauthn,
}

/// A provider that runs until it is dropped.
pub struct OpenIdProvider {
    script: Script,
    port: Port,
}

// === impl Factor ===

impl Factor {
    /// Its value in the form.
    #[must_use]
    pub const fn value(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Otp => "otp",
            Self::Webauthn => "webauthn",
        }
    }

    /// What `acr` says of it.
    #[must_use]
    pub const fn acr(self) -> &'static str {
        match self {
            Self::None => "urn:test:pwd",
            Self::Otp => "urn:test:mfa",
            Self::Webauthn => "urn:test:phr",
        }
    }
}

// === impl OpenIdProvider ===

impl OpenIdProvider {
    /// Starts one for these people, each with the claims that are said of them; everybody's password is [`PASSWORD`].
    /// `client` has the addresses of the gateway: `redirect_uris`, `post_logout_redirect_uris`,
    /// `backchannel_logout_uri`.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(client: Value, people: &BTreeMap<String, Value>) -> Self {
        let (script, port) = (Script::start("provider.mjs"), Port::take());
        let mut whole = json!({"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET});
        whole.as_object_mut().unwrap().extend(client.as_object().unwrap().clone());
        let people: BTreeMap<_, _> = people.iter().map(|(name, claims)| (name, account(claims))).collect();
        let how = json!({"port": port.number(), "client": whole, "people": people});
        script.order("start", how).await;
        Self { script, port }
    }

    /// What it calls itself, and where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.port.address())
    }

    /// Its table `[[issuer]]`, with `[issuer.sign_in]`. `secret_file` is a file with [`OpenIdProvider::secret`].
    #[must_use]
    pub fn section(&self, id: &str, secret_file: &str) -> Value {
        json!({
            "id": id, "issuer": self.url(), "audiences": [AUDIENCE], "algorithms": ["ES256"],
            "token_types": ["at+jwt"],
            "assurance": {"mfa_amr": ["mfa"], "phishing_resistant_amr": ["hwk"]},
            "sign_in": {
                "client_id": CLIENT_ID, "client_secret_file": secret_file,
                "mfa_acr_values": [Factor::Otp.acr()], "phishing_resistant_acr_values": [Factor::Webauthn.acr()],
            },
        })
    }

    /// What the gateway proves itself to the provider with.
    #[must_use]
    pub const fn secret(&self) -> &'static str {
        CLIENT_SECRET
    }

    /// Tells it the addresses of the gateway; see [`OpenIdProvider::start`].
    pub async fn serves(&self, client: Value) {
        self.script.order("client", json!({"client": client})).await;
    }

    /// Adds people, or changes what is said of them.
    pub async fn people(&self, changed: &BTreeMap<String, Value>) {
        let people: BTreeMap<_, _> = changed.iter().map(|(name, claims)| (name, account(claims))).collect();
        self.script.order("people", json!(people)).await;
    }

    /// Somebody neither signs in any more nor keeps a refresh token; or does so again.
    pub async fn disable(&self, person: &str, disabled: bool) {
        self.script.order("people", json!({person: {"disabled": disabled}})).await;
    }

    /// How it fails from now on: `ignore_acr_values`, `slow_millis`, `refuse` (503 to everything), and `only`, the one
    /// path that is slow or refuses.
    pub async fn faults(&self, faults: Value) {
        self.script.order("faults", faults).await;
    }

    /// Nobody listens any more; what it knows stays.
    pub async fn down(&self) {
        self.script.order("down", json!({})).await;
    }

    /// It is back.
    pub async fn up(&self) {
        self.script.order("up", json!({})).await;
    }

    /// A new key signs from now on.
    pub async fn rotate_keys(&self, drop_old: bool) {
        self.script.order("rotate_keys", json!({"drop_old": drop_old})).await;
    }

    /// Ends the sessions of somebody, and tells the gateway (OpenID Connect Back-Channel Logout 1.0).
    pub async fn back_channel_logout(&self, person: &str) {
        self.script.order("back_channel_logout", json!({"person": person})).await;
    }

    /// How often a path was asked for.
    pub async fn count(&self, path: &str) -> u64 {
        self.script.order("counts", json!({})).await[path].as_u64().unwrap_or(0)
    }
}

fn account(claims: &Value) -> Value {
    json!({"password": PASSWORD, "claims": claims})
}

/// The claims of a token, which is not verified.
///
/// # Panics
/// When it is no JWT.
#[must_use]
pub fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
