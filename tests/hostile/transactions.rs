//! A transaction runs whole, or not at all, or the client is told that nobody knows.

use crate::support::cluster::{key, slot, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Client, pair, wait_for};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

/// What a node says to a transaction of two commands, one reply for each request.
fn said(word: &str, at: usize, reply: &str) -> Option<Vec<Act>> {
    let all = ["MULTI", "SET", "INCR", "EXEC"];
    let good = ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n:1\r\n"];
    let place = all.iter().position(|known| word.starts_with(known))?;
    let answer = match place {
        place if place == at => reply,
        // A node that has declined something does not run the rest.
        3 if at < 3 && reply.starts_with('-') => ABORTED,
        place => good[place],
    };
    Some(Act::say(answer))
}

fn transaction(key: &str) -> [String; 4] {
    ["MULTI".into(), format!("SET {key} 1"), format!("INCR {key}"), "EXEC".into()]
}

fn run(client: &mut Client, key: &str) -> Vec<String> {
    let lines = transaction(key);
    client.send(&lines.each_ref().map(String::as_str));
    client.replies(4)
}

#[test]
fn a_transaction_is_one_block_on_one_connection() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    cluster.script(|call| said(&call.text, 9, ""));
    assert_eq!(
        run(&mut client, &mine),
        ["+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n:1\r\n"]
    );
    assert_eq!(cluster.seen(0), transaction(&mine));
}

