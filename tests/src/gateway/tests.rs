use std::os::unix::fs::PermissionsExt as _;

use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::message::Buffered;

/// Not a test but the child of one: answers as little as the testbed needs. Run as a test it does
/// nothing.
#[tokio::test]
async fn pretend_to_be_a_gateway() {
    let Some(config) = std::env::var_os("DOORWARD_TESTBED_PRETENDS") else { return };
    let config: toml::Table = std::fs::read_to_string(config).unwrap().parse().unwrap();
    println!("this goes to stdout");
    eprintln!("this goes to stderr");
    let address = config["operator"]["address"].as_str().unwrap();
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    loop {
        let mut connection = Buffered::new(Box::new(listener.accept().await.unwrap().0));
        let head = connection.head().await.unwrap();
        let body = connection.exactly(head.value("content-length").map_or(0, |l| l.parse().unwrap())).await;
        let body = String::from_utf8(body.unwrap()).unwrap();
        let text = match (head.target().as_str(), head.value("authorization").is_some()) {
            ("/readyz", _) => "ready".to_owned(),
            ("/metrics", true) => "# HELP x y\ndoorward_x{a=\"b c\"} 3\ndoorward_y 0.5\n".to_owned(),
            ("/api/v1/revocations", true) if body.contains("demo:nobody") => {
                connection.wire.write_all(b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                continue;
            }
            ("/api/v1/revocations", true) => body,
            _ => "?".to_owned(),
        };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        connection.wire.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// A program that runs `script`, with the configuration file as `$7`.
fn program(folder: &Path, script: &str) -> PathBuf {
    let (draft, path) = (folder.join("draft"), folder.join("doorward"));
    std::fs::write(&draft, format!("#!/bin/sh\n{script}\n")).unwrap();
    // Not written by this process: a child that another test starts meanwhile would have the file open for writing
    // until it runs its own program, and a file that somebody may write is not executed (ETXTBSY).
    assert!(Command::new("cp").args([&draft, &path]).status().unwrap().success());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn pretender(folder: &Path) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let script = format!(
        "DOORWARD_TESTBED_PRETENDS=\"$7\" exec '{}' --exact gateway::tests::pretend_to_be_a_gateway --nocapture",
        test.display()
    );
    program(folder, &script)
}

#[tokio::test]
async fn a_child_is_started_asked_signaled_and_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Place::new(Config::new(), pretender(folder.path())).run().await.unwrap();
    gateway.wait_log("this goes to stdout").await;
    gateway.wait_log("this goes to stderr").await;
    assert_eq!(gateway.api("GET", "/readyz", None).await, Answer { status: 200, text: "ready".into() });
    assert_eq!(
        gateway.revoke("user", "demo:alice").await,
        json!({"target": {"kind": "user", "id": "demo:alice"}, "action": "revoke", "cause": "test"})
    );
    assert_eq!(gateway.change("disable", "user", "demo:nobody").await.status, 400);
    let metrics = gateway.metrics().await;
    assert_eq!((metrics["doorward_x{a=\"b c\"}"], metrics["doorward_y"]), (3.0, 0.5));
    let token = gateway.folder().join("operator.token");
    assert_eq!(std::fs::metadata(&token).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&token).unwrap().trim().len() >= 32);

    let (pid, address, operator) = (gateway.pid(), gateway.address(), gateway.operator());
    gateway = gateway
        .restart_with(Signal::SIGKILL, |c| {
            c.set("limits.header_count_max", json!(7));
        })
        .await;
    assert_ne!(gateway.pid(), pid);
    assert_eq!((gateway.address(), gateway.operator()), (address, operator));
    assert!(std::fs::read_to_string(gateway.config_file()).unwrap().contains("header_count_max = 7"));
    assert!(gateway.is_running());
    gateway.signal(Signal::SIGTERM);
    assert!(!gateway.wait_exit().await.success());

    let folder_of_gateway = gateway.folder().to_owned();
    drop(gateway);
    assert!(!folder_of_gateway.exists());
}

#[tokio::test]
async fn a_dropped_gateway_runs_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Place::new(Config::new(), pretender(folder.path())).run().await.unwrap();
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    assert!(kill(pid, None).is_ok());
    drop(gateway);
    assert!(kill(pid, None).is_err());
}

#[tokio::test]
async fn a_child_that_ends_at_once_tells_why() {
    let folder = tempfile::tempdir().unwrap();
    let binary = program(folder.path(), "echo 'error: `[app]` is wrong' >&2; exit 2");
    let Err(ended) = Place::new(Config::new(), binary).run().await else { panic!("it started") };
    assert_eq!(ended.status.unwrap().code(), Some(2));
    assert!(ended.to_string().contains("error: `[app]` is wrong"), "{ended}");
}
