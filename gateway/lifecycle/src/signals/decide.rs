//! What is done about one signal: subject found, effect looked up, order kept. Pure; whoever calls it
//! carries the acts out and keeps the mark in one step, then answers the sender.

use doorward_model::directory::StreamName;
use doorward_model::limits::REVOCATION_CAUSE_BYTES_MAX;
use doorward_model::{Compliance, DeviceId, Target, UnixMillis};

use super::config::Stream;
use super::effect::{Direction, Effect, Situation};
use super::event::{RiskLevel, SignalEvent, StreamStatus};
use super::read::Signal;
use super::resolve::{About, Known, Resolution, Resolved, Voice, Whom, resolve};
use super::subject::{Name, Subject};

/// What later signals of the same stream are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Whether the account may be used.
    Account,
    /// Whether the device meets the baseline.
    Posture,
    /// How risky it looks.
    Risk,
}

/// The newest signals of one stream on one topic about one subject, by when they happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The newest that took access away.
    pub taken: Option<UnixMillis>,
    /// The newest that gave it.
    pub given: Option<UnixMillis>,
}

/// What was remembered of earlier signals.
pub trait Marked {
    /// The marks of one stream.
    fn marks(&self, stream: &StreamName, topic: Topic, about: &About) -> Marks;
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What the event came down to; none for one about the stream itself.
    pub situation: Option<Situation>,
    /// What the table said.
    pub effect: Effect,
    /// Whom it is about, if anybody here.
    pub about: Option<About>,
    /// What comes of it.
    pub outcome: Outcome,
    /// The marks to keep, together with the acts.
    pub marks: Vec<Mark>,
}

/// One mark to keep: later signals of this stream are ordered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// On what.
    pub topic: Topic,
    /// Taken or given.
    pub direction: Direction,
    /// When it happened.
    pub at: UnixMillis,
}

/// What comes of a signal. All of them are good messages, and are acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// These things are done, in this order.
    Acts(Vec<Act>),
    /// It is recorded, and that is all.
    Recorded,
    /// Nobody here is meant.
    NoOne(&'static str),
    /// Something newer of the same stream says otherwise.
    Superseded {
        /// When that happened.
        by: UnixMillis,
    },
    /// It would give access to more than it names.
    Inexact,
    /// A member of its subject is critical, and nobody here can tell what it means.
    Discarded {
        /// Which.
        member: String,
    },
    /// It is about the stream itself.
    Stream(OfStream),
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// What the target has open ends, and what was made for it until now is void.
    End(Target),
    /// A hold of this stream on the person.
    Hold(Whom),
    /// The hold of this stream on the person is lifted, and no other.
    Lift(Whom),
    /// The person is read anew from the source.
    Refresh(Whom),
    /// What was proved until now proves nothing more.
    StepUp(About),
    /// What is known of the device.
    Posture(DeviceId, Compliance),
    /// How risky it looks.
    Risk(About, RiskLevel),
    /// An operator is told.
    Alert(&'static str),
}

/// An event about the stream itself; [`super::health`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OfStream {
    /// The sender answers.
    Verification {
        /// What it repeats.
        state: Option<String>,
        /// What it calls the stream.
        stream_id: Option<String>,
    },
    /// The sender changed the stream's state.
    Updated {
        /// The state now.
        status: StreamStatus,
        /// Why, if it says.
        reason: Option<String>,
    },
}

