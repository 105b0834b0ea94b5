//! The users that `docs/operating/fleet.md` gives to Redis: each role works with its rights and needs
//! every one of them, and whoever has a gateway's password forges nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use doorward_model::{EntryKind, UnixMillis};
use doorward_servers::{Cluster, ClusterSetup, MinReplicas, Redis, SentinelSetup, Sentinels, Setup};
use doorward_state::sessions::{OnceKind, SessionRecord, ToEnd, Touch};
use doorward_state::{Action, Board, NodeAnswer, RedisSection, Revocations, Sessions};
use redis::aio::MultiplexedConnection;

use super::{House, fleet_says, published, section};
use crate::fixture::{NOON, alice, run, target, until, user};

const GATEWAY: &str = "doorward-gateway";
const CONTROL: &str = "doorward-control";
const REPLICA: &str = "doorward-replica";
const SENTINEL: &str = "doorward-sentinel";
/// What a node calls itself before a Sentinel.
const ASKING: &str = "doorward";
/// What this test itself, a greeting that anybody may say, and a replica leave in a server's
/// statistics. No role may have them.
const OF_OTHERS: [&str; 5] = ["auth", "acl|log", "config|resetstat", "hello", "replconf"];
/// The namespace that the page is written for.
const NAMESPACE: &str = "doorward";

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The lines of the page that an administrator enters: a user, and its rules.
fn of_the_page() -> Vec<(String, String)> {
    let page = read("docs/operating/fleet.md");
    let lines = page.lines().filter_map(|line| line.strip_prefix("ACL SETUSER ")?.split_once(' '));
    lines.map(|(user, rules)| (user.to_owned(), rules.to_owned())).collect()
}

fn rules(of: &str) -> String {
    let found = of_the_page().into_iter().find(|(user, _)| user == of);
    found.unwrap_or_else(|| panic!("the page has no user `{of}`")).1
}

fn password(of: &str) -> String {
    format!("{of}-s3cret")
}

/// Servers that know nobody but the users of the page.
fn guarded() -> Setup {
    let known = [GATEWAY, CONTROL, REPLICA, SENTINEL];
    let user = |name: &str| format!("{name} {} >{}", rules(name), password(name));
    let users = known.into_iter().map(user).chain(["default off".to_owned()]).collect();
    Setup { users, ..Setup::default() }
}

