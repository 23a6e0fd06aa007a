//! One connection to the target: connect, authenticate, exchange a pipeline of requests.
//!
//! Owns the socket and its buffers. Knows nothing of keys, phases or counting.
//! Invariants: every wait has a limit; replies are given in the order of their requests; after a
//! failure the connection is to be thrown away.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::resp::{Decoder, ProtocolError, Reply, Request};

const READ_BUFFER_BYTES: usize = 64 * 1024;

/// Up to here a value is copied beside its command; above, it is sent from where it lies.
const COPIED_VALUE_BYTES_MAX: usize = 16 * 1024;

/// Commands gathered before they are written.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

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

/// Why a connection cannot be used (any further).
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection could be made.
    Connect(io::Error),
    /// The target did not accept the credentials.
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

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(error) => write!(formatter, "cannot connect: {error}"),
            Failure::Refused(text) => write!(formatter, "AUTH refused: {text}"),
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
    outbox: Vec<u8>,
    timeout: Duration,
}

impl Connection {
    /// Connects and authenticates.
    pub(crate) async fn open(target: &Target) -> Result<Connection, Failure> {
        let connecting = TcpStream::connect(&target.address);
        let stream = tokio::time::timeout(target.timeout, connecting)
            .await
            .map_err(|_| Failure::Connect(io::ErrorKind::TimedOut.into()))?
            .map_err(Failure::Connect)?;
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        let (inbox, outbox) = (Inbox::new(), Vec::with_capacity(1024));
        let mut connection = Connection { stream, inbox, outbox, timeout: target.timeout };
        if let Some(password) = &target.password {
            connection.authenticate(target.username.as_deref(), password).await?;
        }
        Ok(connection)
    }

    /// The two ends' addresses, for telling whether they are on one machine.
    pub(crate) fn addresses(&self) -> io::Result<(IpAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?.ip(), self.stream.peer_addr()?))
    }

    /// Sends `requests` as one pipeline and gives each reply, with its request's place, to
    /// `on_reply` as it arrives. Writing and reading go on together, so that neither side's full
    /// buffers can hold up the other.
    pub(crate) async fn exchange<F>(
        &mut self,
        requests: &[Request<'_>],
        on_reply: F,
    ) -> Result<(), Failure>
    where
        F: FnMut(usize, Reply),
    {
        if !self.inbox.is_empty() {
            return Err(Failure::Unasked);
        }
        let (mut reader, mut writer) = self.stream.split();
        let both = async {
            tokio::try_join!(
                write_all(&mut writer, &mut self.outbox, requests),
                self.inbox.read_replies(&mut reader, requests, on_reply),
            )
        };
        match tokio::time::timeout(self.timeout, both).await {
            Ok(result) => result.map(|_| ()),
            Err(_) => Err(Failure::TimedOut),
        }
    }

    /// Sends one request and returns its reply.
    pub(crate) async fn ask(&mut self, request: Request<'_>) -> Result<Reply, Failure> {
        let mut answer = None;
        self.exchange(&[request], |_, reply| answer = Some(reply)).await?;
        answer.ok_or(Failure::Unasked)
    }

    async fn authenticate(&mut self, user: Option<&str>, password: &str) -> Result<(), Failure> {
        let mut request = Request::keep("AUTH", Some(user.unwrap_or(password)), 0);
        request.second = user.map(|_| password.as_bytes());
        match self.ask(request).await? {
            Reply::Ok => Ok(()),
            Reply::Error(text) => Err(Failure::Refused(text)),
            other => Err(Failure::Refused(format!("unexpected reply {other:?}"))),
        }
    }
}

async fn write_all(
    writer: &mut WriteHalf<'_>,
    outbox: &mut Vec<u8>,
    requests: &[Request<'_>],
) -> Result<(), Failure> {
    outbox.clear();
    for request in requests {
        match request.second {
            Some(value) if value.len() > COPIED_VALUE_BYTES_MAX => {
                request.encode_head(outbox);
                let mut pieces = [IoSlice::new(outbox), IoSlice::new(value), IoSlice::new(b"\r\n")];
                write_pieces(writer, &mut pieces).await.map_err(Failure::Broken)?;
                outbox.clear();
            }
            _ => request.encode(outbox),
        }
        if outbox.len() >= WRITE_BUFFER_BYTES {
            writer.write_all(outbox).await.map_err(Failure::Broken)?;
            outbox.clear();
        }
    }
    writer.write_all(outbox).await.map_err(Failure::Broken)
}

async fn write_pieces(
    writer: &mut WriteHalf<'_>,
    mut pieces: &mut [IoSlice<'_>],
) -> io::Result<()> {
    while !pieces.is_empty() {
        let written = writer.write_vectored(pieces).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut pieces, written);
    }
    Ok(())
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

    async fn read_replies<F>(
        &mut self,
        reader: &mut ReadHalf<'_>,
        requests: &[Request<'_>],
        mut on_reply: F,
    ) -> Result<(), Failure>
    where
        F: FnMut(usize, Reply),
    {
        for (place, request) in requests.iter().enumerate() {
            let reply = loop {
                let arrived = &self.buffer[self.start..self.end];
                let (used, reply) =
                    self.decoder.feed(arrived, request.bulk).map_err(Failure::Protocol)?;
                self.start += used;
                if let Some(reply) = reply {
                    break reply;
                }
                self.start = 0;
                self.end = 0;
                self.end = reader.read(&mut self.buffer).await.map_err(Failure::Broken)?;
                if self.end == 0 {
                    return Err(Failure::Broken(io::ErrorKind::UnexpectedEof.into()));
                }
            };
            on_reply(place, reply);
        }
        Ok(())
    }
}
