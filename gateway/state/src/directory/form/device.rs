//! A device, as written. Its record has the id by which tokens name it.

use doorward_model::directory::{Blocked, Device, Posture};
use doorward_model::{Compliance, DeviceId, Thumbprint, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{Body, FormError, VERSION, read, read_id, write};
use crate::records::UniqueKey;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceForm {
    v: u32,
    id: String,
    owner: Option<String>,
    name: String,
    platform: Option<String>,
    /// As it was before a device could have several.
    #[serde(default, skip_serializing)]
    thumbprint: Option<String>,
    #[serde(default)]
    certificates: Vec<String>,
    posture: Option<PostureForm>,
    blocked: Option<BlockedForm>,
    created_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PostureForm {
    managed: bool,
    compliance: ComplianceForm,
    source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<String>,
    asserted_at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ComplianceForm {
    Compliant,
    NotCompliant,
    Unknown,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockedForm {
    by: String,
    cause: String,
    since: i64,
}

impl Body for DeviceForm {
    fn version(&self) -> u32 {
        self.v
    }
}

/// The body of a device's record.
///
/// # Errors
/// None that can happen: it holds texts and numbers.
pub fn encode_device(device: &Device) -> Result<Vec<u8>, FormError> {
    write(&DeviceForm {
        v: VERSION,
        id: device.id.to_string(),
        owner: device.owner.map(|owner| owner.to_string()),
        name: device.name.clone(),
        platform: device.platform.clone(),
        thumbprint: None,
        certificates: device.certificates.iter().map(ToString::to_string).collect(),
        posture: device.posture.as_ref().map(|posture| PostureForm {
            managed: posture.managed,
            compliance: match posture.compliance {
                Compliance::Compliant => ComplianceForm::Compliant,
                Compliance::NotCompliant => ComplianceForm::NotCompliant,
                Compliance::Unknown => ComplianceForm::Unknown,
            },
            source: posture.source.as_ref().to_owned(),
            reasons: posture.reasons.clone(),
            asserted_at: posture.asserted_at.0,
            expires_at: posture.expires_at.0,
        }),
        blocked: device.blocked.as_ref().map(|blocked| BlockedForm {
            by: blocked.by.as_ref().to_owned(),
            cause: blocked.cause.as_ref().to_owned(),
            since: blocked.since.0,
        }),
        created_at: device.created_at.0,
    })
}

/// The keys of a device's record: each certificate is one device's alone.
///
/// # Errors
/// None: a hash always fits.
pub fn device_keys(device: &Device) -> Result<Vec<UniqueKey>, FormError> {
    let key = |thumbprint| {
        UniqueKey::new(&format!("device-certificate:{thumbprint}"))
            .map_err(|_| FormError::Key { field: "certificates" })
    };
    device.certificates.iter().map(key).collect()
}

/// Reads such a body.
///
/// # Errors
/// See [`FormError`].
pub fn decode_device(body: &[u8]) -> Result<Device, FormError> {
    let form: DeviceForm = read(body)?;
    let wrong = FormError::Field { field: "id", rule: "a device is named by visible ASCII" };
    let not_a_hash =
        || FormError::Field { field: "certificates", rule: "a certificate is noted by its SHA-256" };
    Ok(Device {
        id: DeviceId::new(&form.id).map_err(|_| wrong)?,
        owner: form.owner.map(|owner| read_id("owner", &owner)).transpose()?,
        name: form.name,
        platform: form.platform,
        certificates: form
            .thumbprint
            .iter()
            .chain(&form.certificates)
            .map(|text| Thumbprint::from_hex(text).ok_or_else(not_a_hash))
            .collect::<Result<_, _>>()?,
        posture: form.posture.map(|posture| Posture {
            managed: posture.managed,
            compliance: match posture.compliance {
                ComplianceForm::Compliant => Compliance::Compliant,
                ComplianceForm::NotCompliant => Compliance::NotCompliant,
                ComplianceForm::Unknown => Compliance::Unknown,
            },
            source: posture.source.into(),
            reasons: posture.reasons,
            asserted_at: UnixMillis(posture.asserted_at),
            expires_at: UnixMillis(posture.expires_at),
        }),
        blocked: form.blocked.map(|blocked| Blocked {
            by: blocked.by.into(),
            cause: blocked.cause.into(),
            since: UnixMillis(blocked.since),
        }),
        created_at: UnixMillis(form.created_at),
    })
}
