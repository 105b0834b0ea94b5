//! cvc5 as a child process: one for each query, bounded in time, memory and output.
//!
//! A process that has answered once is not asked again. So an answer can never belong to another query, and
//! what one query did to the solver ends with it; starting one costs some ten milliseconds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use cedar_policy_symcc::solver::{Decision, DecisionWithModel, Solver as Speaks, SolverError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The oldest cvc5 that was tried.
const VERSION_MIN: (u64, u64, u64) = (1, 0, 3);
/// How long a program may take to say its version.
const VERSION_WAIT: Duration = Duration::from_secs(20);
/// The most that is read of an answer; a model of our schema has some hundred KiB.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Sets the bounds of the child before it becomes the solver: `unsafe` is forbidden here, and the shell can.
const BOUNDED: &str = "ulimit -c 0; ulimit -v \"$1\" && shift && exec \"$@\"";

/// A solver that is there and was asked for its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    version: String,
}

/// Why there is no solver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSolver {
    /// No file of this name is to be found.
    #[error("there is no `{0}`")]
    Missing(PathBuf),
    /// It could not be run, or did not say that it is cvc5.
    #[error("`{path}` is no cvc5: {why}")]
    Strange {
        /// Which file.
        path: PathBuf,
        /// What it did.
        why: String,
    },
    /// It is too old.
    #[error("`{path}` is cvc5 {version}, and 1.0.3 is the oldest that was tried")]
    Old {
        /// Which file.
        path: PathBuf,
        /// What it calls itself.
        version: String,
    },
    /// It did not answer in time what everybody knows.
    #[error("`{path}` is too slow here: {why}")]
    Slow {
        /// Which file.
        path: PathBuf,
        /// What it took too long for.
        why: String,
    },
    /// It answers wrongly what everybody knows.
    #[error("`{path}` cannot be trusted: {why}")]
    Untrue {
        /// Which file.
        path: PathBuf,
        /// What it got wrong.
        why: String,
    },
}

impl NoSolver {
    /// How to mend it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Slow { .. } => "try again when less runs on this machine",
            Self::Missing(_) | Self::Strange { .. } | Self::Old { .. } | Self::Untrue { .. } => {
                "install cvc5 (`apt-get install cvc5`), or name the program in `DOORWARD_CVC5`"
            }
        }
    }
}

impl Program {
    /// Finds cvc5: the program that is named (`DOORWARD_CVC5`), or `cvc5` in one of the folders of `path`
    /// (`PATH`); and asks it for its version.
    ///
    /// # Errors
    /// There is none, or it is not one that can be used.
    pub fn find(named: Option<&OsStr>, path: Option<&OsStr>) -> Result<Self, NoSolver> {
        let file = match named.filter(|n| !n.is_empty()) {
            Some(named) => PathBuf::from(named),
            None => std::env::split_paths(path.unwrap_or_default())
                .map(|folder| folder.join("cvc5"))
                .find(|file| file.is_file())
                .ok_or_else(|| NoSolver::Missing("cvc5".into()))?,
        };
        if !file.is_file() {
            return Err(NoSolver::Missing(file));
        }
        let said = asked_version(&file).map_err(|why| NoSolver::Strange { path: file.clone(), why })?;
        let first = said.lines().next().unwrap_or_default();
        let version = first.split_once("cvc5 version ").map(|(_, v)| v.split(' ').next().unwrap_or_default());
        let Some(version) = version else {
            let shown: String = first.chars().filter(|c| !c.is_control()).take(60).collect();
            return Err(NoSolver::Strange { path: file, why: format!("it calls itself `{shown}`") });
        };
        match numbers(version) {
            Some(numbers) if numbers >= VERSION_MIN => Ok(Self { path: file, version: version.to_owned() }),
            Some(_) | None => Err(NoSolver::Old { path: file, version: version.to_owned() }),
        }
    }

    /// Which file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it calls itself: `1.0.3`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

fn numbers(version: &str) -> Option<(u64, u64, u64)> {
    let plain: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let mut parts = plain.split('.').map(|p| p.parse::<u64>().ok());
    Some((parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?))
}

fn asked_version(file: &Path) -> Result<String, String> {
    let runtime = runtime()?;
    let asked = async {
        let mut command = Command::new(file);
        command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().map_err(|e| e.to_string())?;
        let mut said = Vec::new();
        let out = child.stdout.take().ok_or("it has no output")?;
        out.take(4096).read_to_end(&mut said).await.map_err(|e| e.to_string())?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    };
    let bounded = async { tokio::time::timeout(VERSION_WAIT, asked).await };
    runtime.block_on(bounded).unwrap_or_else(|_| Err("it did not say its version".to_owned()))
}

/// What the child's pipes and the time-outs run on.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let made = tokio::runtime::Builder::new_current_thread().enable_all().build();
    made.map_err(|e| format!("no runtime for the solver: {e}"))
}

