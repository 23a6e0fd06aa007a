//! Clients that ask for much and leave, and one that asks for everything before it reads.

use std::sync::Mutex;

use crate::support::cluster::{key, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Client, Cluster, Gate, Gateway, pair, wait_for};

const LARGE_BYTES: usize = 1 << 20;
/// Large replies that a node may owe: `node_owed_bytes_max` of these, and one that is under way.
const OWED_MAX: usize = 9;

/// Node 0 reads everything and answers nothing more, until somebody sends it `SET … go`: then it says
/// all that it owes.
fn fall_silent(cluster: &Cluster, large: &str) {
    let (large, frame) = (format!("GET {large}"), bulk(&"v".repeat(LARGE_BYTES)));
    let owed: Mutex<Vec<u8>> = Mutex::default();
    cluster.script(move |call| {
        if call.node != 0 {
            return None;
        }
        let mut owed = owed.lock().unwrap();
        match call.text.as_str() {
            text if text == large => owed.extend_from_slice(frame.as_bytes()),
            text if text.starts_with("GET ") => {
                owed.extend_from_slice(bulk(&value_of(&text[4..])).as_bytes());
            }
            _ => owed.extend_from_slice(b"+OK\r\n"),
        }
        let is_over = call.text.ends_with(" go");
        Some(if is_over { Act::say(std::mem::take(&mut *owed)) } else { Vec::new() })
    });
}

/// A cluster whose node 0 has said one large value and then nothing, and a crowd that wants it again.
fn crowd(count: usize, large: &str) -> (Cluster, Gateway, Client, Vec<Client>) {
    let (cluster, gateway, mut client) = pair("");
    let (text, frame) = (format!("GET {large}"), bulk(&"v".repeat(LARGE_BYTES)));
    cluster.script(move |call| (call.text == text).then(|| Act::say(&frame)));
    // From the first reply on it is known what such a request asks for.
    assert_eq!(client.ask(&format!("GET {large}")).len(), LARGE_BYTES + "$1048576\r\n\r\n".len());
    cluster.forget_calls();
    fall_silent(&cluster, large);
    let get = request(&["GET", large]);
    let mut clients: Vec<Client> = (0..count).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| client.send_raw(&get.repeat(300)));
    (cluster, gateway, client, clients)
}

fn waiting(gateway: &Gateway) -> u64 {
    gateway.metric("slotway_upstream_waiting_clients", &[])
}

#[test]
fn a_node_owes_a_crowd_only_so_much_and_others_get_through() {
    let (large, small) = (key(0, 2, 0), key(0, 2, 1));
    let (cluster, gateway, mut client, clients) = crowd(40, &large);
    let text = format!("GET {large}");
    wait_for("the crowd waits for its turn", || waiting(&gateway) >= 30);
    assert!(cluster.count(0, &text) <= OWED_MAX, "{}", cluster.count(0, &text));
    client.send(&[&format!("GET {small}")]);
    cluster.wait_for(0, &format!("GET {small}"), 1);
    // They leave; what they had not sent yet is not sent any more.
    clients.into_iter().for_each(Client::reset);
    wait_for("they are gone", || gateway.metric("slotway_client_connections", &[]) == 1);
    wait_for("nobody waits", || waiting(&gateway) == 0);
    let sent = cluster.count(0, &text);
    let mut other = gateway.client();
    other.send(&[&format!("SET {small} go")]);
    assert_eq!(client.reply(), bulk(&value_of(&small)));
    assert_eq!(other.reply(), "+OK\r\n");
    assert_eq!(cluster.count(0, &text), sent);
    assert!(sent <= OWED_MAX, "{sent}");
    assert!(gateway.metric("slotway_upstream_waits_total", &[]) >= 30);
}

#[test]
fn leavers_keep_nothing_while_the_node_still_owes_them() {
    let (large, small) = (key(0, 2, 0), key(0, 2, 1));
    let (cluster, gateway, mut client, clients) = crowd(3, &large);
    wait_for("all have asked", || {
        let received = gateway.metric("slotway_client_received_bytes_total", &[]);
        received >= 3 * 300 * request(&["GET", &large]).len() as u64
    });
    let sockets = gateway.client_sockets();
    assert_eq!(gateway.holds(&sockets), 4);
    clients.into_iter().for_each(Client::reset);
    wait_for("their sockets are given back", || {
        gateway.metric("slotway_client_connections", &[]) == 1 && gateway.holds(&sockets) == 1
    });
    assert!(gateway.metric("slotway_upstream_inflight", &[]) > 0, "the node owes nothing");
    assert_eq!(client.ask(&format!("SET {small} go")), "+OK\r\n");
    assert!(cluster.count(0, &format!("GET {large}")) <= OWED_MAX);
}

