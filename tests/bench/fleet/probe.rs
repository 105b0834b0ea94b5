//! Somebody who asks one node again and again, and sees when it refuses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use doorward_tests::fleet::HOST;
use doorward_tests::h1::{H1, Response, request};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A node that lets somebody in for so long does not know of it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Let in so often before it counts as running.
const FIRST: usize = 2;

/// Asks until it is refused.
pub(crate) struct Probe(JoinHandle<Seen>);

/// What it saw.
pub(crate) struct Seen {
    /// When it had read that it is refused.
    pub(crate) refused: Instant,
    /// When it sent what was let in, and when that was answered.
    pub(crate) let_in: Vec<(Instant, Instant)>,
}

/// A connection, made anew when the node ends it: whoever is revoked loses those that wait.
struct Client {
    address: SocketAddr,
    bearer: String,
    connection: Option<H1>,
}

impl Client {
    async fn ask(&mut self) -> Option<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                H1::over(Box::new(stream))
            }
        };
        let fields = [("authorization", self.bearer.as_str())];
        connection.try_send(request("GET", HOST, "/", &fields, b"")).await;
        let response = connection.try_response("GET").await.filter(|r| r.whole)?;
        self.connection = Some(connection);
        Some(response)
    }
}

impl Probe {
    /// Begins after `first`, and comes back before that, when it was let in.
    pub(crate) async fn start(address: SocketAddr, token: &str, pause: Duration, first: Duration) -> Self {
        let mut client = Client { address, bearer: format!("Bearer {token}"), connection: None };
        for _ in 0..FIRST {
            assert_eq!(client.ask().await.unwrap().status(), 200, "nobody was revoked so far");
        }
        Self(tokio::spawn(async move {
            let (began, mut let_in) = (Instant::now(), Vec::new());
            tokio::time::sleep(first).await;
            while began.elapsed() < PATIENCE {
                let sent = Instant::now();
                match client.ask().await.map(|response| response.status()) {
                    Some(200) => let_in.push((sent, Instant::now())),
                    Some(401) => return Seen { refused: Instant::now(), let_in },
                    Some(other) => panic!("a probe is answered {other}"),
                    // The connection was ended, which refuses nothing yet.
                    None => continue,
                }
                tokio::time::sleep(pause).await;
            }
            panic!("a node lets in who was revoked");
        }))
    }

    /// Waits until it is refused.
    pub(crate) async fn refused(&mut self) -> Seen {
        (&mut self.0).await.unwrap()
    }
}
