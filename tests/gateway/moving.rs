//! Clients go from one worker to another and notice nothing. The gateway runs within the test here,
//! so that the test can say when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use crate::support::client::{Client, put, request};
use crate::support::inside::{Inside, Over, WORKERS};
use crate::support::reply::Reply;
use crate::support::site::shared;
use crate::support::{noise, until};

fn start(worker_scale_up_percent: usize) -> Inside {
    Inside::start(shared().cluster.nodes[0], worker_scale_up_percent)
}

fn id(client: &mut Client) -> u64 {
    client.line("CLIENT ID").int() as u64
}

#[test]
fn a_client_takes_along_what_it_has_said() {
    let inside = start(0);
    let mut clients: Vec<Client> = (0..7).map(|_| inside.client()).collect();
    let mut ids = Vec::new();
    for (n, client) in clients.iter_mut().enumerate() {
        ids.push(id(client));
        assert_eq!(client.line(&format!("CLIENT SETNAME moving-{n}")), Reply::ok());
        if n % 2 == 1 {
            client.line("HELLO 3");
        }
        assert_eq!(client.line(&format!("HSET moving:{n} field 0")), Reply::Int(1));
    }
    for (round, in_use) in [1, 3, 2, 1, 2, 3].into_iter().enumerate() {
        inside.gateway.assigner.set_in_use(in_use);
        for (n, client) in clients.iter_mut().enumerate() {
            assert_eq!(id(client), ids[n]);
            assert_eq!(client.line("CLIENT GETNAME"), Reply::bulk(format!("moving-{n}")));
            let (field, value) = (Reply::bulk("field"), Reply::bulk(round.to_string()));
            client.line(&format!("HSET moving:{n} field {round}"));
            let all = match n % 2 {
                1 => Reply::Map(vec![(field, value)]),
                _ => Reply::Array(vec![field, value]),
            };
            assert_eq!(client.line(&format!("HGETALL moving:{n}")), all);
        }
        until("all are where they belong", || inside.are_spread(clients.len()));
        assert_eq!(inside.gateway.clients.count(), clients.len());
    }
    // One that is silent stays, and is found there.
    inside.gateway.assigner.set_in_use(1);
    assert_eq!(clients[0].line(&format!("CLIENT KILL ID {}", ids[1])), Reply::Int(1));
    assert!(clients[1].is_closed());
    until("it has gone", || inside.gateway.clients.count() == clients.len() - 1);
    clients[0].line("DEL moving:0 moving:1 moving:2 moving:3 moving:4 moving:5 moving:6");
}

#[test]
fn half_a_request_moves_too() {
    let inside = start(0);
    for len in [3, 5_000, 300_000, 3_000_000] {
        inside.gateway.assigner.set_in_use(1);
        let mut clients = [inside.client(), inside.client()];
        let value = noise(len as u64, len);
        let mut bytes = request("PING");
        put(&mut bytes, &[b"SET", &b"moving:half"[..], &value]);
        put(&mut bytes, &["GET", "moving:half"]);
        // Wherever they are cut: the halves come to different workers.
        for (round, cut) in [1, 20, bytes.len() / 2, bytes.len() - 3].into_iter().enumerate() {
            let in_use = 1 + round % 2;
            let before = inside.received();
            for client in &mut clients {
                client.send(&bytes[..cut]);
            }
            let sent = (clients.len() * cut) as u64;
            until("the first halves are there", || inside.received() == before + sent);
            inside.gateway.assigner.set_in_use(3 - in_use);
            for client in &mut clients {
                let replies = client.exchange(&bytes[cut..], 3);
                assert_eq!(replies[0].0, Reply::Simple("PONG".into()));
                assert_eq!(replies[1].0, Reply::ok());
                assert!(replies[2].0 == Reply::bulk(&value), "the value came changed");
                client.assert_in_step();
            }
            until("all are where they belong", || inside.are_spread(clients.len()));
        }
        drop(clients);
        until("they have gone", || inside.gateway.clients.count() == 0);
    }
}