/// One query: what is said to the solver is gathered, and a process of its own answers it.
#[derive(Debug)]
pub(super) struct Query {
    program: PathBuf,
    memory_bytes_max: u64,
    time_max: Duration,
    script: Vec<u8>,
}

impl Query {
    pub(super) fn new(program: &Program, memory_bytes_max: u64, time_max: Duration) -> Self {
        Self { program: program.path.clone(), memory_bytes_max, time_max, script: Vec::new() }
    }

    async fn start(&mut self) -> Result<Talk, SolverError> {
        let mut command = Command::new("sh");
        command.args(["-c", BOUNDED, "sh"]).arg((self.memory_bytes_max / 1024).to_string());
        // Without the last one this version answers "unknown" to each `like "*…*"`.
        command.arg(&self.program).args(["--lang", "smt", "--strings-exp"]);
        // Should this process be killed, the child ends by itself a little later.
        command.arg(format!("--tlimit={}", self.time_max.as_millis().saturating_add(1000)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(SolverError::Solver("it has no pipes".to_owned()));
        };
        let mut talk = Talk { child, to, from };
        self.script.extend_from_slice(b"\n(check-sat)\n");
        talk.to.write_all(&self.script).await?;
        talk.to.flush().await?;
        self.script.clear();
        Ok(talk)
    }
}

/// A process that is being asked.
struct Talk {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Talk {
    /// The next line, without its end.
    async fn line(&mut self) -> Result<String, SolverError> {
        let mut line = Vec::new();
        loop {
            let byte = match self.from.read_u8().await {
                Ok(byte) => byte,
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Err(SolverError::Solver(self.end().await));
                }
                Err(e) => return Err(e.into()),
            };
            if byte == b'\n' {
                return Ok(String::from_utf8_lossy(&line).trim().to_owned());
            }
            line.push(byte);
            if line.len() > 4096 {
                return Err(strange(&String::from_utf8_lossy(&line)));
            }
        }
    }

    /// Everything that it still says after `last` is said to it, and that it ended well.
    async fn rest(mut self, last: &[u8]) -> Result<String, SolverError> {
        self.to.write_all(last).await?;
        self.to.shutdown().await?;
        drop(self.to);
        let mut said = Vec::new();
        (&mut self.from).take(ANSWER_BYTES_MAX + 1).read_to_end(&mut said).await?;
        if said.len() as u64 > ANSWER_BYTES_MAX {
            return Err(SolverError::Solver("its answer is too long".to_owned()));
        }
        let status = self.child.wait().await?;
        if !status.success() {
            return Err(SolverError::Solver(format!("it ended badly, with {status}")));
        }
        String::from_utf8(said).map_err(|_| strange("bytes that are no text"))
    }

    /// That it says no more than it has said.
    async fn nothing_more(self) -> Result<(), SolverError> {
        let more = self.rest(b"(exit)\n").await?;
        if more.trim().is_empty() { Ok(()) } else { Err(strange(&more)) }
    }

    async fn end(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => format!("it ended without an answer, with {status}"),
            Err(e) => format!("it ended without an answer: {e}"),
        }
    }
}

fn strange(said: &str) -> SolverError {
    let shown = said.chars().filter(|c| !c.is_control()).take(80).collect();
    SolverError::UnrecognizedSolverOutput(shown)
}

impl Speaks for Query {
    fn smtlib_input(&mut self) -> &mut (dyn tokio::io::AsyncWrite + Unpin + Send) {
        &mut self.script
    }

    async fn enable_models(&mut self) -> Result<(), SolverError> {
        self.script.extend_from_slice(b"(set-option :produce-models true)\n");
        Ok(())
    }

    async fn check_sat(&mut self) -> Result<Decision, SolverError> {
        let mut talk = self.start().await?;
        let decision = match talk.line().await?.as_str() {
            "sat" => Decision::Sat,
            "unsat" => Decision::Unsat,
            "unknown" => Decision::Unknown,
            other => return Err(strange(other)),
        };
        talk.nothing_more().await?;
        Ok(decision)
    }

    async fn check_sat_with_model(&mut self) -> Result<DecisionWithModel, SolverError> {
        let mut talk = self.start().await?;
        let answer = talk.line().await?;
        match answer.as_str() {
            "sat" => {
                let model = talk.rest(b"(get-model)\n(exit)\n").await?;
                if model.trim_start().starts_with('(') && !model.trim_start().starts_with("(error") {
                    return Ok(DecisionWithModel::Sat { model });
                }
                Err(strange(&model))
            }
            "unsat" => talk.nothing_more().await.map(|()| DecisionWithModel::Unsat),
            "unknown" => talk.nothing_more().await.map(|()| DecisionWithModel::Unknown),
            other => Err(strange(other)),
        }
    }
}
