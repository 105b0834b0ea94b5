use std::path::Path;

use doorward_identity::seal::SealKey;
use doorward_model::time::Clocks;
use doorward_model::{Complaint, CountryCode, KeyPath, Location, Presence, SessionId};
use doorward_state::{RedisSection, RevocationSection};

use super::*;

const NOW: UnixMillis = UnixMillis(1_772_618_400_000);

fn alice() -> UserId {
    "corp:alice".parse().unwrap()
}

fn minutes(n: i64) -> UnixMillis {
    UnixMillis(NOW.0 + n * 60_000)
}

fn place(ip: &str, country: &str, location: (i32, i32)) -> Place {
    Place {
        ip: ip.parse().unwrap(),
        networks: [].into(),
        country: CountryCode::new(country).unwrap(),
        continent: None,
        asn: None,
        anonymizer: Presence::Unknown,
        location: Some(Location { latitude_milli: location.0, longitude_milli: location.1, radius_km: 20 }),
    }
}

fn berlin() -> Place {
    place("192.0.2.1", "DE", (52_520, 13_405))
}

fn tokyo() -> Place {
    place("192.0.2.2", "JP", (35_690, 139_692))
}

fn session(name: &str) -> AuthSession {
    let issuer = doorward_model::IssuerId::new("corp").unwrap();
    AuthSession {
        session: Some(SessionId::new(issuer.clone(), name).unwrap()),
        issuer,
        token: None,
        issued_at: NOW,
        expires_at: minutes(600),
    }
}

/// Alice, by a session, from a place, in so many minutes.
async fn see(risks: &Risks, name: &str, place: &Place, minute: i64) -> String {
    let (user, session, assurance) = (alice(), session(name), Assurance::default());
    risks.see(&seen(&user, &session, &assurance, place, minute)).await.to_string()
}

fn seen<'a>(
    user: &'a UserId,
    session: &'a AuthSession,
    assurance: &'a Assurance,
    place: &'a Place,
    minute: i64,
) -> Seen<'a> {
    let (device, agent, claim) = (None, Some("curl/8"), Risk::UNKNOWN);
    Seen { user, session, assurance, place, device, agent, claim, now: minutes(minute) }
}

fn risks(store: Option<Sessions>) -> Arc<Risks> {
    risks_with(store, Some(sealer(1)))
}

fn sealer(byte: u8) -> Sealer {
    let key = SealKey::new([byte; 32]);
    Sealer::new(vec![key], Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).is_ok())).unwrap()
}

fn risks_with(store: Option<Sessions>, sealer: Option<Sealer>) -> Arc<Risks> {
    let terms = Terms { successes_min: 1, ..Terms::default() };
    let mut risks = Arc::into_inner(Risks::new(terms, store, sealer, &mut Registry::default())).unwrap();
    // A machine that builds beside is slow.
    risks.read_max = Duration::from_secs(60);
    Arc::new(risks)
}

fn store(dir: &Path) -> Sessions {
    store_of(RevocationSection::default(), dir)
}

fn store_of(section: RevocationSection, dir: &Path) -> Sessions {
    let mut complaints: Vec<Complaint> = Vec::new();
    let config = section.check(&KeyPath::top(), dir, dir, "gw-1", &mut complaints).unwrap();
    let clocks = Clocks { wall: Arc::new(|| NOW), uptime: Arc::new(|| Duration::from_secs(1)) };
    Sessions::open(&config, dir, clocks).unwrap()
}

fn clock() -> doorward_model::time::Clock {
    Arc::new(|| NOW)
}

const FLOWN: &str = "85 high (impossible_travel 60, new_country 25)";

#[tokio::test]
async fn whoever_flies_too_fast_is_told_apart_from_whom_they_say_they_are() {
    let risks = risks(None);
    assert_eq!(see(&risks, "home", &berlin(), 0).await, "0 low (learning)");
    assert_eq!(see(&risks, "stolen", &tokyo(), 10).await, FLOWN);
    assert_eq!(see(&risks, "home", &berlin(), 11).await, "0 low (learning)");
}

#[tokio::test]
async fn the_higher_of_claim_and_computation_counts() {
    let risks = risks(None);
    let (user, session, assurance, place) = (alice(), session("home"), Assurance::default(), berlin());
    let claimed = |claim| Seen { claim, ..seen(&user, &session, &assurance, &place, 0) };
    assert_eq!(risks.see(&claimed(Risk::scored(0))).await.to_string(), "0 low (learning)");
    assert_eq!(risks.see(&claimed(Risk::scored(40))).await.to_string(), "40 medium (issuer 40, learning)");
}

