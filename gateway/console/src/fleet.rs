//! `GET /api/v1/fleet`: how this node stands to its fleet, and what the nodes say; and the waiting
//! for them after a change.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_model::limits::{OPERATOR_FLEET_MILLIS, OPERATOR_FLEET_MILLIS_MAX};
use doorward_state::{FleetHealth, FleetRole, NodeAnswer, NodeReport, Position, Receipt, StateError};
use serde_json::{Value, json};

use crate::Console;
use crate::guard::Call;
use crate::inflight::Parameters;
use crate::ports::{Condition, ConditionState};
use crate::problem::Problem;

/// How much of an error one detail repeats.
const DETAIL_CHARS_MAX: usize = 400;

/// What the nodes said of one change.
pub(crate) enum Everywhere {
    /// Every node that is on the roll answered, or was found silent. Without a fleet there is none.
    Told(Vec<NodeReport>),
    /// They could not be asked.
    Unknown(String),
}

impl Everywhere {
    /// Asks for what stands at the position of a receipt; there is none without a fleet.
    pub(crate) async fn ask(console: &Console, receipt: &Receipt, deadline: Duration) -> Self {
        match receipt.published {
            Some(published) => Self::ask_at(console, published.position, deadline).await,
            None => Self::Told(Vec::new()),
        }
    }

    /// Asks for everything that this process has acknowledged; there is none without a fleet.
    pub(crate) async fn ask_for_all(console: &Console, deadline: Duration) -> Self {
        match console.ports.revocations.last_published() {
            Some(position) => Self::ask_at(console, position, deadline).await,
            None => Self::Told(Vec::new()),
        }
    }

    async fn ask_at(console: &Console, position: Position, deadline: Duration) -> Self {
        match console.ports.revocations.fleet(position, deadline).await {
            Ok(reports) => Self::Told(reports),
            Err(error) => Self::Unknown(error.to_string()),
        }
    }

    /// Whether every node has applied it.
    pub(crate) fn is_enforced(&self) -> bool {
        match self {
            Self::Told(reports) => reports.iter().all(has_applied),
            Self::Unknown(_) => false,
        }
    }

    /// The members of an answer that tell of it.
    pub(crate) fn members(&self) -> [(&'static str, Value); 3] {
        let (nodes, unknown) = match self {
            Self::Told(reports) => (reports.iter().map(report).collect::<Vec<Value>>(), Value::Null),
            Self::Unknown(why) => (Vec::new(), Value::from(why.as_str())),
        };
        [
            ("enforced_everywhere", self.is_enforced().into()),
            ("nodes", nodes.into()),
            ("nodes_unknown", unknown),
        ]
    }
}

pub(crate) fn has_applied(report: &NodeReport) -> bool {
    match report.answer {
        NodeAnswer::Applied { .. } => true,
        NodeAnswer::Behind { .. } | NodeAnswer::Silent { .. } => false,
    }
}

fn report(report: &NodeReport) -> Value {
    let mut shown = json!({
        "node": report.node,
        "instance": report.instance.to_string(),
        "answer": report.answer.as_str(),
    });
    let (name, at) = match report.answer {
        NodeAnswer::Applied { at } => ("at", at),
        NodeAnswer::Behind { seen } | NodeAnswer::Silent { seen } => ("seen", seen),
    };
    if let Value::Object(members) = &mut shown {
        members.insert(name.to_owned(), at.0.into());
    }
    shown
}

pub(crate) async fn show(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["wait_millis_max"]);
    let wait = query.bounded("wait_millis_max", OPERATOR_FLEET_MILLIS, OPERATOR_FLEET_MILLIS_MAX);
    if !query.mistakes.is_empty() {
        return Problem::mistaken(&call, query.mistakes).into_response();
    }
    let revocations = &console.ports.revocations;
    let health = revocations.fleet_health();
    let asked = match health.as_ref().and_then(|fleet| fleet.position.filter(|_| has_directory(fleet))) {
        Some(position) => match revocations.fleet(position, Duration::from_millis(wait)).await {
            Ok(reports) => Everywhere::Told(reports),
            Err(StateError::NotHere) => Everywhere::Told(Vec::new()),
            Err(error) => Everywhere::Unknown(error.to_string()),
        },
        None => Everywhere::Told(Vec::new()),
    };
    let [_, (_, nodes), (_, unknown)] = asked.members();
    Json(json!({ "fleet": health.as_ref().map(shown), "nodes": nodes, "nodes_unknown": unknown }))
        .into_response()
}

/// Whether it has the directory: it takes changes.
pub(crate) const fn has_directory(fleet: &FleetHealth) -> bool {
    match fleet.role {
        FleetRole::Control => true,
        FleetRole::Gateway => false,
    }
}

pub(crate) fn position(position: &Position) -> Value {
    json!({ "epoch": position.epoch.to_string(), "id": position.id.to_string() })
}

/// How this node stands to its fleet.
pub(crate) fn shown(fleet: &FleetHealth) -> Value {
    json!({
        "role": fleet.role.as_str(),
        "server": fleet.server,
        "leased": fleet.leased,
        "lease_millis": millis(fleet.lease),
        "lease_left_millis": millis(fleet.lease_left),
        "lag_millis": fleet.lag.map(millis),
        "position": fleet.position.as_ref().map(position),
        "generation": fleet.generation,
        "blessed": fleet.blessed,
        "polls": fleet.polls_total,
        "poll_failures": fleet.poll_failures_total,
        "pushes": fleet.pushes_total,
        "resyncs": fleet.resyncs_total,
        "connects": fleet.connects_total,
        "outbox": fleet.outbox,
        "blessings": fleet.blessings_total,
        "published": fleet.published_total,
        "trouble": fleet.trouble,
    })
}

