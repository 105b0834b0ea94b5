//! From a person and a way to sign in to the claims of a token.

use std::time::Duration;

use doorward_model::UnixMillis;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{AUDIENCE, Person, ProviderError, TOKEN_MINUTES_MAX, random_id};

/// Who signs in, and how: the query of `/token`. What is left out has the value of an ordinary
/// day: second factor used just now, managed device, ten minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignIn {
    /// Who.
    pub person: String,
    /// With a second factor (a security key), or with a password only.
    pub mfa: Option<Switch>,
    /// How long the token lives.
    pub minutes: Option<i64>,
    /// How long ago the person signed in.
    pub signed_in_minutes_ago: Option<u32>,
    /// Another country of work than the person's own.
    pub country: Option<String>,
    /// The device is managed by the company.
    pub device_managed: Option<Switch>,
    /// The device meets the baseline.
    pub device_compliant: Option<Switch>,
    /// Another device than the person's own.
    pub device_id: Option<String>,
    /// How long the contract still runs; below zero when it has ended.
    pub contract_days: Option<i64>,
    /// Where the person stands; without it the issuer does not say.
    pub stage: Option<String>,
    /// The risk that the issuer sees, from 0 to 100; without it the issuer does not say.
    pub risk: Option<u8>,
    /// The program that acts for the person (`act`, RFC 8693 §4.1).
    pub agent: Option<String>,
    /// What the token is for (`scope`, RFC 8693 §4.2).
    pub scope: Option<String>,
    /// A sign-in that several tokens share; without it every token has its own.
    pub session: Option<String>,
}

/// On or off, as a query says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is so.
    On,
    /// It is not so.
    Off,
}

impl SignIn {
    /// An ordinary sign-in of a person.
    #[must_use]
    pub fn of(person: &str) -> Self {
        Self { person: person.to_owned(), ..Self::default() }
    }

    /// How long the token lives, in minutes.
    pub(super) fn life_minutes(&self) -> Result<i64, ProviderError> {
        let minutes = self.minutes.unwrap_or(10);
        if (1..=TOKEN_MINUTES_MAX).contains(&minutes) {
            Ok(minutes)
        } else {
            Err(ProviderError::Minutes(minutes))
        }
    }
}

impl Switch {
    const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

pub(super) fn claims(how: &SignIn, issuer: &str, now: UnixMillis) -> Result<Value, ProviderError> {
    let person = Person::called(&how.person)
        .ok_or_else(|| ProviderError::NoSuchPerson { name: how.person.chars().take(40).collect() })?;
    let life = how.life_minutes()?.saturating_mul(60);
    let signed_in = now.minus(Duration::from_secs(60 * u64::from(how.signed_in_minutes_ago.unwrap_or(0))));
    let on = |switch: Option<Switch>| switch.unwrap_or(Switch::On).is_on();
    let mut claims = json!({
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": person.name,
        "client_id": "doorward-demo",
        "iat": now.seconds(),
        "exp": now.seconds().saturating_add(life),
        "jti": random_id()?,
        "sid": how.session.clone().map_or_else(random_id, Ok)?,
        "auth_time": signed_in.seconds(),
        "amr": if on(how.mfa) { json!(["pwd", "hwk", "mfa"]) } else { json!(["pwd"]) },
        "name": person.full_name,
        "email": format!("{}@demo.example", person.name),
        "email_verified": true,
        "groups": person.groups,
        "roles": person.roles,
        "employment": person.employment,
        "country": how.country.as_deref().unwrap_or(person.country),
        "department": person.department,
        "device_id": how.device_id.clone().unwrap_or_else(|| format!("{}-laptop", person.name)),
        "device_managed": on(how.device_managed),
        "device_compliant": on(how.device_compliant),
        "device_platform": "linux",
    });
    let contract_end = how
        .contract_days
        .or(person.contract_days)
        .map(|days| now.seconds().saturating_add(days.saturating_mul(24 * 3600)));
    let optional = [
        ("contract_end", contract_end.map(Value::from)),
        ("stage", how.stage.clone().map(Value::from)),
        ("risk", how.risk.map(Value::from)),
        ("act", how.agent.clone().map(|agent| json!({"sub": agent}))),
        ("scope", how.scope.clone().map(Value::from)),
    ];
    if let Some(map) = claims.as_object_mut() {
        map.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    Ok(claims)
}
