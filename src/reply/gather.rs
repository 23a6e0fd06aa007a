//! Several nodes' replies on their way to becoming one.
//!
//! Owns the collecting: which parts have come. How they are merged is `merge`'s business.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use super::merge::Merge;
use crate::resp::frame::open_array;
use crate::resp::number::{Line, integer_line};

/// A part that comes in one piece up to this size is kept in a buffer with others.
const JOINED_BYTES_MAX: usize = 4096;

/// Bytes that a part of a reply is expected to have: one value, and not a large one.
const PART_BYTES: usize = 32;

/// Bytes of room made for each byte that has come; what a node announces beyond that is not believed.
const ROOM_PER_BYTE: usize = 16;

/// The parts of one split request.
#[derive(Debug)]
pub struct Gather {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    parts: Vec<Part>,
    /// Small parts, one behind the other.
    joined: Vec<u8>,
    missing: usize,
    bytes: usize,
    /// `None`: whoever waits for the parts takes them.
    merge: Option<Merge>,
    waiter: Option<Waker>,
    /// A part's reply is another node's than the map's.
    elsewhere: bool,
}

#[derive(Clone, Debug)]
enum Part {
    /// What has come of it, which is not all.
    Missing(Vec<u8>),
    /// Where it is in `joined`.
    Joined(usize, usize),
    /// All of it.
    Whole(Vec<u8>),
}

impl Part {
    fn bytes<'a>(&'a self, joined: &'a [u8]) -> &'a [u8] {
        match self {
            Part::Joined(start, end) => &joined[*start..*end],
            Part::Missing(bytes) | Part::Whole(bytes) => bytes,
        }
    }
}

impl Gather {
    /// Waits for `count` parts and merges them.
    pub fn new(count: usize, merge: Merge) -> Gather {
        Gather::of(count, Some(merge))
    }

    /// Waits for `count` parts, which somebody [takes](Self::take) then.
    pub fn collecting(count: usize) -> Gather {
        Gather::of(count, None)
    }

    /// Ready when at most so many parts are missing.
    pub fn poll_missing(&self, cx: &mut Context<'_>, at_most: usize) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if state.missing <= at_most {
            return Poll::Ready(());
        }
        state.waiter = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The parts that have come.
    pub fn take(&self) -> Collected {
        let mut state = self.state.borrow_mut();
        let (parts, joined) = (std::mem::take(&mut state.parts), std::mem::take(&mut state.joined));
        Collected { parts, joined, bytes: state.bytes }
    }

    fn of(count: usize, merge: Option<Merge>) -> Gather {
        Gather {
            state: RefCell::new(State {
                parts: vec![Part::Missing(Vec::new()); count],
                joined: Vec::with_capacity((count * PART_BYTES).min(JOINED_BYTES_MAX)),
                missing: count,
                bytes: 0,
                merge,
                waiter: None,
                elsewhere: false,
            }),
        }
    }

    /// Takes a piece of part `index` that is not its last.
    pub fn piece(&self, index: u32, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.bytes += bytes.len();
        if let Some(Part::Missing(part)) = state.parts.get_mut(index as usize) {
            if part.is_empty() {
                part.reserve_exact(announced(bytes).min(bytes.len() * ROOM_PER_BYTE));
            }
            part.extend_from_slice(bytes);
        }
    }

    /// The reply to a part will be another node's than the map's: whoever merges is given one part
    /// more, an empty one.
    pub fn note_elsewhere(&self) {
        self.state.borrow_mut().elsewhere = true;
    }

    /// Drops what came of part `index`: it will be asked for again.
    pub fn forget(&self, index: u32) {
        if let Some(Part::Missing(part)) = self.state.borrow_mut().parts.get_mut(index as usize) {
            part.clear();
        }
    }

    /// Takes the last piece of part `index`. After the last part, returns all of them.
    pub fn finish(&self, index: u32, bytes: &[u8]) -> Option<Gathered> {
        let mut state = self.state.borrow_mut();
        let State { parts, joined, missing, bytes: gathered, .. } = &mut *state;
        let part = parts.get_mut(index as usize)?;
        let Part::Missing(before) = part else { return None };
        *part = if before.is_empty() && bytes.len() <= JOINED_BYTES_MAX {
            let start = joined.len();
            joined.extend_from_slice(bytes);
            Part::Joined(start, joined.len())
        } else {
            before.extend_from_slice(bytes);
            Part::Whole(std::mem::take(before))
        };
        *gathered += bytes.len();
        *missing -= 1;
        let is_last = *missing == 0;
        if let Some(waiter) = state.waiter.take() {
            waiter.wake();
        }
        if !is_last {
            return None;
        }
        let merge = state.merge.take()?;
        let (parts, joined) = (std::mem::take(&mut state.parts), std::mem::take(&mut state.joined));
        Some(Gathered { parts, joined, bytes: state.bytes, merge, elsewhere: state.elsewhere })
    }
}

/// The parts of a gathering that nobody merges.
#[derive(Debug)]
pub struct Collected {
    parts: Vec<Part>,
    joined: Vec<u8>,
    /// How many bytes they have.
    pub bytes: usize,
}

impl Collected {
    /// The parts, in their order.
    pub fn parts(&self) -> Vec<&[u8]> {
        self.parts.iter().map(|part| part.bytes(&self.joined)).collect()
    }
}

/// All parts.
#[derive(Debug)]
pub struct Gathered {
    parts: Vec<Part>,
    joined: Vec<u8>,
    merge: Merge,
    elsewhere: bool,
    /// How many bytes they have.
    pub bytes: usize,
}

impl Gathered {
    /// Gives the merged reply to `out`, piece by piece; the last one comes with `true`.
    pub fn merge(self, out: &mut dyn FnMut(&[u8], bool)) {
        let Gathered { parts, joined, merge, elsewhere, .. } = self;
        let mut parts: Vec<&[u8]> = parts.iter().map(|part| part.bytes(&joined)).collect();
        if elsewhere {
            parts.push(&[]);
        }
        merge.apply(&parts, out);
    }
}

/// How long a part will be that begins so, as far as its first value tells.
fn announced(bytes: &[u8]) -> usize {
    let Some((_, values)) = open_array(bytes) else { return 0 };
    match (values.first(), integer_line(values)) {
        (Some(b'$'), Line::Integer { value, len }) => {
            let header = bytes.len() - values.len() + len;
            usize::try_from(value).map_or(0, |value| value.saturating_add(header + 2))
        }
        _ => 0,
    }
}
