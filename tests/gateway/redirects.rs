//! Slots that move, and masters that change, under load.
//!
//! Each load has keys of its own and knows what every reply must be: an INCR that is lost, runs
//! twice or is answered out of order breaks the count. Waiting is for progress, never for time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use slotway::slot::Slot;

use crate::support::client::{Client, put};
use crate::support::inside::{Inside, Over};
use crate::support::reply::Reply;
use crate::support::site::Site;
use crate::support::until;

const KEYS: usize = 12;
const TAG: &str = "{redirects}";

/// Makes clients of the gateway that is under load.
type Connect<'a> = &'a (dyn Fn() -> Client + Sync);

/// What all loads together have done.
#[derive(Default)]
struct Progress {
    replies: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    /// Waits until so many more replies have come.
    fn more(&self, count: u64) {
        let goal = self.replies.load(Ordering::Relaxed) + count;
        until("the load goes on", || self.replies.load(Ordering::Relaxed) >= goal);
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Ends the loads also when the test fails in their midst.
struct Stopping<'a>(&'a Progress);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

/// Pipelines of INCR; returns the last value of each key. Some keys are new in every round, so
/// that a half-moved slot is asked for keys that it does not have.
fn count(connect: Connect<'_>, name: &str, progress: &Progress) -> BTreeMap<String, i64> {
    let mut client = connect();
    let mut values: BTreeMap<String, i64> = BTreeMap::new();
    let mut round = 0;
    while !progress.is_over() {
        round += 1;
        let (mut bytes, mut want) = (Vec::new(), Vec::new());
        for n in 0..3 * KEYS {
            let key = match n % KEYS {
                0 => format!("{TAG}{name}:new:{round}"),
                n => format!("{TAG}{name}:{n}"),
            };
            let value = values.entry(key.clone()).or_default();
            *value += 1;
            put(&mut bytes, &["INCR", &key]);
            want.push(Reply::Int(*value));
        }
        for (at, (got, _)) in client.exchange(&bytes, want.len()).into_iter().enumerate() {
            assert_eq!(got, want[at], "round {round} of {name}, reply {at}");
        }
        progress.replies.fetch_add(want.len() as u64, Ordering::Relaxed);
    }
    values
}

/// Writes and reads several keys of the slot at once, and keys of other slots with them.
fn write_several(connect: Connect<'_>, name: &str, progress: &Progress) -> BTreeMap<String, i64> {
    let mut client = connect();
    let keys: Vec<String> = (0..4).map(|n| format!("{TAG}{name}:{n}")).collect();
    let elsewhere = format!("redirects:{name}");
    let mut value = 0;
    while !progress.is_over() {
        value += 1;
        let text = value.to_string();
        let (mut bytes, mut set, mut get) = (Vec::new(), vec!["MSET"], vec!["MGET"]);
        for key in keys.iter().chain([&elsewhere]) {
            set.extend([key, text.as_str()]);
            get.push(key);
        }
        put(&mut bytes, &set);
        put(&mut bytes, &get);
        let replies = client.exchange(&bytes, 2);
        assert_eq!(replies[0].0, Reply::ok(), "{name}");
        assert_eq!(replies[1].0, Reply::Array(vec![Reply::bulk(&text); 5]), "{name}");
        progress.replies.fetch_add(2, Ordering::Relaxed);
    }
    keys.into_iter().map(|key| (key, value)).collect()
}

/// Runs `fault` under load and checks afterwards that every key has the value it must have.
fn under_load(connect: Connect<'_>, name: &str, fault: impl FnOnce(&Progress)) {
    let progress = &Progress::default();
    let values = std::thread::scope(|scope| {
        let counting = (0..3).map(|nth| {
            let name = format!("{name}:count{nth}");
            scope.spawn(move || count(connect, &name, progress))
        });
        let mut loads: Vec<_> = counting.collect();
        let several = format!("{name}:several");
        loads.push(scope.spawn(move || write_several(connect, &several, progress)));
        let stopping = Stopping(progress);
        progress.more(500);
        fault(progress);
        progress.more(500);
        drop(stopping);
        let joined = loads.into_iter().map(|load| load.join().expect("a load without a fault"));
        joined.flatten().collect::<Vec<_>>()
    });
    let mut client = connect();
    for (key, value) in values {
        assert_eq!(client.line(&format!("GET {key}")), Reply::bulk(value.to_string()), "{key}");
    }
}

/// A node as its cluster sees it.
pub(crate) struct Node {
    id: String,
    index: usize,
}

fn masters(site: &Site) -> Vec<Node> {
    let count = site.cluster.nodes.len();
    let all = (0..count).map(|index| (index, site.cluster.node(index)));
    let masters = all.filter_map(|(index, mut node)| {
        let is_master = node.line("ROLE").items()[0] == Reply::bulk("master");
        is_master.then(|| Node { id: node.line("CLUSTER MYID").text(), index })
    });
    masters.collect()
}

fn owns(node: &mut Client, slot: usize) -> bool {
    let id = node.line("CLUSTER MYID");
    node.line("CLUSTER SLOTS").items().iter().any(|range| {
        let range = range.items();
        let slots = range[0].int() as usize..=range[1].int() as usize;
        slots.contains(&slot) && range[2].items()[2] == id
    })
}

/// Moves some keys of a slot, and with `finish` all of them and the slot.
pub(crate) struct Move<'a> {
    site: &'a Site,
    slot: usize,
    from: Node,
    to: Node,
}

