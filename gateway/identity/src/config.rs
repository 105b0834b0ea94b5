//! `[[issuer]]`: whom we believe, and what they mean by what they say.
//!
//! [`IssuerSection`] is the table as written, [`Issuer`] the checked form, which only [`check`]
//! builds. The table and its defaults stand in `deploy/doorward.example.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use doorward_model::{Complaint, IssuerId, KeyPath};
use reqwest::Url;
use serde::Deserialize;

use self::joining::vouches;
use self::meaning::{assurance_words, claim_names, of_people, subjects};
use self::subject::subject_claim;
use self::trust::{algorithms, key_source, token_types};
use crate::algorithm::SigningAlgorithm;
use crate::keys::{self, Discovery, KeySource};
use crate::words::shown;

mod joining;
mod meaning;
mod sender;
mod sign_in;
mod subject;
mod trust;

pub use self::joining::Vouches;
pub(crate) use self::meaning::{AssuranceWords, ClaimNames, OwnerClaim, Subjects};
pub use self::sender::{Sender, SenderSection, check_senders};
pub(crate) use self::sign_in::{Assertion, ClientAuth, Endpoints, SignInTerms, may_be_endpoint};
pub use self::sign_in::{ClaimsAcrsSection, SignInSection};
pub(crate) use self::subject::SubjectClaim;

/// One `[[issuer]]` table as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IssuerSection {
    /// The short name; people are named `id:subject`.
    pub id: Option<String>,
    /// The claim `iss`, exactly.
    pub issuer: Option<String>,
    /// Our names; one of them must be in `aud` of a bearer token. May be left out with `sign_in`: then no bearer
    /// token of it is taken.
    pub audiences: Option<Vec<String>>,
    /// The signatures that are accepted, of one key family.
    pub algorithms: Option<Vec<String>>,
    /// Allowed values of the header `typ`; `""` allows a token without `typ`.
    pub token_types: Option<Vec<String>>,
    /// Where the keys are, when discovery is not wanted.
    pub jwks_uri: Option<String>,
    /// A file with the keys, when nothing is to be fetched.
    pub jwks_file: Option<PathBuf>,
    /// `users` or `service_accounts`.
    pub subjects: Option<String>,
    /// The claim that names them: `sub`, `oid` or `uid`.
    pub subject_claim: Option<String>,
    /// The tenant of Entra ID that `oid` is unique within.
    pub tenant: Option<String>,
    /// The mail domains for which its word counts that an address is verified.
    pub email_domains: Option<Vec<String>>,
    /// Whoever has a verified address in one of them becomes known by signing in.
    pub first_sign_in: Option<bool>,
    /// The issuer of the people whom `claims.owner` names without an issuer.
    pub owner_issuer: Option<String>,
    /// Which claim holds what.
    #[serde(default)]
    pub claims: ClaimsSection,
    /// What this issuer says when it means a strong sign-in.
    #[serde(default)]
    pub assurance: AssuranceSection,
    /// People sign in there with a browser.
    pub sign_in: Option<SignInSection>,
}

/// `[issuer.claims]` as written: names of claims, with dots for claims within claims.
#[derive(Debug, Clone, Default, Deserialize)]
#[expect(missing_docs, reason = "each key names the claim that holds what the key says")]
pub struct ClaimsSection {
    pub groups: Option<String>,
    pub roles: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub email_verified: Option<String>,
    /// The text `"true"` counts there as well, as some providers write it; not the name of a claim.
    pub email_verified_text: Option<bool>,
    pub session: Option<String>,
    pub scopes: Option<String>,
    pub employment: Option<String>,
    pub home_country: Option<String>,
    pub department: Option<String>,
    pub contract_end: Option<String>,
    pub stage: Option<String>,
    /// The stage of a token that does not tell one; not the name of a claim. Left out it is
    /// `active`, and `unknown` where `stage` is written.
    pub stage_default: Option<String>,
    pub device_id: Option<String>,
    pub device_managed: Option<String>,
    pub device_compliant: Option<String>,
    pub device_platform: Option<String>,
    pub risk: Option<String>,
    pub owner: Option<String>,
    /// Further claims of text, for policies.
    pub tags: Option<Vec<String>>,
}

