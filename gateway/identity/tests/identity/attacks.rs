//! The attacks on JWTs of RFC 8725 and of the incident class S14, as a table: each row is one
//! token that must not open the door, and the word by which the operator sees why.

use aws_lc_rs::hmac;
use doorward_model::RefusalCode::{self, ExpiredCredential, InvalidCredential};
use serde_json::{Value, json};

use crate::mint::{self, ED, P256, P256_OTHER, P384, RSA, RSA_OTHER, b64, token};
use crate::world::*;

struct Attack {
    name: String,
    token: String,
    code: RefusalCode,
    says: &'static str,
}

#[derive(Default)]
struct Table(Vec<Attack>);

impl Table {
    fn row(&mut self, name: impl Into<String>, token: impl Into<String>, says: &'static str) {
        self.0.push(Attack { name: name.into(), token: token.into(), code: InvalidCredential, says });
    }

    /// A token of the first issuer with good claims and this header.
    fn header(&mut self, name: &str, header: Value, says: &'static str) {
        self.row(
            format!("{name} {header:.60}"),
            token(&RSA, &header.to_string(), &claims(CORP).to_string()),
            says,
        );
    }

    /// A token of the first issuer with a good header and these changes of the claims.
    fn claims(&mut self, name: &str, changes: Value, says: &'static str) {
        self.row(format!("{name} {changes:.80}"), corp(changes), says);
    }

    async fn run(self) {
        let world = world();
        // Each key set is there, so that no row is refused only because keys are missing.
        assert!(world.verifier.verify(&corp(json!({})), NOW).await.is_ok());
        for attack in self.0 {
            let name = &attack.name;
            let refusal = match world.verifier.verify(&attack.token, NOW).await {
                Ok(verified) => panic!("{name}: let in as {:?}", verified.principal()),
                Err(refusal) => refusal,
            };
            assert_eq!(refusal.code, attack.code, "{name}: {}", refusal.detail);
            assert!(refusal.detail.contains(attack.says), "{name}: `{}`", refusal.detail);
            assert!(refusal.detail.len() < 400, "{name}: a long detail");
            assert!(refusal.detail.chars().all(|c| !c.is_control()), "{name}: {:?}", refusal.detail);
            for segment in attack.token.split('.').filter(|s| s.len() >= 16) {
                assert!(!refusal.detail.contains(segment), "{name}: the detail holds a part of the token");
            }
            assert!(world.verifier.cached(&attack.token, NOW).is_none(), "{name}: remembered");
        }
    }
}

fn good_header() -> String {
    json!({"alg": "RS256", "typ": "at+jwt", "kid": "k1"}).to_string()
}

#[tokio::test]
async fn the_signature_cannot_be_left_out_or_made_by_others() {
    let mut t = Table::default();
    let good = corp(json!({}));
    let (input, signature) = good.rsplit_once('.').unwrap();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256", "RS384", "RS512", "rs256", "ES512", "A128KW"] {
        let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k1"}).to_string();
        let input = format!("{}.{}", b64(header), b64(claims(CORP).to_string()));
        t.row(format!("J1 alg {alg}, no signature"), format!("{input}."), "no signature");
        t.row(
            format!("J1 alg {alg}, some signature"),
            format!("{input}.{signature}"),
            "other algorithms than",
        );
    }
    t.header("J1 no alg", json!({"typ": "at+jwt", "kid": "k1"}), "no `alg`");
    t.header("J1 alg null", json!({"alg": null, "typ": "at+jwt"}), "not text");
    t.header("J1 alg list", json!({"alg": ["RS256"], "typ": "at+jwt"}), "not text");
    for alg in ["HS256", "HS384", "HS512"] {
        for (i, secret) in RSA.public_forms().iter().enumerate() {
            let kind = match alg {
                "HS256" => hmac::HMAC_SHA256,
                "HS384" => hmac::HMAC_SHA384,
                _ => hmac::HMAC_SHA512,
            };
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k1"}).to_string();
            let input = format!("{}.{}", b64(header), b64(claims(CORP).to_string()));
            let mac = hmac::sign(&hmac::Key::new(kind, secret), input.as_bytes());
            t.row(format!("J2 {alg} form {i}"), format!("{input}.{}", b64(mac)), "other algorithms than");
        }
    }
    t.row("J16 stripped", format!("{input}."), "no signature");
    t.row("J16 stripped with its dot", input, "three segments");
    t.row("J16 truncated", &good[..good.len() - 4], "signature");
    t.row("J16 one more byte", format!("{good}AAAA"), "signature");
    t.row("J16 fourth segment", format!("{good}.AAAA"), "three segments");
    t.row(
        "J16 of another token",
        format!("{}.{}", corp(json!({"sub": "bob"})).rsplit_once('.').unwrap().0, signature),
        "signature",
    );
    t.row(
        "J28 other header, same signature",
        {
            let header = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}).to_string();
            format!("{}.{}.{signature}", b64(header), input.split_once('.').unwrap().1)
        },
        "signature",
    );
    t.row("J12 key of another", signed(&RSA_OTHER, "RS256", &claims(CORP)), "signature");
    t.row("J12 token of B with the iss of A", signed(&P256, "ES256", &claims(CORP)), "other algorithms than");
    t.row("J13 same kid, other issuer's iss", signed(&RSA, "RS256", &claims(LAB)), "other algorithms than");
    t.row("J13 same kid, same alg, other key", signed(&P256_OTHER, "ES256", &claims(LAB)), "signature");
    t.row("J20 PS256 where RS256 is pinned", signed(&RSA, "PS256", &claims(CORP)), "other algorithms than");
    t.row("J20 RS256 where PS256 is pinned", signed(&RSA, "RS256", &claims(PSS)), "other algorithms than");
    t.row("J20 ES384 where ES256 is pinned", signed(&P384, "ES384", &claims(LAB)), "other algorithms than");
    t.row(
        "J20 the name of one, the key of the other",
        {
            let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}).to_string();
            token(&P384, &header, &claims(LAB).to_string())
        },
        "signature",
    );
    t.run().await;
}

