use std::net::IpAddr;

use doorward_model::KeyPath;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(text: &str) -> (Option<Network>, Vec<String>) {
    let section: NetworkSection = toml::from_str(text).unwrap();
    let mut complaints = Vec::new();
    let network = check_network(&section, &KeyPath::top().key("network"), &mut complaints);
    assert!(complaints.iter().all(|c| c.help.as_ref().is_some_and(|h| !h.is_empty())), "{complaints:?}");
    (network, complaints.iter().map(ToString::to_string).collect())
}

fn geoip(text: &str, base_dir: &Path) -> (Option<Geoip>, Vec<String>) {
    let section: GeoipSection = toml::from_str(text).unwrap();
    let mut complaints = Vec::new();
    let geoip = check_geoip(&section, &KeyPath::top().key("geoip"), base_dir, &mut complaints);
    (geoip, complaints.iter().map(ToString::to_string).collect())
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../geoip/data")
}

#[test]
fn nothing_written_is_nobody_trusted() {
    let (network, complaints) = network("");
    let network = network.unwrap();
    assert!(complaints.is_empty() && network.trusted_proxies.is_nobody());
    assert!(network.named.containing(ip("10.0.0.1")).is_empty());
}

#[test]
fn a_right_section_is_taken() {
    let (network, complaints) = network(
        r#"
        trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "fc00::/7", "2001:db8::1"]
        client_address_header = "Forwarded"
        [named]
        corp = ["10.0.0.0/8", "2001:db8:100::/40"]
        vpn = ["192.0.2.7"]
        all = ["0.0.0.0/0", "::/0"]
        "#,
    );
    assert_eq!(complaints, [""; 0]);
    let network = network.unwrap();
    assert_eq!(network.trusted_proxies.header(), ClientAddressHeader::Forwarded);
    for (address, is_trusted) in [("192.0.2.1", true), ("192.0.2.2", false), ("fd00::1", true)] {
        assert_eq!(network.trusted_proxies.trusts(ip(address)), is_trusted);
    }
    assert_eq!(Vec::from_iter(network.named.containing(ip("192.0.2.7"))), ["all", "vpn"]);
}

#[test]
fn every_mistake_is_named_at_once() {
    let (network, complaints) = network(
        r#"
        trusted_proxies = ["0.0.0.0/0", "::/0", "10.0.0.1/8", "example.org", "::ffff:10.0.0.1", "2000::/3", ""]
        client_address_header = "x-real-ip"
        [named]
        Corp = ["10.0.0.0/8"]
        vpn = ["192.0.2.0/33", "192.0.2.1/24"]
        "#,
    );
    assert!(network.is_none());
    let anyone = "trusts so many addresses that anyone could claim to be anywhere";
    assert_eq!(
        complaints,
        [
            "network.trusted_proxies[2]: `10.0.0.1/8` is an address inside a range, not a range".to_owned(),
            "network.trusted_proxies[3]: `example.org` is neither an address nor a range".to_owned(),
            "network.trusted_proxies[4]: `::ffff:10.0.0.1` is an IPv4 address inside an IPv6 one".to_owned(),
            "network.trusted_proxies[6]: `` is neither an address nor a range".to_owned(),
            format!("network.trusted_proxies[0]: `0.0.0.0/0` {anyone}"),
            format!("network.trusted_proxies[1]: `::/0` {anyone}"),
            format!("network.trusted_proxies[5]: `2000::/3` {anyone}"),
            "network.client_address_header: `x-real-ip` is not a header that this gateway reads".to_owned(),
            "network.named.Corp: `Corp` cannot be the name of a network".to_owned(),
            "network.named.vpn[0]: `192.0.2.0/33` is neither an address nor a range".to_owned(),
            "network.named.vpn[1]: `192.0.2.1/24` is an address inside a range, not a range".to_owned(),
        ]
    );
}

#[test]
fn the_whole_internet_in_halves_is_no_better() {
    for wide in ["0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/7", "::/1", "2a00::/12", "f800::/5"] {
        let (network, complaints) = network(&format!("trusted_proxies = [\"{wide}\"]"));
        assert!(network.is_none() && complaints.len() == 1, "{wide}");
    }
}

#[test]
fn a_header_without_anybody_to_trust_is_a_mistake() {
    for text in ["", "trusted_proxies = []"] {
        let (network, complaints) = network(&format!("client_address_header = \"x-forwarded-for\"\n{text}"));
        assert!(network.is_none());
        assert_eq!(
            complaints,
            [
                "network.client_address_header: a header that tells the client's address is named, but no proxy \
              is trusted to write it"
            ]
        );
    }
}

#[test]
fn too_many_ranges_are_refused() {
    let many = vec!["\"192.0.2.1\""; TRUSTED_PROXIES_MAX + 1].join(",");
    let (network, complaints) = network(&format!("trusted_proxies = [{many}]"));
    assert!(network.is_none() && complaints.len() == 1);
}

#[test]
fn the_shipped_database_is_opened_relative_to_the_configuration() {
    let (geoip, complaints) = geoip("databases = [\"country.mmdb\"]", &data());
    assert_eq!(complaints, [""; 0]);
    let geoip = geoip.unwrap();
    assert_eq!(geoip.age_max, Duration::from_secs(90 * 86_400));
    assert!(geoip.atlas.find(ip("8.8.8.8")).country.is_some());
}

#[test]
fn without_files_no_place_is_known() {
    let (geoip, complaints) = geoip("", &data());
    assert!(complaints.is_empty());
    assert!(geoip.unwrap().atlas.find(ip("8.8.8.8")).is_empty());
}

#[test]
fn each_bad_file_has_its_complaint() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text.mmdb"), "this is no database").unwrap();
    let (geoip, complaints) = geoip(
        "databases = [\"missing.mmdb\", \"text.mmdb\", \".\", \"missing.mmdb\"]\nage_days_max = 0",
        dir.path(),
    );
    assert!(geoip.is_none());
    let wheres: Vec<_> = complaints.iter().map(|c| c.split(": ").next().unwrap()).collect();
    assert_eq!(
        wheres,
        [
            "geoip.age_days_max",
            "geoip.databases[3]",
            "geoip.databases[0]",
            "geoip.databases[1]",
            "geoip.databases[2]",
            "geoip.databases[0]"
        ]
    );
    assert!(complaints[2].contains("missing.mmdb") && complaints[2].contains("check that the file exists"));
    assert!(complaints[3].contains("download it again"));
}

#[test]
fn a_time_zone_has_to_exist() {
    let at = KeyPath::top().key("gateway").key("time_zone");
    let mut complaints = Vec::new();
    assert_eq!(check_time_zone(None, &at, &mut complaints).unwrap().zone_name(), "UTC");
    let berlin = check_time_zone(Some("Europe/Berlin"), &at, &mut complaints).unwrap();
    assert_eq!(berlin.zone_name(), "Europe/Berlin");
    assert!(complaints.is_empty());
    assert!(check_time_zone(Some("Europe/Berlim"), &at, &mut complaints).is_none());
    assert_eq!(complaints[0].to_string(), "gateway.time_zone: there is no time zone `Europe/Berlim`");
    assert_eq!(complaints[0].help.as_deref(), Some("did you mean `Europe/Berlin`?"));
}
