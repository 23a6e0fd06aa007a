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

/// Whether the other side has closed, waiting for it.
fn is_closed(mut stream: &TcpStream) -> bool {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).map_err(|error| error.kind())
        != Err(std::io::ErrorKind::WouldBlock)
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
    // The oldest made room; the others are ended when their time is over.
    assert!(is_closed(&open[0]), "the oldest");
    assert!(is_closed(&open[199]), "the newest");
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
