//! A gateway that asks for certificates at its first address, speaks plain HTTP at its second, and TLS without asking at its third: `wiki.test` looks at them, `vault.test` wants one,
//! `open.test` looks at none. Alice and bob are known.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_tests::company::bearer;
use doorward_tests::devices::{DeviceAuthority, DeviceCertificate, H1 as OVER_H1, Speaks, shake, without};
use doorward_tests::gateway::{Config, Gateway, Signal};
use doorward_tests::h1::H1;
use doorward_tests::raw::{Answer, RawUpstream, Step};
use doorward_tests::tls::Authority;
use doorward_tests::wire::within;
use rustls::{ClientConfig, HandshakeKind};
use serde_json::json;
use tempfile::TempDir;

use crate::hand::said;
use crate::house::{House, of_person, person};

const POLICY: &str = r#"
@id("proved") permit (principal is User, action, resource == Route::"wiki/role")
when { context.device.assurance == DeviceAssurance::"mtls" };
@id("safe") permit (principal is User, action, resource == Route::"wiki/granted")
when { context.device.assurance == DeviceAssurance::"mtls" && context.device.ownerMatches
       && context.device.managed && context.device.compliant && context.device.postureAge <= duration("2h") };
@id("any") permit (principal is User, action, resource == Route::"wiki/group");
@id("others") permit (principal is User, action, resource) when { resource in App::"vault" || resource in App::"open" };
"#;

/// What is asked for: the proof of a device, a safe device of one's own, anything.
pub(crate) const PROVED: &str = "/role";
pub(crate) const SAFE: &str = "/granted";
pub(crate) const ANY: &str = "/group";

pub(crate) struct Door {
    pub(crate) house: House,
    pub(crate) servers: Authority,
    pub(crate) devices: DeviceAuthority,
    folder: TempDir,
    _other: RawUpstream,
}

impl Door {
    /// With the lists of revoked certificates in use.
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// With a change of the configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let (servers, devices) = (Authority::new(), DeviceAuthority::new("the company's devices"));
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/schema.cedarschema");
        std::fs::create_dir(at.join("policies")).unwrap();
        std::fs::copy(schema, at.join("policies/schema.cedarschema")).unwrap();
        std::fs::write(at.join("policies/all.cedar"), POLICY).unwrap();
        std::fs::write(at.join("devices.pem"), devices.pem()).unwrap();
        std::fs::write(at.join("devices.crl"), devices.list(&[], 3600)).unwrap();
        let names = ["wiki.test", "vault.test", "open.test", "login.test"];
        let (chain, key) = servers.certificate(&names).write(at, "door");
        let other = RawUpstream::start(|head| {
            if head.target().ends_with("/events") {
                let fields = "content-type: text/event-stream\r\ntransfer-encoding: chunked";
                Answer::bytes(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n8\r\ndata: 1\n\r\n"))
                    .then(Step::Hang)
            } else {
                Answer::ok("ok")
            }
        })
        .await;
        let app = other.address();
        let house = House::new(|config| {
            config
                .set("policy.dir", json!(at.join("policies")))
                .app("vault", "vault.test", app, json!({"client_certificate": "required"}))
                .app("open", "open.test", app, json!({"client_certificate": "none"}))
                .set(
                    "listen",
                    json!([{
                    "certificate": [{"chain": chain, "key": key}],
                    "client_certificates": {
                        "ca_files": [at.join("devices.pem")], "crl_files": [at.join("devices.crl")],
                    },
                }, {}, {"certificate": [{"chain": chain, "key": key}]}]),
                );
            change(config, at);
        })
        .await;
        house.write(vec![of_person(&person(1, "alice")), of_person(&person(2, "bob"))]).await;
        let door = Self { house, servers, devices, folder, _other: other };
        // Another process wrote that.
        for name in ["alice", "bob"] {
            within("people to be known", async {
                while door.told(&door.stranger(OVER_H1), name, "wiki.test", ANY).await != "200" {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
        door
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.house.gateway
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.gateway().listener(0)
    }

    /// Registers a device of alice's, managed and compliant.
    pub(crate) async fn register(&self, device: &str, more: &[&str]) {
        let mut all =
            vec!["device", "add", device, "--name", "L", "--owner", "alice", "--managed", "--compliant"];
        all.extend(more);
        said(self.gateway(), 0, &all).await;
    }

    /// A client that shows this certificate, by HTTP/1.1.
    pub(crate) fn client(&self, certificate: &DeviceCertificate) -> Arc<ClientConfig> {
        certificate.client(&self.servers, OVER_H1)
    }

    /// A client that shows none.
    pub(crate) fn stranger(&self, speaks: Speaks<'_>) -> Arc<ClientConfig> {
        without(&self.servers, speaks)
    }

    pub(crate) fn token(&self, name: &str) -> String {
        bearer(&self.house.people.token_of(name))
    }

    /// What somebody is told on a connection of their own: `200`, the code of a refusal, or `no handshake`.
    pub(crate) async fn told(&self, client: &Arc<ClientConfig>, who: &str, host: &str, path: &str) -> String {
        match self.visit(client, host).await {
            None => "no handshake".to_owned(),
            Some(mut visit) => visit.told(&self.token(who), path).await,
        }
    }

    /// A connection that goes on.
    pub(crate) async fn visit(&self, client: &Arc<ClientConfig>, host: &str) -> Option<Visit> {
        let stream = shake(client, self.address(), host).await.ok()?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        Some(Visit { client: H1::over(Box::new(stream)), host: host.to_owned(), resumed })
    }

    /// Puts another list into the place of the one in use, and waits until it is.
    pub(crate) async fn lists(&self, list: &str) {
        std::fs::write(self.folder.path().join("devices.crl"), list).unwrap();
        let read = || {
            let log = self.gateway().log();
            let told = ["certificates were read again", "a certificate cannot be served; the old ones stay"];
            told.iter().map(|text| log.matches(text).count()).sum::<usize>()
        };
        // Whoever watches the file and whoever hears the signal may each be about to tell of a reading that began
        // before this list was there; the third reading is of this list.
        let before = read();
        for times in 1..=3 {
            self.gateway().signal(Signal::SIGHUP);
            within("the list to be read", async {
                while read() < before + times {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await;
        }
    }
}

/// One connection.
pub(crate) struct Visit {
    client: H1,
    host: String,
    /// The handshake was that of a connection before.
    pub(crate) resumed: bool,
}

impl Visit {
    /// What one request is told; a refusal of the handshake may come with the first answer.
    pub(crate) async fn told(&mut self, token: &str, path: &str) -> String {
        self.told_with(token, path, &[]).await
    }

    pub(crate) async fn told_with(&mut self, token: &str, path: &str, more: &[(&str, &str)]) -> String {
        let mut fields = vec![("authorization", token)];
        fields.extend(more);
        let response = self.client.try_ask("GET", &self.host, path, &fields).await;
        let Some(response) = response else { return "no handshake".to_owned() };
        response.head.value("x-doorward-refusal").unwrap_or_else(|| response.status().to_string())
    }
}
