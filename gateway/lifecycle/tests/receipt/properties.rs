//! Receipts of all sizes.

use std::sync::LazyLock;

use doorward_audit::Protocol;
use doorward_lifecycle::receipt::facts::{
    Answer, Checkpoint, Facts, Fleet, Node, NodeEnded, ProtocolEnded, Remainder,
};
use doorward_lifecycle::receipt::{PublicKeys, Receipt, Signer, open};
use doorward_model::{IssuerId, UnixMillis};
use proptest::prelude::*;
use uuid::Uuid;

use crate::fixture::{debt, facts, instance};

static SIGNER: LazyLock<Signer> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    Signer::open(dir.path()).unwrap()
});

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![Just(Answer::Applied), Just(Answer::Behind), Just(Answer::Silent)]
}

fn ended() -> impl Strategy<Value = Vec<ProtocolEnded>> {
    let one = (1u64..=u64::MAX / 8, any::<u64>(), any::<u64>());
    proptest::sample::subsequence(Protocol::ALL.to_vec(), 0..=5).prop_flat_map(move |protocols| {
        proptest::collection::vec(one.clone(), protocols.len()).prop_map(move |numbers| {
            let made = protocols.iter().zip(numbers);
            made.map(|(protocol, (ended, open, micros))| {
                let still_open = if open % 2 == 0 { 0 } else { open % ended + 1 }.min(ended);
                let last_byte_micros = (still_open == 0).then_some(micros);
                ProtocolEnded { protocol: *protocol, ended, still_open, last_byte_micros }
            })
            .collect()
        })
    })
}

prop_compose! {
    fn any_facts()(
        others in proptest::collection::vec((answer(), any::<i64>(), "\\PC{0,20}", proptest::option::of(ended())), 0..6),
        here in ended(),
        times in proptest::array::uniform3(any::<i64>()),
        texts in proptest::array::uniform4("\\PC{1,40}"),
        name in proptest::option::of(".{0,60}"),
        checkpoint in proptest::option::of(any::<u64>()),
        expires in proptest::option::of(any::<i64>()),
    ) -> Facts {
        let mut facts = facts();
        facts.nodes.truncate(1);
        facts.ended = vec![NodeEnded { instance: instance(1), exchanges: here }];
        facts.debts.clear();
        for (i, (answer, at, node, exchanges)) in others.into_iter().enumerate() {
            let instance = instance(i as u128 + 2);
            facts.nodes.push(Node { node, instance, answer, at: UnixMillis(at) });
            facts.ended.extend(exchanges.map(|exchanges| NodeEnded { instance, exchanges }));
            if answer != Answer::Applied {
                let mut debt = debt(instance);
                debt.id = Uuid::from_u128(i as u128);
                facts.debts.push(debt);
            }
        }
        facts.asked.at = UnixMillis(times[0]);
        facts.made_at = UnixMillis(times[1]);
        if let Fleet::Asked { answered_at, .. } = &mut facts.fleet {
            *answered_at = UnixMillis(times[2]);
        }
        let [cause, by, request_id, state] = texts;
        facts.asked.cause = cause;
        facts.asked.by.name = by;
        facts.asked.request_id = request_id;
        facts.person.state_before = state;
        facts.person.name = name;
        facts.audit.as_mut().unwrap().checkpoint = checkpoint.map(|size| Checkpoint { size, hash: "f0".repeat(32) });
        let issuer = IssuerId::new("corp").unwrap();
        facts.remains.push(Remainder::TokenElsewhere { issuer, expires_at: expires.map(UnixMillis) });
        facts
    }
}

fn keys() -> &'static PublicKeys {
    SIGNER.public_keys()
}

proptest! {
    #[test]
    fn whatever_is_sealed_opens_as_it_was(facts in any_facts()) {
        let receipt = Receipt::of(Uuid::from_u128(1), facts).unwrap();
        let sealed = SIGNER.seal(&receipt).unwrap();
        prop_assert_eq!(open(sealed.as_bytes(), keys()).unwrap().receipt, receipt);
    }

    #[test]
    fn no_bit_of_any_receipt_can_be_turned(facts in any_facts(), at in any::<prop::sample::Index>(), bit in 0..8) {
        let receipt = Receipt::of(Uuid::from_u128(1), facts).unwrap();
        let mut sealed = SIGNER.seal(&receipt).unwrap().into_bytes();
        let byte = at.index(sealed.len());
        sealed[byte] ^= 1u8 << bit;
        prop_assert!(open(&sealed, keys()).is_err());
    }

    #[test]
    fn hostile_bytes_are_refused_quietly(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(open(&bytes, keys()).is_err());
    }

    #[test]
    fn hostile_text_is_refused_quietly(text in "[A-Za-z0-9_.{}\":-]{0,200}") {
        prop_assert!(open(text.as_bytes(), keys()).is_err());
        prop_assert!(PublicKeys::parse(&text).is_err());
    }
}
