//! The attacks on JWTs J1 to J28, as ID tokens: each row is one token that a token endpoint gives, that must
//! sign nobody in, and the word by which the operator sees why. And attacks on the flow around it.

use std::path::Path;

use aws_lc_rs::hmac;
use doorward_identity::config::{IssuerSection, SenderSection, check, check_senders};
use doorward_identity::message::MessageKind;
use doorward_identity::oidc::{OidcError, ProviderError, Returned};
use doorward_identity::{MessageVerifier, Verifier};
use doorward_model::KeyPath;
use doorward_model::demand::Demand;
use serde_json::{Value, json};

use crate::mint::{ED, P256, P256_OTHER, RSA, RSA_OTHER, b64, token};
use crate::provider::*;
use crate::site::{Answer, Site};
use crate::world::{NOW, NOW_SECONDS, TIMES, client};

struct Attack {
    name: String,
    token: String,
    says: &'static str,
}

/// Rows against one provider, which signs with RS256 and has the keys `k1` and `k2`.
struct Table {
    provider: Provider,
    rows: Vec<Attack>,
}

impl Table {
    async fn new() -> Self {
        Self { provider: Provider::start("", "").await, rows: Vec::new() }
    }

    fn row(&mut self, name: impl Into<String>, token: impl Into<String>, says: &'static str) {
        self.rows.push(Attack { name: name.into(), token: token.into(), says });
    }

    /// Good claims under this header.
    fn header(&mut self, name: &str, header: Value, says: &'static str) {
        let claims = self.provider.claims(json!({})).to_string();
        self.row(format!("{name} {header:.60}"), token(&RSA, &header.to_string(), &claims), says);
    }

    /// A good header over these changes of the claims.
    fn claims(&mut self, name: &str, changes: Value, says: &'static str) {
        self.row(format!("{name} {changes:.80}"), self.provider.id_token(changes), says);
    }

    async fn run(self) {
        let Self { provider, rows } = self;
        // Everything else is good, so that no row is refused for another reason.
        provider.gives(&provider.id_token(json!({})));
        assert!(provider.redeem().await.is_ok());
        for attack in rows {
            let name = &attack.name;
            provider.gives(&attack.token);
            let error = match provider.redeem().await {
                Ok(proven) => panic!("{name}: signed in as {:?}", proven.user().id),
                Err(error) => error,
            };
            let told = error.to_string();
            assert!(matches!(error, OidcError::Untrusted(_)), "{name}: {told}");
            assert!(told.contains(attack.says), "{name}: `{told}`");
            assert!(told.len() < 450 && told.chars().all(|c| !c.is_control()), "{name}: {told:?}");
            for segment in attack.token.split('.').filter(|s| s.len() >= 16) {
                assert!(!told.contains(segment), "{name}: the error holds a part of the token");
            }
        }
    }
}

fn good_header() -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": "k1"})
}

fn with(name: &str, value: Value) -> Value {
    let mut header = good_header();
    header[name] = value;
    header
}

