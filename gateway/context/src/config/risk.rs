//! The section `[risk]`: what makes a request of a person odd, and how much.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::{Complaint, KeyPath, RiskReason};
use serde::Deserialize;

use crate::risk::{Terms, Weights};

/// The most numbers of network operators in one list.
const ASNS_MAX: usize = 10_000;

/// `[risk]`, as written.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RiskSection {
    /// Named networks that are exits of the company's own.
    pub known_networks: Option<Vec<String>>,
    /// Named networks of VPNs, proxies and Tor.
    pub anonymizers: Option<Vec<String>>,
    /// Named networks of hosting ranges.
    pub hosting: Option<Vec<String>>,
    /// Numbers of network operators that are VPNs or proxies.
    pub anonymizer_asns: Option<Vec<u32>>,
    /// Numbers of network operators that let servers.
    pub hosting_asns: Option<Vec<u32>>,
    /// Faster than this nobody travels, in kilometers an hour.
    pub speed_kmh_max: Option<u32>,
    /// A shorter way says nothing, in kilometers.
    pub distance_km_min: Option<u32>,
    /// From so many sign-ins on something can be new.
    pub sign_ins_min: Option<u16>,
    /// `[risk.weights]`: what reasons add that shall not add what they usually do.
    pub weights: Option<BTreeMap<String, i64>>,
}

