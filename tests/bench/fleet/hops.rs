//! What a revocation must go through, each hop by itself on the same machine: what no fleet can be
//! faster than.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Instant;

use doorward_servers::Redis;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::table::Samples;

const TIMES: usize = 500;

/// A connection that sends commands and counts the bytes of their answers.
struct Wire(TcpStream);

impl Wire {
    async fn to(redis: &Redis) -> Self {
        let stream = TcpStream::connect(redis.address()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    async fn send(&mut self, line: &str) {
        self.0.write_all(line.as_bytes()).await.unwrap();
    }

    /// Reads an answer that ends with these bytes.
    async fn read(&mut self, end: &str) {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 512]);
        while !bytes.ends_with(end.as_bytes()) {
            let count = self.0.read(&mut buffer).await.unwrap();
            assert!(count > 0, "Redis ends the connection");
            bytes.extend(&buffer[..count]);
        }
    }
}

/// A page of 4 KiB, brought to the disk.
fn synced() -> Samples {
    let mut file = tempfile::tempfile().unwrap();
    let mut samples = Samples::default();
    for _ in 0..TIMES {
        let begin = Instant::now();
        write(&mut file);
        samples.add(begin.elapsed());
    }
    samples
}

fn write(file: &mut File) {
    file.seek(SeekFrom::Start(0)).unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.sync_data().unwrap();
}

async fn asked(redis: &Redis) -> Samples {
    let (mut wire, mut samples) = (Wire::to(redis).await, Samples::default());
    for _ in 0..TIMES {
        let begin = Instant::now();
        wire.send("PING\r\n").await;
        wire.read("+PONG\r\n").await;
        samples.add(begin.elapsed());
    }
    samples
}

/// A message until the last of so many has it.
async fn told(redis: &Redis, count: usize) -> Samples {
    let mut listeners = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::to(redis).await;
        wire.send("SSUBSCRIBE hops\r\n").await;
        wire.read(":1\r\n").await;
        listeners.push(wire);
    }
    let (mut wire, mut samples) = (Wire::to(redis).await, Samples::default());
    for _ in 0..TIMES {
        let begin = Instant::now();
        wire.send("SPUBLISH hops done\r\n").await;
        for listener in &mut listeners {
            listener.read("$4\r\ndone\r\n").await;
        }
        samples.add(begin.elapsed());
        wire.read(&format!(":{count}\r\n")).await;
    }
    samples
}

pub(crate) async fn print(redis: &Redis, nodes: usize) {
    println!("\nEach hop by itself, before there is a fleet of {nodes}, ms:\n");
    let message = format!("a message by Redis until the last of {nodes} listeners has it");
    for (hop, samples) in [
        ("4 KiB brought to the disk (fdatasync)", synced()),
        ("a question to Redis (PING)", asked(redis).await),
        (message.as_str(), told(redis, nodes).await),
    ] {
        let [_, p50, p99, max] = samples.told();
        println!("* {hop}: p50 {p50}, p99 {p99}, max {max}");
    }
}
