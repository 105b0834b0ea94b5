//! What the schema has and the gateway never says.
//!
//! A policy that asks for such a word is valid, and never applies: a forbid that forbids nothing.
//! So the schema is laid beside everything that the gateway says when all of it is known, and
//! whatever has no counterpart is a mistake.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entities, Entity, EntityTypeName, EvalResult, SchemaFragment};
use doorward_model::{DeviceAssurance, Employment, LifecycleStage, RiskLevel, Tier, Weekday};
use serde_json::Value;

use crate::question::Action;
use crate::vocabulary::Vocabulary;

/// Everything that was said in a full rehearsal.
#[derive(Debug, Default)]
pub(super) struct Said {
    entities: BTreeMap<String, Words>,
    context: BTreeMap<String, EvalResult>,
}

/// What was said about the entities of one type.
#[derive(Debug, Default)]
struct Words {
    attributes: BTreeMap<String, EvalResult>,
    tags: bool,
    above: BTreeSet<String>,
}

impl Said {
    pub(super) fn entities(&mut self, entities: &Entities) {
        for entity in entities.iter() {
            let words = self.entities.entry(entity.uid().type_name().to_string()).or_default();
            words.tags |= entity.tags().next().is_some();
            let known = entity.attrs().filter_map(|(name, value)| Some((name.to_owned(), value.ok()?)));
            words.attributes.extend(known);
            let above = entities.ancestors(&entity.uid()).into_iter().flatten();
            words.above.extend(above.map(|e| e.type_name().to_string()));
        }
    }

    pub(super) fn context(&mut self, context: &Context) {
        let said = context.clone().into_iter().filter_map(|(name, _)| {
            let value = context.get(&name)?;
            Some((name, value))
        });
        self.context.extend(said);
    }
}

/// Lays the schema beside what was said.
pub(super) fn compare(text: &str, words: &Vocabulary, said: &Said) -> Result<Vec<String>, String> {
    let (fragment, _) = SchemaFragment::from_cedarschema_str(text).map_err(|e| e.to_string())?;
    let json = fragment.to_json_value().map_err(|e| e.to_string())?;
    let mut found = Beside { common: json.pointer("//commonTypes"), wrong: Vec::new() };
    let namespaces = json.as_object().into_iter().flatten();
    for (name, _) in namespaces.filter(|(name, _)| !name.is_empty()) {
        found.wrong.push(format!("the gateway never says anything in the namespace `{name}`"));
    }
    let empty = Value::Null;
    found.types(json.pointer("//entityTypes").unwrap_or(&empty), words, said);
    let context = json.pointer("//actions/GET/appliesTo/context").unwrap_or(&empty);
    found.record(context, "context", &|name| said.context.get(name));
    found.actions(words);
    Ok(found.wrong)
}

struct Beside<'a> {
    /// The named types.
    common: Option<&'a Value>,
    wrong: Vec<String>,
}

