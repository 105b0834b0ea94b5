//! `[issuer.sign_in]`: people sign in with a browser at this issuer, and how we are its client there
//! (OpenID Connect Core §3.1, RFC 6749 §2.3).
//!
//! [`SignInSection`] is the table as written, [`SignInTerms`] the checked form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use doorward_model::limits::{SIGN_IN_PARAMETERS_MAX, SIGN_IN_WORDS_MAX};
use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

use super::IssuerSection;
use super::meaning::of_people;
use crate::secret::{self, Secret};
use crate::words::shown;

mod client;
mod endpoints;

pub(crate) use self::client::{Assertion, ClientAuth};
pub(crate) use self::endpoints::{Endpoints, may_be_endpoint};

/// Parameters of the request that are ours to set.
const OUR_PARAMETERS: [&str; 16] = [
    "response_type",
    "response_mode",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "acr_values",
    "max_age",
    "prompt",
    "claims",
    "login_hint",
    "request",
];

/// `[issuer.sign_in]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct SignInSection {
    /// What people read: "Sign in with …".
    pub title: Option<String>,
    /// What the provider calls us; the `aud` of its ID tokens.
    pub client_id: Option<String>,
    /// `basic`, `post` or `key`: how we prove that.
    pub client_auth: Option<String>,
    /// A file with the secret that we share with the provider.
    pub client_secret_file: Option<PathBuf>,
    /// A file with our private key (PEM), of which the provider has the public half.
    pub client_key_file: Option<PathBuf>,
    /// What the provider calls that key (`kid`).
    pub client_key_id: Option<String>,
    /// `token_endpoint` or `issuer`: whom a proof with the key is made for.
    pub client_key_audience: Option<String>,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
    /// A refresh token is asked for, and with it whether the sign-in still stands.
    pub revalidate: Option<bool>,
    /// The `acr_values` that ask for more than one factor.
    pub mfa_acr_values: Option<Vec<String>>,
    /// The `acr_values` that ask for a factor that cannot be phished.
    pub phishing_resistant_acr_values: Option<Vec<String>>,
    /// Authentication contexts of Entra ID.
    #[serde(default)]
    pub claims_acrs: ClaimsAcrsSection,
    /// `auth_time` is asked for by name.
    pub claims_auth_time: Option<bool>,
    /// The provider does not look at `max_age`, but at `prompt=login`.
    pub prompt_login_on_max_age: Option<bool>,
    /// Two methods of different kinds in `amr` are more than one factor.
    pub two_factor_classes: Option<bool>,
    /// What the ID token does not say is asked of the userinfo endpoint.
    pub userinfo: Option<bool>,
    /// Further parameters of the request.
    pub parameters: Option<BTreeMap<String, String>>,
    /// Where people sign in, when discovery is not wanted.
    pub authorization_endpoint: Option<String>,
    /// Where codes are redeemed.
    pub token_endpoint: Option<String>,
    /// Where more is told of people.
    pub userinfo_endpoint: Option<String>,
    /// Where people sign out.
    pub end_session_endpoint: Option<String>,
    /// Where refresh tokens are given back.
    pub revocation_endpoint: Option<String>,
    /// With written endpoints: the provider names itself in its answers (RFC 9207).
    pub answers_name_issuer: Option<bool>,
}

/// `claims_acrs` as written: the ids of authentication contexts (`c1` to `c99`).
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ClaimsAcrsSection {
    /// The one whose rules want more than one factor.
    pub mfa: Option<String>,
    /// The one whose rules want a factor that cannot be phished, besides another one.
    pub phishing_resistant: Option<String>,
}

