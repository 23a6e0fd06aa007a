//! A node that is busy for seconds, which is no failure.

use std::time::{Duration, Instant};

use slotway::resp::Value;

use crate::load::{Allowed, Load, Mix};
use crate::site::Site;

/// Many large values: they fill what a node's sockets take while it does not read.
const MIX: Mix = Mix([8, 2, 2, 2, 24, 4]);
const LARGE: usize = 64 << 20;
const BUSY: &str = "local begin = redis.call('TIME') repeat local now = redis.call('TIME') \
    until now[1] - begin[1] >= 9 return redis.call('INCR', KEYS[1])";

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
    client.send(&[vec!["EVAL", BUSY, "1", "{node}-counter"]]).unwrap();
    // More than the sockets take of a node that does not read: the window stays closed.
    let mut large = site.gateway.client();
    let value = "v".repeat(LARGE);
    large.send(&[vec!["SET", "{node}-large", &value], vec!["STRLEN", "{node}-large"]]).unwrap();
    assert_eq!(client.reply().unwrap(), Value::Int(1));
    assert_eq!(large.reply().unwrap(), Value::Simple("OK".into()));
    assert_eq!(large.reply().unwrap(), Value::Int(LARGE as i64));
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
    drop((client, large));
    site.finish("a script of 9 s and a sleep of 4 s", load, Allowed::None);
}
