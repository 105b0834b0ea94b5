//! `doorward policy explain`: why, and what would have to change.

mod asked;
mod cedar;
mod live;
mod print;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use doorward_model::limits::POLICY_FILE_BYTES_MAX;
use doorward_policy::{ForeignSet, PolicySource, Workshop};
use serde_json::{Value, json};

use super::super::{Exit, Failure, Output, json_text, load_config, printable};
use super::check::unusable;
use super::{Folder, short};
use crate::cli::{Format, PolicyExplainArgs};
use crate::color::ColorChoice;

/// Explains one request.
pub(super) fn explain(
    args: &PolicyExplainArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let mut notes = Vec::new();
    let (told, sources) = match (&args.request_json, args.live) {
        (Some(request), _) => {
            let set = foreign(args)?;
            let text = |path: &Option<PathBuf>| path.as_deref().map_or_else(|| Ok("[]".to_owned()), read);
            let explained = set.explain(&read(request)?, &text(&args.entities)?);
            let explained =
                explained.map_err(|e| Failure::new(Exit::Mistaken, printable(&e), "mend the file"))?;
            (explained.to_json(), Sources::Foreign(set))
        }
        (None, true) => {
            let (asked, shop) = live::asked(args, color, &mut notes)?;
            let told = live::told(args, &asked)?;
            notes.push(live::in_force(&told, shop.as_ref()));
            (told, shop.map_or(Sources::Unknown, |shop| Sources::Folder(Box::new(shop))))
        }
        (None, false) => {
            let shop = open(args, color)?;
            (of_folder(args, &shop, color, &mut notes)?, Sources::Folder(Box::new(shop)))
        }
    };
    if let Some(why) = told.get("unasked").and_then(Value::as_str) {
        let help = "a request like this is refused without asking any policy";
        return Err(Failure::new(Exit::Failed, format!("the policies cannot be asked: {why}"), help));
    }
    match args.format {
        Format::Human => out.text(print::human(&told, &sources, &notes, args.all, out.style))?,
        Format::Json => {
            let mut told = told;
            if let Some(map) = told.as_object_mut() {
                map.insert("notes".to_owned(), json!(notes));
            }
            print::place(&mut told, &sources);
            out.line(json_text(&told))?;
        }
    }
    Ok(Exit::Done)
}

/// Where the policies are written that an explanation names.
enum Sources {
    Folder(Box<Workshop>),
    Foreign(ForeignSet),
    /// They are those of a running gateway.
    Unknown,
}

impl Sources {
    fn find(&self, id: &str) -> Option<&PolicySource> {
        let all = match self {
            Self::Folder(shop) => shop.policies(),
            Self::Foreign(set) => set.policies(),
            Self::Unknown => &[],
        };
        all.iter().find(|source| source.id() == id)
    }
}

/// By the policies of a folder.
fn of_folder(
    args: &PolicyExplainArgs,
    shop: &Workshop,
    color: ColorChoice,
    notes: &mut Vec<String>,
) -> Result<Value, Failure> {
    let here = shop.bundle().revision().to_string();
    let test = args.case.as_deref().map(|name| cedar::explained(shop, name)).transpose()?;
    let (mut told, words) = match test.flatten() {
        Some((explanation, words)) => {
            notes.push("decided as Cedar decides a test: a policy that fails is passed over".to_owned());
            (explanation.to_json(), words)
        }
        None => {
            let asked = asked::over(args, shop, color, notes)?;
            if let Some(then) = asked.revision.as_ref().filter(|then| **then != here) {
                notes.push(format!(
                    "the policies of this folder are NOT those that decided then: these have revision {}, those had {}",
                    short(&here),
                    short(then)
                ));
            }
            (shop.bundle().explain(&asked.situation).to_json(), asked.words)
        }
    };
    if let Some(map) = told.as_object_mut() {
        map.insert("asked".to_owned(), words.into());
        map.insert("revision".to_owned(), here.into());
    }
    Ok(told)
}

/// The folder with the policies.
fn open(args: &PolicyExplainArgs, color: ColorChoice) -> Result<Workshop, Failure> {
    let dir = match &args.dir {
        Some(dir) => Folder::open(dir)?,
        None => Folder::plain(load_config(&args.gateway.config, color)?.policy.dir.clone()),
    };
    // A case that fails is a reason to ask, and not one to refuse the answer.
    dir.untried(None).map_err(|failure| unusable(&failure, color))
}

fn foreign(args: &PolicyExplainArgs) -> Result<ForeignSet, Failure> {
    let named = |path: &Path| Ok::<_, Failure>((path.display().to_string(), read(path)?));
    let schema = args.schema.as_deref().map(named).transpose()?;
    let policies = args.policies.as_deref().map_or_else(|| Ok(Default::default()), named)?;
    let schema = schema.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    ForeignSet::read(schema, (&policies.0, &policies.1)).map_err(|findings| Failure {
        exit: Exit::Mistaken,
        message: findings.iter().map(|f| printable(&f.to_string())).collect::<Vec<_>>().join("\n"),
        help: None,
    })
}

/// A file of text.
fn read(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path)
        .and_then(|file| file.take(POLICY_FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|e| {
            Failure::new(Exit::Mistaken, format!("`{shown}` cannot be read: {e}"), "name another file")
        })?;
    if read as u64 > POLICY_FILE_BYTES_MAX {
        let message = format!("`{shown}` is larger than {POLICY_FILE_BYTES_MAX} bytes");
        return Err(Failure::new(Exit::Mistaken, message, "split it"));
    }
    Ok(text)
}
