//! Names of attributes as clients write them (RFC 7644 §3.10): `userName`, `name.givenName`,
//! `urn:…:User:manager`, the URN of an extension alone, in any case.

use serde_json::{Map, Value};

use super::schema::{Attribute, COMMON, ResourceType, Schema};

/// An attribute that was found, with its part when the name went on to one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttributePath {
    /// The extension that it is in; none is the core schema or a common attribute.
    pub(crate) extension: Option<&'static Schema>,
    pub(crate) attribute: &'static Attribute,
    pub(crate) part: Option<&'static Attribute>,
}

/// What a name means for one type of resource.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    /// An attribute.
    Attribute(AttributePath),
    /// A whole schema: its URN and nothing after it.
    Schema(&'static Schema),
    /// An attribute of the standard that is not stored.
    Dropped,
    /// Nothing that we know.
    Unknown,
}

// === impl AttributePath ===

impl AttributePath {
    /// The name of the attribute without its part, as [`Asserted`](super::Asserted) keeps it:
    /// `userName`, or `urn:…:User:department` in an extension.
    pub(crate) fn owner(&self) -> String {
        canonical(self.extension, self.attribute)
    }

    /// What is compared or written in the end: the part, or the attribute.
    pub(crate) fn leaf(&self) -> &'static Attribute {
        self.part.unwrap_or(self.attribute)
    }
}

// === impl ResourceType ===

impl ResourceType {
    /// Finds what a name means.
    pub(crate) fn named(self, text: &str) -> Named {
        match self.schema_of(text) {
            Some((schema, "")) => Named::Schema(schema),
            Some((schema, rest)) if std::ptr::eq(schema, self.core()) => {
                self.find(rest, |name| core(self, name).map(|a| (None, a)))
            }
            Some((schema, rest)) => self.find(rest, |name| schema.attribute(name).map(|a| (Some(schema), a))),
            // Entra ID writes `manager` for the one of the enterprise extension.
            None => self.find(text, |name| {
                core(self, name).map(|a| (None, a)).or_else(|| {
                    self.extensions().iter().find_map(|s| s.attribute(name).map(|a| (Some(*s), a)))
                })
            }),
        }
    }

    /// The schema whose URN the name begins with, and what comes after the colon.
    fn schema_of(self, text: &str) -> Option<(&'static Schema, &str)> {
        std::iter::once(self.core()).chain(self.extensions().iter().copied()).find_map(|schema| {
            let (urn, rest) = text.split_at_checked(schema.id.len())?;
            if !urn.eq_ignore_ascii_case(schema.id) {
                return None;
            }
            if rest.is_empty() {
                Some((schema, rest))
            } else {
                rest.strip_prefix(':').map(|rest| (schema, rest))
            }
        })
    }

    fn find(
        self,
        text: &str,
        attribute: impl Fn(&str) -> Option<(Option<&'static Schema>, &'static Attribute)>,
    ) -> Named {
        let (name, part) = match text.split_once('.') {
            Some((name, part)) => (name, Some(part)),
            None => (text, None),
        };
        let Some((extension, attribute)) = attribute(name) else {
            return if self.drops(name) { Named::Dropped } else { Named::Unknown };
        };
        match part.map(|part| attribute.part(part)) {
            None => Named::Attribute(AttributePath { extension, attribute, part: None }),
            Some(Some(part)) => Named::Attribute(AttributePath { extension, attribute, part: Some(part) }),
            Some(None) => Named::Unknown,
        }
    }
}

fn core(kind: ResourceType, name: &str) -> Option<&'static Attribute> {
    kind.core().attribute(name).or_else(|| COMMON.iter().find(|a| a.name.eq_ignore_ascii_case(name)))
}

/// The object that holds the attributes of a schema: the resource, or the extension in it.
pub(crate) fn holder<'a>(
    resource: &'a Map<String, Value>,
    extension: Option<&'static Schema>,
) -> Option<&'a Map<String, Value>> {
    match extension {
        None => Some(resource),
        Some(schema) => resource.get(schema.id)?.as_object(),
    }
}

/// The name of an attribute with the URN of its extension before it.
pub(crate) fn canonical(extension: Option<&'static Schema>, attribute: &Attribute) -> String {
    match extension {
        Some(schema) => format!("{}:{}", schema.id, attribute.name),
        None => attribute.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(kind: ResourceType, name: &str) -> String {
        match kind.named(name) {
            Named::Attribute(path) => {
                format!("{}{}", path.owner(), path.part.map_or(String::new(), |p| format!(" / {}", p.name)))
            }
            Named::Schema(schema) => format!("schema {}", schema.name),
            Named::Dropped => "dropped".to_owned(),
            Named::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn names_are_found_in_every_spelling() {
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        for (name, found) in [
            ("userName", "userName".to_owned()),
            ("USERNAME", "userName".to_owned()),
            ("name.GIVENname", "name / givenName".to_owned()),
            ("externalid", "externalId".to_owned()),
            ("meta.lastModified", "meta / lastModified".to_owned()),
            ("urn:ietf:params:scim:schemas:core:2.0:User:name.familyName", "name / familyName".to_owned()),
            ("urn:ietf:params:scim:schemas:core:2.0:User", "schema User".to_owned()),
            (enterprise, "schema EnterpriseUser".to_owned()),
            (&enterprise.to_uppercase(), "schema EnterpriseUser".to_owned()),
            (&format!("{enterprise}:manager.value"), format!("{enterprise}:manager / value")),
            ("manager", format!("{enterprise}:manager")),
            ("groups.$ref", "groups / $ref".to_owned()),
            ("password", "dropped".to_owned()),
            ("photos.value", "dropped".to_owned()),
            ("name.nick", "unknown".to_owned()),
            ("userName.value", "unknown".to_owned()),
            ("members", "unknown".to_owned()),
            ("", "unknown".to_owned()),
            (".", "unknown".to_owned()),
            (&format!("{enterprise}x"), "unknown".to_owned()),
            (&format!("{enterprise}:userName"), "unknown".to_owned()),
            ("urn:ietf:params:scim:schemas:core:2.0:Group:displayName", "unknown".to_owned()),
            ("urn:ietf:params:scim:schemas:core:2.0:Usér", "unknown".to_owned()),
        ] {
            assert_eq!(say(ResourceType::User, name), found, "{name}");
        }
        assert_eq!(say(ResourceType::Group, "members.VALUE"), "members / value");
        assert_eq!(say(ResourceType::Group, "password"), "unknown");
    }
}
