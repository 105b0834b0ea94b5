//! Whom a subject means here: the names of others become people, sign-ins, devices and apps of ours.
//!
//! ```text
//!  Subject ─▶ each member asked of Known ─▶ what all of them have in common ─▶ About
//!                                            none of ours, or of different people ─▶ NoOne
//!                                            a critical member that nobody here can tell ─▶ Critical
//! ```
//!
//! Where the part that is meant cannot be named alone (a person on a device that is not known here),
//! the next larger whole is: taking away too much is mended by a sign-in. [`Resolved::exact`] says
//! so, and what gives access asks for it.

use doorward_model::directory::PersonId;
use doorward_model::{AppId, DeviceId, SessionId, SubjectId, Target, TokenId, UserId};

use super::subject::{Complex, Member, Name, Subject};

mod known;

pub use self::known::{Called, Known, Tell, Voice, Whom};

/// What a subject means here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A person, everywhere.
    Person(Whom),
    /// A person at one app.
    PersonAtApp(Whom, AppId),
    /// One sign-in.
    Session(SessionId),
    /// One token.
    Token(TokenId),
    /// A device, and whose it is if that is known.
    Device(DeviceId),
}

/// A subject, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What it means.
    pub about: About,
    /// Whether it means that and no less: no member was left out of account.
    pub exact: bool,
}

/// What came of looking for a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// It is here.
    Found(Resolved),
    /// Nobody here is meant.
    NoOne(&'static str),
    /// It has a member that the sender calls critical, and that nobody here can tell.
    Critical(Member),
    /// It has a member that the sender calls critical, and that is not known here at all.
    CriticalUnknown(String),
}

/// Whose names are read, and by whom.
struct Search<'a, K> {
    known: &'a K,
    voice: Voice<'a>,
    critical: &'a [String],
}

/// The parts of a complex subject that were found.
#[derive(Default)]
struct Parts {
    user: Option<Whom>,
    device: Option<DeviceId>,
    session: Option<Ended>,
    app: Option<AppId>,
    left_out: bool,
}

/// A sign-in, by either of its names.
enum Ended {
    Session(SessionId),
    Token(TokenId),
}

// === impl About ===

impl About {
    /// What is revoked when access is taken away.
    #[must_use]
    pub fn targets(&self) -> Vec<Target> {
        match self {
            Self::Person(whom) => whom.links.iter().cloned().map(Target::User).collect(),
            Self::PersonAtApp(whom, app) => {
                whom.links.iter().map(|link| Target::UserAtApp(link.clone(), app.clone())).collect()
            }
            Self::Session(session) => vec![Target::Session(session.clone())],
            Self::Token(token) => vec![Target::Token(token.clone())],
            Self::Device(device) => vec![Target::Device(device.clone())],
        }
    }

    /// What marks about it are kept under: a person by the directory's id, so that a new sign-in
    /// does not lose them.
    #[must_use]
    pub fn key(&self) -> String {
        let whom = |whom: &Whom| match (whom.person, whom.links.first()) {
            (Some(person), _) => format!("person {person}"),
            (None, Some(link)) => format!("user {link}"),
            (None, None) => "nobody".to_owned(),
        };
        match self {
            Self::Person(who) => whom(who),
            Self::PersonAtApp(who, app) => format!("{} at {app}", whom(who)),
            Self::Session(session) => format!("session {session}"),
            Self::Token(token) => format!("token {token}"),
            Self::Device(device) => format!("device {device}"),
        }
    }

    fn of(ended: Ended) -> Self {
        match ended {
            Ended::Session(session) => Self::Session(session),
            Ended::Token(token) => Self::Token(token),
        }
    }

    /// The person, when it is one, everywhere.
    #[must_use]
    pub const fn person(&self) -> Option<&Whom> {
        match self {
            Self::Person(whom) => Some(whom),
            Self::PersonAtApp(..) | Self::Session(_) | Self::Token(_) | Self::Device(_) => None,
        }
    }

    /// The person who is meant or who is at the app.
    #[must_use]
    pub const fn whom(&self) -> Option<&Whom> {
        match self {
            Self::Person(whom) | Self::PersonAtApp(whom, _) => Some(whom),
            Self::Session(_) | Self::Token(_) | Self::Device(_) => None,
        }
    }
}

