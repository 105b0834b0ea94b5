//! Random policies: every form of a scope, and conditions over every type of the schema.

use super::chance::Chance;

pub(crate) const ROLES: [&str; 3] = ["r0", "r1", "r2"];
pub(crate) const GROUPS: [&str; 2] = ["g0", "g1"];
pub(crate) const APP_GROUPS: [&str; 2] = ["s0", "s1"];
pub(crate) const COUNTRIES: [&str; 5] = ["DE", "FR", "US", "KP", "ZZ"];
pub(crate) const STAGES: [&str; 4] = ["active", "leave", "suspended", "unknown"];
pub(crate) const ZONES: [&str; 3] = ["corp", "vpn", "lab"];
/// Host names, paths, scopes, departments, tags: few, so that they meet.
pub(crate) const TEXTS: [&str; 6] = ["", "a", "b", "ab", "/a/b", "a*é\\\"x"];
pub(crate) const NUMBERS: [i64; 9] = [0, 1, -1, 30, 70, 100, i64::MAX, i64::MIN + 1, 1 << 40];
pub(crate) const DURATIONS: [&str; 7] = ["0s", "1ms", "15m", "-1h", "12h", "365d", "106751991167d"];
pub(crate) const MOMENTS: [&str; 5] = [
    "1970-01-01",
    "2026-03-04T10:00:00Z",
    "2026-03-04T23:59:59.999Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
];
pub(crate) const ADDRESSES: [&str; 6] =
    ["10.0.0.1", "192.0.2.7", "127.0.0.1", "224.0.0.1", "::1", "2001:db8::7"];
const NETWORKS: [&str; 5] = ["10.0.0.0/8", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::/32", "::/0"];
const COMPARISONS: [&str; 6] = ["<", "<=", ">", ">=", "==", "!="];
const EQUALITIES: [&str; 2] = ["==", "!="];

/// Whom the conditions of a policy may ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Anybody: what only some have is asked for after `principal is …`.
    Any,
    User,
    ServiceAccount,
    Agent,
    Visitor,
}

/// A policy.
///
/// `wild`: the validator would refuse some of what is written, which plain Cedar evaluates all the same, or
/// fails to.
pub(crate) fn policy(chance: &mut Chance, wild: bool) -> String {
    let effect = if chance.below(5) < 3 { "permit" } else { "forbid" };
    let (principal, kind) = principal_scope(chance, wild);
    let (action, resource) = (action_scope(chance), resource_scope(chance, wild));
    let mut pen = Pen { kind, wild, chance };
    let mut clauses = String::new();
    for _ in 0..pen.chance.of(&[0, 1, 1, 1, 2]) {
        let word = pen.chance.of(&["when", "unless"]);
        let depth = pen.chance.of(&[0, 1, 2, 3]);
        clauses += &format!(" {word} {{ {} }}", pen.truth(depth));
    }
    format!("{effect} ({principal}, {action}, {resource}){clauses};")
}

fn principal_scope(chance: &mut Chance, wild: bool) -> (String, Kind) {
    let above = |chance: &mut Chance| match chance.below(6) {
        0..3 => format!("Role::\"{}\"", chance.of(&ROLES)),
        3..5 => format!("Group::\"{}\"", chance.of(&GROUPS)),
        _ => format!("User::\"corp:u{}\"", chance.below(3)),
    };
    match chance.below(if wild { 12 } else { 10 }) {
        0 | 1 => ("principal".into(), Kind::Any),
        2 => (format!("principal in {}", above(chance)), Kind::User),
        3 => (format!("principal is User in {}", above(chance)), Kind::User),
        4 => (format!("principal == User::\"corp:u{}\"", chance.below(3)), Kind::User),
        5 | 6 => ("principal is User".into(), Kind::User),
        7 => ("principal is ServiceAccount".into(), Kind::ServiceAccount),
        8 => ("principal is Agent".into(), Kind::Agent),
        9 if chance.coin() => ("principal is Visitor".into(), Kind::Visitor),
        9 => ("principal == Visitor::\"anyone\"".into(), Kind::Visitor),
        10 => ("principal is Role".into(), Kind::Any),
        _ => (format!("principal is Agent in {}", above(chance)), Kind::Agent),
    }
}