/// The section of a node that is this user.
fn login(house: &House, user: &str) -> RedisSection {
    let file = house.fixture.dir.path().join(format!("{user}.password"));
    std::fs::write(&file, password(user)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let username = Some(user.to_owned());
    RedisSection { username, password_file: Some(file), ..house.redis.clone() }
}

/// Nodes of a house, each as the user of its role.
struct Roles(House);

impl Roles {
    fn control(&mut self) -> Revocations {
        self.0.redis = login(&self.0, CONTROL);
        self.0.control()
    }

    fn gateway(&mut self) -> Revocations {
        self.0.redis = login(&self.0, GATEWAY);
        self.0.gateway("gw-1")
    }

    /// The store of sessions, as the user of this role.
    fn sessions(&mut self, user: &str, directory: &str) -> Sessions {
        self.0.redis = login(&self.0, user);
        let (config, fixture) = (self.0.config("gw-1", directory), &self.0.fixture);
        Sessions::open(&config, fixture.dir.path(), fixture.clocks()).unwrap()
    }

    /// Where the bundle of policies for every node is, as the user of this role.
    fn board(&mut self, user: &str) -> Board {
        self.0.redis = login(&self.0, user);
        Board::of(&self.0.config("gw-1", "none")).unwrap()
    }
}

/// Everything that a node does with the records of sessions, but for what it asks of others.
fn signed_out() -> ToEnd {
    let (cause, request_id) = ("signed out".to_owned(), "r-1".to_owned());
    ToEnd { target: alice(), person: user("alice"), by: None, cause, request_id }
}

async fn use_sessions(sessions: &Sessions) {
    let (alice, hour) = (user("alice"), Duration::from_secs(3600));
    let now = UnixMillis(NOON);
    let record = |id: &str| SessionRecord {
        id: id.into(),
        person: alice.clone(),
        issuer_session: None,
        signed_in_at: now,
        seen_at: now,
        validated_at: now,
        expires_at: now.plus(hour),
        client: "192.0.2.7".parse().unwrap(),
        agent: String::new(),
        device: None,
        apps: BTreeSet::new(),
        refresh: None,
        version: 0,
    };
    for i in 0..65 {
        sessions.create(record(&format!("dws-{i}"))).await.unwrap();
    }
    let one = sessions.of(&alice).await.unwrap().remove(0);
    assert!(sessions.get(&alice, &one.id).await.unwrap().is_some());
    assert!(sessions.replace(one.clone(), 1).await.unwrap());
    let touch = Touch { person: alice.clone(), id: one.id.clone(), seen_at: now.plus(hour / 2), app: None };
    sessions.touch(&[touch]).await.unwrap();
    assert!(sessions.remove(&alice, &one.id).await.unwrap());
    assert_eq!(sessions.remove_all(&alice).await.unwrap(), 63);
    assert!(sessions.put_once(OnceKind::Enter, "c", vec![1], hour).await.unwrap());
    assert!(sessions.take_once(OnceKind::Enter, "c").await.unwrap().is_some());
    assert!(sessions.lock("l", "me", hour).await.unwrap().is_some());
    assert!(sessions.renew("l", "me", hour).await.unwrap());
    assert!(sessions.unlock("l", "me").await.unwrap());
    let version = sessions.memory(&alice).await.unwrap().map_or(0, |(version, _)| version);
    assert!(sessions.put_memory(&alice, b"x", version).await.unwrap());
}

/// Everything that a node which pulls its policies does there.
async fn pull_policies(board: &Board) {
    assert_eq!(board.sequence().await, Ok(Some(7)));
    assert_eq!(board.bundle().await, Ok(Some(b"signed".to_vec())));
    board.say("gw-1", "{}").await.unwrap();
    assert_eq!(board.said().await, Ok(vec![("gw-1".to_owned(), "{}".to_owned())]));
}

async fn leased(node: &Revocations) {
    until("there is a lease", || node.fleet_health().is_some_and(|health| health.leased)).await;
}

fn blessings(node: &Revocations) -> u64 {
    node.fleet_health().unwrap().blessings_total
}

// === what was used ===

/// The commands that these servers ran since they last forgot, in scripts too.
fn used(servers: &[Redis]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for server in servers {
        let text = server.command(&["INFO", "commandstats"]).unwrap().text();
        let names = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split(':').next());
        all.extend(names.filter(|name| !OF_OTHERS.contains(name)).map(str::to_owned));
    }
    all
}

fn forget(servers: &[Redis]) {
    for server in servers {
        server.command(&["CONFIG", "RESETSTAT"]).unwrap();
    }
}

/// Nobody was refused anything.
fn nothing_was_refused(servers: &[Redis]) {
    for server in servers {
        let refused = server.command(&["ACL", "LOG"]).unwrap();
        let told: Vec<_> = refused.list().iter().map(|entry| entry.named("object")).collect();
        assert!(told.is_empty(), "{told:?}");
    }
}

/// The commands that a rule of the page allows.
fn allowed(user: &str) -> BTreeSet<String> {
    let rules = rules(user).replace(['(', ')'], " ");
    rules.split_whitespace().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect()
}

/// Makes a log so long that the next look at it shortens it, and puts somebody on the roll who is
/// gone for long.
fn age(owner: &Redis) {
    let script = "local e = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][2][4] \
                  local p = redis.call('HGET', KEYS[2], 'l') \
                  for i = 1, 20001 do p = redis.call('XADD', KEYS[1], '*', 'p', p, 'e', e) end \
                  redis.call('HSET', KEYS[2], 'l', p) \
                  redis.call('HSET', KEYS[3], '00000000000000000000000000000007', '1|||1|1000||gone')";
    let key = |name: &str| format!("{{{NAMESPACE}}}:{name}");
    // As `PUBLISH` does: each entry names the one before it.
    let script = script
        .replace("p = redis.call('XADD'", "local before = p p = redis.call('XADD'")
        .replace("'p', p, 'e', e) end", "'p', before, 'e', e) end");
    owner.command(&["EVAL", &script, "3", &key("log"), &key("m"), &key("roll")]).unwrap();
}

