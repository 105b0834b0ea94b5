//! What happens in the house: policies, databases, operators, the gateway, the log itself.

use super::block::{
    BundleOut, CertificatesOut, GapOut, GatewayOut, GeoDatabase, GeoOut, LostOut, RefusalsOut, RetiredOut,
    TornTailOut,
};
use super::standing::{actor, source};
use super::wire::{
    Api, ApiResponse, Class, Endpoint, Entity, Head, HttpRequest, HttpResponse, Iso, Line, Named, Severity,
    Shown, Status, Url,
};
use super::{
    Actor, CertificateReload, Gap, GatewayDrain, GatewayStart, GatewayStop, GeoReload, OperatorCall,
    PolicyMend, PolicyRejection, RefusalSummary, RetiredSegment, TornTail,
};
use crate::trail::cut;

/// How many mistakes, databases or exceptions one event names.
const LIST_MAX: usize = 16;
/// How much of one text is recorded, in bytes.
const TEXT_BYTES_MAX: usize = 512;
const PROFILES: &[&str] = &["datetime"];
const PROFILES_HOST: &[&str] = &["host", "datetime"];

pub(super) const UPDATE_POLICY: Class =
    Class { category: 3, class: 3004, class_name: "Entity Management", activity: 3, activity_name: "Update" };

const fn lifecycle(activity: u32, activity_name: &'static str) -> Class {
    Class { category: 6, class: 6002, class_name: "Application Lifecycle", activity, activity_name }
}

const ERROR: Class = Class {
    category: 6,
    class: 6008,
    class_name: "Application Error",
    activity: 1,
    activity_name: "General Error",
};

pub(super) type Written = Result<(), serde_json::Error>;

pub(super) fn policy_rejected(head: &Head<'_>, rejection: &PolicyRejection, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("admin", PROFILES, None);
    let mut line = Line::new(head, metadata, UPDATE_POLICY, Severity::High, Status::Failure, true);
    line.actor = Some(actor(&rejection.actor));
    line.src_endpoint = source(&rejection.actor);
    let total = rejection.mistakes.len();
    let mistakes = if total == 1 { "mistake" } else { "mistakes" };
    line.message = Some(format!("Policies were refused for {total} {mistakes}; those before stay in force"));
    line.entity = Some(bundle_entity(rejection.in_force.as_deref()));
    line.unmapped.doorward.bundle = Some(BundleOut {
        in_force: rejection.in_force.as_deref().map(text),
        source: text(&rejection.source),
        mistakes: rejection.mistakes.iter().take(LIST_MAX).map(|m| text(m)).collect(),
        mistakes_total: Some(total),
        ..BundleOut::default()
    });
    line.write(out)
}

pub(super) fn policy_mended(head: &Head<'_>, mend: &PolicyMend, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("admin", PROFILES, None);
    let mut line = Line::new(head, metadata, UPDATE_POLICY, Severity::Informational, Status::Success, true);
    line.actor = Some(actor(&mend.actor));
    line.src_endpoint = source(&mend.actor);
    line.message =
        Some(format!("The files hold policies {} again, which are in force", text(&mend.revision)));
    line.entity = Some(bundle_entity(Some(&mend.revision)));
    line.entity_result = Some(bundle_entity(Some(&mend.revision)));
    line.unmapped.doorward.bundle = Some(BundleOut {
        in_force: Some(text(&mend.revision)),
        source: text(&mend.source),
        ..BundleOut::default()
    });
    line.write(out)
}

pub(super) fn bundle_entity(revision: Option<&str>) -> Entity<'_> {
    Entity { uid: None, name: Some("policy bundle"), type_id: 5, kind: "Policy", version: revision.map(text) }
}

