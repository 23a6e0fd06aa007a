//! One memory budget for all clients: what happens when many hold much at once.

use std::io::Write;

use crate::support::cluster::{key, value_of};
use crate::support::wire::{bulk, request};
use crate::support::{Act, Client, Cluster, Gateway, pair, wait_for};

const BUDGET_MIB: usize = 64;
const BUDGET: &str = "[limits]\nmemory_max = \"64mb\"\n";
/// What the program has beside the budget: its code, the reading buffer, what the allocator keeps.
const BESIDE_MIB: usize = 128;
const VALUE_BYTES: usize = 4 << 20;

/// Node 0 answers every GET with a large value.
fn large_values(cluster: &Cluster) -> String {
    let frame = bulk(&"v".repeat(VALUE_BYTES));
    let said = frame.clone();
    cluster.script(move |call| {
        (call.node == 0 && call.text.starts_with("GET ")).then(|| Act::say(&said))
    });
    frame
}

fn cut_for_memory(gateway: &Gateway) -> usize {
    let cut = gateway.metric("slotway_client_disconnects_total", &["reason=\"memory\""]);
    usize::try_from(cut).unwrap()
}

/// Serves a good client until `done`; the most memory that the gateway has meanwhile.
fn serve_until(what: &str, gateway: &Gateway, mut done: impl FnMut() -> bool) -> usize {
    let (there, mut good, mut most) = (key(1, 2, 0), gateway.client(), 0);
    wait_for(what, || {
        for _ in 0..10 {
            assert_eq!(good.ask(&format!("SET {there} 1")), "+OK\r\n");
            assert_eq!(good.ask(&format!("GET {there}")), bulk(&value_of(&there)));
        }
        most = most.max(gateway.memory_mib());
        done()
    });
    most
}

/// Every client that was cut off for memory's sake is named in the log, and it is one of these.
fn assert_told(gateway: &Gateway, clients: &[Client]) {
    // More may be cut off between the two looks, but not for ever.
    wait_for("all their ends are told", || {
        gateway.log().matches("too much memory").count() == cut_for_memory(gateway)
    });
    let addresses: Vec<String> = clients
        .iter()
        .map(|client| format!("address={} ", client.stream.local_addr().unwrap()))
        .collect();
    let log = gateway.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("too much memory")).collect();
    assert!(!lines.is_empty(), "{log}");
    for line in &lines {
        assert!(line.contains("memory_max=67108864"), "{line}");
        let known = addresses.iter().any(|address| line.contains(address.as_str()));
        assert!(known, "it is none of them: {line}");
    }
}

#[test]
fn clients_that_do_not_read_share_the_budget() {
    let (cluster, gateway, first) = pair(BUDGET);
    drop(first);
    assert_eq!(gateway.metric("slotway_memory_max_bytes", &[]), (BUDGET_MIB as u64) << 20);
    large_values(&cluster);
    let get = request(&["GET", &key(0, 2, 0)]);
    let mut clients: Vec<Client> = (0..40).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| client.send_raw(&get.repeat(10)));
    // So much that they cannot all have stayed.
    let most = serve_until("some are cut off", &gateway, || cut_for_memory(&gateway) >= 5);
    println!("40 clients that do not read, budget {BUDGET_MIB} MiB: peak {most} MiB");
    assert!(most < BUDGET_MIB + BESIDE_MIB, "{most} MiB");
    assert_told(&gateway, &clients);
    drop(clients);
    wait_for("what they held is given back", || {
        gateway.clients() == 0 && gateway.metric("slotway_memory_used_bytes", &[]) < 2 << 20
    });
}

#[test]
fn half_requests_share_the_budget_and_whole_ones_get_through() {
    let (_cluster, gateway, first) = pair(BUDGET);
    drop(first);
    let here = key(0, 2, 0);
    let set = request(&["SET", &here, &"v".repeat(4 << 20)]);
    let clients: Vec<Client> = (0..60).map(|_| gateway.client()).collect();
    let (half, mut whole) = (&set[..2 << 20], gateway.client());
    let mut sender = whole.stream.try_clone().unwrap();
    // Smaller than what the others hold: it is none of those that have to go.
    let small = request(&["SET", &here, &"v".repeat(512 << 10)]);
    let most = std::thread::scope(|scope| {
        for client in &clients {
            // Those that are not read from cannot send: in the end they are cut off, or read on.
            scope.spawn(move || (&client.stream).write_all(half));
        }
        let paused = || gateway.metric("slotway_memory_paused_clients", &[]) > 0;
        let most = serve_until("some are paused", &gateway, paused);
        let sent = scope.spawn(|| sender.write_all(&small));
        let later = serve_until("a whole request is in", &gateway, || sent.is_finished());
        sent.join().unwrap().unwrap();
        assert_eq!(whole.reply(), "+OK\r\n");
        most.max(later)
    });
    println!("60 half requests of 2 MiB, budget {BUDGET_MIB} MiB: peak {most} MiB");
    assert!(most < BUDGET_MIB + BESIDE_MIB, "{most} MiB");
    assert!(cut_for_memory(&gateway) > 0);
    assert_told(&gateway, &clients);
}

