//! `doorward device`.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::changed::{Wanted, change, more, pages, person, show, text_of};
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{
    ChangeArgs, DeviceAddArgs, DeviceCertificateArgs, DeviceCommand, DeviceListArgs, PostureArgs,
};
use crate::color::Style;
use crate::operator::Operator;

const LIST: &str = "devices";

/// Does what is asked for of devices.
pub(super) fn device(command: &DeviceCommand, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match command {
        DeviceCommand::List(args) => list(args, out),
        DeviceCommand::Show(args) => {
            let answer = Operator::find(&args.look.gateway)?.look(&[LIST, &args.device], &[])?;
            show(&answer, &args.look, out, |answer, style| listed(std::slice::from_ref(answer), style))
        }
        DeviceCommand::Add(args) => add(args, out),
        DeviceCommand::Assign(args) => {
            let operator = Operator::find(&args.change.look.gateway)?;
            let owner = args.owner.as_ref().map(|owner| person(&operator, owner)).transpose()?;
            let body = owner.map_or_else(|| json!({}), |owner| json!({ "owner": owner.id }));
            act(&operator, (&args.device, "assign", "Assigned"), body, &args.change, out)
        }
        DeviceCommand::Say(args) => {
            let operator = Operator::find(&args.change.look.gateway)?;
            let body = Value::Object(said(&args.posture));
            act(&operator, (&args.device, "say", "Noted what is said of"), body, &args.change, out)
        }
        DeviceCommand::Bind(args) => certificate(args, ("bind", "Noted a certificate of"), out),
        DeviceCommand::Unbind(args) => certificate(args, ("unbind", "Took a certificate off"), out),
        DeviceCommand::Block(args) => plain((&args.device, "block", "Blocked"), &args.change, out),
        DeviceCommand::Unblock(args) => plain((&args.device, "unblock", "Unblocked"), &args.change, out),
        DeviceCommand::Remove(args) => plain((&args.device, "remove", "Removed"), &args.change, out),
    }
}

fn plain(what: (&str, &str, &str), args: &ChangeArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    act(&Operator::find(&args.look.gateway)?, what, json!({}), args, out)
}

fn certificate(
    args: &DeviceCertificateArgs,
    (verb, done): (&str, &str),
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let body = json!({ "thumbprint": args.thumbprint.to_lowercase() });
    act(&operator, (&args.device, verb, done), body, &args.change, out)
}

fn act(
    operator: &Operator,
    (device, verb, done): (&str, &str, &str),
    body: Value,
    args: &ChangeArgs,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let of = printable(device);
    change(operator, &Wanted { method: Method::POST, path: &[LIST, device, verb], body, done, of }, args, out)
}

fn add(args: &DeviceAddArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.change.look.gateway)?;
    let mut body = said(&args.posture);
    body.insert("id".to_owned(), args.device.as_str().into());
    body.insert("name".to_owned(), args.name.as_str().into());
    if let Some(owner) = &args.owner {
        body.insert("owner".to_owned(), person(&operator, owner)?.id.into());
    }
    for (name, value) in [("platform", &args.platform), ("thumbprint", &args.thumbprint)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.as_str().into());
        }
    }
    let (body, of) = (body.into(), printable(&args.device));
    let wanted = Wanted { method: Method::POST, path: &[LIST], body, done: "Registered", of };
    change(&operator, &wanted, &args.change, out)
}

fn said(posture: &PostureArgs) -> Map<String, Value> {
    let compliance = match (posture.compliant, posture.not_compliant) {
        (true, _) => "compliant",
        (false, true) => "not_compliant",
        (false, false) => "unknown",
    };
    let body = [
        ("managed".to_owned(), posture.managed.into()),
        ("compliance".to_owned(), compliance.into()),
        ("hours".to_owned(), posture.hours.into()),
    ];
    body.into_iter().collect()
}

fn list(args: &DeviceListArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let owner = args.owner.as_ref().map(|owner| person(&operator, owner)).transpose()?;
    let query: Vec<_> = owner.iter().map(|owner| ("owner", owner.id.as_str())).collect();
    let answer = pages(&operator, LIST, &query, &args.page)?;
    show(&answer, &args.look, out, |answer, style| {
        let rows = answer.get(LIST).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        listed(rows, style) + &more(answer)
    })
}

fn listed(rows: &[Value], style: Style) -> String {
    if rows.is_empty() {
        return "no device\n".to_owned();
    }
    let mut lines = vec![["ID", "NAME", "PLATFORM", "COMPLIANCE", "BLOCKED", "OWNER"].map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        let said = |member: &str| text_of(row, member);
        let posture = row.get("posture").filter(|posture| posture.is_object());
        let compliance = match posture {
            None => "unknown".to_owned(),
            Some(posture) if posture.get("fresh") == Some(&Value::Bool(true)) => {
                text_of(posture, "compliance")
            }
            Some(_) => "stale".to_owned(),
        };
        let blocked = if row.get("blocked").is_some_and(Value::is_object) { "yes" } else { "no" };
        [said("id"), said("name"), said("platform"), compliance, blocked.to_owned(), said("owner")]
    }));
    table(&lines, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_a_table() {
        let row = |fresh: bool, blocked: Value| {
            json!({
                "id": "l-1", "name": "A\u{1b}", "platform": "macos", "owner": null, "blocked": blocked,
                "posture": { "compliance": "compliant", "fresh": fresh },
            })
        };
        let rows = [row(true, Value::Null), row(false, json!({ "by": "ann" }))];
        assert_eq!(
            listed(&rows, Style::Plain),
            "\
ID   NAME     PLATFORM  COMPLIANCE  BLOCKED  OWNER
l-1  A\\u{1b}  macos     compliant   no
l-1  A\\u{1b}  macos     stale       yes
"
        );
        assert_eq!(listed(&[], Style::Plain), "no device\n");
    }
}
