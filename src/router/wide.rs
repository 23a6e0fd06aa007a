//! Requests with very many keys: taken apart, sent and put together a little at a time.
//!
//! Owns such a request from its bytes to its reply. It is what [`super::plan`] does for ordinary ones,
//! in slices of about a millisecond with everybody else's turn between them, and with a limit on the
//! parts that are under way. The caller sees to it that nothing else of the same client is.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;

use tokio::task::yield_now;

use super::Router;
use super::fanout::Asker;
use crate::backend::Pipeline;
use crate::config::CrossSlot;
use crate::metrics::Outcome;
use crate::reply::handle::RequestMeta;
use crate::reply::merge::Merge;
use crate::reply::{ClientWriter, Gather, ReplyHandle, texts};
use crate::resp::frame::{open_array, split_frame};
use crate::resp::{Args, write};
use crate::slot::{SLOTS, Slot};

/// Requests with at least so many words are wide.
pub const WORDS_MIN: usize = 2048;
/// Keys dealt with in one slice.
const KEYS_PER_SLICE: usize = 8192;
/// Bytes written in one slice.
const BYTES_PER_SLICE: usize = 256 * 1024;
/// Parts of one request under way at once.
const PARTS_MAX: usize = 256;

/// A request of many keys, which owns its bytes.
#[derive(Debug)]
pub struct Wide {
    /// Whose it is.
    pub asker: Asker,
    /// The request.
    pub request: Vec<u8>,
    /// Where its words are.
    pub ranges: Vec<(u32, u32)>,
    /// Words for each key, the key included.
    pub group_len: u32,
    /// How the replies to its parts become one.
    pub merge: Merge,
}

/// The keys by their slots.
struct Sorted {
    /// The number of each key, slot by slot, in the request's order within a slot.
    keys: Vec<u32>,
    /// Where the keys of each slot that has some are in `keys`.
    parts: Vec<(Slot, usize, usize)>,
}

impl Wide {
    fn args(&self) -> Args<'_> {
        Args::new(&self.request, &self.ranges)
    }

    /// Writes the request of these keys.
    fn write_part(&self, keys: &[u32], out: &mut Vec<u8>) {
        let group_len = self.group_len as usize;
        write::array_len(out, 1 + keys.len() * group_len);
        out.extend_from_slice(self.args().as_sent(0, 1));
        for key in keys {
            let word = 1 + *key as usize * group_len;
            out.extend_from_slice(self.args().as_sent(word, word + group_len));
        }
    }
}

impl Sorted {
    /// Sorts the keys by slot, by counting them; each has `group_len` words with it.
    async fn of(args: Args<'_>, group_len: u32) -> Sorted {
        let group_len = group_len as usize;
        let count = (args.len() - 1) / group_len;
        let (mut slots, mut ends) = (Vec::with_capacity(count), vec![0usize; SLOTS + 1]);
        for key in 0..count {
            let slot = Slot::of(args.get(1 + key * group_len)).index();
            slots.push(slot as u16);
            ends[slot + 1] += 1;
            if slots.len().is_multiple_of(KEYS_PER_SLICE) {
                yield_now().await;
            }
        }
        for slot in 0..SLOTS {
            ends[slot + 1] += ends[slot];
        }
        let slot = |index: usize| Slot::new(index as u64).filter(|_| ends[index] < ends[index + 1]);
        let parts =
            (0..SLOTS).filter_map(|index| Some((slot(index)?, ends[index], ends[index + 1])));
        let parts: Vec<_> = parts.collect();
        let mut keys = vec![0; count];
        for (key, slot) in (0u32..).zip(slots) {
            let place = &mut ends[usize::from(slot)];
            keys[*place] = key;
            *place += 1;
            if (key as usize).is_multiple_of(KEYS_PER_SLICE) {
                yield_now().await;
            }
        }
        Sorted { keys, parts }
    }
}

