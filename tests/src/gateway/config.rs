//! A configuration in the making. Values are JSON, as it reads well in a test; the file is TOML.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::issuer::Issuer;

/// Stands in a configuration for the port of the first listener.
pub const PORT: &str = "{port}";

/// What a gateway will be started with. Addresses are chosen when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    tables: Map<String, Value>,
    log: String,
    environment: Vec<(String, String)>,
    raw: Option<String>,
}

/// An app with one upstream that speaks HTTP/1.1; further keys come from `more`, whose tables
/// are merged.
#[must_use]
pub fn app(id: &str, host: &str, upstream: SocketAddr, more: Value) -> Value {
    let mut app = json!({"id": id, "hosts": [host], "upstream": {"addresses": [upstream.to_string()]}});
    merge(&mut app, more);
    app
}

impl Config {
    /// A gateway with one plain listener, the policies of the source tree and no trusted proxy, where
    /// the networks that the policies name hold nobody, this machine included; people and apps are
    /// still to come.
    #[must_use]
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut config = Self::empty();
        config
            .set("gateway", json!({"node": "test", "data_dir": "data", "time_zone": "UTC", "threads": 1}))
            .set("gateway.public_url", json!("http://gateway.test"))
            .set("operator.token_file", json!("operator.token"))
            .set("geoip.databases", json!([root.join("geoip/data/country.mmdb")]))
            .set("policy", json!({"dir": root.join("policies"), "watch": false}))
            .set("network.named", json!({"corp": ["240.0.1.0/24"], "vpn": ["240.0.2.0/24"]}))
            .set("revocation.issuer_skew_millis", json!(0))
            .add("listen", json!({}));
        config
    }

    fn empty() -> Self {
        Self { tables: Map::new(), log: "info".to_owned(), environment: Vec::new(), raw: None }
    }

    /// Sets a value, such as `limits.h2_streams_max`; tables on the way are made. An array's element
    /// is named by its place: `listen.0.protocols`.
    ///
    /// # Panics
    /// When something on the way is no table.
    pub fn set(&mut self, path: &str, value: Value) -> &mut Self {
        let mut keys = path.split('.').peekable();
        let mut at = self.tables.entry(keys.next().unwrap()).or_insert(Value::Null);
        for key in keys {
            at = match key.parse::<usize>() {
                Ok(i) => &mut at[i],
                Err(_) => {
                    if at.is_null() {
                        *at = json!({});
                    }
                    at.as_object_mut().unwrap().entry(key).or_insert(Value::Null)
                }
            };
        }
        *at = value;
        self
    }

    /// Takes a value away.
    ///
    /// # Panics
    /// When something on the way is no table.
    pub fn unset(&mut self, path: &str) -> &mut Self {
        match path.rsplit_once('.') {
            None => drop(self.tables.remove(path)),
            Some((table, key)) => {
                let pointer = format!("/{}", table.replace('.', "/"));
                let mut whole = Value::Object(std::mem::take(&mut self.tables));
                if let Some(table) = whole.pointer_mut(&pointer) {
                    table.as_object_mut().unwrap().remove(key);
                }
                self.tables = whole.as_object().unwrap().clone();
            }
        }
        self
    }

    /// Adds a table to an array of tables: `app`, `listen`, `issuer`.
    ///
    /// # Panics
    /// When the name is of something else.
    pub fn add(&mut self, array: &str, table: Value) -> &mut Self {
        let array = self.tables.entry(array).or_insert_with(|| json!([]));
        array.as_array_mut().unwrap().push(table);
        self
    }

    /// Adds an issuer.
    pub fn issuer(&mut self, issuer: &Issuer) -> &mut Self {
        self.add("issuer", issuer.section())
    }

    /// Adds an app; see [`app`].
    pub fn app(&mut self, id: &str, host: &str, upstream: SocketAddr, more: Value) -> &mut Self {
        self.add("app", app(id, host, upstream, more))
    }

    /// Adds a listener with TLS.
    pub fn listen_tls(&mut self, chain: &Path, key: &Path) -> &mut Self {
        self.add("listen", json!({"certificate": [{"chain": chain, "key": key}]}))
    }

    /// Counts this machine as the network `corp`, as the demo does.
    pub fn local_is_corp(&mut self) -> &mut Self {
        self.set("network.named.corp", json!(["127.0.0.0/8"]))
    }

    /// Believes this machine's `X-Forwarded-For`.
    pub fn trust_local_proxy(&mut self) -> &mut Self {
        self.set("network.trusted_proxies", json!(["127.0.0.1/32"]))
            .set("network.client_address_header", json!("x-forwarded-for"))
    }

    /// What the gateway logs, such as `debug`.
    pub fn log(&mut self, filter: &str) -> &mut Self {
        filter.clone_into(&mut self.log);
        self
    }

    /// A variable of the process's environment.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Text that is put after everything else, for mistakes that no builder makes.
    pub fn raw(&mut self, text: &str) -> &mut Self {
        self.raw = Some(text.to_owned());
        self
    }

    /// How many apps there are so far.
    #[must_use]
    pub fn apps(&self) -> usize {
        self.tables.get("app").and_then(Value::as_array).map_or(0, Vec::len)
    }

    pub(super) fn listeners(&self) -> usize {
        self.tables.get("listen").and_then(Value::as_array).map_or(0, Vec::len)
    }

    pub(super) fn log_filter(&self) -> &str {
        &self.log
    }

    pub(super) fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The file, with its addresses filled in where the test chose none, and the port of the first listener
    /// in place of [`PORT`].
    pub(super) fn toml(&self, listeners: &[SocketAddr], operator: SocketAddr) -> String {
        let mut tables = Value::Object(self.tables.clone());
        for (i, address) in listeners.iter().enumerate() {
            merge(&mut tables["listen"][i], json!({"address": address.to_string()}));
        }
        merge(&mut tables, json!({"operator": {"address": operator.to_string()}}));
        let port = listeners.first().map(|address| address.port().to_string()).unwrap_or_default();
        let text = toml::to_string(&tables).unwrap().replace(PORT, &port);
        format!("{text}{}", self.raw.as_deref().unwrap_or_default())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Puts the keys of `more` into `into`, table by table.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(config: &Config) -> toml::Table {
        let listeners: Vec<SocketAddr> =
            (0..config.listeners()).map(|i| ([127, 0, 0, 1], 7000 + i as u16).into()).collect();
        config.toml(&listeners, ([127, 0, 0, 1], 9000).into()).parse().unwrap()
    }

    #[test]
    fn json_becomes_the_toml_that_is_meant() {
        let mut config = Config::new();
        config
            .app("wiki", "wiki.test", ([127, 0, 0, 1], 81).into(), json!({"upstream": {"protocol": "h2"}}))
            .app("b", "b.test", ([127, 0, 0, 1], 82).into(), json!({"route": [{"id": "r", "path": "/r"}]}))
            .listen_tls(Path::new("a.pem"), Path::new("a.key"))
            .set("limits.header_count_max", json!(5))
            .set("listen.0.protocols", json!(["h1"]))
            .unset("revocation.issuer_skew_millis")
            .local_is_corp()
            .trust_local_proxy();
        let table = table(&config);
        assert_eq!(table["app"][0]["upstream"]["protocol"].as_str(), Some("h2"));
        assert_eq!(table["app"][0]["upstream"]["addresses"][0].as_str(), Some("127.0.0.1:81"));
        assert_eq!(table["app"][1]["route"][0]["path"].as_str(), Some("/r"));
        assert_eq!(table["listen"][0]["address"].as_str(), Some("127.0.0.1:7000"));
        assert_eq!(table["listen"][0]["protocols"][0].as_str(), Some("h1"));
        assert_eq!(table["listen"][1]["certificate"][0]["chain"].as_str(), Some("a.pem"));
        assert_eq!(table["operator"]["address"].as_str(), Some("127.0.0.1:9000"));
        assert_eq!(table["limits"]["header_count_max"].as_integer(), Some(5));
        assert!(table["revocation"].as_table().unwrap().is_empty());
        let database = table["geoip"]["databases"][0].as_str().unwrap();
        assert!(Path::new(database).is_file(), "{database}");
        assert!(Path::new(table["policy"]["dir"].as_str().unwrap()).is_dir());
    }

    #[test]
    fn what_the_test_says_wins() {
        let mut config = Config::new();
        config.set("operator.token_file", json!("other")).raw("\n[nonsense]\nx = 1\n");
        let table = table(&config);
        assert_eq!(table["operator"]["token_file"].as_str(), Some("other"));
        assert_eq!(table["nonsense"]["x"].as_integer(), Some(1));
    }
}
