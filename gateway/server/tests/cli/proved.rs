//! `doorward policy prove`. The solver is on the machine that runs the tests.

use super::*;

/// A line of this name, in the shipped policies with one text replaced by another.
fn prove(edit: Option<(&str, &str, &str)>, args: &[&str], solver: Option<&str>) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-R").arg(repository().join("policies")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    if let Some((file, from, to)) = edit {
        let file = dir.path().join("policies").join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.args(["policy", "prove", "--dir", "policies", "--budget", "20m"]).args(args);
    command.current_dir(dir.path()).env_remove("DOORWARD_CONFIG").stdin(Stdio::null());
    if let Some(solver) = solver {
        command.env("DOORWARD_CVC5", solver);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_line_that_holds_is_proved_and_the_time_is_told() {
    let done = prove(None, &["--only", "line.sanctioned"], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", text(&done.stderr));
    assert!(said.starts_with("PROVED") && said.contains(" s  line.sanctioned  Nothing at all"), "{said}");
    assert!(said.contains("1 proved, 0 broken, 0 unknown"), "{said}");
}

#[test]
fn a_line_that_is_broken_shows_a_case_and_nobody_takes_it_for_good() {
    let edit = ("guardrails/place.cedar", "Country::\"KP\",", "");
    let done = prove(Some(edit), &["--only", "line.sanctioned"], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(2), "{said}{}", text(&done.stderr));
    assert!(said.starts_with("BROKEN") && said.contains("[[case]]") && said.contains("\"KP\""), "{said}");
    let done = prove(Some(edit), &["--only", "line.sanctioned", "--format", "json"], None);
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((said["broken"].as_u64(), said["blocked"].as_bool()), (Some(1), Some(true)), "{said}");
    assert!(said["lines"][0]["case"].as_str().unwrap().contains("expect = \"deny\""), "{said}");
}

#[test]
fn without_a_solver_nothing_is_proved() {
    let done = prove(None, &[], Some("/nowhere/cvc5"));
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stdout));
    let told = text(&done.stderr);
    assert!(told.contains("nothing is proved without a solver") && told.contains("apt-get"), "{told}");
    assert!(!text(&done.stdout).contains("PROVED"));
}

#[test]
fn a_line_that_nobody_drew_is_a_mistake() {
    let done = prove(None, &["--only", "line.nothing"], None);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stdout));
    assert!(text(&done.stderr).contains("there is no red line `line.nothing`"));
}

/// An edit that takes away what would have to be proved of it is told as one.
#[test]
fn a_red_line_that_is_gone_is_told_by_a_comparison() {
    let shipped = repository().join("policies").display().to_string();
    let edit = ("invariants/people.cedar", "@id(\"line.visitors\")", "@id(\"line.guests\")");
    let done = prove(Some(edit), &["--against", &shipped], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", text(&done.stderr));
    assert!(
        said.starts_with("The edit changes nothing") && said.contains("red lines removed: line.visitors\n"),
        "{said}"
    );
    assert!(said.ends_with("red lines added: line.guests\n"), "{said}");
    let done = prove(Some(edit), &["--against", &shipped, "--format", "json"], None);
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(said["red_lines"]["removed"], serde_json::json!(["line.visitors"]), "{said}");
}
