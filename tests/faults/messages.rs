//! Subscriptions while the cluster changes: they go on without their clients doing anything, each
//! message comes once and in order, and what is missing was published while a node was lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use slotway::resp::Value;
use slotway::slot::Slot;

use crate::link::Link;
use crate::nodes::until;
use crate::site::Site;

/// Channels of either kind; each has a subscriber of its own.
const CHANNELS: usize = 30;
/// Clients that publish.
const PUBLISHERS: usize = 3;
/// The node that serves slot 0, where the gateway subscribes to channels and patterns.
const HOME: usize = 0;

/// A published message: who, and its number, which only grows.
type Message = (usize, u64);

/// What was published where, and when the gateway said so.
type Published = HashMap<String, Vec<(Message, Instant)>>;

/// Subscribers and publishers at work.
struct Traffic {
    gateway: SocketAddr,
    is_over: Arc<AtomicBool>,
    acked: Arc<AtomicU64>,
    publishers: Vec<JoinHandle<Published>>,
    subscribers: Vec<(String, JoinHandle<Vec<Message>>)>,
}

/// What has not arrived: where, and when it was published.
#[derive(Debug)]
struct Missing {
    channel: String,
    at: Instant,
}

fn sharded(n: usize) -> String {
    format!("sharded:{n}")
}

impl Traffic {
    fn start(gateway: SocketAddr) -> Traffic {
        let (is_over, acked) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut subscribers = Vec::new();
        let mut begin = |command: &'static str, name: String| {
            let mut link = Link::connect(gateway).unwrap();
            link.call(&[command, &name]).unwrap();
            subscribers.push((name, std::thread::spawn(move || received(&mut link))));
        };
        for n in 0..CHANNELS {
            begin("SUBSCRIBE", format!("news:{n}"));
            begin("SSUBSCRIBE", sharded(n));
        }
        begin("PSUBSCRIBE", "news:*".to_owned());
        let publish = |who| {
            let (is_over, acked) = (Arc::clone(&is_over), Arc::clone(&acked));
            std::thread::spawn(move || published(gateway, who, &is_over, &acked))
        };
        let publishers = (0..PUBLISHERS).map(publish).collect();
        let traffic = Traffic { gateway, is_over, acked, publishers, subscribers };
        traffic.wait_for_progress();
        traffic
    }

    /// Waits until much more has been published.
    fn wait_for_progress(&self) {
        let before = self.acked.load(Ordering::Relaxed);
        until("messages are published", || {
            self.acked.load(Ordering::Relaxed) > before + 10 * CHANNELS as u64
        });
    }

    /// Ends it and says what is missing. Order, and that nothing came twice, have been looked at.
    fn stop(self) -> Vec<Missing> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut published = Published::new();
        for publisher in self.publishers {
            for (channel, messages) in publisher.join().unwrap() {
                published.entry(channel).or_default().extend(messages);
            }
        }
        let mut link = Link::connect(self.gateway).unwrap();
        let mut missing = Vec::new();
        for (name, subscriber) in self.subscribers {
            let of_pattern = name.ends_with('*');
            let channel = if of_pattern { "news:0" } else { &name };
            let command = if name.starts_with("sharded") { "SPUBLISH" } else { "PUBLISH" };
            until("the subscriber ends", || {
                let _ = link.call(&[command, channel, "end"]);
                subscriber.is_finished()
            });
            let seen: std::collections::HashSet<Message> =
                subscriber.join().unwrap().into_iter().collect();
            let wanted = published.iter().filter(|(channel, _)| {
                **channel == name || of_pattern && channel.starts_with("news:")
            });
            for (message, at) in wanted.flat_map(|(_, messages)| messages) {
                if !seen.contains(message) {
                    missing.push(Missing { channel: name.clone(), at: *at });
                }
            }
        }
        let all: usize = published.values().map(Vec::len).sum();
        eprintln!("{all} messages published, {} missing at a subscriber", missing.len());
        missing
    }
}

/// Publishes until it is over.
fn published(
    gateway: SocketAddr,
    who: usize,
    is_over: &AtomicBool,
    acked: &AtomicU64,
) -> Published {
    let (mut link, mut all) = (Link::connect(gateway).unwrap(), Published::new());
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        number += 1;
        let n = number as usize % (2 * CHANNELS);
        let (command, channel) = match n.checked_sub(CHANNELS) {
            None => ("PUBLISH", format!("news:{n}")),
            Some(n) => ("SPUBLISH", sharded(n)),
        };
        let at = Instant::now();
        let said = link.call(&[command, &channel, &format!("{who} {number}")]).unwrap();
        // An error may mean that it was published all the same.
        if said.as_int().is_some() {
            all.entry(channel).or_default().push(((who, number), at));
            acked.fetch_add(1, Ordering::Relaxed);
        }
    }
    all
}

