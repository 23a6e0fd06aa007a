//! Random subscriptions and messages, at the gateway and at a lone server: the same answers.

use std::collections::BTreeSet;

use crate::support::client::{Client, request};
use crate::support::reply::Reply;
use crate::support::site::Site;
use testkit::server::RedisServer;

const CLIENTS: usize = 8;
const STEPS: usize = 400;
const CHANNELS: [&str; 4] = ["a", "ab", "b", "ba"];
const PATTERNS: [&str; 4] = ["a*", "?b", "*", "[^a]*"];

/// One client, at both; what it is subscribed to is kept to know how many messages it gets.
struct Pair {
    ours: Client,
    theirs: Client,
    channels: BTreeSet<&'static str>,
    patterns: BTreeSet<&'static str>,
    shards: BTreeSet<&'static str>,
}

fn fits(pattern: &str, channel: &str) -> bool {
    match pattern {
        "a*" => channel.starts_with('a'),
        "?b" => channel.len() == 2 && channel.ends_with('b'),
        "*" => true,
        _ => !channel.starts_with('a'),
    }
}

impl Pair {
    /// Asks both; as many frames come. What each says is the same.
    fn ask(&mut self, line: &str, frames: usize) -> Vec<Reply> {
        let bytes = request(line);
        self.ours.send(&bytes);
        self.theirs.send(&bytes);
        let ours: Vec<Reply> = (0..frames).map(|_| self.ours.reply()).collect();
        let theirs: Vec<Reply> = (0..frames).map(|_| self.theirs.reply()).collect();
        // UNSUBSCRIBE from all names them in any order.
        let sorted = |replies: &[Reply]| {
            let mut names: Vec<String> =
                replies.iter().map(|reply| format!("{:?}", first_two(reply))).collect();
            names.sort();
            names
        };
        assert_eq!(sorted(&ours), sorted(&theirs), "{line}");
        let last = |replies: &[Reply]| format!("{:?}", replies.last().map(counted));
        assert_eq!(last(&ours), last(&theirs), "{line}");
        ours
    }

    /// How many copies it gets of a message.
    fn copies(&self, channel: &str) -> usize {
        let by_patterns = self.patterns.iter().filter(|pattern| fits(pattern, channel)).count();
        usize::from(self.channels.contains(channel)) + by_patterns
    }

    fn expect(&mut self, count: usize) {
        let mut ours: Vec<String> =
            (0..count).map(|_| format!("{:?}", self.ours.reply())).collect();
        let mut theirs: Vec<String> =
            (0..count).map(|_| format!("{:?}", self.theirs.reply())).collect();
        ours.sort();
        theirs.sort();
        assert_eq!(ours, theirs);
    }
}

fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) | Reply::Push(items) => items,
        _ => &[],
    }
}

fn first_two(reply: &Reply) -> Vec<Reply> {
    items(reply).iter().take(2).cloned().collect()
}

fn counted(reply: &Reply) -> Option<Reply> {
    items(reply).get(2).cloned()
}

fn subscribe(random: &mut fastrand::Rng, pair: &mut Pair) {
    let kind = random.usize(..3);
    let (pool, word): (&[&'static str], _) = match kind {
        0 => (&CHANNELS, "SUBSCRIBE"),
        1 => (&PATTERNS, "PSUBSCRIBE"),
        _ => (&CHANNELS, "SSUBSCRIBE"),
    };
    let names: Vec<&'static str> =
        (0..random.usize(1..4)).map(|_| pool[random.usize(..4)]).collect();
    pair.ask(&format!("{word} {}", names.join(" ")), names.len());
    let set = [&mut pair.channels, &mut pair.patterns, &mut pair.shards].into_iter().nth(kind);
    set.expect("three kinds").extend(names);
}

fn unsubscribe(random: &mut fastrand::Rng, pair: &mut Pair) {
    let kind = random.usize(..3);
    let (pool, word): (&[&'static str], _) = match kind {
        0 => (&CHANNELS, "UNSUBSCRIBE"),
        1 => (&PATTERNS, "PUNSUBSCRIBE"),
        _ => (&CHANNELS, "SUNSUBSCRIBE"),
    };
    let names: Vec<&'static str> =
        (0..random.usize(..3)).map(|_| pool[random.usize(..4)]).collect();
    let sets = [&mut pair.channels, &mut pair.patterns, &mut pair.shards];
    let set = sets.into_iter().nth(kind).expect("three kinds");
    let frames = if names.is_empty() { set.len().max(1) } else { names.len() };
    if names.is_empty() {
        set.clear();
    }
    set.retain(|name| !names.contains(name));
    pair.ask(format!("{word} {}", names.join(" ")).trim(), frames);
}

#[test]
fn random_subscribers_are_told_the_same_as_at_a_lone_server() {
    let site =
        Site::start(3, &[("SLOTWAY_WORKERS", "2"), ("SLOTWAY_WORKER_SCALE_UP_PERCENT", "0")]);
    let lone = RedisServer::start(&[]);
    for seed in 1..=3 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pairs: Vec<Pair> = (0..CLIENTS)
            .map(|_| Pair {
                ours: site.gateway.client(),
                theirs: Client::connect(lone.address()),
                channels: BTreeSet::new(),
                patterns: BTreeSet::new(),
                shards: BTreeSet::new(),
            })
            .collect();
        for pair in pairs.iter_mut().skip(CLIENTS / 2) {
            pair.ours.line("HELLO 3");
            pair.theirs.line("HELLO 3");
        }
        let (mut ours, mut theirs) = (site.gateway.client(), Client::connect(lone.address()));
        for step in 0..STEPS {
            let at = random.usize(..CLIENTS);
            match random.usize(..5) {
                0 | 1 => subscribe(&mut random, &mut pairs[at]),
                2 => unsubscribe(&mut random, &mut pairs[at]),
                3 => {
                    let channel = CHANNELS[random.usize(..4)];
                    let line = format!("PUBLISH {channel} {step}");
                    assert_eq!(ours.line(&line), theirs.line(&line), "{line}, seed {seed}");
                    for pair in &mut pairs {
                        pair.expect(pair.copies(channel));
                    }
                }
                _ => {
                    let channel = CHANNELS[random.usize(..4)];
                    let line = format!("SPUBLISH {channel} {step}");
                    assert_eq!(ours.line(&line), theirs.line(&line), "{line}, seed {seed}");
                    for pair in &mut pairs {
                        pair.expect(usize::from(pair.shards.contains(channel)));
                    }
                }
            }
            for line in ["PUBSUB NUMSUB a ab b ba", "PUBSUB NUMPAT", "PUBSUB SHARDNUMSUB a b"] {
                assert_eq!(ours.line(line), theirs.line(line), "{line}, seed {seed}, step {step}");
            }
        }
    }
}
