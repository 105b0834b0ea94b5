//! `[[stream]]` and `[[webhook]]`: what may be written, and what is complained of.

use std::os::unix::fs::PermissionsExt as _;

use doorward_lifecycle::signals::{Effect, Situation};

use crate::town::*;

const STREAM: &str = "id='s'\nissuer='https://idp.corp.example'\naudiences=['door']\nalgorithms=['ES256']\njwks_file='keys.jwks'\n";
const WEBHOOK: &str = "id='w'\nsecret_files=['soar.key']\n";

/// `good` with the lines that `changes` has in place of those of the same key.
fn changed(table: &str, good: &str, changes: &str) -> String {
    let key = |line: &str| line.split(['=', '.']).next().unwrap_or("").trim().to_owned();
    let new: Vec<String> = changes.lines().map(key).collect();
    let kept: Vec<&str> = good.lines().filter(|l| !new.contains(&key(l))).collect();
    let written: Vec<&str> = changes.lines().filter(|l| !l.ends_with('=')).collect();
    format!("[[{table}]]\n{}\n{}\n", kept.join("\n"), written.join("\n"))
}

#[test]
fn short_tables_are_enough_and_have_defaults() {
    let folder = folder();
    let both = format!("{}{}", changed("stream", STREAM, ""), changed("webhook", WEBHOOK, ""));
    let (streams, webhooks, _, said) = configured(folder.path(), &both);
    assert_eq!(said, Vec::<String>::new());
    let stream = &streams[0];
    assert_eq!(stream.stream_id(), None);
    assert_eq!(stream.effects().of(Situation::RiskHigh), Effect::Revoke);
    assert_eq!(webhooks[0].id().as_str(), "w");
    assert_eq!(webhooks[0].sole_people(), None, "left out, it may name everybody");
}

#[test]
fn a_token_goes_where_the_configuration_says_and_nowhere_else() {
    let folder = folder();
    let contact = "verify_minutes=60\nstream_id='s'\ntoken_file='push.token'\npoll_url='https://poll.corp.example/p'\n\
                   api_at=['https://api.corp.example:8443']";
    let (streams, _, _, said) = configured(folder.path(), &changed("stream", STREAM, contact));
    assert_eq!(said, Vec::<String>::new());
    let contact = streams[0].contact();
    for (url, may) in [
        ("https://idp.corp.example/ssf/verify", true),
        ("https://poll.corp.example/other", true),
        ("https://api.corp.example:8443/v1", true),
        ("https://api.corp.example/v1", false),
        ("http://idp.corp.example/ssf/verify", false),
        ("https://idp.corp.example:444/ssf/verify", false),
        ("https://idp.corp.example.evil.example/", false),
        ("https://user@idp.corp.example/", false),
        ("https://127.0.0.1/", false),
    ] {
        assert_eq!(contact.may_call(&url.parse().unwrap()), may, "{url}");
    }
    assert!(contact.watch().is_kept() && contact.watch().fetched && contact.watch().asked);
    assert!(!streams[0].contact().token_file().unwrap().is_relative());
}

#[test]
fn what_signals_do_can_be_chosen() {
    let folder = folder();
    let chosen = changed(
        "stream",
        STREAM,
        "effects.risk-high='hold'\neffects.session-seen='alert'\neffects.account-enabled='lift'",
    );
    let (streams, _, _, said) = configured(folder.path(), &chosen);
    assert_eq!(said, Vec::<String>::new());
    let effects = streams[0].effects();
    assert_eq!(effects.of(Situation::RiskHigh), Effect::Hold);
    assert_eq!(effects.of(Situation::SessionSeen), Effect::Alert);
    assert_eq!(effects.of(Situation::SessionRevoked), Effect::Revoke);
}

