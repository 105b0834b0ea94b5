//! One Redis server, as a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::Signal;

use crate::install::program;
use crate::port::Port;
use crate::process::{Folder, PATIENCE, Process, lock, secret, within};
use crate::resp::{Connection, Failed, Reply};
use crate::tls::{Tls, TlsFiles};

/// How a Redis server is configured. By default it keeps nothing on disk and asks nobody who they are.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Whether commands are written to an append-only file, and when that is brought to the disk.
    pub append_only: Option<Fsync>,
    /// The bound on its memory.
    pub memory: Option<Memory>,
    /// The password of the user `default` (`requirepass`).
    pub password: Option<String>,
    /// Further users, each as after the word `user`: `gateway on >secret ~{doorward}* &* +@all`.
    pub users: Vec<String>,
    /// TLS instead of plain TCP, for clients and between servers.
    pub tls: Option<Tls>,
    /// The primary that this one is a replica of.
    pub replica_of: Option<SocketAddr>,
    /// How many replicas must follow for a primary to take writes.
    pub min_replicas: Option<MinReplicas>,
    /// Any further lines of the configuration file.
    pub lines: Vec<String>,
}

/// When an append-only file is brought to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before a command is answered.
    Always,
    /// Once a second.
    EverySecond,
    /// When the system likes.
    No,
}

/// A bound on memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// `maxmemory`.
    pub bytes: u64,
    /// `maxmemory-policy`: `noeviction`, `allkeys-lru`, ...
    pub policy: String,
}

/// `min-replicas-to-write` and `min-replicas-max-lag`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinReplicas {
    /// How many.
    pub count: u8,
    /// How far they may lag.
    pub lag_seconds: u8,
}

/// What is left on disk when a server starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What was there.
    Kept,
    /// No data. What it knows of a cluster is configuration, and stays.
    Wiped,
}

/// A Redis server, ended with this handle. All of its functions can be called from any thread.
pub struct Redis {
    running: Mutex<Option<Process>>,
    folder: Folder,
    port: Port,
    /// Held for as long as the server is a node of a cluster.
    _bus: Option<Port>,
    role: Role,
    password: String,
    tls: Option<TlsFiles>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Server,
    Sentinel,
}

/// The user that [`Redis::command`] is. No test's own user has this name.
const ADMIN: &str = "admin-of-the-test";

// === impl Redis ===

impl Redis {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer within a minute, with what it wrote.
    #[must_use]
    pub fn start(setup: &Setup) -> Self {
        Self::launch(setup, Role::Server, None, &secret())
    }

    /// Starts a replica with the same configuration as its primary and waits until it follows.
    ///
    /// # Panics
    /// When it does not follow within a minute.
    #[must_use]
    pub fn start_replica(&self, setup: &Setup) -> Self {
        let setup = Setup { replica_of: Some(self.address()), ..setup.clone() };
        let replica = Self::launch(&setup, Role::Server, None, &self.password);
        replica.wait_until_following();
        replica
    }

    /// Starts a process of a group that shares a password.
    pub(crate) fn launch(setup: &Setup, role: Role, bus: Option<Port>, password: &str) -> Self {
        let folder = Folder::new(match role {
            Role::Server => "redis",
            Role::Sentinel => "sentinel",
        });
        let port = Port::take();
        let tls = setup.tls.as_ref().map(|tls| tls.write(folder.path()));
        let redis = Self {
            running: Mutex::new(None),
            folder,
            port,
            role,
            password: password.to_owned(),
            tls,
            _bus: bus,
        };
        std::fs::create_dir(redis.data()).unwrap();
        std::fs::write(redis.config_file(), redis.config(setup)).unwrap();
        redis.begin();
        redis
    }

