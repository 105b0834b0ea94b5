//! The story of one exchange, written by the stages that it passes.
//!
//! A trail is append-only: a stage adds what it found and changes nothing that is there. It is
//! cheap to build, because what others own is shared (`Arc`) and nothing is turned into text
//! here. The writer thread does that.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use doorward_model::limits::{AUDIT_USER_AGENT_BYTES_MAX, TARGET_BYTES_MAX};
use doorward_model::{
    Assurance, AuthSession, Compliance, DeviceId, DevicePosture, FailedClause, Place, Principal, Refusal,
    RefusalCode, Risk, RouteId, UnixMillis,
};

/// The longest host name that is recorded, in bytes (RFC 1035 §2.3.4, and a port).
const HOST_BYTES_MAX: usize = 261;
/// The longest method that is recorded, in bytes.
const METHOD_BYTES_MAX: usize = 32;
/// How much of a note for the operator is recorded, in bytes.
const DETAIL_BYTES_MAX: usize = 512;

/// A request method (RFC 9110 §9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH` (RFC 5789)
    Patch,
    /// Any other, cut to 32 bytes.
    Other(Box<str>),
}

impl Method {
    /// Reads a method. Methods are case-sensitive.
    #[must_use]
    pub fn parse(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "CONNECT" => Self::Connect,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            other => Self::Other(cut(other, METHOD_BYTES_MAX).into()),
        }
    }

    /// The method as it was sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Other(other) => other,
        }
    }
}

/// The protocol that an exchange speaks, which decides how it can be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// A plain exchange over HTTP/1.0 or HTTP/1.1.
    Http1,
    /// A plain exchange over HTTP/2.
    Http2,
    /// A WebSocket (RFC 6455, RFC 8441).
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// gRPC.
    Grpc,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 5] = [Self::Http1, Self::Http2, Self::WebSocket, Self::EventStream, Self::Grpc];

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
            Self::Grpc => "grpc",
        }
    }
}

/// The HTTP version that the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

impl HttpVersion {
    /// The number alone.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// The W3C trace context under which the exchange runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceIds {
    /// The whole trace.
    pub trace_id: [u8; 16],
    /// The gateway's part of it.
    pub span_id: [u8; 8],
}

/// What is known when the header of a request has arrived.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The request id, unique, as the person at the door reads it.
    pub request_id: &'a Arc<str>,
    /// When the header was whole.
    pub received_at: UnixMillis,
    /// The method.
    pub method: &'a str,
    /// The host, without credentials.
    pub host: &'a str,
    /// The normalized path. A query or fragment that is still there is cut off.
    pub path: &'a str,
    /// The version.
    pub http_version: HttpVersion,
    /// `User-Agent` as it was sent. Long ones are cut, invalid UTF-8 is replaced.
    pub user_agent: Option<&'a [u8]>,
    /// The other end of the connection.
    pub peer: IpAddr,
    /// The trace context, when the trace is sampled: an id that leads nowhere only costs space.
    pub trace: Option<TraceIds>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request may pass.
    Allowed,
    /// It may not, and why.
    Denied(RefusalCode),
}

/// What the policies said, and how they came to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The answer.
    pub outcome: Outcome,
    /// The ids of the policies that decided.
    pub determining: Vec<Arc<str>>,
    /// What went wrong in policies that could not be evaluated.
    pub errors: Vec<String>,
    /// How long it took, in microseconds.
    pub latency_micros: u64,
    /// The revision of the bundle that was asked.
    pub revision: Arc<str>,
    /// What the policies saw, as one line of JSON, so that it can be decided again. None where that is not
    /// kept. What is no JSON, or longer than
    /// [`AUDIT_SITUATION_BYTES_MAX`](doorward_model::limits::AUDIT_SITUATION_BYTES_MAX), is not recorded.
    pub situation: Option<Arc<str>>,
}

/// How an exchange came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides were done.
    Completed,
    /// The client went away first.
    ClientGone,
    /// A revocation ended it.
    Terminated {
        /// Which one.
        revocation: Arc<str>,
        /// From the call that revoked to the last byte, in microseconds.
        after_micros: u64,
    },
    /// It was let in, and would not be now: it was decided anew.
    Withdrawn(Box<Withdrawal>),
    /// The app did not answer, or broke off.
    UpstreamFailed,
    /// Nothing was sent for too long.
    TimedOut,
    /// The gateway went down and could not wait longer.
    Drained,
    /// The gateway would not go on: the body was too large, the log had no room, or it failed.
    Refused,
}

