//! Nodes that pull: from a folder, and from an address.

use std::sync::{Arc, Mutex};

use doorward_tests::gateway::Signal;
use doorward_tests::tls::Authority;
use doorward_tests::wire::{until, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::made::{Live, NO_BUILD, NO_WIKI};

async fn condition(live: &Live) -> (String, String) {
    let ready: Value = serde_json::from_str(&live.gateway.api("GET", "/readyz", None).await.text).unwrap();
    let all = ready["conditions"].as_array().unwrap();
    let found = all.iter().find(|c| c["name"] == "policy_source").unwrap();
    (found["state"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
}

async fn source_is(live: &Live, state: &str, says: &str) {
    within(&format!("the source to be {state}: {says}"), async {
        loop {
            let (seen, detail) = condition(live).await;
            if seen == state && detail.contains(says) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_latest_of_a_folder_is_taken_and_what_is_older_or_broken_is_not() {
    let live = Live::start_with(|policy, desk| {
        std::fs::create_dir(desk.path().join("shelf")).unwrap();
        policy["source"] = json!({"dir": desk.at("shelf")});
        policy["pull_seconds"] = json!(1);
    })
    .await;
    let shelf = live.desk.path().join("shelf");
    // As whoever publishes should: beside it, and in place in one step.
    let put = |from: &std::path::Path, name: &str| {
        std::fs::copy(from, shelf.join(".new")).unwrap();
        std::fs::rename(shelf.join(".new"), shelf.join(name)).unwrap();
    };
    let five = live.desk.bundle("five", NO_WIKI, 5).await;
    let six = live.desk.bundle("six", NO_BUILD, 6).await;
    put(&five, "a.dwp");
    live.comes_to("bob", "wiki", 403).await;
    put(&six, "b.dwp");
    live.comes_to("bob", "build", 403).await;
    assert_eq!(live.status("bob", "wiki").await, 200);
    let swap = live.events("policy.swapped").pop().unwrap();
    assert!(
        swap["unmapped"]["doorward"]["bundle"]["source"].as_str().unwrap().contains("(pulled)"),
        "{swap}"
    );

    // Replayed: only the old one is there. It is refused, loudly, and the new one stays.
    std::fs::remove_file(shelf.join("b.dwp")).unwrap();
    source_is(&live, "degraded", "what is older does not come back").await;
    live.gateway.wait_log("no policies could be pulled; the old ones stay in force").await;
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (200, 403));

    // Broken, and then unsigned, with a higher number.
    let mut bytes = std::fs::read(live.desk.bundle("seven", NO_WIKI, 7).await).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x20;
    std::fs::write(live.desk.path().join("broken"), &bytes).unwrap();
    std::fs::remove_file(shelf.join("a.dwp")).unwrap();
    put(&live.desk.path().join("broken"), "c.dwp");
    source_is(&live, "degraded", "a bundle is refused").await;
    assert_eq!(live.status("bob", "build").await, 403);

    // Away at the start: what was pulled last is on the disk.
    std::fs::remove_dir_all(&shelf).unwrap();
    let live = Live { gateway: live.gateway.restart(Signal::SIGKILL).await, ..live };
    assert_eq!((live.status("bob", "wiki").await, live.status("bob", "build").await), (200, 403));
    source_is(&live, "degraded", "cannot be read").await;
    std::fs::create_dir(&shelf).unwrap();
    std::fs::copy(&six, shelf.join("b.dwp")).unwrap();
    source_is(&live, "holds", "").await;

    // Somebody goes back by hand; the source, which has nothing later, does not undo that.
    live.rollout(&["back"]).await;
    assert_eq!(live.status("bob", "wiki").await, 403);
    put(&six, "again.dwp");
    // A look that has seen this has seen that.
    put(&live.desk.path().join("broken"), "z.dwp");
    source_is(&live, "degraded", "a bundle is refused").await;
    assert_eq!(live.status("bob", "wiki").await, 403);
}

/// A server that gives one file, to whoever shows the token.
struct Shop {
    gives: Mutex<Option<(Vec<u8>, String)>>,
    asked: Mutex<Vec<String>>,
}

async fn serve(listener: TcpListener, authority: Arc<Authority>, shop: Arc<Shop>) {
    let acceptor = authority.certificate(&["localhost"]).acceptor(&["http/1.1"]);
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shop) = (acceptor.clone(), Arc::clone(&shop));
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                if stream.read_exact(&mut byte).await.is_err() {
                    return;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            shop.asked.lock().unwrap().push(head.clone());
            let gives = shop.gives.lock().unwrap().clone();
            let answer = match gives {
                _ if !head.contains("authorization: bearer let-me-in\r\n") => {
                    b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_vec()
                }
                None => b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere.test/\r\ncontent-length: 0\r\n\
                          connection: close\r\n\r\n"
                    .to_vec(),
                Some((_, etag)) if head.contains(&format!("if-none-match: {etag}\r\n")) => {
                    b"HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_vec()
                }
                Some((bytes, etag)) => {
                    let len = bytes.len();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\netag: {etag}\r\nconnection: close\r\n\r\n"
                    );
                    [head.into_bytes(), bytes].concat()
                }
            };
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        });
    }
}

#[tokio::test]
async fn an_address_is_asked_with_a_token_and_for_what_is_new() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, authority) = (listener.local_addr().unwrap(), Arc::new(Authority::new()));
    let shop = Arc::new(Shop { gives: Mutex::new(None), asked: Mutex::default() });
    tokio::spawn(serve(listener, Arc::clone(&authority), Arc::clone(&shop)));
    let live = Live::start_with(|policy, desk| {
        let (ca, token) = (desk.at("ca.pem"), desk.at("token"));
        std::fs::write(&ca, authority.pem()).unwrap();
        std::fs::write(&token, "let-me-in\n").unwrap();
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&token, owner_only).unwrap();
        let url = format!("https://localhost:{}/new.dwp", address.port());
        policy["source"] = json!({"url": url, "token_file": token, "ca_file": ca});
        policy["pull_seconds"] = json!(1);
    })
    .await;
    // A redirect is not followed: the token is for this address.
    source_is(&live, "degraded", "redirects are not followed").await;
    let one = std::fs::read(live.desk.bundle("one", NO_WIKI, 1).await).unwrap();
    *shop.gives.lock().unwrap() = Some((one, "\"v1\"".to_owned()));
    live.comes_to("bob", "wiki", 403).await;
    source_is(&live, "holds", "").await;
    // From then on it is asked whether there is something new.
    until("a question for what is new", || {
        let asked = shop.asked.lock().unwrap();
        asked.last().is_some_and(|head| head.contains("if-none-match: \"v1\"")).then_some(())
    })
    .await;
    let two = std::fs::read(live.desk.bundle("two", NO_BUILD, 2).await).unwrap();
    *shop.gives.lock().unwrap() = Some((two, "\"v2\"".to_owned()));
    live.comes_to("bob", "build", 403).await;
    assert_eq!(live.status("bob", "wiki").await, 200);
    assert!(!live.gateway.log().contains("let-me-in"), "the token is in the log");
}
