//! The bytes of a client that are not yet requests.
//!
//! Owns where a client's bytes are read into: the worker's scratch buffer as long as whole requests
//! come, a buffer of its own for half ones and for large values. Must not know what they mean.
//! Invariant: a client that sends nothing owns no buffer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::net::ReadHalf;

/// Least room for a half request.
const ROOM_MIN: usize = 4 * 1024;
/// Most room made at once for a value whose length has been announced but not sent.
const ROOM_MAX: usize = 1 << 20;
/// Bytes of room made for each byte that has come.
const ROOM_PER_BYTE: usize = 16;
/// Room beyond a large request, so that a read that brings all of it does not fill its buffer: one
/// that does is followed by one more, which finds nothing.
pub(super) const SLACK_BYTES: usize = 1024;
/// Bytes that are read of a client while its request waits at a node.
const AHEAD_MAX: usize = 64 * 1024;
/// From here on little more than what is missing is read, so that a large request has its buffer
/// to itself.
const ALONE_MIN: usize = 32 * 1024;

/// What a client has sent.
#[derive(Debug)]
pub(super) struct Input {
    reader: ReadHalf,
    /// Bytes read and not used: half a request, or whole ones that had to wait.
    kept: Vec<u8>,
    /// `kept` may hold a whole request.
    unread: bool,
    /// Bytes that the half request in `kept` still needs, at least.
    missing: usize,
    /// Bytes after which it is worth a look.
    look_after: usize,
    /// Length of the last request when it was large, as the next one then probably is; 0 otherwise.
    expected: usize,
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
    /// The bytes of a client of whom `kept` has been read already.
    pub(super) fn new(reader: ReadHalf, kept: Vec<u8>) -> Input {
        let unread = !kept.is_empty();
        Input { reader, kept, unread, missing: 1, look_after: 1, expected: 0 }
    }

    /// The socket's half, and what has been read from it and not used.
    pub(super) fn into_parts(self) -> (ReadHalf, Vec<u8>) {
        (self.reader, self.kept)
    }

    /// Bytes that the half request still needs, at least.
    pub(super) fn missing(&self) -> usize {
        self.missing
    }

    /// Bytes of its buffer.
    pub(super) fn held(&self) -> usize {
        self.kept.capacity()
    }

    /// Whether the client has ended the connection without closing it in good order.
    pub(super) fn is_reset(&self) -> bool {
        let error = self.reader.take_error();
        matches!(error, Ok(Some(error)) if error.kind() == std::io::ErrorKind::ConnectionReset)
    }

    /// Whether the request that has come in part can never be whole: the client has closed its side, or
    /// has gone, and what the system has of it is not enough. What is not read is not seen otherwise.
    pub(super) fn is_forsaken(&self) -> bool {
        let left = || self.reader.received().unwrap_or(u64::MAX);
        let is_closed = self.reader.is_read_closed();
        self.is_reset() || is_closed && left() < self.missing as u64
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

    /// At least so many bytes are missing before the request is whole, and after so many there is
    /// something to see.
    pub(super) fn needs(&mut self, missing: usize, look_after: usize) {
        (self.missing, self.look_after) = (missing, look_after);
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

    /// The last request was a large one.
    pub(super) fn expect_another_of(&mut self, len: usize) {
        self.expected = len;
    }

    /// Keeps bytes of the scratch buffer.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.kept.reserve_exact(bytes.len() + self.room(bytes.len()));
            self.kept.extend_from_slice(bytes);
        }
    }

    /// How much room to make for what is missing when `have` bytes have come: what a client
    /// announces is believed as far as it has sent a part of it, or a request as large before.
    fn room(&self, have: usize) -> usize {
        let believed = if self.expected > 0 { ROOM_MAX } else { have * ROOM_PER_BYTE };
        let most = believed.clamp(ROOM_MIN, ROOM_MAX.max(have));
        (self.missing + SLACK_BYTES).clamp(ROOM_MIN, most)
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

    /// Whether the client has closed its side, whatever it has sent before. What it sends meanwhile is
    /// kept, as far as there is room: a client that sends more than that is not seen to go.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.kept.len() < AHEAD_MAX {
            // A client that sends nothing owns no buffer.
            if ready!(self.reader.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            if self.kept.capacity() - self.kept.len() < ROOM_MIN / 2 {
                self.kept.reserve(ROOM_MIN);
            }
            let mut room = (&mut self.kept).limit(AHEAD_MAX);
            match ready!(poll_read_buf(Pin::new(&mut self.reader), cx, &mut room)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => self.unread = true,
            }
        }
        Poll::Pending
    }

    /// Whether the connection is broken. Otherwise the task wakes when it breaks, unless the client
    /// sends something first.
    pub(super) fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        match ready!(self.reader.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(_) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        }
    }

    /// Reads once.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<Read> {
        if !self.kept.is_empty() {
            return self.poll_read_more(cx);
        }
        if self.expected > 0 {
            return self.poll_read_large(cx);
        }
        let mut buffer = ReadBuf::new(scratch);
        match ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Poll::Ready(Read::End),
            Ok(()) => Poll::Ready(Read::Scratch(buffer.filled().len())),
            Err(_) => Poll::Ready(Read::Broken),
        }
    }

    /// Reads the rest of a half request.
    fn poll_read_more(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if self.kept.capacity() - self.kept.len() < self.missing.min(ROOM_MIN) {
            if self.expected > 0 && ready!(self.reader.poll_read_ready(cx)).is_err() {
                return Poll::Ready(Read::Broken);
            }
            self.kept.reserve_exact(self.room(self.kept.len()));
        }
        let is_large = self.kept.len() + self.missing >= ALONE_MIN;
        let most = if is_large { self.missing + SLACK_BYTES } else { usize::MAX };
        let mut room = (&mut self.kept).limit(most);
        match ready!(poll_read_buf(Pin::new(&mut self.reader), cx, &mut room)) {
            Ok(0) => Poll::Ready(Read::End),
            Ok(count) => {
                self.missing = self.missing.saturating_sub(count);
                self.look_after = self.look_after.saturating_sub(count);
                self.unread = self.look_after == 0;
                self.doubt_what_is_expected();
                Poll::Ready(Read::Kept(count))
            }
            Err(_) => Poll::Ready(Read::Broken),
        }
    }

    /// Reads what is probably a large request into a buffer that can be sent on as it is. The
    /// buffer is made when there is something to be read, and kept when that was worth it.
    fn poll_read_large(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        if ready!(self.reader.poll_read_ready(cx)).is_err() {
            return Poll::Ready(Read::Broken);
        }
        let mut buffer = Vec::with_capacity(self.expected.min(ROOM_MAX) + SLACK_BYTES);
        match ready!(poll_read_buf(Pin::new(&mut self.reader), cx, &mut buffer)) {
            Ok(0) => Poll::Ready(Read::End),
            Ok(count) => {
                (self.kept, self.unread) = (buffer, true);
                self.doubt_what_is_expected();
                self.expected = 0;
                Poll::Ready(Read::Kept(count))
            }
            Err(_) => Poll::Ready(Read::Broken),
        }
    }

    /// A client that has sent little of what there is room for does not get that room again.
    fn doubt_what_is_expected(&mut self) {
        if self.expected > 0 && self.kept.len() * ROOM_PER_BYTE < self.kept.capacity() {
            self.kept.shrink_to_fit();
            self.expected = 0;
        }
    }
}
