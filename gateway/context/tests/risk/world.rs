//! Places, browsers and moments by name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use doorward_context::risk::Terms;
use doorward_model::{Assurance, CountryCode, Location, Place, Presence, UnixMillis};

/// When every trace begins: 2026-03-04T10:00:00Z.
const BEGIN: UnixMillis = UnixMillis(1_772_618_400_000);

/// Places that tests know by name. All of them have addresses of their own, but for `next-door`, which is at
/// the same place as `berlin`.
pub(crate) fn place(name: &str) -> Place {
    let (ip, country, asn, location) = match name {
        "berlin" => ("2001:db8:1::1", "DE", 3320, Some((52_520, 13_405))),
        "next-door" => ("2001:db8:1::9", "DE", 3320, Some((52_520, 13_405))),
        // Eleven kilometers off, less how far off both may be.
        "suburb" => ("192.0.2.11", "DE", 3320, Some((52_520, 14_155))),
        "munich" => ("192.0.2.2", "DE", 3209, Some((48_137, 11_575))),
        "paris" => ("192.0.2.3", "FR", 3215, Some((48_857, 2_352))),
        "tokyo" => ("192.0.2.4", "JP", 2516, Some((35_690, 139_692))),
        "germany" => ("192.0.2.5", "DE", 0, None),
        "japan" => ("192.0.2.6", "JP", 0, None),
        "nowhere" => ("192.0.2.7", "ZZ", 0, None),
        // The company's exit in Tokyo.
        "exit" => ("192.0.2.8", "JP", 2516, Some((35_690, 139_692))),
        "tor" | "vpn" | "rack" => ("192.0.2.9", "DE", 3320, Some((52_520, 13_405))),
        "rented" => ("192.0.2.10", "DE", 24_940, Some((52_520, 13_405))),
        other => panic!("no place is called `{other}`"),
    };
    let networks = if ["exit", "vpn", "rack"].contains(&name) { [name.to_owned()].into() } else { [].into() };
    Place {
        ip: ip.parse::<IpAddr>().unwrap(),
        networks,
        country: CountryCode::new(country).unwrap(),
        continent: None,
        asn: Some(asn).filter(|n| *n != 0),
        anonymizer: if name == "tor" { Presence::Yes } else { Presence::Unknown },
        location: location.map(|(latitude_milli, longitude_milli)| Location {
            latitude_milli,
            longitude_milli,
            radius_km: 20,
        }),
    }
}

pub(crate) fn terms() -> Terms {
    let named = |name: &str| BTreeSet::from([name.to_owned()]);
    Terms {
        known: named("exit"),
        anonymizers: named("vpn"),
        hosting: named("rack"),
        hosting_asns: [24_940].into(),
        ..Terms::default()
    }
}

pub(crate) fn agent(name: &str) -> Option<&'static str> {
    match name {
        "firefox" => Some("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        "firefox-next" => Some("Mozilla/5.0 (X11; Linux x86_64; rv:129.0) Gecko/20100101 Firefox/129.0"),
        "chrome" => Some("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/128.0.0.0 Safari/537.36"),
        "none" => None,
        other => panic!("no browser is called `{other}`"),
    }
}

/// What a sign-in has proved, as of `at`: `none`, `password`, `mfa`, `key`, or one of the last two with how
/// long ago, such as `mfa 61s`.
pub(crate) fn assurance(proof: &str, at: UnixMillis) -> Assurance {
    let (kind, ago) = proof.split_once(' ').unwrap_or((proof, "0s"));
    let when = UnixMillis(at.0 - 1000 * seconds(ago));
    let (mfa, phishing_resistant) = match kind {
        "none" | "password" => (false, false),
        "mfa" => (true, false),
        "key" => (true, true),
        other => panic!("no proof is called `{other}`"),
    };
    let authenticated_at = (kind != "none").then_some(when);
    Assurance { mfa, phishing_resistant, authenticated_at, mfa_at: authenticated_at.filter(|_| mfa) }
}

/// A moment of a trace, such as `10m`, `-3d` or `899s`.
pub(crate) fn moment(text: &str) -> UnixMillis {
    UnixMillis(BEGIN.0 + 1000 * seconds(text))
}

fn seconds(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => panic!("`{text}` is no time"),
    };
    unit * number.parse::<i64>().unwrap()
}
