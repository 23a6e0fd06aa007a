//! What an operator does on purpose: nothing of it is an error.

use std::collections::HashSet;

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

/// A scan begins again when the map changes: what is there throughout is returned, if twice.
#[test]
fn a_scan_across_failovers_returns_every_key() {
    const KEYS: usize = 3000;
    let site = Site::start();
    let mut client = site.gateway.client();
    let keys: Vec<String> = (0..KEYS).map(|n| format!("key-{n}")).collect();
    for some in keys.chunks(500) {
        let pairs = some.iter().flat_map(|key| [key.as_str(), "value"]);
        let words: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
        assert_eq!(client.call(&words).unwrap().as_str(), Some("OK"));
    }
    site.wait_until_whole();
    let done = std::sync::atomic::AtomicBool::new(false);
    let scans = std::thread::scope(|scope| {
        let scanner = scope.spawn(|| {
            let mut scans = 0;
            while scans == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
                let mut left: HashSet<&str> = keys.iter().map(String::as_str).collect();
                let mut cursor = "0".to_owned();
                loop {
                    let reply = client.call(&["SCAN", &cursor, "COUNT", "50"]).unwrap();
                    let page = reply.as_array().unwrap_or_else(|| panic!("{reply:?}"));
                    page[1].as_array().unwrap().iter().for_each(|key| {
                        left.remove(key.as_str().unwrap());
                    });
                    cursor = page[0].as_str().unwrap().to_owned();
                    if cursor == "0" {
                        break;
                    }
                }
                assert!(left.is_empty(), "{} keys are missing", left.len());
                scans += 1;
            }
            scans
        });
        for master in [0, 1] {
            site.promote(site.replicas_of(master)[0]);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        scanner.join().unwrap()
    });
    eprintln!("{scans} whole scans during two failovers");
}
