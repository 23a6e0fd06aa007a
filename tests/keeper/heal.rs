//! What happens to clusters in the real world, and that the keeper puts it right.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use slotway::resp::Value;

use crate::nodes::{Fleet, Keeper, Node, rewrite, until};

/// A cluster with data, formed by a keeper that has ended.
fn formed() -> Fleet {
    let fleet = Fleet::start(6);
    Keeper::start(&fleet, &fleet.list(), &[]).wait_until_whole();
    fleet.data(true);
    fleet
}

/// How often a node was asked for INFO, this time included.
fn infos(node: &Node) -> u64 {
    let info = node.say("INFO commandstats");
    let calls = info.split("cmdstat_info:calls=").nth(1).and_then(|rest| rest.split(',').next());
    calls.map_or(0, |calls| calls.parse::<u64>().unwrap()) + 1
}

/// The other tests kill masters: what these had must not be gone with them.
#[test]
fn what_is_written_is_on_a_replica_that_is_late() {
    let fleet = Fleet::start(6);
    Keeper::start(&fleet, &fleet.list(), &[]).wait_until_whole();
    let (master, replica) = (&fleet.nodes[0], &fleet.nodes[5]);
    replica.signal(Signal::STOP);
    let is_awake = AtomicBool::new(false);
    let count = |node: &Node| node.ask(&["DBSIZE"]).ok().and_then(|size| size.as_int());
    let before = infos(master);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("all writes", || fleet.nodes[..3].iter().filter_map(count).sum::<i64>() == 60);
            // Whoever waits for replicas asks the masters first how much there is.
            let mut own = 0;
            until("somebody who waits", || {
                own += 1;
                infos(master) > before + own
            });
            is_awake.store(true, Ordering::Relaxed);
            replica.signal(Signal::CONT);
        });
        fleet.data(true);
        assert!(is_awake.load(Ordering::Relaxed), "the replica was not waited for");
    });
    assert_eq!(count(master), count(replica));
}

/// All nodes at once have other addresses, and know only the old ones.
fn move_all(fleet: &mut Fleet, from: u8) {
    (0..6).for_each(|at| fleet.kill(at));
    for at in 0..6u8 {
        fleet.run(usize::from(at), from + at);
    }
}

#[test]
fn nodes_that_all_have_new_addresses_are_brought_together() {
    let mut fleet = formed();
    let ids: Vec<String> = fleet.nodes.iter().map(|node| node.id()).collect();
    move_all(&mut fleet, 21);
    let mut keeper = Keeper::start(&fleet, &fleet.list(), &[]);
    let took = keeper.wait_until_whole();
    eprintln!("from new addresses of all nodes to a whole cluster: {took:?}");
    assert!(keeper.said().contains("CLUSTER MEET "), "{}", keeper.said());
    fleet.assert_whole();
    fleet.data(false);
    assert_eq!(fleet.nodes.iter().map(|node| node.id()).collect::<Vec<_>>(), ids);
}

/// How to run a program that has another `/etc/hosts`, which is how a name moves. Not everybody
/// may do that.
fn with_hosts(path: &str) -> Option<Vec<String>> {
    const SCRIPT: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
    for flags in ["-m", "-rm"] {
        let words = ["unshare", flags, "sh", "-c", SCRIPT, path];
        let output = std::process::Command::new(words[0]).args(&words[1..]).arg("true").output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(words.map(str::to_owned).to_vec());
        }
    }
    None
}

/// As in a Swarm whose services are all moved: the names stay, what they stand for does not. The
/// same keeper sees to it, from before there is anything until after.
#[test]
fn names_are_followed_wherever_they_move() {
    let mut fleet = Fleet::start(6);
    let path = fleet.folder.path().join("hosts");
    let hosts = |fleet: &Fleet, count: usize| {
        let nodes = fleet.nodes.iter().take(count).enumerate();
        let lines = nodes.map(|(at, n)| format!("{} redis-{}.test\n", n.address.ip(), at + 1));
        rewrite(&path, &lines.collect::<String>());
    };
    hosts(&fleet, 5);
    let Some(wrapper) = with_hosts(path.to_str().unwrap()) else {
        eprintln!("skipped: names cannot be made up here");
        return;
    };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let port = fleet.nodes[0].address.port();
    let names: Vec<String> = (1..=6).map(|n| format!("redis-{n}.test:{port}")).collect();
    let mut keeper = Keeper::start_in(&fleet, &wrapper, &names.join(","), &[]);
    keeper.wait_for_reason(&format!("{}: the name has no address yet", names[5]));
    hosts(&fleet, 6);
    keeper.wait_until_whole();
    fleet.data(true);
    move_all(&mut fleet, 31);
    keeper.wait_for_reason(&names[0]);
    hosts(&fleet, 6);
    let took = keeper.wait_until_whole();
    eprintln!("from names that stand for new addresses to a whole cluster: {took:?}");
    fleet.assert_whole();
    fleet.data(false);
}

