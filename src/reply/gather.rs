//! Several nodes' replies on their way to becoming one.
//!
//! Owns the collecting: which parts have come. How they are merged is `merge`'s business.

use std::cell::RefCell;

use super::merge::Merge;

/// The parts of one split request.
#[derive(Debug)]
pub struct Gather {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    parts: Vec<Vec<u8>>,
    /// Which parts are whole.
    whole: Vec<bool>,
    missing: usize,
    bytes: usize,
    merge: Option<Merge>,
}

impl Gather {
    /// Waits for `count` parts and merges them.
    pub fn new(count: usize, merge: Merge) -> Gather {
        Gather {
            state: RefCell::new(State {
                parts: vec![Vec::new(); count],
                whole: vec![false; count],
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
        if let Some(part) = state.parts.get_mut(index as usize) {
            part.extend_from_slice(bytes);
        }
    }

    /// Drops what came of part `index`: it will be asked for again.
    pub fn forget(&self, index: u32) {
        if let Some(part) = self.state.borrow_mut().parts.get_mut(index as usize) {
            part.clear();
        }
    }

    /// Takes the last piece of part `index`. With the last part, returns the merged reply and how
    /// many bytes had been gathered for it.
    pub fn finish(&self, index: u32, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let mut state = self.state.borrow_mut();
        let index = index as usize;
        if std::mem::replace(state.whole.get_mut(index)?, true) {
            return None;
        }
        state.parts[index].extend_from_slice(bytes);
        state.bytes += bytes.len();
        state.missing -= 1;
        if state.missing > 0 {
            return None;
        }
        let parts = std::mem::take(&mut state.parts);
        let merge = state.merge.take()?;
        Some((merge.apply(parts), state.bytes))
    }
}
