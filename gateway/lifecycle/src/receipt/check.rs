//! Whether the facts of a receipt agree with each other.
//!
//! A signature says who wrote a document, not that it makes sense: a receipt that leaves a node out, or a
//! sign-in, is not made, and is refused where it is found.

use std::collections::BTreeSet;

use doorward_model::{Complaint, KeyPath, Target, UserId};
use uuid::Uuid;

use super::facts::{
    Action, Answer, Checkpoint, Command, DebtKind, Facts, Fate, Fleet, Position, Remainder, Revocation,
};
use super::{RECEIPT_LIST_ENTRIES_MAX, RECEIPT_TEXT_BYTES_MAX};

/// Every way in which the facts contradict each other.
pub(super) fn complaints(facts: &Facts) -> Vec<Complaint> {
    let mut found = Vec::new();
    for check in [sizes, texts, hashes, revocations, links, fleet, nodes, ended, machines, debts] {
        check(facts, &mut found);
    }
    found
}

fn at(key: &str) -> KeyPath {
    KeyPath::top().key("facts").key(key)
}

/// Complains of every value that was there before.
fn unique<T: Ord>(list: &KeyPath, values: impl IntoIterator<Item = T>, found: &mut Vec<Complaint>) {
    let mut seen = BTreeSet::new();
    for (i, value) in values.into_iter().enumerate() {
        if !seen.insert(value) {
            found.push(Complaint::new(list.index(i), "stands there twice", "name each once"));
        }
    }
}

fn sizes(facts: &Facts, found: &mut Vec<Complaint>) {
    let lists: [(&str, usize); 7] = [
        ("revocations", facts.revocations.len()),
        ("already", facts.already.len()),
        ("nodes", facts.nodes.len()),
        ("ended", facts.ended.len()),
        ("machines", facts.machines.len()),
        ("remains", facts.remains.len()),
        ("debts", facts.debts.len()),
    ];
    let links = KeyPath::top().key("facts").key("person").key("links");
    let lists = lists.map(|(key, entries)| (at(key), entries));
    for (at, entries) in lists.into_iter().chain([(links, facts.person.links.len())]) {
        if entries > RECEIPT_LIST_ENTRIES_MAX {
            let message = format!("has {entries} entries, more than {RECEIPT_LIST_ENTRIES_MAX}");
            found.push(Complaint::new(at, message, "make several receipts"));
        }
    }
}

fn texts(facts: &Facts, found: &mut Vec<Complaint>) {
    let Facts { maker, asked, person, audit, nodes, debts, .. } = facts;
    let must = [
        (at("maker").key("gateway"), maker.gateway.as_str()),
        (at("maker").key("node"), &maker.node),
        (at("maker").key("version"), &maker.version),
        (at("asked").key("by").key("name"), &asked.by.name),
        (at("asked").key("request_id"), &asked.request_id),
        (at("person").key("state_before"), &person.state_before),
        (at("person").key("state_after"), &person.state_after),
    ];
    let of = asked.of.iter().map(|of| (at("asked").key("of"), of.as_str()));
    let run = audit.iter().map(|audit| (at("audit").key("run"), audit.run.as_str()));
    let must: Vec<(KeyPath, &str)> = must.into_iter().chain(run).collect();
    for (at, _) in must.iter().filter(|(_, text)| text.is_empty()) {
        found.push(Complaint::new(at.clone(), "is empty", "a receipt names it"));
    }
    let person = [("user_name", &person.user_name), ("name", &person.name), ("email", &person.email)]
        .into_iter()
        .filter_map(|(key, text)| Some((at("person").key(key), text.as_deref()?)));
    let nodes =
        nodes.iter().enumerate().map(|(i, node)| (at("nodes").index(i).key("node"), node.node.as_str()));
    let debts = debts.iter().enumerate().flat_map(|(i, debt)| {
        let at = at("debts").index(i);
        [(at.key("about"), debt.about.as_str()), (at.key("owner"), debt.owner.as_str())]
    });
    let cause = [(at("asked").key("cause"), asked.cause.as_str())];
    for (at, text) in must.into_iter().chain(cause).chain(of).chain(person).chain(nodes).chain(debts) {
        if text.len() > RECEIPT_TEXT_BYTES_MAX {
            let message = format!("has {} bytes, more than {RECEIPT_TEXT_BYTES_MAX}", text.len());
            found.push(Complaint::new(at, message, "cut it with `receipt::fit`"));
        }
    }
}

/// Whether a text is a SHA-256, as this house writes one.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn hashes(facts: &Facts, found: &mut Vec<Complaint>) {
    let help = "write 64 hexadecimal digits in lower case";
    if facts.policy_revision.as_deref().is_some_and(|revision| !is_hash(revision)) {
        found.push(Complaint::new(at("policy_revision"), "is not the revision of a bundle", help));
    }
    let Some(audit) = &facts.audit else { return };
    if let Some(Checkpoint { hash, .. }) = &audit.checkpoint
        && !is_hash(hash)
    {
        found.push(Complaint::new(at("audit").key("checkpoint").key("hash"), "is not a hash", help));
    }
    if audit.first_sequence == 0 || audit.first_sequence > audit.last_sequence {
        let message = "the sequence numbers are not in order";
        found.push(Complaint::new(at("audit"), message, "they count from 1, the first before the last"));
    }
}

