//! `doorward policy who-can` and `doorward policy what-can`: for access reviews.

mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use doorward_model::{Principal, RouteFacts};
use doorward_policy::{Action, Workshop};
use doorward_proxy::find_route;
use doorward_workbench::reach::{Entry, Grant, Page, Reach, Subject};
use serde_json::Value;

use super::super::{Exit, Failure, Output, load_config, printable};
use super::Folder;
use super::check::unusable;
use super::whom::{self, AGENT, SERVICE_ACCOUNT, VISITOR, Whom};
use crate::cli::{Granted, PolicyWhatCanArgs, PolicyWhoCanArgs, ReachArgs, ReachFormat};
use crate::color::ColorChoice;
use crate::operator::Operator;
use table::{About, Table};

/// How many people are asked about in one call.
const PAGE: &str = "500";

/// Who can do this?
pub(super) fn who_can(
    args: &PolicyWhoCanArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let action = action(&args.action)?;
    let mut table = Table::about(About::Who { action, asked: args.route.clone() });
    match &args.how.dir {
        Some(dir) => {
            let shop = open(dir, color)?;
            let route = route(&shop, &args.how, &args.route, color)?;
            let grant = grant(&shop, &args.how);
            let mut reach = Reach::new(shop.bundle());
            let mut page = Page::default();
            for subject in everybody(&shop)? {
                let answer = reach.ask_at_door(&subject, grant, action, &route);
                page.add(&Entry::of(&subject, reach.revision()), action, &route, answer);
            }
            table.add(&of(&shop, page))?;
        }
        None => {
            let operator = Operator::find(&args.how.gateway)?;
            let asked = [("action", action.as_str()), ("route", args.route.as_str())];
            pages(&operator, "who-can", &asked, &mut table)?;
        }
    }
    print(&table, &args.how, out)
}

/// What can somebody do?
pub(super) fn what_can(
    args: &PolicyWhatCanArgs,
    color: ColorChoice,
    out: &mut Output<'_>,
) -> Result<Exit, Failure> {
    let mut table = Table::about(About::What { who: args.who.clone() });
    match &args.how.dir {
        Some(dir) => {
            let shop = open(dir, color)?;
            let subject =
                everybody(&shop)?.into_iter().find(|s| is_called(s, &args.who)).ok_or_else(|| {
                    let message = format!("nobody in the cases is called `{}`", printable(&args.who));
                    Failure::new(
                        Exit::Mistaken,
                        message,
                        "the people and programs stand in `cases/base.toml`",
                    )
                })?;
            let routes = routes(&shop, &args.how, color)?;
            let grant = grant(&shop, &args.how);
            let mut reach = Reach::new(shop.bundle());
            let entry = Entry::of(&subject, reach.revision());
            let mut page = Page::default();
            for (route, action) in routes.iter().flat_map(|r| Action::ALL.map(|a| (r, a))) {
                page.add(&entry, action, route, reach.ask_at_door(&subject, grant, action, route));
            }
            table.add(&of(&shop, page))?;
        }
        None => {
            let operator = Operator::find(&args.how.gateway)?;
            let Whom { kind, id } = find(&operator, &args.who)?;
            pages(&operator, "what-can", &[(kind, &id)], &mut table)?;
        }
    }
    print(&table, &args.how, out)
}

fn print(table: &Table, how: &ReachArgs, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match how.format {
        ReachFormat::Human => out.text(table.human(out.style))?,
        ReachFormat::Json => out.line(format_args!("{:#}", table.to_json()))?,
        ReachFormat::Csv => out.text(table.csv())?,
    }
    Ok(Exit::Done)
}

fn action(word: &str) -> Result<Action, Failure> {
    let upper = word.to_ascii_uppercase();
    Action::ALL.into_iter().find(|a| a.as_str() == upper).ok_or_else(|| {
        let words: Vec<_> = Action::ALL.iter().map(|a| a.as_str()).collect();
        let message = format!("`{}` is nothing that can be done", printable(word));
        Failure::new(Exit::Mistaken, message, format!("write one of {}", words.join(", ")))
    })
}

// === offline ===

