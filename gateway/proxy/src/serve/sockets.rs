//! The sockets that are listened on: bound here, so that whoever starts knows at once that it cannot,
//! and handed to Pingora, which would find out on a thread of its own and tell nobody.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::os::fd::{IntoRawFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::TcpSocket;

use super::ServeError;

/// Listening sockets, or such that will be, by their addresses. They live as long as the process.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<HashMap<String, RawFd>>>);

impl Sockets {
    pub(super) fn get(&self, address: &str) -> Option<RawFd> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(address).copied()
    }

    pub(super) fn all(&self) -> Vec<(String, RawFd)> {
        let sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(|(address, fd)| (address.clone(), *fd)).collect()
    }

    /// Binds every address. Nobody can connect yet. `taken_over`: what another process listens on
    /// is left to it, as it will hand it over.
    ///
    /// # Errors
    /// The first that cannot be had.
    pub(super) fn bind(addresses: &[SocketAddr], taken_over: bool) -> Result<Self, ServeError> {
        let mut bound = Vec::new();
        for address in addresses {
            match bind(*address) {
                Ok(socket) => bound.push((address.to_string(), socket)),
                Err(e) if taken_over && e.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(e) => return Err(cannot(*address, &e)),
            }
        }
        let bound = bound.into_iter().map(|(address, socket)| (address, socket.into_raw_fd()));
        Ok(Self(Arc::new(Mutex::new(bound.collect()))))
    }

    /// Takes what another process handed over. What is not in `addresses` is closed.
    ///
    /// # Errors
    /// When one of `addresses` is neither bound here nor among it.
    pub(super) fn take(
        &self,
        received: Vec<(String, RawFd)>,
        addresses: &[SocketAddr],
    ) -> Result<(), ServeError> {
        let wanted: HashSet<String> = addresses.iter().map(ToString::to_string).collect();
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (address, fd) in received {
            let unwanted = if wanted.contains(&address) { sockets.insert(address, fd) } else { Some(fd) };
            if let Some(fd) = unwanted {
                // It is ours alone; nothing can be done about an error.
                let _ = nix::unistd::close(fd);
            }
        }
        match addresses.iter().find(|a| !sockets.contains_key(&a.to_string())) {
            Some(missing) => Err(ServeError::Listen {
                address: missing.to_string(),
                why: "the running gateway did not hand it over, and something listens there; \
                      an address that was changed so needs a restart"
                    .to_owned(),
            }),
            None => Ok(()),
        }
    }
}

/// Whether connections can be made to it.
pub(super) fn is_listening(fd: RawFd) -> bool {
    getsockopt(fd, sockopt::AcceptConn).unwrap_or(false)
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a process that ended may linger; a listener may not be shared.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cannot(address: SocketAddr, e: &std::io::Error) -> ServeError {
    let port = address.port();
    let help = match e.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("; see who does with `ss -ltnp 'sport = :{port}'`, or choose another port")
        }
        std::io::ErrorKind::PermissionDenied => {
            "; a port below 1024 needs the capability CAP_NET_BIND_SERVICE".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "; this machine does not have that address".to_owned(),
        _ => String::new(),
    };
    ServeError::Listen { address: address.to_string(), why: format!("{e}{help}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_known_at_once() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let why = Sockets::bind(&[address], false).err().unwrap().to_string();
        assert!(why.contains(&address.to_string()) && why.contains("ss -ltnp"), "{why}");
        // Who takes over leaves it to whoever has it, and says so when it does not come.
        let sockets = Sockets::bind(&[address], true).unwrap();
        assert!(sockets.all().is_empty());
        let why = sockets.take(Vec::new(), &[address]).err().unwrap().to_string();
        assert!(why.contains("did not hand it over"), "{why}");
    }

    #[test]
    fn what_is_bound_does_not_listen_and_what_is_not_wanted_is_closed() {
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let sockets = Sockets::bind(&[address(0)], false).unwrap();
        let [(_, fd)] = sockets.all()[..] else { panic!("one") };
        assert!(!is_listening(fd));
        nix::sys::socket::listen(fd, 1).unwrap();
        assert!(is_listening(fd));
        let old = std::net::TcpListener::bind(address(0)).unwrap();
        let at = old.local_addr().unwrap();
        sockets.take(vec![(at.to_string(), old.into_raw_fd())], &[address(0)]).unwrap();
        assert!(std::net::TcpStream::connect(at).is_err(), "nobody would accept there");
        assert_eq!(sockets.all().len(), 1);
    }
}
