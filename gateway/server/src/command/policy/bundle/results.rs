//! What a test or a proof came to, from what the commands print with `--format json`.

use std::fmt::Write as _;

use doorward_workbench::release::{Attestation, Outcome};
use serde::Deserialize;
use serde_json::Value;

use super::super::short;

/// What the commands find themselves: told by what they print, which says about which policies it is.
const OWN: [&str; 4] = ["check", "test", "mutants", "prove"];

/// What `doorward policy prove --format json` prints, as far as a bundle tells of it.
#[derive(Deserialize)]
struct Proof {
    proved: usize,
    broken: usize,
    unknown: usize,
    lines: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    id: String,
    verdict: String,
    unknown_blocks: bool,
}

/// The same of `doorward policy test --format json`.
#[derive(Deserialize)]
struct Trial {
    cases: Vec<Value>,
    held: usize,
    #[serde(default)]
    coverage: Option<Coverage>,
    #[serde(default)]
    matrix: Option<Matrix>,
    #[serde(default)]
    mutants: Option<Mutants>,
}

#[derive(Deserialize)]
struct Coverage {
    percent: usize,
    percent_min: usize,
}

#[derive(Deserialize)]
struct Matrix {
    current: bool,
}

#[derive(Deserialize)]
struct Mutants {
    made: usize,
    noticed: usize,
    proved_same: usize,
    survivors: Vec<Value>,
    #[serde(default)]
    left_out: usize,
}

/// What is told of it: by the command that printed it, of the policies of this `revision`, or of another check in the
/// words of a manifest.
///
/// # Errors
/// When it tells of nothing, of other policies, or of a part of the cases, the policies or the red lines.
pub(super) fn read(bytes: &[u8], revision: &str) -> Result<Vec<Attestation>, String> {
    let value: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let (proves, tries) = (value.get("lines").is_some(), value.get("held").is_some());
    if proves || tries {
        match value.get("revision").and_then(Value::as_str) {
            Some(of) if of == revision => {}
            Some(of) => {
                return Err(format!("it is about revision {}, and this is {}", short(of), short(revision)));
            }
            None => return Err("it does not say about which policies it is".to_owned()),
        }
    }
    let unread = |e: serde_json::Error| e.to_string();
    // A case that was not run, and a mutant that was not made, may be the one that matters.
    let part = |key: &str| value.get(key).and_then(Value::as_str);
    match part("only").or_else(|| part("filter")) {
        Some(part) if tries => Err(format!("it is about `{part}` only, and not about every case and policy")),
        Some(only) if proves => Err(format!("it is about `{only}` only, and not about every red line")),
        Some(_) | None if proves => Ok(vec![proof(&serde_json::from_value(value).map_err(unread)?)]),
        Some(_) | None if tries => Ok(trial(&serde_json::from_value(value).map_err(unread)?)),
        Some(_) | None => Ok(vec![another(serde_json::from_value(value).map_err(unread)?)?]),
    }
}

/// A check that is none of ours.
fn another(told: Attestation) -> Result<Attestation, String> {
    let own = OWN.into_iter().find(|own| told.name.trim().eq_ignore_ascii_case(own));
    own.map_or(Ok(told), |own| {
        Err(format!(
            "`{own}` in these words does not say about which policies it is; give what the command itself printed with \
             `--format json`"
        ))
    })
}

fn proof(proof: &Proof) -> Attestation {
    let blocks = |line: &&Line| match line.verdict.as_str() {
        "proved" => false,
        "unknown" => line.unknown_blocks,
        // Broken, or a word that is not known here.
        _ => true,
    };
    Attestation {
        name: "prove".to_owned(),
        outcome: match (proof.broken, proof.unknown) {
            (0, 0) => Outcome::Held,
            (0, _) => Outcome::Unknown,
            (_, _) => Outcome::Failed,
        },
        detail: format!("{} proved, {} broken, {} unknown", proof.proved, proof.broken, proof.unknown),
        blocking: proof.lines.iter().filter(blocks).map(|line| line.id.clone()).collect(),
    }
}

