//! The shape of a cluster: how many masters, which slots are whose, who had best follow whom.
//!
//! Owns that arithmetic. Pure: knows neither nodes nor sockets.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::config::MASTERS_MIN;
use crate::slot::SLOTS;

/// So many nodes, of which so many are masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) nodes: usize,
    pub(super) masters: usize,
}

/// A node that is to follow somebody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spare {
    pub(super) host: IpAddr,
    /// Its place in the plan.
    pub(super) number: usize,
}

/// A master that can be followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leader {
    pub(super) host: IpAddr,
    /// How many follow it already.
    pub(super) followers: usize,
}

impl Shape {
    /// None when the nodes are too few for masters that can agree.
    pub(super) fn new(nodes: usize, replicas_per_master: usize) -> Option<Shape> {
        let masters = nodes / replicas_per_master.checked_add(1)?;
        (masters >= MASTERS_MIN).then_some(Shape { nodes, masters })
    }

    /// The slots of the master in this place: contiguous, and even to one slot.
    pub(super) fn slots(&self, place: usize) -> Option<RangeInclusive<u16>> {
        if place >= self.masters {
            return None;
        }
        let start = place * SLOTS / self.masters;
        let end = (place + 1) * SLOTS / self.masters - 1;
        Some(u16::try_from(start).ok()?..=u16::try_from(end).ok()?)
    }

    /// The place whose slots have this one among them.
    pub(super) fn place_of(&self, slot: u16) -> Option<usize> {
        (0..self.masters).find(|place| self.slots(*place).is_some_and(|own| own.contains(&slot)))
    }
}

/// The nodes in the order in which they are given their places: the first one of every host, then
/// the second ones, so that masters are on as many hosts as there are.
pub(super) fn spread(hosts: &[IpAddr]) -> Vec<usize> {
    let nth = |at: usize| hosts.iter().take(at).filter(|host| hosts.get(at) == Some(host)).count();
    let mut order: Vec<usize> = (0..hosts.len()).collect();
    order.sort_by_key(|at| nth(*at));
    order
}

/// Whom each spare node follows: a master with the fewest followers; of those one on another host;
/// of those the next one on. Shifted by one, so that nodes listed host by host, twice over, follow
/// no neighbour even when their addresses do not tell that they are neighbours.
pub(super) fn followed(spares: &[Spare], leaders: &[Leader]) -> Vec<usize> {
    let mut leaders = leaders.to_vec();
    let mut chosen: Vec<usize> = Vec::with_capacity(spares.len());
    let count = leaders.len();
    for spare in spares {
        let first =
            (spare.number + spare.number.checked_div(count).unwrap_or(0)).checked_rem(count);
        let distance = |at: usize| (at + count - first.unwrap_or(0)) % count;
        let best = leaders.iter().enumerate().min_by_key(|(at, leader)| {
            (leader.followers, leader.host == spare.host, distance(*at))
        });
        let Some(best) = best.map(|(at, _)| at) else { return Vec::new() };
        leaders[best].followers += 1;
        chosen.push(best);
    }
    part_neighbours(spares, &leaders, &mut chosen);
    chosen
}

/// A spare node beside its master changes places with another one, when both are better off.
fn part_neighbours(spares: &[Spare], leaders: &[Leader], chosen: &mut [usize]) {
    let beside = |spare: usize, leader: usize| spares[spare].host == leaders[leader].host;
    for one in 0..spares.len() {
        if !beside(one, chosen[one]) {
            continue;
        }
        let other = (0..spares.len())
            .find(|other| !beside(one, chosen[*other]) && !beside(*other, chosen[one]));
        if let Some(other) = other {
            chosen.swap(one, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    fn spares(hosts: &[u8], from: usize) -> Vec<Spare> {
        let numbered = hosts.iter().enumerate();
        numbered.map(|(at, h)| Spare { host: host(*h), number: from + at }).collect()
    }

    fn leaders(hosts: &[u8]) -> Vec<Leader> {
        hosts.iter().map(|h| Leader { host: host(*h), followers: 0 }).collect()
    }

    #[test]
    fn slots_are_shared_out_evenly_and_completely() {
        for masters in [3, 4, 5, 7, 100, 1000] {
            let shape = Shape::new(masters, 0).unwrap();
            let mut next = 0;
            for place in 0..masters {
                let range = shape.slots(place).unwrap();
                assert_eq!(usize::from(*range.start()), next);
                next = usize::from(*range.end()) + 1;
                assert!((SLOTS / masters..=SLOTS / masters + 1).contains(&range.len()));
                assert_eq!(shape.place_of(*range.end()), Some(place));
            }
            assert_eq!(next, SLOTS);
            assert_eq!(shape.slots(masters), None);
        }
        assert_eq!(Shape::new(5, 1), None);
        assert_eq!(Shape::new(2, 0), None);
        assert_eq!(Shape::new(9, usize::MAX), None);
        assert_eq!(Shape::new(7, 1), Some(Shape { nodes: 7, masters: 3 }));
    }

    #[test]
    fn masters_are_spread_over_hosts() {
        let hosts = |numbers: &[u8]| spread(&numbers.iter().map(|n| host(*n)).collect::<Vec<_>>());
        assert_eq!(hosts(&[1, 2, 3, 4]), [0, 1, 2, 3]);
        assert_eq!(hosts(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(hosts(&[1, 1, 2, 2, 3, 3]), [0, 2, 4, 1, 3, 5]);
    }

    #[test]
    fn replicas_are_shared_out_and_parted_from_their_masters() {
        // Every node on an address of its own: shifted by one in every round.
        let own = followed(&spares(&[4, 5, 6, 7, 8, 9], 3), &leaders(&[1, 2, 3]));
        assert_eq!(own, [1, 2, 0, 2, 0, 1]);
        // Three hosts with two nodes each, in whatever order.
        for hosts in [[1, 2, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]] {
            let spares = spares(&hosts, 3);
            let chosen = followed(&spares, &leaders(&[1, 2, 3]));
            for (spare, leader) in spares.iter().zip(&chosen) {
                assert_ne!(spare.host, host(*leader as u8 + 1), "{hosts:?} {chosen:?}");
            }
        }
        // The last choice would be beside its master: two change places.
        let chosen = followed(&spares(&[1, 3, 3], 3), &leaders(&[1, 2, 3]));
        assert!(chosen[1] != 2 && chosen[2] != 2, "{chosen:?}");
        assert_eq!(followed(&spares(&[1], 3), &[]), Vec::<usize>::new());
    }

    #[test]
    fn the_master_with_the_fewest_followers_is_chosen() {
        let mut leaders = leaders(&[1, 2, 3]);
        leaders[0].followers = 2;
        leaders[1].followers = 1;
        assert_eq!(followed(&spares(&[9], 3), &leaders), [2]);
        // Even on the same host: a master without a replica is worse.
        assert_eq!(followed(&spares(&[3], 3), &leaders), [2]);
    }
}
