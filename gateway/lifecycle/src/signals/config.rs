//! `[[stream]]` and `[[webhook]]`: whose signals are taken, and what they do.
//!
//! [`StreamSection`] and [`WebhookSection`] are the tables as written, [`Stream`] and [`Webhook`] the
//! checked forms. How the messages of a stream must be signed is checked by the crate `identity`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_identity::config::check_senders;
use doorward_identity::message::MessageKind;
use doorward_identity::{Issuer, Sender, SenderSection, shown};
use doorward_model::directory::StreamName;
use doorward_model::{Complaint, IssuerId, KeyPath};
use serde::Deserialize;

use super::contact::{self, Contact};
use super::effect::Effects;
use super::secret::{self, Secret, SecretError};
use super::subject::Member;

/// The shortest token of a push endpoint, in bytes.
const PUSH_TOKEN_BYTES_MIN: usize = 32;
/// The most secrets at once: the one in use, and others while they are changed.
const SECRETS_MAX: usize = 4;
/// How long a webhook is good for, in seconds, unless the configuration says otherwise.
const WEBHOOK_SECONDS: u64 = 300;
const WEBHOOK_SECONDS_MIN: u64 = 5;
const WEBHOOK_SECONDS_MAX: u64 = 600;
/// The bounds of a webhook's key, in bytes (Standard Webhooks, "Signature scheme").
const WEBHOOK_KEY_BYTES_MIN: usize = 24;
const WEBHOOK_KEY_BYTES_MAX: usize = 64;

/// One `[[stream]]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StreamSection {
    /// See [`SenderSection::id`].
    pub id: Option<String>,
    /// See [`SenderSection::issuer`].
    pub issuer: Option<String>,
    /// See [`SenderSection::audiences`].
    pub audiences: Option<Vec<String>>,
    /// See [`SenderSection::algorithms`].
    pub algorithms: Option<Vec<String>>,
    /// See [`SenderSection::jwks_uri`].
    pub jwks_uri: Option<String>,
    /// See [`SenderSection::jwks_file`].
    pub jwks_file: Option<PathBuf>,
    /// See [`SenderSection::people`].
    pub people: Option<Vec<String>>,
    /// What the transmitter calls the stream; its verifications must name it then.
    pub stream_id: Option<String>,
    /// Files, each with a token that the transmitter sends as `Authorization: Bearer`.
    pub push_token_files: Option<Vec<PathBuf>>,
    /// The transmitter's `critical_subject_members`.
    pub critical_members: Option<Vec<String>>,
    /// Where its events are fetched (RFC 8936). Left out, they are pushed.
    pub poll_url: Option<String>,
    /// A file with the token that the transmitter knows this gateway by.
    pub token_file: Option<PathBuf>,
    /// Where else the transmitter's endpoints are, and the token may go.
    pub api_at: Option<Vec<String>>,
    /// How often a verification is asked for, in minutes.
    pub verify_minutes: Option<u64>,
    /// For how long it may say nothing, in hours.
    pub silent_hours: Option<u64>,
    /// What signals do, where that is not the usual.
    #[serde(default)]
    pub effects: BTreeMap<String, String>,
}

/// A stream of security events. Only [`check_streams`] builds one.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(super) sender: Sender,
    pub(super) stream_id: Option<String>,
    pub(super) push_tokens: Vec<Secret>,
    pub(super) critical: Vec<String>,
    pub(super) effects: Effects,
    pub(super) contact: Contact,
}

/// One `[[webhook]]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct WebhookSection {
    /// The short name; it stands in the path that the caller calls, and in logs.
    pub id: Option<String>,
    /// Files, each with a key: `whsec_` and base64.
    pub secret_files: Option<Vec<PathBuf>>,
    /// How old, and how far in the future, a call may be.
    pub window_seconds: Option<u64>,
    /// The `id` of each `[[issuer]]` whose people it may name.
    pub people: Option<Vec<String>>,
    /// Whether it may also hold people, so that they cannot sign in anew.
    pub may_hold: Option<bool>,
}

/// A webhook of a workflow tool. Only [`check_webhooks`] builds one.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub(super) id: StreamName,
    pub(super) keys: Vec<Secret>,
    pub(super) window: Duration,
    pub(super) people: Vec<(String, IssuerId)>,
    pub(super) may_hold: bool,
}

// === impl Stream ===

impl Stream {
    /// Whose signals they are.
    #[must_use]
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// What the transmitter calls the stream.
    #[must_use]
    pub fn stream_id(&self) -> Option<&str> {
        self.stream_id.as_deref()
    }

