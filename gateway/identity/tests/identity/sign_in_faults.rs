//! Providers that are away, slow, wrong or hostile, and what they do to a sign-in and to sessions.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::Secret;
use doorward_identity::oidc::{Ask, OidcError, RefreshError};
use doorward_model::UnixMillis;
use doorward_model::demand::Demand;
use serde_json::json;

use crate::provider::*;
use crate::site::{Answer, Site};
use crate::world::NOW;

/// Everything that no error may repeat.
const SECRETS: [&str; 6] =
    [CODE, CODE_VERIFIER, CLIENT_SECRET, "client%27s", REFRESH, "Y2xpZW50LTE6dGhlK2NsaWVudCUyN3M"];

fn tells_nothing(error: &dyn std::error::Error) -> String {
    let told = format!("{error} {error:?}");
    for secret in SECRETS {
        assert!(!told.contains(secret), "{told}");
    }
    assert!(told.chars().all(|c| !c.is_control()), "{told:?}");
    told
}

fn status(status: &'static str, body: &str) -> Answer {
    Answer { status, ..Answer::ok(body) }
}

#[tokio::test]
async fn a_token_endpoint_that_does_not_answer_as_one_is_unavailable_and_nothing_leaks() {
    let provider = Provider::start("", "").await;
    let elsewhere = Site::start().await;
    elsewhere.set("/token", Answer::ok(json!({"id_token": provider.id_token(json!({}))}).to_string()));
    let redirect = Answer {
        status: "307 Temporary Redirect",
        headers: format!("location: {}/token\r\n", elsewhere.url),
        ..Answer::ok("")
    };
    let endless = Answer { length: false, ..Answer::ok("x".repeat(300_000)) };
    let told = Answer { length: true, ..Answer::ok("x".repeat(300_000)) };
    for (name, answer, says) in [
        ("redirect", redirect, "307"),
        ("too large, untold", endless, "more than"),
        ("too large, told", told, "more than"),
        ("an error of the server", status("500 Oh", r#"{"error":"invalid_grant"}"#), "500"),
        ("too many", status("429 Slow", r#"{"error":"invalid_grant"}"#), "429"),
        ("away", status("503 Away", "<html>"), "503"),
        ("a page", status("400 Bad Request", "<html>"), "400"),
        ("no word", status("400 Bad Request", "{}"), "400"),
        ("no JSON", Answer::ok("id_token=x"), "not unambiguous JSON"),
        ("twice", Answer::ok(r#"{"id_token":"a","id_token":"b"}"#), "comes twice"),
        ("a number", Answer::ok(r#"{"id_token":1}"#), "not a token"),
        ("202", status("202 Accepted", "{}"), "202"),
    ] {
        provider.site.set("/token", answer);
        let error = provider.redeem().await.unwrap_err();
        assert_eq!(error.as_str(), "provider_unavailable", "{name}: {error}");
        let told = tells_nothing(&error);
        assert!(told.contains(says), "{name}: {told}");
        let error = provider.refresh().await.unwrap_err();
        assert!(matches!(error, RefreshError::Unavailable { rotated: None, .. }), "{name}: {error}");
        tells_nothing(&error);
    }
    assert_eq!(elsewhere.hits("/token"), 0, "what is secret goes nowhere else");
    provider.answers(json!({"access_token": ACCESS}));
    assert_eq!(provider.redeem().await.unwrap_err().as_str(), "id_token_refused", "no ID token is none");
}

#[tokio::test]
async fn what_a_provider_says_of_us_and_of_the_code_is_told_apart() {
    let provider = Provider::start("", "").await;
    for (word, expect) in [
        ("invalid_grant", "code_refused"),
        ("invalid_client", "client_refused"),
        ("unauthorized_client", "client_refused"),
        ("interaction_required", "interaction_required"),
        ("invalid_scope", "provider_error"),
        ("\u{1b}[2J", "provider_error"),
    ] {
        let answer = json!({"error": word, "error_description": "AADSTS50076: see the manual\n"});
        provider.refuses("400 Bad Request", answer);
        let error = provider.redeem().await.unwrap_err();
        assert_eq!(error.as_str(), expect, "{error}");
        assert!(tells_nothing(&error).contains("AADSTS50076"), "{error}");
        // One that repeats what we sent is not repeated.
        let header = STANDARD.encode("client-1:the+client%27s+s3cret%3A+%2B%26%3D%25");
        for secret in [CODE, CODE_VERIFIER, CLIENT_SECRET, "the+client%27s+s3cret%3A+%2B%26%3D%25", &header] {
            let answer = json!({"error": word, "error_description": format!("bad: {secret}")});
            provider.refuses("401 Unauthorized", answer);
            tells_nothing(&provider.redeem().await.unwrap_err());
        }
    }
    let answer = json!({"error": CODE});
    provider.refuses("400 Bad Request", answer);
    tells_nothing(&provider.redeem().await.unwrap_err());
}

#[tokio::test]
async fn only_a_provider_that_says_so_ends_a_session() {
    let provider = Provider::start("", "").await;
    for (word, ends) in [
        ("invalid_grant", true),
        ("login_required", true),
        ("interaction_required", true),
        ("consent_required", true),
        ("access_denied", true),
        ("invalid_client", false),
        ("unauthorized_client", false),
        ("invalid_request", false),
        ("invalid_scope", false),
        ("temporarily_unavailable", false),
        ("server_error", false),
        ("slow_down", false),
    ] {
        provider.refuses("400 Bad Request", json!({"error": word, "error_description": REFRESH}));
        let error = provider.refresh().await.unwrap_err();
        assert_eq!(matches!(error, RefreshError::Refused(_)), ends, "{word}: {error}");
        tells_nothing(&error);
    }
    // Somebody else's token for this person's session.
    provider.gives(&provider.id_token(json!({"sub": "bob"})));
    assert!(matches!(provider.refresh().await.unwrap_err(), RefreshError::Refused(_)));
    // Nonsense is no word of the provider, and what it gave before that is kept.
    for changes in [
        json!({"aud": "client-2"}),
        json!({"iss": "https://idp.lab.example"}),
        json!({"exp": 1}),
        json!({"groups": "admin"}),
        json!({"_claim_names": {"groups": "src1"}}),
        json!({"events": {}}),
    ] {
        let id_token = provider.id_token(changes.clone());
        provider.answers(json!({"id_token": id_token, "refresh_token": "refresh-2"}));
        match provider.refresh().await.unwrap_err() {
            RefreshError::Unavailable { rotated: Some(rotated), .. } => {
                assert_eq!(rotated.expose(), "refresh-2", "{changes}");
            }
            other => panic!("{changes}: {other:?}"),
        }
    }
    let of_nobody = doorward_model::UserId::new(
        doorward_model::IssuerId::new("lab").unwrap(),
        doorward_model::SubjectId::new("alice").unwrap(),
    );
    let error = provider.providers.refresh(&of_nobody, &Secret::new(REFRESH)).await.unwrap_err();
    assert!(matches!(error, RefreshError::Unavailable { .. }), "{error}");
}

/// Real time passes here: the bound is that of the client.
#[tokio::test]
async fn a_token_endpoint_that_does_not_answer_is_given_up() {
    let provider = Provider::start("", "").await;
    provider.gives(&provider.id_token(json!({})));
    let slow = Answer { delay: Duration::from_secs(60), ..Answer::ok("{}") };
    provider.site.set("/token", slow);
    let answered = tokio::time::timeout(Duration::from_secs(40), provider.redeem()).await;
    let error = answered.unwrap().unwrap_err();
    assert_eq!(error.as_str(), "provider_unavailable");
    tells_nothing(&error);
}

#[tokio::test]
async fn a_crowd_at_a_slow_provider_is_bounded_and_told_at_once() {
    let provider = std::sync::Arc::new(Provider::start("", "").await);
    provider.gives(&provider.id_token(json!({})));
    provider.redeem().await.unwrap();
    provider.site.set("/token", Answer { delay: Duration::from_secs(60), ..Answer::ok("{}") });
    let before = provider.site.hits("/token");
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..doorward_model::limits::OIDC_CALLS_MAX {
        let provider = std::sync::Arc::clone(&provider);
        calls.spawn(async move { provider.redeem().await.map(drop) });
    }
    provider.site.wait_for_hits("/token", before + doorward_model::limits::OIDC_CALLS_MAX).await;
    let error = provider.redeem().await.unwrap_err();
    assert!(error.to_string().contains("wait for it already"), "{error}");
    // The gateway still asks of the sessions that there are: its call arrives, and takes no place of theirs.
    let hits = provider.site.hits("/token");
    let asking = std::sync::Arc::clone(&provider);
    calls.spawn(async move {
        let _dropped = asking.refresh().await;
        Ok(())
    });
    provider.site.wait_for_hits("/token", hits + 1).await;
    calls.shutdown().await;
    provider.gives(&provider.id_token(json!({})));
    provider.redeem().await.unwrap();
}

async fn where_to(provider: &Provider) -> Result<String, OidcError> {
    let ask = Ask {
        redirect_uri: REDIRECT,
        state: "s",
        nonce: NONCE,
        code_verifier: CODE_VERIFIER,
        demand: Demand::default(),
        login_hint: None,
        prompt: None,
    };
    provider.providers.authorization_url(&corp(), &ask).await
}

#[tokio::test]
async fn a_discovery_document_of_another_or_with_a_bad_address_leads_nowhere() {
    let document_at = "/.well-known/openid-configuration";
    for (changes, says) in [
        (json!({"issuer": "https://idp.lab.example"}), "is of the issuer"),
        (json!({"issuer": null}), "has no `issuer`"),
        (json!({"authorization_endpoint": null}), "has no `authorization_endpoint`"),
        (json!({"token_endpoint": null}), "has no `token_endpoint`"),
        (json!({"authorization_endpoint": "http://idp.corp.example/authorize"}), "not https"),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), "not https"),
        (json!({"authorization_endpoint": "https://idp.corp.example/authorize#x"}), "not https"),
        (json!({"token_endpoint": "https://user:password@idp.corp.example/token"}), "not https"),
        (json!({"token_endpoint": "//idp.corp.example/token"}), "not https"),
        (json!({"token_endpoint": 1}), "not text"),
        (json!({"end_session_endpoint": "http://idp.corp.example/logout"}), "not https"),
        (json!({"authorization_response_iss_parameter_supported": "true"}), "does not say"),
    ] {
        let provider = Provider::start("", "").await;
        let mut document = document(&provider.site.url);
        for (name, value) in changes.as_object().unwrap() {
            match value {
                serde_json::Value::Null => _ = document.as_object_mut().unwrap().remove(name),
                value => document[name] = value.clone(),
            }
        }
        provider.site.set(document_at, Answer::ok(document.to_string()));
        let error = where_to(&provider).await.unwrap_err();
        assert_eq!(error.as_str(), "provider_unavailable", "{changes}");
        assert!(error.to_string().contains(says), "{changes}: {error}");
        // Another one right after asks nobody; some seconds later it does.
        let before = provider.site.hits(document_at);
        where_to(&provider).await.unwrap_err();
        assert_eq!(provider.site.hits(document_at), before, "{changes}");
        *provider.now.lock().unwrap() = UnixMillis(NOW.0 + 6000);
        provider.site.set(document_at, Answer::ok(crate::provider::document(&provider.site.url).to_string()));
        where_to(&provider).await.unwrap();
    }
}

#[tokio::test]
async fn where_a_provider_is_stays_known_while_it_is_away_and_is_asked_again_when_it_is_old() {
    let document_at = "/.well-known/openid-configuration";
    let provider = Provider::start("", "").await;
    let first = where_to(&provider).await.unwrap();
    where_to(&provider).await.unwrap();
    assert_eq!(provider.site.hits(document_at), 1);
    provider.site.set(document_at, status("503 Away", ""));
    *provider.now.lock().unwrap() = UnixMillis(NOW.0 + 400_000);
    assert_eq!(where_to(&provider).await.unwrap(), first);
    assert_eq!(provider.site.hits(document_at), 2);
    let status = provider.providers.status();
    assert!(
        status[0].endpoints_known && status[0].last_error.as_ref().unwrap().contains("503"),
        "{status:?}"
    );
    let mut moved = document(&provider.site.url);
    moved["authorization_endpoint"] = json!(format!("{}/elsewhere", provider.site.url));
    provider.site.set(document_at, Answer::ok(moved.to_string()));
    *provider.now.lock().unwrap() = UnixMillis(NOW.0 + 406_000);
    assert!(where_to(&provider).await.unwrap().contains("/elsewhere?"));
    assert_eq!(provider.providers.status()[0].last_error, None);
    // A clock that is set back makes it due, not fresh for ever.
    *provider.now.lock().unwrap() = UnixMillis(NOW.0 - 400_000);
    where_to(&provider).await.unwrap();
    assert_eq!(provider.site.hits(document_at), 4);
}

#[tokio::test]
async fn a_crowd_that_signs_in_asks_once_where() {
    let provider = std::sync::Arc::new(Provider::start("", "").await);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let provider = std::sync::Arc::clone(&provider);
        crowd.spawn(async move { where_to(&provider).await.unwrap() });
    }
    assert_eq!(crowd.join_all().await.len(), 50);
    assert_eq!(provider.site.hits("/.well-known/openid-configuration"), 1);
}

#[tokio::test]
async fn written_endpoints_are_never_looked_for() {
    let site = Site::start().await;
    site.set("/keys", Answer::ok(json!({"keys": [crate::mint::RSA.jwk("k1")]}).to_string()));
    let folder = tempfile::tempdir().unwrap();
    secret_file(folder.path(), "client.secret", CLIENT_SECRET);
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{0}'\nalgorithms = ['RS256']\njwks_uri = '{0}/keys'\n[issuer.sign_in]\n\
         client_id = '{CLIENT}'\nclient_secret_file = 'client.secret'\nauthorization_endpoint = '{0}/authorize'\n\
         token_endpoint = '{0}/token'\nanswers_name_issuer = true\n",
        site.url
    );
    let provider = Provider::of(site, &toml, folder);
    assert!(where_to(&provider).await.unwrap().contains("/authorize?response_type=code"));
    provider.gives(&provider.id_token(json!({})));
    let error = provider.redeem().await.unwrap_err();
    assert_eq!(error.as_str(), "mix_up", "its answers name it, by the configuration");
    let query = format!("code={CODE}&state=s&iss={}", provider.site.url);
    provider.redeem_query(&query, Demand::default()).await.unwrap();
    assert_eq!(provider.site.hits("/.well-known/openid-configuration"), 0);
    assert!(!provider.providers.revoke(&corp(), &Secret::new(REFRESH)).await.unwrap());
    assert_eq!(provider.providers.sign_out_url(&corp(), "https://x.example/", "s", None), None);
}

#[tokio::test]
async fn what_is_known_is_renewed_before_anybody_waits_for_it() {
    let document_at = "/.well-known/openid-configuration";
    let provider = Provider::start("", "").await;
    let task = tokio::spawn(std::sync::Arc::clone(&provider.providers).keep_fresh());
    while !provider.providers.status()[0].endpoints_known {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    task.abort();
    // The document says nothing of how long it is good: five minutes. After four it is asked for again.
    *provider.now.lock().unwrap() = UnixMillis(NOW.0 + 240_000);
    where_to(&provider).await.unwrap();
    assert_eq!(provider.site.hits(document_at), 1, "whoever signs in takes what is there");
    let task = tokio::spawn(std::sync::Arc::clone(&provider.providers).keep_fresh());
    provider.site.wait_for_hits(document_at, 2).await;
    task.abort();
}
