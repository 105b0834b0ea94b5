//! A gateway with policies of its own, an edit of them, and people who ask for the same again and again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use doorward_model::{Employment, Principal};
use doorward_policy::{Decision, Verdict, Workshop, record};
use doorward_tests::company::{Company, bearer};
use doorward_tests::gateway::{CommandOutput, Gateway};
use doorward_tests::h1;
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::within;
use serde_json::{Value, json};

/// Who asks for what: person (none for a visitor), method, host, path. The policies are asked about each.
pub(crate) const ASKED: [(Option<&str>, &str, &str, &str); 11] = [
    (Some("alice"), "GET", "wiki.test", "/"),
    (Some("alice"), "POST", "wiki.test", "/page"),
    (Some("bob"), "GET", "wiki.test", "/page"),
    (Some("bob"), "POST", "wiki.test", "/page"),
    (Some("carol"), "GET", "wiki.test", "/"),
    (Some("carol"), "POST", "wiki.test", "/page"),
    (Some("bob"), "GET", "build.test", "/"),
    (Some("alice"), "GET", "build.test", "/"),
    (Some("bob"), "GET", "payroll.test", "/"),
    (Some("dana"), "GET", "wiki.test", "/admin"),
    (None, "GET", "wiki.test", "/welcome"),
];

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) issuer: Arc<Issuer>,
    /// The policies in force when it was started.
    pub(crate) policies: PathBuf,
    folder: tempfile::TempDir,
    _upstream: RawUpstream,
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        // The cases of the shipped policies say what an edit may not change.
        match entry.path().is_dir() {
            true if entry.file_name() == "cases" || entry.file_name() == "invariants" => {}
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Of which kind somebody is, as it is told.
fn kind(principal: &Principal) -> &'static str {
    match principal {
        Principal::User(user) => match user.employment {
            Employment::Employee => "employee",
            Employment::Contractor => "contractor",
            Employment::Partner => "partner",
            Employment::Unknown => "unknown",
        },
        Principal::ServiceAccount(_) => "service_account",
        Principal::Agent(_) => "agent",
        Principal::Visitor(_) => "visitor",
    }
}

