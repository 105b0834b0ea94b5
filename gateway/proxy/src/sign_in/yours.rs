//! What people see of their own sessions, on every device, and how they end one.
//!
//! It is shown where people sign in, and nowhere else: whatever the gateway shows at the host of an app, a page of that
//! app could read, and any form there it could send.
//!
//! That somebody is signed in is said by the cookie. The list is the store's; where that cannot be asked, the page says so
//! and is a page all the same.

use std::time::Duration;

use doorward_identity::BrowserSession;
use doorward_identity::session::SessionKey;
use doorward_model::{
    AppId, Assurance, AuthSession, CountryCode, Presented, Refusal, RefusalCode, Target, UnixMillis,
};
use doorward_state::{Refused, SessionRecord};
use http::StatusCode;

use super::attempts::Want;
use super::ending::{Over, target_of};
use super::forms;
use super::pages::{Button, Card, Entry, FormOf};
use super::{END, HOME, OwnAnswer, OwnRequest, SESSIONS, SIGN_OUT, START, SignIn, Step, Stop, unsealed};
use crate::pipeline::House;

/// The field that names a session.
const SESSION: &str = "session";
/// The field that stands for all but this one.
const OTHERS: &str = "others";
/// What the log is told of a session that somebody ended from the list.
const FROM_THE_LIST: &str = "ended by the person from the list of their sessions";

/// Whether a session goes on is asked of no app.
const NO_APP: &str = "doorward-sign-in";

impl SignIn {
    /// The first page: who is signed in, and where else.
    pub(super) async fn yours(&self, house: &House, request: &OwnRequest) -> Step {
        if !matches!(request.path.as_str(), HOME | SESSIONS) {
            return Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, HOME, Vec::new()));
        }
        let Some(session) = self.living(house, request, &Want::home(self)?).await? else {
            let card = Card::new("You are not signed in")
                .say("Nobody is signed in with this browser.")
                .ways([("Sign in", START)]);
            return Ok(card.answer(self.terms.organization.as_deref(), StatusCode::OK));
        };
        let token = |action: &'static str| {
            forms::token(self.sealer(), &bound_to(action, &request.host, &session), request.now)
                .map_err(|e| Stop::new(unsealed(&e)))
        };
        let user = &session.user;
        let id = user.id.to_string();
        let who = user.name.as_deref().or(user.email.as_deref()).unwrap_or(&id);
        let ends = session.expires_at.since(request.now);
        let card = Card::new("You are signed in")
            .stress(who)
            .say(&format!(
                "{} Your session ends in {} at the latest, or when you do not use it for {}.",
                proof(&session.assurance),
                span(ends),
                span(self.lifetimes().idle)
            ))
            .form(&FormOf {
                action: SIGN_OUT,
                hidden: &[(forms::TOKEN, token(SIGN_OUT)?)],
                buttons: &[Button { words: "Sign out", likely: true, ..Button::default() }],
            })
            .heading("Your sessions");
        let listed = self.sessions.of(&user.id).await;
        let (card, status) = match listed {
            Ok(mut records) => {
                // What was ended otherwise than here is in the store for a while still.
                records.retain(|record| goes_on(house, record));
                (listing(card, house, &session, &records, (request.now, token(END)?)), StatusCode::OK)
            }
            Err(e) => {
                tracing::warn!(request_id = %request.request_id, error = %e, "a list of sessions cannot be shown");
                let said =
                    "The list of your sessions cannot be shown right now. You are signed in all the same.";
                (card.say(said), StatusCode::SERVICE_UNAVAILABLE)
            }
        };
        let card = card.facts(&[("Account", &id), ("Session", &session.id.to_string())]);
        Ok(card.answer(self.terms.organization.as_deref(), status))
    }

    /// The page `end`: a button of the list was pressed.
    pub(super) async fn ends(&self, house: &House, request: &OwnRequest) -> Step {
        forms::check_site(request, &self.terms.origin.own(""))?;
        let Some(session) = self.living(house, request, &Want::home(self)?).await? else {
            let refusal = Refusal::new(RefusalCode::ExpiredCredential, "no session stands here");
            return Err(Stop::new(refusal).way("Sign in", START.to_owned()));
        };
        forms::check_token(self.sealer(), &bound_to(END, &request.host, &session), request)?;
        let unkept = |e| Stop::new(super::start::unkept(&e)).way("Back", HOME.to_owned());
        let mut records = self.sessions.of(&session.user.id).await.map_err(unkept)?;
        let own = session.id.to_string();
        let named = forms::field(&request.body, SESSION);
        match (named.as_deref().and_then(SessionKey::parse), forms::field(&request.body, OTHERS).is_some()) {
            (Some(key), false) => records.retain(|record| *record.id == *key.to_string()),
            (None, true) if named.is_none() => records.retain(|record| *record.id != *own),
            (Some(_) | None, _) => {
                return Err(Stop::plain(RefusalCode::BadRequest, "the form names no session"));
            }
        }
        // One that is not there any more has ended.
        match self.end_of_person(house, &records, (FROM_THE_LIST, request)).await {
            Over::InForce => Ok(OwnAnswer::redirect(StatusCode::SEE_OTHER, HOME, Vec::new())),
            Over::Asked => {
                let card = Card::new("It will end in a moment")
                    .say("What you ended was told to the nodes that keep such things, and they have not answered yet.")
                    .ways([("Back", HOME)]);
                Ok(card.answer(self.terms.organization.as_deref(), StatusCode::OK))
            }
            Over::Failed { sessions, why } => {
                let reason = match sessions {
                    1 => "One session could not be ended. It is still signed in.".to_owned(),
                    many => format!("{many} sessions could not be ended. They are still signed in."),
                };
                let refusal = Refusal::new(RefusalCode::SessionsUnavailable, why);
                Err(Stop::new(Refusal { reason: Some(reason), ..refusal }).way("Back", HOME.to_owned()))
            }
        }
    }
}

