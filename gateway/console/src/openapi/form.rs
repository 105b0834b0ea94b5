//! How the document is written: schemas (JSON Schema 2020-12), operations, and where they stand.

use serde_json::{Map, Value, json};

use super::refusals::{self, Refusal};

/// Text without control characters.
const PLAIN: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The same, and not only white space.
const SAID: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$";
/// The one text of a UUID (RFC 9562 §4).
const UUID: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
/// A short name that the configuration or an operator gives.
const NAME: &str = "^[a-z0-9-]{1,64}$";

/// The document's operations, by path and method.
#[derive(Default)]
pub(super) struct Paths(Map<String, Value>);

impl Paths {
    pub(super) fn on(&mut self, method: &str, path: &str, operation: Operation) {
        let of_path = self.0.entry(path.to_owned()).or_insert_with(|| json!({}));
        if let Value::Object(methods) = of_path {
            methods.insert(method.to_owned(), Value::Object(operation.0));
        }
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// One call: what it takes and what it answers.
pub(super) struct Operation(Map<String, Value>);

impl Operation {
    /// A call that needs the token. `id` is the word for it in the audit log, where it has one.
    pub(super) fn new(tag: &str, id: &str, summary: &str) -> Self {
        Self::plain(tag, id, summary).refuses(refusals::ALWAYS)
    }

    /// A call that needs no token.
    pub(super) fn open(tag: &str, id: &str, summary: &str) -> Self {
        let mut operation = Self::plain(tag, id, summary);
        operation.set("security", json!([]));
        operation
    }

    fn plain(tag: &str, id: &str, summary: &str) -> Self {
        let mut operation = Self(Map::new());
        for (name, value) in [
            ("tags", json!([tag])),
            ("operationId", json!(id)),
            ("summary", json!(summary)),
            ("responses", json!({})),
        ] {
            operation.set(name, value);
        }
        operation
    }

    fn set(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn responses(&mut self) -> Option<&mut Map<String, Value>> {
        self.0.get_mut("responses").and_then(Value::as_object_mut)
    }

    fn parameter(mut self, parameter: Value) -> Self {
        let all = self.0.entry("parameters").or_insert_with(|| json!([]));
        if let Value::Array(all) = all {
            all.push(parameter);
        }
        self
    }

    /// What there is to know besides.
    pub(super) fn says(mut self, description: &str) -> Self {
        self.set("description", description.into());
        self
    }

    /// A part of the path.
    pub(super) fn path(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(
            json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": description }),
        )
    }

    /// A parameter of the query that may be left out.
    pub(super) fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(json!({ "name": name, "in": "query", "schema": schema, "description": description }))
    }

    /// A parameter of the query that must be there.
    pub(super) fn needed(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter(
            json!({ "name": name, "in": "query", "required": true, "schema": schema, "description": description }),
        )
    }

    /// It is a list that pages: at most `rows_max` rows, `rows` unless said otherwise, and `after` is `next` of the
    /// page before.
    pub(super) fn page(self, rows: usize, rows_max: usize, after: Value) -> Self {
        let limited = self.query("limit", bounded(rows, rows_max), "How many rows, at most.");
        limited.query("after", after, "`next` of the page before.")
    }

    /// What must be sent.
    pub(super) fn body(self, schema: Value, example: Value) -> Self {
        self.sent(schema, example, true)
    }

    /// What may be sent.
    pub(super) fn optional_body(self, schema: Value, example: Value) -> Self {
        self.sent(schema, example, false)
    }

    /// A file that must be sent, in a form of its own.
    pub(super) fn file(mut self, form: &str) -> Self {
        let mut content = Map::new();
        content.insert(form.to_owned(), json!({ "schema": { "type": "string", "format": "binary" } }));
        self.set("requestBody", json!({ "required": true, "content": content }));
        self
    }

    fn sent(mut self, schema: Value, example: Value, required: bool) -> Self {
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        self.set("requestBody", json!({ "required": required, "content": content }));
        self
    }

    /// What is answered when all is well.
    pub(super) fn answers(self, status: u16, description: &str, schema: Value) -> Self {
        self.answers_as(status, description, "application/json", schema)
    }

    /// The same in another form.
    pub(super) fn answers_as(mut self, status: u16, description: &str, form: &str, schema: Value) -> Self {
        let mut answer = json!({ "description": description, "headers": refusals::headers() });
        if let Value::Object(members) = &mut answer {
            let mut content = Map::new();
            content.insert(form.to_owned(), json!({ "schema": schema }));
            members.insert("content".to_owned(), content.into());
        }
        if let Some(responses) = self.responses() {
            responses.insert(status.to_string(), answer);
        }
        self
    }

    /// Which calls can go on with what is answered: the parameter that takes `id` of the answer.
    pub(super) fn leads_to(mut self, status: u16, member: &str, calls: &[(&str, &str)]) -> Self {
        let links: Map<String, Value> = calls
            .iter()
            .map(|(operation, parameter)| {
                let mut parameters = Map::new();
                parameters.insert((*parameter).to_owned(), format!("$response.body#/{member}").into());
                let link = json!({ "operationId": operation, "parameters": parameters });
                ((*operation).to_owned(), link)
            })
            .collect();
        let status = status.to_string();
        let answer = self.responses().and_then(|all| all.get_mut(&status)).and_then(Value::as_object_mut);
        if let Some(answer) = answer {
            answer.insert("links".to_owned(), links.into());
        }
        self
    }

    /// How it may say no.
    pub(super) fn refuses(mut self, refusals: &[Refusal]) -> Self {
        if let Some(responses) = self.responses() {
            for refusal in refusals {
                let named = json!({ "$ref": format!("#/components/responses/{}", refusal.name()) });
                responses.insert(refusal.status().to_string(), named);
            }
        }
        self
    }
}

// === schemas ===

/// Any text.
pub(super) fn text() -> Value {
    json!({ "type": "string" })
}

/// A text of so many bytes in UTF-8 at most, without control characters; it may be empty.
pub(super) fn plain(bytes_max: usize) -> Value {
    json!({ "type": "string", "maxLength": bytes_max, "pattern": PLAIN })
}

/// The same, and it says something.
pub(super) fn said(bytes_max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": bytes_max, "pattern": SAID })
}

/// The same, and white space will do.
pub(super) fn some(bytes_max: usize) -> Value {
    json!({ "type": "string", "minLength": 1, "maxLength": bytes_max, "pattern": PLAIN })
}

/// A text of this form.
pub(super) fn formed(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}

/// A UUID.
pub(super) fn id() -> Value {
    json!({ "type": "string", "format": "uuid", "pattern": UUID })
}

/// A short name such as `okta`.
pub(super) fn name() -> Value {
    formed(NAME)
}

/// One of these words.
pub(super) fn word(words: impl IntoIterator<Item = &'static str>) -> Value {
    json!({ "type": "string", "enum": words.into_iter().collect::<Vec<_>>() })
}

pub(super) fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// A whole number from `min` to `max`.
pub(super) fn number(min: u64, max: impl TryInto<u64>) -> Value {
    json!({ "type": "integer", "minimum": min, "maximum": max.try_into().unwrap_or(u64::MAX) })
}

/// A whole number from 1 to `max` that is `usual` unless it is said.
pub(super) fn bounded(usual: impl Into<Value>, max: impl Into<Value>) -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": max.into(), "default": usual.into() })
}

/// How many.
pub(super) fn count() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// Any whole number.
pub(super) fn integer() -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX })
}

