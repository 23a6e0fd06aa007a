//! The page for people, with its JSON and its CSV, its password, and `slotway top`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use slotway::admin::overview::Overview;

use crate::PATIENCE;
use crate::gateway::{Gateway, free, slotway};
use crate::http::{ask, get, send};

/// What is told is what is promised: the committed schema is made of this type, as a test beside it
/// shows.
pub(crate) fn assert_as_promised(status: &Value) {
    let read = serde_json::from_value::<Overview>(status.clone()).unwrap();
    assert_eq!(read.schema, 1);
    assert_eq!(&serde_json::to_value(read).unwrap(), status, "nothing beside it is told");
    let mut wrong = status.clone();
    wrong["cluster"]["shards"] = Value::Null;
    assert!(serde_json::from_value::<Overview>(wrong).is_err());
}

fn top(admin: SocketAddr, more: &[&str]) -> Output {
    slotway().args(["top", "--once", "--admin", &admin.to_string()]).args(more).output().unwrap()
}

#[test]
fn the_page_is_there_without_a_cluster() {
    let mut gateway = Gateway::start(free(), &[]);
    let admin = gateway.admin;
    gateway.wait_for("a reason", || get(admin, "/readyz").body.starts_with("no map"));
    for path in ["/", "/stats"] {
        let page = get(admin, path);
        assert_eq!(page.status, 200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(page.body.contains("not serving"), "{}", page.body);
        assert!(page.body.contains("No node has told its map yet."));
        let sources = page.body.matches("http://").count() + page.body.matches("https://").count();
        assert_eq!(sources, 0, "nothing comes from elsewhere");
    }
    for (path, kind) in [("/page.css", "text/css"), ("/page.js", "text/javascript")] {
        assert!(get(admin, path).header("content-type").unwrap().starts_with(kind));
    }
    assert_as_promised(&get(admin, "/api/status.json").json());
    assert!(get(admin, "/stats;csv").body.starts_with("# pxname,svname,"));
    let shown = top(admin, &[]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("NOT SERVING: no map of the cluster"), "{text}");
    assert_eq!(shown.status.code(), Some(0));
    let nobody = top(free(), &[]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no answer from the admin port"));
}

#[test]
fn a_password_keeps_the_page_and_only_the_page() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "open sesame").unwrap();
    let path = file.path().to_str().unwrap();
    let gateway = Gateway::start(free(), &[("SLOTWAY_ADMIN_PASSWORD_FILE", path)]);
    let admin = gateway.admin;
    let with = |path: &str, key: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n\r\n");
        send(admin, request.as_bytes()).unwrap()
    };
    // "any:open sesame" and "any:open" in Base64.
    let (right, wrong) = ("YW55Om9wZW4gc2VzYW1l", "YW55Om9wZW4=");
    for path in ["/", "/stats", "/stats;csv", "/api/status.json", "/page.css", "/page.js"] {
        let refused = ask(admin, "GET", path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic realm="));
        assert_eq!(with(path, right).status, 200, "{path}");
    }
    assert_eq!(with("/", wrong).status, 401);
    for path in ["/metrics", "/livez", "/version", "/endpoints"] {
        assert_eq!(get(admin, path).status, 200, "{path}");
    }
    let refused = top(admin, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--admin-password-file"));
    assert_eq!(top(admin, &["--admin-password-file", path]).status.code(), Some(0));
}

/// As many bytes as a browser writes on its way, read until it ends.
fn in_browser(browser: &str, url: &str, width: u32) -> Output {
    let profile = tempfile::tempdir().unwrap();
    Command::new("timeout")
        // One that hangs must not keep the others from being tested.
        .args(["180", browser, "--disable-dev-shm-usage"])
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},2000"))
        // Time for the script to fetch the page again, twice.
        .args(["--virtual-time-budget=12000", "--dump-dom", url])
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn browser() -> Option<&'static str> {
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there)
}

/// The page of a gateway that serves, in a browser: called by the test that has a cluster.
pub(crate) fn assert_shown(gateway: &mut Gateway, nodes: &[SocketAddr]) {
    let admin = gateway.admin;
    let status = || get(admin, "/api/status.json").json();
    gateway.wait_for("what nodes say of themselves", || {
        let status = status();
        let shards = status["cluster"]["shards"].as_array().unwrap();
        shards.len() == 3 && shards.iter().all(|shard| shard["replicas"][0]["info"].is_object())
    });
    gateway.wait_for("a sample", || !status()["hour"]["clients"].as_array().unwrap().is_empty());
    assert_as_promised(&status());
    let table = get(admin, "/stats;csv").body;
    assert_eq!(table.lines().count(), 1 + 1 + 6 + 1, "{table}");
    let shown = String::from_utf8(top(admin, &[]).stdout).unwrap();
    for node in nodes {
        assert!(shown.contains(&node.to_string()), "{shown}");
    }
    let Some(browser) = browser() else {
        println!("not tested here, for want of a browser: the page as a browser shows it");
        return;
    };
    for width in [390, 1280] {
        let start = Instant::now();
        let output = in_browser(browser, &format!("http://{admin}/"), width);
        let (dom, log) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{log}");
        assert!(start.elapsed() < PATIENCE + Duration::from_secs(60));
        assert!(!log.contains(":CONSOLE"), "{log}");
        assert_eq!(dom.matches("<figure class=\"chart\">").count(), 6, "{dom}");
        assert_eq!(dom.matches("data-label=\"node\"").count(), 6, "{dom}");
        assert!(dom.contains("id=\"stale\" hidden"), "the script got no answer: {dom}");
    }
}
