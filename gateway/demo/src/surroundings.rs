//! Everything around the gateway: the provider and the apps, started together.

use doorward_model::time::Clock;

use crate::apps::{Pace, SampleApp};
use crate::loopback::{BindError, Loopback};
use crate::provider::{Provider, ProviderError};

/// Which port of 127.0.0.1 is whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The gateway, HTTP/1.1 and HTTP/2.
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
}

impl Default for Ports {
    fn default() -> Self {
        Self { gateway: 8080, operator: 9180, provider: 9181, wiki: 9182, payroll: 9183, build: 9184 }
    }
}

impl Ports {
    /// Six ports in a row, the gateway's first; none when they do not fit below 65536 or begin
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
        })
    }
}

/// The provider and the apps, bound and not yet serving.
#[derive(Debug)]
pub struct Surroundings {
    ports: Ports,
    provider: Provider,
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
        let provider = Provider::new(format!("http://{}", door.address()), clock)?;
        let mut bound = Ports { provider: door.address().port(), ..ports };
        let mut doors = vec![(door, provider.router())];
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
        Ok(Self { ports: bound, provider, doors })
    }

    /// The ports, with those that were taken.
    #[must_use]
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// The provider.
    #[must_use]
    pub const fn provider(&self) -> &Provider {
        &self.provider
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
    fn six_ports_in_a_row() {
        assert_eq!(Ports::from_base(20_000).map(|p| (p.gateway, p.build)), Some((20_000, 20_005)));
        assert_eq!(Ports::from_base(65_530).map(|p| p.build), Some(65_535));
        assert_eq!([0, 65_531, 65_535].map(Ports::from_base), [None; 3]);
    }

    #[tokio::test]
    async fn all_start_and_a_taken_port_stops_all() {
        let any = Ports { gateway: 0, operator: 0, provider: 0, wiki: 0, payroll: 0, build: 0 };
        let clock: Clock = Arc::new(|| UnixMillis(0));
        let around = Surroundings::bind(any, Pace::default(), clock.clone()).await.unwrap();
        let (ports, issuer) = (around.ports(), around.provider().issuer().to_owned());
        assert_eq!(issuer, format!("http://127.0.0.1:{}", ports.provider));
        tokio::spawn(around.serve());
        for (port, path, says) in [
            (ports.provider, "/", "Sign in as anybody"),
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
