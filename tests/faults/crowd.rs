//! Clients that behave badly, beside those that do not.
//!
//! Owns what each kind of them does, again and again until it is told to stop. Nobody reads what they
//! are answered: what matters is what the others see.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::link::Link;
use crate::wire;

/// How they behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ask for much, leave at once, come again.
    Leavers,
    /// Ask for large values and read nothing.
    SlowReaders,
    /// Send half of a large request.
    HalfRequests,
    /// Ask for very many keys at once.
    WideRequests,
}

const KINDS: [(&str, Kind, usize); 4] = [
    ("leavers", Kind::Leavers, 20),
    ("slow_readers", Kind::SlowReaders, 20),
    ("half_requests", Kind::HalfRequests, 40),
    ("wide_requests", Kind::WideRequests, 2),
];
/// How long slow ones stay before they come again.
const STAY: Duration = Duration::from_secs(2);
const VALUES: usize = 30;

/// A crowd; it goes with it.
pub(crate) struct Crowd {
    ending: Arc<AtomicBool>,
    members: Vec<JoinHandle<()>>,
}

impl Crowd {
    /// The crowd of this name; `all` is one of each kind. None has no name.
    pub(crate) fn called(name: &str, gateway: SocketAddr) -> Option<Crowd> {
        let chosen = KINDS.iter().filter(|(known, ..)| name == "all" || name == *known);
        let chosen: Vec<_> = chosen.collect();
        if chosen.is_empty() {
            return None;
        }
        fill(gateway);
        let ending = Arc::new(AtomicBool::new(false));
        let member = |kind: Kind| {
            let ending = Arc::clone(&ending);
            std::thread::spawn(move || {
                while !ending.load(Ordering::Relaxed) {
                    // Being cut off, or not let in during a fault, is all in the game.
                    let _ = behave(kind, gateway, &ending);
                }
            })
        };
        let members = chosen.iter().flat_map(|(_, kind, count)| vec![*kind; *count]);
        Some(Crowd { members: members.map(member).collect(), ending: Arc::clone(&ending) })
    }

    /// Ends it.
    pub(crate) fn leave(mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.members.drain(..).for_each(|member| member.join().unwrap());
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

fn fill(gateway: SocketAddr) {
    let mut link = Link::connect(gateway).unwrap();
    let (value, large) = ("x".repeat(64 << 10), "x".repeat(8 << 20));
    for n in 0..VALUES {
        link.call(&["SET", &format!("crowd:{n}"), &value]).unwrap();
    }
    link.call(&["SET", "crowd:large", &large]).unwrap();
}

fn behave(kind: Kind, gateway: SocketAddr, ending: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_read_timeout(Some(STAY))?;
    stream.set_write_timeout(Some(STAY))?;
    match kind {
        Kind::Leavers => {
            let ask = |n: usize| wire::request(&["GET", &format!("crowd:{}", n % VALUES)]);
            let asked: Vec<u8> = (0..300).flat_map(ask).collect();
            stream.write_all(&asked)?;
            std::thread::sleep(Duration::from_millis(50));
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))
        }
        Kind::SlowReaders => {
            stream.write_all(&wire::request(&["GET", "crowd:large"]).repeat(4))?;
            stay(ending);
            Ok(())
        }
        Kind::HalfRequests => {
            let header = format!("*3\r\n$3\r\nSET\r\n$10\r\ncrowd:half\r\n${}\r\n", 16 << 20);
            stream.write_all(header.as_bytes())?;
            stream.write_all(&vec![b'y'; 8 << 20])?;
            stay(ending);
            Ok(())
        }
        Kind::WideRequests => {
            let keys: Vec<String> = (0..100_000).map(|n| format!("wide:{n}")).collect();
            let words: Vec<&str> =
                ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
            stream.write_all(&wire::request(&words))?;
            // All of it is `*100000` and nothing for each.
            let mut answer = vec![0; "*100000\r\n".len() + 100_000 * "$-1\r\n".len()];
            stream.read_exact(&mut answer)
        }
    }
}

fn stay(ending: &AtomicBool) {
    for _ in 0..20 {
        if ending.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(STAY / 20);
    }
}
