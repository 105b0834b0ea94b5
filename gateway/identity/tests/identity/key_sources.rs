//! Where keys come from over time: discovery, rotation, removal, floods and failures.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_identity::Verifier;
use doorward_model::time::Clock;
use doorward_model::{RefusalCode, UnixMillis};
use serde_json::json;

use crate::mint::{self, Key, P256, P256_OTHER};
use crate::site::{Answer, Site, until};
use crate::world::{NOW, NOW_SECONDS, claims, claims_with, client, signed, verifier};

pub(crate) const ISSUER: &str = "https://idp.corp.example";
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A verifier of one ES256 issuer with its keys at `/keys` of a site.
pub(crate) fn by_address(site: &Site) -> Arc<Verifier> {
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{ISSUER}'\naudiences = ['doorward']\nalgorithms = ['ES256']\njwks_uri = '{}/keys'",
        site.url
    );
    Arc::new(verifier(&toml, Path::new("/")))
}

/// The same by discovery, where the site is the issuer.
fn by_discovery(site: &Site) -> Arc<Verifier> {
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{}'\naudiences = ['doorward']\nalgorithms = ['ES256']",
        site.url
    );
    Arc::new(verifier(&toml, Path::new("/")))
}

pub(crate) fn keys(keys: &[(&Key, &str)]) -> Answer {
    let keys: Vec<_> = keys.iter().map(|(key, kid)| key.jwk(kid)).collect();
    Answer::ok(json!({ "keys": keys }).to_string())
}

pub(crate) fn token(key: &Key, kid: &str, issuer: &str) -> String {
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
    // Good for a long time, so that only the keys decide.
    let claims = claims_with(issuer, json!({"exp": NOW_SECONDS + 300 * 86_400}));
    mint::token(key, &header, &claims.to_string())
}

pub(crate) async fn code(verifier: &Verifier, token: &str, now: UnixMillis) -> Option<RefusalCode> {
    verifier.verify(token, now).await.err().map(|r| r.code)
}

pub(crate) fn clock(now: UnixMillis) -> Clock {
    Arc::new(move || now)
}

#[tokio::test]
async fn keys_are_discovered() {
    let site = Site::start().await;
    let document = json!({"issuer": site.url, "jwks_uri": format!("{}/keys", site.url)});
    site.set("/.well-known/openid-configuration", Answer::ok(document.to_string()));
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_discovery(&site);
    assert!(verifier.key_status(NOW)[0].stale && verifier.key_status(NOW)[0].fetched_at.is_none());
    assert_eq!(code(&verifier, &signed(&P256, "ES256", &claims(&site.url)), NOW).await, None);
    let status = &verifier.key_status(NOW)[0];
    assert_eq!((status.issuer.as_str(), status.keys, status.stale), ("corp", 1, false));
    assert_eq!((status.fetched_at, &status.last_error), (Some(NOW), &None));
}

