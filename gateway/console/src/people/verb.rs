//! What can be done about a person, by name: the words of the path.

use doorward_lifecycle::machine::Command;
use doorward_model::UnixMillis;
use doorward_model::directory::{ConnectionId, HoldOrigin, StreamName};

use crate::problem::Mistake;
use crate::strict::Fields;

/// The longest lock, in seconds: whoever is to be kept out for longer is suspended.
pub(crate) const LOCK_SECONDS_MAX: u64 = 90 * 24 * 3600;

/// Each verb: the variant, its word, the word for the log of calls, and whether it takes access away.
macro_rules! verbs {
    ($($name:ident $word:literal $operation:literal $takes:literal),+ $(,)?) => {
        /// What can be done about a person.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Verb {
            $($name,)+
        }

        impl Verb {
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),+];

            pub(super) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            pub(super) const fn operation(self) -> &'static str {
                match self { $(Self::$name => $operation,)+ }
            }

            pub(super) const fn takes(self) -> bool {
                match self { $(Self::$name => $takes,)+ }
            }
        }
    };
}

verbs! {
    Activate "activate" "users.activate" false,
    Suspend "suspend" "users.suspend" true,
    Unsuspend "unsuspend" "users.unsuspend" false,
    Deactivate "deactivate" "users.deactivate" true,
    Reactivate "reactivate" "users.reactivate" false,
    Delete "delete" "users.delete" true,
    Lock "lock" "users.lock" true,
    Unlock "unlock" "users.unlock" false,
    Hold "hold" "users.hold" true,
    Unhold "unhold" "users.unhold" false,
    EndSessions "end-sessions" "users.end_sessions" true,
    RevokeInvitation "revoke-invitation" "users.revoke_invitation" true,
    Adopt "adopt" "users.adopt" false,
}

impl Verb {
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|verb| verb.as_str() == word)
    }

    /// The command, with what the body says of it.
    pub(super) fn command(
        self,
        fields: &mut Fields,
        now: UnixMillis,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Command> {
        Some(match self {
            Self::Activate => Command::Activate,
            Self::Suspend => Command::Suspend,
            Self::Unsuspend => Command::Unsuspend,
            Self::Deactivate => Command::Deactivate,
            Self::Reactivate => Command::Reactivate,
            Self::Delete => Command::Delete,
            Self::Lock => {
                let seconds = fields.number("seconds", LOCK_SECONDS_MAX, mistakes);
                if seconds.is_none() && mistakes.is_empty() {
                    mistakes.push(Mistake::new("seconds", "is missing", r#"write {"seconds":3600}"#));
                }
                Command::Lock { until: now.plus(std::time::Duration::from_secs(seconds?)) }
            }
            Self::Unlock => Command::Unlock,
            Self::Hold => Command::HoldSet,
            Self::Unhold => match fields.optional("signal", mistakes) {
                None => Command::HoldClear(HoldOrigin::Operator),
                Some(stream) => match StreamName::new(&stream) {
                    Ok(stream) => Command::HoldClear(HoldOrigin::Signal(stream)),
                    Err(e) => {
                        let help = "write the name of the stream whose hold is to be lifted";
                        mistakes.push(Mistake::new("signal", e.to_string(), help));
                        return None;
                    }
                },
            },
            Self::EndSessions => Command::EndSessions,
            Self::RevokeInvitation => Command::RevokeInvitation,
            Self::Adopt if fields.cleared("connection") => Command::HandOver(None),
            Self::Adopt => {
                let help = r#"write {"connection":"okta"}; null takes it back"#;
                let name = fields.text("connection", help, mistakes)?;
                match ConnectionId::new(&name) {
                    Ok(connection) => Command::HandOver(Some(connection)),
                    Err(e) => {
                        let told = e.to_string().chars().take(300).collect::<String>();
                        mistakes.push(Mistake::new("connection", told, help));
                        return None;
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_words_of_its_own_and_takes_what_its_command_takes() {
        use doorward_lifecycle::machine::Nature;
        let mut words = std::collections::BTreeSet::new();
        for verb in Verb::ALL.iter().copied() {
            assert_eq!(Verb::parse(verb.as_str()), Some(verb));
            assert_eq!(verb.operation(), format!("users.{}", verb.as_str().replace('-', "_")));
            assert!(words.insert(verb.operation()));
            let mut fields = crate::strict::tests_only(r#"{"seconds":60,"connection":"okta"}"#);
            let command = verb.command(&mut fields, UnixMillis(5), &mut Vec::new()).unwrap();
            match command.kind().nature() {
                Nature::Takes => assert!(verb.takes(), "{verb:?}"),
                Nature::Lifts => assert!(!verb.takes(), "{verb:?}"),
                // Ends what is open; but who speaks for somebody takes nothing from them.
                Nature::Changes => assert_eq!(verb.takes(), verb != Verb::Adopt, "{verb:?}"),
            }
        }
    }
}
