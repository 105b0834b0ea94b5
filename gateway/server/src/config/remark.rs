//! What is allowed but worth a look: exceptions from the guards that are on by default, and
//! settings that are easily left open by accident. Said by `doorward check` and in the log.

use std::fmt;

use doorward_identity::config::Issuer;
use doorward_model::complaint::KeyPath;
use doorward_proxy::config::{AuditNeed, Freshness, PeopleFrom};
use doorward_state::StoreConfig;

use super::Config;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The key it is about.
    pub at: KeyPath,
    /// What it means.
    pub message: String,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

pub(super) fn all(config: &Config) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut say = |at: KeyPath, message: String| remarks.push(Remark { at, message });
    let top = KeyPath::top();
    if config.operator.token.is_none() {
        let message = "no token: the operator API is closed, and nobody can be revoked by command";
        say(top.key("operator").key("token_file"), message.to_owned());
    }
    if !config.operator.address.ip().is_loopback() {
        let message =
            "the operator API speaks plain HTTP beyond this machine; put TLS or a private network in front";
        say(top.key("operator").key("address"), message.to_owned());
    }
    if let Some(intake) = &config.intake
        && intake.certificates.is_empty()
        && !intake.address.ip().is_loopback()
    {
        let message = "provisioning is plain HTTP beyond this machine: its tokens can be read on the way, and whoever \
                       reads one can let anybody in";
        say(top.key("intake").key("plain_http"), message.to_owned());
    }
    if config.intake.as_ref().is_some_and(|intake| intake.guard.percent_max >= 100) {
        let message =
            "a source may take everybody's access away at once, by mistake too, and nobody is asked";
        say(top.key("intake").key("loss_percent_max"), message.to_owned());
    }
    for (i, stream) in config.signals.streams.iter().enumerate() {
        if !stream.contact().watch().is_kept() {
            let message = format!(
                "nobody notices when the transmitter of `{}` falls silent: set `verify_minutes`, or `silent_hours` \
                 where it cannot be asked",
                stream.sender().id()
            );
            say(top.key("signals").key("stream").index(i), message);
        }
    }
    if config.issuers.is_empty() {
        let message = "there is no issuer: nobody can sign in, and only public routes can be reached";
        say(top.key("issuer"), message.to_owned());
    }
    alone(config, &mut say);
    joining(config, &mut say);
    logouts(config, &mut say);
    unasked(config, &mut say);
    if let PeopleFrom::Directory { token_for } = &config.people {
        for (i, issuer) in token_for.iter().enumerate() {
            let message = format!(
                "whoever `{issuer}` vouches for is let in as the token says, though the directory does not know \
                 them"
            );
            say(top.key("directory").key("token_for").index(i), message);
        }
    }
    if config.streams.outlive_token {
        let message = "what runs goes on after its token has expired, for as long as the policies let it";
        say(top.key("streams").key("outlive_token"), message.to_owned());
    }
    for (i, listen) in config.listen.iter().enumerate() {
        if listen.certificates.is_empty() && !listen.address.ip().is_loopback() {
            let message = format!(
                "`{}` is plain HTTP beyond this machine: tokens can be read on the way",
                listen.address
            );
            say(top.key("listen").index(i), message);
        }
        if listen.clients.as_ref().is_some_and(|clients| clients.crl_files.is_empty()) {
            let message = "no revocation list: the certificate of a lost device is good until it ends, or until the \
                           device is blocked here";
            let at = top.key("listen").index(i).key("client_certificates").key("crl_files");
            say(at, message.to_owned());
        }
    }
    for app in &config.apps {
        let at = top.key("app").key(app.id.as_str());
        if app.audit == AuditNeed::BestEffort {
            say(at.key("audit"), "requests pass even when their decision cannot be recorded".to_owned());
        }
        if let Freshness::Lease { stale_max } = app.freshness
            && !stale_max.is_zero()
        {
            let message = format!(
                "while it cannot be known who was cut off, whoever was is let in for up to {} s",
                stale_max.as_secs()
            );
            say(at.key("stale_seconds_max"), message);
        }
        if app.pass_token {
            say(at.key("pass_token"), "the app sees bearer tokens and could use them elsewhere".to_owned());
        }
        if app.lenient_path {
            say(at.key("lenient_path"), "paths that apps read in different ways are let through".to_owned());
        }
        if app.case_sensitive_paths {
            let message =
                "a path passes that is another route's but for its case: the app must never ignore case";
            say(at.key("case_sensitive_paths"), message.to_owned());
        }
    }
    remarks
}

