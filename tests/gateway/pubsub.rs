//! Subscriptions: what clients are told, who gets a message, and that each gets it once.

use std::collections::HashMap;

use crate::support::client::{Client, put, request};
use crate::support::reply::Reply;
use crate::support::site::{Site, client, shared};
use crate::support::until;
use testkit::server::RedisServer;

/// What a lone server says to a client that subscribes, byte for byte: the requests, and how many
/// frames come for them.
const AS_A_SERVER: &[(&str, usize)] = &[
    ("SUBSCRIBE a b a|UNSUBSCRIBE b|UNSUBSCRIBE|UNSUBSCRIBE", 6),
    ("PSUBSCRIBE a* b?|SUBSCRIBE c|PUNSUBSCRIBE a*|PUNSUBSCRIBE|UNSUBSCRIBE c", 6),
    ("SSUBSCRIBE {a}1 {a}2|SUBSCRIBE c|SUNSUBSCRIBE {a}1 {a}2|SUNSUBSCRIBE", 6),
    ("UNSUBSCRIBE x y|PUNSUBSCRIBE x|SUNSUBSCRIBE x", 4),
    ("SUBSCRIBE a|PING|PING hi|UNSUBSCRIBE a|PING|PING hi", 6),
    ("SUBSCRIBE a|GET k|CLIENT ID|SUBSCRIBE|QUIT", 5),
    ("PSUBSCRIBE a|HELLO 3|MULTI|PING a b", 4),
    ("SUBSCRIBE a|RESET|PING|SUBSCRIBE b", 4),
    ("PUBSUB NUMPAT x|PUBSUB CHANNELS a b|PUBSUB NUMSUB|PUBSUB NOSUCH|PUBLISH a", 5),
];

fn said(mut client: Client, script: &str, frames: usize) -> Vec<String> {
    let bytes = script.split('|').map(request).collect::<Vec<_>>().concat();
    let replies = client.exchange(&bytes, frames);
    replies.into_iter().map(|(reply, _)| format!("{reply:?}")).collect()
}

#[test]
fn a_subscriber_is_told_what_a_lone_server_tells() {
    let lone = RedisServer::start(&[]);
    for (script, frames) in AS_A_SERVER {
        let of_a_server = said(Client::connect(lone.address()), script, *frames);
        assert_eq!(said(client(), script, *frames), of_a_server, "{script}");
    }
    // RESP3 lets a subscriber do everything else too.
    for script in [
        "SUBSCRIBE a|SET k v|GET k|PSUBSCRIBE b*|SSUBSCRIBE c|UNSUBSCRIBE|PING|PUNSUBSCRIBE b*|DEL k",
        "UNSUBSCRIBE|SUBSCRIBE a|HELLO 2|GET k|HELLO 3",
    ] {
        let in_resp3 = |mut client: Client| {
            client.line("HELLO 3");
            let frames = script.split('|').count();
            // What HELLO says has the client's number in it.
            let version = format!("{:?}", Reply::bulk("version"));
            let is_hello = |reply: &String| reply.contains(&version);
            let hide_ids =
                |reply: String| if is_hello(&reply) { "HELLO".to_owned() } else { reply };
            said(client, script, frames).into_iter().map(hide_ids).collect::<Vec<_>>()
        };
        assert_eq!(in_resp3(client()), in_resp3(Client::connect(lone.address())), "{script}");
    }
}

/// A message, as RESP2 shows it.
fn message(words: &[&str]) -> Reply {
    Reply::Array(words.iter().map(Reply::bulk).collect())
}

