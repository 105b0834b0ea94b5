//! How key sets are fetched: one client, no redirects, everything bounded.

use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use doorward_model::limits::{
    JWKS_BYTES_MAX, JWKS_CONNECT_SECONDS_MAX, JWKS_FETCH_SECONDS_MAX, JWKS_REFETCH_SECONDS_MIN,
    JWKS_TTL_SECONDS_MAX, JWKS_TTL_SECONDS_MIN,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, CACHE_CONTROL};
use reqwest::{Client, StatusCode, Url, redirect};
use serde_json::Value;

use super::{Discovery, KeySource, is_local_name, is_loopback, may_be_fetched};
use crate::json;
use crate::words::{shown, with_causes};

/// The one HTTP client that fetches keys. Its settings are part of the defense, so a client of
/// other making cannot be passed.
#[derive(Debug, Clone)]
pub struct KeyClient(Client);

/// Where names lead: those of this machine to this machine, all others where the system says.
struct Names;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// TLS has no cryptography to work with.
    #[error("no TLS provider is installed: install one before anything is fetched")]
    NoProvider,
    /// The client cannot be built.
    #[error("the client that fetches cannot be built: {0}")]
    Build(String),
}

/// What was fetched, and how long it is fresh.
pub(crate) struct Fetched {
    pub(crate) body: Vec<u8>,
    pub(crate) fresh_for: Duration,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// No connection, no answer in time, or TLS says no.
    #[error("{0}")]
    Transport(String),
    /// An answer of another kind. A redirect is one: keys come from where the configuration says.
    #[error("`{url}` answers {status}, not 200")]
    Status {
        /// What was asked for.
        url: String,
        /// What came.
        status: StatusCode,
    },
    /// More than any such document needs.
    #[error("`{0}` sends more than {JWKS_BYTES_MAX} bytes")]
    TooLarge(String),
    /// The discovery document is not one, or is not this issuer's.
    #[error("the discovery document `{url}` {why}")]
    Discovery {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file cannot be read.
    #[error("`{path}` cannot be read: {why}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// What was fetched is not a key set that can be used.
    #[error(transparent)]
    Set(#[from] super::set::SetError),
}

// === impl KeyClient ===

impl KeyClient {
    /// A client that follows no redirect, uses no proxy from the environment, and waits for
    /// nothing longer than the limits allow.
    ///
    /// # Errors
    /// When the process has no TLS provider yet; `server` installs it first.
    pub fn new() -> Result<Self, ClientError> {
        http_client(Duration::from_secs(JWKS_FETCH_SECONDS_MAX)).map(Self)
    }

    /// What lies at an address, whole.
    pub(crate) async fn get(&self, url: Url) -> Result<Fetched, FetchError> {
        let shown_url = shown(url.as_str(), 200);
        let transport = |e: reqwest::Error| FetchError::Transport(with_causes(&e));
        let request = self.0.get(url).header(ACCEPT, "application/json, application/jwk-set+json");
        let mut answer = request.send().await.map_err(transport)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status { url: shown_url, status: answer.status() });
        }
        let header = answer.headers().get(CACHE_CONTROL).and_then(|v| v.to_str().ok());
        let fresh_for = fresh_for(header.unwrap_or(""));
        if answer.content_length().is_some_and(|n| n > JWKS_BYTES_MAX as u64) {
            return Err(FetchError::TooLarge(shown_url));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > JWKS_BYTES_MAX {
                return Err(FetchError::TooLarge(shown_url));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { body, fresh_for })
    }
}

/// A client for what this gateway asks of others: it follows no redirect, uses no proxy from the
/// environment, believes the system's certificate authorities alone, looks for local names on this
/// machine only, and waits at most `wait` for a whole answer, unless a request says otherwise.
///
/// # Errors
/// When the process has no TLS provider yet; `server` installs it first.
pub fn http_client(wait: Duration) -> Result<Client, ClientError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(ClientError::NoProvider);
    }
    let builder = || {
        Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Names))
            .referer(false)
            .connect_timeout(Duration::from_secs(JWKS_CONNECT_SECONDS_MAX))
            .timeout(wait)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("doorward/", env!("CARGO_PKG_VERSION")))
    };
    match builder().build() {
        Ok(client) => Ok(client),
        // A bare machine has no certificate authorities. Files and loopback still work
        // there; https is refused by an empty list of authorities.
        Err(e) => {
            tracing::warn!(
                error = with_causes(&e),
                "no certificate authorities: nothing can be fetched over https"
            );
            let bare = builder().tls_certs_only([]).build();
            bare.map_err(|e| ClientError::Build(with_causes(&e)))
        }
    }
}

/// Where a transmitter of security events says where its endpoints are (SSF 1.0 §7.2).
#[must_use]
pub fn ssf_configuration_of(issuer: &str) -> String {
    document_of(issuer, Discovery::SharedSignals)
}

// === impl Names ===

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Addrs = if is_local_name(name.as_str()) {
                let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), (Ipv6Addr::LOCALHOST, 0).into()];
                Box::new(here.into_iter())
            } else {
                Box::new(tokio::net::lookup_host((name.as_str(), 0)).await?.collect::<Vec<_>>().into_iter())
            };
            Ok(found)
        })
    }
}

