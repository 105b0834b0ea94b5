//! Servers that start again, take over, come back and wake up, and directories that change: whoever
//! followed goes on, what was acknowledged holds everywhere, and who was deposed gives no lease.

mod deposed;
mod directories;
mod takeover;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_servers::{Disk, Fsync, Redis, Setup};
use doorward_state::{Action, NodeAnswer, RedisSection, Revocations};

use super::{House, LONG, fleet_says, health, leased, lets_in, namespace, nth, published, revoke, section};
use crate::fixture::{alice, change, run, until};

/// Says which server is the primary, as a Sentinel does: whatever the test wants it to say.
struct Guide {
    address: SocketAddr,
    named: Arc<Mutex<SocketAddr>>,
    is_over: Arc<AtomicBool>,
}

impl Guide {
    fn to(server: &Redis) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let guide = Self {
            address: listener.local_addr().unwrap(),
            named: Arc::new(Mutex::new(server.address())),
            is_over: Arc::default(),
        };
        let (named, is_over) = (Arc::clone(&guide.named), Arc::clone(&guide.is_over));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let named = Arc::clone(&named);
                // Who hangs up is not answered any more.
                std::thread::spawn(move || stream.and_then(|stream| answer(&stream, &named)));
            }
        });
        guide
    }

    fn name(&self, server: &Redis) {
        *self.named.lock().unwrap() = server.address();
    }

    /// Nodes that ask it.
    fn section(&self, namespace: &str) -> RedisSection {
        RedisSection {
            mode: Some("sentinel".to_owned()),
            primary_name: Some("doorward".to_owned()),
            ..section(&[self.address], namespace)
        }
    }
}

impl Drop for Guide {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _woken = TcpStream::connect(self.address);
    }
}

/// Answers every command with the primary's address.
fn answer(stream: &TcpStream, named: &Mutex<SocketAddr>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LONG))?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: usize = line.trim().trim_start_matches('*').parse().unwrap();
        for _ in 0..words {
            let mut length = String::new();
            lines.read_line(&mut length)?;
            let length: usize = length.trim().trim_start_matches('$').parse().unwrap();
            lines.read_exact(&mut vec![0; length + 2])?;
        }
        let primary = *named.lock().unwrap();
        let (host, port) = (primary.ip().to_string(), primary.port().to_string());
        let said = format!("*2\r\n${}\r\n{host}\r\n${}\r\n{port}\r\n", host.len(), port.len());
        let mut stream = stream;
        stream.write_all(said.as_bytes())?;
    }
}

fn resyncs(node: &Revocations) -> u64 {
    health(node).resyncs_total
}

fn blessings(control: &Revocations) -> u64 {
    health(control).blessings_total
}

/// Waits until one more server is blessed than `before`, and these have polled it since.
async fn blessed_again(control: &Revocations, before: u64, nodes: &[&Revocations]) {
    until("it is blessed again", || blessings(control) > before).await;
    for node in nodes {
        // One poll may be under way.
        let polls = health(node).polls_total + 2;
        until("it polls", || health(node).polls_total >= polls).await;
        leased(node).await;
    }
}

/// One more change goes out, and every node says that it has it.
async fn all_have_the_next(control: &Revocations, nodes: usize) {
    let receipt = published(control, &alice(), Action::Disable).await;
    let reports = fleet_says(control, receipt.published.unwrap().position).await;
    let applied = reports.iter().filter(|r| matches!(r.answer, NodeAnswer::Applied { .. })).count();
    assert_eq!(applied, nodes, "{reports:?}");
    assert!(reports.iter().all(|r| !matches!(r.answer, NodeAnswer::Behind { .. })), "{reports:?}");
}

fn know_all(nodes: &[&Revocations], users: usize) {
    for node in nodes {
        assert!((0..users).all(|i| node.lookup(&nth(i)).is_some()));
    }
}

/// It lets nobody in for so long, however often it is asked.
async fn lets_nobody_in(node: &Revocations, bound: Duration) {
    let asks = async {
        loop {
            assert!(!lets_in(node), "{:?}", health(node));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _asked = tokio::time::timeout(bound, asks).await;
}

#[test]
fn whoever_followed_goes_on_after_a_restart_that_lost_nothing() {
    let setup = Setup { append_only: Some(Fsync::EverySecond), ..Setup::default() };
    let redis = Redis::start(&setup);
    let house = House::new(section(&[redis.address()], &namespace()));
    house.seed(30);
    run(async {
        let (control, one, two) = (house.control(), house.gateway("gw-1"), house.gateway("gw-2"));
        let nodes = [&one, &two];
        for round in 1..=3 {
            for node in nodes {
                leased(node).await;
            }
            revoke(&control, 20 + 10 * round..30 + 10 * round).await;
            let before = blessings(&control);
            redis.wait_until_written();
            redis.restart(Disk::Kept);
            blessed_again(&control, before, &nodes).await;
            know_all(&nodes, 30 + 10 * round);
            all_have_the_next(&control, 3).await;
        }
        assert_eq!((resyncs(&one), resyncs(&two)), (1, 1), "each read everything once");
        let late = house.gateway("late");
        leased(&late).await;
        know_all(&[&late], 60);
    });
}

#[test]
fn a_first_replica_gives_a_server_another_lineage_and_nobody_reads_anything_anew() {
    let redis = Redis::start(&Setup::default());
    let house = House::new(section(&[redis.address()], &namespace()));
    house.seed(30);
    run(async {
        let (control, gateway) = (house.control(), house.gateway("gw-1"));
        leased(&gateway).await;
        let (before, lineage) = (blessings(&control), redis.info("master_replid"));
        let _replica = tokio::task::block_in_place(|| redis.start_replica(&Setup::default()));
        assert_ne!(redis.info("master_replid"), lineage, "as a backup over the network does, too");
        blessed_again(&control, before, &[&gateway]).await;
        all_have_the_next(&control, 2).await;
        assert_eq!(resyncs(&gateway), 1);
    });
}
