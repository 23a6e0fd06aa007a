//! Where a node's reply ends, found while it arrives.
//!
//! Owns the walk over a reply's frames, of any size, without keeping or copying a byte of it.
//! Must not know what a reply means. Invariant: between two calls the scanner remembers only how
//! many values and how many bytes of the current bulk are still to come, and whether it stands
//! within a line.

use super::ProtocolError;
use super::number::{Line, integer_line};

/// Most children one aggregate of a reply may announce; more is a broken or hostile node.
const AGGREGATE_MAX: i64 = 1 << 32;
/// A simple string, error, double or big number longer than this is walked over in pieces; a
/// shorter one only when all of it is there. A client decides how long some are: of an unknown
/// option Redis repeats every byte.
pub const LINE_WHOLE_MAX: usize = 4096;
/// As much of such a line is given on, in whole pieces; the rest is walked over and left out.
pub const LINE_GIVEN_MAX: usize = 16 << 20;
/// A longer one has no end: the longest text that Redis keeps is 512 MiB.
const LINE_MAX: usize = 512 << 20;
/// What stands for the rest of a line that is left out.
const LINE_END: &[u8] = b"...\r\n";

/// Walks one reply after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplyScanner {
    /// Values whose header is still to come before the reply is whole.
    values: u64,
    /// Bytes of the bulk under way still to come, its CRLF included.
    skip: u64,
    /// Within a text line that was too long to wait for its end.
    in_line: bool,
    /// Bytes of that line which have been walked over.
    line_bytes: usize,
}

/// How far a call to [`ReplyScanner::advance`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that belong to the reply under way and have been walked over.
    pub used: usize,
    /// Whether the reply ends there.
    pub whole: bool,
    /// What of the bytes is left out.
    pub left_out: LeftOut,
}

/// What of the bytes that were walked over is not given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Nothing.
    Nothing,
    /// All: they are the rest of too long a line, and it goes on.
    Line,
    /// All, and the line ends with them.
    LineToEnd,
}

impl Progress {
    /// What is to be given on of `bytes`, which [`ReplyScanner::advance`] was called with.
    #[inline]
    pub fn piece<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.left_out {
            LeftOut::Nothing => &bytes[..self.used],
            LeftOut::Line => &[],
            LeftOut::LineToEnd => LINE_END,
        }
    }
}

impl ReplyScanner {
    /// Whether no reply is under way.
    pub fn at_start(&self) -> bool {
        self.values == 0 && self.skip == 0
    }

    /// Walks on over `bytes`, at most to the end of one reply. What it did not use (half a header
    /// line) must come again at the start of the next call.
    #[inline]
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Progress, ProtocolError> {
        if self.at_start() {
            self.values = 1;
        }
        if self.in_line && self.line_bytes > LINE_GIVEN_MAX {
            return self.leave_out(bytes);
        }
        let (mut used, left_out) = (0, LeftOut::Nothing);
        loop {
            if self.skip > 0 {
                let step =
                    (bytes.len() - used).min(usize::try_from(self.skip).unwrap_or(usize::MAX));
                used += step;
                self.skip -= step as u64;
                if self.skip > 0 {
                    return Ok(Progress { used, whole: false, left_out });
                }
            }
            if self.values == 0 {
                return Ok(Progress { used, whole: true, left_out });
            }
            match self.header(&bytes[used..])? {
                0 => return Ok(Progress { used, whole: false, left_out }),
                len => used += len,
            }
        }
    }

    /// Takes the header line at the start of `bytes`; 0 when it is not there in full.
    #[inline(always)]
    fn header(&mut self, bytes: &[u8]) -> Result<usize, ProtocolError> {
        let Some(&kind) = bytes.first() else { return Ok(0) };
        match kind {
            _ if self.in_line => Ok(self.text_line(bytes)),
            b'$' | b'=' | b'!' => {
                let Some((value, len)) = number(bytes)? else { return Ok(0) };
                self.values -= 1;
                self.skip = match value {
                    -1 => 0,
                    0.. => value as u64 + 2,
                    _ => return Err(ProtocolError::Reply("a negative bulk length")),
                };
                Ok(len)
            }
            b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => Ok(self.text_line(bytes)),
            b'*' | b'~' | b'>' | b'%' | b'|' => self.aggregate(kind, bytes),
            _ => Err(ProtocolError::Reply("an unknown type byte")),
        }
    }

    /// Walks over a text line, or what there is of a long one; returns how far.
    #[inline]
    fn text_line(&mut self, bytes: &[u8]) -> usize {
        if let Some(len) = line_len(bytes) {
            self.in_line = false;
            self.values -= 1;
            return len;
        }
        if !self.in_line && bytes.len() <= LINE_WHOLE_MAX {
            return 0;
        }
        // Half of the line's end comes again with the other half.
        let used = bytes.len() - usize::from(bytes.ends_with(b"\r"));
        self.line_bytes = if self.in_line { self.line_bytes + used } else { used };
        self.in_line = true;
        used
    }

