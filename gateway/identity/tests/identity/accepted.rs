//! What good tokens say, in our words.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_identity::TokenTimes;
use doorward_model::{
    Compliance, CountryCode, Employment, LifecycleStage, Principal, RefusalCode, Risk, UnixMillis,
};
use serde_json::{Value, json};

use crate::mint::{self, ED, P256, P384, RSA};
use crate::world::*;

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

#[tokio::test]
async fn every_pinned_algorithm_verifies() {
    let world = world();
    for (issuer, key, alg, id) in [
        (CORP, &*RSA, "RS256", "corp"),
        (PSS, &*RSA, "PS256", "pss"),
        (LAB, &*P256, "ES256", "lab"),
        (P384_ISSUER, &*P384, "ES384", "p384"),
        (ED_ISSUER, &*ED, "EdDSA", "ed"),
    ] {
        let token = signed(key, alg, &claims(issuer));
        let verified = world.verifier.verify(&token, NOW).await.expect(alg);
        assert_eq!(verified.issuer().as_str(), id);
        assert_eq!(verified.principal().id().unwrap().to_string(), format!("{id}:alice"));
        assert!(world.verifier.cached(&token, NOW).is_some());
    }
}

#[tokio::test]
async fn a_token_that_says_little_proves_little() {
    let world = world();
    let verified = world.verifier.verify(&corp(json!({"jti": null})), NOW).await.unwrap();
    let Principal::User(user) = &**verified.principal() else { panic!("not a user") };
    assert_eq!((&user.name, &user.email, &user.department), (&None, &None, &None));
    assert!(user.groups.is_empty() && user.roles.is_empty() && user.tags.is_empty());
    assert_eq!(user.stage, LifecycleStage::Active, "the issuer's default");
    assert_eq!(user.employment, Employment::Unknown);
    assert_eq!(user.home_country, CountryCode::UNKNOWN);
    assert_eq!(user.contract_end, None);
    assert_eq!(*verified.assurance(), doorward_model::Assurance::default());
    assert_eq!(*verified.device(), doorward_model::DevicePosture::default());
    assert_eq!(verified.risk(), Risk::UNKNOWN);
    assert!(verified.scopes().is_empty());
    let session = verified.session();
    assert_eq!((&session.session, &session.token), (&None, &None));
    assert_eq!(session.issued_at, UnixMillis::from_seconds(NOW_SECONDS - 60));
    assert_eq!(session.expires_at, UnixMillis::from_seconds(NOW_SECONDS + 600));
}

#[tokio::test]
async fn everything_that_a_token_says_is_understood() {
    let world = world();
    let token = corp(json!({
        "name": "Alice Ä.", "email": "alice@corp.example", "email_verified": true,
        "groups": ["staff", "hr"], "realm_access": {"roles": ["approver"]},
        "sid": "s-9", "scope": "a:read  a:write", "employment": "contractor", "country": "de",
        "department": "People", "contract_end": 1_800_000_000, "stage": "leave",
        "device_id": "dev-1", "device_managed": true, "device_compliant": true, "device_platform": "macOS",
        "risk": 12.2, "cost_center": "4711", "https://corp.example/team": "red", "not_asked_for": "x",
        "amr": ["pwd", "hwk"], "acr": "urn:1fa", "auth_time": NOW_SECONDS - 30,
        "aud": ["other", "doorward"], "nbf": NOW_SECONDS - 60,
    }));
    let verified = world.verifier.verify(&token, NOW).await.unwrap();
    let Principal::User(user) = &**verified.principal() else { panic!("not a user") };
    assert_eq!(user.name.as_deref(), Some("Alice Ä."));
    assert_eq!(user.email.as_deref(), Some("alice@corp.example"));
    assert_eq!((&user.groups, &user.roles), (&set(&["staff", "hr"]), &set(&["approver"])));
    assert_eq!((user.stage, user.employment), (LifecycleStage::Leave, Employment::Contractor));
    assert_eq!((user.home_country.as_str(), user.department.as_deref()), ("DE", Some("People")));
    assert_eq!(user.contract_end, Some(UnixMillis::from_seconds(1_800_000_000)));
    let tags: Vec<_> = user.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(tags, [("cost_center", "4711"), ("https://corp.example/team", "red")]);
    assert_eq!(verified.scopes(), &set(&["a:read", "a:write"]));
    assert_eq!(verified.session().session.as_ref().unwrap().to_string(), "corp:s-9");
    assert_eq!(verified.session().token.as_ref().unwrap().to_string(), "corp:t-1");
    let device = verified.device();
    assert_eq!((device.id.as_ref().unwrap().as_str(), device.managed), ("dev-1", true));
    assert_eq!((device.compliance, device.platform.as_deref()), (Compliance::Compliant, Some("macos")));
    assert_eq!(verified.risk().score(), Some(13));
    let signed_in = Some(UnixMillis::from_seconds(NOW_SECONDS - 30));
    let assurance = verified.assurance();
    assert!(assurance.mfa && assurance.phishing_resistant);
    assert_eq!((assurance.authenticated_at, assurance.mfa_at), (signed_in, signed_in));
}