#[test]
fn each_role_works_with_its_rights_and_needs_every_one() {
    assert_eq!(of_the_page().len(), 5, "the page has these users and no other");
    // Longer than a busy machine stands still: nobody is to be replaced here.
    let node_timeout = Duration::from_secs(15);
    let setup = ClusterSetup { nodes: guarded(), replicas: true, node_timeout };
    let cluster = Cluster::with(&setup);
    let servers = &cluster.nodes()[..3];
    let owner = cluster.owner(&format!("{{{NAMESPACE}}}:m"));
    let redis = RedisSection { mode: Some("cluster".to_owned()), ..section(&cluster.addresses(), NAMESPACE) };
    let mut roles = Roles(House::new(redis));
    run(async {
        // A control node: it blesses, publishes, asks the fleet, blesses anew, shortens, strikes off.
        forget(servers);
        let control = roles.control();
        leased(&control).await;
        let receipt = published(&control, &alice(), Action::Disable).await;
        let reports = fleet_says(&control, receipt.published.unwrap().position).await;
        assert!(matches!(reports[0].answer, NodeAnswer::Applied { .. }), "{reports:?}");
        let mut seen = used(servers);
        owner.command(&["DEL", &format!("{{{NAMESPACE}}}:m")]).unwrap();
        forget(servers);
        until("it blesses anew", || blessings(&control) >= 2).await;
        let session = target(EntryKind::Session, "corp:s-1");
        published(&control, &session, Action::Revoke).await;
        control.close().await;
        seen.extend(used(servers));
        age(owner);
        forget(servers);
        let control = roles.control();
        let length = || owner.command(&["XLEN", &format!("{{{NAMESPACE}}}:log")]).unwrap().int();
        until("the log is shortened", || length() == 0).await;
        leased(&control).await;
        let receipt = published(&control, &session, Action::Revoke).await;
        let reports = fleet_says(&control, receipt.published.unwrap().position).await;
        assert_eq!(reports.len(), 1, "who is gone is not waited for: {reports:?}");
        control.close().await;
        let sessions = roles.sessions(CONTROL, "sqlite");
        use_sessions(&sessions).await;
        sessions.ask_to_end(&signed_out()).await.unwrap();
        sessions.people(None, 10).await.unwrap();
        let asked = sessions.asked_to_end(10).await.unwrap();
        assert_eq!(asked.len(), 1);
        sessions.acknowledge(&[asked[0].id]).await.unwrap();
        let board = roles.board(CONTROL);
        board.publish(7, b"signed").await.unwrap();
        pull_policies(&board).await;
        seen.extend(used(servers));
        assert_eq!(seen, allowed(CONTROL), "what a control node uses, and what the page allows it");

        // A gateway node, on a server that knows no script: it reads, and says that it is there.
        for server in servers {
            server.command(&["SCRIPT", "FLUSH"]).unwrap();
        }
        forget(servers);
        let gateway = roles.gateway();
        leased(&gateway).await;
        assert!(gateway.lookup(&alice()).unwrap().disabled);
        gateway.close().await;
        let sessions = roles.sessions(GATEWAY, "none");
        use_sessions(&sessions).await;
        sessions.ask_to_end(&signed_out()).await.unwrap();
        pull_policies(&roles.board(GATEWAY)).await;
        assert_eq!(used(servers), allowed(GATEWAY), "what a gateway uses, and what the page allows it");
    });
    nothing_was_refused(servers);
}

