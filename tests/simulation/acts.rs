//! What can happen, and how it is told.

use std::fmt;

/// What happens in a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub(crate) enum Act {
    Tick,
    SwitchOff,
    SignOut,
    SwitchOn,
    Take,
    Publish,
    Note,
    Straggle,
    StragglerWrites,
    Neighbor,
    Replicate,
    FailOver,
    Announce,
    Rejoin,
    Sleep,
    Wake,
    RestartNode,
    Flush,
    Cut,
    Reconcile,
    Read,
    Raise,
    Confirm,
    Bless,
    GoOn,
    BlessLate,
    GoOnLate,
    Compact,
    CompactorTakesHead,
    CompactorReads,
    CompactorCuts,
    Connect,
    RestartGateway,
    SendPoll,
    Answer,
    Reply,
    Load,
    Push,
}

impl Act {
    pub(crate) const ALL: [Act; 38] = [
        Act::Tick,
        Act::SwitchOff,
        Act::SignOut,
        Act::SwitchOn,
        Act::Take,
        Act::Publish,
        Act::Note,
        Act::Straggle,
        Act::StragglerWrites,
        Act::Neighbor,
        Act::Replicate,
        Act::FailOver,
        Act::Announce,
        Act::Rejoin,
        Act::Sleep,
        Act::Wake,
        Act::RestartNode,
        Act::Flush,
        Act::Cut,
        Act::Reconcile,
        Act::Read,
        Act::Raise,
        Act::Confirm,
        Act::Bless,
        Act::GoOn,
        Act::BlessLate,
        Act::GoOnLate,
        Act::Compact,
        Act::CompactorTakesHead,
        Act::CompactorReads,
        Act::CompactorCuts,
        Act::Connect,
        Act::RestartGateway,
        Act::SendPoll,
        Act::Answer,
        Act::Reply,
        Act::Load,
        Act::Push,
    ];
}

/// An act, and the server, version or id that it is about. From one world each leads to one other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Action {
    pub(crate) act: Act,
    pub(crate) at: u8,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at;
        match self.act {
            Act::Tick => write!(f, "a tick passes"),
            Act::SwitchOff => write!(f, "the directory commits change {at}: switched off"),
            Act::SignOut => write!(f, "the directory commits change {at}: signed out everywhere"),
            Act::SwitchOn => write!(f, "the directory commits change {at}: let in again"),
            Act::Take => write!(f, "the publisher takes change {at} from the outbox"),
            Act::Publish => write!(f, "the publisher writes to redis {at}"),
            Act::Note => {
                write!(f, "the publisher notes change {at} as published, if the generation is still the same")
            }
            Act::Straggle => write!(f, "a second publisher takes change {at}, and falls asleep"),
            Act::StragglerWrites => write!(f, "the second publisher wakes up and writes to redis {at}"),
            Act::Neighbor => write!(f, "somebody else's change is written to redis {at}"),
            Act::Replicate => write!(f, "the replica receives all that redis {at} has"),
            Act::FailOver => write!(f, "redis {at} is made the primary, and the other does not know"),
            Act::Announce => write!(f, "most of those who elect the primary know that it is redis {at}"),
            Act::Rejoin => write!(f, "redis {at} is made a replica, and takes over what the primary has"),
            Act::Sleep => write!(f, "redis {at} is stopped"),
            Act::Wake => write!(f, "redis {at} goes on"),
            Act::RestartNode => {
                write!(f, "the primary restarts with the first {at} writes that it ever took")
            }
            Act::Flush => write!(f, "somebody deletes everything in redis {at}"),
            Act::Cut => write!(f, "all entries but {at} are cut from the log of the primary"),
            Act::Reconcile => write!(f, "a reconciler begins at redis {at}"),
            Act::Read => write!(f, "a reconciler reads the directory, as of change {at}"),
            Act::Raise => write!(f, "a reconciler raises the generation to {at}"),
            Act::Confirm => {
                write!(
                    f,
                    "a reconciler hears that redis {at} is the primary, and that its generation is the last"
                )
            }
            Act::Bless => {
                write!(f, "the reconciler blesses redis {at}, with a new snapshot and an empty log")
            }
            Act::GoOn => write!(f, "the reconciler blesses redis {at}, whose log goes on"),
            Act::BlessLate => {
                write!(f, "a reconciler that was taken for dead blesses redis {at}, with a new snapshot")
            }
            Act::GoOnLate => {
                write!(f, "a reconciler that was taken for dead blesses redis {at}, whose log goes on")
            }
            Act::Compact => write!(f, "compaction {at} begins"),
            Act::CompactorTakesHead => write!(f, "compaction {at} takes the head of the log"),
            Act::CompactorReads => write!(f, "compaction {at} reads the directory"),
            Act::CompactorCuts => write!(f, "compaction {at} moves the base and cuts the log"),
            Act::Connect => write!(f, "the gateway connects anew, to redis {at}"),
            Act::RestartGateway => write!(f, "the gateway restarts"),
            Act::SendPoll => write!(f, "the gateway sends a poll to redis {at}"),
            Act::Answer => write!(f, "redis {at} runs the poll"),
            Act::Reply => write!(f, "the answer of redis {at} arrives"),
            Act::Load => write!(f, "the gateway has read the snapshot, as of change {at}"),
            Act::Push => write!(f, "the push of entry {at} arrives"),
        }
    }
}
