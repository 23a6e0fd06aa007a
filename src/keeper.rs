//! Forming a Redis Cluster from empty nodes, and keeping it whole for ever.
//!
//! Owns the rounds: probe all nodes, reconcile, apply the steps, tell. Must not know how nodes
//! are started, nor clients. Invariant: nothing is remembered that matters. Every step follows from
//! what the nodes say now, and one that comes twice or too late changes nothing, so that a keeper
//! may be killed at any moment, and two of them may do the same work.
//!
//! `prober.rs` asks, `view.rs` reads, `snapshot.rs` has the words; `reconcile.rs` decides, by `form.rs`,
//! `heal.rs` and the arithmetic of `plan.rs`; `apply.rs` does it; `status.rs` tells of it;
//! `simulate.rs` foretells it.

mod apply;
mod form;
mod heal;
mod plan;
mod prober;
mod reconcile;
mod simulate;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
mod view;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::backend::Identity;
use crate::config::{HostPort, KeeperConfig, MASTERS_MIN};
use apply::{Done, apply};
use plan::Shape;
use prober::{Prober, Probes};
use reconcile::reconcile;
use snapshot::{Act, Limits, Listed, Memory, Verdict};
pub use status::{NodeStatus, STATES, Status, StatusReport, acts};

/// Between two looks while something happens.
const HASTE: Duration = Duration::from_millis(50);
/// Nodes that are to meet have so long for it before they are sent again.
const MEETING_TIMEOUT: Duration = Duration::from_secs(1);
/// What only a person can put right may be a moment between two keepers; when it stays for so long
/// it is not.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);
/// A keeper that ended no round for so long, beyond what a round may take, is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormReport {
    /// Whether anything had to be done.
    pub outcome: FormOutcome,
    /// How many masters the cluster has.
    pub masters: usize,
    /// How many replicas the cluster has.
    pub replicas: usize,
}

/// Whether anything had to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormOutcome {
    /// The nodes were none and are a cluster now.
    Formed,
    /// The nodes were a cluster already.
    WasFormed,
}

/// Why there is no whole cluster. To try again is safe in any case: what has been done is found done.
#[derive(Debug)]
pub enum KeeperError {
    /// Fewer than three masters would come of so many nodes: the caller's mistake.
    TooFew {
        /// How many nodes there are.
        nodes: usize,
        /// How many replicas each master should have.
        replicas_per_master: usize,
    },
    /// Only a person can put that right; nothing was changed, and it would be the same again.
    Refused(String),
    /// The time is up; what was still waited for.
    Deadline(String),
}

/// Forms a cluster of `nodes`, or heals it, until it is whole. Nodes that are still starting are
/// waited for; nodes that hold something are left alone.
pub async fn form(
    nodes: &[SocketAddr],
    replicas_per_master: usize,
    identity: &Identity,
    deadline: tokio::time::Instant,
) -> Result<FormReport, KeeperError> {
    let name = |node: &SocketAddr| HostPort { host: node.ip().to_string(), port: node.port() };
    let nodes = nodes.iter().map(name).collect();
    let config = KeeperConfig { nodes, replicas: replicas_per_master, ..KeeperConfig::default() };
    let mut keeper = Keeper::new(&config, identity.clone())?;
    keeper.until_whole(Some(deadline.into_std())).await
}

/// Looks after the nodes of a list.
#[derive(Debug)]
pub struct Keeper {
    shape: Shape,
    limits: Limits,
    interval: Duration,
    timeout: Duration,
    prober: Prober,
    memory: Memory,
    /// When a node of the list was last sent to an address.
    sent: HashMap<(usize, SocketAddr), Instant>,
    status: Arc<Status>,
    /// What was decided the last time: only what changes is logged.
    last: Verdict,
    /// The reason that was logged last.
    told: Option<String>,
    pause: Duration,
}

// === impl Keeper ===

impl Keeper {
    /// A keeper of the nodes of `config`, towards which it is `identity`.
    pub fn new(config: &KeeperConfig, identity: Identity) -> Result<Keeper, KeeperError> {
        let KeeperConfig { nodes, replicas, interval, timeout, .. } = config;
        let too_few = KeeperError::TooFew { nodes: nodes.len(), replicas_per_master: *replicas };
        // Longer than the longest round: a look, then steps at one node, most of them a meeting.
        let silence_max = SILENCE_MAX + *interval + *timeout * 2;
        Ok(Keeper {
            shape: Shape::new(nodes.len(), *replicas).ok_or(too_few)?,
            limits: Limits::of(config),
            interval: *interval,
            timeout: *timeout,
            prober: Prober::new(nodes, identity, *timeout),
            memory: Memory::default(),
            sent: HashMap::new(),
            status: Arc::new(Status::new(silence_max)),
            last: Verdict::default(),
            told: None,
            pause: HASTE,
        })
    }

    /// Where it tells of itself.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Keeps the cluster, for ever.
    pub async fn keep(&mut self) {
        loop {
            self.round().await;
            sleep(self.pause).await;
        }
    }

