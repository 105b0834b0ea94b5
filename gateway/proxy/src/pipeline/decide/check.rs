//! What Envoy asks and is answered: `envoy.service.auth.v3.Authorization/Check`, as messages on the wire.
//!
//! Only the fields that are read or written here; what else is sent is skipped (Protocol Buffers, "Unknown Fields").
//! A field that may be there once is read as a list: of two the last would count, and whoever wrote the first one may
//! have meant it. Nothing here is shown by `Debug`: cookies and tokens are among it.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use doorward_model::Refusal;
use prost::Message;

use super::bad;

/// Where Envoy asks.
pub(super) const PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Before each message: whether it is compressed, and its length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

macro_rules! silent {
    ($($name:ident),+) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        })+
    };
}

/// The question.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct CheckRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<AttributeContext>,
}

/// What is known of the request that is asked about.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct AttributeContext {
    #[prost(message, repeated, tag = "1")]
    pub(super) source: Vec<Peer>,
    #[prost(message, repeated, tag = "4")]
    pub(super) request: Vec<Request>,
}

/// Who is at the other end of Envoy's connection.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Peer {
    #[prost(message, repeated, tag = "1")]
    pub(super) address: Vec<Address>,
}

/// An address; of the kinds that there are, the one that a network has.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Address {
    #[prost(message, repeated, tag = "1")]
    pub(super) socket_address: Vec<SocketAddress>,
}

/// An IP address, as text.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct SocketAddress {
    #[prost(string, repeated, tag = "2")]
    pub(super) address: Vec<String>,
}

/// The request that is asked about.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "2")]
    pub(super) http: Vec<HttpRequest>,
}

/// The same, of HTTP. Of the header there is one of two forms.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct HttpRequest {
    #[prost(string, repeated, tag = "2")]
    pub(super) method: Vec<String>,
    /// A map on the wire: a name stands there once, its lines joined.
    #[prost(message, repeated, tag = "3")]
    pub(super) headers: Vec<HeaderValue>,
    #[prost(string, repeated, tag = "4")]
    pub(super) path: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub(super) host: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    pub(super) scheme: Vec<String>,
    /// Each line as it came (`encode_raw_headers`).
    #[prost(message, repeated, tag = "13")]
    pub(super) header_map: Vec<HeaderMap>,
}

/// Lines of a header.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct HeaderMap {
    #[prost(message, repeated, tag = "1")]
    pub(super) headers: Vec<HeaderValue>,
}

/// A line of a header.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct HeaderValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) raw_value: Vec<u8>,
}

/// The answer. It is a yes if the status is `OK`, and else a no, whatever it says besides.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(super) denied: Option<DeniedHttpResponse>,
    #[prost(message, optional, tag = "3")]
    pub(super) ok: Option<OkHttpResponse>,
}

/// A status of gRPC.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// What the client is answered.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct DeniedHttpResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    #[prost(string, tag = "3")]
    pub(super) body: String,
}

/// A status of HTTP.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// What Envoy changes of what it passes on.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct OkHttpResponse {
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<HeaderValueOption>,
    /// Done after the former: what is set does not stand here.
    #[prost(string, repeated, tag = "5")]
    pub(super) headers_to_remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) response_headers_to_add: Vec<HeaderValueOption>,
}

/// A line to be written.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct HeaderValueOption {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<HeaderValue>,
    #[prost(enumeration = "AppendAction", tag = "3")]
    pub(super) append_action: i32,
}

/// What becomes of lines of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum AppendAction {
    /// They stay (`APPEND_IF_EXISTS_OR_ADD`).
    Append = 0,
    /// They go (`OVERWRITE_IF_EXISTS_OR_ADD`).
    Overwrite = 2,
}

silent!(
    CheckRequest,
    AttributeContext,
    Peer,
    Address,
    SocketAddress,
    Request,
    HttpRequest,
    HeaderMap,
    HeaderValue,
    CheckResponse,
    DeniedHttpResponse,
    OkHttpResponse,
    HeaderValueOption
);

impl CheckRequest {
    /// Reads the whole body of a call.
    ///
    /// # Errors
    /// What is not one message, plain, to its last byte.
    pub(super) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let (prefix, message) =
            body.split_at_checked(PREFIX_BYTES).ok_or_else(|| bad("no message of gRPC"))?;
        let (compressed, length) = prefix.split_at_checked(1).unwrap_or_default();
        if compressed != [0] {
            return Err(bad("a message of gRPC is compressed, which no answer of ours asked for"));
        }
        if length != u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes() {
            return Err(bad("a message of gRPC has another length than it says, or is not alone"));
        }
        // What cannot be read is not repeated: the text of the error may quote it.
        Self::decode(message).map_err(|_| bad("a `CheckRequest` cannot be read"))
    }
}

impl CheckResponse {
    /// The body of the answer.
    pub(super) fn write(&self) -> Bytes {
        let message = self.encode_to_vec();
        let mut body = BytesMut::with_capacity(PREFIX_BYTES + message.len());
        body.put_u8(0);
        body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        body.extend_from_slice(&message);
        body.freeze()
    }
}
