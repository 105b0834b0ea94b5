//! `doorward policy explain`: words, a case, the log, and other people's policies.

use doorward_policy::Workshop;
use serde_json::{Value, json};

use super::*;

fn said(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let policies = repository().join("policies").display().to_string();
    let plain = args.contains(&"--policies");
    let folder = ["--dir", &policies];
    let mut all = vec!["policy", "explain"];
    all.extend(if plain { &[] } else { &folder[..] });
    all.extend(args);
    let output = doorward(dir, &all);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_situation_in_words_is_explained() {
    let dir = folder();
    let home = ["--who", "alice", "--does", "GET payroll/all", "--with", "place.zones= session.mfa_age=40m"];
    let (code, out, err) = said(dir.path(), &home);
    assert_eq!((code, err.as_str()), (0, ""));
    for line in [
        "GET payroll/all as alice",
        "denied by payroll.network",
        "payroll.network forbids  apps/payroll.cedar:",
        "Payroll only from the office and the VPN",
        "context.zones.containsAny([\"corp\", \"vpn\"])",
        "context.zones = []",
        "cheapest way to pass (decided again so, it is allowed)",
        "come from the network `corp`",
    ] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert!(!out.contains('\u{1b}'), "no color in a pipe: {out}");
    let (_, out, _) = said(dir.path(), &["--who", "bob", "--does", "GET payroll/all", "--all"]);
    assert!(
        out.contains("nearest permit missed: payroll.hr") && out.contains("not in Role::\"hr\""),
        "{out}"
    );
    assert!(out.contains("all of") && out.contains("guard.mfa would forbid, and does not apply"), "{out}");
    let (_, out, _) = said(dir.path(), &[&home[..], &["--format", "json"]].concat());
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["decision"], &told["deciding"][0]), (&"deny".into(), &"payroll.network".into()));
    assert_eq!(told["way"]["proved"], true);
    assert_eq!(told["policies"][0]["file"], "apps/payroll.cedar");
}

/// What an explanation says of an agent, of a policy that fails, and of a folder in which a case fails.
#[test]
fn who_or_what_denied_is_told_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-R").arg(repository().join("policies")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    let apps = dir.path().join("policies/apps");
    fs::remove_dir_all(dir.path().join("policies/invariants")).unwrap();
    let write = |name: &str, text: &str| fs::write(apps.join(name), text).unwrap();
    write(
        "z.cedar",
        "@id(\"z.agent\") @title(\"t\") @owner(\"o\")\npermit (principal is Agent, action, resource in App::\"wiki\");\n\
         @id(\"z.fails\") @title(\"t\") @owner(\"o\") @severity(\"high\") @reason(\"No.\")\n\
         forbid (principal is User, action, resource in App::\"wiki\")\n\
         when { context.risk.score == 27 && context.risk.score * 922337203685477580 < 0 };",
    );
    // None of the shipped cases may fail for this; this one does.
    write(
        "../cases/z.toml",
        "[[case]]\nname = \"fails\"\nwho = \"bob\"\ndoes = \"GET wiki/all\"\nexpect = \"deny\"\nby = []\n",
    );
    let ask = |args: &[&str]| {
        let output = doorward(dir.path(), &[&["policy", "explain", "--dir", "policies"], args].concat());
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{out}{}", String::from_utf8_lossy(&output.stderr));
        out
    };
    assert!(ask(&["--case", "fails"]).contains("allowed by wiki.employees"));
    let told = ask(&["--who", "bob", "--does", "GET wiki/all", "--with", "risk=27"]);
    assert!(told.contains("denied: a policy could not be evaluated\n"), "{told}");
    assert!(told.contains("z.fails could not be evaluated") && !told.contains("nothing permits"), "{told}");
    let told = ask(&["--who", "carols-agent", "--does", "GET wiki/all"]);
    for line in
        ["denied: the agent and its person must both be allowed", "its own question: ", "z.agent permits"]
    {
        assert!(told.contains(line), "{line} in {told}");
    }
    assert!(!told.contains("denied by z.agent"), "{told}");
    let told =
        ask(&["--who", "alice", "--does", "GET payroll/all", "--with", "session.mfa_age=40m place.zones="]);
    assert!(!told.contains("beside"), "{told}");
    let told = ask(&["--who", "dana", "--does", "GET wiki/admin", "--with", "session.mfa_age=40m"]);
    assert!(told.contains("context.session.mfaAge = 40m, limit 15m"), "{told}");
}

