//! Service accounts that show a token which was made here.
//!
//! Such a token proves nothing by itself: it is looked up, for each request, in what the directory says.
//! So it stops with whatever stops the service account, in the same moment: nothing of it is believed for
//! longer.
//!
//! ```text
//!  SHA-256 ─► the directory ─┬─ nobody's ──────────────► invalid_credential   401
//!                            ├─ too long unread ───────► stale_directory      503
//!                            └─ Account ─► may_ask ─┬─── not admitted ──────► disabled            401
//!                                                   ├─── out of date ───────► expired_credential  401
//!                                                   ├─── another address ───► invalid_credential  401
//!                                                   └─── another app ───────► no_permit           403
//! ```
//!
//! What holds:
//! * no person is ever behind such a token: it has no sign-in, no second factor and no device;
//! * it gives no scope that its service account does not have, and none that it was not made for;
//! * it is asked also where people are as their tokens say, on every node;
//! * that it was used is noted, and waits for nobody.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use doorward_model::directory::{MACHINE_TOKEN_USED_SECONDS, Machine, MachineId, MachineToken, TokenHash};
use doorward_model::{
    AppId, AuthSession, LifecycleStage, Principal, Refusal, RefusalCode, ServiceAccount, UnixMillis, UserId,
};
use doorward_state::directory::{Directory, KnownMachine, KnownPerson};
use quick_cache::sync::Cache;

use crate::people::{is_read, unclear};

/// Service accounts that are remembered as they were last judged, one for each token.
const MADE_MAX: usize = 8192;
/// How many uses wait to be written down. What does not fit is noted with a later use.
const USED_MAX: usize = 4096;

/// Every service account with a token of ours.
pub struct Accounts {
    directory: Directory,
    made: Cache<TokenHash, Made>,
    used: Mutex<BTreeMap<TokenHash, (MachineId, UnixMillis)>>,
}

/// A token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Of which service account.
    pub machine: MachineId,
    /// Which one.
    pub token: TokenHash,
    /// When.
    pub at: UnixMillis,
}

/// What was made of the same records.
#[derive(Clone)]
struct Made {
    machine: Arc<Machine>,
    owner: Option<Arc<KnownPerson>>,
    account: Arc<Shown>,
}

/// A service account as policies and the log are told of it.
#[derive(Debug)]
struct Shown {
    principal: Arc<Principal>,
    session: AuthSession,
    owner: UserId,
}

/// A service account that showed a token of its own. Proof that the directory knows it, and not that it may ask.
#[derive(Clone)]
pub(crate) struct Account {
    known: KnownMachine,
    token: TokenHash,
    client: IpAddr,
    shown: Arc<Shown>,
}

impl Accounts {
    /// Those of a directory.
    #[must_use]
    pub fn new(directory: Directory) -> Self {
        Self { directory, made: Cache::new(MADE_MAX), used: Mutex::default() }
    }

    /// What says who they are: the same that is asked about people, where one is.
    pub(crate) const fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whose token it is. `stale_max` is for how much longer than usual the app goes on with what was known.
    pub(crate) fn whose(
        &self,
        token: &TokenHash,
        client: IpAddr,
        stale_max: Duration,
    ) -> Result<Account, Refusal> {
        let nobody = |why: &str| {
            let detail = format!("the token `{}` of a service account: {why}", token.name());
            Refusal::new(RefusalCode::InvalidCredential, detail)
        };
        is_read(&self.directory, stale_max)?;
        let known = self.directory.machine_with_token(token).map_err(|e| unclear(&e))?;
        let known = known.ok_or_else(|| nobody("nobody has it, or has it any more"))?;
        let shown =
            self.shown(&known, token).ok_or_else(|| nobody("whoever answers for it cannot sign in"))?;
        Ok(Account { known, token: *token, client, shown })
    }

    fn shown(&self, known: &KnownMachine, hash: &TokenHash) -> Option<Arc<Shown>> {
        let (machine, owner) = (known.machine(), known.owner());
        let same = |a: Option<&Arc<KnownPerson>>| match (a, owner) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if let Some(made) = self.made.get(hash)
            && Arc::ptr_eq(&made.machine, machine)
            && same(made.owner.as_ref())
        {
            return Some(made.account);
        }
        let account = Arc::new(make(known, known.token(hash)?)?);
        let made =
            Made { machine: Arc::clone(machine), owner: owner.cloned(), account: Arc::clone(&account) };
        self.made.insert(*hash, made);
        Some(account)
    }

