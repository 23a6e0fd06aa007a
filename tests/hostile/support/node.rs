//! One scripted node: a listener and a thread per connection that does what the script says.

use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::cluster::Shared;
use super::{PATIENCE, wire};

/// Between two bytes of [`Act::Trickle`].
const TRICKLE: Duration = Duration::from_millis(50);

/// For [`Act::Pause`].
const PAUSE: Duration = Duration::from_millis(2);

/// What a node does instead of, or before, answering.
#[derive(Clone)]
pub(crate) enum Act {
    /// Writes these bytes as they are.
    Say(Vec<u8>),
    /// Does nothing more on this connection until the gate is open.
    Wait(Gate),
    /// Lets what was said be read alone, most likely.
    Pause,
    /// Says one byte of a line after the other, for ever.
    Trickle,
    /// Says these bytes again and again, as fast as they are taken, and counts how many.
    Flood(Vec<u8>, Arc<AtomicUsize>),
    /// Closes the connection.
    Close,
}

impl Act {
    /// Says `text`.
    pub(crate) fn say(text: impl AsRef<[u8]>) -> Vec<Act> {
        vec![Act::Say(text.as_ref().to_vec())]
    }
}

/// Closed until it is opened, once.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// Lets everybody through.
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Whether it has been opened.
    pub(crate) fn is_open(&self) -> bool {
        *self.0.0.lock().unwrap()
    }

    fn wait(&self) {
        let guard = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(guard, PATIENCE * 2, |open| !*open);
        drop(waited);
    }
}

/// A request as a node has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Which node, counted from 0.
    pub(crate) node: usize,
    /// Which of its connections, counted from 0.
    pub(crate) connection: usize,
    /// The words, joined with spaces.
    pub(crate) text: String,
    /// How often this node has seen the same words before.
    pub(crate) before: usize,
}

/// The listener of one node.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// New connections are closed at once while it is set.
    pub(crate) refusing: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    stopped: Arc<AtomicBool>,
}

impl Node {
    /// Serves on `listener` until dropped.
    pub(crate) fn start(index: usize, listener: TcpListener, shared: Arc<Shared>) -> Node {
        let node = Node {
            address: listener.local_addr().unwrap(),
            refusing: Arc::default(),
            streams: Arc::default(),
            stopped: Arc::default(),
        };
        let (refusing, streams) = (Arc::clone(&node.refusing), Arc::clone(&node.streams));
        let stopped = Arc::clone(&node.stopped);
        let count = AtomicUsize::new(0);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if refusing.load(Ordering::SeqCst) {
                    continue;
                }
                let connection = count.fetch_add(1, Ordering::SeqCst);
                streams.lock().unwrap().push(stream.try_clone().unwrap());
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(index, connection, &stream, &shared));
            }
        });
        node
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.cut();
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(node: usize, connection: usize, stream: &TcpStream, shared: &Shared) {
    let mut input = BufReader::new(stream);
    while let Ok(frame) = wire::frame(&mut input) {
        let text = wire::words(&frame).join(" ");
        for act in shared.acts(node, connection, text) {
            let mut stream = stream;
            match act {
                Act::Say(bytes) if stream.write_all(&bytes).is_ok() => {}
                Act::Wait(gate) => gate.wait(),
                Act::Pause => std::thread::sleep(PAUSE),
                Act::Trickle => {
                    while stream.write_all(b"+").is_ok() {
                        std::thread::sleep(TRICKLE);
                    }
                }
                Act::Flood(bytes, said) => {
                    while stream.write_all(&bytes).is_ok() {
                        said.fetch_add(bytes.len(), Ordering::SeqCst);
                    }
                }
                Act::Say(_) | Act::Close => {
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
