//! One authenticated connection to a node.
//!
//! Owns connecting, socket options, AUTH, HELLO and the check that the right node answers; asks
//! one question at a time. Must not know slots or who asks. The data path takes the socket out of
//! it after the greeting; topology and keeper talk through it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time;

use super::own_addresses::OwnAddress;
use super::{BackendError, Identity, Upstream};
use crate::net::Stream;
use crate::resp::{Protocol, Value, reply, write};

/// Longest reply to one of the gateway's own questions; `COMMAND` with many modules is about 1 MiB,
/// `CLUSTER SLOTS` of a cluster whose every slot is a range of its own some 6 MiB.
const REPLY_BYTES_MAX: usize = 16 << 20;
/// A dead peer that sends no RST is given up after this long without an acknowledgement. It is not
/// what finds a node that failed: its cluster does, and sooner. A network that comes back should find
/// its connections; and a node that a long command keeps from reading has a full window, which
/// systems may take for the same.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);

/// Several questions that are asked at once.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The requests, one behind the other.
    pub requests: &'a [u8],
    /// How many they are.
    pub count: usize,
    /// Bytes of an answer, at most.
    pub bytes_max: usize,
    /// When the answer with this index is an error, nothing behind it is believed: it may be what a
    /// client's script has made up.
    pub ends_with_error_at: Option<usize>,
}

/// A connection that has been greeted.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    own: OwnAddress,
    buffer: Vec<u8>,
    timeout: Duration,
    /// What the node calls it, once it has been asked, if it says so.
    pub(super) client_id: Option<Option<u64>>,
}

impl Connection {
    /// Connects and authenticates. `timeout` bounds the connecting and, from then on, the wait
    /// for each answer.
    pub async fn open(
        address: SocketAddr,
        identity: &Identity,
        timeout: Duration,
    ) -> Result<Connection, BackendError> {
        let stream = match time::timeout(timeout, Stream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(BackendError::Connect(error)),
            Err(_) => return Err(BackendError::Connect(io::ErrorKind::TimedOut.into())),
        };
        set_options(&stream).map_err(BackendError::Connect)?;
        let own = OwnAddress::new(stream.local_addr().ok());
        let mut connection =
            Connection { stream, own, buffer: Vec::new(), timeout, client_id: None };
        connection.greet(identity).await?;
        Ok(connection)
    }

    /// As [`Self::open`], to the node that the map means: one that has another id is none.
    pub async fn to_node(
        upstream: &Upstream,
        timeout: Duration,
    ) -> Result<Connection, BackendError> {
        let Upstream { node, identity } = upstream;
        let plain = Identity { protocol: Protocol::Resp2, ..Identity::clone(identity) };
        let mut connection = Connection::open(node.address, &plain, timeout).await?;
        if !node.id.is_empty()
            && let Err(error) = connection.expect_node(&node.id).await
        {
            if error.answer().is_some() {
                // The next try follows soon.
                connection.close_at_once();
            }
            return Err(error);
        }
        connection.speak(identity.protocol).await?;
        Ok(connection)
    }

    async fn greet(&mut self, identity: &Identity) -> Result<(), BackendError> {
        if let Some(password) = &identity.password {
            let password = password.as_bytes();
            let reply = match &identity.username {
                Some(name) => self.ask(&[b"AUTH", name.as_bytes(), password]).await?,
                None => self.ask(&[b"AUTH", password]).await?,
            };
            if let Value::Error(text) = reply {
                return Err(BackendError::of_auth(text));
            }
        }
        self.speak(identity.protocol).await
    }

    /// Lets the system buffer at most so many bytes on their way to the node; 0 leaves it alone.
    ///
    /// Left alone it takes several megabytes, which are written to memory and read again instead
    /// of staying in the processor's caches: with 256 KB a SET of 512 KiB or 64 KiB takes a fifth
    /// to a third less of the gateway's time, with 512 KB another tenth less; 540 to
    /// 700 KB made no difference.
    pub fn limit_send_buffer(&self, bytes: usize) -> Result<(), BackendError> {
        if bytes > 0 {
            // Linux doubles what it is told, for its own bookkeeping, and counts that too.
            SockRef::from(&self.stream)
                .set_send_buffer_size(bytes / 2)
                .map_err(BackendError::Io)?;
        }
        Ok(())
    }

    /// Changes to RESP3 when asked to; a connection begins with RESP2.
    pub async fn speak(&mut self, protocol: Protocol) -> Result<(), BackendError> {
        if protocol == Protocol::Resp3 {
            let frame = self.ask_raw(&[b"HELLO", b"3"]).await?;
            if frame.first() == Some(&b'-') {
                return Err(BackendError::of_frame(&frame));
            }
        }
        Ok(())
    }

    /// Makes sure that the node with this id is the one that answers: addresses are recycled.
    pub async fn expect_node(&mut self, id: &str) -> Result<(), BackendError> {
        let frame = self.ask_raw(&[b"CLUSTER", b"MYID"]).await?;
        // It may be loading its data, which says nothing about who it is.
        if frame.first() == Some(&b'-') {
            return Err(BackendError::of_frame(&frame));
        }
        let found = frame.split(|byte| *byte == b'\n').nth(1).unwrap_or(&[]);
        let found = String::from_utf8_lossy(found).trim().to_owned();
        if found == id {
            return Ok(());
        }
        Err(BackendError::WrongNode { expected: id.to_owned(), found })
    }

