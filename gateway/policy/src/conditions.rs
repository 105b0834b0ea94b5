//! The conditions of a policy as a tree, with the place of each in its text and what each comes to in a request.
//!
//! Cedar answers for a policy as a whole. Explanations, coverage and mutants need to know which of its conditions
//! came to what, and where that one stands. This works on any Cedar policy, from whatever schema.
//!
//! ```text
//!   permit (principal in Role::"hr", action, resource)     all ─┬─ atom   principal in Role::"hr"
//!   when { context.mfa || resource.public }                     ├─ atom   action
//!   unless { context.risk > 80 };                               ├─ atom   resource
//!                                                               ├─ any ─┬─ atom   context.mfa
//!                                                               │       └─ atom   resource.public
//!                                                               └─ not ─── atom   context.risk > 80
//! ```
//!
//! An atom is whatever is not one of Cedar's `&&`, `||`, `!` and `if`. Chains are flat. The order is that of the text,
//! which is the order of evaluation, so what stands behind a short circuit is [`Truth::NotReached`].
//!
//! The places are those that Cedar's parser left in the policy; one that was read from JSON has none. The stable API
//! does not hand them out, so this is the one module that looks into Cedar's own tree (`cedar-policy-core`).

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use cedar_policy::{Entities, Policy, Request};
use cedar_policy_core::ast::{self, BinaryOp, Expr, ExprKind, Literal, UnaryOp, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::Loc;
use doorward_model::limits::{POLICY_CONDITIONS_MAX, POLICY_DEPTH_MAX};

use crate::shape;

/// The conditions of one policy. Each has a number, its place in [`Conditions::all`]; the first is the policy as a whole.
#[derive(Clone)]
pub struct Conditions {
    policy: Policy,
    all: Vec<Condition>,
    offset: usize,
}

/// One condition.
#[derive(Debug, Clone)]
pub struct Condition {
    kind: Kind,
    part: Part,
    span: Option<Range<usize>>,
    /// The same in the text that was read, which it holds.
    loc: Option<Loc>,
    expr: Expr,
}

/// What a condition is made of, by the numbers of those below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Each of them holds: `&&`, and the sides and clauses of a policy.
    All(Vec<usize>),
    /// One of them holds: `||`.
    Any(Vec<usize>),
    /// It does not hold: `!`, and an `unless` clause.
    Not(usize),
    /// `if test then … else …`.
    If {
        /// What is asked first.
        test: usize,
        /// What counts when it holds.
        then: usize,
        /// What counts when it does not.
        otherwise: usize,
    },
    /// Anything else: a comparison, a fact, a side of the scope.
    Atom,
}

/// The part of the policy in which a condition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// All of it.
    Whole,
    /// What the scope says of the principal.
    Principal,
    /// What the scope says of the action.
    Action,
    /// What the scope says of the resource.
    Resource,
    /// A `when` or an `unless`.
    Clause,
}

/// What a condition came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It could not be evaluated, and why. The policy counts for nothing then.
    Error(String),
    /// Another one had settled the matter before it was asked.
    NotReached,
}

impl Truth {
    /// Yes or no, if it came to one of these.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::True => Some(true),
            Self::False => Some(false),
            Self::Error(_) | Self::NotReached => None,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

// === impl Conditions ===

impl Conditions {
    /// The conditions of a policy, the scope included. What lies deeper or further than the bounds on policies is an atom.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let core: &ast::Policy = policy.as_ref();
        let whole = core.loc().cloned();
        let sides = whole.as_ref().and_then(Loc::snippet).and_then(shape::scope);
        let base = whole.as_ref().map_or(0, Loc::start);
        let span = whole.as_ref().map(|loc| 0..loc.end().saturating_sub(base));
        let mut build = Build { whole: whole.as_ref(), base, all: Vec::new() };
        build.push(Part::Whole, span, whole.clone(), core.condition());
        let scope = [
            (Part::Principal, core.principal_constraint().as_expr()),
            (Part::Action, core.action_constraint().as_expr()),
            (Part::Resource, core.resource_constraint().as_expr()),
        ];
        let mut top = Vec::with_capacity(4);
        for (at, (part, expr)) in scope.into_iter().enumerate() {
            top.push(build.side(part, expr, sides.as_ref().and_then(|s| s.get(at)).cloned()));
        }
        if let Some(expr) = core.non_scope_constraints() {
            let clauses = build.clauses(expr);
            top.extend(clauses.into_iter().map(|clause| build.add(clause, 0)));
        }
        let mut all = build.all;
        if let Some(first) = all.first_mut() {
            first.kind = Kind::All(top);
        }
        Self { policy: policy.clone(), all, offset: base }
    }

