//! Damaged and hostile files are refused or read; they never panic and never take for ever.

#![expect(clippy::unwrap_used, reason = "tests")]

mod mmdb;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use doorward_geoip::{Atlas, FileError};
use mmdb::{Book, Value, anonymous, asn, country, map};

/// Opens the bytes as a file and, if that works, asks it of addresses. Says whether it worked.
fn survives(path: &Path, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).unwrap();
    match Atlas::open(&[path.to_owned()]) {
        Ok(atlas) => {
            for address in ["192.0.2.1", "192.0.2.200", "198.51.100.7", "255.255.255.255", "0.0.0.0"] {
                let _ = atlas.find(address.parse().unwrap());
            }
            for address in ["2001:db8::1", "::1", "ffff::", "2002:c000:201::", "::ffff:192.0.2.1"] {
                let _ = atlas.find(address.parse().unwrap());
            }
            let _ = atlas.status(0, std::time::Duration::ZERO);
            true
        }
        Err(errors) => {
            assert!(matches!(errors[..], [FileError::Damaged { .. } | FileError::NothingUseful { .. }]));
            false
        }
    }
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.mmdb");
    (dir, path)
}

#[test]
fn every_truncation_is_refused() {
    let (_dir, path) = file();
    for book in [country(), asn(), anonymous()] {
        let whole = book.write();
        assert!(survives(&path, &whole));
        for n in 0..whole.len() {
            assert!(!survives(&path, &whole[..n]), "{n} of {} bytes", whole.len());
        }
    }
}

#[test]
fn no_flipped_bit_panics() {
    let (_dir, path) = file();
    let mut refused = 0;
    for book in [country(), anonymous()] {
        let mut bytes = book.write();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                refused += usize::from(!survives(&path, &bytes));
                bytes[at] ^= 1 << bit;
            }
        }
    }
    assert!(refused > 1000, "only {refused} were noticed");
}

#[test]
fn the_shipped_file_with_damage_is_refused() {
    let (_dir, path) = file();
    let whole = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/country.mmdb")).unwrap();
    for part in [1, 2, 3, 5, 7] {
        assert!(!survives(&path, &whole[..whole.len() / 8 * part]));
    }
    // A hole in the middle of the tree.
    let mut holed = whole.clone();
    holed[100_000..200_000].fill(0xff);
    assert!(!survives(&path, &holed));
    holed[100_000..200_000].fill(0);
    assert!(!survives(&path, &holed));
}

/// A tree that is not one: nodes as given, with one record behind them.
fn tangle(nodes: &[[usize; 2]]) -> Vec<u8> {
    let seed = Book::new("tangle").put("::/1", &map(&[("country_code", Value::Text("DE"))]));
    seed.write_tree(nodes)
}

#[test]
fn a_tree_that_goes_in_circles_ends() {
    let (_dir, path) = file();
    // Both sides of each node lead to the next: 2^100 ways, and none of them is longer than an address.
    let dead_end: Vec<[usize; 2]> = (1..=100).map(|next| [next, next]).collect();
    assert!(!survives(&path, &tangle(&dead_end)));
    let mut to_a_record = dead_end;
    to_a_record[99] = [116, 116];
    assert!(!survives(&path, &tangle(&to_a_record)));
    assert!(!survives(&path, &tangle(&[[0, 0]])));
    assert!(!survives(&path, &tangle(&[[1, 0], [0, 1]])));
    // All of them lead to where IPv4 begins, which readers like to skip.
    let mut all_ipv4: Vec<[usize; 2]> = (1..=110).map(|next| [next, next]).collect();
    all_ipv4[109] = [126, 126];
    assert!(!survives(&path, &tangle(&all_ipv4)));
}

#[test]
fn records_that_are_no_records_are_refused() {
    let (_dir, path) = file();
    for record in [Value::Text("DE"), Value::U32(1), Value::List(vec![]), Value::Bool(true)] {
        let book = Book::new("odd").put("192.0.2.0/24", &record);
        assert!(!survives(&path, &book.write()));
    }
}

#[test]
fn a_lookup_in_a_sound_file_finds_the_edges_of_its_networks() {
    let (_dir, path) = file();
    std::fs::write(&path, country().write()).unwrap();
    let atlas = Atlas::open(&[path]).unwrap();
    for (address, is_known) in [
        ("192.0.1.255", false),
        ("192.0.2.0", true),
        ("192.0.2.255", true),
        ("192.0.3.0", false),
        ("2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", false),
        ("2001:db8::", true),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", true),
        ("2001:db9::", false),
    ] {
        let ip: IpAddr = address.parse().unwrap();
        assert_eq!(atlas.find(ip).country.is_some(), is_known, "{address}");
    }
}
