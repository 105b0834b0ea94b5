use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::color::Style;

/// A file without mistakes, whose lines the tests break one by one.
pub(super) const GOOD: &str = r#"[gateway]
public_url = "https://doorward.corp.example/"
data_dir = "data"

[[listen]]
address = "127.0.0.1:8080"

[operator]
token_file = "operator.token"

[[issuer]]
id = "corp"
issuer = "https://idp.corp.example"
audiences = ["doorward"]
algorithms = ["RS256"]

[policy]
dir = "policies"

[limits]
header_count_max = 50

[[app]]
id = "payroll"
hosts = ["payroll.corp.example"]

[app.upstream]
addresses = ["10.1.0.10:8443"]
"#;

/// A folder with everything that [`GOOD`] names.
pub(super) fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("policies")).unwrap();
    let token = dir.path().join("operator.token");
    fs::write(&token, "0123456789abcdefghijklmnopqrstuv\n").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

/// The plain report of a text; empty when it is valid. The folder's name is written as `DIR`.
pub(super) fn report(dir: &TempDir, text: &str) -> String {
    match check(text, Path::new("doorward.toml"), dir.path()) {
        Ok(_) => String::new(),
        Err(broken) => broken.report(Show::Plain).replace(&dir.path().display().to_string(), "DIR"),
    }
}

#[test]
fn a_good_file_is_in_force() {
    let dir = folder();
    let config =
        check(GOOD, Path::new("doorward.toml"), dir.path()).map_err(|b| b.report(Show::Plain)).unwrap();
    assert_eq!(config.gateway.public_url, "https://doorward.corp.example");
    assert_eq!(config.gateway.node, "gw-1");
    assert_eq!(config.gateway.data_dir, dir.path().join("data"));
    assert_eq!(config.operator.address, OPERATOR_ADDRESS);
    assert_eq!(
        config.operator.token.as_ref().map(OperatorToken::expose),
        Some("0123456789abcdefghijklmnopqrstuv")
    );
    assert_eq!(config.limits.header_count_max, 50);
    assert_eq!(config.routes().count(), 1);
    assert!(config.remarks.is_empty(), "{:?}", config.remarks);
    let shown = format!("{config:?}{}{}", config.in_force(), config.in_force_json());
    assert!(!shown.contains("ghijkl"), "the token is shown");
    let sections: Vec<_> = GOOD.lines().filter(|l| l.starts_with('[') && !l.contains('.')).collect();
    let text = config.in_force();
    let shown: Vec<_> = text.lines().filter(|l| l.starts_with('[')).collect();
    assert!(sections.iter().all(|s| shown.contains(s)), "{shown:?}");
    assert!(text.contains("\npublic_url = \"https://doorward.corp.example\"\n"), "{text}");
}

#[test]
fn where_revocations_come_from_and_who_goes_on_without_is_told() {
    let dir = folder();
    let fleet = r#"
[revocation]
directory = "none"

[revocation.redis]
addresses = ["127.0.0.1:6379"]
tls = false

[[issuer]]"#;
    let text = GOOD.replacen("\n[[issuer]]", fleet, 1);
    let text = text.replacen("\n[app.upstream]", "stale_seconds_max = 30\n\n[app.upstream]", 1);
    let strict = "\n[[app]]\nid = \"wiki\"\nhosts = [\"wiki.corp.example\"]\nfreshness = \"strict\"\n\
                  [app.upstream]\naddresses = [\"10.1.0.20:8080\"]\n";
    let config = check(&(text + strict), Path::new("doorward.toml"), dir.path());
    let config = config.map_err(|b| b.report(Show::Plain)).unwrap();
    let told: Vec<_> = config.remarks.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "app.payroll.stale_seconds_max: while it cannot be known who was cut off, whoever was is let in for up to 30 s"
        ]
    );
    let text = config.in_force();
    for line in [
        "directory = \"none\"",
        "debt_owner = \"security\"",
        "debt_due_hours = 72",
        "[revocation.redis]",
        "mode = \"standalone\"",
        "addresses = [\"127.0.0.1:6379\"]",
        "tls = false",
        "namespace = \"doorward\"",
        "lease_millis = 1000",
        "poll_millis = 250",
        "freshness = \"lease\"",
        "stale_seconds_max = 30",
        "freshness = \"strict\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("store_file") && !text.contains("[revocation.postgres]"), "{text}");
}