#[tokio::test]
async fn an_id_token_is_signed_by_the_provider() {
    let mut t = Table::new().await;
    let claims = t.provider.claims(json!({})).to_string();
    let good = t.provider.id_token(json!({}));
    let (input, signature) = good.rsplit_once('.').unwrap();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256", "RS384", "RS512", "rs256", "ES512"] {
        let input = format!("{}.{}", b64(with("alg", json!(alg)).to_string()), b64(&claims));
        t.row(format!("J1 {alg}, no signature"), format!("{input}."), "no signature");
        t.row(format!("J1 {alg}, some signature"), format!("{input}.{signature}"), "other algorithms than");
    }
    for (i, secret) in RSA.public_forms().iter().enumerate() {
        let input = format!("{}.{}", b64(with("alg", json!("HS256")).to_string()), b64(&claims));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
        t.row(format!("J2 form {i}"), format!("{input}.{}", b64(mac)), "other algorithms than");
    }
    // The secret of the client is shared, too: an ID token by HS256 is good by the standard, and not here.
    let input_hs = format!("{}.{}", b64(with("alg", json!("HS256")).to_string()), b64(&claims));
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, CLIENT_SECRET.as_bytes()), input_hs.as_bytes());
    t.row("J2 the client's secret", format!("{input_hs}.{}", b64(mac)), "other algorithms than");
    t.header("J3", with("jwk", RSA_OTHER.jwk("k1")), "`jwk`");
    t.header("J4", with("jku", json!("https://evil.example/keys")), "`jku`");
    t.header("J4", with("x5u", json!("https://evil.example/cert")), "`x5u`");
    t.header("J5", with("x5c", json!(["MIIB"])), "`x5c`");
    for kid in ["../../../../dev/null", "k1' OR '1'='1", "K1", "k3", "https://evil.example/k1"] {
        t.header("J6", with("kid", json!(kid)), "no key `");
    }
    t.header("J6 10 KiB", with("kid", json!("k".repeat(10_240))), "too long");
    t.header("J6 none of several", json!({"alg": "RS256", "typ": "JWT"}), "several");
    for name in ["crit", "b64", "zip"] {
        t.header("J7", with(name, json!([])), "the header of the token has");
    }
    t.row("J12 key of another", token(&RSA_OTHER, &good_header().to_string(), &claims), "signature");
    t.row("J16 stripped", format!("{input}."), "no signature");
    t.row("J16 stripped with its dot", input, "three segments");
    t.row("J16 truncated", &good[..good.len() - 4], "signature");
    t.row("J16 one more byte", format!("{good}AAAA"), "signature");
    let bob = t.provider.id_token(json!({"sub": "bob"}));
    t.row("J16 of another", format!("{}.{signature}", bob.rsplit_once('.').unwrap().0), "signature");
    t.row(
        "J20 PS256",
        token(&RSA, &with("alg", json!("PS256")).to_string(), &claims),
        "other algorithms than",
    );
    t.header("J24", with("cty", json!("JWT")), "`cty`");
    t.header("J25", with("enc", json!("A256GCM")), "`enc`");
    t.row("J25 five segments", format!("{good}.AAAA.AAAA"), "three segments");
    t.row("J26 padding", format!("{good}=="), "not canonical base64url");
    t.row("J26 a line end", good.replacen('.', ".\n", 1), "");
    t.row(
        "J28 other header",
        format!("{}.{}.{signature}", b64(r#"{"alg":"RS256","kid":"k1"}"#), input.split_once('.').unwrap().1),
        "signature",
    );
    // A text with a line end is no token at all (RFC 6749, appendix A), so it is not even read.
    t.rows.retain(|row| !row.token.contains('\n'));
    t.run().await;
}

#[tokio::test]
async fn signatures_of_es256_that_are_no_signatures() {
    let site = Site::start().await;
    site.set("/.well-known/openid-configuration", Answer::ok(document(&site.url).to_string()));
    site.set("/keys", Answer::ok(json!({"keys": [P256.jwk("k1")]}).to_string()));
    let folder = tempfile::tempdir().unwrap();
    secret_file(folder.path(), "client.secret", CLIENT_SECRET);
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{}'\nalgorithms = ['ES256']\n[issuer.sign_in]\nclient_id = '{CLIENT}'\n\
         client_secret_file = 'client.secret'\n",
        site.url
    );
    let provider = Provider::of(site, &toml, folder);
    let claims = provider.claims(json!({})).to_string();
    let header = json!({"alg": "ES256", "kid": "k1"}).to_string();
    provider.gives(&token(&P256, &header, &claims));
    provider.redeem().await.unwrap();
    let input = format!("{}.{}", b64(&header), b64(&claims));
    for (name, signature) in [
        ("J17 psychic", vec![0; 64]),
        ("J17 too short", vec![0; 63]),
        ("J18 DER", P256.sign_der(&input)),
        ("J13 same kid, other key", P256_OTHER.sign("ES256", &input)),
    ] {
        provider.gives(&format!("{input}.{}", b64(signature)));
        let error = provider.redeem().await.unwrap_err();
        assert!(matches!(error, OidcError::Untrusted(_)), "{name}: {error}");
        assert!(error.to_string().contains("the signature is not one of `corp`"), "{name}: {error}");
    }
    provider.gives(&token(&ED, &json!({"alg": "EdDSA", "kid": "k1"}).to_string(), &claims));
    assert!(provider.redeem().await.unwrap_err().to_string().contains("other algorithms than"), "J20");
}

