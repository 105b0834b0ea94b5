//! How we prove to a provider that we are its client (RFC 6749 §2.3.1, RFC 7523 §2.2).

use std::fmt;
use std::path::Path;

use doorward_model::{Complaint, KeyPath};
use jsonwebtoken::{Algorithm, EncodingKey};

use super::{Secret, SignInSection, is_word, secret, shown};

/// How we prove who we are.
#[derive(Debug, Clone)]
pub(crate) enum ClientAuth {
    /// With a secret in the header `Authorization`.
    Basic(Secret),
    /// With a secret in the body.
    Post(Secret),
    /// With a signature.
    Key(Assertion),
}

/// What signs for us. Its `Debug` shows nothing of the key.
#[derive(Clone)]
pub(crate) struct Assertion {
    pub(crate) key: EncodingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    /// It is made for the issuer, and not for the token endpoint.
    pub(crate) for_issuer: bool,
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assertion").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

pub(super) fn client_auth(
    written: &SignInSection,
    at: &KeyPath,
    base_dir: &Path,
    complaints: &mut Vec<Complaint>,
) -> Option<ClientAuth> {
    let (secret, key) = (written.client_secret_file.as_deref(), written.client_key_file.as_deref());
    let how = written.client_auth.as_deref().unwrap_or(if key.is_some() { "key" } else { "basic" });
    let (file, other) = match how {
        "basic" | "post" => (("client_secret_file", secret), ("client_key_file", key.is_some())),
        "key" => (("client_key_file", key), ("client_secret_file", secret.is_some())),
        unknown => {
            complaints.push(Complaint::new(
                at.key("client_auth"),
                format!("`{}` is no way to prove who we are", shown(unknown, 40)),
                "choose `basic` or `post` with `client_secret_file`, or `key` with `client_key_file`",
            ));
            return None;
        }
    };
    if other.1 {
        complaints.push(Complaint::new(
            at.key(other.0),
            format!("`{}` has no use with `client_auth = \"{how}\"`", other.0),
            "keep the one that the provider knows",
        ));
        return None;
    }
    let for_key_alone = [
        ("client_key_id", written.client_key_id.is_some()),
        ("client_key_audience", written.client_key_audience.is_some()),
    ];
    if let Some((name, _)) = for_key_alone.iter().find(|(_, is_written)| *is_written && how != "key") {
        complaints.push(Complaint::new(
            at.key(name),
            format!("`{name}` has no use without `client_key_file`"),
            "take it out",
        ));
        return None;
    }
    let (name, Some(file)) = file else {
        complaints.push(Complaint::new(
            at.clone(),
            format!("the sign-in has no `{}`", file.0),
            "a provider must know that it is this gateway that redeems a code: write where the secret or the key \
             lies; only its owner may read the file",
        ));
        return None;
    };
    let at_file = at.key(name);
    let file = base_dir.join(file);
    match how {
        "key" => assertion(written, &file, at, &at_file, complaints).map(ClientAuth::Key),
        _ => match secret::read_line(&file) {
            Ok(secret) if how == "post" => Some(ClientAuth::Post(secret)),
            Ok(secret) => Some(ClientAuth::Basic(secret)),
            Err(e) => {
                complaints.push(Complaint::new(at_file, e.to_string(), e.help()));
                None
            }
        },
    }
}

fn assertion(
    written: &SignInSection,
    file: &Path,
    at: &KeyPath,
    at_file: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Assertion> {
    let for_issuer = match written.client_key_audience.as_deref() {
        None | Some("token_endpoint") => false,
        Some("issuer") => true,
        Some(other) => {
            complaints.push(Complaint::new(
                at.key("client_key_audience"),
                format!("`{}` is not whom a proof can be made for", shown(other, 40)),
                "choose `token_endpoint` (the default) or `issuer`, as the provider wants it",
            ));
            return None;
        }
    };
    let key_id = written.client_key_id.clone();
    if let Some(id) = key_id.as_deref().filter(|id| !is_word(id)) {
        complaints.push(Complaint::new(
            at.key("client_key_id"),
            format!("`{}` is not the name of a key", shown(id, 60)),
            "write the `kid` under which the provider has the public half",
        ));
        return None;
    }
    let pem = match secret::read_text(file) {
        Ok(pem) => pem,
        Err(e) => {
            complaints.push(Complaint::new(at_file.clone(), e.to_string(), e.help()));
            return None;
        }
    };
    let Some((key, algorithm)) = signer(pem.expose().as_bytes()) else {
        complaints.push(Complaint::new(
            at_file.clone(),
            format!("`{}` has no private key that can sign", file.display()),
            "write one key in PEM form (`BEGIN PRIVATE KEY`): P-256, Ed25519, or RSA of 2048 bits or more",
        ));
        return None;
    };
    Some(Assertion { key, algorithm, key_id, for_issuer })
}

/// The key and what it signs with, found by signing once.
fn signer(pem: &[u8]) -> Option<(EncodingKey, Algorithm)> {
    let kinds = [
        (EncodingKey::from_ec_pem(pem), Algorithm::ES256),
        (EncodingKey::from_ed_pem(pem), Algorithm::EdDSA),
        (EncodingKey::from_rsa_pem(pem), Algorithm::RS256),
    ];
    kinds.into_iter().find_map(|(key, algorithm)| {
        let key = key.ok()?;
        jsonwebtoken::crypto::sign(b"doorward", &key, algorithm).ok().map(|_| (key, algorithm))
    })
}
