//! Replies leave a client's connection in the order its requests came.
//!
//! Owns the order, and the bytes that wait for their turn or for the socket. Knows nothing of what
//! a reply means or where it comes from. Invariants: a reply's bytes reach `out` only when every
//! earlier request has been answered in full; what nobody asked for ([`ReplyQueue::push`]) comes
//! between two replies, never within one, and in the order in which it was pushed.

use std::collections::VecDeque;

use super::outgoing::Outgoing;

/// A reply up to this size that comes before its turn waits in the common side buffer.
const SIDE_BYTES_MAX: usize = 4096;
/// Most bytes in that buffer: a place says in 32 bits where its reply is.
const SIDE_MAX: usize = 1 << 30;
/// Buffers larger than this are given back when they are empty.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// The replies of one client that are still to come or still to be written.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    /// Sequence number of the oldest request that is not answered in full.
    front: u64,
    /// One place per unanswered request, the oldest first.
    places: VecDeque<Place>,
    /// Small replies that came before their turn, one behind the other.
    side: Vec<u8>,
    /// How many places point into `side`, and to how many of its bytes.
    in_side: usize,
    side_live: usize,
    /// How many places have been answered in full before their turn.
    early: usize,
    /// Bytes in places of their own.
    in_places: usize,
    /// Part of the front reply is in `out` already.
    is_within_reply: bool,
    /// Messages that nobody asked for and that may not be written yet.
    pushes: VecDeque<Push>,
    /// Bytes in them.
    in_pushes: usize,
    /// In order and ready to be written, from `written` on.
    out: Outgoing,
}

/// A message that waits for replies to go first.
#[derive(Debug)]
struct Push {
    /// All replies before this one go first.
    not_before: u64,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Place {
    Waiting,
    /// Nobody will read this reply (`CLIENT REPLY OFF`): its bytes are dropped.
    Muted,
    /// Answered in full; where the bytes are in the side buffer.
    Side(u32, u32),
    /// Bytes of its own. Boxed, for a place that is small: clients with many requests under way
    /// have many.
    Own(Box<EarlyReply>),
    /// A muted place that has been answered.
    Done,
}

/// A reply that has come before its turn.
#[derive(Debug)]
struct EarlyReply {
    bytes: Vec<u8>,
    whole: bool,
}

impl ReplyQueue {
    /// Takes the next place in line and returns its number.
    #[inline]
    pub fn take_seq(&mut self) -> u64 {
        self.places.push_back(Place::Waiting);
        self.next_seq() - 1
    }

    /// Takes the next place in line for a reply that nobody will read.
    pub fn take_muted_seq(&mut self) -> u64 {
        self.places.push_back(Place::Muted);
        self.next_seq() - 1
    }

    /// The number of the oldest request that is not answered in full.
    #[inline]
    pub fn front(&self) -> u64 {
        self.front
    }

    /// The number of the next reply handle.
    #[inline]
    pub fn next_seq(&self) -> u64 {
        self.front + self.places.len() as u64
    }

    /// How many requests are not answered in full.
    #[inline]
    pub fn unanswered(&self) -> usize {
        self.places.len()
    }

    /// How many requests have no full answer yet, whether or not its turn has come.
    pub fn under_way(&self) -> usize {
        self.places.len() - self.early
    }

    /// Whether this request has been answered in full.
    pub fn is_answered(&self, seq: u64) -> bool {
        match seq.checked_sub(self.front) {
            None => true,
            Some(behind) => match self.places.get(behind as usize) {
                None | Some(Place::Waiting | Place::Muted) => false,
                Some(Place::Own(held)) => held.whole,
                Some(Place::Side(..) | Place::Done) => true,
            },
        }
    }

    /// Whether the bytes of this reply would come next, behind those that are ready.
    #[inline]
    pub fn is_front(&self, seq: u64) -> bool {
        seq == self.front && matches!(self.places.front(), Some(Place::Waiting))
    }

