use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn check(text: &str, expect: &str) {
    assert_eq!(format("x.cedar", text).unwrap(), expect, "of\n{text}");
    assert_eq!(format("x.cedar", expect).unwrap(), expect, "again");
}

const POLICY: &str = "permit (principal, action, resource);";

#[test]
fn a_policy_is_laid_out() {
    check(
        "@id(\"a\")permit(principal is User,action,resource)when{principal.a&&context.b};",
        "@id(\"a\")\npermit (\n  principal is User,\n  action,\n  resource\n)\nwhen { principal.a && context.b };\n",
    );
}

#[test]
fn paragraphs_of_comments_stay_what_they_are() {
    check(
        &format!(
            "// file\n// head\n\n\n// of the policy\n{POLICY} // tail\n\n\n\n// next\n{POLICY}{POLICY}\n// end\n\n// of all"
        ),
        &format!(
            "// file\n// head\n\n// of the policy\n{POLICY} // tail\n\n// next\n{POLICY}\n\n{POLICY}\n\n// end\n\n// of all\n"
        ),
    );
    check(&format!("// detached\n\n{POLICY}"), &format!("// detached\n\n{POLICY}\n"));
    check("// nothing else", "// nothing else\n");
    check("", "");
}

#[test]
fn windows_lines_become_lines() {
    check(&format!("// a\r\n{POLICY}\r\n\r\n{POLICY}\r\n"), &format!("// a\n{POLICY}\n\n{POLICY}\n"));
}

#[test]
fn comments_inside_a_policy_stay() {
    let text = "permit (principal, // who\n action, resource)\n// why\nwhen { true // because\n };";
    let laid_out = format("x.cedar", text).unwrap();
    for comment in ["// who", "// why", "// because"] {
        assert_eq!(laid_out.matches(comment).count(), 1, "{laid_out}");
    }
}

#[test]
fn comments_are_found_and_strings_are_not() {
    assert_eq!(comments("a // b \n \"// c \\\" // d\" / // e\r\n//"), [" b", " e", ""]);
    assert_eq!(comments("\"open // x"), Vec::<String>::new());
}

/// What compares before and after must see a difference.
#[test]
fn a_lost_comment_or_another_condition_is_seen() {
    let before =
        Content::of("x", "// a\n// a\npermit(principal,action,resource) when { context.a < 1 };").unwrap();
    for after in [
        "// a\npermit(principal,action,resource) when { context.a < 1 };",
        "// a\n// b\npermit(principal,action,resource) when { context.a < 1 };",
        "// a\n// a\npermit(principal,action,resource) when { context.a <= 1 };",
        "// a\n// a\nforbid(principal,action,resource) when { context.a < 1 };",
        "// a\n// a\n@id(\"x\")permit(principal,action,resource) when { context.a < 1 };",
        "// a\n// a\n",
        "// a\n// a\npermit(",
    ] {
        assert!(matches!(before.kept_in("x", after), Err(FormatError::Changed(_))), "{after}");
    }
}

#[test]
fn what_is_not_cedar_or_too_deep_is_left_alone() {
    let deep =
        format!("permit(principal,action,resource)when{{{}true{}}};", "(".repeat(5000), ")".repeat(5000));
    for bad in ["permit(", "x", &deep] {
        assert!(matches!(format("x.cedar", bad), Err(FormatError::Mistakes(_))));
    }
}

#[test]
fn a_file_is_replaced_whole_and_keeps_its_mode_and_its_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.cedar"), dir.path().join("link.cedar"));
    fs::write(&real, "permit(principal,action,resource);").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("real.cedar", &link).unwrap();
    assert!(file(&link, "link.cedar", false).unwrap(), "it would be laid out otherwise");
    assert_eq!(fs::read_to_string(&real).unwrap(), "permit(principal,action,resource);", "and only that");
    assert!(file(&link, "link.cedar", true).unwrap());
    assert_eq!(fs::read_to_string(&real).unwrap(), format!("{POLICY}\n"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o7777, 0o640);
    assert!(link.is_symlink());
    assert!(!file(&link, "link.cedar", true).unwrap(), "it is as it should be");
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    fs::write(&real, b"// \xff").unwrap();
    assert!(matches!(file(&real, "real.cedar", true), Err(FormatError::Mistakes(_))));
    fs::write(&real, "permit(").unwrap();
    assert!(file(&real, "real.cedar", true).is_err());
    assert_eq!(fs::read_to_string(&real).unwrap(), "permit(");
}

/// The line of the first mistakes is told, and not those of all.
#[test]
fn a_file_of_nothing_but_mistakes_has_a_bound() {
    let bad = "permit(principal,action,resource)when{context.a&&};\n";
    let text = format!("{POLICY}\n\n{}", bad.repeat(20_000));
    let Err(FormatError::Mistakes(found)) = format("x.cedar", &text) else { panic!("it is no Cedar") };
    assert_eq!(found.len(), POLICY_FINDINGS_MAX + 1);
    assert_eq!(found[0].line_and_column().unwrap().0, 3);
    assert_eq!(found[199].line_and_column().unwrap().0, 202);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe.cedar");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let toml = dir.path().join("x.toml");
    fs::write(&toml, "[policy]\ndir = \"p\"\n").unwrap();
    assert_eq!(files_below(dir.path()).unwrap(), std::slice::from_ref(&pipe));
    let rule = |path: &Path| match file(path, "x", true) {
        Err(FormatError::Mistakes(found)) => found[0].rule(),
        other => panic!("{other:?}"),
    };
    for (path, expect) in [
        (pipe.as_path(), Rule::Unreadable),
        (Path::new("/dev/zero"), Rule::Unreadable),
        (dir.path(), Rule::Unreadable),
        (toml.as_path(), Rule::FileName),
    ] {
        assert_eq!(rule(path), expect, "{}", path.display());
    }
}

/// The place is that of the mistake in the file, whichever policy it is in.
#[test]
fn a_mistake_is_told_at_its_place() {
    let text = "// one\npermit (principal, action, resource);\n\npermit (principal,\n  action resource);\n";
    let Err(FormatError::Mistakes(found)) = format("x.cedar", text) else { panic!("it is no Cedar") };
    assert_eq!(found[0].line_and_column(), Some((5, 10)), "{found:?}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.cedar");
    fs::write(&path, "\u{feff}permit (principal, action, resource);\n").unwrap();
    let Err(FormatError::Mistakes(found)) = file(&path, "x.cedar", true) else { panic!("there is a mark") };
    assert!(found[0].message().contains("byte order mark"), "{found:?}");
}
