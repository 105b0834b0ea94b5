//! How an event looks on the line: OCSF 1.8.0, each attribute in a fixed order.
//!
//! One struct holds every attribute that any of our classes uses; an event sets those that its
//! class has, and the schema test holds it to that. Nothing here owns text: all of it is
//! borrowed from the domain and written straight to the line.

use std::fmt;
use std::net::IpAddr;

use doorward_model::UnixMillis;
use serde::{Serialize, Serializer};

use super::block::{Block, Unmapped};
use super::{LOG_VERSION, OCSF_VERSION};
use crate::log::{Identity, Sequence};

/// What every event of a run has in common, and the place of this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) run: &'a str,
    pub(crate) sequence: Sequence,
    pub(crate) code: &'static str,
    pub(crate) time: UnixMillis,
}

impl<'a> Head<'a> {
    pub(crate) fn metadata(
        &self,
        log_name: &'static str,
        profiles: &'static [&'static str],
        correlation: Option<&'a str>,
    ) -> Metadata<'a> {
        Metadata {
            version: OCSF_VERSION,
            uid: Uid { run: self.run, sequence: self.sequence },
            sequence: self.sequence.0,
            log_name: Some(log_name),
            correlation_uid: correlation,
            product: self.product(),
            profiles,
            log_version: LOG_VERSION,
            event_code: self.code,
        }
    }

    /// Without what can be told from the code and from the uid.
    pub(crate) fn compact_metadata(
        &self,
        profiles: &'static [&'static str],
        correlation: Option<&'a str>,
    ) -> Metadata<'a> {
        let product = Product { version: None, uid: None, ..self.product() };
        Metadata { log_name: None, product, ..self.metadata("decision", profiles, correlation) }
    }

    pub(crate) fn product(&self) -> Product<'a> {
        Product { name: "Doorward", version: Some(&self.identity.version), uid: Some(&self.identity.node) }
    }
}

/// A class of OCSF and one of its activities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    pub(crate) category: u32,
    pub(crate) class: u32,
    pub(crate) class_name: &'static str,
    pub(crate) activity: u32,
    pub(crate) activity_name: &'static str,
}

/// OCSF `severity_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Informational,
    Low,
    Medium,
    High,
}

impl Severity {
    const fn id(self) -> u32 {
        match self {
            Self::Informational => 1,
            Self::Low => 2,
            Self::Medium => 3,
            Self::High => 4,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// OCSF `status_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    Failure,
}

/// OCSF `action_id` with its `disposition_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Allowed,
    Blocked,
    AccessRevoked,
}

/// One line.
#[derive(Serialize)]
pub(crate) struct Line<'a> {
    pub(crate) metadata: Metadata<'a>,
    category_uid: u32,
    class_uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_name: Option<&'static str>,
    activity_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity_name: Option<&'static str>,
    type_uid: u32,
    time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_dt: Option<Iso>,
    severity_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'static str>,
    status_id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_code: Option<Shown<u16>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status_detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disposition_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disposition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<ActorOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entity: Option<Entity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<GroupOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entity_result: Option<Entity<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<Api<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<Product<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) authorizations: Vec<Authorization<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) src_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dst_endpoint: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_request: Option<HttpRequest<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_response: Option<HttpResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic: Option<Traffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trace: Option<Trace>,
    pub(crate) unmapped: Unmapped<'a>,
}

impl<'a> Line<'a> {
    /// A line with what every event has. A compact one leaves out whatever can be told from the
    /// numbers.
    pub(crate) fn new(
        head: &Head<'_>,
        metadata: Metadata<'a>,
        class: Class,
        severity: Severity,
        status: Status,
        full: bool,
    ) -> Self {
        let (status_id, status) = match status {
            Status::Success => (1, "Success"),
            Status::Failure => (2, "Failure"),
        };
        Self {
            metadata,
            category_uid: class.category,
            class_uid: class.class,
            class_name: full.then_some(class.class_name),
            activity_id: class.activity,
            activity_name: full.then_some(class.activity_name),
            type_uid: class.class * 100 + class.activity,
            time: head.time.0,
            time_dt: full.then_some(Iso(head.time)),
            severity_id: severity.id(),
            severity: full.then_some(severity.name()),
            status_id,
            status: full.then_some(status),
            status_code: None,
            status_detail: None,
            message: None,
            action_id: None,
            disposition_id: None,
            disposition: None,
            actor: None,
            user: None,
            entity: None,
            group: None,
            entity_result: None,
            service: None,
            api: None,
            app: None,
            authorizations: Vec::new(),
            src_endpoint: None,
            dst_endpoint: None,
            http_request: None,
            http_response: None,
            duration: None,
            traffic: None,
            trace: None,
            unmapped: Unmapped { doorward: Block::default() },
        }
    }

