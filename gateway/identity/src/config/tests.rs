use std::path::Path;

use doorward_model::{IssuerId, KeyPath, LifecycleStage};

use super::*;

#[derive(Deserialize)]
struct File {
    issuer: Vec<IssuerSection>,
}

/// The issuers, and the complaints as `where: what (help)`.
fn read(toml: &str) -> (Vec<Issuer>, Vec<String>) {
    let file: File = toml::from_str(toml).unwrap();
    let mut complaints = Vec::new();
    let issuers = check(&file.issuer, &KeyPath::top().key("issuer"), Path::new("/nowhere"), &mut complaints);
    let said =
        complaints.iter().map(|c| format!("{c} ({})", c.help.as_deref().unwrap_or("no help"))).collect();
    (issuers, said)
}

const GOOD: &str =
    "id='corp'\nissuer='https://idp.corp.example'\naudiences=['doorward']\nalgorithms=['RS256']\n";

/// `GOOD` with the lines that `changes` has in place of those of the same key.
fn changed(changes: &str) -> String {
    let key = |line: &str| line.split(['=', '.']).next().unwrap_or("").trim().to_owned();
    let new: Vec<String> = changes.lines().map(key).collect();
    let kept: Vec<&str> = GOOD.lines().filter(|l| !new.contains(&key(l))).collect();
    format!("[[issuer]]\n{}\n{changes}\n", kept.join("\n"))
}

#[test]
fn a_short_table_is_enough_and_has_defaults() {
    let (issuers, said) = read(&changed(""));
    assert_eq!(said, Vec::<String>::new());
    let issuer = &issuers[0];
    assert_eq!((issuer.id().as_str(), issuer.url()), ("corp", "https://idp.corp.example"));
    assert_eq!(issuer.token_types, ["at+jwt", "jwt"]);
    assert!(
        matches!(&issuer.keys, KeySource::Discovery { issuer, .. } if issuer == "https://idp.corp.example")
    );
    assert!(matches!(issuer.subjects, Subjects::Users));
    assert_eq!(issuer.claims.session.as_str(), "sid");
    assert_eq!(issuer.assurance.mfa_amr, ["mfa"]);
    assert!(issuer.assurance.phishing_resistant_amr.is_empty());
}

#[test]
fn the_example_configuration_is_good() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/doorward.example.toml");
    let (issuers, said) = read(&std::fs::read_to_string(path).unwrap());
    assert_eq!(said, Vec::<String>::new());
    // RFC 8176: `otp` and `hwk` are one factor each, and a key in software can be copied.
    assert_eq!(issuers[0].assurance.mfa_amr, ["mfa"]);
    assert!(!issuers[0].assurance.phishing_resistant_amr.contains(&"swk".to_owned()));
}

#[test]
fn what_may_be_written_may_be_written() {
    for changes in [
        "algorithms=['RS256','PS256']",
        "algorithms=['ES256','ES384']",
        "algorithms=['EdDSA']",
        "issuer='http://localhost:9000/realms/x'",
        "issuer='http://127.0.0.1:9000'",
        "issuer='http://idp.localhost:9000'",
        "issuer='https://idp.corp.example/'",
        "issuer='accounts.corp.example'\njwks_uri='https://accounts.corp.example/keys'",
        "jwks_uri='https://elsewhere.example/keys?v=1'",
        "token_types=['','application/at+jwt']",
        "subjects='users'",
        "claims.stage_default='unknown'",
        "email_domains=['corp.example','Lab.Corp.example']\nfirst_sign_in=true",
        "email_domains=[]\nfirst_sign_in=false",
        "claims.email_verified='xms_edov'\nclaims.email_verified_text=true",
        "subject_claim='sub'",
        "subject_claim='uid'",
        "subject_claim='oid'\ntenant='0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab'",
    ] {
        let (issuers, said) = read(&changed(changes));
        assert_eq!((issuers.len(), said), (1, vec![]), "{changes}");
    }
}

