//! The gateway's own settings, as far as they hold between it and one client: CONFIG GET tells
//! them in place of the nodes'.
//!
//! Owns which these are. Must not know how they are asked for.

use std::net::IpAddr;

use crate::config::{Config, KeylessScripts, ListenerConfig};

/// What holds between a client and the gateway.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where the client's listener listens.
    pub bind: IpAddr,
    /// Seconds after which a silent client is disconnected; 0 is never.
    pub idle_s: u64,
    /// Bytes of one argument.
    pub bulk_bytes_max: usize,
    /// Bytes of one request.
    pub request_bytes_max: usize,
    /// Databases that clients can SELECT.
    pub databases: usize,
    /// What becomes of scripts without keys.
    pub keyless_scripts: KeylessScripts,
}

impl Settings {
    /// Those of this listener's clients.
    pub fn of(config: &Config, listener: &ListenerConfig) -> Settings {
        Settings {
            bind: listener.bind.ip(),
            idle_s: config.timeouts.idle.map_or(0, |idle| idle.as_secs().max(1)),
            bulk_bytes_max: config.limits.bulk_bytes_max,
            request_bytes_max: config.limits.request_bytes_max,
            databases: config.routing.databases,
            keyless_scripts: config.routing.keyless_scripts,
        }
    }
}
