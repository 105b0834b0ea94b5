//! The program as a person or a script meets it: exit codes, and what goes to which channel.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
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

/// A folder with a valid configuration that nothing runs with.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
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