    /// Walks on over a line of which enough has been given on: memory must not grow with it, and
    /// the connection, which others share, must not end for what a client made a node say.
    #[cold]
    fn leave_out(&mut self, bytes: &[u8]) -> Result<Progress, ProtocolError> {
        let used = self.text_line(bytes);
        if self.line_bytes > LINE_MAX {
            return Err(ProtocolError::Reply("a line without an end"));
        }
        let left_out = if self.in_line { LeftOut::Line } else { LeftOut::LineToEnd };
        Ok(Progress { used, whole: self.values == 0, left_out })
    }

    fn aggregate(&mut self, kind: u8, bytes: &[u8]) -> Result<usize, ProtocolError> {
        let Some((value, len)) = number(bytes)? else { return Ok(0) };
        if !(-1..=AGGREGATE_MAX).contains(&value) {
            return Err(ProtocolError::Reply("an impossible aggregate length"));
        }
        let children = value.max(0) as u64;
        let children = if matches!(kind, b'%' | b'|') { children * 2 } else { children };
        // An attribute comes before the value it speaks of, so it takes no value's place.
        let own = u64::from(kind != b'|');
        self.values = self.values.saturating_add(children) - own;
        Ok(len)
    }
}

fn number(bytes: &[u8]) -> Result<Option<(i64, usize)>, ProtocolError> {
    match integer_line(bytes) {
        Line::Integer { value, len } => Ok(Some((value, len))),
        Line::Partial => Ok(None),
        Line::Malformed => Err(ProtocolError::Reply("a malformed length")),
    }
}

/// Length of the line at the start of `bytes` with its CRLF. A `\n` alone ends no line: Redis lets
/// some through in errors.
#[inline]
fn line_len(bytes: &[u8]) -> Option<usize> {
    let mut ends = memchr::memchr_iter(b'\n', bytes);
    ends.find(|&end| end > 0 && bytes[end - 1] == b'\r').map(|end| end + 1)
}

/// Length of the whole frame at the start of `bytes`, when it is all there.
pub fn frame_len(bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let progress = ReplyScanner::default().advance(bytes)?;
    Ok(progress.whole.then_some(progress.used))
}

/// Whether the frame at the start of `bytes` nests at most `limit` aggregates deep. Only whole
/// frames may be asked about; what decodes recursively must be asked about first.
pub fn nests_within(bytes: &[u8], limit: usize) -> bool {
    let mut open: Vec<u64> = Vec::new();
    let mut at = 0;
    loop {
        let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return true };
        let mut one = ReplyScanner { values: 1, ..ReplyScanner::default() };
        let Ok(len) = one.header(rest) else { return false };
        if len == 0 {
            return false;
        }
        at += len + usize::try_from(one.skip).unwrap_or(usize::MAX - len);
        let attribute = u64::from(rest[0] == b'|');
        if let Some(left) = open.last_mut() {
            *left = *left + attribute - 1;
        }
        if one.values > attribute {
            open.push(one.values - attribute);
        }
        while open.last() == Some(&0) {
            open.pop();
        }
        if open.len() > limit {
            return false;
        }
        if open.is_empty() && attribute == 0 {
            return true;
        }
    }
}

