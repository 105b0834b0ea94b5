//! What a resource is made of: the published schemas as a table (RFC 7643 §4, §7).
//!
//! Only what is stored is published. A client that sends `password`, `photos`, `ims`,
//! `entitlements` or `x509Certificates` is heard and not obeyed: they are dropped where they are
//! read ([`ResourceType::drops`]).

mod tables;

pub(crate) use tables::COMMON;
pub use tables::{ENTERPRISE_USER, GROUP, USER};

/// What kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceType {
    /// A person.
    User,
    /// A set of people and groups.
    Group,
}

/// One schema (RFC 7643 §7).
#[derive(Debug)]
pub struct Schema {
    /// Its URN, which is its id.
    pub id: &'static str,
    /// Its short name.
    pub name: &'static str,
    /// What it describes.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: &'static [Attribute],
}

/// One attribute, or one part of a complex attribute.
#[derive(Debug)]
pub struct Attribute {
    /// Its name as we write it; as clients write it, the case does not matter.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether it holds a list.
    pub multi_valued: bool,
    /// Whether it can never be without a value.
    pub required: bool,
    /// Whether values that differ by case alone are different values.
    pub case_exact: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// Whether no two resources may have the same value.
    pub unique: bool,
    /// Whether a new value takes the place of the one with the same `type`: both Okta and Entra ID
    /// expect one work e-mail, not a pile of them.
    pub one_per_type: bool,
    /// Whether a bare text, or a list of one, stands for the part `value` (Entra ID writes
    /// `manager` so).
    pub bare: bool,
    /// What it means.
    pub description: &'static str,
    /// Values that are usual.
    pub canonical: &'static [&'static str],
    /// What a reference leads to.
    pub references: &'static [&'static str],
    /// The parts of a complex attribute.
    pub parts: &'static [Attribute],
}

/// What a value is (RFC 7643 §2.3). Numbers and binary values occur in no schema of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// True or false.
    Boolean,
    /// A moment (xsd:dateTime).
    DateTime,
    /// A URI.
    Reference,
    /// An object with parts.
    Complex,
}

/// Who may write an attribute (RFC 7643 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    /// The client.
    ReadWrite,
    /// Only we.
    ReadOnly,
    /// The client, once.
    Immutable,
}

/// When an attribute is returned (RFC 7643 §7). What is never returned is not stored either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// Whatever the client asks for.
    Always,
    /// Unless the client asks for others.
    Default,
}

/// RFC 7643 §4.1 has these for a User, and we do not store them.
const DROPPED: [&str; 5] = ["password", "ims", "photos", "entitlements", "x509Certificates"];

static USER_EXTENSIONS: [&Schema; 1] = [&ENTERPRISE_USER];

// === impl ResourceType ===

impl ResourceType {
    /// Every type.
    pub const ALL: [Self; 2] = [Self::User, Self::Group];

    /// Its name, which is its id under `/ResourceTypes` and `meta.resourceType`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// Where its resources are, below the base URL.
    #[must_use]
    pub const fn endpoint(self) -> &'static str {
        match self {
            Self::User => "/Users",
            Self::Group => "/Groups",
        }
    }

    /// What it is, in one sentence.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::User => "A person.",
            Self::Group => "A set of people and groups.",
        }
    }

    /// Its own schema.
    #[must_use]
    pub const fn core(self) -> &'static Schema {
        match self {
            Self::User => &USER,
            Self::Group => &GROUP,
        }
    }

    /// The schemas that add to it.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static Schema] {
        match self {
            Self::User => &USER_EXTENSIONS,
            Self::Group => &[],
        }
    }

    /// The attribute that is worked out when a resource is read, and in no document.
    #[must_use]
    pub const fn computed(self) -> &'static str {
        match self {
            Self::User => "groups",
            Self::Group => "members",
        }
    }

    /// Whether the standard has this attribute for this type and we drop it.
    #[must_use]
    pub fn drops(self, name: &str) -> bool {
        match self {
            Self::User => DROPPED.iter().any(|d| d.eq_ignore_ascii_case(name)),
            Self::Group => false,
        }
    }
}

// === impl Schema ===

impl Schema {
    /// Every schema that is published.
    pub const ALL: [&'static Self; 3] = [&USER, &ENTERPRISE_USER, &GROUP];

    /// The attribute of that name, in whatever case.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.attributes, name)
    }
}

// === impl Attribute ===

impl Attribute {
    /// The part of that name, in whatever case.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&'static Self> {
        find(self.parts, name)
    }

    /// Whether a client can change it.
    #[must_use]
    pub const fn writable(&self) -> bool {
        match self.mutability {
            Mutability::ReadWrite | Mutability::Immutable => true,
            Mutability::ReadOnly => false,
        }
    }

    pub(crate) const fn text(name: &'static str, description: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Text,
            multi_valued: false,
            required: false,
            case_exact: false,
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            unique: false,
            one_per_type: false,
            bare: false,
            description,
            canonical: &[],
            references: &[],
            parts: &[],
        }
    }

    pub(crate) const fn boolean(name: &'static str, description: &'static str) -> Self {
        Self { kind: Kind::Boolean, ..Self::text(name, description) }
    }

    pub(crate) const fn moment(name: &'static str, description: &'static str) -> Self {
        Self { kind: Kind::DateTime, case_exact: true, ..Self::text(name, description) }
    }

    pub(crate) const fn reference(
        name: &'static str,
        description: &'static str,
        references: &'static [&'static str],
    ) -> Self {
        Self { kind: Kind::Reference, case_exact: true, references, ..Self::text(name, description) }
    }

    pub(crate) const fn complex(
        name: &'static str,
        description: &'static str,
        parts: &'static [Self],
    ) -> Self {
        Self { kind: Kind::Complex, parts, ..Self::text(name, description) }
    }

    pub(crate) const fn list(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub(crate) const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    pub(crate) const fn unique(self) -> Self {
        Self { unique: true, ..self }
    }

    pub(crate) const fn always(self) -> Self {
        Self { returned: Returned::Always, ..self }
    }

    pub(crate) const fn read_only(self) -> Self {
        Self { mutability: Mutability::ReadOnly, ..self }
    }

    pub(crate) const fn immutable(self) -> Self {
        Self { mutability: Mutability::Immutable, ..self }
    }

    pub(crate) const fn one_per_type(self) -> Self {
        Self { one_per_type: true, ..self }
    }

    pub(crate) const fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    pub(crate) const fn usually(self, canonical: &'static [&'static str]) -> Self {
        Self { canonical, ..self }
    }
}

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|a| a.name.eq_ignore_ascii_case(name))
}

/// How a value that is not case-exact is compared and kept in an index.
#[must_use]
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}
