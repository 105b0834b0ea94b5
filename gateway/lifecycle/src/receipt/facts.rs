//! What a receipt tells, as it is written: the payload of the signed document.
//!
//! Every key is always there; what is not known or does not apply is `null` or an empty list. Times are
//! milliseconds since 1970 by the clock of the node that made the receipt, where nothing else is said.

use std::net::SocketAddr;

use doorward_audit::Protocol;
use doorward_model::{AppId, DeviceId, EntryKind, IssuerId, RouteId, Target, UnixMillis, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::wire::{self, words};

/// Everything that a receipt tells but for what follows from it ([`Summary`](super::Summary)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The node that made the receipt.
    pub maker: Maker,
    /// When it made it.
    #[serde(with = "wire::millis")]
    pub made_at: UnixMillis,
    /// What was asked for, and by whom.
    pub asked: Asked,
    /// Of whom it tells.
    pub person: Person,
    /// What was taken away.
    pub revocations: Vec<Revocation>,
    /// What had been cut off before, so that there was nothing to record.
    pub already: Vec<Already>,
    /// How it was learned which nodes have it.
    pub fleet: Fleet,
    /// What each node said; the maker is always among them.
    pub nodes: Vec<Node>,
    /// What was ended, by each node that said so.
    pub ended: Vec<NodeEnded>,
    /// What was ended besides exchanges.
    pub credentials: Credentials,
    /// Service accounts and agents that the person owns.
    pub machines: Vec<Machine>,
    /// What could still let the person in.
    pub remains: Vec<Remainder>,
    /// The control debts that were opened.
    pub debts: Vec<Debt>,
    /// What the maker cannot know.
    pub not_known: Vec<Gap>,
    /// Where the audit log tells of it. Null when it could not be written: a revocation does not wait for it.
    pub audit: Option<AuditPlace>,
    /// The revision of the policies in force: 64 hexadecimal digits. Null when none was.
    pub policy_revision: Option<String>,
}

/// A node, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maker {
    /// `gateway.public_url` of its configuration.
    pub gateway: String,
    /// `gateway.node` of its configuration.
    pub node: String,
    /// Which process of it.
    #[serde(with = "wire::text")]
    pub instance: Uuid,
    /// The version of the gateway.
    pub version: String,
}

words! {
    /// What can be asked of the kill switch.
    pub enum Command {
        /// The person has left.
        Deactivate = "deactivate",
        /// Halted for a reason; may come back.
        Suspend = "suspend",
        /// Locked for a time.
        Lock = "lock",
        /// A security hold was set.
        Hold = "hold",
        /// The person is removed for ever.
        Delete = "delete",
        /// Everything is ended; signing in anew is possible.
        EndSessions = "end_sessions",
        /// An app was taken away.
        RemoveApp = "remove_app",
        /// A group was taken away.
        RemoveGroup = "remove_group",
        /// A sign-in is not theirs any more.
        Unlink = "unlink",
        /// What a signal named was cut off, whoever it is: a sign-in, a session, a token, a device.
        CutOff = "cut_off",
    }
}

impl Command {
    /// Whether it cuts every sign-in of the person off, at every app.
    #[must_use]
    pub const fn cuts_everything(self) -> bool {
        match self {
            Self::Deactivate | Self::Suspend | Self::Lock | Self::Hold | Self::Delete | Self::EndSessions => {
                true
            }
            Self::RemoveApp | Self::RemoveGroup | Self::Unlink | Self::CutOff => false,
        }
    }
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// What is to be done.
    pub command: Command,
    /// The one thing that is taken, where it is one: the id of the group, the app, the sign-in. Null elsewhere.
    pub of: Option<String>,
    /// By whom.
    pub by: Asker,
    /// Why, in their words.
    pub cause: String,
    /// The id of the call, as in the audit log.
    pub request_id: String,
    /// When the call came in.
    #[serde(with = "wire::millis")]
    pub at: UnixMillis,
}

words! {
    /// Who can ask.
    pub enum AskerKind {
        /// Somebody with the operator's token.
        Operator = "operator",
        /// A SCIM connection.
        Source = "source",
        /// A stream of security events, a logout, a webhook.
        Signal = "signal",
        /// The person.
        Person = "person",
        /// A timer of the gateway.
        System = "system",
    }
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asker {
    /// Of which kind they are.
    pub kind: AskerKind,
    /// Their name: of the operator, the connection, the stream.
    pub name: String,
}

/// Of whom the receipt tells, as the directory calls them at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The id in the directory, for ever. Null for somebody whom the directory does not know.
    #[serde(with = "wire::maybe")]
    pub id: Option<Uuid>,
    /// The sign-ins by which gateways know the person, each `issuer:subject`. Empty where one session, token or
    /// device was cut off.
    #[serde(with = "wire::texts")]
    pub links: Vec<UserId>,
    /// The user name.
    pub user_name: Option<String>,
    /// The name to show.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// The state before, a word such as `active`; `unknown` where the directory knows none.
    pub state_before: String,
    /// The state after.
    pub state_after: String,
    /// Whether the source says that the person is active.
    pub source_active: bool,
    /// Whether a security hold stands.
    pub security_hold: bool,
}

