//! Signing in at a provider: what it is asked, and what its answer proves.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use doorward_identity::Secret;
use doorward_identity::oidc::{Ask, Prompt};
use doorward_model::demand::{Demand, Strength};
use doorward_model::{Compliance, DeviceId, DevicePosture, IssuerId, MailDomain, Risk, UnixMillis};
use serde_json::{Value, json};

use crate::provider::*;
use crate::site::{Answer, Site};
use crate::world::{NOW, NOW_SECONDS};

const MFA: Demand = Demand { strength: Strength::Mfa, max_age: None };
const KEY: Demand = Demand { strength: Strength::PhishingResistant, max_age: None };

fn recent(seconds: u64) -> Demand {
    Demand { strength: Strength::Any, max_age: Some(Duration::from_secs(seconds)) }
}

fn ask(demand: Demand) -> Ask<'static> {
    Ask {
        redirect_uri: REDIRECT,
        state: "state-1",
        nonce: NONCE,
        code_verifier: CODE_VERIFIER,
        demand,
        login_hint: None,
        prompt: None,
    }
}

async fn asked(provider: &Provider, ask: &Ask<'_>) -> std::collections::BTreeMap<String, String> {
    let url = provider.providers.authorization_url(&corp(), ask).await.unwrap();
    let (endpoint, query) = url.split_once('?').unwrap();
    assert_eq!(endpoint, format!("{}/authorize", provider.site.url));
    let mut pairs = pairs(query);
    assert_eq!(pairs.remove("tenant").as_deref(), Some("1"), "a query of the endpoint stays: {url}");
    pairs
}

