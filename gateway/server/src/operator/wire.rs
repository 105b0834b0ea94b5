//! What goes over the wire of the operator API, as the client sees it. Answers are read
//! generously: a newer gateway may say more, an older one less.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::command::printable;

/// The longest text of an error that is shown, in characters.
const DETAIL_CHARS_MAX: usize = 500;

/// `POST /api/v1/revocations`.
#[derive(Debug, Serialize)]
pub struct RevocationRequest {
    /// Whom it hits.
    pub target: TargetName,
    /// `revoke`, `disable` or `reactivate`.
    pub action: &'static str,
    /// Why, in the operator's words.
    pub cause: String,
    /// `node` or `fleet`; the gateway's default when it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<&'static str>,
    /// How long to wait for the fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_millis_max: Option<u64>,
}

/// Whom a revocation hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetName {
    /// `user`, `session`, `token`, `device` or `user_at_app`.
    pub kind: String,
    /// The name.
    pub id: String,
}

/// The gateway's receipt for a revocation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Receipt {
    /// Its name in the audit log.
    pub id: Option<String>,
    /// When it was in force, in milliseconds since 1970.
    pub applied_at: Option<i64>,
    /// When it was on the disk, in milliseconds since 1970.
    pub durable_at: Option<i64>,
    /// How many running exchanges it ended, by protocol; none when the gateway does not say.
    pub ended: Option<BTreeMap<String, u64>>,
    /// How many of them had not ended yet when the gateway answered.
    pub remaining: Option<u64>,
    /// From the request to the last ended exchange, in microseconds.
    pub took_micros: Option<u64>,
    /// Whether it is in force, also in an answer that is an error.
    pub enforced: Option<bool>,
    /// Whether it is on the disk, also in an answer that is an error.
    pub durable: Option<bool>,
    /// False in an answer that is an error because the other nodes do not have it.
    pub published: Option<bool>,
    /// Whether every node has confirmed it, if that was waited for.
    pub enforced_everywhere: Option<bool>,
    /// What each of them said.
    pub nodes: Option<Vec<NodeSaid>>,
    /// Why none of them could be asked.
    pub nodes_unknown: Option<String>,
    /// What is owed by those that did not confirm it.
    pub debts: Option<Vec<DebtRow>>,
}

/// What a node says of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NodeSaid {
    /// Its name.
    pub node: String,
    /// Which process of it.
    pub instance: String,
    /// `applied`, `behind` or `silent`.
    pub answer: String,
    /// When it had applied it, in milliseconds since 1970.
    pub at: Option<i64>,
    /// When it was seen last, in milliseconds since 1970.
    pub seen: Option<i64>,
}

/// `GET /api/v1/fleet`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FleetAnswer {
    /// How the gateway stands to its fleet; none when it belongs to none.
    pub fleet: Option<FleetStanding>,
    /// What each node says.
    pub nodes: Vec<NodeSaid>,
    /// Why none of them could be asked.
    pub nodes_unknown: Option<String>,
}

/// How a gateway stands to its fleet.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FleetStanding {
    /// `control` or `gateway`.
    pub role: String,
    /// The Redis server.
    pub server: Option<String>,
    /// Whether a request may rest on the lease.
    pub leased: bool,
    /// How long the lease lasts.
    pub lease_left_millis: Option<u64>,
    /// Changes that are not published yet.
    pub outbox: Option<u64>,
    /// What is amiss.
    pub trouble: Option<String>,
}

/// `GET /api/v1/debts`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DebtsAnswer {
    /// The newest first.
    pub debts: Vec<DebtRow>,
}

/// A debt, in a list or in a receipt.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DebtRow {
    /// Its id.
    pub id: String,
    /// Which node it is about, in a receipt.
    pub node: Option<String>,
    /// Which process of it, in a receipt.
    pub instance: Option<String>,
    /// What it is about, in a list.
    pub about: String,
    /// Who answers for it.
    pub owner: String,
    /// By when, in milliseconds since 1970.
    pub due_at: Option<i64>,
    /// Whether that is over, in a list.
    pub overdue: bool,
    /// When it was settled, in milliseconds since 1970.
    pub settled_at: Option<i64>,
}