    /// What its signals do.
    #[must_use]
    pub const fn effects(&self) -> &Effects {
        &self.effects
    }

    /// How the gateway speaks to its transmitter.
    #[must_use]
    pub const fn contact(&self) -> &Contact {
        &self.contact
    }
}

// === impl Webhook ===

impl Webhook {
    /// The short name.
    #[must_use]
    pub const fn id(&self) -> &StreamName {
        &self.id
    }

    /// The issuer that an `iss` means, by its address or by its short name, when this webhook may
    /// name its people.
    #[must_use]
    pub fn speaks_of(&self, issuer: &str) -> Option<&IssuerId> {
        self.people.iter().find(|(url, id)| url == issuer || id.as_str() == issuer).map(|(_, id)| id)
    }

    /// The issuer whose people it may name, when that is only one.
    #[must_use]
    pub fn sole_people(&self) -> Option<&IssuerId> {
        if let [(_, only)] = self.people.as_slice() { Some(only) } else { None }
    }

    /// The issuers whose people it may name.
    pub fn people(&self) -> impl Iterator<Item = &IssuerId> {
        self.people.iter().map(|(_, id)| id)
    }
}

/// Checks all streams and complains of everything at once. With a complaint there are no streams.
pub fn check_streams(
    sections: &[StreamSection],
    issuers: &[Issuer],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Stream> {
    let senders: Vec<SenderSection> = sections.iter().map(sender).collect();
    let before = complaints.len();
    let checked = check_senders(&senders, MessageKind::SecurityEvent, issuers, at, base_dir, complaints);
    let mut checked = checked.into_iter();
    let mut streams = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let at = at.index(i);
        let push_tokens = push_tokens(section, &at, base_dir, complaints);
        let critical = critical(section, &at, complaints);
        let effects = Effects::check(&section.effects, &at.key("effects"), complaints);
        let contact = contact::check(section, &at, base_dir, complaints);
        let stream_id = section.stream_id.clone();
        if let Some(sender) = checked.next() {
            streams.push(Stream { sender, stream_id, push_tokens, critical, effects, contact });
        }
    }
    // Where one sender has a mistake, the others do not stand beside their own tables.
    if complaints.len() > before {
        streams.clear();
    }
    streams
}

fn sender(section: &StreamSection) -> SenderSection {
    SenderSection {
        id: section.id.clone(),
        issuer: section.issuer.clone(),
        audiences: section.audiences.clone(),
        algorithms: section.algorithms.clone(),
        jwks_uri: section.jwks_uri.clone(),
        jwks_file: section.jwks_file.clone(),
        people: section.people.clone(),
        client: None,
        age_minutes_max: None,
    }
}

