//! `[signals]`: whose messages about people are taken (SSF 1.0, Back-Channel Logout 1.0, kill webhooks).

use std::path::Path;

use doorward_identity::config::check_senders;
use doorward_identity::message::MessageKind;
use doorward_identity::{Issuer, SenderSection};
use doorward_lifecycle::intake::signals::Senders;
use doorward_lifecycle::signals::{Stream, StreamSection, WebhookSection, check_streams, check_webhooks};
use doorward_model::complaint::{Complaint, KeyPath};
use serde::Deserialize;
use serde_json::{Value, json};

/// `[signals]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SignalsSection {
    /// Streams of security events.
    #[serde(default)]
    pub stream: Vec<StreamSection>,
    /// Providers that log out.
    #[serde(default)]
    pub logout: Vec<SenderSection>,
    /// Callers of global token revocation.
    #[serde(default)]
    pub revocation: Vec<SenderSection>,
    /// Sources of the posture of devices.
    #[serde(default)]
    pub posture: Vec<SenderSection>,
    /// Workflow tools.
    #[serde(default)]
    pub webhook: Vec<WebhookSection>,
}

/// Checks all senders and complains of everything at once. With a complaint the result is of no use.
pub(super) fn check(
    section: &SignalsSection,
    issuers: &[Issuer],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Senders {
    one_name_one_hold(section, at, complaints);
    let senders = |sections: &[SenderSection], kind, key: &str, complaints: &mut Vec<Complaint>| {
        check_senders(sections, kind, issuers, &at.key(key), base_dir, complaints)
    };
    Senders {
        streams: check_streams(&section.stream, issuers, &at.key("stream"), base_dir, complaints),
        logouts: senders(&section.logout, MessageKind::Logout, "logout", complaints),
        callers: senders(&section.revocation, MessageKind::RevocationCall, "revocation", complaints),
        postures: senders(&section.posture, MessageKind::DevicePosture, "posture", complaints),
        webhooks: check_webhooks(&section.webhook, issuers, &at.key("webhook"), base_dir, complaints),
    }
}

/// A hold is known by the name of who set it: a stream must not lift that of a webhook.
fn one_name_one_hold(section: &SignalsSection, at: &KeyPath, complaints: &mut Vec<Complaint>) {
    for (i, webhook) in section.webhook.iter().enumerate() {
        let Some(id) = webhook.id.as_deref() else { continue };
        if section.stream.iter().any(|stream| stream.id.as_deref() == Some(id)) {
            complaints.push(Complaint::new(
                at.key("webhook").index(i).key("id"),
                format!("`{}` is already a stream", id.escape_debug()),
                "the holds that it sets are known by its name, and the stream could lift them: give it another",
            ));
        }
    }
}

/// What is in force, to read: names only. None where nobody may send anything.
pub(super) fn in_force(senders: &Senders) -> Option<Value> {
    if senders.is_empty() {
        return None;
    }
    let of = |all: &[doorward_identity::Sender]| -> Vec<String> {
        all.iter().map(|sender| format!("{} ({})", sender.id(), sender.url())).collect()
    };
    let stream = |stream: &Stream| {
        let (sender, contact) = (stream.sender(), stream.contact());
        let how = if contact.poll().is_some() { "fetched" } else { "pushed" };
        let watched = match (contact.verify(), contact.watch().silent_max) {
            (Some(every), _) => format!("asked every {} min", every.as_secs() / 60),
            (None, Some(max)) => format!("heard every {} h", max.as_secs() / 3600),
            (None, None) => "watched by nobody".to_owned(),
        };
        format!("{} ({}), {how}, {watched}", sender.id(), sender.url())
    };
    let streams: Vec<String> = senders.streams.iter().map(stream).collect();
    let webhooks: Vec<_> = senders.webhooks.iter().map(|webhook| webhook.id().to_string()).collect();
    Some(json!({
        "stream": streams,
        "logout": of(&senders.logouts),
        "revocation": of(&senders.callers),
        "posture": of(&senders.postures),
        "webhook": webhooks,
    }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::tests::{GOOD, folder, report};

    const INTAKE: &str = "\n[intake]\naddress = \"127.0.0.1:9280\"\n";
    const STREAM: &str = "\n[[signals.stream]]\nid = \"okta\"\nissuer = \"https://idp.corp.example\"\n\
                          audiences = [\"door\"]\nalgorithms = [\"ES256\"]\n";
    const WEBHOOK: &str = "\n[[signals.webhook]]\nid = \"soar\"\nsecret_files = [\"soar.key\"]\n";

    fn told(text: &str) -> String {
        let dir = folder();
        let key = dir.path().join("soar.key");
        fs::write(&key, format!("whsec_{}\n", "A".repeat(32))).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        report(&dir, text)
    }

    #[test]
    fn senders_are_taken_where_somebody_listens_and_there_is_a_directory() {
        assert_eq!(told(&format!("{GOOD}{INTAKE}{STREAM}{WEBHOOK}")), "");
        let logout = STREAM.replace("stream]]", "logout]]");
        let caller = format!("{}client = \"0oa1\"\n", STREAM.replace("stream]]", "revocation]]"));
        assert_eq!(told(&format!("{GOOD}{INTAKE}{STREAM}{logout}{caller}")), "");
        let posture = format!("{}age_minutes_max = 30\n", STREAM.replace("stream]]", "posture]]"));
        assert_eq!(told(&format!("{GOOD}{INTAKE}{posture}")), "");
        let long = posture.replace("30", "61");
        assert!(told(&format!("{GOOD}{INTAKE}{long}")).contains("`61` is out of bounds"));
        let whose = format!("{posture}people = [\"corp\"]\n");
        assert!(told(&format!("{GOOD}{INTAKE}{whose}")).contains("a source of posture speaks of no people"));
        let redis = "\n[revocation]\ndirectory = \"none\"\n[revocation.redis]\naddresses = [\"127.0.0.1:6379\"]\n\
                     tls = false\n";
        for (text, says) in [
            (format!("{GOOD}{STREAM}"), "add `[intake]` with an `address`"),
            (format!("{GOOD}{INTAKE}\n[signals]\n"), "`[signals]` names nobody who may send any"),
            (
                format!("{GOOD}{redis}{STREAM}"),
                "let senders call a control node, and remove `[signals]` here",
            ),
            (
                format!("{GOOD}{INTAKE}{STREAM}{}", WEBHOOK.replace("\"soar\"", "\"okta\"")),
                "`okta` is already a stream",
            ),
            (format!("{GOOD}{INTAKE}{STREAM}verify_hours = 1\n"), "verify_hours"),
            (format!("{GOOD}{INTAKE}{STREAM}silent_hours = 0\n"), "0 is not between 1 and 8760"),
            (
                format!("{GOOD}{INTAKE}{STREAM}poll_url = \"https://idp.corp.example/poll\"\n"),
                "`poll_url` without `token_file`",
            ),
            (format!("{GOOD}{INTAKE}{STREAM}people = [\"lab\"]\n"), "`lab` is not the `id` of an issuer"),
            (format!("{GOOD}{INTAKE}{}", WEBHOOK.replace("soar.key", "none.key")), "cannot be read"),
        ] {
            let report = told(&text);
            assert!(
                report.contains(says) && report.ends_with("1 mistake in doorward.toml\n"),
                "{says}: {report}"
            );
        }
        // All of it at once.
        let report = told(&format!("{GOOD}{}{STREAM}id2 = 1\n{WEBHOOK}may_hold = 3\n", INTAKE));
        assert!(report.ends_with("2 mistakes in doorward.toml\n"), "{report}");
    }

    #[test]
    fn a_stream_whose_silence_nobody_notices_is_told() {
        let dir = folder();
        let remarks = |more: &str| {
            let file = std::path::Path::new("doorward.toml");
            let config =
                super::super::check(&format!("{GOOD}{INTAKE}{STREAM}{more}"), file, dir.path()).unwrap();
            config.remarks.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = remarks("");
        let of_stream: Vec<_> = told.iter().filter(|told| told.starts_with("signals.stream[0]: ")).collect();
        assert!(of_stream.len() == 1 && of_stream[0].contains("falls silent"), "{told:?}");
        assert_eq!(remarks("silent_hours = 24\n").len(), told.len() - 1);
    }

    #[test]
    fn what_is_in_force_names_senders_and_no_secret() {
        let dir = folder();
        let key = dir.path().join("soar.key");
        fs::write(&key, format!("whsec_{}\n", "A".repeat(32))).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let text = format!("{GOOD}{INTAKE}{STREAM}{WEBHOOK}");
        let file = std::path::Path::new("doorward.toml");
        let shown = super::super::check(&text, file, dir.path()).unwrap().in_force();
        for line in ["[signals]", "okta (https://idp.corp.example), pushed, watched by nobody", "soar"] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        assert!(!shown.contains("AAAA"), "{shown}");
        let without = super::super::check(GOOD, file, dir.path()).unwrap().in_force();
        assert!(!without.contains("signals"), "{without}");
    }
}
