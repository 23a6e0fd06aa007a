//! What the nodes think of their cluster.

use std::time::Duration;

use super::Site;
use crate::nodes::until;

/// A line of `CLUSTER NODES`.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: String,
    /// Its master's id; `-` when it is one.
    pub(super) master: String,
    /// Ranges of slots, as they are written; a slot that moves is none.
    pub(super) ranges: Vec<String>,
}

impl Site {
    /// The cluster as a node sees it; nothing when it cannot say.
    pub(super) fn view(&self, at: usize) -> Vec<Member> {
        let answer = self.fleet.nodes[at].ask(&["CLUSTER", "NODES"]);
        let text = answer.ok().and_then(|value| value.as_str().map(str::to_owned));
        let lines = text.unwrap_or_default();
        let member = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let ranges = words.get(8..).unwrap_or_default();
            let ranges = ranges.iter().filter(|range| !range.starts_with('['));
            Member {
                id: words[0].to_owned(),
                master: words[3].to_owned(),
                ranges: ranges.map(|range| (*range).to_owned()).collect(),
            }
        };
        lines.lines().map(member).collect()
    }

    /// The number of the node with this id.
    pub(crate) fn at(&self, id: &str) -> Option<usize> {
        self.ids.iter().position(|known| known == id)
    }

    /// The masters with slots, by what a living node says.
    pub(crate) fn masters(&self) -> Vec<usize> {
        let view = self.view(self.up()[0]);
        let masters = view.iter().filter(|member| !member.ranges.is_empty());
        masters.filter_map(|member| self.at(&member.id)).collect()
    }

    /// The living replicas of a master.
    pub(crate) fn replicas_of(&self, master: usize) -> Vec<usize> {
        let (view, up) = (self.view(self.up()[0]), self.up());
        let of_it = view.iter().filter(|member| member.master == self.ids[master]);
        of_it.filter_map(|member| self.at(&member.id)).filter(|at| up.contains(at)).collect()
    }

    /// Who owns which slots, as a node sees it; nothing unless it finds the cluster well.
    fn owners(&self, at: usize) -> Vec<(String, Vec<String>)> {
        let info = self.fleet.nodes[at].ask(&["CLUSTER", "INFO"]);
        let well = info.is_ok_and(|info| {
            info.as_str().is_some_and(|text| {
                text.contains("cluster_state:ok") && text.contains("cluster_slots_ok:16384")
            })
        });
        let view = if well { self.view(at) } else { Vec::new() };
        let owners = view.into_iter().filter(|member| !member.ranges.is_empty());
        let mut owners: Vec<_> = owners.map(|member| (member.id, member.ranges)).collect();
        owners.sort();
        owners
    }

    /// Waits until all nodes that are up agree on who owns the slots, and the owners are up.
    pub(crate) fn wait_until_owned(&self) -> Duration {
        let up = self.up();
        until("a cluster that is well", || {
            let first = self.owners(up[0]);
            let are_up = first.iter().all(|(id, _)| self.at(id).is_some_and(|at| up.contains(&at)));
            !first.is_empty() && are_up && up[1..].iter().all(|at| self.owners(*at) == first)
        })
    }

    /// Waits until, besides, every replica that is up follows its master.
    pub(crate) fn wait_until_whole(&self) -> Duration {
        let took = self.wait_until_owned();
        let follows = |at: &usize| {
            let info = self.fleet.nodes[*at].ask(&["INFO", "replication"]);
            let Some(info) = info.ok().and_then(|info| info.as_str().map(str::to_owned)) else {
                return false;
            };
            info.contains("role:master") || info.contains("master_link_status:up")
        };
        took + until("replicas that follow", || self.up().iter().all(follows))
    }
}
