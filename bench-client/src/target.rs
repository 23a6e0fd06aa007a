//! What the target says of itself.
//!
//! Owns the questions before and after a sweep. Knows nothing of load or figures.
//! Invariant: only the first contact may fail the run; an INFO that is not answered is noted as
//! such.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use crate::connection::{Connection, Target};
use crate::host;
use crate::request::Request;
use crate::resp::Reply;

const INFO_BYTES_MAX: usize = 64 * 1024;

/// The INFO fields worth keeping in a report.
const FIELDS: [&str; 15] = [
    "aof_enabled",
    "cluster_enabled",
    "evicted_keys",
    "gateway_version",
    "maxmemory",
    "maxmemory_policy",
    "os",
    "redis_mode",
    "redis_version",
    "role",
    "server_name",
    "slotway_version",
    "uptime_in_seconds",
    "used_memory",
    "valkey_version",
];

/// The target, as far as it tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// Selected INFO fields.
    pub(crate) info: BTreeMap<String, String>,
    /// Why there are none.
    pub(crate) silence: Option<String>,
    /// Where the target lies, seen from here.
    pub(crate) network_path: Option<&'static str>,
    /// The address that answered.
    pub(crate) peer: Option<String>,
}

/// Connects, checks that the target answers PING, and asks for its INFO.
pub(crate) fn first_contact(target: &Target) -> Result<Identity> {
    let mut connection = Connection::open(target)?;
    match connection.ask(Request::keep("PING", None, 64))? {
        Reply::Status(_) | Reply::Ok | Reply::Kept(_) => {}
        Reply::Error(text) => bail!("the target answers PING with: {text}"),
        other => bail!("the target answers PING with: {other:?}"),
    }
    let addresses = connection.addresses().ok();
    let (info, silence) = match connection.ask(Request::keep("INFO", None, INFO_BYTES_MAX)) {
        Ok(Reply::Kept(text)) => (select(&String::from_utf8_lossy(&text)), None),
        Ok(other) => (BTreeMap::new(), Some(format!("{other:?}"))),
        Err(failure) => (BTreeMap::new(), Some(failure.to_string())),
    };
    Ok(Identity {
        info,
        silence,
        network_path: addresses.map(|(local, peer)| host::network_path(local, peer)),
        peer: addresses.map(|(_, peer)| peer.to_string()),
    })
}

/// Asks for INFO again after a sweep; nothing when the target does not answer any more.
pub(crate) fn info_after(target: &Target) -> BTreeMap<String, String> {
    match first_contact(target) {
        Ok(identity) => identity.info,
        Err(_) => BTreeMap::new(),
    }
}

fn select(info: &str) -> BTreeMap<String, String> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .filter(|(name, _)| FIELDS.contains(name))
        .map(|(name, value)| (name.to_owned(), value.chars().take(200).collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_kept() {
        let info =
            select("# Server\r\nredis_version:7.0.15\r\nsecret:x\r\n\r\nodd\r\nos:Linux\r\n");
        assert_eq!(info.len(), 2);
        assert_eq!(info["redis_version"], "7.0.15");
    }
}
