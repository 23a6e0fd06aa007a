//! Where the reply to a script ends, told by something its author cannot know.
//!
//! Redis puts a script's own words into error lines, and some of them with line ends in them:
//! `#!lua "\r\n+X"` is answered with two frames instead of one, and older servers let the text of any
//! error through. On a connection that many clients share every later reply would then go to the
//! wrong client. So a fence goes out behind every request of that kind: a command whose name nobody
//! can guess. The node repeats the name when it declines it, and whatever comes before that belongs
//! to the script.
//!
//! Owns the fences' names, and the reading of what lies before one. An unknown command and not an
//! ECHO, because a node answers it in the same way whatever its state and whatever the user of the
//! connection may do: an ECHO is declined with `-BUSY`, `-LOADING` or `-NOPERM`, which a script
//! could say as well. Invariant: no later reply handle is answered before the fence has been seen.

use std::hash::{BuildHasher, RandomState};

use super::replies::PUSH;
use super::{Kind, Pipeline, State};
use crate::metrics::Outcome;
use crate::reply::{Answered, texts};
use crate::resp::reply::LeftOut;
use crate::resp::{ProtocolError, ReplyScanner};

/// Digits of a fence's name.
const NAME_LEN: usize = 32;
/// What precedes the name in the request.
const HEADER: &[u8] = b"*1\r\n$32\r\n";
/// Bytes of a fence's request.
const FENCE_LEN: usize = HEADER.len() + NAME_LEN + 2;
/// What precedes the name in the node's answer, but for a quotation mark, which is not the same in
/// every version.
const ANSWER: &[u8] = b"-ERR unknown command ";
/// Where the name begins in the answer.
const NAME_AT: usize = ANSWER.len() + 1;
/// Longest answer that is believed; those that are known have some thirty bytes behind the name.
const ANSWER_MAX: usize = 256;

/// The names of the fences of one pipeline.
#[derive(Debug, Default)]
pub(super) struct Fences {
    /// Random keys of a keyed hash: who has seen names cannot tell the next.
    keys: RandomState,
    /// How many have been sent.
    sent: u64,
    /// How many of them have been seen again, or will never be.
    passed: u64,
    /// What came before the next one was not one reply.
    is_misfit: bool,
    /// That has happened on this connection, and has been told.
    warned: bool,
}

/// What was found of the next fence's answer.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// So many bytes come before it, or before what may be its beginning.
    before: usize,
    /// Whether it is there for certain.
    seen: bool,
    /// Where it ends, once all of it is there.
    end: Option<usize>,
}

impl Fences {
    /// Two hashes as hexadecimal digits.
    fn name(&self, number: u64) -> [u8; NAME_LEN] {
        let halves = [0u8, 1].map(|half| self.keys.hash_one((number, half)));
        std::array::from_fn(|at| {
            let nibble = halves[at / 16] >> (at % 16 * 4) & 15;
            b"0123456789abcdef"[nibble as usize]
        })
    }

    /// The request that asks for the next one.
    fn next(&mut self) -> [u8; FENCE_LEN] {
        let name = self.name(self.sent);
        self.sent += 1;
        let mut request = [0; FENCE_LEN];
        request[..HEADER.len()].copy_from_slice(HEADER);
        request[HEADER.len()..][..NAME_LEN].copy_from_slice(&name);
        request[FENCE_LEN - 2..].copy_from_slice(b"\r\n");
        request
    }

    /// The connection is gone, and with it all fences in it.
    pub(super) fn forget(&mut self) {
        self.passed = self.sent;
        (self.is_misfit, self.warned) = (false, false);
    }

    /// Looks for the next answer in `bytes`.
    fn find(&self, bytes: &[u8]) -> Result<Found, ProtocolError> {
        find(&self.name(self.passed), bytes)
    }
}

fn find(name: &[u8], bytes: &[u8]) -> Result<Found, ProtocolError> {
    let Some(name_at) = memchr::memmem::find(bytes, name) else {
        return Ok(Found { before: bytes.len() - begun(name, bytes), seen: false, end: None });
    };
    let answer = "an unknown command's answer of an unknown kind";
    let before = name_at.checked_sub(NAME_AT).ok_or(ProtocolError::Reply(answer))?;
    let rest = &bytes[name_at + NAME_LEN..];
    let line = memchr::memchr(b'\n', rest).map(|end| end + 1);
    if !bytes[before..].starts_with(ANSWER) || line.unwrap_or(rest.len()) > ANSWER_MAX {
        return Err(ProtocolError::Reply(answer));
    }
    Ok(Found { before, seen: true, end: line.map(|len| name_at + NAME_LEN + len) })
}

/// How many bytes at the end of `bytes` may be the beginning of the answer with this name.
fn begun(name: &[u8], bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(NAME_AT + NAME_LEN - 1)..];
    // Only its first byte is a hyphen.
    let Some(at) = memchr::memrchr(b'-', tail) else { return 0 };
    let half = &tail[at..];
    let (line, digits) = half.split_at(half.len().min(NAME_AT));
    let is_begun = ANSWER.starts_with(&line[..line.len().min(ANSWER.len())]);
    if is_begun && name.starts_with(digits) { half.len() } else { 0 }
}

impl Pipeline {
    /// Puts a fence behind the request that was appended last.
    #[inline(never)]
    pub(super) fn append_fence(&self, state: &mut State) {
        let request = state.fences.next();
        state.send_queue.append(&request);
        state.in_flight.push_own(request.len(), Kind::Fence);
        self.stats.inflight.add(1);
    }

