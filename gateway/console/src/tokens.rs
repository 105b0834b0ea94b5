//! `/api/v1/service-accounts/{id}/tokens`: with which tokens of ours a service account shows who it is. A
//! token is shown in one answer and never again.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use doorward_lifecycle::service::{MachineAct, NewToken, ServiceToken};
use doorward_model::directory::{Extent, Machine, MachineToken};
use doorward_model::{AppId, Target, UnixMillis};
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::Console;
use crate::directory::{Asked, Manner, lifecycle, millis, not_known, understood};
use crate::guard::Call;
use crate::machines::{ServiceAccounts, apply, known};
use crate::policies::failed;
use crate::problem::{Mistake, Problem};
use crate::strict::Fields;

/// The tokens of a machine, without what nobody is to see. `works`: the machine does.
pub(crate) fn shown(console: &Console, machine: &Machine, works: bool, now: UnixMillis) -> Vec<Value> {
    let revocations = &console.ports.revocations;
    let of_machine = revocations.lookup(&Target::User(machine.user.clone())).unwrap_or_default();
    let is_good = |token: &MachineToken| {
        let cut = revocations.lookup(&Target::Token(token.token_id(&machine.user))).is_some();
        let stands = !of_machine.disabled && token.created_at > of_machine.not_before;
        works && stands && !cut && now < token.expires_at
    };
    let one = |token: &MachineToken| {
        json!({
            "name": token.hash.name(),
            "label": token.label,
            "good": is_good(token),
            "apps": texts(&token.apps),
            "from": texts(&token.from),
            "scopes": texts(&token.scopes),
            "created_at": token.created_at.0,
            "created_by": token.created_by.as_ref(),
            "expires_at": token.expires_at.0,
            "last_used_at": millis(token.last_used_at),
        })
    };
    machine.tokens.iter().map(one).collect()
}

/// Null where it does not matter.
fn texts<T: ToString + Ord + Clone>(extent: &Extent<T>) -> Option<Vec<String>> {
    extent.named().map(|these| these.iter().map(ToString::to_string).collect())
}

/// What a body says of a new token.
struct Wish {
    label: String,
    apps: Extent<AppId>,
    from: Extent<IpNet>,
    scopes: Extent<String>,
    expires_at: UnixMillis,
}

impl Wish {
    fn with(self, secret: &ServiceToken) -> NewToken {
        let Self { label, apps, from, scopes, expires_at } = self;
        NewToken { hash: secret.hash(), label, apps, from, scopes, expires_at }
    }
}