#[tokio::test]
async fn a_provider_is_asked_for_a_code_that_only_we_can_redeem() {
    let provider = Provider::start("", "").await;
    let said = asked(&provider, &ask(Demand::default())).await;
    let expect = [
        ("client_id", CLIENT),
        // RFC 7636, appendix B.
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("nonce", NONCE),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid email profile offline_access"),
        ("state", "state-1"),
    ];
    assert_eq!(said, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[tokio::test]
async fn what_is_demanded_becomes_what_the_provider_understands() {
    let said = |lines: &'static str, ask: Ask<'static>| async move {
        let mut said = asked(&Provider::start(lines, "").await, &ask).await;
        for name in [
            "client_id",
            "code_challenge",
            "code_challenge_method",
            "nonce",
            "redirect_uri",
            "response_type",
            "state",
        ] {
            assert!(said.remove(name).is_some(), "{name}");
        }
        said.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" & ")
    };
    let acrs = "scopes=['openid']\nmfa_acr_values=['urn:2fa','two']\nphishing_resistant_acr_values=['phr']";
    let entra =
        "scopes=['openid']\nclaims_acrs={mfa='c1',phishing_resistant='c2'}\nprompt_login_on_max_age=true";
    let google =
        "scopes=['openid']\nclaims_auth_time=true\nparameters={access_type='offline',hd='corp.example'}";
    let both = Demand { strength: Strength::PhishingResistant, max_age: Some(Duration::ZERO) };
    for (lines, ask, expect) in [
        ("revalidate=false", ask(Demand::default()), "scope=openid email profile"),
        (acrs, ask(Demand::default()), "scope=openid"),
        (acrs, ask(MFA), "acr_values=urn:2fa two & scope=openid"),
        (acrs, ask(both), "acr_values=phr & max_age=0 & scope=openid"),
        (acrs, ask(recent(300)), "max_age=300 & scope=openid"),
        (entra, ask(MFA), r#"claims={"id_token":{"acrs":{"essential":true,"value":"c1"}}} & scope=openid"#),
        (
            entra,
            ask(both),
            r#"claims={"id_token":{"acrs":{"essential":true,"value":"c2"}}} & max_age=0 & prompt=login & scope=openid"#,
        ),
        (
            google,
            ask(KEY),
            r#"access_type=offline & claims={"id_token":{"auth_time":{"essential":true}}} & hd=corp.example & scope=openid"#,
        ),
        (
            acrs,
            Ask {
                login_hint: Some("alice&x=1@corp.example"),
                prompt: Some(Prompt::SelectAccount),
                ..ask(Demand::default())
            },
            "login_hint=alice&x=1@corp.example & prompt=select_account & scope=openid",
        ),
        (acrs, Ask { prompt: Some(Prompt::Login), ..ask(Demand::default()) }, "prompt=login & scope=openid"),
    ] {
        assert_eq!(said(lines, ask).await, expect, "{lines}");
    }
}

#[tokio::test]
async fn a_code_becomes_a_person() {
    let provider = Provider::start("", "claims.tags = ['team']").await;
    let token = provider.id_token(json!({
        "name": "Alice", "email": "alice@corp.example", "email_verified": true, "groups": ["finance"],
        "sid": "idp-1", "amr": ["pwd", "mfa"], "acr": "1", "team": "blue", "device_id": "d-1",
        "device_managed": true, "risk": 7,
    }));
    provider.answers(json!({
        "id_token": token, "access_token": ACCESS, "refresh_token": REFRESH, "token_type": "bearer",
    }));
    let proven = provider.redeem().await.unwrap();
    assert_eq!(proven.user().id, person("alice"));
    assert_eq!(proven.user().email.as_deref(), Some("alice@corp.example"));
    assert!(proven.user().groups.contains("finance") && proven.user().tags["team"] == "blue");
    assert_eq!(proven.session().unwrap().to_string(), "corp:idp-1");
    assert_eq!(proven.assurance().authenticated_at, Some(UnixMillis::from_seconds(NOW_SECONDS - 2)));
    assert!(proven.assurance().mfa && !proven.assurance().phishing_resistant);
    assert_eq!(proven.assurance().mfa_at, proven.assurance().authenticated_at);
    assert_eq!(proven.device().id.as_ref().unwrap().as_str(), "d-1");
    assert_eq!(proven.risk().score(), Some(7));
    assert_eq!(proven.refresh_token().unwrap().expose(), REFRESH);
    let shown = format!("{proven:?}");
    assert!(!shown.contains("refresh-"), "{shown}");

    let forgets = Provider::start("revalidate = false", "").await;
    forgets.answers(json!({"id_token": forgets.id_token(json!({})), "refresh_token": REFRESH}));
    assert!(forgets.redeem().await.unwrap().refresh_token().is_none(), "one that nobody asked for");

    let asked = provider.site.asked("/token");
    assert_eq!(asked.len(), 1, "a code goes once");
    assert!(asked[0].head.starts_with("POST /token HTTP/1.1\r\n"), "{}", asked[0].head);
    let form = pairs(&asked[0].body);
    let expect = [
        ("code", CODE),
        ("code_verifier", CODE_VERIFIER),
        ("grant_type", "authorization_code"),
        ("redirect_uri", REDIRECT),
    ];
    assert_eq!(form, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    // RFC 6749 §2.3.1: both form-encoded, then base64.
    let basic = STANDARD.encode("client-1:the+client%27s+s3cret%3A+%2B%26%3D%25");
    let line = format!("authorization: Basic {basic}\r\n");
    assert!(asked[0].head.contains(&line), "{}", asked[0].head);
}

#[tokio::test]
async fn what_was_demanded_is_proved_by_what_was_signed() {
    let words =
        "assurance = { mfa_amr = ['mfa'], mfa_acr = ['urn:2fa', 'phr'], phishing_resistant_acr = ['phr'] }";
    let lines = "mfa_acr_values=['urn:2fa']\nclaims_acrs={mfa='c1',phishing_resistant='c2'}";
    let strict = format!("{lines}\ntwo_factor_classes=false");
    let (usual, strict) = (Provider::start(lines, words).await, Provider::start(&strict, words).await);
    // Whether it is strong; without the two kinds of factor; whether it cannot be phished.
    for (says, expect) in [
        (json!({}), [false, false, false]),
        (json!({"amr": ["mfa"]}), [true, true, false]),
        (json!({"amr": ["pwd"]}), [false, false, false]),
        (json!({"amr": ["pwd", "otp"]}), [true, false, false]),
        (json!({"amr": ["pwd", "pin", "kba"]}), [false, false, false]),
        (json!({"amr": ["otp", "sms", "hwk"]}), [false, false, false]),
        (json!({"amr": ["hwk", "fpt"]}), [true, false, false]),
        (json!({"amr": ["pwd", "PIN", "OTP"]}), [false, false, false]),
        (json!({"amr": ["pwd", "user", "rba", "geo", "wia", "mca"]}), [false, false, false]),
        (json!({"acr": "urn:2fa"}), [true, true, false]),
        (json!({"acr": "urn:2fa:not"}), [false, false, false]),
        (json!({"acr": "phr"}), [true, true, true]),
        (json!({"acrs": ["c1"]}), [true, true, false]),
        (json!({"acrs": "c1"}), [true, true, false]),
        (json!({"acrs": ["c2"]}), [true, true, true]),
        (json!({"acrs": ["c3", "C1", "c1 c2"]}), [false, false, false]),
        (json!({"acrs": "c1,c2"}), [false, false, false]),
    ] {
        usual.gives(&usual.id_token(says.clone()));
        strict.gives(&strict.id_token(says.clone()));
        let (by_kind, by_word) =
            (usual.redeem_for(MFA).await.unwrap(), strict.redeem_for(MFA).await.unwrap());
        let met = [by_kind.meets(&MFA, NOW), by_word.meets(&MFA, NOW), by_kind.meets(&KEY, NOW)];
        assert_eq!(met, expect, "{says}");
        assert!(by_kind.meets(&Demand::default(), NOW), "{says}");
    }
}

#[tokio::test]
async fn a_sign_in_of_before_is_none_of_now() {
    let provider = Provider::start("", "").await;
    let asked_at = UnixMillis(NOW.0 - 10_400);
    // How many seconds before now the person signed in; whether that is within 0 and 300 s of asking,
    // with two seconds for the provider's clock.
    for (ago, expect) in [
        (2, [true, true]),
        (11, [true, true]),
        (13, [true, true]),
        (14, [false, true]),
        (313, [false, true]),
        (314, [false, false]),
    ] {
        provider.gives(&provider.id_token(json!({"auth_time": NOW_SECONDS - ago})));
        let proven = provider.redeem_for(recent(0)).await.unwrap();
        assert_eq!([recent(0), recent(300)].map(|d| proven.meets(&d, asked_at)), expect, "{ago}");
    }
    // Who did not ask is not told, and then nothing is proved.
    provider.gives(&provider.id_token(json!({"auth_time": null})));
    let proven = provider.redeem().await.unwrap();
    assert!(!proven.meets(&recent(300), asked_at) && proven.meets(&Demand::default(), asked_at));
}

#[tokio::test]
async fn we_prove_who_we_are_in_the_body_when_the_provider_wants_that() {
    let provider = Provider::start("client_auth = 'post'", "").await;
    provider.gives(&provider.id_token(json!({})));
    provider.redeem().await.unwrap();
    let asked = provider.site.asked("/token");
    let form = pairs(&asked[0].body);
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), (CLIENT, CLIENT_SECRET));
    assert!(!asked[0].head.to_ascii_lowercase().contains("authorization"), "{}", asked[0].head);
}

#[tokio::test]
async fn we_prove_who_we_are_with_a_key() {
    for (more, for_issuer) in [("", false), ("client_key_audience = 'issuer'\nclient_key_id = 'gw-1'", true)]
    {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der));
        let site = Site::start().await;
        site.set("/.well-known/openid-configuration", Answer::ok(document(&site.url).to_string()));
        site.set("/keys", Answer::ok(json!({"keys": [crate::mint::RSA.jwk("k1")]}).to_string()));
        let folder = tempfile::tempdir().unwrap();
        secret_file(folder.path(), "client.key", &pem);
        let toml = format!(
            "[[issuer]]\nid = 'corp'\nissuer = '{}'\nalgorithms = ['RS256']\n[issuer.sign_in]\n\
             client_id = '{CLIENT}'\nclient_key_file = 'client.key'\n{more}\n",
            site.url
        );
        let provider = Provider::of(site, &toml, folder);
        provider.gives(&provider.id_token(json!({})));
        provider.redeem().await.unwrap();
        let form = pairs(&provider.site.asked("/token")[0].body);
        assert_eq!(form["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        assert_eq!(form["client_id"], CLIENT);
        let (input, signature) = form["client_assertion"].rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, pair.public_key().as_ref())
            .verify(input.as_bytes(), &signature)
            .unwrap();
        let read =
            |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        let (header, claims) = input.split_once('.').unwrap();
        let kid = if for_issuer { json!("gw-1") } else { Value::Null };
        assert_eq!((&read(header)["alg"], &read(header)["kid"]), (&json!("ES256"), &kid));
        let url = &provider.site.url;
        let audience = if for_issuer { url.clone() } else { format!("{url}/token") };
        let expect = json!({
            "iss": CLIENT, "sub": CLIENT, "aud": audience, "iat": NOW_SECONDS, "exp": NOW_SECONDS + 60,
            "jti": URL_SAFE_NO_PAD.encode([7; 16]),
        });
        assert_eq!(read(claims), expect);
        let _public: aws_lc_rs::encoding::PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    }
}