    /// All of them: each before those below it, in the order of the text. The first is the policy as a whole.
    #[must_use]
    pub fn all(&self) -> &[Condition] {
        &self.all
    }

    /// The one with this number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&Condition> {
        self.all.get(number)
    }

    /// The atoms, with their numbers.
    pub fn atoms(&self) -> impl Iterator<Item = (usize, &Condition)> {
        self.all.iter().enumerate().filter(|(_, c)| c.kind == Kind::Atom)
    }

    /// The policy that they are of.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where the policy begins in the text that Cedar read, in bytes. It is 0 where each policy is read by itself, as all
    /// those of a folder are; to get from there to the file add where [`crate::PolicySource`] begins.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// What each comes to, by number, exactly as Cedar evaluates: what is not needed is not reached.
    #[must_use]
    pub fn evaluate(&self, request: &Request, entities: &Entities) -> Vec<Truth> {
        let mut truths = vec![Truth::NotReached; self.all.len()];
        let eye = Eye::new(self, request, entities);
        let _ = eye.look(0, &mut truths, false);
        truths
    }

    /// What each would come to by itself, by number: each atom is asked, also behind a short circuit. What its guard kept
    /// from being asked (`context has x && context.x > 1`) may be an error here, which the policy as a whole is not.
    #[must_use]
    pub fn evaluate_each(&self, request: &Request, entities: &Entities) -> Vec<Truth> {
        let mut truths = vec![Truth::NotReached; self.all.len()];
        let eye = Eye::new(self, request, entities);
        let _ = eye.look(0, &mut truths, true);
        truths
    }

    /// What the one with this number comes to by itself. What is below it is asked as far as it needs that.
    #[must_use]
    pub fn evaluate_one(&self, number: usize, request: &Request, entities: &Entities) -> Truth {
        let mut truths = Vec::new();
        Eye::new(self, request, entities).look(number, &mut truths, false)
    }
}

impl fmt::Debug for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conditions").field("policy", self.policy.id()).field("all", &self.all).finish()
    }
}

// === impl Condition ===

impl Condition {
    /// What it is made of.
    #[must_use]
    pub const fn kind(&self) -> &Kind {
        &self.kind
    }

    /// In which part of the policy it stands.
    #[must_use]
    pub const fn part(&self) -> Part {
        self.part
    }

    /// Its bytes, counted from where the policy begins, annotations included; without the brackets around it. None for a
    /// policy that was never text.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }

    /// As it is written; as Cedar would write it if it was never text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self.loc.as_ref().and_then(Loc::snippet) {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(self.expr.to_string()),
        }
    }

    /// Whether it is `true` or `false` as it is written: an open side of the scope is true.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        matches!(self.expr.expr_kind(), ExprKind::Lit(_))
    }

    /// In Cedar's own tree.
    pub(crate) const fn expr(&self) -> &Expr {
        &self.expr
    }
}

// === from Cedar's tree ===

struct Build<'a> {
    /// Where the policy stands in the text that was read.
    whole: Option<&'a Loc>,
    base: usize,
    all: Vec<Condition>,
}

