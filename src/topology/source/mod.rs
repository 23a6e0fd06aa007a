//! How the map is learned.
//!
//! Owns what a node's view of the map is, and which questions lead to one. Must not decide which node
//! is believed.
//!
//! A Redis Cluster is the one source there is. Sentinel, or a single server, would come as another arm:
//! each knows one master, and gives a map with one shard that has all slots. Nothing above the map would
//! see a difference, but for the rule on keys in several slots, which [`plan`](crate::router) takes as an
//! argument already.

mod cluster;
pub mod slots_reply;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::map::ClusterMap;
use super::names::Resolver;
use crate::backend::{BackendError, Connection};

/// Who tells the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// The nodes of a Redis Cluster.
    #[default]
    Cluster,
}

impl Source {
    /// Asks the node behind `connection`, which was dialled as `host`, for its view.
    pub async fn ask(
        self,
        connection: &mut Connection,
        host: &str,
        resolver: &Resolver,
    ) -> Result<View, BackendError> {
        match self {
            Self::Cluster => cluster::ask(connection, host, resolver).await,
        }
    }
}

/// What one node says of the map.
#[derive(Clone, Debug)]
pub struct View {
    /// The map as this node sees it.
    pub map: ClusterMap,
    /// Whether it calls the cluster ok.
    pub ok: bool,
    /// Host names that nodes announce and that do not resolve here: the address that is used
    /// instead, if any is told.
    pub unresolved: Unresolved,
}

/// Host names that do not resolve, fit to be shown.
pub type Unresolved = BTreeMap<String, Option<IpAddr>>;
