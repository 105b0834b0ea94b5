use std::sync::Arc;
use std::time::Instant;

use doorward_model::time::Clocks;
use doorward_model::{AppId, AuthSession, IssuerId, KeyPath, Target, TokenId, UnixMillis, UserId};
use doorward_state::{Action, Change, RevocationSection};

use super::*;

const NOON: i64 = 1_795_262_400_400;
const LEASE: Freshness = Freshness::Lease { stale_max: Duration::ZERO };
const PATIENT: Freshness = Freshness::Lease { stale_max: Duration::from_secs(3600) };
const HASTY: Freshness = Freshness::Lease { stale_max: Duration::from_millis(1) };

fn store(dir: &std::path::Path) -> Revocations {
    let top = KeyPath::top();
    let config = RevocationSection::default().check(&top, dir, dir, "gw-1", &mut Vec::new()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test owns a clock")]
    let began = Instant::now();
    let clocks = Clocks { wall: Arc::new(|| UnixMillis(NOON)), uptime: Arc::new(move || began.elapsed()) };
    Revocations::open(&config, clocks).unwrap().0
}

fn presented(name: &str) -> Presented {
    let issuer = IssuerId::new("corp").unwrap();
    let session = AuthSession {
        issuer: issuer.clone(),
        session: None,
        token: Some(TokenId::new(issuer, name).unwrap()),
        issued_at: UnixMillis(NOON - 60_000),
        expires_at: UnixMillis(NOON + 60_000),
    };
    let user: UserId = format!("corp:{name}").parse().unwrap();
    Presented {
        users: vec![user],
        owner: None,
        session,
        device: None,
        named: None,
        app: AppId::new("wiki").unwrap(),
    }
}

fn judged(revocations: &Revocations, freshness: Freshness, name: &str) -> Result<bool, RefusalCode> {
    let judged = judge(revocations, freshness, &presented(name), Duration::ZERO);
    judged.map(|proof| !proof.stale_for().is_zero()).map_err(|refused| told(&refused).code)
}

/// Waits, for at most half a minute, until something holds.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(holds(), "never: {what}");
}

#[tokio::test]
async fn who_was_cut_off_stays_so_and_only_a_patient_app_goes_on_when_it_is_not_known_who_was() {
    const STALE: RefusalCode = RefusalCode::StaleRevocations;
    const BOUND: Duration = Duration::from_millis(500);
    let dir = tempfile::tempdir().unwrap();
    let revocations = store(dir.path());
    let change = Change {
        target: Target::User("corp:bob".parse().unwrap()),
        action: Action::Disable,
        cause: String::new(),
        actor: "operator".to_owned(),
        request_id: "r".to_owned(),
    };
    revocations.apply(change).await.unwrap();
    revocations.read_index(Duration::from_secs(60)).await.unwrap();
    for freshness in [LEASE, PATIENT, HASTY, Freshness::Strict] {
        assert_eq!(judged(&revocations, freshness, "alice"), Ok(false), "{freshness:?}");
        assert_eq!(judged(&revocations, freshness, "bob"), Err(RefusalCode::Disabled), "{freshness:?}");
    }

    let (file, away) = (dir.path().join("revocations.sqlite3"), dir.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    assert!(revocations.read_index(BOUND).await.is_err(), "a strict app knows at once");
    let hasty_is_over = || judged(&revocations, HASTY, "alice") == Err(STALE);
    eventually("what is known is too old", hasty_is_over).await;
    assert_eq!(judged(&revocations, PATIENT, "alice"), Ok(true));
    assert_eq!(judged(&revocations, LEASE, "alice"), Err(STALE));
    assert_eq!(judged(&revocations, Freshness::Strict, "alice"), Err(STALE));
    for freshness in [LEASE, PATIENT, HASTY, Freshness::Strict] {
        assert_eq!(judged(&revocations, freshness, "bob"), Err(RefusalCode::Disabled), "{freshness:?}");
    }

    std::fs::rename(&away, &file).unwrap();
    revocations.read_index(Duration::from_secs(60)).await.unwrap();
    assert_eq!(judged(&revocations, Freshness::Strict, "alice"), Ok(false), "the look proves it");
    revocations.clone().close().await;
    assert_eq!(judged(&revocations, PATIENT, "alice"), Err(STALE), "nobody follows the store any more");
    assert!(revocations.read_index(BOUND).await.is_err());
}

#[test]
fn a_refusal_says_by_what_it_was_caused() {
    let kind = EntryKind::Session;
    assert_eq!(&*told(&Refused::Disabled { kind }).detail, "by its session");
    let stale = told(&Refused::Stale { as_of: UnixMillis(1) });
    assert_eq!(stale.code, RefusalCode::StaleRevocations);
    assert!(stale.detail.contains("not known"), "{stale}");
}
