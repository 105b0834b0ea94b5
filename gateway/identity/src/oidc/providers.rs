//! The providers at which people sign in, and everything that is asked of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::limits::OIDC_CALLS_MAX;
use doorward_model::time::Clock;
use doorward_model::{IssuerId, MailDomain, UserId};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::Returned;
use super::answer::Tokens;
use super::ask::{self, Ask, Begun};
use super::client::{self, Proof};
use super::endpoints::Whereabouts;
use super::exchange::{self, CallError, Caller};
use super::failure::{OidcError, RefreshError, of_redeeming, of_refreshing};
use super::id_token::{self, Expected, IdToken};
use super::proof::{Proven, Refreshed};
use crate::bearer::Verifier;
use crate::config::{Endpoints, Issuer, SignInTerms};
use crate::keys::{ClientError, KeyClient, KeyRing};
use crate::secret::Secret;
use crate::times::TokenTimes;
use crate::words::shown;

/// Sixteen bytes from a good source of randomness; none when it has none.
pub type Random = Arc<dyn Fn() -> Option<[u8; 16]> + Send + Sync>;

/// Beside the calls for browsers, the most at once by which the gateway asks of sessions, and as many by which it gives
/// tokens back.
const OWN_CALLS_MAX: usize = OIDC_CALLS_MAX / 2;
/// How often it is looked whether something is to be learned anew.
const LOOK_SECONDS: u64 = 30;

/// Claims that only the ID token may say: whom it is about, for whom, when, and how they signed in.
const OF_THE_TOKEN: [&str; 21] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "auth_time",
    "acr",
    "amr",
    "acrs",
    "azp",
    "nonce",
    "at_hash",
    "c_hash",
    "sid",
    "typ",
    "tid",
    "oid",
    "uid",
    "act",
];

/// Everybody at whom people sign in with a browser.
pub struct Providers {
    providers: Vec<Provider>,
    caller: Caller,
    times: TokenTimes,
    clock: Clock,
    random: Random,
}

struct Provider {
    issuer: Issuer,
    terms: SignInTerms,
    ring: Arc<KeyRing>,
    whereabouts: Whereabouts,
    places: Places,
}

/// How many may call at once. Whoever comes back from a provider, a stranger too, takes a place of the first kind: no
/// crowd of them keeps the gateway from asking of the sessions that there are.
struct Places {
    /// For codes that browsers bring.
    browsers: Semaphore,
    /// For what is asked of sessions.
    sessions: Semaphore,
    /// For tokens that are given back, of many people at once where many are cut off.
    tokens: Semaphore,
}

/// For whom the provider is called.
#[derive(Clone, Copy)]
enum For {
    Browser,
    Session,
    GivingBack,
}

/// How a provider stands, for readiness and operators. Its keys stand in [`crate::KeyStatus`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Which.
    pub issuer: IssuerId,
    /// It is known where it is spoken to.
    pub endpoints_known: bool,
    /// Why the last try to learn that failed, if it did.
    pub last_error: Option<String>,
}

// === impl Providers ===

impl Providers {
    /// Those issuers of a verifier at whom people sign in; their keys are shared. `random` names what this
    /// gateway signs to prove who it is.
    ///
    /// # Errors
    /// When the process has no TLS provider yet; `server` installs it first.
    pub fn new(verifier: &Verifier, clock: Clock, random: Random) -> Result<Self, ClientError> {
        let client = KeyClient::new()?;
        let provider = |(issuer, ring): (&Issuer, &Arc<KeyRing>)| {
            let terms = issuer.sign_in.clone()?;
            let (id, url, written) = (issuer.id.clone(), issuer.url.clone(), terms.endpoints.clone());
            let whereabouts = Whereabouts::new(id, url, written, client.clone());
            let (issuer, ring) = (issuer.clone(), Arc::clone(ring));
            let places = Places {
                browsers: Semaphore::new(OIDC_CALLS_MAX),
                sessions: Semaphore::new(OWN_CALLS_MAX),
                tokens: Semaphore::new(OWN_CALLS_MAX),
            };
            Some(Provider { issuer, terms, ring, whereabouts, places })
        };
        let providers = verifier.issuers().filter_map(provider).collect();
        Ok(Self { providers, caller: Caller::new()?, times: verifier.times(), clock, random })
    }

