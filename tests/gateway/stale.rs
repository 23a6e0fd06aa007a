//! Caches of clients that track, while others write, slots move, connections are lost and masters
//! change: no stale value survives.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use slotway::slot::Slot;

use crate::redirects::{Move, take_over};
use crate::support::client::{Client, request};
use crate::support::inside::Over;
use crate::support::reply::Reply;
use crate::support::site::Site;
use crate::support::until;
use crate::tracking::tracked;

/// Some keys are in a slot that moves.
const TAG: &str = "{stale}";

fn keys() -> Vec<String> {
    let moving = (0..10).map(|n| format!("{TAG}{n}"));
    moving.chain((0..20).map(|n| format!("stale:{n}"))).collect()
}

/// How a cache hears of changes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Resp3,
    OptIn,
    /// Over another client, in RESP2.
    Redirect,
    /// Of what another client reads.
    Broadcast,
}

/// A client's cache.
struct Cache {
    how: How,
    values: HashMap<String, String>,
    reads: Client,
    messages: Option<Client>,
    changes: usize,
    flushes: usize,
}

impl Cache {
    fn new(site: &Site, how: How) -> Cache {
        let (mut reads, mut messages) = (site.gateway.client(), None);
        match how {
            How::Resp3 | How::OptIn => {
                reads.line("HELLO 3");
                let option = if how == How::OptIn { " OPTIN" } else { "" };
                assert_eq!(reads.line(&format!("CLIENT TRACKING ON{option}")), Reply::ok());
            }
            How::Redirect => {
                let mut target = site.gateway.client();
                let id = target.line("CLIENT ID").int();
                target.line("SUBSCRIBE __redis__:invalidate");
                messages = Some(target);
                let begun = reads.line(&format!("CLIENT TRACKING ON REDIRECT {id}"));
                assert_eq!(begun, Reply::ok());
            }
            How::Broadcast => {
                let mut tracking = site.gateway.client();
                tracking.line("HELLO 3");
                assert_eq!(tracking.line("CLIENT TRACKING ON BCAST"), Reply::ok());
                messages = Some(tracking);
            }
        }
        Cache { how, values: HashMap::new(), reads, messages, changes: 0, flushes: 0 }
    }

    fn get(&mut self, key: &str) {
        if self.values.contains_key(key) {
            return;
        }
        if self.how == How::OptIn {
            self.reads.send(&request("CLIENT CACHING YES"));
        }
        self.reads.send(&request(&format!("GET {key}")));
        if self.how == How::OptIn {
            assert_eq!(self.reply(), Reply::ok());
        }
        if let Reply::Bulk(value) = self.reply() {
            self.values.insert(key.to_owned(), String::from_utf8(value).unwrap());
        }
    }

    /// The next reply to one that reads.
    fn reply(&mut self) -> Reply {
        loop {
            match self.reads.reply() {
                Reply::Push(items) => self.take(&items[1]),
                reply => return reply,
            }
        }
    }

    fn take(&mut self, what: &Reply) {
        match what {
            Reply::Array(keys) => {
                self.changes += 1;
                keys.iter().for_each(|key| drop(self.values.remove(&key.text())));
            }
            _ => {
                self.flushes += 1;
                self.values.clear();
            }
        }
    }

    /// Reads the messages that have come.
    fn catch_up(&mut self) {
        let Some(mut messages) = self.messages.take() else {
            self.reads.send(&request("PING"));
            assert_eq!(self.reply(), Reply::Simple("PONG".into()));
            return;
        };
        messages.send(&request("PING"));
        loop {
            match messages.reply() {
                Reply::Push(items) => self.take(&items[1]),
                Reply::Array(items) if items.len() == 3 => self.take(&items[2]),
                _ => break,
            }
        }
        self.messages = Some(messages);
    }

    fn is_true(&mut self, truth: &HashMap<String, String>) -> bool {
        self.catch_up();
        self.values.iter().all(|(key, value)| truth.get(key) == Some(value))
    }
}

fn truth(site: &Site) -> HashMap<String, String> {
    let mut client = site.gateway.client();
    let value = |key: String| (key.clone(), client.line(&format!("GET {key}")).text());
    keys().into_iter().map(value).collect()
}

