//! What one answer says, in lines.

use serde_json::Value;

use super::super::super::super::printable;

/// A member as text; nothing where there is none.
pub(super) fn text(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

pub(super) fn maybe(value: &Value, member: &str) -> Option<String> {
    value.get(member).and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn words(value: &Value, member: &str) -> Vec<String> {
    list(value, member).iter().filter_map(Value::as_str).map(printable).collect()
}

/// Every line that says what an answer comes to, with the policy behind it.
pub(super) fn asked(answer: &Value) -> Vec<(String, Option<String>)> {
    let by = |of: &Value, member: &str| words(of, member).join(", ");
    match text(answer, "answer").as_str() {
        "always" => vec![("permitted".to_owned(), Some(by(answer, "by")))],
        "if" => list(answer, "terms").iter().flat_map(terms).collect(),
        _ => {
            let whose = if text(answer, "whose") == "person" { " (its person)" } else { "" };
            let policies = Some(by(answer, "policies")).filter(|p| !p.is_empty());
            let line = match text(answer, "because").as_str() {
                "not_permitted" => "no policy permits it".to_owned(),
                "forbidden" => "forbidden".to_owned(),
                "fails" => "a policy cannot be evaluated, which refuses".to_owned(),
                _ => format!("it cannot be asked: {}", printable(&text(answer, "detail"))),
            };
            vec![(line + whose, policies)]
        }
    }
}

/// The lines of one who must be allowed.
fn terms(terms: &Value) -> Vec<(String, Option<String>)> {
    let person = if text(terms, "whose") == "person" { "its person: " } else { "" };
    let mut lines = Vec::new();
    let by = words(terms, "by").join(", ");
    if !by.is_empty() {
        lines.push((format!("{person}permitted"), Some(by)));
    }
    let permits = list(terms, "permits");
    for permit in permits {
        let needs = words(permit, "needs").join(" and ");
        let one_of = if permits.len() > 1 { "one of these: " } else { "" };
        lines.push((
            format!("{person}{one_of}permitted if {needs}"),
            Some(printable(&text(permit, "policy"))),
        ));
    }
    for forbid in list(terms, "forbids") {
        let policy = printable(&text(forbid, "policy"));
        lines.extend(
            words(forbid, "needs").into_iter().map(|n| (format!("{person}{n}"), Some(policy.clone()))),
        );
    }
    let may_fail = words(terms, "may_fail").join(", ");
    if !may_fail.is_empty() {
        lines.push((format!("{person}computing does not fail, which refuses"), Some(may_fail)));
    }
    lines
}

/// Every policy that has a say in it.
pub(super) fn policies(answer: &Value) -> Vec<String> {
    let mut all = [words(answer, "by"), words(answer, "policies")].concat();
    for terms in list(answer, "terms") {
        all.extend(words(terms, "by"));
        let clauses = list(terms, "permits").iter().chain(list(terms, "forbids"));
        all.extend(clauses.map(|clause| printable(&text(clause, "policy"))));
    }
    all.sort();
    all.dedup();
    all
}

/// A cell. What a spreadsheet would take for a formula is text.
pub(super) fn quoted(cell: &str) -> String {
    let cell = printable(cell);
    let cell = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell };
    if cell.contains(['"', ',', '\n', '\r', ';']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}
