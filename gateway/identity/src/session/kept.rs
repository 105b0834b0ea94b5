//! What the record of a session keeps sealed: by what the provider is asked again, and what it last said.
//!
//! Hosts of apps have cookies of their own, which learn of newer facts one after the other. So that the provider is
//! asked once for all of them, its last answer lies beside the refresh token.

use doorward_model::limits::SESSION_REFRESH_BYTES_MAX;

use super::content::{pack, unpack};
use super::{BrowserSession, SessionKey};
use crate::pack::{Packer, Unpacker};
use crate::seal::{Purpose, SealError, Sealer};
use crate::secret::Secret;

const FORMAT: u8 = 1;

/// What is kept of a session that can be validated anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The refresh token of the provider (RFC 6749 §1.5).
    pub refresh: Secret,
    /// The session as of the provider's last word; none where both did not fit.
    pub session: Option<BrowserSession>,
}

impl Kept {
    /// Seals it for the record of a session. The session itself is left out where the record would be too long.
    ///
    /// # Errors
    /// When the token alone is too long, or nothing can be sealed.
    pub fn seal(&self, sealer: &Sealer, id: SessionKey) -> Result<String, SealError> {
        let sealed = |session| sealer.seal(Purpose::Refresh, &id.to_string(), &self.packed(session));
        match sealed(self.session.as_ref()) {
            Ok(text) if text.len() <= SESSION_REFRESH_BYTES_MAX => Ok(text),
            Ok(_) | Err(SealError::TooLong { .. }) => sealed(None),
            Err(e @ (SealError::NoKey | SealError::NoRandomness)) => Err(e),
        }
    }

    /// What the record of a session holds; nothing for everything else.
    #[must_use]
    pub fn open(sealer: &Sealer, id: SessionKey, sealed: &[u8]) -> Option<Self> {
        let plain = sealer.open(Purpose::Refresh, &id.to_string(), std::str::from_utf8(sealed).ok()?)?;
        let mut u = Unpacker::new(FORMAT, &plain)?;
        let refresh = Secret::new(u.text()?);
        let session = match u.byte()? {
            0 => {
                u.end()?;
                None
            }
            _ => Some(unpack(u.rest())?).filter(|session| session.id == id),
        };
        Some(Self { refresh, session })
    }

    fn packed(&self, session: Option<&BrowserSession>) -> Vec<u8> {
        let mut p = Packer::new(FORMAT);
        p.text(self.refresh.expose());
        p.byte(u8::from(session.is_some()));
        session.iter().for_each(|session| p.bytes(&pack(session)));
        p.done()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{sealer, usual};
    use super::*;

    #[test]
    fn what_is_kept_opens_for_its_session_alone() {
        let (sealer, session) = (sealer(), usual());
        let kept = Kept { refresh: Secret::new("a-refresh-token"), session: Some(session.clone()) };
        let sealed = kept.seal(&sealer, session.id).unwrap();
        assert_eq!(Kept::open(&sealer, session.id, sealed.as_bytes()), Some(kept.clone()));
        let other = SessionKey::from_random([7; 16]);
        assert_eq!(Kept::open(&sealer, other, sealed.as_bytes()), None);
        let foreign = kept.seal(&sealer, other).unwrap();
        assert_eq!(Kept::open(&sealer, other, foreign.as_bytes()).unwrap().session, None, "not its own");
        assert!(!format!("{kept:?}").contains("a-refresh-token"));
    }

    #[test]
    fn a_long_token_is_kept_without_the_session() {
        let (sealer, session) = (sealer(), usual());
        let kept = Kept { refresh: Secret::new("t".repeat(5900)), session: Some(session.clone()) };
        let sealed = kept.seal(&sealer, session.id).unwrap();
        assert!(sealed.len() <= SESSION_REFRESH_BYTES_MAX);
        let opened = Kept::open(&sealer, session.id, sealed.as_bytes()).unwrap();
        assert_eq!((opened.session, opened.refresh), (None, kept.refresh));
    }
}
