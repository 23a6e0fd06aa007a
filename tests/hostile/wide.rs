//! Requests with thousands of keys, which the gateway takes apart a little at a time: what they answer
//! is what one server would.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::cluster::{key, slot};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Call, Client, Cluster, Gateway, pair, wait_for};

/// One server's strings.
#[derive(Default)]
struct Store(HashMap<String, String>);

impl Store {
    fn answer(&mut self, text: &str) -> Option<String> {
        let words: Vec<&str> = text.split(' ').collect();
        let (command, keys) = (words[0], &words[1..]);
        let value = |key: &str| self.0.get(key).map_or("$-1\r\n".to_owned(), |value| bulk(value));
        Some(match command {
            "MGET" => {
                let values: String = keys.iter().map(|key| value(key)).collect();
                format!("*{}\r\n{values}", keys.len())
            }
            "GET" => value(keys[0]),
            "SET" | "MSET" => {
                let pairs = keys.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned()));
                self.0.extend(pairs);
                "+OK\r\n".into()
            }
            "EXISTS" | "TOUCH" => {
                format!(":{}\r\n", keys.iter().filter(|key| self.0.contains_key(**key)).count())
            }
            "DEL" | "UNLINK" => {
                let gone = keys.iter().filter(|key| self.0.remove(**key).is_some()).count();
                format!(":{gone}\r\n")
            }
            _ => return None,
        })
    }
}

/// The nodes have one store, whichever is asked, but for what `fault` says first.
fn serve(cluster: &Cluster, mut fault: impl FnMut(&Call) -> Option<Vec<Act>> + Send + 'static) {
    let store: Mutex<Store> = Mutex::default();
    cluster.script(move |call| {
        fault(call).or_else(|| store.lock().unwrap().answer(&call.text).map(Act::say))
    });
}

/// 5,000 keys in 500 slots, a thousand of them named twice.
fn keys() -> Vec<String> {
    let keys = (0..4000).map(|n| format!("w:{{{}}}:{n}", n % 500));
    let again = (0..1000).map(|n| format!("w:{{{}}}:{}", (n * 4) % 500, n * 4));
    keys.chain(again).collect()
}

fn with_keys(command: &str) -> String {
    format!("{command} {}", keys().join(" "))
}

/// Every key with a value of its place, so that the last one of a name is told from the first.
fn mset() -> String {
    let pairs: Vec<String> =
        keys().iter().enumerate().map(|(n, key)| format!("{key} {n}")).collect();
    format!("MSET {}", pairs.join(" "))
}

fn assert_same(got: &str, expected: &str, what: &str) {
    let from = got.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
    let rest = |text: &str| text.get(from..).unwrap_or("").chars().take(60).collect::<String>();
    assert!(got == expected, "{what}: {:?} instead of {:?}", rest(got), rest(expected));
}

#[test]
fn replies_are_those_of_one_server() {
    let (cluster, _gateway, mut client) = pair("");
    serve(&cluster, |_| None);
    let mut model = Store::default();
    let few = keys()[..2500].join(" ");
    for text in [
        with_keys("MGET"),
        mset(),
        with_keys("MGET"),
        with_keys("EXISTS"),
        with_keys("TOUCH"),
        format!("UNLINK {few}"),
        with_keys("MGET"),
        with_keys("EXISTS"),
        with_keys("DEL"),
        with_keys("DEL"),
    ] {
        let what = &text[..6];
        assert_same(&client.ask(&text), &model.answer(&text).unwrap(), what);
    }
    // Every slot's keys went together.
    let parts = cluster.calls().into_iter().filter(|call| call.text.starts_with("EXISTS "));
    assert_eq!(parts.count(), 1000);
}

