//! CONFIG SET, but for how the nodes are reached.
//!
//! Owns which options of the nodes no client may change: those by which the gateway, the cluster and
//! its operators come to a node. A password set by a client would be asked of the gateway, which
//! does not know it, at its next connection.

use crate::resp::Args;

/// Options of which the name is all.
const NAMES: [&str; 11] = [
    "bind",
    "bind-source-addr",
    "masterauth",
    "masteruser",
    "port",
    "primaryauth",
    "primaryuser",
    "protected-mode",
    "requirepass",
    "unixsocket",
    "unixsocketperm",
];
/// Families of options.
const FAMILIES: [&str; 4] = ["cluster-", "replica-announce-", "slave-announce-", "tls-"];

/// The first option of this CONFIG SET that is the nodes' own, in lower case.
pub(super) fn of_the_nodes(args: Args<'_>) -> Option<String> {
    let names = args.iter().skip(2).step_by(2);
    let mut names = names.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    names.find(|name| {
        NAMES.contains(&name.as_str()) || FAMILIES.iter().any(|family| name.starts_with(family))
    })
}
