//! `doorward receipt verify`: whether a receipt is genuine, what it proves, and what it does not.
//!
//! Works without a gateway and without its configuration: an auditor has the file and the public keys.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use doorward_lifecycle::receipt::facts::{Answer, AuditPlace, Facts, Fate, Fleet, MachineKind, Remainder};
use doorward_lifecycle::receipt::{
    ClockWord, KeyError, Opened, PUBLIC_KEYS_FILE, PublicKeys, RECEIPT_BYTES_MAX, Receipt, open,
};
use doorward_model::{Target, UnixMillis};
use serde_json::{Value, json};

use super::{Exit, Failure, Output, printable};
use crate::cli::ReceiptVerifyArgs;
use crate::color::Style;

/// What no receipt can prove, however genuine.
const NOT_PROVED: [&str; 3] = [
    "that it was made when it says: the times are those of the nodes' clocks",
    "what happened after it was made: see the offboarding case and the audit log",
    "that it is the only receipt, or that nobody else has the key",
];

pub(super) fn verify(args: &ReceiptVerifyArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let keys = keys(args)?;
    let document = read(&args.file)?;
    let Opened { receipt, kid } = open(&document, &keys).map_err(|error| {
        let message = format!("`{}` is not genuine: {}", shown(&args.file), printable(&error.to_string()));
        let help = "ask whoever gave it to you for the file as it was made, and the gateway's owner for \
                    `receipt.jwks`";
        Failure::new(Exit::NotGenuine, message, help)
    })?;
    if args.json {
        let content = receipt.to_json().and_then(|text| serde_json::from_str::<Value>(&text));
        let content = content.map_err(|e| Failure {
            exit: Exit::Failed,
            message: format!("cannot print: {e}"),
            help: None,
        })?;
        out.line(format_args!("{:#}", json!({ "genuine": true, "kid": kid, "receipt": content })))?;
    } else {
        let told = told(&receipt, &kid, out.style);
        out.text(told)?;
    }
    Ok(Exit::Done)
}

fn keys(args: &ReceiptVerifyArgs) -> Result<PublicKeys, Failure> {
    let file = match (&args.keys, &args.data_dir) {
        (Some(file), _) => file.clone(),
        (None, Some(dir)) => dir.join(PUBLIC_KEYS_FILE),
        // The command line demands one of them.
        (None, None) => PathBuf::from(PUBLIC_KEYS_FILE),
    };
    PublicKeys::load(&file).map_err(|error| {
        let help = match &error {
            KeyError::Io { .. } => "it is `receipt.jwks` in the gateway's `data_dir`, or a copy of it",
            KeyError::NotAKey { .. } | KeyError::NotAKeySet { .. } | KeyError::NoKey => {
                "name the file with the public keys, `receipt.jwks`"
            }
        };
        Failure::new(Exit::Mistaken, printable(&error.to_string()), help)
    })
}

/// One byte more than a receipt can have, at most: then it is told to be too large.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes_max = u64::try_from(RECEIPT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut document = Vec::new();
    let read = File::open(file).and_then(|file| file.take(bytes_max).read_to_end(&mut document));
    read.map(|_| document).map_err(|e| {
        let message = format!("`{}` cannot be read: {e}", shown(file));
        Failure::new(Exit::Mistaken, message, "name the file with the receipt")
    })
}

fn shown(file: &Path) -> String {
    printable(&file.display().to_string())
}

fn told(receipt: &Receipt, kid: &str, style: Style) -> String {
    let facts = receipt.facts();
    let mut text = format!("{} sealed by the key {kid}\n\n", style.green("Genuine"));
    for (name, value) in head(receipt) {
        text.push_str(&format!("{name:<9}{}\n", printable(&value)));
    }
    let mut part = |title: &str, lines: Vec<String>| {
        text.push_str(&format!("\n{}\n", style.bold(title)));
        for line in lines {
            text.push_str(&format!("  {}\n", printable(&line)));
        }
    };
    part("By the word of whoever has the key:", proved(receipt));
    let left = left(receipt);
    if left.is_empty() {
        part("Nothing is known to be left.", Vec::new());
    } else {
        part("What is left:", left);
    }
    let mut not: Vec<String> = NOT_PROVED.map(str::to_owned).to_vec();
    if facts.audit.as_ref().is_none_or(|audit| audit.checkpoint.is_none()) {
        not.push("that the audit log still says the same: it names no checkpoint".to_owned());
    }
    part("It does not prove:", not);
    text
}

