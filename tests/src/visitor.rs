//! A browser of few words, for tests with many of them: it keeps cookies, follows redirects and fills forms, by
//! HTTP/1.1, and shows every step that it took. It runs no script and shows no page; for that there is [`crate::browser`].
//!
//! Every host is this machine, at the port of its address. What does not come through is no failure of the test: the
//! gateway may just be restarting.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::h1::{self, H1, Head, Response};
use crate::tls::{Authority, Hello};
use crate::wire::Wire;

/// How many redirects a browser follows.
const REDIRECTS_MAX: usize = 20;

/// What a browser says when a person goes somewhere.
pub const NAVIGATION: [(&str, &str); 4] = [
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "none"),
];

/// What it says when the script of a page asks its own host.
pub const SCRIPT: [(&str, &str); 4] = [
    ("accept", "application/json"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-site", "same-origin"),
];

/// Somebody's browser.
pub struct Visitor<'a> {
    authority: &'a Authority,
    /// What it shows of its device; none shows nothing.
    device: Option<Arc<ClientConfig>>,
    cookies: BTreeMap<(String, String, String), Cookie>,
    nodes: Option<Nodes>,
}

/// Several nodes behind one name, as a balancer without memory has them.
struct Nodes {
    ports: Vec<u16>,
    /// Says where the next connection goes.
    state: AtomicU64,
}

struct Cookie {
    value: String,
    secure: bool,
}

/// Where somebody came to.
#[derive(Clone, Debug)]
pub struct Page {
    /// The address.
    pub url: String,
    /// The last answer.
    pub response: Response,
    /// Every address that was asked on the way, with its status.
    pub way: Vec<(String, u16)>,
}

// === impl Visitor ===

impl<'a> Visitor<'a> {
    /// A new one, which trusts this authority.
    #[must_use]
    pub const fn new(authority: &'a Authority) -> Self {
        Self { authority, device: None, cookies: BTreeMap::new(), nodes: None }
    }

    /// From now on each connection by https goes to one of these ports of this machine, whatever the address says:
    /// to any of them, in an order that the seed says.
    pub fn goes_to_any_of(&mut self, ports: Vec<u16>, seed: u64) {
        self.nodes = Some(Nodes { ports, state: AtomicU64::new(seed) });
    }

    /// The port at which the last connection by https was opened, or tried; see [`Visitor::goes_to_any_of`].
    #[must_use]
    pub fn reached(&self) -> Option<u16> {
        self.nodes.as_ref().map(Nodes::port)
    }

    /// From now on it shows a certificate with every connection, or none any more.
    pub fn shows(&mut self, device: Option<Arc<ClientConfig>>) {
        self.device = device;
    }

    /// Goes there, and on to wherever that leads.
    ///
    /// # Errors
    /// When something on the way does not answer.
    ///
    /// # Panics
    /// When it leads round in circles.
    pub async fn go(&mut self, url: &str) -> io::Result<Page> {
        self.follow("GET", url, b"").await
    }

    /// Presses the button of the first form of a page; what the form holds already is sent, too.
    ///
    /// # Errors
    /// When something on the way does not answer.
    ///
    /// # Panics
    /// When there is no form.
    pub async fn submit(&mut self, page: &Page, fields: &[(&str, &str)]) -> io::Result<Page> {
        let text = page.response.text();
        let form = text.split_once("<form").unwrap_or_else(|| panic!("no form at {}: {text}", page.url)).1;
        let (tag, rest) = form.split_once('>').unwrap_or_default();
        let inside = rest.split_once("</form>").map_or(rest, |(inside, _)| inside);
        let action = attribute(tag, "action").unwrap_or_default();
        let target = resolve(&page.url, if action.is_empty() { &page.url } else { &action });
        let mut all: Vec<(String, String)> = hidden(inside);
        all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let body =
            all.iter().map(|(n, v)| format!("{}={}", percent(n), percent(v))).collect::<Vec<_>>().join("&");
        self.follow("POST", &target, body.as_bytes()).await
    }