fn trial(trial: &Trial) -> Vec<Attestation> {
    let outcome = |good| if good { Outcome::Held } else { Outcome::Failed };
    let mut detail = format!("{} of {} cases held", trial.held, trial.cases.len());
    let mut holds = trial.held == trial.cases.len() && trial.held > 0;
    if let Some(Coverage { percent, percent_min }) = &trial.coverage {
        let _ = write!(detail, ", {percent}% of the conditions covered");
        if percent < percent_min {
            holds = false;
            let _ = write!(detail, ", and {percent_min}% were asked for");
        }
    }
    if trial.matrix.as_ref().is_some_and(|matrix| !matrix.current) {
        holds = false;
        detail.push_str(", MATRIX.md is not what the policies say");
    }
    let mut all =
        vec![Attestation { name: "test".to_owned(), outcome: outcome(holds), detail, blocking: Vec::new() }];
    all.extend(trial.mutants.as_ref().map(|mutants| Attestation {
        name: "mutants".to_owned(),
        outcome: match (mutants.survivors.len(), mutants.left_out) {
            (0, 0) => Outcome::Held,
            (0, _) => Outcome::Unknown,
            (_, _) => Outcome::Failed,
        },
        detail: format!(
            "{} made, {} noticed, {} proved to be the same, {} survived{}",
            mutants.made,
            mutants.noticed,
            mutants.proved_same,
            mutants.survivors.len(),
            if mutants.left_out > 0 { format!(", {} not made", mutants.left_out) } else { String::new() }
        ),
        blocking: Vec::new(),
    }));
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const THIS: &str = "68388b0fe33d";

    fn told(value: &Value) -> Vec<(String, &'static str, String, Vec<String>)> {
        let all = read(value.to_string().as_bytes(), THIS).unwrap();
        all.into_iter().map(|a| (a.name, a.outcome.as_str(), a.detail, a.blocking)).collect()
    }

    #[test]
    fn a_proof_blocks_by_what_is_broken_and_by_what_must_be_known() {
        let line = |id: &str, verdict: &str, blocks: bool| json!({ "id": id, "verdict": verdict, "unknown_blocks": blocks, "seconds": 0.1 });
        let proof = json!({
            "revision": THIS, "only": null, "solver": "cvc5 1.0.3", "proved": 1, "broken": 1, "unknown": 2, "blocked": true,
            "lines": [
                line("a", "proved", true), line("b", "broken", false), line("c", "unknown", true),
                line("d", "unknown", false),
            ],
        });
        let want = ("prove".to_owned(), "failed", "1 proved, 1 broken, 2 unknown".to_owned());
        let blocking = vec!["b".to_owned(), "c".to_owned()];
        assert_eq!(told(&proof), [(want.0, want.1, want.2, blocking)]);
        let well = json!({ "revision": THIS, "proved": 1, "broken": 0, "unknown": 0, "lines": [line("a", "proved", true)] });
        assert_eq!(told(&well)[0].1, "held");
    }

    #[test]
    fn a_trial_tells_of_its_cases_and_of_its_mutants() {
        let trial = json!({
            "revision": THIS, "good": true, "cases": [{}, {}], "held": 2,
            "mutants": { "made": 9, "noticed": 7, "proved_same": 1, "survivors": [{}], "no_solver": false },
        });
        let all: Vec<_> =
            told(&trial).into_iter().map(|(name, outcome, detail, _)| (name, outcome, detail)).collect();
        let mutants = "9 made, 7 noticed, 1 proved to be the same, 1 survived".to_owned();
        assert_eq!(
            all,
            [
                ("test".to_owned(), "held", "2 of 2 cases held".to_owned()),
                ("mutants".to_owned(), "failed", mutants),
            ]
        );
        // Not to have looked at all of them is no success.
        let part = json!({
            "revision": THIS, "good": false, "cases": [{}], "held": 1, "filter": null, "only": null,
            "mutants": { "made": 9, "noticed": 9, "proved_same": 0, "survivors": [], "left_out": 3 },
        });
        let (_, outcome, detail, _) = &told(&part)[1];
        assert_eq!((*outcome, detail.ends_with(", 0 survived, 3 not made")), ("unknown", true), "{detail}");
        let none = json!({ "revision": THIS, "good": false, "cases": [{}], "held": 0, "mutants": null });
        assert_eq!(told(&none).len(), 1);
    }

    #[test]
    fn the_words_of_a_manifest_are_taken_and_nothing_else() {
        let own = json!({ "name": "fuzz", "outcome": "unknown", "detail": "d", "blocking": ["x"] });
        assert_eq!(told(&own), [("fuzz".to_owned(), "unknown", "d".to_owned(), vec!["x".to_owned()])]);
        for bad in ["", "[]", "{}", r#"{"name":"x","outcome":"fine","detail":"d"}"#, r#"{"lines":3}"#] {
            assert!(read(bad.as_bytes(), THIS).is_err(), "{bad}");
        }
    }

    /// The words of a manifest name no revision: anybody may have written them about anything.
    #[test]
    fn what_the_commands_find_is_not_taken_in_the_words_of_a_manifest() {
        for name in ["check", "test", "mutants", "prove", " Prove\n"] {
            let word = json!({ "name": name, "outcome": "held", "detail": "all of them" });
            let refused = read(word.to_string().as_bytes(), THIS).unwrap_err();
            let own = name.trim().to_lowercase();
            let why = format!("`{own}` in these words does not say about which policies it is; ");
            assert!(refused.starts_with(&why) && refused.ends_with("with `--format json`"), "{refused}");
        }
        let other = json!({ "name": "prove-elsewhere", "outcome": "held", "detail": "d" });
        assert_eq!(told(&other)[0].0, "prove-elsewhere");
    }

    /// What held yesterday, or elsewhere, says nothing of these.
    #[test]
    fn what_is_about_others_or_about_a_part_is_refused() {
        let whole =
            json!({ "revision": THIS, "only": null, "proved": 0, "broken": 0, "unknown": 0, "lines": [] });
        let refused = |key: &str, value: Value| {
            let mut told = whole.clone();
            told[key] = value;
            read(told.to_string().as_bytes(), THIS).unwrap_err()
        };
        assert!(read(whole.to_string().as_bytes(), THIS).is_ok());
        assert_eq!(
            refused("revision", json!("f".repeat(64))),
            "it is about revision ffffffffffff, and this is 68388b0fe33d"
        );
        assert_eq!(refused("revision", Value::Null), "it does not say about which policies it is");
        assert_eq!(
            refused("only", json!("line.a")),
            "it is about `line.a` only, and not about every red line"
        );
        let trial = |revision: Value, key: &str| {
            let trial =
                json!({ "revision": revision, "good": true, "cases": [{}], "held": 1, key: "payroll" });
            read(trial.to_string().as_bytes(), THIS)
        };
        assert!(trial(Value::Null, "note").is_err());
        assert!(trial(json!(THIS), "note").is_ok());
        for part in ["filter", "only"] {
            assert_eq!(
                trial(json!(THIS), part).unwrap_err(),
                "it is about `payroll` only, and not about every case and policy"
            );
        }
    }

    /// That a mutant survived is told of the mutants; the cases held.
    #[test]
    fn what_failed_of_a_test_is_said() {
        let test = |key: &str, value: Value| {
            let mut trial = json!({ "revision": THIS, "good": false, "cases": [{}], "held": 1 });
            trial[key] = value;
            let (_, outcome, detail, _) = told(&trial).swap_remove(0);
            (outcome, detail)
        };
        let (held, failed) = ("held", "failed");
        assert_eq!(test("matrix", Value::Null), (held, "1 of 1 cases held".to_owned()));
        assert_eq!(
            test("matrix", json!({ "current": false })),
            (failed, "1 of 1 cases held, MATRIX.md is not what the policies say".to_owned())
        );
        assert_eq!(
            test("coverage", json!({ "percent": 90, "percent_min": 95 })),
            (failed, "1 of 1 cases held, 90% of the conditions covered, and 95% were asked for".to_owned())
        );
        assert_eq!(
            test("coverage", json!({ "percent": 95, "percent_min": 95 })),
            (held, "1 of 1 cases held, 95% of the conditions covered".to_owned())
        );
        assert_eq!(test("held", json!(0)).0, failed);
        assert_eq!(test("cases", json!([])).0, failed);
    }
}