    /// Takes a piece of a reply; `whole` says that the reply ends with it.
    #[inline]
    pub fn deliver(&mut self, seq: u64, bytes: &[u8], whole: bool) {
        if seq == self.front {
            match self.places.front() {
                Some(Place::Waiting) => {
                    self.out.append(bytes);
                    self.is_within_reply = !whole;
                }
                Some(Place::Own(..)) => {
                    self.promote_front(bytes);
                    self.is_within_reply = !whole;
                }
                _ => {}
            }
            if whole && self.places.pop_front().is_some() {
                self.front += 1;
                self.advance();
            }
            return;
        }
        self.keep(seq, bytes, whole);
    }

    /// Takes a message that nobody asked for. It is written between two replies, behind all replies
    /// before `not_before` and behind all messages that were pushed earlier.
    pub fn push(&mut self, bytes: &[u8], not_before: u64) {
        let may_go = self.pushes.is_empty() && not_before <= self.front && !self.is_within_reply;
        if may_go {
            return self.out.append(bytes);
        }
        let earliest = self.front + u64::from(self.is_within_reply);
        let behind = self.pushes.back().map_or(earliest, |last| last.not_before);
        self.in_pushes += bytes.len();
        self.pushes.push_back(Push { not_before: not_before.max(behind), bytes: bytes.to_vec() });
    }

    /// Moves the messages whose time has come to `out`; at the border of two replies.
    #[cold]
    fn release_pushes(&mut self) {
        while self.pushes.front().is_some_and(|push| push.not_before <= self.front) {
            let Some(Push { bytes, .. }) = self.pushes.pop_front() else { return };
            self.in_pushes -= bytes.len();
            self.out.append_owned(bytes);
        }
    }

    /// The front place has collected bytes before its turn came: they go first.
    fn promote_front(&mut self, bytes: &[u8]) {
        if let Some(Place::Own(held)) = self.places.front_mut() {
            let held = std::mem::take(&mut held.bytes);
            self.in_places -= held.len();
            self.out.append_owned(held);
            self.out.append(bytes);
            self.places[0] = Place::Waiting;
        }
    }

    /// Keeps a piece whose turn has not come.
    fn keep(&mut self, seq: u64, bytes: &[u8], whole: bool) {
        let Some(behind) = seq.checked_sub(self.front) else { return };
        let Some(place) = self.places.get_mut(behind as usize) else { return };
        match place {
            Place::Waiting
                if whole && bytes.len() <= SIDE_BYTES_MAX && self.side.len() < SIDE_MAX =>
            {
                *place = Place::Side(self.side.len() as u32, bytes.len() as u32);
                self.side.extend_from_slice(bytes);
                self.in_side += 1;
                self.side_live += bytes.len();
                if self.side.len() > 2 * self.side_live + KEPT_BYTES_MAX {
                    self.compact_side();
                }
            }
            Place::Waiting => {
                self.in_places += bytes.len();
                *place = Place::Own(Box::new(EarlyReply { bytes: bytes.to_vec(), whole }));
            }
            Place::Own(held) if !held.whole => {
                self.in_places += bytes.len();
                held.bytes.extend_from_slice(bytes);
                held.whole = whole;
            }
            Place::Muted if whole => *place = Place::Done,
            Place::Muted | Place::Own(..) | Place::Side(..) | Place::Done => return,
        }
        self.early += usize::from(whole);
    }

    /// A stream that never runs dry never empties the side buffer: its dead part is cut out here.
    fn compact_side(&mut self) {
        let mut live = Vec::with_capacity(self.side_live);
        for place in &mut self.places {
            if let Place::Side(start, len) = place {
                let moved = live.len() as u32;
                live.extend_from_slice(&self.side[*start as usize..(*start + *len) as usize]);
                *start = moved;
            }
        }
        self.side = live;
    }

