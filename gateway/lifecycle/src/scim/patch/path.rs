//! The path of an operation: `attribute`, `attribute.part`, `attribute[filter]`,
//! `attribute[filter].part`, or the URN of a schema (RFC 7644 §3.5.2, figure 7).

use super::super::bounds::FILTER_BYTES_MAX;
use super::super::error::{ErrorKind, ScimError, shown};
use super::super::filter::Filter;
use super::super::names::{AttributePath, Named};
use super::super::schema::{ResourceType, Schema};

/// What a path means.
#[derive(Clone, Debug)]
pub(super) enum Path {
    Attribute(AttributePath, Option<Filter>),
    Schema(&'static Schema),
    /// An attribute of the standard that is not stored.
    Dropped,
    /// Nothing that we know.
    Unknown,
}

pub(super) fn parse(kind: ResourceType, text: &str) -> Result<Path, ScimError> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(bad(format!("`path` is longer than {FILTER_BYTES_MAX} bytes")));
    }
    let Some((name, rest)) = text.split_once('[') else {
        return Ok(match kind.named(text) {
            Named::Attribute(path) => Path::Attribute(path, None),
            Named::Schema(schema) => Path::Schema(schema),
            Named::Dropped => Path::Dropped,
            Named::Unknown => Path::Unknown,
        });
    };
    let Some((filter, after)) = rest.rsplit_once(']') else {
        return Err(bad(format!("the path {} has no `]`", shown(text))));
    };
    let mut path = match kind.named(name.trim_end()) {
        Named::Attribute(path) => path,
        Named::Dropped => return Ok(Path::Dropped),
        Named::Schema(_) | Named::Unknown => return Ok(Path::Unknown),
    };
    if path.part.is_some() || !path.attribute.multi_valued || path.attribute.parts.is_empty() {
        return Err(bad(format!("{} is no list that brackets could pick from", shown(name))));
    }
    let filter = Filter::parse_element(path.attribute, filter)?;
    if !after.is_empty() {
        let part = after.strip_prefix('.').and_then(|part| path.attribute.part(part));
        path.part = Some(part.ok_or_else(|| bad(format!("the path {} has no such part", shown(text))))?);
    }
    Ok(Path::Attribute(path, Some(filter)))
}

pub(super) fn bad(detail: String) -> ScimError {
    ScimError::new(ErrorKind::InvalidPath, detail)
}
