//! Bundles that tests make with the binary, and a gateway to try them on.

use std::path::{Path, PathBuf};

use doorward_tests::company::{Company, bearer, copy_policies};
use doorward_tests::gateway::{Answer, Gateway};
use doorward_tests::h1::{self, H1};
use doorward_tests::issuer::Issuer;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::within;
use serde_json::{Value, json};

/// A gateway on a folder of its own, and somebody who signs.
pub(crate) struct Live {
    pub(crate) issuer: Issuer,
    pub(crate) gateway: Gateway,
    pub(crate) desk: Desk,
    /// What the gateway watches.
    pub(crate) policies: PathBuf,
    pub(crate) _upstream: RawUpstream,
}

/// Where policies are edited, and bundles made.
pub(crate) struct Desk {
    folder: tempfile::TempDir,
}

/// Nobody gets in at the wiki. No case asks for this host, so all of them hold with it.
pub(crate) const NO_WIKI: &str = "@id(\"desk.no-wiki\")\n@owner(\"desk\")\n@reason(\"The wiki is closed.\")\nforbid (principal, action, resource in App::\"wiki\") when { context.http.host == \"wiki.test\" };\n";
/// Nobody gets in at the build server.
pub(crate) const NO_BUILD: &str = "@id(\"desk.no-build\")\n@owner(\"desk\")\n@reason(\"The builds are closed.\")\nforbid (principal, action, resource in App::\"build\") when { context.http.host == \"build.test\" };\n";

impl Desk {
    pub(crate) async fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        let made = doorward(&["policy", "bundle", "keygen", &desk.at("release")]).await;
        assert!(made.contains("the public half"), "{made}");
        desk
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    pub(crate) fn key(&self) -> String {
        self.at("release.key.pem")
    }

    pub(crate) fn public(&self) -> String {
        self.at("release.pub.pem")
    }

    /// The shipped policies and one more.
    pub(crate) fn folder(&self, name: &str, more: &str) -> PathBuf {
        let folder = self.path().join(name);
        copy_policies(&folder);
        std::fs::write(folder.join("apps/desk.cedar"), more).unwrap();
        folder
    }

    /// A bundle of such a folder, with this number, signed.
    pub(crate) async fn bundle(&self, name: &str, more: &str, sequence: u64) -> PathBuf {
        self.packed(&self.folder(name, more), sequence, &[]).await
    }

    /// The same with a proof of its red lines.
    pub(crate) async fn proved(&self, name: &str, more: &str, sequence: u64) -> PathBuf {
        let folder = self.folder(name, more);
        let result = self.proof(&folder, 0, &[]).await;
        self.packed(&folder, sequence, &["--result", &result]).await
    }

    /// What `doorward policy prove --format json` would print of a folder of the desk's as it is: so many of its red
    /// lines are broken, and these stand against it. Nobody looked.
    pub(crate) async fn proof(&self, folder: &Path, broken: usize, blocking: &[&str]) -> String {
        let dir = folder.display().to_string();
        let checked = doorward(&["policy", "check", "--dir", &dir, "--format", "json"]).await;
        let checked: Value = serde_json::from_str(&checked).unwrap();
        let line = |id: &&str| json!({ "id": id, "verdict": "broken", "unknown_blocks": true });
        let proof = json!({
            "revision": checked["revision"], "only": null, "proved": 1, "broken": broken, "unknown": 0,
            "lines": blocking.iter().map(line).collect::<Vec<_>>(),
        });
        let file = format!("{dir}.prove.json");
        std::fs::write(&file, proof.to_string()).unwrap();
        file
    }

    /// The shipped policies and one more, with less of the red lines and of the cases: one line is gone and one need not
    /// be known to hold any more.
    pub(crate) fn softer(&self, name: &str, more: &str) -> PathBuf {
        let folder = self.folder(name, more);
        for (file, from, to) in [
            ("apps", "@id(\"line.payroll-admin\")\n", "@id(\"line.payroll-admin\")\n@unknown(\"report\")\n"),
            ("places", "@title(\"Nothing at all from a sanctioned country\")", "@title(\"Another title\")"),
            ("people", "@id(\"line.active-people\")", "@id(\"line.other\")"),
        ] {
            let file = folder.join(format!("invariants/{file}.cedar"));
            let text = std::fs::read_to_string(&file).unwrap();
            assert_eq!(text.matches(from).count(), 1, "{from}");
            std::fs::write(file, text.replace(from, to)).unwrap();
        }
        std::fs::remove_file(folder.join("cases/build.toml")).unwrap();
        folder
    }

