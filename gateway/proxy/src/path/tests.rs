use proptest::prelude::*;

use super::*;
use PathFault::*;

#[test]
fn one_reading_or_none() {
    let cases: &[(&str, Result<&str, PathFault>)] = &[
        ("/", Ok("/")),
        ("/a/b", Ok("/a/b")),
        ("/a/b/", Ok("/a/b/")),
        ("/%61%7e", Ok("/a~")),
        ("/caf%c3%a9", Ok("/caf%C3%A9")),
        ("/100%25", Ok("/100%25")),
        ("/a%20b", Ok("/a%20b")),
        ("/%40admin", Ok("/@admin")),
        ("/jobs%3adelete", Ok("/jobs:delete")),
        ("/Users%281%29", Ok("/Users(1)")),
        ("/%21%24%26%27%28%29%2a%2C%3D%3A%40", Ok("/!$&'()*,=:@")),
        ("/c%2b%2b", Ok("/c%2B%2B")),
        ("/c++", Ok("/c++")),
        ("/100%25%zz", Err(BadEscape)),
        ("/%25%36%31dmin", Err(DoubleEscape)),
        ("/a%252%66x", Err(DoubleEscape)),
        ("/a%25%32f", Err(DoubleEscape)),
        ("/a%25%32%66..%25%32%66admin", Err(DoubleEscape)),
        ("/%25%2541", Err(DoubleEscape)),
        ("/%25%34g", Ok("/%254g")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/...", Ok("/...")),
        ("a", Err(NotAbsolute)),
        ("*", Err(NotAbsolute)),
        ("", Err(NotAbsolute)),
        ("/public/../admin", Err(DotSegment)),
        ("/%2e%2e/admin", Err(DotSegment)),
        ("/.%2E/admin", Err(DotSegment)),
        ("/a/.", Err(DotSegment)),
        ("/%252e%252e/", Err(DoubleEscape)),
        ("/%2f", Err(EscapedSeparator)),
        ("/%5C", Err(EscapedSeparator)),
        ("/%00", Err(EscapedSeparator)),
        ("/a%0d%0ab", Err(BadByte)),
        ("/a%7f", Err(BadByte)),
        ("/%23", Err(Delimiter)),
        ("/%3f", Err(Delimiter)),
        ("/%3b", Err(Delimiter)),
        ("/..;a=b/x", Err(Delimiter)),
        ("/x;jsessionid=1", Err(Delimiter)),
        ("//a", Err(EmptySegment)),
        ("/a//b", Err(EmptySegment)),
        ("/a\\b", Err(BadByte)),
        ("/a b", Err(BadByte)),
        ("/a#b", Err(BadByte)),
        ("/a?b", Err(BadByte)),
        ("/\u{e9}", Err(BadByte)),
        ("/%zz", Err(BadEscape)),
        ("/%4", Err(BadEscape)),
        ("/%", Err(BadEscape)),
        ("/%c0%ae%c0%ae/", Err(NotUtf8)),
        ("/%ff", Err(NotUtf8)),
    ];
    for (raw, expected) in cases {
        let got = NormalPath::new(raw, false);
        assert_eq!(got.as_ref().map(NormalPath::as_str).map_err(|e| *e), *expected, "{raw:?}");
    }
}

#[test]
fn a_lenient_app_still_has_no_hidden_dots() {
    for ok in ["/x;jsessionid=1", "/C%23", "/what%3F", "/a%3Bb", "/50%2541"] {
        assert!(NormalPath::new(ok, true).is_ok(), "{ok}");
    }
    for bad in ["/..;a=b/x", "/..%3Ba/x", "/.;/x", "/%252e%252e/x", "/%2e%252e/x", "/%2f", "/%00"] {
        assert!(NormalPath::new(bad, true).is_err(), "{bad}");
    }
}

/// Texts that have what escapes are made of, close together, and little else.
fn raw_path() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => proptest::sample::select(vec![
            "%25", "%", "2", "5", "4", "1", "6", "f", "e", "%32", "%35", "%36", "%31", "%66", "%65", "%2e",
            "%2F", "%2f", "%5c", "%3b", ";", "%3F", "%23", "%40", "@", "%2B", "+", ".", "..", "/", "//", "a",
            "A", "%c3%a9", "%C3", "%00", "%20", "admin",
        ]).prop_map(str::to_owned),
        1 => (0_u8..=255).prop_map(|b| format!("%{b:02x}")),
        1 => (0_u8..=255).prop_map(|b| format!("%25%{b:02X}")),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_normal_form_is_a_fixed_point_and_means_the_same(raw in raw_path(), lenient: bool) {
        let Ok(once) = NormalPath::new(&raw, lenient) else { return Ok(()) };
        prop_assert_eq!(&NormalPath::new(once.as_str(), lenient), &Ok(once.clone()));
        prop_assert_eq!(decode(once.as_str()), decode(&raw));
    }

    #[test]
    fn a_strict_path_reads_the_same_when_it_is_decoded_twice(raw in raw_path()) {
        let Ok(path) = NormalPath::new(&raw, false) else { return Ok(()) };
        let once = decode(path.as_str());
        prop_assert_eq!(decode(&once), once.clone());
        prop_assert!(!once.contains([';', '?', '#', '\\', '\0']), "{}", once);
    }

    #[test]
    fn no_reading_of_a_lenient_path_climbs(raw in raw_path()) {
        let Ok(path) = NormalPath::new(&raw, true) else { return Ok(()) };
        for reading in path.readings(true).into_iter().flatten() {
            prop_assert!(!reading.split('/').any(|s| s == "." || s == ".."), "{}", reading);
        }
    }
}

#[test]
fn a_lenient_path_has_every_reading_that_a_server_could_have() {
    for (raw, reading) in [
        ("/admin;x=1/users", "/admin/users"),
        ("/admin%3Fx", "/admin"),
        ("/admin%23", "/admin"),
        ("/%2561dmin", "/admin"),
        ("/%252561dmin", "/admin"),
        ("/admin%253Bx/y", "/admin/y"),
        ("/admin%253Fx", "/admin"),
        ("/a%252fb", "/a/b"),
        ("/a%255cb", "/a/b"),
        ("/x;/b", "/x/b"),
    ] {
        let readings = NormalPath::new(raw, true).unwrap().readings(true).unwrap();
        assert!(readings.contains(reading), "{raw}: {readings:?}");
    }
    for (raw, fault) in [
        ("/a%252f..%252fadmin", DotSegment),
        ("/a/;x/b", EmptySegment),
        ("/a%2500", EscapedSeparator),
        ("/%25252561", DoubleEscape),
    ] {
        let path = NormalPath::new(raw, true).unwrap();
        assert_eq!(path.readings(true), Err(fault), "{raw}");
    }
}

#[test]
fn letters_that_any_server_takes_for_the_same_fold_to_the_same() {
    for text in ["/ADMIN", "/Admin", "/admin"] {
        assert_eq!(fold_case(text), "/admin");
    }
    assert_eq!(fold_case("/\u{c9}"), fold_case("/\u{e9}"));
    assert_eq!(fold_case("/\u{212a}\u{17f}"), "/ks");
}

#[test]
fn prefixes_end_at_segments() {
    let p = NormalPath::new("/admin/x", false).unwrap();
    assert!(p.is_under("/") && p.is_under("/admin") && p.is_under("/admin/"));
    assert!(!p.is_under("/adm") && !p.is_under("/admin/x/y"));
    assert!(NormalPath::new("/admin", false).unwrap().is_under("/admin/"));
}