#[tokio::test]
async fn a_discovery_document_of_another_or_with_a_bad_address_gives_no_keys() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let good = format!("{}/keys", site.url);
    for (document, says) in [
        (json!({"issuer": format!("{}/", site.url), "jwks_uri": good}).to_string(), "is of the issuer"),
        (json!({"issuer": "https://evil.example", "jwks_uri": good}).to_string(), "is of the issuer"),
        (json!({"issuer": [site.url], "jwks_uri": good}).to_string(), "has no `issuer`"),
        (json!({"jwks_uri": good}).to_string(), "has no `issuer`"),
        (json!({"issuer": site.url}).to_string(), "has no `jwks_uri`"),
        (json!({"issuer": site.url, "jwks_uri": "http://evil.example/keys"}).to_string(), "not https"),
        (json!({"issuer": site.url, "jwks_uri": "file:///etc/passwd"}).to_string(), "not https"),
        (json!({"issuer": site.url, "jwks_uri": "/keys"}).to_string(), "not https"),
        (json!({"issuer": site.url, "jwks_uri": "https://u:p@evil.example/"}).to_string(), "not https"),
        ("<html>".to_owned(), "cannot be read"),
        (format!("{{\"issuer\":\"x\",\"issuer\":\"{}\"}}", site.url), "cannot be read"),
    ] {
        site.set("/.well-known/openid-configuration", Answer::ok(document.clone()));
        let verifier = by_discovery(&site);
        let refusal = verifier.verify(&signed(&P256, "ES256", &claims(&site.url)), NOW).await.unwrap_err();
        assert_eq!(refusal.code, RefusalCode::KeysUnavailable, "{document}");
        assert!(refusal.detail.contains(says), "{document}: {}", refusal.detail);
        let status = &verifier.key_status(NOW)[0];
        assert!(status.stale && status.keys == 0 && status.last_error.as_ref().unwrap().contains(says));
    }
    assert_eq!(site.hits("/keys"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_fetches_once() {
    let site = Site::start().await;
    site.set("/keys", Answer { delay: Duration::from_millis(50), ..keys(&[(&P256, "k1")]) });
    let verifier = by_address(&site);
    assert_eq!(code(&verifier, &token(&P256, "k1", ISSUER), NOW).await, None);
    assert_eq!(site.hits("/keys"), 1, "a verifier without keys fetches them");
    let later = NOW.plus(Duration::from_secs(60));
    let mut flood = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let verifier = Arc::clone(&verifier);
        let token = token(&P256_OTHER, &format!("evil-{n}"), ISSUER);
        flood.spawn(async move { code(&verifier, &token, later).await });
    }
    while let Some(code) = flood.join_next().await {
        assert_eq!(code.unwrap(), Some(RefusalCode::InvalidCredential));
    }
    assert_eq!(site.hits("/keys"), 2, "one for the flood");
    // Within the minute nothing more, after it one more; good tokens never wait.
    for (seconds, hits) in [(30, 2), (59, 2), (60, 3), (61, 3)] {
        let now = later.plus(Duration::from_secs(seconds));
        assert_eq!(
            code(&verifier, &token(&P256_OTHER, "evil", ISSUER), now).await,
            Some(RefusalCode::InvalidCredential)
        );
        assert_eq!(code(&verifier, &token(&P256, "k1", ISSUER), now).await, None);
        assert_eq!(site.hits("/keys"), hits, "after {seconds} s");
    }
}

#[tokio::test]
async fn a_first_flood_without_keys_fetches_once_too() {
    let site = Site::start().await;
    site.set("/keys", Answer { status: "500 Internal Server Error", ..Answer::ok("oops") });
    let verifier = by_address(&site);
    let mut flood = tokio::task::JoinSet::new();
    for n in 0..200 {
        let verifier = Arc::clone(&verifier);
        let token = token(&P256, &format!("k{n}"), ISSUER);
        flood.spawn(async move { code(&verifier, &token, NOW).await });
    }
    while let Some(code) = flood.join_next().await {
        assert_eq!(code.unwrap(), Some(RefusalCode::KeysUnavailable));
    }
    assert_eq!(site.hits("/keys"), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_removed_key_stops_at_once() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let (old, new) = (token(&P256, "k1", ISSUER), token(&P256_OTHER, "k2", ISSUER));
    assert_eq!(code(&verifier, &old, NOW).await, None);
    assert_eq!(code(&verifier, &new, NOW).await, Some(RefusalCode::InvalidCredential), "not published yet");

    site.set("/keys", keys(&[(&P256, "k1"), (&P256_OTHER, "k2")]));
    let now = NOW.plus(Duration::from_secs(60));
    assert_eq!(code(&verifier, &new, now).await, None, "rotated in");
    assert_eq!(code(&verifier, &old, now).await, None, "the old one is good as long as it is published");
    assert!(verifier.cached(&old, now).is_some());

    // J28: rotated out. The background task sees it when the keys are due.
    site.set("/keys", keys(&[(&P256_OTHER, "k2")]));
    let now = now.plus(Duration::from_secs(240));
    assert!(verifier.cached(&old, now).is_some(), "nobody has looked yet");
    let hits = site.hits("/keys");
    let task = tokio::spawn(Arc::clone(&verifier).keep_fresh(clock(now)));
    site.wait_for_hits("/keys", hits + 1).await;
    until("remembered tokens go with their key", || verifier.cached(&old, now).is_none()).await;
    task.abort();
    assert_eq!(code(&verifier, &old, now).await, Some(RefusalCode::InvalidCredential));
    assert_eq!(code(&verifier, &new, now).await, None);
}

#[tokio::test]
async fn a_key_that_changes_under_its_name_stops_at_once() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let old = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &old, NOW).await, None);
    site.set("/keys", keys(&[(&P256_OTHER, "k1")]));
    // An unknown key makes us look.
    assert!(code(&verifier, &token(&P256, "k9", ISSUER), NOW.plus(DAY)).await.is_some());
    assert_eq!(verifier.cached(&old, NOW.plus(DAY)).map(|_| ()), None);
    assert_eq!(code(&verifier, &old, NOW.plus(DAY)).await, Some(RefusalCode::InvalidCredential));
    assert_eq!(code(&verifier, &token(&P256_OTHER, "k1", ISSUER), NOW.plus(DAY)).await, None);
}