/// `[issuer.assurance]` as written. What is left out proves nothing, but for `mfa_amr`, which
/// then is the `mfa` of RFC 8176.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct AssuranceSection {
    /// Values of `amr` that each prove more than one factor.
    pub mfa_amr: Option<Vec<String>>,
    /// Values of `acr` that each prove more than one factor.
    pub mfa_acr: Option<Vec<String>>,
    /// Values of `amr` that each prove a factor that cannot be phished.
    pub phishing_resistant_amr: Option<Vec<String>>,
    /// Values of `acr` that each prove a factor that cannot be phished.
    pub phishing_resistant_acr: Option<Vec<String>>,
}

/// An issuer that we believe. Only [`check`] builds one.
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) id: IssuerId,
    pub(crate) url: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) algorithms: Vec<SigningAlgorithm>,
    /// In lower case, without `application/`; an empty one allows absence.
    pub(crate) token_types: Vec<String>,
    pub(crate) keys: KeySource,
    pub(crate) subjects: Subjects,
    pub(crate) subject_claim: SubjectClaim,
    pub(crate) vouches: Vouches,
    pub(crate) claims: ClaimNames,
    pub(crate) assurance: AssuranceWords,
    /// None: nobody signs in there with a browser.
    pub(crate) sign_in: Option<SignInTerms>,
}