fn wish(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<Wish> {
    let label = fields.text("label", "what it is called, such as `ci`", mistakes);
    let apps = extent(fields, "apps", mistakes, |text| AppId::new(text).map_err(|e| e.to_string()));
    let from = extent(fields, "from", mistakes, net);
    let scopes = extent(fields, "scopes", mistakes, |text| Ok(text.to_owned()));
    let expires_at = expiry(fields, mistakes);
    Some(Wish { label: label?, apps: apps?, from: from?, scopes: scopes?, expires_at: expires_at? })
}

fn expiry(fields: &mut Fields, mistakes: &mut Vec<Mistake>) -> Option<UnixMillis> {
    let expires_at = fields.number("expires_at", i64::MAX.unsigned_abs(), mistakes);
    if expires_at.is_none() && !mistakes.iter().any(|mistake| mistake.field == "expires_at") {
        let help = "say when it stops being good, in milliseconds since 1970; a year ahead at most";
        mistakes.push(Mistake::new("expires_at", "is missing", help));
    }
    i64::try_from(expires_at?).ok().map(UnixMillis)
}

/// A list of things that a token is good for; where there is none it is good for all.
fn extent<T: Ord>(
    fields: &mut Fields,
    name: &'static str,
    mistakes: &mut Vec<Mistake>,
    one: impl Fn(&str) -> Result<T, String>,
) -> Option<Extent<T>> {
    let Some(texts) = fields.texts(name, mistakes) else {
        return (!mistakes.iter().any(|mistake| mistake.field == name)).then_some(Extent::All);
    };
    let mut these = BTreeSet::new();
    let before = mistakes.len();
    for text in &texts {
        match one(text) {
            Ok(it) => _ = these.insert(it),
            Err(why) => {
                mistakes.push(Mistake::new(name, why.chars().take(300).collect::<String>(), ""));
            }
        }
    }
    (mistakes.len() == before).then_some(Extent::Only(these))
}

/// One address, or all of a prefix.
fn net(text: &str) -> Result<IpNet, String> {
    let whole = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let shown: String = text.chars().filter(|c| !c.is_control()).take(60).collect();
    let net = whole.ok_or_else(|| format!("`{shown}` is no address; write `192.0.2.0/24` or `192.0.2.7`"))?;
    if net.trunc() != net {
        return Err(format!("`{shown}` has more than its prefix; write `{}`", net.trunc()));
    }
    Ok(net)
}

fn fresh(console: &Console, call: &Call) -> Result<ServiceToken, Box<Problem>> {
    (console.ports.random)().map(ServiceToken::from_random).ok_or_else(|| {
        tracing::error!("the system has no randomness, so no token can be made");
        Box::new(failed(call))
    })
}

fn asked(operation: &'static str, machine: &Machine, token: &str, takes: bool) -> Asked {
    let of = format!("{} {token}", machine.user).trim_end().chars().take(300).collect();
    Asked { operation, of, takes }
}

pub(crate) async fn add(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let (machine, _) = known::<ServiceAccounts>(lifecycle(&console, &call)?, &call, &id).await?;
        let (wish, manner) = understood(&call, &headers, body, wish).await?;
        Ok::<_, Box<Problem>>((machine, wish, manner, fresh(&console, &call)?))
    };
    match read.await {
        Ok((machine, wish, manner, secret)) => {
            let asked = asked("machines.add_token", &machine, &secret.hash().name(), false);
            let act = MachineAct::AddToken(machine.id, Box::new(wish.with(&secret)));
            apply(console, call, act, asked, manner, Some(secret)).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// One token more, good for the same and for as long. The other one stays good until it is revoked.
pub(crate) async fn rotate(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let (machine, token) = with_token(&console, &call, &id, &name).await?;
        let read = understood(&call, &headers, body, |fields, mistakes| {
            let said = fields.number("expires_at", i64::MAX.unsigned_abs(), mistakes);
            Some(said.and_then(|at| i64::try_from(at).ok()).map(UnixMillis))
        });
        let (expires_at, manner) = read.await?;
        Ok::<_, Box<Problem>>((machine, token, expires_at, manner, fresh(&console, &call)?))
    };
    match read.await {
        Ok((machine, token, expires_at, manner, secret)) => {
            let lives: Duration = token.expires_at.since(token.created_at);
            let expires_at = expires_at.unwrap_or_else(|| call.received_at.plus(lives));
            let MachineToken { label, apps, from, scopes, .. } = token;
            let wish = Wish { label, apps, from, scopes, expires_at };
            let asked = asked("machines.rotate_token", &machine, &name, false);
            let act = MachineAct::AddToken(machine.id, Box::new(wish.with(&secret)));
            apply(console, call, act, asked, manner, Some(secret)).await
        }
        Err(problem) => problem.into_response(),
    }
}

pub(crate) async fn revoke(
    State(console): State<Arc<Console>>,
    Extension(call): Extension<Call>,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let read = async {
        let (machine, _) = known::<ServiceAccounts>(lifecycle(&console, &call)?, &call, &id).await?;
        let ((), manner): ((), Manner) = understood(&call, &headers, body, |_, _| Some(())).await?;
        Ok::<_, Box<Problem>>((machine, manner))
    };
    match read.await {
        Ok((machine, manner)) => {
            let asked = asked("machines.revoke_token", &machine, &name, true);
            apply(console, call, MachineAct::RevokeToken(machine.id, name), asked, manner, None).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn with_token(
    console: &Console,
    call: &Call,
    id: &str,
    name: &str,
) -> Result<(Machine, MachineToken), Box<Problem>> {
    let (machine, _) = known::<ServiceAccounts>(lifecycle(console, call)?, call, id).await?;
    let token = machine.tokens.iter().find(|token| token.hash.name() == name).cloned();
    let token = token.ok_or_else(|| Box::new(not_known(call, "token", name)))?;
    Ok((machine, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whole_or_a_prefix() {
        assert_eq!(net("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(net("2001:db8::/32").unwrap().to_string(), "2001:db8::/32");
        assert!(net("192.0.2.7/24").unwrap_err().contains("192.0.2.0/24"));
        for bad in ["", "host", "192.0.2", "192.0.2.0/33", "192.0.2.7:80", "a\u{1b}b"] {
            let told = net(bad).unwrap_err();
            assert!(told.contains("write `192.0.2.0/24`") && !told.contains('\u{1b}'), "{told}");
        }
    }
}