/// Whether the whole frame that `bytes` are has at most `limit` values, aggregates included.
pub fn holds_at_most(bytes: &[u8], limit: usize) -> bool {
    let (mut at, mut count) = (0, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let mut one = ReplyScanner { values: 1, ..ReplyScanner::default() };
        count += 1;
        match one.header(rest) {
            Ok(len @ 1..) if count <= limit => {
                at += len + usize::try_from(one.skip).unwrap_or(usize::MAX - len);
            }
            _ => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of every type, each whole.
    const FRAMES: [&[u8]; 17] = [
        b"+OK\r\n",
        b"+\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$0\r\n\r\n",
        b"$-1\r\n",
        b"$5\r\na\r\nb\n\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        b"_\r\n",
        b",1.5\r\n",
        b"#t\r\n",
        b"=7\r\ntxt:abc\r\n",
        b"%2\r\n+a\r\n:1\r\n+b\r\n~1\r\n(123\r\n",
        b"|1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n",
        b"!3\r\nERR\r\n",
    ];

    /// Feeds `input` in pieces that end at `cuts`; returns where replies ended.
    fn ends(input: &[u8], cuts: &[usize]) -> Vec<usize> {
        let mut scanner = ReplyScanner::default();
        let (mut at, mut found) = (0, Vec::new());
        for &cut in cuts.iter().chain([&input.len()]) {
            while at < cut {
                let progress = scanner.advance(&input[at..cut]).expect("valid input");
                at += progress.used;
                if progress.whole {
                    found.push(at);
                }
                if progress.used == 0 || (!progress.whole && at < cut) {
                    break;
                }
            }
        }
        found
    }

    #[test]
    fn every_split_gives_the_same_frames() {
        let input: Vec<u8> = FRAMES.concat();
        let mut sum = 0;
        let want: Vec<usize> = FRAMES
            .iter()
            .map(|f| {
                sum += f.len();
                sum
            })
            .collect();
        assert_eq!(ends(&input, &[]), want);
        for first in 0..input.len() {
            for second in [first + 1, first + 2, first + 7, first + 40] {
                assert_eq!(
                    ends(&input, &[first, second.min(input.len())]),
                    want,
                    "{first} {second}"
                );
            }
        }
        let bytewise: Vec<usize> = (0..input.len()).collect();
        assert_eq!(ends(&input, &bytewise), want);
    }

    #[test]
    fn long_lines_come_in_pieces() {
        let long = |len: usize| [b"-ERR \n\r", &vec![b'x'; len][..], b"\r\n"].concat();
        for len in [0, 1, LINE_WHOLE_MAX - 7, LINE_WHOLE_MAX, 300_000] {
            let line = long(len);
            let input = [b"*2\r\n", &line[..], b":1\r\n", &line[..]].concat();
            let want = [4 + line.len() + 4, input.len()];
            for piece in [1000, LINE_WHOLE_MAX + 1, 100_000] {
                let (mut scanner, mut at, mut end, mut found) =
                    (ReplyScanner::default(), 0, 0, Vec::new());
                while at < input.len() {
                    end = (end + piece).min(input.len());
                    loop {
                        let progress = scanner.advance(&input[at..end]).expect("valid input");
                        at += progress.used;
                        if !progress.whole {
                            break;
                        }
                        found.push(at);
                    }
                    assert!(end - at <= LINE_WHOLE_MAX, "{} bytes are not taken", end - at);
                }
                assert_eq!(found, want, "{len} {piece}");
            }
        }
    }

    /// What is given on of `input`, which comes in pieces.
    fn given(input: &[u8], piece: usize) -> Vec<u8> {
        let (mut scanner, mut at, mut end, mut out) = (ReplyScanner::default(), 0, 0, Vec::new());
        while at < input.len() {
            end = (end + piece).min(input.len());
            loop {
                let progress = scanner.advance(&input[at..end]).expect("valid input");
                out.extend_from_slice(progress.piece(&input[at..end]));
                at += progress.used;
                let stops = !progress.whole && progress.left_out != LeftOut::LineToEnd;
                if stops || at == end {
                    break;
                }
            }
        }
        assert!(scanner.at_start());
        out
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let line = |len: usize| [b"-ERR ", &vec![b'x'; len][..], b"\r\n"].concat();
        for piece in [5000, 70_001, 32 << 20] {
            let short = [b"*2\r\n", &line(LINE_GIVEN_MAX - 6)[..], b":1\r\n"].concat();
            assert!(given(&short, piece) == short, "{piece}");
        }
        let input = [b"*3\r\n", &line(40 << 20)[..], b":1\r\n", &line(10)[..], b"+OK\r\n"].concat();
        for piece in [5000, 70_001] {
            let out = given(&input, piece);
            assert!(out.len() <= LINE_GIVEN_MAX + piece + 100, "{} {piece}", out.len());
            let end = [b"x...\r\n:1\r\n", &line(10)[..], b"+OK\r\n"].concat();
            assert!(out.ends_with(&end), "{piece}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_an_error() {
        let (mut scanner, bytes) = (ReplyScanner::default(), vec![b'-'; 1 << 20]);
        let mut walked = 0;
        while let Ok(progress) = scanner.advance(&bytes) {
            walked += progress.used;
            assert!(walked <= LINE_MAX + bytes.len());
        }
        assert!(walked >= LINE_MAX);
    }

    #[test]
    fn garbage_is_an_error() {
        let cases: [&[u8]; 7] =
            [b"x", b"$-2\r\n", b"$a\r\n", b"*99999999999\r\n", b"*-2\r\n", b"\r\n", b"$?\r\n"];
        for bytes in cases {
            assert!(ReplyScanner::default().advance(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn values_are_counted() {
        let three = b"*2\r\n$1\r\na\r\n*0\r\n";
        assert!(holds_at_most(three, 3) && !holds_at_most(three, 2));
        for frame in FRAMES {
            assert!(holds_at_most(frame, 7), "{:?}", String::from_utf8_lossy(frame));
        }
    }

    #[test]
    fn depth_is_counted() {
        let deep = |n: usize| [b"*1\r\n".repeat(n), b":1\r\n".to_vec()].concat();
        assert!(nests_within(&deep(0), 0));
        assert!(nests_within(&deep(128), 128));
        assert!(!nests_within(&deep(129), 128));
        assert!(!nests_within(&deep(100_000), 128));
        for frame in FRAMES {
            assert!(nests_within(frame, 2), "{:?}", String::from_utf8_lossy(frame));
        }
        assert!(nests_within(b"*3\r\n*1\r\n:1\r\n*1\r\n:1\r\n*1\r\n:1\r\n", 2));
    }
}
