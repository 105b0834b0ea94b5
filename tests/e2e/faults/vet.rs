//! Policies are tried by a process of its own first. When that dies, whatever killed it, the gateway serves on.

use std::path::PathBuf;

use doorward_tests::company::{Company, copy_policies};
use doorward_tests::gateway::{Gateway, Signal, end_by};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::until;
use serde_json::{Value, json};

use crate::seen;

struct Live {
    issuer: Issuer,
    gateway: Gateway,
    policies: PathBuf,
    folder: tempfile::TempDir,
    _upstream: RawUpstream,
}

/// A gateway that runs from a copy of the binary and loads when it is told to.
async fn start() -> Live {
    let upstream = RawUpstream::ok().await;
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    copy_policies(&policies);
    let mut company = Company::new(upstream.address()).await;
    company.config.set("policy", json!({"dir": policies, "watch": false}));
    let binary = folder.path().join("doorward-copy");
    let gateway = Gateway::start_copy(company.config, &binary).await;
    Live { issuer: company.issuer, gateway, policies, folder, _upstream: upstream }
}

impl Live {
    async fn reload(&self) -> (u16, Value) {
        let answer = self.gateway.api("POST", "/api/v1/policies/reload", None).await;
        (answer.status, serde_json::from_str(&answer.text).unwrap())
    }

    async fn serves(&self, what: &str) {
        let asked = [("bob", "build.test", 200), ("alice", "build.test", 403)];
        for (person, host, status) in asked {
            let told = seen::told(&self.gateway, host, &self.issuer.token(person)).await;
            assert_eq!(told.0, status, "{what}: {person} at {host}: {told:?}");
        }
    }
}

/// The processes whose parent is `parent`, that were told to vet.
fn vetting(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // `pid (name) state parent …`, and a name may hold anything.
        let after = stat.rsplit(") ").next().unwrap_or_default();
        let of = after.split(' ').nth(1).and_then(|p| p.parse::<u32>().ok());
        let told = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if of == Some(parent) && told.windows(4).any(|w| w == b"\0vet") {
            found.push(pid);
        }
    }
    found
}

#[tokio::test]
async fn a_trial_that_dies_is_a_rejection_and_the_gateway_serves_on() {
    let live = start().await;
    let (_, before) = live.reload().await;
    // So much that its trial takes a while.
    let many: String = (0..30_000)
        .map(|i| format!("@id(\"many.{i}\")\nforbid (principal, action, resource in App::\"wiki\") when {{ context.risk.score > 100 && context.zones.contains(\"corp\") }};\n"))
        .collect();
    let file = live.policies.join("apps/many.cedar");
    std::fs::write(&file, &many).unwrap();
    let pid = live.gateway.pid();
    let kill = async {
        let child = until("the trial", || vetting(pid).first().copied()).await;
        // As one ends whose stack is too small. The first SIGSEGV that comes from outside a program survives.
        end_by(child, Signal::SIGABRT);
    };
    let ((status, said), ()) = tokio::join!(live.reload(), kill);
    let finding = &said["findings"][0];
    assert_eq!((status, &said["code"]), (422, &json!("policies_rejected")), "{finding}");
    let message = finding["message"].as_str().unwrap();
    assert_eq!(message, "the process that tries the policies was ended by signal 6", "{finding}");
    assert!(finding["help"].is_string(), "{finding}");
    live.serves("after a trial that died").await;
    assert_eq!(vetting(pid), Vec::<u32>::new(), "nothing of it is left");
    // The same way mended files are taken.
    std::fs::remove_file(&file).unwrap();
    let (status, after) = live.reload().await;
    assert_eq!((status, &after["revision"]), (200, &before["revision"]), "{after}");
    live.serves("afterwards").await;
}

/// As it is in the middle of an upgrade: the file is another one, or gone.
#[tokio::test]
async fn a_gateway_whose_executable_is_gone_loads_policies() {
    let live = start().await;
    let binary = live.folder.path().join("doorward-copy");
    std::fs::rename(&binary, live.folder.path().join("doorward-old")).unwrap();
    std::fs::write(&binary, "#!/bin/sh\nexit 1\n").unwrap();
    let file = live.policies.join("apps/wiki.cedar");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\n// once more\n")).unwrap();
    let (status, said) = live.reload().await;
    assert_eq!((status, &said["outcome"]), (200, &json!("swapped")), "{said}");
    std::fs::remove_file(live.folder.path().join("doorward-old")).unwrap();
    std::fs::remove_file(&binary).unwrap();
    std::fs::write(&file, format!("{good}\n// and once more\n")).unwrap();
    let (status, said) = live.reload().await;
    assert_eq!((status, &said["outcome"]), (200, &json!("swapped")), "{said}");
    live.serves("without a file of its own").await;
}
