//! A few issuers with their keys in files, and what a good token of theirs looks like.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use doorward_identity::config::{IssuerSection, check};
use doorward_identity::{KeyClient, TokenTimes, Verifier};
use doorward_model::{KeyPath, UnixMillis};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mint::{self, ED, Key, P256, P384, RSA, RSA_OTHER};

/// The time of the tests: 2026-01-15, noon.
pub(crate) const NOW_SECONDS: i64 = 1_768_478_400;
pub(crate) const NOW: UnixMillis = UnixMillis(NOW_SECONDS * 1000);

/// The issuer that most tests are about: RS256.
pub(crate) const CORP: &str = "https://idp.corp.example";
/// Another issuer, whose key has the same name: ES256.
pub(crate) const LAB: &str = "https://idp.lab.example";
pub(crate) const PSS: &str = "https://idp.pss.example";
pub(crate) const P384_ISSUER: &str = "https://idp.p384.example";
pub(crate) const ED_ISSUER: &str = "https://idp.ed.example";
/// An issuer of service accounts: ES256.
pub(crate) const MACHINES: &str = "https://machines.corp.example";
/// The same, with the people of the first issuer as owners.
pub(crate) const ROBOTS: &str = "https://robots.corp.example";

/// The defaults of the configuration.
pub(crate) const TIMES: TokenTimes =
    TokenTimes { issuer_skew: Duration::from_secs(2), retention: Duration::from_secs(400 * 86_400) };

/// The verifier, and the folder with its key files.
pub(crate) struct World {
    pub(crate) verifier: Verifier,
    _folder: TempDir,
}

/// Every issuer, each with one key named `k1`; the first has a second key, `k2`.
pub(crate) fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, keys: &[Value]| {
        std::fs::write(folder.path().join(name), json!({ "keys": keys }).to_string()).unwrap();
    };
    write("corp.jwks", &[RSA.jwk("k1"), RSA_OTHER.jwk("k2")]);
    write("lab.jwks", &[P256.jwk("k1")]);
    write("pss.jwks", &[RSA.jwk("k1")]);
    write("p384.jwks", &[P384.jwk("k1")]);
    write("ed.jwks", &[ED.jwk("k1")]);
    write("machines.jwks", &[P256.jwk("k1")]);
    let sections = r#"
        [[issuer]]
        id = "corp"
        issuer = "https://idp.corp.example"
        audiences = ["doorward", "doorward-2"]
        algorithms = ["RS256"]
        jwks_file = "corp.jwks"
        claims.tags = ["cost_center", "https://corp.example/team"]
        claims.roles = "realm_access.roles"
        assurance = { mfa_amr = ["mfa", "hwk"], mfa_acr = ["urn:2fa"], phishing_resistant_amr = ["hwk"] }

        [[issuer]]
        id = "lab"
        issuer = "https://idp.lab.example"
        audiences = ["doorward"]
        algorithms = ["ES256"]
        jwks_file = "lab.jwks"
        claims.stage_default = "unknown"

        [[issuer]]
        id = "pss"
        issuer = "https://idp.pss.example"
        audiences = ["doorward"]
        algorithms = ["PS256"]
        jwks_file = "pss.jwks"

        [[issuer]]
        id = "p384"
        issuer = "https://idp.p384.example"
        audiences = ["doorward"]
        algorithms = ["ES384"]
        jwks_file = "p384.jwks"

        [[issuer]]
        id = "ed"
        issuer = "https://idp.ed.example"
        audiences = ["doorward"]
        algorithms = ["EdDSA"]
        token_types = ["at+jwt", ""]
        jwks_file = "ed.jwks"

        [[issuer]]
        id = "machines"
        issuer = "https://machines.corp.example"
        audiences = ["doorward"]
        algorithms = ["ES256"]
        subjects = "service_accounts"
        claims.owner = "owner"
        jwks_file = "machines.jwks"

        [[issuer]]
        id = "robots"
        issuer = "https://robots.corp.example"
        audiences = ["doorward"]
        algorithms = ["ES256"]
        subjects = "service_accounts"
        owner_issuer = "corp"
        claims.owner = "owner"
        jwks_file = "machines.jwks"
    "#;
    World { verifier: verifier(sections, folder.path()), _folder: folder }
}

/// A verifier of the issuers in a piece of configuration.
pub(crate) fn verifier(toml: &str, base_dir: &Path) -> Verifier {
    verifier_at(toml, base_dir, TIMES)
}

/// The same with other bounds for times.
pub(crate) fn verifier_at(toml: &str, base_dir: &Path, times: TokenTimes) -> Verifier {
    #[derive(serde::Deserialize)]
    struct File {
        issuer: Vec<IssuerSection>,
    }
    let file: File = toml::from_str(toml).unwrap();
    let mut complaints = Vec::new();
    let issuers = check(&file.issuer, &KeyPath::top().key("issuer"), base_dir, &mut complaints);
    assert_eq!(complaints, [], "the configuration of a test is good");
    Verifier::new(issuers, client(), times)
}

pub(crate) fn client() -> KeyClient {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    });
    KeyClient::new().unwrap()
}

/// The claims of a good token.
pub(crate) fn claims(issuer: &str) -> Value {
    json!({
        "iss": issuer,
        "sub": "alice",
        "aud": "doorward",
        "iat": NOW_SECONDS - 60,
        "exp": NOW_SECONDS + 600,
        "jti": "t-1",
    })
}

/// The same with some claims set; `null` takes one out.
pub(crate) fn claims_with(issuer: &str, changes: Value) -> Value {
    changed(claims(issuer), changes)
}

/// Claims with some set; `null` takes one out.
pub(crate) fn changed(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// A token of the key `k1` of type `at+jwt`.
pub(crate) fn signed(key: &Key, alg: &str, claims: &Value) -> String {
    mint::token(key, &json!({"alg": alg, "typ": "at+jwt", "kid": "k1"}).to_string(), &claims.to_string())
}

/// A token of the first issuer.
pub(crate) fn corp(changes: Value) -> String {
    signed(&RSA, "RS256", &claims_with(CORP, changes))
}
