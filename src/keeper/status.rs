//! What the keeper tells of itself: to operators, by way of the admin port.
//!
//! Owns the last verdict in words and the counters. Must not know how they are shown.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::apply::Done;
use super::snapshot::{ACTS, Listed, Missing, Verdict};

/// What states a node of the list can be in: the label values of its gauge.
pub const STATES: [&str; 6] = ["master", "replica", "empty", "idle", "unreachable", "refused"];

/// Written by the keeper, read by the admin port.
#[derive(Debug)]
pub struct Status {
    started: Instant,
    /// Longer without a round, and it is stuck.
    silence_max: Duration,
    report: Mutex<StatusReport>,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct StatusReport {
    /// Rounds ended so far.
    pub rounds: u64,
    /// When the last one ended.
    pub ended: Option<Instant>,
    /// How long it took.
    pub took: Duration,
    /// What is not as it should be; none when the cluster is whole.
    pub problems: Vec<String>,
    /// Whether there is a cluster, whole or not.
    pub is_formed: bool,
    /// Whether all nodes that were reached call it ok.
    pub is_ok: bool,
    /// The nodes of the list, in its order.
    pub nodes: Vec<NodeStatus>,
    /// How often each act of [`acts`] was done, and how often it was refused or lost.
    pub actions: [(u64, u64); ACTS.len()],
}

/// What is known of one node of the list.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// As the list calls it.
    pub name: String,
    /// Where it answered.
    pub address: Option<String>,
    /// Its id in the cluster.
    pub id: Option<String>,
    /// One of [`STATES`].
    pub state: &'static str,
    /// Why it is not there.
    pub problem: Option<String>,
}

/// What the keeper does to nodes: the label values of its counter.
pub fn acts() -> [&'static str; ACTS.len()] {
    ACTS
}

impl Status {
    pub(super) fn new(silence_max: Duration) -> Status {
        Status { started: Instant::now(), silence_max, report: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, StatusReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All there is to know.
    pub fn report(&self) -> StatusReport {
        self.lock().clone()
    }

    /// For how long it has run.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Since the last round ended; since the start before the first.
    pub fn silence(&self) -> Duration {
        self.lock().ended.unwrap_or(self.started).elapsed()
    }

    /// Why the keeper does not live; none when it does.
    pub fn is_stuck(&self) -> Option<String> {
        let silence = self.silence();
        let text = || format!("no look at the nodes has ended for {} s", silence.as_secs());
        (silence > self.silence_max).then(text)
    }

    /// Why the cluster is not whole, as far as is known; none when it is.
    pub fn not_ready(&self) -> Option<String> {
        let report = self.lock();
        if report.rounds == 0 {
            return Some("the nodes have not been looked at yet".to_owned());
        }
        let first = report.problems.first()?;
        Some(match report.problems.len() - 1 {
            0 => first.clone(),
            more => format!("{first} (and {more} more)"),
        })
    }

    pub(super) fn note_round(&self, listed: &[Listed], verdict: &Verdict, took: Duration) {
        let mut report = self.lock();
        report.rounds += 1;
        report.ended = Some(Instant::now());
        report.took = took;
        report.problems.clone_from(&verdict.problems);
        report.is_formed = verdict.is_formed;
        report.is_ok = verdict.is_ok;
        report.nodes = listed.iter().map(NodeStatus::of).collect();
    }

    pub(super) fn note_actions(&self, done: &[Done]) {
        let mut report = self.lock();
        for (step, outcome) in done {
            if let Some((did, failed)) = report.actions.get_mut(step.act.kind()) {
                *(if outcome.is_ok() { did } else { failed }) += 1;
            }
        }
    }
}

impl NodeStatus {
    fn of(node: &Listed) -> NodeStatus {
        let name = node.name.clone();
        let reached = match &node.seen {
            Ok(reached) => reached,
            Err(missing) => {
                let state = match missing {
                    Missing::Unresolved | Missing::Unreached(_) | Missing::Loading => "unreachable",
                    _ => "refused",
                };
                let problem = Some(missing.to_string());
                return NodeStatus { name, address: None, id: None, state, problem };
            }
        };
        let own = &reached.view.own;
        let state = match () {
            () if own.master.is_some() => "replica",
            () if !own.slots.is_empty() => "master",
            () if reached.view.is_empty() => "empty",
            () => "idle",
        };
        let (address, id) = (reached.address.to_string(), own.id.clone());
        NodeStatus { name, address: Some(address), id: Some(id), state, problem: None }
    }
}