impl<'a> Move<'a> {
    /// Prepares moving the slot from its owner to another master.
    pub(crate) fn begin(site: &'a Site, slot: usize) -> Move<'a> {
        let mut masters = masters(site);
        assert_eq!(masters.len(), 3);
        let at = masters.iter().position(|n| owns(&mut site.cluster.node(n.index), slot)).unwrap();
        let from = masters.remove(at);
        let to = masters.swap_remove(slot % 2);
        let (importing, migrating) = (
            format!("CLUSTER SETSLOT {slot} IMPORTING {}", from.id),
            format!("CLUSTER SETSLOT {slot} MIGRATING {}", to.id),
        );
        assert_eq!(site.cluster.node(to.index).line(&importing), Reply::ok());
        assert_eq!(site.cluster.node(from.index).line(&migrating), Reply::ok());
        Move { site, slot, from, to }
    }

    /// Moves up to so many keys; whether there was one.
    pub(crate) fn keys(&self, count: usize) -> bool {
        let mut source = self.site.cluster.node(self.from.index);
        let keys = source.line(&format!("CLUSTER GETKEYSINSLOT {} {count}", self.slot)).texts();
        let target = self.site.cluster.nodes[self.to.index];
        for key in &keys {
            let migrate = format!("MIGRATE {} {} {key} 0 10000", target.ip(), target.port());
            assert_eq!(source.line(&migrate), Reply::ok());
        }
        !keys.is_empty()
    }

    pub(crate) fn finish(self) {
        while self.keys(10) {}
        let node = format!("CLUSTER SETSLOT {} NODE {}", self.slot, self.to.id);
        // The new owner first, so that the slot always has one; the others hear of it by gossip.
        for index in [self.to.index, self.from.index] {
            assert_eq!(self.site.cluster.node(index).line(&node), Reply::ok());
        }
    }
}

fn slot() -> usize {
    Slot::of(TAG.as_bytes()).index()
}

/// Loads are answered however long a slot stays between two nodes: the gateway may hold them long.
fn patient_site(nodes: usize) -> Site {
    Site::start(nodes, &[("SLOTWAY_TIMEOUTS_FAILOVER_WAIT", "60s")])
}

fn move_to_and_fro(site: &Site, progress: &Progress) {
    for round in 0..4 {
        let moving = Move::begin(site, slot());
        progress.more(300);
        for _ in 0..10 {
            moving.keys(2);
            progress.more(20);
        }
        // Held open: absent keys are asked for at the new node, keys on both sides must wait.
        progress.more(if round == 0 { 3000 } else { 300 });
        moving.finish();
        progress.more(300);
    }
}

/// While a command's keys are on both nodes it waits, and is answered when they are together.
fn keys_on_both_nodes(site: &Site) {
    let mut client = site.gateway.client();
    let keys = format!("{TAG}both:a {TAG}both:b");
    assert_eq!(client.line(&format!("MSET {TAG}both:a 1 {TAG}both:b 2")), Reply::ok());
    let moving = Move::begin(site, slot());
    let mut source = site.cluster.node(moving.from.index);
    let target = site.cluster.nodes[moving.to.index];
    let migrate = format!("MIGRATE {} {} {TAG}both:a 0 10000", target.ip(), target.port());
    assert_eq!(source.line(&migrate), Reply::ok());
    assert!(source.line(&format!("MGET {keys}")).error().starts_with("TRYAGAIN"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.line(&format!("MGET {keys}")));
        // Single keys are answered meanwhile, on either side and on none.
        let mut other = site.gateway.client();
        for _ in 0..200 {
            assert_eq!(other.line(&format!("GET {TAG}both:a")), Reply::bulk("1"));
            assert_eq!(other.line(&format!("GET {TAG}both:b")), Reply::bulk("2"));
            assert_eq!(other.line(&format!("GET {TAG}both:none")), Reply::Null);
        }
        assert!(!waiting.is_finished());
        moving.finish();
        let want = Reply::Array(vec![Reply::bulk("1"), Reply::bulk("2")]);
        assert_eq!(waiting.join().expect("an answer"), want);
    });
}

