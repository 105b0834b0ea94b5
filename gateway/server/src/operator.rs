//! Talks to a running gateway: the client side of the operator API under `/api/v1`.
//!
//! The configuration file is read for the address and the token only, and as far as that needs:
//! a mistake elsewhere in it must not stop anybody from revoking.
//!
//! The token goes to the one address that was named: redirects are not followed and proxies of
//! the environment are not asked.

mod error;
mod wire;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use doorward_model::limits::POLICY_VET_SECONDS_MAX;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use crate::cli::OperatorArgs;
use crate::command::{config_file, printable};
use crate::config::{self, ConfigError, OperatorToken};
pub use error::ApiError;
pub use wire::{
    DebtRow, DebtsAnswer, FleetAnswer, FleetStanding, InflightAnswer, InflightExchange, NodeSaid, Receipt,
    RevocationRequest, StatusAnswer, TargetName,
};

/// To connect to the gateway.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// To the end of its answer. A revocation is answered when it is on the disk, and when every node has
/// it if that is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The same for a change of policies: one that is under way is waited for, each is tried before it is made, and what
/// comes of it is put on record.
const POLICIES_MAX: Duration = Duration::from_secs(2 * POLICY_VET_SECONDS_MAX + 60);
/// What a bundle of policies is sent as.
const BUNDLE: &str = "application/vnd.doorward.policy-bundle";
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A running gateway, as an operator sees it.
pub struct Operator {
    base: Url,
    token: OperatorToken,
    client: reqwest::Client,
    /// How long a change of policies may take.
    policies_max: Duration,
    runtime: tokio::runtime::Runtime,
}

/// What became of a revocation. The answer is kept as it came, for `--json`;
/// [`Receipt::read`] makes sense of it.
#[derive(Debug)]
pub enum Revoked {
    /// In force and on the disk.
    Durable(Value),
    /// In force in the running process, and not all of it written down: the gateway could not.
    InForceOnly {
        /// What it answered.
        answer: Value,
        /// What is not written down, and why.
        detail: String,
    },
}

// === impl Operator ===

impl Operator {
    /// Finds address and token: what the command line says, then what the configuration says.
    ///
    /// # Errors
    /// When there is no usable address or token.
    pub fn find(args: &OperatorArgs) -> Result<Self, ApiError> {
        let file = config_file(&args.config);
        let place = || config::operator_place(&file);
        let base = match &args.operator {
            Some(url) => parse_base(url)?,
            None => match place() {
                Ok((address, _)) => base_of(address)?,
                Err(ConfigError::Absent(_)) if args.token_file.is_some() => {
                    base_of(config::OPERATOR_ADDRESS)?
                }
                Err(e) => return Err(ApiError::Config(Box::new(e))),
            },
        };
        let token_file = match &args.token_file {
            Some(file) => file.clone(),
            None => {
                let (_, token_file) = place().map_err(|e| ApiError::Config(Box::new(e)))?;
                token_file.ok_or_else(|| ApiError::NoToken(file.clone()))?
            }
        };
        Self::new(base, config::read_token(&token_file)?)
    }

    fn new(base: Url, token: OperatorToken) -> Result<Self, ApiError> {
        // The process may have a default provider already, and then it is this one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            // The operator API ends a connection after a while, also between two calls of one command.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|e| ApiError::Client(root_cause(&e)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| ApiError::Client(e.to_string()))?;
        Ok(Self { base, token, client, policies_max: POLICIES_MAX, runtime })
    }

    /// Asks for a revocation, or for its end.
    ///
    /// # Errors
    /// When the gateway did not do it.
    pub fn revoke(&self, request: &RevocationRequest) -> Result<Revoked, ApiError> {
        let body = serde_json::to_vec(request).map_err(|e| ApiError::Client(e.to_string()))?;
        let (status, answer) = self.exchange(Method::POST, "api/v1/revocations", &[], Some(body))?;
        self.changed(status, &answer)
    }

    /// Asks for a change of the directory, at the path of these segments.
    ///
    /// # Errors
    /// When the gateway did not do it.
    pub fn change(&self, method: Method, segments: &[&str], body: &Value) -> Result<Revoked, ApiError> {
        let body = Some(body.to_string().into_bytes());
        let (status, answer) = self.exchange(method, &path(segments)?, &[], body)?;
        self.changed(status, &answer)
    }