/// Decides.
pub fn decide<K: Known + Marked>(signal: &Signal, stream: &Stream, known: &K) -> Verdict {
    let of_stream = |event: OfStream| Verdict {
        situation: None,
        effect: Effect::Record,
        about: None,
        outcome: Outcome::Stream(event),
        marks: vec![],
    };
    let situation = match &signal.event {
        SignalEvent::Verification { state } => {
            let stream_id = signal.subject.as_ref().and_then(opaque).map(str::to_owned);
            return of_stream(OfStream::Verification { state: state.clone(), stream_id });
        }
        SignalEvent::StreamUpdated { status, reason } => {
            return of_stream(OfStream::Updated { status: *status, reason: reason.clone() });
        }
        event => Situation::of(event).unwrap_or(Situation::UnknownEvent),
    };
    let effect = stream.effects.of(situation);
    let verdict =
        |about, outcome, marks| Verdict { situation: Some(situation), effect, about, outcome, marks };
    let nothing = |outcome| verdict(None, outcome, vec![]);
    let Some(subject) = &signal.subject else {
        return nothing(Outcome::NoOne("the message names nobody"));
    };
    let alone = signal.event.about();
    let Resolved { about, exact } =
        match resolve(subject, alone, known, Voice::Sender(&stream.sender), &stream.critical) {
            Resolution::Found(found) => found,
            Resolution::NoOne(why) => return nothing(Outcome::NoOne(why)),
            Resolution::Critical(member) => {
                return nothing(Outcome::Discarded { member: member.as_str().to_owned() });
            }
            Resolution::CriticalUnknown(member) => return nothing(Outcome::Discarded { member }),
        };
    if situation.direction() == Direction::Gives && !exact {
        return verdict(Some(about), Outcome::Inexact, vec![]);
    }
    let direction = situation.direction();
    let ask = |topic: Topic| {
        let marks = known.marks(&signal.stream, topic, &about);
        Order { topic, superseded: superseded(direction, signal.at, marks) }
    };
    let orders: Vec<Order> = topics(effect, &signal.event).into_iter().map(ask).collect();
    let acts = acts(effect, &signal.event, &about, &orders);
    let marks = orders.iter().filter(|o| o.superseded.is_none());
    let marks = marks.map(|o| Mark { topic: o.topic, direction, at: signal.at }).collect();
    let newer = orders.iter().find_map(|o| o.superseded);
    let outcome = match (acts.is_empty(), newer) {
        (false, _) => Outcome::Acts(acts),
        (true, Some(by)) => Outcome::Superseded { by },
        (true, None) => Outcome::Recorded,
    };
    verdict(Some(about), outcome, marks)
}

/// Whether a signal is the newest of its stream on one topic.
struct Order {
    topic: Topic,
    /// When the newer one happened that says otherwise.
    superseded: Option<UnixMillis>,
}

fn opaque(subject: &Subject) -> Option<&str> {
    match subject {
        Subject::Name(name) => name.opaque(),
        Subject::Aliases(names) => names.iter().find_map(Name::opaque),
        Subject::Complex(_) => None,
    }
}

/// What an effect is ordered by. What only ends what is open now needs no order: it is harmless late
/// and harmless twice.
fn topics(effect: Effect, event: &SignalEvent) -> Vec<Topic> {
    let lasting = match effect {
        Effect::Hold | Effect::Lift => Some(Topic::Account),
        Effect::Observe
        | Effect::Revoke
        | Effect::Record
        | Effect::Alert
        | Effect::Refresh
        | Effect::StepUp => None,
    };
    let told = match effect {
        Effect::Observe | Effect::Revoke | Effect::Hold => observed(event).map(|o| o.topic()),
        Effect::Lift | Effect::Record | Effect::Alert | Effect::Refresh | Effect::StepUp => None,
    };
    lasting.into_iter().chain(told).collect()
}

/// The newer signal that says otherwise, if there is one. At the same moment the one that takes is
/// believed.
fn superseded(direction: Direction, at: UnixMillis, marks: Marks) -> Option<UnixMillis> {
    match direction {
        Direction::Gives => marks.taken.filter(|taken| *taken >= at),
        Direction::Takes => marks.given.filter(|given| *given > at),
        Direction::Tells => None,
    }
}

/// What an event tells of the state of something.
enum Observed {
    Posture(Compliance),
    Risk(RiskLevel),
}

impl Observed {
    const fn topic(&self) -> Topic {
        match self {
            Self::Posture(_) => Topic::Posture,
            Self::Risk(_) => Topic::Risk,
        }
    }
}

fn observed(event: &SignalEvent) -> Option<Observed> {
    if let SignalEvent::DeviceComplianceChange { compliant } = event {
        let posture = if *compliant { Compliance::Compliant } else { Compliance::NotCompliant };
        return Some(Observed::Posture(posture));
    }
    if let SignalEvent::RiskLevelChange { level, .. } = event {
        return Some(Observed::Risk(*level));
    }
    None
}

