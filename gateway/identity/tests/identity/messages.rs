//! Messages between servers: which are taken, and that each kind is refused as every other.
//!
//! The vectors S1 to S16 and L1 to L12 that concern the token itself are here, by number; those that
//! concern what it says are in `gateway/lifecycle/tests/signals`.

use std::time::Duration;

use doorward_identity::config::{IssuerSection, SenderSection, check, check_senders};
use doorward_identity::message::{MessageError, MessageKind, MessageVerifier, Rejection};
use doorward_model::{KeyPath, SessionId, UnixMillis};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::mint::{self, Key, P256, RSA, RSA_OTHER};
use crate::site::{Answer, Site};
use crate::world::{CORP, NOW, NOW_SECONDS, client, world};

const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

/// Senders of each kind, by name: `stream`, `logout`, `logout-lab`, `revoke`.
struct Post {
    verifier: MessageVerifier,
    _folder: TempDir,
}

#[derive(serde::Deserialize)]
struct File {
    issuer: Vec<IssuerSection>,
    #[serde(default)]
    stream: Vec<SenderSection>,
    #[serde(default)]
    logout: Vec<SenderSection>,
    #[serde(default)]
    revoke: Vec<SenderSection>,
    #[serde(default)]
    posture: Vec<SenderSection>,
}

fn verifier(toml: &str, folder: &TempDir) -> MessageVerifier {
    let file: File = toml::from_str(toml).unwrap();
    let (at, mut complaints) = (KeyPath::top(), Vec::new());
    let issuers = check(&file.issuer, &at, folder.path(), &mut complaints);
    let mut senders = Vec::new();
    for (sections, kind) in [
        (&file.stream, MessageKind::SecurityEvent),
        (&file.logout, MessageKind::Logout),
        (&file.revoke, MessageKind::RevocationCall),
        (&file.posture, MessageKind::DevicePosture),
    ] {
        senders.extend(check_senders(sections, kind, &issuers, &at, folder.path(), &mut complaints));
    }
    assert_eq!(complaints, [], "the configuration of a test is good");
    MessageVerifier::new(senders, &client())
}

fn post() -> Post {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, keys: &[Value]| {
        std::fs::write(folder.path().join(name), json!({ "keys": keys }).to_string()).unwrap();
    };
    write("corp.jwks", &[RSA.jwk("k1"), RSA_OTHER.jwk("k2")]);
    write("lab.jwks", &[P256.jwk("k1")]);
    let toml = r#"
        [[issuer]]
        id = "corp"
        issuer = "https://idp.corp.example"
        audiences = ["doorward"]
        algorithms = ["RS256"]
        jwks_file = "corp.jwks"

        [[issuer]]
        id = "lab"
        issuer = "https://idp.lab.example"
        audiences = ["doorward"]
        algorithms = ["ES256"]
        jwks_file = "lab.jwks"

        [[stream]]
        id = "stream"
        issuer = "https://idp.corp.example"
        audiences = ["doorward"]
        algorithms = ["RS256"]
        jwks_file = "corp.jwks"

        [[logout]]
        id = "logout"
        issuer = "https://idp.corp.example"
        audiences = ["doorward"]
        algorithms = ["RS256"]
        jwks_file = "corp.jwks"

        [[logout]]
        id = "logout-lab"
        issuer = "https://idp.lab.example"
        audiences = ["doorward"]
        algorithms = ["ES256"]
        jwks_file = "lab.jwks"

        [[revoke]]
        id = "revoke"
        issuer = "https://idp.corp.example"
        audiences = ["doorward"]
        algorithms = ["RS256"]
        jwks_file = "corp.jwks"
        client = "0oa1"

        [[posture]]
        id = "mdm"
        issuer = "https://idp.corp.example"
        audiences = ["doorward"]
        algorithms = ["RS256"]
        jwks_file = "corp.jwks"
    "#;
    Post { verifier: verifier(toml, &folder), _folder: folder }
}