/// Makes a replica the master. An attempt that comes to nothing is over after five seconds; it is
/// told again then.
pub(crate) fn take_over(replica: &mut Client) {
    let mut told: Option<Instant> = None;
    until("the replica leads", || {
        if told.is_none_or(|told| told.elapsed() > Duration::from_secs(6)) {
            replica.line("CLUSTER FAILOVER");
            told = Some(Instant::now());
        }
        replica.line("ROLE").items()[0] == Reply::bulk("master")
    });
}

/// A planned failover of the slot's shard, and back.
fn fail_over(site: &Site) {
    under_load(&|| site.gateway.client(), "failover", |progress| {
        for _ in 0..2 {
            let owner = masters(site)
                .into_iter()
                .find(|node| owns(&mut site.cluster.node(node.index), slot()))
                .unwrap();
            // After a change the former master has yet to be known as a replica.
            let mut leader = site.cluster.node(owner.index);
            let question = format!("CLUSTER REPLICAS {}", owner.id);
            until("there is a replica", || !leader.line(&question).items().is_empty());
            let port = leader.line(&question).items()[0].text();
            let port = port.split([':', '@']).nth(1).unwrap().to_owned();
            let index = site.cluster.nodes.iter().position(|node| node.port().to_string() == port);
            let mut replica = site.cluster.node(index.unwrap());
            until("the replica follows", || {
                replica.line("ROLE").items()[3] == Reply::bulk("connected")
            });
            // Nodes that have not heard yet whom it follows do not vote for it.
            until("all nodes know the replica", || {
                (0..site.cluster.nodes.len()).all(|node| {
                    let replicas = site.cluster.node(node).line(&question);
                    matches!(replicas, Reply::Array(all) if all.iter().any(|one| one.text().contains(&format!(":{port}@"))))
                })
            });
            take_over(&mut replica);
            progress.more(500);
        }
    });
}

#[test]
fn nothing_is_lost_or_doubled_while_slots_move_and_masters_change() {
    let site = patient_site(6);
    let connect = || site.gateway.client();
    under_load(&connect, "moving", |progress| move_to_and_fro(&site, progress));
    keys_on_both_nodes(&site);
    fail_over(&site);
    // A moved slot and a changed master together.
    under_load(&connect, "again", |progress| move_to_and_fro(&site, progress));
}

#[test]
fn nothing_is_lost_or_doubled_while_slots_move_and_clients_too() {
    let site = Site::start(3, &[]);
    let inside = Inside::start(site.cluster.nodes[0], 0);
    let (over, moves) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| inside.shuffle(&over, &moves));
        let _over = Over(&over);
        under_load(&|| inside.client(), "both", |progress| {
            move_to_and_fro(&site, progress);
            until("all clients have moved six times", || moves.load(Ordering::Relaxed) >= 6);
        });
    });
}

/// With a short patience the client is told why, and the connection goes on.
#[test]
fn keys_on_both_nodes_are_waited_for_no_longer_than_configured() {
    let site = Site::start(3, &[("SLOTWAY_TIMEOUTS_FAILOVER_WAIT", "300ms")]);
    let mut client = site.gateway.client();
    let keys = format!("{TAG}a {TAG}b");
    assert_eq!(client.line(&format!("MSET {TAG}a 1 {TAG}b 2")), Reply::ok());
    let moving = Move::begin(&site, slot());
    assert!(moving.keys(1));
    let mut other = site.gateway.client();
    assert!(client.line(&format!("MGET {keys}")).error().starts_with("TRYAGAIN"));
    assert_eq!(other.line(&format!("GET {TAG}a")), Reply::bulk("1"));
    moving.finish();
    let want = Reply::Array(vec![Reply::bulk("1"), Reply::bulk("2")]);
    assert_eq!(client.line(&format!("MGET {keys}")), want);
}
