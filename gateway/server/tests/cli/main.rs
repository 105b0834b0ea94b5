//! The program as a person or a script meets it: exit codes, and what goes to which channel.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bundled;
mod explained;
mod proved;

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

/// Where nobody can be told what is wrong, the exit code still says that something is.
#[test]
fn errors_that_cannot_be_written_change_no_exit_code() {
    let dir = folder();
    fs::create_dir(dir.path().join("bad")).unwrap();
    fs::write(dir.path().join("bad/x.cedar"), "permit(principal, action, resource").unwrap();
    for args in [
        &["policy", "explain", "--case", "x", "--dir", "bad"][..],
        &["policy", "what-can", "alice", "--dir", "bad"],
        &["policy", "check", "--policies", "none.cedar"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.args(args).current_dir(dir.path()).env_remove("DOORWARD_CONFIG");
        let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(done.code(), Some(2), "{args:?}");
    }
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