#[test]
fn each_mistake_has_its_complaint() {
    for (changes, at, says) in [
        ("id='Corp'", "issuer[0].id", "not an issuer name"),
        ("issuer='http://idp.corp.example'", "issuer[0].issuer", "not https"),
        ("issuer='HTTP://idp.corp.example'", "issuer[0].issuer", "not https"),
        ("issuer='https://login.example/{tenantid}/v2.0'", "issuer[0].issuer", "stands for many issuers"),
        ("issuer=''", "issuer[0].issuer", "is not an issuer"),
        ("issuer='https://idp corp'", "issuer[0].issuer", "is not an issuer"),
        ("issuer='accounts.corp.example'", "issuer[0].issuer", "cannot be discovered"),
        ("issuer='https://idp.corp.example?x=1'", "issuer[0].issuer", "cannot be discovered"),
        ("issuer='https://u:p@idp.corp.example'", "issuer[0].issuer", "cannot be discovered"),
        ("audiences=[]", "issuer[0].audiences", "is empty"),
        ("audiences=['doorward',' ']", "issuer[0].audiences[1]", "is empty"),
        ("algorithms=[]", "issuer[0].algorithms", "is empty"),
        ("algorithms=['none']", "issuer[0].algorithms[0]", "anyone can write a token"),
        ("algorithms=['NONE']", "issuer[0].algorithms[0]", "no signature at all"),
        ("algorithms=['HS256']", "issuer[0].algorithms[0]", "who can check such a token can also make one"),
        ("algorithms=['hs512']", "issuer[0].algorithms[0]", "shared secret"),
        ("algorithms=['rs256']", "issuer[0].algorithms[0]", "did you mean `RS256`"),
        ("algorithms=['ES265']", "issuer[0].algorithms[0]", "did you mean `ES256`"),
        ("algorithms=['EdDSSA']", "issuer[0].algorithms[0]", "did you mean `EdDSA`"),
        ("algorithms=['ML-DSA-44']", "issuer[0].algorithms[0]", "accepted are RS256"),
        (
            "algorithms=['RS256','ES256']",
            "issuer[0].algorithms",
            "RS256 and ES256 need keys of different kinds",
        ),
        ("algorithms=['EdDSA','ES256']", "issuer[0].algorithms", "different kinds"),
        ("token_types=[]", "issuer[0].token_types", "is empty"),
        ("token_types=['JWT','application/logout+JWT']", "issuer[0].token_types[1]", "not an access token"),
        ("jwks_uri='http://idp.corp.example/keys'", "issuer[0].jwks_uri", "not an https address"),
        ("jwks_uri='keys.json'", "issuer[0].jwks_uri", "not an https address"),
        ("jwks_uri='https://x.example/'\njwks_file='x'", "issuer[0].jwks_file", "both"),
        ("jwks_file='missing.jwks'", "issuer[0].jwks_file", "`/nowhere/missing.jwks` cannot be read"),
        ("subjects='people'", "issuer[0].subjects", "not a kind of subject"),
        ("subjects='service_accounts'", "issuer[0].subjects", "need `claims.owner`"),
        ("claims.owner='owner'", "issuer[0].claims.owner", "people have no owner"),
        ("owner_issuer='corp'", "issuer[0].owner_issuer", "people have no owner"),
        (
            "subjects='service_accounts'\nclaims.owner='owner'",
            "issuer[0].subjects",
            "there is no issuer of people",
        ),
        ("email_domains=['corp']", "issuer[0].email_domains[0]", "not a mail domain"),
        ("email_domains=['a.example','*.corp.example']", "issuer[0].email_domains[1]", "not a mail domain"),
        ("first_sign_in=true", "issuer[0].first_sign_in", "nobody could join"),
        ("first_sign_in=true\nemail_domains=[]", "issuer[0].first_sign_in", "nobody could join"),
        ("subject_claim='email'", "issuer[0].subject_claim", "given to successors"),
        ("subject_claim='preferred_username'", "issuer[0].subject_claim", "cannot name people"),
        ("subject_claim='oid'", "issuer[0].subject_claim", "none is named"),
        ("subject_claim='oid'\ntenant='corp'", "issuer[0].tenant", "not the id of a tenant"),
        ("tenant='0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab'", "issuer[0].tenant", "has no use"),
        (
            "subject_claim='oid'\ntenant='0f0e0d0c-aaaa-4bbb-8ccc-1234567890ab'\n\
             issuer='https://login.example/0f0e0d0c-aaaa-4bbb-8ccc-1234567890ac/v2.0'",
            "issuer[0].tenant",
            "the same tenant in both",
        ),
        ("claims.email_verified=''", "issuer[0].claims.email_verified", "not the name of a claim"),
        ("claims.groups=''", "issuer[0].claims.groups", "not the name of a claim"),
        ("claims.tags=['a','']", "issuer[0].claims.tags[1]", "not the name of a claim"),
        ("claims.stage_default='Active'", "issuer[0].claims.stage_default", "not a stage"),
        ("assurance.mfa_acr=['']", "issuer[0].assurance.mfa_acr[0]", "nothing said proves nothing"),
    ] {
        let (issuers, said) = read(&changed(changes));
        assert_eq!((issuers.len(), said.len()), (0, 1), "{changes}: {said:#?}");
        assert!(said[0].starts_with(&format!("{at}: ")) && said[0].contains(says), "{changes}: {}", said[0]);
    }
}