/// A key of node 1, and what is said the first time that it is asked for with others of its slot.
fn fault_once(
    cluster: &Cluster,
    acts: impl FnOnce(usize) -> Vec<Act>,
) -> (String, Arc<AtomicBool>) {
    let victim = keys().into_iter().find(|key| slot(key) >= 8192).unwrap();
    let (name, acts) = (format!(" {victim}"), acts(slot(&victim)));
    let (armed, trigger) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicBool>::default());
    let seen = Arc::clone(&trigger);
    serve(cluster, move |call| {
        let hits = trigger.load(Ordering::SeqCst) && call.text.contains(&name);
        (hits && !armed.swap(true, Ordering::SeqCst)).then(|| acts.clone())
    });
    (victim, seen)
}

#[test]
fn a_redirect_of_one_part_is_followed() {
    for kind in ["MOVED", "ASK", "TRYAGAIN"] {
        for text in ["MGET", "EXISTS", "TOUCH", "DEL", "UNLINK", "MSET"] {
            let (cluster, _gateway, mut client) = pair("");
            let port = cluster.port(0);
            let (victim, armed) = fault_once(&cluster, |slot| match kind {
                "TRYAGAIN" => Act::say("-TRYAGAIN not yet\r\n"),
                _ => Act::say(format!("-{kind} {slot} 127.0.0.1:{port}\r\n")),
            });
            let mut model = Store::default();
            assert_same(&client.ask(&mset()), &model.answer(&mset()).unwrap(), "MSET");
            cluster.forget_calls();
            armed.store(true, Ordering::SeqCst);
            let request = if text == "MSET" { mset() } else { with_keys(text) };
            let what = format!("{text} {kind}");
            assert_same(&client.ask(&request), &model.answer(&request).unwrap(), &what);
            let parts = cluster.calls().into_iter();
            let hit = parts.filter(|call| call.text.contains(&format!(" {victim}"))).count();
            assert_eq!(hit, 2, "{what}");
            assert_eq!(cluster.count(0, "ASKING"), usize::from(kind == "ASK"), "{what}");
            let after = client.ask(&with_keys("MGET"));
            assert_same(&after, &model.answer(&with_keys("MGET")).unwrap(), &what);
        }
    }
}

#[test]
fn a_lost_connection_costs_a_write_its_certainty_and_a_read_nothing() {
    for text in ["MGET", "EXISTS", "TOUCH", "DEL", "UNLINK", "MSET"] {
        let (cluster, _gateway, mut client) = pair("");
        let (victim, armed) = fault_once(&cluster, |_| match text {
            "MGET" => vec![Act::Say(b"*9\r\n$100\r\nhalf".to_vec()), Act::Close],
            _ => vec![Act::Close],
        });
        let mut model = Store::default();
        assert_same(&client.ask(&mset()), &model.answer(&mset()).unwrap(), "MSET");
        cluster.forget_calls();
        armed.store(true, Ordering::SeqCst);
        let request = if text == "MSET" { mset() } else { with_keys(text) };
        let reply = client.ask(&request);
        if matches!(text, "MGET" | "EXISTS" | "TOUCH") {
            assert_same(&reply, &model.answer(&request).unwrap(), text);
        } else {
            assert!(reply.starts_with("-INDETERMINATE "), "{text}: {reply}");
            let parts = cluster.calls().into_iter();
            let hit = parts.filter(|call| call.text.contains(&format!(" {victim}"))).count();
            assert_eq!(hit, 1, "{text}");
        }
        assert_eq!(client.ask("PING"), "+PONG\r\n");
    }
}

#[test]
fn the_inline_form_answers_alike() {
    let (cluster, _gateway, mut client) = pair("");
    serve(&cluster, |_| None);
    let names: Vec<String> = (0..3000).map(|n| format!("k{n}")).collect();
    let mget = format!("MGET {}", names.join(" "));
    let pairs: Vec<String> = names[..1500].iter().map(|name| format!("{name} of:{name}")).collect();
    let mset = format!("MSET {}", pairs.join(" "));
    let mut model = Store::default();
    client.send_raw(format!("{mset}\r\n{mget}\r\nPING\r\n").as_bytes());
    assert_same(&client.reply(), &model.answer(&mset).unwrap(), "MSET");
    assert_same(&client.reply(), &model.answer(&mget).unwrap(), "MGET");
    assert_eq!(client.reply(), "+PONG\r\n");
}

