//! The program as a person or a script meets it: exit codes, and what goes to which channel.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

fn doorward(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(args)
        .current_dir(dir)
        .env_remove("DOORWARD_CONFIG")
        .env_remove("DOORWARD_LOG")
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A folder with a valid configuration that nothing runs with.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let repository = repository();
    let token = dir.path().join("operator.token");
    fs::write(&token, "0123456789abcdefghijklmnopqrstuv").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    // Bound and dropped: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        r#"
[gateway]
public_url = "https://doorward.corp.example"
data_dir = "data"
[[listen]]
address = "127.0.0.1:0"
[operator]
address = "{free}"
token_file = "operator.token"
[geoip]
databases = ["{repository}/geoip/data/country.mmdb"]
[network.named]
corp = ["192.0.2.0/24"]
vpn = []
[[issuer]]
id = "corp"
issuer = "https://idp.corp.example"
audiences = ["doorward"]
algorithms = ["RS256"]
[policy]
dir = "{repository}/policies"
[[app]]
id = "payroll"
groups = ["finance"]
hosts = ["payroll.corp.example"]
tier = "restricted"
scope = "payroll:read"
[app.upstream]
addresses = ["10.1.0.10:8443"]
[[app.route]]
id = "admin"
path = "/admin"
tier = "restricted"
admin_surface = true
[[app]]
id = "wiki"
hosts = ["wiki.corp.example"]
[app.upstream]
addresses = ["10.1.0.11:8443"]
[[app.route]]
id = "welcome"
path = "/welcome"
tier = "public"
public = true
[[app.route]]
id = "admin"
path = "/admin"
tier = "restricted"
admin_surface = true
[[app]]
id = "build"
groups = ["engineering"]
hosts = ["build.corp.example"]
scope = "build:run"
[app.upstream]
addresses = ["10.1.0.12:8443"]
"#,
        repository = repository.display()
    );
    fs::write(dir.path().join("doorward.toml"), config).unwrap();
    fs::create_dir_all(dir.path().join("data/audit")).unwrap();
    dir
}

#[test]
fn exit_codes_and_channels_are_as_documented() {
    let dir = folder();
    fs::write(dir.path().join("broken.toml"), "[gateway]\nnod = 1\n").unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let policies = repository().join("policies").display().to_string();
    let good = fs::read_to_string(dir.path().join("doorward.toml")).unwrap();
    fs::write(dir.path().join("empty.toml"), good.replace(&policies, "empty")).unwrap();
    // Arguments; exit code; a part of standard output; a part of standard error.
    let cases: &[(&str, i32, &str, &str)] = &[
        ("--version", 0, "doorward 0.", ""),
        ("--help", 0, "Exit codes:", ""),
        ("", 2, "", "Usage:"),
        ("fly", 2, "", "unrecognized subcommand"),
        ("check", 0, "doorward.toml is valid", ""),
        ("check", 0, "cases held", ""),
        ("check --format json", 0, "\"valid\": true", ""),
        ("policy check", 0, "is good", ""),
        ("check --config broken.toml", 2, "broken.toml:2:1: error: `gateway` has no key `nod`", ""),
        ("check --config broken.toml --format json", 2, "\"line\": 2", ""),
        ("check --config absent.toml", 2, "", "help: begin in one of two ways"),
        ("run --config absent.toml", 2, "", "doorward demo"),
        ("run --config broken.toml", 2, "", "broken.toml:2:1: error: `gateway` has no key `nod`"),
        ("run --log a=b=c", 2, "", "is not a log filter"),
        ("run --config empty.toml", 2, "", "the policies cannot be loaded"),
        ("policy check --dir empty", 2, "not put in force", ""),
        ("policy check --dir empty --format json", 2, "\"valid\": false", ""),
        ("geoip lookup 192.0.2.1", 0, "networks    corp", ""),
        ("geoip lookup 192.0.2.1 --format json", 0, "\"networks\": [", ""),
        ("geoip lookup 192.0.2.1 --database absent.mmdb", 1, "", "absent.mmdb"),
        ("audit tail", 0, "", ""),
        ("audit tail --dir absent", 1, "", "help: it is `audit.dir`"),
        ("revoke user corp:alice", 3, "", "help: is the gateway running?"),
        ("revoke user alice", 3, "", "help: is the gateway running?"),
        ("revoke user corp:", 2, "", "a subject has 1 to 255 bytes"),
        ("revoke session corp:1 --app payroll", 2, "", "`--app` is for users only"),
        ("revoke user corp:alice --operator nonsense", 2, "", "help: write it like `http://127.0.0.1:9180`"),
        ("revoke user corp:alice --token-file absent", 2, "", "`absent` cannot be read"),
        ("revoke user corp:alice --config absent.toml", 2, "", "there is no configuration file"),
        ("inflight", 3, "", "does not answer"),
        ("demo watch --url ws://127.0.0.1:1/", 1, "", "is `doorward demo` running?"),
    ];
    for (line, code, out, err) in cases {
        let args: Vec<_> = line.split_whitespace().collect();
        let got = doorward(dir.path(), &args);
        let (stdout, stderr) =
            (String::from_utf8(got.stdout).unwrap(), String::from_utf8(got.stderr).unwrap());
        assert_eq!(got.status.code(), Some(*code), "doorward {line}\n{stdout}{stderr}");
        assert!(stdout.contains(out), "doorward {line}\n{stdout}");
        assert!(stderr.contains(err), "doorward {line}\n{stderr}");
        let both = stdout + &stderr;
        assert!(!both.contains('\u{1b}'), "doorward {line}: colors in a pipe");
        assert!(!both.contains("ghijkl"), "doorward {line} shows the token");
    }
}