/// `GET /api/v1/status`, as far as commands need it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatusAnswer {
    /// The short names of the issuers.
    pub issuers: Vec<String>,
}

/// `GET /api/v1/inflight`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InflightAnswer {
    /// What runs, in the order of its beginning.
    pub exchanges: Vec<InflightExchange>,
    /// How many run in all, when there are more than are listed.
    pub total: Option<u64>,
}

/// One running exchange.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct InflightExchange {
    /// Who acts; none for a visitor.
    pub user: Option<String>,
    /// The session of the sign-in; none where the token names none.
    pub session: Option<String>,
    /// At which app.
    pub app: String,
    /// How it speaks.
    pub protocol: String,
    /// When it began, in milliseconds since 1970.
    pub started_at: Option<i64>,
    /// Where the client is.
    pub client: String,
    /// The path.
    pub path: String,
}

impl Receipt {
    /// Reads what is there; a part that is missing, or not what it should be, is left out.
    #[must_use]
    pub fn read(answer: &Value) -> Self {
        Self::deserialize(answer).unwrap_or_default()
    }
}

/// What an answer that is an error says can be done about it.
pub(super) fn help(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Problem {
        help: String,
    }
    let Problem { help } = serde_json::from_slice(answer).ok()?;
    Some(printable(&help.chars().take(DETAIL_CHARS_MAX).collect::<String>()))
}

/// How many mistakes of policies are told.
const FINDINGS_MAX: usize = 20;

/// The mistakes of policies that an answer names, each on a line of its own.
pub(super) fn findings(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        findings: Vec<Finding>,
    }
    #[derive(Deserialize)]
    struct Finding {
        file: Option<String>,
        line: Option<u64>,
        column: Option<u64>,
        message: String,
        help: Option<String>,
    }
    let Ok(Problem { findings }) = serde_json::from_slice(answer) else { return String::new() };
    let text = |text: &str| printable(&text.chars().take(DETAIL_CHARS_MAX).collect::<String>());
    let mut told = String::new();
    for finding in findings.iter().take(FINDINGS_MAX) {
        let at = finding.line.zip(finding.column).map(|(line, column)| format!(":{line}:{column}"));
        let file = text(finding.file.as_deref().unwrap_or("the folder"));
        told.push_str(&format!("\n  {file}{}: {}", at.unwrap_or_default(), text(&finding.message)));
        if let Some(help) = &finding.help {
            told.push_str(&format!("; {}", text(help)));
        }
    }
    if findings.len() > FINDINGS_MAX {
        told.push_str(&format!("\n  and {} more", findings.len() - FINDINGS_MAX));
    }
    told
}

/// What an answer that is an error says about itself: `detail` or `title` of RFC 9457, or the
/// body if it is short text.
pub(super) fn detail(answer: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        title: Option<String>,
        detail: Option<String>,
        errors: Vec<Field>,
    }
    #[derive(Deserialize)]
    struct Field {
        field: String,
        message: String,
    }
    let text = match serde_json::from_slice::<Problem>(answer) {
        Ok(Problem { errors, .. }) if errors.len() > 1 => {
            let told: Vec<_> = errors.iter().map(|e| format!("`{}` {}", e.field, e.message)).collect();
            told.join("; ")
        }
        Ok(Problem { detail: Some(detail), .. }) => detail,
        Ok(Problem { title: Some(title), .. }) => title,
        Ok(_) => String::new(),
        Err(_) => String::from_utf8_lossy(answer).trim().to_owned(),
    };
    printable(&text.chars().take(DETAIL_CHARS_MAX).collect::<String>())
}
