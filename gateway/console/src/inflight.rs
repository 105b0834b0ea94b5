//! `GET /api/v1/inflight`: what runs now.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use doorward_model::limits::OPERATOR_INFLIGHT_ROWS_MAX;
use doorward_model::{AppId, UserId};
use serde_json::{Value, json};

use crate::Console;
use crate::guard::Call;
use crate::ports::{InflightFilter, Running};
use crate::problem::{Mistake, Problem};

/// How many rows there are unless it is said.
pub(crate) const ROWS: usize = 1000;

/// The parameters of a query, each of which may stand there once.
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl Parameters {
    pub(crate) fn new(pairs: Vec<(String, String)>, known: &[&str]) -> Self {
        let mut mistakes = Vec::new();
        for (i, (name, _)) in pairs.iter().enumerate() {
            let shown: String = name.chars().take(64).collect();
            if !known.contains(&name.as_str()) {
                let help = format!("known are {}", known.join(", "));
                mistakes.push(Mistake::new(shown, "is not known here", &help));
            } else if pairs.iter().skip(i + 1).any(|(other, _)| other == name) {
                mistakes.push(Mistake::new(shown, "stands there twice", ""));
            }
            if mistakes.len() > 16 {
                break;
            }
        }
        Self { pairs, mistakes }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Reads one, or notes why it cannot be read.
    pub(crate) fn read<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let read = read(self.get(name)?);
        read.map_err(|e| self.mistakes.push(Mistake::new(name, e.to_string(), ""))).ok()
    }

    /// Reads how many rows are wanted.
    pub(crate) fn limit(&mut self, default: usize, max: usize) -> usize {
        self.bounded("limit", default, max)
    }

    /// Reads a number from 1 to `max`.
    pub(crate) fn bounded<N>(&mut self, name: &str, default: N, max: N) -> N
    where
        N: FromStr + PartialOrd + From<u8> + fmt::Display + Copy,
    {
        let read = |text: &str| match text.parse() {
            Ok(n) if (N::from(1)..=max).contains(&n) => Ok(n),
            Ok(_) | Err(_) => Err(format!("is not a number from 1 to {max}")),
        };
        self.read(name, read).unwrap_or(default)
    }
}

/// A page of what is known as a whole, in the order of names, and behind which name the next one begins.
pub(crate) fn page<T>(
    mut all: Vec<T>,
    after: Option<&str>,
    limit: usize,
    name: impl Fn(&T) -> &str,
) -> (Vec<T>, Option<String>) {
    all.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    all.retain(|one| after.is_none_or(|after| name(one) > after));
    let others = all.len() > limit;
    all.truncate(limit);
    let next = all.last().filter(|_| others).map(|last| name(last).to_owned());
    (all, next)
}

pub(crate) async fn list(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let mut query = Parameters::new(pairs, &["user", "app", "limit"]);
    let filter = InflightFilter {
        user: query.read("user", str::parse::<UserId>),
        app: query.read("app", AppId::new),
        limit: query.limit(ROWS, OPERATOR_INFLIGHT_ROWS_MAX),
    };
    if !query.mistakes.is_empty() {
        return Problem::mistaken(&call, query.mistakes).into_response();
    }
    let mut found = (console.ports.inflight)(&filter);
    found.exchanges.truncate(filter.limit);
    let exchanges: Vec<Value> = found.exchanges.iter().map(shown).collect();
    let total = found.total.max(exchanges.len());
    Json(json!({ "exchanges": exchanges, "total": total })).into_response()
}

fn shown(running: &Running) -> Value {
    json!({
        "user": running.user.as_ref().map(ToString::to_string),
        "session": running.session.as_ref().map(ToString::to_string),
        "app": running.route.app().as_str(),
        "route": running.route.as_str(),
        "protocol": running.protocol.as_str(),
        "started_at": running.started_at.0,
        "client": running.client.to_string(),
        "path": running.path,
        "request_id": &*running.request_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_on_one_page() {
        let all = || vec!["c", "a", "e", "b", "d"];
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let (page, next) = page(all(), after.as_deref(), 2, |name| name);
            assert!(page.len() <= 2);
            seen.extend(page);
            after = next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
        assert_eq!(page(all(), None, 5, |name| name).1, None, "nothing follows");
        assert_eq!(page(all(), Some("e"), 5, |name| name), (Vec::new(), None));
    }

    #[test]
    fn a_query_that_could_be_read_in_two_ways_is_refused() {
        let pairs = |p: &[(&str, &str)]| p.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let mut query = Parameters::new(pairs(&[("limit", "5"), ("limit", "6"), ("x", "1")]), &["limit"]);
        assert_eq!(query.limit(1, 10), 5);
        let told: Vec<_> = query.mistakes.iter().map(|m| (m.field.as_str(), m.message.as_str())).collect();
        assert_eq!(told, [("limit", "stands there twice"), ("x", "is not known here")]);
        for bad in ["0", "11", "-1", "", "1e1", "99999999999999999999"] {
            let mut query = Parameters::new(pairs(&[("limit", bad)]), &["limit"]);
            assert_eq!((query.limit(1, 10), query.mistakes.len()), (1, 1), "{bad}");
        }
    }
}