    /// Nobody signs in anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// The providers, in the order of the configuration.
    pub fn ids(&self) -> impl Iterator<Item = &IssuerId> {
        self.providers.iter().map(|p| &p.issuer.id)
    }

    /// The only provider there is.
    #[must_use]
    pub fn sole(&self) -> Option<&IssuerId> {
        match self.providers.as_slice() {
            [only] => Some(&only.issuer.id),
            _ => None,
        }
    }

    /// The providers whose word counts for addresses of a domain: the people of a company sign in at one of
    /// them. Whether anybody has such an address is not looked at.
    #[must_use]
    pub fn of_domain(&self, domain: &MailDomain) -> Vec<&IssuerId> {
        let speaks = |p: &&Provider| p.issuer.vouches.email_domains.contains(domain);
        self.providers.iter().filter(speaks).map(|p| &p.issuer.id).collect()
    }

    /// What people call it: "Sign in with …".
    #[must_use]
    pub fn title(&self, issuer: &IssuerId) -> Option<&str> {
        self.find(issuer).ok().map(|p| p.terms.title.as_str())
    }

    /// Where a browser is sent to sign in.
    ///
    /// # Errors
    /// [`OidcError::NotAProvider`]; [`OidcError::Unavailable`] when it cannot be learned where the provider is.
    pub async fn authorization_url(&self, issuer: &IssuerId, ask: &Ask<'_>) -> Result<String, OidcError> {
        let provider = self.find(issuer)?;
        let endpoints = self.endpoints(provider).await?;
        Ok(ask::address(&endpoints.authorization, &provider.terms, ask))
    }

