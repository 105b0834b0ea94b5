//! Who may send us messages about people, and whose people: transmitters of security events,
//! providers that log out, callers of global token revocation.
//!
//! [`SenderSection`] is the table as written, [`Sender`] the checked form, which only
//! [`check_senders`] builds. The keys that say how a message must be signed are those of
//! `[[issuer]]`, checked by the same code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::directory::StreamName;
use doorward_model::{Complaint, IssuerId, KeyPath};
use serde::Deserialize;

use super::trust::{algorithms, key_source};
use super::{Issuer, IssuerSection, issuer_url};
use crate::algorithm::SigningAlgorithm;
use crate::keys::KeySource;
use crate::message::MessageKind;
use crate::words::shown;

/// For how many minutes a posture of a device counts at most.
const POSTURE_MINUTES_MAX: u64 = 60;

/// One sender as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SenderSection {
    /// The short name; it stands in the path that the sender calls, in logs, and in the holds that
    /// it sets.
    pub id: Option<String>,
    /// The claim `iss` of its messages, exactly.
    pub issuer: Option<String>,
    /// Our names; one of them must be in `aud`.
    pub audiences: Option<Vec<String>>,
    /// The signatures that are accepted, of one key family.
    pub algorithms: Option<Vec<String>>,
    /// Where the keys are, when discovery is not wanted.
    pub jwks_uri: Option<String>,
    /// A file with the keys, when nothing is to be fetched.
    pub jwks_file: Option<PathBuf>,
    /// The `id` of each `[[issuer]]` whose people it may speak of. Left out it is the one with the
    /// same `issuer`.
    pub people: Option<Vec<String>>,
    /// For global token revocation: the claim `sub` of its calls, exactly.
    pub client: Option<String>,
    /// For postures of devices: for how many minutes one counts at most.
    pub age_minutes_max: Option<u64>,
}

/// Someone whose messages we take. Only [`check_senders`] builds one.
#[derive(Debug, Clone)]
pub struct Sender {
    pub(crate) id: StreamName,
    /// The same name, as the one whose keys are kept.
    pub(crate) key_owner: IssuerId,
    pub(crate) kind: MessageKind,
    pub(crate) url: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<SigningAlgorithm>,
    pub(crate) keys: KeySource,
    pub(crate) people: Vec<Spoken>,
    pub(crate) client: Option<String>,
    /// For how long a posture counts at most.
    pub(crate) posture_max: Duration,
}

/// An issuer whose people a sender may speak of.
#[derive(Debug, Clone)]
pub(crate) struct Spoken {
    id: IssuerId,
    url: String,
}

// === impl Sender ===

impl Sender {
    /// The short name.
    #[must_use]
    pub const fn id(&self) -> &StreamName {
        &self.id
    }

    /// Which messages it sends.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The claim `iss` of its messages, exactly.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether a message with this `aud` is for us.
    #[must_use]
    pub fn is_for(&self, audience: &str) -> bool {
        self.audiences.iter().any(|name| name == audience)
    }

    /// The issuer that an `iss` within a message means, when this sender may speak of its people;
    /// none otherwise, whoever else knows that issuer. A slash at the end counts only where two
    /// issuers differ by it: Google's events have one that its ID tokens do not have.
    #[must_use]
    pub fn speaks_of(&self, issuer: &str) -> Option<&IssuerId> {
        speaks_of(&self.people, issuer)
    }

    /// The issuer whose people it speaks of, when that is only one.
    #[must_use]
    pub fn sole_people(&self) -> Option<&IssuerId> {
        match self.people.as_slice() {
            [only] => Some(&only.id),
            _ => None,
        }
    }

    /// The issuers whose people it speaks of.
    pub fn people(&self) -> impl Iterator<Item = &IssuerId> {
        self.people.iter().map(|s| &s.id)
    }
}

