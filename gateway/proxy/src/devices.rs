//! Which device a request comes from, and what the directory says of it.
//!
//! A certificate proves it: whoever made this connection has the key. Where it names no device that is known,
//! and where there is none, a token says on which device somebody signed in, and its issuer may vouch for that
//! device. Where the device is registered here, the directory's word counts instead, for each request: whether it
//! is managed and compliant, as long as that is fresh and the device is theirs who signed in. What is stale, or of
//! somebody else's device, is not compliant. A device that nobody registered is as its token says.
//!
//! ```text
//!  certificate ─► does it stand? ─┬─ no ──────────────────► device_certificate  403
//!                                 └─ its device, or else
//!  device of the token ─► the directory ─┬─ not registered ──► as the token says of this one
//!                                        ├─ registered ──────► as the directory says, if it is theirs and fresh
//!                                        ├─ blocked ─────────► disabled          401
//!                                        └─ unclear ─────────► directory_error   403
//! ```
//!
//! That a device is blocked is a revocation, too, and that ends what runs. Here the next request is refused
//! also where the record is known first.
//!
//! Invariants:
//! * A certificate that was shown and does not stand refuses, also where the app would do without, and at our own
//!   pages, but for those by which somebody signs out.
//! * A session that began with a certificate is taken over to no other, nor to none where one is asked for.
//! * A device for which certificates are noted is proved by one of those, and by no other that names it.
//! * What a token vouches for counts for the device that it names, never for another that has a certificate.
//! * Nothing that a header says of a certificate is believed.

use std::sync::Arc;
use std::time::Duration;

use doorward_identity::{BrowserSession, ClientCertificate};
use doorward_model::directory::Device;
use doorward_model::{
    Compliance, DeviceAssurance, DeviceId, DevicePosture, Principal, Refusal, RefusalCode, Thumbprint,
    UnixMillis, UserId,
};
use doorward_state::directory::Directory;

use crate::config::{App, CertificateNeed};
use crate::listen::Handshake;
use crate::people::{is_read, unclear};
use crate::pipeline::accept::Accepted;
use crate::pipeline::identify::Who;
use crate::sign_in::OwnRequest;

/// What a request shows of its device.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'a> {
    /// What its token, or its session, says.
    pub(crate) named: &'a DevicePosture,
    /// The certificate of its connection, which stands.
    pub(crate) certificate: Option<&'a ClientCertificate>,
}

/// A device that a certificate proves, and its record where it is registered.
type Proved = (DeviceId, Option<Arc<Device>>);

/// The certificate of a connection, for an app that looks at it. It stands now.
pub(crate) fn shown(
    handshake: Option<&Handshake>,
    app: &App,
    now: UnixMillis,
) -> Result<Option<Arc<ClientCertificate>>, Refusal> {
    let no = |why: &dyn std::fmt::Display| Refusal::new(RefusalCode::DeviceCertificate, why.to_string());
    let shown = match app.client_certificate {
        CertificateNeed::None => return Ok(None),
        CertificateNeed::Required | CertificateNeed::Asked => handshake.and_then(|h| h.certificate.as_ref()),
    };
    match shown {
        None if app.client_certificate == CertificateNeed::Required => {
            Err(no(&"the app wants a certificate, and the connection has none"))
        }
        None => Ok(None),
        Some(Err(why)) => Err(no(why)),
        Some(Ok(certificate)) => {
            certificate.stands(now).map_err(|why| no(&why))?;
            Ok(Some(Arc::clone(certificate)))
        }
    }
}

/// The certificate of a connection, for a page of ours. It stands now.
pub(crate) fn of_own_page(
    handshake: Option<&Handshake>,
    now: UnixMillis,
) -> Result<Option<Arc<ClientCertificate>>, Refusal> {
    let Some(shown) = handshake.and_then(|handshake| handshake.certificate.as_ref()) else { return Ok(None) };
    let stands = shown.as_ref().map_err(Clone::clone).and_then(|shown| shown.stands(now).map(|()| shown));
    let reason = "The certificate of this device is not accepted any more.";
    stands.map(|shown| Some(Arc::clone(shown))).map_err(|why| Refusal {
        reason: Some(reason.to_owned()),
        ..Refusal::new(RefusalCode::DeviceCertificate, why.to_string())
    })
}

/// To which certificate a session is bound at the host of an app that takes it over: to the one that is shown there,
/// which is that of the sign-in, if the sign-in was bound to one. Where the connection asks for none, to none.
pub(crate) fn taken_over(
    session: &BrowserSession,
    request: &OwnRequest,
) -> Result<Option<Thumbprint>, Refusal> {
    let shown = request.certificate.as_ref().map(|certificate| *certificate.thumbprint());
    if session.binding.is_none() || session.binding == shown || !request.asks_for_certificate {
        return Ok(shown);
    }
    let reason =
        "You signed in with the certificate of your device. This app was shown another one, or none.";
    let detail =
        "the session is bound to a certificate, and the host of the app was shown another one, or none";
    Err(Refusal { reason: Some(reason.to_owned()), ..Refusal::new(RefusalCode::DeviceCertificate, detail) })
}

