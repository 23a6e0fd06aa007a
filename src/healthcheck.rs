//! Asking a running gateway how it is.
//!
//! Owns what its answers mean. Knows nothing of the configuration and prints nothing.

use std::fmt;
use std::net::SocketAddr;

use crate::admin_port::{self, Question};

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
    let question = Question { admin, path, password: None, bytes_max: ANSWER_BYTES_MAX };
    match admin_port::ask(question).map_err(|error| HealthError::Unreachable(admin, error))? {
        Some((200, _)) => Ok(()),
        Some((status, body)) => Err(HealthError::Unwell(status, body.trim().to_owned())),
        None => Err(HealthError::NotHttp(admin)),
    }
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

impl std::error::Error for HealthError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(_, error) => Some(error),
            Self::NotHttp(_) | Self::Unwell(..) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
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
