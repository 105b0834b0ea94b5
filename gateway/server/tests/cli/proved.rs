//! `doorward policy prove`. The solver is on the machine that runs the tests.

use super::*;

/// The command, of the shipped policies with each of these texts, which stands once in its file, replaced by another.
fn prove(edits: &[(&str, &str, &str)], args: &[&str], solver: Option<&str>) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-R").arg(repository().join("policies")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    for (file, from, to) in edits {
        let file = dir.path().join("policies").join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.matches(*from).count(), 1, "{from}");
        fs::write(file, text.replacen(*from, to, 1)).unwrap();
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
    let done = prove(&[], &["--only", "line.sanctioned"], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", text(&done.stderr));
    assert!(said.starts_with("PROVED") && said.contains(" s  line.sanctioned  Nothing at all"), "{said}");
    assert!(said.contains("1 proved, 0 broken, 0 unknown"), "{said}");
}

#[test]
fn a_line_that_is_broken_shows_a_case_and_nobody_takes_it_for_good() {
    let edit = ("guardrails/place.cedar", "Country::\"KP\",", "");
    let done = prove(&[edit], &["--only", "line.sanctioned"], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(2), "{said}{}", text(&done.stderr));
    assert!(said.starts_with("BROKEN") && said.contains("[[case]]") && said.contains("\"KP\""), "{said}");
    let done = prove(&[edit], &["--only", "line.sanctioned", "--format", "json"], None);
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((said["broken"].as_u64(), said["blocked"].as_bool()), (Some(1), Some(true)), "{said}");
    assert!(said["lines"][0]["case"].as_str().unwrap().contains("expect = \"deny\""), "{said}");
}

#[test]
fn without_a_solver_nothing_is_proved() {
    let done = prove(&[], &[], Some("/nowhere/cvc5"));
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stdout));
    let told = text(&done.stderr);
    assert!(told.contains("nothing is proved without a solver") && told.contains("apt-get"), "{told}");
    assert!(!text(&done.stdout).contains("PROVED"));
}

#[test]
fn a_line_that_nobody_drew_is_a_mistake() {
    let done = prove(&[], &["--only", "line.nothing"], None);
    assert_eq!(done.status.code(), Some(2), "{}", text(&done.stdout));
    assert!(text(&done.stderr).contains("there is no red line `line.nothing`"));
}

const VISITORS: (&str, &str, &str) =
    ("invariants/people.cedar", "@id(\"line.visitors\")", "@id(\"line.guests\")");

/// An edit that takes away what would have to be proved of it is told as one.
#[test]
fn a_red_line_that_is_gone_is_told_by_a_comparison() {
    let shipped = repository().join("policies").display().to_string();
    let done = prove(&[VISITORS], &["--against", &shipped], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}{}", text(&done.stderr));
    let told = "Both allow the same. But red lines are not as they were:\nred lines removed: line.visitors\n\
                red lines added: line.guests\nas they were before the edit, of the policies after it:\nPROVED ";
    assert!(said.starts_with(told) && said.contains("line.visitors  Who has not"), "{said}");
    let done = prove(&[VISITORS], &["--against", &shipped, "--format", "json"], None);
    let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    let lines = &said["red_lines"];
    assert_eq!(lines["removed"], serde_json::json!(["line.visitors"]), "{said}");
    assert_eq!(lines["before"][0]["verdict"], "proved", "{said}");
}

#[test]
fn a_red_line_that_is_softened_is_told_and_one_that_is_new_is_no_matter() {
    let shipped = repository().join("policies").display().to_string();
    let id = "@id(\"line.visitors\")";
    let softer = ("invariants/people.cedar", id, "@id(\"line.visitors\") @unknown(\"report\")");
    let done = prove(&[softer], &["--against", &shipped], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{said}{}", text(&done.stderr));
    assert!(said.contains("red lines softened (`@unknown(\"report\")`): line.visitors\n"), "{said}");
    let another = "@id(\"line.more\") @title(\"t\") @owner(\"o\")\n\
                   forbid (principal is Visitor, action, resource in App::\"payroll\");\n@id(\"line.visitors\")";
    let done = prove(&[("invariants/people.cedar", id, another)], &["--against", &shipped], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}{}", text(&done.stderr));
    assert_eq!(said, "Both allow the same. There are more red lines:\nred lines added: line.more\n");
}

/// The line goes with the policy that it would have held: what it said before is broken.
#[test]
fn a_red_line_that_goes_with_what_it_forbids_is_broken() {
    let shipped = repository().join("policies").display().to_string();
    let sanctioned = ("guardrails/place.cedar", "Country::\"KP\",", "");
    let line = ("invariants/places.cedar", "Country::\"KP\",", "");
    let done = prove(&[sanctioned, line], &["--against", &shipped], None);
    let said = text(&done.stdout);
    assert_eq!(done.status.code(), Some(2), "{said}{}", text(&done.stderr));
    assert!(
        said.starts_with("The edit only widens") && said.contains("red lines changed: line.sanctioned"),
        "{said}"
    );
    let lines = said.split("of the policies after it:").nth(1).unwrap();
    assert!(lines.trim_start().starts_with("BROKEN") && lines.contains("line.sanctioned"), "{said}");
}
