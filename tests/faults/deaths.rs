//! Nodes that die, freeze, come back with nothing, or cannot write any more.

use slotway::resp::Value;

use crate::load::{Allowed, Load, Mix};
use crate::nodes::until;
use crate::site::Site;

#[test]
fn a_killed_master_is_a_pause_and_comes_back_as_a_replica() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    site.kill(0);
    // What asks all masters waits for the one that is missing.
    let mut client = site.gateway.client();
    let everywhere = std::thread::spawn(move || client.call(&["DBSIZE"]).unwrap());
    site.wait_for_recovery("kill", &load);
    let size = everywhere.join().unwrap();
    assert!(size.as_int().is_some_and(|size| size > 0), "{size:?}");
    site.run(0);
    site.wait_until_whole();
    load.wait_for_progress(20);
    site.finish("kill -9 of a master", load, Allowed::Indeterminate(1));
}

#[test]
fn a_frozen_master_is_a_pause_and_what_it_still_holds_never_runs() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    site.freeze(0);
    site.wait_for_recovery("freeze", &load);
    // It goes on where it was, finds that it is no master, and follows.
    site.thaw(0);
    site.wait_until_whole();
    load.wait_for_progress(20);
    site.finish("a master frozen until it was replaced", load, Allowed::Indeterminate(1));
}

/// It comes back before the others have found it missing: what it had is gone, and the cluster
/// itself has lost it. Whatever was acknowledged had been written by it.
#[test]
fn a_master_that_comes_back_empty_is_taken_as_it_is() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    site.kill(0);
    site.empty(0);
    site.run(0);
    site.wait_for_recovery("empty restart", &load);
    site.wait_until_whole();
    load.wait_for_progress(20);
    site.finish("a master restarted with empty memory", load, Allowed::Indeterminate(1));
}

/// It takes its time to read its data, and says so to everybody who asks: they wait.
#[test]
fn a_master_that_is_loading_is_waited_for() {
    const KEYS: usize = 6000;
    // Half a millisecond for each key; nobody takes over meanwhile.
    let options = [
        ["--key-load-delay", "500"],
        ["--loading-process-events-interval-bytes", "1024"],
        ["--cluster-node-timeout", "30000"],
    ]
    .concat();
    let mut site = Site::start_with(&options, &[]);
    let mut client = site.gateway.client();
    for batch in 0..KEYS / 500 {
        let words: Vec<String> =
            (0..500).flat_map(|n| [format!("filler-{batch}-{n}"), "x".to_owned()]).collect();
        let words = ["MSET"].into_iter().chain(words.iter().map(String::as_str));
        assert_eq!(client.call(&words.collect::<Vec<_>>()).unwrap().as_str(), Some("OK"));
    }
    drop(client);
    // A snapshot is read at this pace, a file of commands is not.
    site.say(0, "BGREWRITEAOF");
    until("a file rewritten", || {
        let info = site.say(0, "INFO persistence");
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    });
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    site.kill(0);
    site.run(0);
    let said = site.fleet.nodes[0].ask(&["GET", "x"]);
    eprintln!("the node that was started again says {said:?}");
    site.wait_for_recovery("loading", &load);
    let refused = site.gateway.metric("slotway_upstream_errors_total", "refused");
    eprintln!("{refused} connections were refused");
    // It has been the same node all the time.
    assert_eq!(site.gateway.metric("slotway_upstream_errors_total", "wrong_node"), 0.0);
    site.finish("a master restarted that reads its data", load, Allowed::Indeterminate(1));
}

/// Its disk is full, or cannot be written for another reason: that is for people to know, and no
/// reason for the cluster to fail over.
#[test]
fn a_master_that_cannot_save_refuses_writes_in_its_own_words_and_reads_on() {
    let mut site = Site::start();
    let mut client = site.gateway.client();
    let served = |site: &Site| {
        let slot = |key: &String| slotway::slot::Slot::of(key.as_bytes()).index() as u16;
        (0..).map(|n| format!("key-{n}")).find(|key| site.serves(0, slot(key))).unwrap()
    };
    let key = served(&site);
    assert_eq!(client.call(&["SET", &key, "1"]).unwrap().as_str(), Some("OK"));
    // A snapshot cannot replace a folder that has its name.
    let home = site.fleet.nodes[0].home.clone();
    std::fs::create_dir_all(home.join("dump.rdb/in the way")).unwrap();
    assert!(matches!(
        site.fleet.nodes[0].ask(&["CONFIG", "SET", "save", "3600 1"]),
        Ok(slotway::resp::Value::Simple(_))
    ));
    let saves = |site: &Site, outcome: &str| {
        until("a snapshot", || {
            let _ = site.fleet.nodes[0].ask(&["BGSAVE"]);
            site.say(0, "INFO persistence").contains(outcome)
        });
    };
    saves(&site, "rdb_last_bgsave_status:err");
    for words in [vec!["SET", &key, "2"], vec!["INCR", &key], vec!["MSET", &key, "3", "k", "3"]] {
        match client.call(&words).unwrap() {
            Value::Error(text) => assert!(text.starts_with("MISCONF "), "{text}"),
            other => panic!("{words:?}: {other:?}"),
        }
        assert_eq!(client.call(&["GET", &key]).unwrap().as_str(), Some("1"));
    }
    std::fs::remove_dir_all(home.join("dump.rdb")).unwrap();
    saves(&site, "rdb_last_bgsave_status:ok");
    assert_eq!(client.call(&["SET", &key, "4"]).unwrap().as_str(), Some("OK"));
    drop(client);
    let load = Load::start(site.gateway.clients, Mix::SMALL);
    site.finish("a master that could not save", load, Allowed::None);
}

#[test]
fn a_gateway_that_is_killed_and_started_again_loses_nothing() {
    let mut site = Site::start();
    let load = Load::start(site.gateway.clients, Mix::ALL);
    for _ in 0..3 {
        site.gateway.restart();
        let (streams, _) = load.wait_for_progress(20);
        assert!(streams < crate::RECOVERY_MAX, "{streams:?}");
    }
    site.finish("the gateway killed three times", load, Allowed::Broken);
}
