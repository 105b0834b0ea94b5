//! Where somebody is signed in with a browser.

use doorward_model::{EntryKind, Target};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::super::inflight::age;
use super::super::revoke::{report, waits, with_issuer};
use super::super::{Exit, Failure, Output, printable, table};
use crate::cli::{InflightArgs, SessionEndArgs};
use crate::clock::Stopwatch;
use crate::color::Style;
use crate::operator::{ApiError, Operator, Revoked};

/// What the gateway says.
pub(super) struct Known {
    pub(super) answer: Value,
    listed: Listed,
}

#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    node: String,
    sessions: Vec<Browser>,
}

#[derive(Debug, Deserialize)]
struct Browser {
    session: String,
    #[serde(default)]
    stands: Option<bool>,
    #[serde(default)]
    signed_in_at: i64,
    #[serde(default)]
    seen_at: i64,
    #[serde(default)]
    client: String,
    #[serde(default)]
    country: Option<String>,
    #[serde(default)]
    browser: String,
    #[serde(default)]
    apps: Vec<String>,
    #[serde(default)]
    running: u64,
}

/// Asks the gateway. None where nobody signs in with a browser.
pub(super) fn of(args: &InflightArgs, user: &str) -> Result<Option<Known>, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let user = with_issuer(&operator, user)?;
    let answer = match operator.look(&["sessions"], &[("user", user.as_str())]) {
        Ok(answer) => answer,
        // A gateway without `[sign_in]`, or one from before there were any.
        Err(ApiError::Refused { status: StatusCode::CONFLICT | StatusCode::NOT_FOUND, .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let listed = Listed::deserialize(&answer).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })?;
    Ok(Some(Known { answer, listed }))
}

impl Known {
    pub(super) fn told(&self, now_millis: i64, style: Style) -> String {
        let Listed { node, sessions } = &self.listed;
        if sessions.is_empty() {
            return "signed in with no browser\n\n".to_owned();
        }
        let runs = format!("RUNS AT {}", node.to_uppercase());
        let heads = ["BROWSER SESSION", "SINCE", "LAST USED", "FROM", "BROWSER", "APPS", &runs];
        let row = |s: &Browser| {
            let ago = |at: i64| age(now_millis.saturating_sub(at));
            let from = match &s.country {
                Some(country) => format!("{country}, {}", s.client),
                None => s.client.clone(),
            };
            let runs = if s.stands == Some(false) { "ended".to_owned() } else { s.running.to_string() };
            let apps = s.apps.join(",");
            [&s.session, &ago(s.signed_in_at), &ago(s.seen_at), &from, &s.browser, &apps, &runs]
                .map(|text| printable(text))
        };
        let rows: Vec<_> = std::iter::once(heads.map(printable)).chain(sessions.iter().map(row)).collect();
        format!("{}\n", table(&rows, style))
    }
}

/// Ends one.
pub(super) fn end(args: &SessionEndArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let Some(user) = &args.user else {
        let message =
            format!("`{}` is a session of a browser, and it is not said whose", printable(&args.session));
        return Err(Failure::new(Exit::Mistaken, message, "add `--user issuer:subject`"));
    };
    let operator = Operator::find(&args.look.gateway)?;
    let user = with_issuer(&operator, user)?;
    let mut body = serde_json::Map::new();
    body.insert("user".to_owned(), user.into());
    body.insert("session".to_owned(), args.session.clone().into());
    body.insert("cause".to_owned(), args.cause.clone().into());
    if let Some(wait) = waits(&args.wait)? {
        body.insert("wait".to_owned(), wait.into());
    }
    if let Some(millis) = args.wait.wait_millis {
        body.insert("wait_millis_max".to_owned(), millis.into());
    }
    let watch = Stopwatch::start();
    let revoked = operator.change(Method::POST, &["sessions", "end"], &body.into())?;
    let (Revoked::Durable(answer) | Revoked::InForceOnly { answer, .. }) = &revoked;
    let id = answer.pointer("/target/id").and_then(Value::as_str).unwrap_or_default();
    let target = Target::parse(EntryKind::Token, id).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })?;
    report(revoked, (&target, "revoke"), (watch.elapsed(), args.look.format()), out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(sessions: Value) -> Known {
        let answer = json!({ "node": "gw-1", "sessions": sessions });
        Known { listed: Listed::deserialize(&answer).unwrap(), answer }
    }

    #[test]
    fn where_somebody_is_signed_in_is_told() {
        let known = known(json!([
            {"session": "dws-AbCdEfGh", "stands": true, "signed_in_at": 1000, "seen_at": 3_600_000,
             "client": "192.0.2.7", "country": "DE", "browser": "Firefox on Linux", "apps": ["mail", "wiki"], "running": 2},
            {"session": "dws-ZyXwVuTs", "stands": false, "signed_in_at": 3_600_000, "seen_at": 3_600_000,
             "client": "2001:db8::1", "country": null, "browser": "A \u{1b}[2J", "apps": [], "running": 0},
        ]));
        assert_eq!(
            known.told(3_661_000, Style::Plain),
            "\
BROWSER SESSION  SINCE  LAST USED  FROM           BROWSER           APPS       RUNS AT GW-1
dws-AbCdEfGh     1h01m  1m01s      DE, 192.0.2.7  Firefox on Linux  mail,wiki  2
dws-ZyXwVuTs     1m01s  1m01s      2001:db8::1    A \\u{1b}[2J                  ended

"
        );
        assert_eq!(self::known(json!([])).told(0, Style::Plain), "signed in with no browser\n\n");
    }
}
