//! Another proxy with its file of `deploy/proxies/`, in which only addresses, names and certificates are others.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use doorward_servers::Port;
use doorward_tests::h1::{H1, Response};
use doorward_tests::h2::H2;
use doorward_tests::visitor::{Page, Visitor};
use doorward_tests::wire::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tempfile::TempDir;

use super::house::{House, WIKI};
use crate::python::python;

/// Where people sign in.
pub(crate) const LOGIN: &str = "login.test";

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    Haproxy,
    Envoy,
}

/// It runs until it is dropped.
pub(crate) struct Front {
    pub(crate) kind: Kind,
    pub(crate) house: House,
    port: Port,
    process: Child,
    folder: TempDir,
}

impl Front {
    /// Starts it in front of the wiki.
    pub(crate) async fn start(kind: Kind) -> Self {
        let port = Port::take();
        let url = format!("https://{LOGIN}:{}", port.number());
        let house = House::with(|config| {
            config
                .trust_local_proxy()
                .add("listen", json!({"decides": true}))
                .add("listen", json!({}))
                .set("sign_in.url", json!(url))
                .set("issuer.1.claims", json!({"roles": "groups"}));
        })
        .await;
        for who in ["alice", "bob"] {
            house.provider.set_groups(who, &["employee", "engineer"]);
        }
        let folder = tempfile::tempdir().unwrap();
        kind.write(&house, &port, folder.path());
        let process = kind.run(folder.path());
        let mut front = Self { kind, house, port, process, folder };
        until("the proxy to listen", || {
            let ended = front.process.try_wait().unwrap();
            assert!(ended.is_none(), "{kind:?} ended: {ended:?}");
            std::net::TcpStream::connect(front.port.address()).ok()
        })
        .await;
        front
    }

    /// An address of the wiki.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.authority())
    }

    pub(crate) async fn connect(&self) -> H1 {
        H1::connect_tls(self.port.address(), &self.house.authority, WIKI).await
    }

    /// A connection over HTTP/2, with a proxy whose file offers it.
    pub(crate) async fn connect_h2(&self) -> Option<H2> {
        match self.kind {
            Kind::Nginx => None,
            Kind::Caddy | Kind::Haproxy | Kind::Envoy => {
                Some(H2::connect_tls(self.port.address(), &self.house.authority, WIKI).await)
            }
        }
    }

    /// Asks for something of the wiki, with further lines.
    pub(crate) async fn ask(
        &self,
        (method, target): (&str, &str),
        cookie: &str,
        lines: &[(&str, &str)],
    ) -> Response {
        self.ask_on(&mut self.connect().await, (method, target), cookie, lines).await
    }

    /// The same on a connection that is there.
    pub(crate) async fn ask_on(
        &self,
        connection: &mut H1,
        (method, target): (&str, &str),
        cookie: &str,
        lines: &[(&str, &str)],
    ) -> Response {
        let mut all = lines.to_vec();
        if !cookie.is_empty() {
            all.push(("cookie", cookie));
        }
        connection.ask(method, &self.authority(), target, &all).await
    }

    /// What a browser puts into `Host`.
    pub(crate) fn authority(&self) -> String {
        format!("{WIKI}:{}", self.port.number())
    }

    /// Somebody goes to a page of the wiki; what is asked on the way, before they get there, is answered by `sign_in`.
    pub(crate) async fn go(
        &self,
        browser: &mut Visitor<'_>,
        path: &str,
        sign_in: impl Fn(&str) -> String,
    ) -> Page {
        let page = browser.go(&self.url(path)).await.unwrap();
        assert!(page.url.starts_with(self.house.provider.url()), "{:?}", page.way);
        browser.go(&sign_in(&page.url)).await.unwrap()
    }

    /// How many requests the app got so far.
    pub(crate) fn passed(&self) -> usize {
        self.house.app.requests().len()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // The workers of nginx end with their master only when it is asked to end.
        let signal = if self.kind == Kind::Nginx { Signal::SIGTERM } else { Signal::SIGKILL };
        let _ended = kill(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), signal);
        let _waited = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- {:?} wrote ---\n{}", self.kind, std::fs::read_to_string(self.log()).unwrap());
        }
    }
}