impl Router {
    /// Sends a request of many keys in parts, and answers the client.
    pub async fn send_wide(self: Rc<Self>, wide: Wide) {
        self.stats().split.add(1);
        let sorted = Sorted::of(wide.args(), wide.group_len).await;
        if sorted.parts.len() > 1 && self.cross_slot() == CrossSlot::Refuse {
            self.stats().cross_slot.add(1);
            let Asker { writer, seq, meta, .. } = &wide.asker;
            return self.fail(writer, *seq, meta.command, texts::CROSS_SLOT);
        }
        let gather = Rc::new(Gather::collecting(sorted.parts.len()));
        self.send_parts(&wide, &sorted, &gather).await;
        std::future::poll_fn(|cx| gather.poll_missing(cx, 0)).await;
        // The request is not needed any more; where its keys are is.
        let Wide { asker, ranges, merge, .. } = wide;
        drop(ranges);
        self.answer_wide(&asker, merge, (&sorted, &gather)).await;
    }

    async fn send_parts(&self, wide: &Wide, sorted: &Sorted, gather: &Rc<Gather>) {
        let Asker { writer, seq, meta, protocol } = &wide.asker;
        let total = sorted.parts.len();
        let mut written = 0;
        for (index, (slot, start, end)) in sorted.parts.iter().enumerate() {
            // Those that have not been sent are missing too.
            let missing = total - index + PARTS_MAX;
            std::future::poll_fn(|cx| gather.poll_missing(cx, missing)).await;
            if writer.is_closed() {
                return;
            }
            let mut request = Vec::new();
            wide.write_part(&sorted.keys[*start..*end], &mut request);
            written += request.len();
            let meta = RequestMeta { slot: *slot, ..*meta };
            let part = Rc::clone(gather);
            let handle = ReplyHandle::part(Rc::clone(writer), *seq, meta, part, index as u32);
            let full = self.send_owned(handle, *protocol, request);
            if let Some(pipeline) = full {
                wait_for_room(&pipeline, writer).await;
            }
            if written >= BYTES_PER_SLICE {
                written = 0;
                yield_now().await;
            }
        }
    }

    async fn answer_wide(&self, asker: &Asker, merge: Merge, (sorted, gather): (&Sorted, &Gather)) {
        let Asker { writer, seq, meta, .. } = asker;
        let gathered = gather.take();
        writer.note_merged(gathered.bytes);
        let parts = gathered.parts();
        let has_error = parts.iter().any(|part| part.first() == Some(&b'-'));
        let first = RefCell::new(None);
        let deliver = |piece: &[u8], whole| {
            first.borrow_mut().get_or_insert(piece.first().copied());
            writer.deliver(*seq, piece, whole);
        };
        let is_whole = match merge {
            Merge::InKeyOrder(_) if !has_error => give_in_key_order(sorted, &parts, &deliver).await,
            merge => {
                merge.apply(&parts, &mut |piece, whole| deliver(piece, whole));
                true
            }
        };
        if !is_whole {
            // What has been given cannot be taken back.
            writer.cut(crate::reply::CloseReason::HalfReply);
        }
        let is_error = first.into_inner().flatten() == Some(b'-');
        self.note_answered(*meta, if is_error { Outcome::Error } else { Outcome::Ok });
    }
}

/// Returns when a node has answered most of what it was asked.
async fn wait_for_room(pipeline: &Pipeline, writer: &Rc<ClientWriter>) {
    let mut wait = None;
    std::future::poll_fn(|cx| {
        if pipeline.has_room_for(writer, PARTS_MAX, 0) {
            pipeline.use_turn(writer);
            return Poll::Ready(());
        }
        pipeline.wake_when_room(writer, (PARTS_MAX, 0), cx.waker());
        wait.get_or_insert_with(|| pipeline.begin_wait());
        Poll::Pending
    })
    .await;
}

