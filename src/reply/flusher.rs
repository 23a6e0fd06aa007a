//! When the clients of a worker are written to: as seldom as can be without anybody noticing.
//!
//! Owns the clients that have something to be written, and how long the first part of an answer
//! waits for the rest. Must not know what is written. Pipelines run one after the other in a turn
//! of the worker; a client whose replies come from several nodes is written to once, after all of
//! them. Requests that a client sent together are answered by several nodes in several turns: the
//! first replies wait for the others, since a write costs more than all else that a small request
//! needs.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use super::{ClientWriter, FlushList, PushLimits};
use crate::memory::Ledger;
use crate::metrics::WorkerStats;

/// The timers of the runtime fire 1 to 2 of these later than they were asked to.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// So many clients are written to before others have their turn: a message may have very many
/// receivers.
const FLUSHES_MAX: usize = 256;

/// What flushes the clients of one worker.
#[derive(Debug)]
pub struct Flusher {
    list: Rc<FlushList<ClientWriter>>,
    delay: Duration,
}

impl Flusher {
    /// A worker's flusher; [`Self::run`] must be spawned. Replies to requests that came together
    /// wait for the rest of them for `delay`, or a millisecond longer.
    pub fn new(
        stats: Arc<WorkerStats>,
        ledger: Rc<Ledger>,
        delay: Duration,
        push_limits: PushLimits,
    ) -> Rc<Self> {
        Rc::new(Flusher { list: FlushList::new(stats, ledger, push_limits), delay })
    }

    /// Where client writers say that they have something to be written.
    pub fn list(&self) -> &Rc<FlushList<ClientWriter>> {
        &self.list
    }

    /// Flushes the listed clients whenever there are some, but for those that wait; never ends.
    pub async fn run(self: Rc<Self>) {
        let mut turn: Vec<Rc<ClientWriter>> = Vec::new();
        let mut delayed = Delayed::new(self.delay);
        std::future::poll_fn(|cx| {
            self.list.set_task(cx);
            if turn.is_empty() {
                self.list.swap(&mut turn);
            }
            let count = turn.len().min(FLUSHES_MAX);
            for client_writer in turn.drain(..count) {
                client_writer.listed.set(false);
                if !self.delay.is_zero() && client_writer.expects_rest() {
                    delayed.add(client_writer);
                } else if !client_writer.is_held_back() {
                    delayed.remove(&client_writer);
                    client_writer.flush();
                }
            }
            delayed.poll(cx);
            if count == FLUSHES_MAX || !self.list.is_empty() {
                // There may be more. The others' events are looked at first.
                let mut others = std::pin::pin!(tokio::task::yield_now());
                let _ = others.as_mut().poll(cx);
            }
            Poll::<()>::Pending
        })
        .await;
    }
}

/// The clients that wait for the rest of their replies.
struct Delayed {
    client_writers: Vec<Rc<ClientWriter>>,
    delay: Duration,
    /// When all of them have waited long enough, none longer than the delay; none when there is
    /// nobody, since a timer that fires for nothing wakes the worker.
    end: Option<Pin<Box<Sleep>>>,
}

impl Delayed {
    fn new(delay: Duration) -> Delayed {
        // A timer for no time at all would fire before anything else is looked at.
        let delay = delay.saturating_sub(TIMER_STEP).max(Duration::from_micros(1));
        Delayed { client_writers: Vec::new(), delay, end: None }
    }