/// What an expression is to us.
enum Form<'e> {
    All(Vec<&'e Expr>),
    Any(Vec<&'e Expr>),
    Not(&'e Expr),
    If(&'e Expr, &'e Expr, &'e Expr),
    Atom,
}

impl Build<'_> {
    fn place(&self, loc: Option<&Loc>) -> Option<Range<usize>> {
        let loc = loc?;
        Some(loc.start().checked_sub(self.base)?..loc.end().checked_sub(self.base)?)
    }

    fn push(&mut self, part: Part, span: Option<Range<usize>>, loc: Option<Loc>, expr: Expr) -> usize {
        self.all.push(Condition { kind: Kind::Atom, part, span, loc, expr });
        self.all.len() - 1
    }

    fn side(&mut self, part: Part, expr: Expr, span: Option<Range<usize>>) -> usize {
        let loc = self.whole.zip(span.clone()).map(|(whole, s)| whole.span((self.base + s.start, s.len())));
        self.push(part, span, loc, expr)
    }

    /// The clauses of a policy, which Cedar joins by `&&` at the place of the policy.
    fn clauses<'e>(&self, mut expr: &'e Expr) -> Vec<&'e Expr> {
        let mut found = Vec::new();
        while let ExprKind::And { left, right } = expr.expr_kind() {
            if self.whole.is_none() || expr.source_loc() != self.whole || found.len() >= POLICY_CONDITIONS_MAX
            {
                break;
            }
            found.push(&**left);
            expr = right;
        }
        found.push(expr);
        found
    }

    /// Adds an expression and what is below it; returns its number.
    fn add(&mut self, expr: &Expr, depth: usize) -> usize {
        let loc = expr.source_loc().cloned();
        let number = self.push(Part::Clause, self.place(loc.as_ref()), loc, expr.clone());
        if depth >= POLICY_DEPTH_MAX || number >= POLICY_CONDITIONS_MAX {
            return number;
        }
        let below = depth + 1;
        let kind = match form(expr) {
            // Longer than any policy that a gateway takes.
            Form::All(each) | Form::Any(each) if number + each.len() > POLICY_CONDITIONS_MAX => Kind::Atom,
            Form::All(each) => Kind::All(each.into_iter().map(|e| self.add(e, below)).collect()),
            Form::Any(each) => Kind::Any(each.into_iter().map(|e| self.add(e, below)).collect()),
            Form::Not(inner) => Kind::Not(self.add(inner, below)),
            Form::If(test, then, otherwise) => Kind::If {
                test: self.add(test, below),
                then: self.add(then, below),
                otherwise: self.add(otherwise, below),
            },
            Form::Atom => Kind::Atom,
        };
        if let Some(condition) = self.all.get_mut(number) {
            condition.kind = kind;
        }
        number
    }
}

fn form(expr: &Expr) -> Form<'_> {
    match expr.expr_kind() {
        ExprKind::And { left, right } if !is_in(expr, left, right) => Form::All(chain(expr, |kind| {
            let ExprKind::And { left, right } = kind else { return None };
            Some((left, right))
        })),
        ExprKind::Or { .. } => Form::Any(chain(expr, |kind| {
            let ExprKind::Or { left, right } = kind else { return None };
            Some((left, right))
        })),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } if !comparison(expr, arg) => Form::Not(arg),
        ExprKind::If { test_expr, then_expr, else_expr } => Form::If(test_expr, then_expr, else_expr),
        // Whatever else Cedar has or will have is a leaf to us.
        _ => Form::Atom,
    }
}

