//! No file can end the process: each of these would, if Cedar or the machine were given it as it is.

use std::fmt::Write;

use crate::support::Folder;

fn refused(path: &str, bytes: impl AsRef<[u8]>, expect: &str) {
    let wrong = Folder::with("@id(\"a\") permit (principal, action, resource);").put(path, bytes).wrong();
    assert!(wrong.contains(expect), "{path}: {}", &wrong.chars().take(500).collect::<String>());
}

fn policy(condition: &str) -> String {
    format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};")
}

#[test]
fn nested_brackets() {
    for n in [100, 1000, 100_000] {
        let nested = format!("{}true{}", "(".repeat(n), ")".repeat(n));
        refused("x.cedar", policy(&nested), "brackets nest deeper");
        refused(
            "x.cedar",
            policy(&format!("{}true{}", "!(".repeat(n), ")".repeat(n))),
            "brackets nest deeper",
        );
        refused("x.cedar", "[".repeat(n), "brackets nest deeper");
    }
}

#[test]
fn nested_ifs_without_a_bracket() {
    for n in [200, 100_000] {
        let ifs =
            format!("{} true", "if true then true else".to_owned() + &" if true then true else".repeat(n));
        refused("x.cedar", policy(&ifs), "operators on top of each other");
        let conditions = format!("{} true {}", "if ".repeat(n), "then true else true ".repeat(n));
        refused("x.cedar", policy(&conditions), "operators on top of each other");
    }
}

#[test]
fn long_chains() {
    for (operator, term) in
        [("||", "true"), ("&&", "true"), ("+", "1"), ("*", "1"), ("==", "1"), (" in ", "a")]
    {
        for n in [500, 8000, 500_000] {
            let chain = vec![term; n].join(operator);
            refused("x.cedar", policy(&chain), "operators on top of each other");
        }
    }
    refused("x.cedar", policy(&format!("context{}", ".a".repeat(300_000))), "operators on top of each other");
    refused("x.cedar", policy(&format!("{}true", "!".repeat(300_000))), "operators on top of each other");
    refused("x.cedar", policy(&format!("{}1 == 1", "-".repeat(300_000))), "operators on top of each other");
    let clauses =
        format!("@id(\"x\") permit (principal, action, resource) {};", "when {true}".repeat(100_000));
    refused("x.cedar", clauses, "operators on top of each other");
}

#[test]
fn as_deep_as_allowed_everywhere_at_once() {
    // 63 brackets with a chain in each: whatever comes of it, it is an answer.
    let deep = format!("{}true{}", "(true && ".repeat(60), ")".repeat(60));
    let open = Folder::with(&policy(&deep)).open();
    assert!(open.is_ok(), "{}", open.map_err(|e| e.plain()).err().unwrap_or_default());
}

#[test]
fn wide_files_are_only_slow() {
    let set: Vec<_> = (0..20_000).map(|i| format!("\"z{i}\"")).collect();
    let open = Folder::with(&policy(&format!("context.zones.containsAny([{}])", set.join(",")))).open();
    assert!(open.is_ok(), "{}", open.map_err(|e| e.plain()).err().unwrap_or_default());
}

#[test]
fn huge_files() {
    refused("x.cedar", vec![b' '; 9 * 1024 * 1024], "larger than");
    refused("cases/x.toml", vec![b'#'; 9 * 1024 * 1024], "larger than");
    refused("x.cedar", vec![b';'; 200_000], "mistakes more");
}

#[test]
fn what_is_not_text() {
    refused("x.cedar", b"permit\0(principal, action, resource);", "x.cedar:1:7: a zero byte");
    refused("x.cedar", b"\xff\xfe\x00p", "x.cedar:1:1: this is not UTF-8");
    refused("x.cedar", b"// a\n// b \xc3\x28\n", "x.cedar:2:6: this is not UTF-8");
    refused("x.cedar", "\u{feff}@id(\"x\") permit (principal, action, resource);", "x.cedar:1:1: ");
    refused("x.cedar", "@id(\"never closed) permit (principal, action, resource);", "x.cedar:1:");
    refused("cases/x.toml", b"\0", "cases/x.toml:1:1: a zero byte");
}

