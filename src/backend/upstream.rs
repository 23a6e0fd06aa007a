//! Which connections to a node are alike.
//!
//! Owns the one key of node connections: where they lead, and who the gateway is there. Whatever keeps
//! connections keeps them by this key. The cluster is no part of it: each cluster has connections of
//! its own. Must not know sockets.

use std::rc::Rc;

use super::NodeAddress;
use crate::config::TopologyConfig;
use crate::reply::handle::OnFailure;
use crate::resp::Protocol;

/// Who the gateway is towards a node, and which RESP it speaks there.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Identity {
    /// ACL user; `None` is the default user.
    pub username: Option<String>,
    /// Its password; `None` sends no AUTH.
    pub password: Option<String>,
    /// Protocol version of the connection.
    pub protocol: Protocol,
}

impl Identity {
    /// As whom the configuration says to log in; RESP2, until somebody needs the other.
    pub fn of(topology: &TopologyConfig) -> Identity {
        Identity {
            username: topology.username.clone(),
            password: topology.password.as_ref().map(|secret| secret.expose().to_owned()),
            protocol: Protocol::Resp2,
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.username.as_deref().unwrap_or("default");
        write!(f, "Identity({name}, {:?})", self.protocol)
    }
}

/// Where a connection leads, and as whom. Only requests with an equal key may share a connection or
/// use one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// The node.
    pub node: NodeAddress,
    /// Who the gateway is there.
    pub identity: Rc<Identity>,
}

/// The identities of one user, by protocol.
#[derive(Clone, Debug)]
pub(super) struct Identities([Rc<Identity>; 2]);

impl Identities {
    pub(super) fn new(identity: &Identity) -> Identities {
        let speaking = |protocol| Rc::new(Identity { protocol, ..identity.clone() });
        Identities([speaking(Protocol::Resp2), speaking(Protocol::Resp3)])
    }

    /// The key of connections to this node.
    pub(super) fn towards(&self, node: &NodeAddress, protocol: Protocol) -> Upstream {
        Upstream { node: node.clone(), identity: Rc::clone(&self.0[protocol as usize]) }
    }
}

/// Which of a node's connections that clients share is meant.
///
/// A node reads nothing more from the connection that brought a script before the script has ended, so
/// scripts have one of their own: behind one that takes long there are only others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Band {
    /// For all requests but scripts.
    Common = 0,
    /// For scripts and functions, and transactions that have some.
    Scripts = 1,
}

impl Band {
    /// That of a request of which this is to be done when it fails.
    #[inline(always)]
    pub fn of(on_failure: OnFailure) -> Band {
        if on_failure.is_script() { Band::Scripts } else { Band::Common }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, name: &str) -> NodeAddress {
        NodeAddress { id: id.into(), address: ([127, 0, 0, 1], 7000).into(), name: name.into() }
    }

    #[test]
    fn connections_are_alike_when_node_user_and_protocol_are() {
        let ours = Identities::new(&Identity::default());
        let others = Identities::new(&Identity {
            username: Some("app".to_owned()),
            password: Some("secret".to_owned()),
            protocol: Protocol::Resp3,
        });
        let key = ours.towards(&node("a", "one"), Protocol::Resp2);
        assert_eq!(key, ours.towards(&node("a", "another name"), Protocol::Resp2));
        assert_eq!(
            ours.towards(&node("a", "one"), Protocol::Resp3).identity.protocol,
            Protocol::Resp3
        );
        for other in [
            ours.towards(&node("b", "one"), Protocol::Resp2),
            ours.towards(&node("a", "one"), Protocol::Resp3),
            others.towards(&node("a", "one"), Protocol::Resp2),
        ] {
            assert_ne!(key, other);
        }
        assert!(!format!("{:?}", others).contains("secret"));
    }
}
