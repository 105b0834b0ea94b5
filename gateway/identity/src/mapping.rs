//! From the words of one issuer to the vocabulary of the gateway.
//!
//! Which claim holds what is configured; what is absent becomes the value that proves nothing;
//! what is there and cannot be read refuses the token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use doorward_model::limits::GROUPS_MAX;
use doorward_model::{
    Agent, Assurance, AuthSession, Compliance, CountryCode, DeviceId, DevicePosture, Employment, IssuerId,
    LifecycleStage, Principal, Refusal, Risk, ServiceAccount, SessionId, SubjectId, TokenId, UnixMillis,
    User, UserId,
};
use serde_json::Value;

use crate::claims::{ClaimPath, Claims, Standard};
use crate::config::{ClaimNames, Issuer, OwnerClaim, Subjects};
use crate::times::TokenTimes;
use crate::words::{refuse, shown};

/// Everything that a token says, in our words.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) principal: Arc<Principal>,
    pub(crate) session: AuthSession,
    pub(crate) assurance: Assurance,
    pub(crate) device: DevicePosture,
    pub(crate) risk: Risk,
    pub(crate) scopes: BTreeSet<String>,
}

/// Reads the facts out of claims that a good signature covers. `people` are the issuers that an
/// owner may come from.
pub(crate) fn facts(
    claims: &Claims,
    standard: &Standard,
    issuer: &Issuer,
    people: &BTreeSet<IssuerId>,
    times: &TokenTimes,
    now: UnixMillis,
) -> Result<Facts, Refusal> {
    let scopes = scopes(claims, &issuer.claims.scopes)?;
    Ok(Facts {
        principal: Arc::new(principal(claims, standard, issuer, people, &scopes)?),
        session: session(claims, standard, issuer)?,
        assurance: assurance(claims, issuer, times, now)?,
        device: device(claims, issuer)?,
        risk: risk(claims, &issuer.claims.risk)?,
        scopes,
    })
}

fn principal(
    claims: &Claims,
    standard: &Standard,
    issuer: &Issuer,
    people: &BTreeSet<IssuerId>,
    scopes: &BTreeSet<String>,
) -> Result<Principal, Refusal> {
    let id = UserId::new(issuer.id.clone(), standard.subject.clone());
    let actor = actor(claims, issuer)?;
    match (&issuer.subjects, actor) {
        (Subjects::Users, None) => Ok(Principal::User(user(claims, id, issuer)?)),
        (Subjects::Users, Some(actor)) => Ok(Principal::Agent(Agent {
            id: actor,
            on_behalf_of: user(claims, id, issuer)?,
            scopes: scopes.clone(),
        })),
        (Subjects::ServiceAccounts { owner }, None) => Ok(Principal::ServiceAccount(ServiceAccount {
            owner: owner_of(claims, owner, &id, people)?,
            id,
            scopes: scopes.clone(),
            stage: stage(claims, issuer)?,
        })),
        (Subjects::ServiceAccounts { .. }, Some(_)) => {
            refuse("the token has `act`, but nobody can act for a service account")
        }
    }
}

pub(crate) fn user(claims: &Claims, id: UserId, issuer: &Issuer) -> Result<User, Refusal> {
    let names = &issuer.claims;
    let home_country = match claims.text(&names.home_country)? {
        None => CountryCode::UNKNOWN,
        Some(code) => CountryCode::new(code)
            .or_else(|e| refuse(format!("the claim `{}`: {e}", names.home_country.as_str())))?,
    };
    let mut tags = BTreeMap::new();
    for tag in &names.tags {
        if let Some(value) = claims.text(tag)? {
            tags.insert(tag.as_str().to_owned(), value.to_owned());
        }
    }
    Ok(User {
        id,
        name: claims.text(&names.name)?.map(str::to_owned),
        email: email(claims, names)?,
        groups: claims.list(&names.groups)?,
        roles: claims.list(&names.roles)?,
        stage: stage(claims, issuer)?,
        employment: claims.text(&names.employment)?.map_or(Employment::Unknown, Employment::parse),
        contract_end: claims.time(&names.contract_end)?,
        home_country,
        department: claims.text(&names.department)?.map(str::to_owned),
        tags,
    })
}

