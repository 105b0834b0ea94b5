//! The matrix itself: every way in which somebody's access ends here or does not, and what each does to
//! every credential of theirs. As data; what must be is what `docs/reference/lifecycle.md` (an edge of the
//! table), `docs/reference/signals.md` (a situation and its effect) or `docs/reference/operator-api.md` (an
//! action) say.

use serde_json::{Value, json};

use crate::cells::Cell::{self, Denied, Ended, On, Out, Over, Unknown, Void};
use crate::house::{House, Party, Word};

/// How much of what somebody has open a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every app.
    Everywhere,
    /// The app `build` only: not `build-grpc` beside it, and not `other`.
    Build,
}

/// One intake.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The line of the tables that says so.
    pub(crate) by: &'static str,
    pub(crate) act: Act,
    pub(crate) reach: Reach,
    /// What the receipt says was asked for; none where there is none.
    pub(crate) receipt: Option<&'static str>,
    /// In the order of `Credential::ALL`: own, elsewhere, service account, agent, token of ours.
    cells: [Cell; 5],
    /// The same where the directory says who people are, if that is something else.
    known: Option<[Cell; 5]>,
}

/// What is done. `Scim` is a request of the provider, `Event` a pushed security event; the rest is by an
/// operator, by their API or by the command line, or by a sender of signals.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    ScimPatch { path: Option<&'static str>, active: Says },
    ScimPut,
    ScimDelete,
    ScimRole,
    ScimGroup,
    Event { event: &'static str, said: &'static str, whom: Whom },
    LogOut { sub: bool },
    Call,
    Kill(&'static str),
    Revocation { action: &'static str, kind: &'static str, id: &'static str },
    User(&'static str),
    Lock,
    TakeApp,
    Unlink,
    StopAccount,
    StopAgent,
    RevokeKey,
    Command(&'static [&'static str]),
}

/// `active: false`, as a boolean or in the words of Microsoft Entra ID.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    Boolean,
    Text,
}

/// Whom an event names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whom {
    Person,
    /// One session of the person (SSF 1.0 §3.2, a complex subject).
    Session,
    /// One device of the person.
    Device,
}

const fn row(name: &'static str, by: &'static str, act: Act, cells: [Cell; 5]) -> Row {
    Row { name, by, act, reach: Reach::Everywhere, receipt: None, cells, known: None }
}

const fn event(
    name: &'static str,
    by: &'static str,
    event: &'static str,
    said: &'static str,
    cells: [Cell; 5],
) -> Row {
    row(name, by, Act::Event { event, said, whom: Whom::Person }, cells)
}

const fn revocation(
    name: &'static str,
    action: &'static str,
    kind: &'static str,
    id: &'static str,
    cells: [Cell; 5],
) -> Row {
    row(name, "operator-api.md: kind, action", Act::Revocation { action, kind, id }, cells)
}

const fn at_build(row: Row) -> Row {
    Row { reach: Reach::Build, ..row }
}

/// It is signed for: `docs/reference/receipt.md` says what is, and as what.
const fn signed(command: &'static str, row: Row) -> Row {
    Row { receipt: Some(command), ..row }
}

const fn known(row: Row, cells: [Cell; 5]) -> Row {
    Row { known: Some(cells), ..row }
}

/// They are out, and nothing lets them in but who says so.
const ALL_OUT: [Cell; 5] = [Out; 5];
/// They leave: their machines stop, and tokens of ours with them.
const LEFT: [Cell; 5] = [Out, Out, Out, Out, Void];
/// What they have ends, and they may sign in anew. A token of ours is not their sign-in.
const ALL_OVER: [Cell; 5] = [Over, Over, Over, Over, Ended];
const NONE: [Cell; 5] = [On; 5];
const ONE_SESSION: [Cell; 5] = [Over, On, On, On, On];
/// Nobody is known under the sign-in any more, and nobody answers for the machines under it.
const NOBODYS: [Cell; 5] = [Unknown, Unknown, Out, Unknown, Void];
/// Their machines stopped before they were forgotten.
const DELETED: [Cell; 5] = [Unknown, Unknown, Out, Out, Void];
/// Policies do not let them in any more, nor who acts for them. Service accounts have rules of their own.
const DECIDED: [Cell; 5] = [Denied, Denied, On, Denied, On];

