//! `doorward revoke` and `doorward reactivate`.

use std::fmt::Write as _;
use std::time::Duration;

use doorward_model::{AppId, EntryKind, IssuerId, Target};
use serde_json::Value;

use super::{Exit, Failure, Output, printable};
use crate::cli::{Format, ReactivateArgs, RevokeArgs, TargetKind, WaitArgs, WaitFor};
use crate::clock::Stopwatch;
use crate::color::Style;
use crate::operator::{Operator, Receipt, RevocationRequest, Revoked, TargetName};

/// Takes access away.
pub(super) fn revoke(args: &RevokeArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let target = target(&operator, args.kind, &args.id, args.app.as_ref())?;
    let action = if args.disable { "disable" } else { "revoke" };
    ask(
        &operator,
        &target,
        Wanted { action, cause: &args.cause, wait: &args.wait, format: args.look.format() },
        out,
    )
}

/// Gives it back.
pub(super) fn reactivate(args: &ReactivateArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let target = target(&operator, args.kind.into(), &args.id, args.app.as_ref())?;
    let wanted =
        Wanted { action: "reactivate", cause: &args.cause, wait: &args.wait, format: args.look.format() };
    ask(&operator, &target, wanted, out)
}

/// What is asked for, and how the answer is printed.
struct Wanted<'a> {
    action: &'static str,
    cause: &'a str,
    wait: &'a WaitArgs,
    format: Format,
}

fn ask(
    operator: &Operator,
    target: &Target,
    wanted: Wanted<'_>,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let Wanted { action, cause, wait, format } = wanted;
    let request = RevocationRequest {
        target: TargetName { kind: target.kind().as_str().to_owned(), id: target.id() },
        action,
        cause: cause.to_owned(),
        wait: waits(wait)?,
        wait_millis_max: wait.wait_millis,
    };
    let watch = Stopwatch::start();
    let revoked = operator.revoke(&request)?;
    report(revoked, (target, action), (watch.elapsed(), format), out)
}

/// Says what came of it.
pub(super) fn report(
    revoked: Revoked,
    (target, action): (&Target, &str),
    (took, format): (Duration, Format),
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let (answer, receipt, is_durable) = received(revoked);
    if format == Format::Json {
        out.line(format_args!("{answer:#}"))?;
    } else {
        out.text(told(target, action, &receipt, took, out.style))?;
    }
    Ok(outcome(&receipt, is_durable))
}

/// For whom the answer waits.
pub(super) fn waits(wait: &WaitArgs) -> Result<Option<&'static str>, Failure> {
    if wait.wait_millis.is_some() && wait.wait != Some(WaitFor::Fleet) {
        let message = "`--wait-millis` has a meaning with `--wait fleet` only";
        return Err(Failure::new(Exit::Mistaken, message, "add `--wait fleet`, or leave it out"));
    }
    Ok(wait.wait.map(|whom| match whom {
        WaitFor::Node => "node",
        WaitFor::Fleet => "fleet",
    }))
}

pub(super) fn outcome(receipt: &Receipt, acknowledged: bool) -> Exit {
    match (acknowledged, receipt.published, receipt.enforced_everywhere) {
        (true, _, None | Some(true)) => Exit::Done,
        (true, _, Some(false)) | (false, Some(false), _) => Exit::NotEverywhere,
        (false, None | Some(true), _) => Exit::NotDurable,
    }
}

/// What came, what it says, and whether all of it is written down; what is not is told.
pub(super) fn received(revoked: Revoked) -> (Value, Receipt, bool) {
    let (answer, detail) = match revoked {
        Revoked::Durable(answer) => (answer, None),
        Revoked::InForceOnly { answer, detail } => (answer, Some(detail)),
    };
    let receipt = Receipt::read(&answer);
    if let Some(detail) = &detail {
        Failure::new(Exit::NotDurable, printable(detail), what_is_lacking(&receipt)).tell();
    }
    (answer, receipt, detail.is_none())
}

