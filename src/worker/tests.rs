//! What becomes of a client whose worker is not there. Owns cases only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::*;

const TIMEOUT: Duration = Duration::from_secs(60);

fn parts(workers: usize) -> Parts {
    let mut config = Config::default();
    config.limits.clients_max = 10;
    let config = Arc::new(config);
    let cluster = ClusterHandle::new(&config.limits);
    let rows = cluster.topology.table().load().len();
    Parts {
        clients: Arc::new(Clients::new(config.limits.clients_max, config.timeouts.auth_delay)),
        stats: (0..workers).map(|_| Arc::new(WorkerStats::new(rows))).collect(),
        assigner: Arc::new(Assigner::new(workers, 1)),
        held: Arc::new(HoldBudget::new(config.limits.held_bytes_max)),
        budget: Arc::new(crate::memory::Budget::new(usize::MAX)),
        allowed: Arc::default(),
        databases: Arc::new(crate::database::Databases::new(16, "db")),
        monitors: Arc::default(),
        cluster,
        config,
    }
}

/// Both ends of a connection.
fn connection() -> (TcpStream, SocketAddr, DetachedStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let address = server.local_addr().unwrap();
    (client, address, DetachedStream::Tcp(server))
}

/// Waits until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < TIMEOUT, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ping(client: &mut TcpStream) -> String {
    client.write_all(b"PING\r\n").unwrap();
    let mut reply = [0; 7];
    client.read_exact(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn a_client_stays_when_its_worker_has_ended_until_it_belongs_to_another() {
    let parts = parts(3);
    let mut workers = start_all(&parts).unwrap();
    drop(workers.remove(1));
    let (mut client, address, server) = connection();
    let registration = parts.clients.enter(address, address).unwrap();
    parts.assigner.set_in_use(2);
    let place = [parts.assigner.give(), parts.assigner.give()][1];
    assert_eq!(place.worker(), 1, "it belongs to the second of three");
    assert!(workers[0].place(Arrival::new(server, registration, 0, place)).is_ok());
    for _ in 0..100 {
        assert_eq!(ping(&mut client), "+PONG\r\n");
    }
    let connections = || workers.iter().map(|worker| worker.stats.connections.get());
    assert!(connections().eq([1, 0]), "it stays with the first");
    assert_eq!(parts.clients.count(), 1);
    parts.assigner.set_in_use(3);
    until("a client of the third worker", || {
        assert_eq!(ping(&mut client), "+PONG\r\n");
        connections().eq([0, 1])
    });
    drop(client);
    until("no client", || parts.clients.count() == 0);
    assert_eq!(workers[1].stats.disconnects[CloseReason::Client as usize].get(), 1);
}

/// A burst of new ones, or all at once on their way to the one worker that stays in use.
#[test]
fn there_is_room_for_all_clients_on_their_way_to_one_worker() {
    let parts = parts(1);
    let most = parts.config.limits.clients_max;
    let workers = start_all(&parts).unwrap();
    assert_eq!(workers[0].arrivals.max_capacity(), most);
    let (door, _arrivals) = way_in(most);
    let worker = Worker { arrivals: door, stats: Arc::clone(&parts.stats[0]), thread: None };
    let mut clients = Vec::new();
    loop {
        let (client, address, server) = connection();
        let Some(registration) = parts.clients.enter(address, address) else { break };
        let arrival = Arrival::new(server, registration, 0, parts.assigner.give());
        assert!(worker.place(arrival).is_ok(), "number {}", clients.len());
        clients.push(client);
    }
    assert_eq!(clients.len(), most);
}

#[test]
fn a_client_that_no_worker_takes_is_not_registered_any_more() {
    let parts = parts(1);
    let (door, arrivals) = mpsc::channel(1);
    let worker = Worker { arrivals: door, stats: Arc::clone(&parts.stats[0]), thread: None };
    let arrive = || {
        let (client, address, server) = connection();
        let registration = parts.clients.enter(address, address).unwrap();
        (client, worker.place(Arrival::new(server, registration, 0, parts.assigner.give())))
    };
    let ((mut first, placed), (_second, refused)) = (arrive(), arrive());
    assert!(placed.is_ok());
    assert_eq!(refused.as_ref().map_err(Arrival::worker), Err(0));
    assert_eq!(parts.clients.count(), 2);
    drop(refused);
    assert_eq!(parts.clients.count(), 1, "one is on its way still");
    drop(arrivals);
    assert_eq!(parts.clients.count(), 0, "the worker has ended");
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
}

/// With 10,000 clients each hundred bytes of a task are a megabyte.
#[test]
fn the_task_of_a_client_is_little_more_than_its_session() {
    fn size<F: Future>(_: impl Fn(ClientTask, Arrival) -> F) -> usize {
        size_of::<F>()
    }
    let task = size(|task, arrival| async move { task.serve(arrival).await });
    let parts = size_of::<Session>() + size_of::<ClientTask>() + 2 * size_of::<Arrival>();
    assert!(task <= parts + 200, "{task} bytes, its parts have {parts}");
}
