use std::os::unix::fs::PermissionsExt as _;

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("policies/apps")).unwrap();
        fs::write(dir.path().join("policies/schema.cedarschema"), "// schema\n").unwrap();
        fs::write(dir.path().join("policies/apps/wiki.cedar"), "// wiki\n").unwrap();
        fs::create_dir_all(dir.path().join("geoip/data")).unwrap();
        fs::write(dir.path().join("geoip/data/country.mmdb"), "x").unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As a demo that has ended.
    fn write(&self, folder: &str) -> Result<DemoFolder, FolderError> {
        self.run(folder).map(|(made, _hold)| made)
    }

    fn run(&self, folder: &str) -> Result<(DemoFolder, Hold), FolderError> {
        write(&self.path(folder), Ports::default(), &Sources::in_tree(self.0.path()), "s3cret", NOW)
    }
}

#[test]
fn the_folder_has_all_that_a_gateway_needs() {
    let tree = Tree::new();
    let made = tree.write(".demo").unwrap();
    assert_eq!(fs::read_to_string(made.policies.join("apps/wiki.cedar")).unwrap(), "// wiki\n");
    let token = fs::read_to_string(&made.operator_token).unwrap();
    assert_eq!(token.trim().len(), 44, "two times 22 characters, above the 32 that are asked for");
    assert_eq!(fs::metadata(&made.operator_token).unwrap().permissions().mode() & 0o777, 0o600);

    let written: toml::Table = fs::read_to_string(&made.config).unwrap().parse().unwrap();
    assert_eq!(written["listen"][0]["address"].as_str(), Some("127.0.0.1:8080"));
    assert_eq!(written["listen"][1]["address"].as_str(), Some("127.0.0.1:8443"));
    assert_eq!(written["sign_in"]["url"].as_str(), Some("https://login.localhost:8443"));
    for (file, holds) in [("client.secret", "s3cret\n"), ("localhost.key", "-----BEGIN PRIVATE KEY-----")] {
        let path = made.folder.join(file);
        assert!(fs::read_to_string(&path).unwrap().starts_with(holds), "{file}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let own = fs::read_to_string(made.policies.join("apps/demo.cedar")).unwrap();
    assert!(own.contains("demo.payroll-key"), "{own}");
    let case = fs::read_to_string(made.policies.join("cases/demo.toml")).unwrap();
    assert!(case.contains("demo.payroll-key"), "{case}");
    assert_eq!(written["operator"]["address"].as_str(), Some("127.0.0.1:9180"));
    assert_eq!(written["issuer"][0]["issuer"].as_str(), Some("http://127.0.0.1:9181"));
    let database = written["geoip"]["databases"][0].as_str().unwrap();
    assert_eq!(fs::read_to_string(database).unwrap(), "x");
    let apps: Vec<_> = written["app"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(apps, ["wiki", "payroll", "build", "build-grpc"]);
    assert!(!made.folder.join("data").exists(), "the gateway makes it");
}

/// Every key, with the table that holds it, arrays as one.
fn keys(value: &toml::Value, at: &str, found: &mut std::collections::BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                let at = format!("{at}.{name}");
                keys(value, &at, found);
                found.insert(at);
            }
        }
        toml::Value::Array(array) => array.iter().for_each(|v| keys(v, at, found)),
        _ => {}
    }
}

