//! The reply to EXEC, where it is not just the node's.
//!
//! Owns the putting of answers and changed items into their places. Pure: frames in, a frame out.

use crate::resp::frame::{open_array, split_frame};
use crate::resp::write;
use crate::session::database::Rename;

/// A node's reply to EXEC with some of its items changed. `None`: it is no array.
pub(super) fn renamed(reply: &[u8], renames: Vec<(usize, Rename)>) -> Option<Vec<u8>> {
    let (count, mut rest) = open_array(reply)?;
    let mut out = reply[..reply.len() - rest.len()].to_vec();
    let mut renames = renames.into_iter().peekable();
    for place in 0..count {
        let (item, after) = split_frame(rest)?;
        match renames.next_if(|(at, _)| *at == place) {
            Some((_, rename)) => out.extend_from_slice(&rename(item)),
            None => out.extend_from_slice(item),
        }
        rest = after;
    }
    Some(out)
}

/// A node's reply to EXEC with answers of the gateway in their places. `None`: it is no array, because
/// nothing was run.
pub(super) fn put_together(reply: &[u8], own: &[(usize, Vec<u8>)]) -> Option<Vec<u8>> {
    let (len, mut rest) = open_array(reply)?;
    let total = len + own.len();
    let mut out = Vec::with_capacity(reply.len() + own.iter().map(|(_, o)| o.len()).sum::<usize>());
    write::array_len(&mut out, total);
    let mut own = own.iter().peekable();
    for place in 0..total {
        if let Some((_, answer)) = own.next_if(|(at, _)| *at == place) {
            out.extend_from_slice(answer);
        } else {
            let (frame, after) = split_frame(rest)?;
            out.extend_from_slice(frame);
            rest = after;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_answers_are_put_where_they_belong() {
        let own = [(0, b"+A\r\n".to_vec()), (3, b"+B\r\n".to_vec())];
        let put = |reply: &[u8]| put_together(reply, &own);
        assert_eq!(
            put(b"*2\r\n:1\r\n*1\r\n:2\r\n"),
            Some(b"*4\r\n+A\r\n:1\r\n*1\r\n:2\r\n+B\r\n".to_vec())
        );
        assert_eq!(put(b"*-1\r\n"), None);
        assert_eq!(put(b"_\r\n"), None);
        assert_eq!(put(b"-EXECABORT x\r\n"), None);
        assert_eq!(put_together(b"*0\r\n", &own[..1]), Some(b"*1\r\n+A\r\n".to_vec()));
    }

    #[test]
    fn some_items_are_changed() {
        let star = || -> Rename { Box::new(|item| [b"+*", &item[1..]].concat()) };
        let reply = b"*3\r\n:1\r\n*1\r\n:2\r\n:3\r\n";
        let want = b"*3\r\n+*1\r\n*1\r\n:2\r\n+*3\r\n".to_vec();
        assert_eq!(renamed(reply, vec![(0, star()), (2, star())]), Some(want));
        assert_eq!(renamed(b"*-1\r\n", vec![(0, star())]), None);
    }
}