    /// Redeems what a browser brought back, and checks what comes of it. The caller has found `begun` by
    /// [`Returned::state`], in something that only this browser has.
    ///
    /// # Errors
    /// See [`OidcError`].
    pub async fn redeem(&self, returned: &Returned, begun: &Begun<'_>) -> Result<Proven, OidcError> {
        let provider = self.find(begun.issuer)?;
        let endpoints = self.endpoints(provider).await?;
        let code = returned.code(&provider.issuer.url, endpoints.answers_name_issuer, begun)?;
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", begun.redirect_uri),
            ("code_verifier", begun.code_verifier),
        ];
        let called = self.ask_for_tokens(provider, &endpoints, &pairs, For::Browser).await;
        let tokens = called.map_err(|e| of_redeeming(&provider.issuer.id, e))?;
        let Some(id) = &tokens.id else {
            return Err(OidcError::Untrusted("the provider gave none".to_owned()));
        };
        let now = (self.clock)();
        let expected = Expected {
            issuer: &provider.issuer,
            ring: &provider.ring,
            client_id: &provider.terms.client_id,
            nonce: Some(begun.nonce),
            code: Some(code),
            access: tokens.access.as_ref(),
            must_say_when: begun.demand.max_age.is_some(),
            times: self.times,
            now,
        };
        let mut token = id_token::verify(id, &expected).await.map_err(OidcError::of_token)?;
        let more = self.ask_for_more((provider, For::Browser), &endpoints, &tokens, &mut token).await;
        more.map_err(OidcError::Unavailable)?;
        // One that nobody asked for is not kept, either.
        let refresh = tokens.refresh.filter(|_| provider.terms.revalidate);
        Proven::new(token, &provider.issuer, &provider.terms, &self.times, refresh, now)
            .map_err(OidcError::of_token)
    }

    /// Asks whether the sign-in of a person still stands.
    ///
    /// # Errors
    /// See [`RefreshError`]. What it carries in [`RefreshError::Unavailable`] must be kept in the place of
    /// the old token.
    pub async fn refresh(&self, person: &UserId, token: &Secret) -> Result<Refreshed, RefreshError> {
        let provider = self.find(person.issuer()).map_err(|e| RefreshError::unavailable(e.to_string()))?;
        let endpoints =
            self.endpoints(provider).await.map_err(|e| RefreshError::unavailable(e.to_string()))?;
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
        let tokens = match self.ask_for_tokens(provider, &endpoints, &pairs, For::Session).await {
            Ok(tokens) => tokens,
            Err(e) => return Err(of_refreshing(&provider.issuer.id, e)),
        };
        let rotated = tokens.refresh.clone();
        let unavailable = |why: String| RefreshError::Unavailable { why, rotated: rotated.clone() };
        let Some(id) = &tokens.id else {
            return Refreshed::new(None, &provider.issuer, tokens.refresh).map_err(|e| unavailable(e.detail));
        };
        let expected = Expected {
            issuer: &provider.issuer,
            ring: &provider.ring,
            client_id: &provider.terms.client_id,
            nonce: None,
            code: None,
            access: tokens.access.as_ref(),
            must_say_when: false,
            times: self.times,
            now: (self.clock)(),
        };
        let mut token = id_token::verify(id, &expected).await.map_err(|e| unavailable(e.detail))?;
        if token.subject != *person.subject() {
            return Err(RefreshError::Refused(
                "it speaks of another person than the one who signed in".to_owned(),
            ));
        }
        let more = self.ask_for_more((provider, For::Session), &endpoints, &tokens, &mut token).await;
        more.map_err(unavailable)?;
        Refreshed::new(Some(token), &provider.issuer, tokens.refresh.clone())
            .map_err(|e| unavailable(e.detail))
    }

    /// Gives a refresh token back (RFC 7009), as well as it goes. `Ok(false)`: the provider takes none back.
    ///
    /// # Errors
    /// As [`redeem`](Self::redeem), of the call alone.
    pub async fn revoke(&self, issuer: &IssuerId, token: &Secret) -> Result<bool, OidcError> {
        let provider = self.find(issuer)?;
        let endpoints = self.endpoints(provider).await?;
        let Some(url) = &endpoints.revocation else { return Ok(false) };
        let pairs = [("token", token.expose()), ("token_type_hint", "refresh_token")];
        let _place = place(provider, For::GivingBack).map_err(|e| of_redeeming(&provider.issuer.id, e))?;
        let proof = self.prove(provider, &endpoints).map_err(|e| of_redeeming(&provider.issuer.id, e))?;
        self.caller.post(url, &pairs, &proof).await.map_err(|e| of_redeeming(&provider.issuer.id, e))?;
        Ok(true)
    }

    /// Where a browser is sent to sign out at the provider as well (OpenID Connect RP-Initiated Logout 1.0
    /// §2), when it is known and the provider has such a page. `back` is where it returns to, as registered
    /// there; `who` is the address of the person.
    #[must_use]
    pub fn sign_out_url(
        &self,
        issuer: &IssuerId,
        back: &str,
        state: &str,
        who: Option<&str>,
    ) -> Option<String> {
        let provider = self.find(issuer).ok()?;
        let mut url = provider.whereabouts.known()?.end_session.clone()?;
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("client_id", &provider.terms.client_id)
                .append_pair("post_logout_redirect_uri", back)
                .append_pair("state", state);
            if let Some(who) = who {
                query.append_pair("logout_hint", who);
            }
        }
        Some(url.into())
    }

    /// Learns where the providers are, and again when what is known is old. Runs until it is dropped; no
    /// error ends it.
    pub async fn keep_fresh(self: Arc<Self>) {
        loop {
            for provider in &self.providers {
                // What failed is told where it failed, and stands in the status.
                let _known = provider.whereabouts.renew(&self.clock).await;
            }
            tokio::time::sleep(Duration::from_secs(LOOK_SECONDS)).await;
        }
    }

    /// How each of them stands.
    #[must_use]
    pub fn status(&self) -> Vec<ProviderStatus> {
        let status = |provider: &Provider| ProviderStatus {
            issuer: provider.issuer.id.clone(),
            endpoints_known: provider.whereabouts.known().is_some(),
            last_error: provider.whereabouts.last_error(),
        };
        self.providers.iter().map(status).collect()
    }

    fn find(&self, issuer: &IssuerId) -> Result<&Provider, OidcError> {
        let found = self.providers.iter().find(|p| p.issuer.id == *issuer);
        found.ok_or_else(|| OidcError::NotAProvider(issuer.clone()))
    }

    async fn endpoints(&self, provider: &Provider) -> Result<Arc<Endpoints>, OidcError> {
        provider.whereabouts.get(&self.clock).await.map_err(OidcError::Unavailable)
    }

    fn prove(&self, provider: &Provider, endpoints: &Endpoints) -> Result<Proof, CallError> {
        let Some(random) = (self.random)() else {
            return Err(CallError::Unavailable("there is no randomness".to_owned()));
        };
        let (issuer, token_endpoint) = (provider.issuer.url.as_str(), endpoints.token.as_str());
        client::prove(&provider.terms, issuer, token_endpoint, random, (self.clock)())
            .map_err(CallError::Unavailable)
    }

    async fn ask_for_tokens(
        &self,
        provider: &Provider,
        endpoints: &Endpoints,
        pairs: &[(&str, &str)],
        whom: For,
    ) -> Result<Tokens, CallError> {
        let _place = place(provider, whom)?;
        let proof = self.prove(provider, endpoints)?;
        let body = self.caller.post(&endpoints.token, pairs, &proof).await?;
        Tokens::read(exchange::object(&body, &endpoints.token)?).map_err(CallError::Unavailable)
    }

    /// What the ID token does not say, the userinfo endpoint may (OpenID Connect Core §5.3), when it speaks of
    /// the same `sub` (§5.3.2). What is in the token stays as it is there.
    async fn ask_for_more(
        &self,
        (provider, whom): (&Provider, For),
        endpoints: &Endpoints,
        tokens: &Tokens,
        token: &mut IdToken,
    ) -> Result<(), String> {
        if !provider.terms.userinfo {
            return Ok(());
        }
        let Some(url) = &endpoints.userinfo else { return Err("it has no `userinfo_endpoint`".to_owned()) };
        let Some(access) = &tokens.access else { return Err("it gave no access token".to_owned()) };
        let more = self.userinfo((provider, whom), url, access).await.map_err(|e| match e {
            CallError::Unavailable(why) => why,
            CallError::Refused { said, .. } => format!("`{}` says {said}", shown(url.as_str(), 200)),
        })?;
        if more.get("sub").is_none() || more.get("sub") != token.claims.0.get("sub") {
            return Err("its userinfo endpoint speaks of another person than its ID token".to_owned());
        }
        for (name, value) in more {
            if !OF_THE_TOKEN.contains(&name.as_str()) {
                token.claims.0.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    async fn userinfo(
        &self,
        (provider, whom): (&Provider, For),
        url: &reqwest::Url,
        access: &Secret,
    ) -> Result<Map<String, Value>, CallError> {
        let _place = place(provider, whom)?;
        exchange::object(&self.caller.get(url, access).await?, url)
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&IssuerId> = self.ids().collect();
        f.debug_struct("Providers").field("ids", &ids).finish_non_exhaustive()
    }
}

/// A place among those who call at once. Nobody waits for one: who comes back in such a crowd tries again.
fn place(provider: &Provider, whom: For) -> Result<tokio::sync::SemaphorePermit<'_>, CallError> {
    let (places, most) = match whom {
        For::Browser => (&provider.places.browsers, OIDC_CALLS_MAX),
        For::Session => (&provider.places.sessions, OWN_CALLS_MAX),
        For::GivingBack => (&provider.places.tokens, OWN_CALLS_MAX),
    };
    places.try_acquire().map_err(|_| {
        CallError::Unavailable(format!("{most} calls to `{}` wait for it already", provider.issuer.id))
    })
}