#[tokio::test]
async fn signatures_that_are_no_signatures() {
    let mut t = Table::default();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"}).to_string();
    let input = format!("{}.{}", b64(header), b64(claims(LAB).to_string()));
    let order = [
        &[0xff; 4][..],
        &[0; 4],
        &[0xff; 8],
        &[0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51],
    ]
    .concat();
    let one = [&[0; 31][..], &[1]].concat();
    for (name, signature) in [
        ("J17 r = s = 0", vec![0; 64]),
        ("J17 r = s = n", [order.clone(), order.clone()].concat()),
        ("J17 r = 1, s = 0", [one.clone(), vec![0; 32]].concat()),
        ("J17 r = 0, s = 1", [vec![0; 32], one.clone()].concat()),
        ("J17 r = s = 1", [one.clone(), one].concat()),
        ("J17 too short", vec![0; 63]),
        ("J17 too long", vec![0; 65]),
        ("J18 DER", P256.sign_der(&input)),
    ] {
        t.row(name, format!("{input}.{}", b64(signature)), "the signature is not one of `lab`");
    }
    let empty = format!("{input}.");
    t.row("J17 empty", empty, "no signature");
    t.run().await;
}

#[tokio::test]
async fn the_header_cannot_bring_a_key_or_change_the_reading() {
    let mut t = Table::default();
    let with = |name: &str, value: Value| {
        let mut header = json!({"alg": "RS256", "typ": "at+jwt", "kid": "k1"});
        header[name] = value;
        header
    };
    t.header("J3", with("jwk", RSA_OTHER.jwk("k1")), "`jwk`");
    t.header("J3", with("jwk", json!(null)), "`jwk`");
    t.header("J4", with("jku", json!("https://evil.example/keys")), "`jku`");
    t.header("J4", with("jku", json!("https://idp.corp.example@evil.example/")), "`jku`");
    t.header("J4", with("x5u", json!("https://evil.example/cert")), "`x5u`");
    t.header("J5", with("x5c", json!(["MIIB"])), "`x5c`");
    t.header("J7", with("crit", json!([])), "`crit`");
    t.header("J7", with("crit", json!(["exp"])), "`crit`");
    t.header("J7", with("crit", json!(["unknown"])), "`crit`");
    t.header("J7", with("b64", json!(false)), "`b64`");
    t.header("J7", with("zip", json!("DEF")), "`zip`");
    t.header("J24", with("cty", json!("JWT")), "`cty`");
    t.header("J25", with("enc", json!("A256GCM")), "`enc`");
    for kid in
        ["../../../../dev/null", "k1' OR '1'='1", "K1", "k1 ", "k1\u{0}", "k3", "https://evil.example/k1"]
    {
        t.header("J6", with("kid", json!(kid)), "no key `");
    }
    t.header("J6 10 KiB", with("kid", json!("k".repeat(10_240))), "too long");
    t.header("J6 empty", with("kid", json!("")), "empty");
    t.header("J6 number", with("kid", json!(1)), "not text");
    t.header("J6 list", with("kid", json!(["k1"])), "not text");
    t.header("J6 none of several", json!({"alg": "RS256", "typ": "at+jwt"}), "several");
    for typ in
        ["logout+jwt", "secevent+jwt", "dpop+jwt", "id_token", "JOSE", "application/x/at+jwt", "at+jwt "]
    {
        t.header("J8", with("typ", json!(typ)), "not one for access");
    }
    t.header("J8", with("typ", json!("")), "does not say its `typ`");
    t.header("J8", json!({"alg": "RS256", "kid": "k1"}), "does not say its `typ`");
    t.header("J8", with("typ", json!(["at+jwt"])), "not text");
    t.run().await;
}

