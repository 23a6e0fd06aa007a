//! Making a cluster of nodes that are none yet.
//!
//! Owns the order of the steps: every node claims its place, all meet, masters take their slots;
//! the rest is `heal.rs`. Owns the judgement that nothing is lost by it. Pure: what is there
//! already decides what comes next, so it does not matter who began, or how often.
//!
//! The plan is written on the nodes themselves. A node takes a configuration epoch only once, and
//! only while it knows nobody, so that its epoch is its place in the plan and nobody can change it.
//! Claims are made in the order of the nodes' ids and end with the first that is refused: of two
//! keepers with different ideas one is first at the first node they differ in, and the other, which
//! looks again, finds the place taken and goes on with that plan.

use std::fmt;

use super::heal;
use super::plan::{Shape, spread};
use super::snapshot::{Act, Member, Step};
use super::view::count;

/// What is to be done next, and what is still waited for.
#[derive(Debug, Default)]
pub(super) struct Forming {
    pub(super) steps: Vec<Step>,
    pub(super) lacks: Vec<String>,
}

/// Why a node must be left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It holds so many keys.
    Keys(u64),
    /// It knows a node that is none of the list.
    Foreign(String),
    /// It serves so many slots that are not planned for it.
    Slots(usize),
    /// It follows a master, and the plan has no place for it.
    Replica,
}

/// What comes next for the nodes of the list, all of which must have answered; or which of them is
/// taken, and why.
pub(super) fn next<'a>(
    members: &[Member<'a>],
    shape: Shape,
) -> Result<Forming, (Member<'a>, Taken)> {
    let mut forming = Forming::default();
    refuse_foreign(members, &mut forming)?;
    let places = places(members, shape)?;
    let all_met = members.iter().all(|member| knows_all(member, members));
    for (place, member) in places.iter().enumerate() {
        let planned = shape.slots(place).map_or(0, |slots| slots.len());
        let is_done = all_met && planned > 0 && count(&member.view.own.slots) == planned;
        // Clients may be faster than the keeper: what has all its slots may be written to.
        if member.view.keys > 0 && !is_done {
            return Err((*member, Taken::Keys(member.view.keys)));
        }
    }
    if forming.lacks.is_empty() {
        proceed(&places, shape, &mut forming);
    }
    Ok(forming)
}

/// The first thing that is not done yet.
fn proceed(places: &[Member<'_>], shape: Shape, forming: &mut Forming) {
    for act in [claims, meetings, slots] {
        act(places, shape, forming);
        if !forming.lacks.is_empty() {
            return;
        }
    }
    heal::spread_word(places, &mut forming.steps, &mut forming.lacks);
    if forming.lacks.is_empty() {
        forming.lacks.push("the nodes do not know all masters yet".to_owned());
    }
}

fn knows_all(member: &Member<'_>, members: &[Member<'_>]) -> bool {
    let met = |other: &Member<'_>| member.view.line(other.id()).is_some();
    members.iter().all(|other| other.at == member.at || met(other))
}

/// A node that knows foreign nodes belongs to them. One that is just meeting somebody cannot say whom.
fn refuse_foreign<'a>(
    members: &[Member<'a>],
    forming: &mut Forming,
) -> Result<(), (Member<'a>, Taken)> {
    for member in members {
        for line in &member.view.others {
            let is_ours = if line.is_meeting {
                members.iter().any(|other| Some(other.address) == line.address)
            } else {
                members.iter().any(|other| other.id() == line.id)
            };
            if is_ours {
                continue;
            }
            if !line.is_meeting {
                return Err((*member, Taken::Foreign(line.to_string())));
            }
            forming.lacks.push(format!("{} is just meeting somebody", member.name));
        }
    }
    Ok(())
}