#[tokio::test]
async fn no_token_of_another_kind_or_for_another_is_an_id_token() {
    let mut t = Table::new().await;
    // J8, J9: the four kinds. Access tokens, logout tokens and security events are refused by type, by what
    // they have, and by what they have not.
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "secevent+jwt", "dpop+jwt", "id_token", "JOSE"]
    {
        t.header("J8", with("typ", json!(typ)), "not an ID token");
    }
    t.header("J8", with("typ", json!(["JWT"])), "not text");
    for name in [
        "http://schemas.openid.net/event/backchannel-logout",
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    ] {
        t.claims("J8 message of type JWT", json!({"events": {name: {}}}), "`events`");
    }
    t.claims("J9 access token of Keycloak", json!({"typ": "Bearer"}), "not an ID token");
    t.claims("J9 refresh token of Keycloak", json!({"typ": "Refresh"}), "not an ID token");
    t.claims("J9 logout token of Keycloak", json!({"typ": "Logout"}), "not an ID token");
    t.claims("J9 access token of Cognito", json!({"token_use": "access"}), "not an ID token");
    t.claims("J9 access token of type JWT", json!({"nonce": null, "scope": "openid"}), "`nonce`");
    t.claims("J9 token exchange", json!({"act": {"sub": "bot"}}), "`act`");
    // J10, J11: for us, and made for us.
    for aud in
        [json!("doorward"), json!("client-2"), json!("Client-1"), json!(["client-2"]), json!([]), json!("")]
    {
        t.claims("J10", json!({"aud": aud}), "another audience");
    }
    t.claims("J10 absent", json!({"aud": null}), "no `aud`");
    t.claims("J11 several without azp", json!({"aud": [CLIENT, "client-2"]}), "(`azp`)");
    t.claims(
        "J11 several, made for another",
        json!({"aud": [CLIENT, "client-2"], "azp": "client-2"}),
        "(`azp`)",
    );
    t.claims("J11 one, made for another", json!({"azp": "client-2"}), "(`azp`)");
    t.claims("J11 a number", json!({"azp": 1}), "`azp`");
    t.claims("J11 mixed", json!({"aud": [CLIENT, 1], "azp": CLIENT}), "`aud`");
    // J12 to J15: of the provider that was asked.
    let url = t.provider.site.url.clone();
    for iss in [
        format!("{url}/"),
        url.replace("http", "https"),
        "https://idp.lab.example".into(),
        "{tenantid}".into(),
        String::new(),
    ] {
        t.claims("J12, J14, J15", json!({"iss": iss}), "not of `corp`");
    }
    t.claims("J15 list", json!({"iss": [url]}), "`iss`");
    t.claims("J15 absent", json!({"iss": null}), "no `iss`");
    // Of this sign-in.
    for nonce in [json!("another"), json!(""), json!(NONCE.to_uppercase()), json!([NONCE]), json!(1)] {
        t.claims("code injection", json!({"nonce": nonce}), "`nonce`");
    }
    t.claims("code injection", json!({"nonce": null}), "`nonce`");
    for sub in [json!(""), json!("a\nb"), json!(1), json!(["alice"]), json!("x".repeat(256))] {
        t.claims("sub", json!({"sub": sub}), "`sub`");
    }
    t.claims("sub absent", json!({"sub": null}), "no `sub`");
    t.run().await;

    // Several audiences, made for us, are good (Core §3.1.3.7).
    let provider = Provider::start("", "").await;
    provider.gives(&provider.id_token(json!({"aud": ["client-2", CLIENT], "azp": CLIENT})));
    provider.redeem().await.unwrap();
}

