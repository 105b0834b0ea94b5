//! The names that the configuration knows, and policies that name others.

mod told;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Policy;
use doorward_model::{IssuerId, RouteFacts, UserId};
use serde_json::Value;

use crate::compile::Compiled;
use crate::failure::Finding;
use crate::rule::Rule;
use crate::vocabulary::{Kind, VISITOR, Vocabulary};

/// How many different names are compared with each other; with more the comparison is left out.
const COMPARED_MAX: usize = 2000;

/// The names of the configuration: apps, sets of apps, routes, issuers and networks. A policy that
/// names another one never applies, and a forbid that never applies is a hole: with these at hand
/// such a policy is refused, and so is a case about a route that is not as the case says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// `App::"…"`.
    apps: BTreeSet<String>,
    /// `AppGroup::"…"`.
    app_groups: BTreeSet<String>,
    /// `Route::"app/route"`.
    routes: BTreeMap<String, RouteFacts>,
    /// What stands before the colon in `User::"issuer:subject"`.
    issuers: BTreeSet<String>,
    /// `context.zones.contains("…")`.
    networks: BTreeSet<String>,
}

impl Known {
    /// The names in these routes, and those of the issuers and of the networks.
    #[must_use]
    pub fn new<'r, 'i, 'n>(
        routes: impl IntoIterator<Item = &'r RouteFacts>,
        issuers: impl IntoIterator<Item = &'i IssuerId>,
        networks: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let mut known = Self {
            issuers: issuers.into_iter().map(|i| i.as_str().to_owned()).collect(),
            networks: networks.into_iter().map(str::to_owned).collect(),
            ..Self::default()
        };
        for facts in routes {
            known.apps.insert(facts.id.app().as_str().to_owned());
            known.routes.insert(facts.id.as_str().to_owned(), facts.clone());
            known.app_groups.extend(facts.app_groups.iter().cloned());
        }
        known
    }

    /// The routes.
    pub(crate) fn route_names(&self) -> BTreeSet<String> {
        self.routes.keys().cloned().collect()
    }

    /// The networks.
    pub(crate) fn network_names(&self) -> BTreeSet<String> {
        self.networks.clone()
    }

    /// Finds the policies that name what the configuration does not have.
    pub(crate) fn check(&self, words: &Vocabulary, policies: &[Compiled], findings: &mut Vec<Finding>) {
        for compiled in policies {
            for literal in &compiled.literals {
                let name = literal.id().unescaped();
                let (near, what) = if *literal.type_name() == words.app {
                    (lacks(name, &self.apps), "app")
                } else if *literal.type_name() == words.app_group {
                    (lacks(name, &self.app_groups), "group of apps")
                } else if *literal.type_name() == words.route {
                    (lacks(name, self.routes.keys()), "route")
                } else {
                    continue;
                };
                let Some(near) = near else { continue };
                findings.push(unknown(compiled, what, name, near, &literal.to_string()));
            }
            self.networks(compiled, findings);
        }
    }

    /// Finds the networks that a policy asks for and that nobody is in.
    fn networks(&self, compiled: &Compiled, findings: &mut Vec<Finding>) {
        // To look into each policy would cost more than all the rest.
        if !compiled.text().contains("zones") {
            return;
        }
        let zones = match zones(&compiled.policy) {
            Ok(zones) => zones,
            Err(e) => {
                return findings.push(
                    compiled.finding(format!("its networks cannot be told: {e}")).rule_is(Rule::NotEvaluated),
                );
            }
        };
        for name in zones {
            if let Some(near) = lacks(&name, &self.networks) {
                findings.push(unknown(compiled, "network", &name, near, &format!("\"{name}\"")));
            }
        }
    }

    /// What the configuration says otherwise about a route, if it has that route.
    pub(crate) fn differs(&self, facts: &RouteFacts) -> Option<String> {
        let real = self.routes.get(facts.id.as_str())?;
        let groups = |f: &RouteFacts| f.app_groups.iter().cloned().collect::<BTreeSet<_>>();
        let mut differ = Vec::new();
        if groups(real) != groups(facts) {
            differ.push(format!("groups = {:?}", groups(real)));
        }
        if real.tier != facts.tier {
            differ.push(format!("tier = \"{}\"", real.tier.as_str()));
        }
        if real.scope != facts.scope {
            differ.push(format!("scope = {:?}", real.scope));
        }
        if real.admin_surface != facts.admin_surface {
            differ.push(format!("admin_surface = {}", real.admin_surface));
        }
        if real.public != facts.public {
            differ.push(format!("public = {}", real.public));
        }
        (!differ.is_empty()).then(|| differ.join(", "))
    }
}

fn unknown(compiled: &Compiled, what: &str, name: &str, near: Option<String>, needle: &str) -> Finding {
    let message = format!("the configuration has no {what} `{name}`, so this would never apply");
    let help = near.map_or_else(
        || match what {
            "network" => {
                format!("add it to `[network.named]` (`{name} = []` where there is none), or remove it")
            }
            _ => format!("add the {what} to the configuration, or remove it from the policy"),
        },
        |near| format!("did you mean `{near}`?"),
    );
    compiled.finding_at(compiled.find(needle), message).rule_is(Rule::UnknownName).help(help)
}

