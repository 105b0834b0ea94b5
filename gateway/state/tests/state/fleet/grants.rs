//! `deploy/postgres/grants.sql` makes a user that may do what a control node does, and no more.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use doorward_servers::{Postgres, PostgresSetup};
use doorward_state::{Action, PostgresSection, RevocationSection, Revocations};

use crate::fixture::{Fixture, alice, change, config, run};

const DBA: &str = "dba";
const SECRET: &str = "s3cret";

/// Runs `psql` as it stands in the page, with words of our own.
fn psql(server: &Postgres, user: &str, database: &str, words: &[&str]) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database]).args(words);
    psql.arg("-h").arg(server.socket_folder()).args(["-p", &server.port().to_string()]);
    psql.env("PGPASSWORD", SECRET).env("PGCONNECT_TIMEOUT", "10");
    let output = psql.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

#[test]
fn a_control_node_works_with_the_grants_of_the_sample_and_its_user_may_no_more() {
    let server = Postgres::with(&PostgresSetup { unsynced: true, ..PostgresSetup::default() });
    server.psql_as_admin(&format!("CREATE ROLE {DBA} SUPERUSER LOGIN PASSWORD '{SECRET}'")).unwrap();
    // The servers of these tests have a user and a database of these names, and lack a template that
    // every other has.
    for statement in ["DROP DATABASE doorward", "DROP ROLE doorward", "CREATE DATABASE template0"] {
        psql(&server, DBA, "template1", &["-c", statement]).unwrap();
    }
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/postgres/grants.sql");
    psql(&server, DBA, "template1", &["-f", sample.to_str().unwrap()]).unwrap();
    let password =
        format!("ALTER ROLE doorward PASSWORD '{SECRET}'; CREATE ROLE other LOGIN PASSWORD '{SECRET}'");
    psql(&server, DBA, "template1", &["-c", &password]).unwrap();

    let fixture = Fixture::new();
    let file = fixture.dir.path().join("postgres.password");
    std::fs::write(&file, SECRET).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let postgres = PostgresSection {
        address: Some(server.address().to_string()),
        password_file: Some(file),
        tls: Some(false),
        ..PostgresSection::default()
    };
    let directory = Some("postgres".to_owned());
    let section = RevocationSection { directory, postgres: Some(postgres), ..fixture.section.clone() };
    run(async {
        let config = config(&section, fixture.dir.path(), "control-1");
        let (node, report) = Revocations::open(&config, fixture.clocks()).unwrap();
        assert!(report.created, "in the schema that was there");
        node.apply(change(&alice(), Action::Disable)).await.unwrap();
        node.close().await;
        let (node, report) = Revocations::open(&config, fixture.clocks()).unwrap();
        assert_eq!((report.created, report.rows), (false, 1));
        node.close().await;
    });

    for statement in [
        "CREATE SCHEMA other",
        "CREATE TABLE public.t (n int)",
        "CREATE DATABASE other",
        "CREATE ROLE third",
        "COPY doorward.store TO PROGRAM 'cat'",
        "ALTER SYSTEM SET fsync = off",
    ] {
        let refused = psql(&server, "doorward", "doorward", &["-c", statement]).expect_err(statement);
        let barred = ["permission denied", "must be superuser"];
        assert!(barred.iter().any(|why| refused.contains(why)), "{statement}: {refused}");
    }
    let refused = psql(&server, "other", "doorward", &["-c", "SELECT 1"]).expect_err("another user");
    assert!(refused.contains("permission denied for database"), "{refused}");
}
