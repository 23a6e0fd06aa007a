//! One cursor over all shards.
//!
//! Owns what a cursor of SCAN says: which shard is being scanned, where in it, and of which map.
//! Pure. A cursor is a plain positive integer, because clients read it as one.
//!
//! | bits | meaning |
//! |---|---|
//! | 0-44 | the node's own cursor |
//! | 45-54 | the shard, counted in the order of the masters' ids |
//! | 55-62 | a mark of the map ([`crate::topology::ClusterMap::mark`]) |
//!
//! A node's cursor means something to that node only. When the map's mark has changed (a failover,
//! a moved slot), the scan begins again at the first shard: keys may be returned twice, as SCAN
//! allows, but none that was there throughout is left out.

use crate::reply::merge::{open_array, split_frame};
use crate::resp::number::parse_integer;
use crate::resp::write;

const NODE_BITS: u32 = 45;
const SHARD_BITS: u32 = 10;
/// Most shards that a cursor can count.
pub const SHARDS_MAX: usize = 1 << SHARD_BITS;

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
    let shard = (cursor >> NODE_BITS) as usize & (SHARDS_MAX - 1);
    let of_this_map = (cursor >> (NODE_BITS + SHARD_BITS)) as u8 == mark;
    if cursor == 0 || !of_this_map || shard >= shards {
        return Some(beginning);
    }
    Some(Position { shard, cursor: cursor & ((1 << NODE_BITS) - 1) })
}

/// The cursor for the client; `None` when the node's own is too large to be told.
fn tell(position: Position, mark: u8) -> Option<u64> {
    let Position { shard, cursor } = position;
    if cursor >> NODE_BITS != 0 || shard >= SHARDS_MAX {
        return None;
    }
    let shard = (shard as u64) << NODE_BITS;
    Some(cursor | shard | u64::from(mark) << (NODE_BITS + SHARD_BITS))
}

/// A node's reply with its cursor replaced by the one for the client; `shard` is the one that
/// answered. `None` when it does not have the shape of a reply to SCAN.
pub fn rewrite(reply: &[u8], shard: usize, shards: usize, mark: u8) -> Option<Vec<u8>> {
    let (2, rest) = open_array(reply)? else { return None };
    let (cursor, keys) = split_frame(rest)?;
    let digits = cursor.strip_suffix(b"\r\n")?.rsplit(|byte| *byte == b'\n').next()?;
    let next = match u64::try_from(parse_integer(digits)?).ok()? {
        0 if shard + 1 >= shards => 0,
        0 => tell(Position { shard: shard + 1, cursor: 0 }, mark)?,
        cursor => tell(Position { shard, cursor }, mark)?,
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
        let mut visited = Vec::new();
        let mut cursor = "0".to_owned();
        loop {
            let position = read(cursor.as_bytes(), 7, 3).expect("a cursor");
            visited.push((position.shard, position.cursor));
            // Each node has one more page, whose cursor is large.
            let node = if position.cursor == 0 { (1 << 44) + 5 } else { 0 };
            let reply = rewrite(&node_reply(node), position.shard, 3, 7).expect("a reply");
            assert!(reply.ends_with(b"*1\r\n$1\r\nk\r\n"));
            cursor = next_cursor(&reply);
            assert!(cursor.parse::<i64>().expect("a plain integer") >= 0);
            if cursor == "0" {
                break;
            }
        }
        let page = (1 << 44) + 5;
        assert_eq!(visited, [(0, 0), (0, page), (1, 0), (1, page), (2, 0), (2, page)]);
    }

    #[test]
    fn a_changed_map_begins_again() {
        let reply = rewrite(&node_reply(9), 1, 3, 7).expect("a reply");
        let cursor = next_cursor(&reply);
        let beginning = Some(Position { shard: 0, cursor: 0 });
        assert_eq!(read(cursor.as_bytes(), 7, 3), Some(Position { shard: 1, cursor: 9 }));
        assert_eq!(read(cursor.as_bytes(), 8, 3), beginning);
        assert_eq!(read(cursor.as_bytes(), 7, 1), beginning);
        assert_eq!(read(b"x", 7, 3), None);
        assert_eq!(read(b"-1", 7, 3), None);
    }

    #[test]
    fn what_does_not_fit_is_no_reply() {
        assert_eq!(rewrite(&node_reply(1 << 45), 0, 3, 7), None);
        assert_eq!(rewrite(b"+OK\r\n", 0, 3, 7), None);
        assert_eq!(rewrite(b"*2\r\n$1\r\nx\r\n*0\r\n", 0, 3, 7), None);
    }
}
