//! From what was asked and what the nodes say to the facts of a receipt.

use std::collections::BTreeSet;

use doorward_model::{IssuerId, UnixMillis};
use doorward_state::{NodeAnswer, NodeReport, Position as Place, Receipt as Acknowledged};
use uuid::Uuid;

use super::counting::KeptSessions;
use super::maker::Work;
use super::pending::mark;
use super::{Desk, Witness};
use crate::receipt::Told;
use crate::receipt::facts::{
    Answer, AuditPlace, Credentials, Debt, DebtKind, Facts, Fleet, Gap, Maker, Node, NodeEnded, Position,
    ProtocolEnded, Published, Remainder, Revocation,
};
use crate::receipt::fit;

/// What one round found out of the fleet, as far as it concerns one receipt.
#[derive(Clone, Debug)]
pub(super) enum Fleetwide {
    /// No other process has the directory open, and there is no fleet.
    Alone,
    /// They were asked how far they have come.
    Asked(Place, Vec<NodeReport>, UnixMillis),
    /// They could not be.
    Unknown(String),
}

/// What is known of one change now.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) fleet: Fleet,
    pub(super) nodes: Vec<Node>,
    pub(super) ended: Vec<NodeEnded>,
}

fn position(place: Place) -> Position {
    Position { epoch: place.epoch, millis: place.id.millis, count: place.id.count }
}

fn node(report: &NodeReport) -> Node {
    let (answer, at) = match report.answer {
        NodeAnswer::Applied { at } => (Answer::Applied, at),
        NodeAnswer::Behind { seen } => (Answer::Behind, seen),
        NodeAnswer::Silent { seen } => (Answer::Silent, seen),
    };
    Node { node: fit(&report.node), instance: report.instance, answer, at }
}

impl Standing {
    /// Puts together what this node and the others say of what `work` took away.
    pub(super) fn of(work: &Work, desk: &Desk, fleetwide: &Fleetwide, now: UnixMillis) -> Self {
        let Witness { instance, node: name, .. } = &desk.witness;
        let ids = work.revocation_ids();
        let applied_at = work.applied_at();
        // This process refuses since before the change was written: it is in force here, whatever the roll says.
        let here = Node { node: name.clone(), instance: *instance, answer: Answer::Applied, at: now };
        let (fleet, mut nodes, reports) = match fleetwide {
            Fleetwide::Alone => (Fleet::Alone {}, Vec::new(), &[][..]),
            Fleetwide::Unknown(why) => (Fleet::Unknown { why: fit(why) }, Vec::new(), &[][..]),
            Fleetwide::Asked(place, reports, answered_at) => {
                let fleet = Fleet::Asked { position: position(*place), answered_at: *answered_at };
                (fleet, reports.iter().map(node).collect(), reports.as_slice())
            }
        };
        // A former process of this very node that is silent has died, or lets nobody in any more.
        let is_former = |node: &Node| node.node == *name && node.answer == Answer::Silent;
        nodes.retain(|node| node.instance != *instance && !is_former(node));
        nodes.insert(0, here);
        let mut ended = Vec::new();
        let ours = (desk.witness.ended)((ids.clone(), applied_at));
        ended.extend(ours.map(|exchanges| NodeEnded { instance: *instance, exchanges }));
        for report in reports.iter().filter(|report| report.instance != *instance) {
            if matches!(report.answer, NodeAnswer::Applied { .. }) {
                let told = Told::parse(&report.told).and_then(|told| told.ended_by(&ids, applied_at));
                ended.extend(told.map(|exchanges| NodeEnded { instance: report.instance, exchanges }));
            }
        }
        Self { fleet, nodes, ended }
    }

    /// Every node has it and said what it ended, and nothing of that runs any more.
    pub(super) fn is_complete(&self) -> bool {
        let known = match self.fleet {
            Fleet::Alone {} | Fleet::Asked { .. } => true,
            Fleet::Unknown { .. } => false,
        };
        let over = |exchanges: &[ProtocolEnded]| exchanges.iter().all(|of| of.still_open == 0);
        known
            && self.nodes.iter().all(|node| node.answer == Answer::Applied)
            && self.ended.len() == self.nodes.len()
            && self.ended.iter().all(|node| over(&node.exchanges))
    }

