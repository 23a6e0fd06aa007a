//! Nodes that change their addresses: a node is who it says it is, wherever it answers.

use slotway::resp::Value;

use crate::load::{Allowed, Load, Mix};
use crate::nodes::{Fleet, Keeper};
use crate::site::{NODES, Site, form};

/// As when all containers of a deployment are moved at once: the nodes find each other with the
/// keeper's help, and the gateway finds them by its seeds.
#[test]
fn all_nodes_on_other_addresses_are_found_again() {
    let fleet = Fleet::start_with(6, &NODES);
    form(&fleet.addresses());
    let seeds = [11, 14, 21, 24].map(|last| fleet.address(last));
    let mut site = Site::behind(fleet, &seeds, &[]);
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    (0..6).for_each(|at| site.kill(at));
    (0..6u8).for_each(|at| site.run_at(usize::from(at), 21 + at));
    let list = site.fleet.list();
    let mut keeper = Keeper::start(&site.fleet, &list, &[]);
    eprintln!("the keeper had them together after {:.2?}", keeper.wait_until_whole());
    site.wait_for_recovery("all on other addresses", &load);
    load.wait_for_progress(20);
    site.finish("all nodes on other addresses", load, Allowed::Indeterminate(1));
}

/// The master of a shard and the replica of another one change places.
#[test]
fn two_nodes_that_swap_their_addresses_are_not_taken_for_each_other() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    let (one, other) = (0, site.replicas_of(1)[0]);
    site.kill(one);
    site.kill(other);
    let last = |at: u8| 11 + at;
    site.run_at(one, last(other as u8));
    site.run_at(other, last(one as u8));
    site.wait_for_recovery("two swapped", &load);
    load.wait_for_progress(20);
    site.finish("two nodes with each other's address", load, Allowed::Indeterminate(1));
}

/// A node of another cluster, and a much older one: it serves all slots, and says so. It is also
/// what a seed of the gateway leads to.
#[test]
fn a_foreign_node_at_an_old_address_gets_nothing_and_is_not_believed() {
    let often = ("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "1s");
    let mut site = Site::start_with(&[], &[often]);
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    site.kill(0);
    site.wait_for_recovery("kill", &load);
    site.fleet.add(11);
    let foreign = site.fleet.nodes.pop().unwrap();
    for line in ["CLUSTER SET-CONFIG-EPOCH 1000", "CLUSTER ADDSLOTSRANGE 0 16383"] {
        assert!(matches!(foreign.ask(&line.split(' ').collect::<Vec<_>>()), Ok(Value::Simple(_))));
    }
    crate::nodes::until("a cluster of its own", || {
        foreign.say("CLUSTER INFO").contains("cluster_state:ok")
    });
    let asked = |site: &Site| site.gateway.metric("slotway_topology_refreshes_total", "");
    let before = asked(&site);
    crate::nodes::until("ten looks at the map", || asked(&site) >= before + 10.0);
    load.wait_for_progress(20);
    assert_eq!(foreign.ask(&["DBSIZE"]).unwrap(), Value::Int(0));
    assert_eq!(site.gateway.metric("slotway_shard_masters", ""), 3.0, "{}", site.gateway.said());
    drop(foreign);
    site.run(0);
    site.finish("a foreign node at an old address", load, Allowed::Indeterminate(1));
}
