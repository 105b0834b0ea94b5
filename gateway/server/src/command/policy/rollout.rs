//! `doorward policy rollout`: a bundle for some, then for everybody, and back.

mod print;

use std::io;
use std::path::{Path, PathBuf};

use doorward_model::limits::POLICY_BUNDLE_BYTES_MAX;
use doorward_policy::{WHOLE, Workshop};
use doorward_workbench::release;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::print::{Listed, staged_line, told};
pub(super) use self::print::{shown, swapped};
use super::super::{Exit, Failure, Output, printable, show_on};
use super::bundle::{self, Words};
use super::short;
use crate::cli::{
    RolloutAdvanceArgs, RolloutBackArgs, RolloutCommand, RolloutEndArgs, RolloutForgetArgs,
    RolloutPublishArgs, RolloutStartArgs, RolloutStatusArgs, RolloutWhyArgs,
};
use crate::clock;
use crate::color::ColorChoice;
use crate::operator::Operator;

pub(super) fn rollout(
    command: RolloutCommand,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    match command {
        RolloutCommand::Start(args) => start(&args, color, out),
        RolloutCommand::Status(args) => status(&args, out),
        RolloutCommand::Advance(args) => advance(&args, out),
        RolloutCommand::Finish(args) => end(&args, "finish", out),
        RolloutCommand::Stop(args) => end(&args, "stop", out),
        RolloutCommand::Back(args) => back(&args, out),
        RolloutCommand::Publish(args) => publish(&args, out),
        RolloutCommand::Forget(args) => forget(&args, out),
    }
}

fn start(args: &RolloutStartArgs, color: ColorChoice, out: &mut Output<'_>) -> Result<Exit, Failure> {
    if args.percent.is_none() && args.apps.is_empty() {
        let help = "`--percent 5` for some people, `--app wiki` for everybody at one app, `--percent 100` for everybody";
        return Err(Failure::new(Exit::Mistaken, "it is not said who is to be asked of it", help));
    }
    let operator = Operator::find(&args.why.look.gateway)?;
    let made = Made { author: args.author.as_deref(), keys: &args.keys, note: args.why.cause.clone() };
    let revision = match hold(&operator, &args.what, made, color, out)? {
        Ok(revision) => revision,
        Err(exit) => return Ok(exit),
    };
    let mut body = words(&args.why);
    body.insert("revision".to_owned(), revision.into());
    body.insert("hundredths".to_owned(), args.percent.unwrap_or(WHOLE).into());
    if !args.apps.is_empty() {
        body.insert("apps".to_owned(), json!(args.apps));
    }
    let answer = operator.post(&["policies", "rollout"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, staged_line)
}

/// How a bundle is made of a folder.
pub(super) struct Made<'a> {
    pub(super) author: Option<&'a str>,
    pub(super) keys: &'a [PathBuf],
    pub(super) note: Option<String>,
}

/// The revision of what somebody names: a folder or a bundle, which the gateway then holds, or one that it holds.
/// How it ends where a folder is not fit, which is told then.
pub(super) fn hold(
    operator: &Operator,
    what: &str,
    made: Made<'_>,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Result<String, Exit>, Failure> {
    let path = Path::new(what);
    if !path.exists() {
        return whole(what, &listed(operator)?).map(Ok);
    }
    let packed = if path.is_dir() {
        let workshop = match Workshop::open(path, None) {
            Ok(workshop) => workshop,
            Err(failure) => {
                out.text(super::mistakes(&failure, show_on(&io::stdout(), color)))?;
                return Ok(Err(Exit::Mistaken));
            }
        };
        let Made { author, keys, note } = made;
        let words = Words {
            author,
            note,
            sequence: bundle::sequence(None, None)?,
            base: None,
            results: Vec::new(),
            keys,
        };
        bundle::pack(path, &workshop, words)?
    } else {
        bundle_of(path)?
    };
    let held = operator.hold_bundle(packed)?;
    Ok(Ok(held.get("revision").and_then(Value::as_str).unwrap_or_default().to_owned()))
}

/// A bundle that is to be sent. By its beginning it is one: a key does not leave this machine because somebody slipped
/// by a line in a list of files.
fn bundle_of(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = super::read(file, POLICY_BUNDLE_BYTES_MAX)?;
    if release::begins_as_one(&bytes) {
        return Ok(bytes);
    }
    let message = format!("`{}` is no bundle, and nothing of it was sent", file.display());
    Err(Failure::new(
        Exit::Mistaken,
        message,
        "make one with `doorward policy bundle build`, or name a folder",
    ))
}

