//! The claims of a token (RFC 7519 §4), read strictly.
//!
//! A claim of the wrong kind is refused, never taken as absent: what could not be read may be
//! what a policy forbids.

use std::collections::BTreeSet;

use doorward_model::limits::{CLAIM_BYTES_MAX, GROUPS_MAX};
use doorward_model::{Refusal, RefusalCode, SubjectId, UnixMillis};
use serde_json::{Map, Value};

use crate::config::{Issuer, SubjectClaim};
use crate::header::Purpose;
use crate::times::TokenTimes;
use crate::words::{refuse, shown};

/// The last second of the year 9999. A time beyond it is a mistake or an attack on arithmetic.
const SECONDS_MAX: i64 = 253_402_300_799;

/// The claims of a token, as they stand in it.
#[derive(Debug)]
pub(crate) struct Claims(pub(crate) Map<String, Value>);

/// Where a claim stands: its name, or a way with dots into a claim that is an object.
#[derive(Debug, Clone)]
pub(crate) struct ClaimPath {
    name: String,
    steps: Vec<String>,
}

/// The claims that every token must have, found to be good.
#[derive(Debug)]
pub(crate) struct Standard {
    pub(crate) subject: SubjectId,
    pub(crate) issued_at: UnixMillis,
    /// Before this the token would lie in the future, our clock and the issuer's compared.
    pub(crate) good_from: UnixMillis,
    pub(crate) expires_at: UnixMillis,
}

/// When a token is good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetime {
    pub(crate) issued_at: UnixMillis,
    /// Before this the token would lie in the future, our clock and the issuer's compared.
    pub(crate) good_from: UnixMillis,
    pub(crate) expires_at: UnixMillis,
}

// === impl ClaimPath ===

impl ClaimPath {
    /// A claim of that name, or the way into one.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), steps: name.split('.').map(str::to_owned).collect() }
    }

    /// As written.
    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }
}

// === impl Claims ===

impl Claims {
    /// Who says that they made the token; nothing is proved by it.
    pub(crate) fn issuer(&self) -> Result<&str, Refusal> {
        match self.0.get("iss") {
            Some(Value::String(issuer)) => Ok(issuer),
            Some(_) => refuse("`iss` is not one text"),
            None => refuse("the token has no `iss`"),
        }
    }

    /// Checks what every token must have. To be asked only after the signature holds.
    pub(crate) fn standard(
        &self,
        issuer: &Issuer,
        purpose: Purpose,
        times: &TokenTimes,
        now: UnixMillis,
    ) -> Result<Standard, Refusal> {
        if self.issuer()? != issuer.url {
            return refuse("`iss` is not the issuer whose key signed");
        }
        self.audience(&issuer.audiences)?;
        self.is_for_access(purpose)?;
        self.is_for_its_bearer()?;
        let subject = self.subject(&issuer.subject_claim)?;
        let lifetime = self.lifetime(times, now)?;
        times.may_live(lifetime.issued_at, lifetime.expires_at)?;
        let Lifetime { issued_at, good_from, expires_at } = lifetime;
        Ok(Standard { subject, issued_at, good_from, expires_at })
    }

    /// When the token was made and until when it is good: it must be so now.
    pub(crate) fn lifetime(&self, times: &TokenTimes, now: UnixMillis) -> Result<Lifetime, Refusal> {
        let Some(expires_at) = self.date("exp")? else { return refuse("the token has no `exp`") };
        // Without it nobody could tell whether a revocation came before or after.
        let Some(issued_at) = self.date("iat")? else { return refuse("the token has no `iat`") };
        let not_before = self.date("nbf")?;
        let horizon = now.plus(times.issuer_skew);
        if issued_at > horizon {
            return refuse("`iat` lies in the future");
        }
        if not_before.is_some_and(|t| t > horizon) {
            return refuse("`nbf` lies in the future");
        }
        if now >= expires_at {
            let ago = now.since(expires_at).as_secs();
            return Err(Refusal::new(
                RefusalCode::ExpiredCredential,
                format!("the token expired {ago} s ago"),
            ));
        }
        let latest = not_before.map_or(issued_at, |t| t.max(issued_at));
        Ok(Lifetime { issued_at, good_from: latest.minus(times.issuer_skew), expires_at })
    }

