//! Replies in RESP2 as a load client needs them: values are checked as they arrive.
//!
//! Owns the resumable decoder. Knows nothing of sockets, keys or time.
//! Invariants: a bulk that is only compared is never stored; no input makes the decoder panic; what
//! it stores is bounded by `LINE_MAX` and the caller's limit.

use std::fmt;

/// Longest status, error or length line accepted; Redis itself stays far below.
const LINE_MAX: usize = 64 * 1024;

/// Longest bulk accepted, Redis's own default limit.
const BULK_MAX: usize = 512 * 1024 * 1024;

/// Digits of a length that is allowed.
const DIGITS_MAX: usize = 9;

/// What to do with the bytes of a bulk reply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want<'a> {
    /// Compare with this value, and store nothing.
    Value(&'a [u8]),
    /// Look at the length alone.
    Length(usize),
    /// The reply is an array of so many; look at the length of each.
    Lengths {
        /// How many.
        count: usize,
        /// How long each of them is.
        length: usize,
    },
    /// Store up to so many bytes; drop the rest.
    Keep(usize),
}

impl Want<'_> {
    /// Whether a bulk may be of this length.
    fn is_length(self, found: usize) -> bool {
        match self {
            Want::Value(value) => value.len() == found,
            Want::Length(length) | Want::Lengths { length, .. } => length == found,
            Want::Keep(_) => true,
        }
    }
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
    /// An array whose lengths were wanted.
    Array {
        /// Whether a key was not there.
        missing: bool,
        /// Whether there were as many as wanted, those that were there of the wanted length.
        same: bool,
    },
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

/// An array whose elements are coming.
#[derive(Debug)]
struct Elements {
    left: u64,
    missing: bool,
    same: bool,
}

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
    elements: Option<Elements>,
}

impl Decoder {
    /// At the beginning of a reply.
    pub(crate) fn new() -> Decoder {
        Decoder { state: State::Line, line: Vec::new(), kept: Vec::new(), elements: None }
    }

