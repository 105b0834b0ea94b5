//! Sign-ins of browsers: OCSF Authentication (3002), Logon.

use doorward_model::{AppId, Demand, IssuerId, LifecycleStage, Principal};

use super::block::{DecisionOut, RiskOut, SignInOut};
use super::exchange::{actor, device, source, user};
use super::wire::{Class, Head, HttpRequest, Line, Named, Severity, Status, Url, UserOut};
use crate::trail::{Outcome, Trail, cut};

const PROFILES: &[&str] = &["host", "datetime"];
/// How much of the sentence is recorded, in bytes.
const MESSAGE_BYTES_MAX: usize = 512;
const LOGON: Class =
    Class { category: 3, class: 3002, class_name: "Authentication", activity: 1, activity_name: "Logon" };

/// Somebody signed in with a browser, proved more than before, or could not.
#[derive(Clone, Debug)]
pub struct BrowserSignIn {
    /// The request with which the provider sent the browser back: who it is, from where, and what the
    /// sign-in proved. Where it was refused, so was the sign-in.
    pub trail: Trail,
    /// What came of it, where it was not refused.
    pub step: SignInStep,
    /// Where they were sent to sign in.
    pub provider: Option<IssuerId>,
    /// The app that they wanted to open.
    pub app: Option<AppId>,
    /// What was demanded of the sign-in.
    pub demand: Demand,
}

/// What came of a sign-in that was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInStep {
    /// A session began.
    Begun,
    /// The session that there was goes on, and more was proved for it.
    Raised,
}

impl BrowserSignIn {
    /// The code that stands in `metadata.event_code`.
    pub(super) fn code(&self) -> &'static str {
        match (self.refused(), self.step) {
            (Some(_), _) => "sign_in.refused",
            (None, SignInStep::Begun) => "session.begun",
            (None, SignInStep::Raised) => "session.raised",
        }
    }

    /// Why it was refused, if it was.
    fn refused(&self) -> Option<&'static str> {
        match self.trail.outcome() {
            Some(Outcome::Denied(code)) => Some(code.as_str()),
            Some(Outcome::Allowed) | None => None,
        }
    }

    /// Why it was refused, if it was and nobody knows who it was: of these anybody can cause as many as they like.
    pub(super) fn nameless_refusal(&self) -> Option<&'static str> {
        self.refused().filter(|_| self.trail.principal.is_none())
    }
}

pub(super) fn sign_in(
    head: &Head<'_>,
    sign_in: &BrowserSignIn,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let trail = &sign_in.trail;
    let refused = sign_in.refused();
    let (severity, status) = match refused {
        Some(_) => (Severity::Low, Status::Failure),
        None => (Severity::Informational, Status::Success),
    };
    let metadata = head.metadata("sign_in", PROFILES, Some(&trail.request_id));
    let mut line = Line::new(head, metadata, LOGON, severity, status, true);
    let person = trail.principal.as_deref();
    line.actor = person.map(|principal| actor(principal, trail, true));
    line.user = Some(person.map_or_else(nobody, |principal| user(principal, true)));
    line.service = Some(Named { name: sign_in.app.as_ref().map_or("doorward", AppId::as_str) });
    line.src_endpoint = Some(source(trail, true));
    line.http_request = Some(HttpRequest {
        http_method: trail.method.as_str(),
        version: Some(trail.http_version.as_str()),
        user_agent: trail.user_agent.as_deref(),
        url: Url { hostname: Some(&*trail.host).filter(|h| !h.is_empty()), path: &trail.path },
    });
    line.status_detail = refused;
    line.message = Some(sentence(sign_in));
    let proved = trail.sign_in.as_ref().map(|s| s.assurance);
    let block = &mut line.unmapped.doorward;
    block.stage = Some(person.map_or(LifecycleStage::Unknown, Principal::stage).as_str());
    block.decision = Some(DecisionOut {
        outcome: if refused.is_some() { "deny" } else { "allow" },
        reason_code: refused.unwrap_or("signed_in"),
        policies_said: None,
        determining: Vec::new(),
        clauses: Vec::new(),
        errors: Vec::new(),
        detail: trail.refused.as_ref().map(|r| &*r.detail).filter(|d| !d.is_empty()),
        latency_us: None,
        stale_ms: None,
        policy_set: None,
    });
    block.device = device(trail, true);
    block.risk = RiskOut::of(trail.risk);
    block.sign_in = Some(SignInOut {
        provider: sign_in.provider.as_ref().map(IssuerId::as_str),
        demanded: sign_in.demand.strength.as_str(),
        max_age_seconds: sign_in.demand.max_age.map(|age| age.as_secs()),
        mfa: proved.map(|p| p.mfa),
        phishing_resistant: proved.map(|p| p.phishing_resistant),
    });
    line.write(out)
}

/// OCSF wants a user in each such event, also where nobody could be told.
const fn nobody<'a>() -> UserOut<'a> {
    UserOut {
        uid: None,
        name: Some("unknown"),
        full_name: None,
        type_id: 0,
        kind: Some("Unknown"),
        groups: Vec::new(),
    }
}

fn sentence(sign_in: &BrowserSignIn) -> String {
    let who = match sign_in.trail.principal.as_deref() {
        Some(Principal::User(user)) => user.email.clone().unwrap_or_else(|| user.id.to_string()),
        Some(other) => other.id().map_or_else(|| "a visitor".to_owned(), ToString::to_string),
        None => "somebody".to_owned(),
    };
    let at = sign_in.provider.as_ref().map(|provider| format!(" at {provider}")).unwrap_or_default();
    let text = match (sign_in.refused(), sign_in.step) {
        (Some(why), _) => format!("Sign-in refused: {who}{at}: {why}"),
        (None, SignInStep::Begun) => format!("Signed in: {who}{at}"),
        (None, SignInStep::Raised) => format!("Proved more: {who}{at}"),
    };
    cut(&text, MESSAGE_BYTES_MAX).to_owned()
}
