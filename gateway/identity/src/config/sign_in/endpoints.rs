//! Where a provider is spoken to: written, or to be discovered.

use doorward_model::{Complaint, KeyPath};
use reqwest::Url;

use super::{IssuerSection, SignInSection, shown};
use crate::keys;

/// Where a provider is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Url,
    pub(crate) token: Url,
    pub(crate) userinfo: Option<Url>,
    pub(crate) end_session: Option<Url>,
    pub(crate) revocation: Option<Url>,
    /// Its answers say of whom they are (`authorization_response_iss_parameter_supported`).
    pub(crate) answers_name_issuer: bool,
}

/// Where the provider is spoken to: `Some(None)` is by discovery.
pub(super) fn endpoints(
    written: &SignInSection,
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Option<Endpoints>> {
    let before = complaints.len();
    let mut read = |key: &str, text: &Option<String>| {
        let text = text.as_deref()?;
        let url = Url::parse(text).ok().filter(may_be_endpoint);
        if url.is_none() {
            complaints.push(Complaint::new(
                at.key(key),
                format!("`{}` is not an https address", shown(text, 100)),
                "write an https address without user, password and fragment; http is accepted for this machine only",
            ));
        }
        url
    };
    let authorization = read("authorization_endpoint", &written.authorization_endpoint);
    let token = read("token_endpoint", &written.token_endpoint);
    let userinfo = read("userinfo_endpoint", &written.userinfo_endpoint);
    let end_session = read("end_session_endpoint", &written.end_session_endpoint);
    let revocation = read("revocation_endpoint", &written.revocation_endpoint);
    let answers_name_issuer = written.answers_name_issuer.unwrap_or(false);
    if complaints.len() > before {
        return None;
    }
    if let (Some(authorization), Some(token)) = (authorization, token) {
        if written.userinfo == Some(true) && userinfo.is_none() {
            complaints.push(Complaint::new(
                at.key("userinfo"),
                "it is not said where the userinfo endpoint is",
                "add `userinfo_endpoint`, or take `userinfo` out",
            ));
            return None;
        }
        let endpoints =
            Endpoints { authorization, token, userinfo, end_session, revocation, answers_name_issuer };
        return Some(Some(endpoints));
    }
    let some = [
        ("authorization_endpoint", written.authorization_endpoint.is_some()),
        ("token_endpoint", written.token_endpoint.is_some()),
        ("userinfo_endpoint", written.userinfo_endpoint.is_some()),
        ("end_session_endpoint", written.end_session_endpoint.is_some()),
        ("revocation_endpoint", written.revocation_endpoint.is_some()),
        ("answers_name_issuer", written.answers_name_issuer.is_some()),
    ];
    if let Some((key, _)) = some.iter().find(|(_, is_written)| *is_written) {
        complaints.push(Complaint::new(
            at.key(key),
            format!("`{key}` alone does not say where people sign in"),
            "write both `authorization_endpoint` and `token_endpoint`, or no endpoint at all: then the provider's \
             own document says them",
        ));
        return None;
    }
    let discoverable = section.issuer.as_deref().and_then(|issuer| Url::parse(issuer).ok());
    let discoverable = discoverable.filter(|url| keys::may_be_fetched(url) && url.query().is_none());
    if section.issuer.is_some() && discoverable.is_none() {
        complaints.push(Complaint::new(
            at.clone(),
            "where people sign in cannot be discovered from `issuer`",
            "write `authorization_endpoint` and `token_endpoint`",
        ));
        return None;
    }
    Some(None)
}

/// Whether something may be sent there: as keys may be fetched, and without a fragment (RFC 6749 §3.1).
pub(crate) fn may_be_endpoint(url: &Url) -> bool {
    keys::may_be_fetched(url) && url.fragment().is_none()
}
