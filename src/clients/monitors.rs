//! Who sees what all clients of the gateway ask (MONITOR).
//!
//! Owns the ways to the clients that monitor, on whatever worker they are, and the form of a line. Must
//! not know commands beyond what is shown of them. Invariant: who does not take its lines is given up;
//! nobody waits for it.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;

use super::info::shown_address;
use crate::command::Command;
use crate::command::redaction::REDACTED;
use crate::resp::Args;

/// Lines on their way to one client.
const LINES_MAX: usize = 65_536;

/// A request as it is shown, but for the time.
#[derive(Clone, Debug)]
pub struct Shown(Arc<str>);

impl Shown {
    /// A request of a client in this database that comes from `peer`.
    pub fn new((database, peer): (usize, SocketAddr), command: &Command, args: Args<'_>) -> Shown {
        let mut text = format!("[{database} {}]", shown_address(peer));
        let secrets = command.secrets(args);
        for (at, word) in args.iter().enumerate() {
            let is_secret = secrets.iter().any(|(from, to)| (*from..*to).contains(&at));
            text.push_str(" \"");
            escape(&mut text, if is_secret { REDACTED } else { word });
            text.push('"');
        }
        Shown(text.into())
    }

    /// Bytes of it.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is shown, which is never so.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The line for a client that monitors, at the time of now.
    pub fn line(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        format!("+{}.{:06} {}\r\n", now.as_secs(), now.subsec_micros(), self.0)
    }
}

/// As Redis shows bytes: what cannot be printed as C would write it.
fn escape(text: &mut String, word: &[u8]) {
    for &byte in word {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'"' => text.push_str("\\\""),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
}

/// The lines for one client.
#[derive(Debug)]
struct Way {
    number: u64,
    lines: mpsc::Sender<Arc<str>>,
    /// Bytes on their way, and how many there may be.
    bytes: Arc<AtomicUsize>,
    bytes_max: usize,
}

/// All clients that monitor.
#[derive(Debug, Default)]
pub struct Monitors {
    is_any: AtomicBool,
    ways: Mutex<(u64, Vec<Way>)>,
}

impl Monitors {
    /// Whether anybody monitors.
    #[inline(always)]
    pub fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Relaxed)
    }

    /// One more client monitors, for whom at most so many bytes may be on their way.
    pub fn enter(self: &Arc<Self>, bytes_max: usize) -> Monitoring {
        let (sender, lines) = mpsc::channel(LINES_MAX);
        let bytes = Arc::<AtomicUsize>::default();
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.0 += 1;
        let number = ways.0;
        ways.1.push(Way { number, lines: sender, bytes: Arc::clone(&bytes), bytes_max });
        self.is_any.store(true, Ordering::Relaxed);
        Monitoring { monitors: Arc::clone(self), number, lines, bytes }
    }

    /// How many clients monitor.
    pub fn count(&self) -> usize {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner).1.len()
    }

    /// Shows a request to everybody who monitors.
    pub fn show(&self, shown: &Shown) {
        let line: Arc<str> = shown.line().into();
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.1.retain(|way| {
            let waiting = way.bytes.fetch_add(line.len(), Ordering::Relaxed) + line.len();
            waiting <= way.bytes_max && way.lines.try_send(Arc::clone(&line)).is_ok()
        });
        self.is_any.store(!ways.1.is_empty(), Ordering::Relaxed);
    }

    fn leave(&self, number: u64) {
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        ways.1.retain(|way| way.number != number);
        self.is_any.store(!ways.1.is_empty(), Ordering::Relaxed);
    }
}

/// A client that monitors, for as long as this is there.
#[derive(Debug)]
pub struct Monitoring {
    monitors: Arc<Monitors>,
    number: u64,
    lines: mpsc::Receiver<Arc<str>>,
    bytes: Arc<AtomicUsize>,
}

impl Monitoring {
    /// The next line; none when it has not taken its lines in time, and gets no more.
    pub async fn next(&mut self) -> Option<Arc<str>> {
        let line = self.lines.recv().await?;
        self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
        Some(line)
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.monitors.leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::CommandTable;

    fn shown(words: &[&[u8]]) -> Shown {
        let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
        for word in words {
            ranges.push((bytes.len() as u32, (bytes.len() + word.len()) as u32));
            bytes.extend_from_slice(word);
        }
        let table = CommandTable::builtin();
        let args = Args::new(&bytes, &ranges);
        let (_, command) = table.lookup(args).unwrap();
        Shown::new((0, "192.0.2.1:7".parse().unwrap()), command, args)
    }

    #[test]
    fn bytes_are_shown_as_a_server_shows_them() {
        let line = shown(&[b"SET", b"a\"b\\c\n\r\t\x07\x08", b"\x00\xff~ "]).line();
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(
            rest,
            "[0 192.0.2.1:7] \"SET\" \"a\\\"b\\\\c\\n\\r\\t\\a\\b\" \"\\x00\\xff~ \"\r\n"
        );
        let (seconds, micros) = time.strip_prefix('+').unwrap().split_once('.').unwrap();
        assert!(seconds.parse::<u64>().unwrap() > 1_700_000_000 && micros.len() == 6);
        let line = shown(&[b"AUTH", b"secret"]).line();
        assert!(line.ends_with("\"AUTH\" \"(redacted)\"\r\n"), "{line}");
    }

    #[tokio::test]
    async fn everybody_sees_a_line_and_who_does_not_take_it_is_given_up() {
        let monitors = Arc::<Monitors>::default();
        assert!(!monitors.is_any());
        let (mut one, mut slow) = (monitors.enter(1 << 20), monitors.enter(200));
        for n in 0..10 {
            monitors.show(&shown(&[b"GET", format!("key:{n}").as_bytes()]));
            assert!(one.next().await.unwrap().contains(&format!("\"key:{n}\"")));
        }
        assert_eq!(monitors.count(), 1);
        let mut left = 0;
        while slow.next().await.is_some() {
            left += 1;
        }
        assert!((1..10).contains(&left), "{left}");
        drop(one);
        assert!(!monitors.is_any());
    }
}
