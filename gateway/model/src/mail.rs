//! Mail domains: for which addresses somebody's word counts.

use std::fmt;

use crate::limits::MAIL_DOMAIN_BYTES_MAX;

/// Domains of providers where anybody opens a mailbox. Short on purpose: it is for a warning, and
/// whoever is not on it is not thereby a company.
const PUBLIC: &[&str] = &[
    "163.com",
    "aol.com",
    "fastmail.com",
    "free.fr",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hey.com",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mac.com",
    "mail.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "orange.fr",
    "outlook.com",
    "pm.me",
    "posteo.de",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "t-online.de",
    "tutanota.com",
    "web.de",
    "yahoo.com",
    "yandex.com",
    "yandex.ru",
    "ymail.com",
    "zoho.com",
];

/// The domain of mail addresses, as it is compared: in lower case, ASCII (RFC 5321 §4.1.2; other scripts as
/// `xn--`, RFC 5890). Domains beneath it are other domains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailDomain(Box<str>);

/// Why a text is no mail domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a mail domain, such as `corp.example`: ASCII letters, digits, hyphens and at least one dot")]
pub struct NotAMailDomain;

impl MailDomain {
    /// Checks a domain, and writes it in lower case.
    ///
    /// # Errors
    /// When it is none, has no dot, or stands for many (`*.corp.example`).
    pub fn new(text: &str) -> Result<Self, NotAMailDomain> {
        let label = |label: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(fits)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = text.len() <= MAIL_DOMAIN_BYTES_MAX && text.contains('.') && text.split('.').all(label);
        if fits { Ok(Self(text.to_ascii_lowercase().into())) } else { Err(NotAMailDomain) }
    }

    /// The text, in lower case.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether anybody can have an address in it, as far as is known here.
    #[must_use]
    pub fn is_public(&self) -> bool {
        PUBLIC.contains(&&*self.0)
    }
}

impl fmt::Display for MailDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_read_in_one_way() {
        for (text, read) in [
            ("corp.example", "corp.example"),
            ("Corp.Example", "corp.example"),
            ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
            ("a.b.c-d.example", "a.b.c-d.example"),
        ] {
            assert_eq!(MailDomain::new(text).unwrap().as_str(), read);
        }
        let long = format!("{}.example", "a.".repeat(200));
        for text in [
            "",
            "example",
            "*.corp.example",
            "@corp.example",
            "ada@corp.example",
            "corp.example.",
            ".corp.example",
            "corp..example",
            "-corp.example",
            "corp-.example",
            "münchen.example",
            "corp.example ",
            "corp_1.example",
            &long,
        ] {
            assert_eq!(MailDomain::new(text), Err(NotAMailDomain), "{text}");
        }
    }

    #[test]
    fn where_anybody_opens_a_mailbox_is_known() {
        for (text, public) in [("gmail.com", true), ("GMAIL.com", true), ("corp.example", false)] {
            assert_eq!(MailDomain::new(text).unwrap().is_public(), public, "{text}");
        }
        assert!(PUBLIC.is_sorted() && PUBLIC.iter().all(|domain| MailDomain::new(domain).is_ok()));
    }
}
