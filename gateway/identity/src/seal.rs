//! What is handed to browsers and stores, and is ours when it comes back.
//!
//! A text is sealed with AES-256-GCM-SIV (RFC 8452), so nobody else can read it, change it or make one. What it
//! is for and where it may be used are part of the seal:
//!
//! ```text
//!  SealKey ──HKDF-SHA256──▶ one key for each Purpose
//!
//!  base64url( version │ KeyId │ nonce │ ciphertext and tag )
//!                       bound to: version, Purpose, and the host, person or code that it is for
//! ```
//!
//! Cast: [`SealKeys`] are the files; [`Sealer`] seals with the first key and opens with all; [`Purpose`] tells a
//! session from an attempt.
//!
//! Invariants:
//! * What was sealed for one purpose or one place never opens for another.
//! * What does not open says nothing of why.
//! * A key never shows: not in errors, nor in `Debug`. Its [`KeyId`] is public.
//!
//! Nonces are random. Should one come twice, AES-GCM-SIV gives away that two texts are the same, and no more.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::limits::{SEALED_CHARS_MAX, SEALED_SECRET_CHARS_MAX, SESSION_COOKIE_CHARS_MAX};

mod keys;

pub use self::keys::{SealKeyError, SealKeys};

/// How many bytes a key has.
pub const SEAL_KEY_BYTES: usize = 32;

/// The way of sealing. Another one has another number.
const VERSION: u8 = 1;
/// Keys of other services that are derived from the same bytes are others.
const SALT: &[u8] = b"doorward seal 1";
/// How many bytes of a digest name a key.
const ID_BYTES: usize = 4;

/// Fills bytes at random, from a good source; `false` when it has none. `server` passes the system's.
pub type RandomBytes = Arc<dyn Fn(&mut [u8]) -> bool + Send + Sync>;

/// What is sealed, and for what. Closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The cookie of a session.
    Session,
    /// The cookie of a sign-in that goes on.
    Attempt,
    /// What an app's host asks of the host where people sign in.
    Ticket,
    /// What the host where people sign in leaves for an app's host.
    Enter,
    /// The refresh token of a provider, in the store.
    Refresh,
    /// The token of a form of ours.
    Form,
    /// The cookie that tells of a sign-in that proved too little.
    Weak,
    /// What is remembered of a person for judging risk, in the store.
    Memory,
}

/// The secret that all seals come from: 32 random bytes. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; SEAL_KEY_BYTES]);

/// The public name of a key: the first bytes of a digest of it. Two nodes can tell by it that they have others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_BYTES]);

/// Seals and opens. Clones are cheap and share the keys.
#[derive(Clone)]
pub struct Sealer {
    keys: Arc<[Derived]>,
    random: RandomBytes,
}

/// Why nothing was sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key.
    #[error("there is no key to seal with; name one in `sign_in.key_files`")]
    NoKey,
    /// The system gave no random bytes, or the cipher failed.
    #[error("nothing can be sealed: the system gave no random bytes")]
    NoRandomness,
    /// It would not fit.
    #[error("{} takes {chars} characters when it is sealed, more than {max}{}", .purpose.title(), .purpose.cure())]
    TooLong {
        /// What.
        purpose: Purpose,
        /// How many characters it would take.
        chars: usize,
        /// How many there may be.
        max: usize,
    },
}

/// The keys that come from one secret.
struct Derived {
    id: KeyId,
    session: LessSafeKey,
    attempt: LessSafeKey,
    ticket: LessSafeKey,
    enter: LessSafeKey,
    refresh: LessSafeKey,
    form: LessSafeKey,
    weak: LessSafeKey,
    memory: LessSafeKey,
    salt: hmac::Key,
}

// === impl Purpose ===

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 8] = [
        Self::Session,
        Self::Attempt,
        Self::Ticket,
        Self::Enter,
        Self::Refresh,
        Self::Form,
        Self::Weak,
        Self::Memory,
    ];

    /// The word in what is sealed. It never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Attempt => "attempt",
            Self::Ticket => "ticket",
            Self::Enter => "enter",
            Self::Refresh => "refresh",
            Self::Form => "form",
            Self::Weak => "weak",
            Self::Memory => "memory",
        }
    }

    /// How many characters what is sealed for it may take. Browsers keep cookies of 4096 bytes, the name
    /// included (RFC 6265 §6.1).
    #[must_use]
    pub const fn chars_max(self) -> usize {
        match self {
            Self::Session => SESSION_COOKIE_CHARS_MAX,
            Self::Attempt | Self::Ticket | Self::Form | Self::Weak => SEALED_CHARS_MAX,
            Self::Enter | Self::Refresh | Self::Memory => SEALED_SECRET_CHARS_MAX,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Session => "the cookie of a session",
            Self::Attempt => "the cookie of a sign-in",
            Self::Ticket => "the way to the sign-in",
            Self::Enter => "the way back from the sign-in",
            Self::Refresh => "a refresh token",
            Self::Form => "the token of a form",
            Self::Weak => "the cookie of a weak sign-in",
            Self::Memory => "what is remembered of a person's risk",
        }
    }

    const fn cure(self) -> &'static str {
        match self {
            Self::Session => {
                "; let the directory say who people are (`directory.people = \"known\"`), or let the issuer send \
                 fewer groups, roles and tags"
            }
            Self::Attempt
            | Self::Ticket
            | Self::Enter
            | Self::Refresh
            | Self::Form
            | Self::Weak
            | Self::Memory => "",
        }
    }
}

// === impl SealKey ===

