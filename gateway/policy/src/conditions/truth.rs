//! What conditions come to.

use cedar_policy::{Entities, Request};
use cedar_policy_core::ast::{self, Expr, Literal, ValueKind};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::{Conditions, Kind, Truth};

pub(super) struct Eye<'a> {
    of: &'a Conditions,
    evaluator: Evaluator<'a>,
    slots: &'a ast::SlotEnv,
}

impl<'a> Eye<'a> {
    pub(super) fn new(of: &'a Conditions, request: &Request, entities: &'a Entities) -> Self {
        let request: &ast::Request = request.as_ref();
        let evaluator = Evaluator::new(request.clone(), entities.as_ref(), Extensions::all_available());
        let policy: &ast::Policy = of.policy.as_ref();
        Self { of, evaluator, slots: policy.env() }
    }

    /// What one comes to, written down with what is below it. `each`: those that are not needed are looked at, too.
    pub(super) fn look(&self, number: usize, truths: &mut [Truth], each: bool) -> Truth {
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