/// Looks for a subject. `alone` is what an identifier names that stands alone; `critical` are the
/// members that the sender wants read (`critical_subject_members`, SSF 1.0 §7.1).
pub fn resolve<K: Known>(
    subject: &Subject,
    alone: Member,
    known: &K,
    voice: Voice<'_>,
    critical: &[String],
) -> Resolution {
    let search = Search { known, voice, critical };
    match subject {
        Subject::Name(name) => search.alone(alone, std::slice::from_ref(name)),
        Subject::Aliases(names) => search.alone(alone, names),
        Subject::Complex(complex) => search.together(complex),
    }
}

// === impl Search ===

impl<K: Known> Search<'_, K> {
    fn alone(&self, member: Member, names: &[Name]) -> Resolution {
        let found = match member {
            Member::User => {
                // A token, where a person would stand: the older events name one so.
                match self.user(names) {
                    Some(whom) => Some(About::Person(whom)),
                    None => self.token(names).map(About::Token),
                }
            }
            Member::Device => self.device(names).map(About::Device),
            Member::Session => self.session(names, None).map(About::of),
            Member::Application | Member::Tenant | Member::OrgUnit | Member::Group => {
                return Resolution::NoOne("apps, tenants and groups as a whole are not signaled here");
            }
        };
        match found {
            Some(about) => Resolution::Found(Resolved { about, exact: true }),
            None => Resolution::NoOne("nobody here is called so by this sender"),
        }
    }

    fn together(&self, complex: &Complex) -> Resolution {
        if let Some(name) = complex.unknown().iter().find(|name| self.critical.contains(name)) {
            return Resolution::CriticalUnknown(name.clone());
        }
        let mut parts = Parts { left_out: !complex.unknown().is_empty(), ..Parts::default() };
        for member in complex.members() {
            let names = complex.get(member).unwrap_or_default();
            match self.member(member, names, &mut parts) {
                Tell::Known(()) => {}
                Tell::Other => return Resolution::NoOne("a member of the subject is not of ours"),
                Tell::CannotTell if self.critical.iter().any(|c| c == member.as_str()) => {
                    return Resolution::Critical(member);
                }
                Tell::CannotTell => parts.left_out = true,
            }
        }
        self.narrowest(parts)
    }

    /// Reads one member. Members come in the order of [`Member::ALL`], so that whoever the user is
    /// is known before the rest is asked about them.
    fn member(&self, member: Member, names: &[Name], parts: &mut Parts) -> Tell<()> {
        match member {
            Member::User => match self.user(names) {
                Some(whom) => {
                    parts.user = Some(whom);
                    Tell::Known(())
                }
                None => Tell::Other,
            },
            Member::Device => keep(&mut parts.device, self.device(names)),
            Member::Session => {
                let session = self.session(names, parts.user.as_ref());
                keep(&mut parts.session, session)
            }
            Member::Application => match self.asked(names, |called| self.known.app(self.voice, called)) {
                Tell::Known(app) => keep(&mut parts.app, Some(app)),
                Tell::Other => Tell::Other,
                Tell::CannotTell => Tell::CannotTell,
            },
            Member::Tenant | Member::OrgUnit => {
                self.asked(names, |called| self.known.is_ours(self.voice, member, called))
            }
            Member::Group => match &parts.user {
                Some(whom) => self.asked(names, |called| self.known.in_group(self.voice, whom, called)),
                None => Tell::CannotTell,
            },
        }
    }

    /// The narrowest thing of which all parts hold.
    fn narrowest(&self, parts: Parts) -> Resolution {
        let Parts { user, device, session, app, left_out } = parts;
        let person = user.as_ref().and_then(|w| w.person);
        if let Some(ended) = session {
            let owner = match &ended {
                Ended::Session(session) => self.known.session_owner(session),
                Ended::Token(_) => Tell::CannotTell,
            };
            if of_another(owner, person) {
                return Resolution::NoOne("the session is of somebody else than the user");
            }
            let exact = !left_out && device.is_none() && app.is_none();
            return Resolution::Found(Resolved { about: About::of(ended), exact });
        }
        let about = match (user, device, app) {
            (Some(whom), device, Some(app)) => {
                let exact = !left_out && device.is_none();
                return Resolution::Found(Resolved { about: About::PersonAtApp(whom, app), exact });
            }
            (Some(whom), Some(device), None) => match self.known.device_owner(&device) {
                owner if of_another(owner, person) => {
                    return Resolution::NoOne("the device is of somebody else than the user");
                }
                Tell::Known(_) if person.is_some() => About::Device(device),
                Tell::Known(_) | Tell::Other | Tell::CannotTell => {
                    return Resolution::Found(Resolved { about: About::Person(whom), exact: false });
                }
            },
            (Some(whom), None, None) => About::Person(whom),
            (None, Some(device), app) => {
                let exact = !left_out && app.is_none();
                return Resolution::Found(Resolved { about: About::Device(device), exact });
            }
            (None, None, Some(_) | None) => {
                return Resolution::NoOne("apps, tenants and groups as a whole are not signaled here");
            }
        };
        Resolution::Found(Resolved { about, exact: !left_out })
    }

    /// The person whom all names mean; none when they mean two.
    fn user(&self, names: &[Name]) -> Option<Whom> {
        let mut all = names.iter().filter_map(|name| self.user_called(name));
        let mut found = all.next()?;
        for whom in all {
            if found.person.is_some() && whom.person.is_some() && found.person != whom.person {
                return None;
            }
            found.person = found.person.or(whom.person);
            let new: Vec<UserId> = whom.links.into_iter().filter(|l| !found.links.contains(l)).collect();
            found.links.extend(new);
        }
        Some(found)
    }

    fn user_called(&self, name: &Name) -> Option<Whom> {
        let Some((iss, sub)) = name.iss_sub() else {
            return self.known.by_name(self.voice, called(name)?);
        };
        let user = UserId::new(self.voice.speaks_of(iss)?.clone(), SubjectId::new(sub).ok()?);
        let found = self.known.by_sign_in(&user);
        Some(found.unwrap_or_else(|| Whom { person: None, links: vec![user] }))
    }

    fn session(&self, names: &[Name], user: Option<&Whom>) -> Option<Ended> {
        let issuer = || match user.map(|w| w.links.as_slice()) {
            Some([only]) => Some(only.issuer()),
            Some(_) | None => self.voice.sole_people(),
        };
        let session = |name: &Name| {
            let (issuer, sid) = match (name.opaque(), name.iss_sub()) {
                (Some(sid), _) => (issuer()?, sid),
                (None, Some((iss, sid))) => (self.voice.speaks_of(iss)?, sid),
                (None, None) => return None,
            };
            SessionId::new(issuer.clone(), sid).ok().map(Ended::Session)
        };
        names.iter().find_map(session).or_else(|| self.token(names).map(Ended::Token))
    }

    fn token(&self, names: &[Name]) -> Option<TokenId> {
        names.iter().find_map(|name| {
            let (iss, jti) = name.jwt_id()?;
            TokenId::new(self.voice.speaks_of(iss)?.clone(), jti).ok()
        })
    }

    fn device(&self, names: &[Name]) -> Option<DeviceId> {
        names.iter().find_map(|name| {
            let of_ours = || name.iss_sub().filter(|(iss, _)| self.voice.speaks_of(iss).is_some());
            let id = name.opaque().or_else(|| of_ours().map(|(_, sub)| sub))?;
            DeviceId::new(id).ok()
        })
    }

    /// What is known of the first of the names that anybody here can tell something of.
    fn asked<T>(&self, names: &[Name], ask: impl Fn(Called<'_>) -> Tell<T>) -> Tell<T> {
        let told = |name: &Name| match called(name).map(&ask) {
            Some(Tell::CannotTell) | None => None,
            Some(answer) => Some(answer),
        };
        names.iter().find_map(told).unwrap_or(Tell::CannotTell)
    }
}

fn keep<T>(place: &mut Option<T>, found: Option<T>) -> Tell<()> {
    let tell = if found.is_some() { Tell::Known(()) } else { Tell::CannotTell };
    *place = found;
    tell
}

/// Whether something is known to be of somebody else than a person who is known.
fn of_another(owner: Tell<PersonId>, person: Option<PersonId>) -> bool {
    match owner {
        Tell::Known(owner) => person.is_some_and(|p| p != owner),
        Tell::Other => true,
        Tell::CannotTell => false,
    }
}

/// The name as the directory is asked for it; none for what it never knows.
fn called(name: &Name) -> Option<Called<'_>> {
    match name {
        Name::Email(email) => Some(Called::Email(email)),
        Name::Phone(phone) => Some(Called::Phone(phone)),
        Name::Opaque(id) => Some(Called::Opaque(id)),
        Name::Account(uri) | Name::Did(uri) | Name::Uri(uri) => Some(Called::Uri(uri)),
        Name::IssSub { .. }
        | Name::JwtId { .. }
        | Name::SamlAssertion { .. }
        | Name::Addresses(_)
        | Name::Other(_) => None,
    }
}
