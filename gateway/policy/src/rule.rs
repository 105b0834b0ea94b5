//! The rules that findings are told by.
//!
//! A rule has a name that stays: lists of exceptions, dashboards of code scanning and the pages of the
//! guide refer to it. `docs/reference/policy-lints.md` is this table, and a test compares the two.

use std::fmt;

use cedar_policy::Policy;

use crate::failure::Finding;

/// What stands before the name of every rule.
const PREFIX: &str = "doorward/";
/// The annotation by which a policy is excepted from lints: `@allow_lint("no-owner, open-permit")`.
const ALLOW: &str = "allow_lint";

/// Whether what a rule finds keeps a folder from being put in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It does.
    Mistake,
    /// It does not: something could be better.
    Hint,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident $name:literal $level:ident $about:literal)*) => {
        /// By which rule something was found.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $about] $rule,)*
        }

        impl Rule {
            /// Every one, mistakes first.
            pub const ALL: &'static [Self] = &[$(Self::$rule),*];

            /// Its name, which stays.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => concat!("doorward/", $name),)*
                }
            }

            /// Whether what it finds keeps a folder from being put in force.
            #[must_use]
            pub const fn level(self) -> Level {
                match self {
                    $(Self::$rule => Level::$level,)*
                }
            }

            /// What it finds, in a sentence.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$rule => $about,)*
                }
            }
        }
    };
}

rules! {
    Broken "broken" Mistake "Something else keeps the policies from being used."
    Unreadable "unreadable" Mistake "A file or a folder cannot be read."
    FileName "file-name" Mistake "A file is not called as policies are, or lies where it does not belong."
    NotText "not-text" Mistake "A file is not text in UTF-8."
    TooLarge "too-large" Mistake "A file, a folder or a schema is larger than it may be."
    TooDeep "too-deep" Mistake "A policy or a schema nests deeper than can be evaluated safely."
    Changing "changing" Mistake "The folder changes while it is read."
    NotVetted "not-vetted" Mistake "The process that tries policies ended, or did not answer, before it had a verdict."
    Schema "schema" Mistake "The schema is missing, is wrong, or does not fit what the gateway says."
    Empty "empty" Mistake "There is no policy where one must be."
    Syntax "syntax" Mistake "This is not Cedar."
    Template "template" Mistake "A template: nobody fills its `?principal` and `?resource`."
    NoId "no-id" Mistake "A policy without a name."
    BadId "bad-id" Mistake "The name of a policy has characters that do not belong there, or too many."
    DuplicateId "duplicate-id" Mistake "Two policies have one name."
    PermitInGuardrails "permit-in-guardrails" Mistake "A permit in `guardrails/`, which can only forbid."
    Advice "advice" Mistake "`@advice` or `@max_age` says something that cannot be done."
    Mode "mode" Mistake "`@mode` or `@report_until` says something that nobody knows."
    Annotation "annotation" Mistake "An annotation is misspelt, and without it the policy means something else."
    Invalid "invalid" Mistake "The policy does not fit the schema."
    Impossible "impossible" Mistake "The schema alone says that the policy can never apply."
    UnknownName "unknown-name" Mistake "An app, a route, a network or an issuer that the configuration does not have."
    Nobody "nobody" Mistake "A person or a program that nobody can be."
    NotEvaluated "not-evaluated" Mistake "The policy cannot be evaluated."
    RedLine "red-line" Mistake "A red line in `invariants/` says of itself what nobody can prove."
    CaseSyntax "case-syntax" Mistake "A file of cases says something that no case can say."
    CaseNameTwice "case-name-twice" Mistake "A name is defined twice in the cases."
    CaseRoute "case-route" Mistake "A route in the cases is not as in the configuration."
    CaseTime "case-time" Mistake "A case happens at a time that is not on its day of the week anywhere."
    CaseFails "case-fails" Mistake "A case does not hold."
    NoCases "no-cases" Hint "Nothing is written down about what must be allowed and what must not."
    NotAllLooked "not-all-looked" Hint "There is more than can be looked at: not every hint was sought."
    NoTitle "no-title" Hint "A policy without `@title`."
    NoOwner "no-owner" Hint "A policy without `@owner`."
    NoReason "no-reason" Hint "A forbid without `@reason`: the person at the door is told nothing."
    UnknownSeverity "unknown-severity" Hint "A `@severity` that nobody knows."
    NearAnnotation "near-annotation" Hint "An annotation that nobody reads differs by a letter from one that is read."
    Arithmetic "arithmetic" Hint "A policy computes: what overflows refuses the request."
    ReportOverdue "report-overdue" Hint "A policy only reports after the last day that it was to."
    NearName "near-name" Hint "A role or a group differs from another by one letter."
    OpenPermit "open-permit" Hint "A permit for everybody, everything and everywhere: nothing but its conditions bounds it."
    NoPrincipalType "no-principal-type" Hint "A permit that does not say which kind of principal it is for."
    NeverApplies "never-applies" Hint "Conditions that contradict each other: the policy never applies."
    AlwaysHolds "always-holds" Hint "A condition that holds whatever is asked."
    Overruled "overruled" Hint "A permit that a forbid always overrules."
    SamePolicy "same-policy" Hint "Two policies say the same."
    WiderPermit "wider-permit" Hint "A permit that another one contains."
    AbsentFact "absent-fact" Hint "An absent fact opens a door: a forbid does not apply, or a permit does, where nobody says it."
    PathMatch "path-match" Hint "A policy looks at the path of the request where a route would do."
    AddressList "address-list" Hint "A policy lists addresses where a named network would do."
    Confusable "confusable" Hint "Letters that look like others, or that cannot be seen."
    LongCondition "long-condition" Hint "More conditions in one policy than a person can follow."
    DeepCondition "deep-condition" Hint "Conditions nest deeper than a person can follow."
    UnknownLint "unknown-lint" Hint "`@allow_lint` names a rule that there is not, or one that cannot be excepted from."
    UnusedAllow "unused-allow" Hint "`@allow_lint` names a rule that finds nothing here."
}

