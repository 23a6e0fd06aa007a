//! Who may come in: protected mode, as a stranger and as a client of this machine see it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::guard::{EndBy, Guarded};
use crate::support::reply::Reply;
use crate::support::site::{SLOTWAY, free_address, owned, start};

/// A gateway without a cluster, on every interface of this machine.
struct Door {
    process: Guarded,
    port: u16,
    admin: SocketAddr,
}

impl Door {
    fn open(flags: &[&str], variables: &[(&str, &str)]) -> Door {
        let admin = free_address();
        let sign = "accepting clients";
        let (process, address, _) = start(EndBy::Kill, sign, variables, |address| {
            let (listen, admin) = (format!("0.0.0.0:{}", address.port()), admin.to_string());
            let words = ["--seed", "127.0.0.1:1", "--listen", &listen, "--admin", &admin];
            [owned(&[SLOTWAY, "run"]), owned(&words), owned(flags)].concat()
        });
        Door { process, port: address.port(), admin }
    }

    /// A client that comes from this machine.
    fn at_home(&self) -> Client {
        Client::connect(SocketAddr::from(([127, 0, 0, 1], self.port)))
    }

    /// The value of a series of `/metrics`, which must be there.
    fn count(&self, series: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find(|line| line.starts_with(&format!("{series} ")));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {series} in {page}")) as u64
    }
}

/// An address of this machine that others reach; `None` where it has none. Nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

/// What the gateway says to a client from elsewhere that says PING.
fn stranger(door: &Door, ip: IpAddr) -> String {
    let mut stream = TcpStream::connect((ip, door.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(b"PING\r\n");
    let mut said = Vec::new();
    // The connection may be reset behind the text: the PING came to a closed socket.
    let _ = stream.read_to_end(&mut said);
    String::from_utf8(said).unwrap()
}

#[test]
fn without_a_password_strangers_are_told_the_ways_out() {
    let Some(outer) = outer_address() else {
        return eprintln!("this machine has no address but loopback: nobody can be a stranger");
    };
    let mut door = Door::open(&[], &[]);
    let warned = door.process.wait_for("protected mode").expect("a warning");
    assert!(warned.contains("WARN") && warned.contains("protected_mode = false"), "{warned}");
    let mut home = door.at_home();
    for _ in 0..3 {
        let said = stranger(&door, outer);
        assert!(said.starts_with("-DENIED Slotway is running in protected mode"), "{said}");
        assert!(said.ends_with("\r\n") && said.lines().count() == 1, "{said}");
        for way in [
            "password_file",
            "SLOTWAY_LISTENER_PASSWORD_FILE",
            "--client-password-file",
            "--listen 127.0.0.1:7010",
            "protected_mode = false",
            "SLOTWAY_LISTENER_PROTECTED_MODE=false",
            "--protected-mode false",
        ] {
            assert!(said.contains(way), "{way} is missing: {said}");
        }
        assert_eq!(home.line("PING"), Reply::Simple("PONG".into()));
    }
    assert_eq!(door.count("slotway_rejected_connections_total{reason=\"denied\"}"), 3);
    assert_eq!(door.process.said().matches("protected mode").count(), 1, "said once");
}

#[test]
fn each_way_out_is_one() {
    let Some(outer) = outer_address() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "let me in\n").unwrap();
    let file = file.to_str().unwrap();
    let no_auth = "-NOAUTH Authentication required.\r\n";
    for (flags, variables, answer) in [
        (&["--protected-mode", "false"][..], &[][..], "+PONG\r\n"),
        (&[], &[("SLOTWAY_LISTENER_PROTECTED_MODE", "false")], "+PONG\r\n"),
        (&["--client-password-file", file], &[], no_auth),
        (&[], &[("SLOTWAY_LISTENER_PASSWORD_FILE", file)], no_auth),
    ] {
        let door = Door::open(flags, variables);
        let mut client = Client::connect((outer, door.port).into());
        client.send(b"PING\r\n");
        let (_, raw) = client.reply_and_bytes();
        assert_eq!(String::from_utf8(raw).unwrap(), answer, "{flags:?} {variables:?}");
        assert!(!door.process.said().contains("protected mode"));
        let denied = door.count("slotway_rejected_connections_total{reason=\"denied\"}");
        assert_eq!(denied, 0, "{flags:?} {variables:?}");
    }
}
