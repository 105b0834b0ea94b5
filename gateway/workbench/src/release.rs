//! Policies as one file: made, signed, carried elsewhere, looked into, unpacked.
//!
//! ```text
//!  policies/ ─ build ─► NAME.dwp ─ sign ─► NAME.dwp ─ open ─► Bundle ─ unpack ─► a folder to load
//!                       a tar:              + one more         every byte is
//!                       manifest.json       signature          accounted for
//!                       policies/…
//! ```
//!
//! A bundle is a tar file that is written in one way only: reading one and writing it again gives the same
//! bytes, or it is refused. So no byte of it (a time, an owner, padding, a file nobody asked for) can carry
//! anything that the signature does not cover. What is signed is the manifest, which has the SHA-256 of every
//! file, by Ed25519 over the pre-authentication encoding of DSSE.
//!
//! Who trusts whom: with keys in the configuration, a bundle counts only when one of them signed it. Without
//! any, whoever can hand the gateway a bundle could as well write into its folder of policies.

mod archive;
mod keys;
mod manifest;
mod unpack;

use std::collections::BTreeMap;

use doorward_model::UnixMillis;
use doorward_model::limits::{POLICY_BUNDLE_BYTES_MAX, POLICY_SIGNATURES_MAX};
use doorward_policy::{Difference, PolicyFiles, Revision};

pub use self::keys::{KeyId, KeyRefused, PublicKey, SigningKey};
use self::manifest::Signature;
pub use self::manifest::{Attestation, Base, CaseCounts, Manifest, Outcome, Packed};
pub use self::unpack::{UnpackError, bundle_in, policies_in, sweep, unpack};

/// How a file of this kind is called at the end.
pub const EXTENSION: &str = "dwp";

/// Whose signature is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Trust<'k> {
    /// Nobody's: no keys are configured.
    Anyone,
    /// That of one of these, at least.
    Keys(&'k [PublicKey]),
}

/// A bundle of which every byte is accounted for.
#[derive(Clone, Debug)]
pub struct Bundle {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
    signatures: Vec<Signature>,
    /// Of the keys that were asked about, those whose signature is on it and good.
    signed_by: Vec<KeyId>,
}

/// What is said about a bundle when it is made. Texts are from people and are bounded.
#[derive(Clone, Debug)]
pub struct About {
    /// Greater than that of every bundle before it that nodes pulled.
    pub sequence: u64,
    /// When.
    pub created_at: UnixMillis,
    /// Who.
    pub author: String,
    /// Why, in the author's words.
    pub note: Option<String>,
    /// What made it, with its version.
    pub tool: String,
    /// What it was made from, and what it changes in that.
    pub base: Option<(Base, Difference)>,
    /// What checks, tests and proofs came to.
    pub results: Vec<Attestation>,
}

/// Why a bundle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none, or somebody wrote it in another way.
    #[error("this is not a bundle: {0}")]
    NotABundle(String),
    /// It is larger than a bundle can be.
    #[error("this is larger than {POLICY_BUNDLE_BYTES_MAX} bytes")]
    TooLarge,
    /// Its parts do not agree with each other.
    #[error("this bundle was altered: {0}")]
    Altered(String),
    /// Nobody signed it.
    #[error("nobody signed this bundle")]
    Unsigned,
    /// None of those who signed it is known.
    #[error("this bundle is signed by keys that are not known here: {0}")]
    Stranger(String),
    /// It names a key that is known, and the signature is not of that key.
    #[error("the signature of key `{0}` is not good")]
    BadSignature(String),
}

/// Why a bundle cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A path does not fit.
    #[error("`{0}` cannot stand in a bundle: {1}")]
    Path(String, String),
    /// A text about it does not fit.
    #[error("{0}")]
    Text(String),
    /// There is no room for more.
    #[error("{0}")]
    Full(String),
}

impl Refused {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NotABundle(_) | Self::TooLarge => "make one with `doorward policy bundle build`",
            Self::Altered(_) => "build it again; do not write it with another tool",
            Self::Unsigned => "sign it with `doorward policy bundle sign`",
            Self::Stranger(_) => "sign it with a key whose public half is in `policy.keys`",
            Self::BadSignature(_) => "do not use it: somebody changed the bundle or the signature",
        }
    }
}

