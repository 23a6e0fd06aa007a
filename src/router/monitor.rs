//! What the masters' MONITOR tells of others: of programs that talk to nodes without this gateway, and
//! of scripts.
//!
//! Owns the connections for it, one to each master, and which lines are somebody else's. What the
//! gateway's own clients ask is not taken from there: a node knows neither their addresses nor what they
//! sent. Must not know who wants the lines.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Router;
use crate::backend::message_stream::Outbox;
use crate::backend::{BackendError, NodeAddress, own_addresses};
use crate::resp::write;

/// Takes a line, as a node has sent it.
pub type Take = Rc<dyn Fn(&[u8])>;

/// Wait before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines given on before others have their turn.
const LINES_PER_TURN: usize = 256;

/// A task that ends with whoever has begun it.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the masters tell of others, for as long as this is there.
#[derive(Debug)]
pub struct ForeignLines {
    _task: Task,
}

impl ForeignLines {
    /// Begins to ask every master; each line of somebody else goes to `take`.
    pub fn begin(router: &Rc<Router>, take: Take) -> ForeignLines {
        let task = tokio::task::spawn_local(follow(Rc::clone(router), take));
        ForeignLines { _task: Task(task) }
    }
}

/// Has a connection to each master of the map, for ever.
async fn follow(router: Rc<Router>, take: Take) {
    let mut changes = router.topology().changes();
    let mut asked: HashMap<NodeAddress, Task> = HashMap::new();
    loop {
        router.catch_up();
        let map = router.map();
        let masters: Vec<_> = map.shards().iter().map(|shard| shard.master.clone()).collect();
        asked.retain(|node, _| masters.contains(node));
        for node in masters {
            asked.entry(node.clone()).or_insert_with(|| {
                let (router, take) = (Rc::clone(&router), Rc::clone(&take));
                Task(tokio::task::spawn_local(async move {
                    loop {
                        let error = ask(&router, &node, &*take).await;
                        tracing::debug!(node = %node.name, ?error, "MONITOR of a node ended");
                        sleep(PAUSE).await;
                    }
                }))
            });
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn ask(
    router: &Router,
    node: &NodeAddress,
    take: &dyn Fn(&[u8]),
) -> Result<(), BackendError> {
    let mut stream = router.pipelines().messages(node).await?;
    let outbox = Outbox::default();
    outbox.append(|out| write::request(out, &[b"MONITOR"]));
    let mut lines = 0;
    loop {
        let line = stream.next(&outbox).await?;
        if is_foreign(line) {
            take(line);
        }
        lines += 1;
        if lines % LINES_PER_TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Whether a line tells of a request that does not come from this gateway. A script's commands have no
/// address: whoever runs the script, they are told by the nodes alone.
fn is_foreign(line: &[u8]) -> bool {
    let bracketed = line.iter().position(|byte| *byte == b'[').and_then(|start| {
        let len = line[start..].iter().position(|byte| *byte == b']')?;
        std::str::from_utf8(&line[start + 1..start + len]).ok()
    });
    let Some((_, source)) = bracketed.and_then(|text| text.split_once(' ')) else { return false };
    // IPv6 addresses have brackets of their own only where there is a port behind them.
    match source.parse::<SocketAddr>() {
        Ok(address) => !own_addresses::is_own(address),
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::own_addresses::OwnAddress;

    #[test]
    fn own_requests_are_told_from_others() {
        let own = OwnAddress::new(Some("192.0.2.9:7".parse().unwrap()));
        for (line, foreign) in [
            ("+1.2 [0 192.0.2.9:7] \"get\" \"k\"\r\n", false),
            ("+1.2 [0 192.0.2.9:8] \"get\" \"[k]\"\r\n", true),
            ("+1.2 [0 lua] \"get\" \"k\"\r\n", true),
            ("+OK\r\n", false),
            ("+1.2 [x\r\n", false),
            ("-ERR no\r\n", false),
        ] {
            assert_eq!(is_foreign(line.as_bytes()), foreign, "{line}");
        }
        drop(own);
        assert!(is_foreign(b"+1.2 [0 192.0.2.9:7] \"get\" \"k\"\r\n"));
    }
}