#[test]
fn a_client_that_wants_no_replies_still_wants_none() {
    let inside = start(0);
    let mut clients = [inside.client(), inside.client()];
    for (n, client) in clients.iter_mut().enumerate() {
        client.line(&format!("DEL moving:mute:{n}"));
        client.send(&request("CLIENT REPLY OFF"));
    }
    for round in 0..20 {
        inside.gateway.assigner.set_in_use(1 + round % 2);
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(&request(&format!("INCR moving:mute:{n}")).repeat(100));
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.line("CLIENT REPLY ON"), Reply::ok());
        assert_eq!(client.line(&format!("GETDEL moving:mute:{n}")), Reply::bulk("2000"));
        // What is skipped is skipped on the other worker.
        client.send(&request("CLIENT REPLY SKIP"));
        assert_eq!(inside.gateway.assigner.in_use(), 2);
    }
    until("all are where they belong", || inside.are_spread(clients.len()));
    inside.gateway.assigner.set_in_use(1);
    for client in &mut clients {
        client.send(&request("ECHO unheard"));
        client.assert_in_step();
    }
    until("all are where they belong", || inside.are_spread(clients.len()));
}

/// Requests that each of these clients has under way at any time.
const AHEAD: usize = 50;

#[test]
fn clients_that_never_rest_move_and_lose_nothing() {
    let inside = start(0);
    let over = AtomicBool::new(false);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (mut client, over, tell) = (inside.client(), &over, tell.clone());
            scope.spawn(move || {
                tell.send(()).unwrap();
                let increment = request(&format!("INCR moving:count:{n}"));
                client.line(&format!("DEL moving:count:{n}"));
                client.send(&increment.repeat(AHEAD));
                let mut last = 0;
                while !over.load(Ordering::Relaxed) {
                    // Half of them come back while the other half is under way.
                    for _ in 0..AHEAD / 2 {
                        last += 1;
                        assert_eq!(client.reply(), Reply::Int(last));
                    }
                    client.send(&increment.repeat(AHEAD / 2));
                }
                for _ in 0..AHEAD {
                    last += 1;
                    assert_eq!(client.reply(), Reply::Int(last));
                }
                assert_eq!(
                    client.line(&format!("GETDEL moving:count:{n}")),
                    Reply::bulk(last.to_string())
                );
            });
        }
        (0..4).for_each(|_| told.recv().unwrap());
        let _over = Over(&over);
        for round in 0..60 {
            inside.gateway.assigner.set_in_use(1 + round % WORKERS);
            until("all are where they belong", || inside.are_spread(4));
        }
    });
}

/// As where an application has a busy and a silent connection each time.
#[test]
fn those_that_are_busy_come_to_different_workers() {
    let inside = start(0);
    inside.gateway.assigner.set_in_use(1);
    let mut clients: Vec<Client> = (0..8).map(|_| inside.client()).collect();
    until("all have come together", || inside.placed() == [8, 0, 0]);
    inside.gateway.assigner.set_in_use(2);
    for client in clients.iter_mut().step_by(2) {
        client.assert_in_step();
    }
    until("two of the four have moved", || inside.placed() == [6, 2, 0]);
}

#[test]
fn workers_take_part_when_others_are_full_and_rest_when_they_are_not_needed() {
    // Full almost at once, so that this small load fills it, and an idle one does not.
    let inside = start(5);
    assert_eq!(inside.gateway.assigner.in_use(), 1);
    let mut clients: Vec<Client> = (0..WORKERS).map(|_| inside.client()).collect();
    let pings = request("PING").repeat(1000);
    until("all workers take part", || {
        for client in &mut clients {
            client.exchange(&pings, 1000);
        }
        inside.gateway.assigner.in_use() == WORKERS
    });
    for client in &mut clients {
        client.assert_in_step();
    }
    until("all are where they belong", || inside.placed() == [1, 1, 1]);
    until("one is enough", || inside.gateway.assigner.in_use() == 1);
    for client in &mut clients {
        client.assert_in_step();
    }
    until("all have come together again", || inside.placed() == [3, 0, 0]);
}