/// Fetches the key set of a source.
pub(crate) async fn fetch(client: &KeyClient, source: &KeySource) -> Result<Fetched, FetchError> {
    match source {
        KeySource::Uri(url) => client.get(url.clone()).await,
        KeySource::Discovery { issuer, document } => {
            client.get(discover(client, issuer, *document).await?).await
        }
        KeySource::File(path) => {
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || read_file(&path)).await;
            let body = read.map_err(|e| FetchError::Transport(e.to_string()))??;
            Ok(Fetched { body, fresh_for: Duration::from_secs(JWKS_REFETCH_SECONDS_MIN) })
        }
    }
}

/// Asks the issuer where its keys are. The document must name the issuer exactly, and must not
/// lead from https to plain http.
async fn discover(client: &KeyClient, issuer: &str, document: Discovery) -> Result<Url, FetchError> {
    let url = document_of(issuer, document);
    let wrong = |why: String| FetchError::Discovery { url: shown(&url, 200), why };
    let parsed = Url::parse(&url).map_err(|e| wrong(e.to_string()))?;
    let local = is_loopback(&parsed);
    let answer = client.get(parsed).await?;
    let document = json::object(&answer.body).map_err(|e| wrong(format!("cannot be read: {e}")))?;
    match document.get("issuer") {
        Some(Value::String(says)) if says == issuer => {}
        Some(Value::String(says)) => {
            return Err(wrong(format!(
                "is of the issuer `{}`, not of `{}`",
                shown(says, 100),
                shown(issuer, 100)
            )));
        }
        Some(_) | None => return Err(wrong("has no `issuer`".to_owned())),
    }
    let Some(Value::String(keys)) = document.get("jwks_uri") else {
        return Err(wrong("has no `jwks_uri`".to_owned()));
    };
    match Url::parse(keys) {
        Ok(keys) if may_be_fetched(&keys) && (keys.scheme() == "https" || local) => Ok(keys),
        Ok(_) | Err(_) => {
            Err(wrong(format!("has the `jwks_uri` `{}`, which is not https", shown(keys, 100))))
        }
    }
}

/// Where the document of an issuer is.
pub(crate) fn document_of(issuer: &str, document: Discovery) -> String {
    let issuer = issuer.trim_end_matches('/');
    match document {
        Discovery::OpenId => format!("{issuer}/.well-known/openid-configuration"),
        Discovery::SharedSignals => {
            let after_scheme = issuer.find("://").map_or(0, |at| at + 3);
            let (scheme, rest) = issuer.split_at(after_scheme);
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}{host}/.well-known/ssf-configuration{path}")
        }
    }
}

/// Reads a key file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let wrong = |why: String| FetchError::File { path: path.to_owned(), why };
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    if !file.metadata().map_err(|e| wrong(e.to_string()))?.is_file() {
        return Err(wrong("it is not a file".to_owned()));
    }
    let mut body = Vec::new();
    file.take(JWKS_BYTES_MAX as u64 + 1).read_to_end(&mut body).map_err(|e| wrong(e.to_string()))?;
    if body.len() > JWKS_BYTES_MAX {
        return Err(FetchError::TooLarge(path.display().to_string()));
    }
    Ok(body)
}

/// How long an answer is fresh by its `Cache-Control` (RFC 9111 §5.2.2), within our bounds.
fn fresh_for(cache_control: &str) -> Duration {
    let seconds = cache_control.split(',').find_map(|directive| {
        let (name, value) = directive.trim().split_once('=')?;
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("max-age").then(|| value.parse::<u64>().ok()).flatten()
    });
    let forbidden = cache_control.to_ascii_lowercase();
    let seconds = match seconds {
        Some(seconds) if !forbidden.contains("no-store") && !forbidden.contains("no-cache") => seconds,
        Some(_) | None => 0,
    };
    Duration::from_secs(seconds.clamp(JWKS_TTL_SECONDS_MIN, JWKS_TTL_SECONDS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The system is not asked: it could lead plain http to another machine.
    #[tokio::test]
    async fn local_names_are_this_machine() {
        for name in ["localhost", "LOCALHOST", "idp.localhost", "a.b.LocalHost"] {
            let found: Vec<SocketAddr> = Names.resolve(name.parse().unwrap()).await.unwrap().collect();
            assert_eq!(found.len(), 2, "{name}");
            assert!(found.iter().all(|a| a.ip().is_loopback()), "{name}: {found:?}");
        }
    }

    #[test]
    fn each_kind_of_issuer_has_its_document() {
        for (issuer, openid, signals) in [
            (
                "https://idp.example",
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/ssf-configuration",
            ),
            (
                "https://idp.example:8443/tenant/1/",
                "https://idp.example:8443/tenant/1/.well-known/openid-configuration",
                "https://idp.example:8443/.well-known/ssf-configuration/tenant/1",
            ),
        ] {
            assert_eq!(document_of(issuer, Discovery::OpenId), openid);
            assert_eq!(document_of(issuer, Discovery::SharedSignals), signals);
        }
    }

    #[test]
    fn freshness_stays_within_bounds() {
        for (header, seconds) in [
            ("", 300),
            ("max-age=0", 300),
            ("public, max-age=3600", 3600),
            ("MAX-AGE=\"7200\"", 7200),
            ("max-age=99999999999", 86_400),
            ("max-age=99999999999999999999999999", 300),
            ("max-age=-1", 300),
            ("no-store, max-age=3600", 300),
            ("s-maxage=9000", 300),
        ] {
            assert_eq!(fresh_for(header).as_secs(), seconds, "{header}");
        }
    }
}
