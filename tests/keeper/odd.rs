//! Nodes that are frozen, odd or hostile: the keeper says so, and goes on with the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;

use crate::format_check::Exposed;
use crate::nodes::{Fleet, Keeper, until};

/// Somebody who answers every request with the same bytes, until the test is over.
fn answering(with: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|count| count > 0) {
                    if stream.write_all(with).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn odd_nodes_are_told_by_what_is_odd() {
    let fleet = Fleet::start(2);
    for (with, reason) in [
        (&b""[..], "no answer in time"),
        (b"+OK\r\n", "it answers something else than text"),
        (b"$0\r\n\r\n", "INFO does not tell of a cluster"),
        (b"$17\r\ncluster_enabled:0\r\n", "it is not in cluster mode"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not RESP"),
        (b"*1000000000\r\n", "no answer in time"),
        (b"-NOPERM \x1b[31mno\r\n", "NOPERM ?[31mno"),
        (b"-LOADING soon\r\n", "it reads its data"),
        (b"$-1\r\n", "it answers something else than text"),
        (b"$9999999999\r\n", "no answer in time"),
    ] {
        let odd = answering(with);
        let list = format!("{},{odd}", fleet.list());
        let mut keeper = Keeper::start(&fleet, &list, &["--replicas", "0", "--timeout", "200ms"]);
        keeper.wait_for_reason(&format!("node {odd}: "));
        keeper.wait_for_reason(reason);
        assert_eq!(keeper.get("/livez").status, 200);
    }
    assert!(fleet.nodes.iter().all(|node| node.say("CLUSTER NODES").lines().count() == 1));
}

/// A frozen node accepts connections and says nothing: the others are looked after all the same.
#[test]
fn a_frozen_node_does_not_hold_up_the_others() {
    let fleet = Fleet::start(6);
    let mut keeper = Keeper::start(&fleet, &fleet.list(), &["--timeout", "5s"]);
    keeper.wait_until_whole();
    fleet.nodes[5].signal(Signal::STOP);
    keeper.wait_for_reason(&fleet.nodes[5].address.to_string());
    // The first look took its whole patience, the next ones do not.
    until("a quick round", || {
        let exposed = Exposed::read(&keeper.get("/metrics").body);
        let took = exposed.get("slotway_keeper_last_round_seconds", &[]).unwrap();
        took > 0.0 && took < 2.5
    });
    let rounds = |keeper: &mut Keeper| {
        Exposed::read(&keeper.get("/metrics").body).get("slotway_keeper_rounds_total", &[]).unwrap()
    };
    let before = rounds(&mut keeper);
    until("more rounds", || rounds(&mut keeper) > before + 3.0);
    fleet.nodes[5].signal(Signal::CONT);
    keeper.wait_until_whole();
    fleet.assert_whole();
}
