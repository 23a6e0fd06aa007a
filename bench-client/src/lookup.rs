//! Finds the addresses of a target's name without holding up the connections that are open.
//!
//! Owns the one lookup that may be under way for a thread of connections. Knows nothing of what the
//! addresses are for.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use mio::Waker;

/// Where a name leads, in the order in which its addresses are to be tried.
pub(crate) type Addresses = Arc<[SocketAddr]>;

/// The addresses of `HOST:PORT`.
pub(crate) struct Lookup {
    name: String,
    /// Where the name is an address itself.
    literal: Option<Addresses>,
    waker: Arc<Waker>,
    under_way: Option<Receiver<io::Result<Addresses>>>,
}

impl Lookup {
    /// Nothing is looked up yet; `waker` is woken whenever an answer is there.
    pub(crate) fn new(name: &str, waker: Arc<Waker>) -> Lookup {
        let literal = name.parse().ok().map(|address: SocketAddr| Arc::from([address]));
        Lookup { name: name.to_owned(), literal, waker, under_way: None }
    }

    /// The addresses, where that takes no time; else they are looked up anew, on a thread of its
    /// own, and will be in `answer`.
    pub(crate) fn start(&mut self) -> io::Result<Option<Addresses>> {
        if self.literal.is_some() {
            return Ok(self.literal.clone());
        }
        if self.under_way.is_none() {
            let (sender, receiver) = sync_channel(1);
            let (name, waker) = (self.name.clone(), Arc::clone(&self.waker));
            std::thread::Builder::new().name("lookup".to_owned()).spawn(move || {
                let found = name.to_socket_addrs().map(Iterator::collect);
                // Whoever asked may have ended meanwhile.
                let _ = sender.send(found);
                let _ = waker.wake();
            })?;
            self.under_way = Some(receiver);
        }
        Ok(None)
    }

    /// The answer, once.
    pub(crate) fn answer(&mut self) -> Option<io::Result<Addresses>> {
        let answer = match self.under_way.as_ref()?.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(io::Error::other("the lookup ended")),
        };
        self.under_way = None;
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    #[test]
    fn an_address_needs_no_lookup() {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut lookup = Lookup::new("127.0.0.1:7000", waker);
        assert_eq!(lookup.start().unwrap().unwrap()[0], "127.0.0.1:7000".parse().unwrap());
        assert!(lookup.answer().is_none());
    }

    #[test]
    fn a_name_is_looked_up_elsewhere_and_wakes_who_asked() {
        let mut poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let mut lookup = Lookup::new("localhost:7000", waker);
        assert!(lookup.start().unwrap().is_none());
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::from_secs(60))).unwrap();
        let found = lookup.answer().unwrap().unwrap();
        assert!(found.iter().all(|address| address.port() == 7000 && address.ip().is_loopback()));
    }
}
