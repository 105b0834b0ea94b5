//! A review as it is printed.

use super::*;

fn about_payroll() -> Table {
    Table::about(About::Who { action: Action::Get, asked: "payroll/all".to_owned() })
}

fn row_of(name: &str, answer: u64) -> Value {
    let who = json!({ "name": name, "id": format!("corp:{name}"), "kind": "user" });
    json!({ "who": who, "action": "GET", "route": "payroll/all", "answer": answer, "revision": "r" })
}

fn table() -> Table {
    let mut table = about_payroll();
    let permit = json!({ "policy": "p", "needs": ["from DE"], "cedar": "x" });
    let forbid = json!({ "policy": "f", "needs": ["more than one factor", "on weekdays"], "cedar": "x" });
    let terms =
        json!({ "whose": "asker", "by": [], "permits": [permit], "forbids": [forbid], "may_fail": [] });
    let never = json!({ "answer": "never", "whose": "person", "because": "forbidden", "policies": ["g"], "detail": null });
    let first = json!({
        "revision": "r", "next": "x",
        "answers": [never, { "answer": "if", "terms": [terms] }],
        "rows": [row_of("=carol", 0), row_of("alice", 1)],
    });
    table.add(&first).unwrap();
    let second = json!({
        "revision": "r",
        "answers": [{ "answer": "if", "terms": [terms] }, { "answer": "always", "by": ["a"] }],
        "rows": [row_of("bob", 0), row_of("dana", 1)],
    });
    table.add(&second).unwrap();
    table
}

#[test]
fn each_answer_stands_once_with_everybody_whose_it_is() {
    let expected = "\
who can GET payroll/all, by policies r: 4 people, 0 programs

always  dana
    permitted  a

if  alice, bob
    permitted if from DE  p
    more than one factor  f
    on weekdays           f

never  =carol
    forbidden (its person)  g

";
    assert_eq!(table().human(Style::Plain), expected);
    let json = table().to_json();
    assert_eq!(json["groups"].as_array().unwrap().len(), 3);
    assert_eq!(json["groups"][1]["rows"].as_array().unwrap().len(), 2);
}

/// A review without its question, or without the policies that answer it, is worth nothing.
#[test]
fn it_says_what_was_asked_and_where_that_led() {
    let mut table = Table::about(About::Who { action: Action::Get, asked: "payroll/runs\u{1b}".to_owned() });
    let visitor = json!({ "name": "visitor", "id": null, "kind": "visitor" });
    let row =
        json!({ "who": visitor, "action": "GET", "route": "payroll/all", "answer": 0, "revision": "abc" });
    let never = json!({ "answer": "never", "because": "not_permitted", "policies": [] });
    table.add(&json!({ "revision": "0123456789abcdef", "answers": [never], "rows": [row] })).unwrap();
    let told = table.human(Style::Plain);
    let head = "who can GET payroll/all (asked for payroll/runs\\u{1b}), by policies 0123456789ab: \
                nobody is known, but whoever has not signed in\n";
    assert!(told.starts_with(head), "{told}");
}

#[test]
fn of_one_person_it_says_what_they_can_do() {
    let row = |action: &str, answer: u64| {
        let who = json!({ "name": "alice", "id": "corp:alice", "kind": "user" });
        json!({ "who": who, "action": action, "route": "payroll/all", "answer": answer })
    };
    let answers =
        json!([{ "answer": "always", "by": ["a"] }, { "answer": "never", "because": "not_permitted" }]);
    let mut table = Table::about(About::What { who: "alice".to_owned() });
    let rows = [row("GET", 0), row("POST", 1), row("HEAD", 0)];
    table.add(&json!({ "revision": "r", "answers": answers, "rows": rows })).unwrap();
    let expected = "\
what alice can do, by policies r: 1 route

always  GET/HEAD payroll/all
    permitted  a

never  POST payroll/all
    no policy permits it

";
    assert_eq!(table.human(Style::Plain), expected);
}