impl Ending {
    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientGone => "client_gone",
            Self::Terminated { .. } => "terminated",
            Self::Withdrawn(_) => "withdrawn",
            Self::UpstreamFailed => "upstream_failed",
            Self::TimedOut => "timed_out",
            Self::Drained => "drained",
            Self::Refused => "refused",
        }
    }
}

/// Why what runs was decided anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Because {
    /// The directory says something else of who asked.
    Directory,
    /// Other policies are in force.
    Policies,
    /// Other GeoIP databases are in use.
    Places,
    /// Others are believed about the certificates of devices, or other ones were revoked.
    Certificates,
    /// Time went by.
    Time,
}

impl Because {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Directory, Self::Policies, Self::Places, Self::Certificates, Self::Time];

    /// The word for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Policies => "policies",
            Self::Places => "places",
            Self::Certificates => "certificates",
            Self::Time => "time",
        }
    }
}

/// The end of an exchange that was decided anew, and refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Why it was decided anew.
    pub because: Because,
    /// What its request would be told now.
    pub code: RefusalCode,
    /// What the policies said; none where they were not asked, such as of somebody whose sign-in has
    /// expired.
    pub ruling: Option<Ruling>,
    /// From the change to the last byte, in microseconds.
    pub after_micros: u64,
}

/// Who signed in, and how.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    pub(crate) session: AuthSession,
    pub(crate) assurance: Assurance,
    pub(crate) device: Option<DeviceId>,
    pub(crate) device_managed: bool,
    pub(crate) device_compliance: Compliance,
}

/// A request that was refused, by whatever stage.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) code: RefusalCode,
    pub(crate) detail: Box<str>,
    pub(crate) clauses: Vec<FailedClause>,
}

/// The end of an exchange, in numbers.
#[derive(Clone, Debug)]
pub(crate) struct Finish {
    pub(crate) ending: Ending,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) duration: Duration,
}

/// The append-only story of one exchange.
#[derive(Clone, Debug)]
pub struct Trail {
    pub(crate) request_id: Arc<str>,
    pub(crate) received_at: UnixMillis,
    pub(crate) method: Method,
    pub(crate) host: Box<str>,
    pub(crate) path: Box<str>,
    pub(crate) http_version: HttpVersion,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) user_agent: Option<Box<str>>,
    pub(crate) peer: IpAddr,
    pub(crate) trace: Option<TraceIds>,
    pub(crate) place: Option<Arc<Place>>,
    pub(crate) principal: Option<Arc<Principal>>,
    pub(crate) sign_in: Option<SignIn>,
    pub(crate) route: Option<RouteId>,
    pub(crate) stale_for: Option<Duration>,
    pub(crate) risk: Risk,
    pub(crate) ruling: Option<Ruling>,
    pub(crate) refused: Option<Refused>,
    pub(crate) upstream: Option<SocketAddr>,
    pub(crate) enforced_by: Option<IpAddr>,
    pub(crate) status: Option<u16>,
    pub(crate) finish: Option<Finish>,
}

impl Trail {
    /// Begins the story.
    #[must_use]
    pub fn begin(arrival: Arrival<'_>) -> Self {
        let path = arrival.path.split(['?', '#']).next().unwrap_or_default();
        // An invalid sequence grows to three bytes when it is replaced, so cut before and after.
        let user_agent = arrival.user_agent.map(|agent| {
            let agent = agent.get(..AUDIT_USER_AGENT_BYTES_MAX).unwrap_or(agent);
            cut(&String::from_utf8_lossy(agent), AUDIT_USER_AGENT_BYTES_MAX).into()
        });
        // `user@host` is not a host; whoever sends it does not get a password into the log.
        let host = arrival.host.rsplit('@').next().unwrap_or_default();
        Self {
            request_id: Arc::clone(arrival.request_id),
            received_at: arrival.received_at,
            method: Method::parse(arrival.method),
            host: cut(host, HOST_BYTES_MAX).into(),
            path: cut(path, TARGET_BYTES_MAX).into(),
            http_version: arrival.http_version,
            protocol: None,
            user_agent,
            peer: arrival.peer,
            trace: arrival.trace,
            place: None,
            principal: None,
            sign_in: None,
            route: None,
            stale_for: None,
            risk: Risk::UNKNOWN,
            ruling: None,
            refused: None,
            upstream: None,
            enforced_by: None,
            status: None,
            finish: None,
        }
    }

