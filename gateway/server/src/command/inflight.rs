//! `doorward inflight`: what runs now.

use serde::Deserialize as _;
use serde_json::Value;

use super::revoke::with_issuer;
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{Format, InflightArgs};
use crate::clock;
use crate::color::Style;
use crate::operator::{InflightAnswer, InflightExchange, Operator};

pub(super) fn inflight(args: &InflightArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let answer = look(args)?;
    if args.look.format() == Format::Json {
        out.line(format_args!("{answer:#}"))?;
        return Ok(Exit::Done);
    }
    out.text(told(&read(&answer)?, clock::now().0, out.style))?;
    Ok(Exit::Done)
}

/// Asks the gateway.
pub(super) fn look(args: &InflightArgs) -> Result<Value, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let user = args.user.as_deref().map(|user| with_issuer(&operator, user)).transpose()?;
    let lines = args.lines.to_string();
    let mut filter = vec![("limit", lines.as_str())];
    if let Some(user) = &user {
        filter.push(("user", user.as_str()));
    }
    if let Some(app) = &args.app {
        filter.push(("app", app.as_str()));
    }
    Ok(operator.inflight(&filter)?)
}

pub(super) fn read(answer: &Value) -> Result<InflightAnswer, Failure> {
    InflightAnswer::deserialize(answer).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })
}

fn told(listed: &InflightAnswer, now_millis: i64, style: Style) -> String {
    let shown = listed.exchanges.len();
    if shown == 0 {
        return "nothing runs\n".to_owned();
    }
    let mut rows = vec![["USER", "APP", "PROTOCOL", "SINCE", "CLIENT", "PATH"].map(str::to_owned)];
    rows.extend(listed.exchanges.iter().map(|e| row(e, now_millis)));
    let mut text = table(&rows, style);
    match listed.total {
        Some(total) if usize::try_from(total).is_ok_and(|total| total > shown) => {
            text.push_str(&format!(
                "{shown} of {total}: add `-n` and a larger number, `--user` or `--app`.\n"
            ));
        }
        Some(_) | None => {}
    }
    text
}

fn row(e: &InflightExchange, now_millis: i64) -> [String; 6] {
    let since = match e.started_at {
        Some(at) => age(now_millis.saturating_sub(at)),
        None => String::new(),
    };
    let user = e.user.as_deref().unwrap_or("(visitor)");
    [user, &e.app, &e.protocol, &since, &e.client, &e.path].map(printable)
}

/// How long ago, in the two units that matter.
pub(super) fn age(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_runs_is_a_table() {
        let answer = json!({
            "total": 7,
            "exchanges": [
                { "user": "corp:alice", "app": "wiki", "protocol": "websocket", "started_at": 1000,
                  "client": "192.0.2.1", "path": "/ws", "new": 1 },
                { "app": "payroll", "protocol": "http2", "started_at": 3_600_000, "client": "2001:db8::1",
                  "path": "/\u{1b}[2J" },
            ],
        });
        let listed = InflightAnswer::deserialize(&answer).unwrap();
        assert_eq!(
            told(&listed, 3_661_000, Style::Plain),
            "\
USER        APP      PROTOCOL   SINCE  CLIENT       PATH
corp:alice  wiki     websocket  1h01m  192.0.2.1    /ws
(visitor)   payroll  http2      1m01s  2001:db8::1  /\\u{1b}[2J
2 of 7: add `-n` and a larger number, `--user` or `--app`.
"
        );
        assert_eq!(told(&InflightAnswer::default(), 0, Style::Plain), "nothing runs\n");
    }

    #[test]
    fn ages_are_read_at_a_glance() {
        for (millis, text) in
            [(-5, "0s"), (59_999, "59s"), (61_000, "1m01s"), (7_260_000, "2h01m"), (90_000_000, "1d01h")]
        {
            assert_eq!(age(millis), text);
        }
    }
}
