//! A transaction on the shared connection: MULTI, its commands and EXEC, one right behind the other.
//!
//! Owns the node's word on each of them but the last. While all goes well those are `+OK` and
//! `+QUEUED`, and the client's reply is EXEC's. A node that declines one of them answers EXEC with
//! EXECABORT: nothing of the block has run, so it may go to another node as a whole. Nobody's request
//! can come between, because a connection's requests run in the order in which they were sent. Must
//! not know what is in a transaction.

use super::replies::PUSH;
use super::{Kind, Pipeline, State};
use crate::metrics::Outcome;
use crate::reply::{Answered, ReturnReason, returned, texts};
use crate::resp::{ProtocolError, RequestScanner, request};

/// Longest line that is believed to be a node's word on one command.
const LINE_MAX: usize = 16 * 1024;

/// What a node has said so far about the transaction that is answered next, or has yet to say.
#[derive(Debug)]
pub(in crate::backend) struct Block {
    /// Replies before EXEC's that are still to come.
    left: usize,
    /// How many have come.
    seen: usize,
    /// The first of them that declined something.
    declined: Option<Declined>,
}

/// Why a node will not run a transaction.
#[derive(Debug)]
enum Declined {
    /// The cluster's reasons: another node may run it, or this one later.
    Cluster(ReturnReason),
    /// Any other, in the node's words.
    Error(String),
}

impl Block {
    /// Of the requests in these bytes, the last of which is EXEC.
    fn of(bytes: &[u8]) -> Block {
        Block { left: requests_in(bytes).saturating_sub(1), seen: 0, declined: None }
    }

    /// Whether only EXEC's reply is still to come.
    fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Takes the node's word on the next command. `None`: it is none.
    fn take(&mut self, line: &[u8]) -> Option<()> {
        match line.first() {
            Some(b'-') if self.declined.is_none() => {
                self.declined = Some(match returned::classify(line) {
                    Some(why) => Declined::Cluster(why),
                    None => {
                        let text = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
                        Declined::Error(text.trim_end().to_owned())
                    }
                });
            }
            Some(b'-') => {}
            _ if line == [&b"+OK\r\n"[..], b"+QUEUED\r\n"][usize::from(self.seen > 0)] => {}
            _ => return None,
        }
        self.seen += 1;
        self.left -= 1;
        Some(())
    }

    /// Why the connection's end cannot have let it run, if that is known.
    pub(super) fn into_reason(self) -> Option<ReturnReason> {
        match self.declined {
            Some(Declined::Cluster(why)) => Some(why),
            _ => None,
        }
    }
}

/// How many requests these bytes are. They have been read once before.
fn requests_in(bytes: &[u8]) -> usize {
    let (mut scanner, mut at, mut count) = (RequestScanner::default(), 0, 0);
    while let Ok(request::Scan::Request(len)) =
        scanner.scan(&bytes[at..], &request::RequestLimits::NONE, true)
    {
        scanner.next();
        at += len;
        count += 1;
    }
    count
}

impl Pipeline {
    /// Does what the request of `len` bytes that was appended last needs beside its own entry.
    #[inline(never)]
    pub(super) fn attend(&self, state: &mut State, len: usize) {
        let Some(entry) = state.in_flight.last() else { return };
        let is_script = entry.handle.as_ref().is_some_and(|handle| handle.on_failure.is_script());
        if entry.kind == Kind::Block {
            let block = Block::of(state.send_queue.last(len));
            state.in_flight.blocks.push_back(block);
        }
        if is_script {
            self.append_fence(state);
        }
    }

    /// Deals with the beginning of `bytes` when the oldest entry is not answered by one reply alone.
    /// Returns how much of it is done with, and whether to go on behind that; if not, the rest waits
    /// for more.
    #[inline(never)]
    pub(super) fn take_special(
        &self,
        state: &mut State,
        bytes: &[u8],
        now_us: u64,
    ) -> Result<(usize, bool), ProtocolError> {
        match state.in_flight.first_mut().map(|entry| entry.kind) {
            Some(Kind::Block) => self.take_words(state, bytes),
            Some(Kind::Declined) => self.take_abort(state, bytes),
            _ => self.take_fenced(state, bytes, now_us),
        }
    }

    /// Takes the node's word on the commands of the oldest entry's block.
    fn take_words(&self, state: &mut State, bytes: &[u8]) -> Result<(usize, bool), ProtocolError> {
        let odd = || ProtocolError::Reply("no answer to a command of a transaction");
        let block = state.in_flight.blocks.front_mut().ok_or_else(odd)?;
        let mut at = 0;
        while !block.is_over() {
            if self.tracker.is_some() && bytes.get(at) == Some(&PUSH) {
                return Ok((at, true));
            }
            let Some(line) = line(&bytes[at..])? else { return Ok((at, false)) };
            block.take(line).ok_or_else(odd)?;
            at += line.len();
        }
        let is_declined = block.declined.is_some();
        if !is_declined {
            state.in_flight.blocks.pop_front();
        }
        if let Some(entry) = state.in_flight.first_mut() {
            let is_script = |entry: &super::Entry| {
                entry.handle.as_ref().is_some_and(|handle| handle.on_failure.is_script())
            };
            entry.kind = match is_declined {
                true => Kind::Declined,
                false if is_script(entry) => Kind::Script,
                false => Kind::Request,
            };
        }
        Ok((at, true))
    }

