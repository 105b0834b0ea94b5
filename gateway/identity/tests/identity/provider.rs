//! A provider at which people sign in, on loopback: it answers what the test says, and keeps what it was asked.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use doorward_identity::oidc::{Begun, OidcError, Proven, Providers, RefreshError, Refreshed, Returned};
use doorward_identity::{Secret, Verifier};
use doorward_model::demand::Demand;
use doorward_model::{IssuerId, SubjectId, UnixMillis, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mint::{self, RSA, RSA_OTHER};
use crate::site::{Answer, Site};
use crate::world::{NOW, NOW_SECONDS, changed, verifier};

pub(crate) const CLIENT: &str = "client-1";
pub(crate) const CLIENT_SECRET: &str = "the client's s3cret: +&=%";
pub(crate) const CODE: &str = "code-0123456789abcdef";
pub(crate) const NONCE: &str = "nonce-0123456789abcdef";
pub(crate) const CODE_VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const REDIRECT: &str = "https://login.corp.example/.doorward/callback";
pub(crate) const REFRESH: &str = "refresh-0123456789abcdef";
pub(crate) const ACCESS: &str = "access-0123456789abcdef";

/// The provider `corp`, and us as its client.
pub(crate) struct Provider {
    pub(crate) site: Site,
    pub(crate) providers: Arc<Providers>,
    pub(crate) now: Arc<Mutex<UnixMillis>>,
    _verifier: Verifier,
    _folder: TempDir,
}

impl Provider {
    /// A provider that is discovered. `sign_in` are further lines of `[issuer.sign_in]`, `issuer` of the table
    /// itself.
    pub(crate) async fn start(sign_in: &str, issuer: &str) -> Self {
        let site = Site::start().await;
        site.set("/.well-known/openid-configuration", Answer::ok(document(&site.url).to_string()));
        site.set("/keys", Answer::ok(json!({"keys": [RSA.jwk("k1"), RSA_OTHER.jwk("k2")]}).to_string()));
        let folder = tempfile::tempdir().unwrap();
        secret_file(folder.path(), "client.secret", CLIENT_SECRET);
        let toml = format!(
            "[[issuer]]\nid = 'corp'\nissuer = '{}'\naudiences = ['doorward']\nalgorithms = ['RS256']\n\
             email_domains = ['corp.example']\n{issuer}\n[issuer.sign_in]\nclient_id = '{CLIENT}'\n\
             client_secret_file = 'client.secret'\n{sign_in}\n",
            site.url
        );
        Self::of(site, &toml, folder)
    }

    /// The same with a table of the test's own.
    pub(crate) fn of(site: Site, toml: &str, folder: TempDir) -> Self {
        let verifier = verifier(toml, folder.path());
        let now = Arc::new(Mutex::new(NOW));
        let shown = Arc::clone(&now);
        let clock = Arc::new(move || *shown.lock().unwrap());
        let providers = Providers::new(&verifier, clock, Arc::new(|| Some([7; 16]))).unwrap();
        Self { site, providers: Arc::new(providers), now, _verifier: verifier, _folder: folder }
    }

    /// The claims of a good ID token with some changed; `null` takes one out.
    pub(crate) fn claims(&self, changes: Value) -> Value {
        let good = json!({
            "iss": self.site.url, "sub": "alice", "aud": CLIENT, "nonce": NONCE,
            "iat": NOW_SECONDS - 1, "exp": NOW_SECONDS + 300, "auth_time": NOW_SECONDS - 2,
        });
        changed(good, changes)
    }

    /// A good ID token but for these changes.
    pub(crate) fn id_token(&self, changes: Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"});
        mint::token(&RSA, &header.to_string(), &self.claims(changes).to_string())
    }

    /// The token endpoint gives this ID token from now on.
    pub(crate) fn gives(&self, id_token: &str) {
        self.answers(
            json!({"id_token": id_token, "access_token": ACCESS, "token_type": "Bearer", "expires_in": 60}),
        );
    }

    /// The token endpoint answers this from now on.
    pub(crate) fn answers(&self, answer: Value) {
        self.site.set("/token", Answer::ok(answer.to_string()));
    }

    /// The token endpoint says no from now on.
    pub(crate) fn refuses(&self, status: &'static str, answer: Value) {
        self.site.set("/token", Answer { status, ..Answer::ok(answer.to_string()) });
    }

    /// Redeems a code at `corp` for which nothing special was demanded.
    pub(crate) async fn redeem(&self) -> Result<Proven, OidcError> {
        self.redeem_for(Demand::default()).await
    }

    pub(crate) async fn redeem_for(&self, demand: Demand) -> Result<Proven, OidcError> {
        self.redeem_query(&format!("code={CODE}&state=s-1"), demand).await
    }

    /// Redeems what a browser comes back with.
    pub(crate) async fn redeem_query(&self, query: &str, demand: Demand) -> Result<Proven, OidcError> {
        let corp = corp();
        let begun = Begun {
            issuer: &corp,
            redirect_uri: REDIRECT,
            nonce: NONCE,
            code_verifier: CODE_VERIFIER,
            demand,
            asked_at: UnixMillis(NOW.0 - 5000),
        };
        self.providers.redeem(&Returned::read(query)?, &begun).await
    }

    pub(crate) async fn refresh(&self) -> Result<Refreshed, RefreshError> {
        self.providers.refresh(&person("alice"), &Secret::new(REFRESH)).await
    }
}

/// What the provider says of itself.
pub(crate) fn document(url: &str) -> Value {
    json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/authorize?tenant=1"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "end_session_endpoint": format!("{url}/logout"),
        "revocation_endpoint": format!("{url}/revoke"),
        "jwks_uri": format!("{url}/keys"),
    })
}

pub(crate) fn corp() -> IssuerId {
    IssuerId::new("corp").unwrap()
}

pub(crate) fn person(subject: &str) -> UserId {
    UserId::new(corp(), SubjectId::new(subject).unwrap())
}

/// A file that only its owner can read.
pub(crate) fn secret_file(folder: &Path, name: &str, content: &str) {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The pairs of a query or a form, read by the URL parser of the HTTP client.
pub(crate) fn pairs(form: &str) -> std::collections::BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("x:/?{form}")).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let map: std::collections::BTreeMap<String, String> = pairs.iter().cloned().collect();
    assert_eq!(map.len(), pairs.len(), "nothing is said twice: {form}");
    map
}