fn revocations(facts: &Facts, found: &mut Vec<Complaint>) {
    unique(&at("revocations"), facts.revocations.iter().map(|revocation| revocation.id), found);
    let known: BTreeSet<&UserId> =
        facts.person.links.iter().chain(facts.machines.iter().map(|machine| &machine.id)).collect();
    for (i, already) in facts.already.iter().enumerate() {
        let at = at("already").index(i);
        if !already.mark.disabled {
            let message = "was not cut off for good";
            found.push(Complaint::new(at.key("mark"), message, "what may sign in anew is revoked again"));
        }
        of_the_person(&known, &already.target, &at, found);
    }
    for (i, revocation) in facts.revocations.iter().enumerate() {
        let at = at("revocations").index(i);
        match revocation.action {
            Action::Disable if !revocation.mark.disabled => {
                let message = "was disabled, and the mark does not say so";
                found.push(Complaint::new(at.key("mark"), message, "take the mark from the store's receipt"));
            }
            Action::Disable | Action::Revoke => {}
        }
        of_the_person(&known, &revocation.target, &at, found);
    }
}

fn of_the_person(known: &BTreeSet<&UserId>, target: &Target, at: &KeyPath, found: &mut Vec<Complaint>) {
    if let Target::User(user) | Target::UserAtApp(user, _) = target
        && !known.contains(user)
    {
        let message = format!("`{user}` is neither a sign-in of the person nor a machine of theirs");
        found.push(Complaint::new(at.key("target"), message, "a receipt tells of one person"));
    }
}

/// What is cut off: by this receipt, or before it.
fn targets(facts: &Facts) -> impl Iterator<Item = &Target> {
    let before = facts.already.iter().map(|already| &already.target);
    facts.revocations.iter().map(|revocation| &revocation.target).chain(before)
}

fn links(facts: &Facts, found: &mut Vec<Complaint>) {
    unique(&at("person").key("links"), facts.person.links.iter(), found);
    match facts.asked.command {
        // Whether a group opened any app, the receipt does not know; of an unlinking the others stay theirs.
        Command::RemoveGroup | Command::Unlink => return,
        Command::Deactivate
        | Command::Suspend
        | Command::Lock
        | Command::Hold
        | Command::Delete
        | Command::EndSessions
        | Command::RemoveApp
        | Command::CutOff => {}
    }
    let goes_on = |link: &UserId| {
        let is_it = |remains: &Remainder| matches!(remains, Remainder::SignIn { id } if id == link);
        facts.remains.iter().any(is_it)
    };
    for (i, link) in facts.person.links.iter().enumerate() {
        if !goes_on(link) && !targets(facts).any(|target| cuts(facts.asked.command, target, link)) {
            let message = format!("nothing was taken from `{link}`");
            let help = match facts.asked.command.cuts_everything() {
                true => "a revocation of a person has one of each sign-in",
                false => "an app is taken from each sign-in",
            };
            found.push(Complaint::new(at("person").key("links").index(i), message, help));
        }
    }
}

/// Whether a revocation does to a sign-in what was asked.
fn cuts(command: Command, target: &Target, link: &UserId) -> bool {
    match (command, target) {
        (_, Target::User(user)) => user == link,
        (Command::RemoveApp | Command::CutOff, Target::UserAtApp(user, _)) => user == link,
        (
            Command::Deactivate
            | Command::Suspend
            | Command::Lock
            | Command::Hold
            | Command::Delete
            | Command::EndSessions
            | Command::RemoveGroup
            | Command::Unlink,
            Target::UserAtApp(..),
        )
        | (_, Target::Session(_) | Target::Token(_) | Target::Device(_)) => false,
    }
}

fn fleet(facts: &Facts, found: &mut Vec<Complaint>) {
    let published = |revocation: &Revocation| revocation.published.map(|published| published.position);
    for (i, revocation) in facts.revocations.iter().enumerate() {
        let at = at("revocations").index(i).key("published");
        match (&facts.fleet, published(revocation)) {
            (Fleet::Alone {}, None) | (Fleet::Unknown { .. }, _) => {}
            (Fleet::Alone {}, Some(_)) => {
                let message = "went out to a fleet that is not there";
                found.push(Complaint::new(at, message, "say what the nodes of the fleet answered"));
            }
            (Fleet::Asked { position, .. }, Some(place)) if covers(*position, place) => {}
            (Fleet::Asked { .. }, Some(_)) => {
                let message = "lies behind the place that the nodes were asked for";
                found.push(Complaint::new(at, message, "ask for the place of the last revocation"));
            }
            (Fleet::Asked { .. }, None) => {
                let message = "did not go out, so no other node can have it";
                found.push(Complaint::new(at, message, "then it is not known what the nodes have"));
            }
        }
    }
}

