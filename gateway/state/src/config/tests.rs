use std::sync::LazyLock;

use doorward_servers::Authority;

use super::*;

fn check_in(section: &RevocationSection, dir: &Path) -> (Option<RevocationConfig>, Vec<String>) {
    let mut complaints = Vec::new();
    let at = KeyPath::top().key("revocation");
    let valid = section.check(&at, dir, Path::new("/data"), "gw-1", &mut complaints);
    let told = |c: &Complaint| format!("{c}; {}", c.help.as_deref().unwrap());
    (valid, complaints.iter().map(told).collect())
}

fn check(section: &RevocationSection) -> (Option<RevocationConfig>, Vec<String>) {
    check_in(section, Path::new("/etc/doorward"))
}

fn embedded(config: &RevocationConfig) -> &EmbeddedConfig {
    match config.store() {
        StoreConfig::Embedded(embedded) => embedded,
        StoreConfig::Postgres(_) | StoreConfig::None => panic!("{config:?}"),
    }
}

#[test]
fn an_empty_section_is_good() {
    let (valid, complaints) = check(&RevocationSection::default());
    assert!(complaints.is_empty(), "{complaints:?}");
    let valid = valid.unwrap();
    assert_eq!(embedded(&valid).file(), Path::new("/data/revocations.sqlite3"));
    assert_eq!(valid.issuer_skew(), Duration::from_secs(2));
    assert_eq!(valid.retention(), Duration::from_secs(400 * 86_400));
    assert_eq!(valid.stream_grace(), Duration::from_secs(5));
    assert_eq!((valid.redis(), valid.node()), (None, "gw-1"));
    let debt = DebtTerms { owner: "security".to_owned(), due: Duration::from_secs(72 * 3600) };
    assert_eq!(*valid.debt(), debt);
}

#[test]
fn a_written_path_is_relative_to_the_file_that_says_it() {
    let section = RevocationSection { store_file: Some("state/r.db".into()), ..Default::default() };
    let valid = check(&section).0.unwrap();
    assert_eq!(embedded(&valid).file(), Path::new("/etc/doorward/state/r.db"));
}

#[test]
fn all_mistakes_are_told_at_once() {
    let section = RevocationSection {
        issuer_skew_millis: Some(60_001),
        store_file: Some("/".into()),
        retention_days: Some(1),
        store_bytes_max: Some(1),
        stream_grace_seconds: Some(3601),
        directory: None,
        debt_owner: Some(" ".to_owned()),
        debt_due_hours: Some(0),
        postgres: Some(PostgresSection::default()),
        redis: Some(RedisSection::default()),
    };
    let (valid, complaints) = check(&section);
    assert!(valid.is_none());
    assert_eq!(complaints.len(), 9, "{complaints:#?}");
}

/// A certificate and its key.
static PAIR: LazyLock<(String, String)> =
    LazyLock::new(|| Authority::new().certificate(&["redis.corp.example".to_owned()]));

/// A folder with a password, a certificate and its key.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = &*PAIR;
    for (name, content, mode) in [
        ("pw", "s3cret\n", 0o600),
        ("open", "s3cret\n", 0o644),
        ("ca.pem", certificate, 0o644),
        ("key.pem", key, 0o600),
    ] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(dir.path().join(name), content).unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn postgres() -> PostgresSection {
    PostgresSection {
        address: some("db.corp.example:5432"),
        password_file: Some("pw".into()),
        ca_file: Some("ca.pem".into()),
        ..Default::default()
    }
}

fn redis() -> RedisSection {
    RedisSection { addresses: Some(vec!["redis.corp.example:6379".to_owned()]), ..Default::default() }
}

/// A control node with a database, and Redis.
fn whole(postgres: PostgresSection, redis: RedisSection) -> RevocationSection {
    RevocationSection {
        directory: some("postgres"),
        postgres: Some(postgres),
        redis: Some(redis),
        ..Default::default()
    }
}

