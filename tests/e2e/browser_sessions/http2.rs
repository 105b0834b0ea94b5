//! The same by HTTP/2, as browsers speak it: cookies in crumbs, several hosts by one connection.

use std::collections::BTreeMap;
use std::time::Duration;

use doorward_identity::session::{BrowserSession, SESSION_COOKIE};
use doorward_tests::frames::{Frame, Frames, Outcome, ordinary};
use doorward_tests::h2::{H2, Reply};
use doorward_tests::openid::Proof;

use crate::house::{BUILD, FETCHES, House, OPENS, PAYROLL, SENDS, SOCKET, WIKI, ago, since};

const LOGIN: &str = "login.test";

/// A browser: a connection to each host, and each cookie in a line of its own (RFC 9113 §8.2.3).
struct Browser<'a> {
    house: &'a House,
    connections: BTreeMap<String, H2>,
    cookies: BTreeMap<(String, String), String>,
}

impl<'a> Browser<'a> {
    fn new(house: &'a House) -> Self {
        Self { house, connections: BTreeMap::new(), cookies: BTreeMap::new() }
    }

    async fn ask(&mut self, method: &str, url: &str, lines: &[(&str, &str)], body: &str) -> Reply {
        let (host, target) = split(url);
        let address = self.house.gateway.address();
        if !self.connections.contains_key(&host) {
            let connection = H2::connect_tls(address, &self.house.authority, &host).await;
            self.connections.insert(host.clone(), connection);
        }
        let crumbs: Vec<String> = self
            .cookies
            .iter()
            .filter(|((of, _), _)| *of == host)
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let fields: Vec<_> =
            lines.iter().copied().chain(crumbs.iter().map(|crumb| ("cookie", crumb.as_str()))).collect();
        let authority = format!("{host}:{}", address.port());
        let reply = self.connections[&host].ask(method, &authority, &target, &fields, body.as_bytes()).await;
        let reply = reply.unwrap_or_else(|gone| panic!("{url}: {gone:?}"));
        for line in reply.headers.get_all("set-cookie") {
            let (pair, terms) = line.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let key = (host.clone(), name.to_owned());
            if terms.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        reply
    }

    /// Opens a page and signs in on the way.
    async fn opens(&mut self, who: &str, url: &str) -> Reply {
        let mut url = url.to_owned();
        for _ in 0..12 {
            if url.starts_with(self.house.provider.url()) {
                url = self.house.provider.answer(&url, who, Proof::Code);
            }
            let reply = self.ask("GET", &url, OPENS, "").await;
            match reply.header("location") {
                None => return reply,
                Some(path) if path.starts_with('/') => url = format!("https://{}{path}", split(&url).0),
                Some(to) => url = to,
            }
        }
        panic!("it leads on and on, last to {url}");
    }
}

/// Host without port, and target.
fn split(url: &str) -> (String, String) {
    let uri: http::Uri = url.parse().unwrap_or_else(|e| panic!("{url}: {e}"));
    let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    (uri.host().unwrap().to_owned(), target.to_owned())
}

fn told(reply: &Reply) -> (u16, Option<String>) {
    (reply.status, reply.header("x-doorward-refusal"))
}

fn no(status: u16, code: &str) -> (u16, Option<String>) {
    (status, Some(code.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_signs_in_goes_on_to_another_app_and_signs_out() {
    let house = House::with(|config| {
        config.set("issuer.1.claims", serde_json::json!({"roles": "groups"}));
    })
    .await;
    house.provider.set_groups("bob", &["employee", "engineer"]);
    let mut browser = Browser::new(&house);
    assert_eq!(browser.opens("bob", "https://wiki.test/page").await.status, 200);
    assert_eq!(browser.opens("nobody is asked", "https://build.test/").await.status, 200);
    let out = "https://wiki.test/.doorward/sign-out";
    let page = browser.ask("GET", out, OPENS, "").await.text();
    let hidden = page.split("type=\"hidden\" name=\"").nth(1).unwrap_or_else(|| panic!("{page}"));
    let (name, rest) = hidden.split_once("\" value=\"").unwrap();
    let token = rest.split('"').next().unwrap();
    let origin = format!("https://wiki.test:{}", house.gateway.address().port());
    let mut lines = SENDS.to_vec();
    lines.extend([("content-type", "application/x-www-form-urlencoded"), ("origin", &origin)]);
    let before = browser.cookies.clone();
    let said = browser.ask("POST", out, &lines, &format!("{name}={token}")).await;
    assert!(said.status == 200 && said.text().contains("You are signed out"), "{}", said.text());
    assert!(!browser.cookies.contains_key(&(WIKI.to_owned(), SESSION_COOKIE.to_owned())));
    // Whoever kept the cookies has nothing, on the connections that are open.
    browser.cookies = before;
    for url in ["https://wiki.test/page", "https://build.test/"] {
        assert_eq!(told(&browser.ask("GET", url, FETCHES, "").await), no(401, "revoked"), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crumbs_are_one_cookie_and_one_connection_is_one_hosts() {
    let house = House::new().await;
    let used = BrowserSession { seen_at: ago(120), ..since(house.bob(), 600) };
    let (wiki, build) = (house.cookie(&used, WIKI), house.cookie(&used, BUILD));
    let client = H2::connect_tls(house.gateway.address(), &house.authority, WIKI).await;
    let crumbs =
        [("cookie", "a=1"), ("cookie", wiki.as_str()), ("cookie", "b=2; c=3"), FETCHES[0], FETCHES[2]];
    let reply = client.get(WIKI, "/crumbs", &crumbs).await;
    assert_eq!(told(&reply), (200, None));
    let start = format!("{SESSION_COOKIE}=");
    assert!(reply.header("set-cookie").is_some_and(|line| line.starts_with(&start)), "it is renewed");
    let at_app = house.sent("/crumbs").pop().unwrap().values("cookie");
    assert_eq!(at_app, ["a=1; b=2; c=3"], "one line, and ours is not in it");
    // Two of the name, in two crumbs, are two.
    let twice = [("cookie", wiki.as_str()), ("cookie", build.as_str())];
    assert_eq!(told(&client.get(WIKI, "/page", &twice).await), no(400, "bad_request"));
    // Another page has nothing done.
    let foreign = [("cookie", wiki.as_str()), ("sec-fetch-site", "cross-site")];
    let reply = client.ask("POST", WIKI, "/save", &foreign, b"x=1").await.unwrap();
    assert_eq!(told(&reply), no(403, "cross_site"));
    assert!(house.sent("/save").is_empty());
    // The certificate is good for all three, and a browser may try: the session of another host opens nothing here.
    for host in [BUILD, PAYROLL, LOGIN] {
        let cookie = house.cookie(&used, host);
        let reply = client.get(host, "/", &[("cookie", cookie.as_str())]).await;
        assert_eq!(told(&reply), no(421, "misdirected"), "{host}");
        assert!(reply.header("set-cookie").is_none());
    }
    assert_eq!(told(&client.get(WIKI, "/page", &[("cookie", wiki.as_str())]).await), (200, None));
}

/// WebSockets over HTTP/2 (RFC 8441) are not offered; whoever opens one all the same gets none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_websocket_is_opened_by_http2() {
    let house = House::new().await;
    let cookie = house.cookie(&house.bob(), BUILD);
    for origin in ["https://build.test", "https://evil.test"] {
        let mut frames = Frames::connect_tls(house.gateway.address(), &house.authority, BUILD).await;
        let mut fields = ordinary("CONNECT", BUILD, SOCKET);
        fields[1].1 = b"https";
        fields.insert(1, (b":protocol", b"websocket"));
        fields.extend([
            (&b"origin"[..], origin.as_bytes()),
            (b"sec-websocket-version", b"13"),
            (b"cookie", cookie.as_bytes()),
        ]);
        assert!(frames.send(&Frame::headers(1, false, &fields)).await);
        let outcome = frames.outcome(1, Duration::from_secs(30)).await;
        let is_refused = match &outcome {
            Outcome::Status(status) => *status >= 400,
            Outcome::Reset(_) | Outcome::GoAway(_) | Outcome::Closed => true,
            Outcome::Silence => false,
        };
        assert!(is_refused, "{origin}: {outcome:?}");
    }
}
