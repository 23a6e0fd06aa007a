//! `slotway topology`: asks the cluster for its map, once.
//!
//! Owns the asking and its deadline. Must not know how the answer is printed, nor print it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time;

use crate::backend::Identity;
use crate::config::Config;
use crate::database::Databases;
use crate::topology::{ClusterReport, DatabaseWatch, Refresher, Topology, Trigger};

/// For everything: names, connections and answers.
const DEADLINE: Duration = Duration::from_secs(8);

/// Why there is no map to show.
#[derive(Debug, PartialEq, Eq)]
pub struct NoMap(String);

/// Asks the seeds, then the nodes they name.
pub async fn ask(config: &Config) -> Result<ClusterReport, NoMap> {
    let topology = Arc::new(Topology::default());
    let (interval, timeout) = (config.topology.refresh_interval, config.timeouts.connect);
    let seeds = config.topology.seeds.clone();
    let mut refresher = Refresher::new(
        Arc::clone(&topology),
        seeds,
        Identity::of(&config.topology),
        interval,
        timeout,
    );
    let asked = async {
        // The second time all nodes are known, and asked whether they are there.
        refresher.refresh(Trigger::Timer).await && refresher.refresh(Trigger::Timer).await
    };
    let reached = time::timeout(DEADLINE, Box::pin(asked)).await.is_ok();
    let map = topology.map().load_full();
    let databases = Arc::new(Databases::of(&config.routing));
    if !databases.is_one() {
        let mut watch = DatabaseWatch::new(databases, Identity::of(&config.topology), timeout);
        if let Ok(sizes) = time::timeout(DEADLINE, watch.measure(&map)).await {
            topology.state().databases = sizes;
        }
    }
    let state = topology.state().clone();
    if map.version > 0 {
        return Ok(ClusterReport::new(&map, &state, Instant::now()));
    }
    let late = format!("no answer within {} seconds", DEADLINE.as_secs());
    Err(NoMap(if reached { state.problem.unwrap_or(late) } else { late }))
}

impl fmt::Display for NoMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no node told its map: {}", self.0)
    }
}

impl std::error::Error for NoMap {}
