//! Where the three sides of a policy's scope stand, which Cedar's own tree does not say.

use std::ops::Range;

use super::{Kind, Tokens};

/// The bytes of the principal's, the action's and the resource's side of a policy that Cedar has read. `text` begins
/// with its annotations or with its effect.
pub(crate) fn scope(text: &str) -> Option<[Range<usize>; 3]> {
    let (mut depth, mut inside, mut before) = (0_usize, false, ["", ""]);
    let mut sides: Vec<Option<Range<usize>>> = vec![None];
    for token in (Tokens { text, at: 0 }) {
        let word = text.get(token.start..token.end).unwrap_or_default();
        match token.kind {
            Kind::Open if depth == 0 && !inside => {
                // An annotation may have the name of an effect.
                let [at, name] = before;
                inside = at != "@" && matches!(name, "permit" | "forbid");
                depth = 1;
            }
            Kind::Close if depth == 1 && inside => break,
            Kind::Comma if depth == 1 && inside => sides.push(None),
            kind => {
                match kind {
                    Kind::Open => depth += 1,
                    Kind::Close => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if let Some(side) = sides.last_mut().filter(|_| inside) {
                    let start = side.as_ref().map_or(token.start, |s| s.start);
                    *side = Some(start..token.end);
                }
            }
        }
        let [_, last] = before;
        before = [last, word];
    }
    let sides: Vec<Range<usize>> = sides.into_iter().flatten().collect();
    sides.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_are_found() {
        for (text, expect) in [
            ("permit (principal, action, resource);", ["principal", "action", "resource"]),
            (
                "@id(\"a\")\n@permit(\"x, (y\") // permit(1,2,3)\nforbid(\n  principal is A::B in C::\"d,)\",\n  \
                 action in [A::\"x\", A::\"y\"],\n  resource == R::\"(\",\n) when { f(1, 2, 3) };",
                ["principal is A::B in C::\"d,)\"", "action in [A::\"x\", A::\"y\"]", "resource == R::\"(\""],
            ),
            (
                "@forbid\npermit(principal,action==A::\"é\",resource is R);",
                ["principal", "action==A::\"é\"", "resource is R"],
            ),
        ] {
            let found = scope(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(found.map(|r| &text[r]), expect);
        }
        for odd in
            ["", "permit", "permit(", "permit(a)", "permit(a,b,c,d)", "when{a}", "@permit(\"a,b,c\")", ")))"]
        {
            let _ = scope(odd);
        }
        assert_eq!(scope("@permit(\"a\",b,c)"), None);
    }
}