#[test]
fn a_redirected_transaction_goes_to_the_other_node_as_a_whole() {
    for at in 1..4 {
        let (cluster, _gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
        cluster.script(move |call| match call.node {
            0 => said(&call.text, at, &moved),
            _ => said(&call.text, 9, ""),
        });
        assert_eq!(run(&mut client, &mine)[3], "*2\r\n+OK\r\n:1\r\n", "at {at}");
        assert_eq!(cluster.seen(1), transaction(&mine), "at {at}");
    }
}

#[test]
fn a_transaction_behind_ask_says_asking_first() {
    for at in 1..4 {
        let (cluster, _gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        let ask = format!("-ASK {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
        cluster.script(move |call| match call.node {
            0 => said(&call.text, at, &ask),
            _ => said(&call.text, 9, ""),
        });
        assert_eq!(run(&mut client, &mine)[3], "*2\r\n+OK\r\n:1\r\n", "at {at}");
        let mut want = vec!["ASKING".to_owned()];
        want.extend(transaction(&mine));
        assert_eq!(cluster.seen(1), want, "at {at}");
    }
}

#[test]
fn what_a_node_cannot_do_now_it_is_asked_again() {
    for at in 1..4 {
        for text in [
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN The cluster is down",
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
        ] {
            let (cluster, _gateway, mut client) = pair("");
            let mine = key(0, 2, 0);
            let reply = match at {
                3 => format!("-EXECABORT Transaction discarded because of: -{text}\r\n"),
                _ => format!("-{text}\r\n"),
            };
            let mut tries = 0;
            cluster.script(move |call| {
                tries += usize::from(call.text == "MULTI");
                if tries < 3 { said(&call.text, at, &reply) } else { said(&call.text, 9, "") }
            });
            let replies = run(&mut client, &mine);
            assert_eq!(replies[3], "*2\r\n+OK\r\n:1\r\n", "{text} at {at}");
            assert_eq!(cluster.count(0, "EXEC"), 3, "{text} at {at}");
        }
    }
}

#[test]
fn what_a_node_objects_to_is_told_and_nothing_goes_again() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    cluster.script(|call| said(&call.text, 2, "-OOM command not allowed\r\n"));
    assert_eq!(
        run(&mut client, &mine)[3],
        "-EXECABORT Transaction discarded because of: OOM command not allowed\r\n"
    );
    assert_eq!(cluster.count(0, "EXEC"), 1);
    // EXEC's own words are an answer too.
    cluster.script(|call| said(&call.text, 3, "-NOREPLICAS no\r\n"));
    assert_eq!(run(&mut client, &mine)[3], "-NOREPLICAS no\r\n");
}

/// Wherever the connection ends once the node may have all of it, nobody knows; and it is not sent again.
#[test]
fn a_transaction_that_may_have_run_is_not_sent_again() {
    for at in 0..4 {
        let (cluster, _gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        cluster.script(move |call| {
            let place = ["MULTI", "SET", "INCR", "EXEC"]
                .iter()
                .position(|word| call.text.starts_with(word))?;
            if place == at { Some(vec![Act::Close]) } else { said(&call.text, 9, "") }
        });
        let reply = run(&mut client, &mine).remove(3);
        assert!(reply.starts_with("-INDETERMINATE "), "at {at}: {reply}");
        assert_eq!(cluster.count(0, "MULTI"), 1, "at {at}");
        assert_eq!(client.ask("PING"), "+PONG\r\n");
    }
}

/// All that comes before the end of EXEC's reply may be cut anywhere.
#[test]
fn replies_may_come_in_any_pieces() {
    let all = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n";
    for cut in 1..all.len() {
        let (cluster, _gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        cluster.script(move |call| match call.text.as_str() {
            "EXEC" => {
                Some(vec![Act::Say(all[..cut].into()), Act::Pause, Act::Say(all[cut..].into())])
            }
            text if said(text, 9, "").is_some() => Some(Vec::new()),
            _ => None,
        });
        assert_eq!(run(&mut client, &mine)[3], "*2\r\n+OK\r\n:1\r\n", "{cut}");
    }
}

/// A connection that ends in the middle of the replies: nothing is made up of the half.
#[test]
fn replies_that_break_off_are_no_reply() {
    let all = "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:1\r\n";
    for cut in 1..all.len() {
        let (cluster, _gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        cluster.script(move |call| match call.text.as_str() {
            "EXEC" => Some(vec![Act::Say(all[..cut].into()), Act::Close]),
            text if said(text, 9, "").is_some() => Some(Vec::new()),
            _ => None,
        });
        let lines = transaction(&mine);
        client.send(&lines.each_ref().map(String::as_str));
        client.finish();
        let rest = client.rest();
        let is_told = rest.starts_with("+OK\r\n+QUEUED\r\n+QUEUED\r\n-INDETERMINATE ");
        // Who may have read a part of EXEC's reply is cut off.
        let begun = cut > all.len() - "*2\r\n+OK\r\n:1\r\n".len();
        let is_right = is_told || begun && all[..cut].starts_with(&rest);
        assert!(is_right, "{cut}: {rest:?}");
        assert_eq!(cluster.count(0, "EXEC"), 1, "{cut}");
    }
}

/// A node that does not know MULTI runs each command by itself: that must not be taken for anything else.
#[test]
fn a_node_without_transactions_is_noticed() {
    for replies in [
        ["-ERR unknown command 'MULTI'\r\n", "+OK\r\n", ":1\r\n", "-ERR EXEC without MULTI\r\n"],
        ["+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*0\r\n"],
        ["+OK\r\n", "-MOVED 1 127.0.0.1:1\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n"],
        ["+OK\r\n", "$3\r\nabc\r\n", "+QUEUED\r\n", "*0\r\n"],
    ] {
        let (cluster, gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        cluster.script(move |call| {
            let place = ["MULTI", "SET", "INCR", "EXEC"]
                .iter()
                .position(|word| call.text.starts_with(word))?;
            Some(Act::say(replies[place]))
        });
        let reply = run(&mut client, &mine).remove(3);
        assert!(reply.starts_with("-INDETERMINATE "), "{replies:?}: {reply}");
        assert_eq!(cluster.count(0, "MULTI"), 1, "{replies:?}");
        assert_eq!(gateway.client().ask("PING"), "+PONG\r\n");
    }
}

/// Requests of others on the same connection keep their replies.
#[test]
fn others_replies_stay_theirs() {
    let (cluster, gateway, mut client) = pair("");
    let (mine, others) = (key(0, 2, 0), key(0, 2, 1));
    cluster.script(|call| said(&call.text, 2, "-OOM no\r\n"));
    let mut other = gateway.client();
    for _ in 0..50 {
        let lines = transaction(&mine);
        client.send(&lines.each_ref().map(String::as_str));
        let get = format!("GET {others}");
        assert_eq!(other.ask(&get), bulk(&value_of(&others)));
        assert!(client.replies(4)[3].starts_with("-EXECABORT "));
    }
}

/// A wait goes on at the slot's new master, with the time that is left.
#[test]
fn a_wait_that_a_node_breaks_off_goes_on_elsewhere() {
    for how in ["moved", "unblocked", "closed"] {
        let (cluster, _gateway, mut client) = pair("");
        let mine = key(0, 2, 0);
        let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
        let word = format!("BLPOP {mine} 100");
        let (key_of_node, mut times) = (mine.clone(), 0);
        if how == "moved" {
            // A look at the map would find the slot at the first node again.
            cluster.freeze_map();
        }
        cluster.script(move |call| {
            if !call.text.starts_with("BLPOP ") {
                return None;
            }
            times += 1;
            Some(match (call.node, how) {
                (0, "moved") => Act::say(&moved),
                (0, "unblocked") if times == 1 => Act::say(
                    "-UNBLOCKED force unblock from blocking operation, instance state changed \
                     (master -> replica?)\r\n",
                ),
                (0, "closed") if times == 1 => vec![Act::Close],
                _ => Act::say(format!("*2\r\n{}{}", bulk(&key_of_node), bulk("v"))),
            })
        });
        let want = format!("*2\r\n{}{}", bulk(&mine), bulk("v"));
        assert_eq!(client.ask(&word), want, "{how}");
        let asked: Vec<String> = [0, 1]
            .into_iter()
            .flat_map(|node| cluster.seen(node))
            .filter(|text| text.starts_with("BLPOP "))
            .collect();
        assert_eq!(asked.len(), 2, "{how}: {asked:?}");
        let left: f64 = asked[1].rsplit(' ').next().unwrap().parse().unwrap();
        assert!(left <= 100.0 && left > 1.0, "{how}: {asked:?}");
    }
}

/// A node that was replaced while it was frozen still takes itself for a master when it wakes: what it
/// runs then is lost, so it is not asked.
#[test]
fn what_was_watched_at_a_node_that_has_been_replaced_is_changed() {
    let (cluster, gateway, mut client) = pair("[topology]\nrefresh_interval = \"100ms\"\n");
    let mine = key(0, 2, 0);
    cluster.script(|call| match call.text.as_str() {
        text if text.starts_with("WATCH ") || text == "UNWATCH" => Some(Act::say("+OK\r\n")),
        text => said(text, 9, ""),
    });
    assert_eq!(client.ask(&format!("WATCH {mine}")), "+OK\r\n");
    cluster.give_all_to(1);
    let (get, mut other) = (format!("GET {mine}"), gateway.client());
    wait_for("the new map", || {
        assert_eq!(other.ask(&get), bulk(&value_of(&mine)));
        cluster.count(1, &get) > 0
    });
    assert_eq!(run(&mut client, &mine)[3], "*-1\r\n");
    assert_eq!(cluster.count(0, "EXEC") + cluster.count(1, "EXEC"), 0);
    // It tries again, there.
    assert_eq!(client.ask(&format!("WATCH {mine}")), "+OK\r\n");
    assert_eq!(run(&mut client, &mine)[3], "*2\r\n+OK\r\n:1\r\n");
    assert_eq!(cluster.count(1, "EXEC"), 1);
}

/// `$` is the end of the stream when the request came, not when it was sent again.
#[test]
fn a_reader_that_is_sent_elsewhere_misses_nothing() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    let entry = |id: &str| format!("*1\r\n*2\r\n{}*2\r\n{}{}", bulk(id), bulk("f"), bulk("v"));
    let read = format!("*1\r\n*2\r\n{}{}", bulk(&mine), entry("6-1"));
    let (answer, mut times) = (read.clone(), 0);
    cluster.script(move |call| {
        if call.text.starts_with("XREVRANGE ") {
            return Some(Act::say(entry("5-1")));
        }
        if !call.text.starts_with("XREAD ") {
            return None;
        }
        times += 1;
        Some(if times == 1 { vec![Act::Close] } else { Act::say(&answer) })
    });
    assert_eq!(client.ask(&format!("XREAD BLOCK 0 STREAMS {mine} $")), read);
    let asked: Vec<String> =
        cluster.seen(0).into_iter().filter(|text| text.starts_with("XREAD ")).collect();
    let with = |id: &str| format!("XREAD BLOCK 0 STREAMS {mine} {id}");
    assert_eq!(asked, [with("$"), with("5-1")]);
}

/// What is no reply at all says nothing of what ran: its client is told so, not cut off for it.
#[test]
fn what_is_no_reply_to_a_watched_transaction_is_not_known() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    cluster.script(|call| match call.text.as_str() {
        text if text.starts_with("WATCH ") => Some(Act::say("+OK\r\n")),
        text => said(text, 3, "?nonsense\r\n"),
    });
    assert_eq!(client.ask(&format!("WATCH {mine}")), "+OK\r\n");
    let reply = run(&mut client, &mine).remove(3);
    assert!(reply.starts_with("-INDETERMINATE "), "{reply}");
    assert_eq!(client.ask("PING"), "+PONG\r\n");
}