#[test]
fn each_mistake_has_its_complaint() {
    let folder = folder();
    for (name, text, mode) in [
        ("short", "x", 0o600),
        ("open", PUSH_TOKEN, 0o644),
        ("plain", "not-a-webhook-key-but-long-enough-for-one", 0o600),
        ("odd", "whsec_***", 0o600),
        ("small", "whsec_AAAA", 0o600),
        ("two", "0123456789012345678901234567890123456789\n0123", 0o600),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for (table, changes, at, says) in [
        ("stream", "id=", "stream[0]", "has no `id`"),
        ("stream", "people=['nobody']", "stream[0].people[0]", "not the `id` of an issuer"),
        ("stream", "algorithms=['HS256']", "stream[0].algorithms[0]", "shared secret"),
        ("stream", "push_token_files=['missing']", "stream[0].push_token_files[0]", "cannot be read"),
        ("stream", "push_token_files=['push.token','short']", "stream[0].push_token_files[1]", "at least 32"),
        ("stream", "push_token_files=['open']", "stream[0].push_token_files[0]", "chmod 600"),
        ("stream", "push_token_files=['two']", "stream[0].push_token_files[0]", "one line"),
        ("stream", "push_token_files=['.']", "stream[0].push_token_files[0]", "is not a file"),
        ("stream", "push_token_files=['a','b','c','d','e']", "stream[0].push_token_files", "more than 4"),
        (
            "stream",
            "poll_url='http://idp.corp.example/poll'\ntoken_file='push.token'",
            "stream[0].poll_url",
            "not an https",
        ),
        (
            "stream",
            "poll_url='https://u:p@idp.corp.example/'\ntoken_file='push.token'",
            "stream[0].poll_url",
            "not an https",
        ),
        ("stream", "poll_url='https://idp.corp.example/poll'", "stream[0].poll_url", "without `token_file`"),
        (
            "stream",
            "poll_url='https://idp.corp.example/poll'\ntoken_file='push.token'\npush_token_files=['push.token']",
            "stream[0].poll_url",
            "fetched or pushed",
        ),
        ("stream", "verify_minutes=60\nstream_id='s'", "stream[0].verify_minutes", "without `token_file`"),
        (
            "stream",
            "verify_minutes=60\ntoken_file='push.token'",
            "stream[0].verify_minutes",
            "does not say which",
        ),
        (
            "stream",
            "verify_minutes=0\nstream_id='s'\ntoken_file='push.token'",
            "stream[0].verify_minutes",
            "between 1 and 10080",
        ),
        (
            "stream",
            "issuer='corp'\npeople=['corp']\nverify_minutes=60\nstream_id='s'\ntoken_file='push.token'",
            "stream[0].verify_minutes",
            "`silent_hours` instead",
        ),
        ("stream", "silent_hours=9000", "stream[0].silent_hours", "between 1 and 8760"),
        ("stream", "token_file='push.token'", "stream[0].token_file", "nothing is asked"),
        (
            "stream",
            "verify_minutes=60\nstream_id='s'\ntoken_file='open'",
            "stream[0].token_file",
            "chmod 600",
        ),
        (
            "stream",
            "verify_minutes=60\nstream_id='s'\ntoken_file='missing'",
            "stream[0].token_file",
            "cannot be read",
        ),
        ("stream", "api_at=['https://api.corp.example/x']", "stream[0].api_at[0]", "address of a host"),
        ("stream", "api_at=['http://api.corp.example']", "stream[0].api_at[0]", "address of a host"),
        ("stream", "critical_members=['user','']", "stream[0].critical_members[1]", "empty name"),
        ("stream", "effects.sessions='revoke'", "stream[0].effects.sessions", "not a situation"),
        (
            "stream",
            "effects.session-revoked='lift'",
            "stream[0].effects.session-revoked",
            "write one of revoke",
        ),
        (
            "stream",
            "effects.account-enabled='revoke'",
            "stream[0].effects.account-enabled",
            "write one of lift",
        ),
        (
            "stream",
            "effects.risk-high='REVOKE'",
            "stream[0].effects.risk-high",
            "not what `risk-high` can do",
        ),
        ("webhook", "id=", "webhook[0]", "has no `id`"),
        ("webhook", "id='W'", "webhook[0].id", "not a short name"),
        ("webhook", "secret_files=", "webhook[0]", "nobody could sign"),
        ("webhook", "secret_files=[]", "webhook[0]", "nobody could sign"),
        ("webhook", "secret_files=['plain']", "webhook[0].secret_files[0]", "does not begin with `whsec_`"),
        ("webhook", "secret_files=['odd']", "webhook[0].secret_files[0]", "does not hold base64"),
        ("webhook", "secret_files=['soar.key','small']", "webhook[0].secret_files[1]", "24 to 64 bytes"),
        ("webhook", "window_seconds=4", "webhook[0].window_seconds", "between 5 and 600"),
        ("webhook", "people=['nobody']", "webhook[0].people[0]", "not the `id` of an issuer"),
    ] {
        let good = if table == "stream" { STREAM } else { WEBHOOK };
        let (streams, webhooks, _, said) = configured(folder.path(), &changed(table, good, changes));
        assert_eq!(said.len(), 1, "{changes}: {said:#?}");
        assert!(said[0].starts_with(&format!("{at}: ")) && said[0].contains(says), "{changes}: {}", said[0]);
        assert!(!said[0].contains(PUSH_TOKEN) && !said[0].contains("0123456789"), "a secret: {}", said[0]);
        assert_eq!(webhooks.len(), 0, "{changes}");
        assert!(streams.is_empty(), "{changes}");
    }
    let twice = changed("webhook", WEBHOOK, "").repeat(2);
    let (_, webhooks, _, said) = configured(folder.path(), &twice);
    assert!(webhooks.len() == 1 && said[0].contains("`w` is already a webhook"), "{said:?}");
}

/// A mistake in one table does not put the sender of another beside it.
#[test]
fn streams_stay_with_their_senders() {
    let folder = folder();
    let two = |first: &str| {
        format!(
            "{}{}",
            changed("stream", STREAM, first),
            changed("stream", STREAM, "id='b'\nstream_id='f67e'")
        )
    };
    let (streams, _, _, said) = configured(folder.path(), &two("id='a'"));
    assert_eq!(said, Vec::<String>::new());
    let told: Vec<_> = streams.iter().map(|s| (s.sender().id().as_str(), s.stream_id())).collect();
    assert_eq!(told, [("a", None), ("b", Some("f67e"))]);
    let (streams, _, _, said) = configured(folder.path(), &two("id='A'"));
    assert_eq!((streams.len(), said.len()), (0, 1));
}

#[test]
fn nothing_secret_is_shown() {
    let town = Town::new();
    let told = format!("{:?} {:?}", town.streams, town.webhooks);
    assert!(told.contains("Secret(…)") && !told.contains("push-token-of"), "{told}");
}