/// Reads messages up to the last one, each later than all before it of the same publisher.
fn received(link: &mut Link) -> Vec<Message> {
    let (mut all, mut latest) = (Vec::new(), HashMap::<usize, u64>::new());
    loop {
        let Ok(Value::Array(items)) = link.reply() else { panic!("no message") };
        let payload = items.last().and_then(Value::as_str).unwrap().to_owned();
        if payload == "end" {
            return all;
        }
        let (who, number) = payload.split_once(' ').unwrap();
        let (who, number) = (who.parse().unwrap(), number.parse().unwrap());
        let before = latest.insert(who, number).unwrap_or(0);
        assert!(number > before, "{number} of {who} came after {before}: {items:?}");
        all.push((who, number));
    }
}

/// Those of one kind.
fn of_kind(missing: &[Missing], is_sharded: bool) -> usize {
    missing.iter().filter(|one| one.channel.starts_with("sharded") == is_sharded).count()
}

#[test]
fn a_planned_failover_loses_no_message() {
    let site = Site::start();
    let traffic = Traffic::start(site.gateway.clients);
    let replica = site.replicas_of(HOME)[0];
    for node in [replica, HOME] {
        site.promote(node);
        site.wait_until_whole();
        traffic.wait_for_progress();
        // A replica brings messages too, so there is no need to go.
        assert!(brings_messages(&site, HOME));
    }
    let missing = traffic.stop();
    assert_eq!(of_kind(&missing, false), 0, "{missing:?}");
    // The old master ends subscriptions to sharded channels, and each end is counted.
    eprintln!("{} messages of sharded channels were missed", of_kind(&missing, true));
    assert!(site.gateway.metric("slotway_pubsub_gaps_total", "") > 0.0);
}

/// Whether the gateway has channels of this node.
fn brings_messages(site: &Site, node: usize) -> bool {
    site.say(node, "CLIENT LIST TYPE pubsub").lines().any(|client| !client.contains(" sub=0 "))
}

#[test]
fn what_a_kill_loses_was_published_meanwhile() {
    let mut site = Site::start();
    let traffic = Traffic::start(site.gateway.clients);
    let begin = Instant::now();
    site.kill(HOME);
    site.wait_until_owned();
    traffic.wait_for_progress();
    let end = Instant::now();
    traffic.wait_for_progress();
    let missing = traffic.stop();
    // What was published just before may have been lost with the node too.
    let meanwhile = begin - Duration::from_secs(1)..end;
    let other = missing.iter().find(|one| !meanwhile.contains(&one.at));
    assert!(other.is_none(), "{other:?}, and it was {begin:?} to {end:?}");
    assert!(site.gateway.metric("slotway_pubsub_gaps_total", "") > 0.0);
}

#[test]
fn a_home_that_leaves_the_cluster_takes_no_message_along() {
    let site = Site::start();
    let traffic = Traffic::start(site.gateway.clients);
    site.promote(site.replicas_of(HOME)[0]);
    site.wait_until_whole();
    traffic.wait_for_progress();
    let id = site.fleet.nodes[HOME].id();
    for other in (0..site.fleet.nodes.len()).filter(|other| *other != HOME) {
        assert_eq!(site.say(other, &format!("CLUSTER FORGET {id}")), "OK");
    }
    until("the gateway has left", || !brings_messages(&site, HOME));
    assert!(site.gateway.metric("slotway_pubsub_handovers_total", "") > 0.0);
    traffic.wait_for_progress();
    let missing = traffic.stop();
    assert_eq!(of_kind(&missing, false), 0, "{missing:?}");
    eprintln!("{} messages of sharded channels were missed", of_kind(&missing, true));
}

#[test]
fn slots_that_move_cost_channels_no_message() {
    let mut site = Site::start();
    let new = site.add_node(17);
    let traffic = Traffic::start(site.gateway.clients);
    let slots = site.some_slots(HOME, 50);
    assert_eq!(slots[0], Slot::of(b"").index() as u16);
    site.move_slots(&slots, HOME, new);
    traffic.wait_for_progress();
    site.move_slots(&slots, new, HOME);
    traffic.wait_for_progress();
    site.remove_node(new);
    traffic.wait_for_progress();
    let missing = traffic.stop();
    assert_eq!(of_kind(&missing, false), 0, "{missing:?}");
    // Between the slot's change of hands and the new subscription there is a moment.
    eprintln!("{} messages of sharded channels were missed", of_kind(&missing, true));
}
