//! What must be installed, and where it is.

use std::path::PathBuf;

/// Programs on the `PATH`, each with the Debian package that has it.
const PROGRAMS: [(&str, &str); 2] = [("redis-server", "redis-server"), ("redis-cli", "redis-tools")];

/// Where Debian keeps the servers' side of PostgreSQL, which is on nobody's `PATH`.
const POSTGRES: &str = "/usr/lib/postgresql";

/// What the tests need and this machine does not have, as a sentence that says how to get it.
/// Sentinels are no program of their own: they are `redis-server --sentinel`.
#[must_use]
pub fn missing() -> Option<String> {
    let programs = PROGRAMS.into_iter().filter(|(program, _)| on_path(program).is_none());
    let initdb = postgres_folder().is_none().then_some(("initdb", "postgresql"));
    sentence(&programs.chain(initdb).collect::<Vec<_>>())
}

/// A sentence about programs that are missing, each with its package.
fn sentence(missing: &[(&str, &str)]) -> Option<String> {
    let (programs, packages): (Vec<_>, Vec<_>) = missing.iter().copied().unzip();
    let are = match programs.len() {
        0 => return None,
        1 => "is",
        _ => "are",
    };
    let (programs, packages) = (programs.join(" and "), packages.join(" "));
    Some(format!("{programs} {are} not installed; on Debian: apt-get install {packages}"))
}

/// The program's file.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The folder with `initdb`, `postgres` and `psql`: of the newest version, when there are several.
pub(crate) fn postgres_folder() -> Option<PathBuf> {
    let whole = |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|p| folder.join(p).is_file());
    let versions = std::fs::read_dir(POSTGRES).into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(whole)
        .max_by_key(|folder| folder.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()));
    let beside = || on_path("initdb")?.canonicalize().ok()?.parent().map(PathBuf::from).filter(whole);
    newest.or_else(beside)
}

/// The program's file.
///
/// # Panics
/// When something is not installed.
pub(crate) fn program(name: &str) -> PathBuf {
    on_path(name).unwrap_or_else(|| panic!("{}", missing().unwrap_or_else(|| format!("{name} is missing"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_sentence_that_says_how_to_mend_it() {
        assert_eq!(sentence(&[]), None);
        let one = sentence(&PROGRAMS[..1]).unwrap();
        assert_eq!(one, "redis-server is not installed; on Debian: apt-get install redis-server");
        let two = sentence(&[PROGRAMS[1], ("initdb", "postgresql")]).unwrap();
        assert_eq!(
            two,
            "redis-cli and initdb are not installed; on Debian: apt-get install redis-tools postgresql"
        );
    }

    #[test]
    fn a_program_is_found_on_the_path_or_not() {
        assert!(on_path("sh").unwrap().ends_with("sh"));
        assert_eq!(on_path("a-program-that-nobody-has"), None);
    }
}
