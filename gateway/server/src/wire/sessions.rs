//! What operators see of browser sessions, and what receipts and cases count of them.

use std::sync::Arc;

use doorward_console::{BrowserSession, BrowserSessions};
use doorward_lifecycle::service::{CountSessions, KeptSessions};
use doorward_model::{CountryCode, Target, UserId};
use doorward_proxy::sign_in::{browser_of, target_of};
use doorward_proxy::{House, SignIn};
use doorward_state::SessionRecord;

use super::sign_in::Left;

/// For operators. None where nobody signs in with a browser.
pub(super) fn for_operators(house: &Arc<House>, left: &Arc<Left>) -> Option<BrowserSessions> {
    house.sign_in.as_ref()?;
    let (house, left) = (Arc::clone(house), Arc::clone(left));
    Some(BrowserSessions {
        of: Arc::new(move |person: UserId| {
            let house = Arc::clone(&house);
            Box::pin(async move {
                let Some(sign_in) = &house.sign_in else { return Ok(Vec::new()) };
                let records = sign_in.records_of(&house, &person).await.map_err(|e| e.to_string())?;
                Ok(records.into_iter().filter_map(|(record, stands)| shown(&house, record, stands)).collect())
            })
        }),
        ended: Arc::new(move |person: &UserId| left.put(person)),
    })
}

fn shown(house: &House, record: SessionRecord, stands: bool) -> Option<BrowserSession> {
    let target = target_of(&record)?;
    let country = house.places.locate(record.client).country;
    Some(BrowserSession {
        stands,
        running: running(house, &target),
        target,
        signed_in_at: record.signed_in_at,
        seen_at: record.seen_at,
        confirmed_at: record.validated_at,
        expires_at: record.expires_at,
        client: record.client,
        country: (country != CountryCode::UNKNOWN).then(|| country.to_string()),
        browser: browser_of(&record.agent),
        device: record.device,
        provider_session: record.issuer_session,
        refresh_token: record.refresh.is_some(),
        apps: record.apps.into_iter().collect(),
        id: record.id,
    })
}

/// How much of a session runs on this node.
fn running(house: &House, target: &Target) -> usize {
    let Target::Token(token) = target else { return 0 };
    let theirs = house.inflight.list(usize::MAX, |facts| {
        facts.presented.as_ref().is_some_and(|presented| presented.session.token.as_ref() == Some(token))
    });
    theirs.len()
}

/// For receipts and cases.
pub(super) fn counted(house: &Arc<House>, left: &Arc<Left>) -> CountSessions {
    let (house, left) = (Arc::clone(house), Arc::clone(left));
    Arc::new(move |people: Vec<UserId>| {
        let (house, left) = (Arc::clone(&house), Arc::clone(&left));
        Box::pin(async move { kept(&house, &left, &people).await })
    })
}

/// What is kept of somebody's browser sessions now.
async fn kept(house: &House, left: &Left, people: &[UserId]) -> Result<KeptSessions, String> {
    let mut kept = KeptSessions::default();
    let Some(sign_in): Option<&Arc<SignIn>> = house.sign_in.as_ref() else { return Ok(kept) };
    for person in people {
        let records = sign_in.records_of(house, person).await.map_err(|e| e.to_string())?;
        kept.sessions += u64::try_from(records.len()).unwrap_or(u64::MAX);
        let tokens = records.iter().filter(|(record, _)| record.refresh.is_some()).count();
        kept.refresh_tokens += u64::try_from(tokens).unwrap_or(u64::MAX);
        // Such as when this process was started after they were cut off.
        if records.iter().any(|(_, stands)| !stands) {
            left.put(person);
        }
    }
    Ok(kept)
}