/// Whether these bytes begin as a bundle does. Whether they are one says [`open`]; but nothing that begins otherwise,
/// such as a key, needs to be sent anywhere to be refused.
#[must_use]
pub fn begins_as_one(bytes: &[u8]) -> bool {
    archive::begins_as_one(bytes)
}

/// Makes a bundle of the files of a folder. The same words about the same files make the same bytes.
///
/// # Errors
/// When a path or a text does not fit.
pub fn build(files: &PolicyFiles, about: About) -> Result<Vec<u8>, BuildError> {
    let manifest = Manifest::new(files, about)?;
    let files = files.iter().map(|(path, text)| (path, text.as_bytes()));
    archive::write(&manifest.to_bytes(), &manifest::signatures_bytes(&[]), files)
}

/// Adds a signature. One by the same key takes the place of the one before.
///
/// # Errors
/// When it is no bundle. [`Refused::NotABundle`] too when there are too many signatures.
pub fn sign(bundle: &[u8], key: &SigningKey) -> Result<Vec<u8>, Refused> {
    let opened = open(bundle, Trust::Anyone)?;
    let content = opened.manifest.to_bytes();
    let id = key.public().id();
    let mut signatures = opened.signatures;
    signatures.retain(|signature| signature.keyid != id.as_str());
    if signatures.len() >= POLICY_SIGNATURES_MAX {
        return Err(Refused::NotABundle(format!(
            "it would have more than {POLICY_SIGNATURES_MAX} signatures"
        )));
    }
    signatures.push(Signature::new(&id, &key.sign(&content)));
    signatures.sort_by(|a, b| a.keyid.cmp(&b.keyid));
    let files = opened.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    archive::write(&content, &manifest::signatures_bytes(&signatures), files)
        .map_err(|e| Refused::NotABundle(e.to_string()))
}

/// Reads a bundle: every byte is what writing it would write, every file is what the manifest says, and the
/// signatures are as `trust` asks.
///
/// # Errors
/// Why it is refused.
pub fn open(bundle: &[u8], trust: Trust<'_>) -> Result<Bundle, Refused> {
    let parts = archive::read(bundle)?;
    let manifest = Manifest::parse(&parts.manifest)?;
    let signatures = manifest::signatures(&parts.signatures)?;
    let files = parts.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    let again = archive::write(&parts.manifest, &parts.signatures, files);
    // One way to write it: what is not covered by the manifest (times, owners, padding) is not there.
    if again.ok().as_deref() != Some(bundle) {
        return Err(Refused::Altered("it is not written as a bundle is".to_owned()));
    }
    // Before anything is made of its content.
    let signed_by = signed_by(&parts.manifest, &signatures, trust)?;
    manifest.accounts_for(&parts.files)?;
    let files = parts.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    if Revision::of(files).to_string() != manifest.revision {
        return Err(Refused::Altered("its files are of another revision".to_owned()));
    }
    Ok(Bundle { manifest, files: parts.files, signatures, signed_by })
}

fn signed_by(content: &[u8], signatures: &[Signature], trust: Trust<'_>) -> Result<Vec<KeyId>, Refused> {
    let Trust::Keys(keys) = trust else { return Ok(Vec::new()) };
    if signatures.is_empty() {
        return Err(Refused::Unsigned);
    }
    let mut by = Vec::new();
    for signature in signatures {
        // One of a key that is not known here may be for other nodes.
        let Some(key) = keys.iter().find(|key| key.id().as_str() == signature.keyid) else { continue };
        let bad = || Refused::BadSignature(signature.keyid.clone());
        let bytes = signature.bytes().ok_or_else(bad)?;
        if !key.verifies(content, &bytes) {
            return Err(bad());
        }
        by.push(key.id());
    }
    if by.is_empty() {
        let strangers: Vec<_> = signatures.iter().map(|s| s.keyid.as_str()).collect();
        return Err(Refused::Stranger(strangers.join(", ")));
    }
    Ok(by)
}

// === impl Bundle ===

impl Bundle {
    /// What is said about it.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files by their paths within the folder, in the order of the paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// The keys that it says are its signers'. Whether they are was asked only of those in
    /// [`Bundle::signed_by`].
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.keyid.as_str())
    }

    /// Of the keys that were trusted when it was opened, those that signed it.
    #[must_use]
    pub fn signed_by(&self) -> &[KeyId] {
        &self.signed_by
    }
}