#[tokio::test]
async fn tokens_for_another_purpose_or_by_another() {
    let mut t = Table::default();
    t.claims("J9 ID token", json!({"aud": "client-1", "nonce": "n"}), "another audience");
    t.claims("J9 ID token with our audience", json!({"at_hash": "x"}), "at_hash");
    t.claims("J9 ID token with our audience", json!({"c_hash": "x"}), "c_hash");
    t.claims("J9 Keycloak", json!({"typ": "ID"}), "not one for access");
    t.claims("J9 Keycloak", json!({"typ": "Refresh"}), "not one for access");
    t.claims("J9 Cognito", json!({"token_use": "id"}), "not one for access");
    // The code flow gives ID tokens without `at_hash`, of type `JWT`, with the client as audience.
    let jwt = json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}).to_string();
    for says in [
        json!({"nonce": "n"}),
        json!({"s_hash": "h"}),
        json!({"nonce": "n", "azp": "doorward"}),
        json!({"nonce": "n", "client_id": "doorward"}),
        json!({"nonce": "n", "scope": ""}),
        json!({"nonce": "n", "scp": []}),
        json!({"nonce": "n", "scope": 1}),
        json!({"nonce": "n", "typ": "JWT", "token_use": "x"}),
        json!({"nonce": ""}),
    ] {
        t.row(
            format!("J9 ID token of type JWT {says}"),
            token(&RSA, &jwt, &claims_with(CORP, says).to_string()),
            "it is an ID token",
        );
    }
    let bare = json!({"alg": "EdDSA", "kid": "k1"}).to_string();
    let id_token = claims_with(ED_ISSUER, json!({"nonce": "n"})).to_string();
    t.row("J9 ID token without type", token(&ED, &bare, &id_token), "it is an ID token");
    // Whoever stole a token that is bound to a key has the token and not the key.
    for cnf in [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}),
        json!({"jwk": {"kty": "EC"}}),
        json!({"kid": "k"}),
        json!({}),
        json!("x"),
    ] {
        t.claims(
            "sender-constrained",
            json!({"cnf": cnf}),
            "bound to a key that this gateway cannot check yet",
        );
    }
    t.claims(
        "J8 logout token",
        json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
        "events",
    );
    for aud in [
        json!("other"),
        json!("Doorward"),
        json!("doorward "),
        json!("doorwar"),
        json!(["other", "doorward-3"]),
        json!([]),
        json!(""),
    ] {
        t.claims("J10", json!({"aud": aud}), "another audience");
    }
    for aud in [json!(1), json!({"doorward": true}), json!(true)] {
        t.claims("J10", json!({"aud": aud}), "`aud`");
    }
    t.claims("J11", json!({"aud": ["doorward", 1]}), "`aud`");
    t.claims("J11", json!({"aud": [["doorward"]]}), "`aud`");
    t.claims("J10 absent", json!({"aud": null}), "no `aud`");
    for iss in [
        "https://idp.corp.example/",
        "https://IDP.corp.example",
        "https://idp.corp.example:443",
        "http://idp.corp.example",
        "https://idp.corp.example/{tenantid}",
        "https://idp.corp.example.evil.example",
        " https://idp.corp.example",
        "https://idp.corp.example\u{0}",
        "https://idp.corp.example#x",
        "corp",
        "",
    ] {
        t.claims("J14, J15", json!({"iss": iss}), "is not configured");
    }
    t.claims("J15 list", json!({"iss": [CORP]}), "`iss`");
    t.claims("J15 object", json!({"iss": {"x": CORP}}), "`iss`");
    t.claims("J15 number", json!({"iss": 1}), "`iss`");
    t.claims("J15 absent", json!({"iss": null}), "no `iss`");
    t.claims("sub absent", json!({"sub": null}), "no `sub`");
    for sub in [json!(""), json!("a\nb"), json!("a\u{0}"), json!(1), json!(["alice"]), json!("x".repeat(256))]
    {
        t.claims("sub", json!({"sub": sub}), "`sub`");
    }
    t.run().await;
}

