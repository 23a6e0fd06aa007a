//! The figures in the form of HAProxy's `/stats;csv`, so that what reads that goes on.
//!
//! Owns which column is which figure. The columns and their order are HAProxy's (Management Guide,
//! section 9.1, up to `rate_max`); one that means nothing here is empty. Must not know where figures
//! come from.

use super::super::overview::Overview;
use super::super::overview::cluster::NodeOverview;

const COLUMNS: [&str; 36] = [
    "pxname", "svname", "qcur", "qmax", "scur", "smax", "slim", "stot", "bin", "bout", "dreq",
    "dresp", "ereq", "econ", "eresp", "wretr", "wredis", "status", "weight", "act", "bck",
    "chkfail", "chkdown", "lastchg", "downtime", "qlimit", "pid", "iid", "sid", "throttle",
    "lbtot", "tracked", "type", "rate", "rate_lim", "rate_max",
];

/// The row of one line: cells by the name of their column.
struct Row(Vec<(&'static str, String)>);

impl Row {
    fn line(&self) -> String {
        let cell = |column: &&str| {
            let found = self.0.iter().find(|(name, _)| name == column);
            found.map(|(_, text)| quoted(text)).unwrap_or_default()
        };
        // Every line of HAProxy's ends with a comma.
        COLUMNS.iter().map(|column| cell(column) + ",").collect::<String>() + "\n"
    }
}

/// Names are the nodes' own choice.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\"").replace(['\n', '\r'], " "));
    }
    text.to_owned()
}

/// The whole table: the gateway as the frontend, each node as a server, the cluster as the backend.
pub(in super::super) fn table(overview: &Overview) -> String {
    let mut text = format!("# {},\n", COLUMNS.join(","));
    text += &frontend(overview).line();
    let (mut active, mut backup, mut requests) = (0, 0, 0);
    for shard in &overview.cluster.shards {
        let of_shard = std::iter::once((&shard.master, true))
            .chain(shard.replicas.iter().map(|node| (node, false)));
        for (node, is_master) in of_shard {
            text += &server(node, is_master).line();
            active += u32::from(is_master);
            backup += u32::from(!is_master);
            requests += node.requests;
        }
    }
    text += &backend(overview, (active, backup), requests).line();
    text
}

fn frontend(overview: &Overview) -> Row {
    let (gateway, clients) = (&overview.gateway, &overview.clients);
    let denied = clients.rejected.get("denied").copied().unwrap_or_default();
    let errors = clients.disconnected.get("protocol").copied().unwrap_or_default();
    Row(vec![
        ("pxname", "slotway".to_owned()),
        ("svname", "FRONTEND".to_owned()),
        ("scur", clients.connected.to_string()),
        ("slim", clients.max.to_string()),
        ("stot", gateway.accepted.to_string()),
        ("dreq", denied.to_string()),
        ("ereq", errors.to_string()),
        ("status", if gateway.draining { "STOP" } else { "OPEN" }.to_owned()),
        ("pid", "1".to_owned()),
        ("iid", "1".to_owned()),
        ("sid", "0".to_owned()),
        ("type", "0".to_owned()),
        ("rate", format!("{:.0}", overview.now.requests_per_s)),
    ])
}

fn server(node: &NodeOverview, is_master: bool) -> Row {
    let errors = |kinds: &[&str]| {
        kinds.iter().filter_map(|kind| node.errors.get(*kind)).sum::<u64>().to_string()
    };
    let status = match node.is_up {
        Some(true) => "UP",
        Some(false) => "DOWN",
        None => "no check",
    };
    Row(vec![
        ("pxname", "cluster".to_owned()),
        ("svname", node.name.clone()),
        ("qcur", node.waiting.to_string()),
        ("scur", node.connections.to_string()),
        ("stot", node.requests.to_string()),
        ("econ", errors(&["connect", "auth", "maxclients", "wrong_node"])),
        ("eresp", errors(&["io", "timeout", "protocol"])),
        ("status", status.to_owned()),
        ("weight", "1".to_owned()),
        ("act", u32::from(is_master).to_string()),
        ("bck", u32::from(!is_master).to_string()),
        ("pid", "1".to_owned()),
        ("iid", "2".to_owned()),
        ("type", "2".to_owned()),
        ("rate", format!("{:.0}", node.rate.requests_per_s)),
    ])
}

fn backend(overview: &Overview, (active, backup): (u32, u32), requests: u64) -> Row {
    let nodes = overview.cluster.shards.iter();
    let waiting: u64 = nodes.map(|shard| shard.master.waiting).sum();
    let is_up = overview.gateway.ready && overview.cluster.slots_assigned > 0;
    Row(vec![
        ("pxname", "cluster".to_owned()),
        ("svname", "BACKEND".to_owned()),
        ("qcur", waiting.to_string()),
        ("scur", overview.inflight.to_string()),
        ("stot", requests.to_string()),
        ("status", if is_up { "UP" } else { "DOWN" }.to_owned()),
        ("act", active.to_string()),
        ("bck", backup.to_string()),
        ("pid", "1".to_owned()),
        ("iid", "2".to_owned()),
        ("sid", "0".to_owned()),
        ("type", "1".to_owned()),
        ("rate", format!("{:.0}", overview.now.requests_per_s)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_make_cells_or_lines() {
        let row = Row(vec![("svname", "evil\",1\nFRONTEND".to_owned())]);
        let line = row.line();
        assert!(line.starts_with(",\"evil\"\",1 FRONTEND\",,"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
