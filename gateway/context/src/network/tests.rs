use std::net::IpAddr;

use doorward_model::RefusalCode;
use doorward_model::limits::FORWARDED_HOPS_MAX;
use proptest::prelude::*;

use super::*;

fn nets(ranges: &[&str]) -> Vec<IpNet> {
    ranges.iter().map(|r| r.parse().unwrap()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Two proxies of ours: 10.0.0.0/8 and 2001:db8:ffff::/48.
fn proxies(header: ClientAddressHeader) -> TrustedProxies {
    TrustedProxies::new(&nets(&["10.0.0.0/8", "2001:db8:ffff::/48"]), header)
}

fn walk(header: ClientAddressHeader, peer: &str, lines: &[&str]) -> Result<String, RefusalCode> {
    let lines: Vec<&[u8]> = lines.iter().map(|l| l.as_bytes()).collect();
    proxies(header).client_address(ip(peer), &lines).map(|ip| ip.to_string()).map_err(|r| r.code)
}

#[test]
fn nobody_is_trusted_by_default() {
    let nobody = TrustedProxies::nobody();
    assert!(nobody.is_nobody() && !nobody.trusts(ip("127.0.0.1")));
    for peer in ["127.0.0.1", "10.0.0.1", "::1", "198.51.100.7"] {
        assert_eq!(nobody.client_address(ip(peer), &[b"203.0.113.9", b"a"]), Ok(ip(peer)));
    }
    assert_eq!(nobody.client_address(ip("::ffff:198.51.100.7"), &[]), Ok(ip("198.51.100.7")));
}

#[test]
fn the_header_of_a_stranger_is_not_even_read() {
    for header in [ClientAddressHeader::XForwardedFor, ClientAddressHeader::Forwarded] {
        for line in ["203.0.113.9", "10.0.0.1", "a", "", "for=10.0.0.1", "for=\""] {
            assert_eq!(walk(header, "198.51.100.7", &[line]), Ok("198.51.100.7".to_owned()), "{line}");
        }
    }
}

#[test]
fn x_forwarded_for_is_walked_from_the_right() {
    for (lines, client) in [
        (&["203.0.113.9"][..], "203.0.113.9"),
        // What the client itself wrote stands on the left and does not count.
        (&["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        (&["a, , %, 203.0.113.9"], "203.0.113.9"),
        (&["1.1.1.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (&["10.0.0.99, 203.0.113.9,10.1.1.1 ,\t10.2.2.2"], "203.0.113.9"),
        // Several lines are one list.
        (&["1.1.1.1", "203.0.113.9, 10.1.1.1", "10.2.2.2"], "203.0.113.9"),
        // A proxy's own request.
        (&["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        // Forms of addresses.
        (&["203.0.113.9:4711"], "203.0.113.9"),
        (&["2001:db8::9"], "2001:db8::9"),
        (&["[2001:db8::9]"], "2001:db8::9"),
        (&["[2001:db8::9]:443"], "2001:db8::9"),
        (&["::ffff:203.0.113.9"], "203.0.113.9"),
        (&["203.0.113.9, ::ffff:10.1.1.1"], "203.0.113.9"),
        (&["203.0.113.9, 2001:db8:ffff::1"], "203.0.113.9"),
    ] {
        let header = ClientAddressHeader::XForwardedFor;
        assert_eq!(walk(header, "10.0.0.1", lines), Ok(client.to_owned()), "{lines:?}");
        assert_eq!(walk(header, "::ffff:10.0.0.1", lines), Ok(client.to_owned()), "{lines:?}");
    }
}

#[test]
fn what_cannot_be_told_is_refused() {
    for lines in [
        &[][..],
        &[""],
        &[" "],
        &["a"],
        &["unknown"],
        &["203.0.113.9, "],
        &["203.0.113.9:80, "],
        &[", "],
        &["203.0.113.9,,10.1.1.1"],
        &["203.0.113.9", ""],
        &["203.0.113"],
        &["203.0.113.009"],
        &["203.0.113.9.1"],
        &["0x7f.1"],
        &["203.0.113.9:"],
        &["203.0.113.9:65536"],
        &["203.0.113.9:+80"],
        &["203.0.113.9:80:80"],
        &["203.0.113.9 10.0.0.1"],
        &["fe80::1%eth0"],
        &["[fe80::1%25eth0]:80"],
        &["[2001:db8::9"],
        &["[2001:db8::9]443"],
        &["[2001:db8::9]:"],
        &["[203.0.113.9]"],
        &["\"203.0.113.9\""],
        &["0.0.0.0"],
        &["::"],
        &["::ffff:0.0.0.0"],
        &["203.0.113.9\0"],
        &["for=203.0.113.9"],
        // Only what is met counts, and this is.
        &["203.0.113.9, a, 10.1.1.1"],
    ] {
        let got = walk(ClientAddressHeader::XForwardedFor, "10.0.0.1", lines);
        assert_eq!(got, Err(RefusalCode::ClientAddress), "{lines:?}");
    }
    let bytes: &[&[u8]] = &[b"\xff\xfe"];
    assert!(proxies(ClientAddressHeader::XForwardedFor).client_address(ip("10.0.0.1"), bytes).is_err());
}

#[test]
fn forwarded_is_read_as_rfc_7239_says() {
    for (lines, client) in [
        (&["for=203.0.113.9"][..], Ok("203.0.113.9")),
        (&["For=203.0.113.9;proto=https;by=10.0.0.1"], Ok("203.0.113.9")),
        (&["proto=https; for=203.0.113.9 ; host=a.example"], Ok("203.0.113.9")),
        (&["for=\"[2001:db8:cafe::17]:4711\""], Ok("2001:db8:cafe::17")),
        (&["for=\"203.0.113.9:4711\""], Ok("203.0.113.9")),
        (&["for=203.0.113.9:4711"], Ok("203.0.113.9")),
        (&["for=\"203\\.0.113.9\""], Ok("203.0.113.9")),
        (&["for=1.1.1.1, for=203.0.113.9, for=10.1.1.1"], Ok("203.0.113.9")),
        (&["for=_hidden, for=203.0.113.9"], Ok("203.0.113.9")),
        (&["for=1.1.1.1", "for=203.0.113.9", "for=10.1.1.1"], Ok("203.0.113.9")),
        // A line that is not met is not read.
        (&["for=\"", "for=203.0.113.9"], Ok("203.0.113.9")),
        // A comma or a semicolon in quotes is no end.
        (&["host=\"a,b;c\";for=203.0.113.9"], Ok("203.0.113.9")),
        (&["for=203.0.113.9;host=\", for=1.1.1.1\""], Ok("203.0.113.9")),
        // A client tries to swallow what the proxy appends.
        (&["for=\"x, for=203.0.113.9"], Err(())),
        (&["for=\"x, for=\"[2001:db8::1]\""], Err(())),
        (&["for=1.1.1.1;x=\\, for=203.0.113.9"], Err(())),
        (&["for=1.1.1.1 for=203.0.113.9"], Err(())),
        (&["for=203.0.113.9;for=1.1.1.1"], Err(())),
        (&[""], Err(())),
        (&["for"], Err(())),
        (&["for="], Err(())),
        (&["=203.0.113.9"], Err(())),
        (&["for=unknown"], Err(())),
        (&["for=_hidden"], Err(())),
        (&["for=\"_hidden:80\""], Err(())),
        (&["proto=https"], Err(())),
        (&["for=203.0.113.9,"], Err(())),
        (&["for=[2001:db8::9]"], Err(())),
        (&["for=\"[fe80::1%25eth0]\""], Err(())),
        (&["for=\"203.0.113.9\\"], Err(())),
        (&["203.0.113.9"], Err(())),
    ] {
        let expect = client.map(str::to_owned).map_err(|()| RefusalCode::ClientAddress);
        assert_eq!(walk(ClientAddressHeader::Forwarded, "10.0.0.1", lines), expect, "{lines:?}");
    }
}

#[test]
fn the_walk_is_bounded() {
    let list = |hops: usize| {
        let mut all = vec!["203.0.113.9"];
        all.extend(std::iter::repeat_n("10.1.1.1", hops));
        all.join(", ")
    };
    let header = ClientAddressHeader::XForwardedFor;
    let longest = list(FORWARDED_HOPS_MAX - 1);
    assert_eq!(walk(header, "10.0.0.1", &[&longest]), Ok("203.0.113.9".to_owned()));
    assert_eq!(walk(header, "10.0.0.1", &[&list(FORWARDED_HOPS_MAX)]), Err(RefusalCode::ClientAddress));
    // What a client piles up on the left costs it nothing but its own bytes.
    let junk = ",".repeat(30_000) + "203.0.113.9";
    assert_eq!(walk(header, "10.0.0.1", &[&junk]), Ok("203.0.113.9".to_owned()));
}

#[test]
fn the_detail_tells_the_operator_and_repeats_nothing_that_a_stranger_wrote() {
    let refusal = proxies(ClientAddressHeader::XForwardedFor)
        .client_address(ip("10.0.0.1"), &[b"<script>alert(1)</script>, 10.1.1.1"])
        .unwrap_err();
    assert_eq!(
        refusal.detail,
        "the trusted proxy `10.1.1.1` sent a `x-forwarded-for` in which an element is not an IP address"
    );
}

#[test]
fn a_network_is_named_by_all_its_names() {
    let named = [
        ("corp", nets(&["10.0.0.0/8", "2001:db8:100::/40"])),
        ("berlin", nets(&["10.1.0.0/16", "10.1.0.0/24", "192.0.2.7/32"])),
        ("lab", nets(&["10.1.0.0/16"])),
        ("anywhere", nets(&["0.0.0.0/0"])),
        ("empty", nets(&[])),
    ];
    let named: BTreeMap<_, _> = named.into_iter().map(|(n, r)| (n.to_owned(), r)).collect();
    let named = NamedNetworks::new(&named);
    for (address, names) in [
        ("10.1.0.5", "anywhere berlin corp lab"),
        ("10.1.9.5", "anywhere berlin corp lab"),
        ("10.2.0.1", "anywhere corp"),
        ("::ffff:10.2.0.1", "anywhere corp"),
        ("192.0.2.7", "anywhere berlin"),
        ("192.0.2.8", "anywhere"),
        ("2001:db8:1ff::1", "corp"),
        ("2001:db8:200::1", ""),
        ("::1", ""),
    ] {
        let got: Vec<_> = named.containing(ip(address)).into_iter().collect();
        assert_eq!(got.join(" "), names, "{address}");
    }
    assert!(NamedNetworks::default().containing(ip("10.0.0.1")).is_empty());
}

proptest! {
    /// The table answers as asking every range one by one does.
    #[test]
    fn the_table_is_the_list(
        ranges in prop::collection::vec((any::<u32>(), 0_u8..=32), 0..40),
        wide in prop::collection::vec((any::<u128>(), 0_u8..=128), 0..40),
        pick in any::<prop::sample::Index>(),
        noise in any::<u8>(),
    ) {
        let v4 = ranges.iter().map(|(a, p)| IpNet::new(IpAddr::V4((*a).into()), *p).unwrap().trunc());
        let v6 = wide.iter().map(|(a, p)| IpNet::new(IpAddr::V6((*a).into()), *p).unwrap().trunc());
        let all: Vec<IpNet> = v4.chain(v6).collect();
        let table = RangeTable::new(all.iter().enumerate().map(|(i, net)| (*net, i)));
        // An address near a range, so that both answers occur.
        let near = if all.is_empty() { ip("192.0.2.1") } else { pick.get(&all).addr() };
        let probe = match near {
            IpAddr::V4(a) => IpAddr::V4((a.to_bits() ^ u32::from(noise)).into()),
            IpAddr::V6(a) => IpAddr::V6((a.to_bits() ^ u128::from(noise)).into()),
        };
        let mut got: Vec<usize> = table.containing(probe).copied().collect();
        got.sort_unstable();
        let expect: Vec<usize> =
            all.iter().enumerate().filter(|(_, net)| net.contains(&probe)).map(|(i, _)| i).collect();
        prop_assert_eq!(got, expect);
    }

    /// Whatever the header says, the answer is the peer's, an address that is in the header, or a
    /// refusal; and never a panic.
    #[test]
    fn hostile_headers_never_panic(
        lines in prop::collection::vec(
            prop::collection::vec(prop::sample::select(b"10.2,;:\"\\[]=%for abc\0\xff\t".to_vec()), 0..60),
            0..4,
        ),
        is_forwarded in any::<bool>(),
    ) {
        let header = if is_forwarded { ClientAddressHeader::Forwarded } else { ClientAddressHeader::XForwardedFor };
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let stranger = proxies(header).client_address(ip("198.51.100.7"), &lines);
        prop_assert_eq!(stranger, Ok(ip("198.51.100.7")));
        let _ = proxies(header).client_address(ip("10.0.0.1"), &lines);
    }

    /// What the proxy appends decides, whatever the client wrote before it.
    #[test]
    fn what_a_client_writes_never_changes_the_answer(
        junk in prop::collection::vec(any::<u8>(), 0..60),
        is_forwarded in any::<bool>(),
    ) {
        let (header, appended) = if is_forwarded {
            (ClientAddressHeader::Forwarded, &b", for=203.0.113.9"[..])
        } else {
            (ClientAddressHeader::XForwardedFor, &b", 203.0.113.9"[..])
        };
        let line = [&junk[..], appended].concat();
        match proxies(header).client_address(ip("10.0.0.1"), &[&line]) {
            Ok(client) => prop_assert_eq!(client, ip("203.0.113.9")),
            Err(refusal) => prop_assert!(is_forwarded, "{}", refusal),
        }
    }
}
