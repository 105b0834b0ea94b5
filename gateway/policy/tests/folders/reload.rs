//! Other policies take the place of those in force as a whole, or not at all.

use doorward_model::UnixMillis;
use doorward_policy::Outcome;

use crate::support::{Ask, Folder, code, shipped};

const OPEN: &str = "@id(\"open\") permit (principal, action, resource);";
const SHUT: &str = "@id(\"shut\") forbid (principal, action, resource);";

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Swapped { .. } => "swapped",
        Outcome::Unchanged => "unchanged",
        Outcome::Rejected(_) => "rejected",
    }
}

#[test]
fn a_good_folder_is_swapped_in_and_a_bad_one_leaves_the_old_in_force() {
    let folder = Folder::with(OPEN);
    let policies = folder.open().unwrap();
    let first = policies.bundle();
    let reload = || policies.reload(UnixMillis(7));
    let now = || code(&Ask::new().of(&policies.bundle()));
    assert_eq!((word(&reload()), now()), ("unchanged", "allow"));
    folder.write("README.md", "not a policy");
    assert_eq!(word(&reload()), "unchanged");

    folder.write("apps/test.cedar", SHUT);
    match reload() {
        Outcome::Swapped { from, to, .. } => {
            assert_eq!((from, to), (first.revision(), policies.bundle().revision()));
            assert_ne!(from, to);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(now(), "policy_forbids");
    assert_eq!(policies.bundle().loaded_at(), UnixMillis(7));
    // Whoever began with the first bundle ends with it.
    assert_eq!(code(&Ask::new().of(&first)), "allow");

    for bad in ["permit (", "@id(\"x\") permit (principal, action, resource) when { contex.a };"] {
        folder.write("apps/test.cedar", bad);
        assert_eq!((word(&reload()), now()), ("rejected", "policy_forbids"));
        // Still bad is not "unchanged".
        assert_eq!(word(&reload()), "rejected");
    }
    folder.write("apps/test.cedar", OPEN);
    folder.write(
        "cases/x.toml",
        "[[case]]\nname = \"n\"\nwho = \"visitor\"\ndoes = \"GET a/b\"\nexpect = \"deny\"",
    );
    assert_eq!((word(&reload()), now()), ("rejected", "policy_forbids"));
    std::fs::remove_dir_all(folder.path()).unwrap();
    assert_eq!((word(&reload()), now()), ("rejected", "policy_forbids"));
}

/// Every file of the shipped folder, cut short at every 97th byte: loaded or refused with a
/// message, never a crash, and never a bundle that lost a guardrail without anybody noticing.
#[test]
fn a_torn_file_is_refused() {
    let text = std::fs::read_to_string(shipped().join("guardrails/sign-in.cedar")).unwrap();
    let whole = text.matches("\nforbid").count();
    for cut in (1..text.len()).step_by(97).filter(|cut| text.is_char_boundary(*cut)) {
        let folder = Folder::with(OPEN).put("guardrails/sign-in.cedar", &text[..cut]);
        let complete = text[..cut].matches("};\n").count();
        match folder.open() {
            Ok(policies) => assert_eq!(policies.bundle().policies(), 1 + complete),
            Err(e) => assert!(e.plain().contains("guardrails/sign-in.cedar:"), "{}", e.plain()),
        }
        assert!(complete <= whole);
    }
}
