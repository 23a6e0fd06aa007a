//! Requests over several slots whose parts fare differently.

use crate::support::cluster::{key, slot, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, pair};

fn three() -> (String, String, String) {
    (key(0, 2, 0), key(1, 2, 0), key(0, 2, 1))
}

#[test]
fn only_the_part_that_was_refused_is_sent_again() {
    let (cluster, _gateway, mut client) = pair("");
    let (a, b, c) = three();
    let (refused, moved) = (format!("MGET {a}"), format!("MGET {b}"));
    let redirect = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&b), cluster.port(0));
    cluster.script(move |call| match call.before {
        0 if call.text == refused => Some(Act::say("-TRYAGAIN not yet\r\n")),
        0 if call.text == moved && call.node == 1 => Some(Act::say(&redirect)),
        _ => None,
    });
    let values: String = [&a, &b, &c].map(|key| bulk(&value_of(key))).concat();
    assert_eq!(client.ask(&format!("MGET {a} {b} {c}")), format!("*3\r\n{values}"));
    assert_eq!(cluster.count(0, &format!("MGET {a}")), 2);
    assert_eq!(
        (cluster.count(1, &format!("MGET {b}")), cluster.count(0, &format!("MGET {b}"))),
        (1, 1)
    );
    assert_eq!(cluster.count(0, &format!("MGET {c}")), 1);
}

#[test]
fn a_read_part_whose_reply_broke_off_is_asked_for_again() {
    let (cluster, _gateway, mut client) = pair("");
    let (a, b, c) = three();
    let broken = format!("MGET {b}");
    cluster.script(move |call| {
        let acts = vec![Act::Say(b"*1\r\n$100\r\nhalf".to_vec()), Act::Close];
        (call.text == broken && call.before == 0).then_some(acts)
    });
    let values: String = [&a, &b, &c].map(|key| bulk(&value_of(key))).concat();
    assert_eq!(client.ask(&format!("MGET {a} {b} {c}")), format!("*3\r\n{values}"));
    assert_eq!(cluster.count(1, &format!("MGET {b}")), 2);
    assert_eq!(cluster.count(0, &format!("MGET {a}")), 1);
}

#[test]
fn a_write_part_that_was_lost_makes_the_whole_indeterminate() {
    for (command, suffix) in [("MSET", " 1"), ("DEL", ""), ("UNLINK", "")] {
        let (cluster, _gateway, mut client) = pair("");
        let (a, b, c) = three();
        let lost = format!("{command} {b}{suffix}");
        let text = lost.clone();
        cluster.script(move |call| (call.text == text).then(|| vec![Act::Close]));
        let reply = client.ask(&format!("{command} {a}{suffix} {b}{suffix} {c}{suffix}"));
        assert!(reply.starts_with("-INDETERMINATE "), "{command}: {reply}");
        assert_eq!(cluster.count(1, &lost), 1);
        assert_eq!(client.ask(&format!("GET {a}")), bulk(&value_of(&a)));
    }
}

#[test]
fn an_error_of_one_part_is_the_reply() {
    let (cluster, _gateway, mut client) = pair("");
    let (a, b, c) = three();
    let full = format!("MSET {b} 1");
    cluster.script(move |call| (call.text == full).then(|| Act::say("-OOM no room\r\n")));
    assert_eq!(client.ask(&format!("MSET {a} 1 {b} 1 {c} 1")), "-OOM no room\r\n");
    assert_eq!(client.ask(&format!("DEL {a} {b} {c}")), ":3\r\n");
}

#[test]
fn parts_of_the_wrong_shape_are_an_error_and_no_more() {
    for nonsense in ["*0\r\n", "*2\r\n:1\r\n:2\r\n", "$1\r\nx\r\n", "*-1\r\n", ":1\r\n", "+OK\r\n"]
    {
        let (cluster, _gateway, mut client) = pair("");
        let (a, b, c) = three();
        let text = format!("MGET {b}");
        cluster.script(move |call| (call.text == text).then(|| Act::say(nonsense)));
        let reply = client.ask(&format!("MGET {a} {b} {c}"));
        assert!(reply.starts_with("-ERR gateway: "), "{nonsense:?}: {reply}");
        assert_eq!(client.ask(&format!("GET {a}")), bulk(&value_of(&a)));
    }
}
