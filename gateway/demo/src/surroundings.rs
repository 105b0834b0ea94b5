//! Everything around the gateway: the provider and the apps, started together.

use doorward_model::time::Clock;

use crate::apps::{Pace, SampleApp};
use crate::loopback::{BindError, Loopback};
use crate::provider::{CORP_ID, Desk, Provider, ProviderError};

/// Which port of 127.0.0.1 is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The gateway without TLS, HTTP/1.1 and HTTP/2: for curl.
    pub gateway: u16,
    /// The gateway's operator listener.
    pub operator: u16,
    /// The identity provider.
    pub provider: u16,
    /// The wiki.
    pub wiki: u16,
    /// Payroll.
    pub payroll: u16,
    /// Build.
    pub build: u16,
    /// Where the gateway hears of people.
    pub intake: u16,
    /// The gateway with TLS: for browsers.
    pub secure: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self {
            gateway: 8080,
            operator: 9180,
            provider: 9181,
            wiki: 9182,
            payroll: 9183,
            build: 9184,
            intake: 9185,
            secure: 8443,
        }
    }
}

impl Ports {
    /// Eight ports in a row, the gateway's first; none when they do not fit below 65536 or begin
    /// at 0.
    #[must_use]
    pub fn from_base(base: u16) -> Option<Self> {
        if base == 0 {
            return None;
        }
        let port = |i| base.checked_add(i);
        Some(Self {
            gateway: base,
            operator: port(1)?,
            provider: port(2)?,
            wiki: port(3)?,
            payroll: port(4)?,
            build: port(5)?,
            intake: port(6)?,
            secure: port(7)?,
        })
    }
}

impl Ports {
    /// Where a browser finds a path of an app, or of `login`: `https://wiki.localhost:8443/`. Browsers know by
    /// themselves that such a name is this machine (RFC 6761 §6.3).
    #[must_use]
    pub fn page(&self, host: &str, path: &str) -> String {
        format!("https://{host}.localhost:{}{path}", self.secure)
    }
}

/// The provider and the apps, bound and not yet serving.
#[derive(Debug)]
pub struct Surroundings {
    ports: Ports,
    desk: Desk,
    doors: Vec<(Loopback, axum::Router)>,
}

/// Why the surroundings did not start.
#[derive(Debug, thiserror::Error)]
pub enum SurroundingsError {
    /// An address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl Surroundings {
    /// Binds the provider and the apps; port 0 takes a free one. The gateway's own ports are not
    /// touched.
    ///
    /// # Errors
    /// When a port is taken, or the provider's key cannot be made.
    pub async fn bind(ports: Ports, pace: Pace, clock: Clock) -> Result<Self, SurroundingsError> {
        let door = Loopback::port(ports.provider).await?;
        let provider = Provider::new(format!("http://{}", door.address()), clock.clone())?;
        let mut bound = Ports { provider: door.address().port(), ..ports };
        let corp = Provider::new(format!("{}/{CORP_ID}", provider.issuer()), clock)?;
        let desk = Desk::new(provider, &bound.page("login", ""))?;
        let mut doors = vec![(door, desk.router().nest(&format!("/{CORP_ID}"), corp.router()))];
        for app in SampleApp::ALL {
            let port = match app {
                SampleApp::Wiki => &mut bound.wiki,
                SampleApp::Payroll => &mut bound.payroll,
                SampleApp::Build => &mut bound.build,
            };
            let door = Loopback::port(*port).await?;
            *port = door.address().port();
            doors.push((door, app.router(pace)));
        }
        Ok(Self { ports: bound, desk, doors })
    }

    /// The ports, with those that were taken.
    #[must_use]
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// Where people with a browser sign in.
    #[must_use]
    pub const fn desk(&self) -> &Desk {
        &self.desk
    }

    /// Serves until the future is dropped.
    pub async fn serve(self) {
        let serving = self.doors.into_iter().map(|(door, router)| door.serve(router));
        futures_util::future::join_all(serving).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use doorward_model::UnixMillis;

    use super::*;
    use crate::client::fetch;

    #[test]
    fn eight_ports_in_a_row() {
        assert_eq!(Ports::from_base(20_000).map(|p| (p.gateway, p.secure)), Some((20_000, 20_007)));
        assert_eq!(Ports::from_base(65_528).map(|p| p.secure), Some(65_535));
        assert_eq!([0, 65_529, 65_535].map(Ports::from_base), [None; 3]);
    }

    #[tokio::test]
    async fn all_start_and_a_taken_port_stops_all() {
        let any = Ports {
            gateway: 0,
            operator: 0,
            provider: 0,
            wiki: 0,
            payroll: 0,
            build: 0,
            intake: 0,
            secure: 0,
        };
        let clock: Clock = Arc::new(|| UnixMillis(0));
        let around = Surroundings::bind(any, Pace::default(), clock.clone()).await.unwrap();
        let ports = around.ports();
        let issuer = around.desk().discovery()["issuer"].clone();
        assert_eq!(issuer, format!("http://127.0.0.1:{}", ports.provider));
        tokio::spawn(around.serve());
        for (port, path, says) in [
            (ports.provider, "/", "Sign in as anybody"),
            (ports.provider, "/corp/.well-known/openid-configuration", "/corp/keys"),
            (ports.wiki, "/whoami", r#""app":"wiki""#),
            (ports.payroll, "/whoami", r#""app":"payroll""#),
            (ports.build, "/whoami", r#""app":"build""#),
        ] {
            let answer = fetch("GET", &format!("http://127.0.0.1:{port}{path}")).await.unwrap();
            assert!(answer.text().contains(says), "{path}");
        }
        let taken = Ports { wiki: ports.wiki, ..any };
        let refused = Surroundings::bind(taken, Pace::default(), clock).await.unwrap_err();
        assert!(matches!(refused, SurroundingsError::Bind(_)), "{refused}");
    }
}