    /// Whom the token is about. Another claim than `sub` counts beside it, never in its place: a token
    /// without `sub` is none for access (RFC 9068 §2.2).
    pub(crate) fn subject(&self, claim: &SubjectClaim) -> Result<SubjectId, Refusal> {
        let text = |name: &str| match self.0.get(name) {
            Some(Value::String(subject)) => {
                SubjectId::new(subject).or_else(|e| refuse(format!("`{name}`: {e}")))
            }
            Some(_) => refuse(format!("`{name}` is not text")),
            None => refuse(format!("the token has no `{name}`")),
        };
        let sub = text("sub")?;
        match claim {
            SubjectClaim::Sub => Ok(sub),
            SubjectClaim::Uid => text("uid"),
            SubjectClaim::Oid { tenant } => {
                if text("tid")?.as_str() != tenant {
                    return refuse("the token is of another tenant (`tid`)");
                }
                text("oid")
            }
        }
    }

    /// One of our names must be in `aud` (RFC 7519 §4.1.3).
    pub(crate) fn audience(&self, ours: &[String]) -> Result<(), Refusal> {
        let good = match self.0.get("aud") {
            None => return refuse("the token has no `aud`"),
            Some(Value::String(one)) => ours.contains(one),
            Some(Value::Array(many)) => {
                if !many.iter().all(Value::is_string) {
                    return refuse("`aud` holds something else than text");
                }
                many.iter().filter_map(Value::as_str).any(|a| ours.iter().any(|o| o == a))
            }
            Some(_) => return refuse("`aud` is neither text nor a list of texts"),
        };
        if good { Ok(()) } else { refuse("the token was made for another audience") }
    }