#[test]
fn a_case_and_a_request_of_the_log_are_explained() {
    let dir = folder();
    let (code, out, _) = said(dir.path(), &["--case", "no such case"]);
    assert_eq!((code, out.as_str()), (2, ""));
    let line = |id: &str, situation: &str| {
        format!(
            "{{\"metadata\":{{\"correlation_uid\":\"{id}\",\"event_code\":\"access.request.denied\"}},\"unmapped\":\
             {{\"doorward\":{{\"decision\":{{\"outcome\":\"deny\",\"determining\":[\"guard.visitor\"],\
             \"policy_set\":{{\"revision\":\"00ff00ff00ff00\"}}}}{situation}}}}}}}\n"
        )
    };
    let situation = ",\"situation\":{\"v\":1,\"who\":\"visitor\",\"does\":\"GET\",\"route\":{\"id\":\"wiki/all\",\
                     \"tier\":\"internal\"},\"place\":{\"ip\":\"192.0.2.7\",\"country\":\"DE\"},\"now\":1795212000123,\
                     \"local\":79200,\"weekday\":\"fri\",\"host\":\"wiki.example\",\"path\":\"/\"}";
    let log = line("req-1", "") + &line("req-2", situation) + &line("req-3", ",\"situation\":{\"v\":99}");
    fs::create_dir(dir.path().join("log")).unwrap();
    fs::write(dir.path().join("log/audit-gw-20261121T120000000Z-000000000010.jsonl"), log).unwrap();
    let request = |id: &str| said(dir.path(), &["--request", id, "--audit", "log"]);
    let (code, out, err) = request("req-2");
    assert_eq!((code, err.as_str()), (0, ""));
    for line in [
        "request req-2: GET wiki/all",
        "it was decided then: deny by guard.visitor",
        "are NOT those that decided then",
        "denied by guard.visitor",
    ] {
        assert!(out.contains(line), "{line} in {out}");
    }
    for (id, why) in [
        ("req-1", "does not have what the policies saw"),
        ("req-3", "version 99"),
        ("req-4", "no request with the id"),
    ] {
        let (code, _, err) = request(id);
        assert_eq!(code, 1, "{err}");
        assert!(err.contains(why), "{err}");
    }
    assert!(request("req-4").2.contains("that is no id"));
    let (_, _, err) = request("0198f2c4-7d5e-7b33-9a53-2a1f6f6a1c10");
    assert!(err.contains("no request with the id") && !err.contains("that is no id"), "{err}");
}

