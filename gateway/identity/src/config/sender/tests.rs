use std::path::Path;

use doorward_model::KeyPath;

use super::*;
use crate::config::check;
use crate::keys::Discovery;

#[derive(Deserialize)]
struct File {
    issuer: Vec<IssuerSection>,
    sender: Vec<SenderSection>,
}

const ISSUERS: &str = "
[[issuer]]
id = 'corp'
issuer = 'https://idp.corp.example'
audiences = ['doorward']
algorithms = ['RS256']
[[issuer]]
id = 'lab'
issuer = 'https://idp.lab.example/'
audiences = ['doorward']
algorithms = ['RS256']
";

const GOOD: &str = "id='okta'\nissuer='https://idp.corp.example'\naudiences=['door']\nalgorithms=['RS256']\n";

/// The senders, and the complaints as `where: what (help)`.
fn read(kind: MessageKind, senders: &str) -> (Vec<Sender>, Vec<String>) {
    let file: File = toml::from_str(&format!("{ISSUERS}{senders}")).unwrap();
    let mut complaints = Vec::new();
    let issuers = check(&file.issuer, &KeyPath::top().key("issuer"), Path::new("/nowhere"), &mut complaints);
    assert_eq!(complaints, []);
    let at = KeyPath::top().key("sender");
    let senders = check_senders(&file.sender, kind, &issuers, &at, Path::new("/nowhere"), &mut complaints);
    let said =
        complaints.iter().map(|c| format!("{c} ({})", c.help.as_deref().unwrap_or("no help"))).collect();
    (senders, said)
}

/// `GOOD` with the lines that `changes` has in place of those of the same key.
fn changed(changes: &str) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
    let new: Vec<String> = changes.lines().map(key).collect();
    let kept: Vec<&str> = GOOD.lines().filter(|l| !new.contains(&key(l))).collect();
    let written: Vec<&str> = changes.lines().filter(|l| !l.ends_with('=')).collect();
    format!("[[sender]]\n{}\n{}\n", kept.join("\n"), written.join("\n"))
}

#[test]
fn a_short_table_is_enough_and_speaks_of_the_people_of_its_own_issuer() {
    for (kind, document) in [
        (MessageKind::SecurityEvent, Discovery::SharedSignals),
        (MessageKind::Logout, Discovery::OpenId),
        (MessageKind::RevocationCall, Discovery::OpenId),
    ] {
        let (senders, said) = read(kind, &changed(""));
        assert_eq!(said, Vec::<String>::new());
        let sender = &senders[0];
        assert_eq!(
            (sender.id().as_str(), sender.kind(), sender.url()),
            ("okta", kind, "https://idp.corp.example")
        );
        assert_eq!(sender.sole_people().unwrap().as_str(), "corp");
        assert!(matches!(&sender.keys, KeySource::Discovery { document: d, .. } if *d == document));
    }
}

#[test]
fn a_sender_speaks_of_its_people_only() {
    let (senders, said) = read(MessageKind::SecurityEvent, &changed("people=['corp']"));
    assert_eq!(said, Vec::<String>::new());
    let speaks = |url: &str| senders[0].speaks_of(url).map(IssuerId::as_str);
    assert_eq!(speaks("https://idp.corp.example"), Some("corp"));
    assert_eq!(speaks("https://idp.corp.example/"), Some("corp"), "a slash at the end");
    for other in
        ["https://idp.lab.example/", "https://idp.corp.example//", "https://idp.corp.example/x", "", "corp"]
    {
        assert_eq!(speaks(other), None, "{other}");
    }
    let (senders, _) = read(MessageKind::SecurityEvent, &changed("people=['corp','lab']"));
    assert_eq!(senders[0].speaks_of("https://idp.lab.example").map(IssuerId::as_str), Some("lab"));
    assert_eq!(senders[0].sole_people(), None);
}

#[test]
fn two_issuers_that_differ_by_a_slash_stay_two() {
    let spoken = |id: &str, url: &str| Spoken { id: IssuerId::new(id).unwrap(), url: url.to_owned() };
    let both = [spoken("a", "https://x"), spoken("b", "https://x/")];
    assert_eq!(speaks_of(&both, "https://x").unwrap().as_str(), "a");
    assert_eq!(speaks_of(&both, "https://x/").unwrap().as_str(), "b");
}

#[test]
fn each_mistake_has_its_complaint() {
    use MessageKind::{Logout, RevocationCall, SecurityEvent};
    for (kind, changes, at, says) in [
        (SecurityEvent, "id=", "sender[0]", "has no `id`"),
        (SecurityEvent, "id='Okta'", "sender[0].id", "not a short name"),
        (SecurityEvent, "issuer=", "sender[0]", "has no `issuer`"),
        (SecurityEvent, "issuer='http://idp.corp.example'\npeople=['corp']", "sender[0].issuer", "not https"),
        (SecurityEvent, "audiences=", "sender[0]", "the `aud` of the stream"),
        (Logout, "audiences=[]", "sender[0].audiences", "the client id"),
        (RevocationCall, "audiences=['']", "sender[0].audiences[0]", "an audience is empty"),
        (Logout, "algorithms=", "sender[0]", "has no `algorithms`"),
        (Logout, "algorithms=['HS256']", "sender[0].algorithms[0]", "shared secret"),
        (Logout, "algorithms=['none']", "sender[0].algorithms[0]", "no signature at all"),
        (Logout, "jwks_uri='http://idp.corp.example/keys'", "sender[0].jwks_uri", "not an https address"),
        (Logout, "jwks_file='missing.jwks'", "sender[0].jwks_file", "cannot be read"),
        (Logout, "people=[]", "sender[0].people", "is empty"),
        (Logout, "people=['corp','hr']", "sender[0].people[1]", "`hr` is not the `id` of an issuer"),
        (SecurityEvent, "issuer='https://other.example'", "sender[0]", "whose people are meant"),
        (SecurityEvent, "client='x'", "sender[0].client", "for global token revocation only"),
        (RevocationCall, "client=''", "sender[0].client", "is empty"),
    ] {
        let (senders, said) = read(kind, &changed(changes));
        assert_eq!((senders.len(), said.len()), (0, 1), "{changes}: {said:#?}");
        assert!(said[0].starts_with(&format!("{at}: ")) && said[0].contains(says), "{changes}: {}", said[0]);
    }
}

#[test]
fn all_complaints_come_at_once() {
    let (senders, said) =
        read(MessageKind::Logout, "[[sender]]\n[[sender]]\nid='x y'\nalgorithms=['none']\n");
    assert_eq!((senders.len(), said.len()), (0, 8), "{said:#?}");
}

#[test]
fn one_name_leads_to_one_sender() {
    let (senders, said) = read(MessageKind::Logout, &format!("{}{}", changed(""), changed("")));
    assert_eq!((senders.len(), said.len()), (1, 1));
    assert!(said[0].starts_with("sender[1].id: `okta` is already"), "{said:?}");
}

#[test]
fn what_is_of_a_message_is_not_taken_for_access() {
    for kind in MessageKind::ALL {
        let toml = format!("{ISSUERS}token_types = ['{}']\n[[sender]]\n", kind.token_type());
        let file: File = toml::from_str(&toml).unwrap();
        let mut complaints = Vec::new();
        check(&file.issuer, &KeyPath::top().key("issuer"), Path::new("/nowhere"), &mut complaints);
        assert_eq!(complaints.len(), 1, "{kind:?}");
        assert!(complaints[0].message.contains("not an access token"), "{complaints:?}");
    }
}
