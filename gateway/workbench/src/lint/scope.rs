//! The scope of a policy: who, what, and on what.

use std::collections::BTreeSet;

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PrincipalConstraint, ResourceConstraint, Schema,
};
use doorward_policy::Rule;
use doorward_policy::conditions::Part;

use super::Subject;
use super::form::Form;
use super::found::Found;

/// The scope of a policy, so that two can be held against each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    principal: Side,
    actions: Option<BTreeSet<String>>,
    resource: Side,
}

/// The principal and the resource of a scope.
pub(super) type Sides = (Side, Side);

/// What a scope says of the principal, or of the resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Side {
    Any,
    Is(EntityTypeName),
    In(Option<EntityTypeName>, EntityUid),
    Exactly(EntityUid),
}

/// Which actions there are, and in which groups.
#[derive(Debug)]
pub(super) struct Actions {
    /// Each action that can be asked for, with the groups that it is in.
    all: Option<Vec<(String, BTreeSet<String>)>>,
}

impl Actions {
    /// Those of the schema; without one only names are compared.
    pub(super) fn new(schema: Option<&Schema>) -> Self {
        let all = schema.and_then(|schema| {
            let entities = schema.action_entities().ok()?;
            let askable = |a: &&EntityUid| {
                schema.principals_for_action(a).is_some_and(|mut principals| principals.next().is_some())
            };
            let with_groups = |action: &EntityUid| {
                let groups = entities.ancestors(action).into_iter().flatten();
                (action.to_string(), groups.map(ToString::to_string).collect())
            };
            Some(schema.actions().filter(askable).map(with_groups).collect())
        });
        Self { all }
    }

    /// The actions that a scope stands for; none for all, where nobody knows which there are.
    fn of(&self, constraint: &ActionConstraint) -> Option<BTreeSet<String>> {
        let named: Vec<String> = match constraint {
            ActionConstraint::Any => match &self.all {
                Some(all) => return Some(all.iter().map(|(action, _)| action.clone()).collect()),
                None => return None,
            },
            ActionConstraint::Eq(action) => {
                return Some(BTreeSet::from([action.to_string()]));
            }
            ActionConstraint::In(actions) => actions.iter().map(ToString::to_string).collect(),
        };
        let Some(all) = &self.all else { return Some(named.into_iter().collect()) };
        let within = |(action, groups): &&(String, BTreeSet<String>)| {
            named.iter().any(|n| n == action || groups.contains(n))
        };
        Some(all.iter().filter(within).map(|(action, _)| action.clone()).collect())
    }
}

impl Scope {
    pub(super) fn new(policy: &Policy, actions: &Actions) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Side::Any,
            PrincipalConstraint::Is(of) => Side::Is(of),
            PrincipalConstraint::In(uid) => Side::In(None, uid),
            PrincipalConstraint::IsIn(of, uid) => Side::In(Some(of), uid),
            PrincipalConstraint::Eq(uid) => Side::Exactly(uid),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Side::Any,
            ResourceConstraint::Is(of) => Side::Is(of),
            ResourceConstraint::In(uid) => Side::In(None, uid),
            ResourceConstraint::IsIn(of, uid) => Side::In(Some(of), uid),
            ResourceConstraint::Eq(uid) => Side::Exactly(uid),
        };
        Self { principal, actions: actions.of(&policy.action_constraint()), resource }
    }

    /// Whether whatever `other` is about, this is about as well. That may be so and not be known.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let actions = match (&self.actions, &other.actions) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine.is_superset(theirs),
        };
        actions && self.principal.covers(&other.principal) && self.resource.covers(&other.resource)
    }

    /// The app that it is about, if it is about one only, in the words of the schema that comes with Doorward.
    pub(super) fn app(&self) -> Option<String> {
        let uid = match &self.resource {
            Side::Any | Side::Is(_) => return None,
            Side::In(_, uid) | Side::Exactly(uid) => uid,
        };
        let name = uid.id().unescaped();
        match uid.type_name().basename() {
            "App" => Some(name.to_owned()),
            "Route" => Some(name.split_once('/').map_or(name, |(app, _)| app).to_owned()),
            _ => None,
        }
    }

    /// How much it takes to hold another one against it.
    pub(super) fn weight(&self) -> usize {
        self.actions.as_ref().map_or(1, BTreeSet::len)
    }

    /// Its principal and its resource.
    pub(super) fn sides(&self) -> Sides {
        (self.principal.clone(), self.resource.clone())
    }

    /// The principals and resources of all scopes that can cover this one.
    pub(super) fn above(&self) -> Vec<Sides> {
        let resources = self.resource.above();
        let with = |principal: Side| resources.iter().map(move |r| (principal.clone(), r.clone()));
        self.principal.above().into_iter().flat_map(with).collect()
    }
}

