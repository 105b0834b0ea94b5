//! Takes connections of operators, and not more of them than is good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use doorward_model::limits::{
    HEADER_BYTES_MAX, HEADER_COUNT_MAX, HEADER_SECONDS_MAX, OPERATOR_CONNECTIONS_MAX,
};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` comes, then lets the calls that run come to their end.
///
/// HTTP/1.1 only. A connection that does not send a whole header in time is closed; more
/// connections than the bound wait in the system's queue.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(OPERATOR_CONNECTIONS_MAX));
    let (over, _) = tokio::sync::watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accept = async {
            // Never closed, so never an error.
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            // Ended connections are taken out, so that the set does not grow.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, over) = (router.clone(), over.subscribe());
                connections.spawn(async move {
                    converse(stream, peer, router, over).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, or a peer that was gone at once: the next may do.
                tracing::warn!(%error, "cannot accept a connection of an operator");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    over.send_replace(true);
    while connections.join_next().await.is_some() {}
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    mut over: tokio::sync::watch::Receiver<bool>,
) {
    let router = router.layer(axum::Extension(ConnectInfo(peer)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEADER_SECONDS_MAX))
        .max_headers(HEADER_COUNT_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    // A channel that is gone says the same.
    let stopped = async move { over.wait_for(|over| *over).await.is_ok() };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, %peer, "a connection of an operator ended badly");
    }
}
