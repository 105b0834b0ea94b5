//! Scripts of `tests/browser`, run by Node.js as children that are told what to do line by line.
//!
//! What they need is installed once, from npm, exactly as `tests/browser/package-lock.json` says: the OpenID
//! provider, what drives Chromium, and a Node.js of a version with which both work, as Debian's may be too old. It lies
//! beside what cargo builds. To install it takes `npm`, and nothing that a package brings is run meanwhile.
//!
//! A script ends when its stdin does, so it never outlives the process of its test.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How long an order may take: a browser on a busy machine is slow to start.
const ORDER_SECONDS_MAX: u64 = 90;

/// A script that runs. Dropped, it is killed.
pub struct Script {
    child: Child,
    words: Mutex<ChildStdin>,
    next: AtomicU64,
    waiting: Waiting,
    complaints: Arc<Mutex<String>>,
    _folder: TempDir,
}

/// Who waits for which answer; none when there will be no more answers.
type Waiting = Arc<Mutex<Option<HashMap<u64, oneshot::Sender<Value>>>>>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Script ===

impl Script {
    /// Starts one of `tests/browser`.
    ///
    /// # Panics
    /// When what it needs cannot be installed: then nothing was tested, and that is no success.
    #[must_use]
    pub fn start(name: &str) -> Self {
        // A script finds what it imports in a folder above its own.
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(&*HOME).unwrap();
        std::fs::copy(sources().join(name), folder.path().join(name)).unwrap();
        let mut command = Command::new(node());
        command.arg(name).current_dir(folder.path()).env_remove("NODE_OPTIONS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::new())));
        let complaints: Arc<Mutex<String>> = Arc::default();
        let (answers, errors) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (of, to) = (Arc::clone(&waiting), Arc::clone(&complaints));
        std::thread::spawn(move || hand_out(BufReader::new(answers), &of));
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                lock(&to).push_str(&format!("{line}\n"));
            }
        });
        let words = Mutex::new(child.stdin.take().unwrap());
        Self { child, words, next: AtomicU64::new(1), waiting, complaints, _folder: folder }
    }

    /// Gives an order, and does not wait for what comes of it.
    pub fn tell(&self, order: &str, mut with: Value) {
        with["id"] = json!(0);
        with["order"] = json!(order);
        // A script that has ended needs no orders.
        let _ended = lock(&self.words).write_all(format!("{with}\n").as_bytes());
    }

    /// Gives an order, and answers what came of it.
    ///
    /// # Panics
    /// When it fails, or nothing comes of it.
    pub async fn order(&self, order: &str, with: Value) -> Value {
        let done = self.try_order(order, with).await;
        done.unwrap_or_else(|e| panic!("`{order}`: {e}\n{}", lock(&self.complaints)))
    }

    /// Gives an order.
    ///
    /// # Errors
    /// What the script says against it.
    ///
    /// # Panics
    /// When nothing comes of it.
    pub async fn try_order(&self, order: &str, mut with: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        with["id"] = json!(id);
        with["order"] = json!(order);
        let (tell, told) = oneshot::channel();
        match &mut *lock(&self.waiting) {
            Some(waiting) => drop(waiting.insert(id, tell)),
            None => return Err("the script has ended".to_owned()),
        }
        let line = format!("{with}\n");
        lock(&self.words).write_all(line.as_bytes()).map_err(|e| e.to_string())?;
        let bound = Duration::from_secs(ORDER_SECONDS_MAX);
        let answer = match tokio::time::timeout(bound, told).await {
            Ok(answer) => answer.map_err(|_| "the script has ended".to_owned())?,
            Err(_) => panic!("waited {ORDER_SECONDS_MAX} s for `{order}`\n{}", lock(&self.complaints)),
        };
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _waited = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the script wrote ---\n{}--- end ---", lock(&self.complaints));
        }
    }
}

/// Gives each answer to whoever waits for it, until there are no more.
fn hand_out(answers: impl std::io::BufRead, waiting: &Waiting) {
    for line in answers.lines().map_while(Result::ok) {
        let Ok(answer) = serde_json::from_str::<Value>(&line) else { continue };
        let waits = answer["id"].as_u64().and_then(|id| lock(waiting).as_mut()?.remove(&id));
        if let Some(waits) = waits {
            // Whoever asked may have given up.
            let _given_up = waits.send(answer);
        }
    }
    *lock(waiting) = None;
}

// === what they need ===

/// Where it is installed.
static HOME: LazyLock<PathBuf> = LazyLock::new(install);

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("browser")
}

/// The pinned one, where npm has it for this machine.
fn node() -> PathBuf {
    let pinned = HOME.join("node_modules/.bin/node");
    if pinned.is_file() { pinned } else { PathBuf::from("node") }
}

/// `target/debug/deps/x-0123` to `target/tmp/browser`.
fn home() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().find(|a| a.join("deps").is_dir()).unwrap();
    profile.parent().unwrap().join("tmp/browser")
}

fn install() -> PathBuf {
    let (home, made) = (home(), "made-of.json");
    std::fs::create_dir_all(&home).unwrap();
    // Several test programs may want it at once.
    let one_at_a_time = std::fs::File::create(home.with_extension("lock")).unwrap();
    one_at_a_time.lock().unwrap();
    let wanted = std::fs::read(sources().join("package-lock.json")).unwrap();
    if std::fs::read(home.join(made)).is_ok_and(|made| made == wanted) {
        return home;
    }
    std::fs::remove_dir_all(&home).unwrap();
    std::fs::create_dir_all(&home).unwrap();
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(sources().join(file), home.join(file)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&home);
    let output = npm.output().unwrap_or_else(|e| panic!("no npm (Debian: apt-get install npm): {e}"));
    assert!(
        output.status.success(),
        "the browser tests cannot be had from npm, so nothing was tested; is this machine online? {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(home.join(made), wanted).unwrap();
    home
}
