use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn lines_of_the_readme_are_understood() {
    for line in [
        "doorward run --config doorward.toml",
        "doorward run -c doorward.toml --log debug",
        "doorward run",
        "doorward --color never check --config doorward.toml --format json",
        "doorward check --color always",
        "doorward demo",
        "doorward demo --folder /tmp/d --port 20000 --source .",
        "doorward demo tour --folder /tmp/d --port 20000",
        "doorward demo watch bob --url ws://build.localhost:8080/logs --provider http://127.0.0.1:9181",
        "doorward demo watch",
        "doorward revoke user corp:alice",
        "doorward revoke user alice --app payroll --cause left --disable",
        "doorward revoke session corp:3f9c --operator http://127.0.0.1:9180 --token-file t",
        "doorward revoke token corp:8a11 --json",
        "doorward revoke device dev-77",
        "doorward reactivate user corp:alice",
        "doorward revoke user corp:alice --wait fleet --wait-millis 30000",
        "doorward reactivate user corp:alice --wait node",
        "doorward fleet --json",
        "doorward debts list --all",
        "doorward debts settle 0d7f3a51-9c1e-8b7e-a0c4-3f1f2b6f7a10 --how replaced",
        "doorward user list --state active --source connection:okta --group eng -q ali -n 5 --format json",
        "doorward user list -n 5 --after 01890a5d-ac96-774b-bcce-b302099a8057 --format table",
        "doorward group list --json",
        "doorward debts list --after 17 -n 3 --format json",
        "doorward connection list --after okta -n 1",
        "doorward user show alice@corp.example",
        "doorward user invite carol --email carol@partner.example --role reviewer --role writer",
        "doorward user suspend corp:alice --cause lost --wait fleet --wait-millis 500 --format json",
        "doorward user lock alice --seconds 3600",
        "doorward user unhold alice --signal okta-caep",
        "doorward user delete alice --yes",
        "doorward user link alice corp:alice2",
        "doorward group add engineers alice group:builders",
        "doorward group delete engineers -y",
        "doorward grant role add alice engineer",
        "doorward grant app remove alice payroll --cause moved",
        "doorward service-account register robots:b --name B --purpose p --owner alice --days 365 --scope a",
        "doorward agent hand-over copilot bob",
        "doorward connection add okta --issuer corp",
        "doorward connection release okta 0d7f3a51-9c1e-8b7e-a0c4-3f1f2b6f7a10",
        "doorward inflight --user corp:alice --app payroll -n 10000 --format json",
        "doorward policy check --dir policies",
        "doorward policy bundle keygen release",
        "doorward policy bundle build --dir policies --base last.dwp --note why --out new.dwp --author a --key k",
        "doorward policy bundle sign new.dwp --key release.key.pem",
        "doorward policy bundle inspect new.dwp --key release.pub.pem --format json",
        "doorward policy bundle verify new.dwp --config doorward.toml",
        "doorward policy rollout start new.dwp --percent 5 --app wiki --cause why --override",
        "doorward policy rollout status --json",
        "doorward policy rollout advance --percent 0.5",
        "doorward policy rollout finish --cause why",
        "doorward policy rollout back 3f9c0a1b2c4d",
        "doorward policy rollout publish new.dwp",
        "doorward policy who-can GET payroll/runs",
        "doorward policy who-can GET payroll/all --dir policies --people cases --granted yes --format csv",
        "doorward policy what-can agent:helper --format json",
        "doorward policy what-can alice --dir policies --config doorward.toml",
        "doorward policy check --config doorward.toml --format json",
        "doorward audit tail --follow --deny --user corp:alice --app payroll --json -n 5",
        "doorward receipt verify alice.jws --keys receipt.jwks",
        "doorward receipt verify alice.jws --data-dir /var/lib/doorward --json",
        "doorward geoip lookup 2001:db8::1 --database a --database b",
        "doorward geoip status",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

/// What is written by hand below the options stays as it is written, on a terminal of the usual width.
#[test]
fn help_of_explanations_reviews_and_replays_is_not_wrapped_and_says_the_exit_codes() {
    let all = Cli::command();
    let policy = all.find_subcommand("policy").unwrap();
    for name in ["explain", "who-can", "what-can", "replay"] {
        let help = policy.find_subcommand(name).unwrap().get_after_help().unwrap().to_string();
        for line in help.lines() {
            assert!(line.chars().count() <= 84, "{name}: {line}");
        }
        assert!(help.contains("\nExit codes: 0 "), "{name}: {help}");
    }
}

/// One page has every code, in the words of `doorward --help`.
#[test]
fn the_page_of_exit_codes_has_them_all() {
    let page = include_str!("../../../../docs/reference/exit-codes.md");
    let (_, codes) = EXAMPLES.split_once("Exit codes:\n").unwrap();
    let codes: Vec<_> = codes.lines().map_while(|line| line.trim().split_once("  ")).collect();
    assert_eq!(codes.len(), crate::command::Exit::ALL.len(), "{codes:?}");
    for (code, words) in codes {
        assert!(page.contains(&format!("| {code} | {words} |")), "{code}: {words}");
    }
}

#[test]
fn wrong_lines_are_usage_errors() {
    for line in [
        "doorward",
        "doorward start",
        "doorward revoke",
        "doorward revoke user",
        "doorward revoke person alice",
        "doorward revoke user alice --app PAYROLL",
        "doorward reactivate session corp:1",
        "doorward revoke user alice --wait everybody",
        "doorward revoke user alice --wait fleet --wait-millis 0",
        "doorward revoke user alice --wait fleet --wait-millis 30001",
        "doorward user",
        "doorward user list -n 0",
        "doorward user list --json --format table",
        "doorward inflight -n 10001",
        "doorward user suspend",
        "doorward user invite carol",
        "doorward user lock alice",
        "doorward group add engineers",
        "doorward grant alice engineer",
        "doorward grant role alice engineer",
        "doorward agent register robots:b --name B --purpose p --owner alice --days 0",
        "doorward connection add okta",
        "doorward debts",
        "doorward debts settle 7 --how x",
        "doorward debts settle 0d7f3a51-9c1e-8b7e-a0c4-3f1f2b6f7a10",
        "doorward receipt verify alice.jws",
        "doorward receipt verify alice.jws --keys a --data-dir b",
        "doorward check --format yaml",
        "doorward geoip lookup example.com",
        "doorward run --verbose",
    ] {
        let e = parse(line).unwrap_err();
        assert_eq!(e.exit_code(), 2, "{line}");
    }
}

#[test]
fn help_names_every_exit_code() {
    let help = Cli::command().render_help().to_string();
    for exit in crate::command::Exit::ALL {
        assert!(help.contains(&format!("\n  {}  ", exit.code())), "{exit:?}\n{help}");
    }
}
