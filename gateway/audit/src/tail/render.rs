//! One line of the log as one line for a terminal.

use serde_json::Value;

/// How much of a line that is no event is shown, in characters.
const CORRUPT_CHARS_MAX: usize = 120;
/// How many policies a line names of those that came, went or changed.
const NAMES_MAX: usize = 5;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// With the colors of ECMA-48. The outcome is a word in any case.
    pub color: bool,
}

/// Which events are wanted. Every part must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only what was denied or cut off.
    pub deny: bool,
    /// Only of this person: the id `issuer:subject`, or the e-mail address.
    pub user: Option<String>,
    /// Only of this app.
    pub app: Option<String>,
}

impl Filter {
    /// Whether a line of the log is wanted. A line that is no event is always wanted: it must
    /// not be overlooked.
    #[must_use]
    pub fn admits(&self, line: &str) -> bool {
        self.judge(line) != Admitted::No
    }

    /// The same for bytes. Without a filter they are not even read.
    pub(super) fn admits_bytes(&self, line: &[u8]) -> bool {
        *self == Self::default() || self.admits(&String::from_utf8_lossy(line))
    }

    pub(super) fn judge(&self, line: &str) -> Admitted {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return Admitted::NoEvent };
        let code = text(&event, "/metadata/event_code");
        if code.is_empty() {
            return Admitted::NoEvent;
        }
        let denied = matches!(
            code,
            "access.request.denied"
                | "access.exchange.terminated"
                | "access.exchange.withdrawn"
                | "audit.refusals_summarized"
        ) || code.starts_with("revocation.");
        let of = |pointers: &[&str], wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|w| pointers.iter().any(|p| text(&event, p) == w))
        };
        let user = ["/actor/user/uid", "/actor/user/name", "/user/uid", "/unmapped/doorward/on_behalf_of"];
        let wanted = (!self.deny || denied)
            && of(&user, &self.user)
            && of(&["/dst_endpoint/svc_name", "/service/name"], &self.app);
        if wanted { Admitted::Yes } else { Admitted::No }
    }
}

/// What a filter says of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admitted {
    Yes,
    No,
    /// It is wanted, for it is no event, which must not be overlooked.
    NoEvent,
}

/// One line of the log, such as
/// `22:00:00.123 DENY alice@example.com GET payroll /runs BR geo-allow-list 143us req-7f1c`.
/// The time is UTC. Whatever could move the cursor or turn text around is made visible.
#[must_use]
pub fn render(line: &str, style: Style) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let event = match serde_json::from_str::<Value>(line) {
        Ok(event) if !text(&event, "/metadata/event_code").is_empty() => event,
        Ok(_) | Err(_) => {
            let start: String = line.chars().take(CORRUPT_CHARS_MAX).collect();
            let more = if start.len() < line.len() { "..." } else { "" };
            return format!("{} {}{more}", paint("CORRUPT", Color::Red, style), plain(&start));
        }
    };
    let mut words = vec![clock(&event)];
    let (outcome, color) = outcome(&event);
    words.push(paint(outcome, color, style));
    let code = text(&event, "/metadata/event_code");
    if code.starts_with("access.") {
        exchange(&event, &mut words);
    } else {
        words.push(plain(code));
        words.push(plain(text(&event, "/message")));
        policies(&event, &mut words);
        words.push(plain(text(&event, "/metadata/correlation_uid")));
    }
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

/// Of a change of policies: who, why, and what is another one now.
fn policies(event: &Value, words: &mut Vec<String>) {
    let Some(bundle) = event.pointer("/unmapped/doorward/bundle") else { return };
    let who = text(event, "/actor/user/name");
    if !who.is_empty() {
        words.push(format!("by {}", plain(who)));
    }
    for (sign, list) in
        [('+', "/difference/added"), ('-', "/difference/removed"), ('~', "/difference/changed")]
    {
        let names = bundle.pointer(list).and_then(Value::as_array);
        let names: Vec<&str> = names.into_iter().flatten().filter_map(Value::as_str).collect();
        let some = names.iter().take(NAMES_MAX).map(|name| format!("{sign}{}", plain(name)));
        words.extend(some);
        if names.len() > NAMES_MAX {
            words.push(format!("{sign}({} more)", names.len() - NAMES_MAX));
        }
    }
    let cause = text(bundle, "/cause");
    if !cause.is_empty() {
        words.push(format!("because: {}", plain(cause)));
    }
}

fn exchange(event: &Value, words: &mut Vec<String>) {
    let or = |a: &str, b: &str| {
        let first = text(event, a);
        plain(if first.is_empty() { text(event, b) } else { first })
    };
    let who = or("/actor/user/name", "/actor/user/uid");
    words.push(if who.is_empty() { "-".to_owned() } else { who });
    words.push(plain(text(event, "/http_request/http_method")));
    words.push(or("/dst_endpoint/svc_name", "/dst_endpoint/hostname"));
    words.push(plain(text(event, "/http_request/url/path")));
    words.push(plain(text(event, "/src_endpoint/location/country")));
    let decision = "/unmapped/doorward/decision";
    let policies: Vec<&str> = event
        .pointer(&format!("{decision}/determining"))
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let reason = text(event, &format!("{decision}/reason_code"));
    words.push(plain(&if policies.is_empty() { reason.to_owned() } else { policies.join(",") }));
    let how = text(event, "/unmapped/doorward/ending/how");
    if !matches!(how, "" | "completed") {
        words.push(plain(how));
    }
    if let Some(latency) = event.pointer(&format!("{decision}/latency_us")).and_then(Value::as_u64) {
        words.push(format!("{latency}us"));
    }
    if let Some(stale) = event.pointer(&format!("{decision}/stale_ms")).and_then(Value::as_u64) {
        words.push(format!("stale by {stale}ms"));
    }
    words.push(plain(text(event, "/metadata/correlation_uid")));
}

#[derive(Clone, Copy)]
enum Color {
    Red,
    Green,
    Yellow,
    Blue,
}

fn outcome(event: &Value) -> (&'static str, Color) {
    match text(event, "/metadata/event_code") {
        "access.request.allowed" => ("ALLOW", Color::Green),
        "access.request.denied" => ("DENY", Color::Red),
        "access.exchange.ended" => ("END", Color::Green),
        "access.exchange.terminated" => ("KILL", Color::Red),
        "access.exchange.withdrawn" => ("STOP", Color::Red),
        "control_debt.opened" => ("DEBT", Color::Yellow),
        code if code.starts_with("revocation.") => ("REVOKE", Color::Yellow),
        _ if event.pointer("/status_id").and_then(Value::as_u64) == Some(1) => ("OK", Color::Blue),
        _ => ("FAIL", Color::Red),
    }
}

fn paint(word: &str, color: Color, style: Style) -> String {
    if !style.color {
        return word.to_owned();
    }
    let code = match color {
        Color::Red => 31,
        Color::Green => 32,
        Color::Yellow => 33,
        Color::Blue => 34,
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m")
}

fn clock(event: &Value) -> String {
    let time = event.pointer("/time").and_then(Value::as_i64);
    let time = time.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map_or_else(|| "??:??:??.???".to_owned(), |t| t.strftime("%H:%M:%S.%3f").to_string())
}

fn text<'a>(event: &'a Value, pointer: &str) -> &'a str {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Escapes whatever a terminal would not simply show: control characters of C0 and C1, line
/// separators, and what changes the direction of writing or has no width.
fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{061c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}
