//! `[[issuer]]`: whom we believe, and what they mean by what they say.
//!
//! [`IssuerSection`] is the table as written, [`Issuer`] the checked form, which only [`check`]
//! builds. The table and its defaults stand in `deploy/doorward.example.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use doorward_model::{Complaint, IssuerId, KeyPath, LifecycleStage};
use reqwest::Url;
use serde::Deserialize;

use crate::algorithm::SigningAlgorithm;
use crate::claims::ClaimPath;
use crate::keys::{self, KeySource};
use crate::words::shown;

/// One `[[issuer]]` table as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct IssuerSection {
    /// The short name; people are named `id:subject`.
    pub id: Option<String>,
    /// The claim `iss`, exactly.
    pub issuer: Option<String>,
    /// Our names; one of them must be in `aud`.
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
    /// Which claim holds what.
    #[serde(default)]
    pub claims: ClaimsSection,
    /// What this issuer says when it means a strong sign-in.
    #[serde(default)]
    pub assurance: AssuranceSection,
}

/// `[issuer.claims]` as written: names of claims, with dots for claims within claims.
#[derive(Debug, Clone, Default, Deserialize)]
#[expect(missing_docs, reason = "each key names the claim that holds what the key says")]
pub struct ClaimsSection {
    pub groups: Option<String>,
    pub roles: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub session: Option<String>,
    pub scopes: Option<String>,
    pub employment: Option<String>,
    pub home_country: Option<String>,
    pub department: Option<String>,
    pub contract_end: Option<String>,
    pub stage: Option<String>,
    /// The stage of a token that does not tell one; not the name of a claim.
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
    pub(crate) claims: ClaimNames,
    pub(crate) assurance: AssuranceWords,
}

/// Who the subjects of an issuer are.
#[derive(Debug, Clone)]
pub(crate) enum Subjects {
    /// People.
    Users,
    /// Programs, each with the claim that names its owner.
    ServiceAccounts {
        /// `issuer:subject`, or a subject of the same issuer.
        owner: ClaimPath,
    },
}

/// Which claim holds what.
#[derive(Debug, Clone)]
pub(crate) struct ClaimNames {
    pub(crate) groups: ClaimPath,
    pub(crate) roles: ClaimPath,
    pub(crate) name: ClaimPath,
    pub(crate) email: ClaimPath,
    pub(crate) session: ClaimPath,
    pub(crate) scopes: ClaimPath,
    pub(crate) employment: ClaimPath,
    pub(crate) home_country: ClaimPath,
    pub(crate) department: ClaimPath,
    pub(crate) contract_end: ClaimPath,
    pub(crate) stage: ClaimPath,
    pub(crate) stage_default: LifecycleStage,
    pub(crate) device_id: ClaimPath,
    pub(crate) device_managed: ClaimPath,
    pub(crate) device_compliant: ClaimPath,
    pub(crate) device_platform: ClaimPath,
    pub(crate) risk: ClaimPath,
    pub(crate) tags: Vec<ClaimPath>,
}

