//! From which addresses the gateway itself talks to nodes.
//!
//! Owns the set of the local addresses of this process's node connections. Whoever reads what a node
//! says of its clients (MONITOR) can tell the gateway's own requests from those of others by it. The set
//! is the process's, as the addresses are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Connections by their local address; a connection to another node may have the same one.
static OWN: LazyLock<Mutex<HashMap<SocketAddr, usize>>> = LazyLock::new(Mutex::default);

/// A connection's address, in the set for as long as this is there.
#[derive(Debug)]
pub struct OwnAddress(Option<SocketAddr>);

impl OwnAddress {
    /// Of a connection from this address, if the system tells it.
    pub fn new(address: Option<SocketAddr>) -> OwnAddress {
        if let Some(address) = address {
            let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
            *own.entry(address).or_default() += 1;
        }
        OwnAddress(address)
    }
}

impl Drop for OwnAddress {
    fn drop(&mut self) {
        let Some(address) = self.0 else { return };
        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = own.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                own.remove(&address);
            }
        }
    }
}

/// Whether this process talks to a node from this address.
pub fn is_own(address: SocketAddr) -> bool {
    OWN.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_own_as_long_as_a_connection_has_it() {
        let address = "192.0.2.1:7".parse().unwrap();
        let (one, two) = (OwnAddress::new(Some(address)), OwnAddress::new(Some(address)));
        drop(OwnAddress::new(None));
        assert!(is_own(address));
        drop(one);
        assert!(is_own(address));
        drop(two);
        assert!(!is_own(address));
    }
}
