//! What tickets, attempts and entries hold, in bytes.

use std::time::Duration;

use doorward_model::{AppId, Demand, IssuerId, Strength, UnixMillis};

use super::{Attempt, Enter, Nonce, NonceHash, Ticket, TooLittle};
use crate::pack::{Packer, Unpacker};
use crate::session::{self, SessionKey};
use crate::target::ReturnTarget;

/// A change of what stands here is another number: who is in the middle of a sign-in then begins anew.
const FORMAT: u8 = 2;

pub(super) fn pack_ticket(ticket: &Ticket) -> Vec<u8> {
    let mut p = Packer::new(FORMAT);
    p.signed(ticket.made_at.0);
    pack_back(&mut p, &ticket.back);
    p.text(ticket.app.as_str());
    pack_demand(&mut p, &ticket.demand);
    p.some_text(ticket.provider.as_ref().map(IssuerId::as_str));
    p.bytes(&ticket.nonce.0);
    p.done()
}

pub(super) fn unpack_ticket(bytes: &[u8]) -> Option<Ticket> {
    let mut u = Unpacker::new(FORMAT, bytes)?;
    let ticket = Ticket {
        made_at: UnixMillis(u.signed()?),
        back: back(&mut u)?,
        app: AppId::new(u.text()?).ok()?,
        demand: demand(&mut u)?,
        provider: u.some(issuer)?,
        nonce: NonceHash(u.array()?),
    };
    u.end()?;
    Some(ticket)
}

pub(super) fn pack_attempt(attempt: &Attempt) -> Vec<u8> {
    let mut p = Packer::new(FORMAT);
    p.signed(attempt.started_at.0);
    p.text(attempt.provider.as_str());
    p.text(attempt.nonce.expose());
    p.text(attempt.verifier.expose());
    pack_demand(&mut p, &attempt.demand);
    pack_back(&mut p, &attempt.back);
    p.some_text(attempt.app.as_ref().map(AppId::as_str));
    p.some(attempt.enter, |p, hash| p.bytes(&hash.0));
    p.some(attempt.steps_up, |p, id| p.bytes(&id.bytes()));
    p.done()
}

pub(super) fn unpack_attempt(bytes: &[u8]) -> Option<Attempt> {
    let mut u = Unpacker::new(FORMAT, bytes)?;
    let attempt = Attempt {
        started_at: UnixMillis(u.signed()?),
        provider: issuer(&mut u)?,
        nonce: Nonce::parse(u.text()?)?,
        verifier: Nonce::parse(u.text()?)?,
        demand: demand(&mut u)?,
        back: back(&mut u)?,
        app: u.some(|u| AppId::new(u.text()?).ok())?,
        enter: u.some(|u| u.array().map(NonceHash))?,
        steps_up: u.some(|u| u.array().map(SessionKey::from_random))?,
    };
    u.end()?;
    Some(attempt)
}

pub(super) fn pack_too_little(weak: &TooLittle) -> Vec<u8> {
    let mut p = Packer::new(FORMAT);
    p.signed(weak.at.0);
    pack_demand(&mut p, &weak.demand);
    p.done()
}

pub(super) fn unpack_too_little(bytes: &[u8]) -> Option<TooLittle> {
    let mut u = Unpacker::new(FORMAT, bytes)?;
    let weak = TooLittle { at: UnixMillis(u.signed()?), demand: demand(&mut u)? };
    u.end()?;
    Some(weak)
}

pub(super) fn pack_enter(enter: &Enter) -> Vec<u8> {
    let mut p = Packer::new(FORMAT);
    p.signed(enter.made_at.0);
    pack_back(&mut p, &enter.back);
    p.bytes(&enter.nonce.0);
    p.bytes(&session::pack(&enter.session));
    p.done()
}

pub(super) fn unpack_enter(bytes: &[u8]) -> Option<Enter> {
    let mut u = Unpacker::new(FORMAT, bytes)?;
    Some(Enter {
        made_at: UnixMillis(u.signed()?),
        back: back(&mut u)?,
        nonce: NonceHash(u.array()?),
        session: session::unpack(u.rest())?,
    })
}

fn pack_back(p: &mut Packer, back: &ReturnTarget) {
    p.text(back.host());
    p.text(back.path_and_query());
}

/// Looked at as closely as when it came.
fn back(u: &mut Unpacker<'_>) -> Option<ReturnTarget> {
    ReturnTarget::parse(u.text()?, u.text()?).ok()
}

fn pack_demand(p: &mut Packer, demand: &Demand) {
    p.text(demand.strength.as_str());
    p.some(demand.max_age, |p, age| p.number(age.as_secs()));
}

fn demand(u: &mut Unpacker<'_>) -> Option<Demand> {
    let strength = Strength::parse(u.text()?)?;
    let max_age = u.some(Unpacker::number)?.map(Duration::from_secs);
    Some(Demand { strength, max_age })
}

fn issuer(u: &mut Unpacker<'_>) -> Option<IssuerId> {
    IssuerId::new(u.text()?).ok()
}
