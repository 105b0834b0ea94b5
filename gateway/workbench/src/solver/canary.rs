//! What everybody knows: a solver that gets it wrong is not asked anything else.
//!
//! The time for it is nobody's budget: a short one would make every solver a liar.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use cedar_policy::{PolicySet, Schema};

use super::{Answer, Bounds, NoSolver, Solver, Why, World};

const SCHEMA: &str = "entity Who = { age: Long, mark: String }; entity What;
    action do appliesTo { principal: Who, resource: What };";

/// What a few small questions may take on a machine that has other things to do.
pub(super) const TIME: Bounds =
    Bounds { query_max: Duration::from_secs(30), budget: Duration::from_secs(60), memory_bytes_max: 2 << 30 };

/// Asks for a proof that there is, and for one that there is not.
pub(super) fn sing(solver: &mut Solver, path: &Path) -> Result<(), NoSolver> {
    let untrue = |why: String| NoSolver::Untrue { path: path.to_owned(), why };
    let unknown = |why: Why| match why {
        Why::Time(_) | Why::Budget(_) | Why::Large(_) => {
            NoSolver::Slow { path: path.to_owned(), why: why.to_string() }
        }
        Why::Undecided | Why::Failed(_) | Why::Unsupported(_) | Why::NotReplayed(_) => {
            untrue(why.to_string())
        }
    };
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| untrue(e.to_string()))?;
    let world = World::plain(schema).map_err(untrue)?;
    let set = |condition: &str| {
        let text = format!("@id(\"one\") permit (principal, action, resource) when {{ {condition} }};");
        PolicySet::from_str(&text).map_err(|e| untrue(e.to_string()))
    };
    let (narrow, wide) = (set("principal.age > 40 && principal.mark == \"m\"")?, set("principal.age > 18")?);
    match solver.implies(&world, &narrow, &wide) {
        Answer::Proved => {}
        Answer::Found(_) => return Err(untrue("it does not see that who is over 40 is over 18".to_owned())),
        Answer::Unknown(why) => return Err(unknown(why)),
    }
    match solver.implies(&world, &wide, &narrow) {
        Answer::Found(_) => Ok(()),
        Answer::Proved => Err(untrue("it says that who is over 18 is over 40".to_owned())),
        Answer::Unknown(why) => Err(unknown(why)),
    }
}
