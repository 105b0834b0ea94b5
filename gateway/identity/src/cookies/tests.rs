use super::*;

const NAME: &str = "__Host-doorward-session";

fn read<'a>(lines: &[&'a [u8]]) -> Result<Option<&'a str>, RefusalCode> {
    ours(lines.iter().copied(), NAME).map_err(|refusal| refusal.code)
}

#[test]
fn s19_our_cookie_is_found_among_others_and_nothing_else_is_taken_for_it() {
    for (lines, want) in [
        (&[&b"__Host-doorward-session=v"[..]][..], Some("v")),
        (&[b"a=1; __Host-doorward-session=v; b=2"], Some("v")),
        (&[b"a=1", b"__Host-doorward-session=v", b"b=2"], Some("v")),
        (&[b"a=1;__Host-doorward-session=v;b"], Some("v")),
        (&[b"  __Host-doorward-session = v\t; ;; "], Some("v")),
        (&[b"__Host-doorward-session=v=w"], Some("v=w")),
        (&[b"__Host-doorward-session="], Some("")),
        (&[b"__Host-doorward-session=\"v\""], Some("\"v\"")),
        (&[b"__Host-doorward-session=v\xff"], Some("")),
        // Not ours: another case, another prefix, a part of the name, a value that looks like us, no name at all.
        (&[b"__host-doorward-session=v; __HOST-DOORWARD-SESSION=v"], None),
        (&[b"doorward-session=v; __Secure-doorward-session=v"], None),
        (&[b"__Host-doorward-session2=v; x__Host-doorward-session=v"], None),
        (&[b"a=__Host-doorward-session=v; =__Host-doorward-session=v"], None),
        (&[b"a=\"; __Host-doorward-sessio=v\""], None),
        (&[b"__Host-doorward-session"], None),
        (&[b"__Host-doorward%2Dsession=v"], None),
        (&[b"", b";", b"="], None),
        (&[], None),
    ] {
        let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
        assert_eq!(read(lines), Ok(want), "{shown:?}");
    }
}

/// A host beside ours can set a cookie for the whole domain in an old browser: then there are two, and no telling.
#[test]
fn s19_two_of_our_name_are_refused_wherever_they_stand() {
    for lines in [
        &[&b"__Host-doorward-session=v; __Host-doorward-session=w"[..]][..],
        &[b"__Host-doorward-session=v; __Host-doorward-session=v"],
        &[b"__Host-doorward-session=v", b"a=1; __Host-doorward-session=w"],
        &[b"__Host-doorward-session=; __Host-doorward-session =w"],
        &[b"a=\"__Host-doorward-session=x; __Host-doorward-session=v\"; __Host-doorward-session=w"],
    ] {
        assert_eq!(read(lines), Err(RefusalCode::BadRequest));
    }
    let refusal =
        ours([&b"__Host-doorward-session=s3cret; __Host-doorward-session=x"[..]], NAME).unwrap_err();
    assert!(
        refusal.reason.as_ref().is_some_and(|reason| reason.contains("Clear the cookies")),
        "{refusal:?}"
    );
    assert!(!format!("{refusal:?}").contains("s3cret"), "{refusal:?}");
}

#[test]
fn s19_a_thousand_cookies_and_64_kib_are_refused_at_once() {
    let thousand = "a=1; ".repeat(1000);
    assert_eq!(read(&[thousand.as_bytes()]), Err(RefusalCode::HeaderTooLarge));
    let lines = vec![&b"a=1"[..]; 1000];
    assert_eq!(read(&lines), Err(RefusalCode::HeaderTooLarge));
    let long = format!("a={}", "x".repeat(64 * 1024));
    assert_eq!(read(&[long.as_bytes()]), Err(RefusalCode::HeaderTooLarge));
    assert_eq!(read(&[&b";".repeat(COOKIES_MAX)]), Err(RefusalCode::HeaderTooLarge));
    let usual = format!("{}{NAME}=v", "a=1; ".repeat(COOKIES_MAX - 1));
    assert_eq!(read(&[usual.as_bytes()]), Ok(Some("v")));
}

#[test]
fn cookies_that_begin_so_come_in_their_order_and_none_twice() {
    let of =
        |line: &'static str| beginning([line.as_bytes()], "__Host-doorward-attempt-").map_err(|r| r.code);
    assert_eq!(
        of("__Host-doorward-attempt-b=2; a=1; __Host-doorward-attempt-a=1; __Host-doorward-attempt=0"),
        Ok(vec![("b", "2"), ("a", "1")])
    );
    assert_eq!(of("__Host-doorward-attempt-=1"), Ok(vec![]));
    assert_eq!(of("__Host-doorward-attempt-a=1; __Host-doorward-attempt-a=2"), Err(RefusalCode::BadRequest));
}

/// What RFC 6265bis §4.1.3.2 asks of the prefix, or browsers throw the cookie away.
#[test]
fn what_we_set_is_of_one_host() {
    assert_eq!(
        set_cookie(NAME, "v", None),
        "__Host-doorward-session=v; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    let brief = set_cookie(NAME, "v", Some(Duration::from_secs(600)));
    assert_eq!(brief, "__Host-doorward-session=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600");
    let gone = clear_cookie(NAME);
    assert_eq!(gone, "__Host-doorward-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
}
