//! `[streams]`: how long what was let in may go on by that.

use std::time::Duration;

use doorward_model::complaint::{Complaint, KeyPath};
use doorward_model::limits;
use serde::Deserialize;

/// `[streams]` as written.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct StreamsSection {
    /// Whether what runs goes on when the token has expired that it was opened with.
    pub outlive_token: Option<bool>,
    /// Seconds that it goes on all the same.
    pub token_grace_seconds: Option<u64>,
    /// Seconds after which it is decided anew though nothing but the time has changed.
    pub review_seconds: Option<u64>,
}

/// How long what was let in may go on by that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// What runs goes on when the token has expired that it was opened with.
    pub outlive_token: bool,
    /// See [`limits::STREAM_TOKEN_GRACE_SECONDS`].
    pub token_grace: Duration,
    /// See [`limits::STREAM_REVIEW_SECONDS`].
    pub review_every: Duration,
}

/// Checks the section.
pub fn check_streams(section: &StreamsSection, at: &KeyPath, complaints: &mut Vec<Complaint>) -> Streams {
    let mut take = |name: &str, written: Option<u64>, default: u64, (least, most): (u64, u64)| {
        let value = written.unwrap_or(default);
        if (least..=most).contains(&value) {
            return Duration::from_secs(value);
        }
        complaints.push(Complaint::new(
            at.key(name),
            format!("`{value}` is out of bounds"),
            format!("use {least} to {most}; the default is {default}"),
        ));
        Duration::from_secs(default)
    };
    let grace = limits::STREAM_TOKEN_GRACE_SECONDS;
    let token_grace = take("token_grace_seconds", section.token_grace_seconds, grace, (0, 3600));
    let every = limits::STREAM_REVIEW_SECONDS;
    let review_every = take("review_seconds", section.review_seconds, every, (1, 3600));
    let outlive_token = section.outlive_token.unwrap_or(false);
    if outlive_token && section.token_grace_seconds.is_some() {
        complaints.push(Complaint::new(
            at.key("token_grace_seconds"),
            "`token_grace_seconds` has no use with `outlive_token = true`: no stream ends with its token",
            "remove one of the two",
        ));
    }
    Streams { outlive_token, token_grace, review_every }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Streams, Vec<String>> {
        let section: StreamsSection = toml::from_str(text).unwrap();
        let mut complaints = Vec::new();
        let streams = check_streams(&section, &KeyPath::top().key("streams"), &mut complaints);
        let said = |c: Complaint| format!("{}: {}; {}", c.at, c.message, c.help.unwrap_or_default());
        if complaints.is_empty() { Ok(streams) } else { Err(complaints.into_iter().map(said).collect()) }
    }

    #[test]
    fn a_stream_ends_with_its_token_unless_somebody_says_otherwise() {
        let seconds = Duration::from_secs;
        let usual = Streams { outlive_token: false, token_grace: seconds(30), review_every: seconds(60) };
        assert_eq!(check(""), Ok(usual));
        assert_eq!(check("outlive_token = true"), Ok(Streams { outlive_token: true, ..usual }));
        let hasty = "token_grace_seconds = 0\nreview_seconds = 1";
        assert_eq!(check(hasty), Ok(Streams { token_grace: seconds(0), review_every: seconds(1), ..usual }));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_cure() {
        let both = "outlive_token = true\ntoken_grace_seconds = 5";
        let says = "streams.token_grace_seconds: `token_grace_seconds` has no use with `outlive_token = true`: no \
                    stream ends with its token; remove one of the two";
        assert_eq!(check(both), Err(vec![says.to_owned()]));
        let bounds = "token_grace_seconds = 3601\nreview_seconds = 0";
        let says = [
            "streams.token_grace_seconds: `3601` is out of bounds; use 0 to 3600; the default is 30",
            "streams.review_seconds: `0` is out of bounds; use 1 to 3600; the default is 60",
        ];
        assert_eq!(check(bounds), Err(says.map(str::to_owned).to_vec()));
    }
}
