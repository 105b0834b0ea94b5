//! Whatever comes in: no panic, and what is stored stays what a document may be.

use std::collections::BTreeSet;

use doorward_lifecycle::scim::bulk::BulkRequest;
use doorward_lifecycle::scim::etag::Precondition;
use doorward_lifecycle::scim::list::Query;
use doorward_lifecycle::scim::schema::fold;
use doorward_lifecycle::scim::{
    Asserted, Document, Filter, Lookup, PatchRequest, Projection, ResourceType, json as wire, write,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use serde_json::{Map, Value, json};

use crate::world::{ada, envelope, group, operations, patched, resource};

/// Names that mean something, and some that do not.
const NAMES: [&str; 24] = [
    "userName",
    "USERNAME",
    "active",
    "title",
    "externalId",
    "name",
    "name.givenName",
    "emails",
    "emails.value",
    "emails[type eq \"work\"]",
    "emails[type eq \"work\"].value",
    "emails[type eq \"home\"].primary",
    "roles",
    "roles[primary eq true].value",
    "addresses[type eq \"work\"].country",
    "manager",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "id",
    "password",
    "nothing",
    "emails[",
    "",
    "displayName",
];

/// Words of which filters are made.
const WORDS: [&str; 26] = [
    "userName",
    "title",
    "active",
    "emails",
    "emails.value",
    "emails[",
    "]",
    "].value",
    "(",
    ")",
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "co",
    "pr",
    "gt",
    "\"ada@example.com\"",
    "\"work\"",
    "true",
    "null",
    "type",
    "value",
    "\"",
    "5",
];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![9 => prop::sample::select(&NAMES[..]).prop_map(str::to_owned), 1 => ".{0,20}"]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        prop::sample::select(&["work", "home", "False", "ada@example.com", "admin", ""][..])
            .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ]
}

/// A value such as those of people, with the names of their parts.
fn any_value() -> impl Strategy<Value = Value> {
    let part = prop::sample::select(
        &["value", "type", "primary", "display", "givenName", "department", "manager", "country", "TYPE"][..],
    );
    leaf().prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop_oneof![part.clone().prop_map(str::to_owned), name()], inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn operation() -> impl Strategy<Value = Value> {
    (
        prop::sample::select(&["add", "Replace", "remove"][..]),
        prop::option::of(name()),
        prop::option::of(any_value()),
    )
        .prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}))
}

/// A filter that can often be read.
fn filter() -> impl Strategy<Value = String> {
    let value = prop::sample::select(
        &["\"ada@example.com\"", "\"u1\"", "\"b\"", "\"admin\"", "\"Ada@Example.com\"", "true", "null"][..],
    );
    let path = prop::sample::select(
        &[
            "userName",
            "displayName",
            "emails",
            "emails.value",
            "externalId",
            "title",
            "groups.value",
            "active",
            "emails[type eq \"work\"].value",
            "emails[value eq \"b\" or value eq \"ada@example.com\"].type",
        ][..],
    );
    let operator = prop::sample::select(&["eq", "ne", "sw", "co"][..]);
    let term =
        (path, operator, value).prop_map(|(path, operator, value)| format!("{path} {operator} {value}"));
    term.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) or ({b})")),
            inner.prop_map(|a| format!("not ({a})")),
        ]
    })
}

/// A document is what a document may be: reading it again gives it again, and no more than one value
/// of a list is primary.
fn check(document: &Document) -> TestCaseResult {
    let Value::Object(attributes) = document.to_json() else { panic!("not an object") };
    for list in attributes.values().filter_map(Value::as_array) {
        prop_assert!(list.iter().filter(|e| e["primary"] == json!(true)).count() <= 1, "{list:?}");
    }
    let again = write::create(document.kind(), attributes).map(|w| w.document);
    prop_assert_eq!(again.as_ref(), Ok(document));
    prop_assert!(!document.to_json().to_string().contains("password"));
    Ok(())
}

