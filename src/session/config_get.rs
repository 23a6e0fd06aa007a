//! CONFIG GET without the nodes' secrets.
//!
//! Owns which values of a node's configuration no client may read: what the gateway logs in with is
//! not for whoever may talk to the gateway. Knows nothing of how the reply came.

use crate::reply::merge::split_frame;
use crate::resp::number::{Line, integer_line};
use crate::resp::write;

/// Options whose values are passwords; `primaryauth` is what Valkey calls `masterauth` since 8.0.
const SECRETS: [&[u8]; 5] = [
    b"requirepass",
    b"masterauth",
    b"primaryauth",
    b"tls-key-file-pass",
    b"tls-client-key-file-pass",
];

/// A node's reply with its secrets empty, as if there were none. `None` when it is not made as a
/// reply to CONFIG GET is.
pub(super) fn without_secrets(reply: &[u8]) -> Option<Vec<u8>> {
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
        match is_secret(name) {
            true => write::bulk(&mut out, b""),
            false => out.extend_from_slice(value),
        }
        rest = after;
    }
    Some(out)
}

fn is_secret(name: &[u8]) -> bool {
    let mut frame = Vec::new();
    SECRETS.iter().any(|secret| {
        frame.clear();
        write::bulk(&mut frame, secret);
        name.eq_ignore_ascii_case(&frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(reply: &str) -> Option<String> {
        without_secrets(reply.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"))
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
