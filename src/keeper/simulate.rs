//! Nodes as they would be after a step: what a keeper would do, without doing it.
//!
//! Owns how a node answers a step, and what nodes tell each other. Pure; the tests of the whole
//! plan stand on it too, so it refuses what a real node refuses.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::heal::groups;
use super::plan::Shape;
use super::reconcile::reconcile;
use super::snapshot::{Act, Limits, Listed, Memory, Step, members};
use super::view::View;
use crate::slot::SLOTS;
use crate::topology::nodes_reply::NodeLine;

/// Far more rounds than any plan takes.
const ROUNDS_MAX: usize = 100;

/// What is to be seen of the nodes now, and what would be done, in the order in which it would be.
pub(super) fn preview(listed: &[Listed], shape: Shape) -> String {
    let mut page = String::new();
    let width = listed.iter().map(|node| node.name.len()).max().unwrap_or(0);
    // Writing to a string cannot fail.
    for Listed { name, seen } in listed {
        let _ = match seen {
            Err(missing) => writeln!(page, "{name:width$}  {missing}"),
            Ok(reached) => {
                let (place, state) = (reached.address, state(&reached.view));
                writeln!(page, "{name:width$}  {place}  {state}")
            }
        };
    }
    let mut simulation = Simulation(listed.to_vec());
    // What is lost now is taken for lost for good.
    let (start, mut memory) = (Instant::now(), Memory::default());
    memory.update(listed, start);
    let later = start + Duration::from_secs(1);
    let mut lines = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let verdict = reconcile(&simulation.0, shape, Limits::default(), &memory, later);
        if verdict.steps.is_empty() {
            let left = verdict.problems.iter().map(|problem| format!("not whole: {problem}"));
            lines.extend(left);
            break;
        }
        for step in verdict.steps {
            if simulation.apply(&step).is_ok() {
                let name = listed.get(step.at).map_or("", |node| node.name.as_str());
                lines.push(format!("{name:width$}  {}: {}", step.act, step.why));
            }
        }
        simulation.gossip();
    }
    if lines.is_empty() {
        page += "\nThe cluster is whole; nothing would be done.\n";
        return page;
    }
    page += "\nWhat would be done:\n";
    for line in lines {
        let _ = writeln!(page, "  {line}");
    }
    page
}

fn state(view: &View) -> String {
    let kind = match () {
        () if view.own.master.is_some() => "replica",
        () if !view.own.slots.is_empty() => "master",
        () if view.is_empty() => "empty",
        () => "idle",
    };
    match view.keys {
        0 => kind.to_owned(),
        keys => format!("{kind}, {keys} keys"),
    }
}

/// Nodes that do what they are told.
#[derive(Clone, Debug)]
pub(super) struct Simulation(pub(super) Vec<Listed>);

impl Simulation {
    fn view(&mut self, at: usize) -> Result<&mut View, &'static str> {
        let node = self.0.get_mut(at).ok_or("no such node")?;
        node.seen.as_mut().map(|reached| &mut reached.view).map_err(|_| "it is not there")
    }

    /// One step at one node, which may refuse it.
    pub(super) fn apply(&mut self, step: &Step) -> Result<(), &'static str> {
        match &step.act {
            Act::Claim(epoch) => {
                let view = self.view(step.at)?;
                if !view.is_alone() || view.own.epoch != 0 {
                    return Err("it has an epoch, or knows others");
                }
                view.own.epoch = *epoch;
            }
            Act::Meet { address, .. } => self.meet(step.at, *address)?,
            Act::AddSlots(slots) => {
                let view = self.view(step.at)?;
                let busy =
                    |slot| view.lines().any(|line| line.slots.iter().any(|r| r.contains(slot)));
                if slots.iter().any(busy) {
                    return Err("the slot is busy");
                }
                view.own.slots.extend(slots.iter().map(|slot| *slot..=*slot));
                merge(&mut view.own);
            }
            Act::Replicate(id) => {
                let view = self.view(step.at)?;
                if view.own.master.as_ref() == Some(id) {
                    (view.is_linked, view.source) = (true, None);
                    return Ok(());
                }
                let is_master = view.line(id).ok_or("unknown node")?.master.is_none();
                if !is_master || !view.own.slots.is_empty() || view.keys > 0 {
                    return Err("it is not empty, or the other is a replica");
                }
                view.own.master = Some(id.clone());
            }
            Act::Forget(id) => self.view(step.at)?.others.retain(|line| line.id != *id),
            Act::Takeover => {
                let view = self.view(step.at)?;
                let master = view.own.master.take().ok_or("it is a master")?;
                let lines = view.others.iter_mut().filter(|line| line.id == master);
                let slots: Vec<_> =
                    lines.flat_map(|line| std::mem::take(&mut line.slots)).collect();
                view.own.slots = slots;
            }
        }
        Ok(())
    }

    fn meet(&mut self, at: usize, address: SocketAddr) -> Result<(), &'static str> {
        let is_there = |node: &Listed| node.seen.as_ref().is_ok_and(|r| r.address == address);
        let other = self.0.iter().position(is_there).ok_or("nobody is there")?;
        let (one, two) = (self.line(at)?, self.line(other)?);
        learn(self.view(at)?, two);
        learn(self.view(other)?, one);
        Ok(())
    }

    fn line(&mut self, at: usize) -> Result<NodeLine, &'static str> {
        let address = self.0.get(at).and_then(|node| Some(node.seen.as_ref().ok()?.address));
        let own = self.view(at)?.own.clone();
        Ok(NodeLine { address, is_connected: true, ..own })
    }

    /// Everybody hears of everybody who is of the same cluster.
    pub(super) fn gossip(&mut self) {
        let (groups, places): (Vec<usize>, Vec<usize>) = {
            let members = members(&self.0);
            (groups(&members), members.iter().map(|member| member.at).collect())
        };
        for (at, group) in places.iter().zip(&groups) {
            for (other, its) in places.iter().zip(&groups) {
                if at != other
                    && group == its
                    && let (Ok(line), Ok(view)) = (self.line(*other), self.view(*at))
                {
                    learn(view, line);
                }
            }
            if let Ok(view) = self.view(*at) {
                view.is_ok = view.covered() == SLOTS;
                view.is_linked = view.own.master.is_some();
            }
        }
    }
}

fn learn(view: &mut View, line: NodeLine) {
    view.others.retain(|known| known.id != line.id);
    view.others.push(line);
}

/// Single slots become ranges, as a node tells them.
fn merge(line: &mut NodeLine) {
    line.slots.sort_by_key(|range| *range.start());
    line.slots.dedup_by(|next, range| {
        let is_next = u32::from(*range.end()) + 1 == u32::from(*next.start());
        if is_next {
            *range = *range.start()..=*next.end();
        }
        is_next
    });
}
