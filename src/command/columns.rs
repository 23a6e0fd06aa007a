//! The columns of the command table: small sets of words and small enums, in Redis's own words.
//!
//! Owns what a row can say of a command. Knows nothing of requests, of keys' positions or of rows.

use super::handling::{Handling, Refusal, TimeoutAt};
use super::words::word_set;

word_set! {
    /// What kind of command it is.
    Flags {
        WRITE = 0 "write",
        READONLY = 1 "readonly",
        DENYOOM = 2 "denyoom",
        MODULE = 3 "module",
        ADMIN = 4 "admin",
        PUBSUB = 5 "pubsub",
        NOSCRIPT = 6 "noscript",
        BLOCKING = 7 "blocking",
        LOADING = 8 "loading",
        STALE = 9 "stale",
        SKIP_MONITOR = 10 "skip_monitor",
        SKIP_SLOWLOG = 11 "skip_slowlog",
        ASKING = 12 "asking",
        FAST = 13 "fast",
        NO_AUTH = 14 "no_auth",
        MAY_REPLICATE = 15 "may_replicate",
        NO_MANDATORY_KEYS = 16 "no_mandatory_keys",
        NO_ASYNC_LOADING = 17 "no_async_loading",
        NO_MULTI = 18 "no_multi",
        MOVABLEKEYS = 19 "movablekeys",
        ALLOW_BUSY = 20 "allow_busy",
    }
}

impl Flags {
    /// Flags that Redis keeps to itself: `COMMAND` does not print them.
    pub const HIDDEN: Flags = Flags::MAY_REPLICATE;

    /// Whether the command changes data.
    pub const fn is_write(self) -> bool {
        self.contains(Flags::WRITE)
    }

    /// Whether the command changes data, or may, as a script does.
    pub const fn may_change_data(self) -> bool {
        self.is_write() || self.contains(Flags::MAY_REPLICATE)
    }

    /// Whether the command only reads data, so that a replica may answer it.
    pub const fn is_readonly(self) -> bool {
        self.contains(Flags::READONLY)
    }
}

word_set! {
    /// The categories of access control, without the `@`.
    Categories {
        KEYSPACE = 0 "keyspace",
        READ = 1 "read",
        WRITE = 2 "write",
        SET = 3 "set",
        SORTEDSET = 4 "sortedset",
        LIST = 5 "list",
        HASH = 6 "hash",
        STRING = 7 "string",
        ARRAY = 8 "array",
        BITMAP = 9 "bitmap",
        HYPERLOGLOG = 10 "hyperloglog",
        GEO = 11 "geo",
        STREAM = 12 "stream",
        PUBSUB = 13 "pubsub",
        ADMIN = 14 "admin",
        FAST = 15 "fast",
        SLOW = 16 "slow",
        BLOCKING = 17 "blocking",
        DANGEROUS = 18 "dangerous",
        CONNECTION = 19 "connection",
        TRANSACTION = 20 "transaction",
        SCRIPTING = 21 "scripting",
    }
}

impl Categories {
    /// Adds the categories that follow from flags; a row names only the others.
    #[must_use]
    pub(crate) fn implied_by(mut self, flags: Flags) -> Categories {
        let is = |flag| flags.contains(flag);
        if is(Flags::WRITE) {
            self = self.union(Categories::WRITE);
        }
        if is(Flags::READONLY) && !self.contains(Categories::SCRIPTING) {
            self = self.union(Categories::READ);
        }
        if is(Flags::ADMIN) {
            self = self.union(Categories::ADMIN).union(Categories::DANGEROUS);
        }
        if is(Flags::PUBSUB) {
            self = self.union(Categories::PUBSUB);
        }
        if is(Flags::BLOCKING) {
            self = self.union(Categories::BLOCKING);
        }
        self.union(if is(Flags::FAST) { Categories::FAST } else { Categories::SLOW })
    }
}

word_set! {
    /// What `COMMAND` tells clients beside flags: the two policies, and how far replies repeat.
    Tips {
        NONDETERMINISTIC_OUTPUT = 0 "nondeterministic_output",
        NONDETERMINISTIC_OUTPUT_ORDER = 1 "nondeterministic_output_order",
        REQUEST_ALL_NODES = 2 "request_policy:all_nodes",
        REQUEST_ALL_SHARDS = 3 "request_policy:all_shards",
        REQUEST_MULTI_SHARD = 4 "request_policy:multi_shard",
        REQUEST_SPECIAL = 5 "request_policy:special",
        RESPONSE_ONE_SUCCEEDED = 6 "response_policy:one_succeeded",
        RESPONSE_ALL_SUCCEEDED = 7 "response_policy:all_succeeded",
        RESPONSE_AGG_LOGICAL_AND = 8 "response_policy:agg_logical_and",
        RESPONSE_AGG_LOGICAL_OR = 9 "response_policy:agg_logical_or",
        RESPONSE_AGG_MIN = 10 "response_policy:agg_min",
        RESPONSE_AGG_MAX = 11 "response_policy:agg_max",
        RESPONSE_AGG_SUM = 12 "response_policy:agg_sum",
        RESPONSE_SPECIAL = 13 "response_policy:special",
    }
}