#[tokio::test]
async fn an_issuer_that_takes_back_all_keys_is_believed() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let old = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &old, NOW).await, None);
    site.set("/keys", keys(&[]));
    let now = NOW.plus(Duration::from_secs(60));
    assert_eq!(code(&verifier, &token(&P256, "k9", ISSUER), now).await, Some(RefusalCode::KeysUnavailable));
    assert!(verifier.cached(&old, now).is_none());
    assert_eq!(code(&verifier, &old, now).await, Some(RefusalCode::KeysUnavailable));
}

#[tokio::test]
async fn old_keys_serve_for_a_day_when_the_issuer_is_away_and_then_no_more() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let good = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &good, NOW).await, None);
    site.set("/keys", Answer { status: "503 Service Unavailable", ..Answer::ok("") });
    let task = tokio::spawn(Arc::clone(&verifier).keep_fresh(clock(NOW.plus(Duration::from_secs(400)))));
    site.wait_for_hits("/keys", 2).await;
    until("the failure is noted", || verifier.key_status(NOW)[0].last_error.is_some()).await;
    task.abort();
    let last = NOW.plus(Duration::from_secs(300)).plus(DAY);
    assert_eq!(code(&verifier, &good, last).await, None);
    assert!(verifier.cached(&good, last).is_some());
    let status = &verifier.key_status(last)[0];
    assert_eq!((status.keys, status.stale, status.fetched_at), (1, true, Some(NOW)));
    assert!(status.last_error.as_ref().unwrap().contains("503"), "{status:?}");
    // A key that could not be looked for may exist: that is not the client's fault.
    assert_eq!(code(&verifier, &token(&P256, "k9", ISSUER), last).await, Some(RefusalCode::KeysUnavailable));

    let after = last.plus(Duration::from_millis(1));
    assert!(verifier.cached(&good, after).is_none(), "remembered tokens end with the keys");
    assert_eq!(code(&verifier, &good, after).await, Some(RefusalCode::KeysUnavailable));
    assert_eq!(verifier.key_status(after)[0].keys, 0);
}

