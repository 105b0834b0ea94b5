//! What holds for any history.

use doorward_context::risk::{BYTES_MAX, Happening, History, Salt, Sighting};
use doorward_model::{RiskLevel, UnixMillis};
use proptest::prelude::*;

use crate::world::{agent, assurance, place, terms};

/// One thing that happens: what, when (in seconds), and of which of a few kinds.
type Event = (u8, i64, u8, u8, u8, u16);

const PLACES: [&str; 9] =
    ["berlin", "next-door", "munich", "paris", "tokyo", "germany", "nowhere", "exit", "tor"];
const AGENTS: [&str; 4] = ["firefox", "firefox-next", "chrome", "none"];
const PROOFS: [&str; 5] = ["none", "password", "mfa", "key", "key 2m"];

fn event() -> impl Strategy<Value = Event> {
    (0..10_u8, -5_000_000_000..5_000_000_000_i64, any::<u8>(), any::<u8>(), any::<u8>(), any::<u16>())
}

fn pick<'a>(from: &[&'a str], by: u8) -> &'a str {
    from[usize::from(by) % from.len()]
}

/// The history after an event, and what it came to.
fn take(
    history: History,
    (kind, at, a, b, c, n): Event,
) -> (History, Option<doorward_context::risk::Assessment>) {
    let (at, terms) = (UnixMillis(at * 1000), terms());
    match kind {
        0 => history.after(&Happening::Failed { at }, &terms),
        1 => {
            let level = RiskLevel::ALL[usize::from(a) % RiskLevel::ALL.len()];
            history.after(&Happening::Told { at, level }, &terms)
        }
        _ => {
            let mut place = place(pick(&PLACES, a));
            // Many networks, so that every list runs over.
            place.asn = place.asn.map(|asn| asn + u32::from(n));
            let (session, assurance) = (format!("s-{}", n % 100), assurance(pick(&PROOFS, c), at));
            let device = doorward_model::DeviceId::new(&format!("d-{n}")).ok().filter(|_| c % 2 == 0);
            let sighting = Sighting {
                at,
                session: &session,
                place: &place,
                device: device.as_ref(),
                agent: agent(pick(&AGENTS, b)),
                assurance: &assurance,
                failures_here: a % 7,
            };
            history.after(&Happening::Seen(sighting), &terms)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same history twice gives the same scores, and it does not matter where it was written and read.
    #[test]
    fn a_history_is_replayed_to_the_same_scores(
        events in prop::collection::vec(event(), 1..300),
        through_bytes in prop::collection::vec(any::<bool>(), 300),
    ) {
        let (mut one, mut two) = (History::default(), History::default());
        for (event, through_bytes) in events.into_iter().zip(through_bytes) {
            let ((a, said_a), (b, said_b)) = (take(one, event), take(two, event));
            prop_assert_eq!(said_a, said_b);
            prop_assert!(said_a.is_none_or(|a| a.score <= 100));
            (one, two) = (a, b);
            if through_bytes {
                two = History::decode(&two.encode()).unwrap();
            }
            prop_assert_eq!(&one, &two);
        }
    }

    /// Hostile bytes are no history, and whatever is read is written the same.
    #[test]
    fn whatever_is_read_is_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..600), version in any::<bool>()) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut().filter(|_| version) {
            *first = 2;
        }
        if let Ok(history) = History::decode(&bytes) {
            prop_assert_eq!(history.encode(), bytes);
        }
    }

    /// One changed byte is found, or is another history that can be read and written.
    #[test]
    fn damage_never_disturbs(events in prop::collection::vec(event(), 1..80), at in any::<prop::sample::Index>(), xor in 1..=255_u8, cut in any::<bool>()) {
        let history = events.into_iter().fold(History::default(), |history, event| take(history, event).0);
        let mut bytes = history.encode();
        let i = at.index(bytes.len());
        if cut { bytes.truncate(i) } else { bytes[i] ^= xor }
        if let Ok(other) = History::decode(&bytes) {
            prop_assert!(!cut);
            prop_assert_eq!(other.encode(), bytes);
        }
        prop_assert_eq!(History::decode(&history.encode()).unwrap(), history);
    }

    /// Two that know the same know the same together; nobody forgets what the other has learned.
    #[test]
    fn two_histories_are_put_together(events in prop::collection::vec((event(), any::<bool>()), 1..60)) {
        let mut each = [History::default(), History::default()];
        for (event, which) in events {
            let which = usize::from(which);
            each[which] = take(std::mem::take(&mut each[which]), event).0;
        }
        let [a, b] = each;
        prop_assert_eq!(a.merged(&a), settled(&a));
        let both = a.merged(&b);
        prop_assert!(both.encode().len() <= BYTES_MAX);
        prop_assert_eq!(History::decode(&both.encode()).unwrap(), both.clone());
        prop_assert_eq!(both.merged(&a).merged(&b), settled(&both));
    }
}