/// Checks `[risk]`. `named` are the names of `[network.named]`.
pub fn check_risk(
    section: &RiskSection,
    named: &BTreeSet<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Option<Terms> {
    let before = complaints.len();
    let usual = Terms::default();
    let terms = Terms {
        known: networks(section.known_networks.as_deref(), named, &at.key("known_networks"), complaints),
        anonymizers: networks(section.anonymizers.as_deref(), named, &at.key("anonymizers"), complaints),
        hosting: networks(section.hosting.as_deref(), named, &at.key("hosting"), complaints),
        anonymizer_asns: asns(section.anonymizer_asns.as_deref(), &at.key("anonymizer_asns"), complaints),
        hosting_asns: asns(section.hosting_asns.as_deref(), &at.key("hosting_asns"), complaints),
        speed_kmh_max: section.speed_kmh_max.unwrap_or(usual.speed_kmh_max),
        distance_km_min: section.distance_km_min.unwrap_or(usual.distance_km_min),
        successes_min: section.sign_ins_min.unwrap_or(usual.successes_min),
        weights: weights(section.weights.as_ref(), &at.key("weights"), complaints),
    };
    let usual = Terms::default();
    for (key, value, (least, most), usual) in [
        ("speed_kmh_max", terms.speed_kmh_max, (100, 5000), usual.speed_kmh_max),
        ("distance_km_min", terms.distance_km_min, (0, 20_000), usual.distance_km_min),
        ("sign_ins_min", u32::from(terms.successes_min), (0, 1000), u32::from(usual.successes_min)),
    ] {
        if !(least..=most).contains(&value) {
            complaints.push(Complaint::new(
                at.key(key),
                format!("`{value}` is out of bounds"),
                format!("use {least} to {most}; the default is {usual}"),
            ));
        }
    }
    (complaints.len() == before).then_some(terms)
}

/// Networks by names that there are.
fn networks(
    written: Option<&[String]>,
    named: &BTreeSet<&str>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> BTreeSet<String> {
    let written = written.unwrap_or_default();
    for (i, name) in written.iter().enumerate().filter(|(_, name)| !named.contains(name.as_str())) {
        let shown: String = name.chars().take(60).collect();
        complaints.push(Complaint::new(
            at.index(i),
            format!("no network is named `{shown}`"),
            format!(
                "write `{shown} = [\"…\"]` with its addresses in `[network.named]`; `[]` while there are none"
            ),
        ));
    }
    written.iter().cloned().collect()
}

fn asns(written: Option<&[u32]>, at: &KeyPath, complaints: &mut Vec<Complaint>) -> BTreeSet<u32> {
    let written = written.unwrap_or_default();
    if written.len() > ASNS_MAX {
        complaints.push(Complaint::new(
            at.clone(),
            format!("{} numbers are more than {ASNS_MAX}", written.len()),
            "use a GeoIP database of anonymizers",
        ));
    }
    if let Some(i) = written.iter().position(|asn| *asn == 0) {
        complaints.push(Complaint::new(at.index(i), "`0` is nobody's number", "remove it"));
    }
    written.iter().copied().collect()
}

fn weights(
    written: Option<&BTreeMap<String, i64>>,
    at: &KeyPath,
    complaints: &mut Vec<Complaint>,
) -> Weights {
    let mut weights = Weights::default();
    for (name, points) in written.into_iter().flatten() {
        let reason = Weights::ALL.into_iter().map(|(reason, _)| reason).find(|r| r.as_str() == name);
        let fits = u8::try_from(*points).ok().filter(|points| *points <= 100);
        match (reason, fits) {
            (Some(reason), Some(points)) => weights.set(reason, points),
            (Some(_), None) => complaints.push(Complaint::new(
                at.key(name),
                format!("`{points}` is no number from 0 to 100"),
                "use 0 to have it not count",
            )),
            (None, _) => complaints.push(Complaint::new(
                at.key(name),
                format!("`{}` is no reason that has a weight", name.chars().take(60).collect::<String>()),
                format!("use one of {}", known().join(", ")),
            )),
        }
    }
    weights
}

fn known() -> Vec<&'static str> {
    Weights::ALL.into_iter().map(|(reason, _)| RiskReason::as_str(reason)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Terms, Vec<String>> {
        let section: RiskSection = toml::from_str(text).unwrap();
        let mut complaints = Vec::new();
        let named = BTreeSet::from(["vpn", "tor"]);
        let terms = check_risk(&section, &named, &KeyPath::top().key("risk"), &mut complaints);
        let said = |c: Complaint| format!("{}: {}; {}", c.at, c.message, c.help.unwrap_or_default());
        terms.ok_or_else(|| complaints.into_iter().map(said).collect())
    }

    #[test]
    fn what_is_not_written_is_as_usual() {
        assert_eq!(check(""), Ok(Terms::default()));
        let text = "known_networks = [\"vpn\"]\nanonymizers = [\"tor\"]\nhosting_asns = [24940]\nsign_ins_min = 0\n\
                    speed_kmh_max = 1000\n[weights]\nnew_country = 0\nhosting = 100";
        let mut expect = Terms {
            known: ["vpn".to_owned()].into(),
            anonymizers: ["tor".to_owned()].into(),
            hosting_asns: [24_940].into(),
            successes_min: 0,
            speed_kmh_max: 1000,
            ..Terms::default()
        };
        expect.weights.set(RiskReason::NewCountry, 0);
        expect.weights.set(RiskReason::Hosting, 100);
        assert_eq!(check(text), Ok(expect));
    }

    #[test]
    fn every_mistake_is_named_with_its_cure() {
        let text = "known_networks = [\"vpn\", \"vnp\"]\nanonymizer_asns = [0]\nspeed_kmh_max = 99\n\
                    distance_km_min = 20001\nsign_ins_min = 1001\n[weights]\nnew_country = 101\nhosting = -1\n\
                    learning = 5";
        let says = check(text).unwrap_err();
        for (says, expect) in says.iter().zip([
            "risk.known_networks[1]: no network is named `vnp`; write `vnp = [\"…\"]`",
            "risk.anonymizer_asns[0]: `0` is nobody's number",
            "risk.weights.hosting: `-1` is no number from 0 to 100; use 0 to have it not count",
            "risk.weights.learning: `learning` is no reason that has a weight; use one of impossible_travel,",
            "risk.weights.new_country: `101` is no number",
            "risk.speed_kmh_max: `99` is out of bounds; use 100 to 5000; the default is 900",
            "risk.distance_km_min: `20001` is out of bounds; use 0 to 20000; the default is 500",
            "risk.sign_ins_min: `1001` is out of bounds; use 0 to 1000; the default is 5",
        ]) {
            assert!(says.starts_with(expect), "{says}");
        }
        assert_eq!(says.len(), 8, "{says:?}");
    }
}
