//! The demo as a visitor starts it: the real binary with its apps and its provider, in a folder `.demo` of its own,
//! and a shell to paste into.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use doorward_demo::surroundings::Ports;
use doorward_demo::tour::Scene;
use doorward_servers::Port;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};

use crate::gateway::find;
use crate::h1;

/// How long one paste may take: some wait for a file to be noticed, some for a solver.
const PASTE_SECONDS_MAX: u64 = 360;

/// A demo that runs until it is dropped.
pub struct Demo {
    /// Where it runs, as its commands say it.
    pub scene: Scene,
    child: Child,
    folder: tempfile::TempDir,
    _ports: Vec<Port>,
    _turn: MutexGuard<'static, ()>,
}

/// What is pasted waits as long as a visitor would, on a machine that does nothing else: one demo at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// What a paste printed on both channels, as a terminal shows them, and the exit code of its last command.
#[derive(Clone, Debug)]
pub struct Pasted {
    /// The text.
    pub text: String,
    /// The code; none when it was ended by a signal.
    pub code: Option<i32>,
}

impl Demo {
    /// Starts one, and waits until its gateway is ready.
    pub async fn start() -> Self {
        let turn = TURN.lock().await;
        let binary = find().unwrap_or_else(|e| panic!("{e}"));
        let held = Port::take_row(8);
        let ports = Ports::from_base(held[0].number()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene {
            doorward: binary.display().to_string(),
            folder: folder.path().join(".demo").display().to_string(),
            ports,
        };
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut child = Command::new(&binary)
            .args(["--color", "never", "demo", "--port", &ports.gateway.to_string()])
            .args([Path::new("--folder"), Path::new(&scene.folder), Path::new("--source"), source])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut demo_is_ready = false;
        for _ in 0..1800 {
            if let Some(status) = child.try_wait().unwrap() {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
                panic!("the demo ended before it was ready ({status}):\n{log}");
            }
            demo_is_ready = ready(ports.operator).await;
            if demo_is_ready {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let demo = Self { scene, child, folder, _ports: held, _turn: turn };
        assert!(demo_is_ready, "the demo is not ready after 90 s:\n{}", demo.log());
        demo
    }

    /// What it printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Whether it ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The folder that holds `.demo`: where whoever pastes stands.
    #[must_use]
    pub fn top(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Pastes into a shell of its own, which stands at the top.
    pub async fn paste(&self, shell: &str) -> Pasted {
        let run = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{shell}")])
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let done = tokio::time::timeout(Duration::from_secs(PASTE_SECONDS_MAX), run).await;
        let output = done.unwrap_or_else(|_| panic!("no end after {PASTE_SECONDS_MAX} s: {shell}")).unwrap();
        Pasted { text: String::from_utf8_lossy(&output.stdout).into_owned(), code: output.status.code() }
    }
}

async fn ready(operator: u16) -> bool {
    let Ok(stream) = tokio::net::TcpStream::connect(("127.0.0.1", operator)).await else { return false };
    let mut client = h1::H1::over(Box::new(stream));
    let request = h1::request("GET", "localhost", "/readyz", &[("connection", "close")], b"");
    client.try_send(request).await && client.head().await.and_then(|h| h.status()) == Some(200)
}
