//! Slots that move while they are used.

use std::time::{Duration, Instant};

use slotway::slot::Slot;

use crate::load::{Allowed, Load, Mix};
use crate::site::Site;

/// How long a migration is held open, in seconds: `SLOTWAY_TEST_OPEN_SECONDS`.
fn open_for() -> Duration {
    let text = std::env::var("SLOTWAY_TEST_OPEN_SECONDS").ok();
    Duration::from_secs(text.and_then(|text| text.parse().ok()).unwrap_or(5))
}

/// The slot of a key, and who serves it.
fn place(site: &Site, key: &str) -> (u16, usize) {
    let slot = Slot::of(key.as_bytes()).index() as u16;
    let serves = |master: &usize| site.serves(*master, slot);
    (slot, site.masters().into_iter().find(serves).unwrap())
}

/// Keys on both sides: single ones are found on either, several of one slot wait until they are
/// together again.
#[test]
fn a_migration_held_open_costs_no_error() {
    let open_for = open_for();
    // What has to wait waits as long as that.
    let wait = format!("{}s", open_for.as_secs() + 40);
    let mut site = Site::start_with(&[], &[("SLOTWAY_TIMEOUTS_FAILOVER_WAIT", &wait)]);
    let load = Load::start(site.gateway.clients, Mix::ALL);
    let mut opened = Vec::new();
    for key in ["Counter-0", "Counter-1", "Pipeline-0", "Split-0-0", "{Tagged-0}-0", "Large-0"] {
        let (slot, from) = place(&site, key);
        let to = (from + 1) % 3;
        site.open_slots(&[slot], from, to);
        opened.push((slot, from, to));
    }
    // One key of a single one moves; of four of one slot two do.
    for (slot, from, to) in &opened[1..5] {
        site.move_keys(*slot, *from, *to, 2);
    }
    let start = Instant::now();
    let mut client = site.gateway.client();
    let mut asked = 0u64;
    while start.elapsed() < open_for {
        for key in ["Counter-0", "Counter-1", "Split-0-0", "{Tagged-0}-1", "not there"] {
            let said = client.call(&["EXISTS", key]).unwrap();
            assert!(said.as_int().is_some(), "{said:?}");
            asked += 1;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client);
    for (slot, from, to) in opened {
        site.close_slots(&[slot], from, to);
    }
    let (streams, _) = load.wait_for_progress(5);
    eprintln!("open for {open_for:?}, {asked} looks by the way; all streams {streams:.2?} later");
    assert!(streams < crate::RECOVERY_MAX);
    site.finish("migration held open", load, Allowed::None);
}

#[test]
fn many_slots_move_to_and_fro_without_an_error() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    let slots = site.some_slots(0, 1500);
    for (from, to) in [(0, 1), (1, 0)] {
        let start = Instant::now();
        site.move_slots(&slots, from, to);
        eprintln!("1,500 slots moved in {:.2?}", start.elapsed());
    }
    load.wait_for_progress(5);
    site.finish("1,500 slots to and fro", load, Allowed::None);
}

#[test]
fn a_fourth_master_comes_and_goes_without_an_error() {
    const SHARE: usize = 600;
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    let new = site.add_node(17);
    let shares: Vec<_> = (0..3).map(|master| (master, site.some_slots(master, SHARE))).collect();
    for (master, slots) in &shares {
        site.move_slots(slots, *master, new);
    }
    let connects = |site: &Site| site.gateway.metric("slotway_shard_masters", "");
    crate::nodes::until("four masters on the gateway's map", || connects(&site) == 4.0);
    load.wait_for_progress(20);
    for (master, slots) in &shares {
        site.move_slots(slots, new, *master);
    }
    crate::nodes::until("three masters on the gateway's map", || connects(&site) == 3.0);
    site.remove_node(new);
    load.wait_for_progress(20);
    site.finish("3 to 4 masters and back", load, Allowed::None);
}