    /// Notes that a token was used, when that is not known well enough.
    fn note(&self, account: &Account, token: &MachineToken, now: UnixMillis) {
        let age = Duration::from_secs(MACHINE_TOKEN_USED_SECONDS);
        if token.last_used_at.is_some_and(|at| now < at.plus(age)) {
            return;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < USED_MAX || used.contains_key(&account.token) {
            used.insert(account.token, (account.known.machine().id, now));
        }
    }

    /// What was used since it was last asked.
    #[must_use]
    pub fn take_used(&self) -> Vec<Used> {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        used.into_iter().map(|(token, (machine, at))| Used { machine, token, at }).collect()
    }
}

/// None where nobody who can sign in answers for it: such an owner could never be cut off.
fn make(known: &KnownMachine, token: &MachineToken) -> Option<Shown> {
    let machine = known.machine();
    let owner = known.owner()?.person().links.first()?.clone();
    let principal = Arc::new(Principal::ServiceAccount(ServiceAccount {
        id: machine.user.clone(),
        owner: owner.clone(),
        scopes: token.scopes.of(&machine.scopes),
        // Whoever is in another stage is not admitted, and so asks nothing.
        stage: LifecycleStage::Active,
    }));
    let session = AuthSession {
        issuer: machine.user.issuer().clone(),
        session: None,
        token: Some(token.token_id(&machine.user)),
        issued_at: token.created_at,
        expires_at: token.expires_at.min(machine.expires_at),
    };
    Some(Shown { principal, session, owner })
}

impl Account {
    /// Who acts.
    pub(crate) fn principal(&self) -> &Arc<Principal> {
        &self.shown.principal
    }

    /// The token, as what is revoked.
    pub(crate) fn session(&self) -> &AuthSession {
        &self.shown.session
    }

    /// Under which sign-in the person answers for it.
    pub(crate) fn owner(&self) -> &UserId {
        &self.shown.owner
    }

    /// Where that person stands.
    pub(crate) fn owner_stage(&self) -> LifecycleStage {
        self.known.owner_stage()
    }

    /// Whether policies are told the same of both.
    pub(crate) fn is_told_as(&self, other: &Self) -> bool {
        self.token == other.token
            && self.owner_stage() == other.owner_stage()
            && Arc::ptr_eq(&self.shown, &other.shown)
    }

    /// Whether policies may be asked about it at all; what they say is another question.
    pub(crate) fn may_ask(&self, accounts: &Accounts, app: &AppId, now: UnixMillis) -> Result<(), Refusal> {
        let (machine, name) = (self.known.machine(), self.token.name());
        let Some(token) = self.known.token(&self.token) else {
            return Err(Refusal::new(
                RefusalCode::InvalidCredential,
                format!("nobody has the token `{name}`"),
            ));
        };
        if !self.known.admitted(now) {
            let (stage, owner) = (self.known.stage(now).as_str(), self.owner_stage().as_str());
            let detail =
                format!("the directory says that `{}` is {stage}, and its owner {owner}", machine.user);
            return Err(Refusal::new(RefusalCode::Disabled, detail));
        }
        if now >= token.expires_at {
            let ago = now.since(token.expires_at).as_secs();
            let detail = format!("the token `{name}` of `{}` expired {ago} s ago", machine.user);
            return Err(Refusal::new(RefusalCode::ExpiredCredential, detail));
        }
        if !token.admits_from(self.client) {
            let detail = format!("the token `{name}` of `{}` is not for this address", machine.user);
            return Err(Refusal::new(RefusalCode::InvalidCredential, detail));
        }
        if !token.apps.has(app) {
            let detail = format!("the token `{name}` of `{}` is not for the app `{app}`", machine.user);
            return Err(Refusal::new(RefusalCode::NoPermit, detail));
        }
        accounts.note(self, token, now);
        Ok(())
    }

    /// The same token from the same address, as the directory says now.
    pub(crate) fn anew(
        &self,
        accounts: &Accounts,
        (app, stale_max): (&AppId, Duration),
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let account = accounts.whose(&self.token, self.client, stale_max)?;
        account.may_ask(accounts, app, now)?;
        Ok(account)
    }
}

#[cfg(test)]
mod tests;
