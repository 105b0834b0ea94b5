//! What the system lets this process open, and where others find out which process it is.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// A connection has a descriptor on each side.
const DESCRIPTORS_PER_CONNECTION: u64 = 2;
/// Logs, stores, listeners, health checks and the rest.
const DESCRIPTORS_BESIDES: u64 = 1000;
/// Which process runs here: `doorward.pid` in the folder for data.
const PID_FILE: &str = "doorward.pid";

/// Allows this process all the descriptors that it may have, and says so when these are too few for as
/// many connections.
pub(super) fn allow(connections_max: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(e) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(error = %e, allowed = limit.current, "the limit of open files cannot be raised");
    }
    let connections = u64::try_from(connections_max).unwrap_or(u64::MAX);
    let wanted = connections.saturating_mul(DESCRIPTORS_PER_CONNECTION).saturating_add(DESCRIPTORS_BESIDES);
    if let Some(allowed) = limit.maximum.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "too few open files are allowed for `limits.connections_max`: raise `LimitNOFILE` (or `ulimit -Hn`)"
        );
    }
}

/// Writes down which process runs. Only a convenience: nothing here relies on it.
pub(super) fn note_pid(data_dir: &Path) {
    let file = data_dir.join(PID_FILE);
    if let Err(e) = std::fs::write(&file, format!("{}\n", std::process::id())) {
        tracing::warn!(file = %file.display(), error = %e, "the process id cannot be noted");
    }
}

/// Which process wrote that down last.
pub(super) fn running_pid(data_dir: &Path) -> Option<u32> {
    std::fs::read_to_string(data_dir.join(PID_FILE)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_it_goes() {
        allow(1);
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn a_successor_finds_the_process_before_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(running_pid(folder.path()), None);
        note_pid(folder.path());
        assert_eq!(running_pid(folder.path()), Some(std::process::id()));
    }
}
