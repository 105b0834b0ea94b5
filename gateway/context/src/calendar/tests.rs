use super::*;

/// What the wall shows, as `mon 07:30:00`.
fn wall(zone: &str, instant: &str) -> String {
    let at: Timestamp = instant.parse().unwrap();
    let moment = Calendar::new(zone).unwrap().moment(UnixMillis(at.as_millisecond()));
    let s = moment.local_time.as_secs();
    format!("{} {:02}:{:02}:{:02}", moment.weekday.as_str(), s / 3600, s / 60 % 60, s % 60)
}

#[test]
fn the_wall_shows_local_time() {
    for (zone, instant, shown) in [
        ("UTC", "2026-11-21T05:00:00Z", "sat 05:00:00"),
        ("Europe/Berlin", "2026-11-21T05:00:00Z", "sat 06:00:00"),
        ("europe/berlin", "2026-07-21T05:00:00Z", "tue 07:00:00"),
        // Another day there.
        ("Pacific/Auckland", "2026-11-21T12:00:00Z", "sun 01:00:00"),
        ("America/Los_Angeles", "2026-11-21T05:00:00Z", "fri 21:00:00"),
        ("Asia/Kolkata", "2026-11-21T05:00:00Z", "sat 10:30:00"),
        ("UTC", "1969-12-31T23:59:59Z", "wed 23:59:59"),
        // Spring in Berlin: 01:59:59 is followed by 03:00:00.
        ("Europe/Berlin", "2026-03-29T00:59:59Z", "sun 01:59:59"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z", "sun 03:00:00"),
        ("Europe/Berlin", "2026-03-29T05:00:00Z", "sun 07:00:00"),
        // Autumn: 02:30 comes twice, and 07:00 is what the clock shows, not seven hours later.
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "sun 02:30:00"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", "sun 02:30:00"),
        ("Europe/Berlin", "2026-10-25T06:00:00Z", "sun 07:00:00"),
        // In Santiago the clocks change at midnight: the day begins at 01:00.
        ("America/Santiago", "2026-09-06T04:00:00Z", "sun 01:00:00"),
    ] {
        assert_eq!(wall(zone, instant), shown, "{zone} {instant}");
    }
}

#[test]
fn milliseconds_are_kept_and_a_day_is_never_longer_than_a_day() {
    let utc = Calendar::utc();
    assert_eq!(utc.moment(UnixMillis(86_399_999)).local_time, Duration::from_millis(86_399_999));
    assert_eq!(utc.moment(UnixMillis(-1)).local_time, Duration::from_millis(86_399_999));
    for extreme in [i64::MIN, i64::MAX] {
        assert!(utc.moment(UnixMillis(extreme)).local_time < Duration::from_secs(86_400));
        assert_eq!(utc.moment(UnixMillis(extreme)).now, UnixMillis(extreme));
    }
}

#[test]
fn a_week_has_seven_words() {
    // 2026-11-16 is a Monday.
    let monday: Timestamp = "2026-11-16T12:00:00Z".parse().unwrap();
    for (i, day) in Weekday::ALL.into_iter().enumerate() {
        let then = UnixMillis(monday.as_millisecond() + i64::try_from(i).unwrap() * 86_400_000);
        assert_eq!(Calendar::utc().moment(then).weekday, day);
    }
}

#[test]
fn a_wrong_zone_gets_a_suggestion() {
    for (wrong, similar) in [
        ("Europe/Berlln", Some("Europe/Berlin")),
        ("Berlin", Some("Europe/Berlin")),
        ("Europe/New York", Some("America/New_York")),
        ("America/New York", Some("America/New_York")),
        ("New York", Some("America/New_York")),
        ("US/Pacifc", Some("US/Pacific")),
        ("", None),
        ("qqqqqqqqqq", None),
        ("../../etc/passwd", None),
    ] {
        assert_eq!(Calendar::new(wrong).unwrap_err().similar.as_deref(), similar, "{wrong}");
    }
    assert!(Calendar::new(&"é".repeat(1000)).is_err());
    assert_eq!(Calendar::new("Europe/Berlin").unwrap().zone_name(), "Europe/Berlin");
    assert_eq!(Calendar::utc().zone_name(), "UTC");
}
