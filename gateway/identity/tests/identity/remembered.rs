//! S13 of the incident classes: what is remembered of one token is never used for anything else.

use std::sync::LazyLock;

use doorward_model::{RefusalCode, UnixMillis};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::mint::{P256, P384};
use crate::world::*;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static WORLD: LazyLock<World> = LazyLock::new(world);

fn code(token: &str, now: UnixMillis) -> Option<RefusalCode> {
    RUNTIME.block_on(WORLD.verifier.verify(token, now)).err().map(|r| r.code)
}

fn lab(changes: Value) -> String {
    signed(&P256, "ES256", &claims_with(LAB, changes))
}

#[test]
fn an_unknown_token_is_not_remembered_and_a_known_one_is() {
    let token = lab(json!({"jti": "remembered"}));
    assert!(WORLD.verifier.cached(&token, NOW).is_none());
    assert_eq!(code(&token, NOW), None);
    let first = WORLD.verifier.cached(&token, NOW).unwrap();
    let second = RUNTIME.block_on(WORLD.verifier.verify(&token, NOW)).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &second));
    assert!(WORLD.verifier.remembered_tokens() > 0);
}

#[test]
fn a_refusal_is_not_remembered() {
    let token = lab(json!({"nbf": NOW_SECONDS + 100}));
    assert_eq!(code(&token, NOW), Some(RefusalCode::InvalidCredential));
    assert_eq!(code(&token, UnixMillis::from_seconds(NOW_SECONDS + 100)), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any byte of the token.
    #[test]
    fn another_token_is_another_token(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]", sub in "[a-z]{1,8}") {
        let token = lab(json!({"sub": sub}));
        prop_assert_eq!(code(&token, NOW), None);
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        if changed != token {
            prop_assert!(WORLD.verifier.cached(&changed, NOW).is_none());
            prop_assert_eq!(code(&changed, NOW), Some(RefusalCode::InvalidCredential));
        }
        prop_assert!(WORLD.verifier.cached(&token[..token.len() - 1], NOW).is_none());
        let longer = format!("{token}A");
        prop_assert!(WORLD.verifier.cached(&longer, NOW).is_none());
    }

    /// Any time: remembered or not, the verdict is that of the token's own times.
    #[test]
    fn memory_does_not_lengthen_a_life(
        age in 0_i64..1000, life in 1_i64..1000, start in -1000_i64..1000, asked in -3_000_000_i64..3_000_000,
    ) {
        let issued = NOW_SECONDS - age;
        let token = lab(json!({"iat": issued, "exp": NOW_SECONDS + life, "nbf": NOW_SECONDS - 1000 + start.abs()}));
        prop_assert_eq!(code(&token, NOW), None);
        let now = UnixMillis(NOW.0 + asked);
        let begins = issued.max(NOW_SECONDS - 1000 + start.abs()) * 1000 - 2000;
        let expected = if now.0 < begins {
            Some(RefusalCode::InvalidCredential)
        } else if now.0 >= (NOW_SECONDS + life) * 1000 {
            Some(RefusalCode::ExpiredCredential)
        } else {
            None
        };
        prop_assert_eq!(WORLD.verifier.cached(&token, now).is_some(), expected.is_none());
        prop_assert_eq!(code(&token, now), expected);
    }

    /// Any issuer: the same claims under another `iss`, key or algorithm are not what was seen.
    #[test]
    fn one_issuer_is_not_another(sub in "[a-z]{1,8}", minutes in 1_i64..60) {
        let changes = json!({"sub": sub, "exp": NOW_SECONDS + 60 * minutes});
        let ours = lab(changes.clone());
        prop_assert_eq!(code(&ours, NOW), None);
        let theirs = signed(&P384, "ES384", &claims_with(P384_ISSUER, changes.clone()));
        prop_assert_eq!(code(&theirs, NOW), None);
        let of = |token: &str| WORLD.verifier.cached(token, NOW).unwrap().principal().id().unwrap().to_string();
        prop_assert_eq!(of(&ours), format!("lab:{sub}"));
        prop_assert_eq!(of(&theirs), format!("p384:{sub}"));
        for crossed in [
            signed(&P384, "ES384", &claims_with(LAB, changes.clone())),
            signed(&P256, "ES256", &claims_with(P384_ISSUER, changes.clone())),
            signed(&P256, "ES256", &claims_with(CORP, changes.clone())),
            format!("{}.{}", ours.rsplit_once('.').unwrap().0, theirs.rsplit_once('.').unwrap().1),
            format!("{}.{}", theirs.rsplit_once('.').unwrap().0, ours.rsplit_once('.').unwrap().1),
        ] {
            prop_assert!(WORLD.verifier.cached(&crossed, NOW).is_none());
            prop_assert_eq!(code(&crossed, NOW), Some(RefusalCode::InvalidCredential));
        }
    }
}
