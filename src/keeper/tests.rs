//! The whole plan against nodes that are only imagined: from every state in between, by several
//! keepers at once, killed anywhere.

use std::time::{Duration, Instant};

use super::plan::Shape;
use super::reconcile::reconcile;
use super::simulate::Simulation;
use super::snapshot::{Act, Limits, Listed, Memory, Missing, Reached, Step, Verdict};
use super::view::View;
use crate::topology::nodes_reply::NodeLine;

const SHAPE: Shape = Shape { nodes: 6, masters: 3 };

fn own(number: usize) -> NodeLine {
    NodeLine {
        // Not in the order of the list.
        id: format!("{:040x}", (number % 11 * 7 + 3) % 11 + number / 11 * 11),
        is_connected: true,
        ..NodeLine::default()
    }
}

fn empty(number: usize) -> Listed {
    let view = View {
        own: own(number),
        others: Vec::new(),
        keys: 0,
        is_ok: false,
        is_linked: false,
        source: None,
        offset: 0,
    };
    let address = format!("10.0.0.{}:6379", number + 1).parse().unwrap();
    Listed { name: format!("redis-{}", number + 1), seen: Ok(Reached { address, view }) }
}

fn empties(count: usize) -> Simulation {
    Simulation((0..count).map(empty).collect())
}

fn view(simulation: &mut Simulation, at: usize) -> &mut View {
    &mut simulation.0[at].seen.as_mut().unwrap().view
}

fn verdict(simulation: &Simulation) -> Verdict {
    let (start, mut memory) = (Instant::now(), Memory::default());
    memory.update(&simulation.0, start);
    reconcile(&simulation.0, SHAPE, Limits::default(), &memory, start + Duration::from_secs(1))
}

/// Goes on until nothing is left to do.
fn finish(simulation: &mut Simulation) -> Vec<Step> {
    let mut all = Vec::new();
    for _ in 0..100 {
        let next = verdict(simulation);
        assert_eq!(next.refusal, None);
        if next.steps.is_empty() && next.problems.is_empty() {
            return all;
        }
        for step in next.steps {
            simulation.apply(&step).unwrap();
            all.push(step);
        }
        simulation.gossip();
    }
    panic!("it does not end: {:?}", verdict(simulation));
}

fn formed() -> Simulation {
    let mut simulation = empties(6);
    finish(&mut simulation);
    simulation
}

/// Three masters with even shares and a replica each, nobody beside the own master.
fn assert_whole(simulation: &Simulation) {
    assert_eq!(verdict(simulation), Verdict { is_formed: true, is_ok: true, ..Verdict::default() });
    let views: Vec<&View> =
        simulation.0.iter().map(|node| &node.seen.as_ref().unwrap().view).collect();
    let masters: Vec<&&View> = views.iter().filter(|view| !view.own.slots.is_empty()).collect();
    assert_eq!(masters.len(), 3);
    for master in masters {
        assert_eq!(master.own.slots.len(), 1, "{:?}", master.own.slots);
        let followers = views.iter().filter(|v| v.own.master.as_deref() == Some(master.id()));
        assert_eq!(followers.count(), 1);
    }
}

#[test]
fn empty_nodes_become_a_cluster() {
    let mut simulation = empties(6);
    let steps = finish(&mut simulation);
    assert_whole(&simulation);
    let count = |kind| steps.iter().filter(|step| step.act.kind() == kind).count();
    assert_eq!((count(0), count(2), count(3)), (6, 3, 3));
    // In the order of the list, shifted by one.
    for (at, slots, master) in [(0, 5461, None), (1, 5461, None), (3, 0, Some(1)), (5, 0, Some(0))]
    {
        let master = master.map(|master| view(&mut simulation, master).id().to_owned());
        let own = &view(&mut simulation, at).own;
        assert_eq!(super::view::count(&own.slots), slots);
        assert_eq!(own.master, master);
    }
}

