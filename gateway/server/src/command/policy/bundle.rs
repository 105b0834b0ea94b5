//! `doorward policy bundle`: policies as one file, signed.

mod place;
mod results;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use doorward_identity::owner_only;
use doorward_model::limits::{POLICY_BUNDLE_BYTES_MAX, POLICY_KEY_BYTES_MAX};
use doorward_policy::{PolicyFiles, Workshop};
use doorward_workbench::release::{
    self, About, Attestation, Base, BuildError, Bundle, CaseCounts, KeyRefused, Outcome, PublicKey, Refused,
    SigningKey, Trust,
};
use serde_json::{Value, json};

use self::place::{Replace, free, place, write};
use super::super::{Exit, Failure, Output, load_config, printable, show_on};
use super::{Folder, read, short};
use crate::cli::{BundleBuildArgs, BundleCommand, BundleLookArgs, BundleSignArgs, Format, KeygenArgs};
use crate::clock;
use crate::color::ColorChoice;

/// The longest word of a test or a proof.
const RESULT_BYTES_MAX: u64 = 32 * 1024 * 1024;
const OWNER_ONLY: u32 = 0o600;
const EVERYBODY_READS: u32 = 0o644;
/// How many names of policies a line for people has.
const NAMES_SHOWN_MAX: usize = 20;

pub(super) fn bundle(
    command: BundleCommand,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match command {
        BundleCommand::Keygen(args) => keygen(&args, out),
        BundleCommand::Build(args) => build(&args, color, out),
        BundleCommand::Sign(args) => sign(&args, out),
        BundleCommand::Inspect(args) => inspect(&args, color, out),
        BundleCommand::Verify(args) => verify(&args, color, out),
    }
}

fn keygen(args: &KeygenArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let key = SigningKey::generate().map_err(|e| failed(e.to_string()))?;
    let [private, public] = [".key.pem", ".pub.pem"].map(|end| named(&args.name, end));
    if let Some(there) = [&private, &public].into_iter().find(|file| fs::symlink_metadata(file).is_ok()) {
        let message = format!("`{}` is there already", there.display());
        return Err(Failure::new(
            Exit::Mistaken,
            message,
            "choose another name; a key is never written over",
        ));
    }
    let text = key.to_pem().map_err(|e| failed(e.to_string()))?;
    write(&private, text.as_bytes(), OWNER_ONLY)?;
    write(&public, key.public().to_pem().as_bytes(), EVERYBODY_READS)?;
    out.line(format_args!("{}  the private half: for whoever signs, and nobody else", private.display()))?;
    out.line(format_args!("{}  the public half: for `policy.keys` of every gateway", public.display()))?;
    out.line(format_args!("key {}", key.public().id()))?;
    Ok(Exit::Done)
}

fn build(args: &BundleBuildArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let replace = if args.replace { Replace::Bundle } else { Replace::No };
    free(&args.out, replace)?;
    let (dir, known) = super::folder(args.dir.as_deref(), &args.config, color)?;
    let workshop = match dir.load(known.as_ref()) {
        Ok(workshop) => workshop,
        Err(failure) => {
            out.text(super::mistakes(&failure, show_on(&io::stdout(), color)))?;
            return Ok(Exit::Mistaken);
        }
    };
    if let Some(signed) = signed_there(&args.out).filter(|_| args.keys.is_empty()) {
        let message = format!("`{}` is there and signed by {signed}; this would not be", args.out.display());
        return Err(Failure::new(Exit::Mistaken, message, "name a key with `--key`, or another file"));
    }
    let revision = workshop.bundle().revision().to_string();
    let results = args.results.iter().map(|file| results(file, &revision)).collect::<Result<Vec<_>, _>>()?;
    let results = results.into_iter().flatten().collect();
    let base = args.base.as_deref().map(|base| against(base, &workshop)).transpose()?;
    let words = Words {
        author: args.author.as_deref(),
        note: args.note.clone(),
        sequence: sequence(args.sequence, base.as_ref().and_then(|(base, _)| base.sequence))?,
        base,
        results,
        keys: &args.keys,
    };
    let bytes = pack(&dir, &workshop, words)?;
    place(&args.out, &bytes, EVERYBODY_READS, replace)?;
    let bundle = release::open(&bytes, Trust::Anyone).map_err(|e| refused(&args.out, &e))?;
    let done = out.style.green(&format!("{} is made", args.out.display()));
    let manifest = bundle.manifest();
    out.line(format_args!(
        "{done}: revision {}, sequence {}, {}, {}",
        short(&manifest.revision),
        manifest.sequence,
        many(manifest.files.len(), "file", "files"),
        match args.keys.len() {
            0 => "not signed".to_owned(),
            1 => "signed by 1 key".to_owned(),
            more => format!("signed by {more} keys"),
        }
    ))?;
    difference(&bundle, out)?;
    Ok(Exit::Done)
}