// === impl Kind ===

impl Kind {
    const fn file(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Caddy => "Caddyfile",
            Self::Haproxy => "haproxy.cfg",
            Self::Envoy => "envoy.yaml",
        }
    }

    /// Writes what it reads.
    fn write(self, house: &House, port: &Port, folder: &Path) {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/proxies");
        let (chain, key) = house.authority.certificate(&[LOGIN, WIKI]).write(folder, "proxy");
        std::fs::copy(&key, chain.with_extension("pem.key")).unwrap();
        let (chain, key) = (chain.display().to_string(), key.display().to_string());
        let address = port.address().to_string();
        let mut changes = vec![("tls/corp.example.pem", chain)];
        let others = [house.gateway.listener(1), house.gateway.listener(2), house.app.address()];
        let written = match self {
            Self::Nginx | Self::Caddy | Self::Haproxy => {
                ["127.0.0.1:8444", "127.0.0.1:8080", "127.0.0.1:9000"]
            }
            Self::Envoy => ["port_value: 8444}", "port_value: 8080}", "port_value: 9000}"],
        };
        changes.extend(written.into_iter().zip(others).map(|(written, other)| {
            let port = format!("port_value: {}}}", other.port());
            (written, if self == Self::Envoy { port } else { other.to_string() })
        }));
        match self {
            Self::Nginx => {
                changes.extend([
                    ("tls/corp.example.key", key),
                    ("listen 443 ssl", format!("listen {address} ssl")),
                    ("worker_processes auto", "worker_processes 1".to_owned()),
                    ("corp.example", "test".to_owned()),
                ]);
            }
            Self::Caddy => {
                changes.extend([
                    ("tls/corp.example.key", key),
                    ("admin off", "admin off\n\tdefault_bind 127.0.0.1".to_owned()),
                    ("corp.example {", format!("test:{} {{", port.number())),
                ]);
            }
            Self::Envoy => {
                let here = format!("{{address: 127.0.0.1, port_value: {}}}", port.number());
                changes.extend([
                    ("tls/corp.example.key", key),
                    ("{address: 0.0.0.0, port_value: 443}", here),
                    ("corp.example", "test".to_owned()),
                ]);
            }
            Self::Haproxy => {
                let lua = deploy.join("doorward.lua").display().to_string();
                changes.extend([
                    ("lua-load-per-thread doorward.lua", format!("lua-load-per-thread {lua}")),
                    ("bind :443", format!("bind {address}")),
                    ("corp.example", "test".to_owned()),
                ]);
            }
        }
        let mut text = std::fs::read_to_string(deploy.join(self.file())).unwrap();
        for (written, meant) in &changes {
            assert!(text.contains(written), "{written}");
            text = text.replace(written, meant);
        }
        if self == Self::Nginx {
            for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
                let place = folder.join(kind);
                let line = format!("http {{\n{kind}_temp_path {};", place.display());
                text = text.replacen("http {", &line, 1);
            }
        }
        std::fs::write(folder.join(self.file()), text).unwrap();
    }

    fn run(self, folder: &Path) -> Child {
        let (name, arguments): (_, &[&str]) = match self {
            Self::Nginx => ("nginx", &["-g", "daemon off;", "-e", "stderr", "-p", ".", "-c"]),
            Self::Caddy => ("caddy", &["run", "--adapter", "caddyfile", "--config"]),
            Self::Haproxy => ("haproxy", &["-db", "-f"]),
            Self::Envoy => ("envoy", &["--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c"]),
        };
        let file = folder.join(self.file());
        let log = File::create(folder.join("log")).unwrap();
        let program =
            if self == Self::Envoy { python("proxies").with_file_name(name) } else { program(name) };
        let mut command = Command::new(program);
        command.args(arguments).arg(file).current_dir(folder);
        // What Caddy keeps, it keeps there.
        command.envs(["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|home| (home, folder)));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }
}

/// Debian puts proxies where only the `PATH` of root leads.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.find(|folder| folder.join(name).is_file());
    let found =
        found.unwrap_or_else(|| panic!("`{name}` is not installed; on Debian: apt-get install {name}"));
    found.join(name)
}