    /// Looks at the directory, at the path of these segments.
    ///
    /// # Errors
    /// When the gateway does not tell.
    pub fn look(&self, segments: &[&str], query: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.get(&path(segments)?, query)
    }

    fn changed(&self, status: StatusCode, answer: &[u8]) -> Result<Revoked, ApiError> {
        if status.is_success() {
            return Ok(Revoked::Durable(self.read(answer)?));
        }
        match serde_json::from_slice::<Value>(answer) {
            Ok(told)
                if status == StatusCode::SERVICE_UNAVAILABLE
                    && Receipt::read(&told).enforced == Some(true) =>
            {
                Ok(Revoked::InForceOnly { detail: wire::detail(answer), answer: told })
            }
            Ok(_) | Err(_) => Err(self.refused(status, answer)),
        }
    }

    /// Asks something that needs more words than a query holds. It changes nothing there.
    ///
    /// # Errors
    /// When the gateway does not tell.
    pub fn ask(&self, method: Method, segments: &[&str], body: &Value) -> Result<Value, ApiError> {
        let (status, answer) =
            self.exchange(method, &path(segments)?, &[], Some(body.to_string().into_bytes()))?;
        if status.is_success() { self.read(&answer) } else { Err(self.refused(status, &answer)) }
    }

    /// What runs now.
    ///
    /// # Errors
    /// When the gateway does not tell.
    pub fn inflight(&self, filter: &[(&str, &str)]) -> Result<Value, ApiError> {
        self.get("api/v1/inflight", filter)
    }

    /// How the gateway stands to its fleet.
    ///
    /// # Errors
    /// When the gateway does not tell.
    pub fn fleet(&self) -> Result<Value, ApiError> {
        self.get("api/v1/fleet", &[])
    }

    /// Settles a debt.
    ///
    /// # Errors
    /// When the gateway did not do it.
    pub fn settle(&self, id: Uuid, how: &str) -> Result<Value, ApiError> {
        let body = serde_json::json!({ "how": how }).to_string().into_bytes();
        let path = format!("api/v1/debts/{id}/settle");
        let (status, answer) = self.exchange(Method::POST, &path, &[], Some(body))?;
        if status.is_success() { self.read(&answer) } else { Err(self.refused(status, &answer)) }
    }

    /// Sends a bundle of policies to be held.
    ///
    /// # Errors
    /// When the gateway did not take it.
    pub fn hold_bundle(&self, packed: Vec<u8>) -> Result<Value, ApiError> {
        let body = Some((packed, BUNDLE));
        let (status, answer) = self.change_policies(Method::POST, "api/v1/policies/bundles", body)?;
        if status.is_success() { self.read(&answer) } else { Err(self.refused(status, &answer)) }
    }

    /// Asks for a change of policies at the path of these segments.
    ///
    /// # Errors
    /// When the gateway did not do it.
    pub fn post(&self, segments: &[&str], body: &Value) -> Result<Value, ApiError> {
        let body = Some((body.to_string().into_bytes(), "application/json"));
        let (status, answer) = self.change_policies(Method::POST, &path(segments)?, body)?;
        if status.is_success() { self.read(&answer) } else { Err(self.refused(status, &answer)) }
    }

    /// Removes what of policies is at the path of these segments.
    ///
    /// # Errors
    /// When the gateway did not do it.
    pub fn delete(&self, segments: &[&str]) -> Result<Value, ApiError> {
        let (status, answer) = self.change_policies(Method::DELETE, &path(segments)?, None)?;
        if status.is_success() { self.read(&answer) } else { Err(self.refused(status, &answer)) }
    }

