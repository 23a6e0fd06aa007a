//! Laying what a live server says of its commands over the table.
//!
//! Owns the rules of who is believed: the server on what a command is and where its keys are,
//! the table on who answers it and how requests are spread. Knows nothing of where the answer to
//! `COMMAND` came from.
//!
//! On policies the table is believed because servers have corrected theirs without a change of
//! the command: Redis 7.0 has MSETNX split over shards, though it is all or nothing, and does
//! not add up what LATENCY RESET counts.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use super::columns::{Categories, Class, Flags, Tips};
use super::handling::{Handling, Local, Refusal, ReplyKeys};
use super::key_spec::{BeginSearch, FindKeys, KeyFlags, KeySpec};
use super::keys::{self, Finder};
use super::live::LiveCommand;
use super::{Command, CommandId, CommandTable, RequestPolicy, ResponsePolicy, table};

/// A server may add as many rows: they become labels of counters, which are never given back.
pub(super) const APPENDED_MAX: usize = 2_000;

/// What an overlay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayReport {
    /// Rows that the server has too.
    pub known: usize,
    /// Among them, those whose key specs were of no use, so that the table's stayed.
    pub keys_kept: usize,
    /// Among them, those whose policies differ from the table's, which stayed.
    pub policies_kept: usize,
    /// Rows that are new.
    pub appended: usize,
    /// Among them, those that the gateway does not take.
    pub refused: usize,
    /// Rows of the server that did not fit any more.
    pub left_out: usize,
    /// Rows of the table that the server lacks. They stay: the node will say that it lacks them.
    pub missing: usize,
}

impl fmt::Display for OverlayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OverlayReport { known, keys_kept, policies_kept, .. } = self;
        let OverlayReport { appended, refused, left_out, missing, .. } = self;
        write!(
            f,
            "{known} commands known ({keys_kept} with keys and {policies_kept} with policies "
        )?;
        write!(f, "by the gateway's own table), {appended} new ({refused} of them refused), ")?;
        write!(f, "{left_out} left out, {missing} that the cluster lacks")
    }
}

impl CommandTable {
    /// This table with a live server's laid over it. Ids of rows that are in this table stay as
    /// they are; what is new is put behind them.
    pub fn overlay(&self, live: &[LiveCommand]) -> (CommandTable, OverlayReport) {
        let ids = self.iter().map(|(id, row)| (row.name.to_string(), id)).collect();
        let mut rows = self.rows.clone();
        rows.iter_mut().for_each(|row| row.subcommands = None);
        let mut overlay =
            Overlay { rows, ids, seen: vec![false; self.len()], report: OverlayReport::default() };
        for command in live {
            overlay.lay(command, None);
            for sub in &command.subcommands {
                overlay.lay(sub, Some(&command.name));
            }
        }
        overlay.report.missing = overlay.seen.iter().filter(|seen| !**seen).count();
        overlay.mark_absent();
        (CommandTable::of(overlay.rows), overlay.report)
    }
}

/// A table in the making.
struct Overlay {
    rows: Vec<Command>,
    ids: HashMap<String, CommandId>,
    seen: Vec<bool>,
    report: OverlayReport,
}

impl Overlay {
    fn lay(&mut self, live: &LiveCommand, container: Option<&str>) {
        let name = match container {
            Some(container) => format!("{container}|{}", live.name),
            None => live.name.clone(),
        };
        if let Some(&id) = self.ids.get(&name) {
            let id = usize::from(id);
            self.report.known += 1;
            self.seen[id] = true;
            let row = &mut self.rows[id];
            if id < builtin_len() {
                let differs = |tips: Tips| {
                    let theirs = (tips.request_policy(), tips.response_policy());
                    theirs != (row.request, row.response)
                };
                self.report.policies_kept += usize::from(live.tips.is_some_and(differs));
                self.report.keys_kept += usize::from(!update(row, live));
            } else {
                // The row came from a server before: nothing in it is ours.
                *row = appended(name, live, container);
            }
            return;
        }
        let fits = self.rows.len() < builtin_len() + APPENDED_MAX;
        let (true, Ok(id)) = (fits, CommandId::try_from(self.rows.len())) else {
            self.report.left_out += 1;
            return;
        };
        let row = appended(name.clone(), live, container);
        self.report.appended += 1;
        self.report.refused += usize::from(matches!(row.handling, Handling::Refuse(_)));
        self.rows.push(row);
        self.seen.push(true);
        self.ids.insert(name, id);
    }

    /// Marks what nobody answers. Servers before 7.0 tell no subcommands, though they have them, and
    /// one that tells of nothing we know has not told anything.
    fn mark_absent(&mut self) {
        if self.report.known == 0 {
            return;
        }
        let container =
            |name: &str| name.split_once('|').map(|(container, _)| container.to_owned());
        let seen = self.rows.iter().zip(&self.seen).filter(|(_, seen)| **seen);
        let told: HashSet<String> = seen.filter_map(|(row, _)| container(&row.name)).collect();
        for (row, seen) in self.rows.iter_mut().zip(&self.seen) {
            let is_told = container(&row.name).is_none_or(|container| told.contains(&container));
            row.is_absent = !seen && is_told && !answers_itself(row.handling);
        }
    }
}

