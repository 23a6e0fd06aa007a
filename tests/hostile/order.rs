//! Replies come in the order of the requests, and the requests of one key reach its node in the
//! order in which they were sent, whatever nodes say on the way.

use crate::support::cluster::{key, slot, value_of};
use crate::support::wire::bulk;
use crate::support::{Act, Gate, pair, wait_for};

/// A pipeline whose middle is refused `times` times with `error`, by the node that then takes it.
/// Nothing of this key is served before the first of these has been sent often enough.
fn refused_middle(error: &'static str, times: usize) {
    let (cluster, _gateway, mut client) = pair("");
    let (mine, other) = (key(0, 2, 0), key(1, 2, 0));
    let refused = format!("SET {mine} 1");
    let second = format!("SET {mine} 2");
    let (first_word, word) = (refused.clone(), mine.clone());
    let mut left = times;
    cluster.script(move |call| {
        let is_first = call.text == first_word;
        if left == 0 || !call.text.contains(&word) {
            return None;
        }
        left -= usize::from(is_first);
        Some(Act::say(format!("-{error}\r\n")))
    });
    let other_get = format!("GET {other}");
    client.send(&[&other_get, &refused, &second, &format!("GET {mine}"), &other_get]);
    let want = [bulk(&value_of(&other)), "+OK\r\n".into(), "+OK\r\n".into()];
    assert_eq!(client.replies(3), want, "{error}");
    assert_eq!(client.replies(2), [bulk(&value_of(&mine)), bulk(&value_of(&other))]);
    let seen = cluster.seen(0);
    let last_of = |text: &str| seen.iter().rposition(|seen| seen == text).unwrap();
    assert!(last_of(&refused) < last_of(&second), "{error}: {seen:?}");
    assert_eq!(cluster.count(0, &refused), times + 1, "{error}");
}

#[test]
fn after_refusals_the_order_is_kept() {
    for error in [
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN The cluster is down",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    ] {
        refused_middle(error, 3);
    }
}

