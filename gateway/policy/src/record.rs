//! What a policy saw of a request, as a text to keep: one compact object of JSON (RFC 8259).
//!
//! A decision can be made once more, by the same or by other policies, only with everything that was seen
//! when it was made. [`write`] says all of that and nothing else: no name and no mail address, for policies
//! see none; no token, no query, no header but the `User-Agent`. What says nothing is left out. Times are
//! told as points in time and not as ages, so that every age comes out as it was, to the second.
//!
//! ```json
//! {"v":1,"who":{"user":{"id":"corp:alice","roles":["hr"],"stage":"active","employment":"employee","home":"DE"}},
//!  "does":"GET","route":{"id":"payroll/all","tier":"restricted"},"session":{"mfa":true,"at":1795208400000},
//!  "place":{"ip":"192.0.2.7","zones":["corp"],"country":"DE"},"risk":{"score":12},
//!  "now":1795212000123,"local":79200,"weekday":"fri","host":"payroll.example","path":"/runs"}
//! ```
//!
//! `v` is the version. A record of another version, or with a word that this one does not have, is not read
//! at all: half of what was seen would give another decision.

mod read;
mod reader;
mod write;

use std::fmt;

use doorward_model::limits::AUDIT_SITUATION_BYTES_MAX;

use self::read::Parts;
pub use self::reader::{Known, Reader, Recorded};
use crate::question::Question;
use crate::situation::Situation;

/// The version that is written, and the only one that is read.
pub const VERSION: u64 = 1;

/// What a policy sees of a question, as one line. What is longer than [`AUDIT_SITUATION_BYTES_MAX`] is not
/// kept: instead of it the line says how many bytes it would have. Nothing of it is cut, for a group that
/// is missing could be one that a policy forbids.
#[must_use]
pub fn write(q: &Question<'_>) -> String {
    let text = write::text(q);
    if text.len() > AUDIT_SITUATION_BYTES_MAX {
        return format!(r#"{{"v":{VERSION},"too_large":{}}}"#, text.len());
    }
    text
}

/// Reads what [`write`] wrote. A name, a mail address and a location are not in it, and times of day are
/// whole seconds: all that no policy sees.
///
/// # Errors
/// It is another version, was too large to be kept, or is no such record.
pub fn read(text: &str) -> Result<Situation, Unreadable> {
    Parts::of(text)?.situation()
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is of another version.
    Version(u64),
    /// It was not kept: it has so many bytes.
    TooLarge(u64),
    /// It is no record of a request.
    Malformed(String),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "the record has version {version}, and only version {VERSION} can be read")
            }
            Self::TooLarge(bytes) => {
                write!(
                    f,
                    "what the policies saw has {bytes} bytes, of which no more than \
                     {AUDIT_SITUATION_BYTES_MAX} are kept"
                )
            }
            Self::Malformed(why) => write!(f, "no record of a request: {why}"),
        }
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests;
