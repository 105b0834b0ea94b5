//! The answers that are a no (RFC 9457), once for all calls.

use serde_json::{Map, Value, json};

use super::form::{flag, formed, id, list, object, or_null, text, to, word};

/// Every code of a problem. A test looks that the code of the console has no other.
pub(crate) const CODES: [&str; 40] = [
    "as_tokens_say",
    "audit_unavailable",
    "bad_request",
    "body_too_large",
    "bundle_refused",
    "busy",
    "case_denied",
    "changed",
    "closing",
    "damaged",
    "denied",
    "fleet_unknown",
    "full",
    "grants_refused",
    "halted",
    "header_too_large",
    "internal",
    "member_denied",
    "method_not_allowed",
    "misdirected",
    "nesting",
    "never_returns",
    "no_open_debt",
    "not_asked",
    "not_durable",
    "not_found",
    "not_here",
    "not_known",
    "not_proved",
    "not_published",
    "not_taken",
    "policies_rejected",
    "refused",
    "request_timeout",
    "store_silent",
    "store_unavailable",
    "taken",
    "too_many",
    "unauthorized",
    "unsupported_media_type",
];

/// A no, by its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Mistaken,
    Unauthorized,
    NotFound,
    MethodNotAllowed,
    TookTooLong,
    Conflict,
    Changed,
    BodyTooLarge,
    MediaType,
    Misdirected,
    Unprocessable,
    HeaderTooLarge,
    Failed,
    Unavailable,
}

/// Whatever is called with the token.
pub(super) const ALWAYS: &[Refusal] = &[
    Refusal::Unauthorized,
    Refusal::Misdirected,
    Refusal::HeaderTooLarge,
    Refusal::Failed,
    Refusal::Unavailable,
];
/// A list.
pub(super) const LIST: &[Refusal] = &[Refusal::Mistaken, Refusal::Conflict];
/// One thing by its id.
pub(super) const LOOK: &[Refusal] = &[Refusal::Mistaken, Refusal::NotFound, Refusal::Conflict];
/// What makes something.
pub(super) const MAKE: &[Refusal] = &[
    Refusal::Mistaken,
    Refusal::NotFound,
    Refusal::TookTooLong,
    Refusal::Conflict,
    Refusal::Changed,
    Refusal::BodyTooLarge,
    Refusal::MediaType,
    Refusal::Unprocessable,
];
/// What changes something.
pub(super) const CHANGE: &[Refusal] = MAKE;

impl Refusal {
    const ALL: [Self; 14] = [
        Self::Mistaken,
        Self::Unauthorized,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TookTooLong,
        Self::Conflict,
        Self::Changed,
        Self::BodyTooLarge,
        Self::MediaType,
        Self::Misdirected,
        Self::Unprocessable,
        Self::HeaderTooLarge,
        Self::Failed,
        Self::Unavailable,
    ];

    pub(super) const fn status(self) -> u16 {
        match self {
            Self::Mistaken => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::TookTooLong => 408,
            Self::Conflict => 409,
            Self::Changed => 412,
            Self::BodyTooLarge => 413,
            Self::MediaType => 415,
            Self::Misdirected => 421,
            Self::Unprocessable => 422,
            Self::HeaderTooLarge => 431,
            Self::Failed => 500,
            Self::Unavailable => 503,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Mistaken => "Mistaken",
            Self::Unauthorized => "Unauthorized",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::TookTooLong => "TookTooLong",
            Self::Conflict => "Conflict",
            Self::Changed => "Changed",
            Self::BodyTooLarge => "BodyTooLarge",
            Self::MediaType => "MediaType",
            Self::Misdirected => "Misdirected",
            Self::Unprocessable => "Unprocessable",
            Self::HeaderTooLarge => "HeaderTooLarge",
            Self::Failed => "Failed",
            Self::Unavailable => "Unavailable",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Mistaken => {
                "Something in the call is wrong: `errors` names every field, and how to mend it."
            }
            Self::Unauthorized => "The call does not show the token.",
            Self::NotFound => "There is nothing at this path, or none of this name.",
            Self::MethodNotAllowed => "There is something at this path, for the methods in `Allow`.",
            Self::TookTooLong => "The body did not arrive in time.",
            Self::Conflict => "It is not possible as things stand, or not on this node (`not_here`).",
            Self::Changed => "It is not of the version that `if_version` says.",
            Self::BodyTooLarge => "The body has more than 64 KiB, or the bundle more than 80 MiB.",
            Self::MediaType => "The body is not sent as `application/json`, or the bundle not as what it is.",
            Self::Misdirected => "The call names a host that is not the gateway's.",
            Self::Unprocessable => "It is understood, and cannot be done so.",
            Self::HeaderTooLarge => "The header has more than 32 KiB.",
            Self::Failed => "Something broke: the gateway's own log says what.",
            Self::Unavailable => {
                "A store, the fleet or the audit log does not do its part now: `enforced` and `durable` say \
                                  what is in force anyway."
            }
        }
    }

    fn answer(self) -> Value {
        let mut headers = headers();
        if let Value::Object(all) = &mut headers {
            let challenge = match self {
                Self::Unauthorized => Some(("WWW-Authenticate", "Bearer, RFC 6750.")),
                Self::MethodNotAllowed => Some(("Allow", "The methods that do something here.")),
                Self::Mistaken
                | Self::NotFound
                | Self::TookTooLong
                | Self::Conflict
                | Self::Changed
                | Self::BodyTooLarge
                | Self::MediaType
                | Self::Misdirected
                | Self::Unprocessable
                | Self::HeaderTooLarge
                | Self::Failed
                | Self::Unavailable => None,
            };
            let told = |(name, says): (&str, &str)| {
                (name.to_owned(), json!({ "description": says, "required": true, "schema": text() }))
            };
            all.extend(challenge.map(told));
        }
        json!({
            "description": self.description(),
            "headers": headers,
            "content": { "application/problem+json": { "schema": to("Problem") } },
        })
    }
}

/// What every answer carries besides.
pub(super) fn headers() -> Value {
    json!({ "X-Request-Id": { "$ref": "#/components/headers/RequestId" } })
}

/// The answers, as components.
pub(super) fn answers() -> Value {
    Refusal::ALL
        .map(|refusal| (refusal.name().to_owned(), refusal.answer()))
        .into_iter()
        .collect::<Map<_, _>>()
        .into()
}

/// A problem, and one field that is wrong.
pub(super) fn schemas() -> [(&'static str, Value); 2] {
    let problem = object([
        ("type", formed("^urn:doorward:problem:[a-z_]+$")),
        ("title", text()),
        ("status", json!({ "type": "integer", "minimum": 400, "maximum": 599 })),
        ("code", word(CODES)),
        ("detail", text()),
        ("request_id", id()),
    ])
    .maybe([
        ("errors", list(to("Mistake"))),
        ("help", or_null(text())),
        ("enforced", flag()),
        ("durable", flag()),
        ("published", flag()),
        ("kept", flag()),
        ("command", text()),
        ("member", text()),
        ("halt", id()),
        ("holder", object([("kind", text()), ("id", text())]).told()),
        ("outcome", word(["rejected"])),
        ("revision", text()),
        ("findings", list(to("Finding"))),
    ]);
    let problem = problem.schema(&[(
        "description",
        "RFC 9457. Where a change is in force all the same, the members of its answer are here, too.".into(),
    )]);
    let mistake = object([("field", text()), ("message", text())]).maybe([("help", text())]);
    [("Problem", problem), ("Mistake", mistake.told())]
}
