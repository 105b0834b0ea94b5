//! What everybody knows: a solver that gets it wrong is not asked anything else.

use std::str::FromStr;

use cedar_policy::{PolicySet, Schema};

use super::{Answer, Solver, World};

const SCHEMA: &str = "entity Who = { age: Long, mark: String }; entity What;
    action do appliesTo { principal: Who, resource: What };";

/// Asks for a proof that there is, and for one that there is not.
pub(super) fn sing(solver: &mut Solver) -> Result<(), String> {
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|e| e.to_string())?;
    let world = World::plain(schema)?;
    let set = |condition: &str| {
        let text = format!("@id(\"one\") permit (principal, action, resource) when {{ {condition} }};");
        PolicySet::from_str(&text).map_err(|e| e.to_string())
    };
    let (narrow, wide) = (set("principal.age > 40 && principal.mark == \"m\"")?, set("principal.age > 18")?);
    match solver.implies(&world, &narrow, &wide) {
        Answer::Proved => {}
        Answer::Found(_) => return Err("it does not see that who is over 40 is over 18".to_owned()),
        Answer::Unknown(why) => return Err(why.to_string()),
    }
    match solver.implies(&world, &wide, &narrow) {
        Answer::Found(_) => Ok(()),
        Answer::Proved => Err("it says that who is over 18 is over 40".to_owned()),
        Answer::Unknown(why) => Err(why.to_string()),
    }
}
