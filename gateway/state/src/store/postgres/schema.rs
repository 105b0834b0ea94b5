//! The form of the store in PostgreSQL, and the steps from older forms to it.
//!
//! Everything lies in a schema of its own. Control nodes of different versions share it while they
//! are upgraded one after another: so a step may only add what the version before does not look
//! at; what it must not misread needs two releases.

use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::fault::Fault;
use crate::error::{StoreError, Where};

/// What is written down in `doorward.store`: tells the schema from those of other applications.
const APPLICATION: &str = "doorward revocations";

/// One step for each version; `doorward.store` says how many were taken. Texts are compared byte
/// by byte, so that their order does not depend on the server's locale.
const STEPS: [&str; 3] = [
    "
    CREATE TABLE doorward.rev_log (
        seq         bigint  PRIMARY KEY,
        receipt     uuid    NOT NULL UNIQUE,
        kind        text    COLLATE \"C\" NOT NULL
                    CHECK (kind IN ('user', 'session', 'token', 'device', 'user_at_app')),
        id          text    COLLATE \"C\" NOT NULL,
        action      text    COLLATE \"C\" NOT NULL CHECK (action IN ('revoke', 'disable', 'reactivate')),
        not_before  bigint  NOT NULL,
        version     bigint  NOT NULL CHECK (version >= 0),
        disabled    boolean NOT NULL,
        recorded_at bigint  NOT NULL,
        cause       text    NOT NULL,
        actor       text    NOT NULL,
        request_id  text    NOT NULL,
        checksum    bigint  NOT NULL
    );
    CREATE INDEX rev_log_target ON doorward.rev_log (kind, id, seq);
    CREATE INDEX rev_log_age ON doorward.rev_log (recorded_at) WHERE kind IN ('session', 'token');
    CREATE TABLE doorward.outbox (
        one        boolean PRIMARY KEY DEFAULT true CHECK (one),
        generation bigint NOT NULL CHECK (generation > 0),
        published  bigint NOT NULL CHECK (published >= 0)
    );
    INSERT INTO doorward.outbox (generation, published) VALUES (1, 0);
    CREATE TABLE doorward.debt (
        seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id          uuid   NOT NULL UNIQUE,
        kind        text   NOT NULL,
        about       text   NOT NULL,
        owner       text   NOT NULL,
        cause       text   NOT NULL,
        opened_at   bigint NOT NULL,
        due_at      bigint NOT NULL,
        settled_at  bigint,
        settled_how text,
        CHECK ((settled_at IS NULL) = (settled_how IS NULL))
    );
    CREATE INDEX debt_open ON doorward.debt (seq) WHERE settled_at IS NULL;
    CREATE TABLE doorward.probe (writes bigint NOT NULL);
    INSERT INTO doorward.probe VALUES (0);",
    // The directory. Its end stands beside that of the log, so that one lock orders both. A control
    // node of the version before moves the log's end and leaves the other columns as they are.
    "
    ALTER TABLE doorward.head
        ADD COLUMN records      bigint NOT NULL DEFAULT 0 CHECK (records >= 0),
        ADD COLUMN records_held bigint NOT NULL DEFAULT 0 CHECK (records_held >= 0);
    CREATE TABLE doorward.record (
        version  bigint NOT NULL UNIQUE,
        kind     text   COLLATE \"C\" NOT NULL,
        id       text   COLLATE \"C\" NOT NULL,
        keys     text   NOT NULL,
        body     bytea,
        checksum bigint NOT NULL,
        PRIMARY KEY (kind, id)
    );
    CREATE TABLE doorward.record_key (
        key  text COLLATE \"C\" PRIMARY KEY,
        kind text COLLATE \"C\" NOT NULL,
        id   text COLLATE \"C\" NOT NULL
    );",
    // Records are published, too, and from which history they are. The version before leaves both alone.
    "
    ALTER TABLE doorward.outbox
        ADD COLUMN records bigint NOT NULL DEFAULT 0 CHECK (records >= 0),
        ADD COLUMN history text   NOT NULL DEFAULT gen_random_uuid()::text;",
];

/// The version that this program writes, and the newest that it reads.
const VERSION: i64 = 3;
const _: () = assert!(STEPS.len() == 3 && VERSION == 3, "VERSION counts STEPS");