#[test]
fn a_database_is_shown_without_its_password() {
    let dir = folder();
    let file = dir.path().join("postgres.password");
    std::fs::write(&file, "hunter2").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for (address, tls) in [("db.corp.example:5432", true), ("/run/postgresql:5432", false)] {
        let section = format!(
            "\n[revocation]\ndirectory = \"postgres\"\n[revocation.postgres]\naddress = \"{address}\"\n\
             password_file = \"postgres.password\"\n\n[[issuer]]"
        );
        let text = GOOD.replacen("\n[[issuer]]", &section, 1);
        let config = check(&text, Path::new("doorward.toml"), dir.path());
        let shown = config.map_err(|b| b.report(Show::Plain)).unwrap().in_force();
        let (_, of_it) = shown.split_once("[revocation.postgres]").unwrap();
        let of_it: Vec<_> = of_it.trim_start().lines().take_while(|line| !line.is_empty()).collect();
        let address = format!("address = \"{address}\"");
        let tls = format!("tls = {tls}");
        assert_eq!(of_it, [address.as_str(), "database = \"doorward\"", "user = \"doorward\"", &tls]);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// What is changed in [`GOOD`], and the whole report.
const BROKEN: &[(&str, &str, &str)] = &[
    (
        "header_count_max = 50",
        "header_count_maks = 50",
        "\
doorward.toml:21:1: error: `limits` has no key `header_count_maks`
  help: did you mean `header_count_max`?
1 mistake in doorward.toml
",
    ),
    (
        "[policy]\n",
        "[polices]\nwatch = true\n[policy]\n",
        "\
doorward.toml:17:2: error: there is no section `polices`
  help: did you mean `policy`?
1 mistake in doorward.toml
",
    ),
    (
        "header_count_max = 50",
        "header_count_max = \"50\"",
        "\
doorward.toml:21:20: error: the string `50` stands where a whole number from 0 belongs
1 mistake in doorward.toml
",
    ),
    (
        "header_count_max = 50",
        "header_count_max = -1",
        "\
doorward.toml:21:20: error: the number `-1` is out of range: a whole number from 0 belongs here
1 mistake in doorward.toml
",
    ),
    (
        "header_count_max = 50",
        "header_count_max = 0",
        "\
doorward.toml:21:20: error: `0` is out of bounds
  help: use 1 to 250; the default is 100
1 mistake in doorward.toml
",
    ),
    (
        "[app.upstream]\naddresses = [\"10.1.0.10:8443\"]\n",
        "",
        "\
doorward.toml:23:1: error: the key `upstream` is missing
  help: add `upstream = …` to this table
1 mistake in doorward.toml
",
    ),
    (
        "addresses = [\"10.1.0.10:8443\"]",
        "addresses = [\"10.1.0.10:8443\", 8443, \"https://x\"]",
        "\
doorward.toml:28:32: error: the number `8443` stands where a string belongs
doorward.toml:28:38: error: `https://x` is not `host:port`
  help: write it like `10.1.0.10:8080`, without a scheme; TLS goes into `[app.upstream.tls]`
2 mistakes in doorward.toml
",
    ),
    (
        "public_url = \"https://doorward.corp.example/\"\n",
        "node = \"a b\"\nthreads = 0\ntime_zone = \"Europe/Berln\"\n",
        "\
doorward.toml:1:1: error: the key `public_url` is missing
  help: write how the apps know this gateway, such as `public_url = \"https://doorward.corp.example\"`; they check it as `iss`
doorward.toml:2:8: error: `a b` is not a name for a node
  help: use 1 to 64 letters, digits, `-`, `_` and `.`
doorward.toml:3:11: error: `0` is out of bounds
  help: use 1 to 1024, or leave it out for the number of cores
doorward.toml:4:13: error: there is no time zone `Europe/Berln`
  help: did you mean `Europe/Berlin`?
4 mistakes in doorward.toml
",
    ),
    (
        "https://doorward.corp.example/",
        "https://user:hush@doorward.corp.example/?q",
        "\
doorward.toml:2:14: error: `https://user:hush@doorward.corp.example/?q` is not a plain http or https URL
  help: write how the apps know this gateway, such as `public_url = \"https://doorward.corp.example\"`; they check it as `iss`
1 mistake in doorward.toml
",
    ),
    (
        "address = \"127.0.0.1:8080\"",
        "address = \"127.0.0.1:9180\"\nproxy_protocol = true",
        "\
doorward.toml:6:11: error: `127.0.0.1:9180` is where operators connect
  help: health, metrics and the operator API never share a listener with clients; use another port
doorward.toml:7:18: error: PROXY protocol is required, but no proxy is trusted to speak it
  help: name your load balancers in `network.trusted_proxies`, or set `proxy_protocol = false`
2 mistakes in doorward.toml
",
    ),
    (
        "token_file = \"operator.token\"",
        "token_file = \"other.token\"\naddress = \"localhost\"",
        "\
doorward.toml:9:14: error: `DIR/other.token` cannot be read: No such file or directory (os error 2)
  help: make one: `(umask 077; head -c 32 /dev/urandom | base64 -w0 > DIR/other.token)`
doorward.toml:10:11: error: `localhost` is not an address with a port
  help: write it like `127.0.0.1:9180`
2 mistakes in doorward.toml
",
    ),
    (
        "[policy]\ndir = \"policies\"\n",
        "",
        "\
doorward.toml:1:1: error: the folder of the policies is missing
  help: write `dir = \"policies\"`; without policies nobody could be let in
1 mistake in doorward.toml
",
    ),
    (
        "[gateway]",
        "gateway = 3\n[other]",
        "\
doorward.toml:1:11: error: the number `3` stands where a table belongs
doorward.toml:2:2: error: there is no section `other`
  help: use one of `gateway`, `listen`, `operator`, `intake`, `network`, `geoip`, `risk`, `issuer`, `sign_in`, `revocation`, `directory`, `signals`, `offboarding`, `policy`, `audit`, `limits`, `streams`, `app`
2 mistakes in doorward.toml
",
    ),
    (
        "[policy]\n",
        "[directory]\npeople = \"all\"\n[policy]\n",
        "\
doorward.toml:18:10: error: `all` is not known
  help: use `token` (the default: people are as their tokens say) or `known` (as the directory says, and nobody else)
1 mistake in doorward.toml
",
    ),
    (
        "[policy]\n",
        "[directory]\npeople = \"known\"\ntoken_for = [\"lab\"]\n[revocation]\ndirectory = \"none\"\n[revocation.redis]\naddresses = [\"127.0.0.1:6379\"]\ntls = false\n[policy]\n",
        "\
doorward.toml:19:14: error: there is no issuer `lab`
  help: name the `id` of an `[[issuer]]`, or remove it
1 mistake in doorward.toml
",
    ),
    (
        "[[listen]]",
        "[listen]",
        "\
doorward.toml:5:1: error: a table stands where an array belongs
1 mistake in doorward.toml
",
    ),
    (
        "id = \"payroll\"\nhosts",
        "id = \nhosts",
        "\
doorward.toml:24:6: error: string values must be quoted, expected literal string
  help: this is not TOML; see https://toml.io for how it is written
1 mistake in doorward.toml
",
    ),
];

#[test]
fn every_mistake_has_its_place_and_its_help() {
    let dir = folder();
    for (good, bad, want) in BROKEN {
        assert!(GOOD.contains(good), "{good}");
        let text = GOOD.replacen(good, bad, 1);
        let got = report(&dir, &text);
        assert_eq!(got, *want, "\n{text}\ngot:\n{got}");
    }
}

#[test]
fn mistakes_of_every_kind_come_in_one_report() {
    let dir = folder();
    let text = GOOD
        .replace("header_count_max = 50", "header_count_max = true\nheader_seconds_max = 0\nheader_bytes = 1")
        .replace("id = \"corp\"\n", "")
        .replace("[\"payroll.corp.example\"]", "[\"https://payroll\"]")
        .replace("data_dir = \"data\"", "data_dir = 7");
    let got = report(&dir, &text);
    for part in [
        "3:12: error: the number `7` stands where a path belongs",
        "limits` has no key `header_bytes`",
        "the boolean `true` stands where",
        "`0` is out of bounds",
        "`https://payroll` is not a host name",
        "the issuer has no `id`",
        "6 mistakes in doorward.toml",
    ] {
        assert!(got.contains(part), "{part} is not in:\n{got}");
    }
}

#[test]
fn a_terminal_sees_the_lines_and_a_program_gets_json() {
    let dir = folder();
    let text = GOOD.replace("header_count_max = 50", "header_count_maks = 50");
    let broken = check(&text, Path::new("doorward.toml"), dir.path()).unwrap_err();
    let drawn = broken.report(Show::Graphical(Style::Plain));
    for part in ["doorward.toml:21:1", "21 │ header_count_maks = 50", "did you mean `header_count_max`?"] {
        assert!(drawn.contains(part), "{part} is not in:\n{drawn}");
    }
    assert!(!drawn.contains('\u{1b}'));
    assert!(broken.report(Show::Graphical(Style::Color)).contains('\u{1b}'));
    let json: serde_json::Value = serde_json::from_str(&broken.report(Show::Json)).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "file": "doorward.toml", "valid": false, "mistakes": [{
                "line": 21, "column": 1, "key": "limits.header_count_maks",
                "message": "`limits` has no key `header_count_maks`",
                "help": "did you mean `header_count_max`?",
            }],
        })
    );
}