fn action_scope(chance: &mut Chance) -> String {
    const ACTIONS: [&str; 8] = ["GET", "HEAD", "POST", "DELETE", "UPGRADE", "read", "write", "access"];
    let name = |a: &str| format!("Action::\"{a}\"");
    match chance.below(5) {
        0 | 1 => "action".into(),
        2 => format!("action == {}", name(chance.of(&ACTIONS[..5]))),
        3 => format!("action in {}", name(chance.of(&ACTIONS))),
        _ => {
            let list: Vec<_> = chance.any(&ACTIONS).into_iter().map(name).collect();
            format!("action in [{}]", list.join(", "))
        }
    }
}

fn resource_scope(chance: &mut Chance, wild: bool) -> String {
    let above = |chance: &mut Chance| match chance.below(5) {
        0 | 1 => format!("App::\"a{}\"", chance.below(2)),
        2 | 3 => format!("AppGroup::\"{}\"", chance.of(&APP_GROUPS)),
        _ => route(chance),
    };
    match chance.below(if wild { 9 } else { 8 }) {
        0..3 => "resource".into(),
        3 => format!("resource == {}", route(chance)),
        4 | 5 => format!("resource in {}", above(chance)),
        6 => "resource is Route".into(),
        7 => format!("resource is Route in {}", above(chance)),
        _ => "resource is App".into(),
    }
}

fn route(chance: &mut Chance) -> String {
    format!("Route::\"a{}/r{}\"", chance.below(2), chance.below(3))
}

/// A text as a literal of Cedar.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Writes expressions of a wanted type.
struct Pen<'a> {
    kind: Kind,
    wild: bool,
    chance: &'a mut Chance,
}