/// Every row; `$` is the name of whom it is about.
pub(crate) const ROWS: [Row; 44] = [
    // A provider, by SCIM.
    signed(
        "deactivate",
        row(
            "scim patch, Okta",
            "T17 scim_deactivate",
            Act::ScimPatch { path: None, active: Says::Boolean },
            LEFT,
        ),
    ),
    signed(
        "deactivate",
        row(
            "scim patch, Entra",
            "T17 scim_deactivate",
            Act::ScimPatch { path: Some("active"), active: Says::Text },
            LEFT,
        ),
    ),
    signed("deactivate", row("scim put", "T17 scim_deactivate", Act::ScimPut, LEFT)),
    signed("delete", known(row("scim delete", "T20 scim_delete", Act::ScimDelete, LEFT), DELETED)),
    // A transmitter, by security events.
    signed(
        "cut_off",
        event(
            "ssf session-revoked",
            "session-revoked: revoke",
            "caep/event-type/session-revoked",
            "{}",
            ALL_OVER,
        ),
    ),
    signed(
        "cut_off",
        row(
            "ssf session-revoked, one",
            "session-revoked: revoke; complex subject",
            Act::Event { event: "caep/event-type/session-revoked", said: "{}", whom: Whom::Session },
            ONE_SESSION,
        ),
    ),
    signed(
        "cut_off",
        event(
            "ssf credential revoked",
            "credential-removed: revoke",
            "caep/event-type/credential-change",
            r#"{"credential_type": "password", "change_type": "revoke"}"#,
            ALL_OVER,
        ),
    ),
    event(
        "ssf credential updated",
        "credential-updated: record",
        "caep/event-type/credential-change",
        r#"{"credential_type": "password", "change_type": "update"}"#,
        NONE,
    ),
    signed(
        "cut_off",
        event(
            "ssf assurance lowered",
            "assurance-lowered: step-up",
            "caep/event-type/assurance-level-change",
            r#"{"namespace": "NIST-AAL", "current_level": "nist-aal1", "previous_level": "nist-aal2",
            "change_direction": "decrease"}"#,
            ALL_OVER,
        ),
    ),
    event(
        "ssf claims changed",
        "claims-changed: refresh",
        "caep/event-type/token-claims-change",
        r#"{"claims": {"department": "sales"}}"#,
        NONE,
    ),
    row(
        "ssf device not compliant",
        "device-not-compliant: observe",
        Act::Event {
            event: "caep/event-type/device-compliance-change",
            said: r#"{"previous_status": "compliant", "current_status": "not-compliant"}"#,
            whom: Whom::Device,
        },
        NONE,
    ),
    signed(
        "cut_off",
        event(
            "ssf risk high",
            "risk-high: revoke",
            "caep/event-type/risk-level-change",
            r#"{"principal": "USER", "current_level": "HIGH"}"#,
            ALL_OVER,
        ),
    ),
    signed(
        "hold",
        event(
            "ssf account-disabled",
            "account-disabled: hold",
            "risc/event-type/account-disabled",
            "{}",
            ALL_OUT,
        ),
    ),
    signed(
        "hold",
        event("ssf account-purged", "account-purged: hold", "risc/event-type/account-purged", "{}", ALL_OUT),
    ),
    signed(
        "cut_off",
        event(
            "ssf sessions-revoked",
            "sessions-revoked: revoke",
            "risc/event-type/sessions-revoked",
            "{}",
            ALL_OVER,
        ),
    ),
    signed(
        "hold",
        event(
            "ssf credential-compromise",
            "credential-compromised: hold",
            "risc/event-type/credential-compromise",
            r#"{"credential_type": "password"}"#,
            ALL_OUT,
        ),
    ),
    event(
        "ssf recovery-activated",
        "recovery-activated: alert",
        "risc/event-type/recovery-activated",
        "{}",
        NONE,
    ),
    // Logout, global token revocation, the kill webhook.
    signed("cut_off", row("logout by sub", "session-revoked: revoke", Act::LogOut { sub: true }, ALL_OVER)),
    signed(
        "cut_off",
        row("logout by sid", "session-revoked: revoke", Act::LogOut { sub: false }, ONE_SESSION),
    ),
    signed("cut_off", row("global token revocation", "sessions-revoked: revoke", Act::Call, ALL_OVER)),
    signed("cut_off", row("webhook revoke", "effect revoke", Act::Kill("revoke"), ALL_OVER)),
    signed("hold", row("webhook hold", "effect hold", Act::Kill("hold"), ALL_OUT)),
    // An operator, past the directory.
    revocation("api revoke user", "revoke", "user", "demo:$", ALL_OVER),
    revocation("api disable user", "disable", "user", "demo:$", ALL_OUT),
    revocation("api revoke session", "revoke", "session", "demo:s-$", ONE_SESSION),
    revocation("api revoke token", "revoke", "token", "demo:t-$", ONE_SESSION),
    revocation("api revoke device", "revoke", "device", "d-$", ONE_SESSION),
    revocation("api revoke account", "revoke", "user", "robots:r-$", [On, On, Over, On, Over]),
    revocation("api disable agent", "disable", "user", "demo:a-$", [On, On, On, Out, On]),
    at_build(revocation("api revoke user at app", "revoke", "user_at_app", "build@demo:$", ALL_OVER)),
    // An operator, by the directory.
    signed("suspend", row("api suspend", "T15 suspend", Act::User("suspend"), ALL_OUT)),
    signed("lock", row("api lock", "T13 lock", Act::Lock, ALL_OUT)),
    signed("hold", row("api hold", "T21 hold_set", Act::User("hold"), ALL_OUT)),
    signed("deactivate", row("api deactivate", "T17 deactivate", Act::User("deactivate"), LEFT)),
    signed("end_sessions", row("api end-sessions", "T24 end_sessions", Act::User("end-sessions"), ALL_OVER)),
    signed("remove_app", at_build(row("api take app", "T12 take_app", Act::TakeApp, ALL_OVER))),
    signed("unlink", known(row("api unlink", "T25 unlink", Act::Unlink, LEFT), NOBODYS)),
    row("api stop account", "service account: stop", Act::StopAccount, [On, On, Out, On, Void]),
    row("api stop agent", "agent: stop", Act::StopAgent, [On, On, On, Out, On]),
    row("api revoke key", "token of a service account: revoke", Act::RevokeKey, [On, On, On, On, Void]),
    // What policies read: of a person who is who their token says nothing changes.
    known(row("scim role removed", "T11 take_role", Act::ScimRole, NONE), DECIDED),
    signed(
        "remove_group",
        known(row("scim group removed", "T11 remove_group", Act::ScimGroup, NONE), DECIDED),
    ),
    // The command line.
    signed(
        "deactivate",
        row("cli user deactivate", "T17 deactivate", Act::Command(&["user", "deactivate", "demo:$"]), LEFT),
    ),
    row("cli revoke user", "operator-api.md: revoke", Act::Command(&["revoke", "user", "demo:$"]), ALL_OVER),
];

