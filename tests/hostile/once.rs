//! A command runs at most once: what becomes of requests whose connection ends.

use crate::support::cluster::{key, slot, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Gate, pair};

#[test]
fn a_write_that_was_sent_is_not_sent_again() {
    let (cluster, _gateway, mut client) = pair("");
    let (mine, other) = (key(0, 2, 0), key(1, 2, 0));
    let word = format!("INCR {mine}");
    let text = word.clone();
    cluster.script(move |call| (call.text == text).then(|| vec![Act::Close]));
    client.send(&[&word, &format!("GET {other}")]);
    let reply = client.reply();
    assert!(reply.starts_with("-INDETERMINATE "), "{reply}");
    assert_eq!(client.reply(), bulk(&value_of(&other)));
    assert_eq!(client.ask(&format!("GET {mine}")), bulk(&value_of(&mine)));
    assert_eq!(cluster.count(0, &word), 1);
}

#[test]
fn a_read_that_was_sent_is_sent_again() {
    let (cluster, _gateway, mut client) = pair("");
    let get = format!("GET {}", key(0, 2, 0));
    let text = get.clone();
    cluster.script(move |call| (call.text == text && call.before < 3).then(|| vec![Act::Close]));
    assert_eq!(client.ask(&get), bulk(&value_of(&key(0, 2, 0))));
    assert_eq!(cluster.count(0, &get), 4);
}

#[test]
fn a_read_that_no_connection_survives_is_given_up() {
    let (cluster, _gateway, mut client) = pair("");
    let get = format!("GET {}", key(0, 2, 0));
    let text = get.clone();
    cluster.script(move |call| (call.text == text).then(|| vec![Act::Close]));
    let reply = client.ask(&get);
    assert!(reply.starts_with("-CLUSTERDOWN "), "{reply}");
    assert_eq!(cluster.count(0, &get), 5);
}

#[test]
fn a_read_that_waited_long_for_its_reply_is_still_sent_again() {
    let (cluster, gateway, mut client) = pair("[timeouts]\nfailover_wait = \"300ms\"\n");
    let (get, held) = (format!("GET {}", key(0, 2, 0)), format!("SET {} 1", key(1, 2, 0)));
    let (text, never, gate) = (get.clone(), held.clone(), Gate::default());
    let wait = gate.clone();
    cluster.script(move |call| {
        if call.text == never {
            return Some(Act::say("-TRYAGAIN not yet\r\n"));
        }
        let acts = vec![Act::Wait(wait.clone()), Act::Close];
        (call.text == text && call.before == 0).then_some(acts)
    });
    client.send(&[&get]);
    cluster.wait_for(0, &get, 1);
    // Longer than a request may be held, as the others see.
    let mut other = gateway.client();
    assert_eq!([&held; 2].map(|held| other.ask(held)), ["-TRYAGAIN not yet\r\n"; 2]);
    gate.open();
    assert_eq!(client.reply(), bulk(&value_of(&key(0, 2, 0))));
}

#[test]
fn replies_between_frames_of_a_closing_connection_count() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    let last = format!("INCR {mine}");
    cluster.script(move |call| {
        (call.text == last).then(|| vec![Act::Say(b":1\r\n".to_vec()), Act::Close])
    });
    let requests = [format!("SET {mine} 0"), format!("INCR {mine}"), format!("SET {mine} 2")];
    client.send(&[&requests[0], &requests[1], &requests[2]]);
    assert_eq!(client.replies(2), ["+OK\r\n", ":1\r\n"]);
    // Whether the node has read the third nobody can know, and so it is not sent again.
    let reply = client.reply();
    assert!(reply.starts_with("-INDETERMINATE ") || reply == "+OK\r\n", "{reply}");
    assert!(cluster.count(0, &requests[2]) <= 1);
    assert_eq!(cluster.count(0, &requests[1]), 1);
}

#[test]
fn a_request_that_was_never_written_in_full_is_sent_again() {
    let (cluster, _gateway, mut client) = pair("");
    let (first, mine) = (key(0, 2, 1), key(0, 2, 0));
    let (gate, word) = (Gate::default(), format!("GET {first}"));
    let (wait, text) = (gate.clone(), word.clone());
    cluster.script(move |call| {
        let acts = vec![Act::Wait(wait.clone()), Act::Close];
        (call.text == text && call.before == 0).then_some(acts)
    });
    client.send(&[&word]);
    cluster.wait_for(0, &word, 1);
    // The node reads nothing now; this is more than sockets take.
    let value = "v".repeat(48 << 20);
    let mut sender = client.stream.try_clone().unwrap();
    let large = request(&["SET", &mine, &value]);
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &large));
    writer.join().unwrap().unwrap();
    gate.open();
    assert_eq!(client.replies(2), [bulk(&value_of(&first)), "+OK\r\n".into()]);
    let arrived = cluster.seen(0).iter().filter(|text| text.starts_with("SET ")).count();
    assert_eq!(arrived, 1);
}

