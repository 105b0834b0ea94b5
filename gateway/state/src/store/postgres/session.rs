//! A connection to the server: how it is made, what it insists on, and when it is given up.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::Severity;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::engine::Engine;
use super::fault::Fault;
use crate::config::{PostgresConfig, PostgresPlace, Tls};
use crate::error::StoreError;

const CONNECT: Duration = Duration::from_secs(3);
/// For how long a packet may wait for the other side's word that it came.
const UNHEARD: Duration = Duration::from_secs(5);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_RETRIES: u32 = 3;

/// What every session insists on, whatever the server's configuration says. A stronger
/// `synchronous_commit` than `on` is left alone. The server gives up a little before this side
/// does, so that it can say why; and it lets go of what a gateway holds that has gone silent.
const SETTINGS: &str = "
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') NOT IN ('on', 'remote_apply');
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_deferrable = off;
    SET statement_timeout = '4s';
    SET lock_timeout = '3s';
    SET idle_in_transaction_session_timeout = '5s';
    SET jit = off;
    SET search_path = '';
    SET TimeZone = 'UTC';";

/// Whether this is a server that takes writes and keeps them.
const NATURE: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on',
    current_setting('server_encoding'), current_setting('fsync') = 'on'";

/// How to connect: the same for every connection of a store.
pub(super) struct Way {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    url: String,
}

/// A connection. One that works says goodbye when it is dropped; any other is cut off: it may wait
/// for an answer that never comes, or stand in the middle of a transaction.
pub(super) struct Session {
    pub(super) client: Client,
    task: JoinHandle<()>,
    /// The server has warned since this was last looked at.
    warned: Arc<AtomicBool>,
    /// Nothing is open on it.
    works: bool,
}

impl Way {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, StoreError> {
        let url = format!("postgresql://{}/{}", config.place, config.database);
        let mut to = Config::new();
        match &config.place {
            PostgresPlace::Tcp(address) => to.host(address.host()).port(address.port()),
            PostgresPlace::Socket { folder, port } => to.host_path(folder).port(*port),
        };
        to.user(&config.user).dbname(&config.database).application_name(format!("doorward {}", config.node));
        if let Some(password) = &config.password {
            to.password(password.expose());
        }
        to.connect_timeout(CONNECT).tcp_user_timeout(UNHEARD);
        to.keepalives(true).keepalives_idle(KEEPALIVE_IDLE);
        to.keepalives_interval(KEEPALIVE_EVERY).keepalives_retries(KEEPALIVE_RETRIES);
        to.ssl_mode(if config.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        let tls = match &config.tls {
            None => None,
            Some(tls) => Some(MakeRustlsConnect::new(trust(tls, &url)?)),
        };
        Ok(Self { config: to, tls, url })
    }

    /// The database, without user and password.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Connects, and refuses a server that cannot be written.
    pub(super) fn connect(&self, engine: &Engine, limit: Duration) -> Result<Session, StoreError> {
        let silent = || {
            let why = format!("no answer within {} s", limit.as_secs());
            StoreError::Unreachable { server: self.url.clone(), why }
        };
        let warned = Arc::new(AtomicBool::new(false));
        let begin = async {
            let (client, task) = self.begin(engine, &warned).await?;
            // Cut off with this future, if nobody takes it.
            let session = Session { client, task, warned: Arc::clone(&warned), works: false };
            session.client.batch_execute(SETTINGS).await?;
            let nature = session.client.query_typed_one(NATURE, &[]).await?;
            self.judge(&nature)?;
            Ok::<_, Fault>(session)
        };
        match engine.wait(limit, begin) {
            Some(done) => done.map_err(|fault| fault.explain(&self.url, "connect to")),
            None => Err(silent()),
        }
    }

    async fn begin(
        &self,
        engine: &Engine,
        warned: &Arc<AtomicBool>,
    ) -> Result<(Client, JoinHandle<()>), Fault> {
        let config = self.config.clone();
        // On the engine's thread: sockets belong to the runtime that made them.
        match &self.tls {
            Some(tls) => {
                let tls = tls.clone();
                let (client, connection) = on(engine, async move { config.connect(tls).await }).await?;
                Ok((client, engine.spawn(carry(connection, Arc::clone(warned)))))
            }
            None => {
                let (client, connection) = on(engine, async move { config.connect(NoTls).await }).await?;
                Ok((client, engine.spawn(carry(connection, Arc::clone(warned)))))
            }
        }
    }

    fn judge(&self, nature: &tokio_postgres::Row) -> Result<(), Fault> {
        let server = self.url.clone();
        if nature.try_get(0)? {
            return Err(StoreError::ReadOnly { server, why: "it is a standby".to_owned() }.into());
        }
        if nature.try_get(1)? {
            let why = "`default_transaction_read_only` is on".to_owned();
            return Err(StoreError::ReadOnly { server, why }.into());
        }
        let encoding: String = nature.try_get(2)?;
        if encoding != "UTF8" {
            let why = format!("the database has the encoding `{encoding}`; make one with `ENCODING 'UTF8'`");
            return Err(StoreError::Refused { server, why }.into());
        }
        if !nature.try_get::<_, bool>(3)? {
            tracing::warn!(
                server,
                "PostgreSQL runs with `fsync = off`: what it acknowledges does not survive a power failure"
            );
        }
        Ok(())
    }
}

// === impl Session ===

impl Session {
    /// It did what was asked, and nothing is open on it.
    pub(super) fn worked(mut self) -> Self {
        self.works = true;
        self
    }

    /// It is asked for something, and forgets warnings of the past.
    pub(super) fn asked(&mut self) {
        self.works = false;
        self.warned.store(false, Ordering::Release);
    }

    /// Whether the connection ended while nobody used it.
    pub(super) fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether the server warned. It does so when it reports as done what is not quite: a commit
    /// that a standby was to confirm, for one.
    pub(super) fn has_warned(&self) -> bool {
        self.warned.load(Ordering::Acquire)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.works {
            self.task.abort();
        }
    }
}

/// Runs on the engine, and ends there when it is dropped here.
async fn on<T, F>(engine: &Engine, work: F) -> Result<T, tokio_postgres::Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, tokio_postgres::Error>> + Send + 'static,
{
    struct Ended<T>(JoinHandle<T>);
    impl<T> Drop for Ended<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let mut task = Ended(engine.spawn(work));
    match (&mut task.0).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only this side aborts it, and then nobody waits.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Carries what is asked and answered, until the connection ends.
async fn carry<S, T>(mut connection: Connection<S, T>, warned: Arc<AtomicBool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) if notice.parsed_severity() == Some(Severity::Warning) => {
                warned.store(true, Ordering::Release);
                tracing::warn!(message = notice.message(), "PostgreSQL warns");
            }
            Ok(_) => {}
            // Whoever asked is told.
            Err(_) => return,
        }
    }
}

fn trust(tls: &Tls, url: &str) -> Result<ClientConfig, StoreError> {
    let untrusted = |why: String| StoreError::Untrusted { server: url.to_owned(), why };
    let mut roots = RootCertStore::empty();
    match tls.ca() {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|e| untrusted(e.to_string()))?;
                roots.add(certificate).map_err(|e| untrusted(e.to_string()))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                let why = "the system has no certificates of authorities; install ca-certificates".to_owned();
                return Err(untrusted(why));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| untrusted(e.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
