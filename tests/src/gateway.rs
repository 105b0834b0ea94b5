//! The real binary as a child: started on a configuration of the test's, watched, signaled, ended
//! by its own id.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use doorward_servers::Port;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use nix::sys::signal::Signal;

mod binary;
mod config;
mod down;
mod operator;

pub use binary::{NoBinary, find};
pub use config::{Config, PORT, app};
pub use down::Down;
pub use operator::{Operator, Readiness};

use crate::h1;
use crate::wire::until;

/// How long a gateway may take to be ready.
const READY_SECONDS_MAX: u64 = 90;

/// A running gateway. Dropped, it is killed.
pub struct Gateway {
    place: Place,
    process: Process,
}

/// The child, killed when dropped.
struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    readers: [std::thread::JoinHandle<()>; 2],
}

/// What outlives a process: folder, configuration, ports.
struct Place {
    binary: PathBuf,
    folder: TempDir,
    config: Config,
    listeners: Vec<Port>,
    operator: Port,
    token: String,
}

/// A gateway that did not start.
#[derive(Debug)]
pub struct NotStarted {
    /// How it ended; none when it ran but was never ready.
    pub status: Option<ExitStatus>,
    /// What it wrote.
    pub log: String,
}

/// An answer of the operator listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub text: String,
}

// === impl Gateway ===

impl Gateway {
    /// Starts a gateway and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start; the message holds what it wrote.
    pub async fn start(config: Config) -> Self {
        Self::try_start(config).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Starts a gateway and waits until it is ready.
    ///
    /// # Errors
    /// When it ends before, or is not ready in [`READY_SECONDS_MAX`].
    ///
    /// # Panics
    /// When the binary is not there, or older than its sources.
    pub async fn try_start(config: Config) -> Result<Self, NotStarted> {
        Place::new(config, binary()).run().await
    }

    /// Starts a gateway from a copy of the binary, which a test may take away while it runs.
    ///
    /// # Panics
    /// When it does not start; the message holds what it wrote.
    pub async fn start_copy(config: Config, copy: &Path) -> Self {
        std::fs::copy(binary(), copy).unwrap();
        Place::new(config, copy.to_owned()).run().await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Starts a gateway and waits only until it lives: one that lacks something, such as the keys of
    /// an issuer, is not ready, and refuses who needs it.
    ///
    /// # Panics
    /// When it does not start; the message holds what it wrote.
    pub async fn start_unready(config: Config) -> Self {
        Place::new(config, binary()).begin().living().await
    }

    /// Waits until it listens.
    async fn living(mut self) -> Self {
        until("the gateway to live", || {
            if let Some(status) = self.process.child.try_wait().unwrap() {
                panic!("{}", NotStarted { status: Some(status), log: self.log() });
            }
            let listeners = self.place.listeners.iter().map(Port::address);
            let mut all = listeners.chain([self.operator()]);
            all.all(|a| std::net::TcpStream::connect(a).is_ok()).then_some(())
        })
        .await;
        self
    }

    /// The address of the first listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener(0)
    }

    /// The address of a listener, in the order of the configuration.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn listener(&self, i: usize) -> SocketAddr {
        self.place.listeners[i].address()
    }

    /// The address of the operator listener.
    #[must_use]
    pub const fn operator(&self) -> SocketAddr {
        self.place.operator.address()
    }

