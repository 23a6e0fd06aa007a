//! Short conversations with a node: one request, one reply, both short.
//!
//! Owns their limits. Knows nothing of what is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::wait_until;

const PATIENCE: Duration = Duration::from_secs(5);
const REPLY_MAX: usize = 1 << 20;

/// Connects, with limits on every wait.
pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Asks a question of plain words; an error reply is an error.
pub(super) fn ask(address: SocketAddr, question: &str) -> Result<String> {
    let mut stream = connect(address)?;
    let words: Vec<&str> = question.split(' ').collect();
    let mut request = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| request += &format!("${}\r\n{word}\r\n", word.len()));
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.by_ref().take(REPLY_MAX as u64).read_line(&mut line)?;
    let (kind, rest) = (line.chars().next(), line.get(1..).unwrap_or_default().trim_end());
    match kind {
        Some('+' | ':') => Ok(rest.to_owned()),
        Some('$') => {
            let length = rest.parse::<i64>()?;
            let length = usize::try_from(length).unwrap_or(0);
            ensure!(length <= REPLY_MAX, "{address} answers {question} with {length} bytes");
            let mut text = vec![0; length];
            reader.read_exact(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        }
        _ => bail!("{address} answers {question} with: {}", line.trim_end()),
    }
}

/// Waits until a question is answered with anything but an error.
pub(super) fn until_answers(address: SocketAddr, question: &str, stop: &AtomicBool) -> Result<()> {
    wait_until(&format!("an answer of {address}"), stop, || ask(address, question).map(|_| true))
}
