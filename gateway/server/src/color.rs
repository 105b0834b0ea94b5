//! Whether output is colored: the flag, then `NO_COLOR` (<https://no-color.org>), then whether a
//! person is looking.

use std::io::IsTerminal;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What became of the choice for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// With colors.
    Color,
    /// Without.
    Plain,
}

impl ColorChoice {
    /// Decides for one stream.
    #[must_use]
    pub fn style(self, stream: &impl IsTerminal) -> Style {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        self.decide(stream.is_terminal(), no_color)
    }

    const fn decide(self, terminal: bool, no_color: bool) -> Style {
        match (self, terminal, no_color) {
            (Self::Always, _, _) | (Self::Auto, true, false) => Style::Color,
            (Self::Never, _, _) | (Self::Auto, false, _) | (Self::Auto, _, true) => Style::Plain,
        }
    }
}

impl Style {
    /// `text` in bold.
    #[must_use]
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` in green: something good.
    #[must_use]
    pub fn green(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// `text` in red: something bad.
    #[must_use]
    pub fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// `text` in yellow: something to look at.
    #[must_use]
    pub fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// `text` dimmed: something less important.
    #[must_use]
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Color => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_beats_the_environment_and_the_environment_beats_the_terminal() {
        for (choice, terminal, no_color, want) in [
            (ColorChoice::Auto, true, false, Style::Color),
            (ColorChoice::Auto, true, true, Style::Plain),
            (ColorChoice::Auto, false, false, Style::Plain),
            (ColorChoice::Always, false, true, Style::Color),
            (ColorChoice::Never, true, false, Style::Plain),
        ] {
            assert_eq!(choice.decide(terminal, no_color), want);
        }
        assert_eq!(Style::Color.red("x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Style::Plain.red("x"), "x");
    }
}