    /// The operator's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.place.token
    }

    /// The folder with the configuration; `data` in it is the gateway's own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.place.folder.path()
    }

    /// The configuration file, for commands such as `doorward revoke --config`.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.place.config_file()
    }

    /// What it wrote so far, on both channels.
    ///
    /// # Panics
    /// Never, unless the reader panicked.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log.lock().unwrap().clone()
    }

    /// Waits until it wrote this.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_log(&self, text: &str) {
        until(&format!("`{text}` in the gateway's log"), || self.log().contains(text).then_some(())).await;
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends a signal to this very process.
    ///
    /// # Panics
    /// When it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        let status = until("the gateway to end", || self.process.child.try_wait().unwrap()).await;
        self.process.whole_log().await;
        status
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn is_running(&mut self) -> bool {
        self.process.child.try_wait().unwrap().is_none()
    }

    /// Ends it with `signal`, waits, and starts another on the same folder, ports and configuration.
    ///
    /// # Panics
    /// When it does not end, or the new one does not start.
    pub async fn restart(self, signal: Signal) -> Self {
        self.restart_with(signal, |_| {}).await
    }

    /// The same, with a change of the configuration between.
    ///
    /// # Panics
    /// When it does not end, or the new one does not start.
    pub async fn restart_with(self, signal: Signal, change: impl FnOnce(&mut Config)) -> Self {
        let mut down = self.end(signal).await;
        down.change(change);
        down.start().await
    }

    /// Starts the process that takes the listening sockets over (`doorward run --upgrade`). It waits
    /// for them until this one is sent [`Signal::SIGQUIT`].
    #[must_use]
    pub fn successor(&self) -> Successor {
        Successor { process: self.place.spawn(&["--upgrade"]) }
    }

    /// Asks the operator listener, with the token.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let answer = self.as_operator().ask(method, path, body).await;
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// Revokes, and waits for the acknowledgement: `kind` and `id` as in `doorward revoke`.
    ///
    /// # Panics
    /// When it is not acknowledged.
    pub async fn revoke(&self, kind: &str, id: &str) -> Value {
        let answer = self.change("revoke", kind, id).await;
        assert!((200..300).contains(&answer.status), "revoke {kind} {id}: {answer:?}");
        serde_json::from_str(&answer.text).unwrap_or_default()
    }

    /// Asks for `revoke`, `disable` or `reactivate`, whatever the answer is.
    pub async fn change(&self, action: &str, kind: &str, id: &str) -> Answer {
        let answer = self.as_operator().change(action, kind, id, json!({})).await;
        answer.unwrap_or_else(|| panic!("no answer to {action} {kind} {id}"))
    }

    /// The metrics, by name with labels.
    ///
    /// # Panics
    /// When there are none.
    pub async fn metrics(&self) -> BTreeMap<String, f64> {
        self.as_operator().metrics().await.expect("there are metrics")
    }

    /// Every event of the audit log so far, in order of the files' names.
    ///
    /// # Panics
    /// When a line is no event; see [`crate::audit_log::events_in`].
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        crate::audit_log::events_in(&self.folder().join("data"))
    }

    /// Runs `doorward` with these arguments and `--config` of this gateway.
    ///
    /// # Panics
    /// When it cannot be run, or does not end.
    pub async fn command(&self, arguments: &[&str]) -> CommandOutput {
        let config = self.config_file();
        let mut all: Vec<&std::ffi::OsStr> = arguments.iter().map(std::ffi::OsStr::new).collect();
        all.extend([std::ffi::OsStr::new("--config"), config.as_os_str()]);
        command(&all).await
    }
}

/// A second process on the folder of a gateway. Dropped, it is killed.
pub struct Successor {
    process: Process,
}

impl Successor {
    /// What it wrote so far, on both channels.
    ///
    /// # Panics
    /// Never, unless the reader panicked.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log.lock().unwrap().clone()
    }

    /// Waits until it wrote this.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_log(&self, text: &str) {
        until(&format!("`{text}` in the successor's log"), || self.log().contains(text).then_some(())).await;
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Sends a signal to this very process.
    ///
    /// # Panics
    /// When it has ended and was waited for.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it does not.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        until("the successor to end", || self.process.child.try_wait().unwrap()).await
    }
}

