//! Reads a folder of policies.
//!
//! Every `*.cedar` below the folder is a policy file, in whatever subfolder, so that none is
//! overlooked, but for those in `invariants/`, which are red lines; `cases/*.toml` are cases;
//! `schema.cedarschema` is the schema. Names that begin with a dot belong to editors and to the
//! mounts of orchestrators and are passed over. A link may point to another place within the
//! folder, never out of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_model::limits::{
    POLICY_FILE_BYTES_MAX, POLICY_FILES_MAX, POLICY_FOLDER_BYTES_MAX, POLICY_FOLDERS_DEEP_MAX,
    POLICY_SCHEMA_BYTES_MAX,
};

use crate::failure::{Finding, SourceFile, Span};
use crate::revision::Revision;
use crate::rule::Rule;

/// The name of the schema.
pub(crate) const SCHEMA: &str = "schema.cedarschema";
/// The folder of the cases.
const CASES: &str = "cases/";
/// The folder of the red lines.
const INVARIANTS: &str = "invariants/";

/// The files of a folder, as they were at one time.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) schema: Option<Arc<SourceFile>>,
    /// In the order of their paths.
    pub(crate) policies: Vec<Arc<SourceFile>>,
    /// What must hold of the policies, in the order of the paths; never in force.
    pub(crate) invariants: Vec<Arc<SourceFile>>,
    /// In the order of their paths.
    pub(crate) cases: Vec<Arc<SourceFile>>,
    /// Every one of these, in the order of their paths.
    pub(crate) all: Vec<Arc<SourceFile>>,
    pub(crate) revision: Revision,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Schema,
    Policies,
    Invariants,
    Cases,
}

/// What a file is for, by its path within the folder; none for a file that is not for us.
fn role(path: &str) -> Option<Role> {
    if path == SCHEMA {
        Some(Role::Schema)
    } else if path.starts_with(INVARIANTS) && path.ends_with(".cedar") {
        Some(Role::Invariants)
    } else if path.ends_with(".cedar") {
        Some(Role::Policies)
    } else if path.starts_with(CASES) && path.ends_with(".toml") {
        Some(Role::Cases)
    } else {
        None
    }
}

/// Reads the folder once. Mistakes are added to `findings`; what could be read is returned.
pub(crate) fn read(dir: &Path, findings: &mut Vec<Finding>) -> Folder {
    let mut walk =
        Walk { root: dir.to_owned(), folders: BTreeSet::new(), files: BTreeMap::new(), findings, bytes: 0 };
    match dir.canonicalize() {
        Ok(root) => {
            walk.root = root.clone();
            walk.folder(&root, "", 0);
        }
        Err(e) => walk.findings.push(
            Finding::new(format!("`{}` cannot be read: {e}", dir.display()))
                .rule_is(Rule::Unreadable)
                .help("`policy.dir` names the folder that holds `schema.cedarschema`"),
        ),
    }
    let files = walk.files;
    let revision = Revision::of(files.iter().map(|(path, (_, bytes))| (path.as_str(), bytes.as_slice())));
    let mut folder = Folder {
        schema: None,
        policies: Vec::new(),
        invariants: Vec::new(),
        cases: Vec::new(),
        all: Vec::new(),
        revision,
    };
    for (path, (role, bytes)) in files {
        let Some(file) = text(path, bytes, findings) else { continue };
        folder.all.push(Arc::clone(&file));
        match role {
            Role::Schema => folder.schema = Some(file),
            Role::Policies => folder.policies.push(file),
            Role::Invariants => folder.invariants.push(file),
            Role::Cases => folder.cases.push(file),
        }
    }
    folder
}

/// The revision of what the folder holds; none if some of it cannot be read.
pub(crate) fn revision(dir: &Path) -> Option<Revision> {
    let mut findings = Vec::new();
    let folder = read(dir, &mut findings);
    findings.is_empty().then_some(folder.revision)
}

/// The file as text, or a finding that says where it is not.
fn text(path: String, bytes: Vec<u8>, findings: &mut Vec<Finding>) -> Option<Arc<SourceFile>> {
    match String::from_utf8(bytes) {
        Ok(text) => {
            let Some(start) = text.find('\0') else { return Some(SourceFile::new(path, text)) };
            let file = SourceFile::new(path, text);
            findings.push(
                Finding::new("a zero byte does not belong in a text file")
                    .rule_is(Rule::NotText)
                    .help("save the file as UTF-8 text")
                    .at(&file, Some(Span { start, len: 1 })),
            );
            None
        }
        Err(e) => {
            let good = e.utf8_error().valid_up_to();
            // What cannot be read is shown as such; before it, every byte is where it was.
            let shown = String::from_utf8_lossy(e.as_bytes()).into_owned();
            let file = SourceFile::new(path, shown);
            let span = Span { start: good, len: char::REPLACEMENT_CHARACTER.len_utf8() };
            findings.push(
                Finding::new("this is not UTF-8")
                    .rule_is(Rule::NotText)
                    .help("save the file as UTF-8 text")
                    .at(&file, Some(span)),
            );
            None
        }
    }
}

struct Walk<'a> {
    root: PathBuf,
    /// The folders that were walked, so that links in a circle end.
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<String, (Role, Vec<u8>)>,
    findings: &'a mut Vec<Finding>,
    bytes: u64,
}

