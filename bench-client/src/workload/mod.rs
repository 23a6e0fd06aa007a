//! What connections ask for and what the replies must be, as the engine sees it.
//!
//! Owns the line between requests and the bytes that are moved for them. Knows no socket and no time.
//! `on_keys` is the work of a sweep, by `op` and `key_order`; `replay` goes
//! through a file; `drawn` is the work of a comparison.

mod drawn;
mod key_order;
mod node_keys;
mod on_keys;
mod op;
mod replay;

use crate::resp::{Reply, Want};
use crate::slot_map::SlotMap;
use crate::tally::Outcome;

pub(crate) use drawn::{Drawn, Load, Verb, key, value};
pub(crate) use key_order::{Draw, KeyOrder};
pub(crate) use node_keys::NodeKeys;
pub(crate) use on_keys::{OnKeys, Work};
pub(crate) use op::{Mix, Op};
pub(crate) use replay::{Commands, Replay};

/// Up to here a value is copied beside its request; above, it is sent from where it lies.
const COPIED_VALUE_BYTES_MAX: usize = 16 * 1024;

/// A request that has been put into words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What its reply is judged by.
    pub(crate) ticket: u64,
    /// Whether `Workload::value` and a line end have to be sent after it.
    pub(crate) value_follows: bool,
}

/// A source of requests for the connections of one thread.
pub(crate) trait Workload {
    /// Chooses the next request of a connection to `node` and appends it to `out`.
    fn ask(&mut self, node: usize, out: &mut Vec<u8>) -> Asked;

    /// The value that follows a request which says so.
    fn value(&self, ticket: u64) -> &[u8];

    /// What to do with the bytes of the reply.
    fn want(&self, ticket: u64) -> Want<'_>;

    /// Takes note of who has which slots by now; returns the addresses of the nodes to connect to.
    fn reroute(&mut self, _map: &SlotMap) -> Vec<String> {
        Vec::new()
    }

    /// Which of the commands of a mix it was, counted from 0.
    fn class(&self, _ticket: u64) -> usize {
        0
    }

    /// What the reply means.
    fn outcome(&mut self, ticket: u64, reply: Reply) -> Outcome;
}

/// Appends one word of a request.
fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number over `digits`, with zeros before it.
fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_fills_its_digits() {
        let mut digits = *b"999 999";
        write_digits(&mut digits[..3], 7);
        write_digits(&mut digits[4..], 1234);
        assert_eq!(&digits, b"007 234");
    }
}
