//! What is asked for.

use std::fmt;
use std::sync::Arc;

use crate::principal::IdError;

fn name(value: &str, what: &'static str) -> Result<Arc<str>, IdError> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_' || b == b'.';
    if value.is_empty() || value.len() > 64 || !value.bytes().all(fits) {
        return Err(IdError::Other {
            value: value.chars().take(80).collect(),
            what,
            rule: "use 1 to 64 of a-z, 0-9, `-`, `_` and `.`",
        });
    }
    Ok(value.into())
}

/// The name of one protected app, such as `payroll`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

impl AppId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is not 1 to 64 of `a-z 0-9 - _ .`.
    pub fn new(app: &str) -> Result<Self, IdError> {
        name(app, "an app name").map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One route of one app, written `app/route`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId {
    app: AppId,
    full: Arc<str>,
}

impl RouteId {
    /// Checks and takes a route's name within its app.
    ///
    /// # Errors
    /// When it is not 1 to 64 of `a-z 0-9 - _ .`.
    pub fn new(app: AppId, route: &str) -> Result<Self, IdError> {
        let route = name(route, "a route name")?;
        let full = format!("{app}/{route}").into();
        Ok(Self { app, full })
    }

    /// The app.
    #[must_use]
    pub const fn app(&self) -> &AppId {
        &self.app
    }

    /// `app/route`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.full
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

/// How much harm a leak would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Anybody may see it.
    Public,
    /// For people of the company. The default.
    Internal,
    /// For some of them.
    Confidential,
    /// For few of them.
    Restricted,
}

impl Tier {
    /// Every tier, the mildest first.
    pub const ALL: [Self; 4] = [Self::Public, Self::Internal, Self::Confidential, Self::Restricted];

    /// The word for it in policies, configuration and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Confidential => "confidential",
            Self::Restricted => "restricted",
        }
    }
}

/// What policies may know of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFacts {
    /// Which route of which app.
    pub id: RouteId,
    /// The sets of apps that the app belongs to.
    pub app_groups: Vec<String>,
    /// How much harm a leak would do.
    pub tier: Tier,
    /// The scope that a service account or an agent must hold; empty when none will do.
    pub scope: String,
    /// It changes how the app itself works.
    pub admin_surface: bool,
    /// It may be reached without signing in, if a policy permits a visitor.
    pub public: bool,
}