impl Walk<'_> {
    fn complain(&mut self, rule: Rule, path: &str, message: impl Into<String>, help: impl Into<String>) {
        self.findings.push(Finding::new(message).rule_is(rule).help(help).in_path(path));
    }

    fn folder(&mut self, dir: &Path, path: &str, deep: usize) {
        if deep > POLICY_FOLDERS_DEEP_MAX {
            let help = format!("use at most {POLICY_FOLDERS_DEEP_MAX} levels");
            return self.complain(Rule::TooLarge, path, "folders nest too deep", help);
        }
        if !self.folders.insert(dir.to_owned()) {
            return self.complain(
                Rule::Unreadable,
                path,
                "this folder is here already under another name",
                "remove the link",
            );
        }
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => {
                return self.complain(
                    Rule::Unreadable,
                    path,
                    format!("this folder cannot be read: {e}"),
                    "mend its permissions",
                );
            }
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(e) => {
                    return self.complain(
                        Rule::Unreadable,
                        path,
                        format!("this folder cannot be read: {e}"),
                        "try again",
                    );
                }
            };
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.complain(Rule::FileName, path, format!("the name {name:?} is not UTF-8"), "rename it");
                continue;
            };
            if !name.starts_with('.') {
                self.entry(&entry.path(), &format!("{path}{name}"), deep);
            }
        }
    }

    fn entry(&mut self, at: &Path, path: &str, deep: usize) {
        let real = match at.canonicalize() {
            Ok(real) => real,
            // Whatever the name: it may be a folder, and what is in it would be missing.
            Err(e) => {
                return self.complain(
                    Rule::Unreadable,
                    path,
                    format!("this cannot be read: {e}"),
                    "remove it or mend it",
                );
            }
        };
        let Ok(facts) = fs::metadata(&real) else {
            return self.complain(Rule::Unreadable, path, "this cannot be read", "remove it or mend it");
        };
        let inside = real.starts_with(&self.root);
        if facts.is_dir() {
            if inside {
                return self.folder(&real, &format!("{path}/"), deep + 1);
            }
            let help = "copy the files into the folder of the policies";
            return self.complain(Rule::Unreadable, path, "this link leads out of the folder", help);
        }
        let Some(role) = self.wanted(path) else { return };
        if !inside {
            let help = "copy the file into the folder of the policies";
            return self.complain(Rule::Unreadable, path, "this link leads out of the folder", help);
        }
        if !facts.is_file() {
            return self.complain(Rule::Unreadable, path, "this is not a regular file", "remove it");
        }
        self.file(&real, path, role);
    }

    /// What the file is for, if it is for us and is called as it should be.
    fn wanted(&mut self, path: &str) -> Option<Role> {
        let found = role(path);
        let lower = path.to_ascii_lowercase();
        if found.is_none() && role(&lower).is_some() {
            self.complain(
                Rule::FileName,
                path,
                "the name of a policy file ends in lower case",
                "rename it to end in `.cedar`",
            );
            return None;
        }
        if found.is_none() && lower.ends_with(".cedarschema") {
            self.complain(
                Rule::FileName,
                path,
                "there is one schema",
                format!("it is called `{SCHEMA}` and lies at the top"),
            );
            return None;
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if found.is_some() && !path.chars().all(plain) {
            let help = "use letters, digits, `-`, `_` and `.` only, so that the name reads alike everywhere";
            self.complain(
                Rule::FileName,
                path,
                "this file name has characters that do not belong there",
                help,
            );
            return None;
        }
        found
    }

    fn file(&mut self, real: &Path, path: &str, role: Role) {
        if self.files.len() >= POLICY_FILES_MAX {
            if self.files.len() == POLICY_FILES_MAX {
                self.complain(
                    Rule::TooLarge,
                    "",
                    format!("there are more than {POLICY_FILES_MAX} files"),
                    "join some",
                );
            }
            return;
        }
        let most = match role {
            Role::Schema => POLICY_SCHEMA_BYTES_MAX,
            Role::Policies | Role::Invariants | Role::Cases => POLICY_FILE_BYTES_MAX,
        };
        let mut bytes = Vec::new();
        let read = fs::File::open(real).and_then(|f| f.take(most + 1).read_to_end(&mut bytes));
        if let Err(e) = read {
            return self.complain(
                Rule::Unreadable,
                path,
                format!("this file cannot be read: {e}"),
                "mend its permissions",
            );
        }
        let len = bytes.len() as u64;
        if len > most {
            return self.complain(
                Rule::TooLarge,
                path,
                format!("this file is larger than {most} bytes"),
                "split it",
            );
        }
        self.bytes += len;
        if self.bytes > POLICY_FOLDER_BYTES_MAX {
            let message = format!("the files are larger than {POLICY_FOLDER_BYTES_MAX} bytes together");
            return self.complain(Rule::TooLarge, path, message, "remove what is not needed");
        }
        self.files.insert(path.to_owned(), (role, bytes));
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(findings.len(), 7, "{findings:?}");
        let expect = [
            "a.cedar:2:4: this is not UTF-8",
            "b.cedar:1:7: a zero byte",
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
}
