//! Whom the store lets itself be served by, and what it insists on.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use doorward_servers::{Authority, PostgresSetup, Tls};
use doorward_state::{PostgresSection, RevocationSection, Seq, Store, StoreError};

use super::{Base, House, append, ids, section, shared, users};
use crate::fixture::config;

/// Opens what `change` makes of the section.
fn opened(house: &House, change: impl FnOnce(&mut PostgresSection)) -> Result<Store, StoreError> {
    let mut section = house.section();
    change(section.postgres.as_mut().unwrap());
    let opened = Store::open(config(&section, house.dir.path(), "gw-1").store());
    if let Err(error) = &opened {
        house.secretless(error);
    }
    opened.map(|(store, _)| store)
}

#[test]
fn a_server_that_says_no_is_told_apart_from_one_that_is_not_there() {
    let house = House::new();
    let open = |change: &dyn Fn(&mut PostgresSection)| opened(&house, change).err().unwrap();
    let hold = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent = hold.local_addr().unwrap().to_string();

    std::fs::write(house.dir.path().join("wrong"), "not-the-password").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(house.dir.path().join("wrong"), mode).unwrap();
    let wrong = open(&|p| p.password_file = Some("wrong".into()));
    assert!(matches!(wrong, StoreError::Refused { .. }), "{wrong}");
    assert!(!wrong.to_string().contains("not-the-password"), "{wrong}");
    let none = open(&|p| p.password_file = None);
    assert!(matches!(none, StoreError::Refused { .. }), "{none}");
    let who = open(&|p| p.user = Some("mallory".to_owned()));
    assert!(matches!(who, StoreError::Refused { .. }), "{who}");
    let what = open(&|p| p.database = Some("cakes".to_owned()));
    assert!(matches!(&what, StoreError::Refused { why, .. } if why.contains("cakes")), "{what}");
    let nobody = open(&|p| p.address = Some("127.0.0.1:1".to_owned()));
    assert!(matches!(nobody, StoreError::Unreachable { .. }), "{nobody}");
    let mute = open(&|p| p.address = Some(silent.clone()));
    assert!(matches!(&mute, StoreError::Unreachable { why, .. } if why.contains("5 s")), "{mute}");
    let no_socket = open(&|p| {
        p.address = Some(house.dir.path().to_str().unwrap().to_owned());
        p.tls = None;
    });
    assert!(matches!(no_socket, StoreError::Unreachable { .. }), "{no_socket}");
    // And what they are told apart from.
    let socket = format!("{}:{}", house.postgres.socket_folder().display(), house.postgres.port());
    let store = opened(&house, |p| {
        p.address = Some(socket);
        p.tls = None;
    });
    append(&mut store.unwrap(), &users(0..1)).unwrap();
}

/// A server with TLS, and what a node trusts.
fn with_ca(house: &House, ca: &str) -> Result<Store, StoreError> {
    std::fs::write(house.dir.path().join("ca.pem"), ca).unwrap();
    opened(house, |p| {
        p.tls = None;
        p.ca_file = Some("ca.pem".into());
    })
}

#[test]
fn a_server_that_cannot_prove_who_it_is_gets_nothing() {
    let tls = Tls::new();
    let house = House::with(&PostgresSetup { tls: Some(tls.clone()), ..PostgresSetup::default() });
    append(&mut with_ca(&house, &tls.authority.pem()).unwrap(), &users(0..1)).unwrap();

    let other = with_ca(&house, &Authority::new().pem()).err().unwrap();
    assert!(matches!(&other, StoreError::Untrusted { why, .. } if why.contains("UnknownIssuer")), "{other}");
    let system = opened(&house, |p| p.tls = None).err().unwrap();
    assert!(matches!(system, StoreError::Untrusted { .. }), "{system}");
    let plain = opened(&house, |_| {}).err().unwrap();
    assert!(matches!(plain, StoreError::Refused { .. }), "the server wants TLS: {plain}");

    let elsewhere = Tls { names: vec!["db.corp.example".to_owned()], ..Tls::new() };
    let ca = elsewhere.authority.pem();
    let house = House::with(&PostgresSetup { tls: Some(elsewhere), ..PostgresSetup::default() });
    let named = with_ca(&house, &ca).err().unwrap();
    assert!(matches!(&named, StoreError::Untrusted { why, .. } if why.contains("valid for name")), "{named}");

    let without = House::new();
    let clear = with_ca(&without, &ca).err().unwrap();
    assert!(matches!(clear, StoreError::Untrusted { .. }), "never in plain text: {clear}");
}