/// What a reader of README types under "Run it", in a copy of the tree: whatever is missing then is
/// what only the reader has.
#[test]
fn the_lines_of_the_readme_work() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path();
    for shared in ["policies", "geoip"] {
        std::os::unix::fs::symlink(repository().join(shared), here.join(shared)).unwrap();
    }
    fs::create_dir(here.join("deploy")).unwrap();
    let example = "deploy/doorward.example.toml";
    fs::copy(repository().join(example), here.join(example)).unwrap();
    // This very program is what the build makes; that it was asked to is all that is seen of it.
    fs::create_dir_all(here.join("target/release")).unwrap();
    fs::create_dir(here.join("bin")).unwrap();
    let cargo = here.join("bin/cargo");
    let built = format!(
        "#!/bin/sh\necho \"$@\" > asked\nln -s {} target/release/doorward\n",
        env!("CARGO_BIN_EXE_doorward")
    );
    fs::write(&cargo, built).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();

    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let (_, run_it) = readme.split_once("\n## Run it\n").unwrap();
    let lines = run_it.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let path = format!("{}:{}", here.join("bin").display(), std::env::var("PATH").unwrap());
    // Each line tells its exit code, so that none fails unseen.
    let script: String = lines.lines().map(|line| format!("{line}\necho \"exit $?\"\n")).collect();
    let ran = Command::new("sh")
        .args(["-c", &script])
        .current_dir(here)
        .env("PATH", path)
        .env_remove("DOORWARD_CONFIG")
        .env_remove("DOORWARD_LOG")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
    assert_eq!(
        fs::read_to_string(here.join("asked")).unwrap().trim(),
        "build --release --locked -p doorward-server"
    );
    let codes: Vec<_> = out.lines().filter_map(|line| line.strip_prefix("exit ")).collect();
    // Build, path, copy, token and policies are good; check and run name what the reader must fill in.
    assert_eq!(codes, ["0", "0", "0", "0", "0", "2", "2"], "{out}{err}");
    let token = fs::metadata(here.join("operator.token")).unwrap();
    assert_eq!(token.permissions().mode() & 0o777, 0o600);
    // Both name the lines of the copy where a file stands that is only the reader's.
    let copy = fs::read_to_string(here.join("doorward.toml")).unwrap();
    let line_of =
        |file: &str| copy.lines().position(|l| !l.starts_with('#') && l.contains(file)).unwrap() + 1;
    let lacking = ["tls/corp.example.pem", "tls/corp.example.key", "tls/internal-ca.pem"].map(line_of);
    for told in [&out, &err] {
        let mistakes = told.lines().filter(|line| line.contains(": error: "));
        let lines: Vec<usize> = mistakes.map(|m| m.split(':').nth(1).unwrap().parse().unwrap()).collect();
        assert_eq!(lines, lacking, "{told}");
    }
}

#[test]
fn color_can_be_asked_for() {
    let dir = folder();
    let always = doorward(dir.path(), &["check", "--color", "always"]);
    assert!(String::from_utf8(always.stdout).unwrap().contains("\u{1b}[32m"));
}

#[test]
fn a_reader_that_leaves_ends_the_command_in_peace() {
    let dir = folder();
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorward"))
        .args(["check", "--format", "json"])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let said: Vec<_> = stderr.lines().map(Result::unwrap).collect();
    assert_eq!(said, Vec::<String>::new());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// `doorward policy explain`: words, a case, the log, and other people's policies.
mod explained {
    use serde_json::Value;

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
        let home =
            ["--who", "alice", "--does", "GET payroll/all", "--with", "place.zones= session.mfa_age=40m"];
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
        assert!(
            out.contains("all of") && out.contains("guard.mfa would forbid, and does not apply"),
            "{out}"
        );
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
        assert!(
            told.contains("z.fails could not be evaluated") && !told.contains("nothing permits"),
            "{told}"
        );
        let told = ask(&["--who", "carols-agent", "--does", "GET wiki/all"]);
        for line in
            ["denied: the agent and its person must both be allowed", "its own question: ", "z.agent permits"]
        {
            assert!(told.contains(line), "{line} in {told}");
        }
        assert!(!told.contains("denied by z.agent"), "{told}");
        let told = ask(&[
            "--who",
            "alice",
            "--does",
            "GET payroll/all",
            "--with",
            "session.mfa_age=40m place.zones=",
        ]);
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
        assert!(
            out.contains("nearest permit missed: policy0") && out.contains("context.level is 3"),
            "{out}"
        );
        let (_, out, _) = of("a", "{}");
        assert!(out.contains("could not be evaluated") && out.contains("level"), "{out}");
        assert_eq!(ask("{}").0, 2);
        let deep = format!(
            "permit(principal,action,resource) when {{ {}1{} }};",
            "(".repeat(9000),
            ")".repeat(9000)
        );
        write("p.cedar", &deep);
        let (code, _, err) = of("a", "{}");
        assert!(code == 2 && err.contains("brackets nest deeper"), "{err}");
    }
}

/// `doorward policy prove`. The solver is on the machine that runs the tests.
mod proved {
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
}