/// A time, in milliseconds since 1970.
pub(super) fn time() -> Value {
    json!({ "type": "integer", "format": "int64", "description": "Milliseconds since 1970." })
}

/// The same, or null.
pub(super) fn or_null(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

pub(super) fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// A list that has nothing twice.
pub(super) fn set(of: Value, max: usize) -> Value {
    json!({ "type": "array", "items": of, "uniqueItems": true, "maxItems": max })
}

/// A schema that stands among the components.
pub(super) fn to(component: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{component}") })
}

/// An object of which one of these members is there at least.
pub(super) fn with_one_of<const N: usize>(mut object: Value, members: [&str; N]) -> Value {
    if let Value::Object(rules) = &mut object {
        rules.insert(
            "anyOf".to_owned(),
            members.map(|member| json!({ "required": [member] })).to_vec().into(),
        );
    }
    object
}

/// What an answer has: members that are always there.
pub(super) fn object<const N: usize>(members: [(&str, Value); N]) -> Members {
    Members::default().and(members)
}

/// The members of an object.
#[derive(Clone, Default)]
pub(super) struct Members {
    all: Map<String, Value>,
    required: Vec<String>,
}

impl Members {
    /// More that are always there.
    pub(super) fn and<const N: usize>(mut self, members: [(&str, Value); N]) -> Self {
        for (name, schema) in members {
            self.required.push(name.to_owned());
            self.all.insert(name.to_owned(), schema);
        }
        self
    }

    /// More that may be missing.
    pub(super) fn maybe<const N: usize>(mut self, members: [(&str, Value); N]) -> Self {
        self.all.extend(members.map(|(name, schema)| (name.to_owned(), schema)));
        self
    }

    /// All of another.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.all.extend(other.all);
        self.required.extend(other.required);
        self
    }

    /// What is answered: a newer gateway may say more.
    pub(super) fn told(self) -> Value {
        self.schema(&[])
    }

    /// What is sent: nothing else is taken.
    pub(super) fn taken(self) -> Value {
        self.schema(&[("additionalProperties", json!(false))])
    }

    /// The same, with further rules of JSON Schema.
    pub(super) fn schema(mut self, more: &[(&str, Value)]) -> Value {
        let mut schema = Map::new();
        schema.insert("type".to_owned(), "object".into());
        if !self.required.is_empty() {
            self.required.sort_unstable();
            schema.insert("required".to_owned(), self.required.into());
        }
        schema.insert("properties".to_owned(), self.all.into());
        schema.extend(more.iter().map(|(name, rule)| ((*name).to_owned(), rule.clone())));
        schema.into()
    }
}
