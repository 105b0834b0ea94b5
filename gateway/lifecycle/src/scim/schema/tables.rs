//! The tables: each attribute once, with everything that the code and `/Schemas` say about it.

use super::{Attribute, Schema};

const TYPE: &str = "What it is for.";
const PRIMARY: &str = "Whether it is the preferred one; at most one is.";
const DISPLAY: &str = "A name for people to read.";

/// Attributes that every resource has (RFC 7643 §3.1); they belong to no schema.
pub(crate) static COMMON: [Attribute; 4] = [
    Attribute::reference("schemas", "The schemas of the resource.", &["uri"]).list().read_only().always(),
    Attribute::text("id", "Our name for the resource, for ever.").exact().unique().read_only().always(),
    Attribute::text("externalId", "The client's name for the resource.").exact(),
    Attribute::complex(
        "meta",
        "What we know about the resource itself.",
        &[
            Attribute::text("resourceType", "Its type.").exact().read_only(),
            Attribute::moment("created", "When it was made.").read_only(),
            Attribute::moment("lastModified", "When it was changed last.").read_only(),
            Attribute::reference("location", "Where it is.", &["uri"]).read_only(),
            Attribute::text("version", "Its entity tag.").exact().read_only(),
        ],
    )
    .read_only(),
];

/// A person (RFC 7643 §4.1).
pub static USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "A person.",
    attributes: &[
        Attribute::text("userName", "The name that the source knows the person by; case does not matter.")
            .required()
            .unique(),
        Attribute::complex(
            "name",
            "The parts of the person's name.",
            &[
                Attribute::text("formatted", "The whole name, as it is written."),
                Attribute::text("familyName", "The family name."),
                Attribute::text("givenName", "The given name."),
                Attribute::text("middleName", "The middle names."),
                Attribute::text("honorificPrefix", "What stands before the name."),
                Attribute::text("honorificSuffix", "What stands after the name."),
            ],
        ),
        Attribute::text("displayName", "The name as others see it."),
        Attribute::text("nickName", "What the person is called."),
        Attribute::reference("profileUrl", "A page about the person.", &["external"]),
        Attribute::text("title", "The person's title, such as Vice President."),
        Attribute::text("userType", "The relation to the organization, such as Contractor."),
        Attribute::text("preferredLanguage", "The languages that the person prefers (RFC 9110 §12.5.4)."),
        Attribute::text("locale", "How numbers and dates are written for the person (RFC 5646)."),
        Attribute::text("timezone", "The person's time zone, such as Europe/Berlin."),
        Attribute::boolean(
            "active",
            "Whether the source says that the person may have access. Absent on creation means false.",
        )
        .required(),
        Attribute::complex(
            "emails",
            "E-mail addresses, kept as sent.",
            &[
                Attribute::text("value", "The address."),
                Attribute::text("display", DISPLAY),
                Attribute::text("type", TYPE).usually(&["work", "home", "other"]),
                Attribute::boolean("primary", PRIMARY),
            ],
        )
        .list()
        .one_per_type(),
        Attribute::complex(
            "phoneNumbers",
            "Telephone numbers, kept as sent.",
            &[
                Attribute::text("value", "The number."),
                Attribute::text("display", DISPLAY),
                Attribute::text("type", TYPE).usually(&["work", "home", "mobile", "fax", "pager", "other"]),
                Attribute::boolean("primary", PRIMARY),
            ],
        )
        .list()
        .one_per_type(),
        Attribute::complex(
            "addresses",
            "Postal addresses.",
            &[
                Attribute::text("formatted", "The whole address, as it is written."),
                Attribute::text("streetAddress", "Street and number."),
                Attribute::text("locality", "The town."),
                Attribute::text("region", "The region or state."),
                Attribute::text("postalCode", "The postal code."),
                Attribute::text("country", "The country (ISO 3166-1 alpha-2)."),
                Attribute::text("type", TYPE).usually(&["work", "home", "other"]),
                Attribute::boolean("primary", PRIMARY),
            ],
        )
        .list()
        .one_per_type(),
        Attribute::complex(
            "groups",
            "The groups that the person is in, direct or by nesting; written on the groups.",
            &[
                Attribute::text("value", "The id of the group.").exact().read_only(),
                Attribute::reference("$ref", "Where the group is.", &["Group"]).read_only(),
                Attribute::text("display", DISPLAY).read_only(),
                Attribute::text("type", "Direct, or by nesting.")
                    .usually(&["direct", "indirect"])
                    .read_only(),
            ],
        )
        .list()
        .read_only(),
        Attribute::complex(
            "roles",
            "Roles, as the source calls them.",
            &[
                Attribute::text("value", "The role."),
                Attribute::text("display", DISPLAY),
                Attribute::text("type", TYPE),
                Attribute::boolean("primary", PRIMARY),
            ],
        )
        .list(),
    ],
};

/// What an employer knows about a person (RFC 7643 §4.3).
pub static ENTERPRISE_USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    description: "What an employer knows about a person.",
    attributes: &[
        Attribute::text("employeeNumber", "The number that the employer gave."),
        Attribute::text("costCenter", "The cost center."),
        Attribute::text("organization", "The organization."),
        Attribute::text("division", "The division."),
        Attribute::text("department", "The department."),
        Attribute::complex(
            "manager",
            "The person's manager.",
            &[Attribute::text("value", "The id of the manager.").exact()],
        )
        .bare(),
    ],
};

/// A set of people and groups (RFC 7643 §4.2).
pub static GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "A set of people and groups.",
    attributes: &[
        Attribute::text("displayName", "The name of the group.").required().unique(),
        Attribute::complex(
            "members",
            "The people and groups that are in it, without those of nested groups.",
            &[
                Attribute::text("value", "The id of the member.").required().exact().immutable(),
                Attribute::reference("$ref", "Where the member is.", &["User", "Group"]).immutable(),
                Attribute::text("type", "What the member is.").usually(&["User", "Group"]).immutable(),
                Attribute::text("display", DISPLAY).read_only(),
            ],
        )
        .list(),
    ],
};