words! {
    /// What was done to a target.
    pub enum Action {
        /// Everything made until then is dead; signing in anew is possible.
        Revoke = "revoke",
        /// Nothing new is good either.
        Disable = "disable",
    }
}

/// One revocation, as the store acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// The id that the store, the audit log and every ended exchange name.
    #[serde(with = "wire::text")]
    pub id: Uuid,
    /// Whom it hits.
    #[serde(with = "target")]
    pub target: Target,
    /// What was done.
    pub action: Action,
    /// What is remembered of the target since.
    pub mark: Mark,
    /// From when on the maker refused.
    #[serde(with = "wire::millis")]
    pub applied_at: UnixMillis,
    /// From when on it was on the disk.
    #[serde(with = "wire::millis")]
    pub durable_at: UnixMillis,
    /// That it went out to the fleet. Null where there is none, or it had not.
    pub published: Option<Published>,
}

/// A target that had been cut off before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Already {
    /// Which.
    #[serde(with = "target")]
    pub target: Target,
    /// What is remembered of it.
    pub mark: Mark,
}

/// What is remembered of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// Credentials made at or before this instant are dead.
    #[serde(with = "wire::millis")]
    pub not_before: UnixMillis,
    /// Counts the changes of `disabled`.
    pub version: u64,
    /// No credential is good, however new.
    pub disabled: bool,
}

/// That a change went out to every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// When.
    #[serde(with = "wire::millis")]
    pub at: UnixMillis,
    /// Where it stands.
    pub position: Position,
}

/// A place in the log of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Which blessing the log began with.
    #[serde(with = "wire::text")]
    pub epoch: Uuid,
    /// The entry's time, by the clock of the server that wrote it.
    pub millis: u64,
    /// Counts the entries of one millisecond.
    pub count: u64,
}

/// How it was learned which nodes have the revocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fleet {
    /// There is no other node.
    Alone {},
    /// Every node on the roll was asked.
    Asked {
        /// Which place in the log they were asked for.
        position: Position,
        /// When the last one had answered, or the time was over.
        #[serde(with = "wire::millis")]
        answered_at: UnixMillis,
    },
    /// They could not be asked.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What one node says, or does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Which process of it: during an upgrade there are two.
    #[serde(with = "wire::text")]
    pub instance: Uuid,
    /// What it says.
    pub answer: Answer,
    /// For `applied` when it had it at the latest, by its own clock; else when it was seen last, by the
    /// clock of Redis.
    #[serde(with = "wire::millis")]
    pub at: UnixMillis,
}

words! {
    /// Whether a node has what was asked for.
    pub enum Answer {
        /// It has.
        Applied = "applied",
        /// It polls, and did not have it when the time was over.
        Behind = "behind",
        /// It was not seen for longer than its lease.
        Silent = "silent",
    }
}

/// What one node ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEnded {
    /// Which process.
    #[serde(with = "wire::text")]
    pub instance: Uuid,
    /// By protocol; a protocol that is not there had none.
    pub exchanges: Vec<ProtocolEnded>,
}

/// Exchanges of one protocol that one node ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolEnded {
    /// How they spoke.
    #[serde(with = "wire::text")]
    pub protocol: Protocol,
    /// How many there were.
    pub ended: u64,
    /// How many of them still said goodbye when the node was asked.
    pub still_open: u64,
    /// From when the node applied the change to the last byte of the last one, in microseconds, by one clock of
    /// that node. Null as long as one is open.
    pub last_byte_micros: Option<u64>,
}

/// What was ended besides exchanges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    /// Sessions of browsers, which are the gateway's own.
    pub sessions: u64,
    /// Refresh tokens that were kept for them, to be revoked at an identity provider.
    pub refresh_tokens: u64,
    /// Tokens of service accounts.
    pub api_tokens: u64,
}

words! {
    /// What can be owned.
    pub enum MachineKind {
        /// A program with an account of its own.
        ServiceAccount = "service_account",
        /// A program that acts for a person.
        Agent = "agent",
    }
}

/// A service account or an agent of the person, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Which.
    #[serde(with = "wire::text")]
    pub id: UserId,
    /// Of which kind it is.
    pub kind: MachineKind,
    /// What became of it.
    pub fate: Fate,
}

/// What became of an owned machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fate {
    /// It stopped with its owner.
    Stopped {},
    /// Another person had taken it over before.
    HandedOver {
        /// Who, in the directory.
        #[serde(with = "wire::text")]
        to: Uuid,
    },
    /// It goes on: what was asked does not stop machines.
    Running {},
}

