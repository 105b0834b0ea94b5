//! What a source offers: which of it is the latest, and what becomes of that.
//!
//! Whoever may write at the source is trusted with nothing, so one bundle at a time is in memory besides the latest,
//! and how much is read in all is bounded.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::SystemTime;

use doorward_audit::event::PolicyRejection;
use doorward_audit::{Actor, Event};
use doorward_model::limits::{POLICY_BUNDLE_BYTES_MAX, POLICY_SOURCE_BYTES_MAX, POLICY_SOURCE_FILES_MAX};
use doorward_workbench::release::{self, EXTENSION, Trust};
use rustix::fs::OFlags;

use super::looked::{Name, Nothing};
use super::shelf::{How, Kept, Origin, Pulled};
use super::{NotDone, Releases, Wish, short};
use crate::wire::Wired;
use crate::wire::reload::record;

/// The bundles of a folder: name, size, time.
pub(super) type Listing = Vec<(PathBuf, u64, Option<SystemTime>)>;

/// What there is at a source. Any of it may be bad.
#[derive(Debug)]
pub(super) enum Offer {
    /// Files, and how large each was when it was seen.
    Files(Vec<(PathBuf, u64)>),
    /// One bundle.
    Bytes(Vec<u8>),
}

/// The bundle with the highest sequence, of those that are signed by somebody known.
#[derive(Debug)]
struct Latest {
    name: Name,
    /// The known keys that signed it.
    signed_by: Vec<String>,
    packed: Vec<u8>,
}

/// The bundles of a folder, by name.
pub(super) fn listing(dir: &Path) -> Result<Listing, String> {
    let unreadable = |e: io::Error| format!("`{}` cannot be read: {e}", dir.display());
    let (mut files, mut bytes) = (Vec::new(), 0_u64);
    for entry in fs::read_dir(dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        match fs::metadata(&path) {
            Ok(facts) if facts.is_file() => {
                // One that is too large is not read, and is told of when it is looked at.
                bytes += if facts.len() <= POLICY_BUNDLE_BYTES_MAX { facts.len() } else { 0 };
                files.push((path, facts.len(), facts.modified().ok()));
            }
            Ok(_) => {}
            // The others can be read all the same; this one is told of when it is looked at.
            Err(_) => files.push((path, 0, None)),
        }
        if files.len() > POLICY_SOURCE_FILES_MAX || bytes > POLICY_SOURCE_BYTES_MAX {
            return Err(format!(
                "`{}` has more than {POLICY_SOURCE_FILES_MAX} bundles, or more than {} MiB of them: remove old ones",
                dir.display(),
                POLICY_SOURCE_BYTES_MAX / (1024 * 1024)
            ));
        }
    }
    files.sort();
    Ok(files)
}