    /// Refuses what is plainly a token of another kind, where `typ` does not tell: messages
    /// between servers (`events`, RFC 8417), ID tokens (`at_hash`, `c_hash`, OpenID Connect Core
    /// §3.3.2.11), and the kinds that Keycloak (`typ`) and Cognito (`token_use`) name in claims.
    ///
    /// An ID token of the code flow needs none of these. Where the header only says `JWT`, or
    /// nothing, what an ID token answers a sign-in with (`nonce`, `s_hash`) refuses it too, unless
    /// something else says that it is for access.
    fn is_for_access(&self, purpose: Purpose) -> Result<(), Refusal> {
        for name in ["events", "at_hash", "c_hash"] {
            if self.0.contains_key(name) {
                return refuse(format!("the token has `{name}`, so it is not one for access"));
            }
        }
        for (name, other_kinds) in
            [("typ", &["ID", "Refresh", "Offline", "Logout"][..]), ("token_use", &["id"][..])]
        {
            if let Some(Value::String(kind)) = self.0.get(name)
                && other_kinds.iter().any(|k| k.eq_ignore_ascii_case(kind))
            {
                return refuse(format!(
                    "the claim `{name}` says `{kind}`, so the token is not one for access"
                ));
            }
        }
        match purpose {
            Purpose::Access => {}
            Purpose::NotSaid => {
                let sign_in = ["nonce", "s_hash"].into_iter().find(|name| self.0.contains_key(*name));
                if let Some(name) = sign_in
                    && !self.says_access()
                {
                    return refuse(format!(
                        "the token has `{name}` and nothing that says access, so it is an ID token; send the access token"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Something that access tokens have and ID tokens do not: scopes, or the word for it of
    /// Keycloak (`typ`) or of Cognito (`token_use`).
    fn says_access(&self) -> bool {
        let says = |name: &str, kind: &str| {
            self.0.get(name).and_then(Value::as_str).is_some_and(|v| v.eq_ignore_ascii_case(kind))
        };
        let has_words = |name: &str| match self.0.get(name) {
            Some(Value::String(text)) => !text.trim().is_empty(),
            Some(Value::Array(list)) => !list.is_empty(),
            Some(_) | None => false,
        };
        has_words("scope") || has_words("scp") || says("typ", "Bearer") || says("token_use", "access")
    }

    /// Refuses a token that only the holder of a key may use (`cnf`, RFC 7800: DPoP of RFC 9449,
    /// certificates of RFC 8705). As a plain bearer token it would be good for whoever stole it,
    /// which is what its issuer wanted to prevent.
    fn is_for_its_bearer(&self) -> Result<(), Refusal> {
        if self.0.contains_key("cnf") {
            return refuse("the token is bound to a key that this gateway cannot check yet (`cnf`)");
        }
        Ok(())
    }

    /// A time in seconds, at the top level.
    pub(crate) fn date(&self, name: &'static str) -> Result<Option<UnixMillis>, Refusal> {
        self.0.get(name).map(|value| date(name, value)).transpose()
    }

    /// The claim itself. A claim that the issuer left out of the token, to be fetched elsewhere,
    /// is not absent: it refuses the token.
    pub(crate) fn get(&self, path: &ClaimPath) -> Result<Option<&Value>, Refusal> {
        let here = self.find(path);
        if here.is_none() {
            self.is_not_elsewhere(path)?;
        }
        Ok(here)
    }

    /// A name with dots is first looked for as it stands, because some issuers name claims by URLs.
    fn find(&self, path: &ClaimPath) -> Option<&Value> {
        if let Some(value) = self.0.get(&path.name) {
            return Some(value);
        }
        let mut steps = path.steps.iter();
        let mut value = self.0.get(steps.next()?)?;
        for step in steps {
            value = value.as_object()?.get(step)?;
        }
        Some(value)
    }

    /// A text; an empty one counts as absent.
    pub(crate) fn text(&self, path: &ClaimPath) -> Result<Option<&str>, Refusal> {
        Ok(self.word(path)?.filter(|text| !text.is_empty()))
    }

    /// A text that may be empty.
    pub(crate) fn word(&self, path: &ClaimPath) -> Result<Option<&str>, Refusal> {
        match self.get(path)? {
            None => Ok(None),
            Some(Value::String(text)) => fit(path, text).map(Some),
            Some(_) => refuse(format!("the claim `{}` is not text", path.as_str())),
        }
    }

    /// `true` or `false`, and nothing that looks like it.
    pub(crate) fn flag(&self, path: &ClaimPath) -> Result<Option<bool>, Refusal> {
        match self.get(path)? {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => refuse(format!("the claim `{}` is not true or false", path.as_str())),
        }
    }

    /// A time in seconds since 1970.
    pub(crate) fn time(&self, path: &ClaimPath) -> Result<Option<UnixMillis>, Refusal> {
        self.get(path)?.map(|value| date(path.as_str(), value)).transpose()
    }

    /// A list of texts. One text alone is refused too: nobody can tell whether `a,b` is one
    /// group or two. More than [`GROUPS_MAX`] are refused, because one that is dropped could be
    /// one that a policy forbids.
    pub(crate) fn list(&self, path: &ClaimPath) -> Result<BTreeSet<String>, Refusal> {
        let list = match self.get(path)? {
            None => return Ok(BTreeSet::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return refuse(format!("the claim `{}` is not a list", path.as_str())),
        };
        if list.len() > GROUPS_MAX {
            return refuse(format!(
                "the claim `{}` has {} entries, more than {GROUPS_MAX}",
                path.as_str(),
                list.len()
            ));
        }
        list.iter()
            .map(|value| match value {
                Value::String(text) if !text.is_empty() => fit(path, text).map(str::to_owned),
                _ => refuse(format!("the claim `{}` holds something else than texts", path.as_str())),
            })
            .collect()
    }

    /// A claim that stands elsewhere, or did not fit into the token, is not one that nobody made:
    /// the issuer then says where to fetch it (OpenID Connect Core §5.6.2; Entra also says
    /// `hasgroups`).
    fn is_not_elsewhere(&self, path: &ClaimPath) -> Result<(), Refusal> {
        let elsewhere = match self.0.get("_claim_names") {
            None => false,
            Some(Value::Object(names)) => {
                names.contains_key(path.as_str())
                    || path.steps.first().is_some_and(|outer| names.contains_key(outer))
            }
            Some(_) => true,
        };
        let overage = path.as_str() == "groups" && self.0.contains_key("hasgroups");
        if elsewhere || overage {
            return refuse(format!(
                "the claim `{}` was left out of the token, to be fetched elsewhere; let the issuer put it in, \
                 or send fewer groups",
                path.as_str()
            ));
        }
        Ok(())
    }
}

fn date(name: &str, value: &Value) -> Result<UnixMillis, Refusal> {
    let Value::Number(number) = value else { return refuse(format!("`{name}` is not a number")) };
    if let Some(seconds) = number.as_i64() {
        if (0..=SECONDS_MAX).contains(&seconds) {
            return Ok(UnixMillis::from_seconds(seconds));
        }
    } else if let Some(seconds) = number.as_f64()
        && (0.0..=SECONDS_MAX as f64).contains(&seconds)
    {
        return Ok(UnixMillis((seconds * 1000.0).floor() as i64));
    }
    refuse(format!("`{name}` is not a time between 1970 and 9999"))
}

/// A text that can stand in a header, a log line and a policy.
fn fit<'a>(path: &ClaimPath, text: &'a str) -> Result<&'a str, Refusal> {
    if text.len() > CLAIM_BYTES_MAX || text.chars().any(char::is_control) {
        return refuse(format!(
            "the claim `{}` is too long or has control characters: `{}`",
            path.as_str(),
            shown(text, 40)
        ));
    }
    Ok(text)
}
