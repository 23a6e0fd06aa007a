//! Nodes that nothing reaches any more, and nobody says so: no reset, no refusal.

use slotway::resp::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::firewall::Drops;
use crate::load::{Allowed, Load, Mix};
use crate::nodes::until;
use crate::site::Site;

/// As often a gateway that misses a node looks for a new map in some seconds.
const LOOKS: f64 = 30.0;

fn allowed() -> bool {
    let allowed = Drops::are_allowed();
    if !allowed {
        eprintln!("skipped: packets cannot be dropped here, which takes root and iptables");
    }
    allowed
}

/// The others replace it; it comes back when the network does.
#[test]
fn a_master_that_nothing_reaches_is_a_pause() {
    if !allowed() {
        return;
    }
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    let drops = Drops::all_of(site.fleet.nodes[0].address.ip());
    site.cut_off(0);
    site.wait_for_recovery("cut off", &load);
    drop(drops);
    site.cut_in(0);
    site.wait_until_whole();
    load.wait_for_progress(20);
    site.finish("a master cut off from everybody", load, Allowed::Indeterminate(1));
}

/// The cluster does not fail over, for it is well. What was sent arrives when the network is back.
#[test]
fn a_gateway_that_alone_cannot_reach_a_master_waits_for_the_network() {
    if !allowed() {
        return;
    }
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    let gateway = IpAddr::from(Ipv4Addr::LOCALHOST);
    let master = site.fleet.nodes[0].address;
    let up = |site: &Site| {
        let label = format!("node=\"{master}\"");
        site.gateway.metric("slotway_node_up", &label)
    };
    assert_eq!(up(&site), 1.0);
    let drops = Drops::between(gateway, master.ip());
    until("a gateway that misses the master", || up(&site) == 0.0);
    // And goes on to miss it: the cluster has no other map for it.
    let looks = || site.gateway.metric("slotway_topology_refreshes_total", "");
    let before = looks();
    until("looks at the map", || looks() >= before + LOOKS);
    assert_eq!(up(&site), 0.0);
    drop(drops);
    site.wait_for_recovery("the gateway alone cut off", &load);
    site.finish("the gateway alone cut off from a master", load, Allowed::None);
}

/// What was under way is told to be unknown; what the node has not received cannot run any more.
#[test]
fn what_was_given_up_does_not_run_when_the_network_is_back() {
    if !allowed() {
        return;
    }
    let site = Site::start_with(&[], &[("SLOTWAY_TIMEOUTS_RESPONSE_TIMEOUT", "1s")]);
    let master = site.fleet.nodes[0].address;
    // `bar` is in slot 5061, one of the first master's.
    let mut client = site.gateway.client();
    assert_eq!(client.call(&["INCR", "bar"]).unwrap(), Value::Int(1));
    let drops = Drops::between(IpAddr::from(Ipv4Addr::LOCALHOST), master.ip());
    let Value::Error(text) = client.call(&["INCR", "bar"]).unwrap() else { panic!("an answer") };
    assert!(text.starts_with("INDETERMINATE "), "{text}");
    drop(drops);
    // What the system still sends for connections that the gateway has closed arrives before that.
    until("no request on its way", || closing_connections(master) == 0);
    assert_eq!(client.call(&["INCR", "bar"]).unwrap(), Value::Int(2));
}

/// Nobody answers for what a dead gateway had under way: another one is asked, and goes on from there.
#[test]
fn what_a_dead_gateway_had_under_way_does_not_run_when_the_network_is_back() {
    if !allowed() {
        return;
    }
    let mut site = Site::start();
    let master = site.fleet.nodes[0].address;
    let mut client = site.gateway.client();
    assert_eq!(client.call(&["INCR", "bar"]).unwrap(), Value::Int(1));
    let drops = Drops::between(IpAddr::from(Ipv4Addr::LOCALHOST), master.ip());
    client.send(&[vec!["INCR", "bar"]]).unwrap();
    until("a request that is on its way", || {
        site.gateway.metric("slotway_upstream_inflight", "") == 1.0
    });
    site.gateway.kill();
    drop(drops);
    until("no request on its way", || closing_connections(master) == 0);
    site.gateway.run();
    assert_eq!(site.gateway.client().call(&["INCR", "bar"]).unwrap(), Value::Int(2));
}

/// Connections to this address that their program has closed, and that still have something to send.
fn closing_connections(to: SocketAddr) -> usize {
    const FIN_WAIT_1: &str = "04";
    let SocketAddr::V4(to) = to else { unreachable!() };
    let peer = format!("{:08X}:{:04X}", u32::from_le_bytes(to.ip().octets()), to.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().skip(2).take(2));
    fields.filter(|fields| fields.clone().eq([peer.as_str(), FIN_WAIT_1])).count()
}
