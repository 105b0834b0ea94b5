//! The operator listener, asked by somebody who does not hold the process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{Answer, Gateway};
use crate::h1;

/// What `/readyz` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Its status.
    pub status: u16,
    conditions: BTreeMap<String, (String, String)>,
}

/// Where the operator listener is, and its token. It outlives the process.
#[derive(Clone, Debug)]
pub struct Operator {
    address: SocketAddr,
    token: String,
}

/// How long an answer may take: longer than any wait that the operator API has by itself.
const BOUND: Duration = Duration::from_secs(60);

impl Gateway {
    /// Its operator listener.
    #[must_use]
    pub fn as_operator(&self) -> Operator {
        Operator { address: self.operator(), token: self.token().to_owned() }
    }
}

impl Operator {
    /// Asks with the token. None when nobody listens, the connection ends before the answer, or
    /// nothing comes for a minute.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        tokio::time::timeout(BOUND, self.answer(method, path, body)).await.ok()?
    }

    async fn answer(&self, method: &str, path: &str, body: Option<&Value>) -> Option<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let body = body.map(ToString::to_string).unwrap_or_default();
        let mut fields = vec![("authorization", bearer.as_str()), ("connection", "close")];
        if !body.is_empty() {
            fields.push(("content-type", "application/json"));
        }
        let stream = TcpStream::connect(self.address).await.ok()?;
        let mut client = h1::H1::over(Box::new(stream));
        let request = h1::request(method, &self.address.to_string(), path, &fields, body.as_bytes());
        if !client.try_send(request).await {
            return None;
        }
        let response = client.try_response(method).await.filter(|r| r.whole)?;
        Some(Answer { status: response.status(), text: response.text() })
    }

    /// Asks for `revoke`, `disable` or `reactivate`; `more` is added to what is asked.
    pub async fn change(&self, action: &str, kind: &str, id: &str, more: Value) -> Option<Answer> {
        let mut body = json!({"target": {"kind": kind, "id": id}, "action": action, "cause": "test"});
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        self.ask("POST", "/api/v1/revocations", Some(&body)).await
    }

    /// The metrics, by name with labels.
    pub async fn metrics(&self) -> Option<BTreeMap<String, f64>> {
        let text = self.ask("GET", "/metrics", None).await.filter(|a| a.status == 200)?.text;
        let line = |l: &str| {
            let (name, value) = l.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Some(text.lines().filter(|l| !l.starts_with('#')).filter_map(line).collect())
    }

    /// Whether clients may come.
    pub async fn ready(&self) -> Option<Readiness> {
        let answer = self.ask("GET", "/readyz", None).await?;
        let body: Value = serde_json::from_str(&answer.text).ok()?;
        let word = |condition: &Value, name: &str| condition[name].as_str().map(str::to_owned);
        let conditions = body["conditions"].as_array()?.iter().filter_map(|condition| {
            Some((word(condition, "name")?, (word(condition, "state")?, word(condition, "detail")?)))
        });
        Some(Readiness { status: answer.status, conditions: conditions.collect() })
    }
}

impl Readiness {
    /// The state of a condition and what is said of it; nothing of one that is not there.
    #[must_use]
    pub fn condition(&self, name: &str) -> (&str, &str) {
        self.conditions.get(name).map_or(("", ""), |(state, detail)| (state.as_str(), detail.as_str()))
    }
}