/// What merging puts in order.
fn settled(history: &History) -> History {
    history.merged(&History::default())
}

/// Both were full, and together they are no more than one.
#[test]
fn two_full_histories_are_one() {
    let full = |from: i64| {
        (0..400_i64).fold(History::default(), |history, i| {
            let kind = if i % 10 == 0 { 0 } else { 2 };
            let (a, n) = (u8::try_from(i % 9).unwrap(), u16::try_from(from + i).unwrap());
            take(history, (kind, from + i * 120, a, 0, 0, n)).0
        })
    };
    let (one, two) = (full(10_000), full(20_000));
    let both = one.merged(&two);
    assert!(both.encode().len() <= BYTES_MAX);
    assert_eq!(History::decode(&both.encode()), Ok(both));
}

/// Ten thousand random happenings, and one person is still a few kilobytes.
#[test]
fn a_history_never_outgrows_its_place() {
    let mut history = History::default();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut longest = 0;
    for i in 0..10_000_i64 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let [a, b, c, kind, low, high, ..] = seed.to_be_bytes();
        let event = (kind % 10, 1_772_618_400 + i * 60, a, b, c, u16::from_be_bytes([low, high]));
        history = take(history, event).0;
        longest = longest.max(history.encode().len());
    }
    assert!(longest <= BYTES_MAX, "{longest} bytes");
    // The lists are full, or this would prove nothing.
    assert!(longest > 2048, "{longest} bytes");
    eprintln!("the largest history had {longest} bytes");
}

/// What failed, or was told, before anything was read does not make a damaged history whole. What was learned does.
#[test]
fn who_learned_nothing_says_nothing_of_what_is_damaged() {
    let seen = |history| take(history, (2, 10_000, 0, 0, 2, 1)).0;
    let noted = || take(take(History::default(), (0, 10_000, 0, 0, 0, 0)).0, (1, 10_060, 0, 0, 0, 0)).0;
    let damaged = || History::damaged(Salt::default());
    for (one, two, expect) in [
        (noted(), damaged(), true),
        (noted(), seen(damaged()), true),
        (noted(), History::default(), false),
        (seen(History::default()), damaged(), false),
        (seen(History::default()), seen(damaged()), false),
        (seen(damaged()), seen(damaged()), true),
    ] {
        for (a, b) in [(&one, &two), (&two, &one)] {
            let both = a.merged(b);
            assert_eq!(is_damaged(&both), expect, "{one:?} with {two:?}");
            assert_eq!(is_damaged(&both.merged(a).merged(b)), expect);
        }
    }
}

/// Whether it says so: the flag stands behind the version and the salt.
fn is_damaged(history: &History) -> bool {
    history.encode()[1 + Salt::BYTES] == 1
}

/// Marks of another salt say nothing: whoever saw somebody keeps what was seen, and what has no marks is known to both.
#[test]
fn histories_of_other_salts_are_put_together_as_far_as_they_go() {
    let of = |byte, from: i64, spots: bool| {
        let history = History::new(Salt::new([byte; Salt::BYTES]));
        let seen = if spots { 40 } else { 0 };
        let history = (0..seen).fold(history, |history, i| take(history, (2, from + i * 120, 0, 0, 2, 1)).0);
        take(history, (0, from, 0, 0, 0, 0)).0
    };
    let (one, two, told) = (of(1, 10_000, true), of(2, 20_000, true), of(3, 30_000, false));
    assert_eq!(one.merged(&two).encode()[..17], one.encode()[..17], "version and salt");
    assert_eq!(told.merged(&one).encode()[..17], one.encode()[..17]);
    let both = told.merged(&one);
    assert_eq!(History::decode(&both.encode()), Ok(both.clone()));
    // What was seen is known still, and by the same marks.
    let event = (2, 10_000, 0, 0, 2, 1);
    assert_eq!(take(both, event).1.map(|said| said.score), take(one, event).1.map(|said| said.score));
}
