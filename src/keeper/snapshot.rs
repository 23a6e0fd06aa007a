//! All nodes of the list at one moment, and what can be done to one of them.
//!
//! Owns these words: a node that was reached or is missing, a step, and what was decided. Pure.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::view::View;
use crate::config::KeeperConfig;

/// A node of the list.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// As the list calls it.
    pub(super) name: String,
    pub(super) seen: Result<Reached, Missing>,
}

/// A node that answered.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    /// Where it answered.
    pub(super) address: SocketAddr,
    pub(super) view: View,
}

/// Why a node of the list says nothing. What may pass is waited for; the rest is somebody's mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Its name has no address yet.
    Unresolved,
    /// It is not there, or does not answer; why.
    Unreached(String),
    /// It reads its data.
    Loading,
    /// It refuses to answer; why.
    Refuses(String),
    /// It was started without `cluster-enabled yes`.
    NoCluster,
    /// What it says makes no sense.
    Odd(&'static str),
    /// The name stands for several nodes.
    Several(Vec<SocketAddr>),
    /// Another name leads to the same node.
    Twice(String),
}

/// A node of the list that answered, with its place in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) at: usize,
    pub(super) name: &'a str,
    pub(super) address: SocketAddr,
    pub(super) view: &'a View,
}

/// What can be done to a node. Whoever does it twice, or when it is too late, changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Its place in the plan becomes its epoch, which it takes once and while it is alone.
    Claim(u64),
    /// It is told where another node is, and goes there.
    Meet {
        address: SocketAddr,
        /// Where other nodes reach it, when that does not follow from its port.
        bus: Option<u16>,
    },
    /// It serves these slots, unless somebody does.
    AddSlots(Vec<u16>),
    /// It follows the node with this id, unless it holds or serves something.
    Replicate(String),
    /// It strikes the node with this id from its table.
    Forget(String),
    /// It takes the place of its master without asking anybody.
    Takeover,
}

/// One thing to be done to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The node's place in the list.
    pub(super) at: usize,
    pub(super) act: Act,
    pub(super) why: String,
}

/// What was decided on all that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// To be done now, in any order unless they are claims.
    pub(super) steps: Vec<Step>,
    /// What is not as it should be; none when the cluster is whole.
    pub(super) problems: Vec<String>,
    /// What only a person can put right.
    pub(super) refusal: Option<String>,
    /// Whether some node knows who serves every slot: then there is nothing to form any more.
    pub(super) is_formed: bool,
    /// Whether the nodes that were reached call the cluster ok.
    pub(super) is_ok: bool,
}

/// What the operator has allowed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    pub(super) forget_after: Option<Duration>,
    pub(super) takeover_after: Option<Duration>,
}

/// Since when things have been as they are. All that is remembered; without it things take longer.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Nodes that are gone in the eyes of all that were reached.
    gone: HashMap<String, Instant>,
    /// A node that has lost the connection to another one, both by their ids.
    lost: HashMap<(String, String), Instant>,
}

// === impl Listed ===

/// The nodes that answered.
pub(super) fn members(listed: &[Listed]) -> Vec<Member<'_>> {
    let reached = listed.iter().enumerate().filter_map(|(at, node)| {
        let Reached { address, view } = node.seen.as_ref().ok()?;
        Some(Member { at, name: &node.name, address: *address, view })
    });
    reached.collect()
}

impl Missing {
    /// Whether waiting may help.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Missing::Unresolved | Missing::Unreached(_) | Missing::Loading)
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Unresolved => f.write_str("the name has no address yet"),
            Missing::Unreached(why) | Missing::Refuses(why) => f.write_str(why),
            Missing::Loading => f.write_str("it reads its data"),
            Missing::NoCluster => {
                f.write_str("it is not in cluster mode; start it with `cluster-enabled yes`")
            }
            Missing::Odd(what) => write!(f, "it is no node that makes sense: {what}"),
            Missing::Several(places) => {
                let places: Vec<String> = places.iter().map(ToString::to_string).collect();
                let places = places.join(" and ");
                write!(f, "the name stands for several nodes, {places}; each needs its own")
            }
            Missing::Twice(name) => write!(f, "it is the node that {name} leads to as well"),
        }
    }
}

// === impl Member ===

