//! What is wrong with single nodes, or with all of them, as people are told.
//!
//! Owns the wording, what of it is logged again, and the bounds of both. Must not know what is done
//! about it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::source::Unresolved;
use crate::backend::{BackendError, TurnedAway};
use crate::config::HostPort;

/// Nodes or seeds that one sentence names; the others are counted.
const NAMED_MAX: usize = 4;
/// Troubles that are told at a time.
const TOLD_MAX: usize = 20;
/// Names that are logged at all.
const NAMES_TOLD_MAX: usize = 1024;
/// Why the cluster cannot be reached is logged again after so long.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// What a look at the cluster met with.
#[derive(Debug, Default)]
pub(super) struct Failures(BTreeMap<String, BTreeSet<String>>, Option<TurnedAway>);

impl Failures {
    /// This node did not tell its view.
    pub(super) fn note(&mut self, host: &str, address: SocketAddr, error: &BackendError) {
        let why = error.turned_away();
        // What a person has to mend goes before what may pass.
        self.1 = match self.1 {
            None | Some(TurnedAway::Full) => why.or(self.1),
            known => known,
        };
        let nodes = self.0.entry(error.to_string()).or_default();
        nodes.insert(format!("{host} ({address})"));
    }

    /// Why all nodes turn the gateway away, if they do.
    pub(super) fn turned_away(&self) -> Option<TurnedAway> {
        self.1
    }

    /// All in one sentence, the same for the same troubles; `None` without any.
    pub(super) fn words(&self) -> Option<String> {
        let one = |(why, nodes): (&String, &BTreeSet<String>)| format!("{}: {why}", list(nodes));
        let sentences: Vec<String> = self.0.iter().take(NAMED_MAX).map(one).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

/// Names, and how many more there are.
fn list<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let mut text: Vec<String> = names.by_ref().take(NAMED_MAX).map(|n| n.to_string()).collect();
    let more = names.count();
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

/// No seed has an address.
pub(super) fn no_seed(seeds: &[HostPort]) -> String {
    format!("no seed could be resolved: {}", list(seeds))
}

/// What has been logged, so that it is logged once.
#[derive(Debug, Default)]
pub(super) struct Told {
    unreached: Option<(String, Instant)>,
    /// Names, and whether an address was told beside them.
    names: HashSet<(String, bool)>,
    nodes: HashMap<SocketAddr, TurnedAway>,
}

impl Told {
    /// No node has told its view.
    pub(super) fn unreached(&mut self, problem: &str) {
        let is_told = self
            .unreached
            .as_ref()
            .is_some_and(|(told, when)| told == problem && when.elapsed() < TELL_AGAIN);
        if !is_told {
            tracing::warn!(problem, "the cluster cannot be reached");
            self.unreached = Some((problem.to_owned(), Instant::now()));
        }
    }

    /// A node has told its view.
    pub(super) fn reached(&mut self) {
        self.unreached = None;
    }

    /// These names do not resolve: each is told once.
    pub(super) fn names(&mut self, unresolved: &Unresolved) {
        for (name, ip) in unresolved {
            let is_full = self.names.len() >= NAMES_TOLD_MAX;
            if is_full || !self.names.insert((name.clone(), ip.is_some())) {
                continue;
            }
            match ip {
                Some(ip) => tracing::info!(
                    name, address = %ip,
                    "the name of a node does not resolve here: the address it tells is used"
                ),
                None => tracing::warn!(
                    name,
                    "the name of a node does not resolve here, and it tells no address: it cannot \
                     be reached"
                ),
            }
        }
    }

    /// One of several nodes turns the gateway away, or does not any more.
    pub(super) fn node(&mut self, host: &str, address: SocketAddr, error: Option<&BackendError>) {
        let why = error.and_then(BackendError::turned_away);
        let before = match why {
            Some(why) => self.nodes.insert(address, why),
            None => self.nodes.remove(&address),
        };
        if let Some(error) = error.filter(|_| why.is_some() && why != before) {
            tracing::warn!(%host, %address, %error, "turned away by a node");
        }
        if self.nodes.len() > TOLD_MAX * NAMED_MAX {
            self.nodes.clear();
        }
    }
}

/// What is wrong with single nodes of a cluster that can be reached.
#[derive(Clone, Debug, Default)]
pub struct Troubles {
    unresolved: Unresolved,
    turned_away: BTreeMap<SocketAddr, String>,
}

impl Troubles {
    pub(super) fn set_unresolved(&mut self, unresolved: Unresolved) {
        self.unresolved = unresolved;
    }

    pub(super) fn set_node(&mut self, host: &str, at: SocketAddr, error: Option<&BackendError>) {
        match error.filter(|error| error.turned_away().is_some()) {
            Some(error) if self.turned_away.len() < TOLD_MAX => {
                self.turned_away.insert(at, format!("{host} ({at}): {error}"));
            }
            Some(_) => {}
            None => drop(self.turned_away.remove(&at)),
        }
    }

    pub(super) fn retain(&mut self, is_of_use: impl Fn(&SocketAddr) -> bool) {
        self.turned_away.retain(|address, _| is_of_use(address));
    }

    /// Names that lead nowhere, in one sentence.
    pub fn unreachable_names(&self) -> Option<String> {
        let lost = |(name, ip): (&String, &Option<IpAddr>)| ip.is_none().then(|| name.clone());
        let names: Vec<String> = self.unresolved.iter().filter_map(lost).collect();
        (!names.is_empty()).then(|| {
            format!("names of nodes do not resolve here, and they tell no address: {}", list(names))
        })
    }

    /// Each in a sentence.
    pub fn sentences(&self) -> Vec<String> {
        let name = |(name, ip): (&String, &Option<IpAddr>)| match ip {
            Some(ip) => format!("the name {name} does not resolve here: its address {ip} is used"),
            None => format!("the name {name} does not resolve here, and it tells no address"),
        };
        let names = self.unresolved.iter().map(name);
        names.chain(self.turned_away.values().cloned()).take(TOLD_MAX).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_troubles_make_the_same_sentence() {
        let addresses = [1u16, 2, 3, 4, 5, 6].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let words = |order: &[usize]| {
            let mut failures = Failures::default();
            for at in order {
                failures.note("a", addresses[*at], &BackendError::Auth("WRONGPASS no".into()));
            }
            assert_eq!(failures.turned_away(), Some(TurnedAway::Credentials));
            failures.words().unwrap()
        };
        let said = words(&[0, 1, 2, 3, 4, 5]);
        assert_eq!(said, words(&[5, 3, 4, 0, 2, 1]));
        assert!(said.contains("a (127.0.0.1:1), a (127.0.0.1:2)"), "{said}");
        assert!(said.contains("and 2 more: the node refused the credentials"), "{said}");
        assert_eq!(Failures::default().words(), None);
    }

    #[test]
    fn names_are_told_with_what_becomes_of_them() {
        let mut troubles = Troubles::default();
        assert!(troubles.sentences().is_empty());
        let unresolved = [("a".to_owned(), Some([127, 0, 0, 1].into())), ("b".to_owned(), None)];
        troubles.set_unresolved(unresolved.into());
        assert!(troubles.unreachable_names().unwrap().ends_with(": b"));
        let said = troubles.sentences();
        assert_eq!(said[0], "the name a does not resolve here: its address 127.0.0.1 is used");
        assert_eq!(said.len(), 2);
    }
}
