//! A wrong configuration: every mistake at once, each with its line and how to mend it.

use doorward_tests::company::Company;
use doorward_tests::gateway::{Gateway, command};
use doorward_tests::raw::RawUpstream;
use serde_json::{Value, json};

#[tokio::test]
async fn every_mistake_is_told_at_once_with_its_line_and_help() {
    let upstream = RawUpstream::ok().await;
    let mut company = Company::new(upstream.address()).await;
    company
        .config
        .set("limits", json!({"header_count_maks": 10, "h2_streams_max": 0}))
        .set("gateway.time_zone", json!("Europe/Berlinn"))
        .set("listen.0.protocols", json!(["h3"]))
        .set("app.0.upstream.protocol", json!("http"))
        .set("issuer.0.algorithms", json!(["HS256"]))
        .set("network.trusted_proxies", json!(["0.0.0.0/0"]))
        .raw("\n[polices]\nwatch = true\n");
    let refused = Gateway::try_start(company.config).await.err().unwrap();
    assert_eq!(refused.status.and_then(|s| s.code()), Some(2), "{refused}");
    let log = &refused.log;
    for (message, help) in [
        ("`limits` has no key `header_count_maks`", "did you mean `header_count_max`?"),
        ("`0` is out of bounds", "use 1 to 10000; the default is 100"),
        ("there is no section `polices`", "did you mean `policy`?"),
        ("Europe/Berlinn", ""),
        ("`h3` is not a protocol", "use `h1`, `h2`, or both"),
        ("`http`", ""),
        ("`HS256`", ""),
        (
            "trusts so many addresses that anyone could claim to be anywhere",
            "name the addresses of your own proxies",
        ),
    ] {
        assert!(log.contains(message), "no `{message}` in\n{log}");
        assert!(log.contains(help), "no `{help}` in\n{log}");
        let line = log.lines().find(|l| l.contains(message)).unwrap();
        let place = line.split(": error: ").next().unwrap();
        let numbers: Vec<_> = place.rsplit(':').take(2).map(str::parse::<usize>).collect();
        assert!(
            place.contains("doorward.toml:") && numbers.iter().all(Result::is_ok),
            "no place in `{line}`"
        );
    }
    assert!(log.contains("8 mistakes in"), "{log}");
}

#[tokio::test]
async fn nonsense_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorward.toml");
    for (text, said) in
        [("[gateway\n", "doorward.toml:1:"), ("", "missing"), ("\u{0}\u{1}", "doorward.toml:1:")]
    {
        std::fs::write(&file, text).unwrap();
        for verb in ["check", "run"] {
            let output = command(&[verb.as_ref(), "--config".as_ref(), file.as_os_str()]).await;
            let told = format!("{}{}", output.stdout, output.stderr);
            assert_eq!(output.code, Some(2), "{verb} {text:?}: {told}");
            assert!(told.contains(said), "{verb} {text:?}: {told}");
        }
    }
    let absent =
        command(&["run".as_ref(), "--config".as_ref(), folder.path().join("absent.toml").as_os_str()]).await;
    assert_eq!(absent.code, Some(2), "{absent:?}");
    assert!(absent.stderr.contains("absent.toml"), "{absent:?}");
}

#[tokio::test]
async fn check_says_the_same_and_what_is_in_force_when_all_is_well() {
    let upstream = RawUpstream::ok().await;
    let (_issuer, gateway) = Company::new(upstream.address()).await.start().await;
    let good = gateway.command(&["check"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stdout.contains("is valid") && good.stdout.contains("header_count_max = 100"),
        "{}",
        good.stdout
    );
    assert!(!good.stdout.contains(gateway.token()), "the token is shown");
    let text = std::fs::read_to_string(gateway.config_file()).unwrap();
    std::fs::write(gateway.config_file(), format!("nonsense = 1\n{text}")).unwrap();
    let bad = gateway.command(&["check", "--format", "json"]).await;
    assert_eq!(bad.code, Some(2), "{bad:?}");
    let report: Value = serde_json::from_str(&bad.stdout).unwrap();
    assert_eq!((&report["valid"], &report["mistakes"][0]["line"]), (&json!(false), &json!(1)), "{report}");
    assert!(report["mistakes"][0]["help"].is_string(), "{report}");
}