    pub(crate) fn act(&mut self, action: Action, full: bool) {
        let (action, id, name) = match action {
            Action::Allowed => (1, 1, "Allowed"),
            Action::Blocked => (2, 2, "Blocked"),
            Action::AccessRevoked => (2, 24, "Access Revoked"),
        };
        self.action_id = Some(action);
        self.disposition_id = full.then_some(id);
        self.disposition = full.then_some(name);
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *out, self)?;
        out.push(b'\n');
        Ok(())
    }
}

#[derive(Serialize)]
pub(crate) struct Metadata<'a> {
    version: &'static str,
    uid: Uid<'a>,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_name: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_uid: Option<&'a str>,
    product: Product<'a>,
    profiles: &'static [&'static str],
    log_version: &'static str,
    event_code: &'static str,
}

struct Uid<'a> {
    run: &'a str,
    sequence: Sequence,
}

impl Serialize for Uid<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}-{}", self.run, self.sequence))
    }
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct Product<'a> {
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
}

#[derive(Default, Serialize)]
pub(crate) struct ActorOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) app_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionOut<'a>>,
}

#[derive(Serialize)]
pub(crate) struct UserOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) full_name: Option<&'a str>,
    pub(crate) type_id: u32,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub(crate) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<Named<'a>>,
}

#[derive(Serialize)]
pub(crate) struct SessionOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<Shown<&'a doorward_model::SessionId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credential_uid: Option<Shown<&'a doorward_model::TokenId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expiration_time: Option<i64>,
    pub(crate) is_mfa: bool,
}

#[derive(Serialize)]
pub(crate) struct Entity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<std::borrow::Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    pub(crate) type_id: u32,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct GroupOut<'a> {
    pub(crate) uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct Api<'a> {
    pub(crate) operation: &'a str,
    pub(crate) version: &'static str,
    pub(crate) service: Named<'a>,
    pub(crate) response: ApiResponse,
}

#[derive(Serialize)]
pub(crate) struct ApiResponse {
    pub(crate) code: u16,
}

#[derive(Serialize)]
pub(crate) struct Authorization<'a> {
    pub(crate) decision: &'static str,
    pub(crate) policy: Policy<'a>,
}

#[derive(Serialize)]
pub(crate) struct Policy<'a> {
    pub(crate) uid: &'a str,
    pub(crate) version: &'a str,
    pub(crate) is_applied: bool,
}

#[derive(Default, Serialize)]
pub(crate) struct Endpoint<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) svc_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) location: Option<Location<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) autonomous_system: Option<AutonomousSystem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) intermediate_ips: Vec<IpAddr>,
}

#[derive(Serialize)]
pub(crate) struct Location<'a> {
    pub(crate) country: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) continent: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct AutonomousSystem {
    pub(crate) number: u32,
}

#[derive(Serialize)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) http_method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) url: Url<'a>,
}

#[derive(Serialize)]
pub(crate) struct Url<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<&'a str>,
    pub(crate) path: &'a str,
}

#[derive(Serialize)]
pub(crate) struct HttpResponse {
    pub(crate) code: u16,
}

/// In OCSF `out` is from the source to the destination: what the client sent.
#[derive(Serialize)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

#[derive(Serialize)]
pub(crate) struct Trace {
    pub(crate) uid: Hex<16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) span: Option<Span>,
}

#[derive(Serialize)]
pub(crate) struct Span {
    pub(crate) uid: Hex<8>,
    pub(crate) start_time: i64,
    pub(crate) end_time: i64,
}

/// Who somebody is: by a sign-in, or by the id of the directory.
pub(crate) enum Who<'a> {
    SignIn(&'a doorward_model::UserId),
    Person(&'a str),
}

impl Serialize for Who<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::SignIn(id) => to.collect_str(id),
            Self::Person(id) => to.serialize_str(id),
        }
    }
}

/// Something that is written as it is displayed.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// Bytes in lower-case hexadecimal digits, as W3C trace context writes them.
pub(crate) struct Hex<const N: usize>(pub(crate) [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<const N: usize> fmt::Display for Hex<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A time as RFC 3339 has it, to the millisecond.
#[derive(Clone, Copy)]
pub(crate) struct Iso(pub(crate) UnixMillis);

impl Serialize for Iso {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Iso {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Times outside of jiff's 20,000 years are held at its ends.
        let range = jiff::Timestamp::MIN.as_millisecond()..=jiff::Timestamp::MAX.as_millisecond();
        let millis = self.0.0.clamp(*range.start(), *range.end());
        let time = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
        write!(f, "{time:.3}")
    }
}