#[tokio::test]
async fn what_comes_with_the_token_is_what_it_was_made_with() {
    let half = |of: &str| URL_SAFE_NO_PAD.encode(&digest(&SHA256, of.as_bytes()).as_ref()[..16]);
    let provider = Provider::start("", "").await;
    provider.gives(&provider.id_token(json!({"at_hash": half(ACCESS), "c_hash": half(CODE)})));
    provider.redeem().await.unwrap();
    for says in [
        json!({"at_hash": half("another")}),
        json!({"c_hash": half("another")}),
        json!({"at_hash": ""}),
        json!({"at_hash": 1}),
    ] {
        provider.gives(&provider.id_token(says.clone()));
        let error = provider.redeem().await.unwrap_err();
        assert_eq!(error.as_str(), "id_token_refused", "{says}: {error}");
        assert!(error.to_string().contains("_hash"), "{says}: {error}");
    }
    provider.answers(json!({"id_token": provider.id_token(json!({"at_hash": half(ACCESS)}))}));
    assert!(provider.redeem().await.unwrap_err().to_string().contains("did not come along"));
}

#[tokio::test]
async fn the_userinfo_endpoint_tells_more_of_the_same_person_and_no_more_of_the_sign_in() {
    let provider = Provider::start("userinfo = true", "").await;
    provider.gives(&provider.id_token(json!({"name": "Alice"})));
    let more = json!({
        "sub": "alice", "name": "Mallory", "email": "alice@corp.example", "email_verified": true,
        "groups": ["finance"], "acr": "urn:2fa", "amr": ["mfa"], "acrs": ["c1"], "auth_time": 1, "sid": "x",
    });
    provider.site.set("/userinfo", Answer::ok(more.to_string()));
    let proven = provider.redeem().await.unwrap();
    assert_eq!(proven.user().name.as_deref(), Some("Alice"), "the token has the first word");
    assert!(proven.user().groups.contains("finance"));
    assert_eq!(proven.user().email.as_deref(), Some("alice@corp.example"));
    assert!(!proven.assurance().mfa && proven.session().is_none());
    assert_eq!(proven.assurance().authenticated_at, Some(UnixMillis::from_seconds(NOW_SECONDS - 2)));
    let asked = provider.site.asked("/userinfo");
    assert!(asked[0].head.contains(&format!("authorization: Bearer {ACCESS}\r\n")), "{}", asked[0].head);
    for other in [json!({"sub": "bob"}), json!({"sub": 1}), json!({}), json!([]), json!("alice")] {
        provider.site.set("/userinfo", Answer::ok(other.to_string()));
        let error = provider.redeem().await.unwrap_err();
        assert_eq!(error.as_str(), "provider_unavailable", "{other}: {error}");
    }
    let quiet = Provider::start("", "").await;
    quiet.gives(&quiet.id_token(json!({})));
    quiet.redeem().await.unwrap();
    assert_eq!(quiet.site.hits("/userinfo"), 0, "it is asked only where that is configured");
}