    /// Sends one request and follows nothing; its cookies are kept as well.
    ///
    /// # Errors
    /// When nobody answers.
    ///
    /// # Panics
    /// When this is no address.
    pub async fn ask(
        &mut self,
        method: &str,
        url: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        let uri: Uri = url.parse().unwrap_or_else(|e| panic!("`{url}`: {e}"));
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let target = uri.path_and_query().map_or("/", |p| p.as_str());
        let cookies = self.cookies_for(&uri);
        let mut all: Vec<(&str, &str)> = fields.to_vec();
        if !cookies.is_empty() {
            all.push(("cookie", &cookies));
        }
        let mut client = H1::over(self.connect(&uri).await?);
        if !client.try_send(h1::request(method, &host, target, &all, body)).await {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let response = client.try_response(method).await.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.keep(&uri, &response.head);
        Ok(response)
    }

    /// The value of a cookie of a host.
    #[must_use]
    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        let mut cookies = self.cookies.iter();
        let found = cookies.find(|((of, _, called), _)| of == host && called == name);
        found.map(|(_, cookie)| cookie.value.as_str())
    }

    /// Puts a cookie there, as somebody may who has stolen one.
    pub fn put_cookie(&mut self, host: &str, name: &str, value: &str) {
        let key = (host.to_owned(), "/".to_owned(), name.to_owned());
        self.cookies.insert(key, Cookie { value: value.to_owned(), secure: true });
    }

    /// Opens a connection to the host of an address.
    ///
    /// # Errors
    /// When nobody listens, or the certificate is another's.
    ///
    /// # Panics
    /// When this is no address.
    pub async fn connect(&self, uri: &Uri) -> io::Result<Wire> {
        let port = match &self.nodes {
            Some(nodes) if uri.scheme_str() == Some("https") => nodes.next(),
            Some(_) | None => uri.port_u16().unwrap_or_else(|| panic!("`{uri}` has no port")),
        };
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        if uri.scheme_str() == Some("https") {
            if let Some(device) = &self.device {
                let name = ServerName::try_from(uri.host().unwrap_or_default().to_owned());
                let connector = TlsConnector::from(Arc::clone(device));
                return Ok(Box::new(connector.connect(name.map_err(io::Error::other)?, stream).await?));
            }
            let hello = Hello::new(uri.host().unwrap_or_default(), &["http/1.1"]);
            return Ok(Box::new(self.authority.handshake(stream, &hello).await?));
        }
        Ok(Box::new(stream))
    }

    /// What goes into `Cookie` at this address (RFC 6265 §5.4).
    #[must_use]
    pub fn cookies_for(&self, uri: &Uri) -> String {
        let host = uri.host().unwrap_or_default();
        let fits = |((of, path, _), cookie): &(&(String, String, String), &Cookie)| {
            of == host && below(path, uri.path()) && (!cookie.secure || uri.scheme_str() == Some("https"))
        };
        let fitting = self.cookies.iter().filter(fits);
        fitting.map(|((_, _, name), c)| format!("{name}={}", c.value)).collect::<Vec<_>>().join("; ")
    }

    async fn follow(&mut self, method: &str, url: &str, body: &[u8]) -> io::Result<Page> {
        let form = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        let mut way = Vec::new();
        let (mut url, mut method) = (url.to_owned(), method.to_owned());
        for _ in 0..REDIRECTS_MAX {
            let origin = origin(&url);
            let mut fields = NAVIGATION.to_vec();
            if method == "POST" {
                fields.pop();
                fields.extend(form);
                fields.push(("origin", &origin));
            }
            let body = if method == "POST" { body } else { b"" };
            let response = self.ask(&method, &url, &fields, body).await?;
            way.push((url.clone(), response.status()));
            match (response.status(), response.head.value("location")) {
                (301..=303, Some(to)) => (url, method) = (resolve(&url, &to), "GET".to_owned()),
                _ => return Ok(Page { url, response, way }),
            }
        }
        panic!("{REDIRECTS_MAX} redirects and no end: {way:#?}")
    }