#[test]
fn a_standby_is_refused() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..3)).unwrap();
    house.postgres.terminate();
    std::fs::write(house.postgres.socket_folder().join("data/standby.signal"), "").unwrap();
    house.postgres.restart();
    let refused = house.refused();
    assert!(matches!(&refused, StoreError::ReadOnly { why, .. } if why.contains("standby")), "{refused}");
    for result in [store.read_after(Seq::START, 10).map(|_| ()), append(&mut store, &users(3..4)).map(|_| ())]
    {
        let refused = result.unwrap_err();
        assert!(matches!(refused, StoreError::ReadOnly { .. } | StoreError::Unreachable { .. }), "{refused}");
    }
    // It is promoted.
    house.postgres.terminate();
    std::fs::remove_file(house.postgres.socket_folder().join("data/standby.signal")).unwrap();
    house.postgres.restart();
    assert_eq!(store.read_after(Seq::START, 10).unwrap().len(), 3);
}

#[test]
fn a_database_that_is_read_only_is_refused() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..1)).unwrap();
    house.postgres.psql_as_admin("ALTER DATABASE doorward SET default_transaction_read_only = on").unwrap();
    let refused = house.refused();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
}

#[test]
fn a_session_insists_on_what_it_needs_whatever_the_role_is_set_to() {
    let house = House::new();
    let settings = [
        ("synchronous_commit", "off", "on"),
        ("default_transaction_isolation", "serializable", "read committed"),
        ("statement_timeout", "0", "4s"),
        ("lock_timeout", "0", "3s"),
        ("idle_in_transaction_session_timeout", "0", "5s"),
        ("search_path", "cakes", "\"\""),
        ("TimeZone", "Asia/Tokyo", "UTC"),
        ("DateStyle", "German", "German, DMY"),
    ];
    for (name, hostile, _) in settings {
        let set = format!("ALTER ROLE doorward SET {name} = '{hostile}'");
        house.postgres.psql_as_admin(&set).unwrap();
    }
    let mut store = house.store();
    // What is in force when a row is written, by the server's own word.
    let names: Vec<String> = settings.iter().map(|(name, ..)| format!("('{name}')")).collect();
    house
        .postgres
        .psql_as_admin(&format!(
            "CREATE TABLE public.seen (name text, value text);
             GRANT ALL ON public.seen TO doorward;
             CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.seen SELECT n, current_setting(n) FROM (VALUES {}) v(n); RETURN NULL;
             END $$;
             CREATE TRIGGER look AFTER INSERT ON doorward.rev_log EXECUTE FUNCTION public.look();",
            names.join(", ")
        ))
        .unwrap();
    append(&mut store, &users(0..1)).unwrap();
    for (name, _, want) in settings {
        let value = house.sql(&format!("SELECT value FROM public.seen WHERE name = '{name}'"));
        assert_eq!(value, want, "{name}");
    }
    let who = house.postgres.psql_as_admin(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE usename = 'doorward' AND pid <> pg_backend_pid()",
    );
    assert_eq!(who.unwrap(), "doorward gw-1");

    // What is stronger stays.
    house.postgres.psql_as_admin("ALTER ROLE doorward SET synchronous_commit = remote_apply").unwrap();
    house.postgres.psql_as_admin("TRUNCATE public.seen").unwrap();
    append(&mut house.store(), &users(1..2)).unwrap();
    let value = house.sql("SELECT value FROM public.seen WHERE name = 'synchronous_commit'");
    assert_eq!(value, "remote_apply");
}