#[test]
fn service_accounts_are_owned_by_people() {
    let people = changed("");
    let robots = |more: &str| {
        let changes =
            "id='robots'\nissuer='https://robots.example'\nsubjects='service_accounts'\nclaims.owner='owner'";
        changed(&format!("{changes}\n{more}"))
    };
    for (more, owners) in [("", None), ("owner_issuer='corp'", Some("corp"))] {
        for toml in [format!("{people}{}", robots(more)), format!("{}{people}", robots(more))] {
            let (issuers, said) = read(&toml);
            assert_eq!((issuers.len(), said), (2, vec![]), "{more}");
            let robots = issuers.iter().find(|i| i.id().as_str() == "robots").unwrap();
            let Subjects::ServiceAccounts { owner } = &robots.subjects else { panic!("people") };
            assert_eq!(owner.issuer.as_ref().map(IssuerId::as_str), owners);
        }
    }
    for named in ["robots", "nobody", "", "Corp"] {
        let (_, said) = read(&format!("{people}{}", robots(&format!("owner_issuer='{named}'"))));
        assert_eq!(said.len(), 1, "{named}: {said:?}");
        let expect = format!("issuer[1].owner_issuer: `{named}` is not the `id` of an issuer of people");
        assert!(said[0].starts_with(&expect) && said[0].contains("`corp`"), "{}", said[0]);
    }
}

#[test]
fn an_issuer_speaks_for_no_address_unless_the_file_says_so() {
    let vouches = |changes: &str| read(&changed(changes)).0[0].vouches().clone();
    assert_eq!(vouches(""), Vouches::default());
    let corp = vouches("email_domains=['Corp.example']");
    assert_eq!(corp.email_domains.iter().map(|d| d.as_str()).collect::<Vec<_>>(), ["corp.example"]);
    assert!(!corp.first_sign_in, "that is another question");
    assert!(vouches("email_domains=['corp.example']\nfirst_sign_in=true").first_sign_in);
}

#[test]
fn machines_do_not_join() {
    let machines =
        "id='robots'\nissuer='https://r.example'\nsubjects='service_accounts'\nclaims.owner='owner'";
    for more in ["email_domains=['corp.example']", "first_sign_in=true"] {
        let (_, said) = read(&format!("{}{}", changed(""), changed(&format!("{machines}\n{more}"))));
        assert!(said.len() == 1 && said[0].contains("service accounts do not join"), "{said:?}");
    }
}

#[test]
fn a_stage_that_is_looked_for_and_not_there_is_unknown() {
    for (changes, stage) in [
        ("", LifecycleStage::Active),
        ("claims.stage='stage'", LifecycleStage::Unknown),
        ("claims.stage='hr.stage'", LifecycleStage::Unknown),
        ("claims.stage='stage'\nclaims.stage_default='active'", LifecycleStage::Active),
        ("claims.stage_default='leave'", LifecycleStage::Leave),
    ] {
        assert_eq!(read(&changed(changes)).0[0].claims.stage_default, stage, "{changes}");
    }
}

#[test]
fn all_complaints_come_at_once() {
    let (issuers, said) =
        read("[[issuer]]\n[[issuer]]\nid=''\nalgorithms=['HS256','none','x']\nsubjects='x'\n");
    assert_eq!(issuers.len(), 0);
    let at: Vec<&str> = said.iter().map(|s| s.split(": ").next().unwrap()).collect();
    assert_eq!(
        at,
        [
            "issuer[0]",
            "issuer[0]",
            "issuer[0]",
            "issuer[0]",
            "issuer[1].id",
            "issuer[1]",
            "issuer[1]",
            "issuer[1].algorithms[0]",
            "issuer[1].algorithms[1]",
            "issuer[1].algorithms[2]",
            "issuer[1].subjects",
        ],
        "{said:#?}"
    );
}

#[test]
fn two_tables_are_two_issuers() {
    let first = changed("");
    let (issuers, said) = read(&format!("{first}{}", changed("id='two'")));
    assert_eq!(issuers.len(), 1);
    assert!(
        said[0].contains("issuer[1].issuer") && said[0].contains("already the issuer of issuer[0]"),
        "{said:?}"
    );
    let (issuers, said) = read(&format!("{first}{}", changed("issuer='https://other.example'")));
    assert_eq!(issuers.len(), 1);
    assert!(said[0].contains("issuer[1].id") && said[0].contains("already the id of issuer[0]"), "{said:?}");
}