/// What was refused must not run behind a later command on its slot that was already on its way.
#[test]
fn a_refused_command_that_was_overtaken_is_not_sent_again() {
    let (cluster, _gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    let (refused, second) = (format!("SET {mine} 1"), format!("SET {mine} 2"));
    let word = refused.clone();
    cluster.script(move |call| {
        (call.text == word).then(|| Act::say("-TRYAGAIN Multiple keys request\r\n"))
    });
    client.send(&[&refused, &second, &format!("GET {}", key(1, 2, 0))]);
    let want = ["-TRYAGAIN Multiple keys request\r\n", "+OK\r\n"];
    assert_eq!(client.replies(2), want);
    client.replies(1);
    let seen = cluster.seen(0).into_iter().filter(|text| text.contains(&mine));
    assert_eq!(seen.collect::<Vec<_>>(), [refused, second]);
}

#[test]
fn after_moved_the_target_sees_the_order_of_the_client() {
    let (cluster, _gateway, mut client) = pair("");
    let (mine, other) = (key(0, 2, 0), key(0, 2, 1));
    let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
    let word = mine.clone();
    cluster.script(move |call| {
        (call.node == 0 && call.text.contains(&word)).then(|| Act::say(&moved))
    });
    let sets: Vec<String> = (0..50).map(|n| format!("SET {mine} {n}")).collect();
    let mut requests: Vec<&str> = sets.iter().map(String::as_str).collect();
    let get = format!("GET {other}");
    requests.insert(25, &get);
    client.send(&requests);
    let mut want = vec!["+OK\r\n".to_owned(); 50];
    want.insert(25, bulk(&value_of(&other)));
    assert_eq!(client.replies(51), want);
    assert_eq!(cluster.seen(1).into_iter().filter(|s| s.contains(&mine)).collect::<Vec<_>>(), sets);
}

#[test]
fn asking_goes_right_before_its_command_on_the_same_connection() {
    let (cluster, gateway, mut client) = pair("");
    let mine = key(0, 2, 0);
    let ask = format!("-ASK {} 127.0.0.1:{}\r\n", slot(&mine), cluster.port(1));
    let word = mine.clone();
    cluster
        .script(move |call| (call.node == 0 && call.text.contains(&word)).then(|| Act::say(&ask)));
    let sets: Vec<String> = (0..20).map(|n| format!("SET {mine} {n}")).collect();
    let requests: Vec<&str> = sets.iter().map(String::as_str).collect();
    // Another client's commands on the same connection must not come between the two.
    let (mut busy, there) = (gateway.client(), key(1, 2, 0));
    let gets = vec![format!("GET {there}"); 200];
    let noise: Vec<&str> = gets.iter().map(String::as_str).collect();
    busy.send(&noise);
    client.send(&requests);
    assert_eq!(client.replies(20), vec!["+OK\r\n"; 20]);
    assert_eq!(busy.replies(200), vec![bulk(&value_of(&there)); 200]);
    let calls: Vec<_> = cluster.calls().into_iter().filter(|call| call.node == 1).collect();
    let mut asked = Vec::new();
    for (at, call) in calls.iter().enumerate().filter(|(_, call)| call.text == "ASKING") {
        let next = calls[at + 1..].iter().find(|next| next.connection == call.connection).unwrap();
        asked.push(next.text.clone());
    }
    assert_eq!(asked, sets);
    // The map is not changed by ASK: the first node is asked every time.
    assert_eq!(cluster.count(0, &sets[0]) + cluster.count(0, &sets[19]), 2);
}

#[test]
fn later_requests_wait_for_the_one_in_trouble_and_other_sessions_do_not() {
    let (cluster, gateway, mut client) = pair("");
    let (stuck, other) = (key(0, 2, 0), key(1, 2, 0));
    let gate = Gate::default();
    let (word, opened) = (format!("SET {stuck} 1"), gate.clone());
    let refused = word.clone();
    cluster.script(move |call| {
        let is_refused = call.text == refused && !opened.is_open();
        is_refused.then(|| Act::say("-TRYAGAIN not yet\r\n"))
    });
    client.send(&[&word]);
    cluster.wait_for(0, &word, 1);
    let later = format!("SET {other} later");
    client.send(&[&later]);
    // The request has been refused again and again: there was time for the later one to leave.
    cluster.wait_for(0, &word, 20);
    let mut second = gateway.client();
    assert_eq!(second.ask(&format!("GET {other}")), bulk(&value_of(&other)));
    assert_eq!(second.ask(&format!("SET {stuck} 2")), "+OK\r\n");
    assert_eq!(cluster.count(1, &later), 0);
    gate.open();
    assert_eq!(client.replies(2), ["+OK\r\n", "+OK\r\n"]);
    assert_eq!(cluster.count(1, &later), 1);
}

#[test]
fn a_slow_command_holds_up_its_own_node_only_and_reorders_nothing() {
    let (cluster, gateway, mut slow) = pair("");
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    let gate = Gate::default();
    let (word, wait) = (format!("SET {here} slow"), gate.clone());
    cluster.script(move |call| {
        (call.text == word).then(|| vec![Act::Wait(wait.clone()), Act::Say(b"+slow\r\n".to_vec())])
    });
    slow.send(&[&format!("SET {here} slow"), &format!("GET {there}"), &format!("GET {here}")]);
    cluster.wait_for(0, &format!("SET {here} slow"), 1);
    let mut behind = gateway.client();
    behind.send(&[&format!("GET {here}"), &format!("GET {there}")]);
    let mut beside = gateway.client();
    for n in 0..100 {
        let text = format!("SET {there} {n}");
        assert_eq!(beside.ask(&text), "+OK\r\n");
    }
    cluster.wait_for(1, &format!("GET {there}"), 2);
    gate.open();
    assert_eq!(
        slow.replies(3),
        ["+slow\r\n".into(), bulk(&value_of(&there)), bulk(&value_of(&here))]
    );
    assert_eq!(behind.replies(2), [bulk(&value_of(&here)), bulk(&value_of(&there))]);
    wait_for("nothing was sent twice", || cluster.count(0, &format!("SET {here} slow")) == 1);
}