/// What is said about a bundle that is made here.
pub(super) struct Words<'a> {
    pub(super) author: Option<&'a str>,
    pub(super) note: Option<String>,
    pub(super) sequence: u64,
    pub(super) base: Option<(Base, doorward_policy::Difference)>,
    pub(super) results: Vec<Attestation>,
    pub(super) keys: &'a [PathBuf],
}

/// Makes a bundle of a folder that was checked, and signs it.
pub(super) fn pack(dir: &Path, workshop: &Workshop, words: Words<'_>) -> Result<Vec<u8>, Failure> {
    let keys = words.keys.iter().map(|file| signing_key(file)).collect::<Result<Vec<_>, _>>()?;
    let files = PolicyFiles::read(dir).map_err(|e| failed(e.to_string()))?;
    if files.revision() != workshop.bundle().revision() {
        let help = "wait until nobody writes in it, and build again";
        return Err(Failure::new(Exit::Failed, "the folder changes while it is read", help));
    }
    let now = clock::now();
    let mut results = vec![Attestation {
        name: "check".to_owned(),
        outcome: Outcome::Held,
        detail: format!(
            "{}, {} held",
            many(workshop.policies().len(), "policy", "policies"),
            many(workshop.cases().len(), "case", "cases")
        ),
        blocking: Vec::new(),
    }];
    results.extend(words.results);
    let about = About {
        sequence: words.sequence,
        created_at: now,
        author: author(words.author)?,
        note: words.note,
        tool: concat!("doorward ", env!("CARGO_PKG_VERSION")).to_owned(),
        base: words.base,
        results,
    };
    let mut bytes = release::build(&files, about).map_err(|e| unfit(&e))?;
    for key in &keys {
        bytes = release::sign(&bytes, key).map_err(|e| refused(dir, &e))?;
    }
    Ok(bytes)
}

fn sign(args: &BundleSignArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    // Signed where it stands, or somewhere else.
    let (to, replace) = match &args.out {
        Some(out) if !args.replace => (out, Replace::No),
        Some(out) => (out, Replace::Bundle),
        None => (&args.file, Replace::Bundle),
    };
    let mut bytes = read(&args.file, POLICY_BUNDLE_BYTES_MAX)?;
    free(to, replace)?;
    for file in &args.keys {
        let key = signing_key(file)?;
        bytes = release::sign(&bytes, &key).map_err(|e| refused(&args.file, &e))?;
        out.line(format_args!("signed by {}", key.public().id()))?;
    }
    place(to, &bytes, EVERYBODY_READS, replace)?;
    Ok(Exit::Done)
}

fn inspect(args: &BundleLookArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let keys = asked_keys(args, color)?;
    let bytes = read(&args.file, POLICY_BUNDLE_BYTES_MAX)?;
    // What it says is shown in any case, also when it is not to be believed.
    let bundle = release::open(&bytes, Trust::Anyone).map_err(|e| refused(&args.file, &e))?;
    let genuine = (!keys.is_empty()).then(|| release::open(&bytes, Trust::Keys(&keys)));
    let exit = if matches!(genuine, Some(Err(_))) { Exit::NotGenuine } else { Exit::Done };
    match args.format {
        Format::Human => tell(&bundle, genuine.as_ref(), out)?,
        Format::Json => out.line(format_args!("{:#}", shown(&bundle, genuine.as_ref())))?,
    }
    Ok(exit)
}

fn verify(args: &BundleLookArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let keys = asked_keys(args, color)?;
    if keys.is_empty() {
        let help = "use `--key FILE`, or `--config FILE` of a gateway with `policy.keys`";
        return Err(Failure::new(Exit::Mistaken, "no key is named", help));
    }
    let bytes = read(&args.file, POLICY_BUNDLE_BYTES_MAX)?;
    let opened = release::open(&bytes, Trust::Keys(&keys));
    match (&opened, args.format) {
        (Ok(bundle), Format::Human) => {
            let by: Vec<_> = bundle.signed_by().iter().map(|id| id.short()).collect();
            let good = out.style.green(&format!("{} is genuine", args.file.display()));
            out.line(format_args!("{good}: signed by {}", by.join(", ")))?;
        }
        (Err(e), Format::Human) => return Err(refused(&args.file, e)),
        (_, Format::Json) => out.line(format_args!("{:#}", genuineness(Some(&opened))))?,
    }
    Ok(if opened.is_ok() { Exit::Done } else { Exit::NotGenuine })
}

