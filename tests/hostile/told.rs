//! What is told of nodes: names and texts that they choose themselves.

use crate::support::cluster::{key, value_of};
use crate::support::wire::bulk;
use crate::support::{Cluster, Gateway, wait_for};

/// The map names a host that does not resolve, and no address beside it.
#[test]
fn a_name_that_leads_nowhere_is_told() {
    let cluster = Cluster::of(2);
    cluster.name(1, "nobody.invalid");
    let settings = "[timeouts]\nfailover_wait = \"200ms\"\n";
    let gateway = Gateway::launch(cluster.port(0), 1, settings);
    let mut client = gateway.client();
    let (here, there) = (key(0, 2, 0), key(1, 2, 0));
    wait_for("the shard that can be found", || {
        client.ask(&format!("GET {here}")) == bulk(&value_of(&here))
    });
    let said = client.ask(&format!("GET {there}"));
    assert!(said.starts_with("-CLUSTERDOWN Hash slot not served"), "{said}");
    let (status, page) = gateway.page("/readyz");
    let reason = "names of nodes do not resolve here, and they tell no address: nobody.invalid\n";
    assert_eq!((status, page.as_str()), (503, reason));
    wait_for("several looks", || gateway.page("/metrics").1.contains("_topology_epoch 1"));
    assert_eq!(gateway.log().matches("name=\"nobody.invalid\"").count(), 1);
    assert!(gateway.log().contains("WARN slotway::topology::troubles: the name of a node"));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slotway"));
    let seed = format!("127.0.0.1:{}", cluster.port(0));
    let output = command.args(["topology", "--seed", &seed]).output().unwrap();
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(page.contains("nobody.invalid does not resolve here, and it tells no"), "{page}");
}