/// What this issuer says when it means a strong sign-in.
#[derive(Debug, Clone)]
pub(crate) struct AssuranceWords {
    pub(crate) mfa_amr: Vec<String>,
    pub(crate) mfa_acr: Vec<String>,
    pub(crate) phishing_resistant_amr: Vec<String>,
    pub(crate) phishing_resistant_acr: Vec<String>,
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
        if let Some(issuer) = check_one(section, &at, base_dir, &mut own)
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
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<Issuer> {
    let id = id(section, at, complaints);
    let url = issuer_url(section, at, complaints);
    let audiences = audiences(section, at, complaints);
    let algorithms = algorithms(section, at, complaints);
    let token_types = token_types(section, at, complaints);
    let keys = key_source(section, url, &algorithms, at, base_dir, complaints);
    let subjects = subjects(section, at, complaints);
    let claims = claim_names(&section.claims, &at.key("claims"), complaints);
    let assurance = assurance_words(&section.assurance, &at.key("assurance"), complaints);
    Some(Issuer {
        id: id?,
        url: url?.to_owned(),
        audiences,
        algorithms,
        token_types,
        keys: keys?,
        subjects: subjects?,
        claims,
        assurance,
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

fn algorithms(
    section: &IssuerSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Vec<SigningAlgorithm> {
    let choose = "choose one of RS256, PS256, ES256, ES384 and EdDSA: the one that the issuer signs with";
    let names = match section.algorithms.as_deref() {
        None => {
            complaints.push(Complaint::new(at.clone(), "the issuer has no `algorithms`", choose));
            return Vec::new();
        }
        Some([]) => {
            complaints.push(Complaint::new(at.key("algorithms"), "`algorithms` is empty", choose));
            return Vec::new();
        }
        Some(names) => names,
    };
    let at = at.key("algorithms");
    let mut chosen: Vec<SigningAlgorithm> = Vec::new();
    for (i, name) in names.iter().enumerate() {
        match SigningAlgorithm::parse(name) {
            Some(algorithm) if chosen.contains(&algorithm) => {}
            Some(algorithm) => chosen.push(algorithm),
            None => complaints.push(unknown_algorithm(name, at.index(i))),
        }
    }
    if let Some(first) = chosen.first()
        && let Some(other) = chosen.iter().find(|a| a.family() != first.family())
    {
        complaints.push(Complaint::new(
            at,
            format!("{} and {} need keys of different kinds", first.as_str(), other.as_str()),
            "an issuer has one kind of key; if it really signs with both, tell which one its access tokens carry",
        ));
    }
    chosen
}

fn unknown_algorithm(name: &str, at: KeyPath) -> Complaint {
    let shown_name = shown(name, 40);
    let upper = name.to_ascii_uppercase();
    if upper == "NONE" {
        return Complaint::new(
            at,
            format!("`{shown_name}` is no signature at all"),
            "without a signature anyone can write a token; name the algorithm that the issuer signs with",
        );
    }
    if upper.starts_with("HS") {
        return Complaint::new(
            at,
            format!("`{shown_name}` is a shared secret, which is not accepted"),
            "who can check such a token can also make one; let the issuer sign with RS256, PS256, ES256, ES384 or EdDSA",
        );
    }
    let near =
        SigningAlgorithm::ALL.into_iter().find(|a| distance(&a.as_str().to_ascii_uppercase(), &upper) <= 2);
    let help = match near {
        Some(a) => {
            format!("did you mean `{}`? Accepted are RS256, PS256, ES256, ES384 and EdDSA", a.as_str())
        }
        None => "accepted are RS256, PS256, ES256, ES384 and EdDSA".to_owned(),
    };
    Complaint::new(at, format!("`{shown_name}` is not an algorithm that is accepted"), help)
}

/// How many letters must be changed, added or left out to make `b` of `a`, for short words.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > 16 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((cb, above_left), above) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or(0);
            next.push((above_left + usize::from(ca != *cb)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

fn token_types(section: &IssuerSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Vec<String> {
    let at = at.key("token_types");
    match section.token_types.as_deref() {
        None => vec!["at+jwt".to_owned(), "jwt".to_owned()],
        Some([]) => {
            complaints.push(Complaint::new(
                at,
                "`token_types` is empty, so no token would be accepted",
                "leave it out for `at+jwt` and `JWT`; `\"\"` allows a token without `typ`",
            ));
            Vec::new()
        }
        Some(types) => {
            for (i, word) in types.iter().enumerate() {
                let kind = crate::header::token_type(word);
                if kind == "logout+jwt" || kind == "secevent+jwt" {
                    complaints.push(Complaint::new(
                        at.index(i),
                        format!("`{}` is a message between servers, not an access token", shown(word, 40)),
                        "take it out",
                    ));
                }
            }
            types.iter().map(|t| crate::header::token_type(t)).collect()
        }
    }
}

fn key_source(
    section: &IssuerSection,
    issuer: Option<&str>,
    algorithms: &[SigningAlgorithm],
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<KeySource> {
    match (section.jwks_uri.as_deref(), section.jwks_file.as_deref()) {
        (Some(_), Some(_)) => {
            complaints.push(Complaint::new(
                at.key("jwks_file"),
                "both `jwks_uri` and `jwks_file` are set",
                "keep the one that is the source of the keys",
            ));
            None
        }
        (Some(uri), None) => match Url::parse(uri) {
            Ok(url) if keys::may_be_fetched(&url) => Some(KeySource::Uri(url)),
            Ok(_) | Err(_) => {
                complaints.push(Complaint::new(
                    at.key("jwks_uri"),
                    format!("`{}` is not an https address", shown(uri, 100)),
                    "write an https address without user and password; http is accepted for this machine only",
                ));
                None
            }
        },
        (None, Some(file)) => {
            let file = base_dir.join(file);
            let read = keys::read_file(&file).and_then(|body| Ok(keys::KeySet::read(&body, algorithms)?));
            match read {
                Ok(set) if set.is_empty() && !algorithms.is_empty() => complaints.push(Complaint::new(
                    at.key("jwks_file"),
                    format!("`{}` has no key that fits the algorithms", file.display()),
                    set.why_empty(),
                )),
                Ok(_) => {}
                Err(e) => complaints.push(Complaint::new(
                    at.key("jwks_file"),
                    e.to_string(),
                    "write a JSON Web Key Set: `{\"keys\": [ … ]}`",
                )),
            }
            Some(KeySource::File(file))
        }
        (None, None) => {
            let issuer = issuer?;
            match Url::parse(issuer) {
                Ok(url)
                    if keys::may_be_fetched(&url) && url.query().is_none() && url.fragment().is_none() =>
                {
                    Some(KeySource::Discovery { issuer: issuer.to_owned() })
                }
                Ok(_) | Err(_) => {
                    complaints.push(Complaint::new(
                        at.key("issuer"),
                        format!("keys cannot be discovered from `{}`", shown(issuer, 100)),
                        "discovery needs an https address without query; otherwise set `jwks_uri` or `jwks_file`",
                    ));
                    None
                }
            }
        }
    }
}

fn subjects(section: &IssuerSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Option<Subjects> {
    let owner = section.claims.owner.as_deref();
    match (section.subjects.as_deref(), owner) {
        (None | Some("users"), None) => Some(Subjects::Users),
        (None | Some("users"), Some(_)) => {
            complaints.push(Complaint::new(
                at.key("claims").key("owner"),
                "people have no owner",
                "take `owner` out, or set `subjects = \"service_accounts\"`",
            ));
            None
        }
        (Some("service_accounts"), Some(name)) => {
            let at = at.key("claims").key("owner");
            Some(Subjects::ServiceAccounts { owner: claim_path(name, &at, complaints) })
        }
        (Some("service_accounts"), None) => {
            complaints.push(Complaint::new(
                at.key("subjects"),
                "service accounts need `claims.owner`",
                "name the claim that holds the person who answers for the account; it stops when that person leaves",
            ));
            None
        }
        (Some(other), _) => {
            complaints.push(Complaint::new(
                at.key("subjects"),
                format!("`{}` is not a kind of subject", shown(other, 40)),
                "choose `users` or `service_accounts`",
            ));
            None
        }
    }
}

fn claim_names(section: &ClaimsSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> ClaimNames {
    let mut name = |key: &str, written: Option<&str>, default: &str| {
        claim_path(written.unwrap_or(default), &at.key(key), complaints)
    };
    let s = section;
    let mut names = ClaimNames {
        groups: name("groups", s.groups.as_deref(), "groups"),
        roles: name("roles", s.roles.as_deref(), "roles"),
        name: name("name", s.name.as_deref(), "name"),
        email: name("email", s.email.as_deref(), "email"),
        session: name("session", s.session.as_deref(), "sid"),
        scopes: name("scopes", s.scopes.as_deref(), "scope"),
        employment: name("employment", s.employment.as_deref(), "employment"),
        home_country: name("home_country", s.home_country.as_deref(), "country"),
        department: name("department", s.department.as_deref(), "department"),
        contract_end: name("contract_end", s.contract_end.as_deref(), "contract_end"),
        stage: name("stage", s.stage.as_deref(), "stage"),
        stage_default: LifecycleStage::Active,
        device_id: name("device_id", s.device_id.as_deref(), "device_id"),
        device_managed: name("device_managed", s.device_managed.as_deref(), "device_managed"),
        device_compliant: name("device_compliant", s.device_compliant.as_deref(), "device_compliant"),
        device_platform: name("device_platform", s.device_platform.as_deref(), "device_platform"),
        risk: name("risk", s.risk.as_deref(), "risk"),
        tags: Vec::new(),
    };
    for (i, tag) in section.tags.iter().flatten().enumerate() {
        names.tags.push(claim_path(tag, &at.key("tags").index(i), complaints));
    }
    if let Some(word) = section.stage_default.as_deref() {
        names.stage_default = LifecycleStage::parse(word);
        if names.stage_default.as_str() != word {
            complaints.push(Complaint::new(
                at.key("stage_default"),
                format!("`{}` is not a stage", shown(word, 40)),
                "choose preboarding, active, leave, suspended, deactivated or unknown",
            ));
        }
    }
    names
}

fn claim_path(name: &str, at: &KeyPath, complaints: &mut Vec<Complaint>) -> ClaimPath {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        complaints.push(Complaint::new(
            at.clone(),
            format!("`{}` is not the name of a claim", shown(name, 40)),
            "write a claim such as `groups`, or a way into one such as `realm_access.roles`",
        ));
    }
    ClaimPath::new(name)
}

fn assurance_words(
    section: &AssuranceSection,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> AssuranceWords {
    let mut words = |key: &str, written: &Option<Vec<String>>, default: &[&str]| match written {
        None => default.iter().map(|w| (*w).to_owned()).collect(),
        Some(list) => {
            for (i, _) in list.iter().enumerate().filter(|(_, w)| w.is_empty()) {
                complaints.push(Complaint::new(
                    at.key(key).index(i),
                    "a word of the issuer is empty",
                    "take it out: nothing said proves nothing",
                ));
            }
            list.clone()
        }
    };
    AssuranceWords {
        mfa_amr: words("mfa_amr", &section.mfa_amr, &["mfa"]),
        mfa_acr: words("mfa_acr", &section.mfa_acr, &[]),
        phishing_resistant_amr: words("phishing_resistant_amr", &section.phishing_resistant_amr, &[]),
        phishing_resistant_acr: words("phishing_resistant_acr", &section.phishing_resistant_acr, &[]),
    }
}

// === impl Issuer ===

impl Issuer {
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
}
