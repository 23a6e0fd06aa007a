//! Keepers that are killed, and keepers that do the same work at once.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::nodes::{Fleet, Process, guarded, slotway, until};

/// Back to nothing, between two tries with the same nodes.
fn reset(fleet: &Fleet) {
    for node in &fleet.nodes {
        node.say("CLUSTER RESET HARD");
    }
    until("nodes that know nobody", || {
        fleet.nodes.iter().all(|node| node.say("CLUSTER NODES").lines().count() == 1)
    });
}

/// Kills a keeper as soon as it has said that it did so many things; it may have done more.
fn kill_after(fleet: &Fleet, acts: usize) {
    let mut command = slotway(&[]);
    command.args(["keeper", "--once", "--nodes", &fleet.list()]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let done = lines.map(|line| line.unwrap()).filter(|line| line.contains("CLUSTER "));
    // It may have ended before.
    done.take(acts).last();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_killed_keeper_began_is_finished_by_the_next() {
    let fleet = Fleet::start(6);
    for acts in [1, 4, 6, 7, 11, 12, 14, 15, 17] {
        kill_after(&fleet, acts);
        let mut next = slotway(&[]);
        let output = next.args(["keeper", "--once", "--nodes", &fleet.list()]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "after {acts}: {said}");
        fleet.assert_whole();
        reset(&fleet);
    }
}

/// Their lists have different orders, so they have different plans, until they look at the nodes.
#[test]
fn keepers_at_the_same_time_make_one_cluster() {
    let fleet = Fleet::start(6);
    let nodes = fleet.addresses();
    for turn in 0..4 {
        let mut keepers: Vec<Process> = (0..3)
            .map(|which| {
                let mut list: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                list.rotate_left(which * turn % 6);
                let mut command = guarded(env!("CARGO_BIN_EXE_slotway"));
                command.args(["keeper", "--once", "--nodes", &list.join(",")]);
                Process::start(command.stderr(Stdio::null()))
            })
            .collect();
        for keeper in &mut keepers {
            assert_eq!(keeper.end().code(), Some(0), "turn {turn}");
        }
        fleet.assert_whole();
        reset(&fleet);
    }
}
