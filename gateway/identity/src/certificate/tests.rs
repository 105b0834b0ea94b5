use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};

use super::*;

type Ca = CertifiedIssuer<'static, KeyPair>;

/// Day `day` of June 2026.
fn june(day: i64) -> UnixMillis {
    UnixMillis::from_seconds(1_780_272_000 + (day - 1) * 86_400)
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Ca {
    CertifiedIssuer::self_signed(ca(name), KeyPair::generate().unwrap()).unwrap()
}

fn leaf(serial: u64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2026, 6, 20);
    params.subject_alt_names = vec![SanType::URI("urn:doorward:device:laptop-7".try_into().unwrap())];
    params
}

fn made(params: &CertificateParams, by: &Ca) -> Vec<CertificateDer<'static>> {
    let made = params.signed_by(&KeyPair::generate().unwrap(), by).unwrap();
    vec![made.der().clone()]
}

/// A list of the authority, good until a day of June.
fn list(by: &Ca, until: u8, revoked: &[u64]) -> String {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2026, 6, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 6, 1),
        next_update: date_time_ymd(2026, 6, until),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(by).unwrap().pem().unwrap()
}

fn trust(folder: &Path, authorities: &[&Ca], lists: &[String]) -> Arc<ClientTrust> {
    let cas: String = authorities.iter().map(|ca| ca.pem()).collect();
    std::fs::write(folder.join("ca.pem"), cas).unwrap();
    std::fs::write(folder.join("lists.pem"), lists.concat()).unwrap();
    let crl_files = if lists.is_empty() { Vec::new() } else { vec![folder.join("lists.pem")] };
    ClientTrust::open(TrustFiles {
        ca_files: vec![folder.join("ca.pem")],
        crl_files,
        required: false,
        device_id_from: DeviceIdFrom::SanUri,
    })
    .unwrap()
}

#[test]
fn a_certificate_stands_by_its_authority_its_time_and_its_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (authority("ours"), authority("others"));
    let trust = trust(folder.path(), &[&ours], &[]);
    let servers = {
        let mut params = leaf(1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        made(&params, &ours)
    };
    let silent = {
        let mut params = leaf(1);
        params.extended_key_usages.clear();
        made(&params, &ours)
    };
    let itself = {
        let own = CertifiedIssuer::self_signed(leaf(1), KeyPair::generate().unwrap()).unwrap();
        vec![own.der().clone()]
    };
    let good = || made(&leaf(1), &ours);
    for (what, chain, day, expected) in [
        ("a good one", good(), 10, Ok(())),
        ("one that has ended", good(), 21, Err(Untrusted::Time)),
        ("one that has not begun", good(), 0, Err(Untrusted::Time)),
        ("one of another authority", made(&leaf(1), &others), 10, Err(Untrusted::Issuer)),
        ("one that made itself", itself, 10, Err(Untrusted::Issuer)),
        ("one for servers", servers, 10, Err(Untrusted::Purpose)),
        ("one for nothing in particular", silent, 10, Err(Untrusted::Purpose)),
    ] {
        let shown = trust.shown(&chain).unwrap();
        assert_eq!(shown.stands(june(day)), expected, "{what}");
    }
    // It was good before, and is asked again.
    let shown = trust.shown(&good()).unwrap();
    assert_eq!(shown.stands(june(10)), Ok(()));
    assert_eq!(shown.stands(june(21)), Err(Untrusted::Time));
    assert!(trust.shown(&[]).is_err());
    assert!(trust.shown(&[CertificateDer::from(vec![1, 2, 3])]).is_err());
}

#[test]
fn a_certificate_that_is_revoked_falls_with_the_next_look() {
    let folder = tempfile::tempdir().unwrap();
    let ours = authority("ours");
    let trust = trust(folder.path(), &[&ours], &[list(&ours, 15, &[1])]);
    let (one, two) =
        (trust.shown(&made(&leaf(1), &ours)).unwrap(), trust.shown(&made(&leaf(2), &ours)).unwrap());
    assert_eq!(one.stands(june(10)), Err(Untrusted::Revoked));
    assert_eq!(two.stands(june(10)), Ok(()));

    std::fs::write(folder.path().join("lists.pem"), list(&ours, 18, &[1, 2])).unwrap();
    assert_eq!(two.stands(june(10)), Ok(()), "nobody read it yet");
    trust.reload().unwrap();
    assert_eq!(two.stands(june(10)), Err(Untrusted::Revoked));

    // What cannot be read changes nothing.
    std::fs::write(folder.path().join("lists.pem"), "nonsense").unwrap();
    let error = trust.reload().unwrap_err();
    assert!(error.is_list && error.to_string().contains("neither PEM nor DER"), "{error}");
    assert_eq!(two.stands(june(10)), Err(Untrusted::Revoked));

    // What was taken off the list is good again.
    std::fs::write(folder.path().join("lists.pem"), list(&ours, 18, &[])).unwrap();
    trust.reload().unwrap();
    assert_eq!((one.stands(june(10)), two.stands(june(10))), (Ok(()), Ok(())));
}

#[test]
fn a_list_that_is_out_of_date_or_missing_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (authority("ours"), authority("others"));
    let trust = trust(folder.path(), &[&ours, &others], &[list(&ours, 15, &[])]);
    let shown = trust.shown(&made(&leaf(1), &ours)).unwrap();
    assert_eq!(shown.stands(june(14)), Ok(()));
    assert_eq!(shown.stands(june(15)), Err(Untrusted::OldList));
    assert_eq!(shown.stands(june(14)), Ok(()));
    let untold = trust.shown(&made(&leaf(1), &others)).unwrap();
    assert_eq!(untold.stands(june(14)), Err(Untrusted::Untold));
    let [status] = &trust.lists()[..] else { panic!("one list") };
    assert!(status.issuer.contains("ours") && status.tells(june(14)) && !status.tells(june(15)));
    assert_eq!(status.next_update, Some(june(15)));
}