impl SealKey {
    /// A key of these bytes, which must come from a good source of randomness.
    #[must_use]
    pub const fn new(bytes: [u8; SEAL_KEY_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its public name.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut named = b"doorward seal key ".to_vec();
        named.extend(self.0);
        let mut id = [0; ID_BYTES];
        id.iter_mut().zip(digest(&SHA256, &named).as_ref()).for_each(|(to, from)| *to = *from);
        KeyId(id)
    }

    fn derive(&self) -> Result<Derived, Unspecified> {
        let secret = Salt::new(HKDF_SHA256, SALT).extract(&self.0);
        let of = |purpose| key_of(&secret, purpose);
        Ok(Derived {
            id: self.id(),
            session: of(Purpose::Session)?,
            attempt: of(Purpose::Attempt)?,
            ticket: of(Purpose::Ticket)?,
            enter: of(Purpose::Enter)?,
            refresh: of(Purpose::Refresh)?,
            form: of(Purpose::Form)?,
            weak: of(Purpose::Weak)?,
            memory: of(Purpose::Memory)?,
            salt: hmac::Key::from(secret.expand(&[b"salt of a person"], hmac::HMAC_SHA256)?),
        })
    }
}

fn key_of(secret: &Prk, purpose: Purpose) -> Result<LessSafeKey, Unspecified> {
    let info = [purpose.as_str().as_bytes()];
    Ok(LessSafeKey::new(UnboundKey::from(secret.expand(&info, &AES_256_GCM_SIV)?)))
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id())
    }
}

// === impl KeyId ===

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

// === impl Derived ===

impl Derived {
    const fn of(&self, purpose: Purpose) -> &LessSafeKey {
        match purpose {
            Purpose::Session => &self.session,
            Purpose::Attempt => &self.attempt,
            Purpose::Ticket => &self.ticket,
            Purpose::Enter => &self.enter,
            Purpose::Refresh => &self.refresh,
            Purpose::Form => &self.form,
            Purpose::Weak => &self.weak,
            Purpose::Memory => &self.memory,
        }
    }
}

// === impl Sealer ===

impl Sealer {
    /// Seals with the first key and opens with all of them.
    ///
    /// # Errors
    /// When there is no key, or the keys cannot be derived.
    pub fn new(keys: Vec<SealKey>, random: RandomBytes) -> Result<Self, SealError> {
        if keys.is_empty() {
            return Err(SealError::NoKey);
        }
        let derived: Result<Arc<[Derived]>, Unspecified> = keys.iter().map(SealKey::derive).collect();
        Ok(Self { keys: derived.map_err(|Unspecified| SealError::NoRandomness)?, random })
    }

    /// Seals for a purpose, bound to where or for whom it may be used.
    ///
    /// # Errors
    /// When it would be longer than [`Purpose::chars_max`], or there is no randomness.
    pub fn seal(&self, purpose: Purpose, bound_to: &str, plain: &[u8]) -> Result<String, SealError> {
        self.seal_bytes(purpose, bound_to, plain).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The same as bytes, for a store.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_bytes(&self, purpose: Purpose, bound_to: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let Some(key) = self.keys.first() else { return Err(SealError::NoKey) };
        let bytes = 1 + ID_BYTES + NONCE_LEN + plain.len() + AES_256_GCM_SIV.tag_len();
        let (chars, max) = ((bytes * 4).div_ceil(3), purpose.chars_max());
        if chars > max {
            return Err(SealError::TooLong { purpose, chars, max });
        }
        let mut nonce = [0; NONCE_LEN];
        if !(self.random)(&mut nonce) {
            return Err(SealError::NoRandomness);
        }
        let mut text = plain.to_vec();
        let aad = Aad::from(bound(purpose, bound_to));
        key.of(purpose)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|Unspecified| SealError::NoRandomness)?;
        let mut sealed = Vec::with_capacity(bytes);
        sealed.push(VERSION);
        sealed.extend(key.id.0);
        sealed.extend(nonce);
        sealed.extend(text);
        Ok(sealed)
    }

    /// Opens what was sealed for this purpose and bound to this; nothing else.
    #[must_use]
    pub fn open(&self, purpose: Purpose, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        if sealed.len() > purpose.chars_max() {
            return None;
        }
        self.open_bytes(purpose, bound_to, &URL_SAFE_NO_PAD.decode(sealed).ok()?)
    }

    /// The same of what [`seal_bytes`](Self::seal_bytes) came to.
    #[must_use]
    pub fn open_bytes(&self, purpose: Purpose, bound_to: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (&version, rest) = sealed.split_first()?;
        let (id, rest) = rest.split_first_chunk::<ID_BYTES>()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        if version != VERSION {
            return None;
        }
        let key = self.keys.iter().find(|key| key.id.0 == *id)?.of(purpose);
        let aad = Aad::from(bound(purpose, bound_to));
        let mut text = text.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut text).ok()?.len();
        text.truncate(plain);
        Some(text)
    }

    /// What nobody without the first key can guess of a person, the same for ever.
    #[must_use]
    pub fn salt_of(&self, person: &str) -> [u8; 16] {
        let tag = self.keys.first().map(|key| hmac::sign(&key.salt, person.as_bytes()));
        tag.and_then(|tag| tag.as_ref().first_chunk().copied()).unwrap_or_default()
    }

    /// Fills bytes at random, for ids and codes.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], SealError> {
        let mut bytes = [0; N];
        if (self.random)(&mut bytes) { Ok(bytes) } else { Err(SealError::NoRandomness) }
    }

    /// The names of the keys, the one that seals first.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.keys.iter().map(|key| key.id)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("keys", &self.key_ids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// What a seal covers besides its text. No purpose has a NUL in its word, so no two are alike.
fn bound(purpose: Purpose, to: &str) -> Vec<u8> {
    let mut bound = vec![VERSION];
    bound.extend(purpose.as_str().as_bytes());
    bound.push(0);
    bound.extend(to.as_bytes());
    bound
}

#[cfg(test)]
mod tests;