#[tokio::test]
async fn people_of_entra_id_are_named_by_tenant_and_object() {
    let tenant = "0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab";
    let lines = format!("subject_claim = 'oid'\ntenant = '{tenant}'");
    let provider = Provider::start("", &lines).await;
    provider.gives(&provider.id_token(json!({"tid": tenant, "oid": "object-1"})));
    assert_eq!(provider.redeem().await.unwrap().user().id, person("object-1"));
    for (says, why) in [
        (json!({"oid": "object-1"}), "no `tid`"),
        (json!({"tid": "0f0e0d0c-aaaa-4bbb-8ccc-1234567890ac", "oid": "object-1"}), "another tenant"),
        (json!({"tid": tenant}), "no `oid`"),
    ] {
        provider.gives(&provider.id_token(says.clone()));
        let error = provider.redeem().await.unwrap_err().to_string();
        assert!(error.contains(why), "{says}: {error}");
    }
}

#[tokio::test]
async fn people_are_led_to_the_provider_of_their_address() {
    let provider = Provider::start("title = 'Corp'", "").await;
    let providers = &provider.providers;
    let of = |domain: &str| providers.of_domain(&MailDomain::new(domain).unwrap());
    assert_eq!(of("CORP.example"), [&corp()]);
    assert!(of("other.example").is_empty() && of("sub.corp.example").is_empty());
    assert_eq!((providers.sole(), providers.title(&corp())), (Some(&corp()), Some("Corp")));
    let other = IssuerId::new("lab").unwrap();
    assert_eq!(providers.title(&other), None);
    let error = providers.authorization_url(&other, &ask(Demand::default())).await.unwrap_err();
    assert_eq!(error.as_str(), "not_a_provider");
}