    /// Deals with the beginning of `bytes` when the oldest entry is a script's request or a fence.
    /// Returns how much of it is done with, and whether to go on behind that; if not, the rest
    /// waits for more.
    #[inline(never)]
    pub(super) fn take_fenced(
        &self,
        state: &mut State,
        bytes: &[u8],
        now_us: u64,
    ) -> Result<(usize, bool), ProtocolError> {
        let found = state.fences.find(bytes)?;
        let own = &bytes[..found.before];
        if state.in_flight.first_mut().is_some_and(|entry| entry.kind == Kind::Script) {
            return self.take_script(state, own, found.seen, now_us);
        }
        if !own.is_empty() {
            self.note_misfit(state);
        }
        let Some(end) = found.end else { return Ok((found.before, false)) };
        state.fences.passed += 1;
        state.fences.is_misfit = false;
        state.in_flight.drop_first();
        self.stats.inflight.sub(1);
        Ok((end, true))
    }

    /// Takes the script's one reply, or a piece of it, from `own`; `is_all` says that nothing more
    /// of it can come.
    fn take_script(
        &self,
        state: &mut State,
        own: &[u8],
        is_all: bool,
        now_us: u64,
    ) -> Result<(usize, bool), ProtocolError> {
        let begins = state.scanner.at_start();
        let Ok(progress) = state.scanner.advance(own) else {
            self.refuse_misfit(state);
            return Ok((own.len(), true));
        };
        let piece = progress.piece(own);
        if begins && !piece.is_empty() {
            state.kind = piece[0];
        }
        if progress.whole {
            if state.kind != PUSH {
                self.redeem(state, piece, begins, now_us)?;
            }
            return Ok((progress.used, true));
        }
        if progress.left_out == LeftOut::LineToEnd {
            self.pass_on(state, piece)?;
            return Ok((progress.used, true));
        }
        if is_all {
            self.refuse_misfit(state);
            return Ok((own.len(), true));
        }
        if piece.is_empty() {
            if begins {
                state.scanner = ReplyScanner::default();
            }
        } else if state.kind != PUSH {
            self.pass_on(state, piece)?;
        }
        Ok((progress.used, false))
    }

    /// What came for the oldest request, a script's, is no reply, or half a one.
    fn refuse_misfit(&self, state: &mut State) {
        self.note_misfit(state);
        (state.scanner, state.kind) = (ReplyScanner::default(), 0);
        self.stats.requests.add(1);
        self.stats.inflight.sub(1);
        state.passed_bytes = 0;
        let passed_on = std::mem::take(&mut state.passed_on);
        let Some((_, entry)) = state.in_flight.take_first() else { return };
        self.window.take_weight(entry.weight.bytes());
        let Some(handle) = entry.handle else { return };
        let command = handle.command;
        let whole_again = if passed_on { handle.broke_off() } else { Some(handle) };
        let answered = whole_again.map(|handle| handle.fail(texts::SCRIPT_REPLY));
        if answered != Some(Answered::NotYet) {
            self.shared.stats.command(command, Outcome::GatewayError);
        }
    }

    /// Counts and, once for a connection, tells of a script whose reply was not one. Its bytes are
    /// not told: they are its author's.
    fn note_misfit(&self, state: &mut State) {
        if std::mem::replace(&mut state.fences.is_misfit, true) {
            return;
        }
        self.stats.error("script_reply");
        if !std::mem::replace(&mut state.fences.warned, true) {
            tracing::warn!(
                node = %self.upstream.node.name,
                "the reply to a script was not one reply; no other client got any of it"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn answer(quote: &str) -> Vec<u8> {
        let name = String::from_utf8_lossy(NAME);
        format!("-ERR unknown command {quote}{name}{quote}, with args beginning with: \r\n").into()
    }

    #[test]
    fn an_answer_is_found_wherever_it_is_cut() {
        for (quote, before) in
            [("'", "+OK\r\n"), ("`", ""), ("'", "-ERR unknown command '0123"), ("'", "--ERR ")]
        {
            let all = [before.as_bytes(), &answer(quote), b"+next\r\n"].concat();
            let end = before.len() + answer(quote).len();
            for cut in 0..=all.len() {
                let found = find(NAME, &all[..cut]).expect("an answer");
                let seen = cut >= before.len() + NAME_AT + NAME_LEN;
                assert_eq!(found.seen, seen, "{cut}");
                assert_eq!(found.end, (cut >= end).then_some(end), "{cut}");
                // Nothing of the answer is given away, and what is surely not of it is.
                assert!(found.before <= before.len(), "{cut}");
                assert!(!seen || found.before == before.len(), "{cut}");
            }
        }
        let nothing = Found { before: 5, seen: false, end: None };
        assert_eq!(find(NAME, b"-OK\r\n"), Ok(nothing));
    }

    #[test]
    fn another_answer_is_none() {
        for text in ["+", "-ERR unknown thing__ '", "-ERR unknown command"] {
            let bytes = [text.as_bytes(), NAME, b"\r\n"].concat();
            assert!(find(NAME, &bytes).is_err(), "{text}");
        }
        let endless = [&answer("'")[..NAME_AT + NAME_LEN], &[b'x'; ANSWER_MAX + 1]].concat();
        assert!(find(NAME, &endless).is_err());
    }

    #[test]
    fn no_name_comes_twice() {
        let (mut fences, other) = (Fences::default(), Fences::default());
        let first = fences.next();
        assert_eq!(first.to_vec(), [HEADER, &fences.name(0), b"\r\n"].concat());
        let names: std::collections::HashSet<[u8; NAME_LEN]> =
            (0..100).map(|n| fences.name(n)).collect();
        assert_eq!(names.len(), 100);
        assert!((0..100).all(|n| !names.contains(&other.name(n))));
    }
}
