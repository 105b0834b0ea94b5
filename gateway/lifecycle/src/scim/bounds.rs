//! How large anything may be that a SCIM client sends. Each bound is far above what Okta and
//! Microsoft Entra ID send, and far below what would hurt.

/// The largest body, in bytes: a group of 25,000 members, each with `display` and `$ref`.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How deep objects and lists may nest in a body.
pub const BODY_DEPTH_MAX: usize = 16;
/// The most JSON values in one body, so that four megabytes of `[],[],[]` do not become a gigabyte.
pub const BODY_VALUES_MAX: usize = 250_000;
/// The longest text in one attribute, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// The most values of one attribute of a document; members of a group are not in a document.
pub const VALUES_MAX: usize = 100;
/// The largest document after a change, in bytes of JSON; also the most text in one attribute while
/// a PATCH is applied. A record has room for it, and for what is kept beside it.
pub const DOCUMENT_BYTES_MAX: usize = 48 * 1024;
/// The most members that one request may name.
pub const MEMBERS_MAX: usize = 25_000;
/// The longest id in a list of members, in bytes.
pub const MEMBER_ID_BYTES_MAX: usize = 255;
/// The most operations of one PATCH: Okta sends one for each member that left.
pub const PATCH_OPERATIONS_MAX: usize = 12_000;
/// The most things that one PATCH may do to a document; changes to members do not count.
pub const PATCH_STEPS_MAX: usize = 200;
/// The most comparisons in the brackets of one PATCH path; ids of members do not count.
pub const PATCH_FILTER_TERMS_MAX: usize = 10;
/// The longest filter or PATCH path, in bytes.
pub const FILTER_BYTES_MAX: usize = 16 * 1024;
/// The most comparisons of one filter.
pub const FILTER_TERMS_MAX: usize = 200;
/// How deep parentheses, `not` and brackets may nest in a filter.
pub const FILTER_DEPTH_MAX: usize = 20;
/// The most names in `attributes` or `excludedAttributes`.
pub const PROJECTION_NAMES_MAX: usize = 100;
/// The longest query of a URL, in bytes.
pub const QUERY_BYTES_MAX: usize = 32 * 1024;
/// Resources on one page when the client does not say.
pub const PAGE_RESOURCES_DEFAULT: usize = 100;
/// The most resources on one page, whatever the client says.
pub const PAGE_RESOURCES_MAX: usize = 200;
/// The most operations of one bulk request.
pub const BULK_OPERATIONS_MAX: usize = 1000;
/// The largest bulk request, in bytes.
pub const BULK_BYTES_MAX: usize = 1024 * 1024;
/// The longest `bulkId`, in bytes.
pub const BULK_ID_BYTES_MAX: usize = 255;
/// The most entity tags in one `If-Match` or `If-None-Match`.
pub const ETAGS_MAX: usize = 20;
