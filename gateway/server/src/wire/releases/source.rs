//! Bundles that are pulled: from a folder, an address, or the Redis of the fleet.
//!
//! What is pulled is signed by somebody known, later than everything pulled before, and fit to load, or it is refused,
//! loudly, and what is in force stays. A source that is away changes nothing: what it gave last is on the disk.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_identity::owner_only;
use doorward_model::limits::{
    OPERATOR_FLEET_MILLIS, POLICY_BUNDLE_BYTES_MAX, POLICY_SOURCE_AGAIN_SECONDS_MAX,
    POLICY_SOURCE_ANSWER_SECONDS_MAX, POLICY_SOURCE_CONNECT_SECONDS_MAX, POLICY_SOURCE_SECRET_BYTES_MAX,
};
use doorward_policy::{BundleSource, SourceUrl, Workshop};
use doorward_state::{Board, BoardError};
use doorward_workbench::release::{self, Attestation, Outcome};
use reqwest::header::{AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, StatusCode};
use serde_json::json;

use super::force::{against, softened};
use super::looked::{Looked, Nothing};
use super::pulled::{Listing, Offer, listing};
use super::rollout::{owe, tell_published};
use super::shelf::Pulled;
use super::{Kept, NotDone, Releases, Wish};
use crate::wire::Wired;

/// Pulls, and tells the other nodes what is in force here, as long as the gateway lives.
pub(in crate::wire) async fn keep_pulling(wired: Arc<Wired>) {
    let source = wired.config.policy.source.clone();
    if source.is_none() && wired.releases.board.is_none() {
        return;
    }
    let every = wired.config.policy.pull_every;
    let looks = POLICY_SOURCE_AGAIN_SECONDS_MAX / every.as_secs().max(1);
    let mut pull = Pull { looked: Looked::new(u32::try_from(looks).unwrap_or(u32::MAX)) };
    loop {
        if let Some(source) = &source {
            let told = pull.look(&wired, source).await;
            let wired_too = Arc::clone(&wired);
            // To be on record blocks.
            let _ = tokio::task::spawn_blocking(move || wired_too.releases.note_pull(&wired_too, told)).await;
        }
        if let Some(board) = &wired.releases.board {
            tell_node(&wired, board).await;
        }
        tokio::time::sleep(every).await;
    }
}

/// Says on the board what this node has in force.
async fn tell_node(wired: &Wired, board: &Board) {
    let in_force = wired.house.policies.bundle().revision().to_string();
    let said = json!({
        "in_force": in_force,
        "pulled": wired.releases.pulled(),
        "trouble": wired.releases.pull_trouble().map(|why| why.chars().take(300).collect::<String>()),
        "at": (wired.house.clock)().0,
    });
    if let Err(error) = board.say(&wired.config.gateway.node, &said.to_string()).await {
        tracing::debug!(%error, "the other nodes are not told which policies are in force here");
    }
}

/// What there was at a source, as far as that can be told without reading it.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Folder(Listing),
    /// What the server calls what it gave.
    Https(Option<HeaderValue>),
    /// The sequence that is published.
    Redis(u64),
}

/// Looks at a source.
struct Pull {
    looked: Looked<Seen>,
}

impl Pull {
    /// Takes what there is that was not there before.
    async fn look(&mut self, wired: &Arc<Wired>, source: &BundleSource) -> Result<(), String> {
        self.looked.begin(&wired.house.policies.bundle().revision().to_string());
        // Where nobody can tell what was pulled, nobody can tell what is older.
        let pulled =
            wired.releases.shelf.pulled().map_err(|e| format!("what was pulled cannot be told: {e}"))?;
        let Some((seen, offer)) = self.offered(wired, source, &pulled).await? else {
            return self.looked.came();
        };
        let (wired, put_off) = (Arc::clone(wired), self.looked.put_off());
        let take = move || wired.releases.take(&wired, offer, put_off.as_ref());
        let came = tokio::task::spawn_blocking(take).await.unwrap_or_else(|e| {
            let why = format!("taking it panicked: {e}");
            Err(Nothing { why, tried: None })
        });
        self.looked.end(seen, came)
    }

