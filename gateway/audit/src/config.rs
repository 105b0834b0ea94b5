//! The section `[audit]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use doorward_model::limits::{
    AUDIT_FLUSH_MILLIS_MAX, AUDIT_QUEUE_EVENTS_MAX, AUDIT_RESERVE_BYTES, AUDIT_SEGMENT_BYTES_MAX,
};
use doorward_model::{Complaint, KeyPath};
use serde::Deserialize;

/// A smaller segment than this would be all rotation.
const SEGMENT_BYTES_MIN: u64 = 64 * 1024;
/// Writing more often than this wears the disk and gains nothing.
const FLUSH_MILLIS_MIN: u64 = 10;
/// Fewer waiting events than this would be lost in any hiccup of the disk.
const QUEUE_EVENTS_MIN: u64 = 64;
/// The reserve must hold some revocations.
const RESERVE_BYTES_MIN: u64 = 64 * 1024;
/// The reserve is written once at every start.
const RESERVE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// A log that is bounded has room for so many files at least.
const SEGMENTS_MIN: u64 = 4;

/// How many refusals of nobody in particular are written in a second. What is beyond is counted
/// and told in one event: whoever did not sign in must not fill the disk.
pub const NAMELESS_REFUSALS_PER_SECOND_MAX: u32 = 500;
/// A step of the writer that takes longer than this means that the disk hangs.
pub const STALL_SECONDS_MAX: u32 = 5;

/// `[audit]` as written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AuditSection {
    /// Where the files lie; relative to the configuration file.
    pub dir: Option<PathBuf>,
    /// The size at which a new file is begun.
    pub segment_bytes_max: Option<u64>,
    /// How long a decision may stay out of the durable log.
    pub flush_millis_max: Option<u64>,
    /// How many decisions may wait.
    pub queue_events_max: Option<u64>,
    /// Space set aside for revocations on a full disk.
    pub reserve_bytes: Option<u64>,
    /// How large all files together may become before the oldest are removed. Without it none is.
    pub total_bytes_max: Option<u64>,
    /// Whether what the policies saw is recorded with each decision. It is, unless this says otherwise.
    pub situations: Option<bool>,
}

/// A valid `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    dir: PathBuf,
    segment_bytes_max: u64,
    flush: Duration,
    queue_events_max: usize,
    reserve_bytes: u64,
    total_bytes_max: Option<u64>,
    situations: bool,
}

