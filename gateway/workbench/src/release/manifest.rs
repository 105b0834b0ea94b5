//! What a bundle says about itself.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use doorward_model::limits::{
    POLICY_FILES_MAX, POLICY_MANIFEST_TEXT_BYTES_MAX, POLICY_RESULTS_MAX, POLICY_SEQUENCE_MAX,
    POLICY_SIGNATURES_MAX,
};
use doorward_policy::{CaseDifference, Difference, PolicyFiles, Revision};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::archive::path_fault;
use super::keys::{KeyId, hex};
use super::{About, BuildError, Refused};

/// The form of bundles that is written and read.
const FORMAT: u32 = 1;

/// What a bundle says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Which form of bundle it is.
    format: u32,
    /// Greater than that of every bundle before it.
    pub sequence: u64,
    /// The revision of its files, as 64 hexadecimal digits.
    pub revision: String,
    /// When it was made, in milliseconds since 1970, by the clock of whoever made it.
    pub created_at: i64,
    /// Who made it.
    pub author: String,
    /// Why, in the author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What it was made with.
    pub tool: String,
    /// What it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// The names of the policies that it has and its base has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// The names of the policies that its base has and it has not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// The names of the policies that say something else than in its base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How many of its cases are others than in its base, where any is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cases: Option<CaseCounts>,
    /// What checks, tests and proofs came to, by whoever made it.
    pub results: Vec<Attestation>,
    /// Every file, in the order of the paths.
    pub files: Vec<Packed>,
}

/// How many cases are others than before. What a case forbade to happen may happen without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseCounts {
    /// They were not there.
    pub added: usize,
    /// They are not there any more.
    pub removed: usize,
    /// They ask or expect something else.
    pub changed: usize,
}

impl CaseCounts {
    /// None where the cases are the same.
    #[must_use]
    pub fn of(cases: &CaseDifference) -> Option<Self> {
        let [added, removed, changed] = cases.counts();
        (!cases.is_empty()).then_some(Self { added, removed, changed })
    }
}

/// What a bundle was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The revision.
    pub revision: String,
    /// The sequence number, where it was a bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// What a check, a test or a proof came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// Which: `check`, `test`, `mutants`, `prove`.
    pub name: String,
    /// What it came to.
    pub outcome: Outcome,
    /// In a line for people.
    pub detail: String,
    /// What must not be put in force without somebody answering for it: red lines that are broken, or not
    /// proved though that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocking: Vec<String>,
}

/// What a check, a test or a proof came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It holds.
    Held,
    /// It does not.
    Failed,
    /// Nobody could tell.
    Unknown,
}

/// A file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packed {
    /// Its path within the folder.
    pub path: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its SHA-256, as 64 hexadecimal digits.
    pub sha256: String,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signature {
    pub(super) keyid: String,
    sig: String,
}

impl Outcome {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

// === impl Manifest ===

impl Manifest {
    pub(super) fn new(files: &PolicyFiles, about: About) -> Result<Self, BuildError> {
        for (what, text) in [("author", Some(&about.author)), ("note", about.note.as_ref())] {
            if let Some(fault) = text.and_then(|text| text_fault(text)) {
                return Err(BuildError::Text(format!("the {what} {fault}")));
            }
        }
        if about.author.trim().is_empty() {
            return Err(BuildError::Text("the author is missing".to_owned()));
        }
        if let Some((path, fault)) = files.iter().find_map(|(path, _)| Some((path, path_fault(path)?))) {
            return Err(BuildError::Path(path.to_owned(), fault));
        }
        let (base, difference) = about.base.unzip();
        let Difference { added, removed, changed, cases } = difference.unwrap_or_default();
        let manifest = Self {
            format: FORMAT,
            sequence: about.sequence,
            revision: files.revision().to_string(),
            created_at: about.created_at.0,
            author: about.author,
            note: about.note,
            tool: about.tool,
            base,
            added,
            removed,
            changed,
            cases: CaseCounts::of(&cases),
            results: about.results,
            files: files.iter().map(|(path, text)| Packed::of(path, text.as_bytes())).collect(),
        };
        manifest.fault().map_or(Ok(manifest), |fault| Err(BuildError::Text(fault)))
    }

    /// The bytes that stand in the bundle and are signed.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        pretty(self)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Refused> {
        let manifest: Self = read(bytes, "its manifest")?;
        if manifest.format != FORMAT {
            let format = manifest.format;
            return Err(Refused::NotABundle(format!("it has form {format}, and {FORMAT} is known here")));
        }
        match manifest.fault() {
            Some(fault) => Err(Refused::NotABundle(fault)),
            None => Ok(manifest),
        }
    }