/// None if the name is among them; otherwise the one that is most like it, if one is.
fn lacks<'a>(name: &str, names: impl IntoIterator<Item = &'a String>) -> Option<Option<String>> {
    let mut near: Option<(usize, &String)> = None;
    for other in names {
        let far = strsim::osa_distance(name, other);
        if far == 0 {
            return None;
        }
        if far <= 3 && far < other.len() {
            near = Some(near.map_or((far, other), |best| best.min((far, other))));
        }
    }
    Some(near.map(|(_, n)| n.clone()))
}

/// The texts that a policy compares `context.zones` with.
fn zones(policy: &Policy) -> Result<BTreeSet<String>, String> {
    let json = policy.to_json().map_err(|e| e.to_string())?;
    let is_zones = |of: &Value| {
        let is = |at: &str, word: &str| of.pointer(at).and_then(Value::as_str) == Some(word);
        is("/./attr", "zones") && is("/./left/Var", "context")
    };
    let mut found = BTreeSet::new();
    let mut below = vec![&json];
    while let Some(value) = below.pop() {
        let object = value.as_object().into_iter().flatten();
        below.extend(value.as_array().into_iter().flatten());
        for (operator, operands) in object {
            below.push(operands);
            if !matches!(operator.as_str(), "contains" | "containsAll" | "containsAny" | "==" | "!=") {
                continue;
            }
            let (left, right) = (operands.get("left"), operands.get("right"));
            for (zones, others) in [(left, right), (right, left)] {
                if zones.is_some_and(is_zones) {
                    texts(others, &mut found);
                }
            }
        }
    }
    Ok(found)
}

/// Every text that stands in an expression.
fn texts(value: Option<&Value>, found: &mut BTreeSet<String>) {
    let mut below: Vec<&Value> = value.into_iter().collect();
    while let Some(value) = below.pop() {
        found.extend(value.get("Value").and_then(Value::as_str).map(str::to_owned));
        below.extend(value.as_array().into_iter().flatten());
        below.extend(value.as_object().into_iter().flatten().map(|(_, v)| v));
    }
}

/// Finds the people and programs that nobody can be: `User::"alice"` is nobody, `User::"corp:alice"`
/// may be someone, if the configuration has an issuer `corp`.
pub(crate) fn people(
    words: &Vocabulary,
    policies: &[Compiled],
    known: Option<&Known>,
    findings: &mut Vec<Finding>,
) {
    for compiled in policies {
        for literal in &compiled.literals {
            let kind = Kind::ALL.into_iter().find(|k| words.kind(*k) == literal.type_name());
            let name = literal.id().unescaped();
            let (message, help) = match kind {
                None if *literal.type_name() != words.owner => continue,
                Some(Kind::Visitor) if name == VISITOR => continue,
                Some(Kind::Visitor) => {
                    let message = format!("no visitor is called `{name}`, so this would never apply");
                    (message, format!("write `principal is Visitor`; the only one is `{VISITOR}`"))
                }
                None | Some(Kind::User | Kind::ServiceAccount | Kind::Agent) => {
                    match name.parse::<UserId>() {
                        Err(e) => {
                            let message = format!("nobody is called `{name}`, so this would never apply");
                            (message, e.to_string())
                        }
                        Ok(id) => {
                            let issuer = id.issuer().as_str();
                            let lacking = known.and_then(|known| lacks(issuer, &known.issuers));
                            let Some(near) = lacking else { continue };
                            findings.push(unknown(compiled, "issuer", issuer, near, &literal.to_string()));
                            continue;
                        }
                    }
                }
            };
            let span = compiled.find(&literal.to_string());
            findings.push(compiled.finding_at(span, message).rule_is(Rule::Nobody).help(help));
        }
    }
}

/// Roles and groups come with the people, so nobody can tell which exist. But where two policies
/// name a role by names that differ by one letter, one of them is likely a typo.
pub(crate) fn near_misses(words: &Vocabulary, policies: &[Compiled], hints: &mut Vec<Finding>) {
    for kind in [&words.role, &words.group] {
        let mut named: BTreeMap<String, &Compiled> = BTreeMap::new();
        for compiled in policies {
            for literal in &compiled.literals {
                if literal.type_name() == kind {
                    named.entry(literal.id().unescaped().to_owned()).or_insert(compiled);
                }
            }
        }
        if named.len() > COMPARED_MAX {
            continue;
        }
        let names: Vec<_> = named.iter().collect();
        for (i, (a, _)) in names.iter().enumerate() {
            for (b, compiled) in names.iter().skip(i + 1) {
                let alike = a.len() >= 4 && b.len() >= 4 && strsim::osa_distance(a, b) == 1;
                // `tier-1` and `tier-2` are meant.
                let numbered = |s: &str| s.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
                if alike && numbered(a) != numbered(b) {
                    let span = compiled.find(&format!("{kind}::\"{b}\""));
                    let message = format!("`{kind}::\"{b}\"` differs from `{kind}::\"{a}\"` by one letter");
                    let hint = compiled.finding_at(span, message).rule_is(Rule::NearName);
                    hints.push(hint.help("if one of them is a typo, that policy never applies"));
                }
            }
        }
    }
}
