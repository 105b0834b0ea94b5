//! What is known of the device.

use std::fmt;
use std::sync::Arc;

use crate::principal::IdError;
use crate::session::visible;

/// The device's identifier in the inventory that vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(Arc<str>);

impl DeviceId {
    /// Checks and takes an identifier.
    ///
    /// # Errors
    /// When it is empty, longer than 255 bytes, or not visible ASCII.
    pub fn new(id: &str) -> Result<Self, IdError> {
        visible(id, "a device id").map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a device meets the company's baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compliance {
    /// A signed source says that it does.
    Compliant,
    /// A signed source says that it does not.
    NotCompliant,
    /// Nobody said, or what was said is stale. Counts as not compliant.
    #[default]
    Unknown,
}

/// The state of the device as a signed source tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DevicePosture {
    /// Which device, if known.
    pub id: Option<DeviceId>,
    /// It is managed by the company; false when nobody vouches for it.
    pub managed: bool,
    /// It meets the baseline.
    pub compliance: Compliance,
    /// The operating system, in lower case, if known.
    pub platform: Option<String>,
}