// === showing ===

fn tell(
    bundle: &Bundle,
    genuine: Option<&Result<Bundle, Refused>>,
    out: &mut Output<'_>,
) -> Result<(), Failure> {
    let manifest = bundle.manifest();
    let made = jiff::Timestamp::from_millisecond(manifest.created_at)
        .map_or_else(|_| format!("{} ms", manifest.created_at), |at| format!("{at:.0}"));
    out.line(format_args!("revision  {}", manifest.revision))?;
    out.line(format_args!("sequence  {}", manifest.sequence))?;
    out.line(format_args!(
        "made      {made}, by {}, with {}",
        printable(&manifest.author),
        printable(&manifest.tool)
    ))?;
    if let Some(note) = &manifest.note {
        out.line(format_args!("why       {}", printable(note)))?;
    }
    if let Some(base) = &manifest.base {
        let number = base.sequence.map(|n| format!(", sequence {n}")).unwrap_or_default();
        out.line(format_args!("from      {}{number}", short(&base.revision)))?;
    }
    difference(bundle, out)?;
    for result in &manifest.results {
        let outcome = match result.outcome {
            Outcome::Held => out.style.green(result.outcome.as_str()),
            Outcome::Failed => out.style.red(result.outcome.as_str()),
            Outcome::Unknown => out.style.yellow(result.outcome.as_str()),
        };
        out.line(format_args!("{:<9} {outcome}: {}", printable(&result.name), printable(&result.detail)))?;
        for what in &result.blocking {
            out.line(format_args!("          {} {}", out.style.red("blocks"), printable(what)))?;
        }
    }
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    out.line(format_args!("files     {} with {bytes} bytes", manifest.files.len()))?;
    let claims: Vec<_> = bundle.claims().map(short).collect();
    let signed = if claims.is_empty() { "by nobody".to_owned() } else { format!("by {}", claims.join(", ")) };
    let verdict = match genuine {
        Some(Err(Refused::Unsigned)) => out.style.red("not genuine"),
        None => out.style.dim("not verified: name a public key with `--key`"),
        Some(Ok(_)) => out.style.green("genuine"),
        Some(Err(e)) => out.style.red(&e.to_string()),
    };
    out.line(format_args!("signed    {signed}; {verdict}"))
}

fn difference(bundle: &Bundle, out: &mut Output<'_>) -> Result<(), Failure> {
    let manifest = bundle.manifest();
    for (word, names) in
        [("added", &manifest.added), ("removed", &manifest.removed), ("changed", &manifest.changed)]
    {
        if names.is_empty() {
            continue;
        }
        let mut some: Vec<_> = names.iter().take(NAMES_SHOWN_MAX).map(|name| printable(name)).collect();
        if names.len() > NAMES_SHOWN_MAX {
            some.push(format!("and {} more", names.len() - NAMES_SHOWN_MAX));
        }
        out.line(format_args!("{word:<9} {}", some.join(", ")))?;
    }
    if let Some(CaseCounts { added, removed, changed }) = manifest.cases {
        out.line(format_args!("cases     {removed} went, {added} came, {changed} changed"))?;
    }
    Ok(())
}

fn shown(bundle: &Bundle, genuine: Option<&Result<Bundle, Refused>>) -> Value {
    json!({
        "manifest": bundle.manifest(),
        "signatures": bundle.claims().collect::<Vec<_>>(),
        "signed": genuineness(genuine),
    })
}