fn observe(event: &SignalEvent, about: &About) -> Option<Act> {
    match (observed(event)?, about) {
        (Observed::Posture(posture), About::Device(device)) => Some(Act::Posture(device.clone(), posture)),
        (
            Observed::Posture(_),
            About::Person(_) | About::PersonAtApp(..) | About::Session(_) | About::Token(_),
        ) => Some(Act::Alert("a device's state was told without naming the device")),
        (Observed::Risk(level), about) => Some(Act::Risk(about.clone(), level)),
    }
}

/// What ended once ended rightly, however late it is told; what lasts is the newest signal's to say.
fn acts(effect: Effect, event: &SignalEvent, about: &About, orders: &[Order]) -> Vec<Act> {
    let newest = |topic: Topic| orders.iter().any(|o| o.topic == topic && o.superseded.is_none());
    let ends = || about.targets().into_iter().map(Act::End);
    let observe = || observe(event, about).filter(|_| observed(event).is_some_and(|o| newest(o.topic())));
    match effect {
        Effect::Record => vec![],
        Effect::Alert => vec![Act::Alert("the configuration asks to be told")],
        Effect::Refresh => match about {
            About::Person(whom) | About::PersonAtApp(whom, _) => vec![Act::Refresh(whom.clone())],
            // What a session says of its person cannot be read anew; a new sign-in tells it.
            About::Session(_) | About::Token(_) => ends().collect(),
            About::Device(_) => vec![Act::Alert("claims about a device changed, which are not kept here")],
        },
        Effect::StepUp => vec![Act::StepUp(about.clone())],
        Effect::Observe => observe().into_iter().collect(),
        Effect::Revoke => ends().chain(observe()).collect(),
        Effect::Hold => {
            let lasting = match about.person() {
                Some(whom) => Act::Hold(whom.clone()),
                None => Act::Alert("a hold was asked of something that is not a person"),
            };
            ends().chain(observe()).chain(Some(lasting).filter(|_| newest(Topic::Account))).collect()
        }
        Effect::Lift if !newest(Topic::Account) => vec![],
        Effect::Lift => match about.person() {
            Some(whom) => vec![Act::Lift(whom.clone())],
            None => vec![Act::Alert("a hold was to be lifted of something that is not a person")],
        },
    }
}

// === impl Marks ===

impl Marks {
    /// These, and one more. Marks only rise.
    #[must_use]
    pub fn with(self, mark: Mark) -> Self {
        match mark.direction {
            Direction::Takes => Self { taken: self.taken.max(Some(mark.at)), ..self },
            Direction::Gives => Self { given: self.given.max(Some(mark.at)), ..self },
            Direction::Tells => self,
        }
    }
}

// === impl Topic ===

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 3] = [Self::Account, Self::Posture, Self::Risk];

    /// The word for it in the store and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Posture => "posture",
            Self::Risk => "risk",
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// Whether an operator must be told: the table or an act says so, or a signal could not have the
    /// effect that its sender meant.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        match &self.outcome {
            Outcome::Acts(acts) => acts.iter().any(|act| matches!(act, Act::Alert(_))),
            Outcome::Discarded { .. } | Outcome::Inexact => true,
            // What is about the stream itself alarms by its health.
            Outcome::Recorded | Outcome::NoOne(_) | Outcome::Superseded { .. } | Outcome::Stream(_) => false,
        }
    }

    /// Why, for the log of revocations: which stream, which message, what happened.
    #[must_use]
    pub fn cause(&self, signal: &Signal) -> String {
        let what = self.situation.map_or("stream", Situation::as_str);
        let mut cause = format!("signal {what} of {}, {}", signal.stream, signal.id);
        if let Some(reason) = &signal.reason {
            cause.push_str(": ");
            cause.push_str(reason);
        }
        // All of it is ASCII: names, visible characters, and what `shown` leaves.
        cause.truncate(REVOCATION_CAUSE_BYTES_MAX);
        cause
    }
}