/// What to do about a change that is in force, and lacks something.
fn what_is_lacking(receipt: &Receipt) -> &'static str {
    match (receipt.published, receipt.durable) {
        (Some(false), _) => {
            "it is in force at this node and saved; the others get it as soon as Redis can be reached. A node that \
             cannot reach it refuses when its lease is over; only apps with `stale_seconds_max` go on for \
             that long. See `doorward fleet`"
        }
        (_, Some(true)) => "nobody is let in anew until the audit log can be written; mend its disk",
        (_, Some(false) | None) => {
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

/// The receipt, for people. `took` is from the question to the answer.
fn told(target: &Target, action: &str, receipt: &Receipt, took: Duration, style: Style) -> String {
    let done = match action {
        "reactivate" => "Reactivated",
        "disable" => "Revoked and disabled",
        _ => "Revoked",
    };
    let mut out = format!("{} {}\n", style.green(done), style.bold(&printable(&name(target))));
    if action != "reactivate" {
        out.push_str(&ended(receipt));
    }
    let on_disk = if receipt.durable_at.is_some() { " and on the disk" } else { "" };
    // Writing to a String does not fail.
    let _ = writeln!(out, "  in force  yes{on_disk}, acknowledged after {} ms", millis(took));
    out.push_str(&everywhere(receipt));
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

/// What the fleet said; nothing when it was not waited for.
pub(super) fn everywhere(receipt: &Receipt) -> String {
    let Some(everywhere) = receipt.enforced_everywhere else { return String::new() };
    if let Some(why) = &receipt.nodes_unknown {
        return format!("  fleet     not known: {}\n", printable(why));
    }
    let nodes = receipt.nodes.as_deref().unwrap_or_default();
    let missing: Vec<_> = nodes.iter().filter(|node| node.answer != "applied").collect();
    let mut text = match (everywhere, nodes.len()) {
        (true, 0) => "  fleet     this node belongs to none\n".to_owned(),
        (true, 1) => "  fleet     confirmed by the only node\n".to_owned(),
        (true, all) => format!("  fleet     confirmed by all {all} nodes\n"),
        (false, all) => {
            format!("  fleet     confirmed by {} of {all} nodes\n", all.saturating_sub(missing.len()))
        }
    };
    let debts = receipt.debts.as_deref().unwrap_or_default();
    for node in missing {
        let owed = debts.iter().find(|debt| debt.instance.as_deref() == Some(node.instance.as_str()));
        let owed =
            owed.map_or_else(String::new, |d| format!(", {} owes {}", printable(&d.owner), printable(&d.id)));
        let _ = writeln!(text, "            {} is {}{owed}", printable(&node.node), printable(&node.answer));
    }
    text
}

fn name(target: &Target) -> String {
    match target {
        Target::UserAtApp(user, app) => format!("user {user} at {app}"),
        Target::User(_) | Target::Session(_) | Target::Token(_) | Target::Device(_) => target.to_string(),
    }
}

/// What was running; nothing when the gateway does not say.
pub(super) fn ended(receipt: &Receipt) -> String {
    let Some(by_protocol) = &receipt.ended else { return String::new() };
    let total = by_protocol.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    let mut text = match total {
        0 => return "  ended     nothing was running\n".to_owned(),
        1 => "  ended     1 running exchange".to_owned(),
        n => format!("  ended     {n} running exchanges"),
    };
    let some = by_protocol.iter().filter(|(_, n)| **n > 0);
    let kinds: Vec<_> = some.map(|(kind, n)| format!("{n} {}", printable(kind))).collect();
    let _ = write!(text, " ({})", kinds.join(", "));
    match (receipt.remaining, receipt.took_micros) {
        (Some(left @ 1..), _) => {
            let _ = write!(text, ", {left} still saying goodbye");
        }
        (Some(0) | None, Some(micros)) => {
            let _ = write!(text, ", the last after {} ms", millis(Duration::from_micros(micros)));
        }
        (Some(0) | None, None) => {}
    }
    text.push('\n');
    text
}

/// Milliseconds, with as many digits as matter to a person.
pub(super) fn millis(took: Duration) -> String {
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
        let lacking = |answer: serde_json::Value| what_is_lacking(&Receipt::read(&answer));
        assert!(lacking(json!({ "durable": false })).contains("a restart would forget it"));
        assert!(lacking(json!({})).contains("a restart would forget it"));
        assert!(lacking(json!({ "durable": true })).contains("audit log"));
        assert!(lacking(json!({ "durable": true, "published": false })).contains("the others get it"));
    }

    #[test]
    fn a_script_can_tell_what_is_lacking() {
        for (answer, acknowledged, want) in [
            (json!({}), true, Exit::Done),
            (json!({ "enforced_everywhere": true }), true, Exit::Done),
            (json!({ "enforced_everywhere": false }), true, Exit::NotEverywhere),
            (json!({ "durable": false }), false, Exit::NotDurable),
            (json!({ "durable": true }), false, Exit::NotDurable),
            (json!({ "durable": true, "enforced_everywhere": false }), false, Exit::NotDurable),
            (json!({ "durable": true, "published": false }), false, Exit::NotEverywhere),
        ] {
            assert_eq!(outcome(&Receipt::read(&answer), acknowledged), want, "{answer}");
        }
    }

    #[test]
    fn the_fleet_is_told_by_who_is_missing() {
        let told = |answer: serde_json::Value| everywhere(&Receipt::read(&answer));
        assert_eq!(told(json!({})), "");
        assert_eq!(
            told(json!({ "enforced_everywhere": true, "nodes": [] })),
            "  fleet     this node belongs to none\n"
        );
        let node = |name: &str, answer: &str| json!({ "node": name, "instance": format!("i-{name}"), "answer": answer });
        let all = json!([node("gw-1", "applied"), node("gw-2", "applied")]);
        assert_eq!(
            told(json!({ "enforced_everywhere": true, "nodes": all })),
            "  fleet     confirmed by all 2 nodes\n"
        );
        let some = json!([node("gw-1", "applied"), node("gw-2", "silent"), node("\u{1b}[2J", "behind")]);
        let debts = json!([{ "id": "d-1", "instance": "i-gw-2", "owner": "security", "due_at": 5 }]);
        assert_eq!(
            told(json!({ "enforced_everywhere": false, "nodes": some, "debts": debts })),
            "  fleet     confirmed by 1 of 3 nodes\n            gw-2 is silent, security owes d-1\n            \
             \\u{1b}[2J is behind\n"
        );
        assert_eq!(
            told(json!({ "enforced_everywhere": false, "nodes": [], "nodes_unknown": "Redis is away" })),
            "  fleet     not known: Redis is away\n"
        );
    }

    #[test]
    fn receipts_are_told_calmly() {
        let user = Target::parse(EntryKind::User, "corp:alice").unwrap();
        let took = Duration::from_micros(2345);
        let full = Receipt::read(&json!({
            "id": "0192-x", "durable_at": 5, "took_micros": 812,
            "ended": { "websocket": 4, "http2": 2, "grpc": 0 }, "remaining": 0, "unheard_of": [],
        }));
        assert_eq!(
            told(&user, "revoke", &full, took, Style::Plain),
            "\
Revoked user corp:alice
  ended     6 running exchanges (2 http2, 4 websocket), the last after 0.8 ms
  in force  yes and on the disk, acknowledged after 2.3 ms
  receipt   0192-x
Signing in anew is possible; `--disable` prevents that.
"
        );
        let hasty = Receipt { remaining: Some(1), ..full };
        assert!(ended(&hasty).ends_with(", 1 still saying goodbye\n"));
        let bare = Receipt::read(&json!({}));
        let token = Target::parse(EntryKind::Token, "corp:8a11").unwrap();
        assert_eq!(
            told(&token, "revoke", &bare, took, Style::Plain),
            "Revoked token corp:8a11\n  in force  yes, acknowledged after 2.3 ms\n"
        );
        let idle = Receipt::read(&json!({ "ended": { "http1": 0 }, "durable": true }));
        assert!(
            told(&token, "disable", &idle, took, Style::Plain).contains("  ended     nothing was running\n")
        );
        let at_app = Target::parse(EntryKind::UserAtApp, "payroll@corp:alice").unwrap();
        assert!(
            told(&at_app, "disable", &bare, took, Style::Plain)
                .starts_with("Revoked and disabled user corp:alice at payroll\n")
        );
        assert_eq!(
            told(&user, "reactivate", &bare, Duration::from_millis(12), Style::Plain),
            "Reactivated user corp:alice\n  in force  yes, acknowledged after 12 ms\n\
             Signing in anew is possible. Nothing old came back to life.\n"
        );
    }
}
