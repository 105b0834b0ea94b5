use std::sync::Arc;

use doorward_model::{RefusalCode, Strength};

use super::*;
use crate::seal::SealKey;
use crate::session::tests::usual;
use crate::session::{Lifetimes, OpenedSessions, SESSION_COOKIE};

const LOGIN: &str = "login.corp.example";
const WIKI: &str = "wiki.corp.example";
const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

fn sealer() -> Sealer {
    Sealer::new(vec![SealKey::new([1; 32])], Arc::new(|bytes| aws_lc_rs::rand::fill(bytes).is_ok())).unwrap()
}

fn nonce() -> Nonce {
    Nonce::random(&sealer()).unwrap()
}

fn demand() -> Demand {
    Demand { strength: Strength::PhishingResistant, max_age: Some(Duration::from_secs(300)) }
}

fn ticket() -> Ticket {
    Ticket {
        back: ReturnTarget::parse(WIKI, "/pages/7?edit=1").unwrap(),
        app: AppId::new("wiki").unwrap(),
        demand: demand(),
        provider: Some(IssuerId::new("corp").unwrap()),
        nonce: nonce().hash(),
        made_at: NOW,
    }
}

fn attempt() -> Attempt {
    Attempt {
        provider: IssuerId::new("corp").unwrap(),
        nonce: nonce(),
        verifier: nonce(),
        demand: demand(),
        back: ReturnTarget::parse(WIKI, "/pages/7?edit=1").unwrap(),
        app: Some(AppId::new("wiki").unwrap()),
        enter: Some(nonce().hash()),
        steps_up: Some(SessionKey::from_random([7; 16])),
        started_at: NOW,
    }
}

fn enter(cookie: &Nonce) -> Enter {
    Enter {
        session: usual(),
        back: ReturnTarget::parse(WIKI, "/pages/7?edit=1").unwrap(),
        nonce: cookie.hash(),
        made_at: NOW,
    }
}

fn later(seconds: u64) -> UnixMillis {
    NOW.plus(Duration::from_secs(seconds))
}

#[test]
fn a_ticket_is_read_by_the_sign_in_host_for_a_minute() {
    let (sealer, ticket) = (sealer(), ticket());
    let text = ticket.seal(&sealer, LOGIN).unwrap();
    assert_eq!(Ticket::open(&sealer, LOGIN, &text, NOW), Some(ticket.clone()));
    assert_eq!(Ticket::open(&sealer, LOGIN, &text, later(60)), Some(ticket.clone()));
    assert_eq!(Ticket::open(&sealer, LOGIN, &text, later(61)), None);
    assert_eq!(Ticket::open(&sealer, LOGIN, &text, NOW.minus(Duration::from_secs(61))), None);
    assert_eq!(Ticket::open(&sealer, WIKI, &text, NOW), None);
    let plain = Ticket { provider: None, demand: Demand::default(), ..ticket };
    let text = plain.seal(&sealer, LOGIN).unwrap();
    assert_eq!(Ticket::open(&sealer, LOGIN, &text, NOW), Some(plain));
}

#[test]
fn an_attempt_is_found_by_its_state_for_ten_minutes() {
    let (sealer, attempt, state) = (sealer(), attempt(), nonce());
    let cookie = attempt.seal(&sealer, LOGIN, &state).unwrap();
    let open = |state: &Nonce, host: &str, now| Attempt::open(&sealer, host, state, &cookie, now);
    assert_eq!(open(&state, LOGIN, later(600)), Some(attempt.clone()));
    assert_eq!(open(&state, LOGIN, later(601)), None);
    assert_eq!(open(&nonce(), LOGIN, NOW), None, "the answer to another attempt");
    assert_eq!(open(&state, WIKI, NOW), None);
    let least = Attempt { app: None, enter: None, steps_up: None, ..attempt };
    let cookie = least.seal(&sealer, LOGIN, &state).unwrap();
    assert_eq!(Attempt::open(&sealer, LOGIN, &state, &cookie, NOW), Some(least));
}

#[test]
fn a_sign_in_that_proved_too_little_is_remembered_for_ten_minutes() {
    let (sealer, weak) = (sealer(), TooLittle { demand: demand(), at: NOW });
    let cookie = weak.seal(&sealer, LOGIN).unwrap();
    assert_eq!(TooLittle::open(&sealer, LOGIN, &cookie, later(600)), Some(weak));
    assert_eq!(TooLittle::open(&sealer, LOGIN, &cookie, later(601)), None);
    assert_eq!(TooLittle::open(&sealer, WIKI, &cookie, NOW), None);
    let ticket = ticket().seal(&sealer, LOGIN).unwrap();
    assert_eq!(TooLittle::open(&sealer, LOGIN, &ticket, NOW), None);
}

