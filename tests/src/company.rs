//! The demo's company around a gateway: its issuer, and every app that the shipped policies name,
//! with whatever upstreams a test wants behind them.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_demo::loopback::Loopback;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use crate::gateway::{Config, Gateway};
use crate::issuer::Issuer;
use crate::wire::within;

/// For all of the company, alice is in HR, bob an engineer, carol a contractor, dana an admin.
pub struct Company {
    /// Who issues tokens.
    pub issuer: Issuer,
    /// What the gateway will be started with.
    pub config: Config,
}

// === impl Company ===

impl Company {
    /// `wiki.test`, `payroll.test` and `build.test`, all of them at one upstream (HTTP/1.1).
    pub async fn new(upstream: SocketAddr) -> Self {
        Self::with(&[("wiki", upstream), ("payroll", upstream), ("build", upstream)]).await
    }

    /// The same with upstreams of their own; each of the three must be named.
    ///
    /// # Panics
    /// When one is missing.
    pub async fn with(upstreams: &[(&str, SocketAddr)]) -> Self {
        let issuer = Issuer::start().await;
        let mut config = Config::new();
        config.issuer(&issuer);
        let of = |id: &str| upstreams.iter().find(|(name, _)| *name == id).unwrap().1;
        let admin = json!({"id": "admin", "path": "/admin", "tier": "restricted", "admin_surface": true});
        let welcome = json!({"id": "welcome", "path": "/welcome", "tier": "public", "public": true});
        let payroll =
            json!({"groups": ["finance"], "tier": "restricted", "scope": "payroll:read", "route": [admin]});
        config
            .app("wiki", "wiki.test", of("wiki"), json!({"route": [welcome, admin]}))
            .app("payroll", "payroll.test", of("payroll"), payroll)
            .app(
                "build",
                "build.test",
                of("build"),
                json!({"groups": ["engineering"], "scope": "build:run"}),
            );
        Self { issuer, config }
    }

    /// One more app that engineers may use, at `<id>.test`.
    pub fn engineering(&mut self, id: &str, upstream: SocketAddr, more: Value) -> &mut Self {
        self.config.app(id, &format!("{id}.test"), upstream, more);
        let last = self.config.apps() - 1;
        self.config.set(&format!("app.{last}.groups"), json!(["engineering"]));
        self
    }

    /// Starts the gateway; the issuer runs as long as its handle lives.
    ///
    /// # Panics
    /// When the gateway does not start.
    pub async fn start(self) -> (Issuer, Gateway) {
        (self.issuer, Gateway::start(self.config).await)
    }
}

/// Runs one of the demo's apps until the test ends; says where.
///
/// # Panics
/// When no port can be had.
pub async fn sample(app: SampleApp, pace: Pace) -> SocketAddr {
    let loopback = Loopback::port(0).await.unwrap();
    let address = loopback.address();
    tokio::spawn(loopback.serve(app.router(pace)));
    address
}

/// Copies the shipped policies into a folder, where they can be changed.
///
/// # Panics
/// When they cannot be read, or the folder not written.
pub fn copy_policies(to: &Path) {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let (path, target) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() { copy(&path, &target) } else { assert!(std::fs::copy(&path, &target).is_ok()) }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies"), to);
}

/// What stands in `Authorization`.
#[must_use]
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// Connects from another address of this machine, such as 127.0.0.2.
///
/// # Panics
/// When nobody listens there, or the address is not of this machine.
pub async fn connect_from(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from, 0)).unwrap();
    let stream = within("a connection", socket.connect(to)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
