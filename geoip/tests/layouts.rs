//! Every layout, and several files as one.

#![expect(clippy::unwrap_used, reason = "tests")]

mod mmdb;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use doorward_geoip::{Alpha2, Atlas, Facts, Point};
use mmdb::{Book, Value, anonymous, asn, country, map};
use tempfile::TempDir;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The books as files, opened in order.
fn atlas(books: &[Book]) -> (TempDir, Atlas) {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = (0..books.len()).map(|i| dir.path().join(format!("{i}.mmdb"))).collect();
    for (path, book) in paths.iter().zip(books) {
        std::fs::write(path, book.write()).unwrap();
    }
    let atlas = Atlas::open(&paths).unwrap();
    (dir, atlas)
}

/// The facts on one line: country, continent, ASN, organization, anonymizer.
fn told(facts: &Facts) -> String {
    let code = |c: Option<Alpha2>| c.map_or("-".to_owned(), |c| c.to_string());
    let asn = facts.asn.map_or("-".to_owned(), |n| n.to_string());
    let name = facts.organization.as_deref().unwrap_or("-");
    let anonymizer = facts.anonymizer.map_or("-".to_owned(), |a| a.to_string());
    [code(facts.country), code(facts.continent), asn, name.to_owned(), anonymizer].join(" ")
}

#[test]
fn each_layout_is_read() {
    let text = Value::Text;
    let yes = Value::Bool(true);
    let no = Value::Bool(false);
    let nested = |field, value: &str, inner| map(&[(field, map(&[(inner, Value::Text(leak(value)))]))]);
    for (record, expect) in [
        // MaxMind, country and city.
        (nested("country", "DE", "iso_code"), "DE - - - -"),
        (nested("country", "de", "iso_code"), "DE - - - -"),
        (nested("continent", "EU", "code"), "- EU - - -"),
        (nested("registered_country", "CH", "iso_code"), "- - - - -"),
        (nested("represented_country", "US", "iso_code"), "- - - - -"),
        (map(&[("traits", map(&[("is_anonymous_proxy", yes.clone())]))]), "- - - - true"),
        (map(&[("traits", map(&[("is_anonymous_proxy", no.clone())]))]), "- - - - -"),
        (map(&[("traits", map(&[("is_satellite_provider", yes.clone())]))]), "- - - - -"),
        (map(&[("traits", map(&[("autonomous_system_number", Value::U32(64_496))]))]), "- - 64496 - -"),
        // MaxMind, ASN.
        (
            map(&[
                ("autonomous_system_number", Value::U32(64_496)),
                ("autonomous_system_organization", text("Example Net")),
            ]),
            "- - 64496 Example Net -",
        ),
        // MaxMind, anonymous IP: each flag is enough.
        (map(&[("is_anonymous", yes.clone())]), "- - - - true"),
        (map(&[("is_anonymous_vpn", yes.clone())]), "- - - - true"),
        (map(&[("is_hosting_provider", yes.clone())]), "- - - - true"),
        (map(&[("is_public_proxy", yes.clone())]), "- - - - true"),
        (map(&[("is_residential_proxy", yes.clone())]), "- - - - true"),
        (map(&[("is_tor_exit_node", yes.clone())]), "- - - - true"),
        (map(&[("is_anonymous", no.clone()), ("is_tor_exit_node", yes.clone())]), "- - - - true"),
        (map(&[("is_anonymous", no.clone())]), "- - - - false"),
        (map(&[("is_tor_exit_node", no.clone())]), "- - - - -"),
        // Flat.
        (map(&[("country_code", text("DE"))]), "DE - - - -"),
        (map(&[("country", text("DE")), ("continent", text("EU"))]), "DE EU - - -"),
        (
            map(&[
                ("country", text("Germany")),
                ("country_code", text("DE")),
                ("continent", text("Europe")),
                ("continent_code", text("EU")),
                ("asn", text("AS64496")),
                ("as_name", text("Example Net")),
            ]),
            "DE EU 64496 Example Net -",
        ),
        (map(&[("asn", Value::U32(64_496))]), "- - 64496 - -"),
        (map(&[("asn", text("64496"))]), "- - 64496 - -"),
        // Nothing that can be used.
        (map(&[("asn", text("AS"))]), "- - - - -"),
        (map(&[("asn", text("AS+1"))]), "- - - - -"),
        (map(&[("asn", text("AS4294967296"))]), "- - - - -"),
        (map(&[("asn", Value::U64(1 << 32))]), "- - - - -"),
        (map(&[("asn", Value::U32(0))]), "- - - - -"),
        (map(&[("country_code", text("ZZ"))]), "- - - - -"),
        (map(&[("country_code", text("Germany"))]), "- - - - -"),
        (map(&[("country_code", text(""))]), "- - - - -"),
        (map(&[("country_code", Value::U32(276))]), "- - - - -"),
        (map(&[("country", Value::List(vec![text("DE")]))]), "- - - - -"),
        (map(&[("traits", Value::List(vec![Value::U32(64_496)]))]), "- - - - -"),
        (map(&[("traits", text("none"))]), "- - - - -"),
        (map(&[("is_anonymous", text("true"))]), "- - - - -"),
        (map(&[("as_name", text("a\u{7}b\nc"))]), "- - - abc -"),
        (map(&[]), "- - - - -"),
    ] {
        // A second record, because a file of nothing but unknowns is refused.
        let known = map(&[("country_code", text("SE"))]);
        let book = Book::new("any").put("192.0.2.0/24", &record).put("198.51.100.0/24", &known);
        let (_dir, atlas) = atlas(&[book]);
        assert_eq!(told(&atlas.find(ip("192.0.2.1"))), expect);
        assert_eq!(told(&atlas.find(ip("198.51.100.1"))), "SE - - - -");
        assert_eq!(told(&atlas.find(ip("203.0.113.1"))), "- - - - -");
    }
}