/// Whether a node that has come to `asked` has applied what stands at `place`.
fn covers(asked: Position, place: Position) -> bool {
    asked.epoch == place.epoch && (place.millis, place.count) <= (asked.millis, asked.count)
}

fn nodes(facts: &Facts, found: &mut Vec<Complaint>) {
    unique(&at("nodes"), facts.nodes.iter().map(|node| node.instance), found);
    let maker = facts.nodes.iter().find(|node| node.instance == facts.maker.instance);
    match maker {
        None => {
            let message = "the node that made the receipt is missing";
            found.push(Complaint::new(at("nodes"), message, "every node is named, this one too"));
        }
        Some(maker) if maker.node != facts.maker.node => {
            let message = "an instance has two names";
            found.push(Complaint::new(at("nodes"), message, "take the name from the configuration"));
        }
        Some(_) => {}
    }
    let others = facts.nodes.len().saturating_sub(1);
    let lone = match facts.fleet {
        Fleet::Alone {} | Fleet::Unknown { .. } => true,
        Fleet::Asked { .. } => false,
    };
    if lone && others > 0 {
        let message = "names nodes that were not asked";
        found.push(Complaint::new(at("nodes"), message, "name the node that made the receipt only"));
    }
    if lone && maker.is_some_and(|maker| maker.answer != Answer::Applied) {
        let message = "the node that made the receipt has not applied it";
        found.push(Complaint::new(at("nodes"), message, "make no receipt of what is not in force"));
    }
}

fn ended(facts: &Facts, found: &mut Vec<Complaint>) {
    unique(&at("ended"), facts.ended.iter().map(|ended| ended.instance), found);
    for (i, node) in facts.ended.iter().enumerate() {
        let here = at("ended").index(i);
        if !facts.nodes.iter().any(|known| known.instance == node.instance) {
            let message = "no node of this instance is named";
            found.push(Complaint::new(here.key("instance"), message, "name the node under `nodes`"));
        }
        let mut seen = BTreeSet::new();
        for (k, of) in node.exchanges.iter().enumerate() {
            let at = here.key("exchanges").index(k);
            if !seen.insert(of.protocol.as_str()) {
                found.push(Complaint::new(at.key("protocol"), "stands there twice", "add them up"));
            }
            if of.ended == 0 || of.still_open > of.ended {
                let message = format!("{} of {} are open", of.still_open, of.ended);
                found.push(Complaint::new(at, message, "leave out what had none"));
            } else if (of.still_open == 0) != of.last_byte_micros.is_some() {
                let message = "the last byte has a time when nothing is open, and only then";
                found.push(Complaint::new(
                    at.key("last_byte_micros"),
                    message,
                    "write null while one is open",
                ));
            }
        }
    }
}

fn machines(facts: &Facts, found: &mut Vec<Complaint>) {
    unique(&at("machines"), facts.machines.iter().map(|machine| &machine.id), found);
    unique(&at("remains"), facts.remains.iter(), found);
    for (i, machine) in facts.machines.iter().enumerate() {
        let remains = facts.remains.iter().any(|remains| match remains {
            Remainder::Machine { id } => *id == machine.id,
            Remainder::ManualApp { .. }
            | Remainder::PublicRoute { .. }
            | Remainder::OtherProxy { .. }
            | Remainder::TokenElsewhere { .. }
            | Remainder::StaleApp { .. }
            | Remainder::SignIn { .. }
            | Remainder::TokenDecides { .. }
            | Remainder::Device { .. } => false,
        });
        let stopped =
            targets(facts).any(|target| matches!(target, Target::User(user) if *user == machine.id));
        let (wrong, message) = match machine.fate {
            Fate::Stopped {} => (remains || !stopped, "is stopped, and its revocation is not there"),
            Fate::HandedOver { .. } => (remains, "has another owner, and remains of this one"),
            Fate::Running {} => (!remains, "goes on, and is not named under `remains`"),
        };
        if wrong {
            let at = at("machines").index(i);
            found.push(Complaint::new(at, message, "tell the same in both places"));
        }
    }
}

fn debts(facts: &Facts, found: &mut Vec<Complaint>) {
    unique(&at("debts"), facts.debts.iter().map(|debt| debt.id), found);
    let missed: Vec<Option<Uuid>> = facts
        .debts
        .iter()
        .filter(|debt| debt.kind == DebtKind::MissedRevocation)
        .map(|debt| debt.instance)
        .collect();
    for (i, node) in facts.nodes.iter().enumerate() {
        if node.answer != Answer::Applied && !missed.contains(&Some(node.instance)) {
            let at = at("nodes").index(i);
            let message = format!("is {}, and nobody owes an answer", node.answer.as_str());
            found.push(Complaint::new(at, message, "open a control debt of this instance"));
        }
    }
    match facts.fleet {
        Fleet::Unknown { .. } if missed.is_empty() => {
            let message = "no node could be asked, and nobody owes an answer";
            found.push(Complaint::new(at("fleet"), message, "open a control debt"));
        }
        Fleet::Unknown { .. } | Fleet::Alone {} | Fleet::Asked { .. } => {}
    }
}
