//! What clients and upstreams share: a connection, and a bound on every wait.

use std::future::Future;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use doorward_model::UnixMillis;
use doorward_model::time::Clock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a step of a test may take. Generous, as test machines are shared; a test of speed
/// measures by itself.
pub const STEP_SECONDS_MAX: u64 = 60;

/// A connection, plain or TLS.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// A connection of either kind.
pub type Wire = Box<dyn Io>;

/// Waits, but not for ever.
///
/// # Panics
/// When it takes longer than [`STEP_SECONDS_MAX`]; the message says what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(STEP_SECONDS_MAX), future).await {
        Ok(done) => done,
        Err(_) => panic!("waited {STEP_SECONDS_MAX} s for {what}"),
    }
}

/// Asks again and again until something is there.
///
/// # Panics
/// When it is not there after [`STEP_SECONDS_MAX`].
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Connects, with small pieces sent at once.
///
/// # Panics
/// When nobody listens there.
pub async fn connect(address: SocketAddr) -> TcpStream {
    let stream = within("a connection", TcpStream::connect(address)).await;
    let stream = stream.unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"));
    stream.set_nodelay(true).unwrap();
    stream
}

/// The clock of the machine.
#[must_use]
pub fn clock() -> Clock {
    std::sync::Arc::new(now)
}

/// What the clock of the machine says.
#[must_use]
pub fn now() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMillis(i64::try_from(since.as_millis()).unwrap())
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The other side closed it in good order (FIN; for TLS with or without a goodbye).
    Closed,
    /// The other side broke it off (RST).
    Reset,
    /// It did not end in the time that was given.
    StillOpen,
}

/// Reads until the connection ends or the time is over: what came, and how it ended.
pub async fn drain(stream: &mut (impl AsyncRead + Unpin), bound: Duration) -> (Vec<u8>, Ending) {
    use tokio::io::AsyncReadExt as _;
    let end = Instant::now() + bound;
    let mut seen = Vec::new();
    loop {
        let mut piece = [0; 16 * 1024];
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, stream.read(&mut piece)).await {
            Err(_) => return (seen, Ending::StillOpen),
            Ok(Ok(0)) => return (seen, Ending::Closed),
            Ok(Ok(n)) => seen.extend_from_slice(&piece[..n]),
            // rustls reports a TCP end without `close_notify` this way.
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => return (seen, Ending::Closed),
            Ok(Err(_)) => return (seen, Ending::Reset),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn every_way_to_end_has_its_word() {
        for (how, expected) in
            [("close", Ending::Closed), ("reset", Ending::Reset), ("stay", Ending::StillOpen)]
        {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = connect(listener.local_addr().unwrap()).await;
            let (mut server, _) = listener.accept().await.unwrap();
            server.write_all(b"hello").await.unwrap();
            match how {
                "close" => drop(server),
                "reset" => {
                    // Let the bytes arrive: a reset throws away what was not read.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    server.set_zero_linger().unwrap();
                    drop(server);
                }
                _ => std::mem::forget(server),
            }
            let (seen, ending) = drain(&mut client, Duration::from_millis(300)).await;
            assert_eq!((seen.as_slice(), ending), (&b"hello"[..], expected), "{how}");
        }
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "waited 60 s for a sign")]
    async fn a_wait_without_end_says_what_for() {
        until::<()>("a sign", || None).await;
    }
}
