//! The receipt of a revocation: a signed document that says who was cut off, where, and since when.
//!
//! Whoever ends somebody's access must be able to show it later, to somebody who has neither the gateway
//! nor a reason to believe it. So the answer of the kill switch is written down, made to agree with itself,
//! and signed: JSON Web Signature (RFC 7515) with Ed25519 (RFC 8037). `docs/reference/receipt.md` tells how
//! to check one with other tools than ours.
//!
//! ```text
//!  what was done ── Facts ─► Receipt::of ─► Signer::seal ─► header.payload.signature ─► file, archive
//!                            agree with      receipt.key                                      │
//!                            each other?     stays here                                       ▼
//!                               ▲                                        PublicKeys (receipt.jwks)
//!                               └────────────────── Receipt ◄────────────────────── open(file, keys)
//! ```
//!
//! The cast: [`Facts`] is what the document says, as it is written; [`Summary`] what follows from it. A
//! [`Receipt`] is facts that agree with each other. The [`Signer`] holds the key. [`open`] reads a document
//! again, with nothing but the [`PublicKeys`].
//!
//! What holds:
//! * a receipt that contradicts itself is not made, and not believed;
//! * the bytes that are signed are the only ones that say the same: no second reading, no unknown field;
//! * a key that was replaced still opens what it sealed;
//! * nothing here takes access away or waits: the receipt is made after the revocation is in force.
//!
//! What it never does: look at a clock, ask a node, or hold a person's secret.

mod check;
mod keys;
mod seal;
mod summary;
mod told;
pub(crate) mod wire;

pub mod facts;

use doorward_model::Complaint;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use wire::words;

pub use facts::Facts;
pub use keys::{KEY_FILE, KeyError, PUBLIC_KEYS_FILE, PublicKeys, Signer};
pub use seal::{OpenError, Opened, SealError, open, unchecked};
pub use summary::{ClockWord, NodeCounts, Summary};
pub use told::{Told, ToldEnding};

/// The largest document that is sealed or opened, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 1024 * 1024;
/// The longest list in a receipt.
pub const RECEIPT_LIST_ENTRIES_MAX: usize = 10_000;
/// The longest text in a receipt, in bytes.
pub const RECEIPT_TEXT_BYTES_MAX: usize = 1024;
/// The most keys of a set that are read.
pub const RECEIPT_KEYS_MAX: usize = 1000;
/// Stands where a text was cut.
const CUT: &str = "…";

/// A receipt that agrees with itself. It can be made of consistent facts only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    id: Uuid,
    facts: Facts,
    summary: Summary,
}

/// The document as it is written. The form comes first, so that it is read before what depends on it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    form: Form,
    #[serde(with = "wire::text")]
    id: Uuid,
    summary: Summary,
    facts: Facts,
}

words! {
    /// Which version of the document it is.
    pub(crate) enum Form {
        /// The first.
        Receipt1 = "doorward-receipt/1",
    }
}

/// The facts contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a receipt that contradicts itself: {}", .0.iter().map(told).collect::<Vec<_>>().join("; "))]
pub struct Inconsistent(pub Vec<Complaint>);

/// As much of a text as a receipt takes, for what others chose: a long name must not cost the receipt.
#[must_use]
pub fn fit(text: &str) -> String {
    if text.len() <= RECEIPT_TEXT_BYTES_MAX {
        return text.to_owned();
    }
    let mut end = RECEIPT_TEXT_BYTES_MAX.saturating_sub(CUT.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let mut short = text.get(..end).unwrap_or_default().to_owned();
    short.push_str(CUT);
    short
}

fn told(complaint: &Complaint) -> String {
    match &complaint.help {
        Some(help) => format!("`{}`: {} ({help})", complaint.at, complaint.message),
        None => format!("`{}`: {}", complaint.at, complaint.message),
    }
}

// === impl Receipt ===

impl Receipt {
    /// Takes facts that agree with each other. `id` names the receipt.
    ///
    /// # Errors
    /// Every way in which they do not.
    pub fn of(id: Uuid, facts: Facts) -> Result<Self, Inconsistent> {
        let complaints = check::complaints(&facts);
        if complaints.is_empty() {
            Ok(Self { id, summary: Summary::of(&facts), facts })
        } else {
            Err(Inconsistent(complaints))
        }
    }

    /// What names it.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// What it tells.
    #[must_use]
    pub const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What follows from that.
    #[must_use]
    pub const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The text that is signed: JSON without white space, every key in the order of the types.
    ///
    /// # Errors
    /// None that is known: every part can be written.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let (facts, summary) = (self.facts.clone(), self.summary.clone());
        serde_json::to_string(&Document { form: Form::Receipt1, id: self.id, summary, facts })
    }
}