impl AuditConfig {
    /// The defaults, in this directory.
    #[must_use]
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes_max: AUDIT_SEGMENT_BYTES_MAX,
            flush: Duration::from_millis(AUDIT_FLUSH_MILLIS_MAX),
            queue_events_max: AUDIT_QUEUE_EVENTS_MAX,
            reserve_bytes: AUDIT_RESERVE_BYTES,
            total_bytes_max: None,
            situations: true,
        }
    }

    /// Checks the section. A relative `dir` is taken from `base_dir`, the folder of the
    /// configuration file; without one the log lies in `audit` under `data_dir`. Every mistake
    /// is added to `complaints`.
    #[must_use]
    pub fn check(
        section: &AuditSection,
        at: &KeyPath,
        base_dir: &Path,
        data_dir: &Path,
        complaints: &mut Vec<Complaint>,
    ) -> Option<Self> {
        let known = complaints.len();
        let dir = match &section.dir {
            Some(dir) if dir.as_os_str().is_empty() => {
                complaints.push(Complaint::new(
                    at.key("dir"),
                    "`dir` is empty",
                    "name a folder, or leave `dir` out to use `audit` in `data_dir`",
                ));
                data_dir.join("audit")
            }
            Some(dir) => base_dir.join(dir),
            None => data_dir.join("audit"),
        };
        let mut bounded = |name: &str, value: Option<u64>, default: u64, min: u64, max: u64| {
            let value = value.unwrap_or(default);
            if value < min || value > max {
                complaints.push(Complaint::new(
                    at.key(name),
                    format!("`{value}` is not between {min} and {max}"),
                    format!("leave `{name}` out to use {default}"),
                ));
            }
            value
        };
        let max = AUDIT_SEGMENT_BYTES_MAX;
        let segment = bounded("segment_bytes_max", section.segment_bytes_max, max, SEGMENT_BYTES_MIN, max);
        let max = AUDIT_FLUSH_MILLIS_MAX;
        let flush = bounded("flush_millis_max", section.flush_millis_max, max, FLUSH_MILLIS_MIN, max);
        let max = u64::try_from(AUDIT_QUEUE_EVENTS_MAX).unwrap_or(u64::MAX);
        let queue = bounded("queue_events_max", section.queue_events_max, max, QUEUE_EVENTS_MIN, max);
        let reserve = bounded(
            "reserve_bytes",
            section.reserve_bytes,
            AUDIT_RESERVE_BYTES,
            RESERVE_BYTES_MIN,
            RESERVE_BYTES_MAX,
        );
        // One is written, and one was just closed when the oldest go: with fewer nothing is kept.
        let least = segment.saturating_mul(SEGMENTS_MIN);
        if let Some(total) = section.total_bytes_max.filter(|total| *total < least) {
            complaints.push(Complaint::new(
                at.key("total_bytes_max"),
                format!("`{total}` is less than {SEGMENTS_MIN} files of {segment} bytes"),
                format!("make it {least} at least, or lower `segment_bytes_max`, or leave it out to keep every file"),
            ));
        }
        (complaints.len() == known).then_some(Self {
            dir,
            segment_bytes_max: segment,
            flush: Duration::from_millis(flush),
            queue_events_max: usize::try_from(queue).unwrap_or(AUDIT_QUEUE_EVENTS_MAX),
            reserve_bytes: reserve,
            total_bytes_max: section.total_bytes_max,
            situations: section.situations.unwrap_or(true),
        })
    }

    /// Where the files lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The size at which a new file is begun.
    #[must_use]
    pub const fn segment_bytes_max(&self) -> u64 {
        self.segment_bytes_max
    }

    /// How long a decision may stay out of the durable log.
    #[must_use]
    pub const fn flush(&self) -> Duration {
        self.flush
    }

    /// How many decisions may wait.
    #[must_use]
    pub const fn queue_events_max(&self) -> usize {
        self.queue_events_max
    }

    /// Space set aside for revocations on a full disk.
    #[must_use]
    pub const fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes
    }

    /// How large all files together may become before the oldest are removed.
    #[must_use]
    pub const fn total_bytes_max(&self) -> Option<u64> {
        self.total_bytes_max
    }

    /// Whether what the policies saw is recorded with each decision.
    #[must_use]
    pub const fn situations(&self) -> bool {
        self.situations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(section: &AuditSection) -> (Option<AuditConfig>, Vec<String>) {
        let mut complaints = Vec::new();
        let at = KeyPath::top().key("audit");
        let config =
            AuditConfig::check(section, &at, Path::new("/etc/dw"), Path::new("/var/dw"), &mut complaints);
        (config, complaints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_written_means_the_defaults_in_the_data_folder() {
        assert_eq!(check(&AuditSection::default()), (Some(AuditConfig::in_dir("/var/dw/audit")), vec![]));
    }

    #[test]
    fn a_relative_folder_is_taken_from_the_configuration_file() {
        let dir = |d: &str| AuditSection { dir: Some(d.into()), ..AuditSection::default() };
        assert_eq!(check(&dir("log")).0.unwrap().dir(), Path::new("/etc/dw/log"));
        assert_eq!(check(&dir("/log")).0.unwrap().dir(), Path::new("/log"));
    }

    #[test]
    fn what_policies_saw_is_recorded_unless_it_is_switched_off() {
        let off = |situations| AuditSection { situations, ..AuditSection::default() };
        for (written, kept) in [(None, true), (Some(true), true), (Some(false), false)] {
            assert_eq!(check(&off(written)).0.unwrap().situations(), kept);
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let (config, complaints) = check(&AuditSection {
            dir: Some("".into()),
            segment_bytes_max: Some(1),
            flush_millis_max: Some(0),
            queue_events_max: Some(u64::MAX),
            reserve_bytes: Some(1),
            total_bytes_max: Some(1),
            situations: None,
        });
        assert_eq!(config, None);
        assert_eq!(
            complaints,
            [
                "audit.dir: `dir` is empty",
                "audit.segment_bytes_max: `1` is not between 65536 and 268435456",
                "audit.flush_millis_max: `0` is not between 10 and 1000",
                "audit.queue_events_max: `18446744073709551615` is not between 64 and 65536",
                "audit.reserve_bytes: `1` is not between 65536 and 1073741824",
                "audit.total_bytes_max: `1` is less than 4 files of 1 bytes",
            ]
        );
    }
}
