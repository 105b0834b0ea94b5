//! A gateway that cannot start says why and ends, and one that runs is not disturbed by another.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use doorward_tests::company::{Company, bearer};
use doorward_tests::gateway::Signal;
use doorward_tests::h1;
use doorward_tests::raw::RawUpstream;
use doorward_tests::wire::until;
use nix::sys::signal::kill;
use nix::unistd::Pid;

fn starts(gateway: &doorward_tests::gateway::Gateway) -> usize {
    let all = gateway.events();
    all.iter().filter(|e| e["metadata"]["event_code"] == "gateway.started").count()
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_and_is_named() {
    let upstream = RawUpstream::ok().await;
    let (_issuer, mut gateway) = Company::new(upstream.address()).await.start().await;
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit().await.code(), Some(0), "{}", gateway.log());
    assert_eq!(starts(&gateway), 1);
    for address in [gateway.address(), gateway.operator()] {
        let _taken = std::net::TcpListener::bind(address).unwrap();
        // Pingora tries for half a minute.
        let run = tokio::time::timeout(Duration::from_secs(25), gateway.command(&["run"])).await.unwrap();
        assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
        assert!(run.stderr.contains(&address.to_string()), "{}", run.stderr);
        assert!(!run.stderr.contains("\"listening\""), "{}", run.stderr);
    }
    assert_eq!(starts(&gateway), 1, "what did not start is not recorded as started");
}

#[tokio::test]
async fn a_second_gateway_on_the_same_folder_is_refused() {
    let upstream = RawUpstream::ok().await;
    let (issuer, mut gateway) = Company::new(upstream.address()).await.start().await;
    let run = gateway.command(&["run"]).await;
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(run.stderr.contains("in use by a running gateway"), "{}", run.stderr);
    assert!(run.stderr.contains("doorward run --upgrade"), "{}", run.stderr);
    // The first has not noticed.
    let auth = bearer(&issuer.token("bob"));
    let answer = h1::ask(gateway.address(), "GET", "build.test", "/", &[("authorization", &auth)]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(starts(&gateway), 1);
    gateway.signal(Signal::SIGTERM);
    assert_eq!(gateway.wait_exit().await.code(), Some(0), "{}", gateway.log());
}

#[tokio::test]
async fn signals_that_come_too_early_end_nothing_half_way() {
    let upstream = RawUpstream::ok().await;
    let (_issuer, mut gateway) = Company::new(upstream.address()).await.start().await;
    gateway.signal(Signal::SIGTERM);
    gateway.wait_exit().await;
    let mut early = Command::new(doorward_tests::gateway::find().unwrap())
        .args(["--color", "never", "run", "--config"])
        .arg(gateway.config_file())
        .current_dir(gateway.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(early.id()).unwrap());
    let mut lines = BufReader::new(early.stderr.take().unwrap()).lines();
    // The first thing that is opened; nobody listens yet.
    assert!(lines.any(|line| line.unwrap().contains("revocations.sqlite3")));
    for signal in [Signal::SIGHUP, Signal::SIGQUIT] {
        kill(pid, signal).unwrap();
    }
    let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    until("it to listen all the same", || std::net::TcpStream::connect(gateway.address()).ok()).await;
    kill(pid, Signal::SIGTERM).unwrap();
    let status = until("it to end", || early.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0), "{}", rest.join().unwrap());
}
