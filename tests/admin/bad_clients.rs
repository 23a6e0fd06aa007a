//! Clients of the admin port that are slow, silent or hostile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::format_check::Exposed;
use crate::gateway::{Gateway, free};
use crate::http::{get, send};

fn connect(admin: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(admin).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the other side says before it closes, waiting for that.
fn last_words(mut stream: &TcpStream) -> String {
    let mut rest = Vec::new();
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it is not closed");
    }
    String::from_utf8(rest).unwrap()
}

#[test]
fn those_who_never_finish_keep_nobody_out() {
    let gateway = Gateway::start(free(), &[]);
    let mut open = Vec::new();
    for n in 0..200 {
        let mut stream = connect(gateway.admin);
        if n % 2 == 0 {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ").unwrap();
        }
        open.push(stream);
        if n % 20 == 19 {
            assert_eq!(get(gateway.admin, "/livez").status, 200);
        }
    }
    let exposed = Exposed::read(&get(gateway.admin, "/metrics").body);
    let files = exposed.get("process_open_fds", &[]).unwrap();
    assert!(files < 150.0, "{files} files are open");
    // The oldest made room; the others are ended when their time is over. Each is told.
    for n in [0, 1, 100] {
        let said = last_words(&open[n]);
        assert!(said.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{n}: {said}");
        assert!(said.ends_with("newer ones are served first\n"), "{n}: {said}");
    }
    for n in [198, 199] {
        let said = last_words(&open[n]);
        assert!(said.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{n}: {said}");
        assert!(said.contains("connection: close"), "{n}: {said}");
    }
    assert_eq!(get(gateway.admin, "/livez").status, 200);
}

#[test]
fn those_who_do_not_read_keep_nobody_out() {
    let gateway = Gateway::start(free(), &[]);
    let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(gateway.admin);
        // One request is answered; the rest of the line is not waited for.
        let _ = stream.write_all(&request.repeat(50));
        open.push(stream);
    }
    assert_eq!(get(gateway.admin, "/livez").status, 200);
}

#[test]
fn requests_beyond_all_measure_are_refused() {
    let gateway = Gateway::start(free(), &[]);
    let admin = gateway.admin;
    let long = "x".repeat(100_000);
    let oversized = [
        format!("GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Many: y\r\n".repeat(5000)),
        "\0\u{1}\u{2} nonsense\r\n\r\n".to_owned(),
        "*1\r\n$4\r\nPING\r\n".to_owned(),
    ];
    for request in oversized {
        // The error may be lost when the connection is closed in the midst of the request.
        if let Ok(answer) = send(admin, request.as_bytes()) {
            assert!((400..500).contains(&answer.status), "{}", answer.head);
        }
        assert_eq!(get(admin, "/livez").status, 200);
    }
    let body = format!("POST /livez HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{long}");
    if let Ok(answer) = send(admin, body.as_bytes()) {
        assert_eq!(answer.status, 405);
    }
    let endless = b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(send(admin, endless).unwrap().status, 200);
}

/// One that sends its request letter by letter has as little time as one that says nothing.
#[test]
fn a_request_that_trickles_in_is_ended() {
    let gateway = Gateway::start(free(), &[]);
    let mut slow = connect(gateway.admin);
    let begin = std::time::Instant::now();
    slow.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").unwrap();
    while slow.write_all(b"x").is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it is served for ever");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(get(gateway.admin, "/livez").status, 200);
}

/// Whoever reaches this port learns no password, neither of the nodes nor of clients.
#[test]
fn it_tells_no_password() {
    let secrets = ["the-nodes-password", "the-clients-password", "a-guessed-password"];
    let gateway = Gateway::start(
        free(),
        &[
            ("SLOTWAY_TOPOLOGY_PASSWORD", secrets[0]),
            ("SLOTWAY_LISTENER_PASSWORD", secrets[1]),
            ("SLOTWAY_LOG_LEVEL", "debug"),
        ],
    );
    let mut client = TcpStream::connect(gateway.clients).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for secret in [secrets[2], secrets[1]] {
        client.write_all(format!("AUTH {secret}\r\n").as_bytes()).unwrap();
        let mut answer = [0; 256];
        assert!(client.read(&mut answer).unwrap() > 0);
    }
    let list = get(gateway.admin, "/endpoints").body;
    let paths: Vec<&str> = list.lines().filter_map(|line| line.split(' ').next()).collect();
    let paths: Vec<&str> = paths.into_iter().filter(|path| path.starts_with('/')).collect();
    assert!(paths.len() >= 7, "{list}");
    for path in paths.into_iter().chain(["/readyz?verbose", "/config", "/debug", "/%2e%2e/env"]) {
        let answer = get(gateway.admin, path);
        for secret in secrets {
            assert!(!answer.body.contains(secret) && !answer.head.contains(secret), "{path}");
        }
    }
}
