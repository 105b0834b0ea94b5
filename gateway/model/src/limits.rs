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
/// What one HTTP/2 stream may hold back for a client that does not read, in bytes.
pub const H2_SEND_BUFFER_BYTES_MAX: usize = 256 * 1024;
/// How long the rest of a refused request is read, so that the connection can be used again.
pub const REFUSED_BODY_SECONDS_MAX: u64 = 5;
/// What is read ahead from each connection of a client, in bytes.
pub const CONNECTION_READ_BUFFER_BYTES: usize = 8 * 1024;
/// The most connections at once.
pub const CONNECTIONS_MAX: usize = 16_384;
/// The most connections at once from one address, or from one IPv6 /64: the client's by the word of
/// the PROXY protocol where it is spoken, else whoever connects.
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
/// An unknown key id, or a signature that does not fit, fetches the key set at most once in this
/// time, for each issuer.
pub const JWKS_REFETCH_SECONDS_MIN: u64 = 60;
/// How long keys that could not be fetched anew are still used.
pub const JWKS_STALE_SECONDS_MAX: u64 = 24 * 3600;
/// A key set is used at least this long before it is fetched again, whatever `Cache-Control` says.
pub const JWKS_TTL_SECONDS_MIN: u64 = 300;
/// A key set is used at most this long before it is fetched again, whatever `Cache-Control` says.
pub const JWKS_TTL_SECONDS_MAX: u64 = 24 * 3600;
/// To connect to an issuer, TLS handshake included.
pub const JWKS_CONNECT_SECONDS_MAX: u64 = 3;
/// For one whole answer of an issuer, from the request to the last byte.
pub const JWKS_FETCH_SECONDS_MAX: u64 = 5;
/// The longest pause between two tries to fetch keys that could not be had.
pub const JWKS_RETRY_SECONDS_MAX: u64 = 60;
/// The longest name of a key, in bytes.
pub const KEY_ID_BYTES_MAX: usize = 255;
/// The longest text in a claim that is used, in bytes.
pub const CLAIM_BYTES_MAX: usize = 1024;
/// Groups of one principal; a token with more is refused, because a group that is dropped
/// could be one that a policy forbids.
pub const GROUPS_MAX: usize = 1000;
/// The longest list of addresses in `X-Forwarded-For`.
pub const FORWARDED_HOPS_MAX: usize = 32;
/// The most addresses and ranges of `network.trusted_proxies`.
pub const TRUSTED_PROXIES_MAX: usize = 1000;
/// The most addresses and ranges of `network.named`, all names together.
pub const NAMED_NETWORKS_MAX: usize = 100_000;
/// The largest PROXY protocol header, in bytes; the specification lets no sender go further.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;
/// The most files of `geoip.databases`.
pub const GEOIP_DATABASES_MAX: usize = 8;
/// How old a GeoIP database may be before it is loud.
pub const GEOIP_AGE_DAYS_MAX: u64 = 90;
/// How deep brackets may nest in a policy file.
pub const POLICY_NESTING_MAX: usize = 64;
/// The largest policy file, in bytes.
pub const POLICY_FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The largest schema for policies, in bytes.
pub const POLICY_SCHEMA_BYTES_MAX: u64 = 256 * 1024;
/// The most entity types, named types and actions that a schema for policies may declare.
pub const POLICY_SCHEMA_NAMES_MAX: usize = 256;
/// How large a schema for policies may be once every named type stands for what it means, in words.
pub const POLICY_SCHEMA_WORDS_MAX: usize = 16_384;
/// All files of a policy folder together, in bytes.
pub const POLICY_FOLDER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most files of a policy folder.
pub const POLICY_FILES_MAX: usize = 10_000;
/// How deep folders may nest in a policy folder.
pub const POLICY_FOLDERS_DEEP_MAX: usize = 8;
/// How many operators may stand on top of each other in a policy, brackets included.
pub const POLICY_DEPTH_MAX: usize = 160;
/// The longest name of a policy, in bytes.
pub const POLICY_ID_BYTES_MAX: usize = 128;
/// The stack on which policies are read. A nested file may use much of it.
pub const POLICY_LOAD_STACK_BYTES: usize = 64 * 1024 * 1024;
/// The stack on which every policy is tried before it is put in force: half of what a worker has.
pub const POLICY_PROBE_STACK_BYTES: usize = 1024 * 1024;
/// Entity sets that are remembered, one for each principal and route, by weight: about half a KiB
/// each. The smallest set weighs 24, and each group, role, scope and tag one more.
pub const POLICY_SCENES_WEIGHT_MAX: u64 = 262_144;
/// Sets of policies that are remembered, one for each kind of question, by the policies in them.
pub const POLICY_SLICES_WEIGHT_MAX: u64 = 32_768;
/// Parts of a request's circumstances that are remembered, of each sort.
pub const POLICY_CIRCUMSTANCES_MAX: usize = 8192;
/// The most mistakes that are shown at once; a folder with more has them counted.
pub const POLICY_FINDINGS_MAX: usize = 200;
/// Decisions that wait for the log; more are dropped and counted.
pub const AUDIT_QUEUE_EVENTS_MAX: usize = 65_536;
/// How long a decision may stay out of the durable log.
pub const AUDIT_FLUSH_MILLIS_MAX: u64 = 1000;
/// A log file is closed and a new one begun at this size, in bytes.
pub const AUDIT_SEGMENT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Revocations, operator calls and the like that wait for the log.
pub const AUDIT_CRITICAL_EVENTS_MAX: usize = 8192;
/// Space that the audit log sets aside for revocations on a full disk, in bytes.
pub const AUDIT_RESERVE_BYTES: u64 = 4 * 1024 * 1024;
/// The largest audit event, in bytes. Every text in one is cut so that this holds.
pub const AUDIT_LINE_BYTES_MAX: usize = 256 * 1024;
/// How many bytes of audit events are written at once, at most, before they are made durable. A
/// revocation waits for at most one such write of decisions.
pub const AUDIT_COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// How much of a `User-Agent` is recorded, in bytes.
pub const AUDIT_USER_AGENT_BYTES_MAX: usize = 256;
/// How long an assertion for an upstream lives.
pub const ASSERTION_SECONDS_MAX: i64 = 60;
/// How far an issuer's clock may be off.
pub const ISSUER_SKEW_MILLIS: u64 = 2000;
/// Changes of revocations that are written in one transaction.
pub const REVOCATION_BATCH_ROWS_MAX: usize = 256;
/// Changes that are in force and wait to be saved. One more is in force too, but is not kept
/// for another try, and whoever asked for it is told so.
pub const REVOCATION_UNSAVED_MAX: usize = 65_536;
/// How often a gateway looks for revocations that another process wrote to the same store.
pub const REVOCATION_POLL_MILLIS: u64 = 100;
/// How long the store may be unreadable before requests are refused as stale.
pub const REVOCATION_STALE_MILLIS_MAX: u64 = 5000;
/// How long the caller of a revocation waits for the disk.
pub const REVOCATION_WRITE_SECONDS_MAX: u64 = 10;
/// The longest pause between two attempts to save what could not be saved.
pub const REVOCATION_RETRY_MILLIS_MAX: u64 = 5000;
/// The longest stated cause of a revocation, in bytes.
pub const REVOCATION_CAUSE_BYTES_MAX: usize = 512;
/// The most entries of one page of the log of revocations.
pub const REVOCATION_PAGE_ROWS_MAX: usize = 1000;
/// How long a revoked session or token is remembered: longer than any token lives.
pub const REVOCATION_RETENTION_DAYS: u32 = 400;
/// The largest store of revocations, in bytes: some three million entries.
pub const REVOCATION_STORE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// How far the clock may be set back while the time of the marks stands still instead of
/// following it.
pub const CLOCK_STEP_MILLIS_MAX: i64 = 3600 * 1000;
/// The largest body of a call to the operator API, in bytes.
pub const OPERATOR_BODY_BYTES_MAX: usize = 64 * 1024;
/// How long such a body may take to arrive.
pub const OPERATOR_BODY_SECONDS_MAX: u64 = 10;
/// The most connections at once to the operator's listener.
pub const OPERATOR_CONNECTIONS_MAX: usize = 256;
/// The most running exchanges in one answer of the operator API.
pub const OPERATOR_INFLIGHT_ROWS_MAX: usize = 10_000;
/// How long the operator API waits for the audit log.
pub const OPERATOR_AUDIT_SECONDS_MAX: u64 = 10;
/// How long a receipt waits for the last of the ended exchanges.
pub const OPERATOR_AFTERMATH_MILLIS_MAX: u64 = 2000;
