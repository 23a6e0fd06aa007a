//! The shape of a new cluster: who is a master, who follows whom, which slots are whose.
//!
//! Owns that arithmetic and the judgement of what nodes already are. Pure: knows no socket.

use std::ops::RangeInclusive;

use super::view::{View, count};
use crate::slot::SLOTS;

/// Fewer masters cannot agree that one of them is gone.
pub(super) const MASTERS_MIN: usize = 3;

/// What is to become of each node: the first ones are masters, the others follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    pub(super) masters: usize,
}

/// What the nodes are before anything is done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// They know nothing: a cluster can be formed.
    Empty,
    /// They are a part of this very plan, without keys: somebody began and was stopped.
    Begun,
    /// They are a cluster of these nodes with as many masters.
    Formed,
    /// The node at this index is something else, and would lose it.
    Taken(usize, Taken),
}

/// Why a node must be left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It holds so many keys.
    Keys(i64),
    /// It knows nodes that are not named here; one of them.
    Stranger(String),
    /// It already serves so many slots.
    Slots(usize),
    /// It follows another master.
    Replica,
    /// It is one cluster with the others, but of so many masters.
    OtherShape(usize),
}

impl Plan {
    /// None when the nodes are too few for masters that can agree.
    pub(super) fn new(nodes: usize, replicas_per_master: usize) -> Option<Plan> {
        let masters = nodes / (replicas_per_master + 1);
        (masters >= MASTERS_MIN).then_some(Plan { nodes, masters })
    }

    /// The slots of the master at `index`: contiguous, and even to one slot.
    pub(super) fn slots(&self, index: usize) -> Option<RangeInclusive<u16>> {
        if index >= self.masters {
            return None;
        }
        let start = index * SLOTS / self.masters;
        let end = (index + 1) * SLOTS / self.masters - 1;
        Some(start as u16..=end as u16)
    }

    /// The master that the node at `index` follows. Shifted by one, so that with nodes listed host
    /// by host, twice over, no replica is beside its master.
    pub(super) fn master_of(&self, index: usize) -> Option<usize> {
        let replica = index.checked_sub(self.masters)?;
        let round = replica / self.masters;
        Some((replica + 1 + round) % self.masters)
    }

    /// What `views` are, in the order of the nodes.
    pub(super) fn judge(&self, views: &[View]) -> Standing {
        let ids: Vec<&str> = views.iter().map(|view| view.id.as_str()).collect();
        for (index, view) in views.iter().enumerate() {
            let strangers = view.nodes.iter().find(|node| !ids.contains(&node.id.as_str()));
            if let Some(stranger) = strangers {
                return Standing::Taken(index, Taken::Stranger(stranger.to_string()));
            }
        }
        if views.iter().all(|view| view.nodes.len() == self.nodes) {
            let served: usize = views.iter().map(|view| count(view.own_slots())).sum();
            let masters = views.iter().filter(|view| !view.own_slots().is_empty()).count();
            if served == SLOTS && masters == self.masters {
                return Standing::Formed;
            }
            if served == SLOTS {
                return Standing::Taken(0, Taken::OtherShape(masters));
            }
        }
        match views
            .iter()
            .enumerate()
            .find_map(|(index, v)| Some((index, self.taken(index, v, &ids)?)))
        {
            Some((index, why)) => Standing::Taken(index, why),
            None if views.iter().all(View::is_blank) => Standing::Empty,
            None => Standing::Begun,
        }
    }