/// `changes` laid over a good message; `null` takes one out.
fn with(mut good: Value, changes: &Value) -> String {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            good.as_object_mut().unwrap().remove(name);
        } else {
            good[name] = value.clone();
        }
    }
    good.to_string()
}

fn good_claims(kind: MessageKind) -> Value {
    let base = json!({"iss": CORP, "aud": "doorward", "iat": NOW_SECONDS - 5, "jti": "m-1"});
    let more = match kind {
        MessageKind::SecurityEvent => json!({
            "sub_id": {"format": "iss_sub", "iss": CORP, "sub": "alice"},
            "txn": "t-1",
            "toe": NOW_SECONDS - 9,
            "events": {SESSION_REVOKED: {"event_timestamp": NOW_SECONDS - 9}},
        }),
        MessageKind::Logout => json!({
            "exp": NOW_SECONDS + 115, "sub": "alice", "sid": "s-1", "events": {LOGOUT: {}},
        }),
        MessageKind::RevocationCall => json!({
            "exp": NOW_SECONDS + 295, "nbf": NOW_SECONDS - 305, "sub": "0oa1",
        }),
        MessageKind::DevicePosture => json!({
            "exp": NOW_SECONDS + 295, "sub": "laptop-1", "compliant": true,
        }),
    };
    serde_json::from_str(&with(base, &more)).unwrap()
}

fn header(kind: MessageKind) -> Value {
    json!({"alg": "RS256", "typ": kind.token_type(), "kid": "k1"})
}

/// A message of the first issuer with changed claims.
fn message(kind: MessageKind, changes: Value) -> String {
    mint::token(&RSA, &header(kind).to_string(), &with(good_claims(kind), &changes))
}

/// A good message with a changed header, signed as that header says.
fn headed(kind: MessageKind, key: &Key, changes: Value) -> String {
    let header = with(header(kind), &changes);
    mint::token(key, &header, &good_claims(kind).to_string())
}

/// What became of a message, whatever its kind.
async fn taken(post: &Post, kind: MessageKind, token: &str) -> Result<(), MessageError> {
    let verifier = &post.verifier;
    match kind {
        MessageKind::SecurityEvent => verifier.security_event("stream", token, NOW).await.map(|_| ()),
        MessageKind::Logout => verifier.logout("logout", token, NOW).await.map(|_| ()),
        MessageKind::RevocationCall => verifier.revocation_call("revoke", token, NOW).await.map(|_| ()),
        MessageKind::DevicePosture => verifier.posture("mdm", token, NOW).await.map(|_| ()),
    }
}

/// Each row: what it is called, the message, the code, and a word of what the operator reads.
async fn all_rejected(kind: MessageKind, rows: Vec<(&str, String, Rejection, &str)>) {
    let post = post();
    taken(&post, kind, &message(kind, json!({}))).await.unwrap();
    for (name, token, code, says) in rows {
        match taken(&post, kind, &token).await {
            Ok(()) => panic!("{name}: was taken"),
            Err(MessageError::Rejected(r)) => {
                assert_eq!(r.code, code, "{name}: {r}");
                assert!(r.detail.contains(says), "{name}: `{}`", r.detail);
                assert!(r.detail.len() < 400 && !r.detail.chars().any(char::is_control), "{name}");
                for segment in token.split('.').filter(|s| s.len() >= 16) {
                    assert!(!r.to_string().contains(segment), "{name}: tells a part of the message");
                }
            }
            Err(e @ MessageError::KeysUnavailable { .. }) => panic!("{name}: {e}"),
        }
    }
}