#[tokio::test]
async fn what_was_learned_is_known_to_the_next_process() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = store(dir.path());
    let before = risks(Some(sessions.clone()));
    assert_eq!(see(&before, "home", &berlin(), 0).await, "0 low (learning)");
    assert!(before.write(&sessions, Change::Learned, &clock()).await.is_none());
    let after = risks(Some(sessions));
    assert_eq!(see(&after, "stolen", &tokyo(), 10).await, FLOWN);
}

/// Nobody is judged by half of what is known.
#[tokio::test]
async fn without_its_store_the_risk_is_unknown_but_for_what_an_issuer_claims() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let redis = RedisSection {
        addresses: Some(vec!["127.0.0.1:1".to_owned()]),
        tls: Some(false),
        namespace: Some("risk".to_owned()),
        ..RedisSection::default()
    };
    let section = RevocationSection { redis: Some(redis), ..RevocationSection::default() };
    let risks = risks(Some(store_of(section, dir.path())));
    assert_eq!(see(&risks, "home", &berlin(), 0).await, "unknown (history_unavailable)");
    let (user, session, assurance, place) = (alice(), session("home"), Assurance::default(), berlin());
    let seen = Seen { claim: Risk::scored(80), ..seen(&user, &session, &assurance, &place, 0) };
    assert_eq!(risks.see(&seen).await.to_string(), "80 high (issuer 80, history_unavailable)");
    assert!(risks.look(&seen).is_none());
    assert!(risks.numbers.unread.get() > 0);
}

/// Two nodes learn of one person at once, and neither forgets what the other wrote.
#[tokio::test]
async fn two_nodes_that_learn_at_once_know_both() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = store(dir.path());
    let (one, two) = (risks(Some(sessions.clone())), risks(Some(sessions.clone())));
    assert_eq!(see(&one, "home", &berlin(), 0).await, "0 low (learning)");
    let hamburg = place("192.0.2.3", "DK", (55_676, 12_568));
    assert_eq!(see(&two, "other", &hamburg, 1).await, "0 low (learning)");
    for risks in [&one, &two, &one] {
        risks.wait(&alice(), &risks.person(&alice()), Change::Learned);
        assert!(risks.write(&sessions, Change::Learned, &clock()).await.is_none());
    }
    let (_, bytes) = sessions.memory(&alice()).await.unwrap().unwrap();
    let user = alice();
    let Found::History(history) = one.envelope(&user).open(&bytes) else { panic!("it opens") };
    let (name, assurance) = ("next".to_owned(), Assurance::default());
    for (place, country) in [(berlin(), "DE"), (hamburg, "DK")] {
        let user = alice();
        let session = session("next");
        let sighting = one.sighting(&seen(&user, &session, &assurance, &place, 60), &name);
        let risk = history.assess(&sighting, &one.terms).risk().to_string();
        assert!(!risk.contains("new_country"), "{country}: {risk}");
    }
}

/// A new place is looked up again, so that what another node learned meanwhile counts at once.
#[tokio::test]
async fn what_another_node_learned_counts_where_something_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = store(dir.path());
    let (one, two) = (risks(Some(sessions.clone())), risks(Some(sessions.clone())));
    assert_eq!(see(&one, "home", &berlin(), 0).await, "0 low (learning)");
    // The other one has looked before anything was written.
    let oslo = place("192.0.2.4", "NO", (59_914, 10_752));
    assert_eq!(see(&two, "home", &oslo, 0).await, "0 low (learning)");
    assert!(one.write(&sessions, Change::Learned, &clock()).await.is_none());
    assert_eq!(see(&two, "stolen", &tokyo(), 10).await, FLOWN);
    assert_eq!(see(&two, "train", &berlin(), 100).await, "0 low");
}

