//! Programs that listen on a free port, and a `redis-server` by itself.
//!
//! Owns how a port is found. It is free when it is chosen and may be taken a moment later: then the
//! process says so by ending, and another is tried.

use std::net::{SocketAddr, TcpListener};

use crate::client::Client;
use crate::guard::{EndBy, Guarded};

const TRIES: usize = 20;

/// An address of loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.local_addr().expect("an address")
}

/// Starts a program on a free port; `words` are for that port, `sign` says that it listens. Returns
/// the line with the sign too.
pub fn start(
    end_by: EndBy,
    sign: &str,
    variables: &[(&str, &str)],
    words: impl Fn(SocketAddr) -> Vec<String>,
) -> (Guarded, SocketAddr, String) {
    let mut said = String::new();
    for _ in 0..TRIES {
        let address = free_address();
        let mut process = Guarded::start(end_by, &words(address), variables);
        if let Some(line) = process.wait_for(sign) {
            return (process, address, line);
        }
        said = process.said();
    }
    panic!("it does not start: {said}");
}

/// Words that a program is started with.
pub fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A `redis-server` without a cluster and without persistence, in a folder of its own.
pub struct RedisServer {
    // Dropped in this order.
    _process: Guarded,
    _folder: tempfile::TempDir,
    address: SocketAddr,
}

impl RedisServer {
    /// Starts one, with these options beside the usual.
    pub fn start(options: &[&str]) -> RedisServer {
        let folder = tempfile::tempdir().expect("a folder for the server");
        let sign = "Ready to accept connections";
        let (process, address, _) = start(EndBy::Kill, sign, &[], |address| {
            let (port, folder) = (address.port().to_string(), folder.path().display().to_string());
            let place = ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--dir", &folder];
            [owned(&place), owned(&["--save", "", "--appendonly", "no"]), owned(options)].concat()
        });
        RedisServer { _process: process, _folder: folder, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }
}