#[test]
fn a_node_that_lost_its_volume_comes_back_as_a_replica_and_the_old_one_is_forgotten() {
    let mut fleet = formed();
    let mut keeper = Keeper::start(&fleet, &fleet.list(), &["--forget-after", "1s"]);
    keeper.wait_until_whole();
    let lost = fleet.nodes[0].id();
    fleet.kill(0);
    std::fs::remove_dir_all(&fleet.nodes[0].home).unwrap();
    // Its replica takes its place first; it is node 6, the first one's by the plan.
    keeper.wait_for_reason(&fleet.nodes[0].address.to_string());
    until("a new master", || fleet.nodes[5].say("INFO replication").contains("role:master"));
    fleet.run(0, 11);
    let took = keeper.wait_until_whole();
    eprintln!("from an empty node to a whole cluster: {took:?}");
    assert_ne!(fleet.nodes[0].id(), lost);
    let master = fleet.nodes[5].id();
    let own = fleet.nodes[0].say("CLUSTER NODES");
    let own = own.lines().find(|line| line.contains("myself")).unwrap();
    assert!(own.contains("slave") && own.contains(&master), "{own}");
    until("the old one is forgotten", || {
        fleet.nodes.iter().all(|node| !node.say("CLUSTER NODES").contains(&lost))
    });
    fleet.assert_whole();
    fleet.data(false);
}

#[test]
fn without_a_majority_a_replica_takes_over_if_it_is_allowed() {
    let mut fleet = formed();
    let list = fleet.list();
    fleet.kill(0);
    fleet.kill(1);
    // Not allowed: it is told, and nothing is done.
    let mut keeper = Keeper::start(&fleet, &list, &[]);
    until("a word on it", || {
        let problems = keeper.get("/api/v1/status").json()["problems"].to_string();
        problems.contains("keeper.takeover_after is off")
    });
    drop(keeper);
    assert!(fleet.nodes[5].say("INFO replication").contains("role:slave"));
    let mut keeper = Keeper::start(&fleet, &list, &["--takeover-after", "500ms"]);
    let took = until("all slots are served", || {
        fleet.nodes[2].say("CLUSTER INFO").contains("cluster_state:ok")
    });
    eprintln!("from a lost majority to a cluster that serves: {took:?}");
    assert!(keeper.said().contains("CLUSTER FAILOVER TAKEOVER"), "{}", keeper.said());
    fleet.data(false);
    // The old masters come back, and follow.
    fleet.run(0, 11);
    fleet.run(1, 12);
    keeper.wait_until_whole();
    fleet.assert_whole();
    fleet.data(false);
}

/// One that restarts with its data is brought in by the nodes themselves.
#[test]
fn a_node_that_comes_back_is_not_touched() {
    let mut fleet = formed();
    let mut keeper = Keeper::start(&fleet, &fleet.list(), &["--interval", "100ms"]);
    keeper.wait_until_whole();
    fleet.kill(4);
    keeper.wait_for_reason(&fleet.nodes[4].address.to_string());
    assert_eq!(keeper.get("/livez").status, 200);
    // The cluster is not whole, and serves.
    assert!(matches!(fleet.nodes[0].ask(&["CLUSTER", "INFO"]), Ok(Value::Bulk(_))));
    fleet.run(4, 15);
    let took = keeper.wait_until_whole();
    eprintln!("from a restarted replica to a whole cluster: {took:?}");
    fleet.assert_whole();
    fleet.data(false);
}