    /// What there is; none where there is nothing that was not looked at.
    async fn offered(
        &mut self,
        wired: &Wired,
        source: &BundleSource,
        pulled: &Pulled,
    ) -> Result<Option<(Seen, Offer)>, String> {
        match source {
            BundleSource::Folder(dir) => {
                let dir = dir.clone();
                let listed = tokio::task::spawn_blocking(move || listing(&dir)).await;
                let seen = Seen::Folder(listed.map_err(|e| e.to_string())??);
                if self.looked.seen() == Some(&seen) {
                    return Ok(None);
                }
                let Seen::Folder(files) = &seen else { return Ok(None) };
                let offer =
                    Offer::Files(files.iter().map(|(path, bytes, _)| (path.clone(), *bytes)).collect());
                Ok(Some((seen, offer)))
            }
            BundleSource::Https { url, token_file, ca_file } => {
                let fetched = self.fetched(url, token_file.as_deref(), ca_file.as_deref()).await?;
                Ok(fetched.map(|(etag, bytes)| (Seen::Https(etag), Offer::Bytes(bytes))))
            }
            BundleSource::Redis => {
                let Some(board) = &wired.releases.board else {
                    return Err(
                        "`[revocation.redis]` is not configured: this node belongs to no fleet".to_owned()
                    );
                };
                let missed = wired.releases.is_missed(wired, pulled);
                let is_new = |s: &u64| *s > pulled.sequence || (missed && *s == pulled.sequence);
                let published = board.sequence().await.map_err(|e| e.to_string())?;
                let Some(sequence) = published.filter(is_new) else {
                    self.looked.nothing();
                    return Ok(None);
                };
                if self.looked.seen() == Some(&Seen::Redis(sequence)) {
                    return Ok(None);
                }
                let bundle = board.bundle().await.map_err(|e| e.to_string())?;
                Ok(bundle.map(|bundle| (Seen::Redis(sequence), Offer::Bytes(bundle))))
            }
        }
    }

