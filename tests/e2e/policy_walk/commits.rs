//! What `deploy/` has for commits and merges, in a git repository of its own: the hook lets pass what is good and holds up what
//! is not, by what is staged; and the commands of both snippets hold for the shipped policies and fail for broken ones.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward_tests::gateway::find;

struct Repository(tempfile::TempDir);

/// How a command ended, and both channels of it.
#[derive(Debug)]
struct Done {
    is_good: bool,
    text: String,
}

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy").join(name)
}

impl Repository {
    /// With the shipped policies, committed.
    fn new() -> Self {
        let made = Self(tempfile::tempdir().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies");
        let made_well = made.run(&format!(
            "git init -q -b main && git config user.name Dana && git config user.email dana@corp.example && \
             git config commit.gpgsign false && git config core.hooksPath .git/hooks && \
             cp -r '{}' . && git add . && git commit -qm 'what is deployed'",
            source.display()
        ));
        assert!(made_well.is_good, "{made_well:?}");
        made
    }

    fn run(&self, shell: &str) -> Done {
        let binary = find().unwrap_or_else(|e| panic!("{e}"));
        let beside = binary.parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash");
        // As both of them run what is written there. Where git itself runs these tests, it tells of its own repository.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            bash.env_remove(name);
        }
        let output = bash
            .args(["-e", "-o", "pipefail", "-c", shell])
            .current_dir(self.0.path())
            .env("PATH", format!("{beside}:{path}"))
            .env("HOME", self.0.path().join(".git"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        Done { is_good: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    /// Changes a file, and stages it.
    fn stage(&self, file: &str, from: &str, to: &str) {
        let path = self.0.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(self.run("git add -A").is_good);
    }

    fn commit(&self) -> Done {
        self.run("git commit -m change")
    }
}

#[test]
fn the_hook_looks_at_what_will_be_committed() {
    let repository = Repository::new();
    let hook = deploy("pre-commit/doorward-policies");
    assert!(repository.run(&format!("ln -s '{}' .git/hooks/pre-commit", hook.display())).is_good);

    std::fs::write(repository.0.path().join("other"), "x").unwrap();
    assert!(repository.run("git add -A").is_good);
    let other = repository.run("DOORWARD=/nowhere git commit -m other");
    assert!(other.is_good, "what has nothing to do with policies is not looked at: {other:?}");

    let (file, good) = ("policies/apps/build.cedar", "unless { resource.adminSurface };");
    for (bad, told) in [
        ("unless {  resource.adminSurface };", "policies/apps/build.cedar is laid out otherwise"),
        ("unless { resource.adminSurfac };", "did you mean `adminSurface`?"),
        ("unless { !resource.adminSurface };", "case `an engineer follows a log`: expected allow, got deny"),
    ] {
        repository.stage(file, good, bad);
        // What lies in the folder is good again, and is not what would be committed.
        assert!(repository.run(&format!("git show HEAD:{file} > {file}")).is_good);
        let held_up = repository.commit();
        assert!(!held_up.is_good && held_up.text.contains(told), "{bad}: {held_up:?}");
        assert!(held_up.text.contains("not committed"), "{held_up:?}");
        assert!(repository.run(&format!("git checkout -q HEAD -- {file}")).is_good);
    }

    repository.stage("policies/cases/build.toml", "an engineer follows a log", "an engineer follows the log");
    let good = repository.commit();
    assert!(good.is_good && good.text.contains("cases hold"), "{good:?}");
    assert_eq!(repository.run("git status --porcelain").text, "");
    let moved =
        repository.run("git config doorward.policies rules && git mv policies rules && git commit -m moved");
    assert!(moved.is_good && moved.text.contains("rules is good"), "{moved:?}");

    // A program is named by its path from the top, wherever git is called from.
    assert!(repository.run("mkdir bin && ln -s \"$(command -v doorward)\" bin/doorward").is_good);
    repository.stage("rules/cases/build.toml", "an engineer follows the log", "an engineer follows a log");
    let named = repository.run("cd rules && DOORWARD=bin/doorward git commit -m named");
    assert!(named.is_good && named.text.contains("rules is good"), "{named:?}");

    // Whoever removes everything has not looked at what is left.
    let gone = repository.run("git rm -qr rules && git commit -m gone");
    assert!(!gone.is_good && gone.text.contains("nothing is left in rules"), "{gone:?}");
}

/// The commands of a workflow: after `run:`, or indented below `run: |`.
fn of_github(text: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        let Some(command) = line.trim_start().strip_prefix("run: ") else { continue };
        if command != "|" {
            found.push(command.to_owned());
            continue;
        }
        let mut block = String::new();
        while let Some(below) = lines.next_if(|below| indent(below) > indent(line)) {
            block.push_str(below.trim_start());
            block.push('\n');
        }
        found.push(block);
    }
    found
}

/// The commands of each script of a pipeline, all lines of one together: the later ones stand on the earlier.
fn of_gitlab(text: &str) -> Vec<String> {
    let heads = ["  script:", "  after_script:"];
    let mut lines = text.lines().peekable();
    let mut found = Vec::new();
    while let Some(line) = lines.next() {
        if heads.iter().any(|head| line.starts_with(head)) {
            let commands = std::iter::from_fn(|| lines.next_if(|line| line.starts_with("    - ")));
            found.push(commands.map(|line| line.trim_start_matches("    - ")).collect::<Vec<_>>().join("\n"));
        }
    }
    found
}

fn snippets() -> (Vec<String>, Vec<String>) {
    let read = |name: &str| std::fs::read_to_string(deploy(name)).unwrap();
    (of_github(&read("ci/github-policies.yml")), of_gitlab(&read("ci/gitlab-policies.yml")))
}

/// The variables that each of them sets.
fn with_base(command: &str) -> String {
    format!(
        "export BASE=$(git rev-parse main) CI_MERGE_REQUEST_DIFF_BASE_SHA=$(git rev-parse main)\n{command}"
    )
}

#[test]
fn every_command_of_the_snippets_holds_for_the_shipped_policies() {
    let repository = Repository::new();
    let (github, gitlab) = snippets();
    assert!(github.len() >= 7 && gitlab.len() == 3, "{github:#?} {gitlab:#?}");
    // What stands in both is run once.
    let mut seen = BTreeSet::new();
    let lines = gitlab.split_last().unwrap().1.iter().flat_map(|script| script.lines());
    for command in github.iter().map(String::as_str).chain(lines) {
        if seen.insert(command) {
            let done = repository.run(&with_base(command));
            assert!(done.is_good, "{command}\n{done:?}");
        }
    }
    for made in ["policies.sarif", "cases.xml", "deployed/policies/schema.cedarschema"] {
        assert!(repository.0.path().join(made).is_file(), "{made}");
    }
}

#[test]
fn the_snippets_fail_for_a_mistake_and_tell_where_it_is() {
    let repository = Repository::new();
    repository.stage(
        "policies/apps/build.cedar",
        "unless { resource.adminSurface };",
        "unless { resource.adminSurfac };",
    );
    let (github, gitlab) = snippets();
    let sarif = github.iter().find(|c| c.contains("sarif")).unwrap();
    assert!(!repository.run(sarif).is_good);
    let told = std::fs::read(repository.0.path().join("policies.sarif")).unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    let place = &told["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(place, "policies/apps/build.cedar", "{told:#}");
    let beside = repository.run(github.iter().find(|c| c.contains("--format github")).unwrap());
    assert!(
        !beside.is_good && beside.text.contains("::error file=policies/apps/build.cedar,line=11"),
        "{beside:?}"
    );
    let job = repository.run(gitlab.first().unwrap());
    assert!(!job.is_good && job.text.contains("adminSurfac"), "{job:?}");
}

#[test]
fn what_an_edit_opens_is_told_by_both() {
    let repository = Repository::new();
    assert!(repository.run("git checkout -q -b edit").is_good);
    let without = "unless { resource.adminSurface };";
    repository.stage("policies/apps/build.cedar", without, ";");
    let (github, gitlab) = snippets();
    for command in [github.last().unwrap(), gitlab.last().unwrap()] {
        let opens = repository.run(&format!("rm -rf deployed\n{}", with_base(command)));
        assert!(!opens.is_good && opens.text.contains("newly allowed, for one:"), "{command}\n{opens:?}");
    }
}
