use std::os::unix::fs::symlink;

use super::*;

fn put(dir: &Path, files: &[(&str, &[u8])]) {
    for (path, bytes) in files {
        let at = dir.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }
}

fn look(dir: &Path) -> (Vec<String>, Vec<String>) {
    let mut findings = Vec::new();
    let folder = read(dir, &mut findings);
    let files = folder.schema.iter().chain(&folder.policies).chain(&folder.cases);
    (files.map(|f| f.path.clone()).collect(), findings.iter().map(ToString::to_string).collect())
}

#[test]
fn files_come_in_the_order_of_their_paths_and_others_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[
            ("schema.cedarschema", b""),
            ("apps/b.cedar", b""),
            ("apps/a.cedar", b""),
            ("z.cedar", b""),
            ("apps/deep/er/c.cedar", b""),
            ("cases/x.toml", b""),
            ("cases/notes.md", b"\xff"),
            ("README.md", b"\xff"),
            ("apps/.#a.cedar", b"\xff"),
            (".git/x.cedar", b"\xff"),
            ("apps/a.cedar~", b"\xff"),
        ],
    );
    symlink("nowhere", dir.path().join("apps/.#b.cedar")).unwrap();
    let (files, findings) = look(dir.path());
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(
        files,
        [
            "schema.cedarschema",
            "apps/a.cedar",
            "apps/b.cedar",
            "apps/deep/er/c.cedar",
            "z.cedar",
            "cases/x.toml"
        ]
    );
}

#[test]
fn a_link_stays_inside() {
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), &[("x.cedar", b"permit(principal,action,resource);"), ("d/y.cedar", b"")]);
    let dir = tempfile::tempdir().unwrap();
    // As the mounts of orchestrators look: files are links into a hidden folder.
    put(dir.path(), &[("..data/a.cedar", b"inside")]);
    symlink("..data/a.cedar", dir.path().join("a.cedar")).unwrap();
    assert_eq!(look(dir.path()), (vec!["a.cedar".into()], vec![]));
    symlink(outside.path().join("x.cedar"), dir.path().join("x.cedar")).unwrap();
    symlink(outside.path().join("d"), dir.path().join("d")).unwrap();
    symlink("missing", dir.path().join("m.cedar")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    let (files, findings) = look(dir.path());
    assert!(files.iter().all(|f| f.ends_with("a.cedar")), "{files:?}");
    for start in ["x.cedar: this link leads out", "d: this link leads out", "m.cedar: this cannot"] {
        assert!(findings.iter().any(|f| f.starts_with(start)), "{start} in {findings:?}");
    }
    assert!(findings.iter().any(|f| f.contains("here already under another name")));
    fs::create_dir_all(dir.path().join("1/2/3/4/5/6/7/8/9")).unwrap();
    assert!(look(dir.path()).1.iter().any(|f| f.contains("folders nest too deep")));
}

#[test]
fn what_cannot_be_a_text_of_policies_is_named() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        &[
            ("a.cedar", b"// ok\n// \xff\xfe"),
            ("b.cedar", b"permit\0"),
            ("bom.cedar", b"\xef\xbb\xbfpermit"),
            ("c.CEDAR", b""),
            ("d e.cedar", b""),
            ("sub/schema.cedarschema", b""),
        ],
    );
    let big = fs::File::create(dir.path().join("schema.cedarschema")).unwrap();
    big.set_len(POLICY_SCHEMA_BYTES_MAX + 1).unwrap();
    let big = fs::File::create(dir.path().join("f.cedar")).unwrap();
    big.set_len(POLICY_FILE_BYTES_MAX + 1).unwrap();
    fs::create_dir(dir.path().join("g.cedar")).unwrap();
    let (files, findings) = look(dir.path());
    assert_eq!(files, Vec::<String>::new());
    assert_eq!(findings.len(), 8, "{findings:?}");
    let expect = [
        "a.cedar:2:4: this is not UTF-8",
        "b.cedar:1:7: a zero byte",
        "bom.cedar:1:1: a byte order mark",
        "c.CEDAR: the name of a policy file",
        "d e.cedar: this file name",
        "f.cedar: this file is larger",
        "schema.cedarschema: this file is larger",
        "sub/schema.cedarschema: there is one schema",
    ];
    for start in expect {
        assert!(findings.iter().any(|f| f.starts_with(start)), "{start} in {findings:?}");
    }
}

/// A folder that cannot be read takes its guardrails with it.
#[test]
fn a_link_that_leads_nowhere_is_told_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), &[("a.cedar", b""), ("apps/b.cedar", b"")]);
    symlink("../gone", dir.path().join("guardrails")).unwrap();
    symlink("gone", dir.path().join("cases")).unwrap();
    symlink("round", dir.path().join("round")).unwrap();
    symlink("a.cedar/x", dir.path().join("apps/no-folder")).unwrap();
    symlink("gone", dir.path().join(".hidden")).unwrap();
    let (files, findings) = look(dir.path());
    assert_eq!(files, ["a.cedar", "apps/b.cedar"]);
    assert_eq!(findings.len(), 4, "{findings:?}");
    for path in ["guardrails", "cases", "round", "apps/no-folder"] {
        let start = format!("{path}: this cannot be read: ");
        assert!(findings.iter().any(|f| f.starts_with(&start)), "{path} in {findings:?}");
    }
}

#[test]
fn the_revision_is_that_of_the_content() {
    let [a, b] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in [&a, &b] {
        put(dir.path(), &[("x.cedar", b"1"), ("cases/y.toml", b"2"), ("README.md", b"3")]);
    }
    let revision = |d: &tempfile::TempDir| read(d.path(), &mut Vec::new()).revision;
    assert_eq!(revision(&a), revision(&b));
    put(b.path(), &[("README.md", b"other")]);
    assert_eq!(revision(&a), revision(&b));
    put(b.path(), &[("cases/y.toml", b"other")]);
    assert_ne!(revision(&a), revision(&b));
}