/// The links of `a && b && c`, which Cedar reads as `(a && b) && c`, all of them at the place of the whole chain.
fn chain<'e>(expr: &'e Expr, split: impl Fn(&'e ExprKind) -> Option<(&'e Expr, &'e Expr)>) -> Vec<&'e Expr> {
    let mut links = Vec::new();
    let mut rest = expr;
    while let Some((left, right)) = split(rest.expr_kind())
        && rest.source_loc() == expr.source_loc()
    {
        links.push(right);
        rest = left;
    }
    links.push(rest);
    links.reverse();
    links
}

/// `a is T in b`, which Cedar reads as `a is T && a in b`, each at the place of the whole.
fn is_in(whole: &Expr, left: &Expr, right: &Expr) -> bool {
    let here = |e: &Expr| e.source_loc() == whole.source_loc();
    match (left.expr_kind(), right.expr_kind()) {
        (ExprKind::Is { expr, .. }, ExprKind::BinaryApp { op: BinaryOp::In, arg1, .. }) => {
            here(left) && here(right) && expr == arg1
        }
        _ => false,
    }
}

/// `a != b`, `a > b` and `a >= b`, which Cedar reads as `!(a == b)` and so on, each at the place of the whole.
fn comparison(whole: &Expr, inner: &Expr) -> bool {
    let ExprKind::BinaryApp { op: BinaryOp::Eq | BinaryOp::Less | BinaryOp::LessEq, .. } = inner.expr_kind()
    else {
        return false;
    };
    whole.source_loc() == inner.source_loc()
}

// === what they come to ===

struct Eye<'a> {
    of: &'a Conditions,
    evaluator: Evaluator<'a>,
    slots: &'a ast::SlotEnv,
}

impl<'a> Eye<'a> {
    fn new(of: &'a Conditions, request: &Request, entities: &'a Entities) -> Self {
        let request: &ast::Request = request.as_ref();
        let evaluator = Evaluator::new(request.clone(), entities.as_ref(), Extensions::all_available());
        let policy: &ast::Policy = of.policy.as_ref();
        Self { of, evaluator, slots: policy.env() }
    }

    /// What one comes to, written down with what is below it. `each`: those that are not needed are looked at, too.
    fn look(&self, number: usize, truths: &mut [Truth], each: bool) -> Truth {
        let Some(condition) = self.of.all.get(number) else { return Truth::NotReached };
        let truth = match &condition.kind {
            Kind::All(below) => self.join(below, truths, each, false),
            Kind::Any(below) => self.join(below, truths, each, true),
            Kind::Not(inner) => match self.look(*inner, truths, each) {
                Truth::True => Truth::False,
                Truth::False => Truth::True,
                other @ (Truth::Error(_) | Truth::NotReached) => other,
            },
            Kind::If { test, then, otherwise } => {
                let test = self.look(*test, truths, each);
                let mut branch = |number: usize, taken: bool| {
                    if taken || each { self.look(number, truths, each) } else { Truth::NotReached }
                };
                let then = branch(*then, test == Truth::True);
                let otherwise = branch(*otherwise, test == Truth::False);
                match test {
                    Truth::True => then,
                    Truth::False => otherwise,
                    Truth::Error(_) | Truth::NotReached => test,
                }
            }
            Kind::Atom => self.ask(&condition.expr),
        };
        if let Some(place) = truths.get_mut(number) {
            *place = truth.clone();
        }
        truth
    }

    /// The first that is `decisive`, or an error, settles it; none of them: the other.
    fn join(&self, below: &[usize], truths: &mut [Truth], each: bool, decisive: bool) -> Truth {
        let mut settled = None;
        for number in below {
            if settled.is_some() && !each {
                break;
            }
            let truth = self.look(*number, truths, each);
            if truth.as_bool() != Some(!decisive) {
                settled = settled.or(Some(truth));
            }
        }
        settled.unwrap_or_else(|| (!decisive).into())
    }

    fn ask(&self, expr: &Expr) -> Truth {
        let value = match self.evaluator.interpret(expr, self.slots) {
            Ok(value) => value,
            Err(e) => return Truth::Error(e.to_string()),
        };
        match value.value_kind() {
            ValueKind::Lit(Literal::Bool(holds)) => (*holds).into(),
            ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => {
                // In Cedar's words: this is what it says of a condition that is neither true nor false.
                let joined = Expr::and(expr.clone(), Expr::val(true));
                match self.evaluator.interpret(&joined, self.slots) {
                    Ok(_) => Truth::Error("it is neither true nor false".to_owned()),
                    Err(e) => Truth::Error(e.to_string()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