/// The nodes in the order of the plan, as far as it is written on them: masters by their slots, the
/// others by their claims; who has neither gets what is left.
fn places<'a>(
    members: &[Member<'a>],
    shape: Shape,
) -> Result<Vec<Member<'a>>, (Member<'a>, Taken)> {
    let mut places: Vec<Option<Member<'a>>> = vec![None; shape.nodes];
    let mut left: Vec<Member<'a>> = Vec::new();
    let hosts: Vec<_> = members.iter().map(|member| member.address.ip()).collect();
    for member in spread(&hosts).into_iter().filter_map(|at| members.get(at)) {
        let own = &member.view.own.slots;
        let Some(first) = own.first() else {
            left.push(*member);
            continue;
        };
        let place = shape.place_of(*first.start());
        let planned = place.and_then(|place| shape.slots(place));
        let fits = planned.is_some_and(|planned| {
            own.iter().all(|own| planned.contains(own.start()) && planned.contains(own.end()))
        });
        match place.and_then(|place| places.get_mut(place)) {
            Some(free @ None) if fits => *free = Some(*member),
            _ => return Err((*member, Taken::Slots(count(own)))),
        }
    }
    let mut claimants = left.clone();
    claimants.retain(|member| member.view.own.master.is_none());
    claimants.sort_by(|a, b| a.id().cmp(b.id()));
    for member in claimants {
        let claimed = usize::try_from(member.view.own.epoch).ok().and_then(|epoch| {
            places.get_mut(epoch.checked_sub(1)?).filter(|place| place.is_none())
        });
        if let Some(place) = claimed {
            *place = Some(member);
            left.retain(|other| other.at != member.at);
        }
    }
    // Replicas choose first: they cannot be masters any more.
    left.sort_by_key(|member| member.view.own.master.is_none());
    for member in left {
        let from = if member.view.own.master.is_some() { shape.masters } else { 0 };
        match places.iter_mut().skip(from).find(|place| place.is_none()) {
            Some(place) => *place = Some(member),
            None => return Err((member, Taken::Replica)),
        }
    }
    Ok(places.into_iter().flatten().collect())
}

fn claims(places: &[Member<'_>], _: Shape, forming: &mut Forming) {
    let mut numbered: Vec<(usize, &Member<'_>)> = places.iter().enumerate().collect();
    numbered.sort_by(|(_, a), (_, b)| a.id().cmp(b.id()));
    for (place, member) in numbered {
        if member.view.is_alone() && member.view.own.epoch == 0 {
            let why = format!("{} gets place {} of the plan", member.name, place + 1);
            forming.steps.push(member.step(Act::Claim(place as u64 + 1), why));
            forming.lacks.push(format!("{} is empty", member.name));
        }
    }
}

fn meetings(places: &[Member<'_>], _: Shape, forming: &mut Forming) {
    for (place, one) in places.iter().enumerate() {
        for other in places.iter().skip(place + 1) {
            let (knows, known) = (one.view.line(other.id()), other.view.line(one.id()));
            let (from, to) = match (knows, known) {
                (Some(_), Some(_)) => continue,
                (None, _) => (one, other),
                (_, None) => (other, one),
            };
            let why = format!("{} does not know {} yet", from.name, to.name);
            if !from.view.is_meeting(to.address) {
                forming.steps.push(from.step(to.invitation(), why.clone()));
            }
            forming.lacks.push(why);
        }
    }
}

/// Only when all know each other: then a node refuses slots that another one serves.
fn slots(places: &[Member<'_>], shape: Shape, forming: &mut Forming) {
    for (place, member) in places.iter().enumerate() {
        let Some(planned) = shape.slots(place) else { break };
        let has = |slot: &u16| member.view.own.slots.iter().any(|own| own.contains(slot));
        let missing: Vec<u16> = planned.filter(|slot| !has(slot)).collect();
        if !missing.is_empty() {
            let why = format!("{} is master number {}", member.name, place + 1);
            forming.lacks.push(format!("{} lacks {} slots", member.name, missing.len()));
            forming.steps.push(member.step(Act::AddSlots(missing), why));
        }
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Taken::Keys(1) => f.write_str("it holds a key"),
            Taken::Keys(count) => write!(f, "it holds {count} keys"),
            Taken::Foreign(node) => write!(f, "it knows a node that is not named here: {node}"),
            Taken::Slots(count) => write!(f, "it already serves {count} slots"),
            Taken::Replica => f.write_str("it already follows a master"),
        }
    }
}
