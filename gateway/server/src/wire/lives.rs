//! What changes people, groups and machines, for everybody who asks for it.

use std::sync::Arc;
use std::time::Duration;

use doorward_lifecycle::service::{Failed, GuardTerms, Lifecycle, NotJoined, Ports, Settings};
use doorward_model::User;
use doorward_proxy::House;
use doorward_proxy::joining::{self, Answer, Registrar, Where};

use super::{WireError, Wired, receipts};

/// How often it is looked whether a date has come for somebody.
const DUE_EVERY: Duration = Duration::from_secs(30);

/// How often it is written down which tokens of service accounts were used.
const USED_EVERY: Duration = Duration::from_secs(10);

/// Opens it, where there is a directory, and lets it see to what falls due.
pub(super) async fn open(wired: &Wired) -> Result<(), WireError> {
    let house = &wired.house;
    if !house.revocations.has_directory() {
        if wired.config.joining.issuers.values().any(|rule| !rule.domains.is_empty()) {
            house.joining.open(Where::Elsewhere);
        }
        return Ok(());
    }
    let policies = Arc::clone(&house.policies);
    let ports = Ports {
        revocations: house.revocations.as_ref().clone(),
        audit: house.audit.as_ref().clone(),
        clock: Arc::clone(&house.clock),
        ids: Arc::new(uuid::Uuid::now_v7),
        revision: Arc::new(move || Some(policies.bundle().revision().to_string().into())),
    };
    let settings = Settings {
        rules: wired.config.joining.clone(),
        debts: wired.config.revocation.debt().clone(),
        guard: wired.config.intake.as_ref().map_or_else(GuardTerms::default, |intake| intake.guard.clone()),
        cases: wired.config.offboarding.cases.clone(),
    };
    let lives = Lifecycle::open(ports, settings).await?;
    receipts::open(wired, &lives).await?;
    let _first = wired.lives.set(lives.clone());
    house.joining.open(Where::Here(registrar(lives.clone())));
    tokio::spawn(note_used(lives.clone(), Arc::clone(house)));
    tokio::spawn(async move { lives.keep_time(DUE_EVERY).await });
    Ok(())
}

/// Writes down now and then which tokens of service accounts were used.
async fn note_used(lives: Lifecycle, house: Arc<House>) {
    loop {
        tokio::time::sleep(USED_EVERY).await;
        for used in house.accounts.take_used() {
            lives.token_used(used.machine, used.token, used.at).await;
        }
    }
}

/// Makes people known who sign in and may join.
fn registrar(lives: Lifecycle) -> Registrar {
    let may = {
        let lives = lives.clone();
        move |user: &User| lives.may_join(user).map_err(|why| why.to_string())
    };
    let join = move |user: User, request_id: Arc<str>| -> Answer {
        let lives = lives.clone();
        Box::pin(async move {
            match lives.join(user, request_id).await {
                Ok(_) => Ok(()),
                Err(why) => Err(not_joined(&why)),
            }
        })
    };
    Registrar { may: Box::new(may), join: Box::new(join) }
}

/// Whether asking again may help.
fn not_joined(why: &NotJoined) -> joining::NotJoined {
    let told = why.to_string();
    match why {
        NotJoined::Failed(Failed::NotOnRecord(_)) => joining::NotJoined::NotOnRecord(told),
        NotJoined::Failed(failed) if failed.may_pass() => joining::NotJoined::NotSaved(told),
        NotJoined::Failed(_)
        | NotJoined::NotHere(_)
        | NotJoined::NotActive(_)
        | NotJoined::NoAddress
        | NotJoined::OtherDomain
        | NotJoined::NotInvited
        | NotJoined::OutOfTime
        | NotJoined::Several(_)
        | NotJoined::Known(_)
        | NotJoined::ContractOver
        | NotJoined::CutOff => joining::NotJoined::Cannot(told),
    }
}
