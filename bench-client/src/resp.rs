//! RESP2 as a load client needs it: requests out, replies in, bulk values checked as they arrive.
//!
//! Owns the encoding and the resumable decoder. Knows nothing of sockets, keys or time.
//! Invariants: a bulk that is only compared is never stored; no input makes the decoder panic; what
//! it stores is bounded by `LINE_MAX` and the caller's limit.

use std::fmt;

/// Longest status, error or length line accepted; Redis itself stays far below.
const LINE_MAX: usize = 64 * 1024;

/// Longest bulk accepted, Redis's own default limit.
const BULK_MAX: usize = 512 * 1024 * 1024;

/// A command of a verb and up to two arguments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The command's name.
    pub(crate) verb: &'static str,
    /// First argument, most often the key.
    pub(crate) first: Option<&'a [u8]>,
    /// Second argument, most often the value. Written to the socket from where it lies.
    pub(crate) second: Option<&'a [u8]>,
    /// What to do with a bulk reply.
    pub(crate) bulk: Bulk<'a>,
}

/// What to do with the bytes of a bulk reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bulk<'a> {
    /// Compare with this value, and store nothing.
    Compare(&'a [u8]),
    /// Store up to so many bytes; drop the rest.
    Keep(usize),
}

impl<'a> Request<'a> {
    /// `SET key value`.
    pub(crate) fn set(key: &'a str, value: &'a [u8]) -> Request<'a> {
        Request {
            verb: "SET",
            first: Some(key.as_bytes()),
            second: Some(value),
            bulk: Bulk::Keep(0),
        }
    }

    /// `GET key`, whose reply must be `expected`.
    pub(crate) fn get(key: &'a str, expected: &'a [u8]) -> Request<'a> {
        let first = Some(key.as_bytes());
        Request { verb: "GET", first, second: None, bulk: Bulk::Compare(expected) }
    }

    /// A command whose bulk reply is kept up to `limit` bytes.
    pub(crate) fn keep(verb: &'static str, first: Option<&'a str>, limit: usize) -> Request<'a> {
        Request { verb, first: first.map(str::as_bytes), second: None, bulk: Bulk::Keep(limit) }
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

/// A complete reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`, the reply of every good SET: told apart so that it costs no allocation.
    Ok,
    /// Any other status line.
    Status(String),
    /// An error reply's text.
    Error(String),
    /// An integer.
    Integer(i64),
    /// The null bulk: no such key.
    Nil,
    /// A compared bulk: whether length and every byte were as expected.
    Compared {
        /// Its length.
        length: usize,
        /// Whether it was the expected value.
        same: bool,
    },
    /// A kept bulk, cut at the limit.
    Kept(Vec<u8>),
}

/// The peer does not speak RESP2 as expected; the connection cannot be used further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError(&'static str);

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "protocol error: {}", self.0)
    }
}

impl std::error::Error for ProtocolError {}

#[derive(Debug)]
enum State {
    /// Inside the line a reply begins with.
    Line,
    /// Inside a bulk of `length` bytes, `seen` of them past.
    Body { length: usize, seen: usize, same: bool },
    /// After a bulk's bytes, before its CRLF; `seen` of those two past.
    End { length: usize, seen: usize, same: bool },
}

/// Takes bytes as they come and gives replies as they are complete.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    line: Vec<u8>,
    kept: Vec<u8>,
}

impl Decoder {
    /// At the beginning of a reply.
    pub(crate) fn new() -> Decoder {
        Decoder { state: State::Line, line: Vec::new(), kept: Vec::new() }
    }

