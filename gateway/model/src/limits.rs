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
/// How long what runs goes on when the token has expired that it was opened with: to get a new one, and to
/// open it anew.
pub const STREAM_TOKEN_GRACE_SECONDS: u64 = 30;
/// How long what runs goes on without being decided anew, when nothing but the time has changed.
pub const STREAM_REVIEW_SECONDS: u64 = 60;
/// After how many minutes without a request a session of a browser ends.
pub const SESSION_IDLE_MINUTES: u64 = 30;
/// After how many hours a session of a browser ends in any case.
pub const SESSION_ABSOLUTE_HOURS: u64 = 12;
/// After how many minutes the provider is asked whether a person who goes on may.
pub const SESSION_REVALIDATE_MINUTES: u64 = 10;
/// A request that comes so long after the one that the cookie tells of, or after a twentieth of the time that a
/// session may be idle, is told to the cookie.
pub const SESSION_SEEN_SECONDS: u64 = 60;
/// A sign-in that is no older than this is not asked for anew: it would prove the same.
pub const STEP_UP_ANEW_SECONDS: u64 = 60;
/// An answer that comes later than this after its request renews no cookie: another one may have come meanwhile.
pub const SESSION_RENEWAL_SECONDS_MAX: u64 = 5;
/// The most sessions of which it waits to be noted when they were last seen; more are not noted this time.
pub const SESSION_SIGHTINGS_MAX: usize = 8192;
/// How often that is noted.
pub const SESSION_SIGHTINGS_MILLIS: u64 = 5000;
/// How far the clocks of two nodes may differ before what one of them sealed is from the future for the other.
pub const SESSION_AHEAD_SECONDS_MAX: u64 = 60;
/// The longest cookie of a session, in characters.
pub const SESSION_COOKIE_CHARS_MAX: usize = 3500;
/// Opened cookies that are remembered; one of more than a KiB counts as several.
pub const SESSION_CACHE_ENTRIES_MAX: usize = 100_000;
/// The longest other text that is sealed for a browser, in characters: a cookie of 4096 bytes without its name.
pub const SEALED_CHARS_MAX: usize = 4000;
/// The longest text that is sealed for the store, in characters.
pub const SEALED_SECRET_CHARS_MAX: usize = 12 * 1024;
/// Keys that open what is sealed, the one that seals included.
pub const SEAL_KEYS_MAX: usize = 8;
/// The most cookies of one request, those of the app included.
pub const COOKIES_MAX: usize = 512;
/// How many sign-ins one browser may have under way.
pub const ATTEMPTS_MAX: usize = 5;
/// How long a sign-in may take, from its begin to the provider's answer.
pub const ATTEMPT_SECONDS_MAX: u64 = 600;
/// How long the way from an app to the sign-in may take, and the way back.
pub const TICKET_SECONDS_MAX: u64 = 60;
/// The most ways on from the sign-in to hosts of apps that one person gets at a node in that time.
pub const CODES_PER_PERSON_MAX: u32 = 240;
/// The longest address to go back to after a sign-in, in bytes, without its host.
pub const RETURN_BYTES_MAX: usize = 2048;
/// The most sessions of browsers that one person has at once: the oldest gives way.
pub const SESSIONS_PER_PERSON_MAX: usize = 64;
/// The longest name of a session of a browser, of a lock, and of what can be taken once, in bytes.
pub const SESSION_ID_BYTES_MAX: usize = 128;
/// How much of a `User-Agent` is kept with a session, in characters.
pub const SESSION_AGENT_CHARS_MAX: usize = 120;
/// The most apps that are kept with a session, of those that were used in it.
pub const SESSION_APPS_MAX: usize = 64;
/// The longest sealed refresh token, in bytes.
pub const SESSION_REFRESH_BYTES_MAX: usize = 8 * 1024;
/// The longest value that can be taken once, in bytes.
pub const SESSION_ONCE_BYTES_MAX: usize = 8 * 1024;
/// How long such a value, or a lock of the store of sessions, may last.
pub const SESSION_ONCE_SECONDS_MAX: u64 = 3600;
/// What is remembered of a person for judging risk, in bytes.
pub const SESSION_MEMORY_BYTES_MAX: usize = 4 * 1024;
/// For how many days after its last change that is remembered.
pub const SESSION_MEMORY_DAYS: u64 = 90;
/// How long a call to the store of sessions may take.
pub const SESSION_STORE_MILLIS_MAX: u64 = 2000;
/// The most calls to the store of sessions that wait at once.
pub const SESSION_STORE_WAITING_MAX: usize = 1024;
/// The largest file of sessions, in bytes: some million sessions.
pub const SESSION_STORE_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The most requests of gateway nodes to end something that wait for a control node.
pub const SESSION_ASKS_MAX: usize = 10_000;
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
/// For one whole call of a provider's token endpoint and its neighbors, from the request to the last byte.
pub const OIDC_CALL_SECONDS_MAX: u64 = 10;
/// The largest answer of them, in bytes.
pub const OIDC_ANSWER_BYTES_MAX: usize = 128 * 1024;
/// The most calls at once to one provider; more people than that who come back in one moment are told to wait.
pub const OIDC_CALLS_MAX: usize = 64;
/// Where a provider is spoken to is asked again at most once in this time, when it could not be had.
pub const OIDC_RETRY_SECONDS_MIN: u64 = 5;
/// How long ago an ID token may have been made when it arrives: it comes straight from the provider.
pub const ID_TOKEN_AGE_SECONDS_MAX: u64 = 600;
/// The most scopes, and values of `acr`, that a provider is asked for.
pub const SIGN_IN_WORDS_MAX: usize = 32;
/// The most further parameters that a provider is asked with.
pub const SIGN_IN_PARAMETERS_MAX: usize = 16;
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
/// The longest mail domain, in bytes (RFC 1035 §2.3.4).
pub const MAIL_DOMAIN_BYTES_MAX: usize = 253;
/// The most mail domains of one issuer or connection.
pub const MAIL_DOMAINS_MAX: usize = 256;
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
/// The most parts of a name in a policy or a schema, as in `A::B::"c"`.
pub const POLICY_NAME_PARTS_MAX: usize = 64;
/// The longest name of a policy, in bytes.
pub const POLICY_ID_BYTES_MAX: usize = 128;
/// The most conditions of one policy that are told apart.
pub const POLICY_CONDITIONS_MAX: usize = 4096;
/// The most cells of the matrix of a folder of policies: kinds of people by situations, routes and actions.
pub const POLICY_MATRIX_CELLS_MAX: usize = 20_000;
/// The most answers that loading a folder of policies asks for by tests in Cedar's own format: tests times policies.
pub const POLICY_TEST_ANSWERS_MAX: usize = 1_000_000;
/// The most text of all mutants of a run together, in bytes: each of them is a policy of its own in memory, some
/// twenty times as large.
pub const POLICY_MUTANTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most elements of a list that are left out, one at a time, by mutants of one policy.
pub const POLICY_MUTANTS_ELEMENTS_MAX: usize = 16;
/// The longest path of a file of policies in a bundle, in bytes.
pub const POLICY_PATH_BYTES_MAX: usize = 200;
/// The largest bundle of policies: the largest folder, and what is written about each file.
pub const POLICY_BUNDLE_BYTES_MAX: u64 = 80 * 1024 * 1024;
/// The largest manifest of a bundle of policies, and the largest list of signatures.
pub const POLICY_MANIFEST_BYTES_MAX: u64 = 6 * 1024 * 1024;
/// The longest text in a manifest, in bytes.
pub const POLICY_MANIFEST_TEXT_BYTES_MAX: usize = 1024;
/// The most checks, tests and proofs of which a manifest tells.
pub const POLICY_RESULTS_MAX: usize = 32;
/// How often bundles of policies are pulled.
pub const POLICY_PULL_SECONDS: u64 = 30;
/// The longest time between two pulls of bundles of policies.
pub const POLICY_PULL_SECONDS_MAX: u64 = 86_400;
/// The most bundles of policies in a folder from which they are pulled.
pub const POLICY_SOURCE_FILES_MAX: usize = 256;
/// All bundles of policies together in a folder from which they are pulled, in bytes.
pub const POLICY_SOURCE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The longest address from which bundles of policies are pulled, in bytes.
pub const POLICY_SOURCE_URL_BYTES_MAX: usize = 4096;
/// How many bundles of policies that were in force are kept, to go back to one.
pub const POLICY_KEPT_MAX: usize = 10;
/// How many bundles of policies are held in all.
pub const POLICY_HELD_MAX: usize = 32;
/// How many changes of the policies in force are remembered.
pub const POLICY_HISTORY_MAX: usize = 100;
/// The largest key that signs bundles of policies, in bytes.
pub const POLICY_KEY_BYTES_MAX: u64 = 16 * 1024;
/// How long a connection to an address may take from which bundles of policies are pulled.
pub const POLICY_SOURCE_CONNECT_SECONDS_MAX: u64 = 5;
/// How long it may take to give a bundle.
pub const POLICY_SOURCE_ANSWER_SECONDS_MAX: u64 = 60;
/// After how long at the latest a bundle that came to nothing is tried again.
pub const POLICY_SOURCE_AGAIN_SECONDS_MAX: u64 = 3600;
/// The largest token for a source of bundles, and the largest list of authorities of its certificate, in bytes.
pub const POLICY_SOURCE_SECRET_BYTES_MAX: u64 = 1024 * 1024;
/// How long a bundle of policies may take to arrive at the operator API.
pub const OPERATOR_BUNDLE_SECONDS_MAX: u64 = 60;
/// The largest bundle of policies that is carried by Redis, in bytes.
pub const POLICY_BOARD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most nodes that say in Redis which policies they have.
pub const POLICY_BOARD_NODES_MAX: usize = 1024;
/// How long Redis may take to give or take a bundle of policies.
pub const POLICY_BOARD_SECONDS_MAX: u64 = 10;
/// The greatest sequence number of a bundle of policies: seconds since 1970 until the year 2286. A number by another count,
/// such as a date, would be greater than every number after it.
pub const POLICY_SEQUENCE_MAX: u64 = 9_999_999_999;
/// The most signatures on a bundle of policies.
pub const POLICY_SIGNATURES_MAX: usize = 8;
/// The most policies that an explanation shows.
pub const EXPLAIN_POLICIES_MAX: usize = 256;
/// The most conditions of one policy that an explanation shows.
pub const EXPLAIN_CONDITIONS_MAX: usize = 512;
/// The most facts of one condition that an explanation shows.
pub const EXPLAIN_FACTS_MAX: usize = 8;
/// How much of one text an explanation shows, in characters.
pub const EXPLAIN_TEXT_CHARS_MAX: usize = 300;
/// The most conditions that one way to pass may turn over.
pub const EXPLAIN_ATOMS_MAX: usize = 24;
/// How many ways are kept in mind at a time.
pub const EXPLAIN_TURNS_MAX: usize = 6;
/// How often it is decided again to prove a way to pass.
pub const EXPLAIN_DECISIONS_MAX: usize = 600;
/// The same for a person at the door, who waits.
pub const EXPLAIN_DOOR_DECISIONS_MAX: usize = 3;
/// The most policies that are looked at for that.
pub const EXPLAIN_DOOR_POLICIES_MAX: usize = 64;
/// The most clauses of a denial that are written down.
pub const EXPLAIN_DOOR_CLAUSES_MAX: usize = 8;
/// The most answered requests that wait to be asked of policies that are tried beside those in force; about a
/// KiB each.
pub const SHADOW_QUEUE_MAX: usize = 4096;
/// The stack on which policies that are tried beside those in force are asked: as much as a worker has.
pub const POLICY_SHADOW_STACK_BYTES: usize = 2 * POLICY_PROBE_STACK_BYTES;
/// The apps, and the policies, by which differences are counted apart.
pub const SHADOW_NAMES_MAX: usize = 512;
/// The policies that an example of a difference names, of each sort.
pub const SHADOW_EXAMPLE_NAMES_MAX: usize = 32;
/// The examples that are kept of each sort of difference.
pub const SHADOW_EXAMPLES_MAX: usize = 50;
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
/// The most hints about policies that are sought.
pub const POLICY_HINTS_MAX: usize = 1000;
/// How long another process may try policies before it is ended.
pub const POLICY_VET_SECONDS_MAX: u64 = 120;
/// How much memory another process that tries policies may reserve.
pub const POLICY_VET_SPACE_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// The most that another process may say about policies.
pub const POLICY_VET_SAID_BYTES_MAX: u64 = 8 * 1024 * 1024;
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
pub const AUDIT_LINE_BYTES_MAX: usize = 384 * 1024;
/// How many bytes of audit events are written at once, at most, before they are made durable. A
/// revocation waits for at most one such write of decisions.
pub const AUDIT_COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// How much of a `User-Agent` is recorded, in bytes.
pub const AUDIT_USER_AGENT_BYTES_MAX: usize = 256;
/// The longest record of what policies saw of a request, in bytes. A longer one is left out.
pub const AUDIT_SITUATION_BYTES_MAX: usize = 64 * 1024;
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
/// How long a request of a strict app waits until it is known who is cut off.
pub const REVOCATION_LOOK_MILLIS_MAX: u64 = 1000;
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
/// The largest body of a form that is sent to a page of the gateway's own, in bytes.
pub const OWN_BODY_BYTES_MAX: usize = 16 * 1024;
/// The largest question that Envoy asks by gRPC, in bytes: the header of a request, and what else Envoy tells.
pub const CHECK_BYTES_MAX: usize = 256 * 1024;
/// How long the token of such a form is good.
pub const FORM_SECONDS_MAX: u64 = 3600;
/// How often sign-ins of one browser may prove too little of the same within [`WEAK_SECONDS_MAX`] before the person is
/// told so, instead of being asked once more.
pub const WEAK_SIGN_INS_MAX: usize = 2;
/// For how long a sign-in that proved too little counts.
pub const WEAK_SECONDS_MAX: u64 = 600;
/// As many refresh tokens of sessions that ended are taken back to providers at once, by each node.
pub const GIVING_BACK_CALLS_MAX: usize = 16;
/// The most that wait for it. What comes then stays good at its provider.
pub const GIVING_BACK_WAITING_MAX: usize = 10_000;
/// Of [`OIDC_CALLS_MAX`], as many may be for browsers of one address at once; of IPv6 a /64 is one. More wait.
pub const OIDC_CALLS_PER_ADDRESS_MAX: usize = 16;
/// As many may be for browsers of one IPv6 /48 at once.
pub const OIDC_CALLS_PER_NETWORK_MAX: usize = 32;
/// As many may be at once for browsers from whose addresses nobody has signed in yet; the rest is left to the others.
pub const OIDC_CALLS_OF_STRANGERS_MAX: usize = 48;
/// How long they wait.
pub const OIDC_PLACE_SECONDS_MAX: u64 = 5;
/// How many codes of one address a provider may refuse within [`FAILED_CODES_SECONDS`] before no more are taken to it.
pub const FAILED_CODES_MAX: usize = 30;
/// The same for one IPv6 /48.
pub const FAILED_CODES_PER_NETWORK_MAX: usize = 300;
/// For how long a code that a provider refused counts.
pub const FAILED_CODES_SECONDS: u64 = 900;
/// Of how many addresses that is remembered, and of as many networks.
pub const SIGN_IN_ADDRESSES_MAX: usize = 10_000;
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
/// How long the operator API waits for the directory to keep a control debt.
pub const OPERATOR_DEBT_SECONDS_MAX: u64 = 10;
/// How long the operator API waits for the nodes of the fleet, unless the call says otherwise.
pub const OPERATOR_FLEET_MILLIS: u64 = 2000;
/// The longest that a call may have it wait for them.
pub const OPERATOR_FLEET_MILLIS_MAX: u64 = 30_000;
/// How long a receipt waits for the last of the ended exchanges.
pub const OPERATOR_AFTERMATH_MILLIS_MAX: u64 = 2000;
/// How many sign-ins that the directory does not know it is asked about at once.
pub const JOINS_AT_ONCE_MAX: usize = 16;
/// How many it is asked about in a second, on the average and in one go.
pub const JOINS_PER_SECOND_MAX: u64 = 50;
/// How long a request waits until its turn has come and somebody has joined.
pub const JOIN_MILLIS_MAX: u64 = 5000;
/// For how long it is remembered that a sign-in cannot join.
pub const JOIN_NO_MILLIS: u64 = 5000;
/// How many such sign-ins are remembered.
pub const JOIN_NO_MAX: usize = 8192;
/// The largest file of authorities or of one revocation list, in bytes.
pub const TRUST_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most certificates of one device: the one in use, and the next.
pub const DEVICE_CERTIFICATES_MAX: usize = 4;
/// People of whose risk a node keeps the history in memory, and whose histories wait to be written.
pub const RISK_PEOPLE_MAX: usize = 20_000;
/// Addresses of which it keeps the last failures; of IPv6, blocks of a /64.
pub const RISK_ADDRESSES_MAX: usize = 16_384;
/// How long a request of somebody in a place that is new waits for what the store knows of them.
pub const RISK_READ_MILLIS_MAX: u64 = 2000;
/// How often what was learned of people's risk is written.
pub const RISK_WRITE_MILLIS: u64 = 1000;
/// How often it is written that something which is known was seen again.
pub const RISK_REFRESH_SECONDS: u64 = 300;