/// Replaces what must be there.
fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(file, text.replace(from, to)).unwrap();
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a change of the policies before anything is started.
    pub(crate) async fn with(change: impl FnOnce(&Path)) -> Self {
        let upstream = RawUpstream::ok().await;
        let folder = tempfile::tempdir().unwrap();
        let policies = folder.path().join("policies");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("policies"), &policies);
        change(&policies);
        let mut company = Company::new(upstream.address()).await;
        company.config.set("policy", json!({"dir": policies, "watch": false}));
        let (issuer, gateway) = company.start().await;
        Self { gateway, issuer: Arc::new(issuer), policies, folder, _upstream: upstream }
    }

    /// An edit of these policies with a bit of each: nobody writes in the wiki any more, HR reads builds, and
    /// engineers build by a policy of another name.
    pub(crate) fn candidate(&self) -> PathBuf {
        let candidate = self.folder.path().join("candidate");
        if candidate.exists() {
            return candidate;
        }
        copy(&self.policies, &candidate);
        let wiki = candidate.join("apps/wiki.cedar");
        edit(&wiki, "action in [Action::\"read\", Action::\"write\"]", "action in [Action::\"read\"]");
        let build = candidate.join("apps/build.cedar");
        edit(&build, "@id(\"build.engineers\")", "@id(\"build.makers\")");
        let readers = "\n@id(\"build.readers\")\n@title(\"HR reads builds\")\n@owner(\"engineering\")\n\
                       permit (principal is User in Role::\"hr\", action in Action::\"read\", resource in App::\"build\");\n";
        let text = std::fs::read_to_string(&build).unwrap();
        std::fs::write(&build, text + readers).unwrap();
        candidate
    }

    /// Asks for everything once; the status, and the code of a refusal.
    pub(crate) async fn asks(&self) -> Vec<(u16, String)> {
        asks(&self.gateway, &self.issuer).await
    }

    /// `doorward policy shadow …`.
    pub(crate) async fn shadow(&self, arguments: &[&str]) -> CommandOutput {
        let all: Vec<&str> = ["policy", "shadow"].into_iter().chain(arguments.iter().copied()).collect();
        self.gateway.command(&all).await
    }

    /// The same, where it must be done.
    pub(crate) async fn done(&self, arguments: &[&str]) -> String {
        let output = self.shadow(arguments).await;
        assert_eq!(output.code, Some(0), "{arguments:?}: {output:?}");
        output.stdout
    }

    /// Starts the candidate.
    pub(crate) async fn starts(&self, more: &[&str]) {
        let candidate = self.candidate();
        let mut arguments = vec!["start", candidate.to_str().unwrap(), "--author", "test"];
        arguments.extend(more);
        let said = self.done(&arguments).await;
        assert!(said.contains("is asked beside those in force"), "{said}");
    }

    /// What is known when nothing waits to be decided any more.
    pub(crate) async fn found(&self, lane: &str) -> Value {
        within(&format!("the {lane} to have decided everything"), async {
            loop {
                let found = self.status().await;
                if found[lane]["requests"]["waiting"] == 0 {
                    return found[lane].clone();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
    }

    pub(crate) async fn status(&self) -> Value {
        let answer = self.gateway.api("GET", "/api/v1/policies/shadow", None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// The revision in force.
    pub(crate) async fn in_force(&self) -> String {
        let answer = self.gateway.api("GET", "/api/v1/policies", None).await;
        let shown: Value = serde_json::from_str(&answer.text).unwrap();
        shown["revision"].as_str().unwrap().to_owned()
    }

    /// The events with this code.
    pub(crate) fn events(&self, code: &str) -> Vec<Value> {
        let events = self.gateway.events();
        events.into_iter().filter(|event| event["metadata"]["event_code"] == code).collect()
    }
}

pub(crate) async fn asks(gateway: &Gateway, issuer: &Issuer) -> Vec<(u16, String)> {
    let mut told = Vec::new();
    for (person, method, host, path) in ASKED {
        let token = person.map(|person| bearer(&issuer.token(person)));
        let fields: Vec<(&str, &str)> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let answer = h1::ask(gateway.address(), method, host, path, &fields).await;
        told.push((answer.status(), answer.head.value("x-doorward-refusal").unwrap_or_default()));
    }
    told
}

/// The revision of a folder.
pub(crate) fn revision(folder: &Path) -> String {
    Workshop::open(folder, None).unwrap().bundle().revision().to_string()
}

// === the truth: everything that the log has, decided once more by both folders ===

/// How many requests something changes: newly denied, newly allowed, by other policies.
type Changes = [u64; 3];

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) decided: u64,
    pub(crate) total: Changes,
    pub(crate) by_kind: BTreeMap<String, Changes>,
    pub(crate) by_app: BTreeMap<String, Changes>,
    pub(crate) by_policy: BTreeMap<String, Changes>,
}

impl Truth {
    /// Of what stands in the log behind its first `skip` decisions.
    pub(crate) fn of(events: &[Value], skip: usize, in_force: &Workshop, candidate: &Workshop) -> Self {
        let situations = events
            .iter()
            .filter(|event| event["metadata"]["event_code"].as_str().unwrap().starts_with("access.request."))
            .filter_map(|event| event["unmapped"]["doorward"].get("situation"))
            .skip(skip);
        let mut truth = Self::default();
        for situation in situations {
            let situation = record::read(&situation.to_string()).unwrap();
            let asked = situation.question();
            let (now, would) = (in_force.bundle().decide(&asked), candidate.bundle().decide(&asked));
            let of = (kind(&situation.principal), situation.route.id.app().to_string());
            truth.add(of, &now, &would);
        }
        truth
    }

    fn add(&mut self, (kind, app): (&str, String), now: &Verdict, would: &Verdict) {
        self.decided += 1;
        let names = |verdict: &Verdict| -> std::collections::BTreeSet<String> {
            verdict.determining.iter().map(ToString::to_string).collect()
        };
        let (before, after) = (names(now), names(would));
        let or = |first: &std::collections::BTreeSet<String>, second: &std::collections::BTreeSet<String>| {
            if first.is_empty() { second.clone() } else { first.clone() }
        };
        let (at, policies) = match (now.decision, would.decision) {
            (Decision::Allow, Decision::Deny) => (0, or(&after, &before)),
            (Decision::Deny, Decision::Allow) => (1, or(&before, &after)),
            _ if before == after => return,
            _ => (2, &before ^ &after),
        };
        self.total[at] += 1;
        self.by_kind.entry(kind.to_owned()).or_default()[at] += 1;
        self.by_app.entry(app).or_default()[at] += 1;
        for policy in policies {
            self.by_policy.entry(policy).or_default()[at] += 1;
        }
    }

    /// What the gateway tells, in the same form.
    pub(crate) fn told(report: &Value) -> Self {
        let changes = |of: &Value| {
            ["newly_denied", "newly_allowed", "other_policies"].map(|change| of[change].as_u64().unwrap())
        };
        let rows = |of: &str| {
            assert_eq!(changes(&report[of]["others"]), [0; 3], "{report}");
            let rows = report[of]["rows"].as_array().unwrap();
            rows.iter().map(|row| (row["name"].as_str().unwrap().to_owned(), changes(row))).collect()
        };
        Self {
            decided: report["requests"]["decided"].as_u64().unwrap(),
            total: changes(&report["differences"]),
            by_kind: rows("by_kind"),
            by_app: rows("by_app"),
            by_policy: rows("by_policy"),
        }
    }
}
