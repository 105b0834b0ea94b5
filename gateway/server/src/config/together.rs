//! What must hold between sections of different crates.

use std::net::SocketAddr;

use doorward_model::complaint::{Complaint, KeyPath};

use super::{Written, operator};

pub(super) fn check(written: &Written, complaints: &mut Vec<Complaint>) {
    let operator_address = match written.operator.as_ref().and_then(|o| o.address.as_deref()) {
        Some(address) => address.parse().ok(),
        None => Some(operator::ADDRESS),
    };
    let nobody_trusted =
        written.network.as_ref().and_then(|n| n.trusted_proxies.as_ref()).is_none_or(Vec::is_empty);
    for (i, listen) in written.listen.iter().enumerate() {
        let at = KeyPath::top().key("listen").index(i);
        let address: Option<SocketAddr> = listen.address.parse().ok();
        if address.is_some_and(|a| a.port() != 0 && Some(a) == operator_address) {
            complaints.push(Complaint::new(
                at.key("address"),
                format!("`{}` is where operators connect", listen.address),
                "health, metrics and the operator API never share a listener with clients; use another port",
            ));
        }
        if listen.proxy_protocol == Some(true) && nobody_trusted {
            complaints.push(Complaint::new(
                at.key("proxy_protocol"),
                "PROXY protocol is required, but no proxy is trusted to speak it",
                "name your load balancers in `network.trusted_proxies`, or set `proxy_protocol = false`",
            ));
        }
    }
}
