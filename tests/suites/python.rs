//! What the suites are run with: an environment for each, with exactly what its `requirements.txt` names.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// The folder of a suite.
pub(crate) fn folder(suite: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites").join(suite)
}

/// The interpreter of a suite's environment, which is made once for its requirements.
///
/// # Panics
/// When it cannot be made: then nothing was tested, and that is no success.
pub(crate) fn python(suite: &str) -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let requirements = folder(suite).join("requirements.txt");
    let wanted = std::fs::read_to_string(&requirements).unwrap();
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("suite-{suite}"));
    let (python, made) = (home.join("bin/python"), home.join("requirements.txt"));
    if std::fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
        return python;
    }
    let _there = std::fs::remove_dir_all(&home);
    let venv = run(Command::new("python3").args(["-m", "venv"]).arg(&home));
    assert!(venv.status.success(), "no Python environment (Debian: python3-venv): {}", told(&venv));
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    let installed = run(pip.arg(requirements));
    assert!(
        installed.status.success(),
        "the suite cannot be had from PyPI, so nothing was tested; is this machine online? {}",
        told(&installed)
    );
    std::fs::write(made, wanted).unwrap();
    python
}

pub(crate) fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A program that is ended when the test is over.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it, and reads the first line that it writes.
    pub(crate) fn start(command: &mut Command) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line.trim().to_owned())
    }

    /// Starts it, and looks away.
    pub(crate) fn silent(command: &mut Command) -> Self {
        let silent = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(silent.spawn().unwrap_or_else(|e| panic!("{silent:?}: {e}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _waited = self.0.wait();
    }
}
