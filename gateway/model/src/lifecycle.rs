//! Where someone stands between joining and leaving.

/// The stage of a person or of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LifecycleStage {
    /// Known, but the first day has not come.
    Preboarding,
    /// Works here. The only stage with access.
    Active,
    /// On leave.
    Leave,
    /// Halted for a reason; may come back.
    Suspended,
    /// Has left, or was cut off.
    Deactivated,
    /// Nobody said. Has no access.
    Unknown,
}

impl LifecycleStage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] =
        [Self::Preboarding, Self::Active, Self::Leave, Self::Suspended, Self::Deactivated, Self::Unknown];

    /// The word for it in policies, claims and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preboarding => "preboarding",
            Self::Active => "active",
            Self::Leave => "leave",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word; anything else is [`LifecycleStage::Unknown`].
    #[must_use]
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|s| s.as_str() == word).unwrap_or(Self::Unknown)
    }
}

/// The kind of contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Employment {
    /// On the company's own contract.
    Employee,
    /// On a contract of limited time.
    Contractor,
    /// Works for another company.
    Partner,
    /// Nobody said. Policies treat it as not an employee.
    Unknown,
}

impl Employment {
    /// Every kind, in order.
    pub const ALL: [Self; 4] = [Self::Employee, Self::Contractor, Self::Partner, Self::Unknown];

    /// The word for it in policies, claims and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Employee => "employee",
            Self::Contractor => "contractor",
            Self::Partner => "partner",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the word; anything else is [`Employment::Unknown`].
    #[must_use]
    pub fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|s| s.as_str() == word).unwrap_or(Self::Unknown)
    }
}