/// Gives the values of all parts in the order of the keys; `false` when a part has not as many as it
/// has keys. All parts are looked at before anything is given.
async fn give_in_key_order(
    sorted: &Sorted,
    parts: &[&[u8]],
    deliver: &dyn Fn(&[u8], bool),
) -> bool {
    let mut part_of = vec![0u16; sorted.keys.len()];
    let mut rests = Vec::with_capacity(parts.len());
    for (index, (part, (_, start, end))) in parts.iter().zip(&sorted.parts).enumerate() {
        match open_array(part) {
            Some((count, rest)) if count == end - start => rests.push(rest),
            _ => {
                deliver(&texts::frame(texts::UNMERGEABLE), true);
                return true;
            }
        }
        for key in &sorted.keys[*start..*end] {
            part_of[*key as usize] = index as u16;
        }
        if index.is_multiple_of(256) {
            yield_now().await;
        }
    }
    let mut piece = Vec::with_capacity(BYTES_PER_SLICE);
    write::array_len(&mut piece, part_of.len());
    let last = part_of.len().saturating_sub(1);
    for (key, part) in part_of.iter().enumerate() {
        let Some((value, rest)) = split_frame(rests[usize::from(*part)]) else { return false };
        rests[usize::from(*part)] = rest;
        piece.extend_from_slice(value);
        if piece.len() >= BYTES_PER_SLICE || key == last {
            deliver(&piece, key == last);
            piece.clear();
        }
        if key.is_multiple_of(KEYS_PER_SLICE) {
            yield_now().await;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    /// The words one behind the other, and where each is.
    fn words(words: &[String]) -> (Vec<u8>, Vec<(u32, u32)>) {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for word in words {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(word.as_bytes());
            ranges.push((start, bytes.len() as u32));
        }
        (bytes, ranges)
    }

    fn merged(sorted: &Sorted, parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let out = RefCell::new((Vec::new(), false));
        let is_whole = block_on(give_in_key_order(sorted, parts, &|piece, whole| {
            let mut out = out.borrow_mut();
            assert!(!out.1, "something behind the end");
            out.0.extend_from_slice(piece);
            out.1 = whole;
        }));
        let (bytes, ended) = out.into_inner();
        (bytes, is_whole && ended)
    }

    proptest! {
        /// Every key is in the part of its slot, once, and the parts' values are given in the order
        /// of the keys.
        #[test]
        fn what_is_taken_apart_is_put_together(
            keys in prop::collection::vec("[a-c]{1,3}", 1..400),
            group_len in 1u32..3,
        ) {
            let all: Vec<String> = ["WORD".to_owned()].into_iter()
                .chain(keys.iter().flat_map(|key| {
                    std::iter::once(key.clone()).chain((1..group_len).map(|_| "value".to_owned()))
                }))
                .collect();
            let (bytes, ranges) = words(&all);
            let sorted = block_on(Sorted::of(Args::new(&bytes, &ranges), group_len));
            let mut replies = Vec::new();
            for (slot, start, end) in &sorted.parts {
                let mut reply = Vec::new();
                write::array_len(&mut reply, end - start);
                for key in &sorted.keys[*start..*end] {
                    let key = &keys[*key as usize];
                    prop_assert_eq!(Slot::of(key.as_bytes()), *slot);
                    write::bulk(&mut reply, format!("value of {key}").as_bytes());
                }
                replies.push(reply);
            }
            let parts: Vec<&[u8]> = replies.iter().map(Vec::as_slice).collect();
            let mut want = Vec::new();
            write::array_len(&mut want, keys.len());
            for key in &keys {
                write::bulk(&mut want, format!("value of {key}").as_bytes());
            }
            prop_assert_eq!(merged(&sorted, &parts), (want, true));
        }
    }

    #[test]
    fn parts_of_another_shape_are_an_error_before_anything_is_given() {
        let (bytes, ranges) = words(&["WORD", "a", "b"].map(str::to_owned));
        let sorted = block_on(Sorted::of(Args::new(&bytes, &ranges), 1));
        for parts in [[&b"*1\r\n:1\r\n"[..], b"*2\r\n:1\r\n:1\r\n"], [b"*1\r\n:1\r\n", b":1\r\n"]] {
            assert_eq!(merged(&sorted, &parts), (texts::frame(texts::UNMERGEABLE), true));
        }
        // What is no reply at all never gets here whole.
        let parts = [&b"*1\r\n:1\r\n"[..], b"*1\r\n$9\r\na\r\n"];
        assert!(!merged(&sorted, &parts).1);
    }
}
