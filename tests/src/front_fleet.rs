//! The house of [`crate::front_door`] with several nodes behind its one address: a control node, which has the
//! directory, and gateway nodes, which learn from Redis and have the same keys of cookies. Number 0 is the control node.
//!
//! Browsers go to any of them; see [`crate::visitor::Visitor::goes_to_any_of`].

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::DOMAIN;
use crate::fleet::{Node, name};
use crate::front_door::{Outside, People, addresses};
use crate::gateway::Config;
use crate::provider::OpenIdProvider;

/// It runs until it is dropped.
pub struct FrontFleet {
    /// Its nodes, the control node first.
    pub nodes: Vec<Node>,
    /// Where people prove who they are.
    pub provider: OpenIdProvider,
    _folder: TempDir,
}

impl FrontFleet {
    /// Starts so many nodes for these people, of whom the provider says who they are. `redis` is `[revocation.redis]`;
    /// `change` is made at each node, and has to give them keys (`sign_in.key_files`).
    ///
    /// # Panics
    /// When something does not start.
    pub async fn start(
        company: BTreeMap<String, Value>,
        count: usize,
        redis: &Value,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let Outside { provider, mut config, folder } = Outside::of(People::Token, &company).await;
        config.set("revocation.redis", redis.clone()).set("gateway.node", json!(name(0)));
        change(&mut config);
        let control = Node::start(0, config.clone()).await;
        // All of them say that people sign in at the address of the first one.
        let own = format!("https://login.{DOMAIN}:{}", control.address().port());
        config.set("sign_in.url", json!(own)).set("revocation.directory", json!("none"));
        let gateways = (1..count).map(|number| {
            let mut config = config.clone();
            config.set("gateway.node", json!(name(number)));
            Node::start(number, config)
        });
        let mut nodes = vec![control];
        nodes.extend(futures_util::future::join_all(gateways).await);
        let house = Self { nodes, provider, _folder: folder };
        house.provider.serves(addresses(|host, path| house.url(host, path))).await;
        house
    }

    /// An address at an app, or at `login`.
    ///
    /// # Panics
    /// Never: there is a control node.
    #[must_use]
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}.{DOMAIN}:{}{path}", self.nodes[0].address().port())
    }

    /// The ports of its nodes.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(|node| node.address().port()).collect()
    }
}