#[test]
fn a_control_node_with_a_database() {
    let dir = folder();
    let section = whole(
        PostgresSection { database: some("dw"), user: some("dw_rw"), ..postgres() },
        RedisSection {
            mode: some("sentinel"),
            addresses: Some(vec!["s1:26379".to_owned(), "[::1]:26379".to_owned()]),
            primary_name: some("doorward"),
            username: some("gw"),
            password_file: Some("pw".into()),
            sentinel_password_file: Some("pw".into()),
            ca_file: Some("ca.pem".into()),
            server_name: some("redis.corp.example"),
            client_chain: Some("ca.pem".into()),
            client_key: Some("key.pem".into()),
            namespace: some("dw-test"),
            lease_millis: Some(400),
            poll_millis: Some(100),
            replica_lag_seconds: Some(5),
            replicas_min: Some(2),
            ..Default::default()
        },
    );
    let (valid, complaints) = check_in(&section, dir.path());
    assert!(complaints.is_empty(), "{complaints:#?}");
    let valid = valid.unwrap();
    let StoreConfig::Postgres(postgres) = valid.store() else { panic!("{valid:?}") };
    assert_eq!(postgres.place().to_string(), "db.corp.example:5432");
    assert_eq!((postgres.database(), postgres.user()), ("dw", "dw_rw"));
    assert_eq!(postgres.password.as_ref().map(Secret::expose), Some("s3cret"));
    assert_eq!(postgres.tls.as_ref().unwrap().ca(), Some(PAIR.0.as_bytes()));
    assert_eq!(postgres.marked, Path::new("/data/revocations.postgres"));
    let redis = valid.redis().unwrap();
    assert_eq!((redis.mode(), redis.primary_name()), (RedisMode::Sentinel, "doorward"));
    let addresses: Vec<_> = redis.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["s1:26379", "[::1]:26379"]);
    assert_eq!((redis.username(), redis.password().map(Secret::expose)), (Some("gw"), Some("s3cret")));
    assert_eq!(redis.sentinel().username, None);
    assert!(redis.sentinel().password.is_some());
    let tls = redis.tls().unwrap();
    assert_eq!(tls.server_name(), Some("redis.corp.example"));
    assert_eq!(tls.client().unwrap().key.expose(), PAIR.1);
    assert_eq!((redis.namespace(), redis.lease(), redis.poll()), ("dw-test", millis(400), millis(100)));
    assert_eq!((redis.replica_lag(), redis.replicas_min()), (millis(5000), 2));
    let shown = format!("{valid:?}");
    assert!(!shown.contains("s3cret") && !shown.contains("PRIVATE KEY"), "{shown}");
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn what_is_not_said_of_servers_has_defaults() {
    let dir = folder();
    let bare = PostgresSection { address: some("db:5432"), ..Default::default() };
    let valid = check_in(&whole(bare, redis()), dir.path()).0.unwrap();
    let StoreConfig::Postgres(postgres) = valid.store() else { panic!("{valid:?}") };
    assert_eq!((postgres.database(), postgres.user()), ("doorward", "doorward"));
    assert!(postgres.tls.is_some() && postgres.password.is_none());
    let redis = valid.redis().unwrap();
    assert_eq!(
        (redis.mode(), redis.primary_name(), redis.namespace()),
        (RedisMode::Standalone, "", "doorward")
    );
    assert!(redis.tls().is_some(), "plain text must be asked for");
    assert_eq!((redis.lease(), redis.poll(), redis.replica_lag()), (millis(1000), millis(250), millis(2000)));
}

#[test]
fn a_socket_needs_no_tls_and_has_a_port_in_its_name() {
    for (address, folder, port) in
        [("/run/postgresql", "/run/postgresql", 5432), ("/run/postgresql:5433", "/run/postgresql", 5433)]
    {
        let section = PostgresSection { address: some(address), ..Default::default() };
        let valid = check(&whole(section, redis())).0.unwrap();
        let StoreConfig::Postgres(postgres) = valid.store() else { panic!("{valid:?}") };
        assert_eq!(*postgres.place(), PostgresPlace::Socket { folder: folder.into(), port });
        assert_eq!(postgres.tls, None);
    }
}