/// What `policy test` lists under a name is explained under it, in whichever format it is written.
#[test]
fn a_test_in_cedars_own_format_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-R").arg(repository().join("policies")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    let policies = dir.path().join("policies");
    let shop = Workshop::open(&policies, None).unwrap();
    let name = "HR reads payroll in the office";
    let situation = shop.cases().iter().find(|case| case.name == name).unwrap().situation.unwrap();
    let (request, entities) = shop.bundle().in_cedar(&situation.question()).unwrap();
    let request = json!({
        "principal": request.principal().unwrap().to_string(), "action": request.action().unwrap().to_string(),
        "resource": request.resource().unwrap().to_string(),
        "context": request.context().unwrap().to_json_value().unwrap(),
    });
    // That it does not hold is when one asks.
    let test = |name: &str| {
        json!({
            "name": name, "request": request, "entities": "everybody.json", "decision": "deny", "reason": [],
            "num_errors": 0,
        })
    };
    let tests = format!("[\n{},\n{},\n{},\n{}]", test("in"), test("twice"), test("twice"), test(name));
    fs::write(policies.join("cases/x.tests.json"), tests).unwrap();
    fs::write(policies.join("cases/everybody.json"), entities.to_json_value().unwrap().to_string()).unwrap();
    let ask = |args: &[&str]| {
        let output = doorward(dir.path(), &[&["policy", "explain", "--dir", "policies"], args].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let (code, out, err) = ask(&["--case", "in"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for line in
        ["test `in` of cases/x.tests.json:2", "decided as Cedar decides a test", "allowed by payroll.hr"]
    {
        assert!(out.contains(line), "{line} in {out}");
    }
    let (code, _, err) = ask(&["--case", "twice"]);
    let places = "2 tests are called `twice`: cases/x.tests.json:3, cases/x.tests.json:4";
    assert!(code == 2 && err.contains(places), "{err}");
    let (code, _, err) = ask(&["--case", "in", "--live"]);
    assert!(
        code == 2 && err.contains("test in Cedar's own format") && err.contains("leave out `--live`"),
        "{err}"
    );
    // A case comes before a test of its name.
    let (code, out, _) = ask(&["--case", name]);
    assert!(code == 0 && out.contains(&format!("case `{name}`")), "{out}");
}

#[test]
fn policies_of_others_are_explained() {
    let dir = folder();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("p.cedar", "permit (principal == User::\"a\", action, resource)\nwhen { context.level > 3 };");
    let ask = |request: &str| {
        write("r.json", request);
        said(dir.path(), &["--policies", "p.cedar", "--request-json", "r.json"])
    };
    let of = |who: &str, context: &str| {
        ask(&format!(
            "{{\"principal\":\"User::\\\"{who}\\\"\",\"action\":\"Action::\\\"x\\\"\",\"resource\":\"T::\\\"t\\\"\",\
             \"context\":{context}}}"
        ))
    };
    let (code, out, _) = of("a", "{\"level\":4}");
    assert!(code == 0 && out.contains("allowed by policy0"), "{out}");
    let (_, out, _) = of("a", "{\"level\":3}");
    assert!(out.contains("nearest permit missed: policy0") && out.contains("context.level is 3"), "{out}");
    let (_, out, _) = of("a", "{}");
    assert!(out.contains("could not be evaluated") && out.contains("level"), "{out}");
    assert_eq!(ask("{}").0, 2);
    let deep =
        format!("permit(principal,action,resource) when {{ {}1{} }};", "(".repeat(9000), ")".repeat(9000));
    write("p.cedar", &deep);
    let (code, _, err) = of("a", "{}");
    assert!(code == 2 && err.contains("brackets nest deeper"), "{err}");
}

/// A wrong word is named with what it may be, a folder without a log is told as that, and a day goes with its date.
#[test]
fn what_is_wrong_with_the_question_is_said() {
    let dir = folder();
    let with = |word: &str| said(dir.path(), &["--who", "carol", "--does", "GET build/all", "--with", word]);
    for (word, told) in [
        ("session.mfa=maybe", "`session.mfa`: invalid type: string \"maybe\", expected `true` or `false`"),
        ("session.age=5x", "`session.age`: `5x` is not an age such as `45s`"),
        ("risk=1000", "`risk`: write a number from 0 to 100"),
        ("time.now=2026-05-02T10:00:00Z time.weekday=wed", "leave the day out"),
    ] {
        let (code, _, err) = with(word);
        assert!(code == 2 && err.contains(told), "{word}: {err}");
    }
    // A Saturday, as the calendar has it.
    let (code, out, _) = with("time.now=2026-05-02T10:00:00Z");
    assert!(code == 0 && out.contains("denied by guard.contractor-hours"), "{out}");
    assert!(out.contains("context.time.weekday = Weekday::\"sat\""), "{out}");
    let (code, out, _) = with("time.now=2026-05-01T10:00:00Z");
    assert!(code == 0 && out.contains("allowed by build.engineers"), "{out}");

    fs::create_dir(dir.path().join("nothing")).unwrap();
    let (code, _, err) = said(dir.path(), &["--request", "req-1", "--audit", "nothing"]);
    assert!(code == 1 && err.contains("there is no audit log in `nothing`"), "{err}");

    let copied = Command::new("cp").arg("-R").arg(repository().join("policies")).arg(dir.path()).status();
    assert!(copied.unwrap().success());
    for file in ["cases", "invariants", "matrix.toml", "MATRIX.md"] {
        let path = dir.path().join("policies").join(file);
        let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
    }
    let asked = doorward(dir.path(), &["policy", "who-can", "GET", "wiki/all", "--dir", "policies"]);
    let err = String::from_utf8(asked.stderr).unwrap();
    assert_eq!(asked.status.code(), Some(2), "{err}");
    assert!(err.contains("the cases define no route (") && err.contains("; with `--config FILE`"), "{err}");
}

/// A place stands at the beginning of a line, where editors look for it.
#[test]
fn a_folder_that_cannot_be_loaded_is_told_as_check_tells_it() {
    let dir = folder();
    fs::create_dir(dir.path().join("bad")).unwrap();
    fs::write(dir.path().join("bad/x.cedar"), "permit(principal, action, resource").unwrap();
    let told = |words: &[&str]| doorward(dir.path(), &[&["policy"], words, &["--dir", "bad"]].concat());
    let check = told(&["check"]);
    let mistakes = String::from_utf8(check.stdout).unwrap();
    assert!(mistakes.lines().any(|line| line.starts_with("x.cedar:1:")), "{mistakes}");
    for words in [&["explain", "--case", "x"][..], &["what-can", "alice"], &["who-can", "GET", "a/b"]] {
        let asked = told(words);
        assert_eq!(asked.status.code(), check.status.code(), "{words:?}");
        assert_eq!(String::from_utf8(asked.stderr).unwrap(), mistakes, "{words:?}");
    }
}