#[tokio::test]
async fn times_are_numbers_and_now_lies_between_them() {
    let mut t = Table::default();
    t.claims("J21", json!({"nbf": NOW_SECONDS + 60}), "`nbf` lies in the future");
    t.claims("J21", json!({"iat": NOW_SECONDS + 60}), "`iat` lies in the future");
    t.claims("auth_time", json!({"auth_time": NOW_SECONDS + 60}), "`auth_time` lies in the future");
    for name in ["exp", "iat", "nbf", "auth_time"] {
        for value in [
            json!("1768478460"),
            json!(true),
            json!([NOW_SECONDS]),
            json!({}),
            json!(-1),
            json!(-1.5),
            json!(1e300),
            json!(253_402_300_800_i64),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(i64::MIN),
        ] {
            t.claims("J22", json!({name: value}), name);
        }
    }
    for raw in ["1e400", "-1e400", "NaN", "Infinity", "0x10", "01", "1.", "null"] {
        for name in ["exp", "iat", "nbf"] {
            let text = claims_with(CORP, json!({name: "HERE"})).to_string().replace("\"HERE\"", raw);
            let says = if raw == "null" { "is not a number" } else { "the claims of the token" };
            t.row(format!("J22 {name} {raw}"), token(&RSA, &good_header(), &text), says);
        }
    }
    t.claims("J22 absent", json!({"exp": null}), "no `exp`");
    t.claims("J22 absent", json!({"iat": null}), "no `iat`");
    for exp in [json!(NOW_SECONDS), json!(NOW_SECONDS - 1), json!(NOW_SECONDS - 30), json!(0)] {
        t.claims("J21 expired", json!({"exp": exp}), "expired");
        t.0.last_mut().unwrap().code = ExpiredCredential;
    }
    // An expired token that nobody signed is not called expired: that would confirm its claims.
    t.row(
        "J21 expired and forged",
        signed(&RSA_OTHER, "RS256", &claims_with(CORP, json!({"exp": 1}))),
        "signature",
    );
    t.run().await;
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_not_read() {
    let mut t = Table::default();
    let good = corp(json!({}));
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    for (name, text) in [
        ("alg", r#"{"alg":"RS256","typ":"at+jwt","kid":"k1","alg":"none"}"#),
        ("kid", r#"{"alg":"RS256","typ":"at+jwt","kid":"k2","kid":"k1"}"#),
        ("escaped", r#"{"alg":"RS256","typ":"at+jwt","kid":"k1","\u0061lg":"HS256"}"#),
        ("escaped crit", r#"{"alg":"RS256","typ":"at+jwt","kid":"k1","cr\u0069t":[]}"#),
    ] {
        t.row(
            format!("J23 header {name}"),
            token(&RSA, text, &claims(CORP).to_string()),
            "the header of the token",
        );
    }
    let open = claims(CORP).to_string();
    let open = open.trim_end_matches('}');
    for more in [
        r#","iss":"https://idp.corp.example"}"#,
        r#","sub":"bob"}"#,
        r#","groups":[],"groups":["admin"]}"#,
        r#","s\u0075b":"bob"}"#,
        r#","x":{"y":1,"y":2}}"#,
        r#","x":[{"y":1,"y":2}]}"#,
        r#"}{"sub":"bob"}"#,
        "} x",
        "",
    ] {
        t.row(
            format!("J23, J27 claims {more}"),
            token(&RSA, &good_header(), &format!("{open}{more}")),
            "the claims of the token",
        );
    }
    t.row("J24 a token as claims", token(&RSA, &good_header(), &good), "the claims of the token");
    t.row(
        "J24 a token as a JSON text",
        token(&RSA, &good_header(), &json!(good).to_string()),
        "not a JSON object",
    );
    t.row("J25 five segments", format!("{good}.AAAA.AAAA"), "three segments");
    t.row(
        "J25 JSON serialization",
        json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
        "",
    );
    for (name, token) in [
        ("padding in the header", format!("{header}=.{payload}.{signature}")),
        ("padding in the claims", format!("{header}.{payload}=.{signature}")),
        ("padding in the signature", format!("{header}.{payload}.{signature}==")),
        ("a space", format!("{header}. {payload}.{signature}")),
        ("a line end", format!("{good}\n")),
        ("the other alphabet", format!("{header}.{payload}.{}+/{}", &signature[..2], &signature[4..])),
        ("an impossible length", format!("{header}.{payload}.{signature}AAA")),
        ("last bits", format!("{header}.{payload}.{}", with_other_last_bits(signature))),
        ("no header", format!(".{payload}.{signature}")),
        ("no claims", format!("{header}..{signature}")),
        ("dots", "..".to_owned()),
        ("nothing", String::new()),
        ("one word", "opaque-token".to_owned()),
    ] {
        t.row(format!("J26 {name}"), token, "the token");
        t.0.last_mut().unwrap().says = "";
    }
    t.row("J27 1 MiB", corp(json!({"x": "x".repeat(1 << 20)})), "longer than the limit");
    let deep = format!("{open},\"x\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
    t.row("J27 deep", token(&RSA, &good_header(), &deep), "the claims of the token");
    t.run().await;
}

/// The same bytes by a lenient decoder: a 2048-bit signature has 4 bits to spare at its end.
fn with_other_last_bits(signature: &str) -> String {
    let (front, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.find(last).unwrap();
    let other = format!("{front}{}", &alphabet[at + 1..at + 2]);
    assert_ne!(other, signature);
    other
}

/// A claim that is used and has the wrong kind refuses the token, even when it is of no weight.
#[tokio::test]
async fn claims_of_the_wrong_kind_are_refused_and_not_ignored() {
    let mut t = Table::default();
    let long = "x".repeat(1025);
    let texts = [
        json!(1),
        json!(true),
        json!(["x"]),
        json!({"x": "y"}),
        json!("a\u{7}b"),
        json!("a\nb"),
        json!(long),
    ];
    for name in [
        "name",
        "email",
        "employment",
        "country",
        "department",
        "stage",
        "device_id",
        "device_platform",
        "sid",
        "jti",
        "acr",
        "cost_center",
    ] {
        for value in &texts {
            t.claims("text", json!({name: value}), name);
        }
    }
    for name in ["groups", "amr"] {
        for value in [
            json!("admin"),
            json!("a,b"),
            json!({}),
            json!(1),
            json!(["a", 1]),
            json!([""]),
            json!([["a"]]),
            json!(["a\u{0}"]),
            json!([long]),
        ] {
            t.claims("list", json!({name: value}), name);
        }
    }
    t.claims("list within", json!({"realm_access": {"roles": "admin"}}), "realm_access.roles");
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    t.claims("too many groups", json!({"groups": many}), "more than 1000");
    // What is to be fetched elsewhere is not absent: a claim that a policy forbids, or a default.
    for name in [
        "groups",
        "realm_access",
        "realm_access.roles",
        "name",
        "email",
        "sid",
        "scope",
        "employment",
        "country",
        "department",
        "contract_end",
        "stage",
        "device_id",
        "device_managed",
        "device_compliant",
        "device_platform",
        "risk",
        "cost_center",
        "act",
        "amr",
        "acr",
        "auth_time",
    ] {
        t.claims("elsewhere", json!({"_claim_names": {name: "src1"}}), "was left out of the token");
    }
    t.claims("groups that did not fit", json!({"_claim_names": "x"}), "was left out of the token");
    t.claims("groups that did not fit", json!({"hasgroups": true}), "was left out of the token");
    for name in ["device_managed", "device_compliant"] {
        for value in [json!("true"), json!(1), json!([true]), json!({})] {
            t.claims("flag", json!({name: value}), name);
        }
    }
    for value in [json!("5"), json!(-1), json!(101), json!(100.5), json!(1e300), json!([5]), json!(true)] {
        t.claims("risk", json!({"risk": value}), "risk");
    }
    for value in [json!(1), json!({}), json!([1]), json!(["a b"]), json!("a\"b"), json!("a\tb"), json!("ä")]
    {
        t.claims("scope", json!({"scope": value}), "scope");
    }
    t.claims("country", json!({"country": "Germany"}), "country");
    t.claims("contract_end", json!({"contract_end": "2026-01-01"}), "contract_end");
    t.claims("device", json!({"device_id": "a b"}), "device_id");
    for act in [
        json!("bot"),
        json!(["bot"]),
        json!({}),
        json!({"sub": 1}),
        json!({"sub": ""}),
        json!({"sub": "bot", "iss": LAB}),
        json!({"sub": "bot", "iss": 1}),
        json!(true),
    ] {
        t.claims("act", json!({"act": act}), "act");
    }
    t.row(
        "act for a machine",
        signed(&P256, "ES256", &claims_with(MACHINES, json!({"owner": "bob", "act": {"sub": "bot"}}))),
        "service account",
    );
    // `claims_with` takes null for absence, so null is written by hand.
    for name in ["groups", "name", "risk", "device_managed", "act", "scope", "contract_end"] {
        let text = claims_with(CORP, json!({name: "HERE"})).to_string().replace("\"HERE\"", "null");
        t.row(format!("null {name}"), mint::token(&RSA, &good_header(), &text), name);
    }
    t.run().await;
}
