//! Questions for several resources: the query of a URL, the body of `/.search`, pages and the list
//! that answers (RFC 7644 §3.4.2, §3.4.3).
//!
//! Sorting is not offered and `/ServiceProviderConfig` says so; `sortBy` is not heard. Pages are
//! counted from 1 and come in the order in which the service brings the resources, which must be
//! the same each time.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bounds::{PAGE_RESOURCES_DEFAULT, PAGE_RESOURCES_MAX, QUERY_BYTES_MAX};
use super::error::{ErrorKind, ScimError, shown};
use super::json as body;
use super::projection::Projection;
use super::values::invalid;
use super::write::check_schemas;

/// The schema of the answer.
pub const LIST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// The schema of the body of `/.search`.
pub const SEARCH_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

/// A question as a client asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// To be read for each type that is searched, by [`Filter::parse`](super::Filter::parse).
    pub filter: Option<String>,
    /// Which page.
    pub page: Page,
    /// What is wanted of each resource.
    pub projection: Projection,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The number of the first resource; the first of all is 1.
    pub start_index: usize,
    /// How many resources at most. 0 asks for the total alone.
    pub count: usize,
}

// === impl Query ===

impl Query {
    /// From the query of a URL, without its `?`: escaped as a form is, `+` for a space; spaces that
    /// were not escaped are taken as they are.
    ///
    /// # Errors
    /// `InvalidSyntax`: an escape is wrong, or a parameter comes twice; `InvalidValue`: a number is
    /// none; `TooLarge`.
    pub fn from_url(query: &str) -> Result<Self, ScimError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(ScimError::new(
                ErrorKind::TooLarge,
                format!("the query is longer than {QUERY_BYTES_MAX} bytes; POST it to /.search"),
            ));
        }
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // Names are heard in any case, as those of attributes.
            let name = unescape(name)?.to_ascii_lowercase();
            if !HEARD.contains(&name.as_str()) {
                continue;
            }
            if parameters.insert(name.clone(), unescape(value)?).is_some() {
                return Err(syntax(format!("the parameter {} comes twice", shown(&name))));
            }
        }
        let number = |name: &str, key: &str| {
            let parse = |text: &String| {
                text.trim().parse::<i64>().map_err(|_| invalid(name, "must be a whole number"))
            };
            parameters.get(key).map(parse).transpose()
        };
        let text = |key: &str| parameters.get(key).map(String::as_str);
        Ok(Self {
            filter: parameters.get("filter").filter(|f| !f.trim().is_empty()).cloned(),
            page: Page::asked(number("startIndex", "startindex")?, number("count", "count")?),
            projection: Projection::read(text("attributes"), text("excludedattributes"))?,
        })
    }

    /// From the body of `/.search`.
    ///
    /// # Errors
    /// `InvalidSyntax` or `InvalidValue`, naming the attribute.
    pub fn from_search(mut request: Map<String, Value>) -> Result<Self, ScimError> {
        check_schemas(&mut request, SEARCH_URN)?;
        let filter = match body::take(&mut request, "filter") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text).filter(|f| !f.trim().is_empty()),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(invalid("filter", "must be a text"));
            }
        };
        let mut number = |name: &str| match body::take(&mut request, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| invalid(name, "must be a whole number")),
        };
        let page = Page::asked(number("startIndex")?, number("count")?);
        let attributes = names(&mut request, "attributes")?;
        let excluded = names(&mut request, "excludedAttributes")?;
        Ok(Self { filter, page, projection: Projection::from_names(attributes, excluded)? })
    }
}

/// The parameters that are heard, in small letters. Others, such as a switch in the tenant URL of
/// Entra ID, say nothing here.
const HEARD: [&str; 5] = ["filter", "startindex", "count", "attributes", "excludedattributes"];

fn names(request: &mut Map<String, Value>, name: &str) -> Result<Vec<String>, ScimError> {
    let wrong = || invalid(name, "must be a list of names");
    match body::take(request, name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => {
            list.iter().map(|n| n.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => Err(wrong()),
    }
}

// === impl Page ===

impl Default for Page {
    fn default() -> Self {
        Self { start_index: 1, count: PAGE_RESOURCES_DEFAULT }
    }
}

impl Page {
    /// What the numbers of a client come to: below 1 is the first, below 0 is none, and more than
    /// [`PAGE_RESOURCES_MAX`] is that many (RFC 7644 §3.4.2.4).
    #[must_use]
    pub fn asked(start_index: Option<i64>, count: Option<i64>) -> Self {
        let start_index = start_index.map_or(1, |n| usize::try_from(n.max(1)).unwrap_or(usize::MAX));
        let count = count.map_or(PAGE_RESOURCES_DEFAULT, |n| usize::try_from(n.max(0)).unwrap_or(usize::MAX));
        Self { start_index, count: count.min(PAGE_RESOURCES_MAX) }
    }

    /// How many resources stand before the page.
    #[must_use]
    pub const fn skip(&self) -> usize {
        self.start_index.saturating_sub(1)
    }

    /// The answer: the resources of this page, and how many there are in all. Numbers are JSON
    /// integers, which Okta insists on.
    #[must_use]
    pub fn response(&self, total: usize, resources: Vec<Value>) -> Value {
        json!({
            "schemas": [LIST_URN],
            "totalResults": total,
            "startIndex": self.start_index,
            "itemsPerPage": resources.len(),
            "Resources": resources,
        })
    }
}

/// The text that a part of a query stands for.
fn unescape(text: &str) -> Result<String, ScimError> {
    let wrong = || syntax("the query has an escape that is not two hexadecimal digits of UTF-8".to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                high.zip(low).map(|(high, low)| high * 16 + low).ok_or_else(wrong)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

fn syntax(detail: String) -> ScimError {
    ScimError::new(ErrorKind::InvalidSyntax, detail)
}