#[test]
fn it_uses_only_keys_that_the_example_shows_or_the_proxy_reads() {
    let all = |text: &str| {
        let mut found = std::collections::BTreeSet::new();
        keys(&toml::Value::Table(text.parse().unwrap()), "", &mut found);
        found
    };
    // A key or a table that is written as a comment is shown all the same.
    let example: String = include_str!("../../../../deploy/doorward.example.toml")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.split(" = ").next().is_some_and(|k| !k.contains(' ')) => format!("{key}\n"),
            Some(table) if table.starts_with('[') => format!("{table}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let mut known = all(&example);
    known.extend([".app.tier", ".app.scope"].map(str::to_owned));
    let unknown: Vec<_> = all(&toml(Ports::default(), "/x")).difference(&known).cloned().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_path_with_quotes_stays_one_path() {
    for database in ["/a b/c.mmdb", "/it's/c.mmdb", r#"/say "hi"/c.mmdb"#, r"/back\slash'quote"] {
        let written: toml::Table = toml(Ports::default(), database).parse().unwrap();
        assert_eq!(written["geoip"]["databases"][0].as_str(), Some(database));
    }
}

#[test]
fn a_second_demo_starts_afresh() {
    let tree = Tree::new();
    let made = tree.write(".demo").unwrap();
    let token = fs::read_to_string(&made.operator_token).unwrap();
    fs::write(made.policies.join("apps/broken.cedar"), "permit (").unwrap();
    fs::create_dir_all(made.folder.join("data/audit")).unwrap();
    fs::write(made.folder.join("note.txt"), "mine").unwrap();
    let again = tree.write(".demo").unwrap();
    assert_eq!(again, made);
    assert_ne!(fs::read_to_string(&again.operator_token).unwrap(), token);
    assert!(!again.policies.join("apps/broken.cedar").exists());
    assert!(!again.folder.join("data").exists());
    assert_eq!(
        fs::read_to_string(again.folder.join("note.txt")).unwrap(),
        "mine",
        "not the demo's to remove"
    );
}

#[test]
fn a_running_demo_keeps_what_it_stands_on() {
    let tree = Tree::new();
    let (made, hold) = tree.run(".demo").unwrap();
    let token = fs::read_to_string(&made.operator_token).unwrap();
    fs::create_dir_all(made.folder.join("data/audit")).unwrap();
    fs::write(made.policies.join("apps/mine.cedar"), "// mine\n").unwrap();
    let refused = tree.write(".demo").unwrap_err();
    assert!(matches!(refused, FolderError::InUse(_)), "{refused}");
    assert!(refused.to_string().contains("choose another folder and other ports"), "{refused}");
    assert_eq!(fs::read_to_string(&made.operator_token).unwrap(), token);
    assert!(made.folder.join("data/audit").exists() && made.policies.join("apps/mine.cedar").exists());
    assert!(tree.write(".other").is_ok());
    drop(hold);
    assert_eq!(tree.write(".demo").unwrap(), made, "it has ended");
    assert!(!made.folder.join("data").exists());
}

#[test]
fn what_is_not_the_demo_s_is_left_alone() {
    let tree = Tree::new();
    fs::create_dir_all(tree.path("home/policies")).unwrap();
    fs::write(tree.path("home/policies/dear.txt"), "x").unwrap();
    assert!(matches!(tree.write("home"), Err(FolderError::NotOurs(_))));
    assert_eq!(fs::read_dir(tree.path("home")).unwrap().count(), 1);
    assert!(tree.path("home/policies/dear.txt").exists());
    fs::create_dir(tree.path("empty")).unwrap();
    assert!(tree.write("empty").is_ok());
}

#[test]
fn a_missing_or_strange_source_is_named() {
    let tree = Tree::new();
    std::os::unix::fs::symlink("/etc/passwd", tree.path("policies/apps/link.cedar")).unwrap();
    assert!(matches!(tree.write("a"), Err(FolderError::Strange(p)) if p.ends_with("link.cedar")));
    fs::remove_file(tree.path("policies/apps/link.cedar")).unwrap();
    let deep = "d/".repeat(10);
    fs::create_dir_all(tree.path("policies").join(deep)).unwrap();
    assert!(matches!(tree.write("b"), Err(FolderError::Strange(_))));
    fs::remove_file(tree.path("geoip/data/country.mmdb")).unwrap();
    let refused = tree.write("c").unwrap_err().to_string();
    assert!(refused.contains("country.mmdb") && refused.contains("source tree"), "{refused}");
    assert!(!tree.path("c").exists());
}
