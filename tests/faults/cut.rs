//! Nodes that nothing reaches any more, and nobody says so: no reset, no refusal.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::firewall::Drops;
use crate::load::{Allowed, Load, Mix};
use crate::site::Site;

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
    let drops = Drops::between(gateway, site.fleet.nodes[0].address.ip());
    std::thread::sleep(Duration::from_secs(7));
    drop(drops);
    site.wait_for_recovery("the gateway alone cut off for 7 s", &load);
    site.finish("the gateway alone cut off from a master", load, Allowed::None);
}
