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

const PASSWORD: &str = "a fine password";
const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// A gateway with a password, whose log has everything.
fn guarded_door(variables: &[(&str, &str)]) -> Door {
    let common = [("SLOTWAY_LISTENER_PASSWORD", PASSWORD), ("SLOTWAY_LOG_LEVEL", "debug")];
    Door::open(&["--workers", "1"], &[&common[..], variables].concat())
}

#[test]
fn who_fails_again_and_again_waits_and_nobody_else() {
    let door = guarded_door(&[]);
    let (mut guest, mut guesser) = (door.at_home(), door.at_home());
    assert_eq!(guest.ask(&["AUTH", PASSWORD]), Reply::ok());
    for nth in 0..4 {
        assert_eq!(guesser.ask(&["AUTH", &format!("guess-{nth}")]).error(), WRONG);
    }
    assert_eq!(guesser.ask(&["HELLO", "3", "AUTH", "default", "guess-4"]).error(), WRONG);
    let failed = "slotway_failed_auths_total";
    let delayed = "slotway_delayed_auths_total";
    assert_eq!((door.count(failed), door.count(delayed)), (5, 0));
    for nth in 5..8 {
        let guess = format!("guess-{nth}");
        let reply = if nth % 2 == 0 {
            guesser.ask(&["AUTH", &guess])
        } else {
            guesser.ask(&["HELLO", "3", "AUTH", "default", &guess])
        };
        assert_eq!(reply.error(), WRONG);
    }
    assert_eq!((door.count(failed), door.count(delayed)), (8, 3));
    // The right password waits as well, or an answer that does not come would tell that it is wrong.
    let mut late = door.at_home();
    assert_eq!(late.ask(&["AUTH", PASSWORD]), Reply::ok());
    assert_eq!(late.line("PING"), Reply::Simple("PONG".into()));
    assert_eq!(guest.line("PING"), Reply::Simple("PONG".into()));
    assert_eq!((door.count(failed), door.count(delayed)), (8, 4));
    let said = door.process.said();
    assert_eq!(said.matches("AUTH fails again and again").count(), 1, "{said}");
    assert!(!said.contains("guess-") && !said.contains(PASSWORD), "{said}");
}

/// However many guesses a client sends at once, one is looked at, and the rest is not even read.
#[test]
fn guesses_in_a_pipeline_are_not_taken_in() {
    let door = guarded_door(&[]);
    let mut guest = door.at_home();
    assert_eq!(guest.ask(&["AUTH", PASSWORD]), Reply::ok());
    let mut guesser = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
    guesser.set_nonblocking(true).unwrap();
    let guesses = b"*2\r\n$4\r\nAUTH\r\n$5\r\nwrong\r\n".repeat(1_000_000);
    let mut sent = 0;
    crate::support::until("it has waited a few times, with all that it can send", || {
        while let Ok(count) = guesser.write(&guesses[sent..]) {
            sent += count;
        }
        assert_eq!(guest.line("PING"), Reply::Simple("PONG".into()));
        door.count("slotway_delayed_auths_total") >= 4
    });
    let (taken, failed) = ("slotway_client_received_bytes_total", "slotway_failed_auths_total");
    let (taken, failed) = (door.count(taken), door.count(failed));
    assert!(taken < 600 * 1024 && taken < sent as u64, "{taken} bytes of {sent} were read");
    assert!(failed < 100, "{failed} guesses were looked at");
}

/// Whatever a client sends, it has so long to say the password; then all it has sent is gone.
#[test]
fn who_does_not_say_the_password_in_time_is_disconnected() {
    let door = guarded_door(&[("SLOTWAY_TIMEOUTS_AUTH", "1s")]);
    let mut guest = door.at_home();
    assert_eq!(guest.ask(&["AUTH", PASSWORD]), Reply::ok());
    let mut silent = door.at_home();
    let mut half = door.at_home();
    half.send(b"*2\r\n$4\r\nAUTH\r\n$16000\r\nhalf of it");
    let mut leaving = door.at_home();
    assert_eq!(leaving.ask(&["AUTH", PASSWORD]), Reply::ok());
    assert_eq!(leaving.line("RESET"), Reply::Simple("RESET".into()));
    // One that never stops talking: its requests are answered until its time is over.
    let mut talking = TcpStream::connect(("127.0.0.1", door.port)).unwrap();
    talking.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 1024];
    let is_answered = |stream: &mut TcpStream, answer: &mut [u8]| {
        stream.write_all(b"PING\r\n").is_ok() && matches!(stream.read(answer), Ok(1..))
    };
    while is_answered(&mut talking, &mut answer) {
        assert!(answer.starts_with(b"-NOAUTH"));
    }
    assert!(silent.is_closed() && half.is_closed() && leaving.is_closed());
    assert_eq!(guest.line("PING"), Reply::Simple("PONG".into()));
    crate::support::until("all four are counted", || {
        door.count("slotway_client_disconnects_total{reason=\"no_auth\"}") == 4
    });
    assert_eq!(door.count("slotway_client_connections"), 1);
}
