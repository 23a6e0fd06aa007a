//! The life of a node connection: made when something is to be sent, lost, and made again.
//!
//! Owns when it is connected, and that every request of a lost one goes back. Must not know what is
//! sent.

use std::future::Future;
use std::rc::Rc;
use std::task::Poll;

use super::block::Block;
use super::{BACKOFF, GREETING_TIMEOUTS, Kind, Phase, Pipeline, SCRIPT_BACKOFF, give_back};
use crate::backend::send_queue::SendQueue;
use crate::backend::{BackendError, Connection, connection};
use crate::resp::ReplyScanner;

impl Pipeline {
    /// Connects when there is something to send, serves, and starts again; ends when retired.
    pub async fn run(self: Rc<Self>) {
        loop {
            if !self.wait_for_demand().await {
                return;
            }
            self.state.borrow_mut().phase = Phase::Connecting;
            let error = match self.connect_in_time().await {
                Ok(mut connection) => {
                    self.opened();
                    let early = connection.take_rest();
                    let (stream, _own) = connection.into_stream();
                    let (reader, writer) = stream.into_split();
                    // However it ends, also with the process.
                    connection::withdraw_when_closed(&writer, true);
                    *self.writer.borrow_mut() = Some(writer);
                    let error = match self.take_early(&early) {
                        Ok(()) => self.serve(reader).await,
                        Err(error) => error,
                    };
                    if let Some(writer) = self.writer.take()
                        && self.state.borrow().in_flight.is_empty()
                    {
                        connection::withdraw_when_closed(&writer, false);
                    }
                    self.stats.connections.sub(1);
                    error
                }
                Err(error) => error,
            };
            self.ended(&error);
        }
    }

    /// Waits until a request wants a connection; `false` when the pipeline is to end.
    async fn wait_for_demand(&self) -> bool {
        std::future::poll_fn(|cx| {
            self.set_task(cx);
            if !self.state.borrow().in_flight.is_empty() {
                return Poll::Ready(true);
            }
            self.dirty.set(false);
            if self.retired.get() { Poll::Ready(false) } else { Poll::Pending }
        })
        .await
    }

    /// Each answer of the greeting has its own timeout; a node that trickles them must not use
    /// it up again and again.
    async fn connect_in_time(&self) -> Result<Connection, BackendError> {
        let timeout = self.shared.connect_timeout * GREETING_TIMEOUTS;
        let mut connecting = std::pin::pin!(tokio::time::timeout(timeout, self.connect()));
        std::future::poll_fn(|cx| {
            self.set_task(cx);
            if self.fault.take() {
                return Poll::Ready(Err(BackendError::Silent));
            }
            let connected = std::task::ready!(connecting.as_mut().poll(cx));
            Poll::Ready(connected.unwrap_or(Err(BackendError::Silent)))
        })
        .await
    }

    async fn connect(&self) -> Result<Connection, BackendError> {
        let timeout = self.shared.connect_timeout;
        let mut connection = Connection::to_node(&self.upstream, timeout).await?;
        if let Some(tracker) = self.tracker() {
            self.begin_tracking(&tracker, &mut connection).await?;
        }
        connection.limit_send_buffer(self.shared.send_buffer_bytes)?;
        Ok(connection)
    }

    fn opened(&self) {
        let mut state = self.state.borrow_mut();
        state.phase = Phase::Open;
        state.failures = 0;
        self.stats.connections.add(1);
        self.stats.connects.add(1);
        self.dirty.set(true);
        self.fault.set(false);
        self.turned_away.set(None);
        self.script.take();
        drop(state);
        if let Some(tracker) = &self.tracker {
            tracker.note_opened(self.answered.get());
        }
    }

    /// The connection is gone, or never came: every request goes back to its session.
    fn ended(&self, error: &BackendError) {
        let mut state = self.state.borrow_mut();
        if !self.retired.get() {
            self.tell(error, state.in_flight.len());
        }
        let was_open = state.phase == Phase::Open;
        if !was_open || matches!(error, BackendError::WrongNode { .. } | BackendError::Auth(_)) {
            state.failures += 1;
            let wait = BACKOFF.0 * 2u32.saturating_pow(state.failures.min(10) - 1);
            let most = if error.answer().is_some() { SCRIPT_BACKOFF } else { BACKOFF.1 };
            let wait = wait.min(most).as_micros() as u64;
            state.phase = Phase::Down(self.shared.clock.tick() + wait);
        } else {
            state.phase = Phase::Idle;
        }
        state.passed_bytes = 0;
        let mut passed_on = std::mem::take(&mut state.passed_on);
        let mut in_flight = std::mem::take(&mut state.in_flight);
        let mut blocks = std::mem::take(&mut in_flight.blocks);
        let send_queue = SendQueue::new(Rc::clone(&self.shared.chunk_pool));
        let send_queue = std::mem::replace(&mut state.send_queue, send_queue);
        (state.scanner, state.kind) = (ReplyScanner::default(), 0);
        state.kept.clear();
        state.push.clear();
        state.fences.forget();
        drop(state);
        self.end_tracking(was_open);
        *self.script.borrow_mut() = error.answer().map(Box::from);
        self.dirty.set(false);
        self.stats.inflight.sub(in_flight.len() as u64);
        let sent_to = if was_open { send_queue.sent_to() } else { 0 };
        self.window.forget_weights();
        while let Some((at, entry)) = in_flight.take_first() {
            if error.answer().is_some() {
                entry.handle.into_iter().for_each(|handle| self.turn_back(handle, Vec::new()));
                continue;
            }
            let is_block = matches!(entry.kind, Kind::Block | Kind::Declined);
            let block = if is_block { blocks.pop_front() } else { None };
            let mut declined = block.and_then(Block::into_reason);
            if let Some(why) = &mut declined {
                why.said_by(self.upstream.node.address.ip());
            }
            let how = (std::mem::take(&mut passed_on), declined);
            give_back(entry, at, (&send_queue, sent_to), how);
        }
        self.window.call_all();
    }
}
