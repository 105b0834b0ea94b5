//! Reads a small JSON object strictly: every field is known, none comes twice, each has its type,
//! and all that is wrong is told at once.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use doorward_model::limits::{OPERATOR_BODY_BYTES_MAX, OPERATOR_BODY_SECONDS_MAX};
use http_body_util::{BodyExt, Limited};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::guard::Call;
use crate::problem::{Mistake, Problem};

/// A value, as far as this API has them.
#[derive(Debug, PartialEq, Eq)]
enum Node {
    Text(String),
    Number(u64),
    Object(BTreeMap<String, Node>),
    List(Vec<Node>),
    Null,
    Flag(bool),
    Other,
}

/// An object whose fields are taken out one by one; whatever is left is unknown.
#[derive(Debug)]
pub(crate) struct Fields {
    path: String,
    fields: BTreeMap<String, Node>,
}

/// Reads the body of a call that needs none: without one nothing is said.
pub(crate) async fn read_if_any(
    call: &Call,
    headers: &HeaderMap,
    body: Body,
) -> Result<Fields, Box<Problem>> {
    if headers.contains_key(CONTENT_TYPE) || !axum::body::HttpBody::is_end_stream(&body) {
        return read(call, headers, body).await;
    }
    Ok(Fields { path: String::new(), fields: BTreeMap::new() })
}

