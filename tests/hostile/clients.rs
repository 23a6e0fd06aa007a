//! Clients that come, stay and go in unkind ways.

use std::io::Write;

use crate::support::cluster::{key, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Gate, pair, wait_for};

#[test]
fn a_client_that_closes_its_sending_side_gets_its_replies() {
    let (cluster, _gateway, mut client) = pair("");
    let gate = Gate::default();
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let (word, wait) = (format!("GET {here}"), gate.clone());
    cluster.script(move |call| {
        (call.text == word).then(|| vec![Act::Wait(wait.clone()), Act::Say(b"+late\r\n".to_vec())])
    });
    client.send(&[&format!("GET {there}"), &format!("GET {here}"), &format!("GET {there}")]);
    // Half a request at the end is nobody's.
    client.send_raw(b"*2\r\n$3\r\nGET\r\n");
    client.finish();
    cluster.wait_for(0, &format!("GET {here}"), 1);
    gate.open();
    let value = bulk(&value_of(&there));
    assert_eq!(client.rest(), format!("{value}+late\r\n{value}"));
}

#[test]
fn thousands_of_requests_of_a_client_that_leaves_hurt_nobody() {
    let (cluster, gateway, mut other) = pair("");
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let gate = Gate::default();
    let (word, wait) = (format!("GET {here}"), gate.clone());
    cluster.script(move |call| {
        let acts = vec![Act::Wait(wait.clone()), Act::Say(bulk(&value_of("x")).into_bytes())];
        (call.text == word).then_some(acts)
    });
    for _ in 0..4 {
        let mut client = gateway.client();
        client.send_raw(&request(&["GET", &here]).repeat(5000));
        wait_for("the client is in", || gateway.clients() > 1);
        client.reset();
    }
    other.send(&[&format!("GET {here}2{{{here}}}"), &format!("GET {there}")]);
    cluster.wait_for(1, &format!("GET {there}"), 1);
    gate.open();
    let mine = format!("{here}2{{{here}}}");
    assert_eq!(other.replies(2), [bulk(&value_of(&mine)), bulk(&value_of(&there))]);
    wait_for("their sockets are closed", || gateway.clients() == 1);
}

#[test]
fn one_client_too_many_is_told_and_there_is_room_again_later() {
    let (_cluster, gateway, first) = pair("[limits]\nclients_max = 3\n");
    // The client that waited for the map may still be on its way out.
    let mut in_it = vec![first];
    wait_for("room for three", || {
        while in_it.len() < 3 {
            in_it.push(gateway.client());
        }
        in_it.retain_mut(|client| {
            client.stream.write_all(b"PING\r\n").is_ok() && client.reply_or_end() == "+PONG\r\n"
        });
        in_it.len() == 3
    });
    let mut more = gateway.client();
    assert_eq!(more.rest(), "-ERR max number of clients reached\r\n");
    drop(in_it.pop());
    wait_for("room for one", || {
        let mut next = gateway.client();
        next.stream.write_all(b"PING\r\n").is_ok() && next.reply_or_end() == "+PONG\r\n"
    });
    assert_eq!(in_it[0].ask("PING"), "+PONG\r\n");
}

#[test]
fn an_idle_client_is_closed_and_a_busy_one_is_not() {
    let (_cluster, gateway, mut idle) = pair("[timeouts]\nidle = \"1s\"\n");
    let mut half = gateway.client();
    half.send_raw(b"*2\r\n$3\r\nGET\r\n$5\r\nab");
    let (mut busy, mut slow) = (gateway.client(), gateway.client());
    // An upload that takes longer than the limit is not idle.
    let upload = request(&["SET", &key(0, 2, 0), &"v".repeat(1 << 20)]);
    let mut bytes = upload.chunks(1);
    wait_for("the end of those that are idle", || {
        slow.send_raw(bytes.next().unwrap());
        assert_eq!(busy.ask("PING"), "+PONG\r\n");
        idle.has_ended() && half.has_ended()
    });
    slow.send_raw(&bytes.flatten().copied().collect::<Vec<u8>>());
    assert_eq!(slow.reply(), "+OK\r\n");
    assert_eq!(busy.ask("PING"), "+PONG\r\n");
    assert_eq!([idle.rest(), half.rest()], ["", ""]);
}

#[test]
fn a_client_that_waits_for_its_reply_is_not_idle() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nidle = \"1s\"\n");
    let (gate, word) = (Gate::default(), format!("GET {}", key(0, 2, 0)));
    let (wait, text) = (gate.clone(), word.clone());
    cluster.script(move |call| {
        (call.text == text).then(|| vec![Act::Wait(wait.clone()), Act::Say(b"+late\r\n".to_vec())])
    });
    client.send(&[&word]);
    // Meanwhile the gateway looks for idle clients again and again, and finds others.
    (0..2).for_each(|_| assert_eq!(gateway.client().rest(), ""));
    gate.open();
    assert_eq!(client.reply(), "+late\r\n");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_reader_of_large_replies_in_small_bites_gets_every_byte() {
    let (cluster, _gateway, mut client) = pair("");
    let value = "0123456789abcdef".repeat(1 << 16);
    let frame = bulk(&value);
    let sent = frame.clone();
    cluster.script(move |call| call.text.starts_with("GET").then(|| Act::say(&sent)));
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let requests = [request(&["GET", &here]), request(&["GET", &there])].concat();
    client.send_raw(&requests.repeat(20));
    for n in 0..40 {
        assert!(client.reply() == frame, "reply {n} is not what the node sent");
    }
}

/// Clients that hold a connection open with half a request of every kind.
#[test]
fn half_requests_cost_next_to_nothing() {
    let (_cluster, gateway, mut other) = pair("");
    let before = gateway.memory_mib();
    let halves: [&[u8]; 4] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n",
        b"*1048576\r\n$3\r\nDEL\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000000\r\nsome",
        b"SET a ",
    ];
    let mut open: Vec<crate::support::Client> = Vec::new();
    for half in halves.iter().cycle().take(200) {
        let mut client = gateway.client();
        client.send_raw(half);
        open.push(client);
    }
    assert_eq!(other.ask("PING"), "+PONG\r\n");
    let after = gateway.memory_mib();
    println!("200 half requests: {before} -> {after} MiB");
    assert!(after < before + 20, "{before} -> {after} MiB");
}
