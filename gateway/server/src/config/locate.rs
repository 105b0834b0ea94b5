//! Where in the file something stands: from a key path to bytes, from bytes to line and column.

use std::ops::Range;

use doorward_model::complaint::{Key, KeyPath};
use toml::Spanned;
use toml::de::DeValue;

/// Which part of an entry a mistake is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The key itself.
    Key,
    /// Its value; of a table, its header.
    Value,
}

/// The bytes of what `at` names; when it is not there, of the nearest thing around it. The file
/// itself, as an empty range, when nothing of it is there.
pub(super) fn span(root: &DeValue<'_>, at: &KeyPath, part: Part) -> Range<usize> {
    let mut found = 0..0;
    let mut here = root;
    for (i, key) in at.0.iter().enumerate() {
        let last = i + 1 == at.0.len();
        here = match (key, here) {
            (Key::Name(name), DeValue::Table(table)) => {
                let Some((key, value)) = table.get_key_value(name.as_str()) else { return found };
                found = if last && part == Part::Key { key.span() } else { value.span() };
                value.get_ref()
            }
            (Key::Index(n), DeValue::Array(items)) => {
                let Some(value): Option<&Spanned<DeValue<'_>>> = items.get(*n) else { return found };
                found = value.span();
                value.get_ref()
            }
            (Key::Name(_) | Key::Index(_), _) => return found,
        };
    }
    found
}

/// Line and column of a byte, both from 1; columns count characters.
pub(crate) fn line_and_column(source: &str, byte: usize) -> (usize, usize) {
    let before = source.get(..byte).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_bytes_or_to_the_nearest_table() {
        let source = "[gateway]\nnode = 1\n[[app]]\n[[app]]\nhosts = ['a', 'b']\n[app.upstream]\n";
        let root = DeValue::Table(toml::de::DeTable::parse(source).unwrap().into_inner());
        let top = KeyPath::top();
        let app = top.key("app").index(1);
        for (at, part, want) in [
            (top.key("gateway").key("node"), Part::Value, "1"),
            (top.key("gateway").key("node"), Part::Key, "node"),
            (top.key("gateway").key("absent"), Part::Value, "[gateway]"),
            (app.key("hosts").index(1), Part::Value, "'b'"),
            (app.key("hosts").index(7), Part::Value, "['a', 'b']"),
            (app.key("upstream").key("addresses"), Part::Value, "[app.upstream]"),
            (app.key("id"), Part::Value, "[[app]]"),
            (top.key("issuer"), Part::Value, ""),
            (top, Part::Value, ""),
        ] {
            assert_eq!(&source[span(&root, &at, part)], want, "{at}");
        }
    }

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        for (source, byte, want) in
            [("", 0, (1, 1)), ("a\nb", 2, (2, 1)), ("ä = 1", 5, (1, 5)), ("a\n", 9, (2, 1)), ("ä", 1, (1, 2))]
        {
            assert_eq!(line_and_column(source, byte), want, "{source:?} {byte}");
        }
    }
}
