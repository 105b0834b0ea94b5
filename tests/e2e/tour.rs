//! Every command of the demo's guided tour, pasted into a shell as a visitor does, prints what the
//! tour says. The tour of the README and of the terminal is the same list.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use doorward_demo::surroundings::Ports;
use doorward_demo::tour::{Scene, steps};
use doorward_tests::gateway::find;
use doorward_tests::h1;
use doorward_tests::ports::Port;
use tokio::process::{Child, Command};

/// How long one command may take: some wait for a file to be noticed.
const COMMAND_SECONDS_MAX: u64 = 60;

struct Demo {
    child: Child,
    scene: Scene,
    folder: tempfile::TempDir,
    _ports: Vec<Port>,
}

impl Demo {
    async fn start() -> Self {
        let binary = find().unwrap_or_else(|e| panic!("{e}"));
        let held = Port::take_row(6);
        let ports = Ports::from_base(held[0].number()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene {
            doorward: binary.display().to_string(),
            folder: folder.path().join("demo").display().to_string(),
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
        for _ in 0..600 {
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
        let demo = Self { child, scene, folder, _ports: held };
        assert!(demo_is_ready, "the demo is not ready after 30 s:\n{}", demo.log());
        demo
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Both channels, as a terminal shows them.
    async fn paste(&self, shell: &str) -> String {
        let run = Command::new("bash")
            .args(["-c", &format!("exec 2>&1\n{shell}")])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let done = tokio::time::timeout(Duration::from_secs(COMMAND_SECONDS_MAX), run).await;
        let output =
            done.unwrap_or_else(|_| panic!("no end after {COMMAND_SECONDS_MAX} s: {shell}")).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

async fn ready(operator: u16) -> bool {
    let Ok(stream) = tokio::net::TcpStream::connect(("127.0.0.1", operator)).await else { return false };
    let mut client = h1::H1::over(Box::new(stream));
    let request = h1::request("GET", "localhost", "/readyz", &[("connection", "close")], b"");
    client.try_send(request).await && client.head().await.and_then(|h| h.status()) == Some(200)
}

#[tokio::test]
async fn every_command_prints_what_the_tour_says() {
    let mut demo = Demo::start().await;
    let mut surprises = Vec::new();
    for step in steps(&demo.scene) {
        for command in &step.commands {
            let printed = demo.paste(&command.shell).await;
            if let Err(surprise) = command.expect.check(&printed) {
                surprises.push(format!("{}\n$ {}\n{surprise} in:\n{printed}", step.title, command.shell));
            }
        }
    }
    let log = demo.log();
    assert!(surprises.is_empty(), "{}\n--- the demo's log ---\n{log}", surprises.join("\n\n"));
    assert!(demo.child.try_wait().unwrap().is_none(), "the demo ended during its tour:\n{log}");
    assert!(log.contains("The gateway listens on"), "{log}");
}