/// Reads the body of a call.
pub(crate) async fn read(call: &Call, headers: &HeaderMap, body: Body) -> Result<Fields, Box<Problem>> {
    let refuse = |status, code, detail: String| {
        Box::new(Problem::new(call, status, code, "This request cannot be understood", detail))
    };
    if !is_json(headers) {
        let detail = "send the body as `Content-Type: application/json`, not encoded".to_owned();
        return Err(refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
    }
    let collect = Limited::new(body, OPERATOR_BODY_BYTES_MAX).collect();
    let seconds = std::time::Duration::from_secs(OPERATOR_BODY_SECONDS_MAX);
    let bytes = match tokio::time::timeout(seconds, collect).await {
        Ok(Ok(whole)) => whole.to_bytes(),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => {
            let detail = format!("a body has at most {OPERATOR_BODY_BYTES_MAX} bytes");
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
        Ok(Err(_)) => {
            let detail = "the body ended early".to_owned();
            return Err(refuse(StatusCode::BAD_REQUEST, "bad_request", detail));
        }
        Err(_) => {
            let detail = format!("the body took longer than {OPERATOR_BODY_SECONDS_MAX} s");
            return Err(refuse(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail));
        }
    };
    parse(&bytes).map_err(|mistake| Box::new(Problem::mistaken(call, vec![mistake])))
}

fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else { return false };
    let essence = one.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json") && !headers.contains_key(CONTENT_ENCODING)
}

fn parse(bytes: &[u8]) -> Result<Fields, Mistake> {
    match serde_json::from_slice(bytes) {
        Ok(Node::Object(fields)) => Ok(Fields { path: String::new(), fields }),
        Ok(Node::Text(_) | Node::Number(_) | Node::List(_) | Node::Null | Node::Flag(_) | Node::Other) => {
            Err(Mistake::new("body", "is not a JSON object", ""))
        }
        Err(e) => Err(Mistake::new("body", format!("is not the JSON of this call: {e}"), "")),
    }
}

impl Fields {
    fn name(&self, field: &str) -> String {
        if self.path.is_empty() { field.to_owned() } else { format!("{}.{field}", self.path) }
    }

    /// Takes a text that may be missing.
    pub(crate) fn optional(&mut self, field: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        match self.fields.remove(field)? {
            Node::Text(text) => Some(text),
            Node::Number(_) | Node::Object(_) | Node::List(_) | Node::Null | Node::Flag(_) | Node::Other => {
                mistakes.push(Mistake::new(self.name(field), "is not a string", ""));
                None
            }
        }
    }

    /// Takes a text that must be there.
    pub(crate) fn text(&mut self, field: &str, help: &str, mistakes: &mut Vec<Mistake>) -> Option<String> {
        if !self.fields.contains_key(field) {
            mistakes.push(Mistake::new(self.name(field), "is missing", help));
            return None;
        }
        self.optional(field, mistakes)
    }

    /// Takes `true` or `false` that may be missing.
    pub(crate) fn flag(&mut self, field: &str, mistakes: &mut Vec<Mistake>) -> Option<bool> {
        match self.fields.remove(field)? {
            Node::Flag(flag) => Some(flag),
            Node::Text(_) | Node::Number(_) | Node::Object(_) | Node::List(_) | Node::Null | Node::Other => {
                mistakes.push(Mistake::new(self.name(field), "is not true or false", ""));
                None
            }
        }
    }

    /// Takes a whole number from 1 to `max` that may be missing.
    pub(crate) fn number(&mut self, field: &str, max: u64, mistakes: &mut Vec<Mistake>) -> Option<u64> {
        match self.fields.remove(field)? {
            Node::Number(n) if (1..=max).contains(&n) => Some(n),
            Node::Number(_)
            | Node::Text(_)
            | Node::Object(_)
            | Node::List(_)
            | Node::Null
            | Node::Flag(_)
            | Node::Other => {
                let message = format!("is not a whole number from 1 to {max}");
                mistakes.push(Mistake::new(self.name(field), message, ""));
                None
            }
        }
    }

    /// Whether the field is `null`: what it says is to be no more. It is taken then.
    pub(crate) fn cleared(&mut self, field: &str) -> bool {
        let is_null = self.fields.get(field) == Some(&Node::Null);
        if is_null {
            self.fields.remove(field);
        }
        is_null
    }

    /// Takes a list of texts that may be missing, each of which stands there once.
    pub(crate) fn texts(&mut self, field: &str, mistakes: &mut Vec<Mistake>) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        let list = match self.fields.remove(field)? {
            Node::List(list) => list,
            Node::Text(_) | Node::Number(_) | Node::Object(_) | Node::Null | Node::Flag(_) | Node::Other => {
                mistakes.push(Mistake::new(self.name(field), "is not a list of strings", ""));
                return None;
            }
        };
        for node in list {
            let Node::Text(text) = node else {
                mistakes.push(Mistake::new(self.name(field), "is not a list of strings", ""));
                return None;
            };
            texts.push(text);
        }
        let mut known = std::collections::HashSet::new();
        if let Some(twice) = texts.iter().find(|text| !known.insert(text.as_str())) {
            let shown: String = twice.chars().take(64).collect();
            mistakes.push(Mistake::new(self.name(field), format!("has `{shown}` twice"), ""));
            return None;
        }
        Some(texts)
    }

    /// Takes an object of texts that may be missing.
    pub(crate) fn named_texts(
        &mut self,
        field: &str,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<BTreeMap<String, String>> {
        let wrong = Mistake::new(self.name(field), "is not an object of strings", "");
        let Node::Object(fields) = self.fields.remove(field)? else {
            mistakes.push(wrong);
            return None;
        };
        let mut texts = BTreeMap::new();
        for (name, node) in fields {
            let Node::Text(text) = node else {
                mistakes.push(wrong);
                return None;
            };
            texts.insert(name, text);
        }
        Some(texts)
    }

    /// Takes an object that must be there.
    pub(crate) fn object(&mut self, field: &str, help: &str, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let path = self.name(field);
        match self.fields.remove(field) {
            Some(Node::Object(fields)) => Some(Self { path, fields }),
            Some(
                Node::Text(_) | Node::Number(_) | Node::List(_) | Node::Null | Node::Flag(_) | Node::Other,
            ) => {
                mistakes.push(Mistake::new(path, "is not an object", help));
                None
            }
            None => {
                mistakes.push(Mistake::new(path, "is missing", help));
                None
            }
        }
    }

    /// Nothing more is expected: what is left is wrong.
    pub(crate) fn end(self, mistakes: &mut Vec<Mistake>) {
        // So many are told; a body of many thousand fields is not answered with as many.
        const TOLD_MAX: usize = 16;
        for field in self.fields.keys().take(TOLD_MAX) {
            let field: String = field.chars().take(64).collect();
            mistakes.push(Mistake::new(self.name(&field), "is not known here", "remove it"));
        }
    }
}

/// Fields, for tests of what reads them.
#[cfg(test)]
pub(crate) fn tests_only(text: &str) -> Fields {
    parse(text.as_bytes()).unwrap()
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// The number, if it is whole and a double has it exactly.
fn whole(n: f64) -> Option<u64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
    if n.fract() != 0.0 || !(0.0..=EXACT_MAX).contains(&n) {
        return None;
    }
    // Written out, it has no point and no exponent.
    format!("{n:.0}").parse().ok()
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Node, E> {
        Ok(Node::Flag(flag))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other)
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Node, E> {
        Ok(Node::Number(n))
    }

    /// A whole number may be written with a point (JSON Schema 2020-12 §6.1.1: `1.0` is an integer), as far as
    /// every reader reads the same number (RFC 8259 §6).
    fn visit_f64<E: Error>(self, n: f64) -> Result<Node, E> {
        Ok(whole(n).map_or(Node::Other, Node::Number))
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element::<Node>()? {
            list.push(node);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = BTreeMap::new();
        while let Some((field, node)) = map.next_entry::<String, Node>()? {
            let shown: String = field.chars().take(64).collect();
            if fields.insert(field, node).is_some() {
                return Err(A::Error::custom(format!("`{shown}` stands there twice")));
            }
        }
        Ok(Node::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for hostile in [
            r"",
            r"[]",
            r"null",
            r#""x""#,
            r#"{"a":"1","a":"2"}"#,
            r#"{"a":"1","\u0061":"2"}"#,
            r#"{"target":{"id":"x","id":"y"}}"#,
            r#"{"a":"1"} {"a":"2"}"#,
            r#"{"a":"1"}x"#,
            r#"{"a":"1",}"#,
            r#"{'a':'1'}"#,
            r#"{"a":"1"/**/}"#,
            r#"{"a":NaN}"#,
            "{\"a\":\"line\nbreak\"}",
            "\u{feff}{}",
        ] {
            assert!(parse(hostile.as_bytes()).is_err(), "{hostile}");
        }
        assert!(parse(b"{\"a\":\"\xff\"}").is_err(), "not UTF-8");
        let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
        assert!(parse(deep.as_bytes()).is_err(), "too deep");
        let deep = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
        assert!(parse(deep.as_bytes()).is_err(), "too deep");
    }

    #[test]
    fn a_number_is_whole_and_within_its_bound() {
        let mut told = Vec::new();
        let mut read = |text: &str| {
            let mut fields = parse(format!("{{\"n\":{text}}}").as_bytes()).unwrap();
            fields.number("n", 30_000, &mut told)
        };
        assert_eq!((read("1"), read("30000")), (Some(1), Some(30_000)));
        assert_eq!((read("1.0"), read("1e3"), read("2.50e1")), (Some(1), Some(1000), Some(25)));
        for bad in [
            "0",
            "30001",
            "-1",
            "1.5",
            "0.0",
            "-0.0",
            "\"5\"",
            "null",
            "true",
            "[5]",
            "{}",
            "99999999999999999999",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(
            (whole(9_007_199_254_740_991.0), whole(9_007_199_254_740_992.0)),
            (Some(9_007_199_254_740_991), None)
        );
        assert_eq!(told.len(), 12);
        assert_eq!(parse(b"{}").unwrap().number("n", 5, &mut told), None);
        assert_eq!((told.len(), told[0].message.as_str()), (12, "is not a whole number from 1 to 30000"));
    }

    #[test]
    fn lists_have_each_text_once_and_null_is_told_from_a_field_that_is_missing() {
        let mut told = Vec::new();
        let mut fields =
            parse(br#"{"a":["x","y"],"b":["x","x"],"c":["x",1],"d":"x","e":null,"f":{"k":"v"},"g":{"k":1}}"#)
                .unwrap();
        assert_eq!(fields.texts("a", &mut told), Some(vec!["x".to_owned(), "y".to_owned()]));
        assert_eq!(fields.texts("none", &mut told), None);
        assert!(told.is_empty());
        for wrong in ["b", "c", "d"] {
            assert_eq!(fields.texts(wrong, &mut told), None);
        }
        assert!(fields.cleared("e") && !fields.cleared("e") && !fields.cleared("f"));
        assert_eq!(fields.named_texts("f", &mut told).unwrap()["k"], "v");
        assert_eq!(fields.named_texts("g", &mut told), None);
        let named: Vec<_> = told.iter().map(|m| (m.field.as_str(), m.message.as_str())).collect();
        assert_eq!(
            named,
            [
                ("b", "has `x` twice"),
                ("c", "is not a list of strings"),
                ("d", "is not a list of strings"),
                ("g", "is not an object of strings"),
            ]
        );
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let mut fields = parse(br#"{"target":{"kind":7,"extra":1},"cause":[],"more":{}}"#).unwrap();
        let mut told = Vec::new();
        let mut target = fields.object("target", "", &mut told).unwrap();
        assert_eq!(target.text("kind", "", &mut told), None);
        assert_eq!(target.text("id", "write it", &mut told), None);
        target.end(&mut told);
        assert_eq!(fields.optional("cause", &mut told), None);
        assert_eq!(fields.text("action", "", &mut told), None);
        fields.end(&mut told);
        let named: Vec<_> = told.iter().map(|m| (m.field.as_str(), m.message.as_str())).collect();
        assert_eq!(
            named,
            [
                ("target.kind", "is not a string"),
                ("target.id", "is missing"),
                ("target.extra", "is not known here"),
                ("cause", "is not a string"),
                ("action", "is missing"),
                ("more", "is not known here"),
            ]
        );
    }
}
