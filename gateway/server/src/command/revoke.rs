//! `doorward revoke` and `doorward reactivate`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use doorward_model::{AppId, EntryKind, IssuerId, Target};
use serde_json::Value;

use super::{Exit, Failure, Output, printable};
use crate::cli::{ReactivateArgs, RevokeArgs, TargetKind};
use crate::clock::Stopwatch;
use crate::color::Style;
use crate::operator::{Operator, Receipt, RevocationRequest, Revoked, TargetName};

/// Takes access away.
pub(super) fn revoke(args: &RevokeArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.gateway)?;
    let target = target(&operator, args.kind, &args.id, args.app.as_ref())?;
    let action = if args.disable { "disable" } else { "revoke" };
    ask(&operator, &target, action, &args.cause, args.json, out)
}

/// Gives it back.
pub(super) fn reactivate(args: &ReactivateArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.gateway)?;
    let target = target(&operator, args.kind.into(), &args.id, args.app.as_ref())?;
    ask(&operator, &target, "reactivate", &args.cause, args.json, out)
}

fn ask(
    operator: &Operator,
    target: &Target,
    action: &'static str,
    cause: &str,
    json: bool,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let request = RevocationRequest {
        target: TargetName { kind: target.kind().as_str().to_owned(), id: target.id() },
        action,
        cause: cause.to_owned(),
    };
    let watch = Stopwatch::start();
    let (answer, exit) = match operator.revoke(&request)? {
        Revoked::Durable(answer) => (answer, Exit::Done),
        Revoked::InForceOnly { answer, detail } => {
            eprintln!("error: {}\n  help: {}", printable(&detail), what_is_lacking(&answer));
            (answer, Exit::NotDurable)
        }
    };
    if json {
        out.line(format_args!("{answer:#}"))?;
    } else {
        let receipt = Receipt::read(&answer);
        out.text(told(target, action, &receipt, watch.elapsed(), out.style))?;
    }
    Ok(exit)
}

/// What to do about a change that is in force, and not all of it written down.
fn what_is_lacking(answer: &Value) -> &'static str {
    match Receipt::read(answer).durable {
        Some(true) => "nobody is let in anew until the audit log can be written; mend its disk",
        Some(false) | None => {
            "it is in force now and a restart would forget it: mend the disk of the store, then ask once more"
        }
    }
}

/// The target that is meant. A name without its issuer is completed when there is no doubt.
fn target(operator: &Operator, kind: TargetKind, id: &str, app: Option<&AppId>) -> Result<Target, Failure> {
    if app.is_some() && kind != TargetKind::User {
        return Err(Failure::new(
            Exit::Mistaken,
            "`--app` is for users only",
            "a session, a token and a device are cut off at every app",
        ));
    }
    let full = match kind {
        TargetKind::Device => id.to_owned(),
        TargetKind::User | TargetKind::Session | TargetKind::Token => with_issuer(operator, id)?,
    };
    let text = match app {
        Some(app) => format!("{app}@{full}"),
        None => full,
    };
    Target::parse(kind.entry_kind(app.is_some()), &text).map_err(|e| Failure {
        exit: Exit::Mistaken,
        message: e.to_string(),
        help: None,
    })
}

/// `issuer:name`; the gateway is asked when the name does not say which issuer.
pub(super) fn with_issuer(operator: &Operator, name: &str) -> Result<String, Failure> {
    if name.contains(':') {
        return Ok(name.to_owned());
    }
    Ok(format!("{}:{name}", only_issuer(&operator.status()?.issuers, name)?))
}

/// The issuer that a name without one belongs to.
fn only_issuer(issuers: &[String], id: &str) -> Result<IssuerId, Failure> {
    let shown = printable(id);
    match issuers {
        [only] => IssuerId::new(only).map_err(|e| Failure {
            exit: Exit::Failed,
            message: e.to_string(),
            help: None,
        }),
        [] => Err(Failure::new(
            Exit::Mistaken,
            format!("`{shown}` does not say which issuer, and the gateway names none"),
            format!("write `issuer:{shown}`"),
        )),
        many => {
            let names: Vec<_> = many.iter().map(|i| format!("`{}:{shown}`", printable(i))).collect();
            Err(Failure::new(
                Exit::Mistaken,
                format!("`{shown}` does not say which issuer"),
                format!("write one of {}", names.join(", ")),
            ))
        }
    }
}

