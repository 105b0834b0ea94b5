//! The tokens with which service accounts show who they are: made, rotated, taken back.
//!
//! A token stands in the record of its machine, as a hash. So whatever stops the machine takes its tokens with
//! it, in the same write, and every node that judges requests by the machine knows them. The secret is made by
//! whoever asks and never comes here.
//!
//! Taking one back is a revocation of the [token](doorward_model::TokenId) beside the record without it: what
//! runs with it ends, and the next request finds nobody who has it.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_audit::event::{LifecycleCode, LifecycleDifference};
use doorward_model::directory::{
    Extent, MACHINE_TOKEN_DAYS_MAX, MACHINE_TOKEN_USED_SECONDS, MACHINE_TOKENS_MAX, Machine, MachineId,
    MachineKind, MachineState, MachineToken, TOKEN_LIMITS_MAX, TokenHash,
};
use doorward_model::{AppId, Target, UnixMillis};
use doorward_state::{Action, Batch, CommitError};
use ipnet::IpNet;

use super::answer::{Asker, Failed};
use super::ask::not_found;
use super::directory::{Place, Versioned};
use super::machines::{Decided, TEXT_BYTES_MAX};
use super::plan::{clean, of_machine};
use super::{Inner, Lifecycle};

/// A token to be made. The secret stays with whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// What is kept of it.
    pub hash: TokenHash,
    /// What it is called.
    pub label: String,
    /// At which apps it is good.
    pub apps: Extent<AppId>,
    /// From which addresses.
    pub from: Extent<IpNet>,
    /// For which of the scopes of its machine.
    pub scopes: Extent<String>,
    /// When it stops being good: [`MACHINE_TOKEN_DAYS_MAX`] ahead at most.
    pub expires_at: UnixMillis,
}

impl Lifecycle {
    /// Notes that a token was used, when that is not known well enough. That it cannot be noted stops nobody, so
    /// nobody waits for it.
    pub async fn token_used(&self, machine: MachineId, token: TokenHash, at: UnixMillis) {
        let inner = &self.inner;
        let Ok(Some(mut read)) = inner.read_machine(machine, Place::Memory).await else { return };
        let known = read.it.tokens.iter_mut().find(|known| known.hash == token);
        let due = |last: UnixMillis| last.plus(Duration::from_secs(MACHINE_TOKEN_USED_SECONDS)) <= at;
        let Some(known) = known.filter(|known| known.last_used_at.is_none_or(due)) else { return };
        known.last_used_at = Some(at);
        let Ok(write) = of_machine(&read) else { return };
        match inner.ports.revocations.commit(Batch { writes: vec![write], changes: Vec::new() }).await {
            // Somebody else changed it: the next use is noted.
            Ok(_) | Err(CommitError::NotPublished { .. } | CommitError::Conflict { .. }) => {}
            Err(error) => tracing::warn!(%machine, %error, "it is not noted that a token was used"),
        }
    }
}

impl Inner {
    /// A machine with one token more.
    pub(super) async fn with_token(
        &self,
        before: Versioned<Machine>,
        new: &NewToken,
        (place, now): (Place, UnixMillis),
        asker: &Asker,
    ) -> Result<Decided, Failed> {
        let machine = &before.it;
        token_fits(machine, new, now)?;
        // Written anew after the record was read by somebody else: it is there already.
        if machine.tokens.iter().any(|token| token.hash == new.hash) {
            let after = machine.clone();
            return Ok(Decided::of(before, after, LifecycleCode::MachineTokenCreate, "add_token"));
        }
        if machine.tokens.len() >= MACHINE_TOKENS_MAX {
            let (count, max) = (MACHINE_TOKENS_MAX + 1, MACHINE_TOKENS_MAX);
            return Err(Failed::TooMany { what: "tokens of one service account", count, max });
        }
        let owner = self.owner(machine.owner, machine.owner, place).await?;
        let mut after = machine.clone();
        after.tokens.push(MachineToken {
            hash: new.hash,
            label: new.label.clone(),
            apps: new.apps.clone(),
            from: new.from.clone(),
            scopes: new.scopes.clone(),
            created_at: now,
            created_by: clean(asker.actor.name(), TEXT_BYTES_MAX).into(),
            expires_at: new.expires_at,
            last_used_at: None,
        });
        let told = LifecycleDifference {
            what: "token".to_owned(),
            before: String::new(),
            after: format!("{} {}", new.hash.name(), new.label),
            set_by: None,
        };
        let decided = Decided::of(before, after, LifecycleCode::MachineTokenCreate, "add_token");
        Ok(Decided { told: Some(told), ..decided }.resting_on(owner))
    }
}