/// Rows that hold for every kind.
fn common(kind: MessageKind) -> Vec<(&'static str, String, Rejection, &'static str)> {
    use Rejection::{InvalidAudience, InvalidIssuer, InvalidKey, InvalidRequest};
    let good = message(kind, json!({}));
    let (input, signature) = good.rsplit_once('.').unwrap();
    let unsigned = |alg: &str| {
        let header = with(header(kind), &json!({"alg": alg}));
        format!("{}.{}.{signature}", mint::b64(header), mint::b64(good_claims(kind).to_string()))
    };
    let tampered = format!(
        "{}.{}.{signature}",
        mint::b64(header(kind).to_string()),
        mint::b64(with(good_claims(kind), &json!({"jti": "m-2"})))
    );
    vec![
        ("S5 HS256", unsigned("HS256"), InvalidKey, "other algorithms than `HS256`"),
        ("S5 alg none", unsigned("none"), InvalidKey, "other algorithms than `none`"),
        ("S5 alg None, no signature", format!("{input}."), InvalidRequest, "no signature"),
        (
            "ES256 of another issuer",
            headed(kind, &P256, json!({"alg": "ES256"})),
            InvalidKey,
            "other algorithms",
        ),
        (
            "another key under the name",
            headed(kind, &RSA_OTHER, json!({})),
            InvalidKey,
            "the signature is not one",
        ),
        ("a changed claim", tampered, InvalidKey, "the signature is not one"),
        ("S7 unknown kid", headed(kind, &RSA, json!({"kid": "k9"})), InvalidKey, "has no key `k9`"),
        ("no kid of two keys", headed(kind, &RSA, json!({"kid": null})), InvalidKey, "does not name its key"),
        ("crit", headed(kind, &RSA, json!({"crit": []})), InvalidRequest, "has `crit`"),
        ("its own key", headed(kind, &RSA, json!({"jwk": RSA.jwk("k1")})), InvalidRequest, "has `jwk`"),
        (
            "S1 at+jwt",
            headed(kind, &RSA, json!({"typ": "at+jwt"})),
            InvalidRequest,
            "a message of type `at+jwt`",
        ),
        ("S1 typ not text", headed(kind, &RSA, json!({"typ": 1})), InvalidRequest, "`typ` in the header"),
        (
            "S6 iss",
            message(kind, json!({"iss": "https://idp.lab.example"})),
            InvalidIssuer,
            "is not the `iss`",
        ),
        (
            "S6 iss with a slash",
            message(kind, json!({"iss": format!("{CORP}/")})),
            InvalidIssuer,
            "is not the `iss`",
        ),
        ("S6 no iss", message(kind, json!({"iss": null})), InvalidIssuer, "no `iss`"),
        ("S6 iss a list", message(kind, json!({"iss": [CORP]})), InvalidIssuer, "not one text"),
        ("S6 aud", message(kind, json!({"aud": "another-client"})), InvalidAudience, "another audience"),
        ("S6 no aud", message(kind, json!({"aud": null})), InvalidAudience, "no `aud`"),
        (
            "S6 aud of no kind",
            message(kind, json!({"aud": ["doorward", 1]})),
            InvalidAudience,
            "something else than text",
        ),
        ("no jti", message(kind, json!({"jti": null})), InvalidRequest, "no `jti`"),
        ("empty jti", message(kind, json!({"jti": ""})), InvalidRequest, "`jti` is not 1 to 255"),
        ("jti with a space", message(kind, json!({"jti": "a b"})), InvalidRequest, "`jti` is not 1 to 255"),
        ("long jti", message(kind, json!({"jti": "x".repeat(256)})), InvalidRequest, "`jti` is not 1 to 255"),
        ("no iat", message(kind, json!({"iat": null})), InvalidRequest, "no `iat`"),
        ("iat text", message(kind, json!({"iat": "1"})), InvalidRequest, "`iat` is not a number"),
        (
            "future iat",
            message(kind, json!({"iat": NOW_SECONDS + 61})),
            InvalidRequest,
            "`iat` lies in the future",
        ),
        ("four segments", format!("{good}.x"), InvalidRequest, "three segments"),
        ("no token", String::new(), InvalidRequest, "three segments"),
        ("too long", format!("{good}{}", "A".repeat(16 * 1024)), InvalidRequest, "longer than the limit"),
    ]
}

