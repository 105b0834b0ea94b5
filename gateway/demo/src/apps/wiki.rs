//! Pages for people.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Html;
use axum::routing::get;

pub(super) fn router() -> Router {
    Router::new().route("/", get(home)).route("/welcome", get(welcome)).route("/admin", get(admin))
}

async fn home(headers: HeaderMap) -> Html<String> {
    page("Wiki", "The pages of the company.", &headers)
}

async fn welcome(headers: HeaderMap) -> Html<String> {
    page("Welcome", "This page of the wiki is public: nobody has to sign in.", &headers)
}

async fn admin(headers: HeaderMap) -> Html<String> {
    page("Wiki administration", "Here the wiki itself is changed.", &headers)
}

fn page(title: &str, text: &str, headers: &HeaderMap) -> Html<String> {
    let user = escape(&super::user(headers));
    let rows: String = super::identity(headers)
        .iter()
        .map(|(name, values)| format!("<tr><td>{}<td>{}</tr>\n", escape(name), escape(&values.to_string())))
        .collect();
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <h1>{title}</h1>\n<p>{text}</p>\n\
         <p>This is the app wiki. The gateway says that you are {user}.</p>\n\
         <table>\n{rows}</table></html>\n"
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_says_is_text() {
        let headers = HeaderMap::from_iter([(
            "x-doorward-user".parse().unwrap(),
            "<script>\"&".parse::<axum::http::HeaderValue>().unwrap(),
        )]);
        let Html(page) = page("t", "t", &headers);
        assert!(page.contains("you are &lt;script&gt;&quot;&amp;.") && !page.contains("<script"), "{page}");
    }
}
