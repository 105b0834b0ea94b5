//! The listener of provisioning clients, and of those who send signals.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{self, Next};
use doorward_console::{Bounds, Guest, Service};
use doorward_lifecycle::intake::connection::Listener;
use doorward_lifecycle::intake::scim::{self, Scim, Welcome};
use doorward_lifecycle::intake::signals;
use doorward_model::time::Clock;
use doorward_proxy::listen::Certificates;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::net::TcpSocket;

use super::operator::{bind_address, cannot_listen};
use super::{WireError, Wired};

const WHAT: &str = "the intake of people";

/// How often it is looked when sources last came.
const LISTEN_EVERY: Duration = Duration::from_mins(1);

/// A client keeps a few connections and sends one request after the other on each.
const BOUNDS: Bounds = Bounds {
    connections_max: 256,
    guests_per_address_max: 32,
    life: Duration::from_secs(600),
    farewell: Duration::from_secs(60),
};

/// Takes the address, if there is one; nobody can connect yet.
pub(super) fn bind(wired: &Wired, take_over: bool) -> Result<Option<TcpSocket>, WireError> {
    let intake = wired.config.intake.as_ref();
    intake.map(|intake| bind_address(WHAT, intake.address, take_over)).transpose()
}

/// Listens and serves, on the house runtime.
pub(super) async fn start(wired: &Arc<Wired>, socket: Option<TcpSocket>) -> Result<(), WireError> {
    let (Some(intake), Some(socket)) = (&wired.config.intake, socket) else { return Ok(()) };
    let listener = socket.listen(128).map_err(|cause| cannot_listen(WHAT, intake.address, cause))?;
    let tls = wired.intake_certificates.as_ref().map(|certificates| Arc::new(tls(certificates)));
    // The configuration does not come this far where there is no directory.
    let Some(lives) = wired.lives.get().cloned() else { return Ok(()) };
    let (store, clock) = (wired.house.revocations.as_ref().clone(), Arc::clone(&wired.house.clock));
    let listens = intake.silent_max.map(|max| Listener::new(store.clone(), lives.clone(), max));
    if let Some(listener) = listens {
        tokio::spawn(listen_for_sources(listener, Arc::clone(&clock)));
    }
    let Some(scim) = Scim::new(lives, store, clock, intake.public_url.clone(), tls.is_some()) else {
        return Ok(());
    };
    let router = match wired.streams.get().cloned() {
        Some(signals) => scim::router(scim).merge(signals::router(signals)),
        None => scim::router(scim),
    };
    let router = router.layer(middleware::from_fn(welcome));
    let service = Service { clients: "provisioning", bounds: BOUNDS, tls };
    tokio::spawn(doorward_console::serve(service, listener, router, std::future::pending()));
    Ok(())
}

async fn listen_for_sources(mut listener: Listener, clock: Clock) {
    let mut minutes = tokio::time::interval(LISTEN_EVERY);
    loop {
        minutes.tick().await;
        if let Err(error) = listener.look(clock()).await {
            tracing::warn!(%error, "it cannot be read when sources of people last came");
        }
    }
}

fn tls(certificates: &Arc<Certificates>) -> ServerConfig {
    let resolver = Arc::clone(certificates) as Arc<dyn ResolvesServerCert>;
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// A connection whose request has shown a good token gives way to nobody.
async fn welcome(mut request: Request, next: Next) -> axum::response::Response {
    if let Some(guest) = request.extensions().get::<Guest>().cloned() {
        request.extensions_mut().insert(Welcome::new(move || guest.has_shown_the_token()));
    }
    next.run(request).await
}