#[test]
fn nodes_that_come_at_once_make_one_store() {
    let base = Base::new();
    let dirs: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
    let sections: Vec<(RevocationSection, &std::path::Path)> =
        dirs.iter().map(|dir| (section(shared(), dir.path(), &base.database), dir.path())).collect();
    let created: usize = std::thread::scope(|scope| {
        let openers: Vec<_> = sections
            .iter()
            .enumerate()
            .map(|(i, (section, dir))| {
                scope.spawn(move || {
                    let config = config(section, dir, &format!("gw-{i}"));
                    let (mut store, handle) = Store::open(config.store()).unwrap();
                    append(&mut store, &users(0..1)).unwrap();
                    assert!(handle.unmarked != handle.created && !handle.shared, "{handle:?}");
                    usize::from(handle.created)
                })
            })
            .collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).sum()
    });
    assert_eq!(created, 1);
    let (mut store, handle) = Store::open(base.config("gw-9").store()).unwrap();
    let numbers: Vec<i64> = store.read_after(Seq::START, 100).unwrap().iter().map(|row| row.seq.0).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        handle.file.to_str().unwrap(),
        format!("postgresql://{}/{}", shared().address(), base.database)
    );
}

#[test]
fn a_schema_that_was_made_for_the_store_is_used() {
    // A database whose owner does not let the gateway make schemas.
    let house = House::new();
    house.postgres.psql_as_admin("ALTER DATABASE doorward OWNER TO postgres").unwrap();
    let refused = house.refused();
    assert!(
        matches!(&refused, StoreError::Database { message, .. } if message.contains("permission")),
        "{refused}"
    );
    house.postgres.psql_as_admin("CREATE SCHEMA doorward AUTHORIZATION doorward").unwrap();
    let (mut store, handle) = house.open().unwrap();
    assert!(handle.created);
    append(&mut store, &users(0..2)).unwrap();
    assert_eq!(ids(&store.read_after(Seq::START, 10).unwrap()), ["corp:u0", "corp:u1"]);
}

#[test]
fn whoever_holds_the_log_is_waited_for_with_a_bound() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..1)).unwrap();
    std::thread::scope(|scope| {
        // Longer than anybody waits, however slow this machine is; it is ended when it has been waited for.
        let holds = "BEGIN; SELECT last FROM doorward.head FOR UPDATE; SELECT pg_sleep(18); COMMIT";
        let holder = scope.spawn(|| house.postgres.psql(holds));
        let asleep = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let holding = format!("SELECT count(*) {asleep}");
        while house.postgres.psql_as_admin(&holding).unwrap() != "1" {
            assert!(!holder.is_finished(), "it does not hold the log");
            std::thread::sleep(Duration::from_millis(10));
        }
        let refused = append(&mut store, &users(1..2)).unwrap_err();
        assert!(matches!(refused, StoreError::Busy { .. }), "{refused}");
        assert_eq!(store.read_after(Seq::START, 10).unwrap().len(), 1, "reading goes on");
        house.postgres.psql_as_admin(&format!("SELECT pg_cancel_backend(pid) {asleep}")).unwrap();
        holder.join().unwrap().unwrap_err();
    });
    append(&mut store, &users(1..2)).unwrap();

    // One that fell asleep in the middle is thrown out by the server.
    let mut asleep = house.store();
    asleep
        .append(Seq::START, &mut |_| {
            std::thread::sleep(Duration::from_secs(7));
            users(5..6)
        })
        .unwrap_err();
    append(&mut store, &users(2..3)).unwrap();
    assert_eq!(ids(&store.read_after(Seq::START, 10).unwrap()), ["corp:u0", "corp:u1", "corp:u2"]);
}
