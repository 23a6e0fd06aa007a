//! Asking a running gateway over its admin port: one HTTP request.
//!
//! Owns that question and its bounds. Knows nothing of what is asked for, and prints nothing.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::Secret;

/// Platforms ask every few seconds and count a slow answer as none.
const DEADLINE: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Of the gateway.
    pub admin: SocketAddr,
    /// What is wanted.
    pub path: &'a str,
    /// For what needs one.
    pub password: Option<&'a Secret>,
    /// Bytes of the answer; the rest of a longer one is not read.
    pub bytes_max: usize,
}

/// What is answered. `None`: by somebody who is no HTTP server.
pub type Answer = Option<(u16, String)>;

/// Asks, and waits three seconds at most.
pub fn ask(question: Question<'_>) -> std::io::Result<Answer> {
    let answer = exchange(question)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    Ok(status.map(|status| (status, body.to_owned())))
}

fn exchange(
    Question { admin, path, password, bytes_max }: Question<'_>,
) -> std::io::Result<String> {
    let deadline = Instant::now() + DEADLINE;
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Error::from(ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&admin, DEADLINE)?;
    stream.set_write_timeout(Some(left()?))?;
    let key = password.map(|password| {
        let encoded = BASE64_STANDARD.encode(format!("operator:{}", password.expose()));
        format!("Authorization: Basic {encoded}\r\n")
    });
    let key = key.unwrap_or_default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\n{key}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 8192];
    // A server that sends a byte now and then must not hold us: the deadline is for the whole.
    while answer.len() < bytes_max {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            count => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
