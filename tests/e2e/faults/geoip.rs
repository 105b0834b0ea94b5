//! A GeoIP file that cannot be read or is damaged: no start, or the old one stays, loudly.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_tests::company::Company;
use doorward_tests::gateway::{Gateway, Signal};
use doorward_tests::h1;
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::within;
use serde_json::json;
use tempfile::TempDir;

use crate::seen;

fn shipped() -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read(root.join("geoip/data/country.mmdb")).unwrap()
}

/// A database in which everything of one country is of another.
fn moved(database: &[u8], from: [u8; 2], to: [u8; 2]) -> Vec<u8> {
    // A string of two bytes in the data section (MaxMind DB format 2.0); each country is there once.
    let mark = [0x42, from[0], from[1]];
    let places: Vec<_> = (0..database.len() - 2).filter(|at| database[*at..at + 3] == mark).collect();
    let [place] = places[..] else { panic!("{places:?}") };
    let mut other = database.to_vec();
    other[place + 1..place + 3].copy_from_slice(&to);
    other
}

#[tokio::test]
async fn no_start_without_a_database_that_is_named() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("country.mmdb");
    let mut cut = shipped();
    cut.truncate(cut.len() / 2);
    for (what, content, said) in [
        ("absent", None, "cannot read the GeoIP database"),
        ("garbage", Some(b"this is no database".to_vec()), "is damaged or not in the MaxMind DB format"),
        ("empty", Some(Vec::new()), "is damaged or not in the MaxMind DB format"),
        ("cut in half", Some(cut), "is damaged or not in the MaxMind DB format"),
    ] {
        match content {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => assert!(!file.exists()),
        }
        let mut company = Company::new(upstream.address()).await;
        company.config.set("geoip.databases", json!([file]));
        let refused =
            Gateway::try_start(company.config).await.err().unwrap_or_else(|| panic!("{what}: it started"));
        assert_eq!(refused.status.and_then(|s| s.code()), Some(2), "{what}: {refused}");
        assert!(refused.log.contains(said), "{what}: {refused}");
        assert!(
            refused.log.contains("country.mmdb") && refused.log.contains("doorward.toml:"),
            "{what}: {refused}"
        );
    }
}

/// A gateway whose database is a file that a test may change.
struct Place {
    file: PathBuf,
    gateway: Gateway,
    auth: String,
    _folder: TempDir,
    _issuer: Issuer,
    _upstream: RawUpstream,
}

impl Place {
    async fn start() -> Self {
        let upstream = RawUpstream::ok().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("country.mmdb");
        std::fs::write(&file, shipped()).unwrap();
        let mut company = Company::new(upstream.address()).await;
        company.config.set("geoip", json!({"databases": [file], "age_days_max": 3650})).trust_local_proxy();
        let (issuer, gateway) = company.start().await;
        let auth = doorward_tests::company::bearer(&issuer.token("bob"));
        Self { file, gateway, auth, _folder: folder, _issuer: issuer, _upstream: upstream }
    }

    /// How Bob is answered at an address; 0 when he is cut off, as a request is that is under way when its address
    /// turns out to be elsewhere.
    async fn answer_from(&self, address: &str) -> u16 {
        let fields = [("authorization", self.auth.as_str()), ("x-forwarded-for", address)];
        let answer = h1::try_ask(self.gateway.address(), "GET", "build.test", "/", &fields).await;
        answer.map_or(0, |answer| answer.status())
    }
}

#[tokio::test]
async fn a_damaged_update_leaves_the_old_database_in_use() {
    let place = Place::start().await;
    let (file, gateway) = (&place.file, &place.gateway);
    let rules_hold = async || {
        assert_eq!(place.answer_from("175.45.176.1").await, 403, "a sanctioned country");
        assert_eq!(place.answer_from("8.8.8.8").await, 200);
    };
    rules_hold().await;
    seen::condition_comes_to(gateway, "geoip", 200, "holds").await;

    let mut cut = shipped();
    cut.truncate(cut.len() / 2);
    for (times, content) in [b"garbage".to_vec(), cut].into_iter().enumerate() {
        std::fs::write(file, content).unwrap();
        seen::condition_comes_to(gateway, "geoip", 200, "degraded").await;
        let kept = || gateway.log().matches("the GeoIP databases cannot be used; the old ones stay").count();
        doorward_tests::wire::until("the log to tell", || (kept() > times).then_some(())).await;
        gateway.wait_log("is damaged or not in the MaxMind DB format").await;
        rules_hold().await;
    }
    let event = seen::event(gateway, "geoip.kept").await;
    let block = &event["unmapped"]["doorward"]["geoip"];
    assert!(block["kept_because"].as_str().unwrap().contains("damaged"), "{event}");
    // Gone is no better.
    std::fs::remove_file(file).unwrap();
    gateway.signal(Signal::SIGHUP);
    gateway.wait_log("cannot read the GeoIP database").await;
    rules_hold().await;

    std::fs::write(file, shipped()).unwrap();
    gateway.signal(Signal::SIGHUP);
    seen::condition_comes_to(gateway, "geoip", 200, "holds").await;
    rules_hold().await;
}

#[tokio::test]
async fn another_database_changes_decisions_without_a_restart() {
    let place = Place::start().await;
    let (file, gateway) = (&place.file, &place.gateway);
    let comes_to = async |expected: u16| {
        within(&format!("an address to be answered {expected}"), async {
            while place.answer_from("175.45.176.1").await != expected {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    };
    comes_to(403).await;
    // The same database, where the sanctioned country is another one; and back again.
    std::fs::write(file, moved(&shipped(), *b"KP", *b"FR")).unwrap();
    gateway.signal(Signal::SIGHUP);
    comes_to(200).await;
    seen::condition_comes_to(gateway, "geoip", 200, "holds").await;
    std::fs::write(file, shipped()).unwrap();
    gateway.signal(Signal::SIGHUP);
    comes_to(403).await;
}

#[tokio::test]
async fn an_old_database_is_loud_and_still_used() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company.config.set("geoip.age_days_max", json!(1)).trust_local_proxy();
    let (issuer, gateway) = company.start().await;
    let condition = seen::condition_comes_to(&gateway, "geoip", 200, "degraded").await;
    assert!(condition["detail"].as_str().unwrap().contains("days old"), "{condition}");
    seen::metric_comes_to(&gateway, "doorward_geoip_stale{file=\"country.mmdb\"}", 1.0).await;
    let auth = doorward_tests::company::bearer(&issuer.token("bob"));
    let fields = [("authorization", auth.as_str()), ("x-forwarded-for", "175.45.176.1")];
    let answer = h1::ask(gateway.address(), "GET", "build.test", "/", &fields).await;
    assert_eq!(answer.status(), 403);
    gateway.wait_log("a GeoIP database is older than `geoip.age_days_max`: refresh it").await;
}
