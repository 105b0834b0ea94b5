//! Every bound of the gateway, with its unit in its name.
//!
//! These are the defaults and the hard ceilings. Where the configuration may change one, the
//! key has the same name.

/// The largest request header block, in bytes, names and values together.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;
/// The most request header lines.
pub const HEADER_COUNT_MAX: usize = 100;
/// The longest request target, in bytes.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// From the first byte of a connection, or of a request, to the end of its header.
pub const HEADER_SECONDS_MAX: u64 = 10;
/// How long an HTTP/1.1 connection may wait for its next request.
pub const KEEPALIVE_SECONDS_MAX: u64 = 60;
/// How long an HTTP/2 connection may be without a stream.
pub const H2_IDLE_SECONDS_MAX: u64 = 300;
/// How long a body may be without a byte, in either direction. Streams have their own bound.
pub const BODY_IDLE_SECONDS_MAX: u64 = 60;
/// How long a WebSocket, an event stream or a gRPC stream may be silent.
pub const STREAM_IDLE_SECONDS_MAX: u64 = 3600;
/// The most streams at once on one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 100;
/// The most HTTP/2 streams of one connection that were reset and are still remembered.
pub const H2_RESET_STREAMS_MAX: usize = 20;
/// The most connections at once.
pub const CONNECTIONS_MAX: usize = 16_384;
/// The most connections at once from one address; behind a trusted proxy, from that proxy.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 1024;
/// To connect to an upstream, TLS handshake included.
pub const UPSTREAM_CONNECT_SECONDS_MAX: u64 = 5;
/// How many other addresses of an app are tried when one does not answer.
pub const UPSTREAM_CONNECT_RETRIES_MAX: usize = 2;
/// How long an idle connection to an upstream is kept.
pub const UPSTREAM_KEEPALIVE_SECONDS_MAX: u64 = 60;
/// How long a terminated stream may take to say goodbye in its own protocol.
pub const FAREWELL_MILLIS_MAX: u64 = 250;
/// How long running exchanges may go on after SIGTERM.
pub const DRAIN_SECONDS_MAX: u64 = 30;
/// The largest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Verified tokens that are remembered.
pub const TOKEN_CACHE_ENTRIES_MAX: usize = 50_000;
/// The largest key set that an issuer may send, in bytes.
pub const JWKS_BYTES_MAX: usize = 64 * 1024;
/// The most keys of one issuer.
pub const JWKS_KEYS_MAX: usize = 50;
/// An unknown key id fetches the key set at most once in this time, for each issuer.
pub const JWKS_REFETCH_SECONDS_MIN: u64 = 60;
/// How long keys that could not be fetched anew are still used.
pub const JWKS_STALE_SECONDS_MAX: u64 = 24 * 3600;
/// Groups of one principal; a token with more is refused, because a group that is dropped
/// could be one that a policy forbids.
pub const GROUPS_MAX: usize = 1000;
/// The longest list of addresses in `X-Forwarded-For`.
pub const FORWARDED_HOPS_MAX: usize = 32;
/// How deep brackets may nest in a policy file.
pub const POLICY_NESTING_MAX: usize = 64;
/// The largest policy file, in bytes.
pub const POLICY_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Decisions that wait for the log; more are dropped and counted.
pub const AUDIT_QUEUE_EVENTS_MAX: usize = 65_536;
/// How long a decision may stay out of the durable log.
pub const AUDIT_FLUSH_MILLIS_MAX: u64 = 1000;
/// A log file is closed and a new one begun at this size, in bytes.
pub const AUDIT_SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// How long an assertion for an upstream lives.
pub const ASSERTION_SECONDS_MAX: i64 = 60;
/// How far an issuer's clock may be off.
pub const ISSUER_SKEW_MILLIS: u64 = 2000;
