//! One PostgreSQL server, as a process of its own.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use rustix::process::Signal;

use crate::install::{missing, postgres_folder};
use crate::port::Port;
use crate::process::{Folder, PATIENCE, Process, children, lock, secret, signal, state, within};
use crate::tls::{Clients, Tls, TlsFiles};

/// How a PostgreSQL server is configured.
#[derive(Debug, Clone, Default)]
pub struct PostgresSetup {
    /// Nothing is brought to the disk (`fsync = off`): faster, and it survives all but a power cut.
    pub unsynced: bool,
    /// TLS, and then no connection without it except over the socket in its folder.
    pub tls: Option<Tls>,
    /// Any further lines of `postgresql.conf`.
    pub lines: Vec<String>,
}

/// A PostgreSQL server, ended with this handle. It has a database `doorward`, which belongs to a
/// user `doorward` with a password.
pub struct Postgres {
    running: Mutex<Option<Process>>,
    folder: Folder,
    port: Port,
    tls: Option<TlsFiles>,
}

/// A data folder that was made once in this process. The servers are copies of it.
struct Template {
    folder: Folder,
    password: String,
    admin: String,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(Template::make);

const NAME: &str = "doorward";
const ADMIN: &str = "postgres";

// === impl Postgres ===

impl Postgres {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it does not answer within a minute, with what it wrote.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&PostgresSetup::default())
    }

    /// The same with a configuration.
    ///
    /// # Panics
    /// When it does not answer within a minute, with what it wrote.
    #[must_use]
    pub fn with(setup: &PostgresSetup) -> Self {
        let folder = Folder::new("postgres");
        owner().own(folder.path());
        let tls = setup.tls.as_ref().map(|tls| tls.write(folder.path()));
        for file in tls.iter().flat_map(TlsFiles::all) {
            owner().own(file);
        }
        let postgres = Self { running: Mutex::new(None), folder, port: Port::take(), tls };
        let from = TEMPLATE.folder.path().join("data");
        done(Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(postgres.data()));
        let file = postgres.data().join("postgresql.conf");
        std::fs::write(file, postgres.config(setup)).unwrap();
        std::fs::write(postgres.data().join("pg_hba.conf"), access(setup.tls.as_ref())).unwrap();
        postgres.begin();
        postgres
    }

    /// Where clients connect.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.number()
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// The folder of its socket, as the `host` of a client that wants no TCP.
    #[must_use]
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The name of the database, and of the user that it belongs to.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        NAME
    }

    /// The user's password.
    #[must_use]
    pub fn password(&self) -> &str {
        &TEMPLATE.password
    }

    /// Its certificates, if it speaks TLS.
    #[must_use]
    pub const fn tls(&self) -> Option<&TlsFiles> {
        self.tls.as_ref()
    }

    /// The id of the process that all the others are children of.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        lock(&self.running).as_ref().expect("this PostgreSQL does not run").pid()
    }

    /// All that it wrote since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        self.folder.log()
    }

    /// Runs statements as the user `doorward`: what they answer, a line for each row.
    ///
    /// # Errors
    /// What the server or `psql` says against it.
    pub fn psql(&self, statements: &str) -> Result<String, String> {
        self.psql_as(NAME, &TEMPLATE.password, statements)
    }

    /// Runs statements in the same database as a user that may do everything.
    ///
    /// # Errors
    /// What the server or `psql` says against it.
    pub fn psql_as_admin(&self, statements: &str) -> Result<String, String> {
        self.psql_as(ADMIN, &TEMPLATE.admin, statements)
    }

    fn psql_as(&self, user: &str, password: &str, statements: &str) -> Result<String, String> {
        let mut psql = Command::new(bin("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", NAME, "-U", user]);
        psql.arg("-h").arg(self.socket_folder()).args(["-p", &self.port().to_string(), "-c", statements]);
        psql.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "10");
        psql.env("PGOPTIONS", "-c statement_timeout=20s");
        let output = psql.output().map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Ends it at once with all its children, as the kernel or a power cut would.
    ///
    /// # Panics
    /// When a process does not end within a minute.
    pub fn kill9(&self) {
        let Some(process) = lock(&self.running).take() else { return };
        // While it stands it has no more children.
        process.stop();
        let family = children(process.pid());
        process.kill9();
        for child in &family {
            signal(*child, Signal::KILL);
        }
        let gone = || family.iter().all(|child| matches!(state(*child), None | Some('Z'))).then_some(());
        assert!(within(PATIENCE, gone).is_some(), "children of PostgreSQL do not end");
        self.sweep();
    }

    /// Has it end as a service manager would: transactions are rolled back, and clients hang up.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn terminate(&self) {
        if let Some(process) = lock(&self.running).take() {
            process.signal(Signal::INT);
            assert!(process.ends_within(PATIENCE), "PostgreSQL does not end: {}", self.log());
        }
    }

    /// Stops all of its processes where they stand. Connections stay open, and nothing is answered.
    pub fn stop(&self) {
        if let Some(process) = &*lock(&self.running) {
            process.stop();
            for child in children(process.pid()) {
                signal(child, Signal::STOP);
            }
        }
    }

    /// Lets it go on.
    pub fn cont(&self) {
        if let Some(process) = &*lock(&self.running) {
            go_on(process);
        }
    }

    /// Starts it again on the same port with what it has on disk. Kills it first if it runs.
    ///
    /// # Panics
    /// When it does not answer within a minute, with what it wrote.
    pub fn restart(&self) {
        self.kill9();
        self.begin();
    }

    /// Starts the process and waits until it takes connections.
    fn begin(&self) {
        let mut command = owner().command("postgres");
        command.arg("-D").arg(self.data()).current_dir(self.folder.path());
        let process = Process::start(&mut command, &self.folder.log_file());
        let pid = process.pid().to_string();
        let answers = || {
            if let Some(status) = process.ended() {
                panic!("PostgreSQL ended with {status}:\n{}", self.log());
            }
            let lines = self.pid_file_lines();
            let is = |line: usize, word: &str| lines.get(line).map(String::as_str) == Some(word);
            // A standby takes connections too, to be read.
            (is(0, &pid) && (is(7, "ready") || is(7, "standby"))).then_some(())
        };
        assert!(within(PATIENCE, answers).is_some(), "PostgreSQL does not answer:\n{}", self.log());
        *lock(&self.running) = Some(process);
    }

    /// Removes what a server that was killed leaves: its lock, and a little shared memory.
    fn sweep(&self) {
        if let Some(id) = self.pid_file_lines().get(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["-m", id]).output();
        }
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
    }

    fn pid_file_lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn config(&self, setup: &PostgresSetup) -> String {
        let folder = self.folder.path().display();
        let mut lines = vec![
            "listen_addresses = '127.0.0.1'".to_owned(),
            format!("port = {}", self.port()),
            format!("unix_socket_directories = '{folder}'"),
            "unix_socket_permissions = 0700".to_owned(),
            "password_encryption = 'scram-sha-256'".to_owned(),
            "max_connections = 60".to_owned(),
            "shared_buffers = '16MB'".to_owned(),
            // In the folder, so that nothing is left elsewhere when it is killed.
            "dynamic_shared_memory_type = mmap".to_owned(),
            "log_line_prefix = '%m [%p] '".to_owned(),
        ];
        if setup.unsynced {
            lines.push("fsync = off".to_owned());
            lines.push("full_page_writes = off".to_owned());
        }
        if let Some(files) = &self.tls {
            lines.push("ssl = on".to_owned());
            lines.push(format!("ssl_cert_file = '{}'", files.chain.display()));
            lines.push(format!("ssl_key_file = '{}'", files.key.display()));
            lines.push(format!("ssl_ca_file = '{}'", files.ca.display()));
        }
        lines.extend(setup.lines.iter().cloned());
        lines.join("\n") + "\n"
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &*lock(&self.running) {
            // At once, but so that it ends its children and leaves nothing in the kernel.
            go_on(process);
            process.signal(Signal::QUIT);
            process.ends_within(PATIENCE);
            self.sweep();
        }
        self.folder.show_log(&format!("PostgreSQL on port {}", self.port()));
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("port", &self.port()).finish_non_exhaustive()
    }
}