fn head(receipt: &Receipt) -> [(&'static str, String); 6] {
    let Facts { maker, asked, person, .. } = receipt.facts();
    let named = person.name.as_ref().or(person.user_name.as_ref()).map_or("", String::as_str);
    let email = person.email.as_ref().map(|email| format!(" <{email}>")).unwrap_or_default();
    let id = person.id.map_or_else(|| "not in the directory".to_owned(), |id| id.to_string());
    let of = asked.of.as_ref().map(|of| format!(" {of}")).unwrap_or_default();
    let cause = if asked.cause.is_empty() { String::new() } else { format!(": {}", asked.cause) };
    [
        ("receipt", receipt.id().to_string()),
        ("made", format!("{} by {} of {}", at(receipt.facts().made_at), maker.node, maker.gateway)),
        (
            "asked",
            format!(
                "{}{of} at {} by {} {}{cause}",
                asked.command.as_str(),
                at(asked.at),
                asked.by.kind.as_str(),
                asked.by.name
            ),
        ),
        ("person", format!("{named}{email} ({id})")),
        ("was", format!("{}, and is {}", person.state_before, person.state_after)),
        ("policies", receipt.facts().policy_revision.clone().unwrap_or_else(|| "none in force".to_owned())),
    ]
}

/// A time as people write it; a number that is no time stays one.
fn at(at: UnixMillis) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| format!("{} ms", at.0), |at| format!("{at:.3}"))
}

fn proved(receipt: &Receipt) -> Vec<String> {
    let (facts, summary) = (receipt.facts(), receipt.summary());
    let mut lines = Vec::new();
    for revocation in &facts.revocations {
        lines.push(format!(
            "{}: {} {} since {}, on the disk at {}",
            revocation.action.as_str(),
            kind(&revocation.target),
            revocation.target.id(),
            at(revocation.applied_at),
            at(revocation.durable_at)
        ));
    }
    for already in &facts.already {
        lines.push(format!("cut off before: {} {}", kind(&already.target), already.target.id()));
    }
    if let Some(millis) = summary.enforced_here_millis {
        lines.push(format!("in force on {} after {millis} ms", facts.maker.node));
    }
    let nodes = summary.nodes;
    let known = match (&facts.fleet, summary.enforced_everywhere_millis) {
        (Fleet::Alone {}, _) => "there is no other node".to_owned(),
        (_, Some(millis)) => format!("in force on all {} nodes after {millis} ms", nodes.all),
        (_, None) => format!("{} of {} nodes have confirmed it", nodes.applied, nodes.all),
    };
    lines.push(known);
    for of in &summary.exchanges {
        let last = of.last_byte_micros.map_or_else(
            || format!("{} of them still open", of.still_open),
            |micros| format!("the last byte {} ms after the node had it", micros.div_ceil(1000)),
        );
        lines.push(format!("ended {} {}: {last}", of.ended, of.protocol.as_str()));
    }
    let credentials = facts.credentials;
    lines.push(format!(
        "ended besides: sign-ins of the gateway {}, refresh tokens {}, tokens of service accounts {}",
        credentials.sessions, credentials.refresh_tokens, credentials.api_tokens
    ));
    for machine in &facts.machines {
        let kind = match machine.kind {
            MachineKind::ServiceAccount => "service account",
            MachineKind::Agent => "agent",
        };
        match &machine.fate {
            Fate::Stopped {} => lines.push(format!("stopped with its owner: {kind} {}", machine.id)),
            Fate::HandedOver { to } => lines.push(format!("handed over to {to}: {kind} {}", machine.id)),
            Fate::Running {} => {}
        }
    }
    if let Some(audit) = &facts.audit {
        let AuditPlace { run, first_sequence, last_sequence, .. } = audit;
        lines.push(format!("in the audit log: {run}, {first_sequence} to {last_sequence}"));
    }
    lines
}

fn kind(target: &Target) -> &'static str {
    target.kind().as_str()
}