    /// Why the node at `index`, which knows no stranger, is not as this plan would have it.
    fn taken(&self, index: usize, view: &View, ids: &[&str]) -> Option<Taken> {
        if view.keys > 0 {
            return Some(Taken::Keys(view.keys));
        }
        let planned = self.slots(index);
        let is_planned = |range: &RangeInclusive<u16>| {
            planned.as_ref().is_some_and(|p| p.contains(range.start()) && p.contains(range.end()))
        };
        if !view.own_slots().iter().all(is_planned) {
            return Some(Taken::Slots(count(view.own_slots())));
        }
        let master = self.master_of(index).and_then(|master| ids.get(master)).copied();
        match view.own_master() {
            Some(found) if Some(found) != master => Some(Taken::Replica),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::view::NodeLine;

    #[test]
    fn slots_are_shared_out_evenly_and_completely() {
        for masters in [3, 4, 5, 7, 100, 1000] {
            let plan = Plan::new(masters, 0).unwrap();
            let mut next = 0;
            for index in 0..masters {
                let range = plan.slots(index).unwrap();
                assert_eq!(usize::from(*range.start()), next);
                next = usize::from(*range.end()) + 1;
                assert!((SLOTS / masters..=SLOTS / masters + 1).contains(&range.len()));
            }
            assert_eq!(next, SLOTS);
            assert_eq!(plan.slots(masters), None);
        }
    }

    #[test]
    fn replicas_are_shared_out_and_never_in_the_place_of_their_master() {
        for (nodes, replicas) in [(6, 1), (9, 2), (8, 1), (7, 1), (12, 2)] {
            let plan = Plan::new(nodes, replicas).unwrap();
            let mut followers = vec![0; plan.masters];
            for index in plan.masters..nodes {
                let master = plan.master_of(index).unwrap();
                assert_ne!(master, index % plan.masters, "{nodes} {replicas} {index}");
                followers[master] += 1;
            }
            assert!(followers.iter().all(|count| *count >= replicas), "{followers:?}");
            assert_eq!(plan.master_of(0), None);
        }
        assert!(Plan::new(5, 1).is_none() && Plan::new(2, 0).is_none());
    }

    fn node(id: usize, master: Option<usize>, slots: &[RangeInclusive<u16>]) -> NodeLine {
        NodeLine {
            id: format!("n{id}"),
            address: format!("10.0.0.{id}:6379"),
            master: master.map(|master| format!("n{master}")),
            is_settled: true,
            is_meeting: false,
            is_failing: false,
            is_myself: false,
            slots: slots.to_vec(),
        }
    }

    /// Three masters with a replica each, as each of them sees it.
    fn formed() -> Vec<View> {
        let plan = Plan::new(6, 1).unwrap();
        let line = |id| node(id, plan.master_of(id), plan.slots(id).as_slice());
        (0..6)
            .map(|me| {
                let mut nodes: Vec<NodeLine> = (0..6).map(line).collect();
                nodes[me].is_myself = true;
                View { id: format!("n{me}"), nodes, keys: 5 }
            })
            .collect()
    }

    fn blank() -> Vec<View> {
        (0..6)
            .map(|me| {
                let mut own = node(me, None, &[]);
                own.is_myself = true;
                View { id: format!("n{me}"), nodes: vec![own], keys: 0 }
            })
            .collect()
    }

    #[test]
    fn nodes_are_judged_before_anything_is_done() {
        let plan = Plan::new(6, 1).unwrap();
        assert_eq!(plan.judge(&blank()), Standing::Empty);
        assert_eq!(plan.judge(&formed()), Standing::Formed);
        let four = Plan { nodes: 6, masters: 4 };
        assert_eq!(four.judge(&formed()), Standing::Taken(0, Taken::OtherShape(3)));

        let mut views = blank();
        views[2].keys = 7;
        assert_eq!(plan.judge(&views), Standing::Taken(2, Taken::Keys(7)));

        let mut views = blank();
        views[1].nodes.push(node(9, None, &[]));
        let stranger = Taken::Stranger("n9 at 10.0.0.9:6379".to_owned());
        assert_eq!(plan.judge(&views), Standing::Taken(1, stranger));

        let mut views = blank();
        views[5].nodes[0].slots = vec![0..=99, 200..=200];
        assert_eq!(plan.judge(&views), Standing::Taken(5, Taken::Slots(101)));

        let mut views = blank();
        views[3].nodes[0].master = Some("n3".to_owned());
        assert_eq!(plan.judge(&views), Standing::Taken(3, Taken::Replica));
    }

    #[test]
    fn what_was_begun_is_told_from_what_is_taken() {
        let plan = Plan::new(6, 1).unwrap();
        let mut views = blank();
        views[0].nodes[0].slots = vec![plan.slots(0).unwrap()];
        views[4].nodes[0].master = Some("n2".to_owned());
        views[0].nodes.push(node(1, None, &[]));
        assert_eq!(plan.judge(&views), Standing::Begun);
        // The same with a key is somebody's data.
        views[0].keys = 1;
        assert_eq!(plan.judge(&views), Standing::Taken(0, Taken::Keys(1)));
    }

    #[test]
    fn a_cluster_after_a_failover_is_still_formed() {
        let mut views = formed();
        for view in &mut views {
            // n5 has taken over from its master.
            let master: usize = 0;
            let slots = std::mem::take(&mut view.nodes[master].slots);
            view.nodes[master].master = Some("n5".to_owned());
            view.nodes[5].slots = slots;
            view.nodes[5].master = None;
        }
        assert_eq!(Plan::new(6, 1).unwrap().judge(&views), Standing::Formed);
    }
}