#[tokio::test]
async fn hostile_bytes_in_the_store_are_learned_anew_and_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = store(dir.path());
    assert!(sessions.put_memory(&alice(), b"not a history", 0).await.unwrap());
    let risks = risks(Some(sessions.clone()));
    // Nobody gains by it: all of theirs is new.
    let all_new = "45 medium (new_country 25, new_device 20, history_unreadable)";
    assert_eq!(see(&risks, "home", &berlin(), 0).await, all_new);
    assert!(risks.write(&sessions, Change::Learned, &clock()).await.is_none());
    assert_eq!(sessions.memory(&alice()).await.unwrap().unwrap().0, 2);
    let after = super::tests::risks(Some(sessions));
    assert_eq!(
        see(&after, "home", &berlin(), 1).await,
        all_new,
        "it was written anew, and is known as damaged"
    );
}

/// A failure or a signal comes before anybody read what the store has: that is as damaged as before.
#[tokio::test]
async fn what_is_noted_before_the_first_look_does_not_make_a_damaged_history_whole() {
    let all_new = "45 medium (new_country 25, new_device 20, history_unreadable)";
    for told in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let sessions = store(dir.path());
        assert!(sessions.put_memory(&alice(), b"not a history", 0).await.unwrap());
        let risks = risks(Some(sessions));
        if told {
            risks.told(&alice(), RiskLevel::Low, minutes(0));
        } else {
            risks.failed(Failure::Revoked, Some(&alice()), tokyo().ip, minutes(0));
        }
        assert_eq!(see(&risks, "stolen", &tokyo(), 1).await, all_new, "told {told}");
    }
}

