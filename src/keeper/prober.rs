//! Looking at all nodes of the list at once.
//!
//! Owns names, addresses and questions, and how long anybody is waited for: a node that was silent
//! the last time does not hold up the others. Must not know what an answer leads to.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{self, Instant};

use super::snapshot::{Listed, Missing, Reached};
use super::view::{NoView, View};
use crate::backend::{BackendError, Connection, Identity};
use crate::config::HostPort;
use crate::resp::Value;
use crate::topology::names::resolve;

/// A node that did not answer the last time has this long, and is looked at on the side.
const GRACE: Duration = Duration::from_millis(100);
/// Beyond the timeout of a node, for the looking itself.
const MARGIN: Duration = Duration::from_millis(250);
/// A name of one node has one address, or one per protocol; more are not tried.
const ADDRESSES_MAX: usize = 8;

/// Looks at nodes again and again.
#[derive(Debug)]
pub(super) struct Prober {
    nodes: Vec<Probed>,
    identity: Identity,
    timeout: Duration,
}

/// A node of the list, and what is under way to see it.
#[derive(Debug)]
struct Probed {
    name: HostPort,
    look: Option<JoinHandle<Probe>>,
    /// What was last seen was a node.
    answered: bool,
    /// Why it was not, to be told again while it is looked at.
    last: Missing,
}

/// What a look at one node found.
type Probe = Result<(Reached, Connection), Missing>;

/// What was found, and the connections to those who answered, in the order of the list.
pub(super) type Probes = (Vec<Listed>, Vec<Option<Connection>>);

impl Prober {
    pub(super) fn new(names: &[HostPort], identity: Identity, timeout: Duration) -> Prober {
        let looked = |name: &HostPort| Probed {
            name: name.clone(),
            look: None,
            answered: true,
            last: Missing::Unresolved,
        };
        Prober { nodes: names.iter().map(looked).collect(), identity, timeout }
    }

    /// Looks at all nodes. It takes no longer than the timeout of one of them.
    pub(super) async fn probe(&mut self) -> Probes {
        let (identity, timeout) = (&self.identity, self.timeout);
        for node in &mut self.nodes {
            let look = || tokio::spawn(find(node.name.clone(), identity.clone(), timeout));
            node.look.get_or_insert_with(look);
        }
        let start = Instant::now();
        let (mut listed, mut connections) = (Vec::new(), Vec::new());
        for node in &mut self.nodes {
            let limit = if node.answered { timeout + MARGIN } else { GRACE };
            let (seen, connection) = match node.wait_until(start + limit).await {
                Ok((reached, connection)) => (Ok(reached), Some(connection)),
                Err(missing) => (Err(missing), None),
            };
            listed.push(Listed { name: node.name.to_string(), seen });
            connections.push(connection);
        }
        refuse_twins(&mut listed, &mut connections);
        (listed, connections)
    }
}

impl Probed {
    async fn wait_until(&mut self, deadline: Instant) -> Probe {
        let Some(look) = &mut self.look else { return Err(self.last.clone()) };
        // Not ready yet: it goes on, and its end is seen in one of the next rounds.
        let Ok(ended) = time::timeout_at(deadline, look).await else {
            self.answered = false;
            return Err(self.last.clone());
        };
        self.look = None;
        let sight = ended.unwrap_or_else(|_| Err(Missing::Unreached("the look failed".into())));
        self.answered = sight.is_ok();
        if let Err(missing) = &sight {
            self.last = missing.clone();
        }
        sight
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        if let Some(look) = &self.look {
            look.abort();
        }
    }
}

/// Two names that lead to one node: only the first one has it.
fn refuse_twins(listed: &mut [Listed], connections: &mut [Option<Connection>]) {
    for (at, connection) in connections.iter_mut().enumerate() {
        let (before, rest) = listed.split_at_mut(at);
        let Some(node) = rest.first_mut() else { break };
        let Ok(Reached { view, .. }) = &node.seen else { continue };
        let is_same =
            |other: &&Listed| other.seen.as_ref().is_ok_and(|other| other.view.id() == view.id());
        if let Some(first) = before.iter().find(is_same) {
            node.seen = Err(Missing::Twice(first.name.clone()));
            *connection = None;
        }
    }
}

