//! What an operator does on purpose: nothing of it is an error.

use crate::load::{Allowed, Load, Mix};
use crate::site::Site;

#[test]
fn a_planned_failover_to_and_fro_is_a_short_pause() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    let master = 0;
    let replica = site.replicas_of(master)[0];
    for node in [replica, master] {
        site.promote(node);
        site.wait_for_recovery("planned failover", &load);
        site.wait_until_whole();
    }
    site.finish("planned failover to and fro", load, Allowed::None);
}

/// Of three nodes of one shard, each takes over from the one before.
#[test]
fn a_chain_of_promotions_is_followed() {
    let mut site = Site::start();
    // The replica of node 1 changes sides.
    let (first, spare) = (0, site.replicas_of(1)[0]);
    let second = site.replicas_of(first)[0];
    let first_id = site.ids[first].clone();
    site.say(spare, &format!("CLUSTER REPLICATE {first_id}"));
    site.wait_until_whole();
    crate::nodes::until("two replicas", || site.replicas_of(first).len() == 2);
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    // None is replaced twice: nodes vote about a master only once in two node timeouts.
    for node in [second, spare, first] {
        site.promote(node);
        site.wait_for_recovery("promotion", &load);
        site.wait_until_whole();
    }
    site.finish("a chain of planned promotions", load, Allowed::None);
}