    /// What of it is out of bounds.
    fn fault(&self) -> Option<String> {
        if self.results.len() > POLICY_RESULTS_MAX {
            return Some(format!("it has more than {POLICY_RESULTS_MAX} results"));
        }
        if self.files.len() > POLICY_FILES_MAX {
            return Some(format!("it has more than {POLICY_FILES_MAX} files"));
        }
        if self.sequence > POLICY_SEQUENCE_MAX {
            return Some(format!("its sequence number is greater than {POLICY_SEQUENCE_MAX}"));
        }
        if self.base.as_ref().is_some_and(|base| Revision::from_hex(&base.revision).is_none()) {
            return Some("what it was made from is no revision".to_owned());
        }
        let of_results = self.results.iter().flat_map(|result| [&result.name, &result.detail]);
        let blocking = self.results.iter().flat_map(|result| &result.blocking);
        let names = self.added.iter().chain(&self.removed).chain(&self.changed);
        let base = self.base.as_ref().map(|base| &base.revision);
        let texts = [&self.author, &self.tool].into_iter().chain(&self.note).chain(base);
        let bad = texts.chain(of_results).chain(blocking).chain(names).find_map(|text| text_fault(text));
        bad.map(|fault| format!("a text in its manifest {fault}"))
    }

    /// Whether these are its files, each of them.
    pub(super) fn accounts_for(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Refused> {
        let said = self.files.iter().map(|file| file.path.as_str());
        if !said.eq(files.keys().map(String::as_str)) {
            return Err(Refused::Altered("its files are not those of the manifest".to_owned()));
        }
        for (said, (path, bytes)) in self.files.iter().zip(files) {
            if *said != Packed::of(path, bytes) {
                return Err(Refused::Altered(format!("`{path}` is not what the manifest says")));
            }
        }
        Ok(())
    }

    /// What must not be put in force without somebody answering for it: by which check, and what.
    pub fn blocking(&self) -> impl Iterator<Item = (&str, &str)> {
        self.results.iter().flat_map(|r| r.blocking.iter().map(|what| (r.name.as_str(), what.as_str())))
    }
}

impl Packed {
    fn of(path: &str, bytes: &[u8]) -> Self {
        Self {
            path: path.to_owned(),
            bytes: bytes.len() as u64,
            sha256: hex(digest(&SHA256, bytes).as_ref()),
        }
    }
}

/// Whether a character turns the direction in which a terminal writes, or is not seen there at all.
const fn turns(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn text_fault(text: &str) -> Option<String> {
    if text.len() > POLICY_MANIFEST_TEXT_BYTES_MAX {
        Some(format!("is longer than {POLICY_MANIFEST_TEXT_BYTES_MAX} bytes"))
    } else if text.chars().any(|c| c.is_control() || turns(c)) {
        Some("has control characters".to_owned())
    } else {
        None
    }
}

// === impl Signature ===

impl Signature {
    pub(super) fn new(id: &KeyId, signature: &[u8]) -> Self {
        Self { keyid: id.as_str().to_owned(), sig: BASE64_STANDARD.encode(signature) }
    }

    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(&self.sig).ok()
    }
}

/// The list of signatures as it stands in a bundle.
pub(super) fn signatures_bytes(signatures: &[Signature]) -> Vec<u8> {
    pretty(signatures)
}

/// Reads the list of signatures: in the order of the keys, one of each.
pub(super) fn signatures(bytes: &[u8]) -> Result<Vec<Signature>, Refused> {
    let signatures: Vec<Signature> = read(bytes, "its list of signatures")?;
    let wrong = |why: &str| Refused::NotABundle(format!("its list of signatures {why}"));
    if signatures.len() > POLICY_SIGNATURES_MAX {
        return Err(wrong("is too long"));
    }
    if !signatures.is_sorted_by(|a, b| a.keyid < b.keyid) {
        return Err(wrong("is not in order"));
    }
    let is_id = |id: &str| id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !signatures.iter().all(|s| is_id(&s.keyid) && s.bytes().is_some()) {
        return Err(wrong("names a key in another way"));
    }
    Ok(signatures)
}

fn pretty<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    // A struct of texts and numbers can always be written; without it nothing would open.
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Reads JSON that is written as we write it, and in no other way.
fn read<T: DeserializeOwned + Serialize>(bytes: &[u8], what: &str) -> Result<T, Refused> {
    let value: T = serde_json::from_slice(bytes)
        // Not in the words of serde: they quote what stands there, and nobody has vouched for that yet.
        .map_err(|e| {
            let (line, column) = (e.line(), e.column());
            Refused::NotABundle(format!("{what} cannot be read: line {line}, column {column}"))
        })?;
    if pretty(&value) != bytes {
        return Err(Refused::Altered(format!("{what} is not written as a bundle's is")));
    }
    Ok(value)
}