/// Twenty clients that have sent so many INCR each, of which the node has not answered one: all of
/// them are in the gateway, or at the node.
fn counting(cluster: &Cluster, gateway: &Gateway, each: usize) -> (Vec<Client>, Gate) {
    let count = 20;
    let (gate, here) = (Gate::default(), key(0, 2, 0));
    let wait = gate.clone();
    cluster.script(move |call| {
        let is_incr = call.text.starts_with("INCR ");
        is_incr.then(|| vec![Act::Wait(wait.clone()), Act::Say(b":1\r\n".to_vec())])
    });
    let incr = request(&["INCR", &here]).repeat(each);
    let before = gateway.metric("slotway_client_received_bytes_total", &[]);
    let mut clients: Vec<Client> = (0..count).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| client.send_raw(&incr));
    let all = before + (count * incr.len()) as u64;
    wait_for("all requests are in", || {
        gateway.metric("slotway_client_received_bytes_total", &[]) >= all
    });
    (clients, gate)
}

#[test]
fn what_an_orderly_leaver_has_sent_all_runs() {
    let (cluster, gateway, client) = pair("");
    drop(client);
    let incr = format!("INCR {}", key(0, 2, 0));
    // More than may be under way: replies are written, to nobody, before the last has been sent on.
    for each in [1000, 3000] {
        cluster.forget_calls();
        let (clients, gate) = counting(&cluster, &gateway, each);
        drop(clients);
        gate.open();
        cluster.wait_for(0, &incr, 20 * each);
        wait_for("their sockets are given back", || gateway.clients() == 0);
        assert_eq!(cluster.count(0, &incr), 20 * each);
    }
}

#[test]
fn what_waits_of_a_client_that_was_reset_does_not_run() {
    let (cluster, gateway, mut other) = pair("");
    let incr = format!("INCR {}", key(0, 2, 0));
    let (clients, gate) = counting(&cluster, &gateway, 1000);
    clients.into_iter().for_each(Client::reset);
    wait_for("they are gone", || gateway.metric("slotway_client_connections", &[]) == 1);
    gate.open();
    // Behind everything that was on its way.
    assert_eq!(other.ask(&format!("SET {} 1", key(0, 2, 0))), "+OK\r\n");
    let ran = cluster.count(0, &incr);
    // Four of each client may be under way before its first reply.
    assert!((1..=4 * 20).contains(&ran), "{ran}");
}

/// As client libraries do with a pipeline: everything is sent, and only then the first reply read. Both
/// directions are far more than the system buffers.
#[test]
fn whoever_sends_everything_first_gets_every_reply() {
    const EACH: usize = 50_000;
    let (cluster, gateway, mut client) = pair("");
    let filler = "v".repeat(600);
    let said = filler.clone();
    cluster.script(move |call| {
        call.text.starts_with("GET ").then(|| Act::say(bulk(&format!("{} {said}", call.text))))
    });
    let keys: Vec<String> = (0..100).map(|n| key(n % 2, 2, n / 2)).collect();
    let gets: Vec<u8> = keys.iter().flat_map(|key| request(&["GET", key])).collect();
    let sets: Vec<u8> = keys.iter().flat_map(|key| request(&["SET", key, &filler])).collect();
    client.send_raw(&gets.repeat(EACH / keys.len()));
    client.send_raw(&sets.repeat(EACH / keys.len()));
    for n in 0..EACH {
        let reply = client.reply();
        let (_, value) = reply.split_once('\n').unwrap();
        let begin = format!("GET {} v", keys[n % keys.len()]);
        assert!(value.starts_with(&begin), "reply {n} is {value}");
    }
    for n in 0..EACH {
        assert_eq!(client.reply(), "+OK\r\n", "SET {n}");
    }
    assert_eq!(client.ask("PING"), "+PONG\r\n");
    assert_eq!(gateway.metric("slotway_client_disconnects_total", &["reason=\"memory\""]), 0);
}
