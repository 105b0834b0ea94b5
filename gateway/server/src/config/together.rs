//! What must hold between sections of different crates.

use std::net::SocketAddr;
use std::path::Path;

use doorward_model::complaint::{Complaint, KeyPath};
use doorward_proxy::config::CertificateFiles;
use doorward_proxy::listen::{CertificateError, Certificates};

use super::{Written, operator};

pub(super) fn check(written: &Written, base_dir: &Path, complaints: &mut Vec<Complaint>) {
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
        if listen.decides == Some(true) && nobody_trusted {
            complaints.push(Complaint::new(
                at.key("decides"),
                "other proxies are to ask here, but none is trusted to",
                "name them in `network.trusted_proxies`, or set `decides = false`",
            ));
        }
    }
    directory(written, complaints);
    sign_in(written, nobody_trusted, complaints);
    intake(written, operator_address, complaints);
    signals(written, complaints);
    certificates(written, base_dir, complaints);
    client_certificates(written, complaints);
}

/// Provisioning clients have an address of their own, and a directory behind it.
fn intake(written: &Written, operator: Option<SocketAddr>, complaints: &mut Vec<Complaint>) {
    let Some(section) = &written.intake else { return };
    let at = KeyPath::top().key("intake");
    let address: Option<SocketAddr> = section.address.as_deref().and_then(|a| a.parse().ok());
    if let Some(address) = address.filter(|a| a.port() != 0) {
        let shared = |other: &str| other.parse() == Ok(address);
        if Some(address) == operator || written.listen.iter().any(|listen| shared(&listen.address)) {
            complaints.push(Complaint::new(
                at.key("address"),
                format!("`{address}` is listened on for others"),
                "provisioning clients never share a listener; use another port",
            ));
        }
    }
    if written.revocation.as_ref().and_then(|r| r.directory.as_deref()) == Some("none") {
        complaints.push(Complaint::new(
            at,
            "this node has no directory that people could be provisioned into",
            "let clients connect to a control node, and remove `[intake]` here",
        ));
    }
}

/// Whoever sends signals needs an address to send them to.
fn signals(written: &Written, complaints: &mut Vec<Complaint>) {
    let Some(section) = &written.signals else { return };
    let at = KeyPath::top().key("signals");
    let none = section.stream.is_empty()
        && section.logout.is_empty()
        && section.revocation.is_empty()
        && section.posture.is_empty()
        && section.webhook.is_empty();
    if none {
        complaints.push(Complaint::new(
            at,
            "`[signals]` names nobody who may send any",
            "add a `[[signals.stream]]`, `[[signals.logout]]`, `[[signals.revocation]]`, `[[signals.posture]]` or \
             `[[signals.webhook]]`, or remove it",
        ));
    } else if written.revocation.as_ref().and_then(|r| r.directory.as_deref()) == Some("none") {
        complaints.push(Complaint::new(
            at,
            "this node has no directory, so that it could not carry signals out",
            "let senders call a control node, and remove `[signals]` here",
        ));
    } else if written.intake.is_none() {
        complaints.push(Complaint::new(
            at,
            "nobody listens for signals: there is no `[intake]`",
            "add `[intake]` with an `address`: senders call `/signals/…` there",
        ));
    }
}

