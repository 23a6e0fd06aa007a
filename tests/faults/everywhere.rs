//! Commands over all masters, while slots move: never silently wrong.
//!
//! The gateway reads the map by its timer once an hour here: nothing but the commands themselves can
//! tell it that the map is old.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use slotway::resp::Value;
use slotway::slot::Slot;

use crate::link::Link;
use crate::nodes::until;
use crate::site::Site;

const KEYS: usize = 3000;
/// The cluster must not turn a master that has given all its slots away into a replica.
const OPTIONS: [&str; 2] = ["--cluster-allow-replica-migration", "no"];
/// Nor must the gateway take a node for down that is only slow: INFO would not wait for the proof then.
const SELDOM: [(&str, &str); 2] =
    [("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "1h"), ("SLOTWAY_TIMEOUTS_CONNECT", "20s")];

fn site() -> Site {
    Site::start_with(&OPTIONS, &SELDOM)
}

fn fill(client: &mut Link) -> BTreeSet<String> {
    let keys: Vec<String> = (0..KEYS).map(|n| format!("key-{n}")).collect();
    for some in keys.chunks(500) {
        let pairs = some.iter().flat_map(|key| [key.as_str(), "value"]);
        let words: Vec<&str> = ["MSET"].into_iter().chain(pairs).collect();
        assert_eq!(client.call(&words).unwrap(), Value::Simple("OK".into()));
    }
    keys.into_iter().collect()
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().unwrap_or_else(|| panic!("{value:?}"));
    items.iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// The next page of a scan: what it returns, and the cursor.
fn page(client: &mut Link, cursor: &str, found: &mut BTreeSet<String>) -> String {
    let reply = client.call(&["SCAN", cursor, "COUNT", "100"]).unwrap();
    let page = reply.as_array().unwrap_or_else(|| panic!("{reply:?}"));
    found.extend(texts(&page[1]));
    page[0].as_str().unwrap().to_owned()
}

fn scan(client: &mut Link) -> BTreeSet<String> {
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        cursor = page(client, &cursor, &mut found);
        if cursor == "0" {
            return found;
        }
    }
}

/// Slots of keys that there are, at this master.
fn used_slots(site: &Site, master: usize, count: usize) -> Vec<u16> {
    let slots = (0..KEYS).map(|n| Slot::of(format!("key-{n}").as_bytes()).index() as u16);
    let own: BTreeSet<u16> = slots.filter(|slot| site.serves(master, *slot)).take(count).collect();
    own.into_iter().collect()
}

/// Moves slots, as `redis-cli --cluster reshard` does, and does not wait for anybody to know.
fn hand_over(site: &Site, slots: &[u16], from: usize, to: usize) {
    site.open_slots(slots, from, to);
    site.close_slots(slots, from, to);
}

fn keyspace(info: &Value) -> String {
    let text = info.as_str().unwrap_or_else(|| panic!("{info:?}"));
    let line = text.lines().find(|line| line.starts_with("db0:")).unwrap_or("");
    line.split(',').next().unwrap_or("").to_owned()
}

#[test]
fn a_master_that_has_just_got_its_first_slots_is_not_left_out() {
    let mut site = site();
    let new = site.add_node(17);
    let mut client = site.gateway.client();
    let mut keys = fill(&mut client);
    let slots = used_slots(&site, 0, 40);
    let mut moved = false;
    let mut move_on = |site: &Site| {
        let (from, to) = if moved { (new, 0) } else { (0, new) };
        hand_over(site, &slots, from, to);
        moved = !moved;
    };
    for _ in 0..2 {
        move_on(&site);
        assert_eq!(client.line("DBSIZE"), Value::Int(KEYS as i64));
        move_on(&site);
        assert_eq!(keyspace(&client.line("INFO keyspace")), format!("db0:keys={KEYS}"));
        move_on(&site);
        let listed = texts(&client.line("KEYS *"));
        assert_eq!(listed.len(), KEYS, "some are there twice");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), keys);
        move_on(&site);
        assert_eq!(scan(&mut client), keys);
        move_on(&site);
        let sha = client.line("SCRIPT LOAD return{KEYS[1]}");
        let sha = sha.as_str().unwrap().to_owned();
        for key in keys.iter().take(300) {
            let said = client.call(&["EVALSHA", &sha, "1", key]).unwrap();
            assert_eq!(texts(&said), [key.as_str()]);
        }
        move_on(&site);
        assert_eq!(
            client.line(&format!("SCRIPT EXISTS {sha}")).as_array().unwrap()[0],
            Value::Int(1)
        );
        move_on(&site);
        assert_eq!(client.line("FLUSHALL"), Value::Simple("OK".into()));
        for at in site.masters() {
            assert_eq!(site.say(at, "DBSIZE"), "Int(0)", "node {at}");
        }
        keys = fill(&mut client);
        site.wait_until_owned();
        move_on(&site);
    }
}

