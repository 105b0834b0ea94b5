//! Bundles that are pulled: from a folder, an address, or the Redis of the fleet.
//!
//! What is pulled is signed by somebody known, later than everything pulled before, and fit to load, or it is refused,
//! loudly, and what is in force stays. A source that is away changes nothing: what it gave last is on the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use doorward_audit::event::PolicyRejection;
use doorward_audit::{Actor, Event};
use doorward_identity::owner_only;
use doorward_model::limits::POLICY_BUNDLE_BYTES_MAX;
use doorward_policy::BundleSource;
use doorward_state::{Board, BoardError};
use doorward_workbench::release::{self, EXTENSION, Trust};
use reqwest::header::{AUTHORIZATION, ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, StatusCode};
use serde_json::json;

use super::force::against;
use super::shelf::{How, Origin, Pulled};
use super::{NotDone, Releases, Wish, short};
use crate::wire::Wired;
use crate::wire::reload::record;

const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// How long Redis may take to tell of the other nodes.
const NODES_MAX: Duration = Duration::from_secs(2);
/// How many files of a folder are looked at.
const FILES_MAX: usize = 256;
/// No token and no list of certificates is longer.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// Pulls, as long as the gateway lives.
pub(in crate::wire) async fn keep_pulling(wired: Arc<Wired>) {
    let Some(source) = wired.config.policy.source.clone() else { return };
    let every = wired.config.policy.pull_every;
    let mut pull = Pull { seen: Vec::new(), etag: None };
    // What stands until something else is there.
    let mut standing: Option<String> = None;
    loop {
        let came = pull.once(&wired, &source).await;
        let told = match came {
            Ok(None) => standing.clone().map_or(Ok(()), |why| Err(Trouble { why, again: false })),
            Ok(Some(came)) => {
                let wired = Arc::clone(&wired);
                let taken = tokio::task::spawn_blocking(move || wired.releases.take(&wired, came)).await;
                taken.unwrap_or_else(|e| {
                    Err(Trouble { why: format!("taking it panicked: {e}"), again: false })
                })
            }
            Err(why) => Err(Trouble { why, again: true }),
        };
        standing = None;
        match &told {
            // Not seen, as far as the next look goes.
            Err(trouble) if trouble.again => (pull.seen, pull.etag) = (Vec::new(), None),
            // The same bytes are refused again, whenever that is: they are not looked at once more.
            Err(trouble) => standing = Some(trouble.why.clone()),
            Ok(()) => {}
        }
        let wired_too = Arc::clone(&wired);
        let told = told.map_err(|trouble| trouble.why);
        // To be on record blocks.
        let _ = tokio::task::spawn_blocking(move || wired_too.releases.note_pull(&wired_too, told)).await;
        if let Some(board) = &wired.releases.board {
            tell_node(&wired, board).await;
        }
        tokio::time::sleep(every).await;
    }
}

/// Why a look came to nothing.
struct Trouble {
    why: String,
    /// The same may come to something at the next look.
    again: bool,
}

/// What came of a look at the source. Of many only the latest is held in memory.
#[derive(Default)]
struct Came {
    /// The latest of those that are genuine, with its sequence.
    latest: Option<(u64, Vec<u8>)>,
    /// Why one of them is refused.
    refused: Option<String>,
}

impl Came {
    fn add(&mut self, packed: Vec<u8>, trust: Trust<'_>) {
        match release::open(&packed, trust) {
            Ok(bundle) => {
                let sequence = bundle.manifest().sequence;
                if self.latest.as_ref().is_none_or(|(last, _)| *last < sequence) {
                    self.latest = Some((sequence, packed));
                }
            }
            Err(e) => self.refused = Some(format!("a bundle is refused: {e}")),
        }
    }
}

/// Says on the board what this node has in force.
async fn tell_node(wired: &Wired, board: &Board) {
    let in_force = wired.house.policies.bundle().revision().to_string();
    let said = json!({
        "in_force": in_force,
        "pulled": wired.releases.pulled().unwrap_or(0),
        "trouble": wired.releases.pull_trouble().map(|why| why.chars().take(300).collect::<String>()),
        "at": (wired.house.clock)().0,
    });
    if let Err(error) = board.say(&wired.config.gateway.node, &said.to_string()).await {
        tracing::debug!(%error, "the other nodes are not told which policies are in force here");
    }
}

/// The bundles of a folder: name, size, time.
type Listing = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// What was seen at the source.
struct Pull {
    /// In a folder.
    seen: Listing,
    /// What the server calls what it gave.
    etag: Option<HeaderValue>,
}