#[tokio::test]
async fn what_every_kind_must_be() {
    for kind in MessageKind::ALL {
        all_rejected(kind, common(kind)).await;
    }
}

#[tokio::test]
async fn s1_to_s6_a_security_event_says_one_thing_of_somebody_and_does_not_expire() {
    use Rejection::InvalidRequest;
    let kind = MessageKind::SecurityEvent;
    let two = json!({SESSION_REVOKED: {}, "https://example.com/other": {}});
    let event = |events: Value| message(kind, json!({ "events": events }));
    let rows = vec![
        ("S1 no typ", headed(kind, &RSA, json!({"typ": null})), InvalidRequest, "a message of type ``"),
        ("S1 JWT", headed(kind, &RSA, json!({"typ": "JWT"})), InvalidRequest, "a message of type `jwt`"),
        ("S2 exp", message(kind, json!({"exp": NOW_SECONDS + 60})), InvalidRequest, "has `exp`"),
        ("S3 sub", message(kind, json!({"sub": "alice"})), InvalidRequest, "has `sub`"),
        ("nonce", message(kind, json!({"nonce": "n"})), InvalidRequest, "has `nonce`"),
        ("S4 two events", event(two), InvalidRequest, "exactly one event"),
        ("S4 no event", event(json!({})), InvalidRequest, "exactly one event"),
        ("no events", message(kind, json!({"events": null})), InvalidRequest, "no object `events`"),
        ("events a list", event(json!([SESSION_REVOKED])), InvalidRequest, "no object `events`"),
        (
            "event not an object",
            event(json!({SESSION_REVOKED: []})),
            InvalidRequest,
            "the event is not an object",
        ),
        (
            "sub_id text",
            message(kind, json!({"sub_id": "alice"})),
            InvalidRequest,
            "`sub_id` is not an object",
        ),
        ("txn", message(kind, json!({"txn": 1})), InvalidRequest, "`txn` is not text"),
        ("toe", message(kind, json!({"toe": "now"})), InvalidRequest, "`toe` is not a number"),
    ];
    all_rejected(kind, rows).await;
}

#[tokio::test]
async fn l1_to_l11_a_logout_token_ends_sign_ins_and_nothing_else() {
    use Rejection::{InvalidAudience, InvalidRequest};
    let kind = MessageKind::Logout;
    let event = |events: Value| message(kind, json!({ "events": events }));
    let id_token = json!({"nonce": "n", "events": null, "sid": null, "at_hash": "x"});
    let rows = vec![
        ("L1 no events", message(kind, json!({"events": null})), InvalidRequest, "no object `events`"),
        ("L1 another event", event(json!({SESSION_REVOKED: {}})), InvalidRequest, "not the logout event"),
        (
            "L1 event not an object",
            event(json!({LOGOUT: true})),
            InvalidRequest,
            "the logout event and nothing else",
        ),
        (
            "L2 nonce in the event",
            event(json!({LOGOUT: {"nonce": "n"}})),
            InvalidRequest,
            "the logout event has a `nonce`",
        ),
        ("L2 a second event", event(json!({LOGOUT: {}, "x": {}})), InvalidRequest, "nothing else"),
        ("L3 nonce", message(kind, json!({"nonce": "n"})), InvalidRequest, "has `nonce`"),
        (
            "L4 neither sub nor sid",
            message(kind, json!({"sub": null, "sid": null})),
            InvalidRequest,
            "neither `sub` nor `sid`",
        ),
        ("L4 sub not text", message(kind, json!({"sub": 7})), InvalidRequest, "`sub` is not text"),
        ("L4 sid empty", message(kind, json!({"sid": ""})), InvalidRequest, "`sid`: "),
        (
            "L7 an ID token",
            mint::token(
                &RSA,
                &json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}).to_string(),
                &with(good_claims(kind), &id_token),
            ),
            InvalidRequest,
            "has `nonce`",
        ),
        ("L10 expired", message(kind, json!({"exp": NOW_SECONDS})), InvalidRequest, "expired 0 s ago"),
        ("L10 no exp", message(kind, json!({"exp": null})), InvalidRequest, "no `exp`"),
        (
            "good for too long",
            message(kind, json!({"exp": NOW_SECONDS + 2 * 86_400})),
            InvalidRequest,
            "more than 1440 minutes",
        ),
        ("L11 future iat", message(kind, json!({"iat": NOW_SECONDS + 90})), InvalidRequest, "in the future"),
        ("L12 aud", message(kind, json!({"aud": ["x", "y"]})), InvalidAudience, "another audience"),
        ("a security event", message(kind, json!({"sub_id": {}})), InvalidRequest, "has `sub_id`"),
    ];
    all_rejected(kind, rows).await;
}