#[test]
fn a_client_that_has_read_half_a_reply_is_cut_and_others_are_not() {
    let (cluster, gateway, mut client) = pair("");
    let (mine, other) = (key(0, 2, 0), key(0, 2, 1));
    let (half, gate) = (format!("GET {mine}"), Gate::default());
    let (text, wait) = (half.clone(), gate.clone());
    cluster.script(move |call| {
        let begin = b"$100000\r\nbegin".to_vec();
        let acts = vec![Act::Say(begin), Act::Wait(wait.clone()), Act::Close];
        (call.text == text && call.before == 0).then_some(acts)
    });
    let mut behind = gateway.client();
    client.send(&[&half]);
    cluster.wait_for(0, &half, 1);
    behind.send(&[&format!("GET {other}")]);
    let mut begun = [0; 14];
    std::io::Read::read_exact(&mut client.stream, &mut begun).unwrap();
    assert_eq!(&begun, b"$100000\r\nbegin");
    gate.open();
    assert_eq!(client.rest(), "");
    assert_eq!(behind.reply(), bulk(&value_of(&other)));
    assert_eq!(gateway.client().ask(&half), bulk(&value_of(&mine)));
}

#[test]
fn half_a_header_is_no_part_of_a_reply() {
    for half in ["$", "$1000", "+O", "-ER", ":1", "*"] {
        let (cluster, _gateway, mut client) = pair("");
        let get = format!("GET {}", key(0, 2, 0));
        let text = get.clone();
        cluster.script(move |call| {
            let acts = vec![Act::Say(half.into()), Act::Close];
            (call.text == text && call.before == 0).then_some(acts)
        });
        assert_eq!(client.ask(&get), bulk(&value_of(&key(0, 2, 0))), "{half:?}");
    }
}

#[test]
fn half_a_push_is_no_part_of_a_reply() {
    let (cluster, _gateway, mut client) = pair("");
    let get = format!("GET {}", key(0, 2, 0));
    let text = get.clone();
    cluster.script(move |call| {
        let acts = vec![Act::Say(b">2\r\n+invalidate\r\n".to_vec()), Act::Close];
        (call.text == text && call.before == 0).then_some(acts)
    });
    assert_eq!(client.ask(&get), bulk(&value_of(&key(0, 2, 0))));
}

#[test]
fn an_asked_write_whose_connection_ends_is_not_sent_again() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    let ask = format!("-ASK {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
    let word = format!("INCR {mine}");
    let text = word.clone();
    cluster.script(move |call| match call.node {
        _ if call.text != text => None,
        0 => Some(Act::say(&ask)),
        _ => Some(vec![Act::Close]),
    });
    let reply = client.ask(&word);
    assert!(reply.starts_with("-INDETERMINATE "), "{reply}");
    assert_eq!((cluster.count(0, &word), cluster.count(1, &word)), (1, 1));
}

#[test]
fn nothing_of_a_client_that_has_gone_is_kept() {
    let (cluster, gateway, mut probe) = pair("");
    let (mine, moved) = (key(0, 2, 0), key(0, 2, 1));
    let gate = Gate::default();
    let (word, wait) = (format!("GET {mine}"), gate.clone());
    cluster
        .script(move |call| (call.text == word).then(|| vec![Act::Wait(wait.clone()), Act::Close]));
    let gone: Vec<_> = (0..20)
        .map(|_| {
            let mut client = gateway.client();
            client.send(&[&format!("GET {mine}"), &format!("SET {moved} 1")]);
            client
        })
        .collect();
    cluster.wait_for(0, &format!("GET {mine}"), 1);
    assert_eq!(probe.ask(&format!("GET {}", key(1, 2, 0))), bulk(&value_of(&key(1, 2, 0))));
    crate::support::wait_for("all clients are in", || gateway.clients() >= 21);
    gone.into_iter().for_each(crate::support::Client::reset);
    gate.open();
    // Their requests come back with the node's connection, to nobody.
    crate::support::wait_for("the sockets of clients that have gone are closed", || {
        gateway.clients() == 1
    });
}
