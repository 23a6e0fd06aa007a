//! Counts the replies in a stream of bytes and looks no further than it must.
//!
//! Owns where one reply ends. Knows no socket. Invariants: no input makes it panic; it stores no
//! more than one unfinished line of bounded length.

/// Longer lines are not kept whole; what is left out would only be shown.
const LINE_MAX: usize = 4096;

/// What the peer said is not RESP2, or not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

/// Finds the ends of replies.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Bytes of a bulk, and of its line end, that are still to come.
    skip: usize,
    /// Elements of arrays that are still to come.
    elements: u64,
    /// The beginning of a line whose end is still to come.
    line: Vec<u8>,
    /// Something in the reply that is under way was not as it should be.
    bad: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Replies complete.
    pub(super) replies: u64,
    /// Those of them that were errors, or not of the length they should have.
    pub(super) wrong: u64,
    /// The first of those.
    pub(super) example: Option<String>,
}

impl Scanner {
    /// Takes bytes as they come. Bulks are to be of `bulk` bytes.
    pub(super) fn feed(
        &mut self,
        mut rest: &[u8],
        bulk: usize,
        seen: &mut Seen,
    ) -> Result<(), Nonsense> {
        while !rest.is_empty() {
            if self.skip > 0 {
                let taken = self.skip.min(rest.len());
                rest = &rest[taken..];
                self.skip -= taken;
                if self.skip == 0 {
                    self.element_ends(seen);
                }
                continue;
            }
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.keep(rest);
                return Ok(());
            };
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            if self.line.is_empty() {
                self.take_line(line, bulk, seen)?;
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.line);
                self.take_line(&whole, bulk, seen)?;
                whole.clear();
                self.line = whole;
            }
        }
        Ok(())
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LINE_MAX.saturating_sub(self.line.len()).min(piece.len());
        self.line.extend_from_slice(&piece[..room]);
    }

    /// `line` is without its `\n`.
    fn take_line(&mut self, line: &[u8], bulk: usize, seen: &mut Seen) -> Result<(), Nonsense> {
        match line {
            [b'+' | b':', ..] => self.element_ends(seen),
            [b'-', ..] => {
                self.note(line, seen);
                self.element_ends(seen);
            }
            [b'$', b'-', ..] => {
                self.note(b"a key is not there", seen);
                self.element_ends(seen);
            }
            [b'$', digits @ ..] => {
                let length = number(digits)?;
                if length != bulk {
                    self.note(b"a value is not of the length that was written", seen);
                }
                self.skip = length.checked_add(b"\r\n".len()).ok_or(Nonsense)?;
            }
            [b'*', digits @ ..] => {
                let count = number(digits)? as u64;
                // The array itself is one element of what it is in.
                self.elements = self.elements.max(1).checked_add(count).ok_or(Nonsense)?;
                self.element_ends(seen);
            }
            _ => return Err(Nonsense),
        }
        Ok(())
    }

    fn note(&mut self, what: &[u8], seen: &mut Seen) {
        self.bad = true;
        if seen.example.is_none() {
            seen.example = Some(String::from_utf8_lossy(what).trim_end().to_owned());
        }
    }

    fn element_ends(&mut self, seen: &mut Seen) {
        self.elements = self.elements.saturating_sub(1);
        if self.elements == 0 {
            seen.replies += 1;
            seen.wrong += u64::from(self.bad);
            self.bad = false;
        }
    }
}

fn number(digits: &[u8]) -> Result<usize, Nonsense> {
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    if digits.is_empty() {
        return Err(Nonsense);
    }
    digits
        .iter()
        .try_fold(0_usize, |number, digit| match digit {
            b'0'..=b'9' => {
                number.checked_mul(10).and_then(|n| n.checked_add(usize::from(digit - b'0')))
            }
            _ => None,
        })
        .ok_or(Nonsense)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(pieces: &[&[u8]]) -> Result<(u64, u64, Option<String>), Nonsense> {
        let (mut scanner, mut seen) = (Scanner::default(), Seen::default());
        for piece in pieces {
            scanner.feed(piece, 5, &mut seen)?;
        }
        Ok((seen.replies, seen.wrong, seen.example))
    }

    #[test]
    fn replies_are_counted_wherever_they_are_cut() {
        let wire = b"+OK\r\n$5\r\nhe\nlo\r\n*3\r\n$5\r\nhello\r\n*2\r\n:1\r\n+x\r\n$-1\r\n*0\r\n:7\r\n-ERR no\r\n";
        let whole = scanned(&[wire]).unwrap();
        assert_eq!(whole, (6, 2, Some("a key is not there".to_owned())));
        for first in 0..wire.len() {
            for second in first..wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                assert_eq!(scanned(&pieces).unwrap(), whole);
            }
        }
    }

    #[test]
    fn a_value_of_another_length_is_wrong() {
        assert_eq!(scanned(&[b"$4\r\nhell\r\n"]).unwrap().1, 1);
        assert_eq!(scanned(&[b"-MOVED 1 a:1\r\n"]).unwrap().2.unwrap(), "-MOVED 1 a:1");
    }

    #[test]
    fn nonsense_is_told_and_never_a_panic() {
        let wires: [&[u8]; 6] =
            [b"\r\n", b"?x\r\n", b"$x\r\n", b"*-1\r\n", b"$99999999999999999999\r\n", b"\n"];
        for wire in wires {
            assert!(scanned(&[wire]).is_err(), "{wire:?}");
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..5_000 {
            let wire: Vec<u8> =
                (0..40).map(|_| b"+-:$*0123456789\r\n\r\nOK\xff"[random.usize(..22)]).collect();
            let _ = scanned(&[&wire]);
        }
    }
}