impl Member<'_> {
    pub(super) fn id(&self) -> &str {
        self.view.id()
    }

    /// How another node is told to go to this one.
    pub(super) fn invitation(&self) -> Act {
        let usual = self.address.port().checked_add(10_000);
        let bus = self.view.own.bus.filter(|bus| Some(*bus) != usual);
        Act::Meet { address: self.address, bus }
    }

    pub(super) fn step(&self, act: Act, why: impl Into<String>) -> Step {
        Step { at: self.at, act, why: why.into() }
    }
}

// === impl Act ===

/// How acts are called in metrics, in the order of [`Act::kind`].
pub(super) const ACTS: [&str; 6] =
    ["claim", "meet", "add_slots", "replicate", "forget", "takeover"];

impl Act {
    /// Its place in [`ACTS`].
    pub(super) fn kind(&self) -> usize {
        match self {
            Act::Claim(_) => 0,
            Act::Meet { .. } => 1,
            Act::AddSlots(_) => 2,
            Act::Replicate(_) => 3,
            Act::Forget(_) => 4,
            Act::Takeover => 5,
        }
    }

    /// What is said to the node.
    pub(super) fn words(&self) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Act::Claim(epoch) => words(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()]),
            Act::Meet { address, bus } => {
                let (ip, port) = (address.ip().to_string(), address.port().to_string());
                let mut all: Vec<String> = words(&["CLUSTER", "MEET", &ip, &port]);
                all.extend(bus.map(|bus| bus.to_string()));
                all
            }
            Act::AddSlots(slots) => {
                let mut all: Vec<String> = words(&["CLUSTER", "ADDSLOTS"]);
                all.extend(slots.iter().map(u16::to_string));
                all
            }
            Act::Replicate(id) => words(&["CLUSTER", "REPLICATE", id]),
            Act::Forget(id) => words(&["CLUSTER", "FORGET", id]),
            Act::Takeover => words(&["CLUSTER", "FAILOVER", "TAKEOVER"]),
        }
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::AddSlots(slots) => match (slots.first(), slots.last()) {
                (Some(first), Some(last)) => {
                    write!(f, "CLUSTER ADDSLOTS, {} within {first}-{last}", slots.len())
                }
                _ => f.write_str("CLUSTER ADDSLOTS"),
            },
            act => f.write_str(&act.words().join(" ")),
        }
    }
}

// === impl Limits ===

impl Limits {
    pub(super) fn of(config: &KeeperConfig) -> Limits {
        let KeeperConfig { forget_after, takeover_after, .. } = config;
        Limits { forget_after: *forget_after, takeover_after: *takeover_after }
    }
}

// === impl Memory ===

impl Memory {
    /// Takes in what is seen now.
    pub(super) fn update(&mut self, listed: &[Listed], now: Instant) {
        let members = members(listed);
        let is_gone = |id: &str| {
            let mut lines = members.iter().filter_map(|member| member.view.line(id)).peekable();
            lines.peek().is_some()
                && lines.all(|line| line.is_failing())
                && members.iter().all(|member| member.id() != id)
        };
        self.gone.retain(|id, _| is_gone(id));
        let lines = members.iter().flat_map(|member| &member.view.others);
        for line in lines.filter(|line| line.is_failing()) {
            if !self.gone.contains_key(&line.id) && is_gone(&line.id) {
                self.gone.insert(line.id.clone(), now);
            }
        }
        let mut lost = HashMap::new();
        let seen = |id: &str| members.iter().find(|m| m.id() == id).map(|m| m.address);
        for member in &members {
            for line in member.view.others.iter().filter(|line| line.is_lost(seen(&line.id))) {
                let pair = (member.id().to_owned(), line.id.clone());
                let since = self.lost.get(&pair).copied().unwrap_or(now);
                lost.insert(pair, since);
            }
        }
        self.lost = lost;
    }

    /// For how long a node has been gone; none when it is not.
    pub(super) fn gone_for(&self, id: &str, now: Instant) -> Option<Duration> {
        self.gone.get(id).map(|since| now.saturating_duration_since(*since))
    }

    /// For how long a node has had no connection to another one.
    pub(super) fn lost_for(&self, id: &str, other: &str, now: Instant) -> Duration {
        let since = self.lost.get(&(id.to_owned(), other.to_owned()));
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(*since))
    }
}
