//! What is allowed but worth a look: exceptions from the guards that are on by default, and
//! settings that are easily left open by accident. Said by `doorward check` and in the log.

use std::fmt;

use doorward_model::complaint::KeyPath;
use doorward_proxy::config::AuditNeed;

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
    if config.issuers.is_empty() {
        let message = "there is no issuer: nobody can sign in, and only public routes can be reached";
        say(top.key("issuer"), message.to_owned());
    }
    for (i, listen) in config.listen.iter().enumerate() {
        if listen.certificates.is_empty() && !listen.address.ip().is_loopback() {
            let message = format!(
                "`{}` is plain HTTP beyond this machine: tokens can be read on the way",
                listen.address
            );
            say(top.key("listen").index(i), message);
        }
    }
    for app in &config.apps {
        let at = top.key("app").key(app.id.as_str());
        if app.audit == AuditNeed::BestEffort {
            say(at.key("audit"), "requests pass even when their decision cannot be recorded".to_owned());
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
