//! A gRPC client by hand, over [`crate::h2`]: calls of the demo's service `doorward.demo.Build`,
//! or of any other whose messages are one text.

use std::time::Duration;

use doorward_demo::apps::grpc::{Unframer, frame};
use http::HeaderMap;

use crate::h2::{Gone, H2, Stream};

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status; gRPC wants 200 even for its own errors.
    pub http_status: u16,
    /// The texts that came.
    pub texts: Vec<String>,
    /// The gRPC status, from the trailers or from a head without a body.
    pub status: Option<u16>,
    /// The gRPC message, as it came.
    pub message: Option<String>,
    /// How the stream ended before that, if so.
    pub gone: Option<Gone>,
}

/// A running call.
pub struct Call {
    stream: Stream,
    unframer: Unframer,
    http_status: u16,
    head: HeaderMap,
}

/// What comes next in a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// A text.
    Text(String),
    /// The call ended with this gRPC status; none when there was none.
    Status(Option<u16>),
    /// The stream ended without one.
    Gone(Gone),
}

/// Calls once with one text and reads everything.
///
/// # Errors
/// When the stream ended before a head came.
///
/// # Panics
/// When the body is not made of texts.
pub async fn call(
    h2: &H2,
    authority: &str,
    method: &str,
    fields: &[(&str, &str)],
    text: &str,
) -> Result<Answer, Gone> {
    let mut call = Call::open(h2, authority, method, fields, text, true).await?;
    let mut answer =
        Answer { http_status: call.http_status, texts: vec![], status: None, message: None, gone: None };
    loop {
        match call.next().await {
            Next::Text(text) => answer.texts.push(text),
            Next::Status(status) => {
                answer.status = status;
                answer.message = text_of(&call.head, "grpc-message");
                return Ok(answer);
            }
            Next::Gone(gone) => {
                answer.gone = Some(gone);
                return Ok(answer);
            }
        }
    }
}

// === impl Call ===

impl Call {
    /// Opens a call with a first text; `end` when no further ones follow. Waits for the head of the
    /// answer.
    ///
    /// # Errors
    /// When the stream ended before a head came.
    pub async fn open(
        h2: &H2,
        authority: &str,
        method: &str,
        fields: &[(&str, &str)],
        text: &str,
        end: bool,
    ) -> Result<Self, Gone> {
        let own = [("content-type", "application/grpc"), ("te", "trailers")];
        let request = h2.request("POST", authority, method, &[&own, fields].concat());
        let mut stream = h2.open(request, false).await?;
        // An answer may come before the body is taken.
        let _ = stream.send_data(&frame(text), end).await;
        let (http_status, head) = stream.head().await?;
        Ok(Self { stream, unframer: Unframer::default(), http_status, head })
    }

    /// The HTTP status.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.http_status
    }

    /// Sends a further text.
    ///
    /// # Errors
    /// When the stream ended.
    pub async fn send(&mut self, text: &str, end: bool) -> Result<(), Gone> {
        self.stream.send_data(&frame(text), end).await
    }

    /// What comes next.
    pub async fn next(&mut self) -> Next {
        crate::wire::within("a message of a call", self.read()).await
    }

    /// What comes next, if something comes in this time.
    pub async fn next_within(&mut self, bound: Duration) -> Option<Next> {
        tokio::time::timeout(bound, self.read()).await.ok()
    }

    async fn read(&mut self) -> Next {
        let kind = text_of(&self.head, "content-type").unwrap_or_default();
        if self.http_status != 200 || !(kind.is_empty() || kind.starts_with("application/grpc")) {
            // A page or a problem document: nothing in it is a message.
            return Next::Status(text_of(&self.head, "grpc-status").and_then(|s| s.parse().ok()));
        }
        loop {
            match self.unframer.text() {
                Ok(Some(text)) => return Next::Text(text),
                Ok(None) => {}
                Err(e) => panic!("an answer that is not gRPC: {e}"),
            }
            match self.stream.piece().await {
                Ok(Some(bytes)) => self.unframer.push(&bytes),
                Ok(None) => break,
                Err(gone) => return Next::Gone(gone),
            }
        }
        match self.stream.trailers().await {
            Ok(trailers) => {
                if let Some(trailers) = trailers {
                    self.head = trailers;
                }
                Next::Status(text_of(&self.head, "grpc-status").and_then(|s| s.parse().ok()))
            }
            Err(gone) => Next::Gone(gone),
        }
    }
}

fn text_of(fields: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(fields.get(name)?.as_bytes()).into_owned())
}
