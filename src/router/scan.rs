//! One cursor over all shards.
//!
//! Owns what a cursor of SCAN says: which shard is being scanned, where in it, and of which map.
//! Pure. A cursor is a plain positive integer below 2^53, because clients read it as one and some
//! keep it as a floating point number.
//!
//! | bits | meaning |
//! |---|---|
//! | 0-44 | as many as are needed at the top: the shard, in the order of the masters' ids; the rest: the node's own cursor |
//! | 45-52 | a mark of the map ([`crate::topology::ClusterMap::mark`]) |
//!
//! A node's cursor means something to that node only. When the map's mark has changed (a failover,
//! a moved slot), the scan begins again at the first shard: keys may be returned twice, as SCAN
//! allows, but none that was there throughout is left out.

use crate::reply::merge::{open_array, split_frame};
use crate::resp::number::parse_integer;
use crate::resp::write;

/// Bits below the mark.
const PLACE_BITS: u32 = 45;
/// Most shards that a cursor can count, with 35 bits left for a node's own: those of a node that keeps
/// a table per slot have the slot in 14 of them.
pub const SHARDS_MAX: usize = 1 << 10;

/// How many bits a node's own cursor has beside the number of one of so many shards.
fn node_bits(shards: usize) -> u32 {
    PLACE_BITS - shards.clamp(1, SHARDS_MAX).next_power_of_two().trailing_zeros()
}

/// Where a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Shard being scanned.
    pub shard: usize,
    /// Its master's own cursor.
    pub cursor: u64,
}

/// Reads a client's cursor; `None` when it is no cursor at all.
pub fn read(cursor: &[u8], mark: u8, shards: usize) -> Option<Position> {
    let cursor = u64::try_from(parse_integer(cursor)?).ok()?;
    let beginning = Position { shard: 0, cursor: 0 };
    let place = cursor & ((1 << PLACE_BITS) - 1);
    let shard = (place >> node_bits(shards)) as usize;
    let of_this_map = cursor >> PLACE_BITS == u64::from(mark);
    if cursor == 0 || !of_this_map || shard >= shards {
        return Some(beginning);
    }
    Some(Position { shard, cursor: place & ((1 << node_bits(shards)) - 1) })
}

/// The cursor for the client; `None` when the node's own is too large to be told.
fn tell(position: Position, mark: u8, shards: usize) -> Option<u64> {
    let Position { shard, cursor } = position;
    if cursor >> node_bits(shards) != 0 || shard >= SHARDS_MAX {
        return None;
    }
    Some(cursor | (shard as u64) << node_bits(shards) | u64::from(mark) << PLACE_BITS)
}

/// A node's reply with its cursor replaced by the one for the client; `shard` is the one that
/// answered. `None` when it does not have the shape of a reply to SCAN.
pub fn rewrite(reply: &[u8], shard: usize, shards: usize, mark: u8) -> Option<Vec<u8>> {
    let (2, rest) = open_array(reply)? else { return None };
    let (cursor, keys) = split_frame(rest)?;
    let digits = cursor.strip_suffix(b"\r\n")?.rsplit(|byte| *byte == b'\n').next()?;
    let next = match u64::try_from(parse_integer(digits)?).ok()? {
        0 if shard + 1 >= shards => 0,
        0 => tell(Position { shard: shard + 1, cursor: 0 }, mark, shards)?,
        cursor => tell(Position { shard, cursor }, mark, shards)?,
    };
    let mut out = Vec::with_capacity(reply.len() + 24);
    write::array_len(&mut out, 2);
    write::bulk(&mut out, next.to_string().as_bytes());
    out.extend_from_slice(keys);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_cursor(reply: &[u8]) -> String {
        let (_, rest) = open_array(reply).expect("an array");
        let (cursor, _) = split_frame(rest).expect("a cursor");
        String::from_utf8_lossy(cursor).split("\r\n").nth(1).expect("digits").to_owned()
    }

    fn node_reply(cursor: u64) -> Vec<u8> {
        let digits = cursor.to_string();
        format!("*2\r\n${}\r\n{digits}\r\n*1\r\n$1\r\nk\r\n", digits.len()).into_bytes()
    }

    #[test]
    fn a_scan_visits_every_shard() {
        for (shards, page) in
            [(1, 1 << 44), (2, 1 << 43), (3, 5 << 40), (4, 1 << 42), (1000, 1 << 34)]
        {
            let (mut visited, mut cursor) = (Vec::new(), "0".to_owned());
            loop {
                let position = read(cursor.as_bytes(), 255, shards).expect("a cursor");
                visited.push((position.shard, position.cursor));
                // Each node has one more page, whose cursor is large.
                let node = if position.cursor == 0 { page + 5 } else { 0 };
                let reply =
                    rewrite(&node_reply(node), position.shard, shards, 255).expect("a reply");
                assert!(reply.ends_with(b"*1\r\n$1\r\nk\r\n"));
                cursor = next_cursor(&reply);
                let number: u64 = cursor.parse().expect("a plain integer");
                assert_eq!(number as f64 as u64, number, "some clients keep it so");
                assert!(number < 1 << 53);
                if cursor == "0" {
                    break;
                }
            }
            let pages = (0..shards).flat_map(|shard| [(shard, 0), (shard, page + 5)]);
            assert!(visited.into_iter().eq(pages), "{shards}");
        }
    }

    #[test]
    fn a_changed_map_begins_again() {
        let reply = rewrite(&node_reply(9), 1, 3, 7).expect("a reply");
        let cursor = next_cursor(&reply);
        let beginning = Some(Position { shard: 0, cursor: 0 });
        assert_eq!(read(cursor.as_bytes(), 7, 3), Some(Position { shard: 1, cursor: 9 }));
        assert_eq!(read(cursor.as_bytes(), 8, 3), beginning);
        let fourth_of_three = (7u64 << 45 | 3 << 43 | 9).to_string();
        assert_eq!(read(fourth_of_three.as_bytes(), 7, 3), beginning);
        assert_eq!(read(b"9", 7, 3), beginning);
        assert_eq!(read(b"x", 7, 3), None);
        assert_eq!(read(b"-1", 7, 3), None);
    }

    #[test]
    fn what_does_not_fit_is_no_reply() {
        assert_eq!(rewrite(&node_reply(1 << 45), 0, 1, 7), None);
        assert_eq!(rewrite(&node_reply(1 << 43), 0, 3, 7), None);
        assert_eq!(rewrite(&node_reply(1 << 35), 0, 1000, 7), None);
        assert_eq!(rewrite(b"+OK\r\n", 0, 3, 7), None);
        assert_eq!(rewrite(b"*2\r\n$1\r\nx\r\n*0\r\n", 0, 3, 7), None);
    }
}
