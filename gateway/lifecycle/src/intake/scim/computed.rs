//! What is not stored with a resource but follows from others: the groups of a user, the members of a
//! group (RFC 7643 §4.1.2, §4.2). A connection is shown its own.

use std::collections::{BTreeMap, BTreeSet};

use doorward_model::directory::{GROUP_NESTING_MAX, GroupId, PersonId};
use doorward_state::directory::form::Member;
use serde_json::{Value, json};

use super::desk::Desk;
use crate::scim::{self, ResourceType};

/// The value of [`ResourceType::computed`] for one resource.
pub(super) fn of(desk: &Desk<'_>, kind: ResourceType, id: &str) -> Vec<Value> {
    match kind {
        ResourceType::User => id.parse().map(|id| groups(desk, id)).unwrap_or_default(),
        ResourceType::Group => id.parse().map(|id| members(desk, id)).unwrap_or_default(),
    }
}

fn members(desk: &Desk<'_>, id: GroupId) -> Vec<Value> {
    let connection = &desk.caller.connection.id;
    let mine = desk.scim.lives.members(id).into_iter().filter(|m| desk.scim.roster.has(connection, *m));
    mine.map(|member| match member {
        Member::Person(id) => {
            scim::Member::resource(&id.to_string(), ResourceType::User, None, &desk.caller.base)
        }
        Member::Group(id) => {
            let name = desk.scim.roster.group_name(connection, id);
            let name = name.as_deref().map(|name| desk.caller.connection.terms.said_name(name));
            scim::Member::resource(&id.to_string(), ResourceType::Group, name, &desk.caller.base)
        }
    })
    .collect()
}

fn groups(desk: &Desk<'_>, id: PersonId) -> Vec<Value> {
    let connection = &desk.caller.connection.id;
    let direct: BTreeSet<GroupId> = desk.scim.roster.groups_of(Member::Person(id)).into_iter().collect();
    let mut all: BTreeMap<GroupId, &str> = BTreeMap::new();
    let mut level: Vec<GroupId> = direct.iter().copied().collect();
    for depth in 0..=GROUP_NESTING_MAX {
        let word = if depth == 0 { "direct" } else { "indirect" };
        level.retain(|group| !all.contains_key(group));
        all.extend(level.iter().map(|group| (*group, word)));
        let fresh = std::mem::take(&mut level);
        level = fresh.iter().flat_map(|group| desk.scim.roster.groups_of(Member::Group(*group))).collect();
    }
    let shown = all.into_iter().filter_map(|(group, word)| {
        let name = desk.scim.roster.group_name(connection, group)?;
        Some(json!({
            "value": group.to_string(),
            "$ref": format!("{}/Groups/{group}", desk.caller.base),
            "display": desk.caller.connection.terms.said_name(&name),
            "type": word,
        }))
    });
    shown.collect()
}

/// Everybody who is in a group, directly or by groups in it.
pub(super) fn everybody(desk: &Desk<'_>, group: GroupId) -> BTreeSet<PersonId> {
    let (mut people, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![group]);
    while let Some(group) = open.pop() {
        if !seen.insert(group) {
            continue;
        }
        for member in desk.scim.lives.members(group) {
            match member {
                Member::Person(id) => {
                    people.insert(id);
                }
                Member::Group(id) => open.push(id),
            }
        }
    }
    people
}