fn speaks_of<'a>(people: &'a [Spoken], issuer: &str) -> Option<&'a IssuerId> {
    let bare = |url: &str| url.strip_suffix('/').unwrap_or(url).to_owned();
    let wanted = bare(issuer);
    let exact = people.iter().find(|s| s.url == issuer);
    exact.or_else(|| people.iter().find(|s| bare(&s.url) == wanted)).map(|s| &s.id)
}

/// Checks all senders of one kind and complains of everything at once. `issuers` are those whose
/// people may be spoken of. A table with a mistake is left out of the result, which is of use only
/// when nobody complained.
pub fn check_senders(
    sections: &[SenderSection],
    kind: MessageKind,
    issuers: &[Issuer],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Sender> {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut senders = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let at = at.index(i);
        let mut own = Vec::new();
        if let Some(id) = section.id.as_deref()
            && let Some(first) = ids.insert(id, i)
        {
            own.push(Complaint::new(
                at.key("id"),
                format!("`{}` is already the id of the sender before it (number {first})", shown(id, 100)),
                "a call must lead to one sender only: give each its own",
            ));
        }
        if let Some(sender) = check_one(section, kind, issuers, &at, base_dir, &mut own)
            && own.is_empty()
        {
            senders.push(sender);
        }
        complaints.append(&mut own);
    }
    senders
}

