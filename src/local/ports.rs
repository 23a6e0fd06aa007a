//! Ports for the nodes: free now, and free for their cluster bus too.
//!
//! Owns that choice. Knows no process.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

/// The cluster bus of a node listens this far above its port.
const BUS_OFFSET: u16 = 10_000;
/// Below the ports that systems give to outgoing connections, which come and go (32768 on Linux),
/// the bus included.
const PORTS: RangeInclusive<u16> = 19_001..=22_700;
const TRIES: usize = 200;

/// `count` ports in a row. Where to begin is chance, so that two programs that look at the same
/// moment do not meet.
pub(super) fn choose(count: usize) -> Option<Vec<u16>> {
    let count = u16::try_from(count).ok()?;
    let last = PORTS.end().checked_sub(count)?;
    for _ in 0..TRIES {
        let first = fastrand::u16(*PORTS.start()..=last);
        let row = first..first.checked_add(count)?;
        if row.clone().all(is_free) {
            return Some(row.collect());
        }
    }
    None
}

/// Whether a node could listen there, with its bus.
pub(super) fn is_free(port: u16) -> bool {
    let free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    free(port) && port.checked_add(BUS_OFFSET).is_some_and(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_are_taken_are_passed_over() {
        let ports = choose(6).unwrap();
        assert_eq!(ports.len(), 6);
        assert!(ports.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        // One that is taken itself, and one whose bus is.
        let port = ports[0];
        let _held = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
        let _bus = TcpListener::bind((Ipv4Addr::LOCALHOST, ports[1] + BUS_OFFSET)).unwrap();
        assert!(!is_free(ports[1]));
    }
}