pub(super) fn geo_reloaded(head: &Head<'_>, reload: &GeoReload, out: &mut Vec<u8>) -> Written {
    let (severity, status, message) = if reload.kept.is_some() {
        (Severity::High, Status::Failure, "GeoIP databases could not be read; those before are kept")
    } else {
        (Severity::Informational, Status::Success, "GeoIP databases were read anew")
    };
    let metadata = head.metadata("admin", PROFILES_HOST, None);
    let mut line = Line::new(head, metadata, lifecycle(8, "Update"), severity, status, true);
    line.actor = Some(actor(&reload.actor));
    line.message = Some(message.to_owned());
    line.app = Some(head.product());
    let databases = reload.databases.iter().take(LIST_MAX);
    line.unmapped.doorward.geoip = Some(GeoOut {
        databases: databases
            .map(|(name, at)| GeoDatabase { name: text(name), built_at: at.map(Iso) })
            .collect(),
        kept_because: reload.kept.as_deref().map(text),
    });
    line.write(out)
}

pub(super) fn certificates_reloaded(
    head: &Head<'_>,
    reload: &CertificateReload,
    out: &mut Vec<u8>,
) -> Written {
    let (severity, status, message) = if reload.kept.is_some() {
        (Severity::High, Status::Failure, "Certificates could not be served; those before are kept")
    } else {
        (Severity::Informational, Status::Success, "Certificates were read anew")
    };
    let metadata = head.metadata("admin", PROFILES_HOST, None);
    let mut line = Line::new(head, metadata, lifecycle(8, "Update"), severity, status, true);
    line.actor = Some(actor(&reload.actor));
    line.message = Some(message.to_owned());
    line.app = Some(head.product());
    line.unmapped.doorward.certificates = Some(CertificatesOut {
        chains: reload.chains.iter().take(LIST_MAX).map(|c| text(c)).collect(),
        kept_because: reload.kept.as_deref().map(text),
    });
    line.write(out)
}

pub(super) fn operator_call(head: &Head<'_>, call: &OperatorCall, out: &mut Vec<u8>) -> Written {
    let (activity, activity_name) = match call.method.as_str() {
        "POST" => (1, "Create"),
        "GET" | "HEAD" => (2, "Read"),
        "PUT" | "PATCH" => (3, "Update"),
        "DELETE" => (4, "Delete"),
        _ => (99, "Other"),
    };
    let class = Class { category: 6, class: 6003, class_name: "API Activity", activity, activity_name };
    let (severity, status) = if call.status < 400 {
        (Severity::Informational, Status::Success)
    } else {
        (Severity::Medium, Status::Failure)
    };
    let metadata = head.metadata("admin", PROFILES, Some(&call.request_id));
    let mut line = Line::new(head, metadata, class, severity, status, true);
    line.actor = Some(actor(&call.actor));
    // The class wants a source; a call that the gateway makes itself comes from the node.
    let own = Endpoint { hostname: Some(text(&head.identity.node)), ..Endpoint::default() };
    line.src_endpoint = Some(source(&call.actor).unwrap_or(own));
    line.status_code = Some(Shown(call.status));
    line.api = Some(Api {
        operation: call.operation,
        version: "v1",
        service: Named { name: "operator-api" },
        response: ApiResponse { code: call.status },
    });
    let path = call.path.split(['?', '#']).next().unwrap_or_default();
    line.http_request = Some(HttpRequest {
        http_method: cut(&call.method, 32),
        version: None,
        user_agent: None,
        url: Url { hostname: None, path: text(path) },
    });
    line.http_response = Some(HttpResponse { code: call.status });
    let who = match &call.actor {
        Actor::Operator { name, .. } => text(name),
        Actor::Person { .. } => "somebody",
        Actor::Gateway => "the gateway",
    };
    let target = call.target.as_deref().map(text);
    line.message =
        Some(format!("{who} called {} {}: {}", call.operation, target.unwrap_or("-"), call.status));
    line.unmapped.doorward.target = target;
    line.write(out)
}

pub(super) fn gateway_started(head: &Head<'_>, start: &GatewayStart, out: &mut Vec<u8>) -> Written {
    let loud = if start.exceptions.is_empty() { Severity::Informational } else { Severity::Medium };
    let detail = GatewayOut {
        revision: start.revision.as_deref().map(text),
        exceptions: start.exceptions.iter().take(LIST_MAX).map(|e| text(e)).collect(),
        ..GatewayOut::default()
    };
    gateway(head, lifecycle(3, "Start"), loud, "The gateway takes requests", detail, out)
}