/// Wherever a keeper is killed, the next one finishes, with and without word having gone round.
#[test]
fn a_forming_that_ends_anywhere_is_finished_by_the_next() {
    let whole = finish(&mut empties(6)).len();
    for kill_after in 0..whole {
        for talk in [false, true] {
            let mut simulation = empties(6);
            let mut left = kill_after;
            while left > 0 {
                for step in verdict(&simulation).steps {
                    if left > 0 {
                        simulation.apply(&step).unwrap();
                        left -= 1;
                    }
                }
                if talk || left > 0 {
                    simulation.gossip();
                }
            }
            finish(&mut simulation);
            assert_whole(&simulation);
        }
    }
}

/// What a keeper sees whose list is in another order.
struct Other {
    order: Vec<usize>,
    /// Steps that it has decided on and not done yet.
    pending: Vec<Step>,
}

impl Other {
    fn decide(&mut self, simulation: &Simulation) {
        let seen: Vec<Listed> = self.order.iter().map(|at| simulation.0[*at].clone()).collect();
        let next = reconcile(&seen, SHAPE, Limits::default(), &Memory::default(), Instant::now());
        assert_eq!(next.refusal, None, "{:?}", next.problems);
        self.pending = next.steps;
        self.pending.reverse();
    }

    fn act(&mut self, simulation: &mut Simulation) {
        let Some(mut step) = self.pending.pop() else { return };
        step.at = self.order[step.at];
        // A claim that is refused ends the round; the rest goes on, like `carry_out`.
        if simulation.apply(&step).is_err() && matches!(step.act, Act::Claim(_)) {
            self.pending.clear();
        }
    }
}

/// Keepers whose lists have different orders, each with old news, interrupted and killed at random.
#[test]
fn several_keepers_at_once_never_break_anything() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut simulation = empties(6);
        let mut keepers: Vec<Other> = (0..3)
            .map(|_| {
                let mut order: Vec<usize> = (0..6).collect();
                random.shuffle(&mut order);
                Other { order, pending: Vec::new() }
            })
            .collect();
        for _ in 0..400 {
            let keeper = &mut keepers[random.usize(0..3)];
            match random.u8(0..10) {
                0 => simulation.gossip(),
                1 => keeper.pending.clear(),
                2 | 3 => keeper.decide(&simulation),
                _ => keeper.act(&mut simulation),
            }
            assert_no_slot_is_claimed_twice(&simulation, seed);
        }
        simulation.gossip();
        // One of them lives on, whatever its order.
        let order = keepers.swap_remove(0).order;
        let mut simulation = Simulation(order.iter().map(|at| simulation.0[*at].clone()).collect());
        finish(&mut simulation);
        assert_whole(&simulation);
    }
}

fn assert_no_slot_is_claimed_twice(simulation: &Simulation, seed: u64) {
    let views = simulation.0.iter().map(|node| &node.seen.as_ref().unwrap().view);
    let mut ranges: Vec<_> = views.flat_map(|view| view.own.slots.clone()).collect();
    ranges.sort_by_key(|range| *range.start());
    assert!(ranges.windows(2).all(|pair| pair[0].end() < pair[1].start()), "{seed}: {ranges:?}");
}

#[test]
fn nodes_that_hold_or_know_something_are_left_alone() {
    let refused = |change: &dyn Fn(&mut Simulation)| {
        let mut simulation = empties(6);
        change(&mut simulation);
        let verdict = verdict(&simulation);
        assert_eq!(verdict.steps, []);
        verdict.refusal.unwrap()
    };
    let text = refused(&|simulation| view(simulation, 2).keys = 7);
    assert!(text.starts_with("node redis-3 is not empty: it holds 7 keys"), "{text}");
    let text = refused(&|simulation| view(simulation, 1).others.push(own(40)));
    assert!(
        text.contains("redis-2 is not empty: it knows a node that is not named here"),
        "{text}"
    );
    let text = refused(&|simulation| view(simulation, 5).own.slots = vec![0..=99, 5461..=5461]);
    assert!(text.contains("redis-6 is not empty: it already serves 101 slots"), "{text}");
    let text = refused(&|simulation| {
        for at in 0..4 {
            view(simulation, at).own.master = Some(own(5).id);
        }
    });
    assert!(text.contains("it already follows a master"), "{text}");
}