/// No token at all is allowed: the messages are signed. With one, strangers cannot even ask for keys.
fn push_tokens(
    section: &StreamSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Secret> {
    let at = at.key("push_token_files");
    let files = section.push_token_files.as_deref().unwrap_or_default();
    read_secrets(files, &at, base_dir, complaints, |file, line| {
        if line.len() < PUSH_TOKEN_BYTES_MIN || line.contains(' ') {
            let help = "make one: `(umask 077; head -c 32 /dev/urandom | base64 -w0 > FILE)`";
            let file = file.display();
            let message =
                format!("`{file}` does not hold one word of at least {PUSH_TOKEN_BYTES_MIN} characters");
            return Err((message, help.to_owned()));
        }
        Ok(Secret::new(line))
    })
}

fn read_secrets(
    files: &[PathBuf],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
    read: impl Fn(&Path, &str) -> Result<Secret, (String, String)>,
) -> Vec<Secret> {
    if files.len() > SECRETS_MAX {
        complaints.push(Complaint::new(
            at.clone(),
            format!("{} files are more than {SECRETS_MAX}", files.len()),
            "keep the one in use, and the next one while the sender changes over",
        ));
        return Vec::new();
    }
    let mut secrets = Vec::new();
    for (i, file) in files.iter().enumerate() {
        let file = base_dir.join(file);
        let told = |e: SecretError| (e.to_string(), e.help());
        match secret::line(&file).map_err(told).and_then(|line| read(&file, &line)) {
            Ok(secret) => secrets.push(secret),
            Err((message, help)) => complaints.push(Complaint::new(at.index(i), message, help)),
        }
    }
    secrets
}

/// Names that we do not know may stand there: a message that has such a member is discarded.
fn critical(section: &StreamSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Vec<String> {
    let names = section.critical_members.clone().unwrap_or_default();
    for (i, _) in names.iter().enumerate().filter(|(_, name)| name.trim().is_empty()) {
        let known: Vec<&str> = Member::ALL.iter().map(|m| m.as_str()).collect();
        complaints.push(Complaint::new(
            at.key("critical_members").index(i),
            "a member of subjects has no empty name",
            format!("write what the transmitter lists, such as {}", known.join(", ")),
        ));
    }
    names
}

/// Checks all webhooks and complains of everything at once. A table with a mistake is left out of the
/// result, which is of use only when nobody complained.
pub fn check_webhooks(
    sections: &[WebhookSection],
    issuers: &[Issuer],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Webhook> {
    let mut webhooks: Vec<Webhook> = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let at = at.index(i);
        let before = complaints.len();
        let id = webhook_id(section, &webhooks, &at, complaints);
        let keys = webhook_keys(section, &at, base_dir, complaints);
        let window = window(section, &at, complaints);
        let people = webhook_people(section, issuers, &at, complaints);
        let may_hold = section.may_hold.unwrap_or(false);
        if let Some(id) = id
            && complaints.len() == before
        {
            webhooks.push(Webhook { id, keys, window, people, may_hold });
        }
    }
    webhooks
}

fn webhook_id(
    section: &WebhookSection,
    before: &[Webhook],
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<StreamName> {
    let help = "add `id = \"soar\"`: 1 to 64 of a-z, 0-9 and `-`, and another one for each webhook";
    let Some(written) = section.id.as_deref() else {
        complaints.push(Complaint::new(at.clone(), "the webhook has no `id`", help));
        return None;
    };
    match StreamName::new(written) {
        Ok(id) if before.iter().all(|w| w.id != id) => Some(id),
        Ok(id) => {
            complaints.push(Complaint::new(at.key("id"), format!("`{id}` is already a webhook"), help));
            None
        }
        Err(_) => {
            let message = format!("`{}` is not a short name", shown(written, 100));
            complaints.push(Complaint::new(at.key("id"), message, help));
            None
        }
    }
}

fn webhook_keys(
    section: &WebhookSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Secret> {
    let help =
        "make one: `(umask 077; printf 'whsec_%s' \"$(head -c 32 /dev/urandom | base64 -w0)\" > FILE)`";
    let files = section.secret_files.as_deref().unwrap_or_default();
    if files.is_empty() {
        let message = "the webhook has no `secret_files`, so nobody could sign for it";
        complaints.push(Complaint::new(at.clone(), message, help));
    }
    let at = at.key("secret_files");
    read_secrets(files, &at, base_dir, complaints, |file, line| {
        let wrong = |why: &str| (format!("`{}` {why}", file.display()), help.to_owned());
        let key = line.strip_prefix("whsec_").ok_or_else(|| wrong("does not begin with `whsec_`"))?;
        let key = STANDARD.decode(key).map_err(|_| wrong("does not hold base64 after `whsec_`"))?;
        if !(WEBHOOK_KEY_BYTES_MIN..=WEBHOOK_KEY_BYTES_MAX).contains(&key.len()) {
            return Err(wrong("does not hold a key of 24 to 64 bytes"));
        }
        Ok(Secret::new(key))
    })
}

fn window(section: &WebhookSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Duration {
    let seconds = section.window_seconds.unwrap_or(WEBHOOK_SECONDS);
    if !(WEBHOOK_SECONDS_MIN..=WEBHOOK_SECONDS_MAX).contains(&seconds) {
        complaints.push(Complaint::new(
            at.key("window_seconds"),
            format!("{seconds} is not between {WEBHOOK_SECONDS_MIN} and {WEBHOOK_SECONDS_MAX} seconds"),
            "left out it is 300, which is what such tools expect",
        ));
    }
    Duration::from_secs(seconds)
}

/// Left out, it may name the people of all issuers.
fn webhook_people(
    section: &WebhookSection,
    issuers: &[Issuer],
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Vec<(String, IssuerId)> {
    let all = || issuers.iter().map(|i| (i.url().to_owned(), i.id().clone()));
    let Some(written) = section.people.as_deref() else { return all().collect() };
    let mut people = Vec::new();
    for (i, name) in written.iter().enumerate() {
        match all().find(|(_, id)| id.as_str() == name) {
            Some(found) => people.push(found),
            None => {
                let names: Vec<String> = all().map(|(_, id)| format!("`{id}`")).collect();
                complaints.push(Complaint::new(
                    at.key("people").index(i),
                    format!("`{}` is not the `id` of an issuer", shown(name, 100)),
                    format!("name one or more of {}, or leave the key out for all of them", names.join(", ")),
                ));
            }
        }
    }
    people
}
