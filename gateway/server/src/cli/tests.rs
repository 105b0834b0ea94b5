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
        "doorward demo watch bob --url ws://build.localhost:8080/logs --provider http://127.0.0.1:9181",
        "doorward demo watch",
        "doorward revoke user corp:alice",
        "doorward revoke user alice --app payroll --cause left --disable",
        "doorward revoke session corp:3f9c --operator http://127.0.0.1:9180 --token-file t",
        "doorward revoke token corp:8a11 --json",
        "doorward revoke device dev-77",
        "doorward reactivate user corp:alice",
        "doorward inflight --user corp:alice --app payroll",
        "doorward policy check --dir policies",
        "doorward policy check --config doorward.toml --format json",
        "doorward audit tail --follow --deny --user corp:alice --app payroll --json -n 5",
        "doorward geoip lookup 2001:db8::1 --database a --database b",
        "doorward geoip status",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
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