impl Side {
    /// Itself and all that covers it, the widest first.
    fn above(&self) -> Vec<Self> {
        let mut all = match self {
            Self::Any => Vec::new(),
            Self::Is(_) | Self::In(None, _) => vec![Self::Any],
            Self::In(Some(of), uid) => vec![Self::Any, Self::Is(of.clone()), Self::In(None, uid.clone())],
            Self::Exactly(uid) => {
                let of = uid.type_name();
                let within = Self::In(Some(of.clone()), uid.clone());
                vec![Self::Any, Self::Is(of.clone()), Self::In(None, uid.clone()), within]
            }
        };
        all.push(self.clone());
        all
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Is(mine), Self::Is(theirs) | Self::In(Some(theirs), _)) => mine == theirs,
            (Self::Is(mine), Self::Exactly(uid)) => mine == uid.type_name(),
            (Self::In(of, above), Self::In(other_of, uid)) => {
                above == uid && (of.is_none() || of == other_of)
            }
            (Self::In(of, above), Self::Exactly(uid)) => {
                above == uid && of.as_ref().is_none_or(|of| of == uid.type_name())
            }
            (Self::Exactly(mine), Self::Exactly(theirs)) => mine == theirs,
            (Self::Is(_), Self::Any | Self::In(None, _)) => false,
            (Self::In(..) | Self::Exactly(_), Self::Any | Self::Is(_)) => false,
            (Self::Exactly(_), Self::In(..)) => false,
        }
    }
}

/// What is wrong with the scope of one policy.
pub(super) fn lint(subject: &Subject<'_>, schema: Option<&Schema>, found: &mut Found<'_>) {
    if !subject.permits() {
        return;
    }
    let id = subject.source.id();
    let policy = subject.source.policy();
    let any_action = matches!(policy.action_constraint(), ActionConstraint::Any);
    if subject.scope.principal == Side::Any && any_action && subject.scope.resource == Side::Any {
        let message = match subject.form {
            Form::Settled(true) => format!("`{id}` permits everything to everybody"),
            Form::Settled(false) | Form::One(..) | Form::All(_) | Form::Any(_) => {
                format!("nothing but its conditions bounds `{id}`")
            }
        };
        let help = "say who, what and on what in the brackets: `principal is User in Role::\"…\"`, \
                    `action in Action::\"read\"`, `resource in App::\"…\"`";
        found.push(subject.found(Rule::OpenPermit, subject.side(Part::Whole), message, help));
        return;
    }
    let kinds = kinds(&subject.scope.principal, schema);
    if kinds.len() != 1 && !subject.form.says_principal_type() && open(&subject.scope.principal) {
        let message = format!("`{id}` does not say which kind of principal it is for");
        let help = match kinds.len() {
            0 => "write `principal is …`, so that what is added later is not let in with it".to_owned(),
            _ => format!(
                "it is for each of {}; write `principal is …`",
                kinds.into_iter().collect::<Vec<_>>().join(", ")
            ),
        };
        found.push(subject.found(Rule::NoPrincipalType, subject.side(Part::Principal), message, help));
    }
}

/// Whether a scope leaves the type of the principal open.
fn open(side: &Side) -> bool {
    match side {
        Side::Any | Side::In(None, _) => true,
        Side::Is(_) | Side::In(Some(_), _) | Side::Exactly(_) => false,
    }
}

/// The kinds of principals that a scope lets in, as far as the schema tells.
fn kinds(side: &Side, schema: Option<&Schema>) -> BTreeSet<String> {
    let Some(schema) = schema else { return BTreeSet::new() };
    let fits = |kind: &&EntityTypeName| match side {
        Side::Any => true,
        Side::Is(of) | Side::In(Some(of), _) => of == *kind,
        Side::In(None, uid) => {
            let mut above = schema.ancestors(kind).into_iter().flatten();
            uid.type_name() == *kind || above.any(|of| of == uid.type_name())
        }
        Side::Exactly(uid) => uid.type_name() == *kind,
    };
    schema.principals().filter(fits).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is looked up instead of comparing each with each.
    #[test]
    fn above_a_scope_is_all_that_covers_it() {
        let actions = Actions::new(None);
        let said = [
            "",
            " is A",
            " is B",
            " in A::\"x\"",
            " in B::\"x\"",
            " is A in A::\"x\"",
            " is A in B::\"x\"",
            " is B in A::\"x\"",
            " == A::\"x\"",
            " == A::\"y\"",
            " == B::\"x\"",
        ];
        let scope = |principal: &str, resource: &str| {
            let text = format!("permit(principal{principal},action,resource{resource});");
            Scope::new(&Policy::parse(None, text).unwrap(), &actions)
        };
        let all: Vec<Scope> =
            said.iter().flat_map(|p| said.iter().map(move |r| (p, r))).map(|(p, r)| scope(p, r)).collect();
        for narrow in &all {
            let above = narrow.above();
            for wide in &all {
                assert_eq!(above.contains(&wide.sides()), wide.covers(narrow), "{wide:?}\n{narrow:?}");
            }
        }
    }
}