// === impl Row ===

impl Row {
    /// What becomes of each credential.
    pub(crate) fn cells(&self, word: Word) -> [Cell; 5] {
        match word {
            Word::Token => self.cells,
            Word::Known => self.known.unwrap_or(self.cells),
        }
    }
}

// === impl Act ===

impl Act {
    /// What must be so before anything is opened.
    pub(crate) async fn prepare(self, house: &House, party: &Party) {
        match self {
            Self::TakeApp => {
                house.operate("PUT", &format!("/api/v1/users/{}/apps/build", party.id), json!({})).await;
            }
            Self::ScimGroup => {
                let body = json!({"displayName": "team", "members": [{"value": party.id}]});
                let answer = house.provider.ask("POST", "/Groups", Some(&body)).await;
                assert_eq!(answer.status(), 201, "{}", answer.text());
            }
            Self::ScimPatch { .. }
            | Self::ScimPut
            | Self::ScimDelete
            | Self::ScimRole
            | Self::Event { .. }
            | Self::LogOut { .. }
            | Self::Call
            | Self::Kill(_)
            | Self::Revocation { .. }
            | Self::User(_)
            | Self::Lock
            | Self::Unlink
            | Self::StopAccount
            | Self::StopAgent
            | Self::RevokeKey
            | Self::Command(_) => {}
        }
    }