#[tokio::test]
async fn mfa_is_what_this_issuer_calls_so() {
    let world = world();
    for (says, mfa, phishing_resistant) in [
        (json!({"amr": ["mfa"]}), true, false),
        (json!({"amr": ["hwk"]}), true, true),
        (json!({"acr": "urn:2fa"}), true, false),
        (json!({"amr": ["pwd", "otp"]}), false, false),
        (json!({"amr": ["MFA"]}), false, false),
        (json!({"acr": "mfa"}), false, false),
        (json!({"amr": ["urn:2fa"]}), false, false),
        (json!({"amr": []}), false, false),
        (json!({"mfa": true}), false, false),
    ] {
        let verified = world.verifier.verify(&corp(says.clone()), NOW).await.unwrap();
        let assurance = verified.assurance();
        assert_eq!((assurance.mfa, assurance.phishing_resistant), (mfa, phishing_resistant), "{says}");
        assert_eq!(assurance.mfa_at, None, "without `auth_time` nobody knows when");
    }
}

/// S9 of the incident classes: the address is what it seems, or it is not there.
#[tokio::test]
async fn an_address_counts_only_when_it_is_verified_and_plain() {
    let world = world();
    for (says, email) in [
        (json!({"email": "a@corp.example", "email_verified": true}), Ok(Some("a@corp.example"))),
        (json!({"email": "a@corp.example"}), Ok(None)),
        (json!({"email": "a@corp.example", "email_verified": false}), Ok(None)),
        (json!({"email": "a@corp.example", "email_verified": "true"}), Ok(None)),
        (json!({"email": "a@corp.example", "email_verified": 1}), Ok(None)),
        (json!({"email": "a@corp.example", "email_verified": [true]}), Ok(None)),
        (json!({"email": "", "email_verified": true}), Ok(None)),
        (json!({"email": "a@evil.example@corp.example", "email_verified": true}), Err(())),
        (json!({"email": "@corp.example", "email_verified": true}), Err(())),
        (json!({"email": "a@", "email_verified": true}), Err(())),
        (json!({"email": "corp.example", "email_verified": true}), Err(())),
        (json!({"email": "a b@corp.example", "email_verified": true}), Err(())),
        (json!({"email": "a@evil.example,b@corp.example", "email_verified": true}), Err(())),
        (json!({"email": "<a@corp.example>", "email_verified": true}), Err(())),
        (json!({"email": "a@corp.example\u{0}.evil.example", "email_verified": true}), Err(())),
        (json!({"email": ["a@corp.example"], "email_verified": true}), Err(())),
        (json!({"email": {"x": "a@corp.example"}}), Err(())),
    ] {
        let got = world.verifier.verify(&corp(says.clone()), NOW).await;
        match (got, email) {
            (Ok(verified), Ok(email)) => {
                let Principal::User(user) = &**verified.principal() else { panic!("not a user") };
                assert_eq!(user.email.as_deref(), email, "{says}");
            }
            (Err(refusal), Err(())) => assert_eq!(refusal.code, RefusalCode::InvalidCredential, "{says}"),
            (got, _) => panic!("{says}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn an_agent_acts_for_a_person_and_the_outermost_actor_counts() {
    let world = world();
    let act = json!({"sub": "bot-1", "act": {"sub": "bot-0", "act": {"sub": ["nonsense"]}}});
    let token = corp(json!({"act": act, "scope": ["mail:read"], "groups": ["staff"]}));
    let verified = world.verifier.verify(&token, NOW).await.unwrap();
    let Principal::Agent(agent) = &**verified.principal() else { panic!("not an agent") };
    assert_eq!(
        (agent.id.to_string(), agent.on_behalf_of.id.to_string()),
        ("corp:bot-1".into(), "corp:alice".into())
    );
    assert_eq!((&agent.scopes, &agent.on_behalf_of.groups), (&set(&["mail:read"]), &set(&["staff"])));
    assert_eq!(agent.scopes, *verified.scopes());

    let same_issuer = corp(json!({"act": {"sub": "bot-1", "iss": CORP}}));
    assert!(world.verifier.verify(&same_issuer, NOW).await.is_ok());
}

#[tokio::test]
async fn a_service_account_has_an_owner_of_a_known_issuer() {
    let world = world();
    for (owner, expect) in [
        (json!("corp:bob"), Some("corp:bob")),
        // Of this issuer it would be a service account, which never leaves; of another we must be told.
        (json!("bob"), None),
        (json!("machines:bob"), None),
        (json!("robots:bob"), None),
        (json!("corp:urn:x:bob"), Some("corp:urn:x:bob")),
        (json!("nobody:bob"), None),
        (json!("urn:x:bob"), None),
        (json!("corp:"), None),
        (json!("machines:alice"), None),
        (json!("alice"), None),
        (json!(""), None),
        (json!(["bob"]), None),
        (Value::Null, None),
    ] {
        let token = signed(&P256, "ES256", &claims_with(MACHINES, json!({"owner": owner, "scope": "x"})));
        match (world.verifier.verify(&token, NOW).await, expect) {
            (Ok(verified), Some(expect)) => {
                let Principal::ServiceAccount(account) = &**verified.principal() else {
                    panic!("not an account")
                };
                assert_eq!(
                    (account.id.to_string(), account.owner.to_string()),
                    ("machines:alice".into(), expect.into())
                );
                assert_eq!(account.scopes, set(&["x"]));
            }
            (Err(refusal), None) => assert_eq!(refusal.code, RefusalCode::InvalidCredential, "{owner}"),
            (got, _) => panic!("{owner}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn an_owner_without_issuer_is_of_the_people_who_are_configured() {
    let world = world();
    for (owner, expect) in [
        ("bob", Some("corp:bob")),
        ("corp:bob", Some("corp:bob")),
        ("lab:bob", Some("lab:bob")),
        // The account itself has this subject; the person of that name is somebody else.
        ("alice", Some("corp:alice")),
        ("robots:alice", None),
        ("robots:bob", None),
        ("machines:bob", None),
        ("nobody:bob", None),
        (":bob", None),
    ] {
        let token = signed(&P256, "ES256", &claims_with(ROBOTS, json!({"owner": owner})));
        match (world.verifier.verify(&token, NOW).await, expect) {
            (Ok(verified), Some(expect)) => {
                let Principal::ServiceAccount(account) = &**verified.principal() else {
                    panic!("not an account")
                };
                assert_eq!(
                    (account.id.to_string(), account.owner.to_string()),
                    ("robots:alice".into(), expect.into())
                );
            }
            (Err(refusal), None) => assert_eq!(refusal.code, RefusalCode::InvalidCredential, "{owner}"),
            (got, _) => panic!("{owner}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn an_empty_stage_is_no_default() {
    let world = world();
    for (says, stage) in
        [(json!({}), LifecycleStage::Active), (json!({"stage": ""}), LifecycleStage::Unknown)]
    {
        let verified = world.verifier.verify(&corp(says.clone()), NOW).await.unwrap();
        assert_eq!(verified.principal().stage(), stage, "{says}");
    }
}

/// What an access token of type `JWT` may have in common with an ID token.
#[tokio::test]
async fn a_nonce_is_no_harm_beside_a_word_of_access() {
    let world = world();
    for says in [
        json!({"scope": "openid payroll:read"}),
        json!({"scope": ["payroll:read"]}),
        json!({"scp": "payroll.read"}),
        json!({"scp": ["payroll.read"]}),
        json!({"typ": "Bearer", "azp": "portal"}),
        json!({"token_use": "access", "client_id": "portal"}),
    ] {
        let mut claims = claims_with(CORP, says.clone());
        claims["nonce"] = json!("n-1");
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}).to_string();
        let token = mint::token(&RSA, &header, &claims.to_string());
        assert!(world.verifier.verify(&token, NOW).await.is_ok(), "{says}");
    }
    // `at+jwt` is such a word.
    assert!(world.verifier.verify(&corp(json!({"nonce": "n-1"})), NOW).await.is_ok());
}

#[tokio::test]
async fn stages_have_a_default_and_strange_ones_have_no_access() {
    let world = world();
    for (says, stage) in [
        (json!({}), LifecycleStage::Unknown),
        (json!({"stage": "active"}), LifecycleStage::Active),
        (json!({"stage": "Active"}), LifecycleStage::Unknown),
        (json!({"stage": "alumni"}), LifecycleStage::Unknown),
        (json!({"stage": "deactivated"}), LifecycleStage::Deactivated),
    ] {
        let token = signed(&P256, "ES256", &claims_with(LAB, says.clone()));
        assert_eq!(world.verifier.verify(&token, NOW).await.unwrap().principal().stage(), stage, "{says}");
    }
}

#[tokio::test]
async fn types_are_compared_as_the_rfc_says_and_absence_must_be_allowed() {
    let world = world();
    for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt", "JWT", "jwt"] {
        let header = json!({"alg": "RS256", "typ": typ, "kid": "k1"}).to_string();
        let token = mint::token(&RSA, &header, &claims(CORP).to_string());
        assert!(world.verifier.verify(&token, NOW).await.is_ok(), "{typ}");
    }
    let bare = json!({"alg": "EdDSA", "kid": "k1"}).to_string();
    assert!(
        world.verifier.verify(&mint::token(&ED, &bare, &claims(ED_ISSUER).to_string()), NOW).await.is_ok()
    );
}

#[tokio::test]
async fn a_token_without_key_name_means_the_only_key() {
    let world = world();
    let header = json!({"alg": "ES256", "typ": "at+jwt"}).to_string();
    assert!(world.verifier.verify(&mint::token(&P256, &header, &claims(LAB).to_string()), NOW).await.is_ok());
}

/// One number for tokens and for revocations: a token from further in the future than its
/// revocation reckons with would survive it (R5).
#[tokio::test]
async fn the_skew_is_the_configured_one_wherever_it_counts() {
    for skew_seconds in [0_i64, 2, 30] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("keys"), json!({"keys": [P256.jwk("k1")]}).to_string()).unwrap();
        let toml = format!(
            "[[issuer]]\nid = 'lab'\nissuer = '{LAB}'\naudiences = ['doorward']\nalgorithms = ['ES256']\njwks_file = 'keys'"
        );
        let skew = Duration::from_secs(skew_seconds.unsigned_abs());
        let verifier = verifier_at(&toml, folder.path(), TokenTimes { issuer_skew: skew, ..TIMES });
        for name in ["iat", "nbf", "auth_time"] {
            let at = |seconds: i64| {
                signed(&P256, "ES256", &claims_with(LAB, json!({name: NOW_SECONDS + seconds})))
            };
            let (good, bad) = (at(skew_seconds), at(skew_seconds + 1));
            assert!(verifier.verify(&good, NOW).await.is_ok(), "{name} within {skew_seconds} s");
            assert!(verifier.cached(&good, NOW).is_some(), "{name} within {skew_seconds} s");
            let refusal = verifier.verify(&bad, NOW).await.unwrap_err();
            assert!(refusal.detail.contains("in the future"), "{name}: {}", refusal.detail);
            if name != "auth_time" {
                // What is remembered keeps to the same number when the clock goes back.
                assert!(verifier.cached(&good, NOW.minus(Duration::from_millis(1))).is_none(), "{name}");
            }
        }
    }
}

/// A revoked token is forgotten after the retention; it must be over by then.
#[tokio::test]
async fn no_token_outlives_the_memory_of_its_revocation() {
    let world = world();
    let day = 86_400;
    for (says, good) in [
        (json!({"iat": NOW_SECONDS - 60, "exp": NOW_SECONDS - 62 + 400 * day}), true),
        (json!({"iat": NOW_SECONDS - 60, "exp": NOW_SECONDS - 61 + 400 * day}), false),
        // Old, and nearly over: it lived too long all the same, and may have been revoked at first.
        (json!({"iat": NOW_SECONDS - 500 * day, "exp": NOW_SECONDS + 60}), false),
        (json!({"exp": 253_402_300_799_i64}), false),
    ] {
        match (world.verifier.verify(&corp(says.clone()), NOW).await, good) {
            (Ok(_), true) => {}
            (Err(refusal), false) => {
                assert_eq!(refusal.code, RefusalCode::InvalidCredential);
                assert!(
                    refusal.detail.contains("forgotten after 400 (`revocation.retention_days`)"),
                    "{}",
                    refusal.detail
                );
            }
            (got, _) => panic!("{says}: {got:?}"),
        }
    }
}

#[tokio::test]
async fn skew_is_for_issued_at_and_not_before_but_not_for_expiry() {
    let world = world();
    let at = |seconds: f64| json!(NOW_SECONDS as f64 + seconds);
    for (says, code) in [
        (json!({"iat": at(1.0)}), None),
        (json!({"iat": at(2.0)}), None),
        (json!({"iat": at(2.5)}), Some(RefusalCode::InvalidCredential)),
        (json!({"nbf": at(2.0)}), None),
        (json!({"nbf": at(3.0)}), Some(RefusalCode::InvalidCredential)),
        (json!({"exp": at(0.001)}), None),
        (json!({"exp": at(0.0)}), Some(RefusalCode::ExpiredCredential)),
        (json!({"exp": at(-1.0)}), Some(RefusalCode::ExpiredCredential)),
        (json!({"exp": NOW_SECONDS + 5}), None),
    ] {
        let got = world.verifier.verify(&corp(says.clone()), NOW).await;
        assert_eq!(got.err().map(|r| r.code), code, "{says}");
    }
}

const OTHER_NAMES: &str = r#"
    [[issuer]]
    id = "entra"
    issuer = "https://idp.corp.example"
    audiences = ["doorward"]
    algorithms = ["RS256"]
    jwks_file = "corp.jwks"
    subject_claim = "oid"
    tenant = "0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab"
    claims.email_verified = "xms_edov"

    [[issuer]]
    id = "okta"
    issuer = "https://idp.lab.example"
    audiences = ["doorward"]
    algorithms = ["ES256"]
    jwks_file = "lab.jwks"
    subject_claim = "uid"
    claims.email_verified_text = true
"#;

#[tokio::test]
async fn another_claim_names_people_where_the_issuer_is_known_to_have_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, key) in [("corp.jwks", &*RSA), ("lab.jwks", &*P256)] {
        std::fs::write(folder.path().join(name), json!({"keys": [key.jwk("k1")]}).to_string()).unwrap();
    }
    let verifier = verifier(OTHER_NAMES, folder.path());
    let entra = |changes: Value| corp(changes);
    let okta = |changes: Value| signed(&P256, "ES256", &claims_with(LAB, changes));
    let tenant = "0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab";
    for (token, want) in [
        (entra(json!({"oid": "o-1", "tid": tenant})), Ok("entra:o-1")),
        (entra(json!({"oid": "o-1", "tid": tenant, "act": {"sub": "x", "oid": "a-1"}})), Ok("entra:a-1")),
        (entra(json!({"oid": "o-1"})), Err("the token has no `tid`")),
        (entra(json!({"oid": "o-1", "tid": "0f0e0d0c-aaaa-4bbb-8ccc-1234567890ac"})), Err("another tenant")),
        (entra(json!({"tid": tenant})), Err("the token has no `oid`")),
        (entra(json!({"oid": 7, "tid": tenant})), Err("`oid` is not text")),
        (entra(json!({"oid": "", "tid": tenant})), Err("`oid`: ")),
        (entra(json!({"oid": "o-1", "tid": tenant, "sub": null})), Err("the token has no `sub`")),
        (entra(json!({"oid": "o-1", "tid": tenant, "act": {"sub": "x"}})), Err("no text `oid`")),
        (okta(json!({"uid": "00u1", "sub": "ada@corp.example"})), Ok("okta:00u1")),
        (okta(json!({"sub": "ada@corp.example"})), Err("the token has no `uid`")),
    ] {
        let verified = verifier.verify(&token, NOW).await;
        match want {
            Ok(id) => assert_eq!(verified.unwrap().principal().id().unwrap().to_string(), id),
            Err(says) => {
                let refusal = verified.unwrap_err();
                assert_eq!(refusal.code, RefusalCode::InvalidCredential);
                assert!(refusal.detail.contains(says), "{}: {says}", refusal.detail);
            }
        }
    }
}

#[tokio::test]
async fn an_address_is_verified_in_the_words_of_its_issuer_only() {
    let folder = tempfile::tempdir().unwrap();
    for (name, key) in [("corp.jwks", &*RSA), ("lab.jwks", &*P256)] {
        std::fs::write(folder.path().join(name), json!({"keys": [key.jwk("k1")]}).to_string()).unwrap();
    }
    let (world, other) = (world(), verifier(OTHER_NAMES, folder.path()));
    let strict = &world.verifier;
    let ids = json!({"oid": "o", "tid": "0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab", "uid": "00u1"});
    let with = |more: Value| {
        let mut claims = ids.clone();
        claims["email"] = json!("ada@corp.example");
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let lab = |changes: Value| signed(&P256, "ES256", &claims_with(LAB, changes));
    for (verifier, token, verified) in [
        (strict, corp(with(json!({"email_verified": true}))), true),
        (strict, corp(with(json!({"email_verified": "true"}))), false),
        (strict, corp(with(json!({"email_verified": 1}))), false),
        (strict, corp(with(json!({}))), false),
        (&other, corp(with(json!({"email_verified": true}))), false),
        (&other, corp(with(json!({"xms_edov": true}))), true),
        (&other, corp(with(json!({"xms_edov": "true"}))), false),
        (&other, lab(with(json!({"email_verified": "true"}))), true),
        (&other, lab(with(json!({"email_verified": true}))), true),
        (&other, lab(with(json!({"email_verified": "True"}))), false),
        (&other, lab(with(json!({"email_verified": "1"}))), false),
        (&other, lab(with(json!({"email_verified": false}))), false),
    ] {
        let found = verifier.verify(&token, NOW).await.unwrap();
        let Principal::User(user) = &**found.principal() else { panic!("not a user") };
        assert_eq!(user.email.is_some(), verified, "{token}");
    }
}
