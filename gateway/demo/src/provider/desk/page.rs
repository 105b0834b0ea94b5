//! What the desk shows. Whoever is asked for presses a name; nothing else has to be filled in.

use super::super::{PEOPLE, Person};
use super::Proof;
use super::asked::Asked;
use crate::page::{document, escape};

/// Who can sign in here. Erin's people sign in elsewhere.
pub(super) fn people() -> impl Iterator<Item = &'static Person> {
    PEOPLE.iter().filter(|person| !person.roles.is_empty())
}

/// The page that asks who somebody wants to be.
pub(super) fn choose(asked: &Asked, before: Option<&Person>) -> String {
    let meant = asked.wanted.unwrap_or(Proof::Mfa);
    let why = match asked.wanted {
        Some(wanted) => format!(
            "<p class=\"note\">A policy wants more: <strong>{}</strong>. Choose less, and see that asking for it \
             was not enough.</p>",
            wanted.words()
        ),
        None if asked.recent => "<p class=\"note\">A policy wants you to sign in again.</p>".to_owned(),
        None => String::new(),
    };
    let proofs: String = Proof::ALL
        .iter()
        .map(|proof| {
            let chosen = if *proof == meant { " selected" } else { "" };
            format!("<option value=\"{}\"{chosen}>{}</option>", proof.acr(), proof.words())
        })
        .collect();
    let names: String = people()
        .map(|person| {
            let here = if before.is_some_and(|b| b.name == person.name) { ", signed in here" } else { "" };
            format!(
                "<li><button name=\"person\" value=\"{name}\" aria-describedby=\"{name}\">{full}</button>\
                 <span id=\"{name}\">{about}{here}</span></li>\n",
                name = person.name,
                full = escape(person.full_name),
                about = escape(person.about),
            )
        })
        .collect();
    document(
        "Sign in as anybody",
        &format!(
            "<h1>Sign in as anybody</h1>\n\
             <p>The demo's own provider, and for nothing else: it asks for no password, and listens on this machine only.</p>\n{why}\
             <form method=\"post\">\n\
             <p><label for=\"proof\">Proving it with</label>\n<select id=\"proof\" name=\"proof\">{proofs}</select></p>\n\
             <ul class=\"people\">\n{names}</ul>\n\
             <p><button class=\"quiet\" name=\"cancel\" value=\"yes\">Cancel</button></p>\n</form>\n"
        ),
    )
}

/// The page for a request that nobody here knows.
pub(super) fn stranger(why: &str) -> String {
    document(
        "That cannot be answered",
        &format!(
            "<h1>That cannot be answered</h1>\n<p>The request is not the demo's: {}.</p>\n",
            escape(why)
        ),
    )
}

/// The page after a sign-out that leads nowhere else.
pub(super) fn signed_out() -> String {
    document("Signed out", "<h1>Signed out</h1>\n<p>Nobody is signed in here with this browser now.</p>\n")
}
