//! Another proxy, as far as it asks.

use doorward_tests::gateway::Config;
use doorward_tests::h1::{H1, Response};
use serde_json::json;

use crate::house::House;

/// Where clients of the other proxy are, as it says: the company's network.
pub(crate) const CLIENT: &str = "127.0.0.9";

/// How it says what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As nginx is configured to.
    Nginx,
    /// As Traefik and Caddy do.
    Traefik,
}

pub(crate) const BOTH: [Manner; 2] = [Manner::Nginx, Manner::Traefik];

/// A listener besides, which decides.
pub(crate) fn decides(config: &mut Config) {
    config.trust_local_proxy().add("listen", json!({"decides": true}));
}

pub(crate) async fn house() -> House {
    House::with(decides).await
}

/// The lines by which a question says what is asked for.
pub(crate) fn lines(
    manner: Manner,
    (method, host, target): (&str, &str, &str),
) -> Vec<(&'static str, String)> {
    let mut lines = match manner {
        Manner::Nginx => {
            vec![("x-original-url", format!("https://{host}{target}")), ("x-original-method", method.into())]
        }
        Manner::Traefik => vec![
            ("x-forwarded-method", method.into()),
            ("x-forwarded-proto", "https".into()),
            ("x-forwarded-host", host.into()),
            ("x-forwarded-uri", target.into()),
        ],
    };
    lines.push(("x-forwarded-for", CLIENT.into()));
    lines
}

/// A connection to where it is decided.
pub(crate) async fn connect(house: &House) -> H1 {
    H1::connect(house.gateway.listener(1)).await
}

/// Asks on a connection that is there.
pub(crate) async fn ask_on(
    connection: &mut H1,
    manner: Manner,
    what: (&str, &str, &str),
    cookie: &str,
    more: &[(&str, &str)],
) -> Response {
    let said = lines(manner, what);
    let mut all: Vec<(&str, &str)> = said.iter().map(|(name, value)| (*name, value.as_str())).collect();
    if !cookie.is_empty() {
        all.push(("cookie", cookie));
    }
    all.extend(more);
    connection.ask("GET", "gateway.internal", "/", &all).await
}

/// Asks whether something may pass.
pub(crate) async fn ask(
    house: &House,
    manner: Manner,
    what: (&str, &str, &str),
    cookie: &str,
    more: &[(&str, &str)],
) -> Response {
    ask_on(&mut connect(house).await, manner, what, cookie, more).await
}