/// As much of a file as it had when it was seen: what is written to it meanwhile is for the next look.
fn bounded(file: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    let unreadable = |e: io::Error| format!("`{}` cannot be read: {e}", file.display());
    if bytes_max > POLICY_BUNDLE_BYTES_MAX {
        return Err(format!("`{}` is larger than {POLICY_BUNDLE_BYTES_MAX} bytes", file.display()));
    }
    // What is no file by now, such as a pipe to which nobody writes, is not waited for.
    let no_wait = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(no_wait).open(file).map_err(unreadable)?;
    if !opened.metadata().map_err(unreadable)?.is_file() {
        return Err(format!("`{}` is no file", file.display()));
    }
    let mut bytes = Vec::new();
    opened.take(bytes_max).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// The latest of what is offered, and why something of it is refused. One is in memory at a time, and the latest.
fn latest(offer: Offer, trust: Trust<'_>) -> (Option<Latest>, Option<String>) {
    let (mut latest, mut refused) = (None::<Latest>, None);
    let mut look = |read: Result<Vec<u8>, String>| match read {
        Ok(packed) => match release::open(&packed, trust).map(|bundle| {
            let manifest = bundle.manifest();
            let signed_by: Vec<_> = bundle.signed_by().iter().map(ToString::to_string).collect();
            ((manifest.sequence, manifest.revision.clone()), signed_by)
        }) {
            Ok((name, signed_by)) if latest.as_ref().is_none_or(|last| last.name.0 < name.0) => {
                latest = Some(Latest { name, signed_by, packed });
            }
            Ok(_) => {}
            Err(e) => refused = Some(format!("a bundle is refused: {e}")),
        },
        Err(why) => refused = Some(format!("a bundle is refused: {why}")),
    };
    match offer {
        Offer::Files(files) => files.iter().for_each(|(file, bytes)| look(bounded(file, *bytes))),
        Offer::Bytes(packed) => look(Ok(packed)),
    }
    (latest, refused)
}

impl Releases {
    /// Takes the latest of what is offered, if it is later than what was pulled before. What is `put_off` came to
    /// nothing a while ago, and is not tried now.
    ///
    /// # Errors
    /// Why something of it is refused, or the latest not put in force.
    pub(super) fn take(
        &self,
        wired: &Wired,
        offer: Offer,
        put_off: Option<&(Name, String)>,
    ) -> Result<(), Nothing> {
        let (latest, refused) = latest(offer, self.trust());
        if let Some(latest) = latest {
            match put_off {
                Some((name, why)) if *name == latest.name => {
                    return Err(Nothing { why: why.clone(), tried: Some(latest.name) });
                }
                Some(_) | None => {}
            }
            let taken = self.take_latest(wired, &latest);
            taken.map_err(|why| Nothing { why, tried: Some(latest.name) })?;
        }
        refused.map_or(Ok(()), |why| Err(Nothing { why, tried: None }))
    }

    fn take_latest(&self, wired: &Wired, latest: &Latest) -> Result<(), String> {
        let (sequence, revision) = &latest.name;
        let pulled = self.shelf.pulled().map_err(|e| format!("what was pulled cannot be told: {e}"))?;
        let is_same = (*sequence, revision) == (pulled.sequence, &pulled.revision);
        let is_missed = is_same && self.is_missed(wired, &pulled);
        if *sequence <= pulled.sequence && !is_same {
            return Err(format!(
                "bundle {sequence} ({}) is refused: {} was pulled before, and what is older does not come back",
                short(revision),
                pulled.sequence
            ));
        }
        let is_new = is_missed || !is_same;
        if is_new || self.is_signed_by_more(latest) {
            self.hold(wired, &latest.packed, &Actor::Gateway, Origin::Pulled)
                .map_err(|e| format!("bundle {sequence} is refused: {e}{}", mistakes(&e)))?;
        }
        // What is in force has been answered for, if it had to be.
        let policies = &wired.house.policies;
        let is_in_force = policies.bundle().revision().to_string() == *revision;
        if is_new && !(is_in_force && self.fallen(policies).is_none()) {
            let wish =
                Wish { actor: Actor::Gateway, how: How::Pulled, cause: None, found: None, anyway: false };
            let done = self.put_in_force(wired, revision, &wish, None);
            done.map_err(|e| format!("bundle {sequence} is not put in force: {e}"))?;
        }
        let noted = self.shelf.set_pulled(&Pulled { sequence: *sequence, revision: revision.clone() });
        noted.map_err(|e| format!("that bundle {sequence} was pulled cannot be noted: {e}"))
    }

    /// Whether a bundle that is held has been signed by more since: by the key that comes after the old one.
    fn is_signed_by_more(&self, latest: &Latest) -> bool {
        let is_more = |kept: Kept| {
            let all = kept.signed_by.iter().all(|key| latest.signed_by.contains(key));
            all && kept.signed_by.len() < latest.signed_by.len()
        };
        self.shelf.kept(&latest.name.1).is_some_and(is_more)
    }

    /// Whether what was pulled last was in force, and could not be had at the start: then it is taken again.
    pub(super) fn is_missed(&self, wired: &Wired, pulled: &Pulled) -> bool {
        let fallen = self.fallen(&wired.house.policies);
        fallen.is_some_and(|fallen| fallen.missed.as_ref() == Some(&pulled.revision))
    }

    /// Why the last pull came to nothing.
    pub(in crate::wire) fn pull_trouble(&self) -> Option<String> {
        self.pulling.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what a pull came to. What is wrong is told once, and again when it is something else.
    pub(super) fn note_pull(&self, wired: &Wired, told: Result<(), String>) {
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

#[cfg(test)]
mod tests;
