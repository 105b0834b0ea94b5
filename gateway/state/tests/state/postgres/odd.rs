//! Databases that are not what the gateway made.

use std::sync::atomic::{AtomicBool, Ordering};

use doorward_state::{Seq, StoreError};

use super::{House, append, users};

#[test]
fn a_schema_of_another_application_is_left_alone() {
    let house = House::new();
    for (make, drop) in [
        ("CREATE TABLE doorward.cakes (name text)", "DROP TABLE doorward.cakes"),
        ("CREATE TABLE doorward.store (cakes bigint)", "DROP TABLE doorward.store"),
        ("CREATE TABLE doorward.store (application text, format bigint)", "DROP TABLE doorward.store"),
        (
            "CREATE TABLE doorward.store (application text, format bigint);
             INSERT INTO doorward.store VALUES ('a bakery', 1)",
            "DROP TABLE doorward.store",
        ),
    ] {
        house.sql(&format!("CREATE SCHEMA IF NOT EXISTS doorward; {make}"));
        let refused = house.refused();
        assert!(matches!(refused, StoreError::Foreign { .. }), "{make}: {refused}");
        assert!(refused.to_string().contains("revocation.postgres.database"), "{refused}");
        assert_eq!(
            house.sql("SELECT count(*) FROM pg_class WHERE relnamespace = 'doorward'::regnamespace"),
            "1"
        );
        house.sql(drop);
    }
}

#[test]
fn a_newer_format_is_refused_by_who_comes_and_borne_by_who_is_there() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..1)).unwrap();
    // A newer version has added what this one does not look at.
    house.sql("ALTER TABLE doorward.rev_log ADD COLUMN later text; UPDATE doorward.store SET format = 4");
    let refused = house.refused();
    assert!(matches!(refused, StoreError::Newer { found: 4, known: 3, .. }), "{refused}");
    append(&mut store, &users(1..2)).unwrap();
    assert_eq!(store.again().unwrap().read_after(Seq::START, 10).unwrap().len(), 2);
}

#[test]
fn a_changed_byte_is_damage() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..3)).unwrap();
    let damages = [
        ("not_before = not_before - 1", "not_before = not_before + 1", "does not match its checksum"),
        ("cause = cause || '!'", "cause = left(cause, -1)", "does not match its checksum"),
        ("id = id || 'x'", "id = left(id, -1)", "does not match its checksum"),
        ("disabled = NOT disabled", "disabled = NOT disabled", "does not match its checksum"),
        ("checksum = checksum - 1", "checksum = checksum + 1", "does not match its checksum"),
        ("id = 'nobody'", "id = 'corp:u1'", "cannot be understood"),
        ("kind = 'device', id = ''", "kind = 'user', id = 'corp:u1'", "cannot be understood"),
    ];
    for (damage, mend, part) in damages {
        house.sql(&format!("UPDATE doorward.rev_log SET {damage} WHERE seq = 2"));
        for error in [
            store.read_after(Seq::START, 10).unwrap_err(),
            store.unpublished(10).unwrap_err(),
            store.held_after(None, 10).unwrap_err(),
        ] {
            let is_damage =
                matches!(&error, StoreError::Corrupt { found, .. } if found == &format!("row 2 {part}"));
            assert!(is_damage, "{damage}: {error}");
        }
        house.sql(&format!("UPDATE doorward.rev_log SET {mend} WHERE seq = 2"));
        assert_eq!(store.read_after(Seq::START, 10).unwrap().len(), 3, "{mend}");
    }
    for damage in ["DELETE FROM doorward.head", "DELETE FROM doorward.outbox"] {
        let house = House::new();
        let mut store = house.store();
        append(&mut store, &users(0..1)).unwrap();
        house.sql(damage);
        let error = append(&mut store, &users(1..2)).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damage}: {error}");
    }
}

#[test]
fn rows_that_are_swapped_or_renumbered_are_damage() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..3)).unwrap();
    house.sql("UPDATE doorward.rev_log SET seq = 9 WHERE seq = 2");
    let error = store.read_after(Seq::START, 10).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_database_that_cannot_hold_every_name_is_refused() {
    let house = House::new();
    // What a database says of itself that was made so.
    let make = "UPDATE pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = 'doorward'";
    house.postgres.psql_as_admin(make).unwrap();
    let refused = house.refused();
    assert!(
        matches!(&refused, StoreError::Refused { why, .. } if why.contains("ENCODING 'UTF8'")),
        "{refused}"
    );
}

#[test]
fn what_others_write_while_one_reads_is_no_loss() {
    let house = House::new();
    let mut store = house.store();
    append(&mut store, &users(0..5_000)).unwrap();
    let (mut reads, mut publishes) = (store.again().unwrap(), store.again().unwrap());
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            for i in 5_000.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                append(&mut store, &users(i..i + 1)).unwrap();
            }
        });
        let looks = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                publishes.unpublished(1000)?;
                publishes.read_after(Seq(4_000), 1000)?;
            }
            Ok::<(), StoreError>(())
        });
        let whole = (0..20).try_for_each(|_| reads.held_after(None, 5_000).map(drop));
        over.store(true, Ordering::Relaxed);
        writes.join().unwrap();
        assert!(whole.is_ok(), "{whole:?}");
        looks.join().unwrap().unwrap();
    });
}