/// Whether the certificate with which something was let in still stands: one that its app looked at, or one to
/// which its session is bound.
pub(crate) fn still_stands(accepted: &Accepted, who: &Who, now: UnixMillis) -> Result<(), Refusal> {
    let is_bound = match who {
        Who::Known { verified, .. } => verified.browser().is_some_and(|session| session.binding.is_some()),
        Who::Account(_) | Who::Visitor => false,
    };
    let looked_at = accepted.client_certificate().map(Arc::as_ref);
    let certificate = looked_at.or_else(|| accepted.connection_certificate().filter(|_| is_bound));
    let stands = certificate.map_or(Ok(()), |certificate| certificate.stands(now));
    stands.map_err(|why| Refusal::new(RefusalCode::DeviceCertificate, why.to_string()))
}

/// A session that began with a certificate goes on with that one only, as long as that stands.
pub(crate) fn bound(
    binding: Option<&Thumbprint>,
    certificate: Option<&ClientCertificate>,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let why = match (binding, certificate) {
        (None, _) => return Ok(()),
        (Some(bound), Some(shown)) if bound == shown.thumbprint() => match shown.stands(now) {
            Ok(()) => return Ok(()),
            Err(why) => why.to_string(),
        },
        (Some(_), Some(_)) => "the session is bound to another certificate".to_owned(),
        (Some(_), None) => "the session is bound to a certificate, and the connection has none".to_owned(),
    };
    Err(Refusal::new(RefusalCode::DeviceCertificate, why))
}

/// The device that a request comes from, as the directory says; none where all that is known of it is what its
/// token says. `principal` signed in.
pub(crate) fn known(
    directory: &Directory,
    principal: &Principal,
    shown: Shown<'_>,
    (now, stale_max): (UnixMillis, Duration),
) -> Result<Option<Arc<DevicePosture>>, Refusal> {
    let named = registered(directory, shown.named.id.as_ref())?;
    let (device, said) = match proved(directory, shown.certificate)? {
        None => (named, shown.named.clone()),
        Some((id, device)) => {
            let assurance = DeviceAssurance::Mtls;
            let said = if shown.named.id.as_ref() == Some(&id) {
                DevicePosture { assurance, ..shown.named.clone() }
            } else {
                DevicePosture { id: Some(id), assurance, ..DevicePosture::default() }
            };
            (device, said)
        }
    };
    let Some(device) = device else {
        return Ok((said != *shown.named).then(|| Arc::new(said)));
    };
    let is_owners = match (device.owner, person_of(principal)) {
        (Some(owner), Some(link)) => {
            let person = directory.person_of(link).map_err(|e| unclear(&e))?;
            person.is_some_and(|person| person.person().id == owner)
        }
        (Some(_), None) | (None, _) => false,
    };
    let mut posture = device.posture_for(&said, is_owners, now);
    if is_read(directory, stale_max).is_err() {
        posture.managed = false;
        posture.owner_matches = false;
        posture.asserted_at = None;
        posture.compliance = match posture.compliance {
            Compliance::NotCompliant => Compliance::NotCompliant,
            Compliance::Compliant | Compliance::Unknown => Compliance::Unknown,
        };
    }
    Ok(Some(Arc::new(posture)))
}

/// The device of a certificate: the one for which it is noted, or else the one that it names, unless other
/// certificates are noted for that.
fn proved(directory: &Directory, certificate: Option<&ClientCertificate>) -> Result<Option<Proved>, Refusal> {
    let Some(certificate) = certificate else { return Ok(None) };
    if let Some(id) = directory.device_with_certificate(certificate.thumbprint()) {
        let device = registered(directory, Some(&id))?;
        return Ok(device.is_some().then_some((id, device)));
    }
    let Some(id) = certificate.device() else { return Ok(None) };
    let device = registered(directory, Some(id))?;
    let is_of_another = device.as_ref().is_some_and(|device| !device.certificates.is_empty());
    Ok((!is_of_another).then(|| (id.clone(), device)))
}

/// A device that is registered, and not blocked.
fn registered(directory: &Directory, id: Option<&DeviceId>) -> Result<Option<Arc<Device>>, Refusal> {
    let Some(id) = id else { return Ok(None) };
    let device = directory.device(id).map_err(|e| unclear(&e))?;
    if device.as_ref().is_some_and(|device| device.blocked.is_some()) {
        return Err(Refusal::new(RefusalCode::Disabled, format!("the device `{id}` is blocked")));
    }
    Ok(device)
}

/// The sign-in of the person who has the device before them, if one has.
const fn person_of(principal: &Principal) -> Option<&UserId> {
    match principal {
        Principal::User(user) => Some(&user.id),
        Principal::Agent(agent) => Some(&agent.on_behalf_of.id),
        Principal::ServiceAccount(_) | Principal::Visitor(_) => None,
    }
}