#[tokio::test]
async fn an_id_token_is_of_now_and_read_in_one_way() {
    let mut t = Table::new().await;
    for exp in [json!(NOW_SECONDS), json!(NOW_SECONDS - 30), json!(0)] {
        t.claims("J21 expired", json!({"exp": exp}), "expired");
    }
    t.claims("J21", json!({"nbf": NOW_SECONDS + 60}), "`nbf` lies in the future");
    t.claims("J21", json!({"iat": NOW_SECONDS + 60}), "`iat` lies in the future");
    t.claims("J21 old", json!({"iat": NOW_SECONDS - 601}), "too long ago");
    t.claims("J21", json!({"auth_time": NOW_SECONDS + 60}), "`auth_time` lies in the future");
    for name in ["exp", "iat", "auth_time"] {
        for value in [json!("1768478460"), json!(true), json!(-1), json!(1e300), json!(i64::MAX), json!({})] {
            t.claims("J22", json!({name: value}), name);
        }
    }
    t.claims("J22 absent", json!({"exp": null}), "no `exp`");
    t.claims("J22 absent", json!({"iat": null}), "no `iat`");
    let open = t.provider.claims(json!({})).to_string();
    let open = open.trim_end_matches('}');
    let nested = format!(",\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    for more in [
        r#","sub":"bob"}"#,
        r#","s\u0075b":"bob"}"#,
        r#","nonce":"x"}"#,
        r#","groups":[],"groups":["admin"]}"#,
        r#","x":{"y":1,"y":2}}"#,
        r#"}{"sub":"bob"}"#,
        ",\"exp\":NaN}",
        "",
        &nested,
    ] {
        let text = token(&RSA, &good_header().to_string(), &format!("{open}{more}"));
        t.row(format!("J23, J27 {more:.40}"), text, "the claims of the token");
    }
    let text = r#"{"alg":"RS256","kid":"k1","alg":"none"}"#;
    t.row("J23 header", token(&RSA, text, &format!("{open}}}")), "the header of the token");
    t.row(
        "J24 nested",
        token(&RSA, &good_header().to_string(), &t.provider.id_token(json!({}))),
        "the claims of the token",
    );
    // What is to be fetched elsewhere is not "no groups".
    t.claims("overage", json!({"_claim_names": {"groups": "src1"}}), "was left out of the token");
    t.claims("overage", json!({"hasgroups": true}), "was left out of the token");
    for (name, value) in [
        ("groups", json!("admin")),
        ("amr", json!("mfa")),
        ("amr", json!(["mfa", 1])),
        ("acr", json!(["urn:2fa"])),
        ("acrs", json!({"c1": true})),
        ("acrs", json!(["c1", 1])),
        ("sid", json!(1)),
        ("device_managed", json!("true")),
        ("risk", json!(101)),
    ] {
        t.claims("wrong kind", json!({name: value}), name);
    }
    t.run().await;

    // J27: a megabyte is more than a token is, and the answer is not even read to its end.
    let provider = Provider::start("", "").await;
    provider.gives(&provider.id_token(json!({"x": "x".repeat(1 << 20)})));
    let error = provider.redeem().await.unwrap_err();
    assert_eq!(error.as_str(), "provider_unavailable", "{error}");
    assert!(error.to_string().contains("sends more than"), "{error}");
    provider.gives(&provider.id_token(json!({"x": "x".repeat(20_000)})));
    assert!(provider.redeem().await.unwrap_err().to_string().contains("`id_token` of the answer"));
}

