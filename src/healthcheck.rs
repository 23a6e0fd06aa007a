//! Asking a running gateway how it is: one HTTP request to its admin port.
//!
//! Owns that question and its bounds. Knows nothing of the configuration and prints nothing.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Platforms ask every few seconds and count a slow answer as none.
const DEADLINE: Duration = Duration::from_secs(3);
/// Enough for the first line of any answer, and for the reason that follows it.
const ANSWER_BYTES_MAX: usize = 4096;

/// Why the gateway is not well.
#[derive(Debug)]
pub enum HealthError {
    /// Nobody listens, or nobody answers in time.
    Unreachable(SocketAddr, std::io::Error),
    /// Somebody answers, but that is no HTTP server.
    NotHttp(SocketAddr),
    /// The gateway says that it is not well, and why.
    Unwell(u16, String),
}

/// Asks the gateway at `admin`; with `ready`, whether it should get clients.
pub fn ask(admin: SocketAddr, ready: bool) -> Result<(), HealthError> {
    let path = if ready { "/readyz" } else { "/livez" };
    let answer = get(admin, path).map_err(|error| HealthError::Unreachable(admin, error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    match status {
        Some(200) => Ok(()),
        Some(status) => Err(HealthError::Unwell(status, body.trim().to_owned())),
        None => Err(HealthError::NotHttp(admin)),
    }
}

fn get(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let deadline = Instant::now() + DEADLINE;
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(std::io::Error::from(std::io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&admin, DEADLINE)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    // A server that sends a byte now and then must not hold us: the deadline is for the whole.
    while answer.len() < ANSWER_BYTES_MAX {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            count => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

impl fmt::Display for HealthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HealthError::Unreachable(admin, error) => {
                write!(f, "no answer from the admin port {admin}: {error}")
            }
            HealthError::NotHttp(admin) => write!(f, "{admin} is not the admin port of a gateway"),
            HealthError::Unwell(status, reason) => write!(f, "not well ({status}): {reason}"),
        }
    }
}

impl std::error::Error for HealthError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers one request with `answer`; gives back what it was asked.
    fn answering(answer: &'static str) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        (address, served)
    }

    #[test]
    fn answers_are_told_apart() {
        for (answer, ready, path, outcome) in [
            ("HTTP/1.1 200 OK\r\n\r\nok", false, "GET /livez ", "well"),
            ("HTTP/1.1 200 OK\r\n\r\nok", true, "GET /readyz ", "well"),
            (
                "HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nslot 7 has no master\n",
                true,
                "GET /readyz ",
                "not well (503): slot 7 has no master",
            ),
            (
                "-ERR unknown command\r\n",
                false,
                "GET /livez ",
                "is not the admin port of a gateway",
            ),
            ("", false, "GET /livez ", "is not the admin port of a gateway"),
        ] {
            let (address, served) = answering(answer);
            let found = ask(address, ready).map_or_else(|e| e.to_string(), |()| "well".to_owned());
            assert!(found.ends_with(outcome), "{answer:?}: {found}");
            assert!(served.join().unwrap().starts_with(path));
        }
    }

    #[test]
    fn nobody_there_is_said() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = ask(free, false).unwrap_err().to_string();
        assert!(error.starts_with(&format!("no answer from the admin port {free}")), "{error}");
    }
}
