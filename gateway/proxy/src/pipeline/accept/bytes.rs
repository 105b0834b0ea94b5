//! What stands in the bytes of an HTTP/1.1 header and is not in the parsed one any more.
//!
//! Pingora's parser takes a line that ends with LF alone, forgets `Content-Length` beside
//! `Transfer-Encoding`, drops a fragment, and reads a target that is no path as `/`. Each of these
//! has a second reading that another server may prefer (RFC 9112 §2.2, §3.2 and §6.1; incident
//! classes S5 and S16), so each is refused.

use crate::routes::host_name;

/// Checks the bytes of a whole header, empty line included. `host` is the one that the request is
/// for, in lower case.
///
/// # Errors
/// What has a second reading.
pub(super) fn check(raw: &[u8], host: &str) -> Result<(), &'static str> {
    let mut lines = raw.split(|b| *b == b'\n').peekable();
    let mut request_line = None;
    let (mut length, mut coding) = (false, false);
    while let Some(line) = lines.next() {
        if lines.peek().is_none() {
            break; // What follows the last LF: nothing.
        }
        let line = line.strip_suffix(b"\r").ok_or("a line ends with LF alone")?;
        if request_line.is_none() {
            // Empty lines before a request do no harm (RFC 9112 §2.2).
            request_line = Some(line).filter(|l| !l.is_empty());
            continue;
        }
        let name = line.split(|b| *b == b':').next().unwrap_or_default();
        length |= name.eq_ignore_ascii_case(b"content-length");
        coding |= name.eq_ignore_ascii_case(b"transfer-encoding");
    }
    if length && coding {
        return Err("the request has `transfer-encoding` and `content-length`");
    }
    check_target(request_line.unwrap_or_default(), host)
}

/// The target is a path, or a URL of this host (RFC 9112 §3.2.1 and §3.2.2).
fn check_target(request_line: &[u8], host: &str) -> Result<(), &'static str> {
    let mut words = request_line.split(|b| *b == b' ');
    let (Some(_), Some(target), Some(_), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("the request line is not a method, a target and a version");
    };
    if target.contains(&b'#') {
        return Err("the request target has a fragment");
    }
    if target.starts_with(b"/") {
        return Ok(());
    }
    let rest = strip_scheme(target).ok_or("the request target is neither a path nor a URL of HTTP")?;
    let authority = rest.split(|b| matches!(b, b'/' | b'?')).next().unwrap_or_default();
    let authority = std::str::from_utf8(authority).unwrap_or_default().to_ascii_lowercase();
    if host_name(&authority) == Some(host) { Ok(()) } else { Err("the request target names another host") }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_or_none() {
        for (raw, good) in [
            ("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n", true),
            ("\r\nGET / HTTP/1.1\r\nhost: a.test\r\n\r\n", true),
            ("GET /?a#b HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\nhost: a.test\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nhost: a.test\n\r\n", false),
            ("GET / HTTP/1.1\r\nhost: a.test\r\n\n", false),
            ("\nGET / HTTP/1.1\r\nhost: a.test\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nx: 1\ntransfer-encoding: chunked\r\n\r\n", false),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("GET HTTP://A.test/x?y HTTP/1.1\r\n\r\n", true),
            ("GET https://a.test:443 HTTP/1.1\r\n\r\n", true),
            ("GET http://b.test/ HTTP/1.1\r\n\r\n", false),
            ("GET http://a.test@b.test/ HTTP/1.1\r\n\r\n", false),
            ("GET http:///x HTTP/1.1\r\n\r\n", false),
            ("GET ftp://a.test/ HTTP/1.1\r\n\r\n", false),
            ("GET a.test:80 HTTP/1.1\r\n\r\n", false),
            ("GET \\admin HTTP/1.1\r\n\r\n", false),
            ("GET * HTTP/1.1\r\n\r\n", false),
            ("GET  / HTTP/1.1\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(check(raw.as_bytes(), "a.test").is_ok(), good, "{raw:?}");
        }
    }
}