    /// Who did not confirm. None where nobody could be asked: then all owe an answer.
    pub(super) fn missing(&self) -> Vec<Option<&Node>> {
        match self.fleet {
            Fleet::Unknown { .. } => vec![None],
            Fleet::Alone {} | Fleet::Asked { .. } => {
                self.nodes.iter().filter(|node| node.answer != Answer::Applied).map(Some).collect()
            }
        }
    }
}

/// The facts of a receipt that is made now.
pub(super) fn facts(
    work: &Work,
    desk: &Desk,
    standing: Standing,
    (missed, revision, run): (Vec<Debt>, Option<&str>, &str),
    now: UnixMillis,
) -> Facts {
    let Witness { gateway, node, version, instance, .. } = &desk.witness;
    let pending = &work.pending;
    let mut remains: BTreeSet<Remainder> = pending.remains.iter().cloned().collect();
    remains.extend((desk.witness.remains)(()));
    let issuers: BTreeSet<&IssuerId> = pending.person.links.iter().map(|link| link.issuer()).collect();
    for issuer in issuers {
        let issuer = issuer.clone();
        if (desk.witness.token_decides)(issuer.clone()) {
            remains.insert(Remainder::TokenDecides { issuer: issuer.clone() });
        }
        remains.insert(Remainder::TokenElsewhere { issuer, expires_at: None });
    }
    let mut debts = pending.debts.clone();
    debts.extend(missed);
    let mut not_known = Vec::new();
    if work.is_taken_up() {
        not_known.push(Gap::TakenUp);
    }
    if work.published_by.is_some() && !work.receipts().is_empty() {
        not_known.push(Gap::PublishedBy);
    }
    let sessions = work.sessions.count();
    if sessions.is_none() {
        not_known.push(Gap::Sessions);
    }
    let KeptSessions { sessions, refresh_tokens } = sessions.unwrap_or_default();
    let audit = work.place().map(|(first_sequence, last_sequence)| AuditPlace {
        run: run.to_owned(),
        first_sequence,
        last_sequence,
        segment: None,
        checkpoint: None,
    });
    let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    Facts {
        maker: Maker {
            gateway: fit(gateway),
            node: node.clone(),
            instance: *instance,
            version: version.clone(),
        },
        made_at: now,
        asked: pending.asked.clone(),
        person: pending.person.clone(),
        revocations: revocations(work),
        already: pending.already.clone(),
        fleet: standing.fleet,
        nodes: standing.nodes,
        ended: standing.ended,
        credentials: Credentials { sessions, refresh_tokens, ..pending.credentials },
        machines: pending.machines.clone(),
        remains: remains.into_iter().collect(),
        debts,
        not_known,
        audit,
        policy_revision: revision.filter(is_hash).map(str::to_owned),
    }
}

fn revocations(work: &Work) -> Vec<Revocation> {
    let one = |receipt: &Acknowledged| {
        let wanted = work.pending.targets.iter().find(|wanted| wanted.target == receipt.target)?;
        let published = receipt.published.or(work.published_by);
        Some(Revocation {
            id: receipt.id,
            target: receipt.target.clone(),
            action: wanted.action,
            mark: mark(receipt.entry),
            applied_at: receipt.applied_at,
            durable_at: receipt.durable_at,
            published: published.map(|out| Published { at: out.at, position: position(out.position) }),
        })
    };
    work.receipts().iter().filter_map(one).collect()
}

/// A debt of who did not confirm. Its id is the one under which whoever waits for the fleet owes it, too.
pub(super) fn missed(
    work: &Work,
    node: Option<&Node>,
    (owner, due_at): (&str, UnixMillis),
) -> (Debt, String) {
    let what = match work.receipts().last() {
        Some(last) => format!("the revocation {} of {}", last.id, last.target),
        None => format!("what the receipt {} tells of", work.id),
    };
    let (about, cause) = match node {
        Some(node) => (
            format!("{} (instance {}) did not confirm {what}", node.node, node.instance),
            format!("it was {} when the patience was over", node.answer.as_str()),
        ),
        None => (format!("no node could be asked whether it has {what}"), "see the receipt".to_owned()),
    };
    let instance = node.map(|node| node.instance);
    let last = work.receipts().last().map_or(work.id, |last| last.id);
    let mut bytes = *last.as_bytes();
    for (byte, other) in bytes.iter_mut().zip(instance.unwrap_or(Uuid::nil()).as_bytes()) {
        *byte ^= other;
    }
    let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    let (kind, owner) = (DebtKind::MissedRevocation, owner.to_owned());
    (Debt { id, kind, instance, about: fit(&about), owner, due_at }, cause)
}