    async fn fetched(
        &self,
        url: &SourceUrl,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Option<(Option<HeaderValue>, Vec<u8>)>, String> {
        // Made anew each time: the files may be other ones by now.
        let mut request = client(ca_file)?.get(url.expose());
        if let Some(file) = token_file {
            let bytes = owner_only::read(file, POLICY_SOURCE_SECRET_BYTES_MAX).map_err(|e| e.to_string())?;
            let token = [b"Bearer ".as_slice(), bytes.trim_ascii()].concat();
            let mut bearer = HeaderValue::from_bytes(&token)
                .map_err(|_| format!("`{}` holds no token that fits into a header", file.display()))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(Seen::Https(Some(etag))) = self.looked.seen() {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let told = |e: reqwest::Error| format!("`{url}` does not answer: {}", root_cause(&e.without_url()));
        let mut response = request.send().await.map_err(told)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(None),
            status if status.is_redirection() => {
                return Err(format!(
                    "`{url}` answered {status}: name the address itself, redirects are not followed"
                ));
            }
            status => return Err(format!("`{url}` answered {status}")),
        }
        let etag = response.headers().get(ETAG).cloned();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() as u64 > POLICY_BUNDLE_BYTES_MAX {
                return Err(format!("`{url}` gives more than {POLICY_BUNDLE_BYTES_MAX} bytes"));
            }
        }
        Ok(Some((etag, bytes)))
    }
}

fn client(ca_file: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(POLICY_SOURCE_CONNECT_SECONDS_MAX))
        .timeout(Duration::from_secs(POLICY_SOURCE_ANSWER_SECONDS_MAX));
    if let Some(file) = ca_file {
        let wrong = |why: String| format!("`{}` holds no certificates: {why}", file.display());
        let pem = fs::File::open(file).and_then(|file| {
            let mut pem = Vec::new();
            file.take(POLICY_SOURCE_SECRET_BYTES_MAX).read_to_end(&mut pem)?;
            Ok(pem)
        });
        let pem = pem.map_err(|e| wrong(e.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|e| format!("cannot make a request: {}", root_cause(&e)))
}

/// Why red lines that must be known to hold are not: no proof came, or one that failed, which is none.
fn no_proof(results: &[Attestation], blocking: usize) -> Option<String> {
    let proofs: Vec<_> = results.iter().filter(|result| result.name == "prove").collect();
    let why = if proofs.is_empty() {
        "no proof came with the bundle"
    } else if proofs.iter().any(|proof| proof.outcome == Outcome::Failed) {
        "the proof that came with the bundle failed"
    } else {
        return None;
    };
    let lines = match blocking {
        0 => return None,
        1 => "1 red line".to_owned(),
        more => format!("{more} red lines"),
    };
    Some(format!("prove: {lines} must be known to hold, and {why}"))
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl Releases {
    /// What nobody proved of a bundle that is for every node: what it says itself that must be known, for not to have
    /// looked is not to know, and what it leaves out or softens of the red lines in force. With a proof its word
    /// counts ([`against`]).
    fn unproved(&self, wired: &Wired, kept: &Kept) -> Result<Vec<String>, NotDone> {
        let folder = self.shelf.policies_of(&kept.revision);
        let shop = Workshop::untried(&folder, None).map_err(NotDone::Unfit)?;
        let blocking = shop.red_lines().iter().filter(|line| line.unknown_blocks()).count();
        let mut stands: Vec<String> = no_proof(&kept.results, blocking).into_iter().collect();
        stands.extend(softened(&wired.house.policies.bundle(), shop.bundle()));
        Ok(stands)
    }

    /// Puts a bundle that is held on the board, for every node that pulls from there.
    ///
    /// # Errors
    /// Why it is not there.
    pub(in crate::wire) fn publish(
        &self,
        wired: &Wired,
        revision: &str,
        wish: &Wish,
    ) -> Result<u64, NotDone> {
        let Some(board) = &self.board else {
            let why = "this node belongs to no fleet: `[revocation.redis]` is not configured";
            return Err(NotDone::Conflict(why.to_owned()));
        };
        let kept = self.shelf.kept(revision).ok_or_else(|| NotDone::Unknown(revision.to_owned()))?;
        if kept.signed_by.is_empty() {
            // No node takes one that nobody signed.
            return Err(NotDone::Refused(release::Refused::Unsigned));
        }
        let against = against(&kept);
        if !against.is_empty() && wish.anyway {
            // An override is somebody's word here. Another node takes nobody's but that of whoever signs.
            let why = format!("no node would take it: {}", against.join("; "));
            return Err(NotDone::Conflict(format!("{why}; an override is for one node: roll it out there")));
        }
        let known = wired.runtime.block_on(board.sequence()).map_err(|e| NotDone::Failed(e.to_string()))?;
        if let Some(known) = known.filter(|known| *known > kept.sequence) {
            let (older, this) = (BoardError::Older, kept.sequence);
            return Err(NotDone::Conflict(format!("{older}: {known} is, and this is {this}")));
        }
        self.answered_for(wired, &kept, wish, &[])?;
        let unproved = self.unproved(wired, &kept)?;
        let owed = match (&wish.cause, wish.anyway) {
            _ if unproved.is_empty() => None,
            (Some(cause), true) => Some(cause),
            (None, _) | (Some(_), false) => return Err(NotDone::Blocked(unproved)),
        };
        let packed = self.shelf.packed(revision).map_err(|e| NotDone::Failed(e.to_string()))?;
        let opened = release::open(&packed, self.trust())?;
        let said = opened.manifest();
        if (&said.revision, said.sequence, &said.results) != (&kept.revision, kept.sequence, &kept.results) {
            return Err(NotDone::Failed("its file on the disk is that of another bundle".to_owned()));
        }
        // Before it is there, so that nothing is published for which nobody answers; and after everything that may
        // keep it from being published but Redis itself, so that nobody answers for nothing.
        if let Some(cause) = owed {
            owe(wired, &kept, &unproved, cause, &wish.actor)?;
        }
        let published = wired.runtime.block_on(board.publish(kept.sequence, &packed));
        published.map_err(|error| match error {
            BoardError::Older | BoardError::TooLarge => NotDone::Conflict(error.to_string()),
            BoardError::Unavailable(_) | BoardError::Damaged(_) => NotDone::Failed(error.to_string()),
        })?;
        tell_published(wired, &kept, wish);
        Ok(kept.sequence)
    }

    /// What every node of the fleet says that it has; none without a fleet.
    pub(super) fn nodes(&self, wired: &Wired) -> Option<Result<Vec<(String, String)>, String>> {
        let board = self.board.as_ref()?;
        let said = wired.runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(OPERATOR_FLEET_MILLIS), board.said()).await
        });
        Some(
            said.map_or_else(
                |_| Err("Redis does not answer".to_owned()),
                |said| said.map_err(|e| e.to_string()),
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_no_proof_and_neither_is_nothing() {
        let result = |name: &str, outcome| Attestation {
            name: name.to_owned(),
            outcome,
            detail: String::new(),
            blocking: Vec::new(),
        };
        let [held, failed] = [Outcome::Held, Outcome::Failed].map(|outcome| result("prove", outcome));
        let (unknown, check) = (result("prove", Outcome::Unknown), result("check", Outcome::Held));
        let told = |results: &[Attestation], blocking| no_proof(results, blocking).unwrap_or_default();
        assert_eq!(told(std::slice::from_ref(&held), 3), "");
        // What nobody knows of and must be known stands against it by its name.
        assert_eq!(told(&[check.clone(), unknown], 3), "");
        for (results, why) in [
            (vec![], "no proof came with the bundle"),
            (vec![check], "no proof came with the bundle"),
            (vec![failed.clone()], "the proof that came with the bundle failed"),
            (vec![held, failed], "the proof that came with the bundle failed"),
        ] {
            assert_eq!(told(&results, 2), format!("prove: 2 red lines must be known to hold, and {why}"));
            assert_eq!(told(&results, 0), "", "there is nothing to prove");
        }
    }
}
