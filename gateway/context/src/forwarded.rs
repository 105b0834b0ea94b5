//! The two headers that tell who came before a proxy: `X-Forwarded-For` and `Forwarded`
//! (RFC 7239).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::network::ClientAddressHeader;

/// Why an element is not an address. The element itself is not repeated: it may be anything that a
/// stranger wrote, and the reason is enough to find it.
pub(crate) type Why = &'static str;

/// The elements of one header line, the last one first.
pub(crate) enum FromRight<'a> {
    /// `X-Forwarded-For` needs no reading from the left, so what is never walked is never read.
    Plain(std::slice::RSplit<'a, u8, fn(&u8) -> bool>),
    /// `Forwarded` has quotes, in which a comma is no end.
    Structured(std::iter::Rev<std::vec::IntoIter<Result<IpAddr, Why>>>),
}

impl<'a> FromRight<'a> {
    /// Takes a line apart.
    ///
    /// # Errors
    /// When nobody can say where its elements begin.
    pub(crate) fn new(header: ClientAddressHeader, value: &'a [u8]) -> Result<Self, Why> {
        match header {
            ClientAddressHeader::XForwardedFor => Ok(Self::Plain(value.rsplit(|b| *b == b','))),
            ClientAddressHeader::Forwarded => {
                forwarded_elements(value).map(|all| Self::Structured(all.into_iter().rev()))
            }
        }
    }
}

impl Iterator for FromRight<'_> {
    type Item = Result<IpAddr, Why>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Plain(split) => split.next().map(|element| address(trim(element))),
            Self::Structured(all) => all.next(),
        }
    }
}

/// Optional white space of RFC 9110 §5.6.3.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// An address, with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:80`. Canonical.
fn address(text: &[u8]) -> Result<IpAddr, Why> {
    const NOT_AN_ADDRESS: Why = "is not an IP address";
    let text = std::str::from_utf8(text).map_err(|_| NOT_AN_ADDRESS)?;
    if text.is_empty() {
        return Err("is empty");
    }
    if text.contains('%') {
        return Err("has an IPv6 zone, which means something on one machine only");
    }
    let ip: IpAddr = if let Some(rest) = text.strip_prefix('[') {
        let (ip, port) = rest.split_once(']').ok_or("opens a bracket and does not close it")?;
        if !port.is_empty() {
            check_port(port.strip_prefix(':').ok_or(NOT_AN_ADDRESS)?)?;
        }
        ip.parse::<Ipv6Addr>().map_err(|_| NOT_AN_ADDRESS)?.into()
    } else if let Ok(ip) = text.parse::<IpAddr>() {
        ip
    } else {
        let (ip, port) = text.split_once(':').ok_or(NOT_AN_ADDRESS)?;
        let ip = ip.parse::<Ipv4Addr>().map_err(|_| NOT_AN_ADDRESS)?;
        check_port(port)?;
        ip.into()
    };
    let ip = ip.to_canonical();
    if ip.is_unspecified() {
        return Err("is the unspecified address");
    }
    Ok(ip)
}

fn check_port(port: &str) -> Result<(), Why> {
    let fits = !port.is_empty() && port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
    if fits && port.parse::<u16>().is_ok() { Ok(()) } else { Err("has a port that is not a number") }
}

/// Takes a `Forwarded` line apart (RFC 7239 §4):
/// `for=192.0.2.1;proto=https, for="[2001:db8::1]:443"`.
fn forwarded_elements(value: &[u8]) -> Result<Vec<Result<IpAddr, Why>>, Why> {
    let mut all = Vec::new();
    let mut rest = value;
    loop {
        let (element, after) = forwarded_element(rest)?;
        all.push(element);
        match after {
            Some(next) => rest = next,
            None => return Ok(all),
        }
    }
}

/// One element, and what follows its comma.
#[expect(clippy::type_complexity, reason = "the two ways to fail are the point: this element, or the line")]
fn forwarded_element(mut rest: &[u8]) -> Result<(Result<IpAddr, Why>, Option<&[u8]>), Why> {
    let mut found: Option<Result<IpAddr, Why>> = None;
    loop {
        rest = trim(rest);
        match rest {
            [] => return Ok((found.unwrap_or(Err("does not say `for`")), None)),
            [b',', after @ ..] => return Ok((found.unwrap_or(Err("does not say `for`")), Some(after))),
            [b';', after @ ..] => {
                rest = after;
                continue;
            }
            _ => {}
        }
        let (name, after) = token(rest)?;
        let after = after.strip_prefix(b"=").ok_or("cannot be read: a name has no value")?;
        let (text, after) = match after {
            [b'"', quoted @ ..] => quoted_string(quoted)?,
            _ => token(after).map(|(t, after)| (t.to_vec(), after))?,
        };
        let after = trim(after);
        if !matches!(after, [] | [b';' | b',', ..]) {
            return Err("cannot be read: something follows a value");
        }
        if name.eq_ignore_ascii_case(b"for") {
            found = Some(if found.is_some() { Err("says `for` twice") } else { address(&text) });
        }
        rest = after;
    }
}

/// A token of RFC 9110 §5.6.2, and what follows it. `:` is let through, because many proxies leave
/// out the quotes around `192.0.2.1:80`; brackets are not.
fn token(bytes: &[u8]) -> Result<(&[u8], &[u8]), Why> {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(b);
    let len = bytes.iter().take_while(|b| fits(b)).count();
    match bytes.split_at_checked(len) {
        Some((token, rest)) if !token.is_empty() => Ok((token, rest)),
        Some(_) | None => Err("cannot be read: a name or a value is missing"),
    }
}

/// The inside of a quoted string, and what follows its closing quote.
fn quoted_string(bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), Why> {
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [b'"', after @ ..] => return Ok((text, after)),
            [b'\\'] | [] => return Err("cannot be read: a quote is not closed"),
            [b'\\', b, after @ ..] | [b, after @ ..] => {
                text.push(*b);
                rest = after;
            }
        }
    }
}
