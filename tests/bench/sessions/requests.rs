//! Requests with a token, with a session, and with a session that was not used lately, in turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use doorward_tests::h1::{self, H1};
use tokio::task::JoinSet;

use crate::{APP, House, Settings};

/// What a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// A token; each client has one.
    Token,
    /// A session; each client has one.
    Session,
    /// A session, another one each time.
    AnySession,
}

/// What came of some rounds.
#[derive(Clone, Copy, Default)]
struct Sum {
    asked: u64,
    seconds: f64,
    worked: f64,
}

pub(crate) async fn measure(house: &Arc<House>, settings: &Settings, sessions: Vec<String>) {
    let sessions = Arc::new(sessions);
    let kinds = [Shows::Token, Shows::Session, Shows::AnySession];
    let mut sums = [Sum::default(); 3];
    for _ in 0..settings.rounds {
        for (kind, sum) in kinds.into_iter().zip(&mut sums) {
            let one = round(house, settings, kind, &sessions).await;
            sum.asked += one.asked;
            sum.seconds += one.seconds;
            sum.worked += one.worked;
        }
    }
    println!(
        "\nrequests: {} rounds of {} s by {} connections",
        settings.rounds, settings.seconds, settings.clients
    );
    let cost = |sum: &Sum| sum.worked / sum.asked as f64;
    for (kind, sum) in kinds.into_iter().zip(&sums) {
        let name = match kind {
            Shows::Token => "with a token",
            Shows::Session => "with a session",
            Shows::AnySession => "each with another session",
        };
        println!(
            "  {name:<26} {:>7.0}/s   {:>6.1} us of work each   {:.2} x a token",
            sum.asked as f64 / sum.seconds,
            cost(sum),
            cost(sum) / cost(&sums[0])
        );
    }
    println!("  the gateway takes {} MiB", house.memory() >> 20);
}

async fn round(house: &Arc<House>, settings: &Settings, kind: Shows, sessions: &Arc<Vec<String>>) -> Sum {
    let (asked, next) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let until = Instant::now() + Duration::from_secs(settings.seconds);
    let (begin, worked) = (Instant::now(), house.worked());
    let mut clients = JoinSet::new();
    for number in 0..settings.clients {
        let (house, asked) = (Arc::clone(house), Arc::clone(&asked));
        let (next, sessions) = (Arc::clone(&next), Arc::clone(sessions));
        clients.spawn(async move {
            let address = house.gateway.address();
            let host = format!("{APP}:{}", address.port());
            let mut connection = H1::connect_tls(address, &house.authority, APP).await;
            let token = format!("Bearer {}", house.issuer.token_of(&format!("t{number}")));
            while Instant::now() < until {
                let shown = match kind {
                    Shows::Token => ("authorization", token.as_str()),
                    Shows::Session => ("cookie", sessions[number % sessions.len()].as_str()),
                    Shows::AnySession => {
                        ("cookie", sessions[next.fetch_add(1, Ordering::Relaxed) % sessions.len()].as_str())
                    }
                };
                connection.send(h1::request("GET", &host, "/", &[shown], b"")).await;
                assert_eq!(connection.response("GET").await.status(), 200, "{kind:?}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    let seconds = begin.elapsed().as_secs_f64();
    Sum { asked: asked.load(Ordering::Relaxed), seconds, worked: house.worked() - worked }
}