/// Lets the children go on before their parent, who would take them for hanging.
fn go_on(process: &Process) {
    for child in children(process.pid()) {
        signal(child, Signal::CONT);
    }
    process.signal(Signal::CONT);
}

/// Who may connect, and how: everybody with a password.
fn access(tls: Option<&Tls>) -> String {
    let over_tcp = match tls.map(|tls| tls.clients) {
        None => "host all all 127.0.0.1/32 scram-sha-256",
        Some(Clients::Unasked) => "hostssl all all 127.0.0.1/32 scram-sha-256",
        Some(Clients::Certified) => "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
    };
    format!("local all all scram-sha-256\n{over_tcp}\n")
}

// === impl Template ===

impl Template {
    fn make() -> Self {
        let folder = Folder::new("postgres-template");
        let template = Self { folder, password: secret(), admin: secret() };
        let folder = template.folder.path();
        owner().own(folder);
        let (data, password) = (folder.join("data"), folder.join("password"));
        std::fs::write(&password, &template.admin).unwrap();
        owner().own(&password);
        let mut initdb = owner().command("initdb");
        initdb.args(["--no-sync", "--no-instructions", "--auth=scram-sha-256", "--wal-segsize=1"]);
        initdb.args(["--encoding=UTF8", "--locale=C", "--username", ADMIN]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(&data).current_dir(folder);
        done(&mut initdb);
        // It is not a server yet: one statement a line, and nobody asks for a password.
        let statements = folder.join("statements");
        let password = &template.password;
        let lines = [
            format!("CREATE ROLE {NAME} LOGIN PASSWORD '{password}'"),
            format!("ALTER DATABASE postgres RENAME TO {NAME}"),
            format!("ALTER DATABASE {NAME} OWNER TO {NAME}"),
            // Each database is 300 files, which every server has to copy.
            "ALTER DATABASE template0 IS_TEMPLATE false".to_owned(),
            "DROP DATABASE template0".to_owned(),
        ];
        std::fs::write(&statements, lines.join("\n") + "\n").unwrap();
        let mut single = owner().command("postgres");
        single.arg("--single").args(["-F", "-D"]).arg(&data).arg("template1").current_dir(folder);
        done(single.stdin(std::fs::File::open(&statements).unwrap()));
        template
    }
}

/// Who the processes of PostgreSQL belong to: it refuses to be root.
enum Owner {
    /// Whoever runs the test.
    Same,
    /// The user `postgres`, which the Debian package makes.
    Other { user: u32, group: u32 },
}

fn owner() -> Owner {
    if !rustix::process::geteuid().is_root() {
        return Owner::Same;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|line| line.starts_with(&format!("{ADMIN}:")));
    let mut ids = line.into_iter().flat_map(|line| line.split(':')).skip(2).map_while(|id| id.parse().ok());
    let (Some(user), Some(group)) = (ids.next(), ids.next()) else {
        panic!("PostgreSQL refuses to run as root, and this machine has no user `{ADMIN}`")
    };
    Owner::Other { user, group }
}

impl Owner {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(bin(program));
        if let Self::Other { user, group } = self {
            command.uid(*user).gid(*group);
        }
        command
    }

    fn own(&self, path: &Path) {
        if let Self::Other { user, group } = self {
            std::os::unix::fs::chown(path, Some(*user), Some(*group)).unwrap();
        }
    }
}

fn bin(name: &str) -> PathBuf {
    let folder = postgres_folder().unwrap_or_else(|| panic!("{}", missing().unwrap_or_default()));
    folder.join(name)
}

/// Runs a command that must succeed.
fn done(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?} does not start: {e}"));
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&text));
}
