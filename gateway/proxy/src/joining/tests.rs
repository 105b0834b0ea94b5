use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use doorward_model::{Agent, CountryCode, Employment, LifecycleStage, Visitor};
use tokio::sync::Notify;

use super::*;

const NOW: UnixMillis = UnixMillis(1_795_262_400_400);

fn user(name: &str) -> User {
    User {
        id: format!("corp:{name}").parse().unwrap(),
        name: None,
        email: Some(format!("{name}@corp.example")),
        groups: BTreeSet::new(),
        roles: BTreeSet::new(),
        stage: LifecycleStage::Active,
        employment: Employment::Unknown,
        contract_end: None,
        home_country: CountryCode::UNKNOWN,
        department: None,
        tags: std::collections::BTreeMap::new(),
    }
}

fn token(name: &str) -> Principal {
    Principal::User(user(name))
}

fn unknown() -> Refusal {
    Refusal::new(RefusalCode::UnknownPrincipal, "the directory knows nobody")
}

/// A registrar that answers the same to everybody, and counts.
struct Desk {
    joining: Arc<Joining>,
    asked: Arc<AtomicUsize>,
    /// Who is asked waits for it, while `slow`.
    go_on: Arc<Notify>,
    slow: Arc<AtomicBool>,
    known: Arc<AtomicBool>,
}

impl Desk {
    fn answering(answer: Result<(), NotJoined>) -> Self {
        let desk = Self {
            joining: Arc::default(),
            asked: Arc::default(),
            go_on: Arc::default(),
            slow: Arc::default(),
            known: Arc::default(),
        };
        let (asked, go_on) = (Arc::clone(&desk.asked), Arc::clone(&desk.go_on));
        let (slow, known) = (Arc::clone(&desk.slow), Arc::clone(&desk.known));
        let join = move |_: User, request_id: Arc<str>| -> Answer {
            assert_eq!(&*request_id, "r-1");
            asked.fetch_add(1, Ordering::SeqCst);
            let (answer, go_on) = (answer.clone(), Arc::clone(&go_on));
            let (slow, known) = (slow.load(Ordering::SeqCst), Arc::clone(&known));
            Box::pin(async move {
                if slow {
                    go_on.notified().await;
                }
                known.fetch_or(answer.is_ok(), Ordering::SeqCst);
                answer
            })
        };
        let may = |user: &User| user.email.as_ref().map(|_| ()).ok_or_else(|| "no address".to_owned());
        desk.joining.open(Where::Here(Registrar { may: Box::new(may), join: Box::new(join) }));
        desk
    }

    async fn ask_at(&self, token: &Principal, now: UnixMillis) -> Result<(), Refusal> {
        let known = Arc::clone(&self.known);
        let is_known = move || known.load(Ordering::SeqCst);
        self.joining.ask(token, unknown(), (now, &"r-1".into()), is_known).await
    }

