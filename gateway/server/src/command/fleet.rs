//! `doorward fleet`: how a node stands to its fleet, and what the others say.

use serde::Deserialize as _;

use super::inflight::age;
use super::{Exit, Failure, Output, printable, table};
use crate::cli::{FleetArgs, Format};
use crate::clock;
use crate::color::Style;
use crate::operator::{FleetAnswer, FleetStanding, NodeSaid, Operator};

/// Lists the nodes of a fleet.
pub(super) fn fleet(args: &FleetArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let answer = Operator::find(&args.look.gateway)?.fleet()?;
    if args.look.format() == Format::Json {
        out.line(format_args!("{answer:#}"))?;
        return Ok(Exit::Done);
    }
    let answer = FleetAnswer::deserialize(&answer).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })?;
    out.text(told(&answer, clock::now().0, out.style))?;
    Ok(Exit::Done)
}

fn told(answer: &FleetAnswer, now_millis: i64, style: Style) -> String {
    let Some(fleet) = &answer.fleet else { return "this node belongs to no fleet\n".to_owned() };
    let mut text = standing(fleet, style);
    if let Some(why) = &answer.nodes_unknown {
        text.push_str(&format!("the other nodes cannot be asked: {}\n", printable(why)));
    }
    if !answer.nodes.is_empty() {
        let mut rows = vec![["NODE", "INSTANCE", "SAYS", "SEEN"].map(str::to_owned)];
        rows.extend(answer.nodes.iter().map(|node| row(node, now_millis)));
        text.push_str(&table(&rows, style));
    }
    text
}

fn standing(fleet: &FleetStanding, style: Style) -> String {
    let server = fleet.server.as_deref().map_or_else(|| "no server".to_owned(), printable);
    let lease = if fleet.leased {
        let left = fleet.lease_left_millis.unwrap_or_default();
        format!("{} for {left} ms more, {server}", style.green("leased"))
    } else {
        format!("{}, {server}", style.yellow("no lease"))
    };
    let mut text = format!("{}: {lease}\n", printable(&fleet.role));
    if let Some(outbox @ 1..) = fleet.outbox {
        text.push_str(&format!("{outbox} changes are not published yet\n"));
    }
    if let Some(trouble) = &fleet.trouble {
        text.push_str(&format!("{}\n", printable(trouble)));
    }
    text
}

fn row(node: &NodeSaid, now_millis: i64) -> [String; 4] {
    let seen = node.at.or(node.seen);
    let seen = seen.map_or_else(String::new, |at| age(now_millis.saturating_sub(at)));
    [node.node.as_str(), &node.instance, &node.answer, &seen].map(printable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fleet_is_a_table() {
        let read = |answer: serde_json::Value| FleetAnswer::deserialize(&answer).unwrap();
        let alone = read(json!({ "fleet": null, "nodes": [] }));
        assert_eq!(told(&alone, 0, Style::Plain), "this node belongs to no fleet\n");
        let answer = read(json!({
            "fleet": { "role": "control", "server": "10.0.0.7:6379", "leased": true, "lease_left_millis": 812,
                       "outbox": 0, "trouble": null, "unheard_of": 1 },
            "nodes": [
                { "node": "gw-1", "instance": "7c0e", "answer": "applied", "at": 60_000 },
                { "node": "gw-2\u{1b}[2J", "instance": "b1f4", "answer": "silent", "seen": 1000 },
            ],
            "nodes_unknown": null,
        }));
        assert_eq!(
            told(&answer, 61_000, Style::Plain),
            "\
control: leased for 812 ms more, 10.0.0.7:6379
NODE           INSTANCE  SAYS     SEEN
gw-1           7c0e      applied  1s
gw-2\\u{1b}[2J  b1f4      silent   1m00s
"
        );
        let answer = read(json!({
            "fleet": { "role": "gateway", "server": null, "leased": false, "trouble": "connection refused" },
            "nodes": [], "nodes_unknown": "nobody is there",
        }));
        assert_eq!(
            told(&answer, 0, Style::Plain),
            "gateway: no lease, no server\nconnection refused\nthe other nodes cannot be asked: nobody is there\n"
        );
    }
}