    /// Takes bytes from the front of `input` up to the end of one reply: how many, and the reply if
    /// it is complete. `bulk` must stay the same until it is.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        bulk: Bulk<'_>,
    ) -> Result<(usize, Option<Reply>), ProtocolError> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let (taken, reply) = match self.state {
                State::Line => self.take_line(rest, bulk)?,
                State::Body { length, seen, same } => {
                    (self.take_body(rest, bulk, (length, seen, same)), None)
                }
                State::End { length, seen, same } => {
                    self.take_end(rest[0], bulk, (length, seen, same))?
                }
            };
            used += taken;
            if reply.is_some() {
                return Ok((used, reply));
            }
        }
        Ok((used, None))
    }

    fn take_line(
        &mut self,
        rest: &[u8],
        bulk: Bulk<'_>,
    ) -> Result<(usize, Option<Reply>), ProtocolError> {
        let newline = rest.iter().position(|byte| *byte == b'\n');
        let taken = newline.map_or(rest.len(), |at| at + 1);
        if self.line.len() + taken > LINE_MAX {
            return Err(ProtocolError("a reply line is too long"));
        }
        self.line.extend_from_slice(&rest[..taken]);
        if newline.is_none() {
            return Ok((taken, None));
        }
        let line =
            self.line.strip_suffix(b"\r\n").ok_or(ProtocolError("a line ends without CR"))?;
        let (kind, text) = line.split_first().ok_or(ProtocolError("an empty reply line"))?;
        let reply = match kind {
            b'+' if text == b"OK" => Some(Reply::Ok),
            b'+' => Some(Reply::Status(String::from_utf8_lossy(text).into_owned())),
            b'-' => Some(Reply::Error(String::from_utf8_lossy(text).into_owned())),
            b':' => Some(Reply::Integer(number(text)?)),
            b'$' => match number(text)? {
                -1 => Some(Reply::Nil),
                length => {
                    self.state = body_of(length, bulk)?;
                    None
                }
            },
            b'*' => return Err(ProtocolError("an array where none was asked for")),
            _ => return Err(ProtocolError("an unknown reply type")),
        };
        self.line.clear();
        Ok((taken, reply))
    }

    fn take_body(
        &mut self,
        rest: &[u8],
        bulk: Bulk<'_>,
        (length, seen, same): (usize, usize, bool),
    ) -> usize {
        let taken = rest.len().min(length - seen);
        let piece = &rest[..taken];
        let same = match bulk {
            Bulk::Compare(expected) => same && expected.get(seen..seen + taken) == Some(piece),
            Bulk::Keep(limit) => {
                let room = limit.saturating_sub(self.kept.len()).min(taken);
                self.kept.extend_from_slice(&piece[..room]);
                same
            }
        };
        let seen = seen + taken;
        self.state = if seen == length {
            State::End { length, seen: 0, same }
        } else {
            State::Body { length, seen, same }
        };
        taken
    }

    fn take_end(
        &mut self,
        byte: u8,
        bulk: Bulk<'_>,
        (length, seen, same): (usize, usize, bool),
    ) -> Result<(usize, Option<Reply>), ProtocolError> {
        match (seen, byte) {
            (0, b'\r') => {
                self.state = State::End { length, seen: 1, same };
                Ok((1, None))
            }
            (1, b'\n') => {
                self.state = State::Line;
                let reply = match bulk {
                    Bulk::Compare(_) => Reply::Compared { length, same },
                    Bulk::Keep(_) => Reply::Kept(std::mem::take(&mut self.kept)),
                };
                Ok((1, Some(reply)))
            }
            _ => Err(ProtocolError("a bulk does not end with CRLF")),
        }
    }
}

fn body_of(length: i64, bulk: Bulk<'_>) -> Result<State, ProtocolError> {
    let length = usize::try_from(length).map_err(|_| ProtocolError("a negative bulk length"))?;
    if length > BULK_MAX {
        return Err(ProtocolError("a bulk is longer than 512 MiB"));
    }
    let same = !matches!(bulk, Bulk::Compare(expected) if expected.len() != length);
    Ok(if length == 0 {
        State::End { length, seen: 0, same }
    } else {
        State::Body { length, seen: 0, same }
    })
}

fn number(text: &[u8]) -> Result<i64, ProtocolError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ProtocolError("a number is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(pieces: &[&[u8]], bulk: Bulk<'_>) -> Result<Vec<Reply>, ProtocolError> {
        let mut decoder = Decoder::new();
        let mut replies = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, reply) = decoder.feed(rest, bulk)?;
                replies.extend(reply);
                rest = &rest[used..];
            }
        }
        Ok(replies)
    }

    #[test]
    fn commands_are_encoded() {
        let mut out = Vec::new();
        Request::set("k", b"vv").encode(&mut out);
        Request::get("k", b"vv").encode(&mut out);
        Request::keep("PING", None, 8).encode(&mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n"
        );
    }

    #[test]
    fn every_split_gives_the_same_replies() {
        let wire = b"+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n$5\r\nhello\r\n$5\r\nhellO\r\n$3\r\nhel\r\n$0\r\n\r\n+PONG\r\n";
        let whole = decode(&[wire], Bulk::Compare(b"hello")).unwrap();
        assert_eq!(
            whole,
            [
                Reply::Ok,
                Reply::Error("ERR no".into()),
                Reply::Integer(-12),
                Reply::Nil,
                Reply::Compared { length: 5, same: true },
                Reply::Compared { length: 5, same: false },
                Reply::Compared { length: 3, same: false },
                Reply::Compared { length: 0, same: false },
                Reply::Status("PONG".into()),
            ]
        );
        for first in 0..wire.len() {
            for second in first..wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(decode(&pieces, Bulk::Compare(b"hello")).unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_kept_bulk_is_cut_at_the_limit_and_the_next_starts_anew() {
        let wire = b"$5\r\nhello\r\n$2\r\nyo\r\n";
        let kept = decode(&[wire], Bulk::Keep(3)).unwrap();
        assert_eq!(kept, [Reply::Kept(b"hel".to_vec()), Reply::Kept(b"yo".to_vec())]);
    }

    #[test]
    fn nonsense_is_an_error_and_never_a_panic() {
        let wires: [&[u8]; 10] = [
            b"\r\n",
            b"\n",
            b"+OK\n",
            b"?x\r\n",
            b"*1\r\n",
            b"$x\r\n",
            b"$-2\r\n",
            b":\r\n",
            b"$999999999999\r\n",
            b"$1\r\nabc",
        ];
        for wire in wires {
            assert!(decode(&[wire], Bulk::Compare(b"a")).is_err(), "{wire:?}");
        }
        assert!(decode(&[&vec![b'+'; LINE_MAX + 1]], Bulk::Keep(0)).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut state = 1u64;
        for _ in 0..2_000 {
            let wire: Vec<u8> = (0..40)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    b"+-:$*0123456789\r\n\r\nOKa\xff"[(state >> 40) as usize % 23]
                })
                .collect();
            let _ = decode(&[&wire], Bulk::Compare(b"a"));
        }
    }
}