fn check_one(
    section: &SenderSection,
    kind: MessageKind,
    issuers: &[Issuer],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Sender> {
    let trust = IssuerSection {
        issuer: section.issuer.clone(),
        algorithms: section.algorithms.clone(),
        jwks_uri: section.jwks_uri.clone(),
        jwks_file: section.jwks_file.clone(),
        ..IssuerSection::default()
    };
    let id = id(section, at, complaints);
    let url = issuer_url(&trust, at, complaints);
    let audiences = audiences(section, kind, at, complaints);
    let algorithms = algorithms(&trust, at, complaints);
    let keys = key_source(&trust, url, &algorithms, kind.discovery(), at, base_dir, complaints);
    let people = match kind {
        MessageKind::SecurityEvent | MessageKind::Logout | MessageKind::RevocationCall => {
            url.and_then(|url| people(section, url, issuers, at, complaints))
        }
        MessageKind::DevicePosture => no_people(section, at, complaints),
    };
    let posture_max = posture_max(section, kind, at, complaints);
    let client = client(section, kind, at, complaints);
    let (id, key_owner) = id?;
    Some(Sender {
        id,
        key_owner,
        kind,
        url: url?.to_owned(),
        audiences,
        algorithms,
        keys: keys?,
        people: people?,
        client,
        posture_max,
    })
}

/// A source of posture speaks of devices, and of nobody.
fn no_people(section: &SenderSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<Vec<Spoken>> {
    if section.people.is_some() {
        let message = "a source of posture speaks of no people";
        complaints.push(Complaint::new(at.key("people"), message, "remove `people`"));
    }
    Some(Vec::new())
}

fn posture_max(
    section: &SenderSection,
    kind: MessageKind,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Duration {
    let most = Duration::from_mins(POSTURE_MINUTES_MAX);
    let Some(minutes) = section.age_minutes_max else { return most };
    let at = at.key("age_minutes_max");
    match kind {
        MessageKind::DevicePosture if (1..=POSTURE_MINUTES_MAX).contains(&minutes) => {
            return Duration::from_mins(minutes);
        }
        MessageKind::DevicePosture => {
            let message = format!("`{minutes}` is out of bounds");
            complaints.push(Complaint::new(at, message, format!("use 1 to {POSTURE_MINUTES_MAX}")));
        }
        MessageKind::SecurityEvent | MessageKind::Logout | MessageKind::RevocationCall => {
            let message = "only a posture of a device counts for a while";
            complaints.push(Complaint::new(at, message, "remove `age_minutes_max`"));
        }
    }
    most
}

fn id(
    section: &SenderSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<(StreamName, IssuerId)> {
    let help =
        "add `id = \"okta\"`: 1 to 64 of a-z, 0-9 and `-`; it is part of the address that the sender calls";
    let Some(id) = section.id.as_deref() else {
        complaints.push(Complaint::new(at.clone(), "the sender has no `id`", help));
        return None;
    };
    match (StreamName::new(id), IssuerId::new(id)) {
        (Ok(id), Ok(key_owner)) => Some((id, key_owner)),
        (Err(_), _) | (_, Err(_)) => {
            let message = format!("`{}` is not a short name", shown(id, 100));
            complaints.push(Complaint::new(at.key("id"), message, help));
            None
        }
    }
}

fn audiences(
    section: &SenderSection,
    kind: MessageKind,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Vec<String> {
    let help = match kind {
        MessageKind::SecurityEvent => {
            "add `audiences = […]`: the `aud` of the stream, as its transmitter tells it"
        }
        MessageKind::Logout => "add `audiences = […]`: the client id that the provider knows this gateway by",
        MessageKind::RevocationCall | MessageKind::DevicePosture => {
            "add `audiences = […]`: the address that the sender calls, exactly"
        }
    };
    let names = section.audiences.as_deref().unwrap_or_default();
    if names.is_empty() {
        let at = if section.audiences.is_none() { at.clone() } else { at.key("audiences") };
        complaints.push(Complaint::new(at, "the sender has no `audiences`", help));
    }
    for (i, _) in names.iter().enumerate().filter(|(_, name)| name.trim().is_empty()) {
        complaints.push(Complaint::new(at.key("audiences").index(i), "an audience is empty", help));
    }
    names.to_vec()
}

/// Whose people the sender may speak of. Nobody's is a mistake: such a sender could do nothing.
fn people(
    section: &SenderSection,
    url: &str,
    issuers: &[Issuer],
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Vec<Spoken>> {
    let all: Vec<Spoken> = issuers.iter().map(|i| Spoken { id: i.id.clone(), url: i.url.clone() }).collect();
    let names = || {
        let names: Vec<String> = issuers.iter().map(|i| format!("`{}`", i.id)).collect();
        format!("name one or more of the issuers that are configured: {}", names.join(", "))
    };
    let Some(written) = section.people.as_deref() else {
        let Some(same) = speaks_of(&all, url) else {
            complaints.push(Complaint::new(
                at.clone(),
                format!(
                    "no issuer is `{}`, and `people` does not say whose people are meant",
                    shown(url, 100)
                ),
                names(),
            ));
            return None;
        };
        return Some(all.iter().filter(|s| s.id == *same).cloned().collect());
    };
    if written.is_empty() {
        complaints.push(Complaint::new(at.key("people"), "`people` is empty", names()));
        return None;
    }
    let mut spoken = Vec::new();
    for (i, name) in written.iter().enumerate() {
        match all.iter().find(|s| s.id.as_str() == name) {
            Some(found) => spoken.push(found.clone()),
            None => complaints.push(Complaint::new(
                at.key("people").index(i),
                format!("`{}` is not the `id` of an issuer", shown(name, 100)),
                names(),
            )),
        }
    }
    Some(spoken)
}

fn client(
    section: &SenderSection,
    kind: MessageKind,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<String> {
    let client = section.client.as_deref()?;
    match kind {
        MessageKind::RevocationCall if !client.is_empty() => return Some(client.to_owned()),
        MessageKind::RevocationCall => complaints.push(Complaint::new(
            at.key("client"),
            "`client` is empty",
            "write the claim `sub` of its calls, or leave the key out",
        )),
        MessageKind::SecurityEvent | MessageKind::Logout | MessageKind::DevicePosture => {
            complaints.push(Complaint::new(
                at.key("client"),
                "`client` is for global token revocation only",
                "take it out: messages of this kind name no client",
            ))
        }
    }
    None
}

#[cfg(test)]
mod tests;
