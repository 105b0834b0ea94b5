//! Listening sockets go from one process to the next, which takes its place.
//!
//! ```text
//!  successor                                   running
//!  waits at handover.sock                      SIGQUIT
//!            ◄────────────── connects ───────────
//!            ◄──── the sockets and addresses ────     (unix(7), SCM_RIGHTS)
//!  listens on all of them
//!            ───────────────── done ────────────►     drains
//! ```
//! Until the last word both listen and nothing is lost: when nobody waits, when the successor dies or
//! cannot use the sockets, the running process goes on as if nothing had been. A socket file that was
//! left behind fools nobody, as nobody answers there.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};

use super::sockets::Sockets;

/// How long the other side may take for its part. A successor has read everything before it waits.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The kernel passes no more descriptors in one message (`SCM_MAX_FD` is 253).
const SOCKETS_MAX: usize = 253;
/// The longest list of addresses, in bytes.
const ADDRESSES_BYTES_MAX: u32 = 16 * 1024;
/// Room for the descriptors of one message, with its head.
const CONTROL_BYTES: usize = 2048;
/// The last word of the successor.
const DONE: u8 = b'+';

/// Why the sockets did not change hands. The running process keeps them.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// Nobody is there to take them.
    #[error(
        "nobody waits for the sockets: start the new process with `doorward run --upgrade`, and send SIGQUIT when it says so"
    )]
    NobodyWaits,
    /// Somebody waits already.
    #[error("another process waits for the sockets already")]
    WaitedFor,
    /// The other side went away, or was too slow.
    #[error("the successor did not take the sockets in time, or ended; see its log")]
    NotTaken,
    /// Nobody handed them over.
    #[error(
        "no sockets were handed over within {} s: send SIGQUIT to the running process",
        .0.as_secs()
    )]
    NotGiven(Duration),
    /// The system said no.
    #[error("the sockets cannot change hands: {0}")]
    System(#[from] std::io::Error),
}

/// Waits for the sockets.
pub struct Waiting(UnixListener);

/// The sockets, before the other side knows that all is well.
pub struct Given {
    pub(super) sockets: Vec<(String, RawFd)>,
    stream: UnixStream,
}

impl Waiting {
    /// Begins to wait at this path. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When another process waits there, or the path cannot be used.
    pub async fn at(path: &Path) -> Result<Self, HandOverError> {
        if UnixStream::connect(path).await.is_ok() {
            return Err(HandOverError::WaitedFor);
        }
        match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            Ok(()) | Err(_) => Ok(Self(UnixListener::bind(path)?)),
        }
    }

    /// The sockets, once they come.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn given(self, within: Duration) -> Result<Given, HandOverError> {
        let given = async {
            loop {
                let (mut stream, _) = self.0.accept().await?;
                // Who only looks whether somebody waits goes away again.
                if let Ok(Ok(sockets)) = tokio::time::timeout(ANSWER_MAX, receive(&mut stream)).await {
                    return Ok(Given { sockets, stream });
                }
            }
        };
        tokio::time::timeout(within, given).await.unwrap_or(Err(HandOverError::NotGiven(within)))
    }
}

impl Given {
    /// Tells the other side that they are listened on; it drains now.
    ///
    /// # Errors
    /// When it did not wait so long and goes on.
    pub async fn done(mut self) -> Result<(), HandOverError> {
        self.stream.write_all(&[DONE]).await.map_err(|_| HandOverError::NotTaken)
    }
}

/// Hands the sockets to the process that waits at this path, and comes back when it listens.
///
/// # Errors
/// When it does not. Nothing has changed then.
pub async fn hand_over(path: &Path, sockets: &Sockets) -> Result<(), HandOverError> {
    let mut stream = UnixStream::connect(path).await.map_err(|_| HandOverError::NobodyWaits)?;
    let told = async {
        send(&mut stream, sockets.all()).await?;
        Ok::<_, std::io::Error>(stream.read_u8().await? == DONE)
    };
    match tokio::time::timeout(ANSWER_MAX, told).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false) | Err(_)) | Err(_) => Err(HandOverError::NotTaken),
    }
}

async fn send(stream: &mut UnixStream, sockets: Vec<(String, RawFd)>) -> std::io::Result<()> {
    let (addresses, fds): (Vec<String>, Vec<RawFd>) = sockets.into_iter().take(SOCKETS_MAX).unzip();
    let addresses = addresses.join("\n");
    let length = u32::try_from(addresses.len()).unwrap_or(u32::MAX).to_be_bytes();
    let fd = stream.as_raw_fd();
    // The descriptors travel with the first bytes.
    let rights = [ControlMessage::ScmRights(&fds)];
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            sendmsg::<()>(fd, &[IoSlice::new(&length)], &rights, MsgFlags::empty(), None)
                .map_err(std::io::Error::from)
        })
        .await?;
    stream.write_all(length.get(sent..).unwrap_or_default()).await?;
    stream.write_all(addresses.as_bytes()).await
}