/// A token is for something that works, and gives no more than that has.
fn token_fits(machine: &Machine, new: &NewToken, now: UnixMillis) -> Result<(), Failed> {
    match machine.kind {
        MachineKind::ServiceAccount => {}
        MachineKind::Agent => {
            let help = "let its issuer give it one that names the person (RFC 8693)";
            return Err(Failed::Refused {
                what: "an agent acts for a person, and has no token of its own",
                help,
            });
        }
    }
    if machine.state != MachineState::Active || now >= machine.expires_at {
        let help = "start it first, or register another";
        return Err(Failed::Refused { what: "the service account does not work", help });
    }
    if new.label.trim().is_empty()
        || new.label.len() > TEXT_BYTES_MAX
        || new.label.chars().any(char::is_control)
    {
        let what = format!("must have 1 to {TEXT_BYTES_MAX} bytes and no control characters");
        return Err(Failed::Bad { field: "label", what });
    }
    let latest = now.plus(Duration::from_hours(24 * u64::from(MACHINE_TOKEN_DAYS_MAX)));
    if new.expires_at <= now || new.expires_at > latest {
        let what = format!("must lie ahead, by {MACHINE_TOKEN_DAYS_MAX} days at most");
        return Err(Failed::Bad { field: "expires_at", what });
    }
    let named = [
        ("apps", new.apps.named().map(BTreeSet::len)),
        ("from", new.from.named().map(BTreeSet::len)),
        ("scopes", new.scopes.named().map(BTreeSet::len)),
    ];
    for (field, count) in named {
        if count.is_some_and(|count| count == 0 || count > TOKEN_LIMITS_MAX) {
            let what = format!("must name 1 to {TOKEN_LIMITS_MAX}; leave it out where it shall not matter");
            return Err(Failed::Bad { field, what });
        }
    }
    if new.scopes.named().is_some_and(|scopes| !scopes.is_subset(&machine.scopes)) {
        let what = "must be among those of the service account".to_owned();
        return Err(Failed::Bad { field: "scopes", what });
    }
    Ok(())
}

/// A machine without one of its tokens.
pub(super) fn without_token(before: Versioned<Machine>, name: &str) -> Result<Decided, Failed> {
    let token = before.it.tokens.iter().find(|token| token.hash.name() == name);
    let token = token.ok_or_else(|| not_found("token", name))?.clone();
    let mut after = before.it.clone();
    after.tokens.retain(|other| other.hash != token.hash);
    let told = LifecycleDifference {
        what: "token".to_owned(),
        before: format!("{name} {}", token.label),
        after: String::new(),
        set_by: None,
    };
    let cuts = vec![(Target::Token(token.token_id(&before.it.user)), Action::Revoke)];
    let decided = Decided::of(before, after, LifecycleCode::MachineTokenRevoke, "revoke_token");
    Ok(Decided { cuts, told: Some(told), ..decided })
}

/// The same, and none of the tokens that the machine has is good any more.
pub(super) fn without_tokens(mut decided: Decided) -> Decided {
    let tokens = std::mem::take(&mut decided.after.tokens);
    let names: Vec<_> = tokens.iter().map(|token| format!("{} {}", token.hash.name(), token.label)).collect();
    if !names.is_empty() {
        let (what, before, after) = ("token".to_owned(), names.join(", "), String::new());
        decided.told = Some(LifecycleDifference { what, before, after, set_by: None });
    }
    let revoked = |token: &MachineToken| (Target::Token(token.token_id(&decided.after.user)), Action::Revoke);
    decided.cuts = tokens.iter().map(revoked).collect();
    decided
}
