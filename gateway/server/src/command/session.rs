//! `doorward session`: where somebody is signed in with a browser, and what runs, by sign-in.
//!
//! A session of a browser has a name of the gateway's, and a record that every node can read. Any other is known by the
//! `sid` of its tokens; this node knows those with which something runs on it.

mod browsers;

use std::collections::{BTreeMap, BTreeSet};

use super::inflight::{age, look, read};
use super::{Exit, Failure, Output, printable, revoke, table};
use crate::cli::{Format, InflightArgs, RevokeArgs, SessionCommand, TargetKind};
use crate::clock;
use crate::color::Style;
use crate::operator::InflightAnswer;

/// How the name of a session of a browser begins.
const OF_BROWSER: &str = "dws-";

/// Lists sessions, or ends one.
pub(super) fn session(command: SessionCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        SessionCommand::List(args) => list(&args, out),
        SessionCommand::End(args) if args.session.starts_with(OF_BROWSER) => browsers::end(&args, out),
        SessionCommand::End(args) => {
            let (kind, id) = (TargetKind::Session, args.session);
            let (cause, wait, look) = (args.cause, args.wait, args.look);
            revoke::revoke(&RevokeArgs { kind, id, app: None, disable: false, cause, wait, look }, out)
        }
    }
}

fn list(args: &InflightArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let answer = look(args)?;
    let listed = read(&answer)?;
    let known = match &args.user {
        Some(user) => browsers::of(args, user)?,
        None => None,
    };
    if args.look.format() == Format::Json {
        let browsers = known.as_ref().and_then(|known| known.answer.get("sessions"));
        let all = serde_json::json!({ "sessions": by_session(&listed), "browsers": browsers });
        out.line(format_args!("{all:#}"))?;
        return Ok(Exit::Done);
    }
    let now = clock::now().0;
    if let Some(known) = known {
        out.text(known.told(now, out.style))?;
    }
    out.text(told(&listed, now, out.style))?;
    Ok(Exit::Done)
}

/// What runs with one session.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
struct Session {
    session: Option<String>,
    user: Option<String>,
    exchanges: usize,
    apps: BTreeSet<String>,
    clients: BTreeSet<String>,
    /// When the oldest of them began.
    since: Option<i64>,
}

fn by_session(listed: &InflightAnswer) -> Vec<Session> {
    let mut all: BTreeMap<(Option<&str>, Option<&str>), Session> = BTreeMap::new();
    for exchange in listed.exchanges.iter().filter(|exchange| exchange.user.is_some()) {
        let key = (exchange.user.as_deref(), exchange.session.as_deref());
        let known = all.entry(key).or_default();
        known.session.clone_from(&exchange.session);
        known.user.clone_from(&exchange.user);
        known.exchanges += 1;
        known.apps.insert(exchange.app.clone());
        known.clients.insert(exchange.client.clone());
        known.since = known.since.into_iter().chain(exchange.started_at).min();
    }
    all.into_values().collect()
}

fn told(listed: &InflightAnswer, now_millis: i64, style: Style) -> String {
    let sessions = by_session(listed);
    if sessions.is_empty() {
        return "nothing runs with a session\n".to_owned();
    }
    let heads = ["USER", "SESSION", "RUNS", "SINCE", "APPS", "CLIENTS"].map(str::to_owned);
    let joined = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(",");
    let row = |s: &Session| {
        let since = s.since.map(|at| age(now_millis.saturating_sub(at))).unwrap_or_default();
        let (user, session) = (s.user.as_deref().unwrap_or(""), s.session.as_deref().unwrap_or("(none)"));
        let (apps, clients) = (joined(&s.apps), joined(&s.clients));
        [user, session, &s.exchanges.to_string(), &since, &apps, &clients].map(printable)
    };
    let rows: Vec<_> = std::iter::once(heads).chain(sessions.iter().map(row)).collect();
    let mut text = table(&rows, style);
    let (shown, total) = (listed.exchanges.len(), listed.total.unwrap_or_default());
    if usize::try_from(total).is_ok_and(|total| total > shown) {
        let all =
            format!("of {shown} exchanges of {total}: add `-n` and a larger number, `--user` or `--app`.\n");
        text.push_str(&all);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runs_is_told_by_session() {
        let one = |user: &str, session: Option<&str>, app: &str, at: i64| {
            json!({"user": user, "session": session, "app": app, "protocol": "http1", "started_at": at,
                   "client": "192.0.2.1", "path": "/"})
        };
        let answer = json!({"total": 9, "exchanges": [
            one("corp:bob", Some("corp:s-2"), "wiki", 3_600_000),
            one("corp:alice", Some("corp:s-1"), "wiki", 3_600_000),
            one("corp:alice", Some("corp:s-1"), "build", 1000),
            one("corp:alice", Some("corp:\u{1b}[2J"), "build", 3_600_000),
            one("robots:backup", None, "build", 3_600_000),
            {"app": "wiki", "protocol": "http1", "client": "192.0.2.2", "path": "/welcome"},
        ]});
        let listed = InflightAnswer::deserialize(&answer).unwrap();
        assert_eq!(
            told(&listed, 3_661_000, Style::Plain),
            "\
USER           SESSION         RUNS  SINCE  APPS        CLIENTS
corp:alice     corp:\\u{1b}[2J  1     1m01s  build       192.0.2.1
corp:alice     corp:s-1        2     1h01m  build,wiki  192.0.2.1
corp:bob       corp:s-2        1     1m01s  wiki        192.0.2.1
robots:backup  (none)          1     1m01s  build       192.0.2.1
of 6 exchanges of 9: add `-n` and a larger number, `--user` or `--app`.
"
        );
        assert_eq!(told(&InflightAnswer::default(), 0, Style::Plain), "nothing runs with a session\n");
    }
}
