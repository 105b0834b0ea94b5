//! What our own pages look like: no script, no picture, one calm card, light and dark.
//!
//! Whatever comes from outside is escaped here, at the one place where it becomes HTML.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::RefusalCode;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::{OwnRequest, SignIn, Stop};

/// The style, which each page has in it.
const STYLE: &str = include_str!("own.css");

/// What our pages may do: show this style, and send a form to us.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
});

/// An answer of ours.
#[derive(Debug)]
pub struct OwnAnswer {
    /// The status.
    pub status: StatusCode,
    /// All of the header but `Content-Length` and the request's id. `Set-Cookie` may be there more than once.
    pub headers: HeaderMap,
    /// The body. An answer to `HEAD` goes without.
    pub body: Vec<u8>,
    /// Why it was refused, if it was.
    pub refused: Option<RefusalCode>,
}

/// A page in the making. Texts are escaped as they are added.
#[derive(Default)]
pub(super) struct Card {
    title: String,
    body: String,
    leads_on: Option<String>,
}

// === impl Card ===

impl Card {
    pub(super) fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// A paragraph.
    pub(super) fn say(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<p>{}</p>\n", escape(text)));
        self
    }

    /// A paragraph that stands out.
    pub(super) fn stress(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<p class=\"reason\">{}</p>\n", escape(text)));
        self
    }

    /// Ways on from here, the first of them the likely one.
    pub(super) fn ways<'a>(mut self, ways: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let links: String = ways
            .into_iter()
            .enumerate()
            .map(|(i, (words, address))| {
                let class = if i == 0 { "way" } else { "way other" };
                format!("<a class=\"{class}\" href=\"{}\">{}</a>\n", escape(address), escape(words))
            })
            .collect();
        if !links.is_empty() {
            self.body.push_str(&format!("<p class=\"ways\">\n{links}</p>\n"));
        }
        self
    }

    /// The same, none of them likelier than what is above.
    pub(super) fn ways_beside<'a>(mut self, ways: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let links: String = ways
            .into_iter()
            .map(|(words, address)| {
                format!("<a class=\"way other\" href=\"{}\">{}</a>\n", escape(address), escape(words))
            })
            .collect();
        self.body.push_str(&format!("<p class=\"ways\">\n{links}</p>\n"));
        self
    }

    /// A heading of what follows.
    pub(super) fn heading(mut self, text: &str) -> Self {
        self.body.push_str(&format!("<h2>{}</h2>\n", escape(text)));
        self
    }

    /// A form of buttons, sent to us.
    pub(super) fn form(mut self, form: &FormOf<'_>) -> Self {
        self.body.push_str(&form.html());
        self
    }

    /// One of several things of a kind, with what can be done with it.
    pub(super) fn entry(mut self, entry: &Entry<'_>) -> Self {
        let lines: String = entry.lines.iter().map(|line| format!("<br>{}", escape(line))).collect();
        let form = entry.form.map_or_else(String::new, FormOf::html);
        self.body.push_str(&format!(
            "<section class=\"entry\">\n<p><strong>{}</strong><small>{lines}</small></p>\n{form}</section>\n",
            escape(entry.title)
        ));
        self
    }

    /// A form with one line to write in, sent to us.
    pub(super) fn ask(mut self, form: &Question<'_>) -> Self {
        let hidden = hidden(form.hidden);
        self.body.push_str(&format!(
            "<form method=\"post\" action=\"{}\">\n{hidden}<label for=\"line\">{}</label>\n\
             <input id=\"line\" name=\"{}\" type=\"email\" autocomplete=\"email\" maxlength=\"254\" required autofocus>\n\
             <button class=\"way\">{}</button>\n</form>\n",
            form.action,
            escape(form.label),
            form.name,
            escape(form.button)
        ));
        self
    }

    /// A list to choose from.
    pub(super) fn list<'a>(
        mut self,
        title: &str,
        ways: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let links: String = ways
            .into_iter()
            .map(|(words, to)| {
                format!("<li><a class=\"way other\" href=\"{}\">{}</a></li>\n", escape(to), escape(words))
            })
            .collect();
        self.body.push_str(&format!("<p class=\"or\">{}</p>\n<ul>\n{links}</ul>\n", escape(title)));
        self
    }

    /// Facts, small, at the foot.
    pub(super) fn facts(mut self, facts: &[(&str, &str)]) -> Self {
        let rows: String = facts
            .iter()
            .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escape(name), escape(value)))
            .collect();
        self.body.push_str(&format!("<dl>\n{rows}</dl>\n"));
        self
    }

    /// The browser goes on by itself. For an answer to a form: browsers hold a redirect of one against the
    /// `form-action` of the page.
    pub(super) fn leading_on(mut self, address: &str) -> Self {
        self.leads_on = Some(address.to_owned());
        self
    }

    pub(super) fn answer(self, house: Option<&str>, status: StatusCode) -> OwnAnswer {
        let refresh = self.leads_on.map_or_else(String::new, |to| {
            format!("<meta http-equiv=\"refresh\" content=\"0; url={}\">\n", escape(&to))
        });
        let whose =
            house.map_or_else(String::new, |name| format!("<p class=\"whose\">{}</p>\n", escape(name)));
        let (title, body) = (escape(&self.title), self.body);
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <meta name=\"robots\" content=\"noindex\">\n{refresh}<title>{title}</title>\n<style>{STYLE}</style>\n\
             </head>\n<body>\n<main>\n{whose}<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
        );
        let mut answer = OwnAnswer::bare(status);
        answer.insert(header::CONTENT_TYPE, "text/html; charset=utf-8");
        answer.insert(header::CONTENT_SECURITY_POLICY, &POLICY);
        answer.body = page.into_bytes();
        answer
    }
}

