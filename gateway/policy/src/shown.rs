//! What stands in files, and what clients sent, made fit for a terminal.
//!
//! Whoever checks somebody else's policies prints them. Nothing in them may move the cursor, clear the screen, or
//! turn around what is read: then a mistake could be made to look as if there were none.

/// Text from elsewhere, made fit for a terminal: no control character survives, so that nothing that a
/// client sent, or that stands in a file, can move the cursor or rewrite a line.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unfit(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character moves the cursor, or shows nothing and changes how what follows is read.
#[must_use]
pub fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The text of a file, fit to be drawn: as long as it was in bytes, with every line where it was. None where the
/// text itself is fit.
pub(crate) fn drawable(text: &str) -> Option<String> {
    let mut out: Option<String> = None;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let ends_line = c == '\n' || (c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n'));
        if !is_unfit(c) || ends_line || c == '\t' {
            if let Some(out) = &mut out {
                out.push(c);
            }
            continue;
        }
        let out = out.get_or_insert_with(|| text.get(..at).unwrap_or_default().to_owned());
        out.extend(std::iter::repeat_n('?', c.len_utf8()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_moves_a_cursor_is_left() {
        assert_eq!(printable("plain ä 日本"), "plain ä 日本");
        assert_eq!(printable("\u{1b}[2Jx\r\n"), "\\u{1b}[2Jx\\u{d}\\u{a}");
        assert_eq!(printable("a\u{202e}b\u{9b}1m"), "a\\u{202e}b\\u{9b}1m");
    }

    #[test]
    fn what_is_drawn_is_where_it_was() {
        for fine in ["", "a\tb\r\nü\n", "日本"] {
            assert_eq!(drawable(fine), None, "{fine:?}");
        }
        for (text, expect) in [
            ("a\u{1b}[2J\n\u{7}b", "a?[2J\n?b"),
            ("// x\rpermit\r\n\r", "// x?permit\r\n?"),
            ("ü\u{9b}1m\u{202e}日", "ü??1m???日"),
        ] {
            assert_eq!(drawable(text).as_deref(), Some(expect));
            assert_eq!(text.len(), expect.len());
        }
    }
}