    /// Takes bytes from the front of `input` up to the end of one reply: how many, and the reply if
    /// it is complete. `want` must stay the same until it is.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        want: Want<'_>,
    ) -> Result<(usize, Option<Reply>), ProtocolError> {
        let mut used = 0;
        while used < input.len() {
            let rest = &input[used..];
            let (taken, reply) = match self.state {
                State::Line => match whole(rest, want).filter(|_| self.line.is_empty()) {
                    Some((taken, reply)) => (taken, Some(reply)),
                    None => self.take_line(rest, want)?,
                },
                State::Body { length, seen, same } => {
                    (self.take_body(rest, want, (length, seen, same)), None)
                }
                State::End { length, seen, same } => {
                    self.take_end(rest[0], want, (length, seen, same))?
                }
            };
            used += taken;
            if let Some(reply) = reply.and_then(|reply| self.gather(reply)) {
                return Ok((used, Some(reply)));
            }
        }
        Ok((used, None))
    }

    /// The reply, unless it is an element of an array that is not complete yet.
    fn gather(&mut self, reply: Reply) -> Option<Reply> {
        let Some(elements) = &mut self.elements else { return Some(reply) };
        match reply {
            Reply::Nil => elements.missing = true,
            Reply::Compared { same, .. } => elements.same &= same,
            _ => elements.same = false,
        }
        elements.left = elements.left.saturating_sub(1);
        let (missing, same) = (elements.missing, elements.same);
        (elements.left == 0).then(|| {
            self.elements = None;
            Reply::Array { missing, same }
        })
    }

    fn take_line(
        &mut self,
        rest: &[u8],
        want: Want<'_>,
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
                    self.state = body_of(length, want)?;
                    None
                }
            },
            b'*' => match (want, u64::try_from(number(text)?)) {
                (Want::Lengths { count, .. }, Ok(0)) if self.elements.is_none() => {
                    Some(Reply::Array { missing: false, same: count == 0 })
                }
                (Want::Lengths { count, .. }, Ok(left)) if self.elements.is_none() => {
                    self.elements =
                        Some(Elements { left, missing: false, same: left == count as u64 });
                    None
                }
                _ => return Err(ProtocolError("an array where none was asked for")),
            },
            _ => return Err(ProtocolError("an unknown reply type")),
        };
        self.line.clear();
        Ok((taken, reply))
    }

    fn take_body(
        &mut self,
        rest: &[u8],
        want: Want<'_>,
        (length, seen, same): (usize, usize, bool),
    ) -> usize {
        let taken = rest.len().min(length - seen);
        let piece = &rest[..taken];
        let same = match want {
            Want::Value(expected) => same && expected.get(seen..seen + taken) == Some(piece),
            Want::Length(_) | Want::Lengths { .. } => same,
            Want::Keep(limit) => {
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
        want: Want<'_>,
        (length, seen, same): (usize, usize, bool),
    ) -> Result<(usize, Option<Reply>), ProtocolError> {
        match (seen, byte) {
            (0, b'\r') => {
                self.state = State::End { length, seen: 1, same };
                Ok((1, None))
            }
            (1, b'\n') => {
                self.state = State::Line;
                let reply = match want {
                    Want::Keep(_) => Reply::Kept(std::mem::take(&mut self.kept)),
                    _ => Reply::Compared { length, same },
                };
                Ok((1, Some(reply)))
            }
            _ => Err(ProtocolError("a bulk does not end with CRLF")),
        }
    }
}

/// The usual replies where all of their bytes are there: what they are, and how long. For all others
/// the decoder goes from state to state.
fn whole(rest: &[u8], want: Want<'_>) -> Option<(usize, Reply)> {
    const OK: &[u8] = b"+OK\r\n";
    if rest.starts_with(OK) {
        return Some((OK.len(), Reply::Ok));
    }
    let digits = rest.strip_prefix(b"$")?;
    let mut length = 0_usize;
    let mut head = 0;
    for byte in digits.iter().take(DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()) {
        length = length * 10 + usize::from(byte - b'0');
        head += 1;
    }
    let body = digits[head..].strip_prefix(b"\r\n")?;
    let is_usual = head > 0 && want.is_length(length) && !matches!(want, Want::Keep(_));
    if !is_usual || body.get(length..length + 2)? != b"\r\n" {
        return None;
    }
    let same = !matches!(want, Want::Value(value) if *value != body[..length]);
    Some((1 + head + 2 + length + 2, Reply::Compared { length, same }))
}

fn body_of(length: i64, want: Want<'_>) -> Result<State, ProtocolError> {
    let length = usize::try_from(length).map_err(|_| ProtocolError("a negative bulk length"))?;
    if length > BULK_MAX {
        return Err(ProtocolError("a bulk is longer than 512 MiB"));
    }
    let same = want.is_length(length);
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

    fn decode(pieces: &[&[u8]], want: Want<'_>) -> Result<Vec<Reply>, ProtocolError> {
        let mut decoder = Decoder::new();
        let mut replies = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let (used, reply) = decoder.feed(rest, want)?;
                replies.extend(reply);
                rest = &rest[used..];
            }
        }
        Ok(replies)
    }

    #[test]
    fn every_split_gives_the_same_replies() {
        let wire = b"+OK\r\n-ERR no\r\n:-12\r\n$-1\r\n$5\r\nhello\r\n$5\r\nhellO\r\n$3\r\nhel\r\n$0\r\n\r\n+PONG\r\n";
        let whole = decode(&[wire], Want::Value(b"hello")).unwrap();
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
                assert_eq!(decode(&pieces, Want::Value(b"hello")).unwrap(), whole);
            }
        }
    }

    #[test]
    fn arrays_and_lengths_are_the_same_wherever_they_are_cut() {
        let wire = b"*2\r\n$5\r\nhe\nlo\r\n$-1\r\n*2\r\n$5\r\nhello\r\n$5\r\nworld\r\n*2\r\n$5\r\nhello\r\n$4\r\nhell\r\n*1\r\n$5\r\nhello\r\n*0\r\n-ERR no\r\n";
        let want = Want::Lengths { count: 2, length: 5 };
        let array = |missing, same| Reply::Array { missing, same };
        let expected = [
            array(true, true),
            array(false, true),
            array(false, false),
            array(false, false),
            array(false, false),
            Reply::Error("ERR no".into()),
        ];
        for first in 0..wire.len() {
            for second in first..wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(decode(&pieces, want).unwrap(), expected);
            }
        }
        let length = decode(&[b"$4\r\nhell\r\n$5\r\nhello\r\n"], Want::Length(5)).unwrap();
        let compared = |length, same| Reply::Compared { length, same };
        assert_eq!(length, [compared(4, false), compared(5, true)]);
        for wire in [&b"*-1\r\n"[..], b"*2\r\n*1\r\n", b"*x\r\n"] {
            assert!(decode(&[wire], want).is_err(), "{wire:?}");
        }
    }

    #[test]
    fn a_kept_bulk_is_cut_at_the_limit_and_the_next_starts_anew() {
        let wire = b"$5\r\nhello\r\n$2\r\nyo\r\n";
        let kept = decode(&[wire], Want::Keep(3)).unwrap();
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
            assert!(decode(&[wire], Want::Value(b"a")).is_err(), "{wire:?}");
        }
        assert!(decode(&[&vec![b'+'; LINE_MAX + 1]], Want::Keep(0)).is_err());
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
            let _ = decode(&[&wire], Want::Value(b"a"));
            let _ = decode(&[&wire], Want::Lengths { count: 2, length: 1 });
        }
    }
}