#[tokio::test]
async fn a_revocation_call_says_who_calls() {
    use Rejection::{AccessDenied, InvalidRequest};
    let kind = MessageKind::RevocationCall;
    let rows = vec![
        ("no typ", headed(kind, &RSA, json!({"typ": null})), InvalidRequest, "a message of type ``"),
        ("JWT", headed(kind, &RSA, json!({"typ": "JWT"})), InvalidRequest, "a message of type `jwt`"),
        ("no exp", message(kind, json!({"exp": null})), InvalidRequest, "no `exp`"),
        ("expired", message(kind, json!({"exp": NOW_SECONDS - 7})), InvalidRequest, "expired 7 s ago"),
        ("nbf", message(kind, json!({"nbf": NOW_SECONDS + 61})), InvalidRequest, "`nbf` lies in the future"),
        ("events", message(kind, json!({"events": {}})), InvalidRequest, "has `events`"),
        ("another client", message(kind, json!({"sub": "0oa2"})), AccessDenied, "is not the `client`"),
        ("no client", message(kind, json!({"sub": null})), InvalidRequest, "no text `sub`"),
    ];
    all_rejected(kind, rows).await;
}

/// Five verifiers (those of messages, and that of bearer tokens), six kinds of token: each takes
/// its own, and an ID token is nobody's.
#[tokio::test]
async fn each_kind_is_refused_as_every_other() {
    let (post, world) = (post(), world());
    let signed = |typ: &str, claims: String| {
        mint::token(&RSA, &json!({"alg": "RS256", "typ": typ, "kid": "k1"}).to_string(), &claims)
    };
    let access = json!({"iss": CORP, "sub": "alice", "aud": "doorward", "iat": NOW_SECONDS - 5,
        "exp": NOW_SECONDS + 60, "jti": "m-1", "scope": "x"});
    let id = with(access.clone(), &json!({"scope": null, "nonce": "n", "sid": "s-1", "azp": "doorward"}));
    let tokens = [
        ("access", signed("at+jwt", access.to_string())),
        ("security event", message(MessageKind::SecurityEvent, json!({}))),
        ("logout", message(MessageKind::Logout, json!({}))),
        ("revocation call", message(MessageKind::RevocationCall, json!({}))),
        ("posture", message(MessageKind::DevicePosture, json!({}))),
        ("id", signed("JWT", id)),
    ];
    for (name, token) in &tokens {
        let took = [
            ("access", world.verifier.verify(token, NOW).await.is_ok()),
            ("security event", taken(&post, MessageKind::SecurityEvent, token).await.is_ok()),
            ("logout", taken(&post, MessageKind::Logout, token).await.is_ok()),
            ("revocation call", taken(&post, MessageKind::RevocationCall, token).await.is_ok()),
            ("posture", taken(&post, MessageKind::DevicePosture, token).await.is_ok()),
        ];
        for (as_what, took) in took {
            assert_eq!(took, *name == as_what, "{name} as {as_what}");
        }
    }
}

