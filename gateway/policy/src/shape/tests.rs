use super::*;

fn depth(condition: &str) -> usize {
    let text = format!("permit(principal,action,resource)when{{{condition}}};");
    let found = statements(&text, Language::Policies).unwrap();
    assert_eq!(found.len(), 1, "{condition}");
    found[0].depth
}

fn texts(text: &str) -> Vec<&str> {
    let found = statements(text, Language::Policies).unwrap();
    found.iter().map(|s| &text[s.span.start..s.span.start + s.span.len]).collect()
}

#[test]
fn statements_end_at_semicolons_outside_of_strings_and_comments() {
    let text = "// a; comment\n@id(\"a;\\\"b\") permit(x); /x/ // c\r\nforbid(y)\n; // end";
    assert_eq!(texts(text), ["@id(\"a;\\\"b\") permit(x);", "/x/ // c\r\nforbid(y)\n;"]);
    assert_eq!(texts(" // nothing\n"), Vec::<&str>::new());
    assert_eq!(texts("permit(a"), ["permit(a"]);
    assert_eq!(texts("@id(\"never closed; permit();"), ["@id(\"never closed; permit();"]);
    assert_eq!(texts("a)};]b;c"), ["a)};", "]b;", "c"]);
    assert_eq!(texts("é\u{0};\u{feff}x;"), ["é\u{0};", "\u{feff}x;"]);
}

#[test]
fn a_chain_is_as_deep_as_it_is_long_and_a_list_is_flat() {
    let base = depth("a");
    assert_eq!(depth("a||a||a"), base + 2);
    assert_eq!(depth("a&&a||a&&a"), base + 2);
    assert_eq!(depth("(((a)))"), base + 3);
    assert_eq!(depth("[a,a,a,a]"), base + 1);
    assert_eq!(depth("if a then b else if c then d else e"), base + 2);
    assert_eq!(depth("\"((((\" == a // ((((\n"), base + 2);
    let chain = vec!["a == b"; 100].join(" || ");
    assert_eq!(depth(&chain), base + 99 + 2);
}

#[test]
fn nesting_is_refused_one_level_beyond_the_limit_with_its_place() {
    let nest = |n: usize| format!("{}{}", "(".repeat(n), ")".repeat(n));
    assert!(statements(&nest(POLICY_NESTING_MAX), Language::Policies).is_ok());
    let e = statements(&nest(POLICY_NESTING_MAX + 1), Language::Policies).unwrap_err();
    assert_eq!(e.span, Span { start: POLICY_NESTING_MAX, len: 1 });
    let set = |n: usize| format!("type A = {}Long{};", "Set<".repeat(n), ">".repeat(n));
    assert!(statements(&set(POLICY_NESTING_MAX), Language::Schema).is_ok());
    assert!(statements(&set(POLICY_NESTING_MAX + 1), Language::Schema).is_err());
}

#[test]
fn depth_is_refused_wherever_it_comes_from() {
    let over = POLICY_DEPTH_MAX + 1;
    let long = |sep: &str| vec!["a"; over + 1].join(sep);
    for sep in ["||", "&&", "+", "-", "*", "==", ".", " in ", "<"] {
        let text = format!("permit(p,a,r)when{{{}}};", long(sep));
        assert!(statements(&text, Language::Policies).is_err(), "{sep}");
    }
    let ifs = format!("permit(p,a,r)when{{{} true}};", "if true then true else ".repeat(over));
    assert!(statements(&ifs, Language::Policies).is_err());
    let clauses = format!("permit(p,a,r){};", "when{true}".repeat(over));
    assert!(statements(&clauses, Language::Policies).is_err());
}

#[test]
fn arithmetic_is_seen() {
    let found = statements("permit(a)when{x+1>2};permit(b)when{\"+\"==y};", Language::Policies).unwrap();
    assert_eq!(found[0].arithmetic, Some(Span { start: 15, len: 1 }));
    assert_eq!(found[1].arithmetic, None);
}

/// Each part of a name takes Cedar the longer, and 40,000 of them half a minute.
#[test]
fn a_name_of_very_many_parts_is_refused() {
    let policy = |parts: usize| format!("permit(principal is {}x,action,resource);", "a::".repeat(parts));
    assert!(statements(&policy(POLICY_NAME_PARTS_MAX), Language::Policies).is_ok());
    assert!(statements(&policy(POLICY_NAME_PARTS_MAX + 1), Language::Policies).is_err());
    let many = format!("permit(p,a,r)when{{[{}].contains(x)}};", "A::\"b\",".repeat(1000));
    assert!(statements(&many, Language::Policies).is_ok());
    let record = format!("permit(p,a,r)when{{{{{}}}}};", "a: A::\"b\",".repeat(1000));
    assert!(statements(&record, Language::Policies).is_ok());
    let schema = format!("entity A {{ {} }};", "b: Long,".repeat(1000));
    assert!(statements(&schema, Language::Schema).is_ok());
}