#[tokio::test]
async fn a_refresh_is_no_sign_in() {
    let provider = Provider::start("", "").await;
    let id = provider.id_token(json!({
        "nonce": "of another time", "groups": ["sales"], "amr": ["mfa"], "auth_time": NOW_SECONDS,
    }));
    provider.answers(json!({"id_token": id, "access_token": ACCESS, "refresh_token": "refresh-2"}));
    let refreshed = provider.refresh().await.unwrap();
    assert!(refreshed.user().unwrap().groups.contains("sales"));
    assert_eq!(refreshed.refresh_token().map(Secret::expose), Some("refresh-2"));
    let asked = provider.site.asked("/token");
    let form = pairs(&asked[0].body);
    let expect = [("grant_type", "refresh_token"), ("refresh_token", REFRESH)];
    assert_eq!(form, expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    // Only that it stands: what was known stays.
    provider.answers(json!({"access_token": ACCESS}));
    let refreshed = provider.refresh().await.unwrap();
    assert!(refreshed.user().is_none() && refreshed.risk().is_none() && refreshed.refresh_token().is_none());
    assert_eq!(refreshed.device(&laptop()), laptop());
}

fn laptop() -> DevicePosture {
    DevicePosture {
        id: Some(DeviceId::new("laptop-1").unwrap()),
        managed: true,
        compliance: Compliance::Compliant,
        platform: Some("macos".to_owned()),
        ..DevicePosture::default()
    }
}

/// What blocks a device, or a risk that was high, is not lost because the provider says less the second time.
#[tokio::test]
async fn what_a_refresh_does_not_say_stays_as_it_was() {
    let provider = Provider::start("", "").await;
    let unlike = DevicePosture { compliance: Compliance::NotCompliant, ..laptop() };
    let other = DevicePosture { id: Some(DeviceId::new("phone-2").unwrap()), ..DevicePosture::default() };
    for (claims, device, risk) in [
        (json!({"groups": ["sales"]}), laptop(), None),
        (json!({"device_id": "laptop-1"}), laptop(), None),
        (json!({"device_compliant": false}), unlike.clone(), None),
        (
            json!({"device_id": "laptop-1", "device_compliant": false, "risk": 90}),
            unlike,
            Some(Risk::scored(90)),
        ),
        (json!({"device_id": "phone-2", "risk": 0}), other, Some(Risk::scored(0))),
    ] {
        provider.answers(json!({"id_token": provider.id_token(claims.clone()), "access_token": ACCESS}));
        let refreshed = provider.refresh().await.unwrap();
        assert!(refreshed.user().is_some());
        assert_eq!((refreshed.device(&laptop()), refreshed.risk()), (device, risk), "{claims}");
    }
}

#[tokio::test]
async fn a_refresh_token_is_given_back() {
    let provider = Provider::start("", "").await;
    provider.site.set("/revoke", Answer::ok(""));
    assert!(provider.providers.revoke(&corp(), &Secret::new(REFRESH)).await.unwrap());
    let form = pairs(&provider.site.asked("/revoke")[0].body);
    assert_eq!((form["token"].as_str(), form["token_type_hint"].as_str()), (REFRESH, "refresh_token"));
    provider.site.set("/revoke", Answer { status: "500 Oh", ..Answer::ok("") });
    let error = provider.providers.revoke(&corp(), &Secret::new(REFRESH)).await.unwrap_err();
    assert_eq!(error.as_str(), "provider_unavailable");
}

#[tokio::test]
async fn signing_out_leads_to_the_provider_and_back() {
    let provider = Provider::start("", "").await;
    let back = "https://login.corp.example/.doorward/signed-out";
    let url = |who: Option<&str>| provider.providers.sign_out_url(&corp(), back, "s-1", who);
    assert_eq!(url(None), None, "nobody knows yet where that is");
    provider.providers.authorization_url(&corp(), &ask(Demand::default())).await.unwrap();
    let url = url(Some("alice@corp.example")).unwrap();
    let query = url.strip_prefix(&format!("{}/logout?", provider.site.url)).unwrap();
    let expect = [
        ("client_id", CLIENT),
        ("logout_hint", "alice@corp.example"),
        ("post_logout_redirect_uri", back),
        ("state", "s-1"),
    ];
    assert_eq!(pairs(query), expect.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}