#[test]
fn the_example_has_every_section_right() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/doorward.example.toml");
    let text = fs::read_to_string(&file).unwrap();
    let tree = DeTable::parse(&text).unwrap();
    let outcome = read::read::<Written>(&DeValue::Table(tree.into_inner()));
    assert_eq!(outcome.unknown, Vec::new());
    assert_eq!(outcome.misshapen, Vec::new());
    // What it says is right too, at the top of the tree, but for the files that only a real
    // installation has.
    let copy = tempfile::tempdir().unwrap();
    for shared in ["policies", "geoip"] {
        let shipped = file.parent().unwrap().join("..").canonicalize().unwrap().join(shared);
        std::os::unix::fs::symlink(shipped, copy.path().join(shared)).unwrap();
    }
    let broken = check(&text, &file, copy.path()).unwrap_err();
    let keys: Vec<_> = broken.mistakes.iter().map(|m| m.key.as_str()).collect();
    let lacking = [
        "listen[0].certificate[0].chain",
        "listen[0].certificate[0].key",
        "operator.token_file",
        "app[0].upstream.tls.ca_file",
    ];
    assert_eq!(keys, lacking, "{}", broken.report(Show::Plain));
}

#[test]
fn what_the_example_calls_defaults_are_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/doorward.example.toml");
    let text = fs::read_to_string(&file).unwrap();
    let read = |text: &str| {
        let tree = DeTable::parse(text).unwrap();
        read::read::<Written>(&DeValue::Table(tree.into_inner())).value.unwrap()
    };
    // Keys that are comments count as well: they show their defaults, where they call them so.
    let shown =
        text.replace("# retention_days", "retention_days").replace("# store_bytes_max", "store_bytes_max");
    let example = read(&shown);
    let (top, dir, mut none) = (KeyPath::top(), Path::new("/x"), Vec::new());
    let limits = |section: &LimitsSection, none: &mut Vec<_>| {
        format!("{:?}", proxy::check_limits(section, &top, none))
    };
    assert_eq!(limits(&example.limits.unwrap(), &mut none), limits(&LimitsSection::default(), &mut none));
    let audit = |section: &AuditSection, none: &mut Vec<_>| AuditConfig::check(section, &top, dir, dir, none);
    assert_eq!(audit(&example.audit.unwrap(), &mut none), audit(&AuditSection::default(), &mut none));
    let revocation =
        |section: &RevocationSection, none: &mut Vec<_>| section.check(&top, dir, dir, "n", none);
    assert_eq!(
        revocation(&example.revocation.unwrap(), &mut none),
        revocation(&RevocationSection::default(), &mut none)
    );
    let people = |section: &DirectorySection, none: &mut Vec<_>| proxy::check_directory(section, &top, none);
    assert_eq!(
        people(&example.directory.unwrap(), &mut none),
        people(&DirectorySection::default(), &mut none)
    );
    let streams = |section: &StreamsSection, none: &mut Vec<_>| proxy::check_streams(section, &top, none);
    assert_eq!(streams(&example.streams.unwrap(), &mut none), streams(&StreamsSection::default(), &mut none));
    assert_eq!(example.operator.unwrap().address.as_deref(), Some(OPERATOR_ADDRESS.to_string().as_str()));
    assert_eq!(example.gateway.as_ref().unwrap().node.as_deref(), Some(gateway::NODE));
    assert_eq!(example.gateway.unwrap().data_dir.as_deref(), Some(Path::new(gateway::DATA_DIR)));
    assert!(none.is_empty(), "{none:?}");
    // An app says nothing that it would not be without saying it, where a comment calls it the default.
    let app = |text: &str| {
        let written = read(text);
        let mut said = Vec::new();
        let all = proxy::check_apps(&written.app, &top, dir, &mut said);
        format!("{:?}", all.first())
    };
    let is_default = |line: &&str| line.contains("# the default") || line.contains("; the default");
    let bare: String = text.lines().filter(|l| !is_default(l)).map(|l| format!("{l}\n")).collect();
    assert!(bare.len() + 400 < text.len(), "no line is called a default");
    assert_eq!(app(&bare), app(&text));
}

