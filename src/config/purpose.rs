//! What a configuration is for.
//!
//! Owns the list of purposes. Knows no option.

/// What the configuration is for; it decides what must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve, or to ask a cluster: there must be a seed.
    Cluster,
    /// To form and heal a cluster: all its nodes must be named.
    Keeper,
    /// To serve nodes that are started for it: there must be no seed and no password of nodes.
    OwnNodes,
    /// To look at it, or to find the admin port.
    Inspect,
}