/// Whether this is whom somebody means: by the name in the cases, the sign-in, or as a gateway has programs.
fn is_called(subject: &Subject, who: &str) -> bool {
    let program = match &*subject.principal {
        Principal::Agent(_) => who.strip_prefix(AGENT),
        Principal::ServiceAccount(_) => who.strip_prefix(SERVICE_ACCOUNT),
        Principal::User(_) | Principal::Visitor(_) => None,
    };
    subject.name == who || program == Some(&subject.name) || subject.id().as_deref() == Some(who)
}

/// A page as a gateway gives it: with the policies that it is by.
fn of(shop: &Workshop, page: Page) -> Value {
    let mut page = page.to_json();
    if let Some(members) = page.as_object_mut() {
        members.insert("revision".to_owned(), shop.bundle().revision().to_string().into());
    }
    page
}

fn open(dir: &Path, color: ColorChoice) -> Result<Workshop, Failure> {
    Folder::open(dir)?.load(None).map_err(|failure| unusable(&failure, color))
}

fn everybody(shop: &Workshop) -> Result<Vec<Subject>, Failure> {
    let subject = |named: Result<doorward_policy::Named<'_>, String>| {
        let named = named.map_err(|e| Failure::new(Exit::Mistaken, e, "mend it in `cases/base.toml`"))?;
        let (name, owner_stage) = (named.name.to_owned(), named.owner_stage);
        Ok(Subject { name, principal: named.principal, owner_stage })
    };
    shop.cases().everybody().map(subject).collect()
}

fn grant(shop: &Workshop, how: &ReachArgs) -> Grant {
    match (how.granted, shop.cases().granted()) {
        (Some(Granted::Yes), _) | (None, Some(true)) => Grant::Given,
        (Some(Granted::No), _) | (None, Some(false)) => Grant::NotGiven,
        (Some(Granted::Unknown), _) | (None, None) => Grant::Unknown,
    }
}

/// The routes of the configuration, if one is named; else those of the cases.
fn routes(shop: &Workshop, how: &ReachArgs, color: ColorChoice) -> Result<Vec<RouteFacts>, Failure> {
    if how.gateway.config.config.is_none() {
        return Ok(shop.cases().routes().collect());
    }
    let config = load_config(&how.gateway.config, color)?;
    Ok(config.routes().cloned().collect())
}

fn route(shop: &Workshop, how: &ReachArgs, said: &str, color: ColorChoice) -> Result<RouteFacts, Failure> {
    let nothing = |help: String| {
        Failure::new(Exit::Mistaken, format!("`{}` is no route that is known", printable(said)), help)
    };
    if how.gateway.config.config.is_some() {
        let config = load_config(&how.gateway.config, color)?;
        let found = find_route(&config.apps, said).map(|route| route.facts.clone());
        return found.ok_or_else(|| nothing("`doorward check` shows the routes".to_owned()));
    }
    let mut known: Vec<_> = shop.cases().routes().collect();
    match known.iter().position(|route| route.id.as_str() == said) {
        Some(at) => Ok(known.swap_remove(at)),
        None => {
            let names: Vec<_> = known.iter().map(|route| route.id.as_str()).collect();
            let names = match names.as_slice() {
                [] => "the cases define no route (`[route.\"app/route\"]` in `cases/base.toml`)".to_owned(),
                names => format!("the cases have {}", names.join(", ")),
            };
            Err(nothing(format!("{names}; with `--config FILE` paths are known too, as requests take them")))
        }
    }
}

// === a running gateway ===

/// Page by page: neither the gateway nor this holds more of the directory than a page and the answers.
fn pages(operator: &Operator, call: &str, asked: &[(&str, &str)], table: &mut Table) -> Result<(), Failure> {
    let progress = io::stderr().is_terminal();
    let mut after: Option<String> = None;
    loop {
        let mut query = asked.to_vec();
        query.push(("limit", PAGE));
        if let Some(after) = &after {
            query.push(("after", after));
        }
        let page = operator.look(&["access", call], &query)?;
        table.add(&page)?;
        after = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if progress {
            let _ = write!(io::stderr(), "\r{} asked about", table.len());
        }
        if after.is_none() {
            if progress {
                let _ = write!(io::stderr(), "\r\u{1b}[K");
            }
            return Ok(());
        }
    }
}

/// Whether it is a person, a machine, or who has not signed in; and the id.
fn find(operator: &Operator, who: &str) -> Result<Whom, Failure> {
    if who == VISITOR {
        return Ok(Whom { kind: VISITOR, id: "yes".to_owned() });
    }
    whom::find(operator, who)
}
