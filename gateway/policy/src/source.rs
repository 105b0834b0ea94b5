//! Reads a folder of policies.
//!
//! Every `*.cedar` below the folder is a policy file, in whatever subfolder, so that none is
//! overlooked, but for those in `invariants/`, which are red lines; `cases/*.toml` are cases;
//! `cases/*.tests.json` are tests in the format of Cedar's own command line, and other `cases/*.json`
//! the entities that they name; `schema.cedarschema` is the schema. Names that begin with a dot belong to editors and to the
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
/// What some editors write at the beginning of a file.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';
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
    /// Tests in Cedar's own format and the entities that they name, in the order of their paths.
    pub(crate) tests: Vec<Arc<SourceFile>>,
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
    Tests,
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
    } else if path.starts_with(CASES) && path.ends_with(".json") {
        Some(Role::Tests)
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
            Finding::new(format!("`{}` cannot be read: {e}", dir.display())).rule_is(Rule::Unreadable).help(
                "name the folder that holds `schema.cedarschema`: with `--dir`, or as `policy.dir` in the \
                     configuration",
            ),
        ),
    }
    let files = walk.files;
    let revision = Revision::of(files.iter().map(|(path, (_, bytes))| (path.as_str(), bytes.as_slice())));
    let mut folder = Folder {
        schema: None,
        policies: Vec::new(),
        invariants: Vec::new(),
        cases: Vec::new(),
        tests: Vec::new(),
        all: Vec::new(),
        revision,
    };
    for (path, (role, bytes)) in files {
        let Some(file) = text(path, role, bytes, findings) else { continue };
        folder.all.push(Arc::clone(&file));
        match role {
            Role::Schema => folder.schema = Some(file),
            Role::Policies => folder.policies.push(file),
            Role::Invariants => folder.invariants.push(file),
            Role::Cases => folder.cases.push(file),
            Role::Tests => folder.tests.push(file),
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

/// What is wrong with a file that begins with a byte order mark.
pub(crate) fn marked(file: &Arc<SourceFile>) -> Finding {
    Finding::new("a byte order mark stands before the first word")
        .rule_is(Rule::NotText)
        .help("save the file as UTF-8 without a byte order mark (BOM)")
        .at(file, Some(Span { start: 0, len: BYTE_ORDER_MARK.len_utf8() }))
}

/// The file as text, or a finding that says where it is not.
fn text(path: String, role: Role, bytes: Vec<u8>, findings: &mut Vec<Finding>) -> Option<Arc<SourceFile>> {
    match String::from_utf8(bytes) {
        // TOML takes one; Cedar and JSON have no word for it.
        Ok(text) if role != Role::Cases && text.starts_with(BYTE_ORDER_MARK) => {
            findings.push(marked(&SourceFile::new(path, text)));
            None
        }
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
            Role::Policies | Role::Invariants | Role::Cases | Role::Tests => POLICY_FILE_BYTES_MAX,
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
mod tests;
