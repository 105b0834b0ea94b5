//! What the client gets for a code or a refresh token (RFC 6749 §5, OpenID Connect Core 1.0 §3.1.3, §12).

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::{ProviderError, SignIn, encode, random_id};
use super::asked::{Pairs, one};
use super::memory::SignedIn;
use super::{CLIENT_ID, Desk};

/// How long a code is good for.
const CODE_SECONDS: u64 = 60;
/// How long an ID token is good for.
const ID_TOKEN_SECONDS: i64 = 600;

/// Why there are no tokens (RFC 6749 §5.2).
#[derive(Debug)]
pub(super) enum NoTokens {
    /// The request does not prove that it is the client's.
    Client,
    /// The code or the refresh token is good for nothing: `invalid_grant`.
    Grant(&'static str),
    /// Anything else about the request.
    Request(&'static str),
    /// The desk's own fault.
    Broken(ProviderError),
}

impl From<ProviderError> for NoTokens {
    fn from(error: ProviderError) -> Self {
        Self::Broken(error)
    }
}

impl Desk {
    /// Answers the token endpoint.
    pub(super) fn tokens(&self, authorization: Option<&str>, form: &Pairs) -> Result<Value, NoTokens> {
        self.prove_client(authorization)?;
        let first = |name: &str| one(form, name).map_err(|()| NoTokens::Request("it has a parameter twice"));
        match first("grant_type")? {
            Some("authorization_code") => {
                let code = first("code")?.unwrap_or_default();
                let verifier = first("code_verifier")?.unwrap_or_default();
                self.redeem(code, verifier, first("redirect_uri")?)
            }
            Some("refresh_token") => self.refresh(first("refresh_token")?.unwrap_or_default()),
            Some(_) | None => Err(NoTokens::Request("its `grant_type` is not one of ours")),
        }
    }

    /// A refresh token is given back (RFC 7009 §2).
    pub(super) fn give_back(&self, authorization: Option<&str>, form: &Pairs) -> Result<(), NoTokens> {
        self.prove_client(authorization)?;
        let token = one(form, "token").map_err(|()| NoTokens::Request("it has a parameter twice"))?;
        drop(self.memory().refresh.take(token.unwrap_or_default()));
        Ok(())
    }

    /// `client_secret_basic`. Neither the id nor the secret has a character that form-encoding changes.
    fn prove_client(&self, authorization: Option<&str>) -> Result<(), NoTokens> {
        let said = authorization.and_then(|line| STANDARD.decode(line.strip_prefix("Basic ")?).ok());
        let meant = format!("{CLIENT_ID}:{}", self.inner.secret);
        match said {
            Some(said) if verify_slices_are_equal(&said, meant.as_bytes()).is_ok() => Ok(()),
            Some(_) | None => Err(NoTokens::Client),
        }
    }

    fn redeem(&self, code: &str, verifier: &str, redirect_uri: Option<&str>) -> Result<Value, NoTokens> {
        let code =
            self.memory().codes.take(code).ok_or(NoTokens::Grant("the code is not known, or was used"))?;
        if self.now().since(code.signed_in.at) > Duration::from_secs(CODE_SECONDS) {
            return Err(NoTokens::Grant("the code is too old"));
        }
        if redirect_uri != Some(self.inner.redirect_uri.as_str()) {
            return Err(NoTokens::Grant("the code was given for another `redirect_uri`"));
        }
        if encode(digest(&SHA256, verifier.as_bytes())) != code.challenge {
            return Err(NoTokens::Grant("`code_verifier` does not fit the code"));
        }
        self.answer(code.signed_in, Some(&code.nonce), code.offline)
    }

    /// The old one is good for nothing from here on.
    fn refresh(&self, token: &str) -> Result<Value, NoTokens> {
        let signed_in = self.memory().refresh.take(token);
        let signed_in =
            signed_in.ok_or(NoTokens::Grant("the refresh token is not known, was used, or was ended"))?;
        self.answer(signed_in, None, true)
    }

    fn answer(&self, signed_in: SignedIn, nonce: Option<&str>, offline: bool) -> Result<Value, NoTokens> {
        let id_token = self.inner.provider.signed("JWT", &self.id_claims(&signed_in, nonce)?)?;
        let access_token = random_id().map_err(ProviderError::from)?;
        let mut answer = serde_json::Map::from_iter([
            ("id_token".to_owned(), json!(id_token)),
            ("access_token".to_owned(), json!(access_token)),
            ("token_type".to_owned(), json!("Bearer")),
            ("expires_in".to_owned(), json!(ID_TOKEN_SECONDS)),
        ]);
        if offline {
            let token = random_id().map_err(ProviderError::from)?;
            answer.insert("refresh_token".to_owned(), json!(token));
            self.memory().refresh.put(token, signed_in);
        }
        Ok(Value::Object(answer))
    }

    /// What an access token says of the person, for the client, and with what they proved.
    fn id_claims(&self, signed_in: &SignedIn, nonce: Option<&str>) -> Result<Value, ProviderError> {
        let how = SignIn { session: Some(signed_in.session.clone()), ..SignIn::of(signed_in.person.name) };
        let mut claims = self.inner.provider.claims(&how)?;
        let own = json!({
            "aud": CLIENT_ID,
            "exp": self.now().seconds().saturating_add(ID_TOKEN_SECONDS),
            "auth_time": signed_in.at.seconds(),
            "acr": signed_in.proof.acr(),
            "amr": signed_in.proof.amr(),
        });
        if let (Some(claims), Value::Object(own)) = (claims.as_object_mut(), own) {
            claims.remove("client_id");
            claims.extend(own);
            claims.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        }
        Ok(claims)
    }
}