fn advance(args: &RolloutAdvanceArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    if args.percent.is_none() && args.apps.is_empty() && !args.all_apps {
        let help = "`--percent 50`, `--app wiki` or `--all-apps`; `rollout status` says who is asked now";
        return Err(Failure::new(Exit::Mistaken, "it is not said who is to be asked from now on", help));
    }
    let operator = Operator::find(&args.why.look.gateway)?;
    let Some(now) = listed(&operator)?.rollout else {
        let help = "begin with `doorward policy rollout start BUNDLE`";
        return Err(Failure::new(Exit::Failed, "nothing is being rolled out", help));
    };
    let apps = match (args.all_apps, args.apps.is_empty()) {
        (true, _) => None,
        (false, true) => now.apps.clone(),
        (false, false) => Some(args.apps.clone()),
    };
    let mut body = words(&args.why);
    body.insert("revision".to_owned(), now.revision.into());
    body.insert("hundredths".to_owned(), args.percent.unwrap_or(now.hundredths).into());
    if let Some(apps) = apps {
        body.insert("apps".to_owned(), json!(apps));
    }
    let answer = operator.post(&["policies", "rollout"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, staged_line)
}

fn end(args: &RolloutEndArgs, how: &str, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let body = about(&operator, args.revision.as_deref(), words(&args.why))?;
    let answer = operator.post(&["policies", "rollout", how], &body)?;
    shown(&answer, &args.why.look, out, swapped)
}

fn back(args: &RolloutBackArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let mut body = words(&args.why);
    // On the way back everything that stands against a bundle has been looked at before.
    body.remove("override");
    if let Some(revision) = &args.revision {
        body.insert("revision".to_owned(), whole(revision, &listed(&operator)?)?.into());
    }
    let answer = operator.post(&["policies", "back"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, swapped)
}

fn publish(args: &RolloutPublishArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.why.look.gateway)?;
    let path = Path::new(&args.what);
    if path.is_dir() {
        let message = format!("`{}` is a folder, and nodes take only what is signed", printable(&args.what));
        let help = "make a bundle of it: `doorward policy bundle build --dir DIR --out NEW.dwp --key KEY`";
        return Err(Failure::new(Exit::Mistaken, message, help));
    }
    let revision = if path.is_file() {
        let held = operator.hold_bundle(bundle_of(path)?)?;
        held.get("revision").and_then(Value::as_str).unwrap_or_default().to_owned()
    } else {
        whole(&args.what, &listed(&operator)?)?
    };
    let mut body = words(&args.why);
    body.insert("revision".to_owned(), revision.as_str().into());
    let answer = operator.post(&["policies", "publish"], &Value::Object(body))?;
    shown(&answer, &args.why.look, out, |_, _| {
        Ok(format!("revision {} is published; each node takes it when it pulls\n", short(&revision)))
    })
}

fn forget(args: &RolloutForgetArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let operator = Operator::find(&args.look.gateway)?;
    let revision = whole(&args.revision, &listed(&operator)?)?;
    let answer = operator.delete(&["policies", "bundles", &revision])?;
    shown(&answer, &args.look, out, |_, _| Ok(format!("revision {} is forgotten\n", short(&revision))))
}

fn status(args: &RolloutStatusArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    let answer = Operator::find(&args.look.gateway)?.look(&["policies", "bundles"], &[])?;
    shown(&answer, &args.look, out, |answer, style| Ok(told(&read(answer)?, clock::now().0, style)))
}

// === asking ===

fn listed(operator: &Operator) -> Result<Listed, Failure> {
    read(&operator.look(&["policies", "bundles"], &[])?)
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|e| {
        Failure::new(Exit::Failed, format!("the gateway's answer cannot be read: {e}"), "try `--json`")
    })
}

/// A call that names the revision that it is about, where somebody named it.
pub(super) fn about(
    operator: &Operator,
    begins: Option<&str>,
    mut body: Map<String, Value>,
) -> Result<Value, Failure> {
    if let Some(begins) = begins {
        body.insert("revision".to_owned(), whole(begins, &listed(operator)?)?.into());
    }
    Ok(Value::Object(body))
}

pub(super) fn words(why: &RolloutWhyArgs) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(cause) = &why.cause {
        body.insert("cause".to_owned(), cause.as_str().into());
    }
    if why.anyway {
        body.insert("override".to_owned(), true.into());
    }
    body
}

/// The one revision that begins so, of those that the gateway holds.
fn whole(begins: &str, listed: &Listed) -> Result<String, Failure> {
    let mut found = listed.bundles.iter().map(|held| &held.revision).filter(|r| r.starts_with(begins));
    match (found.next(), found.next()) {
        (Some(one), None) if !begins.is_empty() => Ok(one.clone()),
        (Some(_), _) => {
            let message = format!("more than one revision begins with `{}`", printable(begins));
            Err(Failure::new(Exit::Mistaken, message, "write more of it"))
        }
        (None, _) => {
            let message =
                format!("`{}` is no file, no folder, and no revision that is held", printable(begins));
            Err(Failure::new(
                Exit::Mistaken,
                message,
                "`doorward policy rollout status` lists those that are",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::print::Held;
    use super::*;

    #[test]
    fn a_revision_is_found_by_how_it_begins() {
        let held = |digit: &str| Held { revision: digit.repeat(64), ..Held::default() };
        let listed = Listed { bundles: vec![held("a"), held("b"), held("ab")], ..Listed::default() };
        assert_eq!(whole("b", &listed).unwrap(), "b".repeat(64));
        for bad in ["a", "c", ""] {
            assert!(whole(bad, &listed).is_err(), "{bad}");
        }
    }
}
