//! What the running gateway would decide: by the policies that decide there, with what its directory says of whoever
//! asks.

use doorward_policy::{Cases, Workshop};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::super::{Exit, Failure, printable};
use super::super::short;
use super::super::whom::{self, VISITOR};
use super::asked::{Asked, over, recorded, time_said, words};
use super::open;
use crate::cli::PolicyExplainArgs;
use crate::clock;
use crate::color::ColorChoice;
use crate::operator::{ApiError, Operator};

/// What is asked; and the folder, where one is named or needed.
pub(super) fn asked(
    args: &PolicyExplainArgs,
    color: ColorChoice,
    notes: &mut Vec<String>,
) -> Result<(Asked, Option<Workshop>), Failure> {
    if args.request.is_some() && args.dir.is_none() {
        return Ok((recorded(args, color, notes)?, None));
    }
    let (Some(who), Some(does)) = (&args.who, &args.does) else {
        let shop = open(args, color)?;
        return Ok((over(args, &shop, color, notes)?, Some(shop)));
    };
    let shop = args.dir.is_some().then(|| open(args, color)).transpose()?;
    let operator = Operator::find(&args.gateway)?;
    let whom = match (who.as_str(), directory(&operator)?) {
        (VISITOR, _) => None,
        (_, true) => Some(whom::find(&operator, who)?),
        (_, false) => {
            let Some(shop) = shop else {
                let message = "the gateway has no directory, so that it does not know who there is";
                let help = "`--dir DIR` names a folder with cases; whoever asks is then one of theirs";
                return Err(Failure::new(Exit::Mistaken, message, help));
            };
            notes.push(format!(
                "the gateway has no directory: `{who}` is as the cases say, and so is the rest"
            ));
            return Ok((over(args, &shop, color, notes)?, Some(shop)));
        }
    };
    if whom.is_some() && args.with.iter().any(|with| with.split_whitespace().any(|w| w.starts_with("person")))
    {
        let message = "who somebody is the gateway's directory says, and `--with` cannot say otherwise";
        return Err(Failure::new(Exit::Mistaken, message, "leave out the words that begin with `person`"));
    }
    let none = Cases::none(clock::now());
    let cases = shop.as_ref().map_or(&none, Workshop::cases);
    let words = words(VISITOR, does, &args.with)?;
    let situation = cases.situated_for_nobody(&words).map_err(|e| {
        let help = "the words of `--with` stand in the README of the policies";
        Failure::new(Exit::Mistaken, printable(&e), help)
    })?;
    Ok((Asked::of(format!("{does} as {who}"), situation, whom, time_said(&words)), shop))
}

/// Whether the gateway knows who there is.
fn directory(operator: &Operator) -> Result<bool, Failure> {
    match operator.look(&["users"], &[("limit", "1")]) {
        Ok(_) => Ok(true),
        Err(ApiError::Refused { status: StatusCode::CONFLICT, .. }) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// What the gateway says.
pub(super) fn told(args: &PolicyExplainArgs, asked: &Asked) -> Result<Value, Failure> {
    let operator = Operator::find(&args.gateway)?;
    let mut body = json!({ "situation": doorward_policy::record::write(&asked.situation.question()) });
    if let Some(map) = body.as_object_mut() {
        if let Some(whom) = &asked.whom {
            map.insert(whom.kind.to_owned(), whom.id.as_str().into());
        }
        if let Some(said) = &asked.said {
            map.insert("said".to_owned(), json!(said));
        }
    }
    let mut told = operator.ask(Method::POST, &["policies", "explain"], &body)?;
    if let Some(map) = told.as_object_mut() {
        map.insert("asked".to_owned(), asked.words.as_str().into());
    }
    Ok(told)
}

/// By which policies it was answered.
pub(super) fn in_force(told: &Value, shop: Option<&Workshop>) -> String {
    let there = told.get("revision").and_then(Value::as_str).unwrap_or_default();
    let by = format!("by the policies that decide there now, revision {}", short(there));
    match shop.map(|shop| shop.bundle().revision().to_string()) {
        Some(here) if here != there => {
            format!("{by}; those of the folder have revision {} and may be written elsewhere", short(&here))
        }
        Some(_) | None => by,
    }
}
