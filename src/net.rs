//! Sockets: a stream, its two halves, the form in which it goes from one thread to another, and what
//! accepts it.
//!
//! Owns the types of sockets: tokio's are named nowhere else. Must not know what goes over them. Each
//! is an enum with an arm for each kind of stream, so that calls are dispatched without a table. TCP is
//! the one kind there is; TLS and Unix sockets would come as arms beside it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the system may have waiting for us.
const BACKLOG: u32 = 4096;

/// Accepts streams.
#[derive(Debug)]
pub enum Listener {
    /// On a TCP port.
    Tcp(TcpListener),
}

impl Listener {
    /// Listens on an address. To be called on a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG).map(Self::Tcp)
    }

    /// The next stream, and where it comes from.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                listener.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), peer))
            }
        }
    }
}

/// An open stream.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
}

impl Stream {
    /// Connects to an address.
    pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
        TcpStream::connect(address).await.map(Self::Tcp)
    }

    /// Both directions, each by itself.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (ReadHalf::Tcp(reader), WriteHalf::Tcp(writer))
            }
        }
    }

    /// The stream without the runtime that it is registered with.
    pub fn detach(self) -> io::Result<DetachedStream> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(DetachedStream::Tcp),
        }
    }

    /// Small writes leave at once.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
        }
    }

    /// Where it goes to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr(),
        }
    }

    /// Where it comes from.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr(),
        }
    }

    /// Reads what is there, without waiting.
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(room),
        }
    }

    /// Writes what the system takes, without waiting.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, room),
        }
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A stream that no runtime knows: it can be given to another thread.
#[derive(Debug)]
pub enum DetachedStream {
    /// Over TCP; it does not block.
    Tcp(std::net::TcpStream),
}

impl DetachedStream {
    /// Writes what the system takes, without waiting and whether or not a runtime knows that it would.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => io::Write::write(&mut &*stream, bytes),
        }
    }

    /// Registers it with the runtime of this thread.
    pub fn attach(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => TcpStream::from_std(stream).map(Stream::Tcp),
        }
    }
}

/// What is read of a stream.
#[derive(Debug)]
pub enum ReadHalf {
    /// Over TCP.
    Tcp(OwnedReadHalf),
}

impl ReadHalf {
    /// The whole stream again. `None` when the halves are not of the same one.
    pub fn reunite(self, writer: WriteHalf) -> Option<Stream> {
        match (self, writer) {
            (Self::Tcp(reader), WriteHalf::Tcp(writer)) => {
                reader.reunite(writer).ok().map(Stream::Tcp)
            }
        }
    }

    /// Ready when there may be something to read.
    #[inline]
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
        }
    }

    /// Looks at what comes next without taking it; 0 bytes at the end of the stream.
    pub fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => half.poll_peek(cx, room),
        }
    }

    /// Whether the other side is known to send nothing more, whatever it has sent before.
    pub fn is_read_closed(&self) -> bool {
        match self {
            Self::Tcp(half) => {
                let looking = pin!(half.as_ref().ready(Interest::READABLE));
                let looked = looking.poll(&mut Context::from_waker(Waker::noop()));
                matches!(looked, Poll::Ready(Ok(ready)) if ready.is_read_closed())
            }
        }
    }

    /// Bytes that the system has received and that have not been read.
    pub fn received(&self) -> io::Result<u64> {
        match self {
            Self::Tcp(half) => Ok(rustix::io::ioctl_fionread(half.as_ref())?),
        }
    }

    /// The error that the system has noted, once.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(half) => half.as_ref().take_error(),
        }
    }
}

impl AsyncRead for ReadHalf {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, room),
        }
    }
}

/// What is written to a stream. To drop it ends that direction.
#[derive(Debug)]
pub enum WriteHalf {
    /// Over TCP.
    Tcp(OwnedWriteHalf),
}

impl WriteHalf {
    /// Writes what the system takes, without waiting.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write(bytes),
        }
    }

    /// The same from several slices.
    #[inline]
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(half) => half.try_write_vectored(slices),
        }
    }

    /// Ready when the system may take something.
    #[inline]
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_write_ready(cx),
        }
    }

    /// The error that the system has noted, once.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Tcp(half) => half.as_ref().take_error(),
        }
    }
}

impl AsFd for WriteHalf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(half) => half.as_ref().as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn pair() -> (Stream, Stream) {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let Listener::Tcp(socket) = &listener;
        let address = socket.local_addr().unwrap();
        let (one, two) = tokio::join!(Stream::connect(address), listener.accept());
        let (one, (two, peer)) = (one.unwrap(), two.unwrap());
        assert_eq!(one.local_addr().unwrap(), peer);
        assert_eq!(one.peer_addr().unwrap(), two.local_addr().unwrap());
        (one, two)
    }

    #[tokio::test]
    async fn a_stream_is_the_same_after_it_was_split_detached_and_attached() {
        let (mut one, two) = pair().await;
        let address = two.peer_addr().unwrap();
        let (reader, writer) = two.into_split();
        std::future::poll_fn(|cx| writer.poll_write_ready(cx)).await.unwrap();
        assert_eq!(writer.try_write(b"ab").unwrap(), 2);
        let two = reader.reunite(writer).expect("its own half").detach().unwrap();
        let away = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let mut two = two.attach().unwrap();
                assert_eq!(two.peer_addr().unwrap(), address);
                two.write_all(b"cd").await.unwrap();
            });
        });
        let mut read = Vec::new();
        one.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"abcd");
        away.join().unwrap();
    }

    #[tokio::test]
    async fn halves_of_two_streams_are_none_together() {
        let (one, two) = pair().await;
        let (reader, _writer) = one.into_split();
        let (_reader, writer) = two.into_split();
        assert!(reader.reunite(writer).is_none());
    }

    #[tokio::test]
    async fn what_has_been_received_stays_when_the_other_side_has_closed() {
        let (one, two) = pair().await;
        let (mut reader, _writer) = two.into_split();
        assert_eq!(one.try_write(b"half").unwrap(), 4);
        assert!(!reader.is_read_closed());
        drop(one);
        while !reader.is_read_closed() {
            tokio::task::yield_now().await;
        }
        assert_eq!(reader.received().unwrap(), 4);
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"half");
        assert!(reader.take_error().unwrap().is_none());
    }
}
