//! Whom a message is about (RFC 9493, SSF 1.0 §3): which subjects are read, and whom they mean here.

use doorward_lifecycle::signals::resolve::{About, Resolution, Voice, resolve};
use doorward_lifecycle::signals::subject::{Member, Name, Subject};
use doorward_model::{AppId, DeviceId};
use serde_json::{Value, json};

use crate::town::*;

fn read(subject: &Value) -> Result<Subject, String> {
    Subject::read(subject.as_object().unwrap()).map_err(|e| e.to_string())
}

#[test]
fn every_format_is_read() {
    let text = str::to_owned;
    for (subject, name) in [
        (json!({"format": "account", "uri": "acct:a@x.example"}), Name::Account(text("acct:a@x.example"))),
        (json!({"format": "email", "email": "A@x.example"}), Name::Email(text("A@x.example"))),
        (iss_sub(CORP, "a"), Name::IssSub { iss: text(CORP), sub: text("a") }),
        (
            json!({"format": "opaque", "id": "11112222333344445555"}),
            Name::Opaque(text("11112222333344445555")),
        ),
        (
            json!({"format": "phone_number", "phone_number": "+12065550100"}),
            Name::Phone(text("+12065550100")),
        ),
        (json!({"format": "did", "url": "did:example:123"}), Name::Did(text("did:example:123"))),
        (json!({"format": "uri", "uri": "urn:uuid:4e851e98"}), Name::Uri(text("urn:uuid:4e851e98"))),
        (
            json!({"format": "jwt_id", "iss": CORP, "jti": "t"}),
            Name::JwtId { iss: text(CORP), jti: text("t") },
        ),
        (
            json!({"format": "saml_assertion_id", "issuer": CORP, "assertion_id": "_8e8"}),
            Name::SamlAssertion { issuer: text(CORP), id: text("_8e8") },
        ),
        (
            json!({"format": "ip-addresses", "ip-addresses": ["10.29.37.75", "2001:db8::1"]}),
            Name::Addresses(vec!["10.29.37.75".parse().unwrap(), "2001:db8::1".parse().unwrap()]),
        ),
        (json!({"format": "zodiac", "sign": "♌"}), Name::Other(text("zodiac"))),
        // What is not of the format does not count.
        (json!({"format": "opaque", "id": "x", "email": 7}), Name::Opaque(text("x"))),
    ] {
        assert_eq!(read(&subject), Ok(Subject::Name(name)), "{subject}");
    }
}

#[test]
fn s18_the_older_form_is_read() {
    for (older, today) in [
        (json!({"subject_type": "iss-sub", "iss": CORP, "sub": "7"}), iss_sub(CORP, "7")),
        (json!({"subject_type": "iss_sub", "iss": CORP, "sub": "7"}), iss_sub(CORP, "7")),
        (
            json!({"subject_type": "id_token_claims", "iss": CORP, "sub": "7", "email": "x@y.z"}),
            iss_sub(CORP, "7"),
        ),
        (
            json!({"subject_type": "email", "email": "a@x.example"}),
            json!({"format": "email", "email": "a@x.example"}),
        ),
        (
            json!({"subject_type": "phone", "phone_number": "+1"}),
            json!({"format": "phone_number", "phone_number": "+1"}),
        ),
    ] {
        assert_eq!(read(&older).unwrap(), read(&today).unwrap(), "{older}");
    }
    let complex = json!({"user": iss_sub(CORP, "a"), "device": {"format": "opaque", "id": "d"}});
    let mut with_format = complex.clone();
    with_format["format"] = json!("complex");
    assert_eq!(read(&complex), read(&with_format));
}

