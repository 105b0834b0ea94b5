use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::KeyPath;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::*;
use crate::config::{Issuer, IssuerSection, check};

#[derive(Deserialize)]
struct File {
    issuer: Vec<IssuerSection>,
}

/// The issuers, and the complaints as `where: what (help)`.
fn read(toml: &str, base_dir: &Path) -> (Vec<Issuer>, Vec<String>) {
    let file: File = toml::from_str(toml).unwrap();
    let mut complaints = Vec::new();
    let issuers = check(&file.issuer, &KeyPath::top().key("issuer"), base_dir, &mut complaints);
    let said =
        complaints.iter().map(|c| format!("{c} ({})", c.help.as_deref().unwrap_or("no help"))).collect();
    (issuers, said)
}

fn put(folder: &Path, name: &str, content: &str, mode: u32) {
    let file = folder.join(name);
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

/// A folder with a secret, and with keys of every sort.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    put(at, "secret", "s3cret\n", 0o600);
    put(at, "open", "s3cret\n", 0o640);
    put(at, "empty", "\n", 0o600);
    put(at, "two", "one\ntwo\n", 0o600);
    put(at, "long", &"x".repeat(70_000), 0o600);
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    put(at, "p256.pem", &pem(p256.to_pkcs8v1().unwrap().as_ref()), 0o600);
    put(at, "p256-open.pem", &pem(p256.to_pkcs8v1().unwrap().as_ref()), 0o604);
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    put(at, "p384.pem", &pem(p384.to_pkcs8v1().unwrap().as_ref()), 0o600);
    let ed = Ed25519KeyPair::generate().unwrap();
    put(at, "ed.pem", &pem(ed.to_pkcs8v1().unwrap().as_ref()), 0o600);
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = rsa.as_der().unwrap();
    put(at, "rsa.pem", &pem(der.as_ref()), 0o600);
    dir
}

/// An issuer with a sign-in. `changes` are lines in the place of those of the same key.
fn table(changes: &str) -> String {
    let key = |line: &str| line.split(['=', '.']).next().unwrap_or("").trim().to_owned();
    let new: Vec<String> = changes.lines().map(key).collect();
    let good = ["client_id='gw'", "client_secret_file='secret'"];
    let kept: Vec<&str> = good.into_iter().filter(|line| !new.contains(&key(line))).collect();
    format!(
        "[[issuer]]\nid='corp'\nissuer='https://idp.corp.example'\naudiences=['doorward']\nalgorithms=['RS256']\n\
         [issuer.sign_in]\n{}\n{changes}\n",
        kept.join("\n")
    )
}

#[test]
fn a_short_table_is_enough_and_has_defaults() {
    let dir = folder();
    let (issuers, said) = read(&table(""), dir.path());
    assert_eq!(said, Vec::<String>::new());
    assert!(issuers[0].is_provider());
    let terms = issuers[0].sign_in.as_ref().unwrap();
    assert_eq!((terms.title.as_str(), terms.client_id.as_str()), ("corp", "gw"));
    assert!(matches!(&terms.client, ClientAuth::Basic(secret) if secret.expose() == "s3cret"));
    assert_eq!(terms.scopes, ["openid", "email", "profile", "offline_access"]);
    assert!(terms.two_factor_classes && !terms.userinfo && !terms.prompt_login_on_max_age);
    assert_eq!(terms.endpoints, None);
    assert!(!format!("{issuers:?}").contains("s3cret"));
}

#[test]
fn what_may_be_written_may_be_written() {
    let dir = folder();
    for changes in [
        "client_auth='post'",
        "client_auth='basic'",
        "title='Corp SSO'",
        "revalidate=false",
        "scopes=['openid','groups']",
        "mfa_acr_values=['urn:okta:loa:2fa:any']\nphishing_resistant_acr_values=['phr','phrh']",
        "claims_acrs={mfa='c1',phishing_resistant='c2'}",
        "parameters={access_type='offline',hd='corp.example'}",
        "authorization_endpoint='https://idp.corp.example/a?x=1'\ntoken_endpoint='https://elsewhere.example/t'",
        "authorization_endpoint='http://localhost:9/a'\ntoken_endpoint='http://localhost:9/t'\n\
         userinfo_endpoint='http://localhost:9/u'\nuserinfo=true\nanswers_name_issuer=true",
    ] {
        let (issuers, said) = read(&table(changes), dir.path());
        assert_eq!((issuers.len(), said), (1, vec![]), "{changes}");
    }
}

#[test]
fn who_only_signs_people_in_needs_no_name_for_bearer_tokens() {
    let dir = folder();
    let (issuers, said) = read(&table("").replace("audiences=['doorward']\n", ""), dir.path());
    assert_eq!(said, Vec::<String>::new());
    assert!(issuers[0].audiences.is_empty());
}

