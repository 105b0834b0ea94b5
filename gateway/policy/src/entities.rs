//! What Cedar is told about who asks and what is asked for.
//!
//! The set is closed: every entity that a policy can look into (two steps at most, which
//! validation holds) is in it. Cedar answers "does not exist" to a look into a missing one and
//! then passes the policy over, and an entity with a missing parent is silently not in its group.
//! So all groups and roles stand as direct parents of the person, the actions come with the
//! schema, and a set with a hole is not asked about at all.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Entities, Entity, EntityUid, EvalResult, RestrictedExpression};
use doorward_model::{LifecycleStage, Principal, RouteFacts, User};

use crate::circumstances::datetime;
use crate::vocabulary::{Closed, Kind, VISITOR, Vocabulary, uid, whole};

/// Who asks and what is asked for, ready for Cedar.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) kind: Kind,
    pub(crate) principal: EntityUid,
    /// The principal itself and everything that it is in.
    pub(crate) principal_in: Vec<EntityUid>,
    pub(crate) resource: EntityUid,
    /// The route itself and everything that it is in.
    pub(crate) resource_in: Vec<EntityUid>,
    pub(crate) entities: Entities,
}

/// The attributes of an entity.
type Attributes = HashMap<String, RestrictedExpression>;

fn entity(id: EntityUid, attributes: Attributes, parents: HashSet<EntityUid>) -> Result<Entity, String> {
    Entity::new(id, attributes, parents).map_err(|e| whole(&e))
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> RestrictedExpression {
    // A route without a scope has the empty one, which nobody may hold.
    let texts = texts.into_iter().filter(|t| !t.is_empty());
    RestrictedExpression::new_set(texts.map(|t| RestrictedExpression::new_string(t.clone())))
}

impl Scene {
    /// Puts together who asks and what is asked for.
    pub(crate) fn new(
        words: &Vocabulary,
        principal: &Principal,
        owner_stage: LifecycleStage,
        route: &RouteFacts,
    ) -> Result<Self, String> {
        let mut all = route_entities(words, route)?;
        let resource = uid(&words.route, route.id.as_str());
        let (principal_uid, mut mine) = principal_entities(words, principal, owner_stage)?;
        all.append(&mut mine);
        let entities = words.entities(all)?;
        let scene = Self {
            kind: Kind::of(principal),
            principal_in: with_ancestors(&entities, &principal_uid),
            principal: principal_uid,
            resource_in: with_ancestors(&entities, &resource),
            resource,
            entities,
        };
        match scene.hole(words) {
            None => Ok(scene),
            Some(missing) => Err(format!("`{missing}` is missing from the entities")),
        }
    }

    /// An entity that a policy could look into and that is not there.
    fn hole(&self, words: &Vocabulary) -> Option<EntityUid> {
        let mut needed = vec![self.principal.clone(), self.resource.clone()];
        needed.extend(words.action_entities.iter().map(Entity::uid));
        for entity in self.entities.iter() {
            for (_, value) in entity.attrs().chain(entity.tags()) {
                match value {
                    Ok(value) => needed.extend(names(&value)),
                    // A value that is not known yet belongs to partial evaluation, not to us.
                    Err(_) => return Some(entity.uid()),
                }
            }
        }
        needed.retain(|n| !words.is_closed_list(n.type_name()));
        needed.into_iter().find(|n| self.entities.get(n).is_none())
    }
}

/// The entities that a value names.
fn names(value: &EvalResult) -> Vec<EntityUid> {
    match value {
        EvalResult::EntityUid(name) => vec![name.clone()],
        EvalResult::Set(set) => set.iter().flat_map(names).collect(),
        EvalResult::Record(record) => record.iter().flat_map(|(_, v)| names(v)).collect(),
        EvalResult::Bool(_) | EvalResult::Long(_) | EvalResult::String(_) | EvalResult::ExtensionValue(_) => {
            Vec::new()
        }
    }
}

fn with_ancestors(entities: &Entities, of: &EntityUid) -> Vec<EntityUid> {
    let above = entities.ancestors(of).into_iter().flatten();
    std::iter::once(of).chain(above).cloned().collect()
}

/// The route, its app and the sets of apps.
fn route_entities(words: &Vocabulary, route: &RouteFacts) -> Result<Vec<Entity>, String> {
    let app = uid(&words.app, route.id.app().as_str());
    let groups: HashSet<_> = route.app_groups.iter().map(|g| uid(&words.app_group, g)).collect();
    let attributes = Attributes::from([
        ("tier".into(), words.word(Closed::Tier, route.tier.as_str())),
        ("scope".into(), RestrictedExpression::new_string(route.scope.clone())),
        ("adminSurface".into(), RestrictedExpression::new_bool(route.admin_surface)),
        ("public".into(), RestrictedExpression::new_bool(route.public)),
    ]);
    let mut above = groups.clone();
    above.insert(app.clone());
    let mut all = vec![entity(uid(&words.route, route.id.as_str()), attributes, above)?];
    all.extend(groups.iter().map(|g| Entity::new_no_attrs(g.clone(), HashSet::new())));
    all.push(Entity::new_no_attrs(app, groups));
    Ok(all)
}

/// The principal and the people whom its attributes name.
fn principal_entities(
    words: &Vocabulary,
    principal: &Principal,
    owner_stage: LifecycleStage,
) -> Result<(EntityUid, Vec<Entity>), String> {
    let kind = words.kind(Kind::of(principal));
    match principal {
        Principal::User(user) => {
            let user = user_entity(words, user)?;
            Ok((user.uid(), vec![user]))
        }
        Principal::ServiceAccount(account) => {
            let id = uid(kind, &account.id.to_string());
            let owner = uid(&words.owner, &account.owner.to_string());
            let stage = |s: LifecycleStage| ("lifecycle".into(), words.word(Closed::Lifecycle, s.as_str()));
            let attributes = Attributes::from([
                stage(account.stage),
                ("owner".into(), RestrictedExpression::new_entity_uid(owner.clone())),
                ("scopes".into(), texts(&account.scopes)),
            ]);
            let owner = entity(owner, Attributes::from([stage(owner_stage)]), HashSet::new())?;
            Ok((id.clone(), vec![entity(id, attributes, HashSet::new())?, owner]))
        }
        Principal::Agent(agent) => {
            let id = uid(kind, &agent.id.to_string());
            let person = user_entity(words, &agent.on_behalf_of)?;
            let attributes = Attributes::from([
                ("onBehalfOf".into(), RestrictedExpression::new_entity_uid(person.uid())),
                ("scopes".into(), texts(&agent.scopes)),
            ]);
            Ok((id.clone(), vec![entity(id, attributes, HashSet::new())?, person]))
        }
        Principal::Visitor(_) => {
            let id = uid(kind, VISITOR);
            Ok((id.clone(), vec![Entity::new_no_attrs(id, HashSet::new())]))
        }
    }
}

fn user_entity(words: &Vocabulary, user: &User) -> Result<Entity, String> {
    let mut attributes = Attributes::from([
        ("lifecycle".into(), words.word(Closed::Lifecycle, user.stage.as_str())),
        ("employment".into(), words.word(Closed::Employment, user.employment.as_str())),
        ("homeCountry".into(), words.country(user.home_country)),
    ]);
    // An end that no calendar has is one that nobody knows.
    if let Some(end) = user.contract_end.and_then(datetime) {
        attributes.insert("contractEnd".into(), end);
    }
    if let Some(department) = &user.department {
        attributes.insert("department".into(), RestrictedExpression::new_string(department.clone()));
    }
    let groups = user.groups.iter().map(|g| uid(&words.group, g));
    let roles = user.roles.iter().map(|r| uid(&words.role, r));
    let tags = user.tags.iter().map(|(k, v)| (k.clone(), RestrictedExpression::new_string(v.clone())));
    let id = uid(words.kind(Kind::User), &user.id.to_string());
    Entity::new_with_tags(id, attributes, groups.chain(roles), tags).map_err(|e| whole(&e))
}

#[cfg(test)]
mod tests {
    use doorward_model::principal::{Agent, ServiceAccount, Visitor};
    use doorward_model::{AppId, CountryCode, Employment, RouteId, Tier};

    use super::*;

    const SCHEMA: &str = include_str!("../../../policies/schema.cedarschema");

    fn words() -> Vocabulary {
        let (schema, _) = cedar_policy::Schema::from_cedarschema_str(SCHEMA).unwrap();
        Vocabulary::new(schema, SCHEMA).unwrap()
    }

    fn route() -> RouteFacts {
        RouteFacts {
            id: RouteId::new(AppId::new("build").unwrap(), "all").unwrap(),
            app_groups: vec!["engineering".into(), "all".into()],
            tier: Tier::Internal,
            scope: String::new(),
            admin_surface: false,
            public: false,
        }
    }

    fn user() -> User {
        User {
            id: "corp:bob".parse().unwrap(),
            name: None,
            email: None,
            groups: ["g".to_owned()].into(),
            roles: ["r".to_owned(), "s".to_owned()].into(),
            stage: LifecycleStage::Active,
            employment: Employment::Employee,
            contract_end: Some(doorward_model::UnixMillis(i64::MAX)),
            home_country: CountryCode::new("QQ").unwrap(),
            department: None,
            tags: [("k".to_owned(), "v".to_owned())].into(),
        }
    }

    fn principals() -> [Principal; 4] {
        let id = || "corp:m".parse().unwrap();
        let scopes = std::collections::BTreeSet::from([String::new()]);
        let stage = LifecycleStage::Active;
        [
            Principal::User(user()),
            Principal::ServiceAccount(ServiceAccount {
                id: id(),
                owner: id(),
                scopes: scopes.clone(),
                stage,
            }),
            Principal::Agent(Agent { id: id(), on_behalf_of: user(), scopes }),
            Principal::Visitor(Visitor),
        ]
    }

    /// Hazard 4: an entity that is looked into and is not there makes a forbid an error.
    #[test]
    fn hazard_4_a_set_without_any_one_entity_that_can_be_looked_into_is_refused() {
        let words = words();
        let open_to_looks = ["User", "ServiceAccount", "Agent", "Visitor", "Owner", "Route", "Action"];
        for principal in principals() {
            let whole = Scene::new(&words, &principal, LifecycleStage::Unknown, &route()).unwrap();
            assert_eq!(whole.hole(&words), None);
            for gone in whole.entities.iter().map(Entity::uid) {
                let rest = whole.entities.iter().filter(|e| e.uid() != gone).cloned();
                let entities = Entities::from_entities(rest, None).unwrap();
                let scene = Scene::new(&words, &principal, LifecycleStage::Unknown, &route()).unwrap();
                let found = Scene { entities, ..scene }.hole(&words);
                // Apps and their groups have nothing to look into; the route carries them all.
                let needed = open_to_looks.contains(&gone.type_name().basename());
                assert_eq!(found, needed.then_some(gone));
            }
        }
    }

    /// Hazard 5: without the actions as entities, `action in Action::"write"` is silently false.
    #[test]
    fn hazard_5_the_actions_are_in_their_groups() {
        let words = words();
        let scene = Scene::new(&words, &principals()[0], LifecycleStage::Unknown, &route()).unwrap();
        let is_in = |action: &str, group: &str| {
            let name = |id: &str| format!("Action::\"{id}\"").parse().unwrap();
            scene.entities.is_ancestor_of(&name(group), &name(action))
        };
        for action in crate::question::Action::ALL {
            let word = action.as_str();
            let read = ["GET", "HEAD", "OPTIONS"].contains(&word);
            assert!(is_in(word, "access"));
            assert_eq!(is_in(word, "read"), read, "{word}");
            assert_eq!(is_in(word, "write"), !read && word != "UPGRADE", "{word}");
        }
    }

    /// Hazard 6: a role that is reached through a group which is not there is silently lost.
    #[test]
    fn hazard_6_every_group_and_role_is_a_direct_parent() {
        let words = words();
        for (principal, who) in principals().iter().zip(["User::\"corp:bob\"", "", "User::\"corp:bob\"", ""])
        {
            let scene = Scene::new(&words, principal, LifecycleStage::Unknown, &route()).unwrap();
            for parent in ["Group::\"g\"", "Role::\"r\"", "Role::\"s\""] {
                let parent = parent.parse().unwrap();
                let held = who.parse().is_ok_and(|who| scene.entities.is_ancestor_of(&parent, &who));
                assert_eq!(held, !who.is_empty());
            }
            for above in ["App::\"build\"", "AppGroup::\"engineering\"", "AppGroup::\"all\""] {
                assert!(scene.resource_in.contains(&above.parse().unwrap()));
            }
        }
    }

    #[test]
    fn what_no_list_and_no_calendar_has_is_unknown() {
        let words = words();
        let scene = Scene::new(&words, &principals()[0], LifecycleStage::Unknown, &route()).unwrap();
        let bob = scene.entities.get(&scene.principal).unwrap();
        assert_eq!(bob.attr("homeCountry").unwrap().unwrap().to_string(), "Country::\"ZZ\"");
        assert!(bob.attr("contractEnd").is_none());
        assert_eq!(bob.tag("k").unwrap().unwrap().to_string(), "\"v\"");
    }

    #[test]
    fn an_empty_scope_is_held_by_nobody() {
        let words = words();
        let scene = Scene::new(&words, &principals()[1], LifecycleStage::Unknown, &route()).unwrap();
        let account = scene.entities.get(&scene.principal).unwrap();
        assert_eq!(account.attr("scopes").unwrap().unwrap().to_string(), "[]");
    }
}
