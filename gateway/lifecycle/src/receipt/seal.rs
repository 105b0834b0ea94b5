//! Signing a receipt, and opening one again: JWS Compact Serialization (RFC 7515 §7.1), `EdDSA` with
//! Ed25519 (RFC 8037 §3.1).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use doorward_model::{Complaint, KeyPath};
use serde::{Deserialize, Serialize};

use super::keys::{PublicKeys, Signer};
use super::{Document, Inconsistent, RECEIPT_BYTES_MAX, Receipt, Summary, told, wire};

const ALGORITHM: &str = "EdDSA";
const TYPE: &str = "doorward-receipt";
const SIGNATURE_BYTES: usize = 64;

/// The protected header, its members in this order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Reads the form of a document of any version.
#[derive(Deserialize)]
struct AnyForm {
    form: String,
}

/// A receipt that was opened, and the key that sealed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The receipt.
    pub receipt: Receipt,
    /// The thumbprint of the key.
    pub kid: String,
}

/// Why a document is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is larger than a receipt can be.
    #[error("it is larger than {RECEIPT_BYTES_MAX} bytes: no receipt is")]
    TooLarge,
    /// It has not the shape of a signed document.
    #[error("it is not a receipt: {0}")]
    NotAReceipt(&'static str),
    /// It was signed in a way in which receipts are not.
    #[error("its header says `{member}` is `{found}`: receipts have `{must}`")]
    Header {
        /// Which member.
        member: &'static str,
        /// What stands there.
        found: String,
        /// What must stand there.
        must: &'static str,
    },
    /// None of the keys sealed it.
    #[error("it was sealed with the key `{kid}`, which is not among those given")]
    UnknownKey {
        /// The thumbprint in its header.
        kid: String,
    },
    /// The signature is not of this content.
    #[error("the signature does not fit: something in it was changed, or it was never sealed with this key")]
    BadSignature,
    /// It is sealed, and of a version that is not known here.
    #[error("it is of the form `{form}`, which this version does not know: use the version that made it")]
    UnknownForm {
        /// The form that it names.
        form: String,
    },
    /// It is sealed, and its content is not written as receipts are.
    #[error("its content is not that of a receipt: {0}")]
    BadContent(String),
    /// It is sealed, and says two things at once.
    #[error("it contradicts itself: {}", .0.iter().map(told).collect::<Vec<_>>().join("; "))]
    Inconsistent(Vec<Complaint>),
}

/// Why a receipt could not be sealed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It would be larger than [`RECEIPT_BYTES_MAX`].
    #[error("the receipt has {bytes} bytes, more than {RECEIPT_BYTES_MAX}: make several")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It could not be written as JSON, or not be signed.
    #[error("the receipt could not be signed")]
    NotSigned,
}

// === impl Signer ===

impl Signer {
    /// Signs a receipt: three parts in base64url, divided by dots, and a line feed.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, receipt: &Receipt) -> Result<String, SealError> {
        let header = header(&self.kid).ok_or(SealError::NotSigned)?;
        let payload = receipt.to_json().map_err(|_| SealError::NotSigned)?;
        let mut text = format!("{}.{}", BASE64URL.encode(header), BASE64URL.encode(payload));
        let signature = self.pair.try_sign(text.as_bytes()).map_err(|_| SealError::NotSigned)?;
        text.push('.');
        BASE64URL.encode_string(signature.as_ref(), &mut text);
        text.push('\n');
        if text.len() > RECEIPT_BYTES_MAX {
            return Err(SealError::TooLarge { bytes: text.len() });
        }
        Ok(text)
    }
}

fn header(kid: &str) -> Option<Vec<u8>> {
    let header = Header { alg: ALGORITHM.to_owned(), kid: kid.to_owned(), typ: TYPE.to_owned() };
    serde_json::to_vec(&header).ok()
}

/// Opens a sealed receipt with nothing but public keys.
///
/// # Errors
/// Why it is not believed. Whatever was changed in it, be it one bit, it is not.
pub fn open(document: &[u8], keys: &PublicKeys) -> Result<Opened, OpenError> {
    if document.len() > RECEIPT_BYTES_MAX {
        return Err(OpenError::TooLarge);
    }
    let line = document.strip_suffix(b"\n").unwrap_or(document);
    let Parts { signed, header, payload, signature } = parts(line)?;
    let kid = kid_of(&header)?;
    let key = keys.get(&kid).ok_or_else(|| OpenError::UnknownKey { kid: wire::cut(&kid) })?;
    UnparsedPublicKey::new(&ED25519, key).verify(signed, &signature).map_err(|_| OpenError::BadSignature)?;
    Ok(Opened { receipt: content(&payload)?, kid })
}

