use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Where the files of the GeoIP crate are.
fn geoip(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../geoip").join(file)
}

fn places(files: &[PathBuf]) -> Places {
    let corp = vec!["10.0.0.0/8".parse().unwrap(), "8.8.8.0/24".parse().unwrap()];
    let named = NamedNetworks::new(&BTreeMap::from([("corp".to_owned(), corp)]));
    let day = Duration::from_secs(86_400);
    Places::new(Arc::new(Atlas::open(files).unwrap()), named, 90 * day)
}

#[test]
fn every_fact_arrives() {
    let places = places(&["country", "asn", "anonymous"].map(|f| geoip(&format!("tests/fixtures/{f}.mmdb"))));
    let place = places.locate(ip("::ffff:192.0.2.1"));
    assert_eq!(
        place,
        Place {
            ip: ip("192.0.2.1"),
            networks: [].into(),
            country: CountryCode::new("DE").unwrap(),
            continent: Some("EU".to_owned()),
            asn: Some(64_496),
            anonymizer: Presence::Yes,
            location: None,
        }
    );
    let place = places.locate(ip("192.0.2.129"));
    assert_eq!((place.anonymizer, place.country.as_str()), (Presence::No, "FR"));
}

#[test]
fn what_nobody_knows_says_so() {
    let no_files = places(&[]);
    let shipped = places(&[geoip("data/country.mmdb")]);
    for (places, address, networks) in [
        (&no_files, "8.8.8.8", &["corp"][..]),
        (&no_files, "2001:db8::1", &[]),
        (&shipped, "10.1.2.3", &["corp"]),
        (&shipped, "127.0.0.1", &[]),
        (&shipped, "::1", &[]),
    ] {
        let place = places.locate(ip(address));
        assert_eq!(place.country, CountryCode::UNKNOWN, "{address}");
        assert_eq!((place.continent, place.asn, place.anonymizer), (None, None, Presence::Unknown));
        assert_eq!(Vec::from_iter(place.networks), networks);
    }
}

#[test]
fn the_shipped_database_knows_countries() {
    let places = places(&[geoip("data/country.mmdb")]);
    let place = places.locate(ip("8.8.8.8"));
    assert_eq!(place.country.as_str(), "US");
    assert_eq!(Vec::from_iter(place.networks), ["corp"]);
}

#[test]
fn the_age_is_told() {
    let places = places(&[geoip("tests/fixtures/country.mmdb")]);
    let built = places.status(UnixMillis(0)).first().unwrap().built_at_seconds;
    let built = UnixMillis::from_seconds(i64::try_from(built).unwrap());
    let after = |days: u64| places.status(built.plus(Duration::from_secs(days * 86_400)))[0].clone();
    assert!(!after(90).stale && after(91).stale);
    assert_eq!(after(91).age, Duration::from_secs(91 * 86_400));
    // A clock that knows nothing proves nothing.
    assert!(places.status(UnixMillis(-5))[0].stale);
}
