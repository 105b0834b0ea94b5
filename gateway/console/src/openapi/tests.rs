use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::*;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `get /api/v1/users` and so on, in the document.
fn calls(document: &Value) -> BTreeSet<String> {
    let methods = |(path, of_path): (&String, &Value)| {
        let of_path = of_path.as_object().unwrap().keys().map(|method| format!("{method} {path}"));
        of_path.collect::<Vec<_>>()
    };
    document["paths"].as_object().unwrap().iter().flat_map(methods).collect()
}

/// The same of the router. Axum does not tell its routes, so they are read where they are written.
fn routes() -> BTreeSet<String> {
    let code = std::fs::read_to_string(top().join("gateway/console/src/lib.rs")).unwrap();
    let mut routes = BTreeSet::new();
    for route in code.split(".route(").skip(1) {
        let (_, rest) = route.split_once('"').unwrap();
        let (path, rest) = rest.split_once('"').unwrap();
        let handlers = rest.split("\n        .").next().unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    routes
}

/// Whether a call of the document is one of a route, whose `{action}` and `{kind}` are words.
fn is_of(call: &str, route: &str) -> bool {
    let (call, route): (Vec<_>, Vec<_>) = (call.split('/').collect(), route.split('/').collect());
    let fits = |(call, route): (&&str, &&str)| {
        call == route || (matches!(*route, "{action}" | "{kind}") && !call.starts_with('{'))
    };
    call.len() == route.len() && call.iter().zip(&route).all(fits)
}

#[test]
fn the_document_and_the_router_have_the_same_calls() {
    let (calls, routes) = (calls(&document()), routes());
    assert!(routes.len() > 40, "the routes were not found: {routes:?}");
    let unrouted: Vec<_> =
        calls.iter().filter(|call| !routes.iter().any(|route| is_of(call, route))).collect();
    let untold: Vec<_> = routes.iter().filter(|route| !calls.iter().any(|call| is_of(call, route))).collect();
    assert!(unrouted.is_empty(), "calls of the document that nothing answers: {unrouted:?}");
    assert!(untold.is_empty(), "routes that the document does not tell of: {untold:?}");
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let (document, mut found) = (document(), BTreeSet::new());
    references(&document, &mut found);
    for reference in &found {
        let at = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(at).is_some(), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses", "headers"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            // What another method gets stands nowhere in particular.
            assert!(found.contains(&reference) || name == "MethodNotAllowed", "{reference} is not used");
        }
    }
}

#[test]
fn every_operation_has_a_word_of_its_own_and_links_lead_to_operations() {
    let document = document();
    let operations: Vec<&Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|p| p.as_object().unwrap().values())
        .collect();
    let ids: BTreeSet<&str> = operations.iter().map(|o| o["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), operations.len());
    for operation in operations {
        let answers = operation["responses"].as_object().unwrap().values();
        let links = answers.filter_map(|answer| answer.get("links")?.as_object()).flatten();
        for (to, link) in links {
            assert!(ids.contains(to.as_str()), "{}: no {to}", operation["operationId"]);
            assert_eq!(link["operationId"], to.as_str());
        }
    }
}

#[test]
fn what_an_example_sends_is_named_in_its_schema() {
    let document = document();
    for call in document["paths"].as_object().unwrap().values().flat_map(|p| p.as_object().unwrap().values())
    {
        let Some(body) = call.pointer("/requestBody/content/application~1json") else { continue };
        let example = body["example"].as_object().unwrap();
        let named = body["schema"].get("$ref").and_then(Value::as_str);
        let schema =
            named.map_or(&body["schema"], |name| document.pointer(name.strip_prefix('#').unwrap()).unwrap());
        for required in schema["required"].as_array().into_iter().flatten() {
            assert!(example.contains_key(required.as_str().unwrap()), "{}: {required}", call["operationId"]);
        }
        for name in example.keys() {
            assert!(schema["properties"].get(name).is_some(), "{}: {name}", call["operationId"]);
        }
        assert_eq!(schema["additionalProperties"], false, "{}", call["operationId"]);
    }
}

/// A code stands in the code of the console behind the status: `StatusCode::CONFLICT, "denied"`.
#[test]
fn every_code_of_a_problem_is_in_the_document() {
    let (mut found, mut folders) = (BTreeSet::new(), vec![top().join("gateway/console/src")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(path).unwrap();
                for part in text.split("StatusCode::").skip(1) {
                    let Some((status, rest)) = part.split_once(", \"") else { continue };
                    let code = rest.split('"').next().unwrap();
                    if status.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                        && !code.is_empty()
                        && code.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                    {
                        found.insert(code.to_owned());
                    }
                }
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
    let known: BTreeSet<String> = refusals::CODES.iter().map(ToString::to_string).collect();
    assert_eq!(known.len(), refusals::CODES.len());
    let unknown: Vec<_> = found.difference(&known).collect();
    assert!(unknown.is_empty(), "codes that the document does not name: {unknown:?}");
}

/// With the members of every object by name: which order they have otherwise depends on what else is built.
fn by_name(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> =
                members.into_iter().map(|(name, value)| (name, by_name(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.into_iter().collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(by_name).collect::<Vec<_>>().into(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// JSON as people read it: what fits stands in one line.
fn pretty(value: &Value, indent: usize, out: &mut String) {
    let line = value.to_string();
    let (open, close, parts): (_, _, Vec<(String, &Value)>) = match value {
        Value::Object(members) if indent + line.len() > 140 => (
            '{',
            '}',
            members
                .iter()
                .map(|(name, value)| (format!("{}: ", Value::from(name.as_str())), value))
                .collect(),
        ),
        Value::Array(items) if indent + line.len() > 140 => {
            ('[', ']', items.iter().map(|value| (String::new(), value)).collect())
        }
        _ => return out.push_str(&line),
    };
    out.push(open);
    for (i, (name, value)) in parts.iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(indent + 2));
        out.push_str(name);
        pretty(value, indent + 2, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(indent));
    out.push(close);
}

#[test]
fn the_copy_in_the_documents_is_this_document() {
    let path = top().join("docs/reference/openapi.json");
    let mut text = String::new();
    pretty(&by_name(document()), 0, &mut text);
    text.push('\n');
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/reference/openapi.json is not what the gateway serves; write it anew: \
         DOORWARD_BLESS=1 cargo test -p doorward-console openapi"
    );
}
