//! Which endpoint a path names, and which methods it knows (RFC 7644 §3.2, table 2).

use axum::http::Method;

use crate::scim::ResourceType;

/// What every path begins with.
pub const ROOT: &str = "/scim/v2";

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/Users`, `/Groups`.
    Collection(ResourceType),
    /// `/Users/{id}`, `/Groups/{id}`.
    Resource(ResourceType, String),
    /// `/.search`, and of one type.
    Search(Option<ResourceType>),
    /// `/Bulk`.
    Bulk,
    /// `/ServiceProviderConfig`.
    Config,
    /// `/ResourceTypes`, and one of them.
    Types(Option<String>),
    /// `/Schemas`, and one of them.
    Schemas(Option<String>),
    /// `/Me`.
    Me,
}

impl Endpoint {
    /// Reads a path. None: there is nothing.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(ROOT)?;
        let mut parts = rest.strip_prefix('/')?.split('/');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        if third.is_some() {
            return None;
        }
        // `/Users/` is `/Users`.
        let second = second.filter(|part| !part.is_empty());
        let of_type =
            ResourceType::ALL.into_iter().find(|kind| kind.endpoint().strip_prefix('/') == Some(first));
        match (of_type, first, second) {
            (Some(kind), _, None) => Some(Self::Collection(kind)),
            (Some(kind), _, Some(".search")) => Some(Self::Search(Some(kind))),
            (Some(kind), _, Some(id)) => Some(Self::Resource(kind, id.to_owned())),
            (None, ".search", None) => Some(Self::Search(None)),
            (None, "Bulk", None) => Some(Self::Bulk),
            (None, "ServiceProviderConfig", None) => Some(Self::Config),
            (None, "ResourceTypes", name) => Some(Self::Types(name.map(str::to_owned))),
            // A colon may come escaped.
            (None, "Schemas", urn) => {
                Some(Self::Schemas(urn.map(|urn| urn.replace("%3A", ":").replace("%3a", ":"))))
            }
            (None, "Me", _) => Some(Self::Me),
            (None, _, _) => None,
        }
    }

    /// Whether what it answers depends on who is known, and not on the service alone.
    pub(crate) const fn is_of_people(&self) -> bool {
        match self {
            Self::Collection(_) | Self::Resource(..) | Self::Search(_) | Self::Bulk => true,
            Self::Config | Self::Types(_) | Self::Schemas(_) | Self::Me => false,
        }
    }

    /// The methods that it knows, for `Allow`.
    pub(crate) const fn methods(&self) -> &'static str {
        match self {
            Self::Collection(_) => "GET, HEAD, POST",
            Self::Resource(..) => "GET, HEAD, PUT, PATCH, DELETE",
            Self::Search(_) | Self::Bulk => "POST",
            Self::Config | Self::Types(_) | Self::Schemas(_) => "GET, HEAD",
            Self::Me => "GET, HEAD, POST, PUT, PATCH, DELETE",
        }
    }

    /// Whether it knows a method.
    pub(crate) fn knows(&self, method: &Method) -> bool {
        self.methods().split(", ").any(|known| known == method.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_endpoint_or_nothing() {
        let user = ResourceType::User;
        let named = |id: &str| Some(id.to_owned());
        for (path, want) in [
            ("/Users", Some(Endpoint::Collection(user))),
            ("/Users/", Some(Endpoint::Collection(user))),
            ("/Users/7", Some(Endpoint::Resource(user, "7".to_owned()))),
            ("/Groups/7/", None),
            ("/Users/7/8", None),
            ("/users", None),
            ("/.search", Some(Endpoint::Search(None))),
            ("/Users/.search", Some(Endpoint::Search(Some(user)))),
            ("/Bulk", Some(Endpoint::Bulk)),
            ("/Bulk/7", None),
            ("/Schemas", Some(Endpoint::Schemas(None))),
            ("/Schemas/urn%3Aa:b", Some(Endpoint::Schemas(named("urn:a:b")))),
            ("/ResourceTypes/User", Some(Endpoint::Types(named("User")))),
            ("/ServiceProviderConfig", Some(Endpoint::Config)),
            ("/Me", Some(Endpoint::Me)),
            ("", None),
            ("/", None),
        ] {
            assert_eq!(Endpoint::parse(&format!("{ROOT}{path}")), want, "{path}");
            assert_eq!(Endpoint::parse(path), None, "{path}");
        }
    }

    #[test]
    fn only_the_methods_of_the_standard_are_known() {
        let types = Endpoint::Types(None);
        assert!(types.knows(&Method::GET) && !types.knows(&Method::POST) && !types.knows(&Method::PATCH));
        assert!(!Endpoint::Bulk.knows(&Method::GET));
        assert!(!Endpoint::Collection(ResourceType::User).knows(&Method::DELETE));
    }
}
