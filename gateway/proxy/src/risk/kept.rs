//! What is known of somebody, as the store has it: sealed, where this node has keys of sessions.
//!
//! Whoever can write the store could else say of a thief's country and browser that they are usual, or that a signal is
//! over. What they can still do is to remove what is known, or to put an older version of the same person back.
//!
//! | first byte | what follows | with keys | without |
//! |---|---|---|---|
//! | 1 | a history whose marks were of another kind | as if nothing were known | the same |
//! | 2 | a history | as if nothing were known: it was written before there were keys | is read |
//! | 3 | a sealed history | is opened, or is damaged | cannot be read, and is left alone |
//! | other | | damaged | damaged |

use doorward_context::risk::{History, Salt};
use doorward_identity::seal::{Purpose, SealError, Sealer};
use doorward_model::UserId;

/// The first byte of what is sealed.
const SEALED: u8 = 3;
/// The first byte of a history whose marks were of another kind.
const BEFORE: u8 = 1;

/// Opens and closes what the store has of one person.
#[derive(Clone, Copy)]
pub(super) struct Envelope<'a> {
    pub(super) sealer: Option<&'a Sealer>,
    pub(super) whom: &'a UserId,
}

/// What the store has of one person.
pub(super) enum Found {
    /// This.
    History(Box<History>),
    /// Nothing that counts.
    Nothing,
    /// Only who has the keys can read it.
    Shut,
}

impl Envelope<'_> {
    /// The salt of whoever is new.
    pub(super) fn salt(&self) -> Salt {
        self.sealer.map_or_else(Salt::default, |sealer| Salt::new(sealer.salt_of(&self.whom.to_string())))
    }

    /// As it goes into the store.
    pub(super) fn close(&self, history: &History) -> Result<Vec<u8>, SealError> {
        let plain = history.encode();
        let Some(sealer) = self.sealer else { return Ok(plain) };
        let mut sealed = vec![SEALED];
        sealed.extend(sealer.seal_bytes(Purpose::Memory, &self.whom.to_string(), &plain)?);
        Ok(sealed)
    }

    /// What came from the store.
    pub(super) fn open(&self, bytes: &[u8]) -> Found {
        let damaged = || {
            tracing::warn!("what was known of somebody's risk is damaged: it is learned anew");
            Found::History(Box::new(History::damaged(self.salt())))
        };
        let read =
            |plain: &[u8]| History::decode(plain).map_or_else(|_| damaged(), |h| Found::History(Box::new(h)));
        match (bytes.split_first(), self.sealer) {
            (Some((&BEFORE, _)), _) => Found::Nothing,
            (Some((&SEALED, sealed)), Some(sealer)) => {
                let plain = sealer.open_bytes(Purpose::Memory, &self.whom.to_string(), sealed);
                plain.map_or_else(damaged, |plain| read(&plain))
            }
            (Some((&SEALED, _)), None) => Found::Shut,
            (_, None) => read(bytes),
            (_, Some(_)) if History::decode(bytes).is_ok() => Found::Nothing,
            (_, Some(_)) => damaged(),
        }
    }
}
