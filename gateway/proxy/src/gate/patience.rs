//! How long an exchange may wait where Pingora sets no bound of its own.
//!
//! Over HTTP/2 Pingora waits for the next piece of a request's body for ever. Of an app it has one
//! bound for everything it reads: the head of the answer and every piece of the body, be it a page
//! or a stream of events that is silent for an hour. So these waits are bounded here: whoever moves
//! the exchange on says so, and the gate ends one that stands still.
//!
//! An app that speaks HTTP/1.1 and does not answer in time has its connection shut first, which
//! Pingora notices: so the client is told 504, and not just cut off.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};

/// How often a look is taken.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the answer may take that tells a client of an app that is late.
const TELL_MAX: Duration = Duration::from_secs(2);
/// No connection to the app that could be shut.
const NONE: i32 = -1;

const BEGUN: u8 = 0;
const UPLOADING: u8 = 1;
const ANSWERING: u8 = 2;
const LATE: u8 = 3;
const FLOWING: u8 = 4;
const OVER: u8 = 5;

/// What one exchange waits for.
pub(crate) struct Patience {
    stage: AtomicU8,
    pieces: AtomicU64,
    answer_millis_max: AtomicU64,
    /// A descriptor of our own for the connection to an app that speaks HTTP/1.1, while the app is
    /// awaited. Pingora's own may be closed and its number be somebody else's.
    app: AtomicI32,
    late: AtomicBool,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stage: AtomicU8::new(BEGUN),
            pieces: AtomicU64::new(0),
            answer_millis_max: AtomicU64::new(u64::MAX),
            app: AtomicI32::new(NONE),
            late: AtomicBool::new(false),
        }
    }
}

impl Patience {
    /// The client has a body to send.
    pub(crate) fn uploads(&self) {
        self.stage.store(UPLOADING, Ordering::Relaxed);
    }

