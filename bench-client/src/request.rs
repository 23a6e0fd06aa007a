//! Commands that are not part of a load: what a target is asked beside it.
//!
//! Owns their encoding. Knows nothing of sockets, keys or time.

use crate::resp::Want;

/// A command of a verb and up to two arguments, for what is not measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The command's name.
    pub(crate) verb: &'static str,
    /// First argument, most often the key.
    pub(crate) first: Option<&'a [u8]>,
    /// Second argument, most often the value. Written to the socket from where it lies.
    pub(crate) second: Option<&'a [u8]>,
    /// What to do with a bulk reply.
    pub(crate) want: Want<'a>,
}

impl<'a> Request<'a> {
    /// `SET key value`.
    pub(crate) fn set(key: &'a str, value: &'a [u8]) -> Request<'a> {
        Request {
            verb: "SET",
            first: Some(key.as_bytes()),
            second: Some(value),
            want: Want::Keep(0),
        }
    }

    /// A command whose bulk reply is kept up to `limit` bytes.
    pub(crate) fn keep(verb: &'static str, first: Option<&'a str>, limit: usize) -> Request<'a> {
        Request { verb, first: first.map(str::as_bytes), second: None, want: Want::Keep(limit) }
    }

    /// Appends everything up to the second argument's bytes; those follow, then CRLF.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>) {
        let words = 1 + usize::from(self.first.is_some()) + usize::from(self.second.is_some());
        out.push(b'*');
        push_number(out, words);
        push_bulk(out, self.verb.as_bytes());
        if let Some(first) = self.first {
            push_bulk(out, first);
        }
        if let Some(second) = self.second {
            out.push(b'$');
            push_number(out, second.len());
        }
    }

    /// Appends the whole command.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.encode_head(out);
        if let Some(second) = self.second {
            out.extend_from_slice(second);
            out.extend_from_slice(b"\r\n");
        }
    }
}

fn push_bulk(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b'$');
    push_number(out, word.len());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    use std::io::Write as _;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_encoded() {
        let mut out = Vec::new();
        Request::set("k", b"vv").encode(&mut out);
        Request::keep("PING", None, 8).encode(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n*1\r\n$4\r\nPING\r\n"
        );
    }
}