#[test]
fn within_the_budget_nobody_is_cut_off() {
    let (cluster, gateway, first) = pair("[limits]\nmemory_max = \"1gb\"\n");
    drop(first);
    let frame = large_values(&cluster);
    let get = request(&["GET", &key(0, 2, 0)]);
    let mut clients: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| client.send_raw(&get.repeat(3)));
    let set = request(&["SET", &key(0, 2, 1), &"v".repeat(2 << 20)]);
    let mut half = gateway.client();
    half.send_raw(&set[..1 << 20]);
    serve_until("all that was asked for is there", &gateway, || {
        cluster.count(0, &format!("GET {}", key(0, 2, 0))) >= 30
            && gateway.metric("slotway_memory_used_bytes", &[]) > 32 << 20
    });
    for client in &mut clients {
        for _ in 0..3 {
            assert!(client.reply() == frame, "a reply is not what the node sent");
        }
    }
    half.send_raw(&set[1 << 20..]);
    assert_eq!(half.reply(), "+OK\r\n");
    assert_eq!(cut_for_memory(&gateway), 0);
    assert!(!gateway.log().contains("too much memory"));
}

/// What CLIENT LIST and INFO say of two clients that hold much, each on another side.
#[test]
fn it_is_told_who_holds_how_much() {
    let (cluster, gateway, mut other) = pair("");
    let frame = bulk(&"v".repeat(32 << 20));
    cluster.script(move |call| (call.node == 0).then(|| Act::say(&frame)));
    let (mut half, mut deaf) = (gateway.client(), gateway.client());
    let set = request(&["SET", &key(1, 2, 0), &"v".repeat(4 << 20)]);
    assert_eq!(half.ask("CLIENT SETNAME half"), "+OK\r\n");
    assert_eq!(deaf.ask("CLIENT SETNAME deaf"), "+OK\r\n");
    half.send_raw(&set[..1 << 20]);
    deaf.send(&[&format!("GET {}", key(0, 2, 0))]);
    let mut list = String::new();
    let field = |list: &str, name: &str, field: &str| -> usize {
        let line = list.lines().find(|line| line.contains(&format!(" name={name} "))).unwrap();
        let start = format!("{field}=");
        let word = line.split(' ').find_map(|word| word.strip_prefix(&start));
        word.unwrap().parse().unwrap()
    };
    // Buffers tell of themselves in steps of 16 KiB; the system keeps a part of a reply.
    wait_for("both are told", || {
        list = other.ask("CLIENT LIST");
        field(&list, "half", "qbuf") > (1 << 20) - (32 << 10)
            && field(&list, "deaf", "omem") > 16 << 20
    });
    // The buffer counts, which has some room to grow.
    assert!(field(&list, "half", "qbuf") < (1 << 20) + (256 << 10), "{list}");
    assert!(field(&list, "deaf", "omem") <= 33 << 20, "{list}");
    assert_eq!((field(&list, "half", "omem"), field(&list, "deaf", "qbuf")), (0, 0), "{list}");
    for name in ["half", "deaf"] {
        let all = field(&list, name, "qbuf") + field(&list, name, "omem");
        let total = field(&list, name, "tot-mem");
        assert!(total > all && total < all + (64 << 10), "{list}");
    }
    let own = other.ask("INFO gateway");
    let used = own.lines().find_map(|line| line.strip_prefix("gateway_memory_used:")).unwrap();
    assert!(used.trim().parse::<usize>().unwrap() > 16 << 20, "{own}");
    // In the end both get what they came for, and hold nothing any more.
    half.send_raw(&set[1 << 20..]);
    assert_eq!(half.reply(), "+OK\r\n");
    assert_eq!(deaf.reply().len(), (32 << 20) + "$33554432\r\n\r\n".len());
    wait_for("nobody holds anything", || {
        list = other.ask("CLIENT LIST");
        // Where the words of a request were is kept for the next one.
        let is_little = |name| field(&list, name, "qbuf") + field(&list, name, "omem") < 1024;
        is_little("half") && is_little("deaf")
    });
}