    /// The request id.
    #[must_use]
    pub const fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// Which route was resolved.
    pub fn routed(&mut self, route: &RouteId) {
        self.route.get_or_insert_with(|| route.clone());
    }

    /// Who asks, and how they signed in. A visitor has no session.
    pub fn identified(
        &mut self,
        principal: impl Into<Arc<Principal>>,
        session: Option<&AuthSession>,
        assurance: Assurance,
        device: &DevicePosture,
    ) {
        self.principal.get_or_insert_with(|| principal.into());
        if let (None, Some(session)) = (&self.sign_in, session) {
            self.sign_in = Some(SignIn {
                session: session.clone(),
                assurance,
                device: device.id.clone(),
                device_managed: device.managed,
                device_compliance: device.compliance,
            });
        }
    }

    /// Where the request comes from.
    pub fn located(&mut self, place: impl Into<Arc<Place>>) {
        self.place.get_or_insert_with(|| place.into());
    }

    /// That nothing was taken away is known by proof that is older, by this much, than it should be:
    /// the app is one that goes on for a while without.
    pub fn went_on_stale(&mut self, stale_for: Duration) {
        self.stale_for.get_or_insert(stale_for);
    }

    /// How odd it looked. Recorded where it looked odd at all.
    pub fn risked(&mut self, risk: Risk) {
        self.risk = risk;
    }

    /// What the policies said.
    pub fn decided(&mut self, ruling: Ruling) {
        self.ruling.get_or_insert(ruling);
    }

    /// The request was refused, by the policies or before they were asked. An app that does not
    /// answer is not a refusal: see [`Ending::UpstreamFailed`].
    pub fn refused(&mut self, refusal: &Refusal) {
        self.refused.get_or_insert_with(|| Refused {
            code: refusal.code,
            detail: cut(&refusal.detail, DETAIL_BYTES_MAX).into(),
            clauses: refusal.clauses().to_vec(),
        });
    }

    /// What is spoken, once that is known.
    pub fn speaks(&mut self, protocol: Protocol) {
        self.protocol = Some(protocol);
    }

    /// Which address of the app was tried last.
    pub fn forwarded(&mut self, upstream: SocketAddr) {
        self.upstream = Some(upstream);
    }

    /// Another proxy asked, and lets the request pass or not: it was decided here, and no more.
    pub fn enforced_by(&mut self, asker: IpAddr) {
        self.enforced_by = Some(asker);
    }

    /// The status that the client was sent.
    pub fn answered(&mut self, status: u16) {
        self.status.get_or_insert(status);
    }

    /// The end: how, what went over the wire (from the client, to the client), and how long it took.
    pub fn finished(&mut self, ending: Ending, bytes_received: u64, bytes_sent: u64, duration: Duration) {
        self.finish.get_or_insert(Finish { ending, bytes_received, bytes_sent, duration });
    }

    /// What was decided. None when no stage said anything, which is not an allowance.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        match (&self.refused, &self.ruling) {
            (Some(refused), _) => Some(Outcome::Denied(refused.code)),
            (None, Some(ruling)) => Some(ruling.outcome),
            (None, None) => None,
        }
    }

    /// By how much the proof that nothing was taken away was too old, if it was.
    #[must_use]
    pub const fn stale_for(&self) -> Option<Duration> {
        self.stale_for
    }

    /// The protocol, as far as the version tells when nobody said.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol.unwrap_or(match self.http_version {
            HttpVersion::Http10 | HttpVersion::Http11 => Protocol::Http1,
            HttpVersion::Http2 => Protocol::Http2,
        })
    }
}

/// The longest part of `text` that has no more than `max` bytes and ends between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}