    /// Asks and waits for the answer; an error reply becomes [`BackendError::Refused`].
    pub async fn call(&mut self, words: &[&[u8]]) -> Result<Value, BackendError> {
        match self.ask(words).await? {
            Value::Error(text) => Err(BackendError::of_answer(text)),
            value => Ok(value),
        }
    }

    /// Asks and waits for the answer, which may be an error reply. RESP2 connections only.
    pub async fn ask(&mut self, words: &[&[u8]]) -> Result<Value, BackendError> {
        let frame = self.ask_raw(words).await?;
        match Value::decode(&frame) {
            Ok(Some((value, _))) => Ok(value),
            Ok(None) => Err(BackendError::Closed),
            Err(error) => Err(BackendError::Protocol(error)),
        }
    }

    async fn ask_raw(&mut self, words: &[&[u8]]) -> Result<Vec<u8>, BackendError> {
        let mut request = Vec::new();
        write::request(&mut request, words);
        self.ask_frame(&request).await
    }

    /// Asks with a request as it is and waits for the frame of the answer, which may be an error.
    pub async fn ask_frame(&mut self, request: &[u8]) -> Result<Vec<u8>, BackendError> {
        let timeout = self.timeout;
        withdraw_when_closed(&self.stream, true);
        let answer = match within(timeout, self.stream.write_all(request)).await {
            Ok(()) => self.read_frame().await?,
            // A node without room says so and closes, whatever it is asked.
            Err(error @ BackendError::Io(_)) => match self.read_frame().await {
                Ok(answer) if answer.first() == Some(&b'-') => answer,
                _ => return Err(error),
            },
            Err(error) => return Err(error),
        };
        withdraw_when_closed(&self.stream, false);
        Ok(answer)
    }

    /// Asks several questions at once, as they are, and waits for an answer to each. With fewer
    /// answers than questions the connection cannot be used any more.
    pub async fn ask_several(&mut self, asked: &Asked<'_>) -> Result<Vec<Vec<u8>>, BackendError> {
        withdraw_when_closed(&self.stream, true);
        within(self.timeout, self.stream.write_all(asked.requests)).await?;
        let mut frames = Vec::with_capacity(asked.count);
        while frames.len() < asked.count {
            let frame = self.read_frame_up_to(asked.bytes_max).await?;
            let is_error = frame.first() == Some(&b'-');
            // Those that nobody asked for are left out.
            if frame.first() != Some(&b'>') {
                frames.push(frame);
            }
            if is_error && asked.ends_with_error_at == Some(frames.len() - 1) {
                return Ok(frames);
            }
        }
        withdraw_when_closed(&self.stream, false);
        Ok(frames)
    }

    /// From now on, how long to wait for each answer.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Whether the node has closed it or has said something that nobody asked for.
    pub fn is_spent(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0]);
        let is_quiet = nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        !is_quiet || !self.buffer.is_empty()
    }

    async fn read_frame(&mut self) -> Result<Vec<u8>, BackendError> {
        self.read_frame_up_to(REPLY_BYTES_MAX).await
    }

    async fn read_frame_up_to(&mut self, bytes_max: usize) -> Result<Vec<u8>, BackendError> {
        let mut scanner = reply::ReplyScanner::default();
        let mut walked = 0;
        loop {
            let progress =
                scanner.advance(&self.buffer[walked..]).map_err(BackendError::Protocol)?;
            walked += progress.used;
            if progress.whole {
                return Ok(self.buffer.drain(..walked).collect());
            }
            if progress.left_out == reply::LeftOut::LineToEnd {
                // What is behind it may be here already.
                continue;
            }
            if self.buffer.len() > bytes_max {
                return Err(BackendError::TooLong);
            }
            if within(self.timeout, self.stream.read_buf(&mut self.buffer)).await? == 0 {
                return Err(BackendError::Closed);
            }
        }
    }

    /// Closes it without the system remembering it for a minute, which would leave no ports where
    /// many follow each other. Nothing is under way.
    pub fn close_at_once(self) {
        withdraw_when_closed(&self.stream, true);
    }

    /// The greeted socket, for those who pipeline on it, and what it is known by as long as it lives.
    pub fn into_stream(self) -> (Stream, OwnAddress) {
        (self.stream, self.own)
    }

    /// What has been read behind the last answer.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The address this connection goes to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer_addr().ok()
    }

    /// The address this connection comes from.
    pub fn local(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }
}

/// Whether the system discards what the node has not received yet when the socket is closed, by
/// whom or whatever. It would go on sending, and what a client was told may not have run would run
/// behind its back, when the network comes back and others have taken its word for it. What the
/// node's own system has received is out of reach.
pub(super) fn withdraw_when_closed(stream: &impl AsFd, withdraw: bool) {
    if let Err(error) = SockRef::from(stream).set_linger(withdraw.then_some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection to a node is closed as usual");
    }
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, BackendError> {
    match time::timeout(timeout, work).await {
        Ok(done) => done.map_err(BackendError::Io),
        Err(_) => Err(BackendError::Silent),
    }
}

/// No delay for small requests, and an end to peers that are gone without a word.
fn set_options(stream: &Stream) -> io::Result<()> {
    stream.set_nodelay()?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    Ok(())
}