/// The log's last number is kept apart from its rows: it stays when they are pruned, and whoever
/// appends locks it. The epoch tells this store from another that was made for the same gateways.
/// The key of a table of one row keeps it so, and lets the planner know.
const HEAD: &str = "
    CREATE TABLE doorward.head (
        one   boolean PRIMARY KEY DEFAULT true CHECK (one),
        epoch text   NOT NULL,
        last  bigint NOT NULL CHECK (last >= 0)
    );
    CREATE TABLE doorward.store (
        one         boolean PRIMARY KEY DEFAULT true CHECK (one),
        application text   NOT NULL,
        format      bigint NOT NULL
    );";

/// Waits for others who do the same, and takes as long as it takes.
const BEGIN: &str = "BEGIN;
    SET LOCAL statement_timeout = 0;
    SET LOCAL lock_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0";

/// Of all who make or upgrade the store, one does.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'44775276'::int)";

/// How long making or upgrading a store may take.
pub(super) const LIMIT: Duration = Duration::from_secs(600);

const PRESENT: &str = "SELECT
    to_regnamespace('doorward') IS NOT NULL,
    (SELECT count(*) FROM pg_class c
        WHERE c.relnamespace = to_regnamespace('doorward')),
    to_regclass('doorward.store') IS NOT NULL";

/// What is in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A schema that somebody made for us, and nothing in it.
    Empty,
    /// A store, of this format.
    Store(i64),
}

/// Looks what is there, and refuses whatever is not a store that this program knows.
pub(super) async fn look(client: &Client, url: &str) -> Result<Found, Fault> {
    let file = || Where::Server(url.to_owned());
    let row = client.query_typed_one(PRESENT, &[]).await?;
    let (schema, relations, store): (bool, i64, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    match (schema, relations, store) {
        (false, ..) => return Ok(Found::Nothing),
        (true, 0, _) => return Ok(Found::Empty),
        (true, _, false) => return Err(StoreError::Foreign { file: file() }.into()),
        (true, _, true) => {}
    }
    let columns = "SELECT count(*) FROM pg_attribute
        WHERE attrelid = to_regclass('doorward.store') AND attname IN ('application', 'format')";
    let ours: i64 = client.query_typed_one(columns, &[]).await?.try_get(0)?;
    if ours != 2 {
        return Err(StoreError::Foreign { file: file() }.into());
    }
    let said = "SELECT application::text, format::bigint FROM doorward.store LIMIT 2";
    let rows = client.query_typed(said, &[]).await?;
    let [row] = rows.as_slice() else { return Err(StoreError::Foreign { file: file() }.into()) };
    let (application, found): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    if application != APPLICATION {
        return Err(StoreError::Foreign { file: file() }.into());
    }
    if found > VERSION {
        return Err(StoreError::Newer { file: file(), found, known: VERSION }.into());
    }
    Ok(Found::Store(found))
}

/// Makes the store where there is none, and takes the steps that are missing, in one transaction.
/// True when it was made.
pub(super) async fn prepare(client: &Client, url: &str) -> Result<bool, Fault> {
    if look(client, url).await? == Found::Store(VERSION) {
        return Ok(false);
    }
    client.batch_execute(BEGIN).await?;
    client.batch_execute(LOCK).await?;
    // Somebody else may have been faster.
    let found = look(client, url).await?;
    let taken = match found {
        Found::Store(taken) => taken,
        Found::Nothing | Found::Empty => {
            if found == Found::Nothing {
                client.batch_execute("CREATE SCHEMA doorward").await?;
            }
            client.batch_execute(HEAD).await?;
            let epoch = Uuid::new_v4().simple().to_string();
            let insert = "INSERT INTO doorward.head (epoch, last) VALUES ($1, 0)";
            client.execute_typed(insert, &[(&epoch, Type::TEXT)]).await?;
            let insert = "INSERT INTO doorward.store (application, format) VALUES ($1, 0)";
            client.execute_typed(insert, &[(&APPLICATION, Type::TEXT)]).await?;
            0
        }
    };
    for step in STEPS.iter().skip(usize::try_from(taken).unwrap_or(0)) {
        client.batch_execute(step).await?;
    }
    client.execute_typed("UPDATE doorward.store SET format = $1", &[(&VERSION, Type::INT8)]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(found != Found::Store(taken))
}