impl Pull {
    /// What there is that was not there before; of it any may be bad.
    async fn once(&mut self, wired: &Arc<Wired>, source: &BundleSource) -> Result<Option<Came>, String> {
        match source {
            BundleSource::Folder(dir) => {
                let (dir, seen, wired) = (dir.clone(), std::mem::take(&mut self.seen), Arc::clone(wired));
                let look = tokio::task::spawn_blocking(move || looked(&dir, &seen, wired.releases.trust()));
                let (now, came) = look.await.map_err(|e| e.to_string())??;
                self.seen = now;
                Ok(came)
            }
            BundleSource::Https { url, token_file, ca_file } => {
                let fetched = self.fetched(url, token_file.as_deref(), ca_file.as_deref()).await?;
                Ok(fetched.map(|packed| one(packed, wired)))
            }
            BundleSource::Redis => {
                let Some(board) = &wired.releases.board else {
                    return Err(
                        "`[revocation.redis]` is not configured: this node belongs to no fleet".to_owned()
                    );
                };
                let published = board.sequence().await.map_err(|e| e.to_string())?;
                let have = wired.releases.have()?;
                if published.is_none_or(|sequence| sequence <= have.sequence)
                    && wired.releases.fallen().is_none()
                {
                    return Ok(None);
                }
                Ok(board.bundle().await.map_err(|e| e.to_string())?.map(|packed| one(packed, wired)))
            }
        }
    }

