use std::sync::atomic::{AtomicU8, Ordering};

use proptest::prelude::*;

use super::*;

/// Never the same bytes twice in a row.
fn random() -> RandomBytes {
    let next = AtomicU8::new(0);
    Arc::new(move |bytes| {
        bytes.fill_with(|| next.fetch_add(1, Ordering::Relaxed));
        true
    })
}

fn key(byte: u8) -> SealKey {
    SealKey::new([byte; SEAL_KEY_BYTES])
}

fn sealer(keys: &[u8]) -> Sealer {
    Sealer::new(keys.iter().map(|byte| key(*byte)).collect(), random()).unwrap()
}

const HOST: &str = "wiki.corp.example";

fn purpose() -> impl Strategy<Value = Purpose> {
    proptest::sample::select(Purpose::ALL.to_vec())
}

proptest! {
    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_place_alone(
        plain in proptest::collection::vec(any::<u8>(), 0..1000), sealed_for in purpose(), opened_for in purpose(),
        host in "[a-z.]{1,30}", other in "[a-z.\0]{0,30}",
    ) {
        let sealer = sealer(&[1]);
        let text = sealer.seal(sealed_for, &host, &plain).unwrap();
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "no cookie");
        let opened = sealer.open(opened_for, &host, &text);
        prop_assert_eq!(opened, (sealed_for == opened_for).then(|| plain.clone()));
        let elsewhere = sealer.open(sealed_for, &other, &text);
        prop_assert_eq!(elsewhere, (host == other).then(|| plain.clone()));
        prop_assert_eq!(super::Sealer::open(&self::sealer(&[2]), sealed_for, &host, &text), None);
    }

    #[test]
    fn no_bit_can_be_turned(plain in proptest::collection::vec(any::<u8>(), 0..200), bit: proptest::sample::Index) {
        let sealer = sealer(&[1]);
        let text = sealer.seal(Purpose::Session, HOST, &plain).unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(sealer.open(Purpose::Session, HOST, &URL_SAFE_NO_PAD.encode(bytes)), None);
    }

    #[test]
    fn what_strangers_make_never_opens(text in ".{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let sealer = sealer(&[1]);
        for purpose in Purpose::ALL {
            prop_assert_eq!(sealer.open(purpose, HOST, &text), None);
            prop_assert_eq!(sealer.open(purpose, HOST, &URL_SAFE_NO_PAD.encode(&bytes)), None);
        }
    }
}

#[test]
fn no_bit_of_any_place_of_a_whole_text_can_be_turned_or_left_out() {
    let sealer = sealer(&[1]);
    let text = sealer.seal(Purpose::Session, HOST, b"who").unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut turned = bytes.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(sealer.open(Purpose::Session, HOST, &URL_SAFE_NO_PAD.encode(turned)), None, "bit {bit}");
    }
    for end in 0..bytes.len() {
        assert_eq!(sealer.open(Purpose::Session, HOST, &URL_SAFE_NO_PAD.encode(&bytes[..end])), None);
    }
    let longer = [&bytes[..], &[0]].concat();
    for other in
        [format!("{text}="), format!(" {text}"), format!("\"{text}\""), URL_SAFE_NO_PAD.encode(longer)]
    {
        assert_eq!(sealer.open(Purpose::Session, HOST, &other), None, "{other}");
    }
    assert!(sealer.open(Purpose::Session, HOST, &text).is_some());
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let (old, both, new) = (sealer(&[1]), sealer(&[2, 1]), sealer(&[2]));
    let before = old.seal(Purpose::Session, HOST, b"before").unwrap();
    let after = both.seal(Purpose::Session, HOST, b"after").unwrap();
    let opens = |sealer: &Sealer, text: &str| sealer.open(Purpose::Session, HOST, text).is_some();
    assert_eq!([&old, &both, &new].map(|sealer| opens(sealer, &before)), [true, true, false]);
    assert_eq!([&old, &both, &new].map(|sealer| opens(sealer, &after)), [false, true, true]);
    let ids: Vec<_> = both.key_ids().collect();
    assert_eq!(ids, [key(2).id(), key(1).id()]);
}

#[test]
fn every_purpose_of_every_key_has_a_key_of_its_own() {
    let under = |byte: u8, purpose: Purpose| {
        let (derived, mut text) = (key(byte).derive().unwrap(), b"the same".to_vec());
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        derived.of(purpose).seal_in_place_append_tag(nonce, Aad::empty(), &mut text).unwrap();
        text
    };
    let texts: std::collections::BTreeSet<_> =
        [1, 2].iter().flat_map(|byte| Purpose::ALL.map(|purpose| under(*byte, purpose))).collect();
    assert_eq!(texts.len(), 2 * Purpose::ALL.len());
}

#[test]
fn the_same_sealed_twice_looks_otherwise() {
    let sealer = sealer(&[1]);
    let [a, b] = [(), ()].map(|()| sealer.seal(Purpose::Session, HOST, b"same").unwrap());
    assert_ne!(a[8..], b[8..]);
}

/// As another implementation of RFC 8452 and RFC 5869 seals it. Should this change, whoever is signed in is signed out
/// by an upgrade: raise `VERSION`, and say so.
#[test]
fn what_an_earlier_version_or_another_hand_sealed_opens() {
    let sealed = "Abx5-EgAAQIDBAUGBwgJCgvz_cNwYhd5QTYGe5Aab9PDvnCj";
    assert_eq!(sealer(&[1]).seal(Purpose::Session, HOST, b"who").unwrap(), sealed);
    assert_eq!(sealer(&[1]).open(Purpose::Session, HOST, sealed).as_deref(), Some(&b"who"[..]));
}

#[test]
fn what_is_too_long_is_not_sealed_and_the_error_says_what_to_do() {
    let sealer = sealer(&[1]);
    for purpose in Purpose::ALL {
        let mut fits = vec![7; purpose.chars_max() * 3 / 4 - 33];
        let text = sealer.seal(purpose, HOST, &fits).unwrap();
        assert!(text.len() <= purpose.chars_max() && text.len() + 4 > purpose.chars_max(), "{purpose:?}");
        assert_eq!(sealer.open(purpose, HOST, &text).as_ref(), Some(&fits));
        fits.extend([7; 4]);
        let error = sealer.seal(purpose, HOST, &fits).unwrap_err();
        assert!(matches!(error, SealError::TooLong { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.contains(&format!("more than {}", purpose.chars_max())), "{said}");
        assert_eq!(said.contains("`directory.people = \"known\"`"), purpose == Purpose::Session, "{said}");
    }
}

#[test]
fn nothing_is_sealed_without_a_key_or_without_randomness() {
    assert_eq!(Sealer::new(Vec::new(), random()).err(), Some(SealError::NoKey));
    let dry = Sealer::new(vec![key(1)], Arc::new(|_| false)).unwrap();
    assert_eq!(dry.seal(Purpose::Form, HOST, b"x"), Err(SealError::NoRandomness));
    assert_eq!(dry.random::<16>(), Err(SealError::NoRandomness));
}

#[test]
fn no_key_shows() {
    let key = SealKey::new(*b"0123456789abcdefghijklmnopqrstuv");
    let sealer = Sealer::new(vec![key.clone()], random()).unwrap();
    for shown in [format!("{key:?}"), format!("{sealer:?}")] {
        assert!(
            shown.contains(&key.id().to_string()) && !shown.contains("ijkl") && !shown.contains("105"),
            "{shown}"
        );
    }
}
