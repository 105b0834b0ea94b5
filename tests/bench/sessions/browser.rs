//! A browser that keeps its connections and its cookies, and follows redirects.

use std::collections::BTreeMap;
use std::sync::Arc;

use doorward_tests::h1::{self, H1, Response};
use doorward_tests::openid::Proof;

use crate::{APP, House};

const NAVIGATES: [(&str, &str); 4] = [
    ("accept", "text/html"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "none"),
];

/// The connections of one client, by host. Several people may use them, one after another.
pub(crate) struct Browser {
    house: Arc<House>,
    connections: BTreeMap<String, H1>,
}

/// What is kept for one person, by host.
#[derive(Default)]
struct Cookies(BTreeMap<String, BTreeMap<String, String>>);

impl Browser {
    pub(crate) fn new(house: &Arc<House>) -> Self {
        Self { house: Arc::clone(house), connections: BTreeMap::new() }
    }

    /// Somebody opens the app for the first time today. Their cookies at the app, and how many answers it took.
    pub(crate) async fn sign_in(&mut self, who: &str) -> (String, usize) {
        let mut cookies = Cookies::default();
        let (mut host, mut target) = (APP.to_owned(), "/".to_owned());
        for step in 1..=12 {
            let response = self.ask(&host, &target, &cookies.line(&host)).await;
            cookies.keep(&host, &response);
            let Some(mut to) = response.head.value("location") else {
                assert_eq!((response.status(), host.as_str()), (200, APP), "{}", response.text());
                return (cookies.line(APP), step);
            };
            if to.starts_with(self.house.provider.url()) {
                to = self.house.provider.answer(&to, who, Proof::Code);
            }
            (host, target) = self.place(&host, &to);
        }
        panic!("`{who}` is sent around");
    }

    /// One request, with what is in `Cookie`.
    pub(crate) async fn ask(&mut self, host: &str, target: &str, cookies: &str) -> Response {
        let mut fields = NAVIGATES.to_vec();
        if !cookies.is_empty() {
            fields.push(("cookie", cookies));
        }
        let address = self.house.gateway.address();
        let request = h1::request("GET", &format!("{host}:{}", address.port()), target, &fields, b"");
        for _ in 0..2 {
            if !self.connections.contains_key(host) {
                let connection = H1::connect_tls(address, &self.house.authority, host).await;
                self.connections.insert(host.to_owned(), connection);
            }
            let connection = self.connections.get_mut(host).unwrap();
            if connection.try_send(&request).await
                && let Some(response) = connection.try_response("GET").await
            {
                if response.head.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
                {
                    self.connections.remove(host);
                }
                return response;
            }
            self.connections.remove(host);
        }
        panic!("no answer from {host}{target}");
    }

    fn place(&self, from: &str, to: &str) -> (String, String) {
        if to.starts_with('/') {
            return (from.to_owned(), to.to_owned());
        }
        let (authority, path) = to.strip_prefix("https://").unwrap().split_once('/').unwrap();
        let port = format!(":{}", self.house.gateway.address().port());
        (authority.strip_suffix(&port).unwrap().to_owned(), format!("/{path}"))
    }
}

impl Cookies {
    fn line(&self, host: &str) -> String {
        let kept = self.0.get(host).into_iter().flatten();
        kept.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, host: &str, response: &Response) {
        for line in response.head.values("set-cookie") {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            let jar = self.0.entry(host.to_owned()).or_default();
            if attributes.to_ascii_lowercase().contains("max-age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
