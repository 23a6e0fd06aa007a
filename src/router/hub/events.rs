//! Events of the keyspace: which subscriptions at the nodes bring them, and what clients are told.
//!
//! Owns both translations. At the nodes there is one database, 0, and the keys of the others have tags:
//! an event of key `k` in database 3 is published on `__keyspace@0__:{tag}k`, and a client gets it on
//! `__keyspace@3__:k`. See <https://redis.io/docs/latest/develop/pubsub/keyspace-notifications/>. Pure.

use std::borrow::Cow;

use crate::command::Topic;
use crate::database::Databases;

const KEYSPACE: &[u8] = b"__keyspace@";
const KEYEVENT: &[u8] = b"__keyevent@";
/// Every event there is. No client writes it like that.
const ALL: &[u8] = b"[_]_key*@0__:*";

/// What brings the events of a client's channel or pattern; asked of every master.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// What is asked for.
    pub(super) topic: Topic,
    pub(super) name: Vec<u8>,
    /// The client's name can mean events only, and no message.
    pub(super) is_all: bool,
}

/// Whether a channel carries events of the keyspace.
pub fn is_event_channel(channel: &[u8]) -> bool {
    channel.starts_with(KEYSPACE) || channel.starts_with(KEYEVENT)
}

/// What brings the events that a client's channel or pattern means. `None`: it means none. More may come
/// than is meant.
pub(super) fn source_of(topic: Topic, name: &[u8], databases: &Databases) -> Option<Source> {
    if topic == Topic::Shard || !may_name_events(topic, name) {
        return None;
    }
    let all = |is_all| Some(Source { topic: Topic::Pattern, name: ALL.to_vec(), is_all });
    let Some((begin, rest)) = begin_of(name) else { return all(false) };
    let Some((number, rest)) = split_database(rest) else {
        // Not the name of any event's channel, or a pattern that is hard to read.
        return all(true);
    };
    let is_plain = !number.iter().any(|byte| is_special(*byte));
    let tag: &[u8] = if begin == KEYEVENT || !is_plain {
        b""
    } else {
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
        match number {
            Some(0) | None => b"",
            Some(number) => databases.get(number).map_or(&b""[..], |database| &database.tag),
        }
    };
    let rest = if begin == KEYSPACE && !is_plain { b"*" } else { rest };
    let name = [begin, b"0__:", tag, rest].concat();
    Some(Source { topic, name, is_all: true })
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'\\')
}

fn begin_of(name: &[u8]) -> Option<(&'static [u8], &[u8])> {
    let begin = [KEYSPACE, KEYEVENT].into_iter().find(|begin| name.starts_with(begin))?;
    Some((begin, &name[begin.len()..]))
}

/// The number of the database, or a pattern of it, and what is behind `__:`.
fn split_database(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = rest.windows(3).position(|three| three == b"__:")?;
    // A class or an escape in the number may have anything in it.
    let number = &rest[..end];
    (!number.iter().any(|byte| matches!(byte, b'[' | b'\\'))).then(|| (number, &rest[end + 3..]))
}

/// Whether a name may stand for channels with events.
fn may_name_events(topic: Topic, name: &[u8]) -> bool {
    if topic == Topic::Channel {
        return is_event_channel(name);
    }
    let len = name.iter().position(|byte| is_special(*byte)).unwrap_or(name.len());
    let literal = &name[..len];
    [KEYSPACE, KEYEVENT].iter().any(|begin| {
        let common = literal.len().min(begin.len());
        literal[..common] == begin[..common] && (common == begin.len() || len < name.len())
    })
}

/// A node's event as clients are told of it: its channel, and what it says.
pub(super) fn told<'e>(
    channel: &'e [u8],
    payload: &'e [u8],
    databases: &Databases,
) -> (Cow<'e, [u8]>, &'e [u8]) {
    let plain = (Cow::Borrowed(channel), payload);
    let Some((begin, rest)) = begin_of(channel) else { return plain };
    let Some((b"0", rest)) = split_database(rest) else { return plain };
    let key = if begin == KEYSPACE { rest } else { payload };
    let Some(database) = databases.owner(key) else { return plain };
    let number = format!("{}__:", database.number);
    let shown = database.shown(key);
    if begin == KEYSPACE {
        (Cow::Owned([begin, number.as_bytes(), shown].concat()), payload)
    } else {
        (Cow::Owned([begin, number.as_bytes(), rest].concat()), shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(databases: &Databases, number: usize) -> String {
        String::from_utf8(databases.get(number).unwrap().tag.to_vec()).unwrap()
    }

    #[test]
    fn names_lead_to_what_brings_their_events() {
        let databases = Databases::new(16, "db");
        let of_three = format!("__keyspace@0__:{}k", tag(&databases, 3));
        for (topic, name, source, is_all) in [
            (Topic::Channel, "__keyspace@0__:k", "__keyspace@0__:k", true),
            (Topic::Channel, "__keyspace@3__:k", &of_three, true),
            (Topic::Channel, "__keyevent@3__:set", "__keyevent@0__:set", true),
            (Topic::Pattern, "__keyevent@*__:set", "__keyevent@0__:set", true),
            (Topic::Pattern, "__keyevent@3__:*", "__keyevent@0__:*", true),
            (Topic::Pattern, "__keyspace@*__:k*", "__keyspace@0__:*", true),
            (Topic::Pattern, "__keyspace@3__:k", &of_three, true),
            (Topic::Pattern, "__keyspace@[03]__:k", "[_]_key*@0__:*", true),
            (Topic::Pattern, "__keyspace@0*", "[_]_key*@0__:*", true),
            (Topic::Pattern, "*", "[_]_key*@0__:*", false),
            (Topic::Pattern, "__key*", "[_]_key*@0__:*", false),
        ] {
            let found = source_of(topic, name.as_bytes(), &databases).expect(name);
            assert_eq!(String::from_utf8_lossy(&found.name), source, "{name}");
            assert_eq!(found.is_all, is_all, "{name}");
        }
        for (topic, name) in [
            (Topic::Channel, "news"),
            (Topic::Channel, "*"),
            (Topic::Pattern, "news.*"),
            (Topic::Pattern, "__kez*"),
            (Topic::Pattern, "__key"),
            (Topic::Shard, "__keyspace@0__:k"),
        ] {
            assert_eq!(source_of(topic, name.as_bytes(), &databases), None, "{name}");
        }
    }

    #[test]
    fn events_are_told_in_their_database() {
        let databases = Databases::new(16, "db");
        let tagged = format!("{}k", tag(&databases, 3));
        let said = |channel: &str, payload: &str| {
            let (channel, payload) = told(channel.as_bytes(), payload.as_bytes(), &databases);
            [channel.as_ref(), payload].map(|text| String::from_utf8_lossy(text).into_owned())
        };
        assert_eq!(said("__keyspace@0__:k", "set"), ["__keyspace@0__:k", "set"]);
        assert_eq!(said(&format!("__keyspace@0__:{tagged}"), "set"), ["__keyspace@3__:k", "set"]);
        assert_eq!(said("__keyevent@0__:set", "k"), ["__keyevent@0__:set", "k"]);
        assert_eq!(said("__keyevent@0__:set", &tagged), ["__keyevent@3__:set", "k"]);
    }
}