    fn keep(&mut self, uri: &Uri, head: &Head) {
        let host = uri.host().unwrap_or_default();
        for line in head.values("set-cookie") {
            let mut parts = line.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            let attributes: BTreeMap<String, String> = parts
                .map(|part| part.split_once('=').unwrap_or((part, "")))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let path = attributes.get("path").cloned().unwrap_or_else(|| "/".to_owned());
            let key = (host.to_owned(), path, name.to_owned());
            let gone = attributes.get("max-age").is_some_and(|age| age == "0")
                || attributes.get("expires").is_some_and(|when| when.contains("1970"));
            if gone {
                self.cookies.remove(&key);
            } else {
                let secure = attributes.contains_key("secure");
                self.cookies.insert(key, Cookie { value: value.to_owned(), secure });
            }
        }
    }
}

// === impl Nodes ===

impl Nodes {
    /// Moves on to another one, or the same (a generator of Knuth's).
    fn next(&self) -> u16 {
        let next = |state: u64| {
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
        };
        let _before = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |state| Some(next(state)));
        self.port()
    }

    fn port(&self) -> u16 {
        let place = (self.state.load(Ordering::SeqCst) >> 33) % self.ports.len() as u64;
        self.ports[place as usize]
    }
}

/// Whether a cookie of this path is sent to that path (RFC 6265 §5.1.4).
fn below(path: &str, asked: &str) -> bool {
    let rest = asked.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || path.ends_with('/') || rest.starts_with('/'))
}

fn origin(url: &str) -> String {
    url.match_indices('/').nth(2).map_or(url, |(at, _)| &url[..at]).to_owned()
}

fn resolve(base: &str, to: &str) -> String {
    if to.starts_with('/') { format!("{}{to}", origin(base)) } else { to.to_owned() }
}

/// The value of an attribute in a tag, with its entities read.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split_once(&format!("{name}=\""))?.1.split_once('"')?.0;
    Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
}

fn hidden(form: &str) -> Vec<(String, String)> {
    let inputs = form.split("<input").skip(1).filter_map(|rest| rest.split_once('>')).map(|(tag, _)| tag);
    let hidden = inputs.filter(|tag| tag.contains("type=\"hidden\""));
    hidden.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?))).collect()
}

/// A value of a form (WHATWG URL, `application/x-www-form-urlencoded`).
#[must_use]
pub fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &str) -> Head {
        Head::new(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes())
    }

    #[test]
    fn cookies_go_where_they_belong() {
        let authority = Authority::new();
        let mut visitor = Visitor::new(&authority);
        let at = |url: &str| url.parse::<Uri>().unwrap();
        visitor.keep(
            &at("https://a.test:1/x"),
            &head("set-cookie: one=1; Path=/; Secure\r\nset-cookie: two=2; Path=/x\r\nset-cookie: three=3; path=/\r\n"),
        );
        assert_eq!(visitor.cookies_for(&at("https://a.test:9/x/y")), "one=1; three=3; two=2");
        assert_eq!(visitor.cookies_for(&at("http://a.test:9/xy")), "three=3");
        assert_eq!(visitor.cookies_for(&at("https://b.test:1/x")), "");
        visitor.keep(
            &at("https://a.test:1/"),
            &head("set-cookie: one=; Path=/; Max-Age=0\r\nset-cookie: three=; path=/; expires=Thu, 01 Jan 1970\r\n"),
        );
        assert_eq!(visitor.cookies_for(&at("https://a.test:1/x")), "two=2");
        assert_eq!(visitor.cookie("a.test", "two"), Some("2"));
    }

    #[test]
    fn a_form_is_read_with_what_it_hides() {
        let form = r#"<input type="hidden" name="a" value="1&amp;2"><input name="b"><input name="c" type="hidden" value="">"#;
        assert_eq!(hidden(form), [("a".to_owned(), "1&2".to_owned()), ("c".to_owned(), String::new())]);
        assert_eq!(resolve("https://a.test:1/x?y", "/z"), "https://a.test:1/z");
        assert_eq!(resolve("https://a.test:1/x", "http://b.test/"), "http://b.test/");
        assert_eq!(percent("a b&c/é"), "a%20b%26c%2F%C3%A9");
    }
}
