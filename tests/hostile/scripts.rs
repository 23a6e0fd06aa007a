//! Scripts that have the node say more, or less, than one reply: nobody else may notice.

use crate::support::cluster::{is_fence, key, unknown, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Client, Cluster, Gate, Gateway, pair};

const MISFIT: &str = "-ERR gateway: the reply to this script was not one reply\r\n";

/// The first node answers a script with `said`, once the gate is open; in one piece with what it
/// says to the command behind it, or in two.
fn answer_scripts(cluster: &Cluster, said: &str, gate: &Gate, together: bool) {
    let (said, gate) = (said.as_bytes().to_vec(), gate.clone());
    cluster.script(move |call| {
        let wait = Act::Wait(gate.clone());
        match call.text.as_str() {
            text if text.starts_with("EVAL") && together => Some(vec![wait]),
            text if text.starts_with("EVAL") => {
                Some(vec![wait, Act::Say(said.clone()), Act::Pause])
            }
            text if is_fence(text) && together => {
                Some(Act::say([said.clone(), unknown(text).into()].concat()))
            }
            _ => None,
        }
    });
}

/// Requests of another client that are on their way behind the script.
struct Others {
    client: Client,
    keys: Vec<String>,
}

impl Others {
    fn send(gateway: &Gateway) -> Others {
        let keys: Vec<String> = (0..5).map(|n| key(0, 2, n)).collect();
        let mut client = gateway.client();
        // All are read together, so that the others are on their way when the first is answered.
        let first = [format!("GET {}", key(1, 2, 0))];
        let gets = keys.iter().map(|key| format!("GET {key}"));
        let requests: Vec<String> = first.into_iter().chain(gets).collect();
        client.send(&requests.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(client.reply(), bulk(&value_of(&key(1, 2, 0))));
        Others { client, keys }
    }

    fn assert_answered(&mut self, case: &str) {
        for key in &self.keys {
            assert_eq!(self.client.reply(), bulk(&value_of(key)), "{case:?}");
        }
        let last = self.client.ask(&format!("GET {}", self.keys[0]));
        assert_eq!(last, bulk(&value_of(&self.keys[0])), "{case:?}");
    }
}

/// What the script's client gets; empty when it is cut off.
fn answered_with(said: &str, together: bool) -> (Gateway, String) {
    let (cluster, gateway, mut client) = pair("");
    let gate = Gate::default();
    answer_scripts(&cluster, said, &gate, together);
    let eval = format!("EVAL script 1 {}", key(0, 2, 0));
    client.send(&[&eval]);
    cluster.wait_for(0, &eval, 1);
    let mut others = Others::send(&gateway);
    gate.open();
    let got = if together { client.reply() } else { client.reply_or_end() };
    others.assert_answered(said);
    assert_eq!(cluster.count(0, &eval), 1);
    assert!(!gateway.log().contains("lost a node connection"), "{said:?}");
    (gateway, got)
}

fn warnings(gateway: &Gateway) -> usize {
    gateway.log().matches("the reply to a script was not one reply").count()
}

#[test]
fn what_follows_a_scripts_reply_reaches_nobody() {
    for (first, more) in [
        ("-ERR one\r\n", "+two\r\n"),
        ("-ERR one\r\n", "$100\r\n"),
        ("+OK\r\n", "*1000000\r\n"),
        ("*1\r\n:1\r\n", "garbage"),
        (":1\r\n", "-NOPERM no\r\n"),
        ("-ERR one\r\n", "-ERR unknown command '0123456789abcdef0123456789abcdef'\r\n"),
        ("$2\r\nab\r\n", "-ERR unknown comm"),
    ] {
        for together in [true, false] {
            let (gateway, got) = answered_with(&format!("{first}{more}"), together);
            assert_eq!((got.as_str(), warnings(&gateway)), (first, 1), "{more:?} {together}");
        }
    }
}

#[test]
fn half_a_reply_of_a_script_takes_nothing_from_others() {
    for said in ["", "$100\r\n", "$100\r\nhalf", "*2\r\n:1\r\n", "-ERR half", "garbage\r\n"] {
        let (gateway, got) = answered_with(said, true);
        assert_eq!((got.as_str(), warnings(&gateway)), (MISFIT, 1), "{said:?}");
        // What has been passed on already cannot be taken back: then the client is cut off.
        let (gateway, got) = answered_with(said, false);
        assert!(got.is_empty() || got == MISFIT, "{said:?}: {got:?}");
        assert_eq!(warnings(&gateway), 1, "{said:?}");
    }
}

#[test]
fn a_scripts_reply_may_be_cut_anywhere() {
    let (cluster, gateway, mut client) = pair("");
    let mut other = gateway.client();
    let (here, array) = (key(0, 2, 0), "*3\r\n$3\r\na\r\n\r\n:1\r\n$-1\r\n");
    for (said, reply) in
        [(array, array), ("-ERR no\r\n", "-ERR no\r\n"), ("-ERR -\r\n+X\r\n-ERR u", "-ERR -\r\n")]
    {
        for cut in 0..said.len() + unknown(&"0".repeat(32)).len() {
            cluster.script(move |call| match call.text.as_str() {
                text if text.starts_with("EVAL") => Some(Vec::new()),
                text if is_fence(text) => {
                    let all = said.to_owned() + &unknown(text);
                    let (begin, end) = all.split_at(cut);
                    Some(vec![Act::Say(begin.into()), Act::Pause, Act::Say(end.into())])
                }
                _ => None,
            });
            client.send(&[&format!("EVAL script 1 {here}"), &format!("GET {here}")]);
            assert_eq!(other.ask(&format!("GET {here}")), bulk(&value_of(&here)), "{said} {cut}");
            assert_eq!(client.replies(2), [reply, &bulk(&value_of(&here))], "{said} {cut}");
        }
    }
    assert!(!gateway.log().contains("lost a node connection"));
}

#[test]
fn a_script_that_was_declined_has_a_new_fence_when_it_is_sent_again() {
    for more in ["", "+more\r\n", "$100\r\n"] {
        let (cluster, gateway, mut client) = pair("");
        let refusal = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
        let said = format!("{refusal}{more}");
        cluster.script(move |call| {
            let said = if call.before == 0 { said.as_str() } else { ":1\r\n" };
            call.text.starts_with("EVAL").then(|| Act::say(said))
        });
        let here = key(0, 2, 0);
        assert_eq!(client.ask(&format!("EVAL script 1 {here}")), ":1\r\n", "{more:?}");
        assert_eq!(client.ask(&format!("GET {here}")), bulk(&value_of(&here)));
        assert_eq!(warnings(&gateway), usize::from(!more.is_empty()));
        assert!(!gateway.log().contains("lost a node connection"));
    }
}

#[test]
fn pushes_before_a_scripts_reply_are_dropped() {
    let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    let (_gateway, got) = answered_with(&format!("{push}{push}:1\r\n"), true);
    assert_eq!(got, ":1\r\n");
}

#[test]
fn one_node_of_several_may_answer_too_much() {
    let odd = "-ERR gateway: a node does not say which slots";
    for (said, got) in [
        ("$3\r\nsha\r\n+X\r\n", odd),
        ("+X\r\n$3\r\nsha\r\n", odd),
        ("-ERR no\r\n+X\r\n", "-ERR no\r\n"),
        ("-ERR no\r\n$100\r\n", "-ERR no\r\n"),
        ("-ERR no\r\n*7\r\n", "-ERR no\r\n"),
    ] {
        let (cluster, _gateway, mut client) = pair("");
        let usual = "$3\r\nsha\r\n";
        cluster.script(move |call| {
            let said = if call.node == 0 { said } else { usual };
            call.text.starts_with("SCRIPT").then(|| Act::say(said))
        });
        let (here, there) = (key(0, 2, 0), key(1, 2, 0));
        client.send(&["SCRIPT LOAD x", &format!("GET {here}"), &format!("GET {there}")]);
        let replies = client.replies(3);
        assert!(replies[0].starts_with(got), "{said:?}: {replies:?}");
        assert_eq!(replies[1..], [bulk(&value_of(&here)), bulk(&value_of(&there))]);
    }
}

/// They run at one node; the log names each once, by its SHA1 and never by its text.
#[test]
fn scripts_without_keys_are_told_of_once() {
    let (_cluster, gateway, mut client) = pair("");
    let text = "return redis.call('dbsize') -- s3cret";
    let sha1 = sha1_smol::Sha1::from(text).digest().to_string();
    let mut send = |words: &[&str]| {
        client.send_raw(&request(words));
        assert_eq!(client.reply(), "+OK\r\n", "{words:?}");
    };
    for _ in 0..3 {
        send(&["EVAL", text, "0"]);
        send(&["EVAL_RO", "return 1", "0"]);
        send(&["FCALL", "my_function", "0"]);
        send(&["EVALSHA", &sha1, "0"]);
        // This one has a key, and sees what it may.
        send(&["EVAL", text, "1", "a"]);
    }
    let log = gateway.log();
    let told = format!("script=\"{sha1}\" command=\"dbsize\"");
    assert_eq!(log.matches(&told).count(), 1, "{log}");
    assert_eq!(log.matches("script=\"my_function\"").count(), 1, "{log}");
    assert_eq!(log.matches("script=").count(), 2, "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    let metrics = gateway.page("/metrics").1;
    assert!(metrics.contains("\nslotway_keyless_scripts_total 12\n"), "{metrics}");
}

#[test]
fn scripts_without_keys_are_refused_where_that_is_configured() {
    let settings = "[routing]\nkeyless_scripts = \"refuse\"\n";
    let (cluster, gateway, mut client) = pair(settings);
    for words in [
        ["EVAL", "return 1", "0"],
        ["EVAL_RO", "return 1", "0"],
        ["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
        ["EVALSHA_RO", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
        ["FCALL", "f", "0"],
        ["FCALL_RO", "f", "0"],
    ] {
        client.send_raw(&request(&words));
        let said = client.reply();
        let want = format!("-ERR gateway: {} is refused: it names no key", words[0]);
        assert!(said.starts_with(&want) && said.contains("keyless_scripts"), "{said}");
    }
    client.send_raw(&request(&["EVAL", "return 1", "1", "a"]));
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(cluster.calls().iter().filter(|call| call.text.contains("EVAL")).count(), 1);
    assert!(gateway.page("/metrics").1.contains("\nslotway_keyless_scripts_total 0\n"));
}
