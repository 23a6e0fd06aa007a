//! One connection that waits for its replies: for what is asked of a target beside the load.
//!
//! Owns the socket and its buffers. Knows nothing of keys, phases or counting.
//! Invariants: every wait has a limit; replies are given in the order of their requests; after a
//! failure the connection is to be thrown away.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use crate::request::Request;
use crate::resp::{Decoder, ProtocolError, Reply};

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Up to here a value is copied beside its command; above, it is sent from where it lies.
const COPIED_VALUE_BYTES_MAX: usize = 16 * 1024;

/// Commands gathered before they are written.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// A socket takes no limit of zero.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// Where to connect, as whom, and how long to wait.
#[derive(Clone)]
pub(crate) struct Target {
    /// `HOST:PORT` as given; resolved anew at every connect.
    pub(crate) address: String,
    /// The user for AUTH; without one, the default user.
    pub(crate) username: Option<String>,
    /// The password for AUTH; without one, no AUTH is sent.
    pub(crate) password: Option<String>,
    /// The longest a connect or one exchange may take.
    pub(crate) timeout: Duration,
}

impl Target {
    /// What has to be sent first, if anything: HELLO where RESP3 is wanted, else AUTH for a password.
    pub(crate) fn greeting(&self, resp3: bool) -> Option<Vec<u8>> {
        let mut words: Vec<&str> = if resp3 { vec!["HELLO", "3"] } else { Vec::new() };
        if let Some(password) = &self.password {
            words.push("AUTH");
            // HELLO has no form without a user, and an old Redis no form of AUTH with one.
            let user = self.username.as_deref().or(resp3.then_some("default"));
            words.extend(user);
            words.push(password);
        }
        if words.is_empty() {
            return None;
        }
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes += &format!("${}\r\n{word}\r\n", word.len());
        }
        Some(bytes.into_bytes())
    }

    /// The request that has to come first, if any.
    pub(crate) fn auth(&self) -> Option<Request<'_>> {
        let password = self.password.as_deref()?;
        let user = self.username.as_deref();
        let mut request = Request::keep("AUTH", Some(user.unwrap_or(password)), 0);
        request.second = user.map(|_| password.as_bytes());
        Some(request)
    }
}

/// Why a connection cannot be used (any further).
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection could be made.
    Connect(io::Error),
    /// The target did not accept the credentials, or the version of RESP.
    Refused(String),
    /// The connection broke.
    Broken(io::Error),
    /// The peer does not speak RESP2 as expected.
    Protocol(ProtocolError),
    /// Nothing came in time.
    TimedOut,
    /// Bytes arrived that no request asked for.
    Unasked,
}

impl Failure {
    /// What an answer to AUTH or, for RESP3, HELLO says, unless it is good.
    pub(crate) fn of_greeting(reply: Reply, resp3: bool) -> Result<(), Failure> {
        let text = match reply {
            Reply::Ok | Reply::Skipped => return Ok(()),
            Reply::Error(text) => text,
            other => format!("unexpected reply {other:?}"),
        };
        let name = if resp3 { "HELLO" } else { "AUTH" };
        Err(Failure::Refused(format!("{name} refused: {text}")))
    }

    fn of_wait(error: io::Error) -> Failure {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::TimedOut,
            _ => Failure::Broken(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(error) => write!(formatter, "cannot connect: {error}"),
            Failure::Refused(text) => formatter.write_str(text),
            Failure::Broken(error) => write!(formatter, "connection lost: {error}"),
            Failure::Protocol(error) => error.fmt(formatter),
            Failure::TimedOut => formatter.write_str("timed out"),
            Failure::Unasked => formatter.write_str("protocol error: a reply nobody asked for"),
        }
    }
}

impl std::error::Error for Failure {}

/// An open, authenticated connection.
pub(crate) struct Connection {
    stream: TcpStream,
    inbox: Inbox,
    timeout: Duration,
}

impl Connection {
    /// Connects and authenticates.
    pub(crate) fn open(target: &Target) -> Result<Connection, Failure> {
        let stream = connect(&target.address, target.timeout).map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        stream.set_write_timeout(Some(target.timeout)).map_err(Failure::Connect)?;
        let mut connection = Connection { stream, inbox: Inbox::new(), timeout: target.timeout };
        if let Some(request) = target.auth() {
            Failure::of_greeting(connection.ask(request)?, false)?;
        }
        Ok(connection)
    }

    /// The two ends' addresses, for telling whether they are on one machine.
    pub(crate) fn addresses(&self) -> io::Result<(IpAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?.ip(), self.stream.peer_addr()?))
    }

    /// Sends `requests` as one pipeline and gives each reply, with its request's place, to
    /// `on_reply`. Nothing is read before all is written, so the replies together must be short.
    pub(crate) fn exchange(
        &mut self,
        requests: &[Request<'_>],
        on_reply: impl FnMut(usize, Reply),
    ) -> Result<(), Failure> {
        if !self.inbox.is_empty() {
            return Err(Failure::Unasked);
        }
        let deadline = Instant::now() + self.timeout;
        write_all(&self.stream, requests).map_err(Failure::of_wait)?;
        self.inbox.read_replies(&self.stream, requests, deadline, on_reply)
    }

    /// Sends one request and returns its reply.
    pub(crate) fn ask(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let mut answer = None;
        self.exchange(&[request], |_, reply| answer = Some(reply))?;
        answer.ok_or(Failure::Unasked)
    }
}

fn connect(address: &str, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn write_all(mut stream: &TcpStream, requests: &[Request<'_>]) -> io::Result<()> {
    let mut outbox = Vec::with_capacity(1024);
    for request in requests {
        match request.second {
            Some(value) if value.len() > COPIED_VALUE_BYTES_MAX => {
                request.encode_head(&mut outbox);
                stream.write_all(&outbox)?;
                stream.write_all(value)?;
                outbox.clear();
                outbox.extend_from_slice(b"\r\n");
            }
            _ => request.encode(&mut outbox),
        }
        if outbox.len() >= WRITE_BUFFER_BYTES {
            stream.write_all(&outbox)?;
            outbox.clear();
        }
    }
    stream.write_all(&outbox)
}

/// The read side: bytes that arrived and are not decoded yet.
struct Inbox {
    decoder: Decoder,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    fn new() -> Inbox {
        Inbox { decoder: Decoder::new(), buffer: vec![0; READ_BUFFER_BYTES], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn read_replies(
        &mut self,
        stream: &TcpStream,
        requests: &[Request<'_>],
        deadline: Instant,
        mut on_reply: impl FnMut(usize, Reply),
    ) -> Result<(), Failure> {
        for (place, request) in requests.iter().enumerate() {
            let reply = loop {
                let arrived = &self.buffer[self.start..self.end];
                let (used, reply) =
                    self.decoder.feed(arrived, request.want).map_err(Failure::Protocol)?;
                self.start += used;
                if let Some(reply) = reply {
                    break reply;
                }
                self.read(stream, deadline)?;
            };
            on_reply(place, reply);
        }
        Ok(())
    }

    fn read(&mut self, mut stream: &TcpStream, deadline: Instant) -> Result<(), Failure> {
        (self.start, self.end) = (0, 0);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::TimedOut);
            }
            stream.set_read_timeout(Some(left.max(WAIT_MIN))).map_err(Failure::Broken)?;
            match stream.read(&mut self.buffer) {
                Ok(0) => return Err(Failure::Broken(ErrorKind::UnexpectedEof.into())),
                Ok(length) => {
                    self.end = length;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::of_wait(error)),
            }
        }
    }
}