/// What a sealed receipt says, without checking whether it is genuine: for whoever shows a receipt that comes
/// from the store of the gateway itself. None where it cannot be read.
#[must_use]
pub fn unchecked(line: &str) -> Option<serde_json::Value> {
    let payload = line.split('.').nth(1)?;
    serde_json::from_slice(&BASE64URL.decode(payload).ok()?).ok()
}

struct Parts<'a> {
    /// Header and payload as they were signed (RFC 7515 §5.1).
    signed: &'a [u8],
    header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

fn parts(line: &[u8]) -> Result<Parts<'_>, OpenError> {
    let shape = "a receipt is three parts in base64url, divided by dots, on one line";
    let mut dots = line.iter().enumerate().filter(|(_, byte)| **byte == b'.').map(|(i, _)| i);
    let (Some(first), Some(second), None) = (dots.next(), dots.next(), dots.next()) else {
        return Err(OpenError::NotAReceipt(shape));
    };
    let part = |from: usize, to: usize| line.get(from..to).and_then(|part| BASE64URL.decode(part).ok());
    let (header, payload, signature, signed) = (
        part(0, first),
        part(first.saturating_add(1), second),
        part(second.saturating_add(1), line.len()),
        line.get(..second),
    );
    match (header, payload, signature, signed) {
        (Some(header), Some(payload), Some(signature), Some(signed))
            if signature.len() == SIGNATURE_BYTES =>
        {
            Ok(Parts { signed, header, payload, signature })
        }
        _ => Err(OpenError::NotAReceipt(shape)),
    }
}

fn kid_of(bytes: &[u8]) -> Result<String, OpenError> {
    let Header { alg, kid, typ } = serde_json::from_slice(bytes)
        .map_err(|_| OpenError::NotAReceipt("its header has not `alg`, `kid`, `typ`"))?;
    for (member, found, must) in [("alg", &alg, ALGORITHM), ("typ", &typ, TYPE)] {
        if found != must {
            return Err(OpenError::Header { member, found: wire::cut(found), must });
        }
    }
    if header(&kid).as_deref() != Some(bytes) {
        return Err(OpenError::NotAReceipt("its header is written in another way than receipts have it"));
    }
    Ok(kid)
}

/// What is signed is ours; it is checked all the same, because a key may sign what another version made.
fn content(payload: &[u8]) -> Result<Receipt, OpenError> {
    let bad = |e: serde_json::Error| OpenError::BadContent(e.to_string());
    let AnyForm { form } = serde_json::from_slice(payload).map_err(bad)?;
    if <super::Form as wire::Text>::read(&form).is_err() {
        return Err(OpenError::UnknownForm { form: wire::cut(&form) });
    }
    let Document { form: _, id, summary, facts } = serde_json::from_slice(payload).map_err(bad)?;
    let receipt =
        Receipt::of(id, facts).map_err(|Inconsistent(complaints)| OpenError::Inconsistent(complaints))?;
    let differing = differing(&summary, &receipt.summary);
    if !differing.is_empty() {
        return Err(OpenError::Inconsistent(differing));
    }
    match receipt.to_json() {
        Ok(written) if written.as_bytes() == payload => Ok(receipt),
        Ok(_) | Err(_) => {
            Err(OpenError::BadContent("it can be written in another way, and is read in one only".to_owned()))
        }
    }
}

/// Where a summary says something else than what follows from the facts.
fn differing(said: &Summary, follows: &Summary) -> Vec<Complaint> {
    let Summary {
        enforced_everywhere,
        nothing_runs,
        nodes,
        exchanges,
        enforced_here_millis,
        enforced_everywhere_millis,
        clock,
    } = said;
    let same = [
        ("enforced_everywhere", *enforced_everywhere == follows.enforced_everywhere),
        ("nothing_runs", *nothing_runs == follows.nothing_runs),
        ("nodes", *nodes == follows.nodes),
        ("exchanges", *exchanges == follows.exchanges),
        ("enforced_here_millis", *enforced_here_millis == follows.enforced_here_millis),
        ("enforced_everywhere_millis", *enforced_everywhere_millis == follows.enforced_everywhere_millis),
        ("clock", *clock == follows.clock),
    ];
    let wrong = same.into_iter().filter(|(_, same)| !same);
    wrong
        .map(|(key, _)| {
            let at = KeyPath::top().key("summary").key(key);
            Complaint::new(at, "does not follow from the facts", "believe neither")
        })
        .collect()
}