fn left(receipt: &Receipt) -> Vec<String> {
    let (facts, summary) = (receipt.facts(), receipt.summary());
    let mut lines = Vec::new();
    if summary.clock == ClockWord::SetBack {
        lines.push("the clock was set back in between: do not compare the times".to_owned());
    }
    if facts.audit.is_none() {
        lines.push("the audit log could not be written, and does not tell of it".to_owned());
    }
    if let Fleet::Unknown { why } = &facts.fleet {
        lines.push(format!("the other nodes could not be asked: {why}"));
    }
    for node in &facts.nodes {
        let since = at(node.at);
        match node.answer {
            Answer::Applied => {}
            Answer::Behind => lines.push(format!("{} did not have it in time, seen at {since}", node.node)),
            Answer::Silent => lines.push(format!(
                "{} was not seen since {since}: if it lives, it refuses every request but those of apps with \
                 `stale_seconds_max`",
                node.node
            )),
        }
        if !facts.ended.iter().any(|ended| ended.instance == node.instance) {
            lines.push(format!("what {} ended is not known", node.node));
        }
    }
    for of in summary.exchanges.iter().filter(|of| of.still_open > 0) {
        lines.push(format!("{} {} still open", of.still_open, of.protocol.as_str()));
    }
    lines.extend(facts.remains.iter().map(remainder));
    for debt in &facts.debts {
        lines.push(format!("owed by {} until {}: {}", debt.owner, at(debt.due_at), debt.about));
    }
    lines
}

