//! Where a provider is spoken to: written, or by its own document (OpenID Connect Discovery §4).
//!
//! * The document must name the issuer exactly, and lead to https, or to this machine when the issuer is here.
//! * One fetch at a time, and after one that failed none for [`OIDC_RETRY_SECONDS_MIN`], whoever asks.
//! * What was good stays when a fetch fails: that is loud, and the tokens are checked all the same.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use doorward_model::limits::{JWKS_TTL_SECONDS_MIN, OIDC_RETRY_SECONDS_MIN};
use doorward_model::time::Clock;
use doorward_model::{IssuerId, UnixMillis};
use reqwest::Url;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::config::{Endpoints, may_be_endpoint};
use crate::json;
use crate::keys::{self, Discovery, KeyClient};
use crate::words::shown;

/// How long before it is old what is known is asked for again in the background.
const RENEWED_BEFORE_SECONDS: u64 = JWKS_TTL_SECONDS_MIN / 3;

/// The endpoints of one provider.
pub(super) struct Whereabouts {
    issuer: IssuerId,
    url: String,
    client: KeyClient,
    found: ArcSwapOption<Found>,
    /// Written by hand, they are never looked for.
    written: bool,
    /// When we last looked in vain, and why that was.
    failed: ArcSwapOption<(UnixMillis, String)>,
    /// Held by whoever looks.
    looking: Mutex<()>,
}

struct Found {
    endpoints: Arc<Endpoints>,
    at: UnixMillis,
    fresh_for: Duration,
}

// === impl Whereabouts ===

impl Whereabouts {
    pub(super) fn new(issuer: IssuerId, url: String, written: Option<Endpoints>, client: KeyClient) -> Self {
        let found = written.map(|endpoints| {
            let (at, fresh_for) = (UnixMillis::default(), Duration::MAX);
            Arc::new(Found { endpoints: Arc::new(endpoints), at, fresh_for })
        });
        let written = found.is_some();
        let found = ArcSwapOption::from(found);
        let (failed, looking) = (ArcSwapOption::default(), Mutex::default());
        Self { issuer, url, client, found, written, failed, looking }
    }

    /// What is known, without looking.
    pub(super) fn known(&self) -> Option<Arc<Endpoints>> {
        self.found.load().as_ref().map(|found| Arc::clone(&found.endpoints))
    }

    /// What is known; when nothing is, or it is old, the provider is asked.
    pub(super) async fn get(&self, clock: &Clock) -> Result<Arc<Endpoints>, String> {
        self.within(Duration::ZERO, clock).await
    }

    /// The same somewhat before it is old, so that nobody who signs in waits for it.
    pub(super) async fn renew(&self, clock: &Clock) -> Result<Arc<Endpoints>, String> {
        self.within(Duration::from_secs(RENEWED_BEFORE_SECONDS), clock).await
    }

    async fn within(&self, before: Duration, clock: &Clock) -> Result<Arc<Endpoints>, String> {
        if let Some(fresh) = self.fresh(clock(), before) {
            return Ok(fresh);
        }
        let _alone = self.looking.lock().await;
        let now = clock();
        if let Some(fresh) = self.fresh(now, before) {
            return Ok(fresh);
        }
        // A time in the future is of before the clock was set back.
        let recently =
            |at: UnixMillis| at <= now && now.since(at) < Duration::from_secs(OIDC_RETRY_SECONDS_MIN);
        if let Some(failed) = self.failed.load_full().filter(|failed| recently(failed.0)) {
            return self.known().ok_or_else(|| failed.1.clone());
        }
        match self.look().await {
            Ok((endpoints, fresh_for)) => {
                self.failed.store(None);
                let endpoints = Arc::new(endpoints);
                let found = Found { endpoints: Arc::clone(&endpoints), at: now, fresh_for };
                self.found.store(Some(Arc::new(found)));
                Ok(endpoints)
            }
            Err(why) => {
                let old = self.known();
                let keeps = old.is_some();
                tracing::warn!(issuer = %self.issuer, error = why, old_stay = keeps, "the endpoints of a provider cannot be discovered");
                self.failed.store(Some(Arc::new((now, why.clone()))));
                old.ok_or(why)
            }
        }
    }

    /// Why the last look was in vain, if it was.
    pub(super) fn last_error(&self) -> Option<String> {
        self.failed.load().as_ref().map(|failed| failed.1.clone())
    }

    /// What will not be old until `before` has passed.
    fn fresh(&self, now: UnixMillis, before: Duration) -> Option<Arc<Endpoints>> {
        let found = self.found.load();
        let found = found.as_ref()?;
        let age = now.since(found.at).saturating_add(before);
        let fresh = self.written || (found.at <= now && age <= found.fresh_for);
        fresh.then(|| Arc::clone(&found.endpoints))
    }

    async fn look(&self) -> Result<(Endpoints, Duration), String> {
        let address = keys::document_of(&self.url, Discovery::OpenId);
        let url = Url::parse(&address).map_err(|e| format!("`{}`: {e}", shown(&address, 200)))?;
        let local = keys::is_loopback(&url);
        let fetched = self.client.get(url).await.map_err(|e| e.to_string())?;
        let wrong = |why: String| format!("the discovery document `{}` {why}", shown(&address, 200));
        let document = json::object(&fetched.body).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        let endpoints = read(&document, &self.url, local).map_err(wrong)?;
        Ok((endpoints, fetched.fresh_for))
    }
}

fn read(document: &Map<String, Value>, issuer: &str, local: bool) -> Result<Endpoints, String> {
    match document.get("issuer") {
        Some(Value::String(says)) if says == issuer => {}
        Some(Value::String(says)) => {
            return Err(format!("is of the issuer `{}`, not of `{}`", shown(says, 100), shown(issuer, 100)));
        }
        Some(_) | None => return Err("has no `issuer`".to_owned()),
    }
    let endpoint = |name: &str| match document.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => match Url::parse(text) {
            Ok(url) if may_be_endpoint(&url) && (url.scheme() == "https" || local) => Ok(Some(url)),
            Ok(_) | Err(_) => Err(format!("has the `{name}` `{}`, which is not https", shown(text, 100))),
        },
        Some(_) => Err(format!("has a `{name}` that is not text")),
    };
    let needed = |name: &str| endpoint(name)?.ok_or_else(|| format!("has no `{name}`"));
    let answers_name_issuer = match document.get("authorization_response_iss_parameter_supported") {
        None => false,
        Some(Value::Bool(says)) => *says,
        Some(_) => return Err("does not say whether its answers name it".to_owned()),
    };
    Ok(Endpoints {
        authorization: needed("authorization_endpoint")?,
        token: needed("token_endpoint")?,
        userinfo: endpoint("userinfo_endpoint")?,
        end_session: endpoint("end_session_endpoint")?,
        revocation: endpoint("revocation_endpoint")?,
        answers_name_issuer,
    })
}