#[test]
fn sentinels_and_replicas_need_no_more_than_the_page_gives_them() {
    let servers = Setup { min_replicas: Some(MinReplicas { count: 1, lag_seconds: 2 }), ..guarded() };
    // They fail over when they are told to, and not because the whole machine stands still.
    let down_after = Duration::from_secs(15);
    let group =
        Sentinels::with(&SentinelSetup { replicas: 2, down_after, servers, ..SentinelSetup::default() });
    let tell = |server: &Redis, words: &[&str]| {
        server.command(words).unwrap_or_else(|e| panic!("{words:?}: {e}"));
    };
    for server in group.servers() {
        tell(server, &["CONFIG", "SET", "masteruser", REPLICA, "masterauth", &password(REPLICA)]);
    }
    for sentinel in group.sentinels() {
        tell(sentinel, &["SENTINEL", "SET", group.name(), "auth-user", SENTINEL]);
        tell(sentinel, &["SENTINEL", "SET", group.name(), "auth-pass", &password(SENTINEL)]);
        let asking: Vec<String> = rules(ASKING).split(' ').map(str::to_owned).collect();
        let secret = format!(">{}", password(ASKING));
        let words = ["ACL", "SETUSER", ASKING].into_iter().chain(asking.iter().map(String::as_str));
        tell(sentinel, &words.chain([secret.as_str()]).collect::<Vec<_>>());
        tell(sentinel, &["ACL", "SETUSER", "default", "off"]);
    }
    // Who is connected stays so: they all must come again.
    for server in group.servers() {
        tell(server, &["CLIENT", "KILL", "TYPE", "master"]);
        tell(server, &["CLIENT", "KILL", "TYPE", "replica"]);
        tell(server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        tell(server, &["CLIENT", "KILL", "TYPE", "pubsub"]);
        // Who came between the two settings was neither.
        tell(server, &["ACL", "LOG", "RESET"]);
    }
    let mut house = House::new(RedisSection::default());
    house.redis = RedisSection {
        mode: Some("sentinel".to_owned()),
        primary_name: Some(group.name().to_owned()),
        sentinel_username: Some(ASKING.to_owned()),
        sentinel_password_file: login(&house, ASKING).password_file,
        ..section(&group.addresses(), NAMESPACE)
    };
    let mut roles = Roles(house);
    run(async {
        let (control, gateway) = (roles.control(), roles.gateway());
        leased(&gateway).await;
        let first = published(&control, &alice(), Action::Disable).await;
        assert!(first.published.is_some());
        let before = blessings(&control);
        let primary = tokio::task::block_in_place(|| group.fail_over().address().to_string());
        until("the new primary is blessed", || blessings(&control) > before).await;
        for node in [&control, &gateway] {
            let health = || node.fleet_health().unwrap();
            until("it is found", || health().leased && health().server.as_ref() == Some(&primary)).await;
        }
        let second = published(&control, &alice(), Action::Reactivate).await;
        let reports = fleet_says(&control, second.published.unwrap().position).await;
        assert!(reports.iter().all(|r| matches!(r.answer, NodeAnswer::Applied { .. })), "{reports:?}");
        assert_eq!(gateway.lookup(&alice()), Some(second.entry));
    });
    nothing_was_refused(group.servers());
    nothing_was_refused(group.sentinels());
}

// === what is refused ===

async fn connect(at: SocketAddr, user: &str) -> MultiplexedConnection {
    let url = format!("redis://{user}:{}@{at}/?protocol=resp3", password(user));
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// What the server says to a line of words.
async fn say(connection: &mut MultiplexedConnection, line: &str) -> Result<redis::Value, String> {
    let mut words = line.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    command.arg(words.collect::<Vec<_>>());
    command.query_async(connection).await.map_err(|e: redis::RedisError| e.to_string())
}

/// What the log says of itself, and how long it is.
fn truth(redis: &Redis) -> (String, i64) {
    let meta = redis.command(&["HGETALL", "{doorward}:m"]).unwrap();
    (format!("{meta:?}"), redis.command(&["XLEN", "{doorward}:log"]).unwrap().int())
}

/// Nobody who connects may do these.
const NOBODYS: [&str; 24] = [
    "FLUSHALL",
    "FLUSHDB",
    "EVAL return(1) 0",
    "EVAL_RO return(1) 0",
    "FUNCTION LIST",
    "SCRIPT FLUSH",
    "SCRIPT KILL",
    "PUBLISH {doorward}:ch look",
    "SUBSCRIBE {doorward}:ch",
    "PSUBSCRIBE *",
    "SSUBSCRIBE {other}:ch",
    "SPUBLISH {other}:ch look",
    "HMGET {other}:m e",
    "GET {other}:s:x:0",
    "XRANGE {other}:log - +",
    "KEYS *",
    "MONITOR",
    "CONFIG GET maxmemory",
    "CONFIG SET maxmemory 1",
    "ACL SETUSER doorward-gateway +@all",
    "CLIENT KILL TYPE normal",
    "REPLICAOF NO ONE",
    "CLUSTER RESET",
    "SHUTDOWN NOSAVE",
];

/// And these no gateway.
const NO_GATEWAYS: [&str; 22] = [
    "XRANGE {doorward}:ask - +",
    "XDEL {doorward}:ask 1-1",
    "DEL {doorward}:ask",
    "SET {doorward}:asker x",
    "XADD {doorward}:u:x * k x",
    "HGETALL {other}:u:p:corp:alice",
    "XADD {doorward}:log * p 0-0 e x",
    "XTRIM {doorward}:log MAXLEN 0",
    "HSET {doorward}:m l 9-9",
    "HDEL {doorward}:m e",
    "DEL {doorward}:m {doorward}:log",
    "SET {doorward}:lock x",
    "GET {doorward}:lock",
    "SET {doorward}:s:x:0 x",
    "EXPIRE {doorward}:log 1",
    "RENAME {doorward}:log {doorward}:roll",
    "COPY {doorward}:log {doorward}:roll",
    "HGETALL {doorward}:roll",
    "SPUBLISH {doorward}:ch look",
    "HSET {doorward}:policies bundle x",
    "DEL {doorward}:policies",
    "WAIT 1 1",
];

#[test]
fn who_has_a_gateways_password_reads_and_forges_nothing() {
    let redis = Redis::start(&guarded());
    let mut roles = Roles(House::new(section(&[redis.address()], NAMESPACE)));
    run(async {
        let control = roles.control();
        published(&control, &alice(), Action::Disable).await;
        control.close().await;
        let before = truth(&redis);
        for (user, refused) in [(GATEWAY, NO_GATEWAYS.as_slice()), (CONTROL, &[])] {
            let mut connection = connect(redis.address(), user).await;
            for line in refused.iter().chain(&NOBODYS) {
                let told = say(&mut connection, line).await.expect_err(line);
                assert!(told.to_lowercase().contains("noperm"), "{user}: {line}: {told}");
                // A script of one's own can be loaded, and may no more than whoever loaded it.
                let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
                let script = format!("return redis.call({})", words.join(","));
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(script);
                let hash: String = load.query_async(&mut connection).await.unwrap();
                let told = say(&mut connection, &format!("EVALSHA {hash} 0")).await.expect_err(line);
                let barred = ["can't run", "can't access", "can't publish", "not allowed from script"];
                assert!(barred.iter().any(|why| told.contains(why)), "{user}: {line} in a script: {told}");
            }
            assert_eq!(truth(&redis), before, "{user}");
        }
        // What a gateway may do is what the page says that it may.
        let mut connection = connect(redis.address(), GATEWAY).await;
        for line in ["HSET {doorward}:roll x y", "HDEL {doorward}:roll x", "HMGET {doorward}:m e l"] {
            say(&mut connection, line).await.expect(line);
        }
    });
}

// === the samples ===

#[test]
fn the_sample_of_users_is_the_page() {
    let sample = read("deploy/redis/users.acl");
    let users: Vec<(String, String)> = sample
        .lines()
        .filter_map(|line| line.strip_prefix("user ")?.split_once(' '))
        .map(|(user, rules)| (user.to_owned(), rules.to_owned()))
        .collect();
    assert_eq!(users[0], ("default".to_owned(), "off".to_owned()));
    let of_servers: Vec<_> = of_the_page().into_iter().filter(|(user, _)| user != ASKING).collect();
    assert_eq!(users[1..], of_servers);
    assert!(!sample.contains('>') && !sample.contains("nopass"), "nobody gets in with the sample as it is");
}

/// What a test's server says in its own way: where it listens, its certificates, its users.
const SAID_OTHERWISE: [&str; 4] = ["port", "tls-", "aclfile", "min-replicas"];

#[test]
fn servers_start_with_the_sample_and_the_fleet_works() {
    let sample = read("deploy/redis/redis.conf");
    let lines = sample.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<String> = lines
        .filter(|line| !SAID_OTHERWISE.iter().any(|word| line.starts_with(word)))
        .map(str::to_owned)
        .collect();
    let min_replicas = Some(MinReplicas { count: 1, lag_seconds: 2 });
    for line in ["min-replicas-to-write 1", "min-replicas-max-lag 2"] {
        assert!(sample.lines().any(|said| said == line), "{line}");
    }
    let setup = Setup { min_replicas, lines, ..guarded() };
    let primary = Redis::start(&setup);
    for (name, value) in [("maxmemory-policy", "noeviction"), ("appendonly", "yes"), ("save", "")] {
        let said = primary.command(&["CONFIG", "GET", name]).unwrap();
        assert_eq!(said.named(name).as_deref(), Some(value));
    }
    let mut roles = Roles(House::new(section(&[primary.address()], NAMESPACE)));
    run(async {
        let gateway = roles.gateway();
        let trouble = || gateway.fleet_health().unwrap().trouble.unwrap_or_default();
        until("it says why it has no lease", || trouble().contains("has lost its replicas")).await;
        let _replica = tokio::task::block_in_place(|| primary.start_replica(&setup));
        let control = roles.control();
        leased(&gateway).await;
        published(&control, &alice(), Action::Disable).await;
        until("it is refused", || gateway.lookup(&alice()).is_some_and(|entry| entry.disabled)).await;
    });
}
