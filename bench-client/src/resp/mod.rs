//! Replies as a load client needs them: values are checked as they arrive.
//!
//! Owns the resumable decoder. Knows nothing of sockets, keys or time.
//! Invariants: a bulk that is only compared is never stored; no input makes the decoder panic; what
//! it stores is bounded by `LINE_MAX` and the caller's limit.

mod reply;

pub(crate) use reply::{ProtocolError, Reply, Want};

/// Longest status, error or length line accepted; Redis itself stays far below.
const LINE_MAX: usize = 64 * 1024;

/// Longest bulk accepted, Redis's own default limit.
const BULK_MAX: usize = 512 * 1024 * 1024;

/// Elements of one reply that is passed over, at all depths together.
const SKIPPED_MAX: u64 = 1 << 32;
const TOO_MANY: ProtocolError = ProtocolError("a reply has too many elements");
/// An error of RESP3 that is a bulk, whose text is passed over.
const BULK_ERROR: &str = "(an error as a bulk)";

/// Digits of a length that is allowed.
const DIGITS_MAX: usize = 9;

/// An array whose elements are coming.
#[derive(Debug)]
struct Elements {
    left: u64,
    is_first: bool,
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
    /// Elements that are to come of a reply of which nothing is wanted, at all depths together.
    skipped: u64,
    /// The bulk that comes is an error.
    is_error: bool,
}

impl Decoder {
    /// At the beginning of a reply.
    pub(crate) fn new() -> Decoder {
        Decoder {
            state: State::Line,
            line: Vec::new(),
            kept: Vec::new(),
            elements: None,
            skipped: 0,
            is_error: false,
        }
    }

