//! One app at a time: of many policies, those that can match its routes.
//!
//! A route is in exactly one app. So what holds for the routes of each app that some policy names, and for
//! those of no such app, holds for all; and for the routes of one app the policies of the others are as if
//! they were not there. A proof takes time that grows faster than the number of policies.

use std::collections::BTreeSet;

use cedar_policy::{Policy, ResourceConstraint};

/// With so many policies or fewer, one proof for all apps is faster than one for each.
const WHOLE_MAX: usize = 60;

/// The routes that are asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slice {
    /// All.
    Whole,
    /// Those of one app.
    App(String),
    /// Those of no app that a policy names.
    Elsewhere(BTreeSet<String>),
}

impl Slice {
    /// The slices that are all routes together.
    pub(super) fn of(policies: &[&Policy], sliced: bool) -> Vec<Self> {
        if !sliced || policies.len() <= WHOLE_MAX {
            return vec![Self::Whole];
        }
        let apps: BTreeSet<String> = policies.iter().filter_map(|p| app_of_scope(p)).collect();
        let each = apps.iter().cloned().map(Self::App);
        each.chain([Self::Elsewhere(apps.clone())]).collect()
    }

    /// Whether the policy can match a route of the slice, as far as its scope tells.
    pub(super) fn keeps(&self, policy: &Policy) -> bool {
        match (self, app_of_scope(policy)) {
            (Self::Whole, _) | (_, None) => true,
            (Self::App(app), Some(of)) => *app == of,
            (Self::Elsewhere(apps), Some(of)) => !apps.contains(&of),
        }
    }

    /// What says so to the solver, as Cedar: a `forbid` of every other route.
    pub(super) fn hypothesis(&self) -> String {
        match self {
            Self::Whole => String::new(),
            Self::App(app) => format!(
                "@id(\"slice\")\nforbid (principal, action, resource) unless {{ resource in App::\"{app}\" }};\n"
            ),
            Self::Elsewhere(apps) => apps
                .iter()
                .map(|app| {
                    format!(
                        "@id(\"not-in:{app}\")\nforbid (principal, action, resource in App::\"{app}\");\n"
                    )
                })
                .collect(),
        }
    }
}

/// The app that a policy is bound to, by itself or by one of its routes.
fn app_of_scope(policy: &Policy) -> Option<String> {
    let bound = match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => return None,
        ResourceConstraint::In(uid) | ResourceConstraint::Eq(uid) | ResourceConstraint::IsIn(_, uid) => uid,
    };
    let name = bound.id().unescaped();
    let app = match bound.type_name().to_string().as_str() {
        "App" => name,
        "Route" => name.split_once('/')?.0,
        _ => return None,
    };
    doorward_model::AppId::new(app).is_ok().then(|| app.to_owned())
}