/// Whether nothing known has ended the session of a record: not its name, nor that of the provider's session, its device
/// or its person.
fn goes_on(house: &House, record: &SessionRecord) -> bool {
    let (Some(Target::Token(token)), Ok(app)) = (target_of(record), AppId::new(NO_APP)) else { return false };
    let presented = Presented {
        users: vec![record.person.clone()],
        owner: None,
        session: AuthSession {
            issuer: record.person.issuer().clone(),
            session: record.issuer_session.clone(),
            token: Some(token),
            issued_at: record.signed_in_at,
            expires_at: record.expires_at,
        },
        device: record.device.clone(),
        named: None,
        app,
    };
    match house.revocations.check(&presented, house.issuer_skew) {
        Ok(_) | Err(Refused::Stale { .. }) => true,
        Err(Refused::MadeBefore { .. } | Refused::Disabled { .. }) => false,
    }
}

/// A form is of one session, of one kind, and of one host: a session has the same name at all of them, and what the host
/// of an app is shown its pages can read.
pub(super) fn bound_to(action: &str, host: &str, session: &BrowserSession) -> String {
    format!("{action}\0{host}\0{}", session.id)
}

fn listing(
    card: Card,
    house: &House,
    session: &BrowserSession,
    records: &[SessionRecord],
    (now, token): (UnixMillis, String),
) -> Card {
    let own = session.id.to_string();
    let mut card = card;
    for record in records {
        let here = *record.id == *own;
        let agent = browser_of(&record.agent);
        let country = house.places.locate(record.client).country;
        let place = if country == CountryCode::UNKNOWN {
            record.client.to_string()
        } else {
            format!("{country}, {}", record.client)
        };
        let apps: Vec<&str> = record.apps.iter().map(doorward_model::AppId::as_str).collect();
        let mut lines = vec![
            format!("Signed in {} from {place}", ago(record.signed_in_at, now)),
            format!("Last used {}", ago(record.seen_at, now)),
        ];
        if !apps.is_empty() {
            lines.push(format!("Apps: {}", apps.join(", ")));
        }
        if let Some(device) = &record.device {
            lines.push(format!("Device: {device}"));
        }
        let title = if here { format!("{agent} (this browser)") } else { agent };
        let label = format!("End the session in {title}, signed in {}", ago(record.signed_in_at, now));
        let end = FormOf {
            action: END,
            hidden: &[(forms::TOKEN, token.clone()), (SESSION, record.id.to_string())],
            buttons: &[Button { words: "End", label: Some(&label), ..Button::default() }],
        };
        card = card.entry(&Entry { title: &title, lines: &lines, form: (!here).then_some(&end) });
    }
    if records.iter().any(|record| *record.id != *own) {
        card = card.form(&FormOf {
            action: END,
            hidden: &[(forms::TOKEN, token)],
            buttons: &[Button { words: "End all others", name: Some((OTHERS, "1")), ..Button::default() }],
        });
    }
    card.ways([("More ways to sign out", SIGN_OUT)])
}

const fn proof(assurance: &Assurance) -> &'static str {
    match (assurance.mfa, assurance.phishing_resistant) {
        (true, true) => "You proved it with a security key or the like.",
        (true, false) => "You proved it with a second factor.",
        (false, _) => "You proved it with one factor.",
    }
}

/// How long ago something was.
fn ago(at: UnixMillis, now: UnixMillis) -> String {
    match now.since(at) {
        short if short < Duration::from_secs(60) => "just now".to_owned(),
        long => format!("{} ago", span(long)),
    }
}

/// A time in the largest units that say enough.
fn span(time: Duration) -> String {
    let of = |n: u64, unit: &str| if n == 1 { format!("1 {unit}") } else { format!("{n} {unit}s") };
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        0..=119 => of(minutes, "minute"),
        120..=2879 => of(minutes / 60, "hour"),
        _ => of(minutes / 1440, "day"),
    }
}

/// What a browser calls itself, in words.
#[must_use]
pub fn browser_of(agent: &str) -> String {
    let find = |table: &[(&str, &'static str)]| {
        table.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
    };
    // Most of them say that they are the others, too.
    let program = find(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = find(&[
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("CrOS", "ChromeOS"),
        ("Macintosh", "a Mac"),
        ("Linux", "Linux"),
    ]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(program), None) => program.to_owned(),
        (None, Some(system)) => format!("A browser on {system}"),
        (None, None) => "A browser".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_by_what_it_says_last() {
        let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
        for (agent, words) in [
            (format!("{windows} Chrome/130.0 Safari/537.36 Edg/130.0"), "Edge on Windows"),
            (format!("{windows} Chrome/130.0 Safari/537.36"), "Chrome on Windows"),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0".to_owned(),
                "Firefox on Linux",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Safari/604.1".to_owned(),
                "Safari on an iPhone",
            ),
            ("curl/8.0".to_owned(), "A browser"),
            (String::new(), "A browser"),
        ] {
            assert_eq!(browser_of(&agent), words, "{agent}");
        }
    }

    #[test]
    fn times_are_told_in_words() {
        for (seconds, words) in [
            (0, "0 minutes"),
            (60, "1 minute"),
            (61, "2 minutes"),
            (119 * 60, "119 minutes"),
            (2 * 3600, "2 hours"),
            (47 * 3600, "47 hours"),
            (72 * 3600, "3 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
        }
        assert_eq!(ago(UnixMillis(5), UnixMillis(10)), "just now");
    }
}
