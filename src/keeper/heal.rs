//! Keeping a cluster whole: who has lost whom, who follows nobody, what is gone for good.
//!
//! Owns what is done about each, and the reasons why a cluster is not whole. Pure. Nothing here
//! takes anything from a node that holds or serves something; what could is off unless the operator
//! has asked for it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::plan::{Leader, Spare, followed};
use super::snapshot::{Act, Limits, Listed, Member, Memory, Step, Verdict};
use super::view::{View, count};
use crate::config::MASTERS_MIN;
use crate::slot::SLOTS;
use crate::topology::nodes_reply::NodeLine;

/// Nodes that lose a connection make it again within a tenth of a second; a meeting replaces it, so
/// it comes only where they do not.
const LOST_MIN: Duration = Duration::from_millis(500);

/// The nodes that know each other, directly or through others, have one number.
pub(super) fn groups(members: &[Member<'_>]) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..members.len()).collect();
    for (one, member) in members.iter().enumerate() {
        for (other, met) in members.iter().enumerate() {
            if groups[one] != groups[other] && member.view.line(met.id()).is_some() {
                let (from, to) = (groups[other], groups[one]);
                groups.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
    }
    groups
}

/// Nodes of one cluster that have lost each other are brought together: a node that hears from a
/// known one at another address only takes note of the address.
pub(super) fn reunite(
    members: &[Member<'_>],
    memory: &Memory,
    now: Instant,
    verdict: &mut Verdict,
) {
    let groups = groups(members);
    for (member, group) in members.iter().zip(&groups) {
        for (other, its) in members.iter().zip(&groups) {
            if member.at == other.at || group != its {
                continue;
            }
            let why = match member.view.line(other.id()) {
                None => format!("{} does not know {}", member.name, other.name),
                Some(line) if line.is_lost(Some(other.address)) => {
                    let why = format!("{} has lost {}", member.name, other.name);
                    if memory.lost_for(member.id(), other.id(), now) < LOST_MIN {
                        verdict.problems.push(why);
                        continue;
                    }
                    why
                }
                Some(line) => {
                    if line.is_failing() {
                        let text = format!("{} still takes {} for gone", member.name, other.name);
                        verdict.problems.push(text);
                    }
                    continue;
                }
            };
            if !member.view.is_meeting(other.address) {
                verdict.steps.push(member.step(other.invitation(), why.clone()));
            }
            verdict.problems.push(why);
        }
    }
}

/// Replicas that look for their data where their master was go to where it is. A node that learns a
/// new address from others, not from the master itself, takes note of it and goes on looking.
pub(super) fn redirect(members: &[Member<'_>], steps: &mut Vec<Step>) {
    for member in members.iter().filter(|member| !member.view.is_linked) {
        let (Some(master), Some(source)) = (&member.view.own.master, member.view.source) else {
            continue;
        };
        let Some(other) = members.iter().find(|other| other.id() == master) else { continue };
        let knows =
            member.view.line(master).is_some_and(|line| line.address == Some(other.address));
        if knows && source != other.address.ip() {
            let why = format!("{} looks for the data of {} at {source}", member.name, other.name);
            steps.push(member.step(Act::Replicate(master.clone()), why));
        }
    }
}

/// Nodes that are one cluster and yet tell of each other what is out of date: while it holds no
/// data that is told at once, by meeting again; later the nodes do it themselves.
pub(super) fn spread_word(members: &[Member<'_>], steps: &mut Vec<Step>, lacks: &mut Vec<String>) {
    let is_new = members.iter().all(|member| member.view.keys == 0);
    for member in members {
        for other in members {
            let own = &member.view.own;
            let Some(line) = other.view.line(member.id()) else { continue };
            if member.at == other.at || (line.slots == own.slots && line.master == own.master) {
                continue;
            }
            let why = format!("{} has not heard yet what {} is", other.name, member.name);
            if is_new && !member.view.is_meeting(other.address) {
                steps.push(member.step(other.invitation(), why.clone()));
            }
            lacks.push(why);
        }
    }
}

/// Why a formed cluster is not whole, as its nodes tell it.
pub(super) fn reasons(
    members: &[Member<'_>],
    memory: &Memory,
    now: Instant,
    verdict: &mut Verdict,
) {
    let mut known: Vec<&str> = Vec::new();
    for line in members.iter().flat_map(|member| &member.view.others) {
        let is_gone = memory.gone_for(&line.id, now).is_some();
        if is_gone && !line.slots.is_empty() && !known.contains(&line.id.as_str()) {
            known.push(&line.id);
            let count = count(&line.slots);
            verdict.problems.push(format!("{count} slots have no master: {line} is gone"));
        }
    }
    for Member { name, view, .. } in members.iter().filter(|member| !member.view.is_alone()) {
        let covered = view.covered();
        if covered != SLOTS {
            verdict.problems.push(format!("{name} knows the masters of {covered} slots only"));
        }
        if !view.is_ok {
            verdict.problems.push(format!("{name} calls the cluster failed"));
        }
        if view.own.master.is_some() && !view.is_linked {
            verdict.problems.push(format!("{name} does not have the data of its master yet"));
        }
    }
}

/// Empty nodes of the list are introduced to the cluster, if it is the one that is meant.
pub(super) fn join(members: &[Member<'_>], listed: &[Listed], verdict: &mut Verdict) {
    let (empty, used): (Vec<Member<'_>>, Vec<Member<'_>>) =
        members.iter().partition(|member| member.view.is_empty());
    let groups = groups(&used);
    if let Some(at) = groups.iter().position(|group| Some(group) != groups.first())
        && let (Some(one), Some(other)) = (used.first(), used.get(at))
    {
        let text = format!("{} and {} are of two clusters", one.name, other.name);
        verdict.problems.push(text.clone());
        verdict.refusal.get_or_insert(text);
        return;
    }
    if empty.is_empty() {
        return;
    }
    let hosts = used.iter().filter(|member| !member.view.own.slots.is_empty());
    let Some(host) = hosts.min_by_key(|member| first_slot(member.view)) else {
        verdict.problems.push(format!("{} is empty; no master is there to join", empty[0].name));
        return;
    };
    if let Some(why) = why_not_ours(host.view, members, listed) {
        verdict.problems.push(format!("{} is empty and does not join: {why}", empty[0].name));
        return;
    }
    for node in empty {
        let why = format!("{} is empty and of the list", node.name);
        if !host.view.is_meeting(node.address) {
            verdict.steps.push(host.step(node.invitation(), why.clone()));
        }
        verdict.problems.push(why);
    }
}

/// Living nodes that are none of the list, other than those the list has lost sight of, or too few
/// masters: then an empty node could be given to somebody else's cluster.
fn why_not_ours(view: &View, members: &[Member<'_>], listed: &[Listed]) -> Option<String> {
    let masters = view.masters();
    if masters < MASTERS_MIN {
        return Some(format!("the cluster has {masters} masters only"));
    }
    let is_listed = |line: &&NodeLine| members.iter().any(|member| member.id() == line.id);
    let foreign = view.lines().filter(|line| !line.is_failing() && !is_listed(line));
    let mut unplaced = foreign.skip(listed.len().saturating_sub(members.len()));
    let unnamed = unplaced.next()?;
    Some(format!("the cluster has a node that is not named here: {unnamed}"))
}

fn first_slot(view: &View) -> Option<u16> {
    view.own.slots.iter().map(|range| *range.start()).min()
}

/// Nodes that serve and hold nothing follow a master that has the fewest followers.
pub(super) fn give_masters(members: &[Member<'_>], nodes: usize, verdict: &mut Verdict) {
    let groups = groups(members);
    let mut leading: Vec<(usize, &Member<'_>)> = groups.iter().copied().zip(members).collect();
    leading.retain(|(_, member)| !member.view.own.slots.is_empty());
    leading.sort_by_key(|(_, member)| first_slot(member.view));
    let is_spare = |member: &&Member<'_>| member.view.is_bare() && !member.view.is_alone();
    let mut each = groups.clone();
    each.sort_unstable();
    each.dedup();
    for group in each {
        let leaders: Vec<&Member<'_>> =
            leading.iter().filter(|(its, _)| *its == group).map(|(_, member)| *member).collect();
        let spares: Vec<&Member<'_>> = members
            .iter()
            .zip(&groups)
            .filter(|(_, its)| **its == group)
            .map(|(member, _)| member)
            .filter(is_spare)
            .collect();
        assign(&spares, &leaders, members, nodes, verdict);
    }
}

fn assign(
    spares: &[&Member<'_>],
    leaders: &[&Member<'_>],
    members: &[Member<'_>],
    nodes: usize,
    verdict: &mut Verdict,
) {
    let followers = followers(members);
    let places: Vec<Leader> = leaders
        .iter()
        .map(|leader| Leader {
            host: leader.address.ip(),
            followers: followers.values().filter(|master| **master == leader.id()).count(),
        })
        .collect();
    let numbered: Vec<Spare> = spares
        .iter()
        .map(|spare| Spare {
            host: spare.address.ip(),
            number: number(spare, spares, places.len()..nodes),
        })
        .collect();
    for (spare, leader) in spares.iter().zip(followed(&numbered, &places)) {
        let Some(leader) = leaders.get(leader) else { continue };
        verdict.problems.push(format!("{} follows nobody yet", spare.name));
        let line = spare.view.line(leader.id());
        if line.is_some_and(|line| !line.slots.is_empty() && !line.is_failing()) {
            let why = format!("{} is to follow {}", spare.name, leader.name);
            verdict.steps.push(spare.step(Act::Replicate(leader.id().to_owned()), why));
        }
    }
}

/// Which node follows which, by their ids: what a node says of itself, else what is said of it.
fn followers<'a>(members: &'a [Member<'_>]) -> HashMap<&'a str, &'a str> {
    let mut followers = HashMap::new();
    for line in members.iter().flat_map(|member| &member.view.others) {
        if let Some(master) = line.master.as_deref().filter(|_| !line.is_failing()) {
            followers.insert(line.id.as_str(), master);
        }
    }
    for member in members {
        match member.view.own.master.as_deref() {
            Some(master) => followers.insert(member.id(), master),
            None => followers.remove(member.id()),
        };
    }
    followers
}

/// The place that the node has claimed, which is the same for all keepers; else that in the list.
fn number(spare: &Member<'_>, spares: &[&Member<'_>], free: std::ops::Range<usize>) -> usize {
    let claimed = |member: &Member<'_>| {
        let epoch = usize::try_from(member.view.own.epoch).ok()?;
        epoch.checked_sub(1).filter(|place| free.contains(place))
    };
    let own = claimed(spare);
    let is_alone = spares.iter().filter(|other| claimed(other) == own).count() == 1;
    own.filter(|_| is_alone).unwrap_or(spare.at)
}

/// A node without slots that has failed for long and is none of the list is struck from all tables
/// at once: from one alone it would come back. Only when all nodes of the list are there, or it
/// might be one of them.
pub(super) fn forget(
    members: &[Member<'_>],
    listed: &[Listed],
    (limits, memory, now): (Limits, &Memory, Instant),
    verdict: &mut Verdict,
) {
    let Some(limit) = limits.forget_after else { return };
    if members.len() < listed.len() {
        return;
    }
    let serves = |id: &str| {
        members.iter().filter_map(|m| m.view.line(id)).any(|l| !l.slots.is_empty() || !l.is_failed)
    };
    for member in members {
        for line in &member.view.others {
            let is_due = memory.gone_for(&line.id, now).is_some_and(|since| since >= limit);
            let is_master = member.view.own.master.as_ref() == Some(&line.id);
            if is_due && !line.is_meeting && !is_master && !serves(&line.id) {
                let why = format!("{line} has failed for long and is none of the list");
                verdict.steps.push(member.step(Act::Forget(line.id.clone()), why));
            }
        }
    }
}

/// Without a majority of masters no replica is elected. One takes over if the operator allows it:
/// one at a time, because with it there may be a majority again.
pub(super) fn take_over(
    members: &[Member<'_>],
    (limits, memory, now): (Limits, &Memory, Instant),
    verdict: &mut Verdict,
) {
    let Some(best) = members.iter().max_by_key(|member| member.view.covered()) else { return };
    let masters: Vec<&NodeLine> = best.view.lines().filter(|line| !line.slots.is_empty()).collect();
    let mut lost: Vec<_> =
        masters.iter().filter_map(|line| Some((memory.gone_for(&line.id, now)?, line))).collect();
    lost.sort_by(|a, b| (b.0, &b.1.id).cmp(&(a.0, &a.1.id)));
    if lost.is_empty() || (masters.len() - lost.len()) * 2 > masters.len() {
        return;
    }
    for (since, line) in lost {
        let replicas = members.iter().filter(|m| m.view.own.master.as_ref() == Some(&line.id));
        let Some(heir) = replicas.max_by_key(|m| (m.view.offset, m.id().to_owned())) else {
            continue;
        };
        let text = format!(
            "most masters are gone, so nobody can be elected; {} has the data of {line}",
            heir.name
        );
        match limits.takeover_after {
            Some(limit) if since >= limit => {
                verdict.steps.push(heir.step(Act::Takeover, text.clone()));
                verdict.problems.push(text);
                return;
            }
            Some(_) => verdict.problems.push(text + " and may take over soon"),
            None => verdict.problems.push(text + "; keeper.takeover_after is off"),
        }
    }
}
