//! `doorward policy vet`: what the gateway runs before it parses policies itself. Not for people.
//!
//! It prints the revision of the folder when loading it came to an end, whatever the end was. Whether the
//! folder is fit is no question here: whether a process survives it is.

use std::io::{self, Read as _};

use doorward_model::limits::{POLICY_VET_SAID_BYTES_MAX, POLICY_VET_SECONDS_MAX, POLICY_VET_SPACE_BYTES_MAX};
use doorward_policy::Known;
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use super::super::{Exit, Failure, Output};
use crate::cli::PolicyVetArgs;

/// How much less often it runs than the gateway that serves.
const NICE: i32 = 10;

pub(super) fn vet(args: &PolicyVetArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    bound_myself();
    let mut names = String::new();
    let read = io::stdin().take(POLICY_VET_SAID_BYTES_MAX).read_to_string(&mut names);
    let help = "this is run by the gateway; use `doorward policy check`";
    let failed = |why: String| Failure::new(Exit::Failed, why, help);
    read.map_err(|e| failed(format!("the names of the configuration cannot be read: {e}")))?;
    let known = match names.as_str() {
        "" => None,
        names => Some(Known::from_told(names).map_err(failed)?),
    };
    let revision =
        doorward_policy::rehearse(&args.dir, known.as_ref()).map_err(|failure| failed(failure.plain()))?;
    out.line(revision)?;
    Ok(Exit::Done)
}

/// Takes away from this process what it must not have. What cannot be taken away stays: the gateway ends a
/// trial that lasts too long.
fn bound_myself() {
    let bounds = [
        (Resource::As, POLICY_VET_SPACE_BYTES_MAX),
        (Resource::Cpu, POLICY_VET_SECONDS_MAX),
        // A dump of it would hold nothing that the folder does not.
        (Resource::Core, 0),
    ];
    for (resource, most) in bounds {
        let maximum = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
        let _ = setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) });
    }
    let _ = nice(NICE);
    // Where memory runs out, this process goes and not the one that serves.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}
