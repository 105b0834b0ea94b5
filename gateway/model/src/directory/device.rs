//! Devices that are registered here, and what is known of each.

use std::sync::Arc;

use super::id::PersonId;
use crate::device::{Compliance, DeviceId, DevicePosture, Thumbprint};
use crate::time::UnixMillis;

/// The most devices of one person: so many are unbound with their leaving.
pub const DEVICES_BOUND_MAX: usize = 100;
/// For how many hours an operator's word about a device counts at most.
pub const POSTURE_HOURS_MAX: u32 = 24 * 30;

/// What somebody said of a device, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posture {
    /// It is managed by the company.
    pub managed: bool,
    /// It meets the baseline. What nobody said is [`Compliance::Unknown`].
    pub compliance: Compliance,
    /// Whose word it is, such as `operator`.
    pub source: Arc<str>,
    /// Why the device is not compliant, in the words of the source.
    pub reasons: Vec<String>,
    /// When it was said.
    pub asserted_at: UnixMillis,
    /// From when on it is stale, and counts for nothing.
    pub expires_at: UnixMillis,
}

/// That a device is blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// By whom.
    pub by: Arc<str>,
    /// Why, in their words.
    pub cause: Arc<str>,
    /// Since when.
    pub since: UnixMillis,
}

/// A registered device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// How tokens name it.
    pub id: DeviceId,
    /// To whom it belongs. For others its posture does not count.
    pub owner: Option<PersonId>,
    /// A name to show.
    pub name: String,
    /// The operating system, in lower case, if known.
    pub platform: Option<String>,
    /// Its certificates, by their SHA-256 (RFC 8705 §3.1). Where one is noted, no other proves the device.
    pub certificates: Vec<Thumbprint>,
    /// What was last said of it.
    pub posture: Option<Posture>,
    /// Nothing gets in with it.
    pub blocked: Option<Blocked>,
    /// When it was registered.
    pub created_at: UnixMillis,
}

impl Device {
    /// What policies are told of it, where `token` is what the token says of the same device. Whoever has it is its
    /// owner or somebody else (`is_owners`); it vouches for its owner alone, and for nobody while it belongs to
    /// nobody. What is stale, or was said by nobody, is not compliant, and a token that says that it is not compliant is believed, too.
    #[must_use]
    pub fn posture_for(&self, token: &DevicePosture, is_owners: bool, now: UnixMillis) -> DevicePosture {
        let posture = self.posture.as_ref();
        let vouched = self.blocked.is_none() && self.owner.is_some() && is_owners;
        let fresh =
            posture.filter(|posture| vouched && posture.asserted_at <= now && now < posture.expires_at);
        let compliance = match (fresh.map(|posture| posture.compliance), token.compliance) {
            (_, Compliance::NotCompliant) | (Some(Compliance::NotCompliant), _) => Compliance::NotCompliant,
            (Some(Compliance::Compliant), Compliance::Compliant | Compliance::Unknown) => {
                Compliance::Compliant
            }
            (Some(Compliance::Unknown) | None, Compliance::Compliant | Compliance::Unknown) => {
                Compliance::Unknown
            }
        };
        DevicePosture {
            id: Some(self.id.clone()),
            managed: fresh.is_some_and(|posture| posture.managed),
            compliance,
            platform: self.platform.clone().or_else(|| token.platform.clone()),
            assurance: token.assurance,
            owner_matches: self.owner.is_some() && is_owners,
            asserted_at: fresh.map(|posture| posture.asserted_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1000);

    fn laptop() -> Device {
        Device {
            id: DeviceId::new("laptop-7").unwrap(),
            owner: Some(PersonId::from_u128(1)),
            name: "a laptop".to_owned(),
            platform: Some("macos".to_owned()),
            certificates: Vec::new(),
            posture: Some(Posture {
                managed: true,
                compliance: Compliance::Compliant,
                source: "operator".into(),
                reasons: Vec::new(),
                asserted_at: UnixMillis(900),
                expires_at: UnixMillis(1100),
            }),
            blocked: None,
            created_at: UnixMillis(1),
        }
    }

    #[test]
    fn a_device_vouches_for_its_owner_while_what_was_said_is_fresh() {
        use Compliance::{Compliant, NotCompliant, Unknown};
        let token = |compliance| DevicePosture { managed: true, compliance, ..DevicePosture::default() };
        let but = |change: fn(&mut Device)| {
            let mut device = laptop();
            change(&mut device);
            device
        };
        let says = |device: &mut Device, compliance| {
            if let Some(posture) = &mut device.posture {
                posture.compliance = compliance;
            }
        };
        for (device, owners, now, of_token, managed, compliance) in [
            (laptop(), true, NOW, Unknown, true, Compliant),
            (laptop(), true, NOW, NotCompliant, true, NotCompliant),
            (laptop(), false, NOW, Compliant, false, Unknown),
            (laptop(), true, UnixMillis(1100), Compliant, false, Unknown),
            (laptop(), true, UnixMillis(899), Compliant, false, Unknown),
            // Nobody's, it vouches for nobody.
            (but(|device| device.owner = None), false, NOW, Compliant, false, Unknown),
            (but(|device| device.posture = None), true, NOW, Compliant, false, Unknown),
            (
                but(|device| {
                    device.blocked = Some(Blocked { by: "ann".into(), cause: "".into(), since: NOW })
                }),
                true,
                NOW,
                Compliant,
                false,
                Unknown,
            ),
        ] {
            let told = device.posture_for(&token(of_token), owners, now);
            assert_eq!((told.managed, told.compliance), (managed, compliance), "{device:?} {owners} {now:?}");
        }
        let mut device = laptop();
        says(&mut device, NotCompliant);
        assert_eq!(device.posture_for(&token(Compliant), true, NOW).compliance, NotCompliant);
        says(&mut device, Unknown);
        assert_eq!(device.posture_for(&token(Compliant), true, NOW).compliance, Unknown);
        assert_eq!(device.posture_for(&token(Unknown), true, NOW).platform.as_deref(), Some("macos"));
    }
}
