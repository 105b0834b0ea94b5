//! A token of a service account, as written in the record of its machine.

use std::collections::BTreeSet;

use doorward_model::directory::{Extent, MachineToken, TokenHash};
use doorward_model::{AppId, UnixMillis};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::FormError;
use crate::records::UniqueKey;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenForm {
    sha256: String,
    label: String,
    apps: ExtentForm,
    from: ExtentForm,
    scopes: ExtentForm,
    created_at: i64,
    created_by: String,
    expires_at: i64,
    last_used_at: Option<i64>,
}

/// `"all"`, or `{"only": […]}`: a token that does not say what it is good for is refused.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ExtentForm {
    All,
    Only(Vec<String>),
}

/// The key of a token: one machine alone has it.
///
/// # Errors
/// None: a hash always fits.
pub(super) fn token_key(hash: &TokenHash) -> Result<UniqueKey, FormError> {
    UniqueKey::new(&format!("machine-token:{hash}")).map_err(|_| FormError::Key { field: "tokens" })
}

impl From<&MachineToken> for TokenForm {
    fn from(token: &MachineToken) -> Self {
        Self {
            sha256: token.hash.to_string(),
            label: token.label.clone(),
            apps: ExtentForm::of(&token.apps),
            from: ExtentForm::of(&token.from),
            scopes: ExtentForm::of(&token.scopes),
            created_at: token.created_at.0,
            created_by: token.created_by.as_ref().to_owned(),
            expires_at: token.expires_at.0,
            last_used_at: token.last_used_at.map(|at| at.0),
        }
    }
}

impl TokenForm {
    pub(super) fn read(self) -> Result<MachineToken, FormError> {
        let no_hash = FormError::Field { field: "sha256", rule: "a hash has 64 hexadecimal digits" };
        Ok(MachineToken {
            hash: TokenHash::parse(&self.sha256).ok_or(no_hash)?,
            label: self.label,
            apps: self.apps.read("apps", "an app has a short name", |app| AppId::new(app).ok())?,
            from: self
                .from
                .read("from", "write addresses with their prefix", |net| net.parse::<IpNet>().ok())?,
            scopes: self.scopes.read("scopes", "each is a text", |scope| Some(scope.to_owned()))?,
            created_at: UnixMillis(self.created_at),
            created_by: self.created_by.into(),
            expires_at: UnixMillis(self.expires_at),
            last_used_at: self.last_used_at.map(UnixMillis),
        })
    }
}

impl ExtentForm {
    fn of<T: ToString>(extent: &Extent<T>) -> Self {
        match extent {
            Extent::All => Self::All,
            Extent::Only(these) => Self::Only(these.iter().map(ToString::to_string).collect()),
        }
    }

    fn read<T: Ord>(
        self,
        field: &'static str,
        rule: &'static str,
        one: impl Fn(&str) -> Option<T>,
    ) -> Result<Extent<T>, FormError> {
        match self {
            Self::All => Ok(Extent::All),
            Self::Only(these) => {
                let read: Option<BTreeSet<T>> = these.iter().map(|text| one(text)).collect();
                read.map(Extent::Only).ok_or(FormError::Field { field, rule })
            }
        }
    }
}
