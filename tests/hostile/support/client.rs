//! A client that shows replies as the bytes they are.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::{PATIENCE, wire};

/// One connection to the gateway.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let input = BufReader::new(stream.try_clone().unwrap());
        Client { stream, input }
    }

    /// Sends requests of words with spaces between, in one write.
    pub(crate) fn send(&mut self, requests: &[&str]) {
        let split = |text: &&str| wire::request(&text.split(' ').collect::<Vec<_>>());
        self.send_raw(&requests.iter().flat_map(split).collect::<Vec<u8>>());
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next reply, as it is.
    pub(crate) fn reply(&mut self) -> String {
        match wire::frame(&mut self.input) {
            Ok(frame) => String::from_utf8_lossy(&frame).into_owned(),
            Err(error) => panic!("no reply: {error}"),
        }
    }

    /// The next reply; empty when the gateway closes instead.
    pub(crate) fn reply_or_end(&mut self) -> String {
        match wire::frame(&mut self.input) {
            Ok(frame) => String::from_utf8_lossy(&frame).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => String::new(),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("neither a reply nor an end: {error}"),
        }
    }

    /// The next `count` replies.
    pub(crate) fn replies(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.reply()).collect()
    }

    /// Sends a request and returns its reply.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        self.send(&[request]);
        self.reply()
    }

    /// Reads some bytes and forgets them: how many; `None` at the end.
    pub(crate) fn take_some(&mut self) -> Option<usize> {
        let count = self.input.fill_buf().map_or(0, <[u8]>::len);
        self.input.consume(count);
        (count > 0).then_some(count)
    }

    /// Whether the gateway has closed, with nothing left to read.
    pub(crate) fn has_ended(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        match seen {
            Ok(count) => count == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    /// Closes the sending side.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Closes so that the other side sees a reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }

    /// Everything until the gateway closes. A reset is a close as well: the gateway may have left
    /// something unread.
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        match self.input.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                panic!("the gateway does not close: {error}")
            }
            _ => String::from_utf8_lossy(&rest).into_owned(),
        }
    }
}
