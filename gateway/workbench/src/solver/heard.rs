//! Words of HTTP that the gateway can hear. To a solver a host may be any text, be it a zero; the gateway refuses
//! most of them before any policy is asked (`routes.rs`, `host_name`; `path.rs`; a header is what can be seen).
//!
//! What is told here to be heard the gateway does hear; it hears a little more (`%C3%A9`, an IPv6 address). So what
//! is found only there is not known.

use doorward_policy::Situation;

/// No host name is longer.
const HOST_BYTES_MAX: usize = 253;
/// Longer than what anybody asks a policy for, and shorter than what is refused for its length.
const TEXT_BYTES_MAX: usize = 4096;

/// The same, with words that can be heard in the place of those that cannot, in two ways. Whoever asks looks whether
/// what mattered is still so.
pub(super) fn as_heard(mut s: Situation) -> Vec<Situation> {
    if !is_host(&s.host) {
        s.host = "some-host.example".to_owned();
    }
    if s.user_agent.as_deref().is_some_and(|agent| !is_header(agent)) {
        s.user_agent = Some("some-agent".to_owned());
    }
    if is_path(&s.path) {
        return vec![s];
    }
    let absolute = format!("/{}", s.path);
    let paths = [absolute, "/some-path".to_owned()].into_iter().filter(|path| is_path(path));
    paths.map(|path| Situation { path, ..s.clone() }).collect()
}

fn is_host(host: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    let ends = |c: char| host.starts_with(c) || host.ends_with(c);
    (1..=HOST_BYTES_MAX).contains(&host.len())
        && host.bytes().all(plain)
        && !ends('.')
        && !host.contains("..")
}

/// As a path is written in normal form, without escapes and parameters.
fn is_path(path: &str) -> bool {
    const MARKS: &[u8] = b"/-._~!$&'()*+,=:@";
    let Some(rest) = path.strip_prefix('/') else { return false };
    let mut segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
    path.len() <= TEXT_BYTES_MAX
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || MARKS.contains(&b))
        && (rest.is_empty() || segments.all(|segment| !matches!(segment, "" | "." | "..")))
}

fn is_header(value: &str) -> bool {
    value.len() <= TEXT_BYTES_MAX && value.trim() == value && value.bytes().all(|b| matches!(b, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_heard_is_told_from_what_cannot() {
        for (check, good, bad) in [
            (
                is_host as fn(&str) -> bool,
                &["a", "app.example", "x_1-2.test"][..],
                &["", "\0", ".a", "a.", "a..b", "A", "a/b", "a:80", "é"][..],
            ),
            (
                is_path,
                &["/", "/a", "/a/", "/a..b/c", "/v1/x:y"],
                &["", "a", "//", "/a//b", "/..", "/./a", "/\0", "/a;b", "/a%", "/é"],
            ),
            (is_header, &["", "a b"], &["\0", " a", "a\n", "é"]),
        ] {
            good.iter().for_each(|text| assert!(check(text), "{text:?}"));
            bad.iter().for_each(|text| assert!(!check(text), "{text:?}"));
        }
    }
}
