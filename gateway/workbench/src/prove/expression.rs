//! An expression of Cedar as JSON, taken apart. What is not known here is refused: nobody guesses what a word
//! means that a later Cedar may bring.

use serde_json::Value;

/// The word of an expression, and the expressions that stand right below it.
pub(super) fn parts(expression: &mut Value) -> Result<(String, Vec<&mut Value>), String> {
    let odd = || "a condition is not written as Cedar writes conditions".to_owned();
    let mut fields = expression.as_object_mut().ok_or_else(odd)?.iter_mut();
    let (Some((word, of)), None) = (fields.next(), fields.next()) else { return Err(odd()) };
    let word = word.clone();
    let these: &[&str] = match word.as_str() {
        "Value" | "Var" => &[],
        "Set" => return Ok((word, of.as_array_mut().ok_or_else(odd)?.iter_mut().collect())),
        "Record" => return Ok((word, of.as_object_mut().ok_or_else(odd)?.values_mut().collect())),
        "!" | "neg" | "isEmpty" => &["arg"],
        "." | "has" | "like" => &["left"],
        "is" if of.get("in").is_some() => &["left", "in"],
        "is" => &["left"],
        "if-then-else" => &["if", "then", "else"],
        "==" | "!=" | "in" | "<" | "<=" | ">" | ">=" | "&&" | "||" | "+" | "-" | "*" | "contains"
        | "containsAll" | "containsAny" | "getTag" | "hasTag" => &["left", "right"],
        "Slot" | "Unknown" => return Err(odd()),
        // A function of an extension, such as `datetime`.
        _ => return Ok((word, of.as_array_mut().ok_or_else(odd)?.iter_mut().collect())),
    };
    let mut parts: Vec<(usize, &mut Value)> = Vec::with_capacity(these.len());
    for (key, value) in of.as_object_mut().into_iter().flatten() {
        if let Some(at) = these.iter().position(|this| this == key) {
            parts.push((at, value));
        }
    }
    if parts.len() != these.len() {
        return Err(odd());
    }
    parts.sort_by_key(|(at, _)| *at);
    Ok((word, parts.into_iter().map(|(_, part)| part).collect()))
}

/// The names along `principal.onBehalfOf.employment`; none for what is more than that.
pub(super) fn path(expression: &Value) -> Option<Vec<&str>> {
    let fields = expression.as_object().filter(|fields| fields.len() == 1)?;
    if let Some(root) = fields.get("Var") {
        return Some(vec![root.as_str()?]);
    }
    let look = fields.get(".")?;
    let mut path = path(look.get("left")?)?;
    path.push(look.get("attr")?.as_str()?);
    Some(path)
}

/// Whether it is an entity by its name.
pub(super) fn is_entity(expression: &Value) -> bool {
    expression.get("Value").is_some_and(|value| value.get("__entity").is_some())
}

/// Whether evaluating it may go wrong, as far as its words tell. Only what the schema cannot rule out counts:
/// numbers and times that grow too large.
pub(super) fn may_fail(expression: &mut Value) -> bool {
    const NEVER: [&str; 24] = [
        "Value",
        "Var",
        "Set",
        "Record",
        "!",
        "isEmpty",
        ".",
        "has",
        "like",
        "is",
        "if-then-else",
        "==",
        "!=",
        "in",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "contains",
        "containsAll",
        "containsAny",
        "hasTag",
    ];
    /// Of what is written out: that it can be read was checked with the schema.
    const WRITTEN: [&str; 4] = ["datetime", "duration", "ip", "decimal"];
    match parts(expression) {
        Ok((word, mut below)) => {
            let safe = NEVER.contains(&word.as_str())
                || (WRITTEN.contains(&word.as_str()) && below.iter().all(|part| part.get("Value").is_some()));
            !safe || below.iter_mut().any(|part| may_fail(part))
        }
        Err(_) => true,
    }
}
