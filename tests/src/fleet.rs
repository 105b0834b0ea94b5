//! Several gateways as one fleet: a control node with the directory, and gateway nodes that learn
//! from Redis; one issuer, and one app that speaks HTTP, WebSocket and server-sent events.
//!
//! Who runs Redis and the directory is the test's own affair: a [`Plan`] only says where they are.

use std::net::SocketAddr;
use std::time::Duration;

use doorward_demo::apps::{Pace, SampleApp};
use serde_json::{Map, Value, json};

use crate::company::{Company, sample};
use crate::gateway::{Config, Down, Gateway, Operator, Signal};
use crate::h1::{self, Response};
use crate::issuer::Issuer;
use crate::live::{Kind, Live, NotOpen};
use crate::wire;

/// The app that streams, and answers at `/`.
pub const HOST: &str = "build.test";
/// How often streams count.
pub const TICK: Duration = Duration::from_millis(100);

/// What a fleet will be started with.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What stands in `[revocation]` of the control node only: which directory, and where.
    pub directory: Value,
    /// `[revocation.redis]` of each node, the control node's first.
    pub redis: Vec<Value>,
    /// What else every node is configured with, as [`Config::set`] takes it.
    pub settings: Vec<(&'static str, Value)>,
}

/// A fleet that runs. The control node is number 0.
pub struct Fleet {
    /// Who gives out tokens.
    pub issuer: Issuer,
    nodes: Vec<Node>,
}

/// One of its nodes, whether it runs or not.
pub struct Node {
    name: String,
    address: SocketAddr,
    operator: Operator,
    process: Option<Process>,
    lives: u32,
}

enum Process {
    Up(Gateway),
    Down(Down),
}

// === impl Plan ===

impl Plan {
    /// A directory in a file of the control node's own, and these sections for the nodes.
    #[must_use]
    pub const fn sqlite(redis: Vec<Value>) -> Self {
        Self { directory: Value::Null, redis, settings: Vec::new() }
    }

    /// Whether the directory itself proves to the control node that it is current.
    #[must_use]
    pub fn has_file(&self) -> bool {
        self.directory.is_null()
    }

    fn config(&self, company: &Company, number: usize) -> Config {
        let mut config = company.config.clone();
        let directory = if number == 0 { self.directory.clone() } else { json!({"directory": "none"}) };
        for (key, value) in directory.as_object().unwrap_or(&Map::new()) {
            config.set(&format!("revocation.{key}"), value.clone());
        }
        config
            .set("gateway.node", json!(name(number)))
            .set("revocation.redis", self.redis[number].clone())
            // A slow machine must not end what a test has open.
            .set("limits.body_idle_seconds_max", json!(600));
        for (path, value) in &self.settings {
            config.set(path, value.clone());
        }
        config
    }
}

/// What a node is called.
pub(crate) fn name(number: usize) -> String {
    if number == 0 { "control".to_owned() } else { format!("gw-{number}") }
}

// === impl Fleet ===

impl Fleet {
    /// Starts all nodes and waits until they are ready.
    ///
    /// # Panics
    /// When one does not start.
    pub async fn start(plan: &Plan) -> Self {
        let pace = Pace { tick: TICK, ..Pace::default() };
        let company = Company::new(sample(SampleApp::Build, pace).await).await;
        let mut nodes = vec![Node::start(0, plan.config(&company, 0)).await];
        let gateways = (1..plan.redis.len()).map(|i| Node::start(i, plan.config(&company, i)));
        nodes.extend(futures_util::future::join_all(gateways).await);
        Self { issuer: company.issuer, nodes }
    }

    /// Its nodes, the control node first.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One of its nodes.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn node(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number]
    }

    /// The operator listener of the control node.
    #[must_use]
    pub fn control(&self) -> &Operator {
        &self.nodes[0].operator
    }
}

// === impl Node ===

impl Node {
    pub(crate) async fn start(number: usize, config: Config) -> Self {
        let gateway = Gateway::start(config).await;
        Self {
            name: name(number),
            address: gateway.address(),
            operator: gateway.as_operator(),
            process: Some(Process::Up(gateway)),
            lives: 1,
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its operator listener.
    #[must_use]
    pub const fn operator(&self) -> &Operator {
        &self.operator
    }

    /// How many processes it has had.
    #[must_use]
    pub const fn lives(&self) -> u32 {
        self.lives
    }

    /// Its process.
    ///
    /// # Panics
    /// When it is down.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        match &self.process {
            Some(Process::Up(gateway)) => gateway,
            Some(Process::Down(_)) | None => panic!("{} is down", self.name),
        }
    }

    /// Ends its process as the kernel would, and waits.
    ///
    /// # Panics
    /// When it is down, or does not end.
    pub async fn kill(&mut self) {
        let Some(Process::Up(gateway)) = self.process.take() else { panic!("{} is down", self.name) };
        self.process = Some(Process::Down(gateway.end(Signal::SIGKILL).await));
    }

    /// Ends its process as an operator does, and starts another on a changed configuration.
    ///
    /// # Panics
    /// When it is down, or does not end, or the other does not start.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        let Some(Process::Up(gateway)) = self.process.take() else { panic!("{} is down", self.name) };
        self.lives += 1;
        self.process = Some(Process::Up(gateway.restart_with(Signal::SIGTERM, change).await));
    }

    /// Starts it again and waits until it is ready.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn revive(&mut self) {
        self.process = Some(Process::Up(self.down().start().await));
    }

    /// Starts it again and waits only until it listens.
    ///
    /// # Panics
    /// When it runs, or does not start.
    pub async fn revive_unready(&mut self) {
        self.process = Some(Process::Up(self.down().start_unready().await));
    }

    fn down(&mut self) -> Down {
        self.lives += 1;
        match self.process.take() {
            Some(Process::Down(down)) => down,
            Some(Process::Up(_)) | None => panic!("{} runs", self.name),
        }
    }

    /// One request of whoever has this token, at an app.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn ask(&self, host: &str, token: &str) -> Response {
        let answer = self.try_ask(host, token).await;
        answer.unwrap_or_else(|| panic!("no answer at {host} by {}", self.name))
    }

    /// The same; none when the connection ends before the answer does.
    ///
    /// # Panics
    /// When nobody listens, or nothing comes.
    pub async fn try_ask(&self, host: &str, token: &str) -> Option<Response> {
        let bearer = format!("Bearer {token}");
        let answer = h1::try_ask(self.address, "GET", host, "/", &[("authorization", &bearer)]).await;
        answer.filter(|response| response.whole)
    }

    /// Opens a stream at [`HOST`].
    ///
    /// # Errors
    /// When it was refused or cut off at once.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn open(&self, kind: Kind, token: &str) -> Result<Live, NotOpen> {
        let wire = Box::new(wire::connect(self.address).await);
        Live::over(wire, HOST, kind, TICK, token).await
    }
}
