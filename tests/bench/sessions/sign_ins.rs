//! People sign in, one after another at each client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::browser::Browser;
use crate::{House, Settings};

/// Signs everybody in; the cookies of each at the app.
pub(crate) async fn measure(house: &Arc<House>, settings: &Settings) -> Vec<String> {
    // The first sign-in fetches keys and endpoints.
    let (_, steps) = Browser::new(house).sign_in("first").await;
    let (before, worked, store) = (house.memory(), house.worked(), store_bytes(house));
    let (next, begin) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut clients = JoinSet::new();
    for _ in 0..settings.clients {
        let (house, next, people) = (Arc::clone(house), Arc::clone(&next), settings.people);
        clients.spawn(async move {
            let mut browser = Browser::new(&house);
            let mut sessions = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= people {
                    return sessions;
                }
                sessions.push(browser.sign_in(&format!("p{number}")).await.0);
            }
        });
    }
    let sessions: Vec<String> = clients.join_all().await.into_iter().flatten().collect();
    let took = begin.elapsed().as_secs_f64();
    let count = sessions.len() as f64;
    println!("\nsign-ins: {count} by {} clients, {steps} answers each", settings.clients);
    println!("  {:>8.0} sign-ins/s", count / took);
    println!("  {:>8.2} ms of the gateway's own work for each", (house.worked() - worked) / count / 1000.0);
    println!(
        "  {:>8.0} bytes of the gateway's memory for each",
        (house.memory() as f64 - before as f64) / count
    );
    println!("  {:>8.0} bytes of the store for each", (store_bytes(house) as f64 - store as f64) / count);
    sessions
}

fn store_bytes(house: &House) -> u64 {
    let files = ["sessions.sqlite3", "sessions.sqlite3-wal"]
        .map(|name| house.gateway.folder().join("data").join(name));
    files.iter().filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
}