#[test]
fn what_is_written_while_it_is_formed_does_not_stop_it() {
    let mut simulation = empties(6);
    while !verdict(&simulation).steps.iter().any(|step| matches!(step.act, Act::AddSlots(_))) {
        for step in verdict(&simulation).steps {
            simulation.apply(&step).unwrap();
        }
        simulation.gossip();
    }
    let first = verdict(&simulation).steps.swap_remove(0);
    simulation.apply(&first).unwrap();
    view(&mut simulation, first.at).keys = 5;
    simulation.gossip();
    finish(&mut simulation);
    assert_whole(&simulation);
}

#[test]
fn all_nodes_are_waited_for_before_anything_is_formed() {
    let mut simulation = empties(6);
    simulation.0[4].seen = Err(Missing::Unresolved);
    let waiting = verdict(&simulation);
    assert_eq!((waiting.steps, waiting.refusal), (vec![], None));
    assert!(waiting.problems[0].contains("redis-5:") || waiting.problems[0].contains("redis-5"));
    simulation.0[4].seen = Err(Missing::NoCluster);
    assert!(verdict(&simulation).refusal.unwrap().contains("cluster-enabled yes"));
}

/// As after a restart of everything: nobody is where the others look for it. Where the old addresses
/// refuse there is no connection; where they swallow everything, one is being made for ever.
#[test]
fn nodes_with_new_addresses_are_brought_together() {
    for is_connected in [false, true] {
        let mut simulation = formed();
        for at in 0..6 {
            simulation.0[at].seen.as_mut().unwrap().address.set_port(7000);
            let view = view(&mut simulation, at);
            view.is_ok = false;
            view.keys = 10;
            for line in &mut view.others {
                (line.is_connected, line.is_suspected) = (is_connected, true);
            }
        }
        are_brought_together(simulation);
    }
}

/// A node that does not answer where it is known to be has nowhere else to be sent for.
#[test]
fn a_node_that_is_where_it_was_is_waited_for() {
    let mut simulation = formed();
    let id = view(&mut simulation, 1).id().to_owned();
    let known = view(&mut simulation, 0).others.iter_mut().find(|line| line.id == id).unwrap();
    known.is_suspected = true;
    let verdict = verdict(&simulation);
    assert_eq!(verdict.steps, []);
    assert_eq!(verdict.problems.len(), 1, "{:?}", verdict.problems);
}

/// A replica that has heard the new address of its master from others may go on looking for its
/// data at the old one, for ever.
#[test]
fn a_replica_that_looks_for_data_where_its_master_was_is_sent_to_it() {
    let mut simulation = formed();
    let replica = view(&mut simulation, 4);
    (replica.is_linked, replica.source, replica.keys) = (false, "10.9.9.9".parse().ok(), 7);
    let master = replica.own.master.clone().unwrap();
    let steps = verdict(&simulation).steps;
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].at, &steps[0].act), (4, &Act::Replicate(master)));
    finish(&mut simulation);
    assert_whole(&simulation);
    // One that is linked, or looks in the right place, is left alone.
    let simulation = formed();
    for (is_linked, source) in [(true, "10.9.9.9"), (false, "10.0.0.1")] {
        let mut simulation = Simulation(simulation.0.clone());
        let at = 5;
        (view(&mut simulation, at).is_linked, view(&mut simulation, at).source) =
            (is_linked, source.parse().ok());
        assert_eq!(verdict(&simulation).steps, []);
    }
}

fn are_brought_together(mut simulation: Simulation) {
    let steps = verdict(&simulation).steps;
    assert_eq!(steps.len(), 30);
    assert!(
        steps
            .iter()
            .all(|step| matches!(&step.act, Act::Meet { address, .. } if address.port() == 7000))
    );
    finish(&mut simulation);
    assert_whole(&simulation);
}

/// The new node has the place of redis-2, whose id the others still know.
fn replaced(simulation: &mut Simulation, with: usize) {
    let lost = view(simulation, 1).own.clone();
    simulation.0[1] = Listed { name: "redis-2".to_owned(), ..empty(with) };
    for at in [0, 2, 3, 4, 5] {
        let view = view(simulation, at);
        view.keys = 10;
        let slots = lost.slots.clone();
        for line in &mut view.others {
            if line.id == lost.id {
                line.is_failed = true;
                line.slots.clear();
            } else if line.master.as_ref() == Some(&lost.id) {
                line.master = None;
                line.slots.clone_from(&slots);
            }
        }
        if view.own.master.as_ref() == Some(&lost.id) {
            view.own.master = None;
            view.own.slots = slots;
        }
    }
}