/// How people sign in at an issuer. Only [`terms`] builds one.
#[derive(Debug, Clone)]
pub(crate) struct SignInTerms {
    pub(crate) title: String,
    pub(crate) client_id: String,
    pub(crate) client: ClientAuth,
    pub(crate) scopes: Vec<String>,
    /// What a refresh token is good for is wanted.
    pub(crate) revalidate: bool,
    pub(crate) mfa_acr_values: Vec<String>,
    pub(crate) phishing_resistant_acr_values: Vec<String>,
    pub(crate) claims_acrs: ClaimsAcrs,
    pub(crate) claims_auth_time: bool,
    pub(crate) prompt_login_on_max_age: bool,
    pub(crate) two_factor_classes: bool,
    pub(crate) userinfo: bool,
    pub(crate) parameters: BTreeMap<String, String>,
    /// None: by discovery.
    pub(crate) endpoints: Option<Endpoints>,
}

/// Authentication contexts that prove something.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClaimsAcrs {
    pub(crate) mfa: Option<String>,
    pub(crate) phishing_resistant: Option<String>,
}

/// Checks the table of one issuer. None: nobody signs in there, or something is wrong with it.
pub(super) fn terms(
    section: &IssuerSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<SignInTerms> {
    let written = section.sign_in.as_ref()?;
    let at = at.key("sign_in");
    if !of_people(section) {
        complaints.push(Complaint::new(
            at.clone(),
            "service accounts do not sign in with a browser",
            "take the table out, or set `subjects = \"users\"`",
        ));
        return None;
    }
    let client_id = client_id(written, section, &at, complaints);
    let client = client::client_auth(written, &at, base_dir, complaints);
    let scopes = scopes(written, &at, complaints);
    let mfa_acr_values = words(&written.mfa_acr_values, "mfa_acr_values", &at, complaints);
    let key = "phishing_resistant_acr_values";
    let phishing_resistant_acr_values = words(&written.phishing_resistant_acr_values, key, &at, complaints);
    let claims_acrs = claims_acrs(&written.claims_acrs, &at.key("claims_acrs"), complaints);
    let parameters = parameters(written, &at.key("parameters"), complaints);
    let endpoints = endpoints::endpoints(written, section, &at, complaints);
    let title = title(written, section, &at, complaints);
    Some(SignInTerms {
        title: title?,
        client_id: client_id?,
        client: client?,
        scopes: scopes?,
        revalidate: written.revalidate.unwrap_or(true),
        mfa_acr_values,
        phishing_resistant_acr_values,
        claims_acrs,
        claims_auth_time: written.claims_auth_time.unwrap_or(false),
        prompt_login_on_max_age: written.prompt_login_on_max_age.unwrap_or(false),
        two_factor_classes: written.two_factor_classes.unwrap_or(true),
        userinfo: written.userinfo.unwrap_or(false),
        parameters,
        endpoints: endpoints?,
    })
}

fn title(
    written: &SignInSection,
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<String> {
    let title = written.title.as_deref().or(section.id.as_deref())?;
    if title.trim().is_empty() || title.chars().count() > 60 || title.chars().any(char::is_control) {
        complaints.push(Complaint::new(
            at.key("title"),
            format!("`{}` cannot stand on a button", shown(title, 60)),
            "write what people call the provider, in 1 to 60 characters",
        ));
        return None;
    }
    Some(title.to_owned())
}

fn client_id(
    written: &SignInSection,
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<String> {
    let Some(id) = written.client_id.as_deref() else {
        complaints.push(Complaint::new(
            at.clone(),
            "the sign-in has no `client_id`",
            "add `client_id = \"…\"`: what the provider calls this gateway; you get it when you register it there",
        ));
        return None;
    };
    if id.is_empty() || id.len() > 255 || !id.bytes().all(|b| b.is_ascii_graphic()) {
        complaints.push(Complaint::new(
            at.key("client_id"),
            format!("`{}` is not the id of a client", shown(id, 60)),
            "write it as the provider shows it: 1 to 255 visible characters",
        ));
        return None;
    }
    if section.audiences.iter().flatten().any(|audience| audience == id) {
        complaints.push(Complaint::new(
            at.key("client_id"),
            format!("`{}` is in `audiences`, too", shown(id, 60)),
            "take it out there: the `aud` of ID tokens must be no name of ours for bearer tokens, or a token that \
             proves a sign-in would open the door by itself",
        ));
        return None;
    }
    Some(id.to_owned())
}

fn scopes(written: &SignInSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<Vec<String>> {
    let revalidate = written.revalidate.unwrap_or(true);
    let Some(scopes) = written.scopes.as_deref() else {
        let usual = ["openid", "email", "profile", "offline_access"];
        return Some(usual.iter().take(if revalidate { 4 } else { 3 }).map(|s| (*s).to_owned()).collect());
    };
    let at = at.key("scopes");
    // RFC 6749 §3.3.
    let fits = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    let bad = scopes.iter().position(|s| s.is_empty() || s.len() > 255 || !s.bytes().all(fits));
    if let Some(i) = bad {
        complaints.push(Complaint::new(
            at.index(i),
            "this is not a scope",
            "write each scope for itself: `scopes = [\"openid\", \"email\"]`",
        ));
        return None;
    }
    if scopes.len() > SIGN_IN_WORDS_MAX || !scopes.iter().any(|s| s == "openid") {
        complaints.push(Complaint::new(
            at,
            "the scopes do not have `openid`, or are too many",
            format!(
                "name `openid`, without which there is no ID token, and at most {SIGN_IN_WORDS_MAX} in all"
            ),
        ));
        return None;
    }
    Some(scopes.to_vec())
}

fn words(
    written: &Option<Vec<String>>,
    key: &str,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Vec<String> {
    let words = written.as_deref().unwrap_or_default();
    let at = at.key(key);
    if words.len() > SIGN_IN_WORDS_MAX {
        let message = format!("there are {} values", words.len());
        complaints.push(Complaint::new(at.clone(), message, format!("name at most {SIGN_IN_WORDS_MAX}")));
    }
    for (i, word) in words.iter().enumerate() {
        if !is_word(word) {
            complaints.push(Complaint::new(
                at.index(i),
                format!("`{}` is not a value of `acr`", shown(word, 60)),
                "write each value for itself, as the provider names it; it has no spaces",
            ));
        }
    }
    words.to_vec()
}

fn is_word(word: &str) -> bool {
    (1..=255).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_graphic())
}

fn claims_acrs(section: &ClaimsAcrsSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> ClaimsAcrs {
    let mut context = |key: &str, written: &Option<String>| {
        if let Some(word) = written.as_deref().filter(|word| !is_word(word)) {
            complaints.push(Complaint::new(
                at.key(key),
                format!("`{}` is not an authentication context", shown(word, 60)),
                "write its id, such as `c1`",
            ));
        }
        written.clone()
    };
    let mfa = context("mfa", &section.mfa);
    ClaimsAcrs { mfa, phishing_resistant: context("phishing_resistant", &section.phishing_resistant) }
}

fn parameters(
    written: &SignInSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> BTreeMap<String, String> {
    let parameters = written.parameters.clone().unwrap_or_default();
    if parameters.len() > SIGN_IN_PARAMETERS_MAX {
        let message = format!("there are {} parameters", parameters.len());
        complaints.push(Complaint::new(
            at.clone(),
            message,
            format!("name at most {SIGN_IN_PARAMETERS_MAX}"),
        ));
    }
    for (name, value) in &parameters {
        if OUR_PARAMETERS.contains(&name.as_str()) || name == "request_uri" {
            complaints.push(Complaint::new(
                at.key(name),
                format!("the gateway says `{}` itself", shown(name, 40)),
                "take it out; what a sign-in must prove follows from the policies",
            ));
        } else if !is_word(name) || value.len() > 255 || value.chars().any(char::is_control) {
            complaints.push(Complaint::new(
                at.key(name),
                "this is not a parameter of a request",
                "write a name without spaces, and a value of at most 255 bytes",
            ));
        }
    }
    parameters
}

#[cfg(test)]
mod tests;
