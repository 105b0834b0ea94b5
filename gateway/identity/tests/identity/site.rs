//! A small HTTP server on loopback that counts, and that can be slow, wrong or too large.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is answered at one path.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: &'static str,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    pub(crate) delay: Duration,
    /// Tell the length beforehand.
    pub(crate) length: bool,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        let delay = Duration::ZERO;
        Self { status: "200 OK", headers: String::new(), body: body.into(), delay, length: true }
    }
}

#[derive(Default)]
struct Pages {
    answers: HashMap<String, Answer>,
    hits: HashMap<String, usize>,
    asked: HashMap<String, Vec<Asked>>,
}

/// What came to one path.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// The server; it ends when this is dropped.
pub(crate) struct Site {
    pub(crate) url: String,
    pages: Arc<Mutex<Pages>>,
    task: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = Arc::<Mutex<Pages>>::default();
        let shared = Arc::clone(&pages);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pages = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that hangs up in the middle is part of some tests.
                    let _hung_up = serve(stream, &pages).await;
                });
            }
        });
        Self { url, pages, task }
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.pages.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub(crate) fn hits(&self, path: &str) -> usize {
        self.pages.lock().unwrap().hits.get(path).copied().unwrap_or(0)
    }

    /// Everything that came to a path since this was last called.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        self.pages.lock().unwrap().asked.remove(path).unwrap_or_default()
    }

    /// Waits until a path was asked for so often.
    pub(crate) async fn wait_for_hits(&self, path: &str, hits: usize) {
        until(&format!("{path} is asked for {hits} times"), || self.hits(path) >= hits).await;
    }
}

/// Comes back when it holds, however loaded the machine is.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), all).await.is_ok(), "never: {what}");
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, pages: &Mutex<Pages>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if head.len() > 8192 || stream.read(&mut byte).await? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0).min(1 << 20)];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let answer = {
        let mut pages = pages.lock().unwrap();
        *pages.hits.entry(path.clone()).or_default() += 1;
        pages.asked.entry(path.clone()).or_default().push(Asked { head, body });
        pages.answers.get(&path).cloned()
    };
    let answer = answer.unwrap_or_else(|| Answer { status: "404 Not Found", ..Answer::ok("none") });
    tokio::time::sleep(answer.delay).await;
    let length =
        if answer.length { format!("content-length: {}\r\n", answer.body.len()) } else { String::new() };
    let head = format!("HTTP/1.1 {}\r\nconnection: close\r\n{length}{}\r\n", answer.status, answer.headers);
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&answer.body).await?;
    stream.shutdown().await
}