#[test]
fn other_authorities_count_from_the_reload_on() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (authority("ours"), authority("others"));
    let trust = trust(folder.path(), &[&ours], &[]);
    let shown = trust.shown(&made(&leaf(1), &ours)).unwrap();
    assert_eq!(shown.stands(june(10)), Ok(()));
    let hints = || trust.root_hint_subjects().iter().map(|name| name.as_ref().to_vec()).collect::<Vec<_>>();
    let before = hints();
    std::fs::write(folder.path().join("ca.pem"), others.pem()).unwrap();
    trust.reload().unwrap();
    assert_eq!(shown.stands(june(10)), Err(Untrusted::Issuer));
    assert_ne!(hints(), before, "a browser is told of them");

    std::fs::write(folder.path().join("ca.pem"), "").unwrap();
    assert!(trust.reload().unwrap_err().to_string().contains("BEGIN CERTIFICATE"));
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    let error = trust.reload().unwrap_err();
    assert!(!error.is_list && error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn a_chain_is_as_good_as_what_it_rests_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = authority("root");
    let mut params = ca("between");
    params.not_before = date_time_ymd(2026, 6, 1);
    params.not_after = date_time_ymd(2026, 6, 12);
    params.serial_number = Some(SerialNumber::from(77_u64));
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [made(&leaf(1), &between), vec![between.der().clone()]].concat();

    let whole = trust(folder.path(), &[&root], &[list(&root, 30, &[]), list(&between, 30, &[])]);
    let shown = whole.shown(&chain).unwrap();
    assert_eq!(shown.stands(june(10)), Ok(()));
    assert_eq!(shown.stands(june(13)), Err(Untrusted::Time));
    // The root takes back what is between.
    std::fs::write(folder.path().join("lists.pem"), list(&root, 30, &[77]) + &list(&between, 30, &[]))
        .unwrap();
    whole.reload().unwrap();
    assert_eq!(shown.stands(june(10)), Err(Untrusted::Revoked));
}

/// Serial numbers are of one authority.
#[test]
fn devices_are_named_by_serial_numbers_of_one_authority_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (authority("ours"), authority("others"));
    let file = folder.path().join("ca.pem");
    let files = |device_id_from| TrustFiles {
        ca_files: vec![file.clone()],
        crl_files: Vec::new(),
        required: false,
        device_id_from,
    };
    std::fs::write(&file, ours.pem()).unwrap();
    let trust = ClientTrust::open(files(DeviceIdFrom::Serial)).unwrap();
    std::fs::write(&file, [ours.pem(), others.pem()].concat()).unwrap();
    let why = ClientTrust::open(files(DeviceIdFrom::Serial)).unwrap_err().to_string();
    assert!(why.contains("ca.pem") && why.contains("`device_id_from`"), "{why}");
    assert!(trust.reload().is_err(), "nor by a reload");
    ClientTrust::open(files(DeviceIdFrom::Thumbprint)).unwrap();
    ClientTrust::open(files(DeviceIdFrom::SanUri)).unwrap();
}

#[test]
fn a_certificate_names_its_device_in_one_way() {
    let ours = authority("ours");
    let uri = |text: &str| SanType::URI(text.try_into().unwrap());
    let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
    let with = |names: Vec<SanType>| {
        let mut params = leaf(0x0a1b);
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, "the laptop");
        params.distinguished_name.push(DnType::OrganizationName, "corp");
        made(&params, &ours)
    };
    use DeviceIdFrom::{CommonName, SanDns, SanUri, Serial, Thumbprint};
    for (names, from, id) in [
        (vec![uri("urn:doorward:device:laptop-7")], SanUri, Some("laptop-7")),
        (vec![uri("URN:Doorward:Device:Laptop-7"), uri("https://a.test")], SanUri, Some("Laptop-7")),
        (vec![uri("urn:doorward:device:a"), uri("urn:doorward:device:b")], SanUri, None),
        (vec![uri("urn:doorward:device:")], SanUri, None),
        (vec![uri("urn:other:device:a")], SanUri, None),
        (vec![dns("laptop-7.corp.test")], SanUri, None),
        (vec![dns("Laptop-7.corp.test"), uri("urn:doorward:device:a")], SanDns, Some("laptop-7.corp.test")),
        (vec![dns("a.test"), dns("b.test")], SanDns, None),
        (vec![], CommonName, None),
        (vec![], Serial, Some("0a1b")),
        (vec![uri("urn:doorward:device:a")], Thumbprint, None),
    ] {
        let chain = with(names.clone());
        let facts = Facts::of(&chain[0], from).unwrap();
        // A common name with a space is not the id of a device.
        assert_eq!(facts.device.as_ref().map(DeviceId::as_str), id, "{names:?} {from:?}");
        assert_eq!((facts.serial.as_str(), facts.not_after), ("0a1b", june(20)));
        assert!(facts.issuer.contains("ours"), "{}", facts.issuer);
    }
    for choice in DeviceIdFrom::ALL {
        assert_eq!(DeviceIdFrom::parse(choice.as_str()), Some(choice));
    }
}