impl Tips {
    /// Where a request without one slot goes.
    pub(crate) fn request_policy(self) -> RequestPolicy {
        let rows = [
            (Tips::REQUEST_ALL_NODES, RequestPolicy::AllNodes),
            (Tips::REQUEST_ALL_SHARDS, RequestPolicy::AllShards),
            (Tips::REQUEST_MULTI_SHARD, RequestPolicy::MultiShard),
            (Tips::REQUEST_SPECIAL, RequestPolicy::Special),
        ];
        rows.iter().find(|row| self.contains(row.0)).map_or(RequestPolicy::None, |row| row.1)
    }

    /// How several replies become one.
    pub(crate) fn response_policy(self) -> ResponsePolicy {
        let rows = [
            (Tips::RESPONSE_ONE_SUCCEEDED, ResponsePolicy::OneSucceeded),
            (Tips::RESPONSE_ALL_SUCCEEDED, ResponsePolicy::AllSucceeded),
            (Tips::RESPONSE_AGG_LOGICAL_AND, ResponsePolicy::AggLogicalAnd),
            (Tips::RESPONSE_AGG_LOGICAL_OR, ResponsePolicy::AggLogicalOr),
            (Tips::RESPONSE_AGG_MIN, ResponsePolicy::AggMin),
            (Tips::RESPONSE_AGG_MAX, ResponsePolicy::AggMax),
            (Tips::RESPONSE_AGG_SUM, ResponsePolicy::AggSum),
            (Tips::RESPONSE_SPECIAL, ResponsePolicy::Special),
        ];
        rows.iter().find(|row| self.contains(row.0)).map_or(ResponsePolicy::None, |row| row.1)
    }
}

/// Which nodes a request goes to when its keys do not decide it: Redis's `request_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPolicy {
    /// No policy: by the slot of its keys, or to any one shard when it has none.
    None,
    /// To every node, replicas included.
    AllNodes,
    /// To every shard's primary.
    AllShards,
    /// In parts, each with the keys of one shard.
    MultiShard,
    /// In a way of its own.
    Special,
}

/// How the replies of several nodes become one: Redis's `response_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponsePolicy {
    /// No policy: arrays are joined; parts of a split request are put back in the keys' order.
    None,
    /// The first reply that is no error.
    OneSucceeded,
    /// One reply if none is an error, else an error.
    AllSucceeded,
    /// Element-wise logical and.
    AggLogicalAnd,
    /// Element-wise logical or.
    AggLogicalOr,
    /// The smallest number.
    AggMin,
    /// The largest number.
    AggMax,
    /// The sum.
    AggSum,
    /// In a way of its own.
    Special,
}

/// What a command counts as in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Reads data.
    Read,
    /// Changes data.
    Write,
    /// Belongs to transactions.
    Multi,
    /// Runs or keeps scripts and functions.
    Script,
    /// Waits.
    Blocking,
    /// Publishes or subscribes.
    PubSub,
    /// All else: connections, servers, the cluster.
    Admin,
}

impl Class {
    /// Every class, in the order of the enum.
    pub const ALL: [Class; 7] = [
        Class::Read,
        Class::Write,
        Class::Multi,
        Class::Script,
        Class::Blocking,
        Class::PubSub,
        Class::Admin,
    ];

    /// The label's value.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Multi => "multi",
            Class::Script => "script",
            Class::Blocking => "blocking",
            Class::PubSub => "pubsub",
            Class::Admin => "admin",
        }
    }

    /// The class that follows from the other columns.
    pub(crate) fn of(flags: Flags, categories: Categories, handling: Handling) -> Class {
        if categories.contains(Categories::SCRIPTING) {
            Class::Script
        } else if categories.contains(Categories::TRANSACTION) {
            Class::Multi
        } else if matches!(
            handling,
            Handling::Refuse(Refusal::Blocking) | Handling::Wait(_) | Handling::Block(_)
        ) && handling != Handling::Block(TimeoutAt::Option)
        {
            Class::Blocking
        } else if flags.contains(Flags::PUBSUB) {
            Class::PubSub
        } else if flags.contains(Flags::ADMIN) {
            Class::Admin
        } else if flags.is_write() {
            Class::Write
        } else if flags.is_readonly() {
            Class::Read
        } else {
            Class::Admin
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_among_the_tips() {
        let tips = Tips::of("request_policy:all_shards response_policy:agg_sum");
        assert_eq!(tips.request_policy(), RequestPolicy::AllShards);
        assert_eq!(tips.response_policy(), ResponsePolicy::AggSum);
        assert_eq!(Tips::EMPTY.request_policy(), RequestPolicy::None);
        assert_eq!(Tips::EMPTY.response_policy(), ResponsePolicy::None);
    }

    #[test]
    fn categories_follow_from_flags() {
        let words = |flags: &str, own: &str| {
            let set = Categories::of(own).implied_by(Flags::of(flags));
            set.words().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(words("write fast", "string"), "write string fast");
        assert_eq!(words("readonly", "scripting"), "slow scripting");
        assert_eq!(words("admin", ""), "admin slow dangerous");
    }

    #[test]
    fn classes_have_distinct_names() {
        let names: std::collections::BTreeSet<_> = Class::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Class::ALL.len());
    }
}