#[test]
fn whoever_wants_no_reply_gets_none() {
    let (cluster, _gateway, mut client) = pair("");
    serve(&cluster, |_| None);
    let mut model = Store::default();
    client.send(&["CLIENT REPLY OFF", &mset(), &with_keys("MGET"), "CLIENT REPLY ON"]);
    assert_eq!(client.reply(), "+OK\r\n");
    model.answer(&mset());
    let mget = with_keys("MGET");
    assert_same(&client.ask(&mget), &model.answer(&mget).unwrap(), "MGET");
    client.send(&["CLIENT REPLY SKIP", &with_keys("DEL"), "PING"]);
    assert_eq!(client.reply(), "+PONG\r\n");
    assert_same(&client.ask(&mget), &Store::default().answer(&mget).unwrap(), "MGET");
}

#[test]
fn the_order_of_a_pipeline_stays() {
    let (cluster, _gateway, mut client) = pair("");
    serve(&cluster, |_| None);
    let (first, last) = (keys()[0].clone(), keys()[3999].clone());
    let mut texts = Vec::new();
    for round in 0..3 {
        texts.extend([
            format!("SET {first} before:{round}"),
            with_keys("MGET"),
            format!("GET {first}"),
            mset(),
            format!("SET {last} after:{round}"),
            format!("GET {last}"),
            with_keys("EXISTS"),
            with_keys("MGET"),
            format!("DEL {first}"),
            format!("GET {first}"),
        ]);
    }
    let bytes: Vec<u8> =
        texts.iter().flat_map(|text| request(&text.split(' ').collect::<Vec<_>>())).collect();
    let mut sender = client.stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut sender, &bytes).unwrap());
        let mut model = Store::default();
        for (n, text) in texts.iter().enumerate() {
            let what = format!("{n}: {}", &text[..6]);
            assert_same(&client.reply(), &model.answer(text).unwrap(), &what);
        }
    });
}

#[test]
fn where_several_slots_are_refused_one_slot_is_not() {
    let cluster = Cluster::of(2);
    let settings = "[routing]\ncross_slot = \"refuse\"\n";
    let gateway = Gateway::launch(cluster.port(0), 1, settings);
    let mut client: Client = gateway.client();
    wait_for("a map of the cluster", || {
        (0..2).all(|node| client.ask(&format!("GET {}", key(node, 2, 0))).starts_with('$'))
    });
    serve(&cluster, |_| None);
    cluster.forget_calls();
    for text in [with_keys("MGET"), mset(), with_keys("DEL")] {
        let reply = client.ask(&text);
        assert!(reply.starts_with("-CROSSSLOT "), "{reply}");
    }
    assert!(cluster.calls().is_empty());
    let names: Vec<String> = (0..5000).map(|n| format!("{{one}}:{n}")).collect();
    let pairs: Vec<String> = names.iter().map(|name| format!("{name} of:{name}")).collect();
    let mut model = Store::default();
    for text in [format!("MSET {}", pairs.join(" ")), format!("MGET {}", names.join(" "))] {
        assert_same(&client.ask(&text), &model.answer(&text).unwrap(), &text[..4]);
    }
}

/// What it keeps of its request until the nodes have answered is memory of the client.
#[test]
fn what_it_keeps_counts() {
    let (cluster, gateway, mut client) = pair("");
    cluster.script(|call| (!call.text.starts_with("GET ")).then(Vec::new));
    let pairs: Vec<String> =
        keys().iter().map(|key| format!("{key} {}", "v".repeat(1000))).collect();
    client.send(&[&format!("MSET {}", pairs.join(" "))]);
    let kept = || gateway.metric("slotway_memory_bytes", &["kind=\"input\""]);
    wait_for("the parts are on their way", || cluster.calls().len() >= 250);
    wait_for("the request counts", || kept() > 4 << 20);
    client.reset();
    wait_for("it is given back", || {
        gateway.metric("slotway_client_connections", &[]) == 0 && kept() < 1 << 20
    });
}
