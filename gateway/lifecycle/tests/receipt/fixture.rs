//! One person who leaves, and the nodes that know it.

use std::path::Path;

use doorward_audit::Protocol;
use doorward_lifecycle::receipt::facts::{
    Action, Already, Answer, Asked, Asker, AskerKind, AuditPlace, Command, Credentials, Debt, DebtKind,
    Facts, Fate, Fleet, Machine, MachineKind, Maker, Mark, Node, NodeEnded, Person, Position, ProtocolEnded,
    Published, Remainder, Revocation,
};
use doorward_lifecycle::receipt::{KEY_FILE, Receipt, Signer};
use doorward_model::{AppId, EntryKind, RouteId, Target, UnixMillis, UserId};
use uuid::Uuid;

/// The private key of RFC 8037 appendix A.1, so that the example of the documentation never changes.
const SEED: [u8; 32] = [
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
    0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
];
/// PKCS #8 version 1 in front of the seed (RFC 8410 §7).
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The moment of the call.
pub(crate) const ASKED: i64 = 1_795_262_400_400;

pub(crate) fn known_key(dir: &Path) -> Signer {
    std::fs::write(dir.join(KEY_FILE), [&PKCS8[..], &SEED].concat()).unwrap();
    Signer::open(dir).unwrap()
}

pub(crate) fn after(millis: i64) -> UnixMillis {
    UnixMillis(ASKED + millis)
}

pub(crate) fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

pub(crate) fn instance(n: u128) -> Uuid {
    Uuid::from_u128(0x7c0e_0000_0000_4000_8000_0000_0000_0000 | n)
}

pub(crate) fn receipt_id() -> Uuid {
    Uuid::from_u128(0x019b_0a3e_7000_7c11_9f0a_2f4f_7f3b_8d99)
}

fn position(count: u64) -> Position {
    let epoch = Uuid::from_u128(0x51d3_0000_0000_4000_8000_0000_0000_0001);
    Position { epoch, millis: 1_795_262_400_412, count }
}

pub(crate) fn revocation(n: u64, target: &str) -> Revocation {
    Revocation {
        id: Uuid::from_u128(0x019b_0a3e_6f0e_7c11_9f0a_0000_0000_0000 | u128::from(n)),
        target: Target::parse(EntryKind::User, target).unwrap(),
        action: Action::Disable,
        mark: Mark { not_before: after(2), version: 1, disabled: true },
        applied_at: after(3),
        durable_at: after(9),
        published: Some(Published { at: after(13), position: position(n) }),
    }
}

pub(crate) fn node(name: &str, n: u128, answer: Answer) -> Node {
    Node { node: name.to_owned(), instance: instance(n), answer, at: after(14) }
}

fn exchanges(protocol: Protocol, ended: u64, last_byte_micros: u64) -> ProtocolEnded {
    ProtocolEnded { protocol, ended, still_open: 0, last_byte_micros: Some(last_byte_micros) }
}

pub(crate) fn debt(instance: Uuid) -> Debt {
    Debt {
        id: Uuid::from_u128(0x0d7f_3a51_9c1e_8b7e_a0c4_3f1f_2b6f_7a10),
        kind: DebtKind::MissedRevocation,
        instance: Some(instance),
        about: "gw-3 did not confirm the revocations".to_owned(),
        owner: "security".to_owned(),
        due_at: after(72 * 3_600_000),
    }
}

fn person() -> Person {
    Person {
        id: Some(Uuid::from_u128(0x019a_f3c2_0000_7000_8000_0000_0000_00a1)),
        links: vec![user("corp:alice"), user("partner:a-113")],
        user_name: Some("alice@corp.example".to_owned()),
        name: Some("Alice Example".to_owned()),
        email: Some("alice@corp.example".to_owned()),
        state_before: "active".to_owned(),
        state_after: "deactivated".to_owned(),
        source_active: false,
        security_hold: false,
    }
}

/// Everything of this is in the page of the reference.
pub(crate) fn facts() -> Facts {
    Facts {
        maker: Maker {
            gateway: "https://doorward.corp.example".to_owned(),
            node: "gw-1".to_owned(),
            instance: instance(1),
            version: "0.1.0".to_owned(),
        },
        made_at: after(520),
        asked: Asked {
            command: Command::Deactivate,
            of: None,
            by: Asker { kind: AskerKind::Source, name: "okta".to_owned() },
            cause: "active=false".to_owned(),
            request_id: "5a0d7b61".to_owned(),
            at: after(0),
        },
        person: person(),
        revocations: vec![
            revocation(1, "corp:alice"),
            revocation(2, "partner:a-113"),
            revocation(3, "corp:build-bot"),
        ],
        already: vec![],
        fleet: Fleet::Asked { position: position(3), answered_at: after(31) },
        nodes: vec![
            node("gw-1", 1, Answer::Applied),
            node("gw-2", 2, Answer::Applied),
            Node { at: after(-9_393), ..node("gw-3", 3, Answer::Silent) },
        ],
        ended: vec![
            NodeEnded {
                instance: instance(1),
                exchanges: vec![
                    exchanges(Protocol::Http2, 2, 310),
                    exchanges(Protocol::WebSocket, 1, 251_000),
                ],
            },
            NodeEnded { instance: instance(2), exchanges: vec![exchanges(Protocol::WebSocket, 3, 90_500)] },
        ],
        credentials: Credentials { sessions: 2, refresh_tokens: 1, api_tokens: 1 },
        machines: vec![Machine {
            id: user("corp:build-bot"),
            kind: MachineKind::ServiceAccount,
            fate: Fate::Stopped {},
        }],
        remains: vec![
            Remainder::ManualApp { app: app("payslips"), owner: "hr-apps".to_owned() },
            Remainder::PublicRoute { route: RouteId::new(app("wiki"), "welcome").unwrap() },
        ],
        debts: vec![debt(instance(3))],
        not_known: vec![],
        audit: Some(AuditPlace {
            run: "gw-1-20261121T093000000Z".to_owned(),
            first_sequence: 48_211,
            last_sequence: 48_214,
            segment: None,
            checkpoint: None,
        }),
        policy_revision: Some("0c".repeat(32)),
    }
}

/// A node without a fleet: nothing is missing anywhere.
pub(crate) fn alone() -> Facts {
    let mut facts = facts();
    facts.fleet = Fleet::Alone {};
    facts.nodes.truncate(1);
    facts.ended.truncate(1);
    facts.debts.clear();
    for revocation in &mut facts.revocations {
        revocation.published = None;
    }
    facts
}

pub(crate) fn app(name: &str) -> AppId {
    AppId::new(name).unwrap()
}

pub(crate) fn receipt() -> Receipt {
    Receipt::of(receipt_id(), facts()).unwrap()
}

pub(crate) fn already(id: &str, disabled: bool) -> Already {
    let mark = Mark { not_before: after(-9_000), version: 1, disabled };
    Already { target: Target::parse(EntryKind::User, id).unwrap(), mark }
}
