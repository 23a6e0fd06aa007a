//! What happens to each command, and what of CONFIG SET is denied: tables for docs/compatibility.md.
//!
//! Owns the words for it. Where a request without keys goes is asked of the router's own plan, so
//! that the page cannot say anything else than what is done.

use std::collections::BTreeMap;

use super::{code, table};
use crate::command::guarded;
use crate::command::{
    Command, CommandTable, Flags, Handling, Local, Refusal, ResponsePolicy, Topic,
};
use crate::config::CrossSlot;
use crate::resp::Args;
use crate::router::plan::merge_of_parts;
use crate::router::{Plan, plan};

/// What happens to a command, in the order of the table; with the words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Slot,
    Waits,
    Acknowledged,
    Transaction,
    SlotOrOneNode,
    Split,
    OneMaster,
    AllMasters(&'static str),
    AllNodes(&'static str),
    PastScripts,
    Own(&'static str),
    Gateway,
    NoCluster,
    Guarded,
    Refused(&'static str),
}

/// The table of all commands by what happens to them.
pub(super) fn by_handling() -> String {
    let table_of_commands = CommandTable::builtin();
    let mut groups: BTreeMap<Fate, Vec<String>> = BTreeMap::new();
    for (_, command) in table_of_commands.iter() {
        if let Some(fate) = Fate::of(command) {
            groups.entry(fate).or_default().push(shown(&command.name));
        }
    }
    // Of DEBUG only parts can be allowed, and the table has no rows for them.
    let parts = guarded::COMMANDS.iter().map(|name| shown(name)).collect();
    groups.insert(Fate::Guarded, parts);
    let rows = groups.into_iter().map(|(fate, names)| [fate.words(), names.join(" ")]).collect();
    table(["what happens", "commands"], rows)
}

/// The options of CONFIG SET that `allow_commands` can name.
pub(super) fn denied_options() -> String {
    let kinds = guarded::OPTIONS.iter().map(|kind| [listed(kind.names), kind.what.to_owned()]);
    let newer = "all others whose names begin so, which newer servers may have".to_owned();
    let families = std::iter::once([families(&guarded::FAMILIES), newer]);
    table(["options", "what they are"], kinds.chain(families).collect())
}

/// The options of CONFIG SET that nothing can allow.
pub(super) fn never_allowed() -> String {
    let names = format!("{} {}", listed(&guarded::NEVER), families(&guarded::NEVER_FAMILIES));
    table(["options", "why not"], vec![[names, guarded::OWN_OPTION.to_owned()]])
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| code(name)).collect::<Vec<_>>().join(" ")
}

fn families(prefixes: &[&str]) -> String {
    prefixes.iter().map(|prefix| code(&format!("{prefix}…"))).collect::<Vec<_>>().join(" ")
}

/// `client|setname` as a person writes it.
fn shown(name: &str) -> String {
    code(&name.replace('|', " ").to_uppercase())
}

impl Fate {
    /// `None` for a container without its subcommand, which is no command.
    fn of(command: &Command) -> Option<Fate> {
        Some(match command.handling {
            Handling::Refuse(Refusal::Container) => return None,
            Handling::Refuse(why) => Fate::Refused(why.text()),
            Handling::Guarded(_) => Fate::Guarded,
            Handling::Local(Local::ClusterDisabled) => Fate::NoCluster,
            Handling::Local(_) => Fate::Gateway,
            Handling::Route | Handling::Script(_) | Handling::Keyspace(_) => {
                Fate::of_routed(command)
            }
            Handling::Block(_) => Fate::Waits,
            Handling::Wait(_) => Fate::Acknowledged,
            Handling::Transaction(_) => Fate::Transaction,
            Handling::Scan => Fate::Own("all masters, one after the other, behind one cursor"),
            Handling::KeyScan => Fate::Own("by the slot of the key, with a cursor of the gateway"),
            Handling::Info => Fate::Own("one text, made of all masters' and the gateway's own"),
            Handling::RandomKey => {
                Fate::Own("all masters draw a key; the gateway draws one of these")
            }
            Handling::ConfigGet => {
                Fate::Own("one master's values, without passwords; limits and sums of the whole")
            }
            Handling::ConfigResetStat => {
                Fate::Own("all nodes, replicas too, and the gateway's own figures")
            }
            Handling::ConfigSet => {
                Fate::Own("all nodes, replicas too, unless the option is denied (see below)")
            }
            Handling::Subscribe(Topic::Shard) => Fate::Own(
                "the gateway subscribes at the channel's master, once for all its clients",
            ),
            Handling::Subscribe(_) => Fate::Own(
                "the gateway subscribes, once for all its clients, and goes on subscribing",
            ),
            Handling::Monitor => Fate::Own(
                "what the gateway's clients ask, and what others and scripts ask of the masters",
            ),
            Handling::Unsubscribe(_) => Fate::Gateway,
            Handling::Publish(_) => {
                Fate::Own("one node; the answer counts the clients of this gateway one by one")
            }
            Handling::SlowlogGet => Fate::Own("all nodes, replicas too; the latest entries of all"),
        })
    }

    fn of_routed(command: &Command) -> Fate {
        if !command.keys.is_empty() {
            let is_split = command.group_len().is_some() && merge_of_parts(command).is_some();
            return match (is_split, command.flags.contains(Flags::NO_MANDATORY_KEYS)) {
                (true, _) => Fate::Split,
                (false, true) => Fate::SlotOrOneNode,
                (false, false) => Fate::Slot,
            };
        }
        let name = command.name.as_bytes();
        let args = [(0, u32::try_from(name.len()).unwrap_or(u32::MAX))];
        match plan(command, Args::new(name, &args), CrossSlot::Split, &mut Vec::new()) {
            Plan::All(_, true) => Fate::AllNodes(merged(command.response)),
            Plan::All(_, false) => Fate::AllMasters(merged(command.response)),
            Plan::OutOfBand(_) => Fate::PastScripts,
            Plan::Slot(_) | Plan::Any | Plan::Split(_) | Plan::Refuse(_) => Fate::OneMaster,
        }
    }

    fn words(self) -> String {
        match self {
            Fate::Slot => "sent to the master of the slot of its keys; keys in several slots: \
                           `-CROSSSLOT`"
                .to_owned(),
            Fate::Waits => "waits at the master of the slot of its keys, on a connection that \
                            the client has for itself (XREAD and XREADGROUP: with `BLOCK`)"
                .to_owned(),
            Fate::Acknowledged => {
                "asked of all masters, on connections of its own; the least counts".to_owned()
            }
            Fate::Transaction => "transactions: see [transactions](transactions.md)".to_owned(),
            Fate::SlotOrOneNode => {
                "sent to the master of the slot of its keys; without keys to the master of slot 0"
                    .to_owned()
            }
            Fate::Split => "split by slot, sent in parallel, merged".to_owned(),
            Fate::OneMaster => "sent to one of the masters".to_owned(),
            Fate::AllMasters(merged) => format!("sent to all masters; {merged}"),
            Fate::AllNodes(merged) => format!("sent to all nodes, replicas too; {merged}"),
            Fate::PastScripts => {
                "sent to all nodes, past a script that keeps one busy; the first success counts"
                    .to_owned()
            }
            Fate::Own(words) => words.to_owned(),
            Fate::Gateway => "answered by the gateway".to_owned(),
            Fate::NoCluster => format!("answered with `-{}`", Local::CLUSTER_DISABLED),
            Fate::Guarded => "refused unless `allow_commands` names it (see below)".to_owned(),
            Fate::Refused(why) => format!("✗ refused: {why}"),
        }
    }
}

/// How several replies become one.
fn merged(policy: ResponsePolicy) -> &'static str {
    match policy {
        ResponsePolicy::None => "replies are joined",
        ResponsePolicy::OneSucceeded => "the first success counts",
        ResponsePolicy::AllSucceeded => "one reply, or the first error",
        ResponsePolicy::AggLogicalAnd => "yes where all say yes",
        ResponsePolicy::AggLogicalOr => "yes where one says yes",
        ResponsePolicy::AggMin => "the smallest number",
        ResponsePolicy::AggMax => "the largest number",
        ResponsePolicy::AggSum => "numbers are added up",
        ResponsePolicy::Special => "in a way of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(name: &str) -> Option<Fate> {
        let table = CommandTable::builtin();
        let id = table.by_name(name).unwrap_or_else(|| panic!("{name}"));
        Fate::of(table.get(id).expect("a row"))
    }

    #[test]
    fn commands_are_told_as_they_are_handled() {
        for (name, told) in [
            ("get", Fate::Slot),
            ("msetnx", Fate::Slot),
            ("sort", Fate::Slot),
            ("xread", Fate::Waits),
            ("eval", Fate::SlotOrOneNode),
            ("mget", Fate::Split),
            ("mset", Fate::Split),
            ("latency|doctor", Fate::OneMaster),
            ("dbsize", Fate::AllMasters("numbers are added up")),
            ("keys", Fate::AllMasters("replies are joined")),
            ("script|load", Fate::AllNodes("one reply, or the first error")),
            ("script|kill", Fate::PastScripts),
            ("ping", Fate::Gateway),
            ("pubsub|numsub", Fate::Gateway),
            ("unsubscribe", Fate::Gateway),
            ("cluster|slots", Fate::NoCluster),
            ("migrate", Fate::Guarded),
            ("multi", Fate::Transaction),
        ] {
            assert_eq!(fate(name), Some(told), "{name}");
        }
        assert_eq!(fate("client"), None);
    }

    #[test]
    fn every_command_is_told_of_once() {
        let page = by_handling();
        let told: Vec<&str> = page.lines().filter_map(|line| line.rsplit('|').nth(1)).collect();
        let told: Vec<&str> =
            told.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
        for (_, command) in CommandTable::builtin().iter() {
            let name = command.name.replace('|', " ").to_uppercase();
            let times = told.iter().filter(|word| **word == name).count();
            let is_parts_only =
                command.handling == Handling::Refuse(Refusal::Container) || command.name == "debug";
            assert_eq!(times, usize::from(!is_parts_only), "{name}");
        }
    }
}