    /// Does it, and returns when it is acknowledged.
    pub(crate) async fn happen(self, house: &House, party: &Party) {
        let (name, id, senders) = (&party.name, &party.id, &house.senders);
        let (jti, subject) = (format!("m-{name}"), senders.subject(name));
        let user = |what: &str| format!("/api/v1/users/{id}/{what}");
        match self {
            Self::ScimPatch { .. } | Self::ScimPut | Self::ScimDelete | Self::ScimRole | Self::ScimGroup => {
                self.by_scim(house, party).await;
            }
            Self::Event { event, said, whom } => {
                let with = |member: &str, id: String| {
                    let part = json!({"format": "opaque", "id": id});
                    json!({"format": "complex", "user": subject, member: part})
                };
                let subject = match whom {
                    Whom::Person => subject,
                    Whom::Session => with("session", format!("s-{name}")),
                    Whom::Device => with("device", format!("d-{name}")),
                };
                senders.push(&jti, event, serde_json::from_str(said).unwrap(), &subject).await;
            }
            Self::LogOut { sub: true } => senders.log_out(&jti, json!({ "sub": name })).await,
            Self::LogOut { sub: false } => senders.log_out(&jti, json!({"sid": format!("s-{name}")})).await,
            Self::Call => senders.call(&jti, &subject).await,
            Self::Kill(action) => senders.kill(&jti, action, &subject).await,
            Self::Revocation { action, kind, id } => {
                let target = json!({"kind": kind, "id": id.replace('$', name)});
                let body = json!({"target": target, "action": action, "cause": "test"});
                house.operate("POST", "/api/v1/revocations", body).await;
            }
            Self::User(action) => drop(house.operate("POST", &user(action), json!({})).await),
            Self::Lock => drop(house.operate("POST", &user("lock"), json!({"seconds": 600})).await),
            Self::TakeApp => drop(house.operate("DELETE", &user("apps/build"), json!({})).await),
            Self::Unlink => {
                drop(house.operate("DELETE", &user(&format!("links/demo:{name}")), json!({})).await)
            }
            Self::StopAccount => {
                let path = format!("/api/v1/service-accounts/{}/stop", party.account);
                house.operate("POST", &path, json!({})).await;
            }
            Self::StopAgent => {
                house.operate("POST", &format!("/api/v1/agents/{}/stop", party.agent), json!({})).await;
            }
            Self::RevokeKey => {
                let key = format!("/api/v1/service-accounts/{}/tokens/{}", party.account, party.key_name);
                house.operate("DELETE", &key, json!({})).await;
            }
            Self::Command(words) => {
                let words: Vec<String> = words.iter().map(|word| word.replace('$', name)).collect();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let output = house.nodes[0].command(&words).await;
                assert_eq!(output.code, Some(0), "{words:?}: {}{}", output.stdout, output.stderr);
            }
        }
    }

    async fn by_scim(self, house: &House, party: &Party) {
        let user = format!("/Users/{}", party.id);
        let answer = match self {
            Self::ScimPatch { path, active } => {
                let active = match active {
                    Says::Boolean => json!(false),
                    Says::Text => json!("False"),
                };
                house.provider.say_active(&party.id, &active, path).await
            }
            Self::ScimPut => {
                let mut whole = house.provider.ask("GET", &user, None).await.json();
                whole["active"] = json!(false);
                house.provider.ask("PUT", &user, Some(&whole)).await
            }
            Self::ScimDelete => house.provider.ask("DELETE", &user, None).await,
            Self::ScimRole => {
                patch(house, &user, json!({"op": "remove", "path": "roles[value eq \"engineer\"]"})).await
            }
            Self::ScimGroup => {
                let found = "/Groups?filter=displayName%20eq%20%22team%22";
                let found = house.provider.ask("GET", found, None).await.json();
                let group = format!("/Groups/{}", found["Resources"][0]["id"].as_str().unwrap());
                let path = format!("members[value eq \"{}\"]", party.id);
                patch(house, &group, json!({"op": "remove", "path": path})).await
            }
            other => panic!("{other:?} is not by SCIM"),
        };
        assert!(matches!(answer.status(), 200 | 204), "{self:?}: {}", answer.text());
    }
}

async fn patch(house: &House, path: &str, operation: Value) -> doorward_tests::h1::Response {
    let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
    let body = json!({"schemas": [schema], "Operations": [operation]});
    house.provider.ask("PATCH", path, Some(&body)).await
}