fn remainder(remains: &Remainder) -> String {
    match remains {
        Remainder::Machine { id } => format!("the machine {id} goes on"),
        Remainder::ManualApp { app, owner } => {
            format!("{app} is not behind the gateway: {owner} removes the account")
        }
        Remainder::PublicRoute { route } => format!("{route} needs no sign-in"),
        Remainder::OtherProxy { listener } => {
            format!("what other proxies let in, who ask at {listener}, is not ended")
        }
        Remainder::TokenElsewhere { issuer, expires_at } => {
            let until = expires_at.map_or_else(|| "nobody knows when".to_owned(), at);
            format!("what {issuer} gave out is good past the gateway until {until}")
        }
        Remainder::StaleApp { app, seconds_max } => {
            format!("a node without a lease serves {app} for {seconds_max} s")
        }
        Remainder::SignIn { id } => format!("the sign-in {id} is not cut off"),
        Remainder::TokenDecides { issuer } => {
            format!(
                "people of {issuer} are judged by their tokens: a sign-in that is not known as theirs is let in"
            )
        }
        Remainder::Device { id } => format!("the device {id} is bound"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use doorward_lifecycle::receipt::Signer;
    use uuid::Uuid;

    use super::*;

    /// The example of the documentation.
    fn example() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/receipt")
    }

    fn args(file: PathBuf, keys: PathBuf) -> ReceiptVerifyArgs {
        ReceiptVerifyArgs { file, keys: Some(keys), data_dir: None, json: false }
    }

    fn run(args: &ReceiptVerifyArgs) -> Result<(Exit, String), Failure> {
        let mut written = Vec::new();
        let exit = verify(args, &mut Output::new(&mut written, Style::Plain))?;
        Ok((exit, String::from_utf8(written).unwrap()))
    }

    /// Seals the example with other facts, in a folder that is a `data_dir`.
    fn sealed(change: impl FnOnce(&mut Facts)) -> (tempfile::TempDir, ReceiptVerifyArgs) {
        let keys = PublicKeys::load(&example().join("receipt.jwks")).unwrap();
        let opened = open(&fs::read(example().join("alice.jws")).unwrap(), &keys).unwrap();
        let mut facts = opened.receipt.facts().clone();
        change(&mut facts);
        let dir = tempfile::tempdir().unwrap();
        let receipt = Receipt::of(Uuid::from_u128(7), facts).unwrap();
        let file = dir.path().join("it.jws");
        fs::write(&file, Signer::open(dir.path()).unwrap().seal(&receipt).unwrap()).unwrap();
        let data_dir = Some(dir.path().to_owned());
        (dir, ReceiptVerifyArgs { file, keys: None, data_dir, json: false })
    }

    #[test]
    fn a_genuine_receipt_is_told_with_what_it_does_not_prove() {
        let (exit, told) = run(&args(example().join("alice.jws"), example().join("receipt.jwks"))).unwrap();
        assert_eq!(exit, Exit::Done);
        let expected = "\
Genuine sealed by the key kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k

receipt  019b0a3e-7000-7c11-9f0a-2f4f7f3b8d99
made     2026-11-21T12:00:00.920Z by gw-1 of https://doorward.corp.example
asked    deactivate at 2026-11-21T12:00:00.400Z by source okta: active=false
person   Alice Example <alice@corp.example> (019af3c2-0000-7000-8000-0000000000a1)
was      active, and is deactivated
policies 0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c
";
        assert!(told.starts_with(expected), "{told}");
        for line in [
            "  disable: user corp:alice since 2026-11-21T12:00:00.403Z, on the disk at 2026-11-21T12:00:00.409Z\n",
            "  in force on gw-1 after 3 ms\n",
            "  2 of 3 nodes have confirmed it\n",
            "  ended besides: sign-ins of the gateway 2, refresh tokens 1, tokens of service accounts 1\n",
            "  ended 4 websocket: the last byte 251 ms after the node had it\n",
            "  stopped with its owner: service account corp:build-bot\n",
            "\nWhat is left:\n  gw-3 was not seen since 2026-11-21T11:59:51.007Z: if it lives",
            "  what gw-3 ended is not known\n",
            "  payslips is not behind the gateway: hr-apps removes the account\n",
            "  wiki/welcome needs no sign-in\n",
            "  owed by security until 2026-11-24T12:00:00.400Z: gw-3 did not confirm",
            "\nIt does not prove:\n  that it was made when it says",
            "it names no checkpoint\n",
        ] {
            assert!(told.contains(line), "{line}{told}");
        }
    }

    #[test]
    fn a_program_reads_json() {
        let args = ReceiptVerifyArgs {
            json: true,
            ..args(example().join("alice.jws"), example().join("receipt.jwks"))
        };
        let (_, told) = run(&args).unwrap();
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["genuine"], true);
        assert_eq!(told["receipt"]["summary"]["nodes"]["silent"], 1);
    }

    #[test]
    fn what_is_not_genuine_ends_otherwise_than_what_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let altered = dir.path().join("altered.jws");
        let mut bytes = fs::read(example().join("alice.jws")).unwrap();
        bytes[900] ^= 1;
        fs::write(&altered, &bytes).unwrap();
        let (_other, theirs) = sealed(|_| {});
        let (file, keys) = (example().join("alice.jws"), example().join("receipt.jwks"));
        for (args, exit, why) in [
            (
                args(altered, keys.clone()),
                Exit::NotGenuine,
                "altered.jws` is not genuine: the signature does not fit",
            ),
            (args(theirs.file, keys.clone()), Exit::NotGenuine, "not among those given"),
            (args(keys.clone(), keys.clone()), Exit::NotGenuine, "it is not a receipt"),
            (args(dir.path().join("absent"), keys), Exit::Mistaken, "absent` cannot be read"),
            (args(file.clone(), file.clone()), Exit::Mistaken, "is not a JWK set"),
            (args(file, dir.path().join("absent")), Exit::Mistaken, "absent` cannot be used"),
        ] {
            let failure = run(&args).unwrap_err();
            assert_eq!(failure.exit, exit, "{failure}");
            assert!(failure.message.contains(why), "{failure}");
        }
    }

    #[test]
    fn nothing_in_a_receipt_reaches_the_terminal_as_a_command() {
        let (_dir, args) = sealed(|facts| {
            facts.asked.cause = "\u{1b}[2J\r\nforged".to_owned();
            facts.person.name = Some("\u{202e}ecila".to_owned());
        });
        let (exit, told) = run(&args).unwrap();
        assert_eq!(exit, Exit::Done);
        assert!(told.contains("\\u{1b}[2J\\u{d}\\u{a}forged") && told.contains("\\u{202e}ecila"), "{told}");
        assert!(!told.contains(['\u{1b}', '\r', '\u{202e}']));
    }

    #[test]
    fn a_clock_that_was_set_back_is_told() {
        let (_dir, args) = sealed(|facts| facts.made_at = UnixMillis(facts.asked.at.0 - 1));
        let (_, told) = run(&args).unwrap();
        assert!(told.contains("the clock was set back in between"), "{told}");
    }
}