/// The same, when somebody lies about the type: what the claims must and must not be keeps the kinds apart.
#[tokio::test]
async fn a_changed_type_makes_no_other_kind() {
    let (post, world) = (post(), world());
    for claims_of in MessageKind::ALL {
        // A revocation call and a posture have no claim that an access token must not have: their type is all.
        let by_type = [MessageKind::RevocationCall, MessageKind::DevicePosture].contains(&claims_of);
        for typ in ["at+jwt", "JWT"].into_iter().filter(|_| !by_type) {
            let token = headed(claims_of, &RSA, json!({ "typ": typ }));
            assert!(world.verifier.verify(&token, NOW).await.is_err(), "{claims_of:?} as {typ}");
        }
        for as_kind in MessageKind::ALL.into_iter().filter(|k| *k != claims_of) {
            let token = headed(claims_of, &RSA, json!({"typ": as_kind.token_type()}));
            assert!(taken(&post, as_kind, &token).await.is_err(), "{claims_of:?} as {as_kind:?}");
        }
    }
}

#[tokio::test]
async fn what_a_message_says_is_told_whole() {
    let post = post();
    let event = post
        .verifier
        .security_event("stream", &message(MessageKind::SecurityEvent, json!({})), NOW)
        .await
        .unwrap();
    assert_eq!((event.sender().as_str(), event.issuer(), event.id()), ("stream", CORP, "m-1"));
    assert_eq!(event.issued_at(), UnixMillis::from_seconds(NOW_SECONDS - 5));
    assert_eq!(event.happened_at(), Some(UnixMillis::from_seconds(NOW_SECONDS - 9)));
    assert_eq!((event.cause(), event.event()), (Some("t-1"), SESSION_REVOKED));
    assert_eq!(event.subject().unwrap()["sub"], "alice");
    assert_eq!(event.payload()["event_timestamp"], NOW_SECONDS - 9);

    let old = message(MessageKind::SecurityEvent, json!({"iat": 1_000_000_000, "aud": ["x", "doorward"]}));
    post.verifier.security_event("stream", &old, NOW).await.unwrap();

    let out = post.verifier.logout("logout", &message(MessageKind::Logout, json!({})), NOW).await.unwrap();
    assert_eq!(out.user().unwrap().to_string(), "corp:alice");
    assert_eq!(out.session().unwrap().to_string(), "corp:s-1");
    assert_eq!(out.expires_at(), UnixMillis::from_seconds(NOW_SECONDS + 115));
    for (changes, user, session) in [(json!({"sub": null}), false, true), (json!({"sid": null}), true, false)]
    {
        let out = post.verifier.logout("logout", &message(MessageKind::Logout, changes), NOW).await.unwrap();
        assert_eq!((out.user().is_some(), out.session().is_some()), (user, session));
    }
    for typ in [json!(null), json!("JWT"), json!("application/logout+JWT")] {
        let token = headed(MessageKind::Logout, &RSA, json!({"typ": typ.clone()}));
        assert!(post.verifier.logout("logout", &token, NOW).await.is_ok(), "{typ}");
    }
}

#[tokio::test]
async fn l5_the_same_sid_of_another_issuer_is_another_session() {
    let post = post();
    let claims = with(good_claims(MessageKind::Logout), &json!({"iss": "https://idp.lab.example"}));
    let lab =
        mint::token(&P256, &json!({"alg": "ES256", "typ": "logout+jwt", "kid": "k1"}).to_string(), &claims);
    let session: SessionId =
        post.verifier.logout("logout-lab", &lab, NOW).await.unwrap().session().unwrap().clone();
    assert_eq!(session.to_string(), "lab:s-1");
    // Sent to the address of the other provider it is nothing.
    let refused = post.verifier.logout("logout", &lab, NOW).await.unwrap_err();
    assert!(matches!(&refused, MessageError::Rejected(r) if r.code == Rejection::InvalidIssuer), "{refused}");
}

