//! Names in a red line that nothing else knows. A line about `App::"payrol"` holds of every request for that
//! app, of which there is none.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use doorward_model::Principal;
use doorward_policy::Workshop;

/// The kinds whose names somebody makes up.
const KINDS: [&str; 5] = ["App", "AppGroup", "Route", "Role", "Group"];

/// The names in a line that stand in no policy and in no case.
pub(super) fn unheard_of(workshop: &Workshop, line: &Policy) -> Option<String> {
    let named = |policy: &Policy| {
        let all = policy.entity_literals().into_iter();
        let ours = all.filter(|name| KINDS.contains(&name.type_name().basename()));
        ours.map(|name| name.to_string()).collect::<BTreeSet<String>>()
    };
    let mut unheard = named(line);
    for source in workshop.policies() {
        unheard = &unheard - &named(source.policy());
    }
    let known = known_to_cases(workshop);
    unheard.retain(|name| !known.contains(name));
    if unheard.is_empty() {
        return None;
    }
    let names: Vec<String> = unheard.iter().map(|name| format!("`{name}`")).collect();
    Some(format!("no policy and no case knows {}: is it spelt so?", names.join(", ")))
}

fn known_to_cases(workshop: &Workshop) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut add = |kind: &str, name: &str| {
        known.insert(format!("{kind}::\"{name}\""));
    };
    for route in workshop.cases().routes() {
        add("Route", route.id.as_str());
        add("App", route.id.app().as_str());
        route.app_groups.iter().for_each(|group| add("AppGroup", group));
    }
    for named in workshop.cases().everybody().flatten() {
        let person = match &*named.principal {
            Principal::User(user) => user,
            Principal::Agent(agent) => &agent.on_behalf_of,
            Principal::ServiceAccount(_) | Principal::Visitor(_) => continue,
        };
        person.roles.iter().for_each(|role| add("Role", role));
        person.groups.iter().for_each(|group| add("Group", group));
    }
    known
}
