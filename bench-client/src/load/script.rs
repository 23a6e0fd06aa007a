//! The requests of one client, encoded once; before each is sent only the digits of its keys change.
//!
//! Owns key names and values of a load. Knows no socket and no time.

use super::{Load, Verb};

/// Every key ends in so many digits, so that a drawn key can be written over the last one.
const DIGITS: usize = 9;
/// One of so many requests of a mix is a SET.
const MIX_PERIOD: usize = 5;
const VALUE_SEED: u64 = 0x5107_3A4B;

/// The name of key `number` among those with values of `bytes`.
pub(crate) fn key(bytes: usize, number: u64) -> String {
    format!("bench:{bytes}:{number:0DIGITS$}")
}

/// A value that cannot be compressed.
pub(crate) fn value(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(VALUE_SEED);
    (0..bytes).map(|_| random.alphanumeric() as u8).collect()
}

/// Requests of one client, sent in a circle.
#[derive(Debug)]
pub(super) struct Script {
    bytes: Vec<u8>,
    /// Where the batches lie in `bytes`, in the order they are sent.
    batches: Vec<Batch>,
    next: usize,
    keys: u64,
    random: fastrand::Rng,
}

#[derive(Debug)]
struct Batch {
    start: usize,
    end: usize,
    /// Where the digits of its keys are.
    digits: Vec<usize>,
}

impl Script {
    /// The requests of client `number`.
    pub(super) fn new(load: &Load, number: usize) -> Script {
        let value = value(load.bytes);
        let mut script = Script {
            bytes: Vec::new(),
            batches: Vec::new(),
            next: 0,
            keys: load.keys.max(1),
            random: fastrand::Rng::with_seed(number as u64 + 1),
        };
        // As many batches as it takes until the pattern of a mix comes to an end with a batch.
        let batches = if load.verb == Verb::Mix { MIX_PERIOD } else { 1 };
        let mut place = 0;
        for _ in 0..batches {
            let mut batch = Batch { start: script.bytes.len(), end: 0, digits: Vec::new() };
            for _ in 0..load.pipeline {
                push_request(&mut script.bytes, &mut batch.digits, load, place, &value);
                place += 1;
            }
            batch.end = script.bytes.len();
            script.batches.push(batch);
        }
        // Not every client is to send its SET in the same turn.
        script.next = number % script.batches.len();
        script
    }

    /// Draws the keys of the next batch and says where it lies.
    pub(super) fn next(&mut self) -> (usize, usize) {
        let batch = &self.batches[self.next];
        for at in &batch.digits {
            let mut rest = self.random.u64(..self.keys);
            for digit in self.bytes[*at..*at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        self.next = (self.next + 1) % self.batches.len();
        (batch.start, batch.end)
    }

    /// The bytes in which batches lie.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn push_request(
    out: &mut Vec<u8>,
    digits: &mut Vec<usize>,
    load: &Load,
    place: usize,
    value: &[u8],
) {
    let is_set = place % MIX_PERIOD == MIX_PERIOD - 1;
    let (name, keys, with_value) = match load.verb {
        Verb::Get => ("GET", 1, false),
        Verb::Set => ("SET", 1, true),
        Verb::Mix if is_set => ("SET", 1, true),
        Verb::Mix => ("GET", 1, false),
        Verb::Mget(keys) => ("MGET", keys, false),
        Verb::Mset(keys) => ("MSET", keys, true),
    };
    let words = 1 + keys * (1 + usize::from(with_value));
    out.extend_from_slice(format!("*{words}\r\n").as_bytes());
    push_word(out, name.as_bytes());
    for _ in 0..keys {
        push_word(out, key(load.bytes, 0).as_bytes());
        digits.push(out.len() - b"\r\n".len() - DIGITS);
        if with_value {
            push_word(out, value);
        }
    }
}

/// Appends one word of a request.
pub(super) fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(script: &mut Script) -> String {
        let (start, end) = script.next();
        String::from_utf8_lossy(&script.bytes()[start..end]).into_owned()
    }

    fn load(verb: Verb, pipeline: usize) -> Load {
        Load { verb, bytes: 3, keys: 1, pipeline, clients: 1 }
    }

    #[test]
    fn a_batch_is_a_pipeline_of_whole_requests() {
        let get = "*2\r\n$3\r\nGET\r\n$17\r\nbench:3:000000000\r\n";
        assert_eq!(sent(&mut Script::new(&load(Verb::Get, 2), 0)), get.repeat(2));
        let mset = sent(&mut Script::new(&load(Verb::Mset(2), 1), 0));
        assert!(mset.starts_with("*5\r\n$4\r\nMSET\r\n$17\r\nbench:3:000000000\r\n$3\r\n"));
    }

    #[test]
    fn keys_are_drawn_from_all_and_written_in_place() {
        let wide = Load { keys: 1_000_000_000, ..load(Verb::Mget(2), 1) };
        let mut script = Script::new(&wide, 7);
        let (first, second) = (sent(&mut script), sent(&mut script));
        assert_ne!(first, second);
        assert_eq!(first.len(), second.len());
        assert_eq!(first.matches("bench:3:").count(), 2);
    }

    #[test]
    fn a_fifth_of_a_mix_is_written() {
        for pipeline in [1, 16] {
            let mut script = Script::new(&load(Verb::Mix, pipeline), 3);
            let all: String = (0..MIX_PERIOD).map(|_| sent(&mut script)).collect();
            assert_eq!(all.matches("SET").count(), pipeline);
            assert_eq!(all.matches("GET").count(), 4 * pipeline);
        }
    }
}