    /// Moves what now has its turn to `out`.
    #[inline]
    fn advance(&mut self) {
        loop {
            if !self.pushes.is_empty() {
                self.release_pushes();
            }
            match self.places.front_mut() {
                Some(Place::Side(start, len)) => {
                    let (start, end) = (*start as usize, (*start + *len) as usize);
                    self.out.append(&self.side[start..end]);
                    self.in_side -= 1;
                    self.side_live -= end - start;
                    if self.in_side == 0 {
                        empty(&mut self.side);
                    }
                }
                Some(Place::Own(held)) => {
                    let (bytes, whole) = (std::mem::take(&mut held.bytes), held.whole);
                    self.in_places -= bytes.len();
                    self.out.append_owned(bytes);
                    if !whole {
                        self.places[0] = Place::Waiting;
                        self.is_within_reply = true;
                        return;
                    }
                }
                Some(Place::Done) => {}
                Some(Place::Waiting | Place::Muted) | None => return,
            }
            self.places.pop_front();
            self.early -= 1;
            self.front += 1;
        }
    }

    /// What is ready to be written next; empty only when nothing is.
    #[inline]
    pub fn ready(&self) -> &[u8] {
        self.out.ready()
    }

    /// How many bytes can be written, [`Self::ready`] and behind it.
    #[inline]
    pub fn ready_len(&self) -> usize {
        self.out.len()
    }

    /// The first `count` bytes of [`Self::ready`] have been written.
    #[inline]
    pub fn written(&mut self, count: usize) {
        self.out.written(count);
    }