/// Whoever signs in needs a provider, a host that is nobody else's, and TLS.
fn sign_in(written: &Written, nobody_trusted: bool, complaints: &mut Vec<Complaint>) {
    let providers: Vec<_> = written.issuer.iter().filter(|i| i.sign_in.is_some()).collect();
    for (i, app) in written.app.iter().enumerate() {
        let Some(named) = &app.provider else { continue };
        if !providers.iter().any(|issuer| issuer.id.as_ref() == Some(named)) {
            complaints.push(Complaint::new(
                KeyPath::top().key("app").index(i).key("provider"),
                format!("nobody signs in with a browser at `{}`", named.escape_debug()),
                "name the `id` of an `[[issuer]]` with `[issuer.sign_in]`, or remove it",
            ));
        }
    }
    let at = KeyPath::top().key("sign_in");
    let Some(section) = &written.sign_in else {
        if let Some(i) = written.issuer.iter().position(|issuer| issuer.sign_in.is_some()) {
            complaints.push(Complaint::new(
                KeyPath::top().key("issuer").index(i).key("sign_in"),
                "nothing says where people sign in: there is no `[sign_in]`",
                "add `[sign_in]` with `url = \"https://login.corp.example\"`",
            ));
        }
        return;
    };
    if providers.is_empty() {
        complaints.push(Complaint::new(
            at.clone(),
            "nobody could sign in: no `[[issuer]]` has `[issuer.sign_in]`",
            "add it, with `client_id` and what proves that this gateway is that client",
        ));
    }
    if nobody_trusted && written.listen.iter().all(|listen| listen.certificate.is_none()) {
        complaints.push(Complaint::new(
            at.clone(),
            "no listener speaks TLS, and no proxy is trusted to: browsers keep the cookies of https only",
            "add `[[listen.certificate]]`, or name the proxy that ends TLS in `network.trusted_proxies`",
        ));
    }
    let revocation = written.revocation.as_ref();
    if section.key_files.is_none() && revocation.is_some_and(|r| r.redis.is_some() || r.postgres.is_some()) {
        complaints.push(Complaint::new(
            at.key("key_files"),
            "each node would make a key of its own, and none would open what another one sealed",
            "make one (`openssl rand -base64 32`), give it to every node and name it in `key_files`",
        ));
    }
    let address = section.url.as_deref().unwrap_or_default().to_ascii_lowercase();
    let authority = address.strip_prefix("https://").unwrap_or_default();
    let host = authority.split(['/', ':']).next().unwrap_or_default();
    let owner = written.app.iter().find(|app| app.hosts.iter().any(|h| h.eq_ignore_ascii_case(host)));
    if let Some(app) = owner {
        complaints.push(Complaint::new(
            at.key("url"),
            format!("`{host}` is a host of the app `{}`", app.id.escape_debug()),
            "choose a host of its own: an app there could read how people sign in",
        ));
    }
}

/// Whoever is excepted must be somebody.
fn directory(written: &Written, complaints: &mut Vec<Complaint>) {
    let Some(section) = &written.directory else { return };
    let at = KeyPath::top().key("directory");
    for (i, name) in section.token_for.iter().flatten().enumerate() {
        if !written.issuer.iter().any(|issuer| issuer.id.as_deref() == Some(name)) {
            complaints.push(Complaint::new(
                at.key("token_for").index(i),
                format!("there is no issuer `{}`", name.escape_debug()),
                "name the `id` of an `[[issuer]]`, or remove it",
            ));
        }
    }
}

/// An app that wants certificates of devices needs a listener that asks for them.
fn client_certificates(written: &Written, complaints: &mut Vec<Complaint>) {
    if written.listen.iter().any(|listen| listen.client_certificates.is_some()) {
        return;
    }
    for (i, app) in written.app.iter().enumerate() {
        if app.client_certificate.as_deref() == Some("required") {
            complaints.push(Complaint::new(
                KeyPath::top().key("app").index(i).key("client_certificate"),
                "no listener asks for certificates, so nobody can come in",
                "add `[listen.client_certificates]` with `ca_files` to a `[[listen]]`",
            ));
        }
    }
}

