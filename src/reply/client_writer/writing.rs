//! The writing to one client's socket: when something is ready, as much as the socket takes.
//!
//! Owns the socket's errors, and what is given back when nothing will be written any more. Must not know
//! where replies come from, nor who is woken.

use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;

use super::{CloseReason, THROUGH_BYTES_MIN, Writer};
use crate::reply::ReplyQueue;

impl<R> Writer<R> {
    /// Writes what is ready; whether that was all.
    pub(super) fn write_before(&self, queue: &mut ReplyQueue) -> bool {
        while !queue.ready().is_empty() {
            match self.write_through(queue.ready()) {
                0 => return false,
                count => queue.written(count),
            }
        }
        true
    }

    pub(super) fn write_through(&self, bytes: &[u8]) -> usize {
        match self.try_write(bytes) {
            Ok(count) => {
                self.note_written(count);
                count
            }
            // A real error shows again when the rest is flushed.
            Err(_) => 0,
        }
    }

    #[inline]
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.socket.borrow().as_ref() {
            Some(socket) => socket.try_write(bytes),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn note_written(&self, count: usize) {
        self.bytes_written.set(self.bytes_written.get() + count as u64);
        self.flush_list.note_sent(count);
    }

    /// Writes what is ready until the socket takes no more.
    pub fn flush(&self) {
        if self.write_ready() {
            self.stuck.set(false);
        } else if !self.stuck.replace(true) {
            self.wake_session();
        }
        if self.end.get().is_some() {
            // Nobody will write the rest.
            self.close();
        }
    }

    /// Writes what is ready; `false` when the socket takes no more.
    fn write_ready(&self) -> bool {
        let mut queue = self.queue.borrow_mut();
        let is_all = loop {
            let ready = queue.ready();
            if ready.is_empty() {
                self.written_to.set(queue.front());
                break true;
            }
            if self.deaf.get() {
                let count = ready.len();
                queue.written(count);
                continue;
            }
            match self.try_write(ready) {
                Ok(count) => {
                    self.note_written(count);
                    queue.written(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // It has closed in good order before: what it has sent still runs, as at a server.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.deaf.set(true),
                Err(_) => {
                    drop(queue);
                    self.cut(CloseReason::Client);
                    return true;
                }
            }
        };
        self.output.set(queue.buffered() + self.gathered.get());
        is_all
    }

    /// Gives back all that is kept for the client, and its socket.
    pub(super) fn close(&self) {
        if let Some(socket) = self.socket.take()
            && matches!(self.end.get(), Some(CloseReason::OutputLimit | CloseReason::Memory))
        {
            // The system must not keep either what the client does not read.
            let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
        }
        *self.queue.borrow_mut() = ReplyQueue::default();
        self.stuck.set(false);
        self.output.clear();
        self.input.clear();
    }

    /// Finds out whether a client has gone that waits for a node; called now and then. Nothing is
    /// written to it meanwhile, and what it has sent may keep the system from telling of it.
    pub fn look_for_reset(&self) {
        let written = self.bytes_written.get();
        let waits = self.unanswered() > 0 && self.looked_at.replace(written) == written;
        if !waits || self.is_closed() {
            return;
        }
        let socket = self.socket.borrow();
        let error = socket.as_ref().and_then(|socket| socket.take_error().ok()?);
        drop(socket);
        match error.map(|error| error.kind()) {
            None => {}
            Some(io::ErrorKind::BrokenPipe) => self.deaf.set(true),
            Some(_) => self.cut(CloseReason::Client),
        }
    }

    /// Holds small replies back while requests that came together with theirs have not been taken yet.
    /// A client that sends a few requests and closes at once, without reading, would otherwise get a
    /// reply before it closes; its system then takes back what has not been read here.
    #[inline]
    pub fn hold(self: &Rc<Self>, is_held: bool) {
        if self.held_back.replace(is_held) && !is_held {
            self.flush_later();
        }
    }

    /// Whether what is ready is small and may wait.
    #[inline]
    pub(in crate::reply) fn is_held_back(&self) -> bool {
        self.held_back.get()
            && self.end.get().is_none()
            && self.queue.borrow().ready_len() < THROUGH_BYTES_MIN
    }

    /// While the socket is full: flushes once it takes bytes again. Ready when nothing is stuck.
    pub fn poll_flush(&self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        while self.stuck.get() && self.end.get().is_none() {
            let socket = self.socket.borrow();
            let Some(open) = socket.as_ref() else { break };
            let polled = open.poll_write_ready(cx);
            drop(socket);
            match polled {
                Poll::Ready(Ok(())) => self.flush(),
                Poll::Ready(Err(_)) => self.cut(CloseReason::Client),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}
