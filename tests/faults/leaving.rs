//! Clients that leave while their requests are held: what they asked for never happens.

use slotway::resp::Value;
use slotway::slot::Slot;

use crate::nodes::until;
use crate::site::Site;

#[test]
fn the_held_write_of_a_client_that_leaves_never_runs() {
    let mut site = Site::start();
    let is_held = |key: &String| site.serves(0, Slot::of(key.as_bytes()).index() as u16);
    let keys: Vec<String> = (0..).map(|n| format!("key-{n}")).filter(is_held).take(20).collect();
    let replica = site.replicas_of(0)[0];
    // Nobody can serve these slots now.
    site.kill(0);
    site.kill(replica);
    let held = |site: &Site| site.gateway.metric("slotway_buffered_bytes", "held");
    let mut clients: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut client = site.gateway.client();
            client.send(&[vec!["SET", key, "1"], vec!["INCR", key]]).unwrap();
            client
        })
        .collect();
    until("twenty held requests", || held(&site) > 20.0 * 30.0);
    let stays = clients.pop().unwrap();
    drop(clients);
    until("one held request", || held(&site) > 0.0 && held(&site) < 2.0 * 40.0);
    site.run(0);
    site.run(replica);
    site.wait_until_whole();
    // The one that stayed is served.
    let mut stays = stays;
    assert_eq!(stays.reply().unwrap(), Value::Simple("OK".into()));
    assert_eq!(stays.reply().unwrap(), Value::Int(2));
    let mut client = site.gateway.client();
    for key in &keys[..19] {
        assert_eq!(client.call(&["GET", key]).unwrap(), Value::Null, "{key}");
    }
    drop((stays, client));
    site.gateway.wait_for_rest();
}
