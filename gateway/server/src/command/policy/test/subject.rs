//! What is tested: a folder of the gateway's, or any Cedar policies.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use doorward_model::limits::POLICY_FILE_BYTES_MAX;
use doorward_policy::{Finding, ForeignSet, LoadFailure, PolicySource, Workshop};
use doorward_workbench::cedar_tests;
use doorward_workbench::matrix::{self, Plan};
use doorward_workbench::trial::{self, Outcome, Trial};

use super::super::super::{Exit, Failure, printable};
use super::super::{Folder, folder, mistakes};
use crate::cli::PolicyTestArgs;
use crate::color::ColorChoice;
use crate::config::Show;

/// What is tested.
pub(super) enum Subject {
    /// A folder of the gateway's.
    Folder(Folder, Box<Workshop>),
    /// Any Cedar policies.
    Foreign(ForeignSet),
}

/// Why there is nothing to test.
pub(super) enum Unloaded {
    /// What is wrong with a folder.
    Folder(LoadFailure),
    /// What is wrong with policies or their schema.
    Foreign(Vec<Finding>),
}

/// How MATRIX.md stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Matrix {
    /// It is what the policies say.
    Current,
    /// It was not, and was written anew.
    Written,
    /// It is not: the lines in which it differs.
    Differs(String),
}

// === impl Subject ===

impl Subject {
    /// What is to be tested; or what is wrong with it.
    pub(super) fn open(args: &PolicyTestArgs, color: ColorChoice) -> Result<Result<Self, Unloaded>, Failure> {
        if let Some(policies) = &args.policies {
            let named =
                |path: &Path| -> Result<(String, String), Failure> { Ok((called(path), text(path)?)) };
            let schema = args.schema.as_deref().map(named).transpose()?;
            let schema =
                schema.as_ref().map(|(name, text): &(String, String)| (name.as_str(), text.as_str()));
            let set = ForeignSet::read(schema, (&called(policies), &text(policies)?));
            return Ok(set.map(Self::Foreign).map_err(Unloaded::Foreign));
        }
        let (dir, known) = folder(args.dir.as_deref(), &args.config, color)?;
        if args.write || args.propose || args.accept {
            dir.to_write()?;
        }
        let opened = dir.untried(known.as_ref()).map_err(Unloaded::Folder);
        Ok(opened.map(|shop| Self::Folder(dir, Box::new(shop))))
    }

    pub(super) fn policies(&self) -> &[PolicySource] {
        match self {
            Self::Folder(_, shop) => shop.policies(),
            Self::Foreign(set) => set.policies(),
        }
    }

    /// The revision of a folder; what is not one has none.
    pub(super) fn revision(&self) -> Option<String> {
        match self {
            Self::Folder(_, shop) => Some(shop.bundle().revision().to_string()),
            Self::Foreign(_) => None,
        }
    }

    /// Runs every case and every test. What is wrong with a file of tests is said beside what the others came to.
    pub(super) fn run(&self, files: &[PathBuf]) -> (Vec<(Trial, Outcome)>, Vec<Failure>) {
        let (mut run, schema) = match self {
            Self::Folder(_, shop) => {
                let mut run = trial::of_workshop(shop);
                run.extend(cedar_tests::of_workshop(shop));
                (run, Some(shop.schema()))
            }
            Self::Foreign(foreign) => (Vec::new(), foreign.schema()),
        };
        let mut wrong = Vec::new();
        for path in files {
            match cedar_tests::run(self.policies(), schema, path, &called(path)) {
                Ok(more) => run.extend(more),
                Err(e) => wrong.push(Failure::new(
                    Exit::Mistaken,
                    printable(&e),
                    "name a file of tests as `cedar run-tests` reads it",
                )),
            }
        }
        (run, wrong)
    }

    /// How MATRIX.md stands. None where there is none to compare, and nobody asked for it: a folder need not have one.
    pub(super) fn matrix(&self, asked: bool, write: bool) -> Result<Option<Matrix>, Failure> {
        let Self::Folder(dir, shop) = self else { return Ok(None) };
        let both = [matrix::PLAN, matrix::PAGE].iter().all(|name| dir.join(name).exists());
        if !asked && !both {
            return Ok(None);
        }
        let dir = dir.with_matrix()?;
        let wrong =
            |e: String| Failure::new(Exit::Mistaken, e, "mend `matrix.toml`, or the cases that it names");
        let plan = Plan::read(&text(&dir.join(matrix::PLAN))?).map_err(wrong)?;
        let page = plan.page(shop).map_err(wrong)?;
        let at = dir.join(matrix::PAGE);
        let there = match fs::read_to_string(&at) {
            Ok(there) => there,
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(unread(&at, &e)),
        };
        let Some(lines) = matrix::differs(&there, &page) else { return Ok(Some(Matrix::Current)) };
        if write {
            put(&at, &page).map_err(|e| unwritten(&at, &e))?;
            return Ok(Some(Matrix::Written));
        }
        Ok(Some(Matrix::Differs(lines)))
    }
}

fn unread(path: &Path, e: &io::Error) -> Failure {
    let message = format!("`{}` cannot be read: {e}", path.display());
    Failure::new(Exit::Mistaken, message, "name a file that is there and may be read")
}

fn called(path: &Path) -> String {
    path.display().to_string()
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|f| f.take(POLICY_FILE_BYTES_MAX + 1).read_to_string(&mut text));
    read.map(|_| text).map_err(|e| unread(path, &e))
}

/// Writes a file in one step: who watches the folder, or reads it, finds the old one or the new one. A name that begins
/// with a dot is passed over by a gateway.
pub(super) fn put(path: &Path, text: &str) -> io::Result<()> {
    // A link stays a link: what it leads to is written.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("this is not a file"));
    };
    let beside = folder.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

pub(super) fn unwritten(path: &Path, e: &io::Error) -> Failure {
    let message = format!("`{}` cannot be written: {e}", path.display());
    Failure::new(Exit::Failed, message, "look at the permissions of the folder")
}

// === impl Unloaded ===

impl Unloaded {
    pub(super) fn findings(&self) -> &[Finding] {
        match self {
            Self::Folder(failure) => &failure.findings,
            Self::Foreign(findings) => findings,
        }
    }

    /// For people.
    pub(super) fn words(&self, show: Show) -> String {
        match self {
            Self::Folder(failure) => mistakes(failure, show),
            Self::Foreign(findings) => {
                findings.iter().map(|finding| format!("{}\n", printable(&finding.to_string()))).collect()
            }
        }
    }
}