impl Beside<'_> {
    fn never(&mut self, what: impl std::fmt::Display) {
        self.wrong.push(format!("the gateway never says `{what}`"));
    }

    fn types(&mut self, types: &Value, words: &Vocabulary, said: &Said) {
        let nothing = Words::default();
        for (name, declared) in types.as_object().into_iter().flatten() {
            if let Some(members) = declared.get("enum") {
                self.closed_list(name, members);
                continue;
            }
            let of = said.entities.get(name).unwrap_or(&nothing);
            if !said.entities.contains_key(name) && !is_only_named(name, words) {
                self.never(name);
                continue;
            }
            if let Some(shape) = declared.get("shape") {
                self.record(shape, name, &|attribute| of.attributes.get(attribute));
            }
            if declared.get("tags").is_some() && !of.tags {
                self.never(format_args!("{name}.getTag(…)"));
            }
            let above = declared.get("memberOfTypes").and_then(Value::as_array).into_iter().flatten();
            for above in above.filter_map(Value::as_str).filter(|a| !of.above.contains(*a)) {
                self.wrong.push(format!("the gateway never says that a `{name}` is in a `{above}`"));
            }
        }
    }

    /// The words of a closed list that none of our enums has. Countries come from databases that
    /// know more than any list.
    fn closed_list(&mut self, name: &str, members: &Value) {
        let ours: Vec<&str> = match name {
            "Lifecycle" => LifecycleStage::ALL.map(LifecycleStage::as_str).to_vec(),
            "Employment" => Employment::ALL.map(Employment::as_str).to_vec(),
            "Tier" => Tier::ALL.map(Tier::as_str).to_vec(),
            "Weekday" => Weekday::ALL.map(Weekday::as_str).to_vec(),
            "DeviceAssurance" => DeviceAssurance::ALL.map(DeviceAssurance::as_str).to_vec(),
            "RiskLevel" => RiskLevel::ALL.map(RiskLevel::as_str).to_vec(),
            "Country" => return,
            _ => return self.never(name),
        };
        let members = members.as_array().into_iter().flatten().filter_map(Value::as_str);
        for member in members.filter(|m| !ours.contains(m)) {
            self.never(format_args!("{name}::\"{member}\""));
        }
    }

    /// Every field of a record, through named types, that `get` does not have. Named types do not
    /// hold themselves, or Cedar would have refused the schema.
    fn record<'v>(&mut self, declared: &Value, at: &str, get: &dyn Fn(&str) -> Option<&'v EvalResult>) {
        let declared = self.resolved(declared).clone();
        for (name, field) in declared.get("attributes").and_then(Value::as_object).into_iter().flatten() {
            let at = format!("{at}.{name}");
            match get(name) {
                None => self.never(at),
                Some(value) => self.value(field, &at, value),
            }
        }
    }

    fn value(&mut self, declared: &Value, at: &str, value: &EvalResult) {
        match value {
            EvalResult::Record(record) => self.record(declared, at, &|name| record.get(name)),
            EvalResult::Set(set) => {
                let element = self.resolved(declared).get("element").cloned();
                if let (Some(element), Some(first)) = (element, set.iter().next()) {
                    self.value(&element, at, first);
                }
            }
            EvalResult::Bool(_)
            | EvalResult::Long(_)
            | EvalResult::String(_)
            | EvalResult::EntityUid(_)
            | EvalResult::ExtensionValue(_) => {}
        }
    }

    /// What a named type stands for.
    fn resolved<'v>(&'v self, declared: &'v Value) -> &'v Value {
        let mut at = declared;
        loop {
            let name = at.get("name").or_else(|| at.get("type")).and_then(Value::as_str);
            match name.and_then(|name| self.common?.get(name)) {
                Some(next) => at = next,
                None => return at,
            }
        }
    }

    /// Who may do what to what, and which actions are in which groups: `POST` in `read` would let
    /// readers write.
    fn actions(&mut self, words: &Vocabulary) {
        for (action, ours) in Action::ALL.map(|a| (words.action(a), groups(a))) {
            let above: BTreeSet<String> = words
                .action_entities
                .ancestors(action)
                .into_iter()
                .flatten()
                .map(|group| group.id().unescaped().to_owned())
                .collect();
            if above != ours.iter().map(|g| (*g).to_owned()).collect() {
                self.wrong.push(format!("the groups of `{action}` are {}", ours.join(" and ")));
            }
            let kinds = words.schema.principals_for_action(action).into_iter().flatten();
            for name in kinds.filter(|name| !words.is_kind(name)) {
                self.wrong.push(format!("the gateway never says that a `{name}` does `{action}`"));
            }
            let resources = words.schema.resources_for_action(action).into_iter().flatten();
            for name in resources.filter(|name| **name != words.route) {
                self.wrong.push(format!("the gateway never says `{action}` of a `{name}`"));
            }
        }
        let all = ["access", "read", "write"];
        let ours = |e: &Entity| {
            let id = e.uid();
            let id = id.id().unescaped();
            all.contains(&id) || Action::ALL.iter().any(|a| a.as_str() == id)
        };
        for action in words.action_entities.iter().filter(|e| !ours(e)) {
            self.never(action.uid());
        }
    }
}

/// The groups that an action is in.
const fn groups(action: Action) -> &'static [&'static str] {
    match action {
        Action::Get | Action::Head | Action::Options => &["access", "read"],
        Action::Post | Action::Put | Action::Patch | Action::Delete => &["access", "write"],
        Action::Upgrade => &["access"],
    }
}

/// Roles and groups are only named as parents, and stand in no set of entities themselves.
fn is_only_named(name: &str, words: &Vocabulary) -> bool {
    let is = |of: &EntityTypeName| of.to_string() == name;
    is(&words.role) || is(&words.group)
}
