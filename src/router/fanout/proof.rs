//! Whether all masters have been asked, and what to ask next when that is not shown.
//!
//! Owns the decision. Pure: no socket, no time. A command over all keys is right only if the nodes
//! that ran it were all the masters while it ran. Each master says what it owns before and behind the
//! command, on the same connection; when both are the same and all of it is every slot once, no key
//! was at a node that was not asked.
//!
//! Keys of a slot that is moving are at two nodes, and only ever go from the one to the other. What
//! collects or erases keys asks the nodes they go to once more when all have answered: a key that had
//! left before its old node was asked was at the new one by then. What counts keys counts those of
//! such slots twice, at all nodes: when no count has changed, nothing has moved in between.

use std::collections::HashSet;

use crate::backend::NodeAddress;
use crate::command::{Categories, Command, ResponsePolicy};
use crate::reply::texts;
use crate::topology::{ClusterMap, Ownership, Partition};

/// Rounds in a row without a pause, while keys of a slot move.
const QUICK_ROUNDS: u32 = 3;

/// What a command over all masters does, as far as the proof depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts keys: none may be missing, none there twice.
    Count,
    /// Tells keys: none may be missing; what is there twice is told once.
    Collect,
    /// Removes keys: none may be left.
    Erase,
    /// Asks or changes nodes, not keys: none may be left out.
    PerNode,
}

impl Kind {
    /// The kind of a command of this row.
    pub fn of(command: &Command) -> Kind {
        let of_keys = command.categories.contains(Categories::KEYSPACE);
        match (of_keys, command.flags.is_write(), command.response) {
            (true, true, _) => Kind::Erase,
            (true, false, ResponsePolicy::AggSum) => Kind::Count,
            (true, false, _) => Kind::Collect,
            (false, ..) => Kind::PerNode,
        }
    }
}

/// Why a node is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The map says that it serves slots.
    Master,
    /// A master that serves none, as far as the map knows.
    Spare,
    /// A replica: it has no keys of its own, and is left out when it cannot answer.
    Replica,
}

/// What one node is asked in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The node.
    pub node: NodeAddress,
    /// Why it is asked.
    pub role: Role,
    /// Whether the command is sent to it, or only what it owns is asked for.
    pub with_command: bool,
    /// Slots whose keys are to be counted right before the command.
    pub counts: Vec<u16>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The node.
    pub node: NodeAddress,
    /// Why it was asked.
    pub role: Role,
    /// Its answer.
    pub answer: Answer,
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What it owns, before and behind the command, and the command's reply.
    Whole {
        /// What it owned before.
        before: Box<Ownership>,
        /// How many keys the slots had.
        counts: Vec<i64>,
        /// The reply, when the command was sent.
        reply: Option<Vec<u8>>,
        /// What it owned behind.
        after: Box<Ownership>,
    },
    /// A replica's reply.
    OfReplica(Vec<u8>),
    /// It cannot serve at the moment and did not run the command; the text is the node's.
    Declined(String),
    /// No answer came; whether the command may have run.
    Lost {
        /// Whether it had been sent.
        was_sent: bool,
    },
    /// What came is no answer to what was asked; the text is for the client.
    Odd(String),
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It is shown. The replies, and whether some nodes gave two.
    Done(Vec<Vec<u8>>, bool),
    /// Ask again at once.
    Again,
    /// Ask again after a pause and with a fresh map; when there is no time for that, this is the
    /// answer.
    Wait(String),
    /// Answer with this error.
    Fail(String),
}

/// A proof under way.
#[derive(Debug)]
pub struct Proof {
    kind: Kind,
    /// Whether it must not run twice at a node.
    once: bool,
    with_replicas: bool,
    /// Masters that serve no slot are asked too.
    with_spares: bool,
    /// Replies of nodes that are done, by id, for [`Kind::PerNode`].
    done: Vec<(NodeAddress, Vec<u8>)>,
    /// What all said, while those that keys go to are asked once more.
    first: Option<Vec<Heard>>,
    /// Slots that are moving, and the ids of the nodes that their keys go to.
    open: Vec<(u16, String)>,
    /// What all said when the keys of the slots in `open` were counted before.
    counted: Option<Vec<Heard>>,
    /// The ids of the replicas that have been asked, whether or not they have answered.
    replicas: HashSet<String>,
    quick: u32,
}

impl Proof {
    /// The proof of a command of this kind. With `once` it must not run twice at a node.
    pub fn new(kind: Kind, once: bool, with_replicas: bool) -> Proof {
        Proof {
            kind,
            once: once && kind == Kind::PerNode,
            with_replicas,
            with_spares: false,
            done: Vec::new(),
            first: None,
            open: Vec::new(),
            counted: None,
            replicas: HashSet::new(),
            quick: 0,
        }
    }

