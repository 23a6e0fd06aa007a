//! What changed after Redis 7.0, and what means every master here: differences that the comparison expects.

/// Where the table, which follows the newest servers and sends to a whole cluster, differs from Redis 7.0:
/// name, column, why.
pub(crate) const NEWER: &[(&str, &str, &str)] = &[
    ("acl|deluser", "tips", NODES),
    ("acl|save", "tips", NODES),
    ("acl|setuser", "tips", NODES),
    ("bgrewriteaof", "tips", EVERY_MASTER),
    ("bgsave", "tips", EVERY_MASTER),
    ("blmove", "flags", IN_SCRIPTS),
    ("blpop", "flags", IN_SCRIPTS),
    ("brpop", "flags", IN_SCRIPTS),
    ("brpoplpush", "flags", IN_SCRIPTS),
    ("bzpopmax", "flags", IN_SCRIPTS),
    ("bzpopmin", "flags", IN_SCRIPTS),
    ("client|setname", "tips", NODES),
    ("cluster|count-failure-reports", "flags", WHILE_LOADING),
    ("cluster|info", "flags", WHILE_LOADING),
    ("cluster|keyslot", "flags", WHILE_LOADING),
    ("cluster|links", "flags", WHILE_LOADING),
    ("cluster|myid", "flags", WHILE_LOADING),
    ("cluster|nodes", "flags", WHILE_LOADING),
    ("cluster|replicas", "flags", WHILE_LOADING),
    ("cluster|shards", "flags", WHILE_LOADING),
    ("cluster|slaves", "flags", WHILE_LOADING),
    ("cluster|slots", "flags", WHILE_LOADING),
    ("command|getkeys", "arity", ONE_WORD),
    ("command|getkeysandflags", "arity", ONE_WORD),
    ("config|resetstat", "tips", NODES),
    ("config|rewrite", "tips", NODES),
    ("lastsave", "tips", EVERY_MASTER),
    ("latency|reset", "tips", COUNTS),
    ("msetnx", "tips", NOT_SPLIT),
    ("psubscribe", "flags", OUT_OF_MEMORY),
    ("randomkey", "tips", OWN_WAY),
    ("scan", "tips", OWN_WAY),
    ("sinterstore", "key specs", OVERWRITES),
    ("ssubscribe", "flags", OUT_OF_MEMORY),
    ("subscribe", "flags", OUT_OF_MEMORY),
    ("wait", "categories", WAITS),
    ("wait", "flags", WAITS),
    ("zrank", "arity", WITH_SCORE),
    ("zrevrank", "arity", WITH_SCORE),
];

const NODES: &str = "7.0 gave no policy to commands that concern every node";
const EVERY_MASTER: &str = "one server saves its own data; here it is the data of every master";
const IN_SCRIPTS: &str = "later servers let scripts call it: it then does not wait";
const WHILE_LOADING: &str = "later nodes answer it while they load their data";
const OUT_OF_MEMORY: &str = "later servers refuse new subscriptions when memory is out";
const ONE_WORD: &str = "later servers look at a request of one word";
const COUNTS: &str = "its reply is a number, which 7.0's policy does not add up";
const NOT_SPLIT: &str = "all or none cannot be split; 7.0's policy was wrong";
const OWN_WAY: &str = "later servers say that its replies are not simply put together";
const OVERWRITES: &str = "it overwrites its first key, which 7.0 does not say";
const WAITS: &str = "it waits, which 7.0 does not say";
const WITH_SCORE: &str = "7.2 added WITHSCORE";
