//! A wire passes, delays, holds, loses and resets.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use doorward_servers::{Port, Wire};

/// A server that answers each byte with the one after it, and tells what it read.
fn server() -> (SocketAddr, Receiver<Result<u8, ErrorKind>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, sender) = (stream.unwrap(), sender.clone());
            std::thread::spawn(move || {
                let mut byte = [0];
                loop {
                    match stream.read(&mut byte) {
                        Ok(0) => break,
                        Ok(_) => {
                            let _ = sender.send(Ok(byte[0]));
                            let _ = stream.write_all(&[byte[0] + 1]);
                        }
                        Err(e) => {
                            let _ = sender.send(Err(e.kind()));
                            break;
                        }
                    }
                }
            });
        }
    });
    (address, receiver)
}

fn client(wire: &Wire) -> TcpStream {
    let stream = TcpStream::connect(wire.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, byte: u8) -> Result<u8, ErrorKind> {
    stream.write_all(&[byte]).map_err(|e| e.kind())?;
    hear(stream)
}

fn hear(stream: &mut TcpStream) -> Result<u8, ErrorKind> {
    let mut answer = [0];
    match stream.read(&mut answer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof),
        Ok(_) => Ok(answer[0]),
        Err(e) => Err(e.kind()),
    }
}

/// The same, where nothing is to come: nobody waits for that as long.
fn ask_in_vain(stream: &mut TcpStream, byte: u8) -> Result<u8, ErrorKind> {
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let heard = ask(stream, byte);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    heard
}

fn wait_until(condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
}

/// How long what comes may take.
const PATIENCE: Duration = Duration::from_secs(30);
const SILENCE: Result<u8, ErrorKind> = Err(ErrorKind::WouldBlock);

#[test]
fn it_passes_and_ends_when_either_side_does() {
    let (target, seen) = server();
    let wire = Wire::to(target);
    let mut stream = client(&wire);
    assert_eq!(ask(&mut stream, 1), Ok(2));
    assert_eq!(ask(&mut stream, 7), Ok(8));
    assert_eq!(wire.connections(), 1);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(hear(&mut stream), Err(ErrorKind::UnexpectedEof));
    wait_until(|| wire.connections() == 0);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [Ok(1), Ok(7)]);
}

#[test]
fn much_passes_whole() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let wire = Wire::to(listener.local_addr().unwrap());
    let sent: Vec<u8> = (0..8_000_000_u32).map(|i| (i % 251) as u8).collect();
    let mut stream = TcpStream::connect(wire.address()).unwrap();
    let expected = sent.clone();
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut seen).unwrap();
        seen == expected
    });
    stream.write_all(&sent).unwrap();
    drop(stream);
    assert!(reader.join().unwrap());
}

#[test]
fn a_cut_is_silent_and_what_was_there_stays_half_open() {
    let (target, seen) = server();
    let wire = Wire::to(target);
    let mut old = client(&wire);
    assert_eq!(ask(&mut old, 1), Ok(2));
    wire.cut();
    let mut meanwhile = client(&wire);
    // Of a connection that is taken later it is not known that it came meanwhile.
    wait_until(|| wire.connections() == 2);
    assert_eq!(ask_in_vain(&mut old, 3), SILENCE);
    assert_eq!(ask_in_vain(&mut meanwhile, 3), SILENCE);
    wire.mend();
    assert_eq!(ask_in_vain(&mut old, 3), SILENCE);
    assert_eq!(ask_in_vain(&mut meanwhile, 3), SILENCE);
    assert_eq!(ask(&mut client(&wire), 5), Ok(6));
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [Ok(1), Ok(5)]);
}

#[test]
fn an_answer_is_lost_and_the_command_was_done() {
    let (target, seen) = server();
    let wire = Wire::to(target);
    let mut stream = client(&wire);
    assert_eq!(ask(&mut stream, 1), Ok(2));
    wire.lose_answers();
    assert_eq!(ask_in_vain(&mut stream, 3), SILENCE);
    for byte in [1, 3] {
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), Ok(byte));
    }
    wire.mend();
    assert_eq!(ask_in_vain(&mut stream, 5), SILENCE);
}

#[test]
fn what_is_held_arrives_later() {
    let (target, seen) = server();
    let wire = Wire::to(target);
    let mut old = client(&wire);
    assert_eq!(ask(&mut old, 1), Ok(2));
    wire.hold();
    let mut meanwhile = client(&wire);
    assert_eq!(ask_in_vain(&mut old, 3), SILENCE);
    assert_eq!(ask_in_vain(&mut meanwhile, 5), SILENCE);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [Ok(1)]);
    wire.mend();
    assert_eq!(hear(&mut old), Ok(4));
    assert_eq!(hear(&mut meanwhile), Ok(6));
}

#[test]
fn a_reset_is_told_to_both_sides_and_new_ones_pass() {
    let (target, seen) = server();
    let wire = Wire::to(target);
    let mut stream = client(&wire);
    assert_eq!(ask(&mut stream, 1), Ok(2));
    wire.reset();
    assert_eq!(hear(&mut stream), Err(ErrorKind::ConnectionReset));
    assert_eq!(wire.connections(), 0);
    assert_eq!(ask(&mut client(&wire), 5), Ok(6));
    let seen: Vec<_> = (0..3).map(|_| seen.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(seen.contains(&Err(ErrorKind::ConnectionReset)), "{seen:?}");
}

#[test]
fn a_slow_wire_delays_both_ways() {
    let (target, _seen) = server();
    let wire = Wire::to(target);
    let mut stream = client(&wire);
    wire.slow(Duration::from_millis(100));
    let begin = Instant::now();
    assert_eq!(ask(&mut stream, 1), Ok(2));
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    wire.mend();
    assert_eq!(ask(&mut stream, 3), Ok(4));
}

#[test]
fn nobody_behind_it_is_a_reset_and_another_may_take_the_place() {
    // One that no other test gets meanwhile.
    let nobody = Port::take();
    let wire = Wire::to(nobody.address());
    assert!(matches!(ask(&mut client(&wire), 1), Err(e) if e != ErrorKind::WouldBlock));
    wire.lead_to(server().0);
    assert_eq!(ask(&mut client(&wire), 1), Ok(2));
}

#[test]
fn it_ends_with_its_handle() {
    let (target, _seen) = server();
    let wire = Wire::to(target);
    let (mut stream, address) = (client(&wire), wire.address());
    assert_eq!(ask(&mut stream, 1), Ok(2));
    drop(wire);
    assert!(matches!(hear(&mut stream), Err(e) if e != ErrorKind::WouldBlock));
    assert!(TcpStream::connect(address).is_err());
}
