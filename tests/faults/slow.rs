//! A node that is busy for seconds, which is no failure.

use std::time::{Duration, Instant};

use slotway::resp::Value;

use crate::load::{Allowed, Load, Mix};
use crate::site::Site;

/// Many large values: they fill what a node's sockets take while it does not read.
const MIX: Mix = Mix([8, 2, 2, 2, 24, 4]);
const BUSY: &str = "local begin = redis.call('TIME') repeat local now = redis.call('TIME') \
    until now[1] - begin[1] >= 7 return redis.call('INCR', KEYS[1])";

/// One session's script keeps a node busy for longer than any patience with lost packets. The
/// cluster does not fail over, and nobody else sees more than a pause: no error, no new connection.
#[test]
fn a_long_script_costs_the_other_sessions_of_its_node_nothing_but_time() {
    let options = ["--cluster-node-timeout", "20000", "--busy-reply-threshold", "60000"];
    let mut site = Site::start_with(&options, &[]);
    let load = Load::start(site.gateway.clients, MIX);
    let connects = |site: &Site| site.gateway.metric("slotway_upstream_connects_total", "");
    let before = connects(&site);
    assert!(before > 0.0);
    let mut client = site.gateway.client();
    let start = Instant::now();
    let said = client.call(&["EVAL", BUSY, "1", "Counter-of-the-script"]).unwrap();
    assert_eq!(said, Value::Int(1));
    assert!(start.elapsed() > Duration::from_secs(5));
    load.wait_for_progress(5);
    // Asleep is the same as busy.
    let started = std::thread::scope(|scope| {
        let node = &site.fleet.nodes[1];
        let asleep = scope.spawn(|| node.ask(&["DEBUG", "SLEEP", "4"]));
        asleep.join().unwrap()
    });
    assert!(matches!(started, Ok(Value::Simple(_))), "{started:?}");
    load.wait_for_progress(5);
    assert_eq!(connects(&site), before, "connections were made anew:\n{}", site.gateway.said());
    drop(client);
    site.finish("a script of 7 s and a sleep of 4 s", load, Allowed::None);
}
