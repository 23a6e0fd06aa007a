//! Several nodes' replies on their way to becoming one.
//!
//! Owns the collecting: which parts have come. How they are merged is `merge`'s business.

use std::cell::RefCell;

use super::merge::Merge;

/// A part that comes in one piece up to this size is kept in a buffer with others.
const JOINED_BYTES_MAX: usize = 4096;

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
    merge: Option<Merge>,
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
        Gather {
            state: RefCell::new(State {
                parts: vec![Part::Missing(Vec::new()); count],
                joined: Vec::new(),
                missing: count,
                bytes: 0,
                merge: Some(merge),
            }),
        }
    }

    /// Takes a piece of part `index` that is not its last.
    pub fn piece(&self, index: u32, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        state.bytes += bytes.len();
        if let Some(Part::Missing(part)) = state.parts.get_mut(index as usize) {
            part.extend_from_slice(bytes);
        }
    }

    /// Drops what came of part `index`: it will be asked for again.
    pub fn forget(&self, index: u32) {
        if let Some(Part::Missing(part)) = self.state.borrow_mut().parts.get_mut(index as usize) {
            part.clear();
        }
    }

    /// Takes the last piece of part `index`. With the last part, returns the merged reply and how
    /// many bytes had been gathered for it.
    pub fn finish(&self, index: u32, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut state = self.state.borrow_mut();
        let State { parts, joined, missing, bytes: gathered, merge } = &mut *state;
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
        if *missing > 0 {
            return None;
        }
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.bytes(joined)).collect();
        Some((merge.take()?.apply(&parts), *gathered))
    }
}