fn genuineness(genuine: Option<&Result<Bundle, Refused>>) -> Value {
    match genuine {
        None => json!({ "verified": false }),
        Some(Ok(bundle)) => json!({
            "verified": true, "genuine": true,
            "by": bundle.signed_by().iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        Some(Err(e)) => json!({ "verified": true, "genuine": false, "why": e.to_string(), "help": e.help() }),
    }
}

fn many(n: usize, one: &str, more: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {more}") }
}

/// Who signed the bundle that is there, by its own word.
fn signed_there(file: &Path) -> Option<String> {
    let bytes = read(file, POLICY_BUNDLE_BYTES_MAX).ok()?;
    let there = release::open(&bytes, Trust::Anyone).ok()?;
    let claims: Vec<_> = there.claims().map(short).collect();
    (!claims.is_empty()).then(|| claims.join(", "))
}

// === what it is made of ===

fn author(said: Option<&str>) -> Result<String, Failure> {
    let set = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let user = || set("DOORWARD_AUTHOR").or_else(|| set("USER"));
    said.map(str::to_owned).or_else(user).ok_or_else(|| {
        Failure::new(
            Exit::Mistaken,
            "nobody is named who answers for it",
            "use `--author WHO`, or set `DOORWARD_AUTHOR`",
        )
    })
}

/// The number of a bundle: the one that is asked for, or the seconds since 1970, and in any case greater than that of
/// `base`: no gateway pulls a lower one. Whoever made the base may have a clock that is ahead.
pub(super) fn sequence(asked: Option<u64>, base: Option<u64>) -> Result<u64, Failure> {
    match (asked, base) {
        (Some(asked), Some(base)) if asked <= base => {
            let message = format!(
                "{asked} is not greater than {base}, the number of `--base`: no gateway would pull it"
            );
            Err(Failure::new(Exit::Mistaken, message, "name a greater one, or leave `--sequence` out"))
        }
        (Some(asked), _) => Ok(asked),
        (None, base) => {
            let seconds = u64::try_from(clock::now().seconds()).unwrap_or(0);
            Ok(base.map_or(seconds, |base| seconds.max(base.saturating_add(1))))
        }
    }
}

/// What the policies change in those of `base`, a bundle or a folder.
fn against(base: &Path, workshop: &Workshop) -> Result<(Base, doorward_policy::Difference), Failure> {
    let folder = Folder::unpacked(base)?;
    let before = folder
        .untried(None)
        .map_err(|e| Failure::new(Exit::Mistaken, format!("`--base`: {e}"), "check it by itself"))?;
    let base = Base { revision: before.bundle().revision().to_string(), sequence: folder.sequence() };
    Ok((base, before.bundle().difference(workshop.bundle())))
}

fn results(file: &Path, revision: &str) -> Result<Vec<Attestation>, Failure> {
    results::read(&read(file, RESULT_BYTES_MAX)?, revision).map_err(|e| {
        let message = format!("`{}` tells of no test or proof of this folder: {e}", file.display());
        let help = "give what `doorward policy prove --format json` or `doorward policy test --format json` printed \
                    of this folder as it is now";
        Failure::new(Exit::Mistaken, message, help)
    })
}

// === keys ===

fn signing_key(file: &Path) -> Result<SigningKey, Failure> {
    // Said first: that others may read it is as it should be.
    if read(file, POLICY_KEY_BYTES_MAX).is_ok_and(|bytes| PublicKey::from_pem(&bytes).is_ok()) {
        let message = format!("`{}` is a public key, and a private one signs", file.display());
        return Err(Failure::new(Exit::Mistaken, message, "it is called `NAME.key.pem` beside it"));
    }
    let bytes = owner_only::read(file, POLICY_KEY_BYTES_MAX).map_err(|e| Failure {
        exit: Exit::Mistaken,
        message: e.to_string(),
        help: e.help(),
    })?;
    SigningKey::from_pem(&bytes).map_err(|e| no_key(file, e))
}

fn asked_keys(args: &BundleLookArgs, color: ColorChoice) -> Result<Vec<PublicKey>, Failure> {
    let mut files = args.keys.clone();
    if files.is_empty() && args.config.config.is_some() {
        files = load_config(&args.config, color)?.policy.keys;
    }
    files.iter().map(|file| public_key(file)).collect()
}

fn public_key(file: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read(file, POLICY_KEY_BYTES_MAX)?).map_err(|e| no_key(file, e))
}

fn no_key(file: &Path, error: KeyRefused) -> Failure {
    let help = "make a pair with `doorward policy bundle keygen NAME`";
    Failure::new(Exit::Mistaken, format!("`{}`: {error}", file.display()), help)
}

fn named(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn failed(message: String) -> Failure {
    Failure { exit: Exit::Failed, message, help: None }
}

fn unfit(error: &BuildError) -> Failure {
    Failure { exit: Exit::Mistaken, message: error.to_string(), help: None }
}

fn refused(file: &Path, error: &Refused) -> Failure {
    Failure::new(Exit::NotGenuine, format!("`{}`: {error}", file.display()), error.help())
}
