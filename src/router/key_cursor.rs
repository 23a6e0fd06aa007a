//! Cursors of HSCAN, SSCAN and ZSCAN: whose they are.
//!
//! Owns the mark in such a cursor. Pure. A node's cursor is a place in its own hash table, which
//! another node has in another order, as each process draws a seed of its own: going on there would
//! leave elements out without a word. So the cursor that a client gets carries a mark of the node that
//! gave it, in the bits above the node's own, and stays below 2^53.

use crate::resp::number::parse_integer;

/// Bits of a node's own cursor: a table of a million million elements.
const OWN_BITS: u32 = 40;
/// Bits of the mark.
const MARK_BITS: u32 = 13;

/// A client's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCursor {
    /// The node's own.
    pub own: u64,
    /// The mark of the node that gave it; 0 when it has none.
    pub mark: u64,
}

impl KeyCursor {
    /// Reads a client's cursor; `None` when it has none of the forms that the gateway gives out.
    pub fn read(cursor: &[u8]) -> Option<KeyCursor> {
        let cursor = u64::try_from(parse_integer(cursor)?).ok()?;
        let (own, mark) = (cursor & ((1 << OWN_BITS) - 1), cursor >> OWN_BITS);
        (mark >> MARK_BITS == 0).then_some(KeyCursor { own, mark })
    }

    /// Whether it goes on where this node has left off.
    pub fn is_of(self, node: &str) -> bool {
        self.own == 0 || self.mark == 0 || self.mark == mark_of(node)
    }

    /// The cursor for the client, when this node has given `own`. The end has no mark, and one that is
    /// too large for a mark is told as it is.
    pub fn tell(own: u64, node: &str) -> u64 {
        if own == 0 || own >> OWN_BITS != 0 { own } else { own | mark_of(node) << OWN_BITS }
    }
}

/// A number for a node, never 0.
fn mark_of(node: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = node.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    1 + (hash ^ (hash >> 32)) % ((1 << MARK_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_says_whose_it_is() {
        for own in [1, 2, 1 << 20, (1 << OWN_BITS) - 1] {
            let told = KeyCursor::tell(own, "aa");
            assert!(told < 1 << 53);
            let cursor = KeyCursor::read(told.to_string().as_bytes()).unwrap();
            assert_eq!(cursor.own, own);
            assert!(cursor.is_of("aa") && !cursor.is_of("bb"));
        }
    }

    #[test]
    fn the_beginning_and_the_end_are_nobodys() {
        assert_eq!(KeyCursor::tell(0, "aa"), 0);
        assert!(KeyCursor::read(b"0").unwrap().is_of("bb"));
        // What somebody had before the gateway gave marks.
        assert!(KeyCursor::read(b"17").unwrap().is_of("bb"));
        assert_eq!(KeyCursor::tell(1 << 41, "aa"), 1 << 41);
        assert_eq!(KeyCursor::read(b"9007199254740992"), None);
        assert_eq!(KeyCursor::read(b"x"), None);
    }
}