#[test]
fn a_node_that_lost_its_volume_follows_the_master_without_a_replica() {
    let mut simulation = formed();
    replaced(&mut simulation, 7);
    let steps = finish(&mut simulation);
    assert!(steps.iter().any(|step| step.at == 1 && matches!(step.act, Act::Replicate(_))));
    assert_whole(&simulation);
}

#[test]
fn an_empty_node_is_not_given_to_a_cluster_that_is_not_ours() {
    let mut simulation = formed();
    // The list has one node of a foreign cluster and five new ones.
    for at in 1..6 {
        simulation.0[at] = empty(20 + at);
    }
    let verdict = verdict(&simulation);
    assert_eq!(verdict.steps, []);
    assert!(verdict.problems.iter().any(|p| p.contains("a node that is not named here")));
}

#[test]
fn nodes_of_two_clusters_are_not_brought_together() {
    let mut simulation = formed();
    let mut second = Simulation((10..16).map(empty).collect());
    finish(&mut second);
    simulation.0[3..].clone_from_slice(&second.0[3..]);
    let verdict = verdict(&simulation);
    assert!(verdict.refusal.unwrap().contains("are of two clusters"));
    assert_eq!(verdict.steps, []);
}

#[test]
fn the_failed_are_forgotten_and_replaced_only_when_it_is_allowed() {
    let mut simulation = formed();
    replaced(&mut simulation, 7);
    let (start, mut memory) = (Instant::now(), Memory::default());
    memory.update(&simulation.0, start);
    let later = start + Duration::from_secs(10);
    let ten = Some(Duration::from_secs(10));
    let decided = |simulation: &Simulation, limits, now| {
        reconcile(&simulation.0, SHAPE, limits, &memory, now).steps
    };
    let forgets = |steps: &[Step]| steps.iter().filter(|s| matches!(s.act, Act::Forget(_))).count();
    let limits = Limits { forget_after: ten, takeover_after: None };
    assert_eq!(forgets(&decided(&simulation, limits, later)), 5);
    assert_eq!(forgets(&decided(&simulation, limits, later - Duration::from_secs(1))), 0);
    assert_eq!(forgets(&decided(&simulation, Limits::default(), later)), 0);
    // It might be the one that is not there.
    simulation.0[4].seen = Err(Missing::Loading);
    assert_eq!(forgets(&decided(&simulation, limits, later)), 0);
    // Nor is a node forgotten that serves slots.
    for at in [0, 2, 3, 5] {
        for line in view(&mut simulation, at).others.iter_mut().filter(|line| line.is_failed) {
            line.slots = vec![0..=0];
        }
    }
    assert_eq!(forgets(&decided(&simulation, limits, later)), 0);
}

#[test]
fn without_a_majority_a_replica_takes_over_only_when_it_is_allowed() {
    let mut simulation = formed();
    for lost in [0, 1] {
        let id = view(&mut simulation, lost).id().to_owned();
        simulation.0[lost].seen = Err(Missing::Unreached("gone".to_owned()));
        for at in 2..6 {
            view(&mut simulation, at).others.iter_mut().filter(|l| l.id == id).for_each(|l| {
                (l.is_suspected, l.is_connected) = (true, false);
            });
        }
    }
    let (start, mut memory) = (Instant::now(), Memory::default());
    memory.update(&simulation.0, start);
    let limits = Limits { takeover_after: Some(Duration::from_secs(5)), forget_after: None };
    let takeovers = |limits, after| {
        let now = start + Duration::from_secs(after);
        let steps = reconcile(&simulation.0, SHAPE, limits, &memory, now).steps;
        steps.iter().filter(|step| step.act == Act::Takeover).count()
    };
    assert_eq!(takeovers(limits, 4), 0);
    assert_eq!(takeovers(limits, 5), 1);
    assert_eq!(takeovers(Limits::default(), 1000), 0);
    let problems = reconcile(&simulation.0, SHAPE, Limits::default(), &memory, start).problems;
    assert!(
        problems.iter().any(|problem| problem.contains("takeover_after is off")),
        "{problems:?}"
    );
}
