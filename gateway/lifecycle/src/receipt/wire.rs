//! How words of the domain are written in a signed document. Each has one way to be written.

use std::fmt::Display;
use std::str::FromStr;

use doorward_audit::Protocol;
use doorward_model::{AppId, DeviceId, EntryKind, IssuerId, RouteId, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Something that is written as one text.
pub(crate) trait Text: Sized {
    fn read(text: &str) -> Result<Self, String>;
    fn write(&self) -> String;
}

/// A closed set of words.
pub(crate) trait Word: Copy + 'static {
    const WORDS: &'static [Self];
    fn word(self) -> &'static str;
}

impl<T: Word> Text for T {
    fn read(text: &str) -> Result<Self, String> {
        T::WORDS.iter().copied().find(|word| word.word() == text).ok_or_else(|| {
            let words: Vec<_> = T::WORDS.iter().map(|word| word.word()).collect();
            format!("`{}` is none of {}", cut(text), words.join(", "))
        })
    }

    fn write(&self) -> String {
        self.word().to_owned()
    }
}

/// As much of a text as an error repeats.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|e: T::Err| e.to_string())
}

impl Text for Uuid {
    fn read(text: &str) -> Result<Self, String> {
        Self::parse_str(text).map_err(|_| format!("`{}` is not a UUID", cut(text)))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Text for UserId {
    fn read(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Text for AppId {
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|e| e.to_string())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Text for RouteId {
    fn read(text: &str) -> Result<Self, String> {
        let (app, route) =
            text.split_once('/').ok_or_else(|| format!("`{}` is not `app/route`", cut(text)))?;
        Self::new(AppId::read(app)?, route).map_err(|e| e.to_string())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Text for IssuerId {
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|e| e.to_string())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Text for DeviceId {
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|e| e.to_string())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Word for EntryKind {
    const WORDS: &'static [Self] = &Self::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

impl Word for Protocol {
    const WORDS: &'static [Self] = &Self::ALL;
    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// A closed set of words of our own, with what each means.
macro_rules! words {
    ($(#[$doc:meta])* $vis:vis enum $name:ident { $($(#[$means:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$means])* $variant,)*
        }

        impl $name {
            /// Every one, in order.
            $vis const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for it in documents and logs.
            #[must_use]
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl $crate::receipt::wire::Word for $name {
            const WORDS: &'static [Self] = Self::ALL;
            fn word(self) -> &'static str {
                self.as_str()
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                $crate::receipt::wire::text::serialize(self, to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::receipt::wire::text::deserialize(from)
            }
        }
    };
}
pub(crate) use words;

/// `#[serde(with = "wire::text")]`
pub(crate) mod text {
    use super::{Deserialize, Deserializer, Serializer, Text};

    pub(crate) fn serialize<T: Text, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&value.write())
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        T::read(&String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "wire::texts")]`: a list of them.
pub(crate) mod texts {
    use super::{Deserialize, Deserializer, Serializer, Text};

    pub(crate) fn serialize<T: Text, S: Serializer>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(Text::write))
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        texts.iter().map(|text| T::read(text)).collect::<Result<_, _>>().map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "wire::maybe")]`: one, or `null`. The key must be there.
pub(crate) mod maybe {
    use super::{Deserialize, Deserializer, Serialize, Serializer, Text};

    pub(crate) fn serialize<T: Text, S: Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(Text::write).serialize(to)
    }

    pub(crate) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| T::read(&text)).transpose().map_err(serde::de::Error::custom)
    }
}

/// `#[serde(with = "wire::millis")]`: milliseconds since 1970.
pub(crate) mod millis {
    use doorward_model::UnixMillis;

    use super::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(at: &UnixMillis, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.0)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixMillis, D::Error> {
        i64::deserialize(from).map(UnixMillis)
    }
}

/// `#[serde(with = "wire::millis_maybe")]`: milliseconds since 1970, or `null`.
pub(crate) mod millis_maybe {
    use doorward_model::UnixMillis;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(at: &Option<UnixMillis>, to: S) -> Result<S::Ok, S::Error> {
        at.map(|at| at.0).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UnixMillis>, D::Error> {
        Ok(Option::<i64>::deserialize(from)?.map(UnixMillis))
    }
}