#[test]
fn a_message_reaches_everybody_once_and_publish_counts_them() {
    let site = shared();
    let mut publisher = site.gateway.client();
    let mut subscribers: Vec<Client> = (0..30).map(|_| site.gateway.client()).collect();
    for (n, subscriber) in subscribers.iter_mut().enumerate() {
        subscriber.send(&request(&format!("SUBSCRIBE pub:all pub:{n}")));
        subscriber.reply();
        subscriber.reply();
    }
    let mut by_pattern = site.gateway.client();
    by_pattern.line("PSUBSCRIBE pub:a*");
    by_pattern.line("PSUBSCRIBE p?b:all");
    // One who asks a node itself is counted too.
    let mut direct = site.cluster.node(0);
    direct.line("SUBSCRIBE pub:7");

    assert_eq!(publisher.line("PUBLISH pub:all x").int(), 32);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.reply(), message(&["message", "pub:all", "x"]));
    }
    let mut patterns = [by_pattern.reply(), by_pattern.reply()].map(|m| m.texts()[1].clone());
    patterns.sort();
    assert_eq!(patterns, ["p?b:all", "pub:a*"]);
    let receivers = publisher.line("PUBLISH pub:7 y").int();
    assert!(
        (1..=2).contains(&receivers),
        "{receivers}: the node's own client, if it is at this node"
    );
    assert_eq!(subscribers[7].reply(), message(&["message", "pub:7", "y"]));
    assert_eq!(direct.reply(), message(&["message", "pub:7", "y"]));
    // A message that is published at a node itself comes too.
    site.cluster.node(2).line("PUBLISH pub:8 z");
    assert_eq!(subscribers[8].reply(), message(&["message", "pub:8", "z"]));

    let numbers = publisher.line("PUBSUB NUMSUB pub:all pub:3 pub:none");
    assert_eq!(
        format!("{numbers:?}"),
        format!(
            "{:?}",
            Reply::Array(vec![
                Reply::bulk("pub:all"),
                Reply::Int(30),
                Reply::bulk("pub:3"),
                Reply::Int(1),
                Reply::bulk("pub:none"),
                Reply::Int(0)
            ])
        )
    );
    assert_eq!(publisher.line("PUBSUB CHANNELS pub:*").items().len(), 31);
    drop(subscribers);
    until("all are gone", || publisher.line("PUBSUB CHANNELS pub:*").items().is_empty());
    assert_eq!(publisher.line("PUBLISH pub:all x").int(), 2);
}

#[test]
fn messages_of_one_publisher_stay_in_order_over_channels_and_patterns() {
    let site = shared();
    let mut subscriber = site.gateway.client();
    let channels: Vec<String> = (0..20).map(|n| format!("order:{n}")).collect();
    subscriber.send(&request(&format!("SUBSCRIBE {}", channels.join(" "))));
    channels.iter().for_each(|_| drop(subscriber.reply()));
    let mut by_pattern = site.gateway.client();
    by_pattern.line("PSUBSCRIBE order:*");
    let mut publisher = site.gateway.client();
    let mut requests = Vec::new();
    for n in 0..3000 {
        let (channel, payload) = (format!("order:{}", n % 20), n.to_string());
        put(&mut requests, &["PUBLISH", &channel, &payload]);
    }
    for (reply, _) in publisher.exchange(&requests, 3000) {
        assert_eq!(reply.int(), 2);
    }
    for n in 0..3000 {
        assert_eq!(subscriber.reply().texts()[2], n.to_string());
        assert_eq!(by_pattern.reply().texts()[3], n.to_string());
    }
}

