//! A client's connection that may break: every call says what became of it.

use std::io::{self, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use slotway::resp::Value;

use crate::{PATIENCE, wire};

/// One connection.
pub(crate) struct Link {
    input: BufReader<TcpStream>,
}

impl Link {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Link> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Link { input: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Sends requests in one write.
    pub(crate) fn send(&mut self, requests: &[Vec<&str>]) -> io::Result<()> {
        let bytes: Vec<u8> = requests.iter().flat_map(|words| wire::request(words)).collect();
        self.input.get_mut().write_all(&bytes)
    }

    /// Sends text as it is, as somebody at a terminal would.
    pub(crate) fn send_inline(&mut self, text: &str) -> io::Result<()> {
        self.input.get_mut().write_all(text.as_bytes())
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> io::Result<Value> {
        let frame = wire::frame(&mut self.input)?;
        match Value::decode(&frame) {
            Ok(Some((value, _))) => Ok(value),
            other => panic!("no reply: {other:?} {:?}", String::from_utf8_lossy(&frame)),
        }
    }

    /// A request and its reply.
    pub(crate) fn call(&mut self, words: &[&str]) -> io::Result<Value> {
        self.send(&[words.to_vec()])?;
        self.reply()
    }

    /// A request of words with spaces between, and its reply; it is an error when there is none.
    pub(crate) fn line(&mut self, line: &str) -> Value {
        self.call(&line.split(' ').collect::<Vec<_>>()).unwrap()
    }
}
