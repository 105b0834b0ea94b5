//! Ports that tests in parallel, in one process or in several, do not fight over.
//!
//! A server binds its ports itself, so nobody can hold them for it until then, nor while it is
//! down. What is held instead is the UDP port of the same number: nobody here speaks UDP, the kernel
//! gives each to one process only, and frees it whatever becomes of the process. The numbers lie
//! below those that the kernel gives to outgoing connections.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of 127.0.0.1 that is this test's until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: UdpSocket,
}

impl Port {
    /// Takes one.
    ///
    /// # Panics
    /// When none is left.
    #[must_use]
    pub fn take() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes begin at different places, so that they seldom meet.
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or_default();
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + (start.wrapping_mul(7919) % COUNT + step % COUNT) % COUNT;
            if let Some(port) = Self::hold(number) {
                return port;
            }
        }
        panic!("no port from {FIRST} to {} is free", FIRST + COUNT - 1)
    }

    /// Takes some in a row, such as `doorward demo --port` wants.
    ///
    /// # Panics
    /// When there is no such row.
    #[must_use]
    pub fn take_row(count: u16) -> Vec<Self> {
        for _ in 0..COUNT {
            let mut row = vec![Self::take()];
            let first = row[0].number;
            row.extend((1..count).map_while(|i| Self::hold(first + i)));
            if row.len() == usize::from(count) {
                return row;
            }
        }
        panic!("no {count} free ports in a row")
    }

    /// Takes this one, if it is free.
    fn hold(number: u16) -> Option<Self> {
        let held = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        // Another program of this machine may use the port.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _held: held })
    }

    /// The number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), self.number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::process::{PATIENCE, within};

    #[test]
    fn many_threads_never_get_the_same() {
        let taken: Vec<Vec<Port>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| (0..50).map(|_| Port::take()).collect())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let numbers: BTreeSet<u16> = taken.iter().flatten().map(Port::number).collect();
        assert_eq!(numbers.len(), 400);
        assert!(numbers.iter().all(|n| (FIRST..FIRST + COUNT).contains(n)));
    }

    #[test]
    fn a_row_is_a_row() {
        let rows = [Port::take_row(6), Port::take_row(6)];
        for row in &rows {
            let numbers: Vec<u16> = row.iter().map(Port::number).collect();
            assert_eq!(numbers, (numbers[0]..numbers[0] + 6).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_port_can_be_bound_and_comes_back() {
        let port = Port::take();
        drop(TcpListener::bind(port.address()).unwrap());
        let number = port.number();
        assert!(UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).is_err());
        drop(port);
        // Whoever takes a row beside this test may hold it for a moment.
        let free = || UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok();
        assert!(within(PATIENCE, free).is_some());
    }
}