/// Whether clients may come, as far as the fleet is concerned. Where the directory itself proves that
/// everything is known (`known`), a fleet that cannot be reached is somebody's work, and no reason to
/// send clients elsewhere.
pub(crate) fn condition(fleet: &FleetHealth, known: bool) -> Condition {
    let state = match (fleet.leased, &fleet.trouble) {
        (true, None) => ConditionState::Holds,
        (true, Some(_)) => ConditionState::Degraded,
        (false, _) if known && has_directory(fleet) => ConditionState::Degraded,
        (false, _) => ConditionState::Missing,
    };
    let trouble = fleet.trouble.as_deref().unwrap_or("no poll has succeeded yet");
    let detail = match (fleet.leased, state) {
        (true, ConditionState::Holds) => {
            let server = fleet.server.as_deref().unwrap_or("Redis");
            format!("the lease of {server} lasts for {} ms more", millis(fleet.lease_left))
        }
        (true, _) => trouble.to_owned(),
        (false, _) => format!("there is no lease: {trouble}"),
    };
    Condition { name: "fleet", state, detail: detail.chars().take(DETAIL_CHARS_MAX).collect() }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use doorward_model::UnixMillis;
    use doorward_state::EntryId;
    use uuid::Uuid;

    use super::*;

    pub(crate) fn node(name: &str, answer: NodeAnswer) -> NodeReport {
        NodeReport { node: name.to_owned(), instance: Uuid::from_u128(7), answer, told: String::new() }
    }

    fn fleet(role: FleetRole, leased: bool, trouble: Option<&str>) -> FleetHealth {
        FleetHealth {
            role,
            instance: Uuid::from_u128(7),
            server: Some("10.0.0.7:6379".to_owned()),
            leased,
            lease_left: if leased { Duration::from_millis(800) } else { Duration::ZERO },
            lease: Duration::from_secs(1),
            lag: leased.then(|| Duration::from_millis(200)),
            position: Some(Position { epoch: Uuid::from_u128(1), id: EntryId { millis: 5, count: 2 } }),
            generation: Some(3),
            blessed: leased,
            polls_total: 10,
            poll_failures_total: 2,
            pushes_total: 4,
            resyncs_total: 1,
            connects_total: 1,
            outbox: None,
            blessings_total: 0,
            published_total: 0,
            trouble: trouble.map(str::to_owned),
        }
    }

    #[test]
    fn without_a_lease_clients_are_sent_elsewhere_unless_the_directory_itself_is_read() {
        use ConditionState::{Degraded, Holds, Missing};
        use FleetRole::{Control, Gateway};
        for (role, leased, trouble, known, want, told) in [
            (Gateway, true, None, true, Holds, "the lease of 10.0.0.7:6379 lasts for 800 ms more"),
            (Gateway, true, Some("slow"), true, Degraded, "slow"),
            (Gateway, false, Some("refused"), false, Missing, "there is no lease: refused"),
            (Gateway, false, None, false, Missing, "there is no lease: no poll has succeeded yet"),
            // A gateway node has no other proof, whatever is said elsewhere.
            (Gateway, false, None, true, Missing, "there is no lease: no poll has succeeded yet"),
            (Control, false, Some("refused"), true, Degraded, "there is no lease: refused"),
            (Control, false, Some("refused"), false, Missing, "there is no lease: refused"),
            (Control, true, Some("nothing is published"), true, Degraded, "nothing is published"),
        ] {
            let found = condition(&fleet(role, leased, trouble), known);
            assert_eq!((found.state, found.detail.as_str()), (want, told));
        }
        let long = condition(&fleet(Gateway, false, Some(&"ä".repeat(9000))), false).detail;
        assert_eq!(long.chars().count(), DETAIL_CHARS_MAX);
    }

    #[test]
    fn a_change_is_enforced_everywhere_when_every_node_says_so() {
        let at = UnixMillis(9);
        let applied = || node("gw-1", NodeAnswer::Applied { at });
        let told = |reports| Everywhere::Told(reports);
        assert!(told(vec![]).is_enforced() && told(vec![applied(), applied()]).is_enforced());
        for late in [NodeAnswer::Behind { seen: at }, NodeAnswer::Silent { seen: at }] {
            let everywhere = told(vec![applied(), node("gw-2", late)]);
            assert!(!everywhere.is_enforced());
            let [_, (_, nodes), (_, unknown)] = everywhere.members();
            assert_eq!((&nodes[0]["at"], &nodes[0]["seen"]), (&json!(9), &Value::Null));
            assert_eq!((&nodes[1]["answer"], &nodes[1]["seen"]), (&json!(late.as_str()), &json!(9)));
            assert!(unknown.is_null());
        }
        let nobody = Everywhere::Unknown("Redis is away".to_owned());
        assert!(!nobody.is_enforced());
        assert_eq!(nobody.members()[2], ("nodes_unknown", json!("Redis is away")));
    }

    #[test]
    fn what_is_shown_has_times_in_milliseconds() {
        let told = shown(&fleet(FleetRole::Gateway, true, None));
        assert_eq!(
            (&told["lease_millis"], &told["lease_left_millis"], &told["lag_millis"]),
            (&json!(1000), &json!(800), &json!(200))
        );
        assert_eq!(told["position"]["id"], "5-2");
        assert!(told["outbox"].is_null() && told["trouble"].is_null());
    }
}