#[tokio::test]
async fn a_name_that_is_of_nobody_or_of_another_kind_is_denied() {
    let post = post();
    let token = message(MessageKind::Logout, json!({}));
    for name in ["nobody", "stream", "", "logout\u{1b}"] {
        let refused = post.verifier.logout(name, &token, NOW).await.unwrap_err();
        assert!(
            matches!(&refused, MessageError::Rejected(r) if r.code == Rejection::AccessDenied),
            "{refused}"
        );
    }
    assert!(post.verifier.sender("stream", MessageKind::Logout).is_none());
    assert!(post.verifier.sender("stream", MessageKind::SecurityEvent).is_some());
}

fn at(url: &str, folder: &TempDir) -> MessageVerifier {
    let toml = format!(
        "[[issuer]]\nid='corp'\nissuer='{CORP}'\naudiences=['doorward']\nalgorithms=['RS256']\njwks_uri='{url}/keys'\n\
         [[logout]]\nid='logout'\nissuer='{CORP}'\naudiences=['doorward']\nalgorithms=['RS256']\njwks_uri='{url}/keys'\n\
         [[stream]]\nid='stream'\nissuer='{url}/t1'\npeople=['corp']\naudiences=['doorward']\nalgorithms=['RS256']\n"
    );
    verifier(&toml, folder)
}

#[tokio::test]
async fn l13_an_unknown_kid_fetches_once_a_minute_and_no_keys_at_all_is_not_the_senders_fault() {
    let (site, folder) = (Site::start().await, tempfile::tempdir().unwrap());
    let post = at(&site.url, &folder);
    let token = |kid: &str| headed(MessageKind::Logout, &RSA, json!({ "kid": kid }));
    let none = post.logout("logout", &token("k1"), NOW).await.unwrap_err();
    assert!(matches!(none, MessageError::KeysUnavailable { .. }), "{none}");

    site.set("/keys", Answer::ok(json!({"keys": [RSA.jwk("k1")]}).to_string()));
    let minute_later = NOW.plus(Duration::from_secs(61));
    post.logout("logout", &token("k1"), minute_later).await.unwrap();
    let before = site.hits("/keys");
    for i in 0..20 {
        let refused = post.logout("logout", &token(&format!("x{i}")), minute_later).await.unwrap_err();
        assert!(matches!(refused, MessageError::Rejected(_)), "{refused}");
    }
    assert_eq!(site.hits("/keys"), before, "a minute has not passed");
    for i in 0..20 {
        let _refused =
            post.logout("logout", &token(&format!("y{i}")), NOW.plus(Duration::from_secs(130))).await;
    }
    assert_eq!(site.hits("/keys"), before + 1);
}

#[tokio::test]
async fn s8_a_key_that_was_taken_back_signs_no_more_and_a_transmitter_is_discovered() {
    let (site, folder) = (Site::start().await, tempfile::tempdir().unwrap());
    let post = at(&site.url, &folder);
    let issuer = format!("{}/t1", site.url);
    let about =
        json!({"issuer": issuer, "jwks_uri": format!("{}/ssf/keys", site.url), "spec_version": "1_0"});
    site.set("/.well-known/ssf-configuration/t1", Answer::ok(about.to_string()));
    site.set("/ssf/keys", Answer::ok(json!({"keys": [RSA.jwk("k1")]}).to_string()));
    let token = message(MessageKind::SecurityEvent, json!({ "iss": issuer }));
    post.security_event("stream", &token, NOW).await.unwrap();

    site.set("/ssf/keys", Answer::ok(json!({"keys": [RSA_OTHER.jwk("k2")]}).to_string()));
    post.refresh_all(NOW.plus(Duration::from_secs(300))).await;
    let refused =
        post.security_event("stream", &token, NOW.plus(Duration::from_secs(301))).await.unwrap_err();
    assert!(matches!(&refused, MessageError::Rejected(r) if r.code == Rejection::InvalidKey), "{refused}");
    assert_eq!(post.key_status(NOW).len(), 2);
}
