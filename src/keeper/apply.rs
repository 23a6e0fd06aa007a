//! Carrying out the steps of a round.
//!
//! Owns in which order and beside each other they are done, how long that may take, and that a
//! failure ends only what depends on it. Must not know why a step is done.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::snapshot::{Act, Step};
use crate::backend::{BackendError, Connection};

/// A step, and what the node said if it did not do it.
pub(super) type Done = (Step, Result<(), String>);

/// Does the steps over these connections, which are in the order of the list. What one node does
/// not do within its timeout is left for the next round.
pub(super) async fn apply(
    steps: Vec<Step>,
    mut connections: Vec<Option<Connection>>,
    timeout: Duration,
) -> Vec<Done> {
    let deadline = Instant::now() + timeout;
    let mut done = Vec::with_capacity(steps.len());
    let (claims, others): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| matches!(step.act, Act::Claim(_)));
    // In order, and no further than to the first that is refused: see `form.rs`.
    for step in claims {
        let Some(Some(connection)) = connections.get_mut(step.at) else { return done };
        let outcome = call(connection, &step.act).await;
        let is_refused = outcome.is_err();
        done.push((step, outcome.map_err(|error| error.to_string())));
        if is_refused || Instant::now() > deadline {
            return done;
        }
    }
    let mut by_node: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
    for step in others {
        by_node.entry(step.at).or_default().push(step);
    }
    let mut nodes = JoinSet::new();
    for (at, steps) in by_node {
        let Some(connection) = connections.get_mut(at).and_then(Option::take) else { continue };
        nodes.spawn(at_one_node(connection, steps, deadline));
    }
    while let Some(ended) = nodes.join_next().await {
        done.extend(ended.unwrap_or_default());
    }
    done
}

async fn at_one_node(mut connection: Connection, steps: Vec<Step>, deadline: Instant) -> Vec<Done> {
    let mut done = Vec::with_capacity(steps.len());
    for step in steps {
        let outcome = call(&mut connection, &step.act).await;
        let is_lost = outcome.as_ref().is_err_and(|e| !matches!(e, BackendError::Refused(_)));
        done.push((step, outcome.map_err(|error| error.to_string())));
        if is_lost || Instant::now() > deadline {
            break;
        }
    }
    done
}

async fn call(connection: &mut Connection, act: &Act) -> Result<(), BackendError> {
    let words = act.words();
    let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    connection.call(&words).await.map(|_| ())
}