/// Whoever can write the store cannot say what is usual for somebody.
#[tokio::test]
async fn a_history_that_others_made_or_changed_or_that_is_of_somebody_else_is_damaged() {
    let bob: UserId = "corp:bob".parse().unwrap();
    let mut usual = History::new(Salt::default());
    let (user, session, assurance, tokyo) = (alice(), session("theirs"), Assurance::default(), tokyo());
    let thief = seen(&user, &session, &assurance, &tokyo, 0);
    let others = risks_with(None, None);
    usual.see(&others.sighting(&thief, "theirs"), &others.terms);
    let good = risks(None).envelope(&user).close(&usual).unwrap();
    let all_new = "45 medium (new_country 25, new_device 20, history_unreadable)";
    let known = "0 low";
    let turned = {
        let mut bytes = good.clone();
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    for (what, bytes, says) in [
        ("ours", good.clone(), known),
        ("changed", turned, all_new),
        ("of somebody else", risks(None).envelope(&bob).close(&usual).unwrap(), all_new),
        ("by other keys", risks_with(None, Some(sealer(2))).envelope(&user).close(&usual).unwrap(), all_new),
        ("of before there were keys", usual.encode(), "0 low (learning)"),
        ("of another kind", vec![1, 0, 0, 0], "0 low (learning)"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let sessions = store(dir.path());
        assert!(sessions.put_memory(&user, &bytes, 0).await.unwrap());
        assert_eq!(see(&risks(Some(sessions)), "stolen", &tokyo, 600).await, says, "{what}");
    }
    // A node without keys cannot read what is sealed, and never writes over it.
    let dir = tempfile::tempdir().unwrap();
    let sessions = store(dir.path());
    assert!(sessions.put_memory(&user, &good, 0).await.unwrap());
    let blind = risks_with(Some(sessions.clone()), None);
    assert_eq!(see(&blind, "home", &tokyo, 0).await, "unknown (history_unavailable)");
    blind.told(&user, RiskLevel::High, minutes(1));
    assert!(blind.write(&sessions, Change::Learned, &clock()).await.is_none());
    assert_eq!(sessions.memory(&user).await.unwrap(), Some((1, good)));
}

/// At the office strangers may fail as often as they like: whoever is at home there is who they were.
#[tokio::test]
async fn strangers_at_somebodys_home_raise_nobodys_risk() {
    let risks = risks(None);
    let flood =
        |minute| (0..5).for_each(|_| risks.failed(Failure::Token, None, berlin().ip, minutes(minute)));
    // Nobody is known there yet, so that it says something.
    flood(0);
    assert_eq!(see(&risks, "home", &berlin(), 0).await, "20 low (failures 20, learning)");
    // She is at home there from now on, the flood goes on.
    assert_eq!(see(&risks, "home", &berlin(), 1).await, "20 low (failures 20, learning)");
    assert_eq!(see(&risks, "next", &berlin(), 2).await, "20 low (failures 20)");
    flood(3);
    assert_eq!(see(&risks, "next", &berlin(), 3).await, "0 low");
    // For a week after she was last there; hers is the next visit.
    let week = 8 * 24 * 60;
    flood(week);
    assert_eq!(see(&risks, "next", &berlin(), week).await, "20 low (failures 20)");
    assert_eq!(see(&risks, "next", &berlin(), week + 1).await, "0 low");
    // Elsewhere it counts, as it does for whoever comes from there with what is hers.
    (0..5).for_each(|_| risks.failed(Failure::Code, None, tokyo().ip, minutes(week + 60)));
    assert_eq!(
        see(&risks, "stolen", &tokyo(), week + 60).await,
        "100 high (impossible_travel 60, new_country 25, failures 20)"
    );
}

/// Whoever asks with tokens that are none raises the risk at the address that they come from, and of nobody else.
#[tokio::test]
async fn failures_count_for_a_block_of_addresses_as_one() {
    let risks = risks(None);
    let near = place("2001:db8:1:2::1", "DE", (52_520, 13_405));
    for last in 0..5 {
        let from = format!("2001:db8:1:2::{last}").parse().unwrap();
        risks.failed(Failure::Token, None, from, NOW);
    }
    assert_eq!(see(&risks, "home", &near, 1).await, "20 low (failures 20, learning)");
    let far = place("2001:db8:1:3::1", "DE", (52_520, 13_405));
    assert_eq!(see(&risks, "home", &far, 1).await, "0 low (learning)");
    assert_eq!(see(&risks, "home", &near, 16).await, "0 low (learning)");
}

/// A page that was left open asks every second with a session that was revoked: that is one failure a minute.
#[tokio::test]
async fn what_was_revoked_and_used_again_counts_once_a_minute() {
    let risks = risks(None);
    let from = "192.0.2.1".parse().unwrap();
    let used = |minute, times: usize| {
        (0..times).for_each(|_| risks.failed(Failure::Revoked, Some(&alice()), from, minutes(minute)));
    };
    used(0, 100);
    assert_eq!(see(&risks, "home", &berlin(), 0).await, "0 low (learning)");
    (1..5).for_each(|minute| used(minute, 3));
    assert_eq!(see(&risks, "home", &berlin(), 5).await, "20 low (failures 20, learning)");
    // Of a proof that was asked for and not given, each one counts.
    let bob: UserId = "corp:bob".parse().unwrap();
    (0..5).for_each(|_| risks.failed(Failure::StepUp, Some(&bob), from, NOW));
    assert_eq!(risks.person(&bob).kept().history.encode().len(), History::default().encode().len() + 5 * 4);
}

#[tokio::test]
async fn a_signal_counts_with_the_next_request() {
    let risks = risks(None);
    assert_eq!(see(&risks, "home", &berlin(), 0).await, "0 low (learning)");
    risks.told(&alice(), RiskLevel::High, minutes(1));
    assert_eq!(see(&risks, "home", &berlin(), 2).await, "100 high (external_high 100, learning)");
    let (user, session, assurance, place) = (alice(), session("home"), Assurance::default(), berlin());
    let look = risks.look(&seen(&user, &session, &assurance, &place, 3)).unwrap();
    assert_eq!(look.level(), RiskLevel::High);
    let bob: UserId = "corp:bob".parse().unwrap();
    assert!(risks.look(&seen(&bob, &session, &assurance, &place, 3)).is_none(), "nothing is known of bob");
}

/// A signal that one node takes counts at another one where the person is, without anything new to look up.
#[tokio::test]
async fn what_another_node_was_told_is_known_a_minute_later() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = store(dir.path());
    let (gateway, control) = (risks(Some(sessions.clone())), risks(Some(sessions.clone())));
    assert_eq!(see(&gateway, "home", &berlin(), 0).await, "0 low (learning)");
    assert!(gateway.write(&sessions, Change::Learned, &clock()).await.is_none());
    control.told(&alice(), RiskLevel::High, minutes(0));
    assert!(control.write(&sessions, Change::Learned, &clock()).await.is_none());
    gateway.read_again(&sessions, &clock()).await;
    assert_eq!(see(&gateway, "home", &berlin(), 1).await, "0 low (learning)", "nobody was asked yet");
    gateway.read_again(&sessions, &clock()).await;
    assert_eq!(see(&gateway, "home", &berlin(), 2).await, "100 high (external_high 100, learning)");
}