    /// Whom to ask now.
    pub fn questions(&self, map: &ClusterMap) -> Vec<Question> {
        let masters = map.nodes().filter(|(.., is_master)| *is_master).map(|(node, ..)| node);
        let spares = map.spares().iter();
        let question = |node: &NodeAddress, role| Question {
            node: node.clone(),
            role,
            with_command: !self.done.iter().any(|(done, _)| done.id == node.id),
            counts: match self.kind {
                Kind::Count => self.slots(),
                _ => Vec::new(),
            },
        };
        if self.first.is_some() {
            let is_target = |node: &&NodeAddress| self.open.iter().any(|(_, to)| **to == *node.id);
            let targets = masters.chain(spares).filter(is_target);
            return targets.map(|node| question(node, Role::Master)).collect();
        }
        let mut questions: Vec<Question> =
            masters.map(|node| question(node, Role::Master)).collect();
        if self.with_spares {
            questions.extend(spares.map(|node| question(node, Role::Spare)));
        }
        if self.with_replicas {
            let replicas = map.nodes().filter(|(.., is_master)| !is_master);
            let replicas = replicas.map(|(node, ..)| question(node, Role::Replica));
            questions.extend(replicas.filter(|question| question.with_command));
        }
        questions
    }

    fn slots(&self) -> Vec<u16> {
        let mut slots: Vec<u16> = self.open.iter().map(|(slot, _)| *slot).collect();
        slots.dedup();
        slots
    }

    /// Takes what came of the questions.
    pub fn take(&mut self, heard: Vec<Heard>) -> Next {
        let replicas = heard.iter().filter(|heard| heard.role == Role::Replica);
        self.replicas.extend(replicas.map(|heard| heard.node.id.to_string()));
        let heard: Vec<Heard> = heard.into_iter().filter(Heard::counts).collect();
        if let Some(next) = self.objection(&heard) {
            return next;
        }
        if self.kind == Kind::PerNode {
            for Heard { node, answer, .. } in &heard {
                if let Some(reply) = answer.reply() {
                    self.done.push((node.clone(), reply.to_vec()));
                }
            }
        }
        if heard.iter().any(|heard| heard.reply().is_some_and(|reply| reply.starts_with(b"-"))) {
            // It is the answer, whoever else there is.
            return self.finish(heard);
        }
        if heard.iter().any(|heard| !heard.is_steady()) {
            return self.unsettled();
        }
        match self.first.take() {
            Some(first) => self.take_second(first, heard),
            None => self.take_round(heard),
        }
    }

    /// What stands in the way of a proof, whatever the nodes own.
    fn objection(&mut self, heard: &[Heard]) -> Option<Next> {
        for Heard { role, answer, .. } in heard {
            match answer {
                Answer::Odd(text) => return Some(Next::Fail(text.clone())),
                Answer::Lost { was_sent: true } if self.once && *role != Role::Replica => {
                    return Some(Next::Fail(texts::INDETERMINATE.to_owned()));
                }
                Answer::Whole { .. } | Answer::OfReplica(_) => {}
                Answer::Declined(_) | Answer::Lost { .. } => {}
            }
        }
        // Nothing that was answered is asked for twice, when it must not be.
        let why = heard.iter().find_map(|heard| match &heard.answer {
            Answer::Declined(text) => Some(text.clone()),
            Answer::Lost { .. } => Some(texts::UNREACHABLE.to_owned()),
            _ => None,
        })?;
        self.keep_done(heard);
        self.start_again();
        Some(Next::Wait(why))
    }

    fn keep_done(&mut self, heard: &[Heard]) {
        if self.kind == Kind::PerNode {
            let replies = heard.iter().filter_map(|heard| Some((heard, heard.reply()?)));
            let good = replies.filter(|(_, reply)| !reply.starts_with(b"-"));
            self.done.extend(good.map(|(heard, reply)| (heard.node.clone(), reply.to_vec())));
        }
    }

    fn start_again(&mut self) {
        (self.first, self.counted) = (None, None);
        self.open.clear();
        self.quick = 0;
    }

    /// The nodes do not own every slot once, or something has just changed.
    fn unsettled(&mut self) -> Next {
        self.start_again();
        self.with_spares = true;
        Next::Wait(texts::SLOTS_MOVING.to_owned())
    }

    fn finish(&mut self, heard: Vec<Heard>) -> Next {
        if self.kind == Kind::PerNode {
            let replies = std::mem::take(&mut self.done);
            return Next::Done(replies.into_iter().map(|(_, reply)| reply).collect(), false);
        }
        let mut parts = replies_of(self.first.take().unwrap_or_default());
        let twice = !parts.is_empty();
        parts.extend(replies_of(heard));
        Next::Done(parts, twice)
    }