/// Two clients write while the cache is used and `event` happens; then all that it has is true.
fn use_while(site: &Site, cache: &mut Cache, event: impl FnOnce() + Send) {
    let (over, keys) = (AtomicBool::new(false), keys());
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (mut client, over, keys) = (site.gateway.client(), &over, &keys);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(writer);
                while !over.load(Ordering::Relaxed) {
                    // One whose connection was lost may have run.
                    client.line(&format!("INCR {}", random.choice(keys).unwrap()));
                }
            });
        }
        let happening = scope.spawn(event);
        let _over = Over(&over);
        let begun = cache.changes;
        while !happening.is_finished() || cache.changes < begun + 300 {
            cache.get(fastrand::choice(&keys).unwrap());
            if fastrand::u8(..) < 30 {
                cache.catch_up();
            }
        }
    });
    let truth = truth(site);
    until("no stale value is left", || cache.is_true(&truth));
    // What is in the cache now goes with the next write.
    keys.iter().for_each(|key| cache.get(key));
    assert_eq!(cache.values, truth);
    let mut client = site.gateway.client();
    keys.iter().for_each(|key| drop(client.line(&format!("INCR {key}"))));
    until("all have been told", || {
        cache.catch_up();
        cache.values.is_empty()
    });
}

fn kill_tracked(site: &Site) -> usize {
    let nodes = 0..site.cluster.nodes.len();
    let kill = |n| {
        let mut node = site.cluster.node(n);
        let ids = tracked(&mut node);
        ids.iter().for_each(|id| drop(node.line(&format!("CLIENT KILL ID {id}"))));
        ids.len()
    };
    nodes.map(kill).sum()
}

fn survives_nothing(how: How) {
    let site = Site::start(3, &[("SLOTWAY_WORKERS", "2")]);
    let mut client = site.gateway.client();
    keys().iter().for_each(|key| drop(client.line(&format!("SET {key} 0"))));
    let mut cache = Cache::new(&site, how);
    let slot = Slot::of(TAG.as_bytes()).index();
    for _ in 0..3 {
        let flushes = cache.flushes;
        use_while(&site, &mut cache, || {
            let moving = Move::begin(&site, slot);
            for _ in 0..4 {
                moving.keys(1);
            }
            moving.finish();
        });
        // The gateway hears of it by a redirect or when it looks.
        until("it is told of the move", || {
            client.line(&format!("INCR {TAG}0"));
            cache.get(&format!("{TAG}0"));
            cache.catch_up();
            cache.flushes > flushes
        });
        let flushes = cache.flushes;
        use_while(&site, &mut cache, || assert!(kill_tracked(&site) > 0));
        assert!(cache.flushes > flushes, "{how:?}");
    }
}

#[test]
fn nothing_stale_in_a_cache_of_resp3() {
    survives_nothing(How::Resp3);
}

#[test]
fn nothing_stale_in_a_cache_of_what_it_opts_in() {
    survives_nothing(How::OptIn);
}

#[test]
fn nothing_stale_in_a_cache_of_resp2() {
    survives_nothing(How::Redirect);
}

#[test]
fn nothing_stale_in_a_cache_of_what_others_read() {
    survives_nothing(How::Broadcast);
}

#[test]
fn a_master_that_changes_flushes() {
    let site = Site::start(6, &[("SLOTWAY_TOPOLOGY_REFRESH_INTERVAL", "200ms")]);
    let mut client = site.gateway.client();
    keys().iter().for_each(|key| drop(client.line(&format!("SET {key} 0"))));
    for how in [How::Resp3, How::Broadcast] {
        let mut cache = Cache::new(&site, how);
        keys().iter().for_each(|key| cache.get(key));
        use_while(&site, &mut cache, || {
            let replica = (0..6).map(|n| site.cluster.node(n)).find_map(|mut node| {
                (node.line("ROLE").items()[0] == Reply::bulk("slave")).then_some(node)
            });
            take_over(&mut replica.unwrap());
        });
        until("it is told", || {
            cache.catch_up();
            cache.flushes > 0
        });
    }
}