#[test]
fn a_certificate_is_opened_with_its_key_and_all_that_cannot_be_served_is_told() {
    let dir = folder();
    let pair = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let ((chain, key), (nameless, nameless_key)) = (pair(&["corp.example"]), pair(&[]));
    for (name, content) in [
        ("good.pem", &chain),
        ("good.key", &key),
        ("nameless.pem", &nameless),
        ("nameless.key", &nameless_key),
        ("garbage", &"nonsense".to_owned()),
    ] {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let with = |pairs: &[(&str, &str)]| {
        let tables: String = pairs
            .iter()
            .map(|(chain, key)| format!("[[listen.certificate]]\nchain = \"{chain}\"\nkey = \"{key}\"\n"))
            .collect();
        GOOD.replace("address = \"127.0.0.1:8080\"\n", &format!("address = \"127.0.0.1:8080\"\n{tables}"))
    };
    assert_eq!(report(&dir, &with(&[("good.pem", "good.key")])), "");
    let got = report(
        &dir,
        &with(&[
            ("good.pem", "nameless.key"),
            ("garbage", "good.key"),
            ("good.pem", "garbage"),
            ("nameless.pem", "nameless.key"),
            ("absent.pem", "good.key"),
        ]),
    );
    for part in [
        ":9:7: error: the key `DIR/nameless.key` does not fit the certificate `DIR/good.pem`",
        ":11:9: error: `DIR/garbage` holds no certificate in PEM",
        ":15:7: error: `DIR/garbage` holds no private key in PEM",
        ":17:9: error: the certificate `DIR/nameless.pem` has no DNS name",
        ":20:9: error: `DIR/absent.pem` cannot be read",
        "5 mistakes in doorward.toml",
    ] {
        assert!(got.contains(part), "{part} is not in:\n{got}");
    }
}

#[test]
fn hostile_files_are_refused_and_do_no_harm() {
    let dir = folder();
    let deep_array = format!("x = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_key = format!("{} = 1", ["a"; 10_000].join("."));
    let many = (0..500).map(|i| format!("[[app]]\nid = {i}\n")).collect::<String>();
    for text in ["", "\0", "\u{feff}", "=", "[[", "[a]\n[a]", "a = 1e999", &deep_array, &deep_key, &many] {
        let got = report(&dir, text);
        assert!(got.contains("mistake"), "{text:.40}: {got:.200}");
    }
    assert!(report(&dir, &GOOD.replace("= 50", "= 99999999999999999999")).contains("is too large a number"));
}

#[test]
fn files_that_cannot_be_read_are_told_apart() {
    let dir = folder();
    assert!(matches!(load(&dir.path().join("absent.toml")), Err(ConfigError::Absent(_))));
    assert!(matches!(load(dir.path()), Err(ConfigError::Unreadable { .. })));
    let file = dir.path().join("doorward.toml");
    fs::write(&file, [0xff, 0xfe]).unwrap();
    assert!(matches!(load(&file), Err(ConfigError::Unreadable { .. })));
    fs::write(&file, GOOD).unwrap();
    let config = load(&file).unwrap();
    assert_eq!(config.policy.dir, dir.path().join("policies"));
}

#[test]
fn exceptions_from_the_guards_are_remarked() {
    let dir = folder();
    let text = GOOD
        .replace("127.0.0.1:8080", "0.0.0.0:8080")
        .replace("token_file = \"operator.token\"", "address = \"0.0.0.0:9180\"")
        .replace(
            "hosts =",
            "audit = \"best_effort\"\npass_token = true\nlenient_path = true\ncase_sensitive_paths = true\nhosts =",
        );
    let config = check(&text, Path::new("x"), dir.path()).map_err(|b| b.report(Show::Plain)).unwrap();
    let at: Vec<_> = config.remarks.iter().map(|r| r.at.to_string()).collect();
    assert_eq!(
        at,
        [
            "operator.token_file",
            "operator.address",
            "listen[0]",
            "app.payroll.audit",
            "app.payroll.pass_token",
            "app.payroll.lenient_path",
            "app.payroll.case_sensitive_paths"
        ]
    );
}

#[test]
fn whose_word_counts_about_people_is_told() {
    let dir = folder();
    let told = |section: &str| {
        let text = GOOD.replacen("[policy]", &format!("{section}\n[policy]"), 1);
        let config = check(&text, Path::new("x"), dir.path()).map_err(|b| b.report(Show::Plain)).unwrap();
        let remarks: Vec<_> = config.remarks.iter().map(ToString::to_string).collect();
        (config.in_force(), remarks)
    };
    let (shown, remarks) = told("");
    assert!(shown.contains("[directory]\npeople = \"token\"\n"), "{shown}");
    assert!(remarks.is_empty(), "{remarks:?}");
    assert!(shown.contains("default_roles = []\ninvitation_days = 7\n"), "{shown}");
    let (shown, remarks) = told("[directory]\npeople = \"known\"\ntoken_for = [\"corp\"]");
    assert!(shown.contains("[directory]\npeople = \"known\"\ntoken_for = [\"corp\"]\n"), "{shown}");
    assert_eq!(
        remarks,
        [
            "directory.token_for[0]: whoever `corp` vouches for is let in as the token says, though the directory does not know them"
        ]
    );
}

#[test]
fn for_whose_addresses_an_issuer_speaks_is_told_where_others_have_such_addresses_too() {
    let dir = folder();
    let told = |issuers: &str, people: &str| {
        let text =
            GOOD.replacen("[policy]", &format!("[directory]\npeople = \"{people}\"\n{issuers}\n[policy]"), 1);
        let config = check(&text, Path::new("x"), dir.path()).map_err(|b| b.report(Show::Plain)).unwrap();
        config.remarks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let issuer = |id: &str, more: &str| {
        format!(
            "[[issuer]]\nid = \"{id}\"\nissuer = \"https://{id}.example\"\naudiences = [\"doorward\"]\n\
             algorithms = [\"RS256\"]\nemail_domains = {more}\n"
        )
    };
    let google = issuer("google", "[\"gmail.com\"]\nfirst_sign_in = true");
    assert_eq!(
        told(&google, "known"),
        [
            "issuer[1].email_domains[0]: anybody can have an address in `gmail.com`, and whoever `google` calls its owner \
             becomes a person here"
        ]
    );
    assert!(
        told(&google, "token")[1].starts_with("issuer[1].first_sign_in: nobody becomes known by signing in")
    );
    let both = format!("{}{}", issuer("a", "[\"corp.example\"]"), issuer("b", "[\"corp.example\"]"));
    assert_eq!(
        told(&both, "known"),
        [
            "issuer[2].email_domains[0]: `b` and `a` both speak for `corp.example`: an address there is whose either of them \
             says"
        ]
    );
}

#[test]
fn a_provider_that_may_give_no_refresh_token_is_told() {
    let dir = folder();
    let secret = dir.path().join("corp.secret");
    fs::write(&secret, "a secret of more than thirty-two letters\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let told = |more: &str| {
        let provider = format!(
            "[issuer.sign_in]\nclient_id = \"browser\"\nclient_secret_file = \"corp.secret\"\n{more}\n[network]\n\
             trusted_proxies = [\"10.0.0.5\"]\nclient_address_header = \"x-forwarded-for\"\n[sign_in]\n\
             url = \"https://login.corp.example\"\n[policy]"
        );
        let text = GOOD.replacen("[policy]", &provider, 1);
        let config = check(&text, Path::new("x"), dir.path()).map_err(|b| b.report(Show::Plain)).unwrap();
        config.remarks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let without = "scopes = [\"openid\", \"email\"]";
    let remarks = told(without);
    assert!(
        remarks.len() == 1
            && remarks[0].starts_with("issuer[0].sign_in.scopes: `offline_access` is not asked for"),
        "{remarks:?}"
    );
    for good in [
        String::new(),
        format!("{without}\nrevalidate = false"),
        format!("{without}\nparameters = {{ access_type = \"offline\" }}"),
    ] {
        assert_eq!(told(&good), Vec::<String>::new(), "{good}");
    }
}

#[test]
fn a_logout_that_names_people_otherwise_than_their_tokens_do_is_told() {
    let dir = folder();
    let told = |claim: &str| {
        let issuer = format!(
            "[[issuer]]\nid = \"okta\"\nissuer = \"https://okta.example\"\naudiences = [\"doorward\"]\n\
             algorithms = [\"RS256\"]\nsubject_claim = \"{claim}\"\n[intake]\naddress = \"127.0.0.1:9280\"\n\
             [[signals.logout]]\nid = \"okta\"\nissuer = \"https://okta.example\"\naudiences = [\"door\"]\n\
             algorithms = [\"RS256\"]\n[policy]"
        );
        let text = GOOD.replacen("[policy]", &issuer, 1);
        let config = check(&text, Path::new("x"), dir.path()).map_err(|b| b.report(Show::Plain)).unwrap();
        config.remarks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told("sub"), Vec::<String>::new());
    assert_eq!(
        told("uid"),
        [
            "signals.logout[0]: people are named by `uid` there, so that a logout reaches them by the `sid` of a session \
             only, and not by `sub`"
        ]
    );
}

#[test]
fn in_an_emergency_only_the_operator_section_must_be_right() {
    let dir = folder();
    let file = dir.path().join("doorward.toml");
    let text =
        GOOD.replace("dir = \"policies\"", "dir = \"gone\"\nnonsense = 1").replace("[[app]]", "[[apq]]");
    fs::write(&file, text.replace("[operator]", "[operator]\naddress = \"127.0.0.1:7000\"")).unwrap();
    let (address, token_file) = operator_place(&file).unwrap();
    assert_eq!(address, "127.0.0.1:7000".parse().unwrap());
    assert_eq!(token_file, Some(dir.path().join("operator.token")));
    fs::write(&file, "[operator]\naddress = 7").unwrap();
    assert!(matches!(operator_place(&file), Err(ConfigError::Broken(_))));
    assert!(matches!(operator_place(&dir.path().join("absent")), Err(ConfigError::Absent(_))));
}