    fn add(&mut self, client_writer: Rc<ClientWriter>) {
        if client_writer.delayed_at.get().is_some() {
            return;
        }
        client_writer.delayed_at.set(Some(self.client_writers.len()));
        self.client_writers.push(client_writer);
        self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.delay)));
    }

    fn remove(&mut self, client_writer: &ClientWriter) {
        let Some(at) = client_writer.delayed_at.take() else { return };
        self.client_writers.swap_remove(at);
        if let Some(moved) = self.client_writers.get(at) {
            moved.delayed_at.set(Some(at));
        }
        if self.client_writers.is_empty() {
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
        for client_writer in self.client_writers.drain(..) {
            client_writer.delayed_at.set(None);
            client_writer.flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::net::WriteHalf;

    /// Nobody lives to see its end.
    const FOR_EVER: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(1);

    fn run(test: impl Future<Output = ()>) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build_local(Default::default()).unwrap();
        runtime.block_on(test);
    }

    fn flusher(delay: Duration) -> Rc<Flusher> {
        let ledger = Ledger::new(Arc::new(crate::memory::Budget::new(usize::MAX)));
        let limits = PushLimits { hard_bytes: 1 << 20, soft_bytes: 1000, soft_us: 100 };
        let flusher = Flusher::new(Arc::new(WorkerStats::new(0)), ledger, delay, limits);
        tokio::task::spawn_local(Rc::clone(&flusher).run());
        flusher
    }

    /// A client whose first two requests came together.
    async fn client(flusher: &Rc<Flusher>) -> (TcpStream, Rc<ClientWriter>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, writer) = listener.accept().await.unwrap().0.into_split();
        let client_writer =
            ClientWriter::new(WriteHalf::Tcp(writer), Rc::clone(flusher.list()), 1 << 20);
        let together = [client_writer.take_seq(), client_writer.take_seq()];
        client_writer.begin_batch(together[0]);
        (client, client_writer)
    }

    /// Delivers, and lets the flusher have its turn.
    async fn deliver(client_writer: &Rc<ClientWriter>, seq: u64, reply: &str) {
        client_writer.deliver(seq, reply.as_bytes(), true);
        tokio::task::yield_now().await;
    }

    async fn read(client: &mut TcpStream) -> String {
        let mut bytes = vec![0; 1 << 20];
        let count = client.read(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn replies_to_requests_that_came_together_leave_together() {
        run(async {
            let (mut client, client_writer) = client(&flusher(FOR_EVER)).await;
            deliver(&client_writer, 0, "first ").await;
            deliver(&client_writer, 1, "second").await;
            assert_eq!(read(&mut client).await, "first second");
        });
    }

    #[test]
    fn the_first_does_not_wait_for_ever() {
        run(async {
            let (mut client, client_writer) = client(&flusher(SHORT)).await;
            deliver(&client_writer, 0, "first").await;
            assert_eq!(read(&mut client).await, "first");
            deliver(&client_writer, 1, "second").await;
            assert_eq!(read(&mut client).await, "second");
        });
    }

    #[test]
    fn without_a_delay_none_waits() {
        run(async {
            let (mut client, client_writer) = client(&flusher(Duration::ZERO)).await;
            deliver(&client_writer, 0, "first").await;
            assert_eq!(read(&mut client).await, "first");
        });
    }

    #[test]
    fn nobody_waits_for_what_came_later() {
        run(async {
            let (mut client, client_writer) = client(&flusher(FOR_EVER)).await;
            // One reply waits when more requests come; one comes when it is not alone any more.
            deliver(&client_writer, 0, "first").await;
            let later = [client_writer.take_seq(), client_writer.take_seq()];
            client_writer.begin_batch(later[0]);
            assert_eq!(read(&mut client).await, "first");
            client_writer.deliver(later[0], b" third", true);
            deliver(&client_writer, 1, "second").await;
            assert_eq!(read(&mut client).await, "second third");
        });
    }

    #[test]
    fn large_replies_and_those_in_pieces_do_not_wait() {
        run(async {
            let flusher = flusher(FOR_EVER);
            let (mut one, large) = client(&flusher).await;
            let value = "v".repeat(100_000);
            deliver(&large, 0, &value).await;
            let mut read_so_far = 0;
            while read_so_far < value.len() {
                read_so_far += read(&mut one).await.len();
            }
            let (mut two, pieces) = client(&flusher).await;
            pieces.deliver(0, b"a piece", false);
            assert_eq!(read(&mut two).await, "a piece");
            deliver(&pieces, 0, "the last").await;
            assert_eq!(read(&mut two).await, "the last");
        });
    }

    #[test]
    fn some_get_the_rest_and_some_do_not() {
        run(async {
            let flusher = flusher(Duration::from_millis(20));
            let mut clients = Vec::new();
            for _ in 0..3 {
                clients.push(client(&flusher).await);
            }
            for round in 0..2 {
                for (_, client_writer) in &clients {
                    deliver(client_writer, 2 * round, "first ").await;
                }
                deliver(&clients[usize::from(round > 0)].1, 2 * round + 1, "second").await;
                for (client, client_writer) in &mut clients {
                    let mut all = read(client).await;
                    deliver(client_writer, 2 * round + 1, "second").await;
                    if !all.ends_with("second") {
                        all += &read(client).await;
                    }
                    assert_eq!(all, "first second");
                    let together = [client_writer.take_seq(), client_writer.take_seq()];
                    client_writer.begin_batch(together[0]);
                }
            }
        });
    }

    #[test]
    fn more_clients_than_fit_a_turn_are_all_written_to() {
        run(async {
            let flusher = flusher(Duration::ZERO);
            let mut clients = Vec::new();
            for _ in 0..FLUSHES_MAX + 10 {
                clients.push(client(&flusher).await);
            }
            for (_, client_writer) in &clients {
                client_writer.push(b"news", 0, 0);
            }
            for (client, _) in &mut clients {
                assert_eq!(read(client).await, "news");
            }
        });
    }

    #[test]
    fn who_comes_while_others_are_written_to_is_written_to() {
        run(async {
            let flusher = flusher(Duration::ZERO);
            let mut clients = Vec::new();
            for _ in 0..FLUSHES_MAX + 12 {
                clients.push(client(&flusher).await);
            }
            let (late, early) = clients.split_at(2);
            for (_, client_writer) in early {
                client_writer.push(b"news", 0, 0);
            }
            // The first of two turns has been.
            tokio::task::yield_now().await;
            for (_, client_writer) in late {
                client_writer.push(b"late", 0, 0);
            }
            for (client, _) in &mut clients {
                assert_eq!(read(client).await.len(), 4);
            }
        });
    }

    #[test]
    fn who_leaves_messages_unread_is_cut_off() {
        run(async {
            let flusher = flusher(FOR_EVER);
            let (_one, soft) = client(&flusher).await;
            // Nothing of it can be written: a reply is to come first.
            soft.push(&[b'm'; 999], 1, 0);
            soft.push(b"mm", 1, 1000);
            soft.push(b"m", 1, 1100);
            assert!(!soft.is_closed());
            soft.push(b"m", 1, 1101);
            assert_eq!(soft.close_reason(), Some(super::super::CloseReason::OutputLimit));
            let (_two, hard) = client(&flusher).await;
            hard.push(&vec![b'm'; 1 << 20], 1, 0);
            assert!(!hard.is_closed());
            hard.push(b"m", 1, 0);
            assert!(hard.is_closed());
        });
    }

    #[test]
    fn a_client_that_is_cut_does_not_wait() {
        run(async {
            let (mut client, client_writer) = client(&flusher(FOR_EVER)).await;
            client_writer.deliver(0, b"first", true);
            client_writer.finish();
            assert_eq!(read(&mut client).await, "first");
        });
    }
}