#[test]
fn pushes_come_between_the_replies_of_other_commands() {
    let site = shared();
    let mut client = site.gateway.client();
    client.line("HELLO 3");
    client.line("SUBSCRIBE between");
    client.line(&format!("SET between:k {}", "v".repeat(50_000)));
    let mut publisher = site.gateway.client();
    let mut requests = Vec::new();
    (0..200).for_each(|_| requests.extend(request("GET between:k")));
    client.send(&requests);
    for n in 0..200 {
        publisher.line(&format!("PUBLISH between {n}"));
    }
    let (mut values, mut messages) = (0, 0);
    while (values, messages) != (200, 200) {
        match client.reply() {
            Reply::Bulk(value) => {
                assert_eq!(value.len(), 50_000);
                values += 1;
            }
            Reply::Push(items) => {
                assert_eq!(items[2], Reply::bulk(messages.to_string()));
                messages += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(client.line("UNSUBSCRIBE between"), Reply::Push(_)));
    client.assert_in_step();
}

/// What a subscriber is told is a message: it comes whatever has been said with CLIENT REPLY.
#[test]
fn silence_is_not_for_subscriptions() {
    let mut client = shared().gateway.client();
    client.send(&request("CLIENT REPLY OFF"));
    client.send(&request("GET silent:k"));
    assert_eq!(client.line("SUBSCRIBE silent").items()[2].int(), 1);
    assert_eq!(shared().gateway.client().line("PUBLISH silent x").int(), 1);
    assert_eq!(client.reply(), message(&["message", "silent", "x"]));
    assert_eq!(client.line("UNSUBSCRIBE silent").items()[2].int(), 0);
    assert_eq!(client.line("CLIENT REPLY ON"), Reply::ok());
    client.send(&request("CLIENT REPLY SKIP"));
    assert_eq!(client.line("SUBSCRIBE silent").items()[2].int(), 1);
    assert_eq!(client.line("UNSUBSCRIBE silent").items()[2].int(), 0);
    client.assert_in_step();
}

#[test]
fn sharded_channels_are_published_at_their_slot() {
    let site = shared();
    let mut subscriber = site.gateway.client();
    // In several slots: to a plain client there is one server.
    subscriber.send(&request("SSUBSCRIBE sh:a sh:b sh:c"));
    for count in 1..=3 {
        assert_eq!(subscriber.reply().items()[2].int(), count);
    }
    let mut publisher = site.gateway.client();
    for channel in ["sh:a", "sh:b", "sh:c"] {
        assert_eq!(publisher.line(&format!("SPUBLISH {channel} x")).int(), 1);
        assert_eq!(subscriber.reply(), message(&["smessage", channel, "x"]));
    }
    assert_eq!(publisher.line("PUBLISH sh:a x").int(), 0, "another kind of channel");
    assert_eq!(publisher.line("PUBSUB SHARDNUMSUB sh:a").items()[1].int(), 1);
    assert_eq!(publisher.line("PUBSUB SHARDCHANNELS sh:*").items().len(), 3);
    assert_eq!(subscriber.line("SUNSUBSCRIBE sh:a").items()[2].int(), 2);
}

#[test]
fn events_of_all_masters_come_once_each() {
    let site = Site::start(6, &[]);
    let mut client = site.gateway.client();
    assert_eq!(client.line("CONFIG SET notify-keyspace-events KEA"), Reply::ok());
    let mut everything = site.gateway.client();
    everything.line("PSUBSCRIBE *");
    let mut one = site.gateway.client();
    one.line("SUBSCRIBE __keyspace@0__:ev:5");
    for n in 0..40 {
        client.line(&format!("SET ev:{n} x"));
    }
    assert_eq!(client.line("PUBLISH plain hi").int(), 1);
    let mut seen: HashMap<String, usize> = HashMap::new();
    while !seen.contains_key("plain") || seen.len() < 41 {
        let texts = everything.reply().texts();
        match texts[2].as_str() {
            "__keyevent@0__:set" => *seen.entry(texts[3].clone()).or_default() += 1,
            "plain" => *seen.entry("plain".to_owned()).or_default() += 1,
            _ => {}
        }
    }
    assert_eq!(one.reply(), message(&["message", "__keyspace@0__:ev:5", "set"]));
    assert!(seen.values().all(|count| *count == 1), "{seen:?}");
    let refused = client.line("PUBLISH __keyspace@0__:ev:5 set");
    assert!(refused.error().contains("PUBLISH") || refused.error().contains("publish"));
}

#[test]
fn many_subscribers_cost_the_nodes_one_subscription_a_worker() {
    let site = Site::start(3, &[("SLOTWAY_WORKERS", "2")]);
    let mut clients: Vec<Client> = (0..300).map(|_| site.gateway.client()).collect();
    for client in &mut clients {
        client.send(&request("SUBSCRIBE crowd"));
    }
    for client in &mut clients {
        assert_eq!(client.reply().items()[2].int(), 1);
    }
    let subscribed: i64 =
        (0..3).map(|n| site.cluster.node(n).line("PUBSUB NUMSUB crowd").items()[1].int()).sum();
    assert!((1..=2).contains(&subscribed), "{subscribed}");
    let mut publisher = site.gateway.client();
    assert_eq!(publisher.line("PUBLISH crowd x").int(), 300);
    for client in &mut clients {
        assert_eq!(client.reply(), message(&["message", "crowd", "x"]));
    }
    drop(clients);
    until("the nodes are asked no more", || {
        (0..3).all(|n| site.cluster.node(n).line("PUBSUB NUMSUB crowd").items()[1].int() == 0)
    });
}

#[test]
fn very_many_channels_of_one_client() {
    let site = Site::start(3, &[("SLOTWAY_LIMITS_SUBSCRIPTIONS_MAX", "20000")]);
    let mut client = site.gateway.client();
    let names: Vec<String> = (0..20_000).map(|n| format!("many:{n}")).collect();
    let mut bytes = Vec::new();
    put(&mut bytes, &[["SUBSCRIBE".to_owned()].as_slice(), &names].concat());
    bytes.extend(request("SUBSCRIBE one:more"));
    let replies = client.exchange(&bytes, 20_001);
    assert_eq!(replies[19_999].0.items()[2].int(), 20_000);
    assert!(replies[20_000].0.error().contains("subscriptions_max"));
    let mut publisher = site.gateway.client();
    for n in [0, 777, 19_999] {
        assert_eq!(publisher.line(&format!("PUBLISH many:{n} x")).int(), 1);
        assert_eq!(client.reply(), message(&["message", &format!("many:{n}"), "x"]));
    }
    drop(client);
    until("all are left", || {
        let channels = |n| site.cluster.node(n).line("PUBSUB CHANNELS many:*").items().len();
        (0..3).map(channels).sum::<usize>() == 0
    });
}

#[test]
fn who_does_not_read_is_cut_off_and_nobody_else_notices() {
    let site = Site::start(3, &[("SLOTWAY_LIMITS_PUBSUB_OUTPUT_BYTES_MAX", "1mb")]);
    let (mut slow, mut good) = (site.gateway.client(), site.gateway.client());
    slow.line("SUBSCRIBE flood");
    good.line("SUBSCRIBE flood");
    let mut publisher = site.gateway.client();
    let payload = "x".repeat(100_000);
    let mut received = 0;
    until("the slow one is cut off", || {
        let count = publisher.line(&format!("PUBLISH flood {payload}")).int();
        received += 1;
        assert_eq!(good.reply().texts()[2].len(), payload.len());
        count == 1
    });
    assert!(received > 10, "{received}");
    assert_eq!(publisher.line("PUBSUB NUMSUB flood").items()[1].int(), 1);
    assert_eq!(publisher.line("PUBLISH flood end").int(), 1);
    assert_eq!(good.reply().texts()[2], "end");
}

#[test]
fn clients_with_subscriptions_are_listed_as_such() {
    let site = shared();
    let mut subscriber = site.gateway.client();
    let id = subscriber.line("CLIENT ID").int();
    subscriber.send(&request("SUBSCRIBE listed:a listed:b"));
    subscriber.reply();
    subscriber.reply();
    subscriber.line("PSUBSCRIBE listed:*");
    subscriber.line("SSUBSCRIBE listed:s");
    let mut looker = site.gateway.client();
    let listed = looker.line("CLIENT LIST TYPE pubsub").text();
    let line = listed.lines().find(|line| line.starts_with(&format!("id={id} "))).unwrap();
    assert!(line.contains(" flags=P ") && line.contains(" sub=2 psub=1 ssub=1 "), "{line}");
    assert!(!looker.line("CLIENT LIST TYPE normal").text().contains(&format!("id={id} ")));
    assert_eq!(looker.line(&format!("CLIENT KILL ID {id} TYPE normal")).int(), 0);
    assert_eq!(looker.line(&format!("CLIENT KILL ID {id} TYPE pubsub")).int(), 1);
    assert!(subscriber.is_closed());
}

#[test]
fn a_transaction_may_publish_and_not_subscribe() {
    let site = shared();
    let mut subscriber = site.gateway.client();
    subscriber.line("SUBSCRIBE tx:news");
    let mut client = site.gateway.client();
    client.line("HELLO 3");
    client.line("MULTI");
    let refused = client.line("SUBSCRIBE tx:other");
    assert!(refused.error().contains("transaction"), "{refused:?}");
    assert!(client.line("EXEC").error().starts_with("EXECABORT"));
    client.line("MULTI");
    client.line("SET tx:k v");
    client.line("PUBLISH tx:news told");
    assert_eq!(client.line("EXEC").items().len(), 2);
    assert_eq!(subscriber.reply(), message(&["message", "tx:news", "told"]));
}