    /// Takes what EXEC is answered with behind a command that was declined: an error for certain.
    fn take_abort(&self, state: &mut State, bytes: &[u8]) -> Result<(usize, bool), ProtocolError> {
        let Some(line) = line(bytes)? else { return Ok((0, false)) };
        if !line.starts_with(b"-") {
            // It may have run, whatever was said before.
            state.in_flight.blocks.pop_front();
            return Err(ProtocolError::Reply("a transaction ran that had been declined"));
        }
        self.stats.requests.add(1);
        self.stats.inflight.sub(1);
        let block = state.in_flight.blocks.pop_front();
        let Some((at, entry)) = state.in_flight.take_first() else { return Ok((line.len(), true)) };
        if !entry.weight.is_none() {
            self.window.take_weight(entry.weight.bytes());
        }
        let (Some(handle), Some(declined)) = (entry.handle, block.and_then(|b| b.declined)) else {
            return Ok((line.len(), true));
        };
        match declined {
            Declined::Cluster(mut why) => {
                why.said_by(self.upstream.node.address.ip());
                if let ReturnReason::Unavailable(unavailable, _) = &why {
                    self.stats.error(unavailable.kind());
                }
                handle.returned(state.send_queue.get(at, entry.len as usize).to_vec(), why);
            }
            Declined::Error(text) => {
                let command = handle.command;
                if handle.fail(&texts::exec_abort(&text)) != Answered::NotYet {
                    self.shared.stats.command(command, Outcome::Error);
                }
            }
        }
        Ok((line.len(), true))
    }
}

/// The line that `bytes` begins with, its end included, when all of it is there.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, ProtocolError> {
    let end = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_MAX)]);
    match end {
        Some(end) => Ok(Some(&bytes[..=end])),
        None if bytes.len() >= LINE_MAX => {
            Err(ProtocolError::Reply("an endless answer to a command of a transaction"))
        }
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::write;

    fn block_of(commands: usize) -> Block {
        let mut bytes = Vec::new();
        write::request(&mut bytes, &[b"MULTI"]);
        for _ in 0..commands {
            write::request(&mut bytes, &[b"SET", b"k", b"*1\r\n$4\r\nEXEC\r\n"]);
        }
        write::request(&mut bytes, &[b"EXEC"]);
        Block::of(&bytes)
    }

    #[test]
    fn each_command_has_its_word_and_the_first_that_declines_counts() {
        let mut block = block_of(2);
        assert_eq!((block.left, block_of(0).left), (3, 1));
        assert!(block.take(b"+OK\r\n").is_some() && block.take(b"+QUEUED\r\n").is_some());
        assert!(!block.is_over());
        assert!(block.take(b"+QUEUED\r\n").is_some());
        assert!(block.is_over() && block.declined.is_none());

        let mut block = block_of(3);
        for line in ["+OK\r\n", "-OOM no\r\n", "-MOVED 1 a:1\r\n", "+QUEUED\r\n"] {
            assert!(block.take(line.as_bytes()).is_some(), "{line}");
        }
        assert!(matches!(&block.declined, Some(Declined::Error(text)) if text == "OOM no"));
        let mut block = block_of(1);
        assert!(block.take(b"+OK\r\n").is_some() && block.take(b"-MOVED 1 a:1\r\n").is_some());
        assert!(matches!(block.into_reason(), Some(ReturnReason::Moved(_))));
    }

    #[test]
    fn what_ran_at_once_is_noticed() {
        let mut block = block_of(2);
        // A node that does not take MULTI runs the commands one by one.
        assert!(block.take(b"-NOPERM no\r\n").is_some());
        for line in ["+OK\r\n", ":1\r\n", "$-1\r\n", "*0\r\n"] {
            assert!(block.take(line.as_bytes()).is_none(), "{line}");
        }
        assert!(block_of(1).take(b"+QUEUED\r\n").is_none());
    }

    #[test]
    fn a_line_is_whole_or_waits_or_is_too_long() {
        assert_eq!(line(b"+OK\r\n+Q"), Ok(Some(&b"+OK\r\n"[..])));
        assert_eq!(line(b"+OK\r"), Ok(None));
        assert!(line(&vec![b'x'; LINE_MAX]).is_err());
    }
}