    /// What the gateway says of itself.
    ///
    /// # Errors
    /// When the gateway does not tell.
    pub fn status(&self) -> Result<StatusAnswer, ApiError> {
        self.get("api/v1/status", &[])
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ApiError> {
        let (status, answer) = self.exchange(Method::GET, path, query, None)?;
        if status.is_success() { self.read(&answer) } else { Err(self.refused(status, &answer)) }
    }

    fn read<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ApiError> {
        serde_json::from_slice(answer).map_err(|e| self.garbled(e.to_string()))
    }

    fn refused(&self, status: StatusCode, answer: &[u8]) -> ApiError {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ApiError::TokenRefused { base: self.base.clone() }
            }
            status => {
                let (mut detail, help) = (wire::detail(answer), wire::help(answer));
                detail.push_str(&wire::findings(answer));
                ApiError::Refused { status, detail, help }
            }
        }
    }

    fn garbled(&self, cause: String) -> ApiError {
        ApiError::Garbled { base: self.base.clone(), cause }
    }

    /// One request and its whole answer.
    fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<(StatusCode, Vec<u8>), ApiError> {
        let mut url = self.base.join(path).map_err(|e| self.garbled(e.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let unreachable = |e: reqwest::Error| ApiError::Unreachable {
            base: self.base.clone(),
            cause: root_cause(&e.without_url()),
        };
        let body = body.map(|body| (body, "application/json"));
        self.exchange_as((method, url), body, ANSWER_MAX, &unreachable)
    }

    /// The same for a change of policies. Once the gateway has it, it may be done whatever becomes of the answer.
    fn change_policies(
        &self,
        method: Method,
        path: &str,
        body: Option<(Vec<u8>, &'static str)>,
    ) -> Result<(StatusCode, Vec<u8>), ApiError> {
        let url = self.base.join(path).map_err(|e| self.garbled(e.to_string()))?;
        let cut_off = |e: reqwest::Error| {
            let (base, is_asked, cause) = (self.base.clone(), !e.is_connect(), root_cause(&e.without_url()));
            if is_asked { ApiError::Unsure { base, cause } } else { ApiError::Unreachable { base, cause } }
        };
        self.exchange_as((method, url), body, self.policies_max, &cut_off)
    }

    fn exchange_as(
        &self,
        (method, url): (Method, Url),
        body: Option<(Vec<u8>, &'static str)>,
        answer_max: Duration,
        cut_off: &dyn Fn(reqwest::Error) -> ApiError,
    ) -> Result<(StatusCode, Vec<u8>), ApiError> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", self.token.expose()))
            .map_err(|_| ApiError::Client("the token does not fit into a header".to_owned()))?;
        bearer.set_sensitive(true);
        let mut request = self.client.request(method, url).timeout(answer_max).header(AUTHORIZATION, bearer);
        if let Some((body, kind)) = body {
            request = request.header(CONTENT_TYPE, kind).body(body);
        }
        self.runtime.block_on(async {
            let mut response = request.send().await.map_err(cut_off)?;
            let status = response.status();
            let mut answer = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(cut_off)? {
                answer.extend_from_slice(&chunk);
                if answer.len() > ANSWER_BYTES_MAX {
                    return Err(self.garbled(format!("it is larger than {ANSWER_BYTES_MAX} bytes")));
                }
            }
            Ok((status, answer))
        })
    }
}

/// A path of the API. What a segment holds cannot lead out of it.
fn path(segments: &[&str]) -> Result<String, ApiError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~' | b':' | b'@');
    let mut path = String::from("api/v1");
    for segment in segments {
        // Dots mean another place, however they are written (WHATWG URL, double-dot path segment).
        if matches!(*segment, "" | "." | "..") {
            return Err(ApiError::Client(format!("`{segment}` cannot stand in the path of a call")));
        }
        path.push('/');
        for byte in segment.bytes() {
            if plain(byte) {
                path.push(char::from(byte));
            } else {
                path.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    Ok(path)
}

/// What an error is due to in the end. The layers above it only say that there was a request.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    printable(&cause.to_string())
}

/// The address in `--operator`. Plain HTTP leaves this machine only if somebody says so by an
/// address that is not this machine's.
fn parse_base(written: &str) -> Result<Url, ApiError> {
    let wrong = |why| ApiError::Address(without_secrets(written), why);
    let mut url = Url::parse(written).map_err(|_| wrong("it is not a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("it does not begin with http:// or https:// and a host"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("it has a user, a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// An address as an error may show it: a password stands before the `@`, and a token behind the `?`.
fn without_secrets(written: &str) -> String {
    let (shown, _) = written.split_once(['?', '#']).unwrap_or((written, ""));
    let shown = shown.rsplit_once('@').map_or_else(|| shown.to_owned(), |(_, host)| format!("…@{host}"));
    shown.chars().take(200).collect()
}

/// The address to reach a listener of this machine by.
fn base_of(address: SocketAddr) -> Result<Url, ApiError> {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    parse_base(&format!("http://{}", SocketAddr::new(ip, address.port())))
}

#[cfg(test)]
mod tests;