/// The keys that an index has of a resource.
fn keys(document: &Document, groups: &[&str]) -> BTreeSet<Lookup> {
    let mut keys: BTreeSet<Lookup> = document.folded_emails().into_iter().map(Lookup::Email).collect();
    keys.extend(document.user_name().map(|n| Lookup::UserName(fold(n))));
    keys.extend(document.display_name().map(|n| Lookup::DisplayName(fold(n))));
    keys.extend(document.external_id().map(|n| Lookup::ExternalId(n.to_owned())));
    keys.extend(groups.iter().map(|g| Lookup::InGroup((*g).to_owned())));
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_filter_or_is_refused(text in ".{0,200}") {
        for kind in ResourceType::ALL {
            let _ = Filter::parse(kind, &text);
        }
        let _ = Query::from_url(&text);
        let _ = Precondition::read(Some(&text), Some(&text));
        let _ = Projection::read(Some(&text), None).map(|p| p.apply(ResourceType::User, resource(&ada())));
    }

    #[test]
    fn any_words_are_a_filter_or_are_refused(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..30)) {
        let text = words.join(" ");
        if let Ok(filter) = Filter::parse(ResourceType::User, &text) {
            let _ = (filter.matches(&resource(&ada())), filter.lookup());
        }
        let path = format!("emails[{text}].value");
        let body = json!({"Operations": [{"op": "add", "path": path, "value": "x"}]});
        if let Ok(patch) = wire::object(body.to_string().as_bytes()).and_then(|b| PatchRequest::read(ResourceType::User, b)) {
            let _ = patch.apply(&ada(), &Asserted::default());
        }
    }

    #[test]
    fn any_bytes_are_a_body_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = wire::object(&bytes);
        let _ = BulkRequest::read(&bytes);
    }

    #[test]
    fn whatever_is_patched_stays_a_document(list in prop::collection::vec(operation(), 1..6)) {
        let body = json!({"Operations": list}).to_string();
        let read = wire::object(body.as_bytes()).and_then(|b| PatchRequest::read(ResourceType::User, b));
        if let Ok(written) = read.and_then(|p| p.apply(&ada(), &Asserted::default())) {
            check(&written.document)?;
            prop_assert_eq!(written.changed, written.document != ada());
            for name in written.document.differences(&ada()) {
                prop_assert!(written.asserted.contains(&name), "{} changed and nobody said it", name);
            }
        }
    }

    #[test]
    fn whatever_is_created_or_put_is_a_document(entries in prop::collection::vec((name(), any_value()), 0..8)) {
        let body: Map<String, Value> = entries.into_iter().chain([("userName".to_owned(), json!("u"))]).collect();
        let bytes = Value::Object(body).to_string();
        let Ok(body) = wire::object(bytes.as_bytes()) else { return Ok(()) };
        if let Ok(written) = write::create(ResourceType::User, body.clone()) {
            check(&written.document)?;
        }
        if let Ok(written) = write::replace(&ada(), &Asserted::default(), body) {
            check(&written.document)?;
        }
    }

    #[test]
    fn members_come_to_what_one_change_after_the_other_does(
        changes in prop::collection::vec((0..4_u8, prop::collection::vec("[a-e]", 0..4)), 1..8),
        before in prop::collection::btree_set("[a-e]", 0..5),
    ) {
        let (mut naive, mut list) = (before.clone(), Vec::new());
        for (op, members) in changes {
            let value: Vec<Value> = members.iter().map(|m| json!({"value": m})).collect();
            list.push(match op {
                0 => {
                    naive.extend(members);
                    json!({"op": "add", "path": "members", "value": value})
                }
                1 => {
                    naive = members.into_iter().collect();
                    json!({"op": "replace", "path": "members", "value": value})
                }
                2 => {
                    naive.retain(|m| !members.contains(m));
                    json!({"op": "remove", "path": "members", "value": value})
                }
                _ => {
                    naive.clear();
                    json!({"op": "remove", "path": "members"})
                }
            }.to_string());
        }
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let stored = group(r#"{"displayName":"g"}"#);
        let membership = crate::world::patch(&stored, &operations(&list)).unwrap().membership;
        prop_assert_eq!(membership.apply(&before), naive);
        prop_assert!(membership.added().all(|m| membership.removed().all(|r| r != m.id)));
        prop_assert!(!membership.is_cleared() || membership.removed().next().is_none());
    }

    #[test]
    fn what_was_added_and_removed_was_never_there(value in "[a-z]{1,8}", list in 0..3_usize) {
        let (attribute, other) = [("emails", "other"), ("phoneNumbers", "work"), ("addresses", "work")][list];
        let part = if attribute == "addresses" { "country" } else { "value" };
        let add = json!({"op": "add", "path": attribute, "value": [{"type": other, part: value}]}).to_string();
        let remove = json!({"op": "remove", "path": format!("{attribute}[type eq \"{other}\"]")}).to_string();
        let with = patched(&ada(), &add).document;
        prop_assert!(with != ada());
        prop_assert_eq!(patched(&with, &remove).document, ada());
    }

    #[test]
    fn a_projection_of_a_projection_is_the_projection(
        names in prop::collection::vec(prop::sample::select(&[
            "userName", "name.givenName", "name", "emails.value", "emails.type", "meta.version", "manager", "id",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "groups", "groups.display", "nothing",
        ][..]), 1..5),
        exclude in any::<bool>(),
    ) {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let projection = if exclude {
            Projection::from_names(Vec::new(), names).unwrap()
        } else {
            Projection::from_names(names, Vec::new()).unwrap()
        };
        let whole = ada().resource(&envelope(), Some(vec![json!({"value": "g1", "display": "G"})]));
        let once = projection.apply(ResourceType::User, whole);
        prop_assert!(once.contains_key("id") && once.contains_key("schemas"));
        prop_assert!(projection.wants_computed(ResourceType::User) || !once.contains_key("groups"));
        prop_assert_eq!(projection.apply(ResourceType::User, once.clone()), once);
    }

    #[test]
    fn an_index_finds_whoever_matches(text in filter()) {
        let filter = Filter::parse(ResourceType::User, &text).ok();
        // Terms such as `active co true` are refused; all others are read.
        let Some(filter) = filter else { return Ok(()) };
        let others = [r#"{"userName":"b","emails":[{"value":"B","type":"home"}]}"#, r#"{"userName":"u1","displayName":"Admin","externalId":"b"}"#];
        let people = others.map(crate::world::user).into_iter().chain([ada()]);
        for person in people {
            let groups = ["u1", "b"];
            let list = groups.iter().map(|g| json!({"value": g})).collect();
            if filter.matches(&person.resource(&envelope(), Some(list)))
                && let Some(lookup) = filter.lookup()
            {
                let keys = keys(&person, &groups);
                prop_assert!(lookup.iter().any(|l| keys.contains(l)), "{} {:?}", text, lookup);
            }
        }
    }
}
