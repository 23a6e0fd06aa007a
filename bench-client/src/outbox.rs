//! What a connection has to write: requests in words, then perhaps a value from where it lies.
//!
//! Owns how far that is written. Knows nothing of what is in it.

use std::io::{self, ErrorKind, IoSlice, Write};

use mio::net::TcpStream;

/// No more is gathered before it is written, one request aside.
pub(crate) const GATHERED_BYTES_MAX: usize = 64 * 1024;

const LINE_END: &[u8] = b"\r\n";

/// Bytes that are to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Whose value follows the bytes, with a line end after it.
    value_of: Option<u64>,
    written: usize,
}

impl Outbox {
    /// Whether all is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets what is not written.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        (self.value_of, self.written) = (None, 0);
    }

    /// Only these are to be written.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.clear();
        self.bytes.extend_from_slice(bytes);
    }

    /// Where more can be added, as long as no value follows.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A value has to follow.
    pub(crate) fn value_follows(&mut self, ticket: u64) {
        self.value_of = Some(ticket);
    }

    /// Writes what the socket takes. Returns whether that was all.
    pub(crate) fn write<'v>(
        &mut self,
        mut stream: &TcpStream,
        value: impl Fn(u64) -> &'v [u8],
    ) -> io::Result<bool> {
        loop {
            let written = match self.value_of {
                None if self.written == self.bytes.len() => break,
                None => stream.write(&self.bytes[self.written..]),
                Some(ticket) => {
                    let mut pieces = [&self.bytes[..], value(ticket), LINE_END].map(IoSlice::new);
                    if pieces.iter().map(|piece| piece.len()).sum::<usize>() == self.written {
                        break;
                    }
                    let mut left = &mut pieces[..];
                    IoSlice::advance_slices(&mut left, self.written);
                    stream.write_vectored(left)
                }
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(true)
    }
}
