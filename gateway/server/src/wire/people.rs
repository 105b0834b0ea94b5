//! Whose word counts about people: the token's, or that of a directory, which is opened here and told of.
//!
//! Every node has one: where the store is, it is read from there; a gateway node has what Redis carries, and
//! judges nobody by it before all of it came.

use std::time::Duration;

use doorward_console::{Condition, ConditionState};
use doorward_proxy::config::PeopleFrom;
use doorward_proxy::{Accounts, DirectoryStatus, People};
use doorward_state::Revocations;
use doorward_state::directory::Directory;

/// Opens the directory. Service accounts with a token of ours are asked about wherever people are as their
/// tokens say, too.
pub(super) fn open(from: &PeopleFrom, revocations: &Revocations) -> (People, Accounts) {
    let directory = Directory::new(revocations.records());
    let accounts = Accounts::new(directory.clone());
    match from {
        PeopleFrom::Token => (People::AsTokensSay, accounts),
        PeopleFrom::Directory { token_for } => {
            let [people, groups, machines] = directory.counts();
            tracing::info!(people, groups, machines, "the directory says who people are");
            if directory.unread_for() > directory.unread_max() {
                tracing::warn!("the directory was not read yet: everybody is refused until it is");
            } else if people == 0 {
                tracing::warn!("the directory knows nobody yet: everybody is refused");
            }
            (People::known(directory, token_for.clone()), accounts)
        }
    }
}

/// Whether requests can be judged by the directory; none where nobody is looked up.
pub(super) fn condition(people: &People) -> Option<Condition> {
    let DirectoryStatus { people, unread_for, is_fresh, .. } = people.directory_status()?;
    let (state, detail) = match (is_fresh, people) {
        (false, _) if unread_for == Duration::MAX => {
            (ConditionState::Missing, "the directory was not read yet: everybody is refused".to_owned())
        }
        (false, _) => {
            let seconds = unread_for.as_secs();
            (
                ConditionState::Missing,
                format!("the directory was not read for {seconds} s: everybody is refused"),
            )
        }
        (true, 0) => {
            (ConditionState::Degraded, "the directory knows nobody yet: everybody is refused".to_owned())
        }
        (true, people) => (ConditionState::Holds, format!("{people} people are known")),
    };
    Some(Condition { name: "directory", state, detail })
}
