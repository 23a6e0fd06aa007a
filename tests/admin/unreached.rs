//! A gateway whose cluster is not there: alive, not ready, and it says why.

use rustix::process::Signal;

use crate::format_check::Exposed;
use crate::gateway::{Gateway, free, slotway};
use crate::http::{ask, get};

#[test]
fn it_is_live_and_says_why_it_is_not_ready() {
    let seed = free();
    let mut gateway = Gateway::start(seed, &[]);
    let admin = gateway.admin;
    for path in ["/livez", "/healthz"] {
        let answer = get(admin, path);
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{path}");
    }
    gateway.wait_for("a reason", || get(admin, "/readyz").body.contains(&seed.to_string()));
    let answer = get(admin, "/readyz");
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("no map of the cluster: "), "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let answer = get(admin, "/readyz?verbose");
    assert_eq!(answer.status, 503);
    let lines: Vec<&str> = answer.body.lines().collect();
    assert_eq!(lines[..2], ["[+] serving ok", "[+] workers ok"]);
    assert!(lines[2].starts_with("[-] topology: no map of the cluster: "), "{lines:?}");
    let asked = slotway().args(["healthcheck", "--admin", &admin.to_string()]).status();
    assert_eq!(asked.unwrap().code(), Some(0));
    let asked = slotway().args(["healthcheck", "--ready", "--admin", &admin.to_string()]).output();
    let asked = asked.unwrap();
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("no map of the cluster"));
}

#[test]
fn every_endpoint_answers_as_http_wants_it() {
    let gateway = Gateway::start(free(), &[]);
    let admin = gateway.admin;
    let list = get(admin, "/endpoints");
    assert_eq!(list.status, 200);
    let paths: Vec<&str> = list.body.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(paths.len(), 10, "{}", list.body);
    for path in paths.iter().map(|line| line.split(' ').next().unwrap()) {
        let (answer, head) = (get(admin, path), ask(admin, "HEAD", path));
        assert!(answer.status == 200 || path == "/readyz", "{path}");
        assert_eq!(head.status, answer.status, "{path}");
        assert_eq!(head.header("content-type"), answer.header("content-type"), "{path}");
        assert!(head.body.is_empty() && !answer.body.is_empty(), "{path}");
        let refused = ask(admin, "POST", path);
        assert_eq!(refused.status, 405, "{path}");
        assert!(refused.header("content-type").unwrap().starts_with("text/plain"));
    }
    for path in ["/nothing", "/metrics/", "/../etc/passwd", "//", "/api/v1/"] {
        let answer = get(admin, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{path}");
    }
    let version = get(admin, "/version").json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["commit"].is_string() && version["rustc"].is_string());
    let status = get(admin, "/api/v1/status").json();
    assert_eq!(status["gateway"]["ready"], false);
    assert_eq!(status["gateway"]["draining"], false);
    assert_eq!(status["workers"].as_array().unwrap().len(), 2);
    assert_eq!(status["topology"]["slots_assigned"], 0);
    assert_eq!(status["shards"], serde_json::json!([]));
}

#[test]
fn metrics_are_well_formed_and_only_grow() {
    let gateway = Gateway::start(free(), &[]);
    let answer = get(gateway.admin, "/metrics");
    let content_type = answer.header("content-type");
    assert_eq!(content_type, Some("text/plain; version=0.0.4; charset=utf-8"));
    let first = Exposed::read(&answer.body);
    assert_eq!(first.get("slotway_ready", &[]), Some(0.0));
    assert!(first.get("process_open_fds", &[]).unwrap() > 0.0);
    assert!(first.get("slotway_worker_busy_seconds_total", &[("worker", "1")]).is_some());
    let second = Exposed::read(&get(gateway.admin, "/metrics").body);
    first.assert_only_grown(&second);
}

#[test]
fn it_answers_while_it_drains_and_ends_well() {
    let long = [("SLOTWAY_TIMEOUTS_DRAIN_DELAY", "50s"), ("SLOTWAY_TIMEOUTS_DRAIN", "55s")];
    let mut gateway = Gateway::start(free(), &long);
    let admin = gateway.admin;
    gateway.signal(Signal::TERM);
    gateway.wait_for("draining", || get(admin, "/readyz").body.starts_with("draining"));
    assert_eq!(get(admin, "/readyz").status, 503);
    assert_eq!(get(admin, "/livez").status, 200);
    assert_eq!(get(admin, "/api/v1/status").json()["gateway"]["draining"], true);
    let exposed = Exposed::read(&get(admin, "/metrics").body);
    assert_eq!(exposed.get("slotway_draining", &[]), Some(1.0));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.end().code(), Some(0));

    let mut gateway = Gateway::start(free(), &[("SLOTWAY_TIMEOUTS_DRAIN_DELAY", "0s")]);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.end().code(), Some(0));
}

#[test]
fn an_admin_address_that_is_taken_ends_it() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap().to_string();
    let mut command = slotway();
    command.args(["run", "--seed", "127.0.0.1:1", "--workers", "1"]);
    command.args(["--listen", &free().to_string(), "--admin", &address]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
    assert!(said.contains("choose another address with --admin"), "{said}");
    // Nobody is told of clients that it will not serve.
    assert!(!said.contains("accepting clients"), "{said}");
}

#[test]
fn a_topology_that_nobody_tells_is_an_error() {
    let seed = free().to_string();
    let output = slotway().args(["topology", "--seed", &seed]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("slotway: no node told its map: "), "{said}");
    assert!(said.contains(&seed) && said.lines().count() == 1, "{said}");
}