/// Checks all tables and complains of everything at once. A table with a mistake is left out of
/// the result, which is of use only when nobody complained.
pub fn check(
    sections: &[IssuerSection],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Vec<Issuer> {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    let mut urls: BTreeMap<&str, usize> = BTreeMap::new();
    let people: BTreeSet<&str> =
        sections.iter().filter(|s| of_people(s)).filter_map(|s| s.id.as_deref()).collect();
    let mut issuers = Vec::new();
    for (i, section) in sections.iter().enumerate() {
        let at = at.index(i);
        let mut own = Vec::new();
        for (key, value, seen) in
            [("id", section.id.as_deref(), &mut ids), ("issuer", section.issuer.as_deref(), &mut urls)]
        {
            if let Some(first) = value.and_then(|v| seen.insert(v, i)) {
                own.push(Complaint::new(
                    at.key(key),
                    format!("`{}` is already the {key} of issuer[{first}]", shown(value.unwrap_or(""), 100)),
                    "a token must lead to one issuer only: give each its own, or merge the two tables",
                ));
            }
        }
        if let Some(issuer) = check_one(section, &people, &at, base_dir, &mut own)
            && own.is_empty()
        {
            issuers.push(issuer);
        }
        complaints.append(&mut own);
    }
    issuers
}

fn check_one(
    section: &IssuerSection,
    people: &BTreeSet<&str>,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Issuer> {
    let id = id(section, at, complaints);
    let url = issuer_url(section, at, complaints);
    let audiences = audiences(section, at, complaints);
    let algorithms = algorithms(section, at, complaints);
    let token_types = token_types(section, at, complaints);
    let keys = key_source(section, url, &algorithms, Discovery::OpenId, at, base_dir, complaints);
    let subjects = subjects(section, people, at, complaints);
    let subject_claim = subject_claim(section, url, at, complaints);
    let vouches = vouches(section, at, complaints);
    let claims = claim_names(&section.claims, &at.key("claims"), complaints);
    let assurance = assurance_words(&section.assurance, &at.key("assurance"), complaints);
    let sign_in = sign_in::terms(section, at, base_dir, complaints);
    Some(Issuer {
        id: id?,
        url: url?.to_owned(),
        audiences,
        algorithms,
        token_types,
        keys: keys?,
        subjects: subjects?,
        subject_claim: subject_claim?,
        vouches: vouches?,
        claims,
        assurance,
        sign_in,
    })
}

fn id(section: &IssuerSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<IssuerId> {
    let Some(id) = section.id.as_deref() else {
        complaints.push(Complaint::new(
            at.clone(),
            "the issuer has no `id`",
            "add `id = \"corp\"`; people are then named `corp:<sub>` in policies and logs",
        ));
        return None;
    };
    match IssuerId::new(id) {
        Ok(id) => Some(id),
        Err(e) => {
            complaints.push(Complaint::new(
                at.key("id"),
                e.to_string(),
                "choose a short name, such as `corp`",
            ));
            None
        }
    }
}

/// The text of `iss`. It is compared as written, so it is checked but never rewritten.
fn issuer_url<'a>(
    section: &'a IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<&'a str> {
    let Some(url) = section.issuer.as_deref() else {
        complaints.push(Complaint::new(
            at.clone(),
            "the issuer has no `issuer`",
            "add `issuer = \"https://…\"`, exactly as the claim `iss` of its tokens has it",
        ));
        return None;
    };
    let at = at.key("issuer");
    if url.is_empty() || url.len() > 2048 || !url.bytes().all(|b| b.is_ascii_graphic()) {
        complaints.push(Complaint::new(
            at,
            format!("`{}` is not an issuer", shown(url, 100)),
            "write the claim `iss` of its tokens, exactly, without spaces",
        ));
        return None;
    }
    if url.contains(['{', '}']) {
        complaints.push(Complaint::new(
            at,
            format!("`{}` stands for many issuers", shown(url, 100)),
            "write the issuer of your own tenant, with its id in place of the braces; otherwise everyone's tenant is let in",
        ));
        return None;
    }
    let parsed = Url::parse(url);
    let plain = parsed.as_ref().is_ok_and(|u| u.scheme() == "http" && !keys::is_loopback(u));
    if plain {
        complaints.push(Complaint::new(
            at,
            format!("the issuer `{}` is not https", shown(url, 100)),
            "use https; http is accepted for an issuer on this machine only (localhost, 127.0.0.1)",
        ));
        return None;
    }
    Some(url)
}

fn audiences(section: &IssuerSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Vec<String> {
    let help = "add `audiences = [\"doorward\"]`: the name of this gateway in `aud`; without it a token that was made for another service would open the door";
    match section.audiences.as_deref() {
        // People sign in there, and bearer tokens of it are for nobody here.
        None if section.sign_in.is_some() => {}
        None => complaints.push(Complaint::new(at.clone(), "the issuer has no `audiences`", help)),
        Some([]) => complaints.push(Complaint::new(at.key("audiences"), "`audiences` is empty", help)),
        Some(names) => {
            let at = at.key("audiences");
            for (i, _) in names.iter().enumerate().filter(|(_, name)| name.trim().is_empty()) {
                complaints.push(Complaint::new(at.index(i), "an audience is empty", help));
            }
            return names.to_vec();
        }
    }
    Vec::new()
}

// === impl Issuer ===

impl Issuer {
    /// Whether it is to be asked later if sign-ins of people there stand, and is not asked for the refresh token that
    /// this takes, in any way that is known here.
    #[must_use]
    pub fn may_keep_refresh_tokens(&self) -> bool {
        self.sign_in.as_ref().is_some_and(|terms| {
            let asks = terms.scopes.iter().any(|scope| scope == "offline_access")
                || terms.parameters.get("access_type").is_some_and(|access| access == "offline");
            terms.revalidate && !asks
        })
    }

    /// The short name.
    #[must_use]
    pub const fn id(&self) -> &IssuerId {
        &self.id
    }

    /// The claim `iss`, exactly.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it may say of people who are not known yet.
    #[must_use]
    pub const fn vouches(&self) -> &Vouches {
        &self.vouches
    }

    /// Whether people sign in there with a browser.
    #[must_use]
    pub const fn is_provider(&self) -> bool {
        self.sign_in.is_some()
    }

    /// The claim that names its people, if it is another one than `sub`.
    #[must_use]
    pub fn names_people_by(&self) -> Option<&'static str> {
        Some(self.subject_claim.as_str()).filter(|_| self.subject_claim != SubjectClaim::Sub)
    }
}

#[cfg(test)]
mod tests;
