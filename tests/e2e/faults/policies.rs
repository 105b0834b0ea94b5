//! Policy files that are broken, by mistake or on purpose: the bundle before stays in force, and
//! whoever broke it reads where and why.

use std::path::PathBuf;

use doorward_tests::company::{Company, copy_policies};
use doorward_tests::gateway::{Gateway, Signal};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::until;
use serde_json::{Value, json};

use crate::seen;

struct Live {
    issuer: Issuer,
    gateway: Gateway,
    policies: PathBuf,
    _upstream: RawUpstream,
    _folder: tempfile::TempDir,
}

async fn start(watch: bool) -> Live {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    copy_policies(&policies);
    let mut company = Company::new(upstream.address()).await;
    company.config.set("policy", json!({"dir": policies, "watch": watch}));
    let (issuer, gateway) = company.start().await;
    Live { issuer, gateway, policies, _upstream: upstream, _folder: folder }
}

impl Live {
    async fn revision(&self) -> String {
        let shown: Value =
            serde_json::from_str(&self.gateway.api("GET", "/api/v1/policies", None).await.text).unwrap();
        shown["revision"].as_str().unwrap().to_owned()
    }

    fn rejections(&self) -> usize {
        self.gateway.log().matches("the policies were rejected; the old ones stay in force").count()
    }