/// Opens every certificate with its key, as listening would: each that cannot be served is told.
fn certificates(written: &Written, base_dir: &Path, complaints: &mut Vec<Complaint>) {
    for (i, listen) in written.listen.iter().enumerate() {
        for (n, pair) in listen.certificate.iter().flatten().enumerate() {
            let files = CertificateFiles { chain: base_dir.join(&pair.chain), key: base_dir.join(&pair.key) };
            // Files that are not there were told by the section's own check.
            if !files.chain.exists() || !files.key.exists() {
                continue;
            }
            let key_file = files.key.display().to_string();
            let Err(error) = Certificates::open(vec![files]) else { continue };
            let (key, help) = match &error {
                CertificateError::File { file, .. } => {
                    let key = if *file == key_file { "key" } else { "chain" };
                    (key, "name a PEM file that this user may read")
                }
                CertificateError::Pair { .. } => ("key", "name the key that the certificate was made for"),
                CertificateError::NoName { .. } | CertificateError::Clients(_) => {
                    ("chain", "make one for the names that clients ask for")
                }
            };
            let at = KeyPath::top().key("listen").index(i).key("certificate").index(n).key(key);
            complaints.push(Complaint::new(at, error.to_string(), help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GOOD, folder, report};

    const PROVIDER: &str =
        "\n[issuer.sign_in]\nclient_id = \"doorward-browser\"\nclient_secret_file = \"corp.secret\"\n";
    const SIGN_IN: &str = "\n[sign_in]\nurl = \"https://login.corp.example\"\n";
    const PROXY: &str =
        "\n[network]\ntrusted_proxies = [\"10.0.0.5\"]\nclient_address_header = \"x-forwarded-for\"\n";

    const REDIS: &str = "\n[revocation.redis]\naddresses = [\"127.0.0.1:6379\"]\n";

    /// A good file with a provider at its issuer, and more behind it.
    fn with(more: &str) -> String {
        let dir = folder();
        let secret = dir.path().join("corp.secret");
        std::fs::write(&secret, "a secret of more than thirty-two letters\n").unwrap();
        std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        report(&dir, &format!("{}{more}", GOOD.replace("\n[policy]", &format!("{PROVIDER}\n[policy]"))))
    }

    #[test]
    fn who_signs_in_needs_a_provider_a_host_and_tls() {
        assert_eq!(with(&format!("{SIGN_IN}{PROXY}")), "");
        let app = SIGN_IN.replace("login.", "payroll.");
        for (more, says) in [
            (PROXY.to_owned(), "nothing says where people sign in: there is no `[sign_in]`"),
            (SIGN_IN.to_owned(), "no listener speaks TLS, and no proxy is trusted to"),
            (format!("{app}{PROXY}"), "`payroll.corp.example` is a host of the app `payroll`"),
            (format!("{SIGN_IN}{PROXY}{REDIS}"), "each node would make a key of its own"),
        ] {
            let told = with(&more);
            assert!(told.contains(says), "{more}: {told}");
        }
        let told = report(&folder(), &format!("{GOOD}{SIGN_IN}{PROXY}"));
        assert!(told.contains("nobody could sign in: no `[[issuer]]` has `[issuer.sign_in]`"), "{told}");
        let told = report(&folder(), &GOOD.replace("hosts =", "provider = \"corp\"\nhosts ="));
        assert!(told.contains("nobody signs in with a browser at `corp`"), "{told}");
    }

    #[test]
    fn nodes_that_share_a_directory_and_not_the_sessions_are_remarked() {
        let dir = folder();
        let owners = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        for (name, holds) in [
            ("corp.secret", "a secret of more than thirty-two letters\n"),
            ("postgres.password", "a password\n"),
            ("session.key", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"),
        ] {
            std::fs::write(dir.path().join(name), holds).unwrap();
            std::fs::set_permissions(dir.path().join(name), Clone::clone(&owners)).unwrap();
        }
        let remarks = |more: &str| {
            let keys = "key_files = [\"session.key\"]\n";
            let postgres = "\n[revocation]\ndirectory = \"postgres\"\n[revocation.postgres]\naddress = \
                            \"db.corp.example:5432\"\npassword_file = \"postgres.password\"\n";
            let good = GOOD.replace("\n[policy]", &format!("{PROVIDER}\n[policy]"));
            let text = format!("{good}{SIGN_IN}{keys}{PROXY}{postgres}{more}");
            let checked = super::super::check(&text, std::path::Path::new("x"), dir.path());
            let config = checked.map_err(|bad| bad.report(super::super::Show::Plain)).unwrap();
            config.remarks.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let told = "sign_in: each node keeps records of sessions of its own: where there are several, clients must \
                    always come to the same one, or set `[revocation.redis]`";
        assert!(remarks("").iter().any(|remark| remark == told), "{:?}", remarks(""));
        let plain = format!("{REDIS}tls = false\n");
        assert!(
            !remarks(&plain).iter().any(|remark| remark.starts_with("sign_in:")),
            "{:?}",
            remarks(&plain)
        );
    }

    #[test]
    fn somebody_must_be_trusted_to_ask() {
        let asks = GOOD.replacen("[[listen]]\n", "[[listen]]\ndecides = true\n", 1);
        let told = report(&folder(), &asks);
        assert!(told.contains("other proxies are to ask here, but none is trusted to"), "{told}");
        assert_eq!(report(&folder(), &format!("{asks}{PROXY}")), "");
    }
}