    /// A bundle of a folder of the desk's as it is, with this number, signed.
    pub(crate) async fn packed(&self, folder: &Path, sequence: u64, others: &[&str]) -> PathBuf {
        let out = format!("{}.dwp", folder.display());
        let (sequence, key) = (sequence.to_string(), self.key());
        let dir = folder.display().to_string();
        let words = ["--author", "desk", "--sequence", &sequence, "--key", &key];
        let build = ["policy", "bundle", "build", "--dir", &dir, "--out", &out];
        doorward(&[&build[..], &words, others].concat()).await;
        PathBuf::from(out)
    }
}

impl Live {
    /// A gateway that asks for the desk's signature.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_, _| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Value, &Desk)) -> Self {
        let (upstream, desk) = (RawUpstream::ok().await, Desk::new().await);
        let policies = desk.path().join("watched");
        copy_policies(&policies);
        let mut company = Company::new(upstream.address()).await;
        let mut policy = json!({"dir": policies, "watch": true, "keys": [desk.public()]});
        change(&mut policy, &desk);
        company.config.set("policy", policy);
        let (issuer, gateway) = company.start().await;
        Self { issuer, gateway, desk, policies, _upstream: upstream }
    }

    /// The status of a request of somebody at an app.
    pub(crate) async fn status(&self, person: &str, app: &str) -> u16 {
        let (token, host) = (bearer(&self.issuer.token(person)), format!("{app}.test"));
        h1::ask(self.gateway.address(), "GET", &host, "/", &[("authorization", &token)]).await.status()
    }

    /// The same; none when the connection ends before an answer.
    async fn try_status(&self, person: &str, app: &str) -> Option<u16> {
        let (token, host) = (bearer(&self.issuer.token(person)), format!("{app}.test"));
        let stream = tokio::net::TcpStream::connect(self.gateway.address()).await.ok()?;
        let mut client = H1::over(Box::new(stream));
        let request = h1::request("GET", &host, "/", &[("authorization", token.as_str())], b"");
        if !client.try_send(request).await {
            return None;
        }
        client.try_response("GET").await.map(|response| response.status())
    }

    /// Waits until somebody is answered so.
    pub(crate) async fn comes_to(&self, person: &str, app: &str, status: u16) {
        within(&format!("{person} at {app} to get {status}"), async {
            // What is under way while the policies change may be cut off: that is no answer.
            while self.try_status(person, app).await != Some(status) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// `doorward policy rollout …` that succeeds; what it printed.
    pub(crate) async fn rollout(&self, words: &[&str]) -> String {
        let ran = self.gateway.command(&[&["policy", "rollout"][..], words].concat()).await;
        assert_eq!(ran.code, Some(0), "{words:?}: {} {}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// The same that does not; how it ended, and what it complained about.
    pub(crate) async fn no_rollout(&self, words: &[&str]) -> (Option<i32>, String) {
        let ran = self.gateway.command(&[&["policy", "rollout"][..], words].concat()).await;
        assert_ne!(ran.code, Some(0), "{words:?}: {}", ran.stdout);
        (ran.code, ran.stderr)
    }

    /// What the gateway holds and has in force.
    pub(crate) async fn listed(&self) -> Value {
        let answer = self.gateway.api("GET", "/api/v1/policies/bundles", None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    pub(crate) async fn in_force(&self) -> String {
        self.listed().await["in_force"].as_str().unwrap().to_owned()
    }

    /// Sends these bytes to be held.
    pub(crate) async fn send(&self, packed: &[u8]) -> Answer {
        self.try_send(packed).await.unwrap()
    }

    /// The same; none when the connection ends before an answer.
    pub(crate) async fn try_send(&self, packed: &[u8]) -> Option<Answer> {
        let bearer = bearer(self.gateway.token());
        let fields = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/vnd.doorward.policy-bundle"),
            ("connection", "close"),
        ];
        let operator = self.gateway.operator();
        let stream = tokio::net::TcpStream::connect(operator).await.ok()?;
        let mut client = H1::over(Box::new(stream));
        let request = h1::request("POST", &operator.to_string(), "/api/v1/policies/bundles", &fields, packed);
        if !client.try_send(request).await {
            return None;
        }
        let response = client.try_response("POST").await?;
        Some(Answer { status: response.status(), text: response.text() })
    }

    /// The events with this code, the first first.
    pub(crate) fn events(&self, code: &str) -> Vec<Value> {
        let all = self.gateway.events().into_iter();
        all.filter(|event| event["metadata"]["event_code"] == code).collect()
    }
}

/// Runs the binary, which succeeds; what it printed.
pub(crate) async fn doorward(words: &[&str]) -> String {
    let words: Vec<&std::ffi::OsStr> = words.iter().map(std::ffi::OsStr::new).collect();
    let ran = doorward_tests::gateway::command(&words).await;
    assert_eq!(ran.code, Some(0), "{words:?}: {} {}", ran.stdout, ran.stderr);
    ran.stdout
}