impl Pen<'_> {
    /// An expression that is true or false.
    fn truth(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.fact();
        }
        let depth = depth - 1;
        match self.chance.below(12) {
            0 | 1 => format!("({} && {})", self.truth(depth), self.truth(depth)),
            2 | 3 => format!("({} || {})", self.truth(depth), self.truth(depth)),
            4 => format!("!({})", self.truth(depth)),
            5 => format!("(if {} then {} else {})", self.truth(depth), self.truth(depth), self.truth(depth)),
            _ => self.comparison(depth),
        }
    }

    /// What is true or false by itself.
    fn fact(&mut self) -> String {
        let facts = [
            "true",
            "false",
            "context.session.mfa",
            "context.session.phishingResistant",
            "context.session.known",
            "context.geo.anonymizer",
            "context.geo.anonymizerKnown",
            "context.device.managed",
            "context.device.compliant",
            "context.device.ownerMatches",
            "context.risk.known",
            "context.granted",
            "resource.adminSurface",
            "resource.public",
            "context.geo has asn",
            "context has granted",
            "context.http has userAgent",
        ];
        let wild = [
            "principal.department == \"a\"",
            "principal.scopes.contains(\"a\")",
            "principal.lifecycle == Lifecycle::\"active\"",
            "context.http.userAgent like \"a*\"",
            "context.geo.asn > 0",
            "principal.getTag(\"a\") == \"a\"",
            "resource.nothing",
            "context.risk.score == \"a\"",
            "[1, \"a\"].contains(context.risk.score)",
            "User::\"corp:nobody\".lifecycle == Lifecycle::\"active\"",
        ];
        if self.wild && self.chance.one_in(4) { self.chance.of(&wild) } else { self.chance.of(&facts) }.into()
    }

    fn comparison(&mut self, depth: u32) -> String {
        let (compare, equal) = (self.chance.of(&COMPARISONS), self.chance.of(&EQUALITIES));
        match self.chance.below(18) {
            0 | 1 => format!("{} {compare} {}", self.number(depth), self.number(depth)),
            2 => format!("{} {compare} {}", self.duration(depth), self.duration(depth)),
            3 => format!("{} {compare} {}", self.moment(depth), self.moment(depth)),
            4 => format!("{} {equal} {}", self.text(depth), self.text(depth)),
            5 => {
                let pattern = self.chance.of(&["*", "a*", "*b", "*a*b*", "a\\*é*", ""]);
                format!("{} like \"{pattern}\"", self.text(depth))
            }
            6 => {
                let verb = self.chance.of(&["containsAll", "containsAny"]);
                format!("{}.{verb}({})", self.texts(depth), self.texts(depth))
            }
            7 => format!("{}.contains({})", self.texts(depth), self.text(depth)),
            8 => format!("{}.isEmpty()", self.texts(depth)),
            9 => {
                let verb = self.chance.of(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"]);
                format!("{}.{verb}()", self.address())
            }
            10 => {
                let network = self.chance.of(&NETWORKS);
                format!("{}.isInRange(ip(\"{network}\"))", self.address())
            }
            11 => self.word(),
            12 | 13 => self.place_in_hierarchy(),
            14 => self.optional(depth),
            15 => self.only_some(depth),
            16 => format!("{{a: {}, b: 1}}.a", self.truth(depth)),
            _ => {
                let (verb, small, large) = (
                    self.chance.of(&["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]),
                    self.chance.of(&["0.0", "-1.5"]),
                    self.chance.of(&["0.0001", "922337203685477.5807"]),
                );
                format!("decimal(\"{small}\").{verb}(decimal(\"{large}\"))")
            }
        }
    }

    fn number(&mut self, depth: u32) -> String {
        if depth == 0 {
            return match self.chance.below(3) {
                0 => format!("({})", self.chance.of(&NUMBERS)),
                _ => "context.risk.score".into(),
            };
        }
        let depth = depth - 1;
        match self.chance.below(8) {
            0..3 => {
                let operator = self.chance.of(&["+", "-", "*"]);
                format!("({} {operator} {})", self.number(depth), self.number(depth))
            }
            3 => format!("(-{})", self.number(depth)),
            4 => {
                format!("(if {} then {} else {})", self.truth(depth), self.number(depth), self.number(depth))
            }
            5 => {
                let verb = self.chance.of(&["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"]);
                format!("{}.{verb}()", self.duration(depth))
            }
            6 => "(if context.geo has asn then context.geo.asn else 0)".into(),
            _ => self.number(0),
        }
    }

    fn duration(&mut self, depth: u32) -> String {
        match self.chance.below(if depth == 0 { 5 } else { 7 }) {
            0 => format!("duration(\"{}\")", self.chance.of(&DURATIONS)),
            1 => "context.session.age".into(),
            2 => "context.session.mfaAge".into(),
            3 => "context.device.postureAge".into(),
            4 => "context.time.localTime".into(),
            5 => format!("{}.toTime()", self.moment(depth - 1)),
            _ => format!("{}.durationSince({})", self.moment(depth - 1), self.moment(depth - 1)),
        }
    }

    fn moment(&mut self, depth: u32) -> String {
        match self.chance.below(if depth == 0 { 3 } else { 6 }) {
            0 => format!("datetime(\"{}\")", self.chance.of(&MOMENTS)),
            1 | 2 => "context.time.now".into(),
            3 => format!("{}.toDate()", self.moment(depth - 1)),
            _ => format!("{}.offset({})", self.moment(depth - 1), self.duration(depth - 1)),
        }
    }

    fn text(&mut self, depth: u32) -> String {
        match self.chance.below(if depth == 0 { 5 } else { 7 }) {
            0 | 1 => quoted(self.chance.of(&TEXTS)),
            2 => "context.http.host".into(),
            3 => "context.http.path".into(),
            4 => "resource.scope".into(),
            5 => "(if context.http has userAgent then context.http.userAgent else \"a\")".into(),
            _ => format!("(if {} then {} else {})", self.truth(depth - 1), self.text(0), self.text(0)),
        }
    }

    fn texts(&mut self, depth: u32) -> String {
        let held = matches!(self.kind, Kind::ServiceAccount | Kind::Agent);
        match self.chance.below(if held { 5 } else { 3 }) {
            0 => {
                let texts: Vec<_> = (0..=self.chance.below(3)).map(|_| self.text(depth.min(1))).collect();
                format!("[{}]", texts.join(", "))
            }
            1 => "context.zones".into(),
            2 => "context.risk.reasons".into(),
            _ => "principal.scopes".into(),
        }
    }

    fn address(&mut self) -> String {
        match self.chance.below(4) {
            0 => format!("ip(\"{}\")", self.chance.of(&ADDRESSES)),
            _ => "context.ip".into(),
        }
    }

    /// Something about a word of a closed list.
    fn word(&mut self) -> String {
        let lists: [(&str, &str, &[&str]); 5] = [
            ("context.geo.country", "Country", &COUNTRIES),
            ("resource.tier", "Tier", &["public", "internal", "restricted"]),
            ("context.time.weekday", "Weekday", &["mon", "sat", "sun"]),
            ("context.device.assurance", "DeviceAssurance", &["none", "cookie", "mtls"]),
            ("context.risk.level", "RiskLevel", &["low", "high", "unknown"]),
        ];
        let of_user: [(&str, &str, &[&str]); 3] = [
            ("principal.lifecycle", "Lifecycle", &STAGES),
            ("principal.employment", "Employment", &["employee", "contractor"]),
            ("principal.homeCountry", "Country", &COUNTRIES),
        ];
        let of_account: [(&str, &str, &[&str]); 2] = [
            ("principal.lifecycle", "Lifecycle", &STAGES),
            ("principal.owner.lifecycle", "Lifecycle", &STAGES),
        ];
        let of_agent: [(&str, &str, &[&str]); 2] = [
            ("principal.onBehalfOf.lifecycle", "Lifecycle", &STAGES),
            ("principal.onBehalfOf.homeCountry", "Country", &COUNTRIES),
        ];
        let own: &[_] = match self.kind {
            Kind::User => &of_user,
            Kind::ServiceAccount => &of_account,
            Kind::Agent => &of_agent,
            Kind::Any | Kind::Visitor => &lists,
        };
        let (what, list, words) =
            if self.chance.coin() { self.chance.of(own) } else { self.chance.of(&lists) };
        let name = |word: &str| format!("{list}::\"{word}\"");
        match self.chance.below(4) {
            0 if list == "Country" && self.kind == Kind::User => {
                "context.geo.country == principal.homeCountry".into()
            }
            0 | 1 => {
                let some: Vec<_> = self.chance.any(words).into_iter().map(name).collect();
                format!("[{}].contains({what})", some.join(", "))
            }
            _ => format!("{what} {} {}", self.chance.of(&EQUALITIES), name(self.chance.of(words))),
        }
    }

    fn place_in_hierarchy(&mut self) -> String {
        let role = self.chance.of(&ROLES);
        match self.chance.below(8) {
            0 => format!("resource in App::\"a{}\"", self.chance.below(2)),
            1 => format!("resource in AppGroup::\"{}\"", self.chance.of(&APP_GROUPS)),
            2 => format!("resource == {}", route(self.chance)),
            3 => format!("action in Action::\"{}\"", self.chance.of(&["read", "write", "access"])),
            4 => "[Action::\"GET\", Action::\"POST\"].contains(action)".into(),
            5 if self.kind == Kind::Agent => format!("principal.onBehalfOf in Role::\"{role}\""),
            5 | 6 => format!("principal in [Role::\"{role}\", Role::\"{}\"]", self.chance.of(&ROLES)),
            _ => {
                let kind = self.chance.of(&["User", "ServiceAccount", "Agent", "Visitor"]);
                format!("principal is {kind}")
            }
        }
    }

    /// What may be absent, asked for as the validator wants it.
    fn optional(&mut self, depth: u32) -> String {
        let whose = match self.kind {
            Kind::User => "principal",
            Kind::Agent => "principal.onBehalfOf",
            Kind::Any | Kind::ServiceAccount | Kind::Visitor => "",
        };
        let own = if whose.is_empty() { 4 } else { 8 };
        let text = self.text(depth.min(1));
        match self.chance.below(own) {
            0 => format!("(context.geo has asn && context.geo.asn < {})", self.number(depth)),
            1 => format!("(context has geo.continent && context.geo.continent == {text})"),
            2 => format!("(context.device has id && context.device.id == {text})"),
            3 => format!("(context.http has userAgent && context.http.userAgent == {text})"),
            4 => format!("({whose} has department && {whose}.department == {text})"),
            5 => format!("({whose} has contractEnd && {} < {whose}.contractEnd)", self.moment(depth)),
            6 => format!("({whose}.hasTag(\"a\") && {whose}.getTag(\"a\") == {text})"),
            _ => format!("({whose}.hasTag({text}) && {whose}.getTag({text}) == \"b\")"),
        }
    }

    /// What only some kinds of principals have, asked for as the validator wants it.
    fn only_some(&mut self, depth: u32) -> String {
        if self.kind != Kind::Any {
            return self.fact();
        }
        let kinds = [("User", Kind::User), ("ServiceAccount", Kind::ServiceAccount), ("Agent", Kind::Agent)];
        let (name, kind) = self.chance.of(&kinds);
        let mut inner = Pen { kind, wild: self.wild, chance: &mut *self.chance };
        format!("(principal is {name} && {})", inner.truth(depth))
    }
}
