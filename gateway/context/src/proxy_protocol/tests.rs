use proptest::prelude::*;

use super::*;

/// A header from its parts.
fn header(version_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[version_command, family], &length, payload].concat()
}

const V4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0x01, 0xbb];

fn v6(source: &str) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().unwrap();
    let destination: Ipv6Addr = "2001:db8::1".parse().unwrap();
    [&source.octets()[..], &destination.octets(), &[0x12, 0x67, 0x01, 0xbb]].concat()
}

fn source_of(bytes: &[u8]) -> String {
    match parse(bytes).unwrap() {
        Progress::Complete(ProxyHeader { origin: Origin::Proxied { source, .. }, .. }) => source.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn tcp_over_both_families() {
    let bytes = header(0x21, 0x11, &V4);
    let expect = ProxyHeader {
        origin: Origin::Proxied {
            source: "203.0.113.9:4711".parse().unwrap(),
            destination: "10.0.0.1:443".parse().unwrap(),
        },
        len: 28,
    };
    assert_eq!(parse(&bytes), Ok(Progress::Complete(expect)));
    assert_eq!(source_of(&header(0x21, 0x21, &v6("2001:db8::9"))), "[2001:db8::9]:4711");
    assert_eq!(source_of(&header(0x21, 0x21, &v6("::ffff:203.0.113.9"))), "203.0.113.9:4711");
}

#[test]
fn extensions_are_skipped_and_what_follows_is_left_alone() {
    let with_tlv = [&V4[..], &[0x01, 0, 2, b'h', b'2', 0x04, 0, 3, 0, 0, 0]].concat();
    let mut bytes = header(0x21, 0x11, &with_tlv);
    let len = bytes.len();
    bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
    assert_eq!(source_of(&bytes), "203.0.113.9:4711");
    assert!(matches!(parse(&bytes), Ok(Progress::Complete(h)) if h.len == len));
}

#[test]
fn a_local_connection_is_the_proxys_own_whatever_else_it_says() {
    for (family, payload) in [(0x00, &[][..]), (0x11, &V4), (0x11, &[1, 2]), (0x31, &[0; 216]), (0xff, &[9])]
    {
        let bytes = header(0x20, family, payload);
        let expect = ProxyHeader { origin: Origin::Local, len: bytes.len() };
        assert_eq!(parse(&bytes), Ok(Progress::Complete(expect)));
    }
}

#[test]
fn a_header_that_arrives_byte_by_byte_is_the_same_header() {
    let bytes = header(0x21, 0x21, &[&v6("2001:db8::9")[..], &[0x04, 0, 1, 0]].concat());
    for n in 0..bytes.len() {
        match parse(&bytes[..n]) {
            Ok(Progress::NeedsMore { bytes_min }) => assert!(bytes_min > n && bytes_min <= bytes.len()),
            other => panic!("after {n} bytes: {other:?}"),
        }
    }
    assert_eq!(source_of(&bytes), "[2001:db8::9]:4711");
}

#[test]
fn what_is_not_a_header_is_refused() {
    use ProxyProtocolError as E;
    let mut spoiled = header(0x21, 0x11, &V4);
    spoiled[11] = b'\r';
    for (bytes, why) in [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n".to_vec(), E::Version1),
        (b"PROXY ".to_vec(), E::Version1),
        (b"POST / HTTP/1.1\r\n".to_vec(), E::NoSignature),
        (b"GET / HTTP/1.1\r\n".to_vec(), E::NoSignature),
        (b"G".to_vec(), E::NoSignature),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00".to_vec(), E::NoSignature),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), E::NoSignature),
        (spoiled, E::NoSignature),
        (header(0x11, 0x11, &V4), E::Version(1)),
        (header(0x31, 0x11, &V4), E::Version(3)),
        (header(0x22, 0x11, &V4), E::Command(2)),
        (header(0x2f, 0x11, &V4), E::Command(15)),
        // A client is forwarded, and nobody says which.
        (header(0x21, 0x00, &[]), E::Family(0x00)),
        (header(0x21, 0x31, &[0; 216]), E::Family(0x31)),
        (header(0x21, 0x12, &V4), E::Family(0x12)),
        (header(0x21, 0x22, &v6("2001:db8::9")), E::Family(0x22)),
        (header(0x21, 0x41, &V4), E::Family(0x41)),
        (header(0x21, 0x11, &V4[..11]), E::TooShort),
        (header(0x21, 0x11, &[]), E::TooShort),
        (header(0x21, 0x21, &V4), E::TooShort),
        (header(0x21, 0x11, &[0; 521]), E::TooLong { bytes: 537 }),
    ] {
        assert_eq!(parse(&bytes), Err(why), "{bytes:?}");
    }
    let longest = [&V4[..], &[0; 508]].concat();
    assert_eq!(source_of(&header(0x21, 0x11, &longest)), "203.0.113.9:4711");
    // The announced length is enough to refuse: nobody waits for the rest.
    assert_eq!(
        parse(&[&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat()),
        Err(E::TooLong { bytes: 65_551 })
    );
}

proptest! {
    /// Any bytes after a signature get an answer, and a longer read never takes back an error.
    #[test]
    fn an_error_stands(tail in prop::collection::vec(any::<u8>(), 0..80), has_signature in any::<bool>()) {
        let start = if has_signature { &SIGNATURE[..] } else { &[] };
        let bytes = [start, &tail].concat();
        let mut failed = None;
        for n in 0..=bytes.len() {
            let got = parse(&bytes[..n]);
            if let Some(why) = failed {
                prop_assert_eq!(got, Err(why));
            }
            match got {
                Ok(Progress::Complete(h)) => { prop_assert!(h.len <= n); break }
                Ok(Progress::NeedsMore { bytes_min }) => prop_assert!(bytes_min > n),
                Err(why) => failed = Some(why),
            }
        }
    }
}