pub(super) fn gateway_draining(head: &Head<'_>, drain: &GatewayDrain, out: &mut Vec<u8>) -> Written {
    let detail =
        GatewayOut { cause: Some(text(&drain.cause)), running: Some(drain.running), ..GatewayOut::default() };
    let message = "The gateway takes no more requests and waits for those that run";
    gateway(head, lifecycle(99, "Drain"), Severity::Informational, message, detail, out)
}

pub(super) fn gateway_stopped(head: &Head<'_>, stop: &GatewayStop, out: &mut Vec<u8>) -> Written {
    let detail =
        GatewayOut { cause: Some(text(&stop.cause)), cut_off: Some(stop.cut_off), ..GatewayOut::default() };
    gateway(head, lifecycle(4, "Stop"), Severity::Informational, "The gateway stops", detail, out)
}

fn gateway(
    head: &Head<'_>,
    class: Class,
    severity: Severity,
    message: &str,
    detail: GatewayOut<'_>,
    out: &mut Vec<u8>,
) -> Written {
    let metadata = head.metadata("admin", PROFILES, None);
    let mut line = Line::new(head, metadata, class, severity, Status::Success, true);
    line.message = Some(message.to_owned());
    line.app = Some(head.product());
    line.unmapped.doorward.gateway = Some(detail);
    line.write(out)
}

pub(super) fn gap(head: &Head<'_>, gap: &Gap, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("audit", PROFILES, None);
    let mut line = Line::new(head, metadata, ERROR, Severity::High, Status::Failure, true);
    line.status_detail = Some(gap.cause.as_str());
    let total = gap.lost.total();
    line.message = Some(format!("A gap in the audit log ({}): {total} events", gap.cause.as_str()));
    line.unmapped.doorward.gap = Some(GapOut {
        cause: gap.cause.as_str(),
        first_sequence: gap.range.map(|(first, _)| first.0),
        last_sequence: gap.range.map(|(_, last)| last.0),
        lost: LostOut {
            total,
            allowed: gap.lost.allowed,
            denied: gap.lost.denied,
            ended: gap.lost.ended,
            other: gap.lost.other,
        },
        detail: gap.detail.as_deref().map(text),
        segment: gap.segment.as_deref().map(text),
    });
    line.write(out)
}

pub(super) fn torn_tail(head: &Head<'_>, torn: &TornTail, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("audit", PROFILES, None);
    let mut line = Line::new(head, metadata, ERROR, Severity::Medium, Status::Success, true);
    line.message = Some(format!("{} ended in the middle of a line and was mended", text(&torn.segment)));
    line.unmapped.doorward.torn_tail = Some(TornTailOut {
        segment: text(&torn.segment),
        kept_bytes: torn.kept_bytes,
        cut_bytes: torn.cut_bytes,
        aside: text(&torn.aside),
    });
    line.write(out)
}

pub(super) fn refusals_summarized(head: &Head<'_>, summary: &RefusalSummary, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("audit", PROFILES, None);
    let mut line = Line::new(head, metadata, ERROR, Severity::Medium, Status::Success, true);
    let total = summary.total();
    line.status_detail = Some("rate_limited");
    line.message = Some(format!("{total} refusals of nobody in particular were counted, not written"));
    line.unmapped.doorward.refusals = Some(RefusalsOut {
        total,
        by_reason: &summary.by_reason,
        first_at: Iso(summary.first_at),
        last_at: Iso(summary.last_at),
    });
    line.write(out)
}

pub(super) fn segment_retired(head: &Head<'_>, retired: &RetiredSegment, out: &mut Vec<u8>) -> Written {
    let metadata = head.metadata("audit", PROFILES, None);
    let mut line = Line::new(head, metadata, ERROR, Severity::Medium, Status::Success, true);
    line.status_detail = Some("total_bytes_max");
    line.message = Some(format!("{} is removed: the log holds as much as it may", text(&retired.segment)));
    line.unmapped.doorward.retired = Some(RetiredOut {
        segment: text(&retired.segment),
        bytes: retired.bytes,
        total_bytes_max: retired.total_bytes_max,
    });
    line.write(out)
}

fn text(text: &str) -> &str {
    cut(text, TEXT_BYTES_MAX)
}
