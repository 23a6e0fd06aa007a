//! When the clients of a worker are written to: as seldom as can be without anybody noticing.
//!
//! Owns the clients that have something to be written, and how long the first part of an answer
//! waits for the rest. Must not know what is written. Pipelines run one after the other in a turn
//! of the worker; a client whose replies come from several nodes is written to once, after all of
//! them. Requests that a client sent together are answered by several nodes in several turns: the
//! first replies wait for the others, since a write costs more than all else that a small request
//! needs.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::Outlet;
use crate::metrics::WorkerStats;

/// How long replies to requests that came together wait for the rest of them. The timers of the
/// runtime count in milliseconds: it may be twice as long.
const REST_PATIENCE: Duration = Duration::from_millis(1);

/// The clients of one worker that have something to be written.
#[derive(Debug)]
pub struct Flusher {
    /// Those that are looked at when this turn ends.
    list: RefCell<Vec<Rc<Outlet>>>,
    task: RefCell<Option<Waker>>,
    stats: Arc<WorkerStats>,
}

impl Flusher {
    /// A worker's flusher; [`Self::run`] must be spawned.
    pub fn new(stats: Arc<WorkerStats>) -> Rc<Self> {
        Rc::new(Flusher { list: RefCell::default(), task: RefCell::default(), stats })
    }

    /// Looks at this client when the turn ends.
    #[inline]
    pub(super) fn add(&self, outlet: Rc<Outlet>) {
        let mut list = self.list.borrow_mut();
        list.push(outlet);
        if list.len() == 1
            && let Some(task) = self.task.borrow().as_ref()
        {
            task.wake_by_ref();
        }
    }

    /// So many bytes have been written to a client.
    pub(super) fn note_sent(&self, count: usize) {
        self.stats.sent_bytes.add(count as u64);
    }

    /// Flushes the listed clients whenever there are some; never ends.
    pub async fn run(self: Rc<Self>) {
        let mut turn = Vec::new();
        let mut held = Held::default();
        std::future::poll_fn(|cx| {
            self.set_task(cx);
            std::mem::swap(&mut turn, &mut self.list.borrow_mut());
            for outlet in turn.drain(..) {
                outlet.listed.set(false);
                if outlet.expects_rest() {
                    held.add(outlet);
                } else {
                    held.remove(&outlet);
                    outlet.flush();
                }
            }
            held.poll(cx);
            Poll::<()>::Pending
        })
        .await;
    }

    fn set_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }
}

/// The clients that wait for the rest of their replies.
#[derive(Default)]
struct Held {
    outlets: Vec<Rc<Outlet>>,
    /// The end of the patience with the first of them; none when there is nobody, since a timer
    /// that fires for nothing wakes the worker.
    end: Option<Pin<Box<Sleep>>>,
}

impl Held {
    fn add(&mut self, outlet: Rc<Outlet>) {
        if outlet.held_at.get().is_some() {
            return;
        }
        outlet.held_at.set(Some(self.outlets.len()));
        self.outlets.push(outlet);
        self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(REST_PATIENCE)));
    }

    fn remove(&mut self, outlet: &Outlet) {
        let Some(at) = outlet.held_at.take() else { return };
        self.outlets.swap_remove(at);
        if let Some(moved) = self.outlets.get(at) {
            moved.held_at.set(Some(at));
        }
        if self.outlets.is_empty() {
            self.end = None;
        }
    }

    /// Flushes all of them when the time is up.
    fn poll(&mut self, cx: &mut Context<'_>) {
        let Some(end) = &mut self.end else { return };
        if end.as_mut().poll(cx).is_pending() {
            return;
        }
        self.end = None;
        for outlet in self.outlets.drain(..) {
            outlet.held_at.set(None);
            outlet.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::Instant;

    use super::*;

    /// A client whose first two requests came together, and a third after them; the clock stands
    /// still unless everybody waits.
    fn with_client<F: Future<Output = ()>>(test: impl FnOnce(TcpStream, Rc<Outlet>) -> F) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build_local(Default::default());
        runtime.unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (_, writer) = listener.accept().await.unwrap().0.into_split();
            let flusher = Flusher::new(Arc::new(WorkerStats::new(0)));
            tokio::task::spawn_local(Rc::clone(&flusher).run());
            tokio::task::yield_now().await;
            let outlet = Outlet::new(writer, flusher, 1 << 20);
            let together = [outlet.ticket(), outlet.ticket()];
            outlet.came_together(together[0]);
            assert_eq!((together, outlet.ticket()), ([0, 1], 2));
            test(client, outlet).await;
        });
    }

    async fn read(client: &mut TcpStream) -> String {
        let mut bytes = [0; 100];
        let count = client.read(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn replies_to_requests_that_came_together_leave_together() {
        with_client(async |mut client, outlet| {
            outlet.deliver(0, b"first ", true);
            tokio::task::yield_now().await;
            outlet.deliver(1, b"second", true);
            assert_eq!(read(&mut client).await, "first second");
            assert_eq!(outlet.unanswered(), 1);
        });
    }

    #[test]
    fn the_first_does_not_wait_long() {
        with_client(async |mut client, outlet| {
            let start = Instant::now();
            outlet.deliver(0, b"first", true);
            assert_eq!(read(&mut client).await, "first");
            assert!(start.elapsed() >= REST_PATIENCE && start.elapsed() <= 2 * REST_PATIENCE);
            outlet.deliver(1, b"second", true);
            assert_eq!(read(&mut client).await, "second");
        });
    }

    #[test]
    fn nobody_waits_for_what_came_later() {
        with_client(async |mut client, outlet| {
            let start = Instant::now();
            outlet.came_together(2);
            outlet.deliver(0, b"first", true);
            assert_eq!(read(&mut client).await, "first");
            outlet.deliver(1, b"second", true);
            assert_eq!(read(&mut client).await, "second");
            assert!(start.elapsed() < REST_PATIENCE);
        });
    }
}
