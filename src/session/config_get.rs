//! CONFIG GET as the gateway's clients may and should see it.
//!
//! Owns which values of a node's configuration no client may read: what the gateway logs in with is
//! not for whoever may talk to the gateway; and that there is no cluster to its clients. Knows
//! nothing of how the reply came.

use crate::reply::merge::split_frame;
use crate::resp::number::{Line, integer_line};
use crate::resp::write;

/// Options whose values are not told as they are, and what is told. Most are passwords;
/// `primaryauth` is what Valkey calls `masterauth` since 8.0.
const SHOWN: [(&[u8], &[u8]); 6] = [
    (b"requirepass", b""),
    (b"masterauth", b""),
    (b"primaryauth", b""),
    (b"tls-key-file-pass", b""),
    (b"tls-client-key-file-pass", b""),
    (b"cluster-enabled", b"no"),
];

/// A node's reply with other values where they are not told. `None` when it is not made as a
/// reply to CONFIG GET is.
pub(super) fn as_shown(reply: &[u8]) -> Option<Vec<u8>> {
    let (b'*' | b'%', Line::Integer { len, .. }) = (reply.first()?, integer_line(reply)) else {
        return None;
    };
    let (header, mut rest) = reply.split_at_checked(len)?;
    let mut out = Vec::with_capacity(reply.len());
    out.extend_from_slice(header);
    while !rest.is_empty() {
        let (name, after) = split_frame(rest)?;
        let (value, after) = split_frame(after)?;
        out.extend_from_slice(name);
        match shown_for(name) {
            Some(shown) => write::bulk(&mut out, shown),
            None => out.extend_from_slice(value),
        }
        rest = after;
    }
    Some(out)
}

fn shown_for(name: &[u8]) -> Option<&'static [u8]> {
    let mut frame = Vec::new();
    let found = SHOWN.iter().find(|(option, _)| {
        frame.clear();
        write::bulk(&mut frame, option);
        name.eq_ignore_ascii_case(&frame)
    });
    found.map(|(_, shown)| *shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reply: &str) -> Option<String> {
        as_shown(reply.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn passwords_are_empty_and_the_rest_is_as_it_was() {
        let pairs = |password: &str| {
            format!(
                "$4\r\nsave\r\n$0\r\n\r\n$11\r\nrequirepass\r\n{password}$3\r\ndir\r\n$1\r\n/\r\n"
            )
        };
        for header in ["*6\r\n", "%3\r\n"] {
            let asked = format!("{header}{}", pairs("$6\r\ns3cret\r\n"));
            assert_eq!(shown(&asked), Some(format!("{header}{}", pairs("$0\r\n\r\n"))));
        }
        let renamed = |password: &str| format!("*2\r\n$11\r\nPrimaryAuth\r\n{password}");
        assert_eq!(shown(&renamed("$1\r\nx\r\n")), Some(renamed("$0\r\n\r\n")));
        let cluster = |is: &str| format!("*2\r\n$15\r\ncluster-enabled\r\n{is}\r\n");
        assert_eq!(shown(&cluster("$3\r\nyes")), Some(cluster("$2\r\nno")));
        for same in ["*0\r\n", "%0\r\n"] {
            assert_eq!(shown(same).as_deref(), Some(same));
        }
    }

    #[test]
    fn what_is_no_such_reply_is_none() {
        for reply in ["", "+OK\r\n", "*1\r\n$1\r\na\r\n", "*2\r\n$1\r\na\r\n$9\r\nb\r\n"] {
            assert_eq!(shown(reply), None, "{reply:?}");
        }
    }
}