/// What a command printed and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// Runs `doorward` with these arguments, without colors.
///
/// # Panics
/// When it cannot be run, or does not end.
pub async fn command(arguments: &[impl AsRef<std::ffi::OsStr>]) -> CommandOutput {
    let mut child = Command::new(binary());
    child.args(arguments.iter().map(AsRef::as_ref)).env("NO_COLOR", "1").stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || child.output());
    let output = crate::wire::within("a command to end", run).await.unwrap().unwrap();
    CommandOutput {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Sends a signal to a process that a gateway started.
///
/// # Panics
/// When there is no such process any more.
pub fn end_by(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

fn binary() -> PathBuf {
    find().unwrap_or_else(|e| panic!("{e}"))
}

impl Process {
    /// Waits for the last lines of a process that has ended: they may still be on their way.
    async fn whole_log(&self) {
        let read = || self.readers.iter().all(std::thread::JoinHandle::is_finished).then_some(());
        until("the last lines of a process", read).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.lock().map(|l| l.clone()).unwrap_or_default();
            eprintln!("--- the gateway wrote ---\n{log}--- end ---");
        }
    }
}

// === impl Place ===

impl Place {
    fn new(config: Config, binary: PathBuf) -> Self {
        let folder = tempfile::Builder::new().prefix("doorward-test-").tempdir().unwrap();
        let listeners = (0..config.listeners()).map(|_| Port::take()).collect();
        let token = format!("testbed-{:x}-{:x}", std::process::id(), crate::wire::now().0);
        let token = format!("{token:0<40}");
        Self { binary, folder, config, listeners, operator: Port::take(), token }
    }

    fn config_file(&self) -> PathBuf {
        self.folder.path().join("doorward.toml")
    }

    /// Writes what the process reads.
    fn write(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        let addresses: Vec<SocketAddr> = self.listeners.iter().map(Port::address).collect();
        let text = self.config.toml(&addresses, self.operator.address());
        std::fs::write(self.config_file(), text).unwrap();
        let token = self.folder.path().join("operator.token");
        std::fs::write(&token, format!("{}\n", self.token)).unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn begin(self) -> Gateway {
        self.write();
        let process = self.spawn(&[]);
        Gateway { place: self, process }
    }

    fn spawn(&self, more: &[&str]) -> Process {
        let mut command = Command::new(&self.binary);
        command.args(["--color", "never", "--log", self.config.log_filter(), "run", "--config"]);
        command.arg(self.config_file()).args(more);
        command.env("NO_COLOR", "1").env("RUST_BACKTRACE", "1").current_dir(self.folder.path());
        for (name, value) in self.config.environment() {
            command.env(name, value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log: Arc<Mutex<String>> = Arc::default();
        let readers = [keep(child.stdout.take(), &log), keep(child.stderr.take(), &log)];
        Process { child, log, readers }
    }

    async fn run(self) -> Result<Gateway, NotStarted> {
        let mut gateway = self.begin();
        let begin = Instant::now();
        loop {
            if let Some(status) = gateway.process.child.try_wait().unwrap() {
                gateway.process.whole_log().await;
                return Err(NotStarted { status: Some(status), log: gateway.log() });
            }
            if gateway.is_ready().await {
                return Ok(gateway);
            }
            if begin.elapsed() > Duration::from_secs(READY_SECONDS_MAX) {
                return Err(NotStarted { status: None, log: gateway.log() });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Gateway {
    /// Asks `/readyz` once. Nobody listens at first, so nothing here may end the test.
    async fn is_ready(&self) -> bool {
        let Ok(stream) = tokio::net::TcpStream::connect(self.operator()).await else { return false };
        let mut client = h1::H1::over(Box::new(stream));
        let host = self.operator().to_string();
        let request = h1::request("GET", &host, "/readyz", &[("connection", "close")], b"");
        let ask = async {
            client.try_send(request).await && client.head().await.and_then(|h| h.status()) == Some(200)
        };
        tokio::time::timeout(Duration::from_secs(2), ask).await.unwrap_or(false)
    }
}

/// Keeps what a child writes, line by line, for as long as it writes.
fn keep(
    channel: Option<impl std::io::Read + Send + 'static>,
    log: &Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    let (channel, log) = (channel.unwrap(), Arc::clone(log));
    std::thread::spawn(move || {
        let mut lines = BufReader::new(channel);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            log.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "the gateway ended before it was ready ({status}):\n{}", self.log),
            None => write!(f, "the gateway was not ready after {READY_SECONDS_MAX} s:\n{}", self.log),
        }
    }
}

#[cfg(test)]
mod tests;