/// A question that a form asks.
pub(super) struct Question<'a> {
    pub(super) action: &'static str,
    pub(super) hidden: &'a [(&'static str, String)],
    pub(super) label: &'a str,
    pub(super) name: &'static str,
    pub(super) button: &'a str,
}

/// A form of buttons.
pub(super) struct FormOf<'a> {
    pub(super) action: &'static str,
    pub(super) hidden: &'a [(&'static str, String)],
    pub(super) buttons: &'a [Button<'a>],
}

/// A button of a form.
#[derive(Clone, Copy, Default)]
pub(super) struct Button<'a> {
    pub(super) words: &'a str,
    /// What is said instead where the page is read aloud.
    pub(super) label: Option<&'a str>,
    /// What is sent when it is pressed.
    pub(super) name: Option<(&'static str, &'static str)>,
    /// It stands out.
    pub(super) likely: bool,
}

/// One of several things of a kind.
pub(super) struct Entry<'a> {
    pub(super) title: &'a str,
    pub(super) lines: &'a [String],
    pub(super) form: Option<&'a FormOf<'a>>,
}

// === impl FormOf ===

impl FormOf<'_> {
    fn html(&self) -> String {
        let buttons: String = self.buttons.iter().map(Button::html).collect();
        let hidden = hidden(self.hidden);
        format!("<form method=\"post\" action=\"{}\">\n{hidden}{buttons}</form>\n", self.action)
    }
}

// === impl Button ===

impl Button<'_> {
    fn html(&self) -> String {
        let class = if self.likely { "way" } else { "way other" };
        let label = self.label.map_or_else(String::new, |text| format!(" aria-label=\"{}\"", escape(text)));
        let name = self.name.map_or_else(String::new, |(n, v)| format!(" name=\"{n}\" value=\"{v}\""));
        format!("<button class=\"{class}\"{label}{name}>{}</button>\n", escape(self.words))
    }
}

fn hidden(fields: &[(&'static str, String)]) -> String {
    let field = |(name, value): &(&'static str, String)| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escape(value))
    };
    fields.iter().map(field).collect()
}

// === impl OwnAnswer ===

impl OwnAnswer {
    fn bare(status: StatusCode) -> Self {
        let mut answer = Self { status, headers: HeaderMap::new(), body: Vec::new(), refused: None };
        answer.insert(header::CACHE_CONTROL, "no-store");
        answer.insert(header::REFERRER_POLICY, "same-origin");
        answer.insert(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        answer
    }

    /// Sends a browser elsewhere.
    pub(super) fn redirect(status: StatusCode, location: &str, cookies: Vec<String>) -> Self {
        let mut answer = Self::bare(status);
        answer.insert(header::LOCATION, location);
        answer.with_cookies(cookies)
    }

    pub(super) fn with_cookies(mut self, cookies: Vec<String>) -> Self {
        for line in cookies {
            if let Ok(line) = HeaderValue::from_str(&line) {
                self.headers.append(header::SET_COOKIE, line);
            }
        }
        self
    }

    fn insert(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
    }
}

/// The page of a sign-in that does not go on.
pub(super) fn refused(sign_in: &SignIn, request: &OwnRequest, stop: &Stop) -> OwnAnswer {
    let code = stop.refusal.code;
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut card = Card::new(code.title());
    if let Some(reason) = &stop.refusal.reason {
        card = card.stress(reason);
    }
    let shown = code.status().to_string();
    let because = format!("{code} ({shown})");
    if let Some(account) = &stop.account {
        card = card.say(&format!("You signed in as {account}."));
    }
    let card = card
        .say(code.advice())
        .ways(stop.ways.iter().map(|(words, address)| (*words, address.as_str())))
        .facts(&[("Request id", &request.request_id), ("Reason", &because)]);
    let mut answer = card.answer(sign_in.terms.organization.as_deref(), status);
    answer.insert(HeaderName::from_static("x-doorward-refusal"), code.as_str());
    if code.is_passing() {
        answer.insert(header::RETRY_AFTER, "5");
    }
    if code == RefusalCode::MethodNotAllowed {
        answer.insert(header::ALLOW, "GET, HEAD, POST");
    }
    answer.refused = Some(code);
    answer.with_cookies(stop.cookies.clone())
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