/// City editions tell a point, in the nested layout and in the flat one.
#[test]
fn a_point_is_read_where_there_is_one() {
    let (double, text) = (Value::Double, Value::Text);
    let spot = |fields: &[(&'static str, Value)]| map(&[("location", map(fields))]);
    let latitude = ("latitude", double(35.6895));
    let longitude = ("longitude", double(139.6917));
    for (record, expect) in [
        (
            spot(&[latitude.clone(), longitude.clone(), ("accuracy_radius", Value::U16(50))]),
            Some((35_690, 139_692, 50)),
        ),
        (spot(&[latitude.clone(), longitude.clone()]), Some((35_690, 139_692, Point::RADIUS_KM))),
        (
            spot(&[latitude.clone(), longitude.clone(), ("accuracy_radius", Value::U32(70_000))]),
            Some((35_690, 139_692, u16::MAX)),
        ),
        (map(&[latitude.clone(), longitude.clone()]), Some((35_690, 139_692, Point::RADIUS_KM))),
        (map(&[("latitude", text("-1.5")), ("longitude", text("2"))]), Some((-1500, 2000, Point::RADIUS_KM))),
        (spot(std::slice::from_ref(&latitude)), None),
        (spot(&[("latitude", double(f64::NAN)), longitude.clone()]), None),
        (spot(&[("latitude", double(91.0)), longitude.clone()]), None),
        (spot(&[("latitude", text("north")), longitude.clone()]), None),
        (map(&[("location", Value::List(vec![double(1.0), double(2.0)]))]), None),
        (map(&[("location", text("here"))]), None),
    ] {
        let known = map(&[("country_code", text("SE"))]);
        let book = Book::new("any").put("192.0.2.0/24", &record).put("198.51.100.0/24", &known);
        let (_dir, atlas) = atlas(&[book]);
        let point = atlas.find(ip("192.0.2.1")).point;
        assert_eq!(point.map(|p| (p.latitude_milli, p.longitude_milli, p.radius_km)), expect);
    }
}

/// A file that is made to answer says no of what it does not list. Of what it lists it says no
/// only in so many words.
#[test]
fn a_listed_address_is_not_cleared_by_a_flag_that_nobody_knows() {
    let (yes, no) = (Value::Bool(true), Value::Bool(false));
    for (record, expect) in [
        (map(&[("is_anonymous", yes.clone())]), "true"),
        (map(&[("is_anonymous", no.clone())]), "false"),
        (map(&[("is_anonymous", no.clone()), ("is_hosting_provider", no.clone())]), "false"),
        (map(&[("is_anonymous", no.clone()), ("is_tor_exit_node", yes.clone())]), "true"),
        (map(&[("is_anonymous", Value::Text("true"))]), "-"),
        (map(&[("is_anonymous", Value::Text("false"))]), "-"),
        (map(&[("is_anonymous", Value::U32(1))]), "-"),
        (map(&[("is_anonymous", no.clone()), ("is_tor_exit_node", Value::Text("true"))]), "-"),
        (map(&[("is_anonymous_by_means_yet_unknown", yes.clone())]), "-"),
        (map(&[("is_anonymous_vpn", no.clone())]), "-"),
        (map(&[("anonymizer_confidence", Value::U16(99))]), "-"),
        (map(&[]), "-"),
    ] {
        let book = Book::new("GeoIP2-Anonymous-IP")
            .put("192.0.2.0/24", &record)
            .put("198.51.100.0/24", &map(&[("is_anonymous_vpn", yes.clone())]));
        let (_dir, atlas) = atlas(&[book]);
        assert_eq!(told(&atlas.find(ip("192.0.2.1"))), format!("- - - - {expect}"));
        assert_eq!(told(&atlas.find(ip("198.51.100.1"))), "- - - - true");
        assert_eq!(told(&atlas.find(ip("203.0.113.1"))), "- - - - false", "not listed");
    }
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}

#[test]
fn several_files_are_one() {
    let (_dir, atlas) = atlas(&[country(), asn(), anonymous()]);
    for (address, expect) in [
        ("192.0.2.1", "DE EU 64496 Example Net true"),
        ("::ffff:192.0.2.1", "DE EU 64496 Example Net true"),
        ("192.0.2.129", "FR EU 64496 Example Net false"),
        ("2001:db8::1", "US NA 65551 Example Six false"),
        ("198.51.100.1", "- - - - false"),
        ("203.0.113.1", "BR - - - false"),
        ("10.0.0.1", "- - - - false"),
        ("2001:db9::1", "- - - - false"),
    ] {
        assert_eq!(told(&atlas.find(ip(address))), expect, "{address}");
    }
}

#[test]
fn the_first_file_that_knows_a_fact_tells_it() {
    let flat = |country| map(&[("country_code", Value::Text(country))]);
    let first = Book::new("a").put("192.0.2.0/25", &flat("SE")).put("198.51.100.0/24", &flat("ZZ"));
    let second = Book::new("b").put("198.51.100.0/25", &flat("NO"));
    let (_dir, atlas) = atlas(&[first, second, country()]);
    for (address, expect) in [
        // The last file has this address in Germany, so its continent is not that of Sweden.
        ("192.0.2.1", "SE - - - -"),
        ("192.0.2.129", "FR EU - - -"),
        ("198.51.100.1", "NO - - - -"),
        ("198.51.100.129", "- - - - -"),
    ] {
        assert_eq!(told(&atlas.find(ip(address))), expect, "{address}");
    }
}

#[test]
fn a_file_for_one_family_says_nothing_of_the_other() {
    let mut v4 = Book::new("GeoIP2-Anonymous-IP");
    v4.ip_version = 4;
    let v4 = v4.put("192.0.2.0/24", &map(&[("is_anonymous", Value::Bool(true))]));
    let (_dir, atlas) = atlas(&[v4]);
    for (address, expect) in [
        ("192.0.2.1", "- - - - true"),
        ("::ffff:192.0.2.1", "- - - - true"),
        ("198.51.100.1", "- - - - false"),
        // Not listed, and could not be.
        ("2001:db8::1", "- - - - -"),
    ] {
        assert_eq!(told(&atlas.find(ip(address))), expect, "{address}");
    }
}

#[test]
fn the_lowest_ipv6_addresses_are_not_the_ipv4_ones() {
    let (_dir, atlas) = atlas(&[country()]);
    for address in ["::192.0.2.1", "::", "::1"] {
        assert!(atlas.find(ip(address)).is_empty(), "{address}");
    }
}

#[test]
fn without_files_nothing_is_known() {
    assert!(Atlas::empty().find(ip("8.8.8.8")).is_empty());
    assert!(Atlas::open(&[]).unwrap().find(ip("2001:db8::1")).is_empty());
}

/// The fixtures that other crates test with are what [`mmdb`] writes. With `DOORWARD_BLESS=1` in the
/// environment they are written anew.
#[test]
fn the_fixtures_are_up_to_date() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, book) in [("country", country()), ("asn", asn()), ("anonymous", anonymous())] {
        let path = dir.join(format!("{name}.mmdb"));
        if std::env::var_os("DOORWARD_BLESS").is_some() {
            std::fs::write(&path, book.write()).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), book.write(), "{name}: run again with DOORWARD_BLESS=1");
    }
}