#[tokio::test]
async fn a_provider_that_was_asked_when_must_say_it() {
    let provider = Provider::start("", "").await;
    provider.gives(&provider.id_token(json!({"auth_time": null})));
    let recent = Demand { max_age: Some(std::time::Duration::from_secs(300)), ..Demand::default() };
    let error = provider.redeem_for(recent).await.unwrap_err();
    assert!(error.to_string().contains("(`auth_time`), though that was asked"), "{error}");
    provider.redeem().await.unwrap();
}

#[tokio::test]
async fn an_answer_of_another_provider_ends_the_attempt_before_the_code_goes_anywhere() {
    let silent = Provider::start("", "").await;
    let speaking = Provider::start("", "").await;
    let mut says = document(&speaking.site.url);
    says["authorization_response_iss_parameter_supported"] = json!(true);
    speaking.site.set("/.well-known/openid-configuration", Answer::ok(says.to_string()));
    for (provider, must_say) in [(&silent, false), (&speaking, true)] {
        provider.gives(&provider.id_token(json!({})));
        let url = provider.site.url.as_str();
        let encoded = url.replace(':', "%3A").replace('/', "%2F");
        for (iss, good) in [
            (None, !must_say),
            (Some(encoded.as_str()), true),
            (Some(url), true),
            (Some("https://idp.lab.example"), false),
            (Some(&format!("{url}/")), false),
            (Some(""), !must_say),
        ] {
            let iss = iss.map_or(String::new(), |iss| format!("&iss={iss}"));
            let before = provider.site.hits("/token");
            let got = provider.redeem_query(&format!("state=s-1&code={CODE}{iss}"), Demand::default()).await;
            assert_eq!(got.is_ok(), good, "{must_say} {iss}: {got:?}");
            assert_eq!(provider.site.hits("/token") - before, usize::from(good), "{must_say} {iss}");
            let got = provider
                .redeem_query(&format!("state=s-1&error=access_denied{iss}"), Demand::default())
                .await;
            match got.unwrap_err() {
                OidcError::MixUp { asked, .. } => assert!(!good && asked == corp(), "{must_say} {iss}"),
                OidcError::Provider { error, .. } => {
                    assert!(good && error == ProviderError::AccessDenied, "{must_say} {iss}");
                }
                other => panic!("{must_say} {iss}: {other}"),
            }
        }
    }
}