    /// All masters have answered.
    fn take_round(&mut self, heard: Vec<Heard>) -> Next {
        let owned = heard.iter().filter_map(|heard| heard.ownership());
        let Some(Partition { open, .. }) = Partition::of(owned) else { return self.unsettled() };
        if self.with_replicas && !self.knows_replicas(&heard) {
            return self.unsettled();
        }
        if open.is_empty() {
            return self.finish(heard);
        }
        let open: Vec<(u16, String)> = open.into_iter().map(|open| (open.slot, open.to)).collect();
        let is_heard = |id: &str| heard.iter().any(|heard| *heard.node.id == *id);
        let all_heard = open.iter().all(|(_, to)| is_heard(to));
        let known = std::mem::replace(&mut self.open, open);
        match self.kind {
            Kind::PerNode if all_heard || self.with_spares => self.finish(heard),
            Kind::Collect | Kind::Erase => {
                self.first = Some(heard);
                Next::Again
            }
            Kind::Count if all_heard => self.take_counts(&known, heard),
            Kind::Count if self.with_spares => self.unsettled(),
            Kind::PerNode | Kind::Count => {
                self.with_spares = true;
                Next::Again
            }
        }
    }

    /// Whether no master has a replica that the map did not tell of. One that ran the command when it
    /// was a master itself is not asked again.
    fn knows_replicas(&self, heard: &[Heard]) -> bool {
        let is_done = |id: &str| self.done.iter().any(|(node, _)| *node.id == *id);
        let mut all = heard.iter().filter_map(Heard::ownership).flat_map(|own| &own.replicas);
        all.all(|id| self.replicas.contains(id) || is_done(id))
    }

    /// Whether no key of a moving slot has moved since the last round. The replies of that round then
    /// count every key once.
    fn take_counts(&mut self, known: &[(u16, String)], heard: Vec<Heard>) -> Next {
        let was_asked = *known == *self.open;
        if let Some(before) = self.counted.take().filter(|_| was_asked)
            && same_counts(&before, &heard)
        {
            return self.finish(before);
        }
        self.counted = was_asked.then_some(heard);
        self.quick += 1;
        if self.quick.is_multiple_of(QUICK_ROUNDS) {
            return Next::Wait(texts::SLOTS_MOVING.to_owned());
        }
        Next::Again
    }

    /// The nodes that keys go to have been asked once more. What they took keys of then they must
    /// have still. One that takes no keys of a slot that is to go to it is not being given any: the
    /// mark was left behind by a move that is over.
    fn take_second(&mut self, first: Vec<Heard>, heard: Vec<Heard>) -> Next {
        let of = |heard: &[Heard], id: &str| {
            heard
                .iter()
                .find(|heard| *heard.node.id == *id)
                .and_then(|heard| heard.ownership())
                .cloned()
        };
        let has_kept = |(slot, to): &(u16, String)| {
            let took = of(&first, to).is_some_and(|own| own.takes(*slot));
            of(&heard, to).is_some_and(|own| own.is_master && (own.takes(*slot) || !took))
        };
        if !self.open.iter().all(has_kept) {
            return self.unsettled();
        }
        self.first = Some(first);
        self.finish(heard)
    }
}

impl Heard {
    fn reply(&self) -> Option<&[u8]> {
        self.answer.reply()
    }

    fn ownership(&self) -> Option<&Ownership> {
        match &self.answer {
            Answer::Whole { after, .. } => Some(after),
            _ => None,
        }
    }

    /// Whether it owned the same before and behind the command.
    fn is_steady(&self) -> bool {
        match &self.answer {
            Answer::Whole { before, after, .. } => before == after,
            _ => true,
        }
    }

    /// Nobody misses a node without slots that does not answer: if it has got some meanwhile, they
    /// are missing among those of the others.
    fn counts(&self) -> bool {
        let has_failed = matches!(self.answer, Answer::Declined(_) | Answer::Lost { .. });
        self.role == Role::Master || !has_failed
    }
}

impl Answer {
    fn reply(&self) -> Option<&[u8]> {
        match self {
            Answer::Whole { reply, .. } => reply.as_deref(),
            Answer::OfReplica(reply) => Some(reply),
            _ => None,
        }
    }

    /// What the node owns, when it is a master that says so.
    pub fn into_ownership(self) -> Option<Ownership> {
        match self {
            Answer::Whole { after, .. } => Some(*after),
            _ => None,
        }
    }

    fn into_reply(self) -> Option<Vec<u8>> {
        match self {
            Answer::Whole { reply, .. } => reply,
            Answer::OfReplica(reply) => Some(reply),
            _ => None,
        }
    }
}

fn replies_of(heard: Vec<Heard>) -> Vec<Vec<u8>> {
    heard.into_iter().filter_map(|heard| heard.answer.into_reply()).collect()
}

/// Whether the same nodes own the same and count the same.
fn same_counts(one: &[Heard], other: &[Heard]) -> bool {
    let counts = |heard: &Heard| match &heard.answer {
        Answer::Whole { after, counts, .. } => Some((after.clone(), counts.clone())),
        _ => None,
    };
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| counts(a) == counts(b))
}

#[cfg(test)]
mod tests;