/// The address, only when `email_verified` is `true` itself: neither a number, nor the text, unless this
/// issuer is known to write it so. An address that could be read in two ways, such as one with two `@`,
/// refuses the token.
fn email(claims: &Claims, names: &ClaimNames) -> Result<Option<String>, Refusal> {
    let path = &names.email;
    let Some(email) = claims.text(path)? else { return Ok(None) };
    let verified = match claims.get(&names.email_verified)? {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => names.email_verified_text && text == "true",
        Some(_) | None => false,
    };
    if !verified {
        return Ok(None);
    }
    let one_at = email
        .split_once('@')
        .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'));
    if !one_at || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || "<>\"(),:;\\".contains(c)) {
        return refuse(format!(
            "the claim `{}` is not one plain address: `{}`",
            path.as_str(),
            shown(email, 40)
        ));
    }
    Ok(Some(email.to_owned()))
}

/// An empty text is a stage that nobody knows, not a stage that nobody told: the default may
/// give access.
fn stage(claims: &Claims, issuer: &Issuer) -> Result<LifecycleStage, Refusal> {
    let told = claims.word(&issuer.claims.stage)?;
    Ok(told.map_or(issuer.claims.stage_default, LifecycleStage::parse))
}

/// Who acts now (RFC 8693 §4.1). Actors nested in it acted before and decide nothing.
fn actor(claims: &Claims, issuer: &Issuer) -> Result<Option<UserId>, Refusal> {
    let act = match claims.get(&ClaimPath::new("act"))? {
        None => return Ok(None),
        Some(Value::Object(act)) => act,
        Some(_) => return refuse("`act` is not an object"),
    };
    if act.get("iss").is_some_and(|iss| *iss != issuer.url.as_str()) {
        return refuse("the actor in `act` is of another issuer than the token");
    }
    let name = issuer.subject_claim.as_str();
    match act.get(name) {
        Some(Value::String(sub)) => {
            let subject = SubjectId::new(sub).or_else(|e| refuse(format!("`act.{name}`: {e}")))?;
            Ok(Some(UserId::new(issuer.id.clone(), subject)))
        }
        Some(_) | None => refuse(format!("`act` does not say who acts: it has no text `{name}`")),
    }
}

/// The person who answers for a service account: `issuer:subject` of an issuer of people, or a
/// subject without `:` where `owner_issuer` says of which. Any other name is refused, that of
/// another service account too: such an owner could never leave.
fn owner_of(
    claims: &Claims,
    owner: &OwnerClaim,
    account: &UserId,
    people: &BTreeSet<IssuerId>,
) -> Result<UserId, Refusal> {
    let path = &owner.claim;
    let Some(text) = claims.text(path)? else {
        return refuse(format!("the service account `{account}` has no owner in `{}`", path.as_str()));
    };
    let named = match &owner.issuer {
        Some(issuer) if !text.contains(':') => {
            let subject = SubjectId::new(text).or_else(|e| refuse(format!("the owner: {e}")))?;
            UserId::new(issuer.clone(), subject)
        }
        Some(_) | None => match text.parse::<UserId>() {
            Ok(named) => named,
            Err(_) => {
                return refuse(format!(
                    "the owner `{}` is not `issuer:subject`; write it so, or set `owner_issuer`",
                    shown(text, 40)
                ));
            }
        },
    };
    if !people.contains(named.issuer()) {
        return refuse(format!("the owner `{}` is not of a configured issuer of people", shown(text, 40)));
    }
    Ok(named)
}

/// The session at the issuer, if the token names it.
pub(crate) fn session_id(claims: &Claims, issuer: &Issuer) -> Result<Option<SessionId>, Refusal> {
    let session = claims.text(&issuer.claims.session)?;
    session
        .map(|id| SessionId::new(issuer.id.clone(), id))
        .transpose()
        .or_else(|e| refuse(format!("the claim `{}`: {e}", issuer.claims.session.as_str())))
}

fn session(claims: &Claims, standard: &Standard, issuer: &Issuer) -> Result<AuthSession, Refusal> {
    let token = claims.text(&ClaimPath::new("jti"))?;
    Ok(AuthSession {
        issuer: issuer.id.clone(),
        session: session_id(claims, issuer)?,
        token: token
            .map(|id| TokenId::new(issuer.id.clone(), id))
            .transpose()
            .or_else(|e| refuse(format!("`jti`: {e}")))?,
        issued_at: standard.issued_at,
        expires_at: standard.expires_at,
    })
}