#[test]
fn what_lacks_a_part_or_has_too_many_is_refused() {
    let opaque = json!({"format": "opaque", "id": "x"});
    for (subject, says) in [
        (json!({}), "no member that is known"),
        (json!({"format": 1}), "not an object with a `format`"),
        (json!({"format": "opaque", "subject_type": "opaque", "id": "x"}), "not an object with a `format`"),
        (json!({"format": "opaque"}), "needs the text `id`"),
        (json!({"format": "opaque", "id": ""}), "needs the text `id`"),
        (json!({"format": "opaque", "id": 7}), "needs the text `id`"),
        (json!({"format": "opaque", "id": "a\u{1b}b"}), "needs the text `id`"),
        (json!({"format": "opaque", "id": "x".repeat(1025)}), "needs the text `id`"),
        (json!({"format": "email", "email": "nobody"}), "needs the e-mail address `email`"),
        (json!({"format": "email", "email": "a@b@c"}), "needs the e-mail address `email`"),
        (json!({"format": "iss_sub", "iss": CORP}), "needs the text `sub`"),
        (json!({"format": "phone_number", "phone_number": "0123"}), "needs the E.164 number"),
        (json!({"format": "phone_number", "phone_number": "+1234567890123456"}), "needs the E.164 number"),
        (json!({"format": "account", "uri": "mailto:a@b"}), "needs the address `uri`"),
        (json!({"format": "account", "uri": "acct:"}), "needs the address `uri`"),
        (json!({"format": "did", "url": "https://x"}), "needs the address `url`"),
        (json!({"format": "ip-addresses", "ip-addresses": ["1.2.3"]}), "needs the list of addresses"),
        (json!({"format": "ip-addresses", "ip-addresses": []}), "0 entries"),
        (json!({"format": "aliases", "identifiers": []}), "0 entries"),
        (json!({"format": "aliases", "identifiers": vec![opaque.clone(); 33]}), "33 entries"),
        (json!({"format": "aliases", "identifiers": {}}), "needs the list `identifiers`"),
        (
            json!({"format": "aliases", "identifiers": [{"format": "aliases", "identifiers": [opaque]}]}),
            "has parts itself",
        ),
        (json!({"format": "aliases", "identifiers": ["x"]}), "not an object"),
        (json!({"user": {"user": {"format": "opaque", "id": "x"}}}), "`user` holds a subject that has parts"),
        (json!({"user": "alice"}), "not an object"),
        (json!({"planet": {"format": "opaque", "id": "x"}}), "no member that is known"),
    ] {
        let said = read(&subject).unwrap_err();
        assert!(said.contains(says) && !said.contains("nobody"), "{subject}: {said}");
    }
}