#[test]
fn a_gateway_node_keeps_nothing() {
    let section = RevocationSection { directory: some("none"), redis: Some(redis()), ..Default::default() };
    assert_eq!(*check(&section).0.unwrap().store(), StoreConfig::None);
}

/// What is wrong with a section, and what the complaint says.
#[test]
fn every_mistake_has_its_place_and_its_help() {
    let dir = folder();
    let plain = |mode: &str| RevocationSection { directory: some(mode), ..Default::default() };
    let of_postgres = |postgres| whole(postgres, redis());
    let of_redis = |redis| whole(postgres(), redis);
    let clear = RedisSection { tls: Some(false), ..redis() };
    let here = |port: &str| Some(vec![format!("127.0.0.1:{port}")]);
    let cases: Vec<(RevocationSection, &str)> = vec![
        (plain("mysql"), "revocation.directory: `mysql` is not known; use `sqlite`"),
        (plain("postgres"), "revocation.directory: the section `revocation.postgres` is missing"),
        (plain("none"), "revocation.directory: the section `revocation.redis` is missing"),
        (
            RevocationSection { postgres: Some(postgres()), ..plain("sqlite") },
            "revocation.postgres: `postgres` has no use with `directory = \"sqlite\"`",
        ),
        (
            RevocationSection { postgres: Some(postgres()), redis: Some(redis()), ..plain("none") },
            "revocation.postgres: `postgres` has no use with `directory = \"none\"`",
        ),
        (
            RevocationSection { store_file: Some("r.db".into()), ..of_postgres(postgres()) },
            "revocation.store_file: `store_file` has no use with `directory = \"postgres\"`",
        ),
        (
            RevocationSection { store_bytes_max: Some(1 << 30), redis: Some(redis()), ..plain("none") },
            "revocation.store_bytes_max: `store_bytes_max` has no use with `directory = \"none\"`",
        ),
        (
            of_postgres(PostgresSection { address: None, ..postgres() }),
            "postgres: the key `address` is missing",
        ),
        (
            of_postgres(PostgresSection { address: some("db.corp.example"), ..postgres() }),
            "postgres.address: `db.corp.example` is not the address of a server",
        ),
        (
            of_postgres(PostgresSection { database: some(&"d".repeat(64)), ..postgres() }),
            "is not a name of 1 to 63 bytes",
        ),
        (
            of_postgres(PostgresSection { user: some("a\0b"), ..postgres() }),
            "postgres.user: `a\\0b` is not a name",
        ),
        (
            of_postgres(PostgresSection { password_file: Some("open".into()), ..postgres() }),
            "(mode 644); run `chmod 600",
        ),
        (
            of_postgres(PostgresSection { ca_file: None, tls: Some(false), ..postgres() }),
            "postgres.tls: passwords and revocations would cross a network in plain text; set `tls = true`",
        ),
        (
            of_postgres(PostgresSection {
                address: some("/run/p"),
                ca_file: None,
                tls: Some(true),
                ..postgres()
            }),
            "postgres.tls: PostgreSQL speaks no TLS over a Unix socket",
        ),
        (
            of_postgres(PostgresSection { address: some("/run/p"), ..postgres() }),
            "postgres.ca_file: `ca_file` has no use without TLS",
        ),
        (
            of_postgres(PostgresSection { ca_file: Some("pw".into()), ..postgres() }),
            "pw` has no certificate; write PEM",
        ),
        (of_redis(RedisSection::default()), "redis: the key `addresses` is missing"),
        (
            of_redis(RedisSection { addresses: Some(Vec::new()), ..redis() }),
            "redis.addresses: there is no address",
        ),
        (
            of_redis(RedisSection {
                addresses: Some(vec!["a:1".to_owned(), "b".to_owned()]),
                ..redis_of("cluster")
            }),
            "redis.addresses[1]: `b` is not a host with a port",
        ),
        (
            of_redis(RedisSection { addresses: Some(vec!["a:1".to_owned(), "b:1".to_owned()]), ..redis() }),
            "redis.addresses: a standalone server has one address",
        ),
        (
            of_redis(RedisSection { addresses: Some(vec!["a:1".to_owned(); 65]), ..redis_of("cluster") }),
            "there are 65 addresses, more than 64",
        ),
        (of_redis(redis_of("replicated")), "redis.mode: `replicated` is not known"),
        (of_redis(redis_of("sentinel")), "redis: the key `primary_name` is missing"),
        (
            of_redis(RedisSection { primary_name: some("a b"), ..redis_of("sentinel") }),
            "redis.primary_name: `a b` is not a name",
        ),
        (
            of_redis(RedisSection { primary_name: some("m"), ..redis_of("cluster") }),
            "redis.primary_name: `primary_name` has no use in mode `cluster`",
        ),
        (
            of_redis(RedisSection { sentinel_password_file: Some("pw".into()), ..redis() }),
            "redis.sentinel_password_file: `sentinel_password_file` has no use in mode `standalone`",
        ),
        (
            of_redis(RedisSection { username: some("gw"), ..redis() }),
            "redis.username: a user needs a password",
        ),
        (of_redis(RedisSection { password_file: Some("none".into()), ..redis() }), "redis.password_file: `"),
        (of_redis(clear.clone()), "redis.tls: passwords and revocations would cross a network in plain text"),
        (
            of_redis(RedisSection { addresses: here("1"), ca_file: Some("ca.pem".into()), ..clear }),
            "redis.ca_file: `ca_file` has no use without TLS",
        ),
        (
            of_redis(RedisSection { server_name: some("not a name"), ..redis() }),
            "redis.server_name: `not a name` is not the name of a host",
        ),
        (
            of_redis(RedisSection { client_chain: Some("ca.pem".into()), ..redis() }),
            "redis.client_chain: a certificate and its key belong together",
        ),
        (
            of_redis(RedisSection {
                client_chain: Some("ca.pem".into()),
                client_key: Some("pw".into()),
                ..redis()
            }),
            "pw` has no private key that can be used",
        ),
        (
            of_redis(RedisSection { namespace: some("a:{b}"), ..redis() }),
            "redis.namespace: `a:{b}` cannot stand",
        ),
        (
            of_redis(RedisSection { poll_millis: Some(9), ..redis() }),
            "redis.poll_millis: `9` is not between 10",
        ),
        (
            of_redis(RedisSection { lease_millis: Some(999), ..redis() }),
            "redis.lease_millis: `999` is not between 1000 (4 times `poll_millis`) and 60000",
        ),
        (of_redis(RedisSection { lease_millis: Some(60_001), ..redis() }), "redis.lease_millis: `60001`"),
        (
            of_redis(RedisSection { replicas_min: Some(17), ..redis() }),
            "redis.replicas_min: `17` is not possible",
        ),
        (
            of_redis(RedisSection { replica_lag_seconds: Some(0), ..redis() }),
            "redis.replica_lag_seconds: `0` is not between 1 and 60",
        ),
    ];
    for (section, want) in cases {
        let (valid, complaints) = check_in(&section, dir.path());
        assert!(valid.is_none(), "{want}");
        assert_eq!(complaints.len(), 1, "{want}: {complaints:#?}");
        assert!(complaints[0].contains(want), "{want}: {complaints:#?}");
        assert!(complaints[0].starts_with("revocation."), "{complaints:#?}");
        assert!(!complaints[0].contains("s3cret"), "{complaints:#?}");
    }
}

fn redis_of(mode: &str) -> RedisSection {
    RedisSection { mode: some(mode), ..redis() }
}
