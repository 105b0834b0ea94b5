//! How a token of an issuer must be signed and named, and where the keys are.

use std::path::Path;

use doorward_model::{Complaint, KeyPath};
use reqwest::Url;

use super::IssuerSection;
use crate::algorithm::SigningAlgorithm;
use crate::header;
use crate::keys::{self, Discovery, KeySource};
use crate::message::MessageKind;
use crate::words::shown;

pub(super) fn algorithms(
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Vec<SigningAlgorithm> {
    let choose = "choose one of RS256, PS256, ES256, ES384 and EdDSA: the one that the issuer signs with";
    let names = match section.algorithms.as_deref() {
        None => {
            complaints.push(Complaint::new(at.clone(), "the issuer has no `algorithms`", choose));
            return Vec::new();
        }
        Some([]) => {
            complaints.push(Complaint::new(at.key("algorithms"), "`algorithms` is empty", choose));
            return Vec::new();
        }
        Some(names) => names,
    };
    let at = at.key("algorithms");
    let mut chosen: Vec<SigningAlgorithm> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match SigningAlgorithm::parse(name) {
            Some(algorithm) if chosen.contains(&algorithm) => {}
            Some(algorithm) => chosen.push(algorithm),
            None => complaints.push(unknown_algorithm(name, at.index(i))),
        }
    }
    if let Some(first) = chosen.first()
        && let Some(other) = chosen.iter().find(|a| a.family() != first.family())
    {
        complaints.push(Complaint::new(
            at,
            format!("{} and {} need keys of different kinds", first.as_str(), other.as_str()),
            "an issuer has one kind of key; if it really signs with both, tell which one its tokens carry",
        ));
    }
    chosen
}

fn unknown_algorithm(name: &str, at: KeyPath) -> Complaint {
    let shown_name = shown(name, 40);
    let upper = name.to_ascii_uppercase();
    if upper == "NONE" {
        return Complaint::new(
            at,
            format!("`{shown_name}` is no signature at all"),
            "without a signature anyone can write a token; name the algorithm that the issuer signs with",
        );
    }
    if upper.starts_with("HS") {
        return Complaint::new(
            at,
            format!("`{shown_name}` is a shared secret, which is not accepted"),
            "who can check such a token can also make one; let the issuer sign with RS256, PS256, ES256, ES384 or EdDSA",
        );
    }
    let near =
        SigningAlgorithm::ALL.into_iter().find(|a| distance(&a.as_str().to_ascii_uppercase(), &upper) <= 2);
    let help = match near {
        Some(a) => {
            format!("did you mean `{}`? Accepted are RS256, PS256, ES256, ES384 and EdDSA", a.as_str())
        }
        None => "accepted are RS256, PS256, ES256, ES384 and EdDSA".to_owned(),
    };
    Complaint::new(at, format!("`{shown_name}` is not an algorithm that is accepted"), help)
}

/// How many letters must be changed, added or left out to make `b` of `a`, for short words.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > 16 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((cb, above_left), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((above_left + usize::from(ca != *cb)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

pub(super) fn token_types(
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Vec<String> {
    let at = at.key("token_types");
    match section.token_types.as_deref() {
        None => vec!["at+jwt".to_owned(), "jwt".to_owned()],
        Some([]) => {
            complaints.push(Complaint::new(
                at,
                "`token_types` is empty, so no token would be accepted",
                "leave it out for `at+jwt` and `JWT`; `\"\"` allows a token without `typ`",
            ));
            Vec::new()
        }
        Some(types) => {
            for (i, word) in types.iter().enumerate() {
                let kind = header::token_type(word);
                if MessageKind::ALL.iter().any(|k| k.token_type() == kind) {
                    complaints.push(Complaint::new(
                        at.index(i),
                        format!("`{}` is a message between servers, not an access token", shown(word, 40)),
                        "take it out",
                    ));
                }
            }
            types.iter().map(|t| header::token_type(t)).collect()
        }
    }
}

pub(super) fn key_source(
    section: &IssuerSection,
    issuer: Option<&str>,
    algorithms: &[SigningAlgorithm],
    document: Discovery,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<KeySource> {
    match (section.jwks_uri.as_deref(), section.jwks_file.as_deref()) {
        (Some(_), Some(_)) => {
            complaints.push(Complaint::new(
                at.key("jwks_file"),
                "both `jwks_uri` and `jwks_file` are set",
                "keep the one that is the source of the keys",
            ));
            None
        }
        (Some(uri), None) => match Url::parse(uri) {
            Ok(url) if keys::may_be_fetched(&url) => Some(KeySource::Uri(url)),
            Ok(_) | Err(_) => {
                complaints.push(Complaint::new(
                    at.key("jwks_uri"),
                    format!("`{}` is not an https address", shown(uri, 100)),
                    "write an https address without user and password; http is accepted for this machine only",
                ));
                None
            }
        },
        (None, Some(file)) => {
            let file = base_dir.join(file);
            let read = keys::read_file(&file).and_then(|body| Ok(keys::KeySet::read(&body, algorithms)?));
            match read {
                Ok(set) if set.is_empty() && !algorithms.is_empty() => complaints.push(Complaint::new(
                    at.key("jwks_file"),
                    format!("`{}` has no key that fits the algorithms", file.display()),
                    set.why_empty(),
                )),
                Ok(_) => {}
                Err(e) => complaints.push(Complaint::new(
                    at.key("jwks_file"),
                    e.to_string(),
                    "write a JSON Web Key Set: `{\"keys\": [ … ]}`",
                )),
            }
            Some(KeySource::File(file))
        }
        (None, None) => {
            let issuer = issuer?;
            match Url::parse(issuer) {
                Ok(url)
                    if keys::may_be_fetched(&url) && url.query().is_none() && url.fragment().is_none() =>
                {
                    Some(KeySource::Discovery { issuer: issuer.to_owned(), document })
                }
                Ok(_) | Err(_) => {
                    complaints.push(Complaint::new(
                        at.key("issuer"),
                        format!("keys cannot be discovered from `{}`", shown(issuer, 100)),
                        "discovery needs an https address without query; otherwise set `jwks_uri` or `jwks_file`",
                    ));
                    None
                }
            }
        }
    }
}