/// What the sign-in proved, in the issuer's own words. `amr` names the methods of the sign-in
/// at `auth_time` (OpenID Connect Core §2), so a second factor among them was used then.
pub(crate) fn assurance(
    claims: &Claims,
    issuer: &Issuer,
    times: &TokenTimes,
    now: UnixMillis,
) -> Result<Assurance, Refusal> {
    let amr = claims.list(&ClaimPath::new("amr"))?;
    let acr = claims.text(&ClaimPath::new("acr"))?;
    let authenticated_at = claims.time(&ClaimPath::new("auth_time"))?;
    if authenticated_at.is_some_and(|t| t > now.plus(times.issuer_skew)) {
        return refuse("`auth_time` lies in the future");
    }
    let says = |amr_words: &[String], acr_words: &[String]| {
        amr_words.iter().any(|w| amr.contains(w)) || acr.is_some_and(|acr| acr_words.iter().any(|w| w == acr))
    };
    let words = &issuer.assurance;
    let mfa = says(&words.mfa_amr, &words.mfa_acr);
    Ok(Assurance {
        mfa,
        phishing_resistant: says(&words.phishing_resistant_amr, &words.phishing_resistant_acr),
        authenticated_at,
        mfa_at: authenticated_at.filter(|_| mfa),
    })
}

pub(crate) fn device(claims: &Claims, issuer: &Issuer) -> Result<DevicePosture, Refusal> {
    Ok(device_said(claims, issuer)?.of(&DevicePosture::default()))
}

/// What claims say of a device; what they do not say is none.
#[derive(Debug)]
pub(crate) struct DeviceSaid {
    id: Option<DeviceId>,
    managed: Option<bool>,
    compliance: Option<Compliance>,
    platform: Option<String>,
}

impl DeviceSaid {
    /// What is known of the device with this. Of another device nothing was known.
    pub(crate) fn of(&self, known: &DevicePosture) -> DevicePosture {
        let nothing = DevicePosture::default();
        let known = if self.id.is_some() && self.id != known.id { &nothing } else { known };
        DevicePosture {
            id: self.id.clone().or_else(|| known.id.clone()),
            managed: self.managed.unwrap_or(known.managed),
            compliance: self.compliance.unwrap_or(known.compliance),
            platform: self.platform.clone().or_else(|| known.platform.clone()),
            ..known.clone()
        }
    }
}

/// What the claims say of the device, and no more.
pub(crate) fn device_said(claims: &Claims, issuer: &Issuer) -> Result<DeviceSaid, Refusal> {
    let names = &issuer.claims;
    let id = claims.text(&names.device_id)?.map(DeviceId::new).transpose();
    Ok(DeviceSaid {
        id: id.or_else(|e| refuse(format!("the claim `{}`: {e}", names.device_id.as_str())))?,
        managed: claims.flag(&names.device_managed)?,
        compliance: claims
            .flag(&names.device_compliant)?
            .map(|compliant| if compliant { Compliance::Compliant } else { Compliance::NotCompliant }),
        platform: claims.text(&names.device_platform)?.map(str::to_lowercase),
    })
}

/// A number from 0 to 100; a fraction counts as the next whole number.
pub(crate) fn risk(claims: &Claims, path: &ClaimPath) -> Result<Risk, Refusal> {
    let score = match claims.get(path)? {
        None => return Ok(Risk::UNKNOWN),
        Some(value) => value.as_f64().filter(|score| (0.0..=100.0).contains(score)),
    };
    match score {
        Some(score) => Ok(Risk::scored(score.ceil() as u8)),
        None => refuse(format!("the claim `{}` is not a number from 0 to 100", path.as_str())),
    }
}

/// Scopes, as one text with spaces between them (RFC 8693 §4.2) or as a list of texts.
fn scopes(claims: &Claims, path: &ClaimPath) -> Result<BTreeSet<String>, Refusal> {
    let scopes: BTreeSet<String> = match claims.get(path)? {
        None => return Ok(BTreeSet::new()),
        Some(Value::String(text)) => text.split(' ').filter(|s| !s.is_empty()).map(str::to_owned).collect(),
        Some(_) => claims.list(path)?,
    };
    // RFC 6749 §3.3: visible ASCII but for the quotation mark and the backslash.
    let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if scopes.len() > GROUPS_MAX || !scopes.iter().all(|s| s.bytes().all(fits)) {
        return refuse(format!("the claim `{}` is not a list of scopes", path.as_str()));
    }
    Ok(scopes)
}