    /// Where clients connect, with TLS or without.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The id of its process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        lock(&self.running).as_ref().expect("this Redis does not run").pid()
    }

    /// Its folder: configuration, certificates, log, and `data`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Its certificates, if it speaks TLS.
    #[must_use]
    pub const fn tls(&self) -> Option<&TlsFiles> {
        self.tls.as_ref()
    }

    /// All that it wrote since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.log()
    }

    /// Whether its process is there, if only stopped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        lock(&self.running).as_ref().is_some_and(|process| process.ended().is_none())
    }

    /// Runs a command as a user that may do everything, over a socket of its own.
    ///
    /// # Errors
    /// When the server refuses it, does not run, or does not answer within a minute.
    pub fn command(&self, words: &[&str]) -> Result<Reply, Failed> {
        self.command_within(PATIENCE, words)
    }

    /// The same with another bound.
    ///
    /// # Errors
    /// When the server refuses it, does not run, or does not answer in time.
    pub fn command_within(&self, bound: Duration, words: &[&str]) -> Result<Reply, Failed> {
        Connection::open(&self.socket(), [ADMIN, &self.password], bound)?.command(words)
    }

    /// A line of `INFO`, such as `role` or `run_id`.
    ///
    /// # Panics
    /// When the server does not answer within a minute, or there is no such line.
    #[must_use]
    pub fn info(&self, field: &str) -> String {
        // Sentinels that make a server a replica have it hang up on everybody.
        let reply = within(PATIENCE, || self.command(&["INFO", "everything"]).ok());
        let reply = reply.unwrap_or_else(|| panic!("no answer to INFO: {}", self.log()));
        reply.field(field).unwrap_or_else(|| panic!("INFO has no {field}"))
    }

    /// Keeps it busy for so long (`DEBUG SLEEP`), and comes back when it has begun.
    ///
    /// # Panics
    /// When it does not take the command.
    pub fn sleep(&self, duration: Duration) {
        let login = [ADMIN, self.password.as_str()];
        let mut connection = Connection::open(&self.socket(), login, PATIENCE).unwrap();
        connection.send(&["DEBUG", "SLEEP", &duration.as_secs_f64().to_string()]).unwrap();
        // It has taken the command from this socket before it sleeps.
        let sleeps = || self.command_within(Duration::from_millis(20), &["PING"]).is_err().then_some(());
        let is_seen = within(duration.min(PATIENCE), sleeps).is_some();
        // Or it has woken up by now, if this machine stood still meanwhile.
        let mut has_slept = || matches!(connection.receive(), Ok(Reply::Bytes(_)));
        assert!(is_seen || has_slept(), "Redis does not go to sleep");
    }

    /// Ends it at once, as the kernel or a power cut would.
    pub fn kill9(&self) {
        if let Some(process) = lock(&self.running).take() {
            process.kill9();
        }
    }

    /// Asks it to end, as a service manager would, and waits.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn terminate(&self) {
        if let Some(process) = lock(&self.running).take() {
            process.signal(Signal::TERM);
            assert!(process.ends_within(PATIENCE), "Redis does not end: {}", self.log());
        }
    }

    /// Stops it where it stands. Its connections stay open, and nothing is answered.
    pub fn stop(&self) {
        if let Some(process) = &*lock(&self.running) {
            process.stop();
        }
    }

    /// Lets it go on.
    pub fn cont(&self) {
        if let Some(process) = &*lock(&self.running) {
            process.signal(Signal::CONT);
        }
    }

    /// Starts it again on the same port, with the configuration as the server has it by now. Kills
    /// it first if it runs.
    ///
    /// # Panics
    /// When it does not answer within a minute, with what it wrote.
    pub fn restart(&self, disk: Disk) {
        self.kill9();
        match disk {
            Disk::Kept => {}
            Disk::Wiped => {
                std::fs::remove_dir_all(self.data()).unwrap();
                std::fs::create_dir(self.data()).unwrap();
            }
        }
        self.begin();
    }

    /// Waits until it is a replica that has all that its primary has.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn wait_until_following(&self) {
        let follows = || {
            let reply = self.command(&["INFO", "replication"]).ok()?;
            (reply.field("master_link_status")? == "up").then_some(())
        };
        assert!(within(PATIENCE, follows).is_some(), "the replica does not follow: {}", self.log());
    }

    /// Waits until it is a replica that has what this primary has written so far.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn wait_until_it_has_all_of(&self, primary: &Self) {
        let offset = |server: &Self, field| server.info(field).parse::<u64>().ok();
        let written = offset(primary, "master_repl_offset");
        assert!(written.is_some(), "the primary counts what it writes");
        let has_it = || (offset(self, "slave_repl_offset") >= written).then_some(());
        assert!(within(PATIENCE, has_it).is_some(), "the replica does not follow: {}", self.log());
    }

    /// Waits until the kernel has all that it acknowledged so far, so that it outlives a kill. A server that
    /// brings its file to the disk once a second holds back what comes while a slow disk is at that.
    ///
    /// # Panics
    /// When that does not happen within a minute, or it has no append-only file.
    pub fn wait_until_written(&self) {
        let written = || (self.info("aof_buffer_length") == "0").then_some(());
        assert!(within(PATIENCE, written).is_some(), "it does not write: {}", self.log());
    }

    /// Starts the process and waits until it answers.
    fn begin(&self) {
        let mut command = Command::new(program("redis-server"));
        command.arg(self.config_file()).current_dir(self.dir());
        if self.role == Role::Sentinel {
            command.arg("--sentinel");
        }
        let process = Process::start(&mut command, &self.folder.log_file());
        let answers = || {
            if let Some(status) = process.ended() {
                panic!("Redis ended with {status}:\n{}", self.log());
            }
            self.command(&["PING"]).ok()
        };
        assert!(within(PATIENCE, answers).is_some(), "Redis does not answer:\n{}", self.log());
        match self.role {
            Role::Server => {}
            // By default it first asks a new primary when that has been silent for a second, and
            // takes it for down when that is all the time that it gives it.
            Role::Sentinel => {
                self.command(&["SENTINEL", "DEBUG", "PING-PERIOD", "100"]).unwrap();
            }
        }
        *lock(&self.running) = Some(process);
    }

    fn config_file(&self) -> PathBuf {
        self.dir().join("redis.conf")
    }

    fn socket(&self) -> PathBuf {
        self.dir().join("socket")
    }

    fn data(&self) -> PathBuf {
        self.dir().join("data")
    }

    fn config(&self, setup: &Setup) -> String {
        let Self { folder, port, password, .. } = self;
        let folder = folder.path().display();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            "protected-mode no".to_owned(),
            "daemonize no".to_owned(),
            format!("dir {folder}/data"),
            format!("unixsocket {folder}/socket"),
            "unixsocketperm 700".to_owned(),
            format!("user {ADMIN} on >{password} ~* &* +@all"),
        ];
        match &self.tls {
            None => lines.push(format!("port {}", port.number())),
            Some(files) => {
                lines.push("port 0".to_owned());
                lines.push(format!("tls-port {}", port.number()));
                lines.push(format!("tls-cert-file {}", files.chain.display()));
                lines.push(format!("tls-key-file {}", files.key.display()));
                lines.push(format!("tls-ca-cert-file {}", files.ca.display()));
                lines.push("tls-replication yes".to_owned());
                let clients = setup.tls.as_ref().map(|tls| tls.clients).unwrap_or_default();
                lines.push(format!("tls-auth-clients {}", clients.as_redis()));
            }
        }
        if self.role == Role::Server {
            lines.push("save \"\"".to_owned());
            lines.push("enable-debug-command local".to_owned());
            // A replica is the same user everywhere in its group.
            lines.push(format!("masteruser {ADMIN}"));
            lines.push(format!("masterauth {password}"));
            // Nobody waits five seconds for more replicas.
            lines.push("repl-diskless-sync-delay 0".to_owned());
        }
        setup.add_to(&mut lines);
        lines.join("\n") + "\n"
    }

    pub(crate) const fn admin(&self) -> (&'static str, &str) {
        (ADMIN, self.password.as_str())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.folder.show_log(&format!("Redis on port {}", self.port()));
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("port", &self.port()).finish_non_exhaustive()
    }
}

// === impl Setup ===

impl Setup {
    fn add_to(&self, lines: &mut Vec<String>) {
        if let Some(fsync) = self.append_only {
            lines.push("appendonly yes".to_owned());
            lines.push(format!("appendfsync {}", fsync.as_redis()));
        }
        if let Some(Memory { bytes, policy }) = &self.memory {
            lines.push(format!("maxmemory {bytes}"));
            lines.push(format!("maxmemory-policy {policy}"));
        }
        if let Some(password) = &self.password {
            lines.push(format!("requirepass {password}"));
        }
        lines.extend(self.users.iter().map(|user| format!("user {user}")));
        if let Some(primary) = self.replica_of {
            lines.push(format!("replicaof {} {}", primary.ip(), primary.port()));
        }
        if let Some(MinReplicas { count, lag_seconds }) = self.min_replicas {
            lines.push(format!("min-replicas-to-write {count}"));
            lines.push(format!("min-replicas-max-lag {lag_seconds}"));
        }
        lines.extend(self.lines.iter().cloned());
    }
}

impl Fsync {
    const fn as_redis(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
            Self::No => "no",
        }
    }
}
