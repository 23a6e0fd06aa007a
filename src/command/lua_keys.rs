//! Where commands have their keys, for scripts that have to know it.
//!
//! Owns the form in which the command table is told to Lua. Data only: lists of words between blanks.

use super::handling::ReplyKeys;
use super::key_search::KeySearch;
use super::{BeginSearch, Command, CommandTable, FindKeys, KeyFlags, KeySpec};

/// The table as scripts read it. Each list begins and ends with a blank.
#[derive(Debug)]
pub struct LuaKeys {
    /// Commands whose only key is their first argument.
    pub one: String,
    /// Commands without keys.
    pub none: String,
    /// All others: `name=rule,rule`. A rule is a letter and numbers with dots between: `r` first, last and
    /// step, as in `COMMAND`; `n` where the number of keys is, the first key and the step; `x` streams;
    /// `s` SORT; `g` GEORADIUS.
    pub more: String,
    /// Commands whose reply begins with a key, and those each of whose items does.
    pub named: [String; 2],
}

impl LuaKeys {
    /// Of all commands of a table.
    pub fn new(table: &CommandTable) -> LuaKeys {
        let mut keys = LuaKeys {
            one: " ".to_owned(),
            none: " ".to_owned(),
            more: " ".to_owned(),
            named: [" ".to_owned(), " ".to_owned()],
        };
        let mut containers: Vec<(String, String)> = Vec::new();
        for (_, command) in table.iter().filter(|(_, command)| !command.is_container()) {
            let rules = rules(command);
            // A script says the container; where the key is its subcommands agree.
            match command.name.split_once('|') {
                None => keys.add(&command.name, &rules),
                Some((name, _)) => match containers.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) if known.is_empty() => *known = rules,
                    Some(_) => {}
                    None => containers.push((name.to_owned(), rules)),
                },
            }
            let named = match command.reply_keys {
                ReplyKeys::None => continue,
                ReplyKeys::First => &mut keys.named[0],
                ReplyKeys::OfItems => &mut keys.named[1],
            };
            *named += &format!("{} ", command.name);
        }
        for (name, rules) in containers {
            keys.add(&name, &rules);
        }
        keys
    }

    fn add(&mut self, name: &str, rules: &str) {
        match rules {
            "" => self.none += &format!("{name} "),
            "r1.0.1" => self.one += &format!("{name} "),
            rules => self.more += &format!("{name}={rules} "),
        }
    }
}

fn rules(command: &Command) -> String {
    match command.search {
        Some(KeySearch::Streams) => return "x".to_owned(),
        Some(KeySearch::Sort | KeySearch::SortReadOnly) => return "s".to_owned(),
        Some(KeySearch::GeoRadius) => return "g".to_owned(),
        _ => {}
    }
    let keys = command.keys.iter().filter(|spec| !spec.flags.contains(KeyFlags::NOT_KEY));
    keys.filter_map(rule).collect::<Vec<_>>().join(",")
}

fn rule(spec: &KeySpec) -> Option<String> {
    let BeginSearch::Index(begin) = spec.begin else { return None };
    match spec.find {
        FindKeys::Range { last, step, .. } => Some(format!("r{begin}.{last}.{step}")),
        FindKeys::KeyNum { index, first, step } => Some(format!(
            "n{}.{}.{step}",
            i64::from(begin) + i64::from(index),
            i64::from(begin) + i64::from(first)
        )),
        FindKeys::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_the_table() {
        let keys = LuaKeys::new(&CommandTable::builtin());
        for (list, words) in [
            (&keys.one, &["get", "lpush", "hset", "set", "bitfield"][..]),
            (&keys.none, &["ping", "publish", "time", "cluster", "spublish"]),
            (&keys.named[0], &["blpop", "lmpop", "bzmpop"]),
            (&keys.named[1], &["xread", "xreadgroup"]),
        ] {
            for word in words {
                assert!(list.contains(&format!(" {word} ")), "{word}: {list}");
            }
        }
        for rule in [
            "mget=r1.-1.1",
            "mset=r1.-1.2",
            "rename=r1.0.1,r2.0.1",
            "zunionstore=r1.0.1,n2.3.1",
            "lmpop=n1.2.1",
            "xread=x",
            "sort=s",
            "georadius=g",
            "object=r2.0.1",
            "bitop=r2.0.1,r3.-1.1",
            "blpop=r1.-2.1",
        ] {
            assert!(keys.more.contains(&format!(" {rule} ")), "{rule}: {}", keys.more);
        }
    }
}