    async fn fetched(
        &mut self,
        url: &str,
        token_file: Option<&Path>,
        ca_file: Option<&Path>,
    ) -> Result<Option<Vec<u8>>, String> {
        // Made anew each time: the files may be other ones by now.
        let mut request = client(ca_file)?.get(url);
        // From here on it is only said.
        let url = shown(url);
        if let Some(file) = token_file {
            let bytes = owner_only::read(file, SMALL_BYTES_MAX).map_err(|e| e.to_string())?;
            let token = [b"Bearer ".as_slice(), bytes.trim_ascii()].concat();
            let mut bearer = HeaderValue::from_bytes(&token)
                .map_err(|_| format!("`{}` holds no token that fits into a header", file.display()))?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        if let Some(etag) = &self.etag {
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
        self.etag = etag;
        Ok(Some(bytes))
    }
}

fn one(packed: Vec<u8>, wired: &Wired) -> Came {
    let mut came = Came::default();
    came.add(packed, wired.releases.trust());
    came
}

/// What is in a folder, and what came of looking at it: nothing where it is as it was seen. One file after the other, so
/// that whoever may write there cannot fill the memory.
fn looked(dir: &Path, seen: &Listing, trust: Trust<'_>) -> Result<(Listing, Option<Came>), String> {
    let now = listing(dir)?;
    if now == *seen {
        return Ok((now, None));
    }
    let mut came = Came::default();
    for (path, ..) in &now {
        match bounded(path) {
            Ok(packed) => came.add(packed, trust),
            Err(why) => came.refused = Some(why),
        }
    }
    Ok((now, Some(came)))
}

fn client(ca_file: Option<&Path>) -> Result<Client, String> {
    let mut builder = Client::builder()
        .no_proxy()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .timeout(ANSWER_MAX);
    if let Some(file) = ca_file {
        let wrong = |why: String| format!("`{}` holds no certificates: {why}", file.display());
        let pem = fs::File::open(file).and_then(|file| {
            let mut pem = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(file, SMALL_BYTES_MAX), &mut pem)?;
            Ok(pem)
        });
        let pem = pem.map_err(|e| wrong(e.to_string()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.to_string()))?;
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|e| format!("cannot make a request: {}", root_cause(&e)))
}

/// An address as it is told: what stands behind it may be a secret that opens it.
fn shown(url: &str) -> String {
    match url.split_once(['?', '#']) {
        Some((address, _)) => format!("{address}?…"),
        None => url.to_owned(),
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// The bundles of a folder, by name.
fn listing(dir: &Path) -> Result<Listing, String> {
    let unreadable = |e: std::io::Error| format!("`{}` cannot be read: {e}", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        // A link that leads nowhere is none that hides the others.
        match fs::metadata(&path) {
            Ok(facts) if facts.is_file() => files.push((path, facts.len(), facts.modified().ok())),
            Ok(_) => {}
            Err(error) => tracing::warn!(file = %path.display(), %error, "this bundle cannot be read"),
        }
        if files.len() > FILES_MAX {
            return Err(format!("`{}` has more than {FILES_MAX} bundles: remove old ones", dir.display()));
        }
    }
    files.sort();
    Ok(files)
}

fn bounded(file: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let unreadable = |e: std::io::Error| format!("`{}` cannot be read: {e}", file.display());
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(unreadable)?;
    opened.take(POLICY_BUNDLE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

impl Releases {
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
        self.answered_for(wired, &kept, wish)?;
        let packed = self.shelf.packed(revision).map_err(|e| NotDone::Failed(e.to_string()))?;
        release::open(&packed, self.trust())?;
        let published = wired.runtime.block_on(board.publish(kept.sequence, &packed));
        published.map(|()| kept.sequence).map_err(|error| match error {
            BoardError::Older | BoardError::TooLarge => NotDone::Conflict(error.to_string()),
            BoardError::Unavailable(_) | BoardError::Damaged(_) => NotDone::Failed(error.to_string()),
        })
    }

    /// What every node of the fleet says that it has; none without a fleet.
    pub(super) fn nodes(&self, wired: &Wired) -> Option<Result<Vec<(String, String)>, String>> {
        let board = self.board.as_ref()?;
        let said = wired.runtime.block_on(async { tokio::time::timeout(NODES_MAX, board.said()).await });
        Some(
            said.map_or_else(
                |_| Err("Redis does not answer".to_owned()),
                |said| said.map_err(|e| e.to_string()),
            ),
        )
    }

    /// What was pulled last.
    fn have(&self) -> Result<Pulled, String> {
        // Without it, what is older would count as new.
        self.shelf
            .pulled()
            .map_err(|e| format!("what was pulled last cannot be read, so nothing is taken: {e}"))
    }

    /// Takes the latest of what came, if it is later than what was pulled before, or if that was lost.
    ///
    /// # Errors
    /// Why one of them is refused, or the latest not put in force.
    fn take(&self, wired: &Wired, came: Came) -> Result<(), Trouble> {
        let Some((sequence, packed)) = came.latest else {
            return came.refused.map_or(Ok(()), |why| Err(Trouble { why, again: false }));
        };
        let pulled = self.have().map_err(|why| Trouble { why, again: true })?;
        let bundle = release::open(&packed, self.trust());
        let bundle =
            bundle.map_err(|e| Trouble { why: format!("a bundle is refused: {e}"), again: false })?;
        let revision = bundle.manifest().revision.clone();
        let is_same = (sequence, &revision) == (pulled.sequence, &pulled.revision);
        if sequence > pulled.sequence || (is_same && self.fallen().is_some()) {
            self.hold(wired, &packed, &Actor::Gateway, Origin::Pulled).map_err(|e| Trouble {
                why: format!("bundle {sequence} is refused: {e}{}", mistakes(&e)),
                again: may_change(&e),
            })?;
            let wish =
                Wish { actor: Actor::Gateway, how: How::Pulled, cause: None, found: None, anyway: false };
            self.put_in_force(wired, &revision, &wish, None).map_err(|e| Trouble {
                why: format!("bundle {sequence} is not put in force: {e}"),
                again: may_change(&e),
            })?;
            self.shelf.set_pulled(&Pulled { sequence, revision }).map_err(|e| Trouble {
                why: format!("that bundle {sequence} was pulled cannot be noted: {e}"),
                again: true,
            })?;
        } else if !is_same {
            let why = format!(
                "bundle {sequence} ({}) is refused: {} was pulled before, and what is older does not come back",
                short(&revision),
                pulled.sequence
            );
            return Err(Trouble { why, again: false });
        }
        came.refused.map_or(Ok(()), |why| Err(Trouble { why, again: false }))
    }

    /// Why the last pull came to nothing.
    pub(in crate::wire) fn pull_trouble(&self) -> Option<String> {
        self.pulling.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a pull came to. What is wrong is told once, and again when it is something else.
    fn note_pull(&self, wired: &Wired, told: Result<(), String>) {
        let before = {
            let mut trouble = self.pulling.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *trouble, told.as_ref().err().cloned())
        };
        match told {
            Ok(()) if before.is_some() => tracing::info!("the source of policies is well again"),
            Ok(()) => {}
            Err(why) if before.as_ref() == Some(&why) => {}
            Err(why) => {
                let in_force = wired.house.policies.bundle().revision().to_string();
                tracing::error!(in_force, why, "no policies could be pulled; the old ones stay in force");
                let rejection = PolicyRejection {
                    actor: Actor::Gateway,
                    in_force: Some(in_force.into()),
                    source: "policy.source".to_owned(),
                    mistakes: vec![why],
                };
                record(wired, Event::PolicyRejected(Box::new(rejection)));
            }
        }
    }
}

/// Whether the same bundle may be taken at another look.
const fn may_change(error: &NotDone) -> bool {
    match error {
        NotDone::Refused(_) | NotDone::Unfit(_) => false,
        NotDone::Unknown(_) | NotDone::Blocked(_) | NotDone::Conflict(_) | NotDone::Failed(_) => true,
    }
}

/// The first of what is wrong with the policies of a bundle.
fn mistakes(error: &NotDone) -> String {
    match error {
        NotDone::Unfit(failure) => {
            failure.findings.first().map(|finding| format!(": {finding}")).unwrap_or_default()
        }
        NotDone::Unknown(_)
        | NotDone::Refused(_)
        | NotDone::Blocked(_)
        | NotDone::Conflict(_)
        | NotDone::Failed(_) => String::new(),
    }
}