#[test]
fn hostile_cases() {
    refused("cases/x.toml", format!("a = {}", "[".repeat(100_000)), "recur");
    refused("cases/x.toml", format!("a = {}", "{ a = ".repeat(100_000)), "recur");
    refused("cases/x.toml", format!("{}=1", "a.".repeat(100_000)), "cases/x.toml:");
    refused("cases/x.toml", format!("[{}a]", "a.".repeat(100_000)), "cases/x.toml:");
    refused("cases/x.toml", "[[case]]\nname = 1", "cases/x.toml:2:");
}

/// What takes longer than this is not "only slow".
const LOAD_SECONDS_MAX: u64 = 60;

/// Refused in time: a check that walks for hours is left behind, and does not hold up the others.
fn refused_in_time(schema: String, expect: &str) {
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = told.send(Folder::with(&policy("true")).put("schema.cedarschema", schema).wrong());
    });
    let wrong = answer.recv_timeout(std::time::Duration::from_secs(LOAD_SECONDS_MAX)).unwrap();
    assert!(wrong.contains(expect), "{}", &wrong.chars().take(500).collect::<String>());
}

#[test]
fn hostile_schemas() {
    let shipped =
        std::fs::read_to_string(crate::support::shipped().join("schema.cedarschema")).unwrap_or_default();
    let with = |more: &str| format!("{shipped}\n{more}");
    let nested = format!("type A = {}Long{};", "Set<".repeat(5000), ">".repeat(5000));
    refused("schema.cedarschema", with(&nested), "brackets nest deeper");
    let nested = format!("type A = {}Long{};", "{a: ".repeat(5000), "}".repeat(5000));
    refused("schema.cedarschema", with(&nested), "brackets nest deeper");
    refused("schema.cedarschema", "entity A = {a: B};", "schema.cedarschema:1:");
    refused("schema.cedarschema", vec![b' '; 300 * 1024], "larger than");
    let mut doubling = String::from("type A0 = {a: Long, b: Long};\n");
    for i in 1..46 {
        let _ = writeln!(doubling, "type A{i} = {{a: A{0}, b: A{0}}};", i - 1);
    }
    refused_in_time(with(&doubling), "once every named type is written out");
    for kind in ["entity", "action"] {
        let mut chain = format!("{kind} a0;\n");
        for i in 1..9_000 {
            let _ = writeln!(chain, "{kind} a{i} in a{};", i - 1);
        }
        refused_in_time(chain, "declares more than 256");
        // As many as are allowed, each in all before it.
        let mut dense = format!("{kind} a0;\n");
        for i in 1..150 {
            let above: Vec<String> = (0..i).map(|j| format!("a{j}")).collect();
            let _ = writeln!(dense, "{kind} a{i} in [{}];", above.join(","));
        }
        refused_in_time(dense, "the schema lacks");
    }
    refused("schema.cedarschema", with("external entity Stranger;"), "leaves types or actions to another");
}

/// As many aliases in a row as are allowed, and a circle of them.
#[test]
fn long_chains_in_a_schema_are_answered() {
    let mut aliases = String::from("type A0 = Long;\n");
    for i in 1..178 {
        let _ = writeln!(aliases, "type A{i} = A{};", i - 1);
    }
    let folder = Folder::with(&policy("true")).put("schema.cedarschema", &aliases);
    assert!(folder.wrong().contains("the schema lacks"));
    let mut circle = String::from("type A0 = A177;\n");
    for i in 1..178 {
        let _ = writeln!(circle, "type A{i} = A{};", i - 1);
    }
    let folder = Folder::with(&policy("true")).put("schema.cedarschema", &circle);
    assert!(folder.wrong().contains("schema.cedarschema:1:1: the type `A177` is made of"));
}
