//! The real program: what it waits for, what it tells, how it ends.

use std::net::SocketAddr;
use std::process::Output;

use rustix::process::Signal;

use crate::format_check::Exposed;
use crate::nodes::{Fleet, Keeper, slotway};

fn keeper(arguments: &[&str]) -> Output {
    slotway(&[]).arg("keeper").args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn healthcheck(admin: SocketAddr, more: &[&str]) -> Option<i32> {
    let admin = admin.to_string();
    slotway(&[]).args(["healthcheck", "--admin", &admin]).args(more).status().unwrap().code()
}

#[test]
fn a_late_node_is_waited_for_and_all_is_told() {
    let mut fleet = Fleet::start(5);
    let late = fleet.address(16);
    let list = format!("{},{late}", fleet.list());
    let mut keeper = Keeper::start(&fleet, &list, &[]);
    keeper.wait_for_reason(&late.to_string());
    assert_eq!(keeper.get("/livez").status, 200);
    assert_eq!(healthcheck(keeper.admin, &[]), Some(0));
    assert_eq!(healthcheck(keeper.admin, &["--ready"]), Some(1));
    let exposed = Exposed::read(&keeper.get("/metrics").body);
    let nodes = |exposed: &Exposed, state| exposed.get("slotway_keeper_nodes", &[("state", state)]);
    assert_eq!(nodes(&exposed, "empty"), Some(5.0));
    assert_eq!(nodes(&exposed, "unreachable"), Some(1.0));
    assert_eq!(exposed.get("slotway_keeper_whole", &[]), Some(0.0));
    assert!(fleet.nodes.iter().all(|node| node.say("CLUSTER NODES").lines().count() == 1));

    fleet.add(16);
    let took = keeper.wait_until_whole();
    eprintln!("from the last node to a whole cluster: {took:?}");
    fleet.assert_whole();
    assert_eq!(healthcheck(keeper.admin, &["--ready"]), Some(0));
    let after = Exposed::read(&keeper.get("/metrics").body);
    exposed.assert_only_grown(&after);
    for metric in slotway::metrics::documented() {
        let is_own = metric.name.starts_with("slotway_keeper_");
        assert!(!is_own || after.kinds.contains_key(metric.name), "not told: {}", metric.name);
    }
    assert_eq!((nodes(&after, "master"), nodes(&after, "replica")), (Some(3.0), Some(3.0)));
    assert_eq!(after.get("slotway_keeper_whole", &[]), Some(1.0));
    assert_eq!(after.get("slotway_keeper_cluster_ok", &[]), Some(1.0));
    for (action, count) in [("claim", 6.0), ("add_slots", 3.0), ("replicate", 3.0), ("forget", 0.0)]
    {
        let labels = [("action", action), ("result", "ok")];
        assert_eq!(after.get("slotway_keeper_actions_total", &labels), Some(count), "{action}");
    }
    let status = keeper.get("/api/v1/status").json();
    assert_eq!((&status["ready"], &status["formed"]), (&true.into(), &true.into()));
    assert_eq!(status["nodes"].as_array().unwrap().len(), 6);
    for path in ["/", "/healthz", "/version"] {
        assert_eq!(keeper.get(path).status, 200, "{path}");
    }
    assert_eq!(keeper.get("/nothing").status, 404);
    keeper.process.signal(Signal::TERM);
    assert_eq!(keeper.process.end().code(), Some(0));
    assert!(keeper.said().contains("the cluster is whole"), "{}", keeper.said());
}

#[test]
fn once_and_never_have_their_exit_codes() {
    let fleet = Fleet::start(6);
    let list = fleet.list();
    let output = keeper(&["--nodes", &list, "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = stdout(&output);
    for words in ["  empty\n", "CLUSTER SET-CONFIG-EPOCH 6", "CLUSTER MEET ", "CLUSTER REPLICATE "]
    {
        assert!(page.contains(words), "{page}");
    }
    assert_eq!(page.matches("CLUSTER ADDSLOTS").count(), 3, "{page}");
    assert!(!page.contains("not whole"), "{page}");
    assert!(fleet.nodes.iter().all(|node| node.say("CLUSTER NODES").lines().count() == 1));

    let more = format!("{list},{}", fleet.address(99));
    let output = keeper(&["--nodes", &more, "--once", "--wait", "500ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not whole in time"), "{}", stderr(&output));
    assert!(stderr(&output).contains(&fleet.address(99).to_string()), "{}", stderr(&output));

    for _ in 0..2 {
        let output = keeper(&["--nodes", &list, "--once"]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    fleet.assert_whole();
    let output = keeper(&["--nodes", &list, "--dry-run"]);
    assert!(stdout(&output).contains("nothing would be done"), "{}", stdout(&output));
    assert_eq!(keeper(&["--nodes", "a,b,c"]).status.code(), Some(2));
}

/// Also from the environment and a file, and nothing is told of the password.
#[test]
fn a_password_is_read_from_a_file() {
    let fleet = Fleet::start_with(3, &["--requirepass", "hush", "--masterauth", "hush"]);
    let secret = fleet.folder.path().join("secret");
    std::fs::write(&secret, "hush\n").unwrap();
    let config = fleet.folder.path().join("keeper.toml");
    std::fs::write(&config, "[keeper]\nreplicas = 0\nonce = true\nwait = \"1m\"\n").unwrap();
    let keep = |file: &std::path::Path| {
        let mut command = slotway(&[]);
        command.arg("keeper").arg("--config").arg(&config).arg("--password-file").arg(file);
        command.env("SLOTWAY_KEEPER_NODES", fleet.list()).output().unwrap()
    };
    let output = keep(&secret);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("hush"));
    std::fs::write(&secret, "wrong\n").unwrap();
    let output = keep(&secret);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("refused the credentials"), "{}", stderr(&output));
}
