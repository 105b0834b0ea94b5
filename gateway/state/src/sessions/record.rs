//! What is kept of one session, and the bounds of it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use doorward_model::limits::{
    SESSION_AGENT_CHARS_MAX, SESSION_APPS_MAX, SESSION_ID_BYTES_MAX, SESSION_MEMORY_BYTES_MAX,
    SESSION_ONCE_BYTES_MAX, SESSION_REFRESH_BYTES_MAX,
};
use doorward_model::{AppId, DeviceId, SessionId, UnixMillis, UserId};

use super::SessionsError;

/// The last instant that any part of a store can count: the largest whole number of a script.
const LAST_MILLIS: i64 = (1 << 53) - 1;

/// What is kept of one session of a browser, beside the cookie that holds everything a request needs.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// The name that the gateway gave it, such as `dws-…`: 1 to 64 visible ASCII characters.
    pub id: Arc<str>,
    /// Who signed in, by the link of the sign-in.
    pub person: UserId,
    /// The session at the provider (`sid`, OpenID Connect Front-Channel Logout §3), when it told one.
    pub issuer_session: Option<SessionId>,
    /// When the person signed in here.
    pub signed_in_at: UnixMillis,
    /// When it was last used, to about a minute. [`replace`](super::Sessions::replace) never lowers it.
    pub seen_at: UnixMillis,
    /// When the provider last said that it still stands.
    pub validated_at: UnixMillis,
    /// When it ends, whatever happens. The record goes away then.
    pub expires_at: UnixMillis,
    /// From where the person signed in.
    pub client: IpAddr,
    /// The browser, by its own word (`User-Agent`). Cut to 120 characters, without control characters.
    pub agent: String,
    /// The device, when it proved which it is.
    pub device: Option<DeviceId>,
    /// The apps that were used, at most 64: the first ones. [`replace`](super::Sessions::replace) drops none.
    pub apps: BTreeSet<AppId>,
    /// The refresh token (RFC 6749 §1.5) as the caller sealed it: at most 8 KiB. The store cannot open it.
    pub refresh: Option<Vec<u8>>,
    /// Counts the calls of [`replace`](super::Sessions::replace) that succeeded, from 1. Being seen does not count.
    pub version: u64,
}

/// That a session was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Whose session.
    pub person: UserId,
    /// Which.
    pub id: Arc<str>,
    /// When. An instant before the one that is known changes nothing.
    pub seen_at: UnixMillis,
    /// At which app, if at one.
    pub app: Option<AppId>,
}

/// What a value that can be taken once is good for. A closed set: values of two kinds never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnceKind {
    /// The code that hands a sign-in over to the host of an app.
    Enter,
    /// An attempt to sign in that was used, so that nobody comes back from the provider with it twice.
    Attempt,
}

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Rises with every holder of any lock, by the store's word: of two holders the later has the higher number.
    pub fencing: u64,
}

// === impl SessionRecord ===

impl fmt::Debug for SessionRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refresh = self.refresh.as_ref().map(|sealed| format!("{} bytes", sealed.len()));
        f.debug_struct("SessionRecord")
            .field("id", &self.id)
            .field("person", &self.person)
            .field("issuer_session", &self.issuer_session)
            .field("signed_in_at", &self.signed_in_at)
            .field("seen_at", &self.seen_at)
            .field("validated_at", &self.validated_at)
            .field("expires_at", &self.expires_at)
            .field("client", &self.client)
            .field("agent", &self.agent)
            .field("device", &self.device)
            .field("apps", &self.apps)
            .field("refresh", &refresh)
            .field("version", &self.version)
            .finish()
    }
}

impl SessionRecord {
    /// As it can be kept: what a stranger made too long is cut, what we made wrong is refused.
    pub(super) fn fit(mut self) -> Result<Self, SessionsError> {
        fits_id("id", &self.id)?;
        for (field, at) in [
            ("signed_in_at", self.signed_in_at),
            ("seen_at", self.seen_at),
            ("validated_at", self.validated_at),
            ("expires_at", self.expires_at),
        ] {
            fits_time(field, at)?;
        }
        if let Some(sealed) = &self.refresh {
            fits_bytes("refresh", sealed, SESSION_REFRESH_BYTES_MAX)?;
        }
        let visible = self.agent.chars().filter(|c| !c.is_control());
        self.agent = visible.take(SESSION_AGENT_CHARS_MAX).collect();
        self.apps = self.apps.into_iter().take(SESSION_APPS_MAX).collect();
        Ok(self)
    }

    /// Takes over from what is known what a replacement must not lose: when it was last seen, and where.
    pub(super) fn keep(&mut self, known: &Self) {
        self.seen_at = self.seen_at.max(known.seen_at);
        let news = std::mem::take(&mut self.apps);
        self.apps = known.apps.clone();
        news.iter().for_each(|app| add_app(&mut self.apps, app));
    }
}

// === impl OnceKind ===

impl OnceKind {
    /// The word for it in names of keys.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Attempt => "attempt",
        }
    }
}

/// An app was used.
pub(super) fn add_app(apps: &mut BTreeSet<AppId>, app: &AppId) {
    if apps.len() < SESSION_APPS_MAX {
        apps.insert(app.clone());
    }
}

/// A name of ours in a key, or of a lock's holder.
pub(super) fn fits_id(field: &'static str, id: &str) -> Result<(), SessionsError> {
    if id.is_empty() || id.len() > SESSION_ID_BYTES_MAX || !id.bytes().all(|b| b.is_ascii_graphic()) {
        let rule = format!("must have 1 to {SESSION_ID_BYTES_MAX} visible ASCII characters");
        return Err(SessionsError::Unfit { field, rule });
    }
    Ok(())
}

pub(super) fn fits_time(field: &'static str, at: UnixMillis) -> Result<(), SessionsError> {
    if !(0..=LAST_MILLIS).contains(&at.0) {
        let rule = format!("must lie between 0 and {LAST_MILLIS} ms after 1970");
        return Err(SessionsError::Unfit { field, rule });
    }
    Ok(())
}

fn fits_bytes(field: &'static str, bytes: &[u8], max: usize) -> Result<(), SessionsError> {
    if bytes.len() > max {
        let rule = format!("must have at most {max} bytes");
        return Err(SessionsError::Unfit { field, rule });
    }
    Ok(())
}

/// What is put to be taken once.
pub(super) fn fits_once(bytes: &[u8]) -> Result<(), SessionsError> {
    fits_bytes("once", bytes, SESSION_ONCE_BYTES_MAX)
}

/// What is remembered of a person.
pub(super) fn fits_memory(bytes: &[u8]) -> Result<(), SessionsError> {
    fits_bytes("memory", bytes, SESSION_MEMORY_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_shown_a_refresh_token() {
        let record = SessionRecord {
            id: "dws-1".into(),
            person: "corp:alice".parse().unwrap(),
            issuer_session: None,
            signed_in_at: UnixMillis(1),
            seen_at: UnixMillis(1),
            validated_at: UnixMillis(1),
            expires_at: UnixMillis(2),
            client: "192.0.2.7".parse().unwrap(),
            agent: String::new(),
            device: None,
            apps: BTreeSet::new(),
            refresh: Some(vec![201, 202, 203]),
            version: 1,
        };
        let shown = format!("{record:?} {record:#?}");
        assert!(shown.contains("3 bytes") && shown.contains("corp"), "{shown}");
        assert!(!shown.contains("201") && !shown.contains("202"), "{shown}");
    }
}
