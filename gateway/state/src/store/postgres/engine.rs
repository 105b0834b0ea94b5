//! Carries the connections of one store on a thread of its own, and waits for answers with a bound.
//!
//! A call blocks its thread as a call of the embedded store does, whoever's thread that is: one of
//! an async runtime too. It waits for the answer or for the bound, whichever comes first.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The thread. It ends when the last store that uses it is dropped.
pub(super) struct Engine {
    handle: Handle,
    /// Dropping it stops the thread.
    _stop: oneshot::Sender<()>,
}

impl Engine {
    pub(super) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        // The runtime ends on this thread: elsewhere it might be dropped where nobody may block.
        let carry = move || {
            let _stopped = runtime.block_on(stopped);
        };
        std::thread::Builder::new().name("rev-postgres".to_owned()).spawn(carry)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Starts what goes on by itself, such as a connection.
    pub(super) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.handle.spawn(task)
    }

    /// Waits until `work` is done, but not longer than `limit`: then it is dropped.
    pub(super) fn wait<F: Future>(&self, limit: Duration, work: F) -> Option<F::Output> {
        let mut alarm = self.handle.spawn(async move { tokio::time::sleep(limit).await });
        let both = async {
            tokio::select! {
                biased;
                done = work => Some(done),
                _ = &mut alarm => None,
            }
        };
        // The thread may be one of a runtime that counts how much a task does before it yields.
        // This one does not yield.
        let done = block(tokio::task::unconstrained(both));
        alarm.abort();
        done
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::park();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_waits_for_the_answer_or_for_the_bound_on_every_thread() {
        let engine = Engine::start().unwrap();
        let check = || {
            let (answer, answered) = oneshot::channel();
            drop(engine.spawn(async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                answer.send(7).unwrap();
            }));
            assert_eq!(engine.wait(Duration::from_secs(20), answered), Some(Ok(7)));
            assert_eq!(engine.wait(Duration::from_millis(20), std::future::pending::<()>()), None);
        };
        check();
        // Within a runtime, and there after a task has used up what it may do at once.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let spent = tokio::spawn(async {
                for _ in 0..1000 {
                    let mut ready = std::pin::pin!(tokio::task::yield_now());
                    std::future::poll_fn(|context| {
                        let _ready = ready.as_mut().poll(context);
                        Poll::Ready(())
                    })
                    .await;
                }
            });
            spent.await.unwrap();
            check();
        });
    }
}
