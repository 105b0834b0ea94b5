//! Filters as a table: what is read, what it matches, which index it asks for.

use doorward_lifecycle::scim::{ErrorKind, Filter, Lookup, ResourceType};
use serde_json::{Map, Value, json};

use crate::world::{ID, ada, body, envelope, group, resource};

/// Ada as clients read her, with a group.
fn shown() -> Map<String, Value> {
    ada().resource(&envelope(), Some(vec![json!({"value": "g1", "display": "Engineers", "type": "direct"})]))
}

#[test]
fn a_filter_matches_what_the_rfc_says() {
    let ada = shown();
    for (text, expect) in [
        // Operators, and case.
        (r#"userName eq "ADA@EXAMPLE.COM""#, true),
        (r#"USERNAME EQ "ada@example.com""#, true),
        (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName Eq "ada@example.com""#, true),
        (r#"userName ne "ada@example.com""#, false),
        (r#"userName ne "other""#, true),
        (r#"userName co "A@EX""#, true),
        (r#"userName sw "ada@""#, true),
        (r#"userName ew ".COM""#, true),
        (r#"userName sw "example""#, false),
        (r#"userName gt "ada""#, true),
        (r#"userName lt "ada""#, false),
        (r#"userName ge "ada@example.com""#, true),
        (r#"userName le "ada@example.com""#, true),
        (r#"externalId eq "00uA""#, true),
        (r#"externalId eq "00ua""#, false),
        (r#"id sw "0199C0DE""#, false),
        // Presence and absence.
        ("title pr", true),
        ("nickName pr", false),
        ("emails pr", true),
        ("addresses pr", false),
        ("not (nickName pr)", true),
        (r#"nickName eq "x""#, false),
        (r#"nickName ne "x""#, true),
        (r#"nickName gt "a""#, false),
        ("nickName eq null", true),
        ("title eq null", false),
        ("title ne NULL", true),
        // Booleans and moments.
        ("active eq true", true),
        ("active eq True", true),
        (r#"active eq "True""#, true),
        ("active ne false", true),
        ("active eq false", false),
        (r#"meta.lastModified gt "2025-11-21T07:59:59Z""#, true),
        (r#"meta.lastModified gt "2025-11-21T10:00:00+02:00""#, true),
        (r#"meta.lastModified gt "2025-11-21T08:00:01Z""#, false),
        (r#"meta.created eq "2025-11-21T08:00:00Z""#, true),
        (r#"meta.resourceType eq "User""#, true),
        // Parts, lists, extensions.
        (r#"name.familyName co "LOVE""#, true),
        (r#"emails eq "ada@home.example""#, true),
        (r#"emails.type eq "home""#, true),
        (r#"emails.type eq "other""#, false),
        (r#"emails[type eq "work"]"#, true),
        (r#"emails[type eq "work" and value co "home"]"#, false),
        (r#"emails[type eq "work" or value co "home"]"#, true),
        (r#"emails[not (type eq "work")]"#, true),
        (r#"emails[primary eq true].value eq "ada@example.com""#, true),
        (r#"emails[type eq "home"].primary pr"#, false),
        (r#"groups.value eq "g1""#, true),
        (r#"groups[display eq "engineers"]"#, true),
        (r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#, true),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "engines""#, true),
        (r#"manager eq "u-boss""#, true),
        (r#"manager.value eq "U-BOSS""#, false),
        // Precedence, escapes, spaces.
        (r#"title eq "x" and title eq "y" or active eq true"#, true),
        (r#"active eq true or title eq "x" and title eq "y""#, true),
        (r#"(active eq true or title eq "x") and title eq "y""#, false),
        (r#"not(title eq "x")and(active eq true)"#, true),
        (r#"  title   eq   "Analy\u0073t"  "#, true),
        (r#"title eq "Analyst\" or active eq \"""#, false),
        (r#"title eq "and""#, false),
    ] {
        let filter = Filter::parse(ResourceType::User, text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(filter.matches(&ada), expect, "{text}");
    }
}

#[test]
fn a_filter_that_cannot_be_answered_is_refused() {
    for text in [
        "",
        " ",
        "userName",
        "userName eq",
        "userName eq ada",
        r#"userName eq "ada"#,
        r#"userName eq "ada" "bob""#,
        r#"userName eq "ada" and"#,
        r#"userName eq "ada" or or title pr"#,
        r#"userName = "ada""#,
        r#"userName like "ada""#,
        r#"eq "ada""#,
        r#"(userName eq "ada""#,
        r#"userName eq "ada")"#,
        "not userName pr",
        "not",
        "()",
        "userName eq 5",
        "userName eq true",
        "userName gt null",
        "active gt true",
        "active co true",
        "active eq 1",
        r#"active eq "yes""#,
        r#"name eq "Ada""#,
        r#"meta.created gt "yesterday""#,
        r#"meta.created co "2025-11-21T08:00:00Z""#,
        r#"meta eq "x""#,
        "favouriteColor pr",
        "name.color pr",
        r#"emails[favourite pr]"#,
        r#"emails[type eq "work""#,
        r#"emails[]"#,
        r#"emails[emails[type pr]]"#,
        r#"userName[value eq "x"]"#,
        r#"emails.type[value eq "x"]"#,
        r#"emails[type pr].color pr"#,
        r#"emails[type pr]. value pr and"#,
        r#"emails[type pr]."#,
        "members pr",
        "title pr; drop",
        "títle pr",
        "urn:ietf:params:scim:schemas:core:2.0:User pr",
        "\u{0}",
    ] {
        let e = Filter::parse(ResourceType::User, text).err().unwrap_or_else(|| panic!("`{text}` was read"));
        assert_eq!((e.kind(), e.status()), (ErrorKind::InvalidFilter, 400), "{text}");
    }
}

#[test]
fn an_index_is_asked_only_for_what_it_surely_finds() {
    let user = |name: &str| Lookup::UserName(name.to_owned());
    for (text, expect) in [
        (r#"userName eq "ADA""#, Some(vec![user("ada")])),
        (r#"id eq "AbC""#, Some(vec![Lookup::Id("AbC".to_owned())])),
        (r#"userName eq "a" or userName eq "B""#, Some(vec![user("a"), user("b")])),
        (r#"(userName eq "a" or userName eq "b") and id eq "x""#, Some(vec![Lookup::Id("x".to_owned())])),
        (r#"userName eq "a" and title pr"#, Some(vec![user("a")])),
        (r#"emails.value eq "X@y""#, Some(vec![Lookup::Email("x@y".to_owned())])),
        (
            r#"emails[value eq "X@y" or value eq "z"]"#,
            Some(vec![Lookup::Email("x@y".to_owned()), Lookup::Email("z".to_owned())]),
        ),
        (r#"groups.value eq "g1""#, Some(vec![Lookup::InGroup("g1".to_owned())])),
        // None of these names all that match.
        (r#"userName eq "a" or title pr"#, None),
        (r#"not (userName eq "a")"#, None),
        (r#"userName ne "a""#, None),
        (r#"userName sw "a""#, None),
        ("userName eq null", None),
        (r#"emails[not (value eq "x")]"#, None),
        (r#"emails[value eq "x" or type eq "work"]"#, None),
        (r#"emails.type eq "work""#, None),
        (r#"name.familyName eq "a""#, None),
        (r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "id""#, None),
    ] {
        assert_eq!(Filter::parse(ResourceType::User, text).unwrap().lookup(), expect, "{text}");
    }
    let members = Filter::parse(ResourceType::Group, r#"members eq "u1""#).unwrap();
    assert_eq!(members.lookup(), Some(vec![Lookup::Member("u1".to_owned())]));
}

#[test]
fn a_group_is_found_by_its_members_when_they_are_shown() {
    let stored = group(r#"{"displayName":"All"}"#);
    let with = stored.resource(&envelope(), Some(vec![json!({"value": "u1", "type": "User"})]));
    let filter = Filter::parse(ResourceType::Group, r#"members[value eq "u1" and type eq "user"]"#).unwrap();
    assert!(filter.matches(&with) && !filter.matches(&resource(&stored)));
    assert_eq!(with["id"], ID);
    // A root search reads the filter for each type; what one of them does not have is its error.
    assert!(Filter::parse(ResourceType::Group, r#"userName eq "x""#).is_err());
    assert!(Filter::parse(ResourceType::Group, r#"displayName eq "x""#).is_ok());
    assert_eq!(body("{}"), Map::new());
}