/// Whether the gateway has an answer of its own, whatever the nodes know.
fn answers_itself(handling: Handling) -> bool {
    matches!(handling, Handling::Local(what) if what != Local::ClusterDisabled)
}

fn builtin_len() -> usize {
    table::GROUPS.iter().map(|group| group.len()).sum()
}

/// A row of ours, brought up to date. `false` when the server's key specs were of no use.
fn update(row: &mut Command, live: &LiveCommand) -> bool {
    row.arity = live.arity;
    row.flags = live.flags.union(row.flags.intersection(Flags::HIDDEN));
    // Whose words may be in a reply is not for a node to say: others rely on it.
    let scripted = row.categories.intersection(Categories::SCRIPTING);
    row.categories = live
        .categories
        .map(|categories| categories.union(scripted))
        .unwrap_or_else(|| row.categories.without(Categories::FAST).without(Categories::SLOW));
    let usable = match &live.keys {
        Some(keys) => {
            let usable = row.search.is_some() || tell_all_keys(keys, live.flags);
            if usable {
                row.keys = Cow::Owned(keys.clone());
            }
            usable
        }
        None => true,
    };
    row.derive();
    usable
}

/// A row that only the server knows.
fn appended(name: String, live: &LiveCommand, container: Option<&str>) -> Command {
    let keys = match &live.keys {
        Some(keys) if !keys.is_empty() => keys.clone(),
        _ => legacy_spec(live.legacy_keys),
    };
    let handling = handling(live, &keys, container);
    let mut row = Command {
        name: Cow::Owned(name),
        arity: live.arity,
        flags: live.flags,
        keys: Cow::Owned(keys),
        request: RequestPolicy::None,
        response: ResponsePolicy::None,
        handling,
        reply_keys: ReplyKeys::None,
        class: Class::Admin,
        categories: live.categories.unwrap_or(Categories::EMPTY),
        tips: live.tips.unwrap_or(Tips::EMPTY),
        is_absent: false,
        legacy_keys: [0; 3],
        search: None,
        finder: Finder::Nothing,
        only_key: 0,
        subcommands: None,
    };
    row.derive();
    row
}

/// Who answers a command that only the server knows: it is sent on, unless it may wait, turn its
/// connection into something else, or manage a server.
fn handling(live: &LiveCommand, keys: &[KeySpec], container: Option<&str>) -> Handling {
    let flag = |flag| live.flags.contains(flag);
    let category = |set| live.categories.is_some_and(|categories| categories.contains(set));
    let refusal = if !live.subcommands.is_empty() {
        Refusal::Container
    } else if flag(Flags::BLOCKING) || category(Categories::BLOCKING) {
        Refusal::Blocking
    } else if flag(Flags::PUBSUB) || category(Categories::PUBSUB) {
        Refusal::Subscription
    } else if category(Categories::TRANSACTION) {
        Refusal::Transaction
    } else if container == Some("cluster") {
        return Handling::Local(Local::ClusterDisabled);
    } else if flag(Flags::NO_AUTH)
        || category(Categories::CONNECTION)
        || container == Some("client")
    {
        Refusal::ConnectionState
    } else if !tell_all_keys(keys, live.flags) {
        Refusal::UnknownKeys
    } else if !keys.is_empty() {
        return Handling::Route;
    } else if flag(Flags::ADMIN) || category(Categories::DANGEROUS) {
        Refusal::ServerAdmin
    } else {
        return Handling::Route;
    };
    Handling::Refuse(refusal)
}

/// Whether the specs tell all keys: a module may say that they move and find them in code that
/// nobody else can run.
fn tell_all_keys(keys: &[KeySpec], flags: Flags) -> bool {
    let (_, movable) = keys::legacy_range(keys);
    let hidden_code = flags.contains(Flags::MOVABLEKEYS) && !movable;
    Finder::of(keys, None).is_some() && !hidden_code
}

/// The key spec that first key, last key and step amount to.
fn legacy_spec([first, last, step]: [i32; 3]) -> Vec<KeySpec> {
    let Ok(index @ 1..) = u32::try_from(first) else { return Vec::new() };
    let last = if last < 0 { last } else { last.saturating_sub(first) };
    let find = match u32::try_from(step) {
        Ok(step @ 1..) => FindKeys::Range { last, step, limit: 0 },
        _ => FindKeys::Unknown,
    };
    vec![KeySpec { flags: KeyFlags::EMPTY, begin: BeginSearch::Index(index), find }]
}

#[cfg(test)]
mod tests;
