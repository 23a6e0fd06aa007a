//! Messages for a client from clients of other workers: which keys have changed.
//!
//! Owns what waits until the client's session takes it. It may be posted from any thread. Bounded: more
//! than is kept becomes one message that everything may have changed, which says no less.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::backend::Invalidation;

/// Bytes that wait; further ones become one message.
const BYTES_MAX: usize = 1 << 20;
/// What a message costs beside its bytes.
const MESSAGE_BYTES: usize = 64;

/// A message: an array of keys, or that all may have changed.
pub type Letter = Option<Box<[u8]>>;

/// The messages for one client.
#[derive(Debug, Default)]
pub struct Mailbox {
    has_mail: AtomicBool,
    letters: Mutex<Letters>,
}

#[derive(Debug, Default)]
struct Letters {
    waiting: Vec<Letter>,
    bytes: usize,
    /// The client has gone.
    is_closed: bool,
}

impl Mailbox {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message. Says whether the client is still there.
    pub fn post(&self, what: Invalidation<'_>) -> bool {
        let mut letters = self.letters();
        if letters.is_closed {
            return false;
        }
        match what {
            Invalidation::Keys(keys) if letters.bytes + keys.len() <= BYTES_MAX => {
                letters.bytes += keys.len() + MESSAGE_BYTES;
                letters.waiting.push(Some(keys.into()));
            }
            _ => {
                // It covers what was said before.
                (letters.waiting, letters.bytes) = (vec![None], MESSAGE_BYTES);
            }
        }
        self.has_mail.store(true, Ordering::Release);
        true
    }

    /// Whether there may be messages.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Relaxed)
    }

    /// Takes all messages, the oldest first.
    pub fn take(&self) -> Vec<Letter> {
        let mut letters = self.letters();
        self.has_mail.store(false, Ordering::Release);
        letters.bytes = 0;
        std::mem::take(&mut letters.waiting)
    }

    /// The client has gone: nothing more is taken for it.
    pub fn close(&self) {
        *self.letters() = Letters { is_closed: true, ..Letters::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_wait_in_order_and_not_without_limit() {
        let mailbox = Mailbox::default();
        assert!(!mailbox.has_mail());
        for keys in [b"a", b"b"] {
            assert!(mailbox.post(Invalidation::Keys(keys)));
        }
        assert!(mailbox.has_mail());
        let letters = mailbox.take();
        assert_eq!(letters, [Some(Box::from(&b"a"[..])), Some(Box::from(&b"b"[..]))]);
        assert!(!mailbox.has_mail() && mailbox.take().is_empty());

        mailbox.post(Invalidation::Keys(b"a"));
        mailbox.post(Invalidation::All);
        assert_eq!(mailbox.take(), [None]);
        for _ in 0..20_000 {
            mailbox.post(Invalidation::Keys(&[b'k'; 1000]));
        }
        let letters = mailbox.take();
        assert!(letters[0].is_none() && letters.len() < 2000);
        mailbox.close();
        assert!(!mailbox.post(Invalidation::All) && mailbox.take().is_empty());
    }
}
