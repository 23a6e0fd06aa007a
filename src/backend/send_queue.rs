//! The requests of one node connection: written once, kept until answered.
//!
//! Owns the bytes between "a session appended them" and "their reply has come". What a redirect or
//! a safe retry sends again is taken from here, so that no request needs a second copy. Pure: no
//! socket. Positions count bytes since the connection's first one.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;

use crate::memory::{Budget, Kind, Ledger};

/// Size of an ordinary chunk. A longer request gets a chunk of its own.
const CHUNK_BYTES: usize = 32 * 1024;
/// Ordinary chunks that all queues of a worker together keep for reuse.
const SPARE_MAX: usize = 32;

/// Emptied ordinary chunks, for any queue of the same worker. A chunk given back to the allocator
/// between two bursts would have its pages taken from the process and asked for again.
#[derive(Debug)]
pub struct ChunkPool {
    chunks: RefCell<Vec<Vec<u8>>>,
    /// Where queues tell of the chunks that they use.
    ledger: Rc<Ledger>,
}

impl Default for ChunkPool {
    /// For queues that count for nobody.
    fn default() -> ChunkPool {
        ChunkPool::new(Ledger::new(Arc::new(Budget::new(usize::MAX))))
    }
}

impl ChunkPool {
    /// No chunks yet.
    pub fn new(ledger: Rc<Ledger>) -> ChunkPool {
        ChunkPool { chunks: RefCell::default(), ledger }
    }

    fn take(&self) -> Vec<u8> {
        self.chunks.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES))
    }

    fn note_used(&self, chunk: &Chunk) {
        self.ledger.change(Kind::Requests, chunk.bytes.capacity() as isize);
    }

    fn note_done(&self, chunk: &Chunk) {
        self.ledger.change(Kind::Requests, -(chunk.bytes.capacity() as isize));
    }

    fn give(&self, mut chunk: Vec<u8>) {
        let mut chunk_pool = self.chunks.borrow_mut();
        if chunk.capacity() == CHUNK_BYTES && chunk_pool.len() < SPARE_MAX {
            chunk.clear();
            chunk_pool.push(chunk);
        }
    }
}

/// A queue of bytes in chunks; every request is contiguous in one chunk.
#[derive(Debug, Default)]
pub struct SendQueue {
    chunks: VecDeque<Chunk>,
    chunk_pool: Rc<ChunkPool>,
    /// Position of the end of what has been appended.
    end: u64,
    /// Position of the end of what has been written to the socket.
    sent: u64,
    /// Index of the chunk that holds position `sent`.
    sending: usize,
}

#[derive(Debug)]
struct Chunk {
    start: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl SendQueue {
    /// An empty queue that shares these spare chunks.
    pub fn new(chunk_pool: Rc<ChunkPool>) -> SendQueue {
        SendQueue { chunks: VecDeque::new(), chunk_pool, end: 0, sent: 0, sending: 0 }
    }

    /// Appends a request and returns its position.
    #[inline]
    pub fn append(&mut self, request: &[u8]) -> u64 {
        let at = self.end;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.bytes.capacity() - chunk.bytes.len() >= request.len() => {
                chunk.bytes.extend_from_slice(request);
            }
            _ => self.append_chunk(request),
        }
        self.end += request.len() as u64;
        at
    }

    #[cold]
    fn append_chunk(&mut self, request: &[u8]) {
        let mut bytes = match request.len() {
            ..=CHUNK_BYTES => self.chunk_pool.take(),
            len => Vec::with_capacity(len),
        };
        bytes.extend_from_slice(request);
        self.push(Chunk { start: self.end, bytes });
    }

    fn push(&mut self, chunk: Chunk) {
        self.chunk_pool.note_used(&chunk);
        self.chunks.push_back(chunk);
    }

    /// Appends a request by taking over its buffer.
    pub fn append_owned(&mut self, request: Vec<u8>) -> u64 {
        if request.len() < CHUNK_BYTES {
            return self.append(&request);
        }
        let at = self.end;
        self.end += request.len() as u64;
        self.push(Chunk { start: at, bytes: request });
        at
    }

    /// Bytes kept.
    pub fn bytes(&self) -> usize {
        self.chunks.front().map_or(0, |first| (self.end - first.start) as usize)
    }

    /// Whether nothing waits to be written.
    #[inline]
    pub fn is_sent(&self) -> bool {
        self.sent == self.end
    }

    /// Position up to which bytes have been written to the socket.
    pub fn sent_to(&self) -> u64 {
        self.sent
    }

