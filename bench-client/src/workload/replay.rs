//! The work of a replay: the commands of a file, one after the other, over and over.
//!
//! Owns the file's form, which is that of redis-cli, and which commands cannot be replayed. Knows no
//! socket and no time. Invariant: each command has exactly one reply, whatever connection it is sent
//! on.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Asked, Workload, push_word};
use crate::resp::{Reply, Want};
use crate::tally::Outcome;

/// The most commands of a file.
const COMMANDS_MAX: usize = 10_000_000;

/// Commands after which a connection has more or fewer replies than requests, or none at all.
const UNPAIRED: [&str; 13] = [
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SSUBSCRIBE",
    "SUNSUBSCRIBE",
    "MONITOR",
    "SYNC",
    "PSYNC",
    "QUIT",
    "RESET",
    "HELLO",
    "SHUTDOWN",
];
/// Commands that mean something for those after them on the same connection.
const STATEFUL: [&str; 7] = ["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH", "SELECT", "CLIENT"];

/// The commands of a file, as they are sent.
#[derive(Debug)]
pub(crate) struct Commands {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Commands {
    /// Reads a command a line, in redis-cli's quoting; empty lines and those that begin with # are
    /// left out. With several connections, what makes sense on one alone is refused.
    pub(crate) fn parse(text: &[u8], connections: usize) -> Result<Commands, String> {
        let mut commands = Commands { bytes: Vec::new(), ends: Vec::new() };
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |why: String| format!("line {}: {why}", number + 1);
            let words = words(line).map_err(|why| wrong(why.to_owned()))?;
            let name = words.first().map(|word| String::from_utf8_lossy(word).to_uppercase());
            let name = name.unwrap_or_default();
            if UNPAIRED.contains(&name.as_str()) {
                return Err(wrong(format!("{name} cannot be replayed: it has not one reply")));
            }
            if connections > 1 && STATEFUL.contains(&name.as_str()) {
                return Err(wrong(format!(
                    "{name} concerns one connection, and commands are spread over {connections}; \
                     use --connections 1"
                )));
            }
            if name == "CLIENT"
                && words.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"REPLY"))
            {
                return Err(wrong(
                    "CLIENT REPLY cannot be replayed: it changes replies".to_owned(),
                ));
            }
            if commands.ends.len() == COMMANDS_MAX {
                return Err(wrong(format!("more than {COMMANDS_MAX} commands")));
            }
            commands.bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            words.iter().for_each(|word| push_word(&mut commands.bytes, word));
            commands.ends.push(commands.bytes.len());
        }
        if commands.ends.is_empty() {
            return Err("there is no command in it".to_owned());
        }
        Ok(commands)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    fn command(&self, place: usize) -> &[u8] {
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[start..self.ends[place]]
    }
}

/// The words of a line, as redis-cli reads them.
fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while let Some((first, after)) = rest.split_first() {
        let mut word = Vec::new();
        rest = match first {
            b'"' => double_quoted(after, &mut word)?,
            b'\'' => single_quoted(after, &mut word)?,
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                if rest[..end].iter().any(|byte| matches!(byte, b'"' | b'\'')) {
                    return Err("a quote begins within a word");
                }
                word.extend_from_slice(&rest[..end]);
                &rest[end..]
            }
        };
        if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
            return Err("a quote ends within a word");
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Ok(words)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        match rest {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            [b'\\', byte, after @ ..] => {
                word.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err("a quote does not end"),
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], &'static str> {
    loop {
        match rest {
            [b'\'', after @ ..] => return Ok(after),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err("a quote does not end"),
        }
    }
}

fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte | 0x20) - b'a' + 10,
    }
}

/// The requests of one thread.
pub(crate) struct Replay<'a> {
    commands: &'a Commands,
    /// Counts up over all threads; chooses the next command.
    next: &'a AtomicU64,
}

impl<'a> Replay<'a> {
    /// Goes through the commands together with whoever has the same `next`.
    pub(crate) fn new(commands: &'a Commands, next: &'a AtomicU64) -> Replay<'a> {
        Replay { commands, next }
    }
}

impl Workload for Replay<'_> {
    fn ask(&mut self, _node: usize, out: &mut Vec<u8>) -> Asked {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.commands.count() as u64;
        out.extend_from_slice(self.commands.command(turn as usize));
        Asked { ticket: turn, value_follows: false }
    }

    fn value(&self, _ticket: u64) -> &[u8] {
        &[]
    }

    fn want(&self, _ticket: u64) -> Want<'_> {
        Want::Any
    }

    fn outcome(&mut self, _ticket: u64, reply: Reply) -> Outcome {
        match reply {
            Reply::Error(text) => Outcome::Failed(text),
            _ => Outcome::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<String>, &'static str> {
        let text = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
        words(line.as_bytes()).map(|words| words.into_iter().map(text).collect())
    }

    #[test]
    fn words_are_quoted_as_by_redis_cli() {
        assert_eq!(split("  SET  k v ").unwrap(), ["SET", "k", "v"]);
        assert_eq!(split(r#"SET "a b" 'c"d'"#).unwrap(), ["SET", "a b", "c\"d"]);
        assert_eq!(split(r#"SET k "\x41\n\t\"\\" "#).unwrap(), ["SET", "k", "A\n\t\"\\"]);
        assert_eq!(split(r"SET k 'it\'s \n'").unwrap(), ["SET", "k", r"it's \n"]);
        assert_eq!(split(r#"SET k """#).unwrap(), ["SET", "k", ""]);
        for line in [r#"SET "a"#, r#"SET "a"b"#, "SET 'a", "SET a\"b\""] {
            assert!(split(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_file_is_gone_through_over_and_over() {
        let commands = Commands::parse(b"# a log\nPING\r\n\n  SET k \"a b\"\n", 2).unwrap();
        let next = AtomicU64::new(0);
        let mut replay = Replay::new(&commands, &next);
        let mut out = Vec::new();
        let asked = [0; 3].map(|node| replay.ask(node, &mut out).ticket);
        assert_eq!(asked, [0, 1, 0]);
        let (ping, set) = ("*1\r\n$4\r\nPING\r\n", "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\na b\r\n");
        assert_eq!(String::from_utf8_lossy(&out), format!("{ping}{set}{ping}"));
        assert_eq!(replay.outcome(0, Reply::Nil), Outcome::Good);
        assert_eq!(replay.outcome(0, Reply::Error("no".into())), Outcome::Failed("no".into()));
    }

    #[test]
    fn what_has_not_one_reply_is_refused_with_its_line() {
        let error = |text: &str, connections| {
            Commands::parse(text.as_bytes(), connections)
                .map(|commands| commands.count())
                .unwrap_err()
        };
        assert!(error("PING\nsubscribe a\n", 1).starts_with("line 2: SUBSCRIBE"));
        assert!(error("MULTI\n", 2).contains("--connections 1"));
        assert!(error("CLIENT REPLY OFF\n", 1).contains("CLIENT REPLY"));
        assert!(error("GET \"a\n", 1).starts_with("line 1: a quote"));
        assert!(error("# nothing\n\n", 1).contains("no command"));
        assert_eq!(Commands::parse(b"MULTI\nEXEC\nSELECT 1\n", 1).unwrap().count(), 3);
    }
}
