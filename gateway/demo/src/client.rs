//! A client for what runs on this machine: it reaches loopback addresses and `*.localhost`
//! (RFC 6761 §6.3), nothing else, so that a token of the demo cannot go astray.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Authority;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How long an answer may take.
const ANSWER_SECONDS_MAX: u64 = 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address cannot be read.
    #[error("`{0}` is not an address such as `{1}://build.localhost:8080/logs`")]
    Address(String, &'static str),
    /// The address is of another machine.
    #[error("`{0}` is not on this machine: the demo's people are known here only")]
    NotLocal(String),
    /// Nobody listens.
    #[error("nothing answers at `{address}`: is `doorward demo` running?")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The answer did not come, or not whole.
    #[error("`{0}` did not answer: {1}")]
    Answer(String, String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks once, without a body.
///
/// # Errors
/// When the address is not one of this machine, or no whole answer comes in ten seconds.
pub async fn fetch(method: &str, url: &str) -> Result<Answer, ClientError> {
    let (uri, authority) = address(url, "http")?;
    let failed = |e: &dyn std::fmt::Display| ClientError::Answer(url.to_owned(), e.to_string());
    let stream = connect(&authority).await?;
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|e| failed(&e))?;
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
        let ask = async {
            let response = sender.send_request(request).await.map_err(|e| failed(&e))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
            Ok(Answer { status, body: body.await.map_err(|e| failed(&e))?.to_bytes() })
        };
        tokio::pin!(ask, connection);
        tokio::select! {
            answer = &mut ask => answer,
            // The connection may end before the answer was taken out of it.
            _ = &mut connection => ask.await,
        }
    };
    let bound = Duration::from_secs(ANSWER_SECONDS_MAX);
    tokio::time::timeout(bound, exchange).await.map_err(|_| failed(&"it took too long"))?
}

/// Reads an address of this machine.
pub(crate) fn address(url: &str, scheme: &'static str) -> Result<(Uri, Authority), ClientError> {
    let wrong = || ClientError::Address(url.to_owned(), scheme);
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().cloned().ok_or_else(wrong)?;
    if uri.scheme_str() != Some(scheme) || authority.as_str().contains('@') {
        return Err(wrong());
    }
    ip(&authority).ok_or_else(|| ClientError::NotLocal(url.to_owned()))?;
    Ok((uri, authority))
}

/// The address of this machine that a host means.
fn ip(authority: &Authority) -> Option<IpAddr> {
    let host = authority.host();
    if host == "localhost" || host.ends_with(".localhost") {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    host.trim_matches(['[', ']']).parse().ok().filter(IpAddr::is_loopback)
}

pub(crate) async fn connect(authority: &Authority) -> Result<TcpStream, ClientError> {
    let ip = ip(authority).ok_or_else(|| ClientError::NotLocal(authority.to_string()))?;
    let address = SocketAddr::new(ip, authority.port_u16().unwrap_or(80));
    TcpStream::connect(address).await.map_err(|source| ClientError::Connect { address, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_this_machine_is_asked() {
        for url in [
            "http://example.com/",
            "http://192.0.2.1/",
            "http://localhost.example.com/",
            "http://evillocalhost/",
            "http://[::ffff:192.0.2.1]/",
            "https://localhost/",
            "http://x@localhost/",
            "/token/alice",
            "localhost:80",
            "",
        ] {
            let refused = fetch("GET", url).await.unwrap_err();
            assert!(
                matches!(refused, ClientError::NotLocal(_) | ClientError::Address(..)),
                "{url}: {refused}"
            );
        }
    }

    #[tokio::test]
    async fn a_silent_port_asks_whether_the_demo_runs() {
        // Bound, so that no other test gets the port, and never listened on.
        let taken = tokio::net::TcpSocket::new_v4().unwrap();
        taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let refused = fetch("GET", &format!("http://wiki.localhost:{port}/")).await.unwrap_err();
        assert!(refused.to_string().contains("is `doorward demo` running?"), "{refused}");
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut() {
        let loopback = crate::loopback::Loopback::port(0).await.unwrap();
        let url = format!("http://{}/artifact?every_millis=0", loopback.address());
        tokio::spawn(loopback.serve(crate::apps::SampleApp::Build.router(crate::apps::Pace::default())));
        assert!(matches!(fetch("GET", &url).await, Err(ClientError::Answer(..))));
    }
}
