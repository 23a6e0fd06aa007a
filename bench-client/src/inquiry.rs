//! Questions whose replies have a structure: settings, slot maps.
//!
//! Owns the reading of whole replies into values, in RESP2 and RESP3. Knows nothing of loads.
//! Invariants: every wait has a limit; depth, elements and bytes of a reply are bounded.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::connection::Target;

const PATIENCE_MAX: Duration = Duration::from_secs(5);
const DEPTH_MAX: usize = 8;
const BYTES_MAX: u64 = 8 * 1024 * 1024;
const ELEMENTS_MAX: usize = 200_000;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A status, a bulk, a number or anything else of one line.
    Text(String),
    /// There is none.
    Nil,
    /// An error.
    Error(String),
    /// Several; of a map, names and values in turn.
    List(Vec<Value>),
}

impl Value {
    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements; of anything else none.
    pub(crate) fn list(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            _ => &[],
        }
    }

    /// The number, if it is one.
    pub(crate) fn number(&self) -> Option<u64> {
        self.text()?.parse().ok()
    }
}

/// A connection for questions.
pub(crate) struct Inquiry {
    reader: BufReader<TcpStream>,
}

impl Inquiry {
    /// Connects, and authenticates if need be.
    pub(crate) fn open(target: &Target) -> Result<Inquiry> {
        let patience = target.timeout.min(PATIENCE_MAX);
        let mut stream = None;
        for address in target.address.to_socket_addrs()? {
            stream = TcpStream::connect_timeout(&address, patience).ok();
            if stream.is_some() {
                break;
            }
        }
        let stream = stream.with_context(|| format!("cannot connect to {}", target.address))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let mut inquiry = Inquiry { reader: BufReader::new(stream) };
        if let Some(password) = &target.password {
            let words = [target.username.as_deref().unwrap_or("default"), password];
            if let Value::Error(error) = inquiry.ask(&["AUTH", words[0], words[1]])? {
                bail!("AUTH refused: {error}");
            }
        }
        Ok(inquiry)
    }

    /// Asks one question.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Result<Value> {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.reader.get_mut().write_all(bytes.as_bytes())?;
        let mut left = Limits { bytes: BYTES_MAX, elements: ELEMENTS_MAX };
        read_value(&mut self.reader, &mut left, 0)
    }
}

struct Limits {
    bytes: u64,
    elements: usize,
}

fn read_value(reader: &mut impl BufRead, limits: &mut Limits, depth: usize) -> Result<Value> {
    ensure!(depth < DEPTH_MAX, "a reply is nested too deeply");
    ensure!(limits.elements > 0, "a reply has too many elements");
    limits.elements -= 1;
    let line = read_line(reader, limits)?;
    let (kind, text) = line.split_at_checked(1).context("an empty reply")?;
    Ok(match kind {
        "+" | ":" | "," | "#" | "(" => Value::Text(text.to_owned()),
        "-" => Value::Error(text.to_owned()),
        "_" => Value::Nil,
        "$" | "=" | "!" => match length(text)? {
            None => Value::Nil,
            Some(length) => Value::Text(read_bulk(reader, limits, length)?),
        },
        "*" | "~" | ">" | "%" => match length(text)? {
            None => Value::Nil,
            Some(length) => {
                let count = length.saturating_mul(if kind == "%" { 2 } else { 1 });
                let mut list = Vec::new();
                for _ in 0..count {
                    list.push(read_value(reader, limits, depth + 1)?);
                }
                Value::List(list)
            }
        },
        _ => bail!("an unknown reply type"),
    })
}

/// A length; none where it says that there is nothing.
fn length(text: &str) -> Result<Option<u64>> {
    let number: i64 = text.parse().context("a length that is no number")?;
    Ok(u64::try_from(number).ok())
}

fn read_line(reader: &mut impl BufRead, limits: &mut Limits) -> Result<String> {
    let mut bytes = Vec::new();
    let taken = reader.by_ref().take(limits.bytes).read_until(b'\n', &mut bytes)? as u64;
    limits.bytes -= taken;
    let line = bytes.strip_suffix(b"\r\n").context("a reply ends too early, or is too long")?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn read_bulk(reader: &mut impl BufRead, limits: &mut Limits, length: u64) -> Result<String> {
    let whole = length.saturating_add(2);
    ensure!(whole <= limits.bytes, "a reply is too long");
    limits.bytes -= whole;
    let mut bytes = Vec::new();
    reader.by_ref().take(whole).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 == whole, "a reply ends too early");
    bytes.truncate(bytes.len() - 2);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Value> {
        let mut limits = Limits { bytes: 100, elements: 5 };
        read_value(&mut BufReader::new(bytes), &mut limits, 0)
    }

    #[test]
    fn replies_are_read_whole() {
        let text = |text: &str| Value::Text(text.to_owned());
        let expected = Value::List(vec![text("a"), Value::List(vec![text("1"), Value::Nil])]);
        assert_eq!(read(b"*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n").unwrap(), expected);
        assert_eq!(read(b"%1\r\n+k\r\n_\r\n").unwrap(), Value::List(vec![text("k"), Value::Nil]));
        assert_eq!(read(b"-ERR no\r\n").unwrap(), Value::Error("ERR no".into()));
    }

    #[test]
    fn what_is_too_much_is_refused() {
        for bytes in [
            &b"*9\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n"[..],
            b"$900\r\n",
            b"$3\r\nab",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
            b"?\r\n",
            b"",
            b"$x\r\n",
            b"*18446744073709551615\r\n",
        ] {
            assert!(read(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