/// Finds the node of a name: now, because the name may stand for another address than before.
async fn find(name: HostPort, identity: Identity, timeout: Duration) -> Probe {
    let mut addresses: Vec<SocketAddr> =
        resolve(&name.host).await.into_iter().map(|ip| SocketAddr::new(ip, name.port)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    let mut looks = JoinSet::new();
    for address in addresses {
        let identity = identity.clone();
        looks.spawn(async move {
            let asked = time::timeout(timeout, Box::pin(ask(address, &identity, timeout))).await;
            asked.unwrap_or_else(|_| Err(Missing::Unreached("no answer in time".to_owned())))
        });
    }
    let mut sight = Err(Missing::Unresolved);
    while let Some(ended) = looks.join_next().await {
        let Ok(next) = ended else { continue };
        sight = better(sight, next);
    }
    sight
}

/// Of two addresses the one where a node answers.
fn better(one: Probe, other: Probe) -> Probe {
    match (one, other) {
        (Ok(one), Ok(other)) if one.0.view.id() != other.0.view.id() => {
            let mut places = vec![one.0.address, other.0.address];
            places.sort_unstable();
            Err(Missing::Several(places))
        }
        (Err(Missing::Several(places)), _) | (_, Err(Missing::Several(places))) => {
            Err(Missing::Several(places))
        }
        // Always the same one, whichever was faster.
        (Ok(one), Ok(other)) => Ok(if one.0.address <= other.0.address { one } else { other }),
        (Ok(one), Err(_)) => Ok(one),
        (Err(Missing::Unresolved), other) | (_, other @ Ok(_)) => other,
        (one @ Err(_), Err(_)) => one,
    }
}

async fn ask(address: SocketAddr, identity: &Identity, timeout: Duration) -> Probe {
    let mut connection =
        Connection::open(address, identity, timeout).await.map_err(|error| missing(&error))?;
    let info = text(&mut connection, &[b"INFO"]).await?;
    // Before the next question, which such a node refuses in words of its own.
    if let Err(why @ (NoView::Loading | NoView::NoCluster)) = View::read(&info, "", "") {
        return Err(why.into());
    }
    let nodes = text(&mut connection, &[b"CLUSTER", b"NODES"]).await?;
    let cluster = text(&mut connection, &[b"CLUSTER", b"INFO"]).await?;
    let view = View::read(&info, &nodes, &cluster)?;
    Ok((Reached { address, view }, connection))
}

async fn text(connection: &mut Connection, words: &[&[u8]]) -> Result<String, Missing> {
    match connection.call(words).await {
        Ok(Value::Bulk(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(_) => Err(Missing::Odd("it answers something else than text")),
        Err(error) => Err(missing(&error)),
    }
}

/// What an error means: to be waited for, or somebody's mistake.
fn missing(error: &BackendError) -> Missing {
    match error {
        BackendError::Refused(text) if text.starts_with("LOADING") => Missing::Loading,
        BackendError::Refused(_) | BackendError::Auth(_) | BackendError::Protocol(_) => {
            Missing::Refuses(error.to_string())
        }
        _ => Missing::Unreached(error.to_string()),
    }
}

impl From<NoView> for Missing {
    fn from(why: NoView) -> Missing {
        match why {
            NoView::Loading => Missing::Loading,
            NoView::NoCluster => Missing::NoCluster,
            NoView::Odd(what) => Missing::Odd(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_of_two_addresses_is_kept() {
        let unreached = || Err(Missing::Unreached("refused".to_owned()));
        let kept = |one, other| better(one, other).map(|_| ()).unwrap_err();
        assert_eq!(
            kept(Err(Missing::Unresolved), unreached()),
            Missing::Unreached("refused".to_owned())
        );
        assert_eq!(
            kept(unreached(), Err(Missing::Loading)),
            Missing::Unreached("refused".to_owned())
        );
        let several = || Err(Missing::Several(Vec::new()));
        assert_eq!(kept(unreached(), several()), Missing::Several(Vec::new()));
    }
}