    /// A piece of a body came, in whatever direction.
    pub(crate) fn piece(&self) {
        self.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// The body is here; the app may take this long to answer, where Pingora does not count.
    pub(crate) fn uploaded(&self, answer_max: Option<Duration>) {
        self.awaits(UPLOADING, answer_max);
    }

    /// The app has the request, over a connection of its own if one is named: it may take this long
    /// to answer, unless an upload comes first.
    pub(crate) fn asked(&self, answer_max: Option<Duration>, connection: Option<i32>) {
        self.left();
        let own = connection.and_then(|c| fcntl(c, FcntlArg::F_DUPFD_CLOEXEC(0)).ok());
        self.app.store(own.unwrap_or(NONE), Ordering::Relaxed);
        self.piece();
        if answer_max.is_some() {
            self.awaits(BEGUN, answer_max);
        }
    }

    fn awaits(&self, after: u8, answer_max: Option<Duration>) {
        let millis = answer_max.map(|max| u64::try_from(max.as_millis()).unwrap_or(u64::MAX));
        self.answer_millis_max.store(millis.unwrap_or(u64::MAX), Ordering::Relaxed);
        // The app may have answered before it had everything.
        let _ = self.stage.compare_exchange(after, ANSWERING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The connection to the app is the exchange's no longer.
    pub(crate) fn left(&self) {
        let own = self.app.swap(NONE, Ordering::Relaxed);
        if own != NONE {
            let _ = nix::unistd::close(own);
        }
    }

    /// The app answers. A stream may be silent for as long as Pingora lets it.
    pub(crate) fn answered(&self, streams: bool) {
        self.left();
        self.stage.store(if streams { OVER } else { FLOWING }, Ordering::Relaxed);
    }

    /// The app did not answer in time, and its connection was shut.
    pub(crate) fn is_late(&self) -> bool {
        self.late.load(Ordering::Relaxed)
    }

    /// Resolves when the exchange has stood still for longer than it may.
    pub(crate) async fn runs_out(&self, body_idle_max: Duration) {
        let (mut seen, mut still) = ((BEGUN, 0), Duration::ZERO);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = (self.stage.load(Ordering::Relaxed), self.pieces.load(Ordering::Relaxed));
            still = if now == seen { still + LOOK_EVERY } else { Duration::ZERO };
            seen = now;
            let max = match now.0 {
                // Over HTTP/1.1 Pingora has an answer when the same time is over: let it.
                UPLOADING | FLOWING => body_idle_max + 2 * LOOK_EVERY,
                ANSWERING => Duration::from_millis(self.answer_millis_max.load(Ordering::Relaxed)),
                LATE => TELL_MAX,
                OVER => return std::future::pending().await,
                _ => continue,
            };
            if still < max {
                continue;
            }
            let connection = self.app.load(Ordering::Relaxed);
            if now.0 != ANSWERING || connection == NONE {
                return;
            }
            self.late.store(true, Ordering::Relaxed);
            self.stage.store(LATE, Ordering::Relaxed);
            let _ = nix::sys::socket::shutdown(connection, nix::sys::socket::Shutdown::Both);
            self.left();
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        self.left();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd;

    use super::*;

    const MAX: Duration = Duration::from_secs(10);

    async fn lasts(patience: &Patience) -> Option<u64> {
        let begin = tokio::time::Instant::now();
        let out = tokio::time::timeout(Duration::from_secs(1000), patience.runs_out(MAX)).await;
        out.ok().map(|()| begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_stands_still_is_given_up() {
        let patience = Patience::default();
        assert_eq!(lasts(&patience).await, None, "before the permit other bounds count");
        patience.uploads();
        assert_eq!(lasts(&patience).await, Some(11));
        let moving = async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                patience.piece();
            }
            patience.uploaded(Some(Duration::from_secs(3)));
            tokio::time::Instant::now()
        };
        let (end_of_upload, out) = tokio::join!(moving, async {
            patience.runs_out(MAX).await;
            tokio::time::Instant::now()
        });
        assert!((3..5).contains(&out.duration_since(end_of_upload).as_secs()));
        patience.uploaded(None);
        patience.answered(true);
        patience.uploaded(Some(MAX));
        assert_eq!(lasts(&patience).await, None, "a stream may be silent");
        patience.answered(false);
        assert_eq!(lasts(&patience).await, Some(11), "a page may not stop in the middle");
    }

    #[tokio::test(start_paused = true)]
    async fn who_uploads_nothing_waits_for_the_answer_alone() {
        let patience = Patience::default();
        patience.asked(None, None);
        assert_eq!(lasts(&patience).await, None, "Pingora counts");
        patience.asked(Some(Duration::from_secs(30)), None);
        assert_eq!(lasts(&patience).await, Some(30));
        assert!(!patience.is_late());
        let uploads = Patience::default();
        uploads.uploads();
        uploads.asked(Some(Duration::from_secs(3)), None);
        assert_eq!(lasts(&uploads).await, Some(11), "the upload comes first");
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_that_is_late_has_its_connection_shut() {
        let (mut ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let fd = ours.as_raw_fd();
        let patience = Patience::default();
        patience.asked(Some(Duration::from_secs(3)), Some(fd));
        assert!((5..7).contains(&lasts(&patience).await.unwrap()), "some time to tell the client");
        assert!(patience.is_late());
        assert_eq!(ours.read(&mut [0; 8]).unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_descriptor_that_is_somebody_elses_by_now_is_left_alone() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let number = ours.as_raw_fd();
        let patience = Patience::default();
        patience.asked(Some(Duration::from_secs(3)), Some(number));
        // Somebody else's connection gets the number.
        let (mut other, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        nix::unistd::dup2(other.as_raw_fd(), number).unwrap();
        lasts(&patience).await.unwrap();
        peer.write_all(b"x").unwrap();
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 1);
        drop((ours, theirs));
    }

    #[test]
    fn what_was_kept_to_shut_a_connection_is_given_back() {
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let patience = Patience::default();
        patience.asked(Some(MAX), Some(ours.as_raw_fd()));
        patience.asked(Some(MAX), Some(ours.as_raw_fd()));
        drop(ours);
        theirs.set_nonblocking(true).unwrap();
        assert!(theirs.read(&mut [0; 8]).is_err(), "it is still held");
        patience.answered(false);
        assert_eq!(theirs.read(&mut [0; 8]).unwrap(), 0, "the last who held it let go");
    }
}
