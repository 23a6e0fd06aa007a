//! A connection on which a node sends messages that nobody has asked for one by one.
//!
//! Owns the socket after its greeting: what is written to it, and the frames that come. Must not know
//! what a frame says. Invariant: a frame longer than [`FRAME_BYTES_MAX`] ends the connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::own_addresses::OwnAddress;
use super::{BackendError, Connection};
use crate::metrics::NodeStats;
use crate::net::Stream;
use crate::resp::ReplyScanner;
use crate::resp::reply::LeftOut;

/// Longest frame: a message is at most as long as Redis's longest string.
pub const FRAME_BYTES_MAX: usize = 513 << 20;
/// Room for each read.
const READ_BYTES: usize = 32 * 1024;
/// A buffer larger than this is given back when it is empty.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// What is to be written to a connection of messages; outlives it.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: RefCell<Vec<u8>>,
    task: RefCell<Option<Waker>>,
}

impl Outbox {
    /// Appends what `write` writes.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes.borrow_mut());
        self.wake();
    }

    /// Drops what has not been written.
    pub fn clear(&self) {
        self.bytes.borrow_mut().clear();
    }

    /// Has whoever writes it look again.
    pub fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    /// Whoever polls with this context is woken by [`Self::wake`].
    pub fn set_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }
}

/// The open connection.
#[derive(Debug)]
pub struct MessageStream {
    stream: Stream,
    _own: OwnAddress,
    stats: Arc<NodeStats>,
    inbox: Vec<u8>,
    /// Where the frame begins that is not whole yet, and how much of it has been walked.
    begin: usize,
    walked: usize,
    scanner: ReplyScanner,
}

impl MessageStream {
    pub(super) fn new(connection: Connection, stats: Arc<NodeStats>) -> MessageStream {
        stats.connects.add(1);
        stats.connections.add(1);
        let (stream, own) = connection.into_stream();
        MessageStream {
            stream,
            _own: own,
            stats,
            inbox: Vec::new(),
            begin: 0,
            walked: 0,
            scanner: ReplyScanner::default(),
        }
    }

    /// The next whole frame. Meanwhile everything in `outbox` is written.
    pub async fn next(&mut self, outbox: &Outbox) -> Result<&[u8], BackendError> {
        loop {
            if let Some(len) = self.whole_frame()? {
                let begin = self.begin;
                self.begin += len;
                return Ok(&self.inbox[begin..begin + len]);
            }
            poll_fn(|cx| self.poll_more(cx, outbox)).await.map_err(BackendError::Io)?;
            if self.inbox.len() - self.begin > FRAME_BYTES_MAX {
                return Err(BackendError::TooLong);
            }
        }
    }

    /// The length of the frame at `begin`, when all of it is there.
    fn whole_frame(&mut self) -> Result<Option<usize>, BackendError> {
        loop {
            let rest = &self.inbox[self.begin + self.walked..];
            if rest.is_empty() {
                return Ok(None);
            }
            let progress = self.scanner.advance(rest).map_err(BackendError::Protocol)?;
            self.walked += progress.used;
            if progress.whole {
                self.scanner = ReplyScanner::default();
                return Ok(Some(std::mem::take(&mut self.walked)));
            }
            if progress.left_out != LeftOut::LineToEnd {
                return Ok(None);
            }
        }
    }

    /// Writes what there is to write, and reads; ready when something has been read.
    fn poll_more(&mut self, cx: &mut Context<'_>, outbox: &Outbox) -> Poll<io::Result<()>> {
        outbox.set_task(cx);
        let mut bytes = outbox.bytes.borrow_mut();
        while !bytes.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, &bytes) {
                Poll::Ready(Ok(count)) => drop(bytes.drain(..count)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if bytes.is_empty() && bytes.capacity() > KEPT_BYTES_MAX {
            *bytes = Vec::new();
        }
        drop(bytes);
        self.make_room();
        let used = self.inbox.len();
        self.inbox.resize(used + READ_BYTES, 0);
        let mut room = ReadBuf::new(&mut self.inbox[used..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let count = room.filled().len();
        self.inbox.truncate(used + count);
        match polled {
            Poll::Ready(Ok(())) if count == 0 => {
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            polled => polled,
        }
    }

    /// Gives back what has been taken.
    fn make_room(&mut self) {
        if self.begin == self.inbox.len() {
            self.inbox.clear();
            if self.inbox.capacity() > KEPT_BYTES_MAX {
                self.inbox = Vec::new();
            }
            self.begin = 0;
        } else if self.begin > 0 {
            self.inbox.drain(..self.begin);
            self.begin = 0;
        }
    }
}

impl Drop for MessageStream {
    fn drop(&mut self) {
        self.stats.connections.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::backend::Identity;

    #[tokio::test]
    async fn frames_come_whole_while_requests_are_written() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity::default();
        let timeout = std::time::Duration::from_secs(60);
        let opened = tokio::join!(Connection::open(address, &identity, timeout), listener.accept());
        let stats = Arc::<NodeStats>::default();
        let mut stream = MessageStream::new(opened.0.unwrap(), Arc::clone(&stats));
        let mut node = opened.1.unwrap().0;
        let outbox = Outbox::default();
        outbox.append(|out| out.extend_from_slice(b"SUBSCRIBE a\r\n"));
        let large = [b"$100000\r\n".as_slice(), &[b'x'; 100_000], b"\r\n"].concat();
        let serve = async {
            let mut request = [0; 13];
            node.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"SUBSCRIBE a\r\n");
            for piece in [b"*2\r\n$1\r\n".as_slice(), b"a\r\n:1\r\n+PONG\r\n", &large] {
                node.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(node);
        };
        let read = async {
            assert_eq!(stream.next(&outbox).await.unwrap(), b"*2\r\n$1\r\na\r\n:1\r\n");
            assert_eq!(stream.next(&outbox).await.unwrap(), b"+PONG\r\n");
            assert_eq!(stream.next(&outbox).await.unwrap(), large);
            assert!(stream.next(&outbox).await.is_err(), "the node has gone");
        };
        tokio::join!(serve, read);
        assert_eq!((stats.connects.get(), stats.connections.get()), (1, 1));
        drop(stream);
        assert_eq!(stats.connections.get(), 0);
    }
}
