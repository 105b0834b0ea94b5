//! `doorward demo watch`: follows a WebSocket and tells how it ended. curl cannot.

use futures_util::StreamExt as _;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::{self, ClientError};

/// How a WebSocket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was never opened.
    Refused {
        /// The status of the answer.
        status: u16,
        /// The body of the answer.
        body: String,
    },
    /// The other side said goodbye (RFC 6455 §7.4.1).
    Closed {
        /// The code; 1005 when there was none.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// It broke off without a goodbye.
    Broken(String),
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { status, body } => write!(f, "refused: {status} {}", body.trim_end()),
            Self::Closed { code, reason } => write!(f, "closed: {code} {reason}"),
            Self::Broken(why) => write!(f, "broken: {why}"),
        }
    }
}

/// Asks the demo's provider for a token; `person` is a name, with a query if one is wanted
/// (`alice?mfa=off`). `provider` is its address, such as `http://127.0.0.1:9181`.
///
/// # Errors
/// When the provider does not answer, or gives no token.
pub async fn token(provider: &str, person: &str) -> Result<String, ClientError> {
    let url = format!("{provider}/token/{person}");
    let answer = client::fetch("GET", &url).await?;
    match answer.status {
        200 => Ok(answer.text()),
        _ => Err(ClientError::Answer(url, answer.text().trim_end().to_owned())),
    }
}

/// Follows the WebSocket at `url` (`ws://…`, on this machine), gives each message to `show`, and
/// returns how it ended.
///
/// # Errors
/// When the address is wrong or nothing listens there.
pub async fn watch(
    url: &str,
    token: Option<&str>,
    mut show: impl FnMut(&str),
) -> Result<Ending, ClientError> {
    let (_, authority) = client::address(url, "ws")?;
    let wrong = || ClientError::Address(url.to_owned(), "ws");
    let mut request = url.into_client_request().map_err(|_| wrong())?;
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            ClientError::Answer(url.to_owned(), "the token has characters that no token has".to_owned())
        })?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let stream = client::connect(&authority).await?;
    let mut socket = match client_async(request, stream).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(response)) => {
            let body = String::from_utf8_lossy(response.body().as_deref().unwrap_or_default()).into_owned();
            return Ok(Ending::Refused { status: response.status().as_u16(), body });
        }
        Err(e) => return Ok(Ending::Broken(e.to_string())),
    };
    let mut ending = None;
    // The stream goes on after a Close until the TCP connection ends too.
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Text(text)) => show(text.as_str()),
            Ok(Message::Binary(bytes)) => show(&format!("({} bytes)", bytes.len())),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Ok(Message::Close(frame)) => {
                let (code, reason) =
                    frame.map_or((1005, String::new()), |f| (f.code.into(), f.reason.to_string()));
                ending.get_or_insert(Ending::Closed { code, reason });
            }
            Err(e) => {
                ending.get_or_insert(Ending::Broken(e.to_string()));
            }
        }
    }
    Ok(ending.unwrap_or_else(|| Ending::Broken("the connection ended".to_owned())))
}