#[test]
fn whoever_has_several_sign_ins_is_one_person_and_each_is_told_apart() {
    let row = |id: &str, answer: u64, revision: &str| {
        let who = json!({ "name": "alice", "id": id, "kind": "user", "record": "1" });
        json!({ "who": who, "action": "GET", "route": "wiki/all", "answer": answer, "revision": revision })
    };
    let answers =
        json!([{ "answer": "always", "by": ["a"] }, { "answer": "never", "because": "not_permitted" }]);
    let page = json!({
        "revision": "r", "staged": { "revision": "s" }, "answers": answers,
        "rows": [row("corp:alice", 1, "r"), row("other:alice", 0, "s")],
    });
    let told = |about| {
        let mut table = Table::about(about);
        table.add(&page).unwrap();
        table.human(Style::Plain)
    };
    let expected = "\
who can GET wiki/all, by policies r: 1 person, 0 programs
policies s are being rolled out; an answer with * is by those

always  alice (other:alice)*
    permitted  a

never  alice (corp:alice)
    no policy permits it

";
    assert_eq!(told(About::Who { action: Action::Get, asked: "wiki/all".to_owned() }), expected);
    let told = told(About::What { who: "alice".to_owned() });
    assert!(told.contains("always  alice (other:alice): GET wiki/all*\n"), "{told}");
}

#[test]
fn beside_a_long_condition_the_columns_stay_where_they_are() {
    let long = "x".repeat(LINE_MAX + 1);
    let forbid = json!({ "policy": "f", "needs": ["more than one factor", long], "cedar": "x" });
    let terms = json!({ "whose": "asker", "by": ["p"], "permits": [], "forbids": [forbid], "may_fail": [] });
    let mut table = about_payroll();
    let answers = json!([{ "answer": "if", "terms": [terms] }]);
    table.add(&json!({ "revision": "r", "answers": answers, "rows": [row_of("alice", 0)] })).unwrap();
    let expected = format!(
        "if  alice\n    permitted             p\n    more than one factor  f\n    {long}\n                          f\n\n"
    );
    let told = table.human(Style::Plain);
    assert!(told.ends_with(&expected), "{told}");
}

#[test]
fn a_spreadsheet_gets_a_line_for_each_and_no_formula() {
    let csv = table().csv();
    let lines: Vec<_> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 6, "{csv}");
    assert_eq!(lines[1], "'=carol,corp:=carol,user,GET,payroll/all,never,g,forbidden (its person) [g],,r");
    assert!(
        lines[2].starts_with("alice,corp:alice,user,GET,payroll/all,if,f p,\"permitted if from DE [p]; ")
    );
}

#[test]
fn answers_by_other_policies_are_not_mixed() {
    let mut table = table();
    assert!(table.add(&json!({ "revision": "s", "answers": [], "rows": [] })).is_err());
    let staged = json!({ "revision": "r", "staged": { "revision": "s" }, "answers": [], "rows": [] });
    assert!(table.add(&staged).is_err(), "a roll-out began");
    assert!(table.add(&json!({ "revision": "r", "answers": [], "rows": [{ "answer": 0 }] })).is_err());
    assert!(table.add(&json!({ "revision": "r", "answers": [], "rows": [] })).is_ok());
}

/// Whoever reads a review must not take for nobody whom it cannot tell of.
#[test]
fn whom_the_directory_does_not_tell_of_is_said_in_every_format() {
    let told = |about| {
        let mut table = Table::about(about);
        let never = json!({ "answer": "never", "because": "not_permitted", "policies": [] });
        let page = json!({
            "revision": "r", "as_tokens_say": ["lab", "=x"], "answers": [never], "rows": [row_of("alice", 0)],
        });
        table.add(&page).unwrap();
        (table.human(Style::Plain), table.csv(), table.to_json())
    };
    let (human, csv, json) = told(About::Who { action: Action::Get, asked: "payroll/runs".to_owned() });
    assert!(human.contains("\nnot listed: whoever comes by `lab`, `=x`, as their token says"), "{human}");
    let lines: Vec<_> = csv.split_terminator("\r\n").collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(
        lines[2].starts_with("lab,,issuer,GET,payroll/all,unknown,,whoever comes by this issuer"),
        "{csv}"
    );
    assert!(lines[3].starts_with("'=x,,issuer,"), "{csv}");
    assert_eq!(json["as_tokens_say"], json!(["lab", "=x"]));
    let (human, csv, _) = told(About::What { who: "alice".to_owned() });
    assert!(human.contains("whoever comes as alice by `lab`, `=x` is as their token says"), "{human}");
    assert!(csv.contains("\r\nlab,,issuer,,,unknown,"), "{csv}");
    let (human, csv, _) = told(About::What { who: "visitor".to_owned() });
    assert!(!human.contains("lab") && !csv.contains("lab"), "{human}{csv}");
}