#[test]
fn each_mistake_is_named_where_it_stands() {
    let dir = folder();
    for (changes, at, says) in [
        ("client_id=''", "client_id", "not the id of a client"),
        ("client_id='a b'", "client_id", "not the id of a client"),
        ("client_id='doorward'", "client_id", "is in `audiences`, too"),
        ("client_secret_file='missing'", "client_secret_file", "cannot be read"),
        ("client_secret_file='.'", "client_secret_file", "is not a file"),
        ("client_secret_file='open'", "client_secret_file", "chmod 600"),
        ("client_secret_file='empty'", "client_secret_file", "is empty"),
        ("client_secret_file='two'", "client_secret_file", "not one line"),
        ("client_secret_file='long'", "client_secret_file", "is larger than"),
        ("client_auth='secret'", "client_auth", "no way to prove"),
        ("client_auth='key'", "client_secret_file", "has no use"),
        ("client_key_file='p256.pem'", "client_secret_file", "has no use"),
        ("client_key_id='k'", "client_key_id", "has no use without"),
        ("client_key_audience='issuer'", "client_key_audience", "has no use without"),
        ("title=''", "title", "cannot stand on a button"),
        ("title=\"a\\u0007b\"", "title", "cannot stand on a button"),
        ("scopes=[]", "scopes", "do not have `openid`"),
        ("scopes=['email']", "scopes", "do not have `openid`"),
        ("scopes=['openid','a b']", "scopes[1]", "not a scope"),
        ("mfa_acr_values=['a','']", "mfa_acr_values[1]", "not a value of `acr`"),
        ("phishing_resistant_acr_values=['a b']", "phishing_resistant_acr_values[0]", "not a value"),
        ("claims_acrs={mfa=''}", "claims_acrs.mfa", "not an authentication context"),
        ("parameters={state='x'}", "parameters.state", "says `state` itself"),
        ("parameters={request_uri='x'}", "parameters.request_uri", "itself"),
        ("parameters={'a b'='x'}", "parameters.a b", "not a parameter"),
        ("token_endpoint='https://x.example/'", "token_endpoint", "alone does not say"),
        ("end_session_endpoint='https://x.example/'", "end_session_endpoint", "alone does not say"),
        ("answers_name_issuer=true", "answers_name_issuer", "alone does not say"),
        ("token_endpoint='http://x.example/'", "token_endpoint", "not an https address"),
        ("authorization_endpoint='https://x.example/#a'", "authorization_endpoint", "not an https address"),
        (
            "authorization_endpoint='https://x.example/'\ntoken_endpoint='https://x.example/'\nuserinfo=true",
            "userinfo",
            "where the userinfo endpoint is",
        ),
    ] {
        let (issuers, said) = read(&table(changes), dir.path());
        assert_eq!((issuers.len(), said.len()), (0, 1), "{changes}: {said:#?}");
        let place = format!("issuer[0].sign_in.{at}: ");
        assert!(said[0].starts_with(&place) && said[0].contains(says), "{changes}: {}", said[0]);
        assert!(!said[0].contains("s3cret"), "{}", said[0]);
    }
    for (toml, says) in [
        (table("").replace("client_id='gw'", ""), "has no `client_id`"),
        (table("").replace("client_secret_file='secret'", ""), "has no `client_secret_file`"),
        (
            table("").replace(
                "'https://idp.corp.example'",
                "'https://idp.corp.example?x=1'\njwks_uri='https://x.example/k'",
            ),
            "cannot be discovered",
        ),
    ] {
        let (_, said) = read(&toml, dir.path());
        assert!(said.len() == 1 && said[0].contains(says), "{said:#?}");
    }
}

#[test]
fn machines_do_not_sign_in() {
    let dir = folder();
    let people = "[[issuer]]\nid='p'\nissuer='https://p.example'\naudiences=['d']\nalgorithms=['RS256']\n";
    let robots = table("")
        .replace("[issuer.sign_in]", "subjects='service_accounts'\nclaims.owner='o'\n[issuer.sign_in]");
    let (_, said) = read(&format!("{people}{robots}"), dir.path());
    assert!(said.len() == 1 && said[0].contains("do not sign in with a browser"), "{said:#?}");
}

#[test]
fn a_key_signs_as_it_can() {
    let dir = folder();
    let key =
        |file: &str| table(&format!("client_key_file='{file}'")).replace("client_secret_file='secret'\n", "");
    for (file, algorithm) in
        [("p256.pem", Algorithm::ES256), ("ed.pem", Algorithm::EdDSA), ("rsa.pem", Algorithm::RS256)]
    {
        let (issuers, said) = read(&key(file), dir.path());
        assert_eq!(said, Vec::<String>::new(), "{file}");
        let ClientAuth::Key(assertion) = &issuers[0].sign_in.as_ref().unwrap().client else {
            panic!("{file}")
        };
        assert_eq!((assertion.algorithm, assertion.for_issuer), (algorithm, false));
        assert!(!format!("{assertion:?}").contains("key: "), "{assertion:?}");
    }
    for (file, says) in [
        ("p384.pem", "has no private key that can sign"),
        ("secret", "has no private key"),
        ("p256-open.pem", "chmod 600"),
    ] {
        let (_, said) = read(&key(file), dir.path());
        assert!(said.len() == 1 && said[0].contains(says), "{file}: {said:#?}");
        assert!(said[0].starts_with("issuer[0].sign_in.client_key_file: "), "{file}: {said:#?}");
    }
}
