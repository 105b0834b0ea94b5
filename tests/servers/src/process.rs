//! Processes and folders that end with their handle, and with this process whatever it dies of.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to do as it is told.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(10);

/// How many lines of a log a test that fails shows.
const LINES_SHOWN: usize = 40;

/// A running process whose output goes to a file.
pub(crate) struct Process {
    child: Mutex<Child>,
    pid: Pid,
}

/// A folder of its own for a server.
pub(crate) struct Folder {
    path: PathBuf,
}

/// The shell that ends what is left, and the folder that it removes.
struct Warden {
    words: Mutex<ChildStdin>,
    folder: PathBuf,
}

/// It reads which processes began and which ended. At the end of its input, when the process that
/// writes to it is no more, it ends those that are left: PostgreSQL takes a `QUIT` for an order to
/// end at once and leave nothing in the kernel, and so does anybody who does not know better.
const WARDEN: &str = r#"
trap '' HUP INT QUIT TERM
pids=' '
while read -r word pid; do
    case $word in
        began) pids="$pids$pid " ;;
        ended) pids="${pids%% $pid *} ${pids#* $pid }" ;;
    esac
done
for pid in $pids; do kill -s CONT "$pid"; kill -s QUIT "$pid"; done 2>/dev/null
for pid in $pids; do
    for turn in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        kill -0 "$pid" || break
        sleep 0.3
    done
    kill -s KILL "$pid"
done 2>/dev/null
rm -rf "$1"
"#;

static HOUSE: LazyLock<Warden> = LazyLock::new(|| {
    let folder = tempfile::Builder::new().prefix("doorward-servers-").tempdir().unwrap().keep();
    // PostgreSQL runs as another user, and passes through.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o711)).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", WARDEN, "warden"]).arg(&folder).current_dir("/").process_group(0);
    let child = shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let words = child.expect("`sh` does not start").stdin.take().unwrap();
    Warden { words: Mutex::new(words), folder }
});

/// A lock, also after a panic of another thread: what it guards is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Asks again and again until there is an answer, at most so long.
pub(crate) fn within<T>(bound: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if begin.elapsed() > bound {
            return None;
        }
        sleep(PAUSE);
    }
}

/// Letters that nobody guesses.
pub(crate) fn secret() -> String {
    let mut bytes = [0; 16];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl Process ===

impl Process {
    /// Starts it; what it writes is added to the log.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let house = &*HOUSE;
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
        let pid = Pid::from_child(&child);
        house.say("began", pid);
        Self { child: Mutex::new(child), pid }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What it ended with, if it has ended.
    pub(crate) fn ended(&self) -> Option<std::process::ExitStatus> {
        lock(&self.child).try_wait().unwrap()
    }

    /// Sends a signal, unless it has ended: its id may be another's by then.
    pub(crate) fn signal(&self, signal: Signal) {
        let mut child = lock(&self.child);
        if child.try_wait().unwrap().is_none() {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Stops it, and comes back when it stands.
    pub(crate) fn stop(&self) {
        self.signal(Signal::STOP);
        let stands = within(PATIENCE, || matches!(state(self.pid()), None | Some('T' | 'Z')).then_some(()));
        assert!(stands.is_some(), "process {} does not stop", self.pid());
    }

    /// Ends it without asking it.
    pub(crate) fn kill9(&self) {
        self.signal(Signal::KILL);
        assert!(self.ends_within(PATIENCE), "process {} does not end", self.pid());
    }

    /// Waits for its end.
    pub(crate) fn ends_within(&self, bound: Duration) -> bool {
        within(bound, || self.ended()).is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // It may have ended already.
        let _ = child.kill();
        let _ = child.wait();
        HOUSE.say("ended", self.pid);
    }
}

/// One letter that says what a process does, if it is there: `T` when it is stopped.
pub(crate) fn state(pid: u32) -> Option<char> {
    stat(pid).map(|(state, _)| state)
}

/// The processes whose parent this is.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, its)| its == parent)).collect()
}

/// The state and the parent of a process.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Signals a process that is nobody's handle, such as a child of PostgreSQL.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

// === impl Folder ===

impl Folder {
    /// Makes one whose name begins so.
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let path = HOUSE.folder.join(format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.path.join("log")
    }

    /// All that the server wrote.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Shows the end of the log when the test has failed.
    pub(crate) fn show_log(&self, name: &str) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let shown = lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n");
            eprintln!("--- {name} wrote ---\n{shown}\n--- end ---");
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

// === impl Warden ===

impl Warden {
    fn say(&self, word: &str, pid: Pid) {
        // Without it the handles still end their processes.
        let _ = writeln!(lock(&self.words), "{word} {}", pid.as_raw_nonzero());
    }
}
