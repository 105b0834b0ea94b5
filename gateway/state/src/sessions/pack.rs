//! How a record lies in a store.
//!
//! ```text
//! 1 <version> <seen_at> <expires_at> <signed_in_at> ,<app>,<app>, ["<sid>",<validated_at>,"<client>","<agent>","<device>"]\n<refresh>
//! └────────────────────── head ──────────────────────────────────┘ └──────────────── body ───────────────────────────────────────┘
//! ```
//!
//! Scripts of Redis read and write the head, and carry the body. The head is the same in every form; the number in front
//! says which form the body has.

use std::collections::BTreeSet;
use std::sync::Arc;

use doorward_model::{AppId, DeviceId, UnixMillis, UserId};

use super::record::SessionRecord;

/// The form that this version writes and reads.
const FORM: &str = "1";

/// What of a record lies in the body, before the refresh token.
type Body = (Option<String>, i64, String, String, Option<String>);

/// The apps, as the head has them: each between commas, which no name of an app has.
pub(super) fn apps(apps: &BTreeSet<AppId>) -> String {
    let mut text = String::from(",");
    for app in apps {
        text.push_str(app.as_str());
        text.push(',');
    }
    text
}

pub(super) fn unpack_apps(text: &str) -> Option<BTreeSet<AppId>> {
    text.split(',').filter(|word| !word.is_empty()).map(|word| AppId::new(word).ok()).collect()
}

/// The body of a record.
pub(super) fn body(record: &SessionRecord) -> Vec<u8> {
    let body: Body = (
        record.issuer_session.as_ref().map(ToString::to_string),
        record.validated_at.0,
        record.client.to_string(),
        record.agent.clone(),
        record.device.as_ref().map(ToString::to_string),
    );
    // Text and numbers always have a form.
    let mut bytes = serde_json::to_vec(&body).unwrap_or_default();
    if let Some(sealed) = &record.refresh {
        // JSON has no line feed of its own, so the first one ends it.
        bytes.push(b'\n');
        bytes.extend_from_slice(sealed);
    }
    bytes
}

/// The head up to the apps.
pub(super) fn form() -> &'static str {
    FORM
}

/// The whole record.
pub(super) fn pack(record: &SessionRecord) -> Vec<u8> {
    let SessionRecord { version, seen_at, expires_at, signed_in_at, .. } = record;
    let head =
        format!("{FORM} {version} {} {} {} {} ", seen_at.0, expires_at.0, signed_in_at.0, apps(&record.apps));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body(record));
    bytes
}

/// Reads a whole record. `None` when it is none, or one of another form.
pub(super) fn unpack(person: &UserId, id: &str, bytes: &[u8]) -> Option<SessionRecord> {
    let mut words = bytes.splitn(7, |byte| *byte == b' ');
    let mut text = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    if text()? != FORM {
        return None;
    }
    let version = text()?.parse().ok()?;
    let [seen_at, expires_at, signed_in_at] = [text()?, text()?, text()?].map(|word| word.parse().ok());
    let apps = unpack_apps(text()?)?;
    let head = Head {
        version,
        seen_at: UnixMillis(seen_at?),
        expires_at: UnixMillis(expires_at?),
        signed_in_at: UnixMillis(signed_in_at?),
        apps,
    };
    head.with(person, id, words.next()?)
}

/// What scripts and columns have for themselves.
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) seen_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
    pub(super) signed_in_at: UnixMillis,
    pub(super) apps: BTreeSet<AppId>,
}

impl Head {
    /// With the body it is a record. `None` when the body is none.
    pub(super) fn with(self, person: &UserId, id: &str, body: &[u8]) -> Option<SessionRecord> {
        let (json, refresh) = match body.iter().position(|byte| *byte == b'\n') {
            Some(end) => (body.get(..end)?, Some(body.get(end.saturating_add(1)..)?.to_vec())),
            None => (body, None),
        };
        let (issuer_session, validated_at, client, agent, device): Body =
            serde_json::from_slice(json).ok()?;
        let issuer_session = match issuer_session {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let device = match device {
            Some(text) => Some(DeviceId::new(&text).ok()?),
            None => None,
        };
        let record = SessionRecord {
            id: Arc::from(id),
            person: person.clone(),
            issuer_session,
            signed_in_at: self.signed_in_at,
            seen_at: self.seen_at,
            validated_at: UnixMillis(validated_at),
            expires_at: self.expires_at,
            client: client.parse().ok()?,
            agent,
            device,
            apps: self.apps,
            refresh,
            version: self.version,
        };
        record.fit().ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> SessionRecord {
        SessionRecord {
            id: "dws-AAAAAAAAAAAAAAAAAAAAAA".into(),
            person: "corp:alice".parse().unwrap(),
            issuer_session: Some("corp:s 1".replace(' ', "-").parse().unwrap()),
            signed_in_at: UnixMillis(1),
            seen_at: UnixMillis(2),
            validated_at: UnixMillis(3),
            expires_at: UnixMillis(4),
            client: "2001:db8::1".parse().unwrap(),
            agent: "Mozilla/5.0 \"X\"\\ ü".to_owned(),
            device: Some(DeviceId::new("laptop-7").unwrap()),
            apps: ["wiki", "payroll"].map(|app| AppId::new(app).unwrap()).into(),
            refresh: Some(vec![0, b'\n', b' ', 255, b'\n']),
            version: 7,
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let whole = record();
        let bare = SessionRecord {
            issuer_session: None,
            device: None,
            apps: BTreeSet::new(),
            refresh: None,
            ..record()
        };
        let empty = SessionRecord { refresh: Some(Vec::new()), ..record() };
        for record in [whole, bare, empty] {
            assert_eq!(unpack(&record.person, &record.id, &pack(&record)), Some(record.clone()));
        }
    }

    #[test]
    fn the_form_never_changes() {
        let packed = pack(&SessionRecord { refresh: Some(b"R".to_vec()), ..record() });
        let expected = "1 7 2 4 1 ,payroll,wiki, [\"corp:s-1\",3,\"2001:db8::1\",\"Mozilla/5.0 \\\"X\\\"\\\\ ü\",\
                        \"laptop-7\"]\nR";
        assert_eq!(String::from_utf8(packed).unwrap(), expected);
    }

    #[test]
    fn what_is_no_record_is_none() {
        let person = record().person;
        let good = String::from_utf8(pack(&SessionRecord { refresh: None, ..record() })).unwrap();
        assert!(unpack(&person, "dws-1", good.as_bytes()).is_some());
        for bad in [
            good.replacen('1', "2", 1),
            good.replace("wiki", "WIKI"),
            good.replace("2001:db8::1", "nowhere"),
            good.replace("corp:s-1", "s-1"),
            good.replace(" 2 4 ", " -2 4 "),
            good.replace(" 2 4 ", " 2 9007199254740992 "),
            good.replace("[", "[["),
            String::new(),
        ] {
            assert_eq!(unpack(&person, "dws-1", bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _none = unpack(&record().person, "dws-1", &bytes);
        }
    }
}