/// What could still let the person in, or act for them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case", deny_unknown_fields)]
pub enum Remainder {
    /// A machine that the person owned goes on.
    Machine {
        /// Which.
        #[serde(with = "wire::text")]
        id: UserId,
    },
    /// An app that is not behind the gateway, where somebody must remove the account.
    ManualApp {
        /// Which.
        #[serde(with = "wire::text")]
        app: AppId,
        /// Who answers for it.
        owner: String,
    },
    /// A route that needs no sign-in.
    PublicRoute {
        /// `app/route`.
        #[serde(with = "wire::text")]
        route: RouteId,
    },
    /// A listener where other proxies ask what may pass: what they let in is not ended.
    OtherProxy {
        /// Its address and port.
        listener: SocketAddr,
    },
    /// What the issuer gave out is good elsewhere, past the gateway, until it expires.
    TokenElsewhere {
        /// Who gave it out.
        #[serde(with = "wire::text")]
        issuer: IssuerId,
        /// When the last one that the gateway saw expires. Null when that is not known.
        #[serde(with = "wire::millis_maybe")]
        expires_at: Option<UnixMillis>,
    },
    /// An app that a node without a lease goes on to serve, by its configuration.
    StaleApp {
        /// Which.
        #[serde(with = "wire::text")]
        app: AppId,
        /// For how long, `stale_seconds_max`.
        seconds_max: u64,
    },
    /// A sign-in of the person that is not cut off, whoever let it in.
    SignIn {
        /// Which.
        #[serde(with = "wire::text")]
        id: UserId,
    },
    /// An issuer whose people are judged by what their tokens say: another sign-in there, which the directory
    /// does not know as theirs, is let in.
    TokenDecides {
        /// Which.
        #[serde(with = "wire::text")]
        issuer: IssuerId,
    },
    /// A device that is still bound to the person.
    Device {
        /// Which.
        #[serde(with = "wire::text")]
        id: DeviceId,
    },
}

words! {
    /// What a receipt cannot say, because nobody is left who knows it.
    pub enum Gap {
        /// Another process than the one that took the call made the receipt: what that one ended and told
        /// nobody, and where its log tells of the change. If it has died, nothing of it runs any more.
        TakenUp = "taken_up",
        /// When a revocation went out is not known: it was out by the time that is named.
        PublishedBy = "published_by",
        /// How many sessions of browsers and refresh tokens there were could not be counted.
        Sessions = "sessions",
    }
}

words! {
    /// What was not done in time.
    pub enum DebtKind {
        /// A node did not confirm a revocation.
        MissedRevocation = "missed_revocation",
        /// An account at an app outside of the gateway is still to be removed.
        ManualDeprovisioning = "manual_deprovisioning",
        /// A machine has no owner any more.
        OrphanMachine = "orphan_machine",
        /// A sign-in, a stream or a token is still there, or it is not known whether it is.
        UnprovenEnd = "unproven_end",
        /// A device is still bound.
        BoundDevice = "bound_device",
    }
}

/// A control debt: who owes what until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Debt {
    /// Names it.
    #[serde(with = "wire::text")]
    pub id: Uuid,
    /// What was not done.
    pub kind: DebtKind,
    /// The node that owes an answer, if it is one.
    #[serde(with = "wire::maybe")]
    pub instance: Option<Uuid>,
    /// What it is about.
    pub about: String,
    /// Who answers for it.
    pub owner: String,
    /// By when it is to be settled.
    #[serde(with = "wire::millis")]
    pub due_at: UnixMillis,
}

/// Where the audit log tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditPlace {
    /// The run: the node and when its process began, as in every event.
    pub run: String,
    /// The first event that tells of it, its `metadata.sequence`.
    pub first_sequence: u64,
    /// The last one.
    pub last_sequence: u64,
    /// The file, if its name is known.
    pub segment: Option<String>,
    /// The newest checkpoint of the log at that time. Null where none is made.
    pub checkpoint: Option<Checkpoint>,
}

/// A state of the audit log that cannot be changed unnoticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// How many events it covers.
    pub size: u64,
    /// Their hash: 64 hexadecimal digits.
    pub hash: String,
}

/// A target is its kind and its id, as in the operator API.
pub(crate) mod target {
    use super::{Deserialize, EntryKind, Serialize, Target, wire};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        #[serde(with = "wire::text")]
        kind: EntryKind,
        id: String,
    }

    pub(crate) fn serialize<S: serde::Serializer>(target: &Target, to: S) -> Result<S::Ok, S::Error> {
        Written { kind: target.kind(), id: target.id() }.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Target, D::Error> {
        let Written { kind, id } = Written::deserialize(from)?;
        Target::parse(kind, &id).map_err(serde::de::Error::custom)
    }
}