#[test]
fn an_entry_needs_its_code_its_host_and_the_browser_that_asked() {
    let (sealer, code, cookie) = (sealer(), nonce(), nonce());
    let enter = enter(&cookie);
    let stored = enter.seal(&sealer, &code).unwrap();
    let open = |host: &str, code: &Nonce, cookie: &Nonce, now| {
        Enter::open(&sealer, host, code, cookie, &stored, now)
    };
    assert_eq!(open(WIKI, &code, &cookie, later(60)), Some(enter.clone()));
    assert_eq!(open(WIKI, &code, &cookie, later(61)), None);
    assert_eq!(
        open("payroll.corp.example", &code, &cookie, NOW),
        None,
        "a code that was carried to another host"
    );
    assert_eq!(open(WIKI, &nonce(), &cookie, NOW), None, "a code of another entry");
    assert_eq!(open(WIKI, &code, &nonce(), NOW), None, "another browser");
}

#[test]
fn s11_none_of_them_is_taken_for_another_or_for_a_session() {
    let (sealer, state) = (sealer(), nonce());
    let texts = [
        ticket().seal(&sealer, LOGIN).unwrap(),
        attempt().seal(&sealer, LOGIN, &state).unwrap(),
        enter(&state).seal(&sealer, &state).unwrap(),
        usual().seal(&sealer, LOGIN).unwrap(),
        state.expose().to_owned(),
    ];
    let opened = OpenedSessions::new(sealer.clone(), Lifetimes::default());
    for (i, text) in texts.iter().enumerate() {
        let taken = [
            Ticket::open(&sealer, LOGIN, text, NOW).is_some(),
            Attempt::open(&sealer, LOGIN, &state, text, NOW).is_some(),
            Enter::open(&sealer, WIKI, &state, &state, text, NOW).is_some(),
            opened.open(LOGIN, text, NOW).is_ok(),
        ];
        assert_eq!(taken, std::array::from_fn(|kind| kind == i), "text {i}");
    }
}

#[test]
fn a_cookie_of_an_attempt_has_room_for_a_long_way_back() {
    let long = format!("/{}", "x".repeat(2047));
    let attempt = Attempt { back: ReturnTarget::parse(WIKI, &long).unwrap(), ..attempt() };
    let state = nonce();
    let value = attempt.seal(&sealer(), LOGIN, &state).unwrap();
    let (name, ticket) = (Attempt::cookie(&state), Ticket { back: attempt.back, ..ticket() });
    assert!(name.len() + 1 + value.len() <= 4096, "{} characters", value.len());
    assert_eq!(name.len(), ATTEMPT_COOKIE.len() + 8);
    assert!(ticket.seal(&sealer(), LOGIN).is_ok());
}

#[test]
fn the_oldest_of_five_gives_way() {
    let line = |n: usize| (1..=n).map(|i| format!("{ATTEMPT_COOKIE}{i}=v")).collect::<Vec<_>>().join("; ");
    let of = |line: &str| giving_way([line.as_bytes()], ATTEMPT_COOKIE).unwrap();
    assert_eq!(of(""), Vec::<String>::new());
    assert_eq!(of(&line(4)), Vec::<String>::new());
    assert_eq!(of(&line(5)), [format!("{ATTEMPT_COOKIE}1")]);
    assert_eq!(of(&line(7)), [1, 2, 3].map(|i| format!("{ATTEMPT_COOKIE}{i}")));
    let others = format!("{SESSION_COOKIE}=x; {ENTER_COOKIE}1=x; {}", line(4));
    assert_eq!(of(&others), Vec::<String>::new());
    let many = line(600);
    let refused = giving_way([many.as_bytes()], ATTEMPT_COOKIE).map_err(|refusal| refusal.code);
    assert_eq!(refused, Err(RefusalCode::HeaderTooLarge));
}

#[test]
fn a_nonce_is_43_characters_and_shows_nowhere() {
    let nonce = nonce();
    assert_eq!(Nonce::parse(nonce.expose()), Some(nonce.clone()));
    let cut = &nonce.expose()[1..];
    for wrong in ["", cut, &format!("{}=", nonce.expose()), &format!("{cut}\u{e4}"), &"*".repeat(43)] {
        assert_eq!(Nonce::parse(wrong), None, "{wrong}");
    }
    assert!(nonce.hash().is_of(&nonce) && !nonce.hash().is_of(&self::nonce()));
    assert_ne!(nonce.hash().name(), nonce.expose());
    let attempt = Attempt { nonce: nonce.clone(), verifier: nonce.clone(), ..attempt() };
    for shown in [format!("{nonce:?}"), format!("{attempt:?}"), format!("{:?}", ticket())] {
        assert!(!shown.contains(&nonce.expose()[..8]) && !shown.contains("edit=1"), "{shown}");
    }
}