/// What a subject means to the stream `okta`: the targets that would be revoked and whether that is
/// exact, or why nobody is meant.
fn means(subject: &Value, alone: Member) -> String {
    let town = Town::new();
    let stream = town.stream("okta");
    let critical: Vec<String> = ["tenant", "org_unit", "planet"].map(str::to_owned).into();
    let subject = read(subject).unwrap();
    match resolve(&subject, alone, &town.directory, Voice::Sender(stream.sender()), &critical) {
        Resolution::Found(found) => {
            let targets: Vec<String> = found.about.targets().iter().map(ToString::to_string).collect();
            format!("{}{}", targets.join(", "), if found.exact { "" } else { ", and more than is meant" })
        }
        Resolution::NoOne(why) => format!("no one: {why}"),
        Resolution::Critical(member) => format!("critical: {}", member.as_str()),
        Resolution::CriticalUnknown(member) => format!("critical: {member}, unknown"),
    }
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

#[test]
fn a_name_means_somebody_here_or_nobody() {
    let (alice, bob) = ("user corp:alice", "user corp:bob, user lab:bob");
    let nobody = "no one: nobody here is called so by this sender";
    for (subject, meant) in [
        (iss_sub(CORP, "alice"), alice),
        (iss_sub(&format!("{CORP}/"), "alice"), alice),
        (iss_sub(CORP, "bob"), bob),
        // Not in the directory: the sign-in is cut off all the same.
        (iss_sub(CORP, "carol"), "user corp:carol"),
        // S13: another tenant's, and one of ours that this stream may not speak of.
        (iss_sub("https://idp.corp.example/tenant2", "alice"), nobody),
        (iss_sub(LAB, "bob"), nobody),
        (iss_sub("corp", "alice"), nobody),
        (json!({"format": "email", "email": "ALICE@corp.example"}), alice),
        // S12.
        (json!({"format": "email", "email": "mallory@corp.example"}), nobody),
        (opaque("p-2"), bob),
        (opaque("p-9"), nobody),
        (json!({"format": "phone_number", "phone_number": "+4930123456"}), bob),
        (json!({"format": "account", "uri": "acct:alice@corp.example"}), alice),
        (json!({"format": "jwt_id", "iss": CORP, "jti": "t-1"}), "token corp:t-1"),
        (json!({"format": "jwt_id", "iss": LAB, "jti": "t-1"}), nobody),
        (json!({"format": "saml_assertion_id", "issuer": CORP, "assertion_id": "_1"}), nobody),
        (json!({"format": "ip-addresses", "ip-addresses": ["10.0.0.1"]}), nobody),
        (json!({"format": "zodiac"}), nobody),
        (json!({"format": "aliases", "identifiers": [opaque("p-9"), iss_sub(CORP, "alice")]}), alice),
        (
            json!({"format": "aliases", "identifiers": [iss_sub(CORP, "new-name"), {"format": "email", "email": "alice@corp.example"}]}),
            "user corp:new-name, user corp:alice",
        ),
        // Two people under one subject: nobody can tell which.
        (json!({"format": "aliases", "identifiers": [opaque("p-2"), iss_sub(CORP, "alice")]}), nobody),
    ] {
        assert_eq!(means(&subject, Member::User), meant, "{subject}");
    }
    assert_eq!(means(&opaque("d-9"), Member::Device), "device d-9");
    assert_eq!(means(&opaque("s-9"), Member::Session), "session corp:s-9");
    assert_eq!(means(&iss_sub(LAB, "d-1"), Member::Device), nobody);
    for whole in [Member::Application, Member::Tenant, Member::OrgUnit, Member::Group] {
        assert!(means(&opaque("x"), whole).starts_with("no one: "), "{whole:?}");
    }
}

#[test]
fn s14_a_complex_subject_is_what_all_its_members_have_in_common() {
    let more = ", and more than is meant";
    let wide = format!("user corp:alice{more}");
    let (alice, bob) = (iss_sub(CORP, "alice"), iss_sub(CORP, "bob"));
    let whole = "no one: apps, tenants and groups as a whole are not signaled here";
    let not_ours = "no one: a member of the subject is not of ours";
    for (subject, meant) in [
        (json!({"user": alice}), "user corp:alice"),
        (json!({"user": alice, "session": opaque("s-alice")}), "session corp:s-alice"),
        (json!({"user": alice, "session": opaque("s-new")}), "session corp:s-new"),
        (
            json!({"user": alice, "session": opaque("s-bob")}),
            "no one: the session is of somebody else than the user",
        ),
        (json!({"session": opaque("s-bob")}), "session corp:s-bob"),
        (json!({"session": {"format": "jwt_id", "iss": CORP, "jti": "t"}, "user": alice}), "token corp:t"),
        // Bob has sign-ins at two issuers; the stream speaks of one.
        (json!({"user": bob, "session": opaque("s-bob")}), "session corp:s-bob"),
        (json!({"user": alice, "device": opaque("d-alice")}), "device d-alice"),
        (
            json!({"user": alice, "device": opaque("d-bob")}),
            "no one: the device is of somebody else than the user",
        ),
        // A device that nobody knows here cannot be told from the others: the larger whole.
        (json!({"user": alice, "device": opaque("d-new")}), wide.as_str()),
        (json!({"device": opaque("d-new")}), "device d-new"),
        (json!({"user": alice, "application": opaque("wiki")}), "user_at_app wiki@corp:alice"),
        (json!({"user": alice, "application": opaque("elsewhere")}), not_ours),
        (json!({"user": alice, "application": opaque("what")}), wide.as_str()),
        (json!({"application": opaque("wiki")}), whole),
        (json!({"user": alice, "group": opaque("staff")}), "user corp:alice"),
        (json!({"user": bob, "group": opaque("staff")}), not_ours),
        (json!({"user": alice, "group": opaque("what")}), wide.as_str()),
        (json!({"group": opaque("staff")}), whole),
        (json!({"user": alice, "tenant": opaque("t-corp")}), "user corp:alice"),
        (json!({"user": alice, "tenant": opaque("t-other")}), not_ours),
        (json!({"user": opaque("nobody"), "session": opaque("s-1")}), not_ours),
        (json!({"user": alice, "session": {"format": "zodiac"}}), wide.as_str()),
        // Members that the transmitter calls critical.
        (json!({"user": alice, "org_unit": opaque("sales")}), "critical: org_unit"),
        (json!({"user": alice, "planet": opaque("mars")}), "critical: planet, unknown"),
        (json!({"user": alice, "moon": opaque("x")}), wide.as_str()),
        (
            json!({"user": alice, "device": opaque("d-alice"), "application": opaque("wiki")}),
            &format!("user_at_app wiki@corp:alice{more}"),
        ),
    ] {
        assert_eq!(means(&subject, Member::User), meant, "{subject}");
    }
}

/// Whatever a person is called, marks about them stand under one key, and under no other's.
#[test]
fn marks_stand_under_the_person() {
    let town = Town::new();
    let key = |subject: &Value| {
        let voice = Voice::Sender(town.stream("okta").sender());
        match resolve(&read(subject).unwrap(), Member::User, &town.directory, voice, &[]) {
            Resolution::Found(found) => found.about.key(),
            other => panic!("{other:?}"),
        }
    };
    let alice = key(&iss_sub(CORP, "alice"));
    assert_eq!(alice, key(&json!({"format": "email", "email": "alice@corp.example"})));
    let others = [
        iss_sub(CORP, "bob"),
        iss_sub(CORP, "carol"),
        json!({"user": iss_sub(CORP, "alice"), "application": opaque("wiki")}),
        json!({"user": iss_sub(CORP, "alice"), "session": opaque("s-alice")}),
        json!({"user": iss_sub(CORP, "alice"), "device": opaque("d-alice")}),
        json!({"format": "jwt_id", "iss": CORP, "jti": "s-alice"}),
    ];
    let keys: std::collections::BTreeSet<String> = others.iter().map(key).chain([alice]).collect();
    assert_eq!(keys.len(), others.len() + 1, "{keys:?}");
}

#[test]
fn what_is_revoked_is_every_sign_in_of_the_person() {
    let app = AppId::new("wiki").unwrap();
    assert_eq!(About::Person(whom(BOB)).targets().len(), 2);
    assert_eq!(About::PersonAtApp(whom(BOB), app).targets().len(), 2);
    assert_eq!(About::Device(DeviceId::new("d").unwrap()).targets().len(), 1);
}
