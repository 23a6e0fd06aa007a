//! One cursor over all masters.
//!
//! Owns what a cursor of SCAN says: which node is being scanned, where in it, and by which map. Pure.
//! A cursor is a plain positive integer below 2^53, because clients read it as one and some keep it as
//! a floating point number.
//!
//! | bits, from the lowest | meaning |
//! |---|---|
//! | 6 | how many bits the node's own cursor has |
//! | so many | the node's own cursor |
//! | as many as are needed | the node: the masters in the order of their ids, behind them those without slots |
//! | 1 | whether the node is visited once more |
//! | the rest | the mark of the map ([`crate::topology::ClusterMap::mark_with_spares`]) |
//!
//! A node's cursor means something to that node only. When the mark has changed (a failover, a moved
//! slot), the scan begins again at the first node: keys may be returned twice, as SCAN allows, but none
//! that was there throughout is left out. Keys of a slot that is moving go from node to node while the
//! map stays the same: the nodes they go to are visited once more at the end.

use crate::resp::frame::{open_array, split_frame};
use crate::resp::number::parse_integer;
use crate::resp::write;

/// Bits of a cursor.
const BITS: u32 = 53;
/// Bits that say how long the node's own cursor is.
const LEN_BITS: u32 = 6;
/// Fewest bits of the mark.
const MARK_BITS_MIN: u32 = 4;
/// Most masters that a cursor can count, with 32 bits left for a node's own: those of a node that
/// keeps a table per slot have the slot in 14 of them.
pub const NODES_MAX: usize = 1 << 10;

/// Where a scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The node being scanned.
    pub node: usize,
    /// Its own cursor.
    pub cursor: u64,
    /// It is visited once more.
    pub again: bool,
}

/// How cursors are written for a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How many nodes there are to be scanned.
    nodes: usize,
    mark: u64,
}

impl Layout {
    /// For a map of so many masters with this mark.
    pub fn new(nodes: usize, mark: u64) -> Layout {
        Layout { nodes, mark }
    }

    fn node_bits(self) -> u32 {
        self.nodes.clamp(1, NODES_MAX).next_power_of_two().trailing_zeros()
    }

    /// Where the mark begins in a cursor whose node's own has so many bits; `None` when there would
    /// be too little of it.
    fn mark_at(self, own_bits: u32) -> Option<u32> {
        let at = LEN_BITS + own_bits + self.node_bits() + 1;
        (at + MARK_BITS_MIN <= BITS).then_some(at)
    }

    /// The mark as far as there is room for it; never 0, so that no cursor is.
    fn mark_of(self, at: u32) -> u64 {
        (self.mark & ((1 << (BITS - at)) - 1)).max(1)
    }

    /// Reads a client's cursor; `None` when it is no cursor at all. One that is of another map is
    /// the beginning.
    pub fn read(self, cursor: &[u8]) -> Option<Position> {
        let cursor = u64::try_from(parse_integer(cursor)?).ok()?;
        Some(self.position(cursor).unwrap_or_default())
    }

    fn position(self, cursor: u64) -> Option<Position> {
        if cursor >> BITS != 0 {
            return None;
        }
        let own_bits = (cursor & ((1 << LEN_BITS) - 1)) as u32;
        let at = self.mark_at(own_bits)?;
        let own = cursor >> LEN_BITS & ((1 << own_bits) - 1);
        let node = cursor >> (LEN_BITS + own_bits) & ((1 << self.node_bits()) - 1);
        let node = usize::try_from(node).ok().filter(|node| *node < self.nodes)?;
        let again = cursor >> (at - 1) & 1 == 1;
        (cursor >> at == self.mark_of(at)).then_some(Position { node, cursor: own, again })
    }