async fn receive(stream: &mut UnixStream) -> std::io::Result<Vec<(String, RawFd)>> {
    let fd = stream.as_raw_fd();
    let mut length = [0; 4];
    let (read, fds) = stream
        .async_io(Interest::READABLE, || {
            let mut control = Vec::with_capacity(CONTROL_BYTES);
            let mut into = [IoSliceMut::new(&mut length)];
            let message = recvmsg::<()>(fd, &mut into, Some(&mut control), MsgFlags::MSG_CMSG_CLOEXEC)?;
            let mut fds = Vec::new();
            for part in message.cmsgs() {
                if let ControlMessageOwned::ScmRights(more) = part {
                    fds.extend(more);
                }
            }
            Ok((message.bytes, fds))
        })
        .await?;
    match names(stream, length, read).await {
        Ok(names) if names.len() == fds.len() && !fds.is_empty() => Ok(names.into_iter().zip(fds).collect()),
        outcome => {
            for fd in fds {
                // They are ours alone; nothing can be done about an error.
                let _ = nix::unistd::close(fd);
            }
            outcome?;
            Err(std::io::ErrorKind::InvalidData.into())
        }
    }
}

async fn names(stream: &mut UnixStream, mut length: [u8; 4], read: usize) -> std::io::Result<Vec<String>> {
    if read == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    stream.read_exact(length.get_mut(read..).unwrap_or_default()).await?;
    let length = u32::from_be_bytes(length);
    if length > ADDRESSES_BYTES_MAX {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut addresses = String::new();
    stream.take(u64::from(length)).read_to_string(&mut addresses).await?;
    Ok(addresses.split('\n').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn folder(name: &str) -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("doorward-handover-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder.join("s")
    }

    fn listening() -> (Sockets, SocketAddr) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listener = TcpListener::bind(any).unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = Sockets::default();
        sockets
            .take(vec![(address.to_string(), std::os::fd::IntoRawFd::into_raw_fd(listener))], &[address])
            .unwrap();
        (sockets, address)
    }

    #[tokio::test]
    async fn sockets_change_hands_when_the_successor_says_so() {
        let path = folder("both");
        let (old, address) = listening();
        let waiting = Waiting::at(&path).await.unwrap();
        assert!(matches!(Waiting::at(&path).await, Err(HandOverError::WaitedFor)), "one at a time");
        let successor = async {
            let given = waiting.given(SOON).await.unwrap();
            let new = Sockets::default();
            new.take(given.sockets.clone(), &[address]).unwrap();
            assert_ne!(new.all()[0].1, old.all()[0].1, "another descriptor of the same socket");
            given.done().await.unwrap();
            new
        };
        let (handed, new) = tokio::join!(hand_over(&path, &old), successor);
        handed.unwrap();
        nix::unistd::close(old.all()[0].1).unwrap();
        assert!(TcpStream::connect(address).is_ok(), "the new one listens");
        nix::unistd::close(new.all()[0].1).unwrap();
        assert!(TcpStream::connect(address).is_err());
    }

    #[tokio::test]
    async fn without_a_successor_nothing_changes() {
        let path = folder("nobody");
        let (sockets, address) = listening();
        let nobody = |r: Result<(), HandOverError>| matches!(r, Err(HandOverError::NobodyWaits));
        assert!(nobody(hand_over(&path, &sockets).await), "no file");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        assert!(nobody(hand_over(&path, &sockets).await), "a file that was left behind");
        // One that dies in the middle.
        let waiting = Waiting::at(&path).await.unwrap();
        let dies = async { drop(waiting.given(SOON).await.unwrap()) };
        let (handed, ()) = tokio::join!(hand_over(&path, &sockets), dies);
        assert!(matches!(handed, Err(HandOverError::NotTaken)));
        assert!(TcpStream::connect(address).is_ok());
    }

    #[tokio::test]
    async fn who_waits_in_vain_is_told() {
        let waiting = Waiting::at(&folder("vain")).await.unwrap();
        let given = waiting.given(Duration::from_millis(50)).await;
        assert!(matches!(given, Err(HandOverError::NotGiven(_))));
    }
}