#[tokio::test]
async fn a_broken_set_keeps_the_old_one() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let verifier = by_address(&site);
    let good = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &good, NOW).await, None);
    let mut now = NOW;
    let twice = keys(&[(&P256, "k2"), (&P256_OTHER, "k2")]);
    let moved = Answer { status: "302 Found", headers: "location: /other\r\n".into(), ..Answer::ok("") };
    let moved_away =
        Answer { status: "301 Moved", headers: "location: http://127.0.0.1:1/\r\n".into(), ..Answer::ok("") };
    site.set("/other", keys(&[(&P256_OTHER, "k2")]));
    for (answer, says) in [
        (twice, "two usable keys"),
        (Answer::ok("<html>"), "cannot be read"),
        (Answer { status: "201 Created", ..keys(&[(&P256_OTHER, "k2")]) }, "201"),
        (moved, "302"),
        (moved_away, "301"),
        (Answer::ok(vec![b' '; 64 * 1024 + 1]), "more than 65536 bytes"),
        (Answer { length: false, ..Answer::ok(vec![b' '; 10 << 20]) }, "more than 65536 bytes"),
    ] {
        site.set("/keys", answer);
        now = now.plus(Duration::from_secs(60));
        // J28: a redirect does not bring in another's key.
        assert_eq!(
            code(&verifier, &token(&P256_OTHER, "k2", ISSUER), now).await,
            Some(RefusalCode::KeysUnavailable)
        );
        let error = verifier.key_status(now)[0].last_error.clone().unwrap();
        assert!(error.contains(says), "{says}: {error}");
        assert_eq!(code(&verifier, &good, now).await, None, "{says}: the old key stays");
    }
    assert_eq!(site.hits("/other"), 0, "no redirect is followed");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_no_keys_and_says_so() {
    let site = Site::start().await;
    // Bound, so that no other test gets the port, and never listened on.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = taken.local_addr().unwrap();
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{ISSUER}'\naudiences = ['doorward']\nalgorithms = ['ES256']\njwks_uri = 'http://{dead}/keys'"
    );
    let verifier = verifier(&toml, Path::new("/"));
    let refusal = verifier.verify(&token(&P256, "k1", ISSUER), NOW).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::KeysUnavailable);
    assert!(
        refusal.detail.contains("no keys of `corp`") && refusal.detail.contains("refused"),
        "{}",
        refusal.detail
    );
    drop((site, taken));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_given_up_in_time() {
    let site = Site::start().await;
    site.set("/keys", Answer { delay: Duration::from_secs(60), ..keys(&[(&P256, "k1")]) });
    let verifier = by_address(&site);
    let token = token(&P256, "k1", ISSUER);
    let verify = code(&verifier, &token, NOW);
    let got = tokio::time::timeout(Duration::from_secs(30), verify).await.expect("bounded");
    assert_eq!(got, Some(RefusalCode::KeysUnavailable));
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_fetch() {
    let site = Site::start().await;
    site.set("/keys", Answer { delay: Duration::from_millis(100), ..keys(&[(&P256, "k1")]) });
    let verifier = by_address(&site);
    let good = token(&P256, "k1", ISSUER);
    // It hangs up as soon as its question has arrived: the fetch has little time, and a pause takes it away.
    tokio::select! {
        biased;
        () = site.wait_for_hits("/keys", 1) => {}
        _ = verifier.verify(&good, NOW) => panic!("it was answered"),
    }
    until("the keys are there", || verifier.key_status(NOW)[0].keys == 1).await;
    assert_eq!(code(&verifier, &good, NOW).await, None);
    assert_eq!(site.hits("/keys"), 1);
}

#[tokio::test]
async fn the_background_task_tries_again_until_it_has_keys() {
    let site = Site::start().await;
    let verifier = by_address(&site);
    let task = tokio::spawn(Arc::clone(&verifier).keep_fresh(clock(NOW)));
    site.wait_for_hits("/keys", 2).await;
    assert!(verifier.key_status(NOW)[0].stale);
    site.set("/keys", keys(&[(&P256, "k1")]));
    site.wait_for_hits("/keys", 3).await;
    until("the keys are fresh", || !verifier.key_status(NOW)[0].stale).await;
    assert_eq!(verifier.key_status(NOW)[0].keys, 1);
    assert!(!task.is_finished());
    task.abort();
    let hits = site.hits("/keys");
    assert_eq!(code(&verifier, &token(&P256, "k1", ISSUER), NOW).await, None);
    assert_eq!(site.hits("/keys"), hits, "no request had to fetch");
}

#[tokio::test]
async fn freshness_follows_the_issuer_within_bounds() {
    for (header, seconds) in [("max-age=1", 300), ("max-age=3600", 3600), ("max-age=999999999", 86_400)] {
        let site = Site::start().await;
        site.set(
            "/keys",
            Answer { headers: format!("cache-control: {header}\r\n"), ..keys(&[(&P256, "k1")]) },
        );
        let verifier = by_address(&site);
        assert_eq!(code(&verifier, &token(&P256, "k1", ISSUER), NOW).await, None);
        let at = |s| NOW.plus(Duration::from_secs(s));
        assert!(!verifier.key_status(at(seconds))[0].stale, "{header}");
        assert!(verifier.key_status(at(seconds + 1))[0].stale, "{header}");
    }
}

#[tokio::test]
async fn a_key_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let write = |key: &Key, kid: &str| {
        std::fs::write(folder.path().join("keys"), json!({"keys": [key.jwk(kid)]}).to_string()).unwrap();
    };
    write(&P256, "k1");
    let toml = format!(
        "[[issuer]]\nid = 'corp'\nissuer = '{ISSUER}'\naudiences = ['doorward']\nalgorithms = ['ES256']\njwks_file = 'keys'"
    );
    let verifier = verifier(&toml, folder.path());
    let old = token(&P256, "k1", ISSUER);
    assert_eq!(code(&verifier, &old, NOW).await, None);
    write(&P256_OTHER, "k2");
    let now = NOW.plus(Duration::from_secs(60));
    assert_eq!(code(&verifier, &token(&P256_OTHER, "k2", ISSUER), now).await, None);
    assert_eq!(code(&verifier, &old, now).await, Some(RefusalCode::InvalidCredential));
    // A file that is gone keeps the keys, and says so.
    std::fs::remove_file(folder.path().join("keys")).unwrap();
    let now = now.plus(Duration::from_secs(60));
    assert_eq!(code(&verifier, &old, now).await, Some(RefusalCode::KeysUnavailable));
    assert_eq!(code(&verifier, &token(&P256_OTHER, "k2", ISSUER), now).await, None);
    assert!(verifier.key_status(now)[0].last_error.as_ref().unwrap().contains("cannot be read"));
}

