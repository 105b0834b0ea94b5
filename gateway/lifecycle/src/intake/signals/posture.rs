//! What a source of posture says of a device, noted.
//!
//! Nothing is remembered of a message but what it says: one that comes twice says the same again, and one that is
//! older than what is known changes nothing. Of two of the same second the worse counts.

use std::sync::Arc;

use doorward_identity::message::PostureReport;
use doorward_model::directory::Posture;

use super::settle::Settled;
use crate::machine::Actor;
use crate::service::{Asker, DeviceAct, Failed, Lifecycle};
use crate::signals::answer::Took;

/// Notes what a verified message says. It is in force and on the disk when this says that it was taken.
pub(super) async fn note(lives: &Lifecycle, report: &PostureReport, request_id: &Arc<str>) -> Settled {
    let posture = Posture {
        managed: report.managed(),
        compliance: report.compliance(),
        source: report.sender().as_str().into(),
        reasons: report.reasons().to_vec(),
        asserted_at: report.issued_at(),
        expires_at: report.expires_at(),
    };
    let asker = Asker {
        actor: Actor::Signal(report.sender().clone()),
        asserted_at: Some(report.issued_at()),
        cause: "posture".into(),
        request_id: Arc::clone(request_id),
        if_version: None,
    };
    let act = DeviceAct::Report(report.device().clone(), Box::new(posture));
    match lives.on_device(act, asker).await {
        Ok(_) => Settled::Took(Took::Done),
        Err(Failed::NotFound { .. }) => Settled::Took(Took::NoOne),
        Err(Failed::Bad { .. } | Failed::Refused { .. }) => Settled::Took(Took::CannotBeDone),
        Err(error) => {
            tracing::error!(request_id = &**request_id, %error, "the posture of a device is not noted");
            Settled::Later
        }
    }
}