    /// The rules of the shipped bundle are in force.
    async fn holds(&self, what: &str) {
        let asked = [("bob", "build.test", 200), ("alice", "build.test", 403), ("bob", "wiki.test", 200)];
        for (person, host, status) in asked {
            let told = seen::told(&self.gateway, host, &self.issuer.token(person)).await;
            assert_eq!(told.0, status, "{what}: {person} at {host}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_broken_file_is_told_by_line_and_column_and_a_mended_one_is_taken() {
    let live = start(true).await;
    let file = live.policies.join("apps/wiki.cedar");
    let good = std::fs::read_to_string(&file).unwrap();
    let before = live.revision().await;
    // A forbid with a typo would silently never apply; and a line that is no Cedar.
    let typo =
        format!("{good}\n@id(\"wiki.stop\")\nforbid (principal, action, resource in App::\"wikki\");\n");
    let line = typo.lines().position(|l| l.contains("wikki")).unwrap() + 1;
    let broken = format!("{good}\nthis is no policy;\n");
    let broken_line = broken.lines().count();
    for (text, place, said) in [
        (&typo, format!("apps/wiki.cedar:{line}:"), "did you mean `wiki`?"),
        (&broken, format!("apps/wiki.cedar:{broken_line}:"), ""),
    ] {
        let rejected = live.rejections();
        std::fs::write(&file, text).unwrap();
        until("the rejection", || (live.rejections() > rejected).then_some(())).await;
        // Whoever watches may have found the file half written, and rejected that first.
        until(&format!("`{place}` with `{said}`"), || {
            let log = live.gateway.log();
            (log.contains(&place) && log.contains(said)).then_some(())
        })
        .await;
        assert_eq!(live.revision().await, before);
        live.holds("after a broken file").await;
        let event = until("the event", || {
            let events = live.gateway.events();
            events
                .into_iter()
                .find(|e| e["metadata"]["event_code"] == "policy.rejected" && e.to_string().contains(&place))
        })
        .await;
        let bundle = &event["unmapped"]["doorward"]["bundle"];
        assert_eq!(bundle["in_force"], before.as_str(), "{event}");
        assert_eq!(event["severity"], "High", "{event}");
    }
    let name = format!("doorward_policy_in_force{{revision=\"{before}\"}}");
    seen::metric_comes_to(&live.gateway, &name, 1.0).await;

    // A case that does not hold any more is a mistake too: a policy that lets everybody in.
    let rejected = live.rejections();
    std::fs::write(&file, format!("{good}\n@id(\"wiki.all\")\n@title(\"all\")\n@owner(\"x\")\npermit (principal, action, resource);\n")).unwrap();
    until("the rejection", || (live.rejections() > rejected).then_some(())).await;
    live.holds("after a bundle whose cases do not hold").await;

    // A file that is fine is taken.
    std::fs::write(
        &file,
        good.replace("@title(\"Employees read and write the wiki\")", "@title(\"Employees use the wiki\")"),
    )
    .unwrap();
    let swapped = seen::event(&live.gateway, "policy.swapped").await;
    let after = live.revision().await;
    assert_ne!(after, before);
    assert_eq!(swapped["unmapped"]["doorward"]["bundle"]["previous"], before.as_str(), "{swapped}");
    live.holds("after a good file").await;
    // And put in force means in force: a new forbid refuses at the next request.
    let stop = "@id(\"wiki.closed\")\n@title(\"closed\")\n@owner(\"it\")\n@severity(\"low\")\n@reason(\"The wiki is closed.\")\nforbid (principal is User, action, resource == Route::\"wiki/all\");\n";
    std::fs::remove_dir_all(live.policies.join("cases")).unwrap();
    std::fs::write(live.policies.join("apps/closed.cedar"), stop).unwrap();
    seen::comes_to(&live.gateway, "wiki.test", &live.issuer.token("bob"), (403, "policy_forbids")).await;
    let refused = seen::get(&live.gateway, "wiki.test", &live.issuer.token("bob")).await;
    assert_eq!(refused.json()["detail"], "The wiki is closed.");
}

#[tokio::test]
async fn sighup_and_the_operator_load_where_nobody_watches() {
    let live = start(false).await;
    let file = live.policies.join("apps/wiki.cedar");
    let good = std::fs::read_to_string(&file).unwrap();
    let before = live.revision().await;
    std::fs::write(&file, "nonsense").unwrap();
    let answer = live.gateway.api("POST", "/api/v1/policies/reload", None).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let said: Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((&said["code"], &said["revision"]), (&json!("policies_rejected"), &json!(before)), "{said}");
    let finding = &said["findings"][0];
    assert_eq!(finding["file"], "apps/wiki.cedar", "{said}");
    assert!(finding["line"].is_number() && finding["message"].is_string(), "{said}");
    live.gateway.signal(Signal::SIGHUP);
    live.gateway.wait_log("the policies were rejected; the old ones stay in force").await;
    live.holds("after SIGHUP with a broken file").await;
    std::fs::write(&file, format!("{good}\n// a comment more\n")).unwrap();
    live.gateway.signal(Signal::SIGHUP);
    live.gateway.wait_log("other policies are in force").await;
    assert_ne!(live.revision().await, before);
    live.holds("after SIGHUP with a good file").await;
}

#[tokio::test]
async fn no_start_with_a_broken_folder() {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    copy_policies(&policies);
    std::fs::write(policies.join("apps/wiki.cedar"), "permit (principal, action, resource\n").unwrap();
    let mut company = Company::new(upstream.address()).await;
    company.config.set("policy.dir", json!(policies));
    let refused = Gateway::try_start(company.config).await.err().unwrap();
    assert!(matches!(refused.status.and_then(|s| s.code()), Some(1 | 2)), "{refused}");
    assert!(
        refused.log.contains("apps/wiki.cedar:1:") || refused.log.contains("apps/wiki.cedar:2:"),
        "{refused}"
    );
}

/// What somebody could put into a policy file to take the process down.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let policy = |condition: &str| {
        format!("@id(\"x\")\n@title(\"x\")\n@owner(\"x\")\nforbid (principal, action, resource) when {{ {condition} }};\n")
            .into_bytes()
    };
    let deep = |open: &str, close: &str, n: usize| format!("{}true{}", open.repeat(n), close.repeat(n));
    let mut five_mb = Vec::new();
    while five_mb.len() < 5_000_000 {
        let i = five_mb.len();
        five_mb.extend_from_slice(
            &format!(
                "@id(\"p{i}\")\nforbid (principal, action, resource) when {{ context.nothing == {i} }};\n"
            )
            .into_bytes(),
        );
    }
    vec![
        ("brackets a thousand deep", policy(&deep("(", ")", 1000))),
        ("brackets a million deep", policy(&deep("(", ")", 1_000_000))),
        ("nots", policy(&format!("{}true", "!".repeat(100_000)))),
        ("minuses", policy(&format!("{}1 == 1", "-".repeat(100_000)))),
        ("sets in sets", policy(&format!("{} == 1", deep("[", "]", 50_000)))),
        ("ifs", policy(&format!("{}true", "if true then true else ".repeat(20_000)))),
        ("ands", policy(&format!("{}true", "true && ".repeat(200_000)))),
        ("ors", policy(&format!("{}true", "true || ".repeat(200_000)))),
        ("dots", policy(&format!("context{}", ".a".repeat(100_000)))),
        ("records", policy(&format!("{}true{} == 1", "{a: ".repeat(20_000), "}".repeat(20_000)))),
        ("a string without end", b"permit (principal == User::\"".to_vec()),
        ("five megabytes", five_mb),
        ("NUL bytes", vec![0; 100_000]),
        ("a NUL in the middle", policy("context.http.path == \"\0\"")),
        ("not UTF-8", vec![0xff, 0xfe, 0x80, 0xc0]),
        ("a byte order mark", b"\xef\xbb\xbfpermit".to_vec()),
        ("ids that collide", [policy("true"), policy("false")].concat()),
        ("numbers beyond all", policy("99999999999999999999999999 == 1")),
        ("an extension that is none", policy("ip(\"300.1.2.3\").isInRange(ip(\"x\"))")),
        ("right to left", "permit (principal\u{202e}, action, resource);".into()),
    ]
}

#[tokio::test]
async fn no_policy_file_takes_the_process_down() {
    let mut live = start(false).await;
    let before = live.revision().await;
    let file = live.policies.join("apps/hostile.cedar");
    for (what, content) in hostile() {
        std::fs::write(&file, content).unwrap();
        let begin = tokio::time::Instant::now();
        rejected(&live, what, &before).await;
        println!("{what}: {:?}", begin.elapsed());
    }
    std::fs::remove_file(&file).unwrap();
    // What is no file at all.
    std::fs::create_dir(&file).unwrap();
    let said = reload(&live.gateway).await;
    assert!(matches!(said.0, 200 | 422), "a folder: {said:?}");
    live.holds("a folder").await;
    std::fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
    rejected(&live, "a device without end", &before).await;
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&live.policies, live.policies.join("apps/loop")).unwrap();
    let said = reload(&live.gateway).await;
    assert!(matches!(said.0, 200 | 422), "a loop: {said:?}");
    live.holds("a loop").await;
    std::fs::remove_file(live.policies.join("apps/loop")).unwrap();