#[test]
fn a_client_can_be_built_more_than_once() {
    let (_one, _two) = (client(), client());
}

#[tokio::test]
async fn requests_wait_for_a_fetch_that_is_under_way_and_cause_no_other() {
    let site = Site::start().await;
    site.set("/keys", Answer { delay: Duration::from_millis(200), ..keys(&[(&P256, "k1")]) });
    let verifier = by_address(&site);
    let task = tokio::spawn(Arc::clone(&verifier).keep_fresh(clock(NOW)));
    site.wait_for_hits("/keys", 1).await;
    let mut early = tokio::task::JoinSet::new();
    for n in 0..50 {
        let verifier = Arc::clone(&verifier);
        let token = token(&P256, if n % 2 == 0 { "k1" } else { "k9" }, ISSUER);
        early.spawn(async move { (n, code(&verifier, &token, NOW).await) });
    }
    while let Some(done) = early.join_next().await {
        let (n, code) = done.unwrap();
        assert_eq!(code, (n % 2 == 1).then_some(RefusalCode::InvalidCredential));
    }
    task.abort();
    assert_eq!(site.hits("/keys"), 1);
}

/// Plain http is for this machine only, so its names lead nowhere else.
#[tokio::test]
async fn keys_at_a_local_name_come_from_this_machine() {
    let site = Site::start().await;
    site.set("/keys", keys(&[(&P256, "k1")]));
    let port = site.url.rsplit_once(':').unwrap().1;
    for host in ["localhost", "idp.localhost", "IDP.LocalHost"] {
        let toml = format!(
            "[[issuer]]\nid = 'corp'\nissuer = '{ISSUER}'\naudiences = ['doorward']\nalgorithms = ['ES256']\njwks_uri = 'http://{host}:{port}/keys'"
        );
        let verifier = verifier(&toml, Path::new("/"));
        assert_eq!(code(&verifier, &token(&P256, "k1", ISSUER), NOW).await, None, "{host}");
    }
}
