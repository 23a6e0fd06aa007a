//! Forming by the library, as `slotway local` does it.

use std::net::SocketAddr;
use std::time::Duration;

use slotway::backend::Identity;
use slotway::keeper::{FormOutcome, FormReport, KeeperError, form};
use tokio::time::Instant;

use crate::PATIENCE;
use crate::nodes::{Fleet, until};

fn formed_by(
    nodes: &[SocketAddr],
    replicas: usize,
    patience: Duration,
) -> Result<FormReport, KeeperError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        form(nodes, replicas, &Identity::default(), Instant::now() + patience).await
    })
}

fn formed(fleet: &Fleet, replicas: usize) -> Result<FormReport, KeeperError> {
    formed_by(&fleet.addresses(), replicas, PATIENCE)
}

#[test]
fn empty_nodes_become_a_cluster_once() {
    let fleet = Fleet::start(6);
    let report = formed(&fleet, 1).unwrap();
    assert_eq!(report, FormReport { outcome: FormOutcome::Formed, masters: 3, replicas: 3 });
    fleet.assert_whole();
    // Data in it changes nothing: it is this cluster already, whatever shape is asked for.
    fleet.data(true);
    for replicas in [1, 0] {
        let again = formed(&fleet, replicas).unwrap();
        assert_eq!(again.outcome, FormOutcome::WasFormed);
    }
    fleet.data(false);
    fleet.assert_whole();
}

#[test]
fn a_forming_that_was_begun_by_hand_is_finished() {
    let fleet = Fleet::start(4);
    fleet.nodes[0].say("CLUSTER ADDSLOTS 0 1 2 3");
    fleet.nodes[1].say("CLUSTER ADDSLOTSRANGE 4096 8191");
    let other = fleet.nodes[2].address;
    fleet.nodes[0].say(&format!("CLUSTER MEET {} {}", other.ip(), other.port()));
    let report = formed(&fleet, 0).unwrap();
    assert_eq!(report, FormReport { outcome: FormOutcome::Formed, masters: 4, replicas: 0 });
}

#[test]
fn nodes_that_hold_anything_are_left_alone() {
    let fleet = Fleet::start(3);
    let node = &fleet.nodes[1];
    // Served elsewhere by the plan, so it is not a forming that was interrupted.
    node.say("CLUSTER ADDSLOTSRANGE 0 99 5461 5461");
    let error = formed(&fleet, 0).unwrap_err().to_string();
    let expected = format!("node {} is not empty: it already serves 101 slots", node.address);
    assert!(error.starts_with(&expected), "{error}");
    // A key is only writable when all slots are served.
    node.say("CLUSTER ADDSLOTSRANGE 100 5460 5462 16383");
    until("a cluster of one", || node.say("CLUSTER INFO").contains("cluster_state:ok"));
    node.say("SET a b");
    let before = node.say("CLUSTER NODES");
    // That is a cluster, if not one for three: the others do not join it.
    let error = formed_by(&fleet.addresses(), 0, Duration::from_secs(3)).unwrap_err().to_string();
    assert!(error.contains("the cluster has 1 masters only"), "{error}");
    assert_eq!(node.say("CLUSTER NODES"), before);
    assert_eq!(node.say("GET a"), "b");
    for other in [&fleet.nodes[0], &fleet.nodes[2]] {
        assert_eq!(other.say("CLUSTER NODES").lines().count(), 1, "nothing was changed");
    }
}

#[test]
fn nodes_of_other_clusters_are_left_alone() {
    let (ours, theirs) = (Fleet::start(3), Fleet::start(3));
    formed(&theirs, 0).unwrap();
    theirs.data(true);
    let before: Vec<String> = theirs.nodes.iter().map(|node| node.id()).collect();
    // One of them among empty ones; and all of them beside all of another.
    let mixed = [ours.addresses(), theirs.addresses()[..1].to_vec()].concat();
    let error = formed_by(&mixed, 0, Duration::from_secs(3)).unwrap_err().to_string();
    assert!(error.contains("the cluster has a node that is not named here"), "{error}");
    assert!(ours.nodes.iter().all(|node| node.say("CLUSTER NODES").lines().count() == 1));
    formed(&ours, 0).unwrap();
    let both = [ours.addresses(), theirs.addresses()].concat();
    let error = formed_by(&both, 0, PATIENCE).unwrap_err();
    assert!(matches!(&error, KeeperError::Refused(why) if why.contains("two clusters")), "{error}");
    for fleet in [&ours, &theirs] {
        assert!(fleet.nodes.iter().all(|node| node.say("CLUSTER NODES").lines().count() == 3));
    }
    theirs.data(false);
    assert_eq!(theirs.nodes.iter().map(|node| node.id()).collect::<Vec<_>>(), before);
}

#[test]
fn what_cannot_be_a_cluster_is_refused() {
    let fleet = Fleet::start(2);
    assert!(matches!(formed(&fleet, 0), Err(KeeperError::TooFew { nodes: 2, .. })));
    let single = Fleet::start_with(1, &["--cluster-enabled", "no"]);
    let three = [fleet.addresses(), single.addresses()].concat();
    let error = formed_by(&three, 0, PATIENCE).unwrap_err().to_string();
    let expected = format!(
        "node {}: it is not in cluster mode; start it with `cluster-enabled yes`",
        single.nodes[0].address
    );
    assert_eq!(error, expected);
    let first = fleet.addresses()[0];
    let twice = [fleet.addresses(), vec![first]].concat();
    let error = formed_by(&twice, 0, PATIENCE).unwrap_err().to_string();
    assert!(error.contains("it is the node that"), "{error}");
    // Nobody there: the deadline ends the waiting.
    let gone = fleet.address(99);
    let nobody = [fleet.addresses(), vec![gone]].concat();
    let error = formed_by(&nobody, 0, Duration::from_millis(300)).unwrap_err();
    assert!(matches!(error, KeeperError::Deadline(_)), "{error}");
    assert!(error.to_string().contains(&gone.to_string()), "{error}");
}
