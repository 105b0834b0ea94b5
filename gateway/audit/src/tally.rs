//! Counting in the log what somebody was allowed since an instant: the evidence that nobody was let in who
//! had been cut off.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::UNIX_EPOCH;

use doorward_model::UnixMillis;
use serde_json::Value;

use crate::segment::SegmentName;

/// What an event of the log must be called to count.
const ALLOWED: &str = "access.request.allowed";
const GAP: &str = "audit.gap";
/// How much later than its last event a file may have been written, in milliseconds: events tell when
/// something happened, and files when it was written.
const WRITTEN_LATER_MILLIS: i64 = 60_000;

/// Why it is not known how much was allowed.
#[derive(Debug, thiserror::Error)]
pub enum NotCounted {
    /// There is more than anybody wanted to read.
    #[error(
        "the log of that time has {bytes} bytes, more than {bytes_max}: count it with `doorward audit tail`"
    )]
    TooMuch {
        /// How much there is.
        bytes: u64,
        /// How much is read at most.
        bytes_max: u64,
    },
    /// Events of that time are missing.
    #[error("the log has a gap at {}: what was lost there is not known", .0.0)]
    Gap(UnixMillis),
    /// A line is no event.
    #[error("`{0}` has a line that is no event")]
    NoEvent(String),
    /// A file cannot be read.
    #[error("`{file}` cannot be read: {cause}")]
    Io {
        /// Which.
        file: String,
        /// Why.
        cause: std::io::Error,
    },
}

/// How many requests of these people the files of the log in `dir` have as allowed since an instant; `users`
/// are `issuer:subject`. Reads the disk.
///
/// # Errors
/// When that cannot be said: see [`NotCounted`].
pub fn allowed_since(
    dir: &Path,
    users: &[String],
    since: UnixMillis,
    bytes_max: u64,
) -> Result<u64, NotCounted> {
    let io = |file: &Path| {
        let file = file.display().to_string();
        move |cause| NotCounted::Io { file, cause }
    };
    let (mut files, mut bytes) = (Vec::new(), 0_u64);
    for entry in std::fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        let is_ours = path.file_name().and_then(|name| SegmentName::parse(name.to_str()?)).is_some();
        if !is_ours {
            continue;
        }
        let about = path.metadata().map_err(io(&path))?;
        let written = about.modified().map_err(io(&path))?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = i64::try_from(written.as_millis()).unwrap_or(i64::MAX);
        if written.saturating_add(WRITTEN_LATER_MILLIS) >= since.0 {
            bytes = bytes.saturating_add(about.len());
            files.push(path);
        }
    }
    if bytes > bytes_max {
        return Err(NotCounted::TooMuch { bytes, bytes_max });
    }
    let mut allowed = 0_u64;
    for path in files {
        let mut lines = BufReader::new(File::open(&path).map_err(io(&path))?);
        let mut line = Vec::new();
        loop {
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(io(&path))? == 0 {
                break;
            }
            // The last line of a file that is written now may not be whole yet.
            if line.ends_with(b"\n") && counts(&line, users, since, &path)? {
                allowed = allowed.saturating_add(1);
            }
        }
    }
    Ok(allowed)
}

fn counts(line: &[u8], users: &[String], since: UnixMillis, path: &Path) -> Result<bool, NotCounted> {
    let line = String::from_utf8_lossy(line);
    // Most lines are about others, and need not be taken apart.
    let named = users.iter().any(|user| line.contains(plainest(user)));
    if !named && !line.contains(GAP) {
        return Ok(false);
    }
    let no_event = || NotCounted::NoEvent(path.display().to_string());
    let event: Value = serde_json::from_str(&line).map_err(|_| no_event())?;
    let at = UnixMillis(event.get("time").and_then(Value::as_i64).ok_or_else(no_event)?);
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    if at < since {
        return Ok(false);
    }
    if text("/metadata/event_code") == GAP {
        return Err(NotCounted::Gap(at));
    }
    let who = ["/actor/user/uid", "/unmapped/doorward/on_behalf_of"].map(text);
    Ok(text("/metadata/event_code") == ALLOWED && users.iter().any(|user| who.contains(&user.as_str())))
}

/// The longest part of a name that stands in a line as it is, whoever wrote the line: what JSON may write
/// otherwise is left out (RFC 8259 §7). Empty where there is none: then every line is taken apart.
fn plainest(user: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '/');
    user.split(|c| !is_plain(c)).max_by_key(|part| part.len()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(code: &str, at: i64, user: &str) -> String {
        json!({"time": at, "metadata": {"event_code": code}, "actor": {"user": {"uid": user}}}).to_string()
    }

    fn counted(lines: &[String], since: i64) -> Result<u64, NotCounted> {
        counted_of("corp:alice", lines, since)
    }

    fn counted_of(user: &str, lines: &[String], since: i64) -> Result<u64, NotCounted> {
        let dir = tempfile::tempdir().unwrap();
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        std::fs::write(dir.path().join("audit-gw-1-20261121T120000000Z-000000000001.jsonl"), text).unwrap();
        std::fs::write(dir.path().join("other.jsonl"), "corp:alice").unwrap();
        allowed_since(dir.path(), &[user.to_owned()], UnixMillis(since), 4096)
    }

    #[test]
    fn what_was_allowed_since_is_counted() {
        let lines = [
            event(ALLOWED, 90, "corp:alice"),
            event(ALLOWED, 100, "corp:alice"),
            event(ALLOWED, 101, "corp:bob"),
            event("access.request.denied", 102, "corp:alice"),
            event(ALLOWED, 103, "corp:alice"),
        ];
        assert_eq!(counted(&lines, 100).unwrap(), 2);
        assert_eq!(counted(&lines, 104).unwrap(), 0);
    }

    #[test]
    fn whoever_has_a_name_that_is_written_otherwise_is_counted() {
        let names =
            [r"corp:CORP\alice", r#"corp:"alice""#, r#"corp:"#, "corp:\u{7f}/", "corp:Zoë / a", r#""\"#, "ö"];
        for name in names {
            let lines = [event(ALLOWED, 100, name), event(ALLOWED, 100, "corp:bob")];
            assert_eq!(counted_of(name, &lines, 0).unwrap(), 1, "{name}");
            let otherwise = [lines[0].replace('/', r"\/").replace('ë', r"\u00eb").replace('ö', r"\u00f6")];
            assert_eq!(counted_of(name, &otherwise, 0).unwrap(), 1, "{name}");
        }
    }

    #[test]
    fn a_log_that_cannot_say_says_so() {
        let gap = [event(GAP, 100, "")];
        assert!(matches!(counted(&gap, 100), Err(NotCounted::Gap(UnixMillis(100)))));
        assert_eq!(counted(&gap, 101).unwrap(), 0, "it was before");
        let torn = ["{\"actor\": corp:alice".to_owned()];
        assert!(matches!(counted(&torn, 0), Err(NotCounted::NoEvent(_))));
        let much = vec![event(ALLOWED, 1, "corp:bob"); 100];
        assert!(matches!(counted(&much, 0), Err(NotCounted::TooMuch { .. })));
        let nowhere = allowed_since(Path::new("/nowhere"), &[], UnixMillis(0), 1);
        assert!(matches!(nowhere, Err(NotCounted::Io { .. })));
    }
}