    async fn ask(&self, name: &str) -> Result<(), Refusal> {
        self.ask_at(&token(name), NOW).await
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn nobody_joins_where_it_is_not_opened_and_elsewhere_is_said() {
    let joining = Joining::default();
    let ask = async || joining.ask(&token("ada"), unknown(), (NOW, &"r-1".into()), || true).await;
    assert_eq!(ask().await.unwrap_err().detail, "the directory knows nobody");
    joining.open(Where::Elsewhere);
    let told = ask().await.unwrap_err();
    assert_eq!(told.code, RefusalCode::UnknownPrincipal);
    assert_eq!(told.detail, "the directory knows nobody; people join at a node that has the directory");
}

#[tokio::test]
async fn only_people_are_asked_about_and_only_whom_their_issuer_says_enough_of() {
    let desk = Desk::answering(Ok(()));
    let scopes = BTreeSet::new();
    let agent = Agent { id: "corp:bot".parse().unwrap(), on_behalf_of: user("ada"), scopes };
    let mut nameless = user("ada");
    nameless.email = None;
    for (who, why) in [
        (Principal::Agent(agent), ""),
        (Principal::Visitor(Visitor), ""),
        (Principal::User(nameless), "; no address"),
    ] {
        let told = desk.ask_at(&who, NOW).await.unwrap_err();
        assert_eq!(told.code, RefusalCode::UnknownPrincipal);
        assert_eq!(told.detail, format!("the directory knows nobody{why}"));
    }
    assert_eq!(desk.asked(), 0);
    desk.ask("ada").await.unwrap();
    assert_eq!(desk.asked(), 1);
}

#[tokio::test]
async fn a_no_is_remembered_for_a_moment_and_for_one_sign_in() {
    let desk = Desk::answering(Err(NotJoined::Cannot("nobody invited them".to_owned())));
    let at = |seconds: u64| NOW.plus(Duration::from_secs(seconds));
    for (name, now, asked) in [
        ("ada", NOW, 1),
        ("ada", at(4), 1),
        ("bob", at(4), 2),
        ("ada", at(5), 3),
        ("ada", at(9), 3),
        // A clock that was set back.
        ("ada", NOW, 4),
    ] {
        let told = desk.ask_at(&token(name), now).await.unwrap_err();
        assert_eq!(told.code, RefusalCode::UnknownPrincipal);
        assert_eq!(told.detail, "the directory knows nobody; nobody invited them");
        assert_eq!(desk.asked(), asked, "{name} at {now:?}");
    }
}

#[tokio::test]
async fn what_could_not_be_saved_is_no_no() {
    for (answer, code) in [
        (NotJoined::NotSaved("the disk is full".to_owned()), RefusalCode::StaleDirectory),
        (NotJoined::NotOnRecord("the log is full".to_owned()), RefusalCode::AuditUnavailable),
    ] {
        let desk = Desk::answering(Err(answer));
        for asked in 1..3 {
            assert_eq!(desk.ask("ada").await.unwrap_err().code, code);
            assert_eq!(desk.asked(), asked);
        }
    }
}

#[tokio::test]
async fn many_requests_of_one_sign_in_are_one_question() {
    let desk = Arc::new(Desk::answering(Ok(())));
    desk.slow.store(true, Ordering::SeqCst);
    let all: Vec<_> = (0..50)
        .map(|_| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.ask("ada").await })
        })
        .collect();
    while desk.asked() == 0 {
        tokio::task::yield_now().await;
    }
    desk.go_on.notify_one();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(desk.asked(), 1);
    assert!(desk.joining.asked.lock().unwrap().is_empty(), "nothing is left of them");
}

#[tokio::test]
async fn whoever_goes_away_leaves_nothing_behind() {
    let desk = Arc::new(Desk::answering(Ok(())));
    desk.slow.store(true, Ordering::SeqCst);
    let one = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move { desk.ask("ada").await }
    });
    while desk.asked() == 0 {
        tokio::task::yield_now().await;
    }
    one.abort();
    assert!(one.await.unwrap_err().is_cancelled());
    assert!(desk.joining.asked.lock().unwrap().is_empty());
    assert_eq!(desk.joining.turns.available_permits(), JOINS_AT_ONCE_MAX);
}

#[tokio::test]
async fn more_than_may_ask_at_once_are_sent_away_and_wait_for_nothing() {
    let desk = Arc::new(Desk::answering(Ok(())));
    desk.slow.store(true, Ordering::SeqCst);
    let all: Vec<_> = (0..JOINS_AT_ONCE_MAX)
        .map(|n| {
            let desk = Arc::clone(&desk);
            tokio::spawn(async move { desk.ask(&format!("u{n}")).await })
        })
        .collect();
    while desk.asked() < JOINS_AT_ONCE_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(desk.ask("ada").await.unwrap_err().code, RefusalCode::Overloaded);
    while desk.joining.turns.available_permits() < JOINS_AT_ONCE_MAX {
        desk.go_on.notify_waiters();
        tokio::task::yield_now().await;
    }
    for one in all {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn only_so_many_ask_in_a_second() {
    let desk = Desk::answering(Err(NotJoined::Cannot("no".to_owned())));
    let second = UnixMillis(NOW.0 - NOW.0 % 1000);
    let code = async |n: u64, now| desk.ask_at(&token(&format!("u{n}")), now).await.unwrap_err().code;
    for n in 0..JOINS_PER_SECOND_MAX {
        assert_eq!(code(n, second.plus(Duration::from_millis(n))).await, RefusalCode::UnknownPrincipal);
    }
    assert_eq!(code(1000, second.plus(Duration::from_millis(999))).await, RefusalCode::Overloaded);
    assert_eq!(code(0, second).await, RefusalCode::UnknownPrincipal, "what is remembered asks nobody");
    assert_eq!(code(1000, second.plus(Duration::from_secs(1))).await, RefusalCode::UnknownPrincipal);
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let mut desk = Desk::answering(Ok(()));
    Arc::get_mut(&mut desk.joining).unwrap().patience = Duration::from_millis(20);
    desk.slow.store(true, Ordering::SeqCst);
    assert_eq!(desk.ask("ada").await.unwrap_err().code, RefusalCode::StaleDirectory);
}