#[test]
fn a_scan_finds_keys_that_have_gone_to_a_node_it_has_left() {
    let site = site();
    let mut client = site.gateway.client();
    let keys = fill(&mut client);
    // In the order of the scan: by id.
    let mut masters = site.masters();
    masters.sort_by_key(|at| site.ids[*at].clone());
    let (first, last) = (masters[0], masters[2]);
    let of_first = |key: &String| site.serves(first, Slot::of(key.as_bytes()).index() as u16);
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    while found.iter().all(of_first) {
        cursor = page(&mut client, &cursor, &mut found);
    }
    let slots = used_slots(&site, last, 50);
    hand_over(&site, &slots, last, first);
    while cursor != "0" {
        cursor = page(&mut client, &cursor, &mut found);
    }
    assert_eq!(found, keys, "{} are missing", keys.difference(&found).count());
}

/// Half of the keys of some slots are here, half there, for as long as anybody likes.
#[test]
fn a_migration_held_open_hides_no_key() {
    let mut site = site();
    let new = site.add_node(17);
    let mut client = site.gateway.client();
    let keys = fill(&mut client);
    let slots = used_slots(&site, 0, 20);
    // To one that has slots, and to one that has none.
    for (slots, to) in [(&slots[..10], 1), (&slots[10..], new)] {
        site.open_slots(slots, 0, to);
        for slot in slots {
            site.move_keys(*slot, 0, to, 1);
        }
    }
    assert_eq!(client.line("DBSIZE"), Value::Int(KEYS as i64));
    assert_eq!(keyspace(&client.line("INFO")), format!("db0:keys={KEYS}"));
    let listed = texts(&client.line("KEYS *"));
    assert_eq!(listed.len(), KEYS);
    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), keys);
    assert_eq!(scan(&mut client), keys);
    assert_eq!(client.line("FLUSHALL"), Value::Simple("OK".into()));
    for at in [0, 1, 2, new] {
        assert_eq!(site.say(at, "DBSIZE"), "Int(0)", "node {at}");
    }
}