    /// Takes bytes from the front of `input` up to the end of one reply: how many, and the reply if
    /// it is complete. `want` must stay the same until it is.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        want: Want<'_>,
    ) -> Result<(usize, Option<Reply>), ProtocolError> {
        let mut used = 0;
        let usual = |decoder: &Decoder, rest| {
            let expected = decoder.expected(want);
            whole(rest, want, expected).filter(|_| decoder.line.is_empty())
        };
        while used < input.len() {
            let rest = &input[used..];
            let (taken, reply) = match self.state {
                State::Line => match usual(self, rest) {
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

    /// What the bytes of a bulk must be.
    fn expected<'w>(&self, want: Want<'w>) -> Option<&'w [u8]> {
        match (want, &self.elements) {
            (Want::Value(value), _) => Some(value),
            (Want::Lengths { first, .. }, Some(elements)) if elements.is_first => first,
            _ => None,
        }
    }

    /// The reply, unless it is an element of an array that is not complete yet.
    fn gather(&mut self, reply: Reply) -> Option<Reply> {
        if self.skipped > 0 {
            self.skipped -= 1;
            return (self.skipped == 0).then_some(Reply::Skipped);
        }
        let Some(elements) = &mut self.elements else { return Some(reply) };
        match reply {
            Reply::Nil => elements.missing = true,
            Reply::Compared { same, .. } => elements.same &= same,
            _ => elements.same = false,
        }
        elements.is_first = false;
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
        let (&kind, text) = line.split_first().ok_or(ProtocolError("an empty reply line"))?;
        let is_any = matches!(want, Want::Any);
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
                    let same = left == count as u64;
                    self.elements = Some(Elements { left, is_first: true, missing: false, same });
                    None
                }
                (Want::Any, _) => self.skip(kind, number(text)?)?,
                _ => return Err(ProtocolError("an array where none was asked for")),
            },
            // Null of RESP3.
            b'_' => Some(Reply::Nil),
            b'~' | b'%' | b'>' | b'|' if is_any => self.skip(kind, number(text)?)?,
            b',' | b'#' | b'(' if is_any => Some(Reply::Skipped),
            b'=' | b'!' if is_any => {
                self.is_error = kind == b'!' && self.skipped == 0;
                self.state = body_of(number(text)?, want)?;
                None
            }
            _ => return Err(ProtocolError("an unknown reply type")),
        };
        self.line.clear();
        Ok((taken, reply))
    }

    /// Takes note of how many elements are to be passed over.
    fn skip(&mut self, kind: u8, count: i64) -> Result<Option<Reply>, ProtocolError> {
        let Ok(count) = u64::try_from(count) else { return Ok(Some(Reply::Nil)) };
        let is_inside = self.skipped > 0;
        // What has attributes comes after them, and is what was asked for.
        let (factor, more) = match kind {
            b'%' => (2, 0),
            b'|' => (2, u64::from(!is_inside)),
            _ => (1, 0),
        };
        let all = count.checked_mul(factor).and_then(|all| all.checked_add(self.skipped + more));
        self.skipped = all.filter(|all| *all <= SKIPPED_MAX).ok_or(TOO_MANY)?;
        // One that is inside another is an element itself, and so is one without any.
        let is_complete = kind != b'|' && (is_inside || count == 0);
        Ok(is_complete.then_some(Reply::Skipped))
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
            Want::Value(_) | Want::Length(_) | Want::Lengths { .. } | Want::Any => {
                let is_same = |value: &[u8]| value.get(seen..seen + taken) == Some(piece);
                same && self.expected(want).is_none_or(is_same)
            }
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
                    _ if std::mem::take(&mut self.is_error) => Reply::Error(BULK_ERROR.to_owned()),
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
fn whole(rest: &[u8], want: Want<'_>, expected: Option<&[u8]>) -> Option<(usize, Reply)> {
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
    let same = expected.is_none_or(|value| *value == body[..length]);
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
        let want = Want::Lengths { count: 2, length: 5, first: None };
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
    fn of_several_the_first_is_compared_whole() {
        let wire =
            b"*2\r\n$2\r\nab\r\n$2\r\nxy\r\n*2\r\n$2\r\nxy\r\n$2\r\nab\r\n*2\r\n_\r\n$2\r\nab\r\n";
        let want = Want::Lengths { count: 2, length: 2, first: Some(b"ab") };
        let array = |missing, same| Reply::Array { missing, same };
        let expected = [array(false, true), array(false, false), array(true, true)];
        for cut in 0..wire.len() {
            assert_eq!(decode(&[&wire[..cut], &wire[cut..]], want).unwrap(), expected);
        }
    }

    #[test]
    fn any_reply_can_be_passed_over() {
        let wire = b"%2\r\n+a\r\n*2\r\n:1\r\n*0\r\n$1\r\nb\r\n~1\r\n$-1\r\n-ERR no\r\n*-1\r\n*0\r\n#t\r\n,1.5\r\n\
              (12\r\n=5\r\ntxt:a\r\n!3\r\nERR\r\n|1\r\n+k\r\n+v\r\n*1\r\n_\r\n_\r\n>1\r\n:1\r\n+OK\r\n$2\r\nab\r\n";
        let expected = [
            Reply::Skipped,
            Reply::Error("ERR no".into()),
            Reply::Nil,
            Reply::Skipped,
            Reply::Skipped,
            Reply::Skipped,
            Reply::Skipped,
            Reply::Compared { length: 5, same: true },
            Reply::Error(BULK_ERROR.into()),
            Reply::Skipped,
            Reply::Nil,
            Reply::Skipped,
            Reply::Ok,
            Reply::Compared { length: 2, same: true },
        ];
        for cut in 0..wire.len() {
            assert_eq!(
                decode(&[&wire[..cut], &wire[cut..]], Want::Any).unwrap(),
                expected,
                "{cut}"
            );
        }
        for wire in [&b"*4294967297\r\n"[..], b"%9223372036854775807\r\n", b"~x\r\n"] {
            assert!(decode(&[wire], Want::Any).is_err(), "{wire:?}");
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
            let _ = decode(&[&wire], Want::Lengths { count: 2, length: 1, first: None });
            let _ = decode(&[&wire], Want::Any);
        }
    }
}
