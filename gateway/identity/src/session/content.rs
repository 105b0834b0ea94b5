//! What a cookie holds, in bytes.
//!
//! What is not there takes one byte or none; times are told from the sign-in on. A change of what stands here is
//! another [`FORMAT`]: who then brings a cookie of before signs in once more.

use doorward_model::{
    Assurance, Compliance, CountryCode, DeviceId, DevicePosture, Employment, IssuerId, LifecycleStage, Risk,
    SessionId, SubjectId, Thumbprint, UnixMillis, User, UserId,
};

use super::{AgentMark, BrowserSession, SessionKey, Whence, slim, unknown};
use crate::pack::{Packer, Unpacker};

const FORMAT: u8 = 2;

/// In the order of their numbers.
const COMPLIANCES: [Compliance; 3] = [Compliance::Unknown, Compliance::NotCompliant, Compliance::Compliant];

pub(crate) fn pack(session: &BrowserSession) -> Vec<u8> {
    let mut p = Packer::new(FORMAT);
    let BrowserSession { assurance, device, from, user, .. } = session;
    let start = session.signed_in_at;
    let is_slim = *user == slim(user);
    p.flags([
        assurance.mfa,
        assurance.phishing_resistant,
        device.managed,
        is_slim,
        device.id.is_some(),
        device.platform.is_some(),
        session.binding.is_some(),
        from.asn.is_some(),
    ]);
    p.byte(u8::from(session.renewable));
    p.bytes(&session.id.bytes());
    p.signed(start.0);
    for time in [session.seen_at, session.validated_at, session.expires_at] {
        p.time(time, start);
    }
    for time in [assurance.authenticated_at, assurance.mfa_at] {
        p.some(time, |p, time| p.time(time, start));
    }
    p.text(user.id.issuer().as_str());
    p.text(user.id.subject().as_str());
    p.some(session.issuer_session.as_ref(), |p, id| {
        p.text(if id.issuer() == user.id.issuer() { "" } else { id.issuer().as_str() });
        p.text(id.as_str());
    });
    p.byte(place_in(&COMPLIANCES, &device.compliance));
    device.id.iter().for_each(|id| p.text(id.as_str()));
    device.platform.iter().for_each(|platform| p.text(platform));
    session.binding.iter().for_each(|thumbprint| p.bytes(thumbprint.as_bytes()));
    p.some(session.risk.score(), Packer::byte);
    p.address(from.ip);
    p.bytes(from.country.as_str().as_bytes());
    from.asn.iter().for_each(|asn| p.number(u64::from(*asn)));
    p.bytes(&from.agent.0.to_be_bytes());
    p.some_text(user.name.as_deref());
    p.some_text(user.email.as_deref());
    if !is_slim {
        pack_rest(&mut p, user, start);
    }
    p.done()
}

/// What the token says of a person, and a directory would say otherwise.
fn pack_rest(p: &mut Packer, user: &User, start: UnixMillis) {
    p.texts(&user.groups);
    p.texts(&user.roles);
    p.byte(place_in(&LifecycleStage::ALL, &user.stage));
    p.byte(place_in(&Employment::ALL, &user.employment));
    p.some(user.contract_end, |p, time| p.time(time, start));
    p.bytes(user.home_country.as_str().as_bytes());
    p.some_text(user.department.as_deref());
    p.number(user.tags.len() as u64);
    for (name, value) in &user.tags {
        p.text(name);
        p.text(value);
    }
}

pub(crate) fn unpack(bytes: &[u8]) -> Option<BrowserSession> {
    let mut u = Unpacker::new(FORMAT, bytes)?;
    let [mfa, phishing_resistant, managed, is_slim, named, on_platform, bound, routed] = u.flags()?;
    let renewable = match u.byte()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let id = SessionKey::from_random(u.array()?);
    let signed_in_at = UnixMillis(u.signed()?);
    let (seen_at, validated_at, expires_at) =
        (u.time(signed_in_at)?, u.time(signed_in_at)?, u.time(signed_in_at)?);
    let (authenticated_at, mfa_at) = (u.some(|u| u.time(signed_in_at))?, u.some(|u| u.time(signed_in_at))?);
    let user_id = UserId::new(IssuerId::new(u.text()?).ok()?, SubjectId::new(u.text()?).ok()?);
    let issuer_session = u.some(|u| issuer_session(u, &user_id))?;
    let compliance = *COMPLIANCES.get(usize::from(u.byte()?))?;
    let device = DevicePosture {
        id: if named { Some(DeviceId::new(u.text()?).ok()?) } else { None },
        managed,
        compliance,
        platform: if on_platform { Some(u.text()?.to_owned()) } else { None },
        ..DevicePosture::default()
    };
    let binding = if bound { Some(Thumbprint::new(u.array()?)) } else { None };
    let risk = u.some(Unpacker::byte)?.map_or(Risk::UNKNOWN, Risk::scored);
    let from = Whence {
        ip: u.address()?,
        country: country(&mut u)?,
        asn: if routed { Some(u32::try_from(u.number()?).ok()?) } else { None },
        agent: AgentMark(u32::from_be_bytes(u.array()?)),
    };
    let (name, email) = (owned(u.some_text()?), owned(u.some_text()?));
    let mut user = User { name, email, ..unknown(user_id) };
    if !is_slim {
        unpack_rest(&mut u, &mut user, signed_in_at)?;
    }
    u.end()?;
    let assurance = Assurance { mfa, phishing_resistant, authenticated_at, mfa_at };
    Some(BrowserSession {
        id,
        user,
        issuer_session,
        assurance,
        device,
        risk,
        signed_in_at,
        seen_at,
        validated_at,
        expires_at,
        renewable,
        binding,
        from,
    })
}

fn unpack_rest(u: &mut Unpacker<'_>, user: &mut User, start: UnixMillis) -> Option<()> {
    user.groups = u.texts()?;
    user.roles = u.texts()?;
    user.stage = *LifecycleStage::ALL.get(usize::from(u.byte()?))?;
    user.employment = *Employment::ALL.get(usize::from(u.byte()?))?;
    user.contract_end = u.some(|u| u.time(start))?;
    user.home_country = country(u)?;
    user.department = owned(u.some_text()?);
    for _ in 0..u.number()? {
        let (name, value) = (u.text()?.to_owned(), u.text()?.to_owned());
        user.tags.insert(name, value);
    }
    Some(())
}

fn issuer_session(u: &mut Unpacker<'_>, user: &UserId) -> Option<SessionId> {
    let issuer = match u.text()? {
        "" => user.issuer().clone(),
        other => IssuerId::new(other).ok()?,
    };
    SessionId::new(issuer, u.text()?).ok()
}

fn country(u: &mut Unpacker<'_>) -> Option<CountryCode> {
    let letters: [u8; 2] = u.array()?;
    CountryCode::new(std::str::from_utf8(&letters).ok()?).ok()
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// The place in a list of all values; the last one where there is none, which cannot be.
fn place_in<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}