#[test]
fn an_answer_is_read_in_one_way() {
    for good in [
        "code=a&state=s",
        "state=s&code=a&session_state=x&scope=openid",
        "state=%73&code=a&",
        "error=x&state=s&code=",
    ] {
        assert_eq!(Returned::read(good).unwrap().state(), "s", "{good}");
    }
    let long = format!("code={}&state=s", "a".repeat(9000));
    let long_state = format!("code=a&state={}", "s".repeat(600));
    for bad in [
        "",
        "code=a",
        "state=s",
        "state=&code=a",
        "state=s&code=",
        "code=a&code=b&state=s",
        "code=a&c%6fde=b&state=s",
        "code=a&state=s&state=s",
        "code=a&state=s&iss=x&iss=y",
        "code=a&error=access_denied&state=s",
        "error=a&error=b&state=s",
        "code=%zz&state=s",
        "code=%ff&state=s",
        "code=a&state=s%0d%0a",
        "code=a&state=a%20b",
        &long,
        &long_state,
    ] {
        let error = Returned::read(bad).unwrap_err();
        assert_eq!(error.as_str(), "unreadable", "{bad:.60}");
    }
    let shown = format!("{:?}", Returned::read("code=s3cr3t-code&state=s").unwrap());
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

#[tokio::test]
async fn what_a_provider_says_instead_of_a_code_is_one_of_six_words() {
    let provider = Provider::start("", "").await;
    for (word, expect) in [
        ("access_denied", ProviderError::AccessDenied),
        ("login_required", ProviderError::LoginRequired),
        ("interaction_required", ProviderError::InteractionRequired),
        ("consent_required", ProviderError::InteractionRequired),
        ("account_selection_required", ProviderError::InteractionRequired),
        ("unmet_authentication_requirements", ProviderError::UnmetAuthenticationRequirements),
        ("temporarily_unavailable", ProviderError::TemporarilyUnavailable),
        ("server_error", ProviderError::TemporarilyUnavailable),
        ("invalid_scope", ProviderError::Other),
        ("%1b%5b2J%0aevil", ProviderError::Other),
    ] {
        let query = format!("state=s-1&error={word}&error_description=%1b%5bmore+%60x%60");
        match provider.redeem_query(&query, Demand::default()).await.unwrap_err() {
            OidcError::Provider { error, said } => {
                assert_eq!(error, expect, "{word}");
                assert!(
                    said.contains("[more") && said.chars().all(|c| c.is_ascii_graphic() || c == ' '),
                    "{word}"
                );
            }
            other => panic!("{word}: {other}"),
        }
    }
    assert_eq!(provider.site.hits("/token"), 0);
    let words: std::collections::BTreeSet<&str> = ProviderError::ALL.iter().map(|e| e.as_str()).collect();
    assert_eq!(words.len(), ProviderError::ALL.len());
}

/// One issuer, one key, the type `JWT` wherever it is allowed, and one name of ours for messages and sign-ins.
#[tokio::test]
async fn each_of_four_kinds_is_taken_as_itself_alone() {
    #[derive(serde::Deserialize)]
    struct File {
        issuer: Vec<IssuerSection>,
        stream: Vec<SenderSection>,
        logout: Vec<SenderSection>,
    }
    let provider = Provider::start("", "").await;
    let url = &provider.site.url;
    let trust = format!("issuer = '{url}'\nalgorithms = ['RS256']\njwks_uri = '{url}/keys'\n");
    let toml = format!(
        "[[issuer]]\nid = 'corp'\naudiences = ['doorward']\n{trust}[[stream]]\nid = 'corp'\naudiences = ['{CLIENT}']\n\
         {trust}[[logout]]\nid = 'corp'\naudiences = ['{CLIENT}']\n{trust}"
    );
    let file: File = toml::from_str(&toml).unwrap();
    let (at, here, mut complaints) = (KeyPath::top(), Path::new("/"), Vec::new());
    let issuers = check(&file.issuer, &at, here, &mut complaints);
    let streams =
        check_senders(&file.stream, MessageKind::SecurityEvent, &issuers, &at, here, &mut complaints);
    let logouts = check_senders(&file.logout, MessageKind::Logout, &issuers, &at, here, &mut complaints);
    assert_eq!(complaints, []);
    let bearer = Verifier::new(issuers, client(), TIMES);
    let messages = MessageVerifier::new(streams.into_iter().chain(logouts).collect(), &client());

    let of = |typ: &str, changes: Value| {
        let header = json!({"alg": "RS256", "typ": typ, "kid": "k1"}).to_string();
        token(&RSA, &header, &provider.claims(changes).to_string())
    };
    let event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    let out = "http://schemas.openid.net/event/backchannel-logout";
    for (name, token) in [
        ("access", of("JWT", json!({"nonce": null, "aud": "doorward", "scope": "x", "jti": "1"}))),
        ("id", of("JWT", json!({"jti": "1"}))),
        (
            "event",
            of(
                "secevent+jwt",
                json!({"nonce": null, "sub": null, "exp": null, "jti": "1", "sub_id": {"format": "opaque", "id": "x"},
                    "events": {event: {}}}),
            ),
        ),
        ("logout", of("logout+jwt", json!({"nonce": null, "jti": "1", "sid": "s", "events": {out: {}}}))),
    ] {
        provider.gives(&token);
        let took = [
            ("access", bearer.verify(&token, NOW).await.is_ok()),
            ("id", provider.redeem().await.is_ok()),
            ("event", messages.security_event("corp", &token, NOW).await.is_ok()),
            ("logout", messages.logout("corp", &token, NOW).await.is_ok()),
        ];
        for (as_what, took) in took {
            assert_eq!(took, name == as_what, "{name} as {as_what}");
        }
    }
}