/// Slots go to and fro without end. Every answer is right; what cannot be shown is an error.
#[test]
fn nothing_is_silently_wrong_while_slots_move() {
    let site = site();
    let mut client = site.gateway.client();
    let keys = fill(&mut client);
    let slots = used_slots(&site, 0, 30);
    let (scanning, done) = (AtomicBool::new(true), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                let (from, to) = if rounds % 2 == 0 { (0, 1) } else { (1, 0) };
                for slot in &slots {
                    hand_over(&site, &[*slot], from, to);
                }
                rounds += 1;
            }
            rounds
        });
        let scanner = scope.spawn(|| {
            let mut client = site.gateway.client();
            let mut scans = 0;
            while scanning.load(Ordering::Relaxed) || scans == 0 {
                let found = scan(&mut client);
                assert_eq!(found, keys, "{} are missing", keys.difference(&found).count());
                scans += 1;
            }
            scans
        });
        let mut unproved = 0;
        for _ in 0..100 {
            match client.line("DBSIZE") {
                Value::Error(text) => {
                    assert!(text.starts_with("TRYAGAIN "), "{text}");
                    unproved += 1;
                }
                size => assert_eq!(size, Value::Int(KEYS as i64)),
            }
            match client.line("KEYS *") {
                Value::Error(text) => {
                    assert!(text.starts_with("TRYAGAIN "), "{text}");
                    unproved += 1;
                }
                listed => {
                    let listed = texts(&listed);
                    assert_eq!(listed.len(), KEYS, "some are there twice");
                    assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), keys);
                }
            }
        }
        // A scan may end only when no slot moves any more.
        done.store(true, Ordering::Relaxed);
        let rounds = mover.join().unwrap();
        scanning.store(false, Ordering::Relaxed);
        let scans = scanner.join().unwrap();
        eprintln!("{rounds} times 30 slots moved; {scans} whole scans, {unproved} of 200 unproved");
    });
}

/// Each node has its elements in an order of its own.
#[test]
fn a_cursor_of_another_node_is_an_error() {
    let site = site();
    let mut client = site.gateway.client();
    fill(&mut client);
    for (word, add) in [("HSCAN", "HSET"), ("SSCAN", "SADD"), ("ZSCAN", "ZADD")] {
        let key = format!("scanned-{word}");
        for n in 0..1000 {
            let (number, name) = (n.to_string(), format!("element-with-a-long-name-{n}"));
            let words: &[&str] = match add {
                "HSET" => &[add, &key, &name, "value"],
                "SADD" => &[add, &key, &name],
                _ => &[add, &key, &number, &name],
            };
            client.call(words).unwrap();
        }
        // A whole one, with the gateway's cursors.
        let (mut names, mut cursor) = (BTreeSet::new(), "0".to_owned());
        loop {
            let reply = client.call(&[word, &key, &cursor, "COUNT", "50"]).unwrap();
            let page = reply.as_array().unwrap_or_else(|| panic!("{reply:?}"));
            names.extend(texts(&page[1]).into_iter().filter(|text| text.starts_with("element")));
            cursor = page[0].as_str().unwrap().to_owned();
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(names.len(), 1000, "{word}");
        let slot = Slot::of(key.as_bytes()).index() as u16;
        let from = site.masters().into_iter().find(|at| site.serves(*at, slot)).unwrap();
        let to = (from + 1) % 3;
        let begin = |client: &mut Link| {
            let reply = client.call(&[word, &key, "0", "COUNT", "50"]).unwrap();
            reply.as_array().unwrap()[0].as_str().unwrap().to_owned()
        };
        let cursor = begin(&mut client);
        site.open_slots(&[slot], from, to);
        while site.move_keys(slot, from, to, 10) {}
        // The key has gone, the slot has not yet.
        let said = client.call(&[word, &key, &cursor, "COUNT", "50"]).unwrap();
        assert!(matches!(&said, Value::Error(text) if text.contains("begin again")), "{said:?}");
        // A cursor that the other node has given, this once, leads nowhere when the key is back.
        let there = begin(&mut client);
        let said = client.call(&[word, &key, &there, "COUNT", "50"]).unwrap();
        assert!(matches!(&said, Value::Error(text) if text.contains("begin again")), "{said:?}");
        site.close_slots(&[slot], from, to);
        let said = client.call(&[word, &key, &cursor, "COUNT", "50"]).unwrap();
        assert!(matches!(&said, Value::Error(text) if text.contains("begin again")), "{said:?}");
        // One that begins at the new node goes on there.
        until("a page of the new node", || {
            let cursor = begin(&mut client);
            client.call(&[word, &key, &cursor, "COUNT", "50"]).unwrap().as_array().is_some()
        });
    }
}