    /// The cursor for the client; `None` when the node's own is too large to be told.
    pub fn tell(self, position: Position) -> Option<u64> {
        let Position { node, cursor: own, again } = position;
        let own_bits = u64::BITS - own.leading_zeros();
        let at = self.mark_at(own_bits).filter(|_| node < NODES_MAX)?;
        let place = u64::from(own_bits) | own << LEN_BITS | (node as u64) << (LEN_BITS + own_bits);
        Some(place | u64::from(again) << (at - 1) | self.mark_of(at) << at)
    }
}

/// A node's own cursor in its reply, and the rest of that; `None` when it does not have the shape of a
/// reply to SCAN.
pub fn open(reply: &[u8]) -> Option<(u64, &[u8])> {
    let (2, rest) = open_array(reply)? else { return None };
    let (cursor, keys) = split_frame(rest)?;
    let digits = cursor.strip_suffix(b"\r\n")?.rsplit(|byte| *byte == b'\n').next()?;
    Some((u64::try_from(parse_integer(digits)?).ok()?, keys))
}

/// A reply with this cursor.
pub fn close(cursor: u64, keys: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(keys.len() + 40);
    write::array_len(&mut out, 2);
    write::bulk(&mut out, cursor.to_string().as_bytes());
    out.extend_from_slice(keys);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: usize) -> Layout {
        Layout::new(nodes, 0xfedc_ba98_7654_3210)
    }

    fn again(layout: Layout, position: Position) -> Option<Position> {
        let number = layout.tell(position)?;
        assert_eq!(number as f64 as u64, number, "some clients keep it so");
        assert!((1..1 << BITS).contains(&number));
        layout.read(number.to_string().as_bytes())
    }

    #[test]
    fn a_cursor_says_where_a_scan_is() {
        for (nodes, largest) in
            [(1, 1u64 << 41), (2, 1 << 40), (3, 1 << 39), (24, 1 << 36), (1000, 1 << 31)]
        {
            for cursor in [0, 1, 2, 3, 1 << 20, (1 << 24) - 1, largest] {
                for position in [(0, false), (nodes - 1, true)] {
                    let (node, again_) = position;
                    let position = Position { node, cursor, again: again_ };
                    assert_eq!(again(of(nodes), position), Some(position), "{nodes}");
                }
            }
            assert_eq!(
                of(nodes).tell(Position { cursor: largest * 2, ..Position::default() }),
                None
            );
        }
    }

    #[test]
    fn a_changed_map_begins_again() {
        let position = Position { node: 1, cursor: 9, again: false };
        let cursor = of(3).tell(position).unwrap().to_string();
        let beginning = Some(Position::default());
        assert_eq!(of(3).read(cursor.as_bytes()), Some(position));
        assert_eq!(Layout::new(3, 0xfedc_ba98_7654_3211).read(cursor.as_bytes()), beginning);
        for nobodys in ["0", "9", "9007199254740993", "9223372036854775807"] {
            assert_eq!(of(3).read(nobodys.as_bytes()), beginning);
        }
        // A node that there is not.
        let fourth = of(4).tell(Position { node: 3, ..position }).unwrap().to_string();
        assert_eq!(of(3).read(fourth.as_bytes()), beginning);
        assert_eq!(of(3).read(b"x"), None);
        assert_eq!(of(3).read(b"-1"), None);
    }

    #[test]
    fn a_mark_of_nothing_is_no_end() {
        let layout = Layout::new(3, 0);
        let cursor = layout.tell(Position::default()).unwrap();
        assert_ne!(cursor, 0);
        assert_eq!(layout.read(cursor.to_string().as_bytes()), Some(Position::default()));
    }

    #[test]
    fn a_reply_is_opened_and_closed() {
        let reply = b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\nk\r\n";
        let (cursor, keys) = open(reply).unwrap();
        assert_eq!((cursor, keys), (17, &b"*1\r\n$1\r\nk\r\n"[..]));
        assert_eq!(close(5, keys), b"*2\r\n$1\r\n5\r\n*1\r\n$1\r\nk\r\n");
        assert_eq!(open(b"+OK\r\n"), None);
        assert_eq!(open(b"*2\r\n$1\r\nx\r\n*0\r\n"), None);
    }
}
