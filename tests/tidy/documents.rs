//! Documents that are held against the code.

use std::fmt::Write as _;

use doorward_model::RefusalCode;

use crate::{files, none, shown, top};

/// Compares a generated document with the file, or writes it.
fn generated(path: &str, text: &str) {
    let file = top().join(path);
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == text, "{path} does not tell what the code does: run this test with DOORWARD_BLESS=1");
}

#[test]
fn the_page_of_refusals_is_the_enum() {
    let mut text = String::from(
        "# Refusals\n\n\
         Written from `gateway/model/src/refusal.rs`. The code stands in the answer's header `x-doorward-refusal`, in the\n\
         problem document, in the audit event and in the metric `doorward_authz_decisions_total`.\n\n\
         | code | HTTP | gRPC | what the person reads | and may do |\n|---|---|---|---|---|\n",
    );
    for code in RefusalCode::ALL {
        writeln!(
            text,
            "| `{code}` | {} | {} | {} | {} |",
            code.status(),
            code.grpc_status(),
            code.title(),
            code.advice()
        )
        .unwrap();
    }
    generated("docs/reference/refusals.md", &text);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for path in files(top(), "md") {
        let text = std::fs::read_to_string(&path).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !path.parent().unwrap().join(target).exists() {
                faults.push(format!("{}: {link}", shown(&path)));
            }
        }
    }
    none(&faults, "links into nothing");
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let names: Vec<String> = files(&top().join("docs/decisions"), "md")
        .iter()
        .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert!(!names.is_empty());
    for (i, name) in names.iter().enumerate() {
        let number = format!("{:04}-", i + 1);
        assert!(name.starts_with(&number), "{name} should begin with {number}");
        let text = std::fs::read_to_string(top().join("docs/decisions").join(name)).unwrap();
        assert!(text.starts_with(&format!("# {}. ", i + 1)), "{name} has another number in its title");
        assert!(
            text.contains("**Question.**") && text.contains("**Decision.**"),
            "{name} does not say what was decided"
        );
    }
}

#[test]
fn files_that_the_code_names_exist() {
    let mut faults = Vec::new();
    for path in files(&top().join("gateway"), "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for part in text.split("docs/").skip(1) {
            let name: String =
                part.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_./".contains(*c)).collect();
            let name = name.trim_end_matches(['.', '/']);
            if name.ends_with(".md") && !top().join("docs").join(name).exists() {
                faults.push(format!("{}: docs/{name}", shown(&path)));
            }
        }
    }
    none(&faults, "documents that are named and not there");
}

#[test]
fn every_metric_is_explained() {
    let page = std::fs::read_to_string(top().join("docs/reference/metrics.md")).unwrap();
    let mut faults = Vec::new();
    let mut seen = 0;
    for file in [
        "gateway/proxy/src/metrics.rs",
        "gateway/proxy/src/risk.rs",
        "gateway/proxy/src/sign_in/numbers.rs",
        "gateway/server/src/wire/numbers.rs",
        "gateway/server/src/wire/numbers/sessions.rs",
    ] {
        let code = std::fs::read_to_string(top().join(file)).unwrap();
        for name in code.split("\"doorward_").skip(1).filter_map(|rest| rest.split('"').next()) {
            seen += 1;
            if !page.contains(&format!("| `doorward_{name}")) {
                faults.push(format!("{file}: doorward_{name}"));
            }
        }
    }
    assert!(seen > 20, "the metrics were not found");
    none(&faults, "metrics that docs/reference/metrics.md does not explain");
}

#[test]
fn the_page_of_the_operator_api_has_every_call() {
    let page = std::fs::read_to_string(top().join("docs/reference/operator-api.md")).unwrap();
    let code = std::fs::read_to_string(top().join("gateway/console/src/lib.rs")).unwrap();
    let mut calls = std::collections::BTreeSet::new();
    for route in code.split(".route(\"").skip(1) {
        let (path, rest) = route.split_once('"').unwrap();
        let handlers = rest.lines().next().unwrap();
        for method in ["get", "post", "put", "patch", "delete"] {
            if handlers.contains(&format!("{method}(")) {
                calls.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    assert!(calls.len() >= 10, "the routes were not found: {calls:?}");
    let table = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let told: std::collections::BTreeSet<String> =
        table.map(|(call, _)| call.to_owned()).filter(|call| call.contains(" /")).collect();
    assert_eq!(told, calls, "docs/reference/operator-api.md and the router tell different calls");
    // And every code of a problem.
    let mut faults = Vec::new();
    for path in files(&top().join("gateway/console/src"), "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for part in text.split("StatusCode::").skip(1) {
            let Some((_, rest)) = part.split_once(", \"") else { continue };
            let code = rest.split('"').next().unwrap();
            let is_code =
                part.split(", \"").next().unwrap().chars().all(|c| c.is_ascii_uppercase() || c == '_');
            if is_code
                && code.contains(|c: char| c.is_ascii_lowercase())
                && !page.contains(&format!("`{code}`"))
            {
                faults.push(format!("{}: {code}", shown(&path)));
            }
        }
    }
    none(&faults, "codes that docs/reference/operator-api.md does not tell");
}

/// Every key that a section knows stands in the example, if only as a comment.
#[test]
fn the_example_configuration_shows_every_key() {
    let example = std::fs::read_to_string(top().join("deploy/doorward.example.toml")).unwrap();
    let has = |key: &str| {
        example.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{key} = "))
                || line
                    .trim_start_matches('[')
                    .split(']')
                    .next()
                    .is_some_and(|table| line.starts_with('[') && table.rsplit('.').next() == Some(key))
        })
    };
    let (mut faults, mut seen) = (Vec::new(), 0);
    for path in files(&top().join("gateway"), "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        for section in text.split("\npub struct ").skip(1) {
            let (name, rest) = section.split_once(' ').unwrap();
            if !name.ends_with("Section") {
                continue;
            }
            let fields = rest.split("\n}").next().unwrap();
            for line in fields.lines() {
                let Some((key, _)) = line.strip_prefix("    pub ").and_then(|l| l.split_once(':')) else {
                    continue;
                };
                seen += 1;
                if !has(key) {
                    faults.push(format!("{name}: {key} ({})", shown(&path)));
                }
            }
        }
    }
    assert!(seen > 80, "the sections were not found: {seen}");
    none(&faults, "keys that deploy/doorward.example.toml does not show");
}

#[test]
fn the_tour_in_the_readme_is_the_tour() {
    use doorward_demo::tour::{Scene, markdown, steps};
    let (begin, end) = ("see tests/e2e/tour.rs -->\n", "<!-- /tour -->");
    let tour = markdown(&steps(&Scene::usual("target/release/doorward")));
    let file = top().join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(begin).unwrap();
    let (found, after) = rest.split_once(end).unwrap();
    if std::env::var_os("DOORWARD_BLESS").is_some() {
        std::fs::write(&file, format!("{before}{begin}\n{tour}{end}{after}")).unwrap();
    } else {
        assert!(
            found.trim() == tour.trim(),
            "README.md tells another tour: run this test with DOORWARD_BLESS=1"
        );
    }
}
