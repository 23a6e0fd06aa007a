//! A client that does nothing of its own accord: bytes out, replies in.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::reply::Reply;

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// Appends a request to `out`.
pub fn put<W: AsRef<[u8]>>(out: &mut Vec<u8>, words: &[W]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// The bytes of a request whose words have no spaces.
pub fn request(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut out = Vec::new();
    put(&mut out, &words);
    out
}

impl Client {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Client { stream: BufReader::with_capacity(64 * 1024, stream) }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("it is read");
    }

    /// The next reply.
    pub fn reply(&mut self) -> Reply {
        self.reply_and_bytes().0
    }

    /// The next reply, and as it came.
    pub fn reply_and_bytes(&mut self) -> (Reply, Vec<u8>) {
        let mut raw = Vec::new();
        let reply = Reply::read(&mut self.stream, &mut raw);
        (reply, raw)
    }

    /// A request and its reply.
    pub fn ask<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        let mut bytes = Vec::new();
        put(&mut bytes, words);
        self.exchange(&bytes, 1).remove(0).0
    }

    /// A request whose words have no spaces, and its reply.
    pub fn line(&mut self, line: &str) -> Reply {
        self.ask(&line.split(' ').collect::<Vec<_>>())
    }

    /// Sends bytes in one write while `count` replies are read.
    pub fn exchange(&mut self, bytes: &[u8], count: usize) -> Vec<(Reply, Vec<u8>)> {
        if bytes.len() < 16 * 1024 {
            self.send(bytes);
            return (0..count).map(|_| self.reply_and_bytes()).collect();
        }
        let mut writer = self.stream.get_ref().try_clone().expect("a socket");
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(bytes).expect("it is read"));
            (0..count).map(|_| self.reply_and_bytes()).collect()
        })
    }

    /// Sends nothing more.
    pub fn end_sending(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).expect("a socket");
    }

    /// Whether the other side closes without saying anything more.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// The connection is fine: nothing is left over, and the next answer is the right one.
    pub fn assert_in_step(&mut self) {
        let word = format!("step-{}", fastrand::u64(..));
        assert_eq!(self.ask(&["ECHO", &word]), Reply::bulk(&word));
    }
}
