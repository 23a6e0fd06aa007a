//! Bytes on their way to one client's socket.
//!
//! Owns their memory: small amounts share one buffer that is kept, a large backlog is a row of
//! blocks, each given back as soon as the socket has taken it. Knows nothing of replies.

use std::collections::VecDeque;

/// Size of a block of the backlog.
const BLOCK_BYTES: usize = 256 * 1024;
/// Shorter ones are copied instead of being taken over.
const OWNED_BYTES_MIN: usize = 4096;
/// Buffers larger than this are given back when they are empty.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A queue of bytes. In one growing buffer a value of 64 MiB for a slow client would take up to
/// twice its size, and all of it until the last byte is written.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Written first, from `written` on; empty only when everything is.
    first: Vec<u8>,
    written: usize,
    /// What follows.
    backlog: VecDeque<Vec<u8>>,
    /// Bytes in `backlog`.
    behind: usize,
}

impl Outgoing {
    /// Adds bytes at the end.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        if self.backlog.is_empty() && self.first.len() + bytes.len() <= BLOCK_BYTES {
            self.first.extend_from_slice(bytes);
        } else {
            self.append_behind(bytes);
        }
    }

    /// Adds bytes at the end by taking over their buffer.
    pub fn append_owned(&mut self, bytes: Vec<u8>) {
        if self.is_empty() && bytes.len() > OWNED_BYTES_MIN {
            (self.first, self.written) = (bytes, 0);
        } else if bytes.len() > BLOCK_BYTES {
            self.behind += bytes.len();
            self.backlog.push_back(bytes);
        } else {
            self.append(&bytes);
        }
    }

    fn append_behind(&mut self, mut bytes: &[u8]) {
        self.behind += bytes.len();
        while !bytes.is_empty() {
            match self.backlog.back_mut() {
                Some(block) if block.len() < block.capacity() => {
                    let (now, later) =
                        bytes.split_at((block.capacity() - block.len()).min(bytes.len()));
                    block.extend_from_slice(now);
                    bytes = later;
                }
                _ => self.backlog.push_back(Vec::with_capacity(BLOCK_BYTES)),
            }
        }
        if self.first.len() == self.written {
            self.next_block();
        }
    }

    /// What is to be written next: a part of what there is, empty only when there is nothing.
    #[inline]
    pub fn ready(&self) -> &[u8] {
        &self.first[self.written..]
    }

    /// The first `count` bytes of [`Self::ready`] have been written.
    #[inline]
    pub fn written(&mut self, count: usize) {
        self.written = (self.written + count).min(self.first.len());
        if self.written == self.first.len() {
            self.next_block();
        }
    }

    fn next_block(&mut self) {
        self.written = 0;
        match self.backlog.pop_front() {
            Some(block) => {
                self.behind -= block.len();
                self.first = block;
            }
            None if self.first.capacity() > KEPT_BYTES_MAX => self.first = Vec::new(),
            None => self.first.clear(),
        }
    }

    /// Bytes in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.first.len() - self.written + self.behind
    }

    /// Whether everything has been written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first.len() == self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Bytes leave as they came, `len` counts them, and an emptied queue keeps little.
        #[test]
        fn keeps_order_and_gives_memory_back(
            steps in prop::collection::vec(
                (prop_oneof![0usize..200, 60_000usize..700_000], any::<bool>(), 0usize..400_000),
                1..12,
            ),
        ) {
            let mut queue = Outgoing::default();
            let (mut came, mut left) = (Vec::new(), Vec::new());
            for (n, (len, owned, taken)) in steps.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 31 + n) as u8).collect();
                came.extend_from_slice(&bytes);
                if owned { queue.append_owned(bytes) } else { queue.append(&bytes) }
                prop_assert_eq!(queue.len(), came.len() - left.len());
                prop_assert_eq!(queue.is_empty(), queue.ready().is_empty());
                let taken = taken.min(queue.ready().len());
                left.extend_from_slice(&queue.ready()[..taken]);
                queue.written(taken);
                prop_assert_eq!(queue.len(), came.len() - left.len());
            }
            while !queue.is_empty() {
                let ready = queue.ready().to_vec();
                queue.written(ready.len());
                left.extend(ready);
            }
            prop_assert!(left == came);
            prop_assert_eq!(queue.len(), 0);
            prop_assert!(queue.first.capacity() <= KEPT_BYTES_MAX && queue.backlog.is_empty());
        }
    }
}