/// The receipt, for people.
fn told(target: &Target, action: &str, receipt: &Receipt, took: Duration, style: Style) -> String {
    let who = printable(&target.to_string());
    let done = match action {
        "reactivate" => "Reactivated",
        "disable" => "Revoked and disabled",
        _ => "Revoked",
    };
    let mut out = format!("{} {}\n", style.green(done), style.bold(&who));
    if action != "reactivate"
        && let Some(by_protocol) = &receipt.ended
    {
        // Writing to a String does not fail.
        let _ = writeln!(out, "  ended     {}", ended(by_protocol, receipt.remaining));
    }
    let took = match receipt.took_micros {
        Some(micros) => Duration::from_micros(micros),
        None => took,
    };
    let durable = match receipt.durable_at {
        Some(_) => ", and on the disk",
        None => "",
    };
    let _ = writeln!(out, "  in force  after {} ms{durable}", millis(took));
    if let Some(id) = &receipt.id {
        let _ = writeln!(out, "  receipt   {}", printable(id));
    }
    let next = match (action, target.kind()) {
        ("revoke", EntryKind::User | EntryKind::UserAtApp) => {
            "Signing in anew is possible; `--disable` prevents that."
        }
        ("disable", _) => "Nothing new is let in until `doorward reactivate`.",
        ("reactivate", _) => "Signing in anew is possible. Nothing old came back to life.",
        _ => return out,
    };
    let _ = writeln!(out, "{}", style.dim(next));
    out
}

fn ended(by_protocol: &BTreeMap<String, u64>, remaining: Option<u64>) -> String {
    let total = by_protocol.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let mut text = match total {
        0 => return "nothing was running".to_owned(),
        1 => "1 running exchange".to_owned(),
        n => format!("{n} running exchanges"),
    };
    let some = by_protocol.iter().filter(|(_, n)| **n > 0);
    let kinds: Vec<_> = some.map(|(kind, n)| format!("{n} {}", printable(kind))).collect();
    let _ = write!(text, " ({})", kinds.join(", "));
    if let Some(left @ 1..) = remaining {
        let _ = write!(text, ", {left} still saying goodbye");
    }
    text
}

/// Milliseconds, with as many digits as matter to a person.
fn millis(took: Duration) -> String {
    let millis = took.as_secs_f64() * 1000.0;
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_without_issuer_is_completed_only_without_doubt() {
        let issuers = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(only_issuer(&issuers(&["corp"]), "alice").unwrap().as_str(), "corp");
        let e = only_issuer(&issuers(&["corp", "partners"]), "alice").unwrap_err();
        assert_eq!(e.help.as_deref(), Some("write one of `corp:alice`, `partners:alice`"));
        assert_eq!(only_issuer(&[], "alice").unwrap_err().exit, Exit::Mistaken);
        assert_eq!(only_issuer(&issuers(&["\u{1b}[2J"]), "alice").unwrap_err().exit, Exit::Failed);
    }

    #[test]
    fn what_is_in_force_and_not_saved_is_not_called_lost() {
        assert!(what_is_lacking(&json!({ "durable": false })).contains("a restart would forget it"));
        assert!(what_is_lacking(&json!({})).contains("a restart would forget it"));
        assert!(what_is_lacking(&json!({ "durable": true })).contains("audit log"));
    }

    #[test]
    fn receipts_are_told_calmly() {
        let user = Target::parse(EntryKind::User, "corp:alice").unwrap();
        let took = Duration::from_micros(2345);
        let full = Receipt::read(&json!({
            "id": "0192-x", "durable_at": 5, "took_micros": 812,
            "ended": { "websocket": 4, "http2": 2, "grpc": 0 }, "remaining": 1, "unheard_of": [],
        }));
        assert_eq!(
            told(&user, "revoke", &full, took, Style::Plain),
            "\
Revoked user corp:alice
  ended     6 running exchanges (2 http2, 4 websocket), 1 still saying goodbye
  in force  after 0.8 ms, and on the disk
  receipt   0192-x
Signing in anew is possible; `--disable` prevents that.
"
        );
        let bare = Receipt::read(&json!({}));
        let token = Target::parse(EntryKind::Token, "corp:8a11").unwrap();
        assert_eq!(
            told(&token, "revoke", &bare, took, Style::Plain),
            "Revoked token corp:8a11\n  in force  after 2.3 ms\n"
        );
        let idle = Receipt::read(&json!({ "ended": { "http1": 0 }, "durable": true }));
        assert!(
            told(&token, "disable", &idle, took, Style::Plain).contains("  ended     nothing was running\n")
        );
        assert_eq!(
            told(&user, "reactivate", &bare, Duration::from_millis(12), Style::Plain),
            "Reactivated user corp:alice\n  in force  after 12 ms\n\
             Signing in anew is possible. Nothing old came back to life.\n"
        );
    }
}
