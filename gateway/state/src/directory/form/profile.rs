//! What is said of a person, as written.

use std::collections::BTreeMap;

use doorward_model::directory::{Email, Profile};
use doorward_model::{CountryCode, Employment, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{FormError, is_false};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileForm {
    user_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emails: Vec<EmailForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    department: Option<String>,
    employment: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contract_end: Option<i64>,
    home_country: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmailForm {
    address: String,
    #[serde(default, skip_serializing_if = "is_false")]
    verified: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    primary: bool,
}

impl From<&Profile> for ProfileForm {
    fn from(profile: &Profile) -> Self {
        let email = |email: &Email| EmailForm {
            address: email.address.clone(),
            verified: email.verified,
            primary: email.primary,
        };
        Self {
            user_name: profile.user_name.clone(),
            name: profile.name.clone(),
            emails: profile.emails.iter().map(email).collect(),
            department: profile.department.clone(),
            employment: profile.employment.as_str().to_owned(),
            starts_at: profile.starts_at.map(|at| at.0),
            contract_end: profile.contract_end.map(|at| at.0),
            home_country: profile.home_country.as_str().to_owned(),
            tags: profile.tags.clone(),
        }
    }
}

impl ProfileForm {
    pub(super) fn read(self) -> Result<Profile, FormError> {
        let employment = Employment::ALL.into_iter().find(|kind| kind.as_str() == self.employment);
        let employment = employment
            .ok_or(FormError::Field { field: "employment", rule: "the kind of contract is not known" })?;
        let home_country = CountryCode::new(&self.home_country)
            .map_err(|_| FormError::Field { field: "home_country", rule: "a country has two letters" })?;
        let email = |EmailForm { address, verified, primary }| Email { address, verified, primary };
        Ok(Profile {
            user_name: self.user_name,
            name: self.name,
            emails: self.emails.into_iter().map(email).collect(),
            department: self.department,
            employment,
            starts_at: self.starts_at.map(UnixMillis),
            contract_end: self.contract_end.map(UnixMillis),
            home_country,
            tags: self.tags,
        })
    }
}