    /// What waits to be written, as slices; fills `slices` and returns how many.
    pub fn unsent<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let unsent = self.chunks.iter().skip(self.sending).filter(|chunk| chunk.end() > self.sent);
        for (chunk, slot) in unsent.zip(slices.iter_mut()) {
            let from = self.sent.saturating_sub(chunk.start) as usize;
            *slot = IoSlice::new(chunk.bytes.get(from..).unwrap_or(&[]));
            count += 1;
        }
        count
    }

    /// So many more bytes have been written to the socket.
    pub fn note_sent(&mut self, count: usize) {
        self.sent = (self.sent + count as u64).min(self.end);
        while self.sending + 1 < self.chunks.len() && self.chunks[self.sending].end() <= self.sent {
            self.sending += 1;
        }
    }

    /// Everything before `position` has been answered and can go.
    #[inline]
    pub fn release_before(&mut self, position: u64) {
        let position = position.min(self.end);
        while self.chunks.len() > 1 && self.chunks[0].end() <= position {
            self.drop_first();
        }
        if position == self.end
            && let Some(only) = self.chunks.front_mut()
        {
            if only.bytes.capacity() > CHUNK_BYTES {
                self.drop_first();
            } else {
                only.bytes.clear();
                only.start = self.end;
            }
        }
    }

    fn drop_first(&mut self) {
        if let Some(chunk) = self.chunks.pop_front() {
            self.sending = self.sending.saturating_sub(1);
            self.chunk_pool.note_done(&chunk);
            self.chunk_pool.give(chunk.bytes);
        }
    }

    /// The request of `len` bytes that was appended last.
    pub fn last(&self, len: usize) -> &[u8] {
        let last = self.chunks.back().map_or(&[][..], |chunk| &chunk.bytes);
        last.len().checked_sub(len).map_or(&[], |from| &last[from..])
    }

    /// The request of `len` bytes at `position`.
    pub fn get(&self, position: u64, len: usize) -> &[u8] {
        let found =
            self.chunks.iter().find(|chunk| position < chunk.end() && position >= chunk.start);
        found
            .and_then(|chunk| {
                let from = (position - chunk.start) as usize;
                chunk.bytes.get(from..from + len)
            })
            .unwrap_or(&[])
    }
}

impl Drop for SendQueue {
    fn drop(&mut self) {
        self.chunks.iter().for_each(|chunk| self.chunk_pool.note_done(chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(send_queue: &mut SendQueue, most: usize) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 4];
        let count = send_queue.unsent(&mut slices);
        let mut bytes: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
        bytes.truncate(most);
        send_queue.note_sent(bytes.len());
        bytes
    }

    proptest! {
        /// Bytes leave as they were appended, requests stay readable until released, and a queue
        /// that has been emptied keeps at most one ordinary chunk in use.
        #[test]
        fn keeps_bytes_in_order(
            sizes in prop::collection::vec(prop_oneof![1usize..100, 30_000usize..70_000], 1..40),
            takes in prop::collection::vec(0usize..90_000, 1..40),
            owned in any::<bool>(),
        ) {
            let mut send_queue = SendQueue::default();
            let (mut appended, mut sent) = (Vec::new(), Vec::new());
            let mut requests = std::collections::VecDeque::new();
            for (n, (size, most)) in sizes.iter().zip(takes.iter().cycle()).enumerate() {
                let request: Vec<u8> = (0..*size).map(|i| (i * 7 + n) as u8).collect();
                appended.extend_from_slice(&request);
                let at = match owned {
                    true => send_queue.append_owned(request.clone()),
                    false => send_queue.append(&request),
                };
                requests.push_back((at, request));
                sent.extend(take(&mut send_queue, *most));
                for (at, request) in &requests {
                    prop_assert_eq!(send_queue.get(*at, request.len()), &request[..]);
                }
                while requests.front().is_some_and(|(at, r)| at + r.len() as u64 <= send_queue.sent_to()) {
                    requests.pop_front();
                    send_queue.release_before(requests.front().map_or(u64::MAX, |(at, _)| *at));
                }
            }
            while !send_queue.is_sent() {
                sent.extend(take(&mut send_queue, usize::MAX));
            }
            prop_assert_eq!(sent, appended);
            send_queue.release_before(u64::MAX);
            prop_assert_eq!(send_queue.bytes(), 0);
            prop_assert!(send_queue.chunks.len() <= 1);
        }
    }
}
