//! What must come: each kind of content counts, and nothing may be lost, doubled or changed.

use doorward_demo::apps::pattern::Reader;

use super::{End, Follow};

/// The next number of lines, ticks or echoes.
#[derive(Default)]
pub(super) struct Counter(u64);

impl Counter {
    /// Takes a text with a number after a word.
    pub(super) fn take(&mut self, text: &str, word: &str) -> Result<(), End> {
        let expected = format!("{word}{}", self.0 + 1);
        if text != expected {
            return Err(End::Wrong(format!("`{text}` came where `{expected}` must")));
        }
        self.0 += 1;
        Ok(())
    }
}

/// A body that is followed: server-sent events, or the pattern.
pub(super) enum Body {
    Events { counter: Counter, buffer: String },
    Pattern(Reader),
}

impl Body {
    pub(super) fn events() -> Self {
        Self::Events { counter: Counter::default(), buffer: String::new() }
    }

    pub(super) fn pattern() -> Self {
        Self::Pattern(Reader::default())
    }

    /// Takes the next piece of the body.
    pub(super) fn take(&mut self, piece: &[u8], follow: &Follow) -> Result<(), End> {
        match self {
            Self::Events { counter, buffer } => {
                buffer.push_str(&String::from_utf8_lossy(piece));
                while let Some(end) = buffer.find("\n\n") {
                    let event: String = buffer.drain(..end + 2).collect();
                    let data = event.lines().find(|l| l.starts_with("data: ")).unwrap_or_default();
                    counter.take(data, "data: ")?;
                    follow.count(1);
                }
            }
            Self::Pattern(reader) => {
                reader.read(piece).map_err(|e| End::Wrong(e.to_string()))?;
                follow.count(piece.len() as u64);
            }
        }
        Ok(())
    }
}