    /// Bytes held for this client, in order and out of order.
    #[inline]
    pub fn buffered(&self) -> usize {
        self.out.len() + self.side.len() + self.in_places + self.in_pushes
    }
}

#[inline]
fn empty(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT_BYTES_MAX {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(queue: &mut ReplyQueue) -> Vec<u8> {
        let mut all = Vec::new();
        while !queue.ready().is_empty() {
            let ready = queue.ready().to_vec();
            queue.written(ready.len());
            all.extend(ready);
        }
        all
    }

    #[test]
    fn a_reply_waits_for_those_before_it() {
        let mut queue = ReplyQueue::default();
        let (a, b, c) = (queue.take_seq(), queue.take_seq(), queue.take_seq());
        queue.deliver(c, b"c", true);
        queue.deliver(b, b"b1", false);
        assert_eq!(queue.ready(), b"");
        assert!(queue.is_answered(c) && !queue.is_answered(b) && !queue.is_answered(a));
        assert_eq!((queue.unanswered(), queue.under_way()), (3, 2));
        queue.deliver(a, b"a", true);
        assert_eq!(drain(&mut queue), b"ab1");
        queue.deliver(b, b"b2", true);
        assert_eq!(drain(&mut queue), b"b2c");
        assert_eq!((queue.unanswered(), queue.buffered()), (0, 0));
    }

    #[test]
    fn muted_replies_leave_nothing() {
        let mut queue = ReplyQueue::default();
        let (a, b, c) = (queue.take_muted_seq(), queue.take_muted_seq(), queue.take_seq());
        queue.deliver(c, b"c", true);
        queue.deliver(b, b"bb", false);
        queue.deliver(b, b"bb", true);
        assert_eq!(queue.ready(), b"");
        queue.deliver(a, b"a", true);
        assert_eq!(drain(&mut queue), b"c");
    }

    #[test]
    fn a_push_comes_between_replies_and_not_before_its_turn() {
        let mut queue = ReplyQueue::default();
        queue.push(b"<0>", 0);
        let (a, b, c) = (queue.take_seq(), queue.take_seq(), queue.take_seq());
        queue.push(b"<1>", 0);
        assert_eq!(drain(&mut queue), b"<0><1>");
        queue.deliver(a, b"a1", false);
        queue.push(b"<2>", 0);
        queue.push(b"<3>", c);
        // Not before the one pushed earlier.
        queue.push(b"<4>", 0);
        assert_eq!(drain(&mut queue), b"a1");
        assert_eq!(queue.buffered(), 9);
        queue.deliver(c, b"c", true);
        queue.deliver(a, b"a2", true);
        assert_eq!(drain(&mut queue), b"a2<2>");
        queue.deliver(b, b"b", true);
        assert_eq!(drain(&mut queue), b"b<3><4>c");
        // A reply whose first part came before its turn.
        let (d, e) = (queue.take_seq(), queue.take_seq());
        queue.deliver(e, b"e1", false);
        queue.deliver(d, b"d", true);
        queue.push(b"<5>", 0);
        queue.deliver(e, b"e2", true);
        assert_eq!(drain(&mut queue), b"de1e2<5>");
        assert_eq!((queue.unanswered(), queue.buffered()), (0, 0));
    }

    #[test]
    fn memory_is_given_back() {
        let mut queue = ReplyQueue::default();
        let (a, b) = (queue.take_seq(), queue.take_seq());
        queue.deliver(b, &vec![1; 1 << 20], true);
        queue.deliver(a, &vec![2; 1 << 20], true);
        assert_eq!(queue.buffered(), 2 << 20);
        assert_eq!(drain(&mut queue).len(), 2 << 20);
        assert_eq!(queue.buffered(), 0);
    }

    #[test]
    fn an_endless_stream_out_of_order_stays_small() {
        let mut queue = ReplyQueue::default();
        let mut oldest = queue.take_seq();
        for _ in 0..10_000 {
            let (later, latest) = (queue.take_seq(), queue.take_seq());
            queue.deliver(latest, &[7; 100], true);
            queue.deliver(oldest, b"x", true);
            oldest = later;
            drain(&mut queue);
        }
        assert!(queue.side.capacity() <= 4 * KEPT_BYTES_MAX);
    }

    proptest! {
        /// Whatever the order and the pieces in which replies come, they leave as asked.
        #[test]
        fn order_is_kept(
            replies in prop::collection::vec(prop::collection::vec(b'a'..=b'z', 1..9000), 1..12),
            picks in prop::collection::vec((any::<prop::sample::Index>(), 1usize..6000), 1..200),
            takes in prop::collection::vec(0usize..9000, 1..20),
        ) {
            let mut queue = ReplyQueue::default();
            let handles: Vec<u64> = replies.iter().map(|_| queue.take_seq()).collect();
            let mut given = vec![0; replies.len()];
            let (mut written, mut takes) = (Vec::new(), takes.into_iter().cycle());
            let mut pushed = 0;
            let all = (0..replies.len()).map(|n| (n, usize::MAX));
            let picks = picks.iter().map(|(index, size)| (index.index(replies.len()), *size));
            for (n, size) in picks.chain(all) {
                if given[n] == replies[n].len() {
                    continue;
                }
                let end = given[n].saturating_add(size).min(replies[n].len());
                queue.deliver(handles[n], &replies[n][given[n]..end], end == replies[n].len());
                given[n] = end;
                if size % 3 == 0 {
                    pushed += 1;
                    let not_before = (size / 3 % (replies.len() + 1)) as u64;
                    queue.push(format!("<{pushed}>").as_bytes(), not_before);
                }
                let take = takes.next().unwrap_or(0).min(queue.ready().len());
                written.extend_from_slice(&queue.ready()[..take]);
                queue.written(take);
            }
            written.extend_from_slice(&drain(&mut queue));
            let (text, mut count, mut reply_bytes) = (String::from_utf8(written).unwrap(), 0, 0);
            let borders: Vec<usize> = replies.iter().scan(0, |end, reply| {
                *end += reply.len();
                Some(*end)
            }).collect();
            let mut answered = String::new();
            for part in text.split_inclusive('>') {
                let (reply, push) = part.split_once('<').unwrap_or((part, ""));
                answered += reply;
                reply_bytes += reply.len();
                if !push.is_empty() {
                    count += 1;
                    prop_assert_eq!(push, format!("{count}>"));
                    prop_assert!(reply_bytes == 0 || borders.contains(&reply_bytes));
                }
            }
            prop_assert_eq!(answered.into_bytes(), replies.concat());
            prop_assert_eq!(count, pushed);
            prop_assert_eq!((queue.unanswered(), queue.buffered()), (0, 0));
            prop_assert_eq!(queue.under_way(), 0);
        }
    }
}
