//! A test in the format of Cedar's own command line, which a folder may have beside its cases.

use doorward_policy::{CedarTest, Explanation, PolicySource, Workshop, explain};

use super::super::super::{Exit, Failure, printable};
use super::asked::several;

/// Why the test that is called so is answered as it is, and what it is in a few words. It is asked as `policy test` asks
/// it: of its own entities, and of every policy that decides. None where no test is called so, or a case is.
pub(super) fn explained(shop: &Workshop, name: &str) -> Result<Option<(Explanation, String)>, Failure> {
    if shop.cases().iter().any(|case| case.name == name) {
        return Ok(None);
    }
    let found: Vec<(&str, CedarTest)> = called(shop, name).collect();
    let place = |(file, test): &(&str, CedarTest)| format!("{file}:{}", test.line);
    let one = match found.as_slice() {
        [] => return Ok(None),
        [one] => one,
        more => return Err(several("tests", name, &more.iter().map(place).collect::<Vec<_>>())),
    };
    let (request, entities) = one.1.asked.as_ref().map_err(|e| {
        let message = printable(&format!("the test `{name}` cannot be asked: {e}"));
        Failure::new(Exit::Mistaken, message, "mend the test")
    })?;
    let explanation = explain(shop.policies().iter().map(PolicySource::policy), request, entities);
    Ok(Some((explanation, format!("test `{name}` of {}", place(one)))))
}

/// Whether a test is called so.
pub(super) fn is_there(shop: &Workshop, name: &str) -> bool {
    called(shop, name).next().is_some()
}

fn called<'s>(shop: &'s Workshop, name: &'s str) -> impl Iterator<Item = (&'s str, CedarTest)> {
    shop.cases().cedar_tests(shop.schema()).filter(move |(_, test)| test.name == name)
}