    // The other files of a bundle are no better.
    for (name, content) in [
        ("schema.cedarschema", b"entity ".repeat(300_000)),
        ("schema.cedarschema", vec![0; 1000]),
        ("cases/hostile.toml", b"[[case]]\n".repeat(100_000)),
        ("cases/hostile.toml", format!("a = {}", "[".repeat(100_000)).into_bytes()),
    ] {
        let at = live.policies.join(name);
        let old = std::fs::read(&at).ok();
        std::fs::write(&at, content).unwrap();
        rejected(&live, name, &before).await;
        match old {
            Some(old) => std::fs::write(&at, old).unwrap(),
            None => std::fs::remove_file(&at).unwrap(),
        }
    }
    assert_eq!(reload(&live.gateway).await.0, 200, "mended");
    assert!(live.gateway.is_running());
    assert!(!live.gateway.log().contains("panicked"), "{}", live.gateway.log());
}

async fn reload(gateway: &Gateway) -> (u16, Value) {
    let answer = gateway.api("POST", "/api/v1/policies/reload", None).await;
    (answer.status, serde_json::from_str(&answer.text).unwrap())
}

async fn rejected(live: &Live, what: &str, before: &str) {
    let (status, said) = reload(&live.gateway).await;
    assert_eq!((status, &said["code"]), (422, &json!("policies_rejected")), "{what}: {said}");
    assert!(said["findings"][0]["message"].as_str().is_some_and(|m| !m.is_empty()), "{what}: {said}");
    assert!(said.to_string().len() < 1_000_000, "{what}: a report of {} bytes", said.to_string().len());
    assert_eq!(live.revision().await, before, "{what}");
    live.holds(what).await;
}
