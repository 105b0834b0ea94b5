//! A gateway with everything that streams behind it, in front of it an issuer, and TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use doorward_demo::client::fetch;
use doorward_demo::loopback::Loopback;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{Kind, Live, NotOpen, http1, http2};
use crate::gateway::{Config, Gateway};
use crate::h2::H2;
use crate::issuer::Issuer;
use crate::raw::{Answer, RawUpstream, Step};
use crate::tls::{Authority, Hello};
use crate::wire::{self, Wire, within};

/// The host of the app that streams, and of the apps under its path.
pub const BUILD: &str = "build.test";
/// The host of another app with the same upstream.
pub const OTHER: &str = "other.test";
/// Under this path of [`BUILD`] nothing is ever answered.
pub const SILENT_PATH: &str = "/silent";

/// How the client reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Via {
    /// By TCP alone.
    Plain,
    /// By TLS.
    Tls,
}

/// All of it. Dropped, it is ended.
pub struct Site {
    /// The gateway: plain on its first listener, TLS on its second.
    pub gateway: Gateway,
    /// Who gives out tokens.
    pub issuer: Issuer,
    /// Who vouches for the gateway's certificate.
    pub authority: Authority,
    /// Where the demo's app `build` listens, without a gateway in front.
    pub app: SocketAddr,
    tick: Duration,
    serving: JoinHandle<()>,
    _silent: RawUpstream,
    _folder: TempDir,
}

impl Via {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plain, Self::Tls];
}

impl Site {
    /// Starts everything. Streams count once in each `tick`; `change` may add to the configuration.
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(tick: Duration, change: impl FnOnce(&mut Config)) -> Self {
        let loopback = Loopback::port(0).await.unwrap();
        let app = loopback.address();
        let pace = Pace { tick, piece_bytes: 4096 };
        let serving = tokio::spawn(loopback.serve(SampleApp::Build.router(pace)));
        let silent = RawUpstream::start(|_| Answer::default().early().then(Step::Hang)).await;
        let issuer = Issuer::start().await;
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = authority.certificate(&[BUILD, OTHER]).write(folder.path(), "gateway");
        let mut config = Config::new();
        let engineering = json!({"groups": ["engineering"]});
        config
            .issuer(&issuer)
            .listen_tls(&chain, &key)
            .app("build", BUILD, app, engineering.clone())
            .app("other", OTHER, app, engineering.clone())
            .app(
                "build-grpc",
                BUILD,
                app,
                json!({
                    "groups": ["engineering"], "path_prefix": "/doorward.demo.Build",
                    "upstream": {"protocol": "h2"},
                }),
            )
            .app(
                "silent",
                BUILD,
                silent.address(),
                json!({
                    "groups": ["engineering"], "path_prefix": SILENT_PATH,
                    "upstream": {"response_seconds_max": 600},
                }),
            )
            // A slow machine must not end what a test has open.
            .set("limits.body_idle_seconds_max", json!(600))
            .set("limits.connections_per_address_max", json!(10_000))
            .set("policy.dir", json!(policies(folder.path())));
        change(&mut config);
        let gateway = Gateway::start(config).await;
        Self { gateway, issuer, authority, app, tick, serving, _silent: silent, _folder: folder }
    }

    /// A connection to the gateway that asks for a host and offers a protocol.
    ///
    /// # Panics
    /// When there is none.
    pub async fn wire(&self, via: Via, host: &str, protocol: &str) -> Wire {
        match via {
            Via::Plain => Box::new(wire::connect(self.gateway.listener(0)).await),
            Via::Tls => {
                let hello = Hello::new(host, &[protocol]);
                Box::new(self.authority.connect(self.gateway.listener(1), &hello).await)
            }
        }
    }

    /// An HTTP/2 connection to the gateway.
    ///
    /// # Panics
    /// When there is none.
    pub async fn h2(&self, via: Via, host: &str) -> H2 {
        match via {
            Via::Plain => H2::connect(self.gateway.listener(0)).await,
            Via::Tls => H2::connect_tls(self.gateway.listener(1), &self.authority, host).await,
        }
    }

    /// Opens a stream of [`BUILD`] on a connection of its own.
    ///
    /// # Errors
    /// When it was refused or cut off at once.
    pub async fn open(&self, kind: Kind, via: Via, token: &str) -> Result<Live, NotOpen> {
        self.open_at(BUILD, kind, via, token).await
    }

    /// Opens a stream at a host on a connection of its own.
    ///
    /// # Errors
    /// When it was refused or cut off at once.
    pub async fn open_at(&self, host: &str, kind: Kind, via: Via, token: &str) -> Result<Live, NotOpen> {
        if kind.is_h2() {
            let h2 = self.h2(via, host).await;
            return http2::open(&h2, host, kind, self.tick, token).await;
        }
        let wire = self.wire(via, host, "http/1.1").await;
        http1::open(wire, host, kind, self.tick, token).await
    }

    /// Opens a stream of [`BUILD`] on an HTTP/2 connection that others may share.
    ///
    /// # Errors
    /// When it was refused or cut off at once.
    pub async fn open_on(&self, h2: &H2, kind: Kind, token: &str) -> Result<Live, NotOpen> {
        http2::open(h2, BUILD, kind, self.tick, token).await
    }

    /// How many exchanges the gateway says are running, of one user or of all.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn inflight(&self, user: Option<&str>) -> u64 {
        let path = match user {
            Some(user) => format!("/api/v1/inflight?user={user}"),
            None => "/api/v1/inflight".to_owned(),
        };
        let answer = self.gateway.api("GET", &path, None).await;
        let listed: Value = serde_json::from_str(&answer.text).unwrap_or_default();
        listed["total"].as_u64().unwrap_or_else(|| panic!("GET {path}: {answer:?}"))
    }

    /// Waits until the gateway says that so many exchanges are running.
    ///
    /// # Panics
    /// When it does not say so in time.
    pub async fn wait_inflight(&self, user: Option<&str>, count: u64) {
        let mut last = None;
        let wait = async {
            loop {
                let now = self.inflight(user).await;
                if now == count {
                    return;
                }
                last = Some(now);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let bound = Duration::from_secs(wire::STEP_SECONDS_MAX);
        if tokio::time::timeout(bound, wait).await.is_err() {
            panic!("{last:?} exchanges are running, not {count}, of {}", user.unwrap_or("all"));
        }
    }

    /// How many streams the app itself has open: `logs`, `clock`, `artifact`, `upload`, `grpc`.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn open_at_app(&self) -> u64 {
        let url = format!("http://{}/open", self.app);
        let answer = within("the app to say what is open", fetch("GET", &url)).await.unwrap();
        let open: Value = serde_json::from_slice(&answer.body).unwrap();
        let counts = open.as_object().unwrap().values();
        counts.filter_map(Value::as_u64).sum()
    }

    /// Waits until the app itself has so many streams open.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn wait_open_at_app(&self, count: u64) {
        within(&format!("{count} streams at the app"), async {
            while self.open_at_app().await != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// The shipped policies for engineers and machines with all guardrails; those of apps that are not
/// here would be refused.
fn policies(folder: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies");
    let to = folder.join("policies");
    let guardrails = std::fs::read_dir(from.join("guardrails")).unwrap();
    let mut files: Vec<PathBuf> =
        guardrails.map(|f| PathBuf::from("guardrails").join(f.unwrap().file_name())).collect();
    files.extend(["schema.cedarschema", "apps/build.cedar", "apps/machines.cedar"].map(PathBuf::from));
    for file in files {
        std::fs::create_dir_all(to.join(&file).parent().unwrap()).unwrap();
        std::fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
    to
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
