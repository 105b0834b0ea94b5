//! Where the binary is, and whether it is of these sources.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// There is nothing to test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoBinary {
    /// It is not there.
    Missing {
        /// Where it was looked for.
        looked_at: PathBuf,
    },
    /// It is there, and one of its sources is newer or gone: a test would judge what is no more.
    Stale {
        /// Where it is.
        binary: PathBuf,
        /// The source.
        newer: PathBuf,
    },
}

/// Finds it: `DOORWARD_BIN`, or beside the test that runs (the same profile). What is named is taken
/// as it is; what cargo built must be of the sources that are there now.
///
/// # Errors
/// When it is not there, or older than one of its sources.
pub fn find() -> Result<PathBuf, NoBinary> {
    let test = std::env::current_exe().unwrap_or_default();
    find_from(std::env::var_os("DOORWARD_BIN").map(PathBuf::from), &test)
}

fn find_from(named: Option<PathBuf>, test: &Path) -> Result<PathBuf, NoBinary> {
    let is_named = named.is_some();
    let binary = named.unwrap_or_else(|| beside(test));
    let built = binary.metadata().ok().filter(std::fs::Metadata::is_file).and_then(|m| m.modified().ok());
    match built {
        None => Err(NoBinary::Missing { looked_at: binary }),
        Some(_) if is_named => Ok(binary),
        Some(built) => match newer_source(&binary, built) {
            None => Ok(binary),
            Some(newer) => Err(NoBinary::Stale { binary, newer }),
        },
    }
}

/// `target/debug/deps/x-0123` to `target/debug/doorward`.
fn beside(test: &Path) -> PathBuf {
    test.ancestors().find(|a| a.join("deps").is_dir()).unwrap_or(Path::new("")).join("doorward")
}

/// A source of the binary that was changed or taken away after it was built. Cargo writes down beside
/// the binary which files it is made of, so a test's own file makes nothing stale.
fn newer_source(binary: &Path, built: SystemTime) -> Option<PathBuf> {
    let made_of = std::fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    let (_, sources) = made_of.lines().next()?.split_once(": ")?;
    let changed = |path: &PathBuf| path.metadata().and_then(|m| m.modified()).ok();
    let mut sources = names(sources).into_iter().map(PathBuf::from);
    sources.find(|source| changed(source).is_none_or(|changed| changed > built))
}

/// Names with spaces between them, in the way of a makefile: a space of a name has a `\` before it.
fn names(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    for word in list.split(' ') {
        let last = names.len() - 1;
        match word.strip_suffix('\\') {
            Some(begin) => names[last].push_str(&format!("{begin} ")),
            None => {
                names[last].push_str(word);
                names.push(String::new());
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

impl std::fmt::Display for NoBinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing { looked_at } => {
                write!(f, "there is no `doorward` to test at `{}`", looked_at.display())?;
            }
            Self::Stale { binary, newer } => {
                write!(f, "`{}` was built before `{}` was changed", binary.display(), newer.display())?;
            }
        }
        f.write_str(
            ": build it with `cargo build -p doorward-server` (of the same profile), or name one in DOORWARD_BIN",
        )
    }
}

impl std::error::Error for NoBinary {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_same_profile_and_a_name_before_it() {
        let target = tempfile::tempdir().unwrap();
        let at = |name: &str| target.path().join(name);
        for folder in ["debug/deps", "release"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        let test = at("debug/deps/e2e-0123");
        // One of another profile is another program.
        std::fs::write(at("release/doorward"), "").unwrap();
        let missing = find_from(None, &test).unwrap_err();
        assert_eq!(missing, NoBinary::Missing { looked_at: at("debug/doorward") });
        assert!(missing.to_string().contains("cargo build -p doorward-server"), "{missing}");
        std::fs::write(at("debug/doorward"), "").unwrap();
        assert_eq!(find_from(None, &test), Ok(at("debug/doorward")));
        std::fs::write(at("mine"), "").unwrap();
        assert_eq!(find_from(Some(at("mine")), &test), Ok(at("mine")));
        assert!(find_from(Some(at("typo")), &test).is_err(), "a wrong name is not passed over");
    }

    #[test]
    fn a_binary_that_is_older_than_its_sources_is_not_tested() {
        let target = tempfile::tempdir().unwrap();
        let at = |name: &str| target.path().join(name);
        std::fs::create_dir_all(at("debug/deps")).unwrap();
        let (test, binary) = (at("debug/deps/e2e-0123"), at("debug/doorward"));
        let written = |name: &str, seconds_ago: u64| {
            let file = std::fs::File::create(at(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
        };
        written("debug/doorward", 100);
        for source in ["a.rs", "b c.rs", "test only.rs"] {
            written(source, 200);
        }
        let (a, b) = (at("a.rs").display().to_string(), at("b c.rs").display().to_string());
        let made_of = format!("{}: {a} {}\n", binary.display(), b.replace(' ', "\\ "));
        std::fs::write(at("debug/doorward.d"), made_of).unwrap();
        assert_eq!(find_from(None, &test), Ok(binary.clone()));
        written("test only.rs", 0);
        assert_eq!(find_from(None, &test), Ok(binary.clone()), "it is not made of that");
        written("b c.rs", 0);
        let stale = find_from(None, &test).unwrap_err();
        assert_eq!(stale, NoBinary::Stale { binary: binary.clone(), newer: at("b c.rs") });
        assert!(stale.to_string().contains("cargo build -p doorward-server"), "{stale}");
        assert_eq!(find_from(Some(binary.clone()), &test), Ok(binary), "who names one knows it");
        written("b c.rs", 200);
        std::fs::remove_file(at("a.rs")).unwrap();
        assert!(find_from(None, &test).is_err(), "a source that is gone");
    }
}