impl Rule {
    /// By its name, with or without what stands before all names.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        Self::ALL.iter().copied().find(|rule| rule.name().strip_prefix(PREFIX) == Some(short))
    }

    /// Whether a policy may be excepted from it. The rules about exceptions have none, nor have those that are about no policy.
    #[must_use]
    pub fn may_be_allowed(self) -> bool {
        let of_no_policy = matches!(self, Self::NoCases | Self::NotAllLooked);
        self.level() == Level::Hint && !of_no_policy && !matches!(self, Self::UnknownLint | Self::UnusedAllow)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rules that a policy is excepted from, and the words in its annotation that name none.
pub fn allowances(policy: &Policy) -> (Vec<Rule>, Vec<String>) {
    let (mut rules, mut strangers) = (Vec::new(), Vec::new());
    let said = policy.annotation(ALLOW).unwrap_or_default();
    for word in said.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match Rule::named(word).filter(|rule| rule.may_be_allowed()) {
            Some(rule) => rules.push(rule),
            None => strangers.push(word.to_owned()),
        }
    }
    (rules, strangers)
}

/// Takes away the hints about policies that are excepted from them. Returns what was taken away.
pub fn except<'p>(policies: impl IntoIterator<Item = &'p Policy>, hints: &mut Vec<Finding>) -> Vec<Finding> {
    let mut allowed = std::collections::HashMap::new();
    for policy in policies {
        if policy.annotation(ALLOW).is_some() {
            let id: &str = policy.id().as_ref();
            allowed.insert(id.to_owned(), allowances(policy).0);
        }
    }
    if allowed.is_empty() {
        return Vec::new();
    }
    let is_allowed = |hint: &Finding| {
        let rules = hint.policy().and_then(|id| allowed.get(id));
        rules.is_some_and(|rules| rules.contains(&hint.rule()))
    };
    let (taken, kept) = std::mem::take(hints).into_iter().partition(is_allowed);
    *hints = kept;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once_and_lead_back() {
        for (at, rule) in Rule::ALL.iter().enumerate() {
            let short = rule.name().strip_prefix(PREFIX).unwrap();
            assert!(short.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{short}");
            assert_eq!((Rule::named(short), Rule::named(rule.name())), (Some(*rule), Some(*rule)));
            assert!(
                Rule::ALL[at + 1..].iter().all(|other| other.name() != rule.name()),
                "{short} is there twice"
            );
            assert!(rule.about().ends_with('.'), "{short}");
        }
        assert!(Rule::ALL.is_sorted_by_key(|rule| rule.level()), "mistakes first");
        assert_eq!(Rule::named("no-such-rule"), None);
    }

    #[test]
    fn an_exception_names_hints_and_nothing_else() {
        let policy = |said: &str| {
            Policy::parse(None, format!("@allow_lint(\"{said}\") permit(principal,action,resource);"))
                .unwrap()
        };
        let (rules, strangers) = allowances(&policy("doorward/no-owner, open-permit,,"));
        assert_eq!((rules, strangers.len()), (vec![Rule::NoOwner, Rule::OpenPermit], 0));
        let (rules, strangers) = allowances(&policy("no-id,unused-allow,nothing"));
        assert_eq!(
            (rules.len(), strangers),
            (0, vec!["no-id".into(), "unused-allow".into(), "nothing".into()])
        );
    }
}
