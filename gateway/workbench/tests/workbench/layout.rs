//! `fmt` on whole folders.

use std::path::Path;

use doorward_workbench::format::{self, FormatError};

/// What comes with Doorward is laid out as `doorward policy fmt` lays it out.
#[test]
fn the_shipped_policies_are_laid_out() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let files = format::files_below(&dir).unwrap();
    assert!(files.len() >= 8, "{files:?}");
    let bless = std::env::var_os("DOORWARD_BLESS").is_some();
    for file in files {
        let name = file.display().to_string();
        match format::file(&file, &name, bless) {
            Ok(otherwise) => assert!(!otherwise || bless, "run `doorward policy fmt --dir policies`: {name}"),
            Err(e) => panic!("{name}: {e}"),
        }
    }
}

/// The broken bundles: none is written, whatever is wrong with it, unless it is Cedar all the same.
#[test]
fn what_cannot_be_read_is_left_alone() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let state = |name: &str| {
        let file = dir.join(name);
        format::file(&file, name, false)
    };
    for name in
        ["nesting-bomb/apps/bomb.cedar", "not-utf-8/apps/wiki.cedar", "everything-at-once/apps/a.cedar"]
    {
        assert!(matches!(state(name), Err(FormatError::Mistakes(_))), "{name}");
    }
    assert!(!state("typo-in-a-type/apps/wiki.cedar").unwrap(), "what a schema says is no matter of layout");
}

/// What is seldom written.
#[test]
fn every_layout_is_stable_and_says_the_same() {
    let odd = [
        "permit(principal,action,resource)when{if context.a then{\"k\":[1,2,3]}.k.contains(2)else context.b.c[\"d e\"]==-3};",
        "@id(\"x\")@y forbid(principal in A::B::\"c\\\"d\",action in[Action::\"a\",Action::\"b\"],resource is T in G::\"g\")unless{principal has a.b.c}when{resource.name like \"*\\*a\"};",
        "permit(principal,action,resource)when{context.veryLongNameOfAnAttribute==\"a long text\"||context.another.one>=datetime(\"2026-01-01\")&&!(context.x)};",
    ];
    for policy in odd {
        for text in [policy.to_owned(), format!("// a\n\n// b\n{policy}// c\n// d\n{policy}")] {
            let once = format::format("x.cedar", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert_eq!(format::format("x.cedar", &once).unwrap(), once);
            assert_eq!(once.matches("//").count(), text.matches("//").count());
        }
    }
}