/// Nodes that share a directory and not the records of sessions.
fn alone(config: &Config, say: &mut impl FnMut(KeyPath, String)) {
    let revocation = &config.revocation;
    let shared = matches!(revocation.store(), StoreConfig::Postgres(_));
    if config.sign_in.is_some() && shared && revocation.redis().is_none() {
        let message = "each node keeps records of sessions of its own: where there are several, clients must always come \
                       to the same one, or set `[revocation.redis]`";
        say(KeyPath::top().key("sign_in"), message.to_owned());
    }
}

/// Providers that may give nothing by which they can be asked later.
fn unasked(config: &Config, say: &mut impl FnMut(KeyPath, String)) {
    for (i, issuer) in
        config.issuers.iter().enumerate().filter(|(_, issuer)| issuer.may_keep_refresh_tokens())
    {
        let message = format!(
            "`offline_access` is not asked for: unless `{}` gives a refresh token all the same, nobody asks it whether a \
             person is still there, and whom it alone cuts off stays in until the session ends; `revalidate = false` \
             where that is meant",
            issuer.id()
        );
        say(KeyPath::top().key("issuer").index(i).key("sign_in").key("scopes"), message);
    }
}

/// Logouts that say `sub` of people who are not named by it.
fn logouts(config: &Config, say: &mut impl FnMut(KeyPath, String)) {
    let at = KeyPath::top().key("signals").key("logout");
    for (i, sender) in config.signals.logouts.iter().enumerate() {
        let people = config.issuers.iter().find(|issuer| Some(issuer.id()) == sender.sole_people());
        if let Some(claim) = people.and_then(Issuer::names_people_by) {
            let message = format!(
                "people are named by `{claim}` there, so that a logout reaches them by the `sid` of a session only, and \
                 not by `sub`"
            );
            say(at.index(i), message);
        }
    }
}

/// For which addresses somebody's word counts who may not be the only one with such addresses.
fn joining(config: &Config, say: &mut impl FnMut(KeyPath, String)) {
    let top = KeyPath::top();
    for (i, issuer) in config.issuers.iter().enumerate() {
        let at = top.key("issuer").index(i);
        let (id, vouches) = (issuer.id(), issuer.vouches());
        for (n, domain) in vouches.email_domains.iter().enumerate() {
            if domain.is_public() {
                let message = match vouches.first_sign_in {
                    true => format!(
                        "anybody can have an address in `{domain}`, and whoever `{id}` calls its owner becomes a person \
                         here"
                    ),
                    false => format!(
                        "anybody can have an address in `{domain}`: an invitation to one is accepted by whoever `{id}` \
                         calls its owner"
                    ),
                };
                say(at.key("email_domains").index(n), message);
            }
            let before = config.issuers.iter().take(i).map(|other| (other.id(), other.vouches()));
            for (other, _) in before.filter(|(_, other)| other.email_domains.contains(domain)) {
                let message = format!(
                    "`{id}` and `{other}` both speak for `{domain}`: an address there is whose either of them says"
                );
                say(at.key("email_domains").index(n), message);
            }
        }
        if vouches.first_sign_in && config.people == PeopleFrom::Token {
            let message =
                "nobody becomes known by signing in, because `directory.people` is \"token\"".to_owned();
            say(at.key("first_sign_in"), message);
        }
    }
}