    /// Forms or heals until the cluster is whole, or the time is up.
    pub async fn until_whole(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<FormReport, KeeperError> {
        let mut outcome = None;
        let mut refused: Option<(String, Instant)> = None;
        loop {
            let listed = self.round().await;
            let was_formed = self.last.is_formed;
            let first = if was_formed { FormOutcome::WasFormed } else { FormOutcome::Formed };
            let outcome = *outcome.get_or_insert(first);
            if self.last.problems.is_empty() {
                return Ok(report(outcome, &listed));
            }
            refused = match (&self.last.refusal, refused.take()) {
                (Some(text), Some((last, since))) if *text == last => Some((last, since)),
                (Some(text), _) => Some((text.clone(), Instant::now())),
                (None, _) => None,
            };
            if let Some((text, since)) = &refused
                && since.elapsed() >= REFUSAL_TIMEOUT
            {
                return Err(KeeperError::Refused(text.clone()));
            }
            if deadline.is_some_and(|deadline| Instant::now() + self.pause >= deadline) {
                return Err(KeeperError::Deadline(self.last.problems.join("; ")));
            }
            sleep(self.pause).await;
        }
    }

    /// What would be done, in words, and whether nothing stands against it. Changes nothing.
    pub async fn preview(&mut self) -> Result<String, KeeperError> {
        let (listed, _) = self.prober.probe().await;
        let page = simulate::preview(&listed, self.shape);
        match self.reconcile(&listed).refusal {
            Some(text) => Err(KeeperError::Refused(text)),
            None => Ok(page),
        }
    }

    /// Probes, reconciles, applies and tells; gives back what was seen before anything was done.
    async fn round(&mut self) -> Vec<Listed> {
        let start = Instant::now();
        let (listed, connections): Probes = self.prober.probe().await;
        let verdict = self.reconcile(&listed);
        let is_news = verdict != self.last;
        self.tell(&verdict);
        let done = apply(verdict.steps.clone(), connections, self.timeout).await;
        tell_done(&listed, &done, is_news);
        self.status.note_actions(&done);
        self.status.note_round(&listed, &verdict, start.elapsed());
        self.pause = if is_news { HASTE } else { (self.pause * 2).min(self.interval) };
        self.last = verdict;
        listed
    }

    fn reconcile(&mut self, listed: &[Listed]) -> Verdict {
        let now = Instant::now();
        self.memory.update(listed, now);
        let mut verdict = reconcile(listed, self.shape, self.limits, &self.memory, now);
        // A meeting ends the connection that there was, and takes a moment.
        self.sent.retain(|_, sent| now.saturating_duration_since(*sent) < MEETING_TIMEOUT);
        verdict.steps.retain(|step| match step.act {
            Act::Meet { address, .. } => match self.sent.entry((step.at, address)) {
                Entry::Occupied(_) => false,
                Entry::Vacant(free) => {
                    free.insert(now);
                    true
                }
            },
            _ => true,
        });
        verdict
    }

    /// Logs how things stand, when that has changed.
    fn tell(&mut self, verdict: &Verdict) {
        let is_first = self.status.report().rounds == 0;
        let Some(first) = verdict.problems.first() else {
            if is_first || !self.last.problems.is_empty() {
                info!("the cluster is whole");
            }
            self.told = None;
            return;
        };
        for problem in verdict.problems.iter().filter(|p| !self.last.problems.contains(p)) {
            debug!("{problem}");
        }
        // While a cluster comes up there is another reason in every look; one that stays is told.
        if self.last.problems.first() != Some(first) || self.told.as_ref() == Some(first) {
            return;
        }
        self.told = Some(first.clone());
        let more = verdict.problems.len() - 1;
        match &verdict.refusal {
            Some(refusal) => warn!(more, "the cluster is not whole: {refusal}"),
            None => info!(more, "the cluster is not whole: {first}"),
        }
    }
}

fn report(outcome: FormOutcome, listed: &[Listed]) -> FormReport {
    let members = snapshot::members(listed);
    let replicas = members.iter().filter(|member| member.view.own.master.is_some()).count();
    FormReport { outcome, masters: members.len() - replicas, replicas }
}

/// Logs what was done and why. What is done again and again is told once; what is done to many
/// nodes for the sake of one is one line.
fn tell_done(listed: &[Listed], done: &[Done], is_news: bool) {
    let name = |at: usize| listed.get(at).map_or("", |node| node.name.as_str());
    let mut meetings: BTreeMap<SocketAddr, (Vec<&str>, &str)> = BTreeMap::new();
    for (step, outcome) in done {
        let (node, act, why) = (name(step.at), &step.act, step.why.as_str());
        match (outcome, act) {
            (Ok(()), Act::Meet { address, .. }) => {
                meetings.entry(*address).or_insert((Vec::new(), why)).0.push(node);
            }
            (Ok(()), Act::Takeover) => warn!(node, "{act}: {why}"),
            (Ok(()), _) if is_news => info!(node, "{act}: {why}"),
            (Ok(()), _) => debug!(node, "{act}: {why}"),
            // Another keeper may have been faster; or it is tried again.
            (Err(text), _) if is_news => info!(node, "{act}: {text}"),
            (Err(text), _) => debug!(node, "{act}: {text}"),
        }
    }
    for (address, (nodes, why)) in meetings {
        let (count, nodes) = (nodes.len(), nodes.join(" "));
        if is_news {
            info!(nodes, "CLUSTER MEET {address} from {count}: {why}");
        } else {
            debug!(nodes, "CLUSTER MEET {address} from {count}: {why}");
        }
    }
}

impl fmt::Display for KeeperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeeperError::TooFew { nodes, replicas_per_master } => write!(
                f,
                "{nodes} nodes are too few: a cluster needs {MASTERS_MIN} masters, each with \
                 {replicas_per_master} replicas"
            ),
            KeeperError::Refused(text) => f.write_str(text),
            KeeperError::Deadline(waiting_for) => {
                write!(f, "the cluster is not whole in time: {waiting_for}")
            }
        }
    }
}

impl std::error::Error for KeeperError {}
