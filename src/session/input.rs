//! The bytes of a client that are not yet requests.
//!
//! Owns where a client's bytes are read into: the worker's scratch buffer as long as whole requests
//! come, a buffer of its own for half ones and for large values. Must not know what they mean.
//! Invariant: a client that sends nothing owns no buffer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio_util::io::poll_read_buf;

/// Least room for a half request.
const ROOM_MIN: usize = 4 * 1024;
/// Most room made at once for a value whose length has been announced but not sent.
const ROOM_MAX: usize = 1 << 20;
/// Bytes of room made for each byte that has come.
const ROOM_PER_BYTE: usize = 16;
/// From here on exactly what is missing is read, so that a large request fills its buffer alone.
const EXACT_MIN: usize = 32 * 1024;
/// A client whose last request missed more than this is read from with less at first, so that the
/// most of its next one is not copied out of the scratch buffer.
const LARGE_MISSING_MIN: usize = 64 * 1024;
/// That first read.
const FIRST_BYTES_OF_LARGE: usize = 32 * 1024;

/// What a client has sent.
#[derive(Debug)]
pub(super) struct Input {
    reader: OwnedReadHalf,
    /// Bytes read and not used: half a request, or whole ones that had to wait.
    kept: Vec<u8>,
    /// `kept` may hold a whole request.
    unread: bool,
    /// Bytes that the half request in `kept` still needs, at least.
    missing: usize,
    /// The last request came with most of it missing: the next one probably will too.
    expects_large: bool,
}

/// What a read brought.
pub(super) enum Read {
    /// So many bytes in the scratch buffer.
    Scratch(usize),
    /// So many bytes more in the buffer of its own.
    Kept(usize),
    /// The client has closed its side.
    End,
    /// The connection is broken.
    Broken,
}

impl Input {
    pub(super) fn new(reader: OwnedReadHalf) -> Input {
        Input { reader, kept: Vec::new(), unread: false, missing: 1, expects_large: false }
    }

    /// Whether there are bytes to look at before more are read.
    pub(super) fn is_unread(&self) -> bool {
        self.unread
    }

    /// Whether no half request has come.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.kept.is_empty()
    }

    /// Not everything was looked at.
    pub(super) fn mark_unread(&mut self) {
        self.unread = true;
    }

    /// At least so many bytes are missing before the request is whole.
    pub(super) fn needs(&mut self, missing: usize) {
        self.missing = missing;
    }

    /// Takes the bytes to look at.
    pub(super) fn take_kept(&mut self) -> Vec<u8> {
        self.unread = false;
        std::mem::take(&mut self.kept)
    }

    /// Puts the buffer back; its first `used` bytes have been dealt with.
    pub(super) fn give_back(&mut self, mut kept: Vec<u8>, used: usize) {
        if used >= kept.len() {
            return;
        }
        if used > 0 {
            kept.drain(..used);
        }
        self.kept = kept;
    }

    /// Keeps bytes of the scratch buffer.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.expects_large = self.missing >= LARGE_MISSING_MIN;
            self.kept.reserve_exact(bytes.len() + self.room(bytes.len()));
            self.kept.extend_from_slice(bytes);
        }
    }

    /// How much room to make for what is missing when `have` bytes have come: what a client
    /// announces is believed as far as it has sent a part of it.
    fn room(&self, have: usize) -> usize {
        let most = (have * ROOM_PER_BYTE).clamp(ROOM_MIN, ROOM_MAX.max(have));
        self.missing.clamp(ROOM_MIN, most)
    }

    /// Whether the client has closed its side and everything it sent has been read. Otherwise the
    /// task wakes when it does, unless it sends more first.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match ready!(self.reader.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(0) | Err(_) => Poll::Ready(()),
            Ok(_) => Poll::Pending,
        }
    }

    /// Reads once.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Read> {
        if self.kept.is_empty() {
            let most = if self.expects_large { FIRST_BYTES_OF_LARGE } else { scratch.len() };
            let mut buffer = ReadBuf::new(&mut scratch[..most]);
            return match ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => Poll::Ready(Read::End),
                Ok(()) => {
                    self.expects_large &= buffer.filled().len() == most;
                    Poll::Ready(Read::Scratch(buffer.filled().len()))
                }
                Err(_) => Poll::Ready(Read::Broken),
            };
        }
        if self.kept.capacity() - self.kept.len() < self.missing.min(ROOM_MIN) {
            self.kept.reserve_exact(self.room(self.kept.len()));
        }
        let most = if self.missing >= EXACT_MIN { self.missing } else { usize::MAX };
        let mut room = (&mut self.kept).limit(most);
        match ready!(poll_read_buf(Pin::new(&mut self.reader), cx, &mut room)) {
            Ok(0) => Poll::Ready(Read::End),
            Ok(count) => {
                self.missing = self.missing.saturating_sub(count);
                self.unread = self.missing == 0;
                Poll::Ready(Read::Kept(count))
            }
            Err(_) => Poll::Ready(Read::Broken),
        }
    }
}
