//! Pages for people.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Html;
use axum::routing::get;

use super::SampleApp;
use super::live::{self, Live};
use crate::page::escape;

pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(home).post(edited))
        .route("/welcome", get(welcome))
        .route("/admin", get(admin))
        .route("/live", get(live::events))
}

async fn home(headers: HeaderMap) -> Html<String> {
    page("Wiki", "The pages of the company.", &live::shown(Live::Events, "/live"), &headers)
}

/// What somebody edits. Nothing is kept: it is there so that a policy about editing can be tried.
async fn edited() -> &'static str {
    "Saved.\n"
}

async fn welcome(headers: HeaderMap) -> Html<String> {
    page("Welcome", "This page of the wiki is public: nobody has to sign in.", "", &headers)
}

async fn admin(headers: HeaderMap) -> Html<String> {
    page("Wiki administration", "Here the wiki itself is changed.", "", &headers)
}

fn page(title: &str, text: &str, more: &str, headers: &HeaderMap) -> Html<String> {
    let body = format!("<p>{}</p>\n{more}", escape(text));
    Html(super::page(SampleApp::Wiki, title, &body, headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_says_is_text() {
        let evil = |name: &str| (name.parse().unwrap(), "<script>\"&".parse().unwrap());
        let headers: HeaderMap = HeaderMap::from_iter([evil("x-doorward-user"), evil("host")]);
        let Html(page) = page("t", "t", "", &headers);
        assert!(page.contains("you are &lt;script&gt;&quot;&amp;.") && !page.contains("<script"), "{page}");
    }
}
