//! The requests that are compared, as templates. Data only.
//!
//! Words in capitals that `Maker::word` knows become random; a word with `...` comes one to five
//! times. Left out, because two servers cannot agree on them:
//!
//! | left out | why |
//! |---|---|
//! | SPOP, SRANDMEMBER, HRANDFIELD, ZRANDMEMBER, RANDOMKEY | random |
//! | TTL, PTTL, EXPIRE and other relative times, TIME, OBJECT IDLETIME, XADD `*` | the clock |
//! | XPENDING with a range, XINFO CONSUMERS, XINFO STREAM FULL | how long ago something was |
//! | DUMP, SCAN, SSCAN in pages | order and cursors follow a server's own hash seed |
//! | MEMORY USAGE | the allocator's rounding |
//! | SORT BY and GET with patterns, keys of several slots where exactness needs one | a cluster refuses them, and so does the gateway |
//! | unknown commands with bytes that are no UTF-8 | the gateway replaces them in its error |
//! | SELECT 1, MOVE, COPY DB, SWAPDB | one database |
//! | HELLO, INFO, CLIENT ID, COMMAND COUNT, LATENCY, SLOWLOG, CONFIG | they describe the server |

/// Whether the order of a reply's items means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Byte for byte.
    Exact,
    /// A set: every server has its own order.
    None,
    /// Fields and values: the pairs have no order.
    Pairs,
}

/// Templates around one type of key.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) templates: &'static [(Order, &'static str)],
}

use Order::{Exact, None as Unordered, Pairs};

pub(super) const FAMILIES: &[Family] = &[
    Family { name: "string", templates: STRINGS },
    Family { name: "string", templates: SEVERAL_KEYS },
    Family { name: "bits", templates: BITMAPS },
    Family { name: "hash", templates: HASHES },
    Family { name: "list", templates: LISTS },
    Family { name: "set", templates: SETS },
    Family { name: "zset", templates: SORTED_SETS },
    Family { name: "lex", templates: SAME_SCORES },
    Family { name: "stream", templates: STREAMS },
    Family { name: "hll", templates: HYPERLOGLOGS },
    Family { name: "geo", templates: GEO },
    Family { name: "string", templates: GENERIC },
    Family { name: "script", templates: SCRIPTS },
    Family { name: "string", templates: CONNECTION },
];

const STRINGS: &[(Order, &str)] = &[
    (Exact, "SET KEY VALUE"),
    (Exact, "SET KEY LONG"),
    (Exact, "SET KEY NUMBER"),
    (Exact, "SET KEY NUMBER NX"),
    (Exact, "SET KEY VALUE XX GET"),
    (Exact, "SET KEY VALUE KEEPTTL"),
    (Exact, "SET KEY VALUE EXAT LATER"),
    (Exact, "SET KEY VALUE NX XX"),
    (Exact, "SETNX KEY NUMBER"),
    (Exact, "GETSET KEY NUMBER"),
    (Exact, "GETDEL KEY"),
    (Exact, "GETEX KEY PERSIST"),
    (Exact, "GETEX KEY PXAT LATER_MS"),
    (Exact, "GET KEY"),
    (Exact, "GET KEY"),
    (Exact, "INCR KEY"),
    (Exact, "DECR KEY"),
    (Exact, "INCRBY KEY NUMBER"),
    (Exact, "DECRBY KEY NUMBER"),
    (Exact, "INCRBYFLOAT KEY SCORE"),
    (Exact, "APPEND KEY VALUE"),
    (Exact, "STRLEN KEY"),
    (Exact, "SETRANGE KEY OFFSET VALUE"),
    (Exact, "GETRANGE KEY INDEX INDEX"),
    (Exact, "SUBSTR KEY INDEX INDEX"),
    (Exact, "LCS TAGGED TAGGED"),
    (Exact, "LCS TAGGED TAGGED IDX WITHMATCHLEN"),
    (Exact, "SET TAGGED MEMBER"),
];

/// Across slots, so in parts.
const SEVERAL_KEYS: &[(Order, &str)] = &[
    (Exact, "MSET KEY+VALUE..."),
    (Exact, "MSET KEY+NUMBER..."),
    (Exact, "MGET KEY..."),
    (Exact, "MGET KEY... KEY..."),
    (Exact, "DEL KEY..."),
    (Exact, "UNLINK KEY..."),
    (Exact, "EXISTS KEY..."),
    (Exact, "TOUCH KEY..."),
    (Exact, "MSETNX TAGGED+VALUE..."),
    (Exact, "MSET KEY+LONG..."),
];

const BITMAPS: &[(Order, &str)] = &[
    (Exact, "SETBIT KEY OFFSET ONEBIT"),
    (Exact, "SETBIT TAGGED OFFSET ONEBIT"),
    (Exact, "GETBIT KEY OFFSET"),
    (Exact, "BITCOUNT KEY"),
    (Exact, "BITCOUNT KEY INDEX INDEX"),
    (Exact, "BITCOUNT KEY INDEX INDEX BIT"),
    (Exact, "BITPOS KEY ONEBIT"),
    (Exact, "BITPOS KEY ONEBIT INDEX INDEX"),
    (Exact, "BITOP AND TAGGED TAGGED..."),
    (Exact, "BITOP XOR TAGGED TAGGED..."),
    (Exact, "BITOP NOT TAGGED TAGGED"),
    (Exact, "BITFIELD KEY SET u8 OFFSET NUMBER GET u4 OFFSET"),
    (Exact, "BITFIELD KEY OVERFLOW FAIL INCRBY i5 OFFSET NUMBER"),
    (Exact, "BITFIELD_RO KEY GET u8 OFFSET"),
    (Exact, "GET KEY"),
];

const HASHES: &[(Order, &str)] = &[
    (Exact, "HSET KEY MEMBER+VALUE..."),
    (Exact, "HSET KEY MEMBER+NUMBER..."),
    (Exact, "HMSET KEY MEMBER+VALUE..."),
    (Exact, "HSETNX KEY MEMBER VALUE"),
    (Exact, "HGET KEY MEMBER"),
    (Exact, "HMGET KEY MEMBER..."),
    (Pairs, "HGETALL KEY"),
    (Unordered, "HKEYS KEY"),
    (Unordered, "HVALS KEY"),
    (Exact, "HLEN KEY"),
    (Exact, "HEXISTS KEY MEMBER"),
    (Exact, "HSTRLEN KEY MEMBER"),
    (Exact, "HDEL KEY MEMBER..."),
    (Exact, "HINCRBY KEY MEMBER NUMBER"),
    (Exact, "HINCRBYFLOAT KEY MEMBER SCORE"),
    (Unordered, "HSCAN KEY 0 COUNT 1000"),
];

const LISTS: &[(Order, &str)] = &[
    (Exact, "RPUSH KEY MEMBER..."),
    (Exact, "LPUSH KEY VALUE..."),
    (Exact, "RPUSH TAGGED NUMBER..."),
    (Exact, "LPUSHX KEY MEMBER"),
    (Exact, "RPUSHX KEY MEMBER"),
    (Exact, "LPOP KEY"),
    (Exact, "RPOP KEY FEW"),
    (Exact, "LRANGE KEY INDEX INDEX"),
    (Exact, "LRANGE KEY 0 -1"),
    (Exact, "LLEN KEY"),
    (Exact, "LINDEX KEY INDEX"),
    (Exact, "LSET KEY INDEX MEMBER"),
    (Exact, "LINSERT KEY BEFORE MEMBER VALUE"),
    (Exact, "LREM KEY INDEX MEMBER"),
    (Exact, "LTRIM KEY INDEX INDEX"),
    (Exact, "LPOS KEY MEMBER COUNT FEW"),
    (Exact, "LPOS KEY MEMBER RANK NUMBER"),
    (Exact, "LMOVE TAGGED TAGGED SIDE SIDE"),
    (Exact, "RPOPLPUSH TAGGED TAGGED"),
    (Exact, "LMPOP 2 TAGGED TAGGED SIDE COUNT FEW"),
    (Exact, "SORT KEY"),
    (Exact, "SORT KEY ALPHA DESC LIMIT 0 FEW"),
    (Unordered, "SORT KEY BY nosort"),
    (Exact, "SORT TAGGED ALPHA STORE TAGGED"),
];

const SETS: &[(Order, &str)] = &[
    (Exact, "SADD KEY MEMBER..."),
    (Exact, "SADD TAGGED NUMBER..."),
    (Exact, "SADD TAGGED MEMBER..."),
    (Exact, "SREM KEY MEMBER..."),
    (Exact, "SCARD KEY"),
    (Exact, "SISMEMBER KEY MEMBER"),
    (Exact, "SMISMEMBER KEY MEMBER..."),
    (Unordered, "SMEMBERS KEY"),
    (Exact, "SMOVE TAGGED TAGGED MEMBER"),
    (Unordered, "SINTER TAGGED TAGGED"),
    (Unordered, "SUNION TAGGED..."),
    (Unordered, "SDIFF TAGGED TAGGED..."),
    (Exact, "SINTERCARD 2 TAGGED TAGGED LIMIT FEW"),
    (Exact, "SINTERSTORE TAGGED TAGGED..."),
    (Exact, "SUNIONSTORE TAGGED TAGGED..."),
    (Exact, "SDIFFSTORE TAGGED TAGGED..."),
    (Unordered, "SSCAN KEY 0 COUNT 1000"),
    (Exact, "SORT_RO KEY ALPHA"),
    (Exact, "SORT KEY ALPHA LIMIT 1 2"),
];

const SORTED_SETS: &[(Order, &str)] = &[
    (Exact, "ZADD KEY SCORE+MEMBER..."),
    (Exact, "ZADD TAGGED SCORE+MEMBER..."),
    (Exact, "ZADD KEY NX CH SCORE+MEMBER..."),
    (Exact, "ZADD KEY GT SCORE MEMBER"),
    (Exact, "ZADD KEY XX INCR SCORE MEMBER"),
    (Exact, "ZINCRBY KEY SCORE MEMBER"),
    (Exact, "ZREM KEY MEMBER..."),
    (Exact, "ZCARD KEY"),
    (Exact, "ZCOUNT KEY LOWEST HIGHEST"),
    (Exact, "ZSCORE KEY MEMBER"),
    (Exact, "ZMSCORE KEY MEMBER..."),
    (Exact, "ZRANK KEY MEMBER"),
    (Exact, "ZREVRANK KEY MEMBER"),
    (Exact, "ZRANGE KEY INDEX INDEX WITHSCORES"),
    (Exact, "ZRANGE KEY LOWEST HIGHEST BYSCORE LIMIT 0 FEW"),
    (Exact, "ZREVRANGE KEY INDEX INDEX WITHSCORES"),
    (Exact, "ZRANGEBYSCORE KEY LOWEST HIGHEST WITHSCORES"),
    (Exact, "ZREVRANGEBYSCORE KEY HIGHEST LOWEST"),
    (Exact, "ZRANGESTORE TAGGED TAGGED INDEX INDEX"),
    (Exact, "ZREMRANGEBYSCORE KEY (3 10"),
    (Exact, "ZREMRANGEBYRANK KEY 0 FEW"),
    (Exact, "ZPOPMIN KEY FEW"),
    (Exact, "ZPOPMAX KEY"),
    (Exact, "ZMPOP 2 TAGGED TAGGED MIN COUNT FEW"),
    (Exact, "ZUNION 2 TAGGED TAGGED WITHSCORES"),
    (Exact, "ZINTER 2 TAGGED TAGGED WEIGHTS 2 3 WITHSCORES"),
    (Exact, "ZDIFF 2 TAGGED TAGGED"),
    (Exact, "ZINTERCARD 2 TAGGED TAGGED"),
    (Exact, "ZUNIONSTORE TAGGED 2 TAGGED TAGGED AGGREGATE MAX"),
    (Exact, "ZINTERSTORE TAGGED 2 TAGGED TAGGED"),
    (Exact, "ZDIFFSTORE TAGGED 2 TAGGED TAGGED"),
    (Unordered, "ZSCAN KEY 0 COUNT 1000"),
];

/// Sorted sets whose scores are all the same: for others Redis calls what BYLEX answers unspecified,
/// and it depends on how its skip list happens to be built.
const SAME_SCORES: &[(Order, &str)] = &[
    (Exact, "ZADD KEY 0 MEMBER"),
    (Exact, "ZADD KEY 0 MEMBER"),
    (Exact, "ZADD KEY 0 MEMBER 0 MEMBER 0 MEMBER"),
    (Exact, "ZLEXCOUNT KEY LEXMIN LEXMAX"),
    (Exact, "ZRANGE KEY LEXMIN LEXMAX BYLEX"),
    (Exact, "ZRANGEBYLEX KEY LEXMIN LEXMAX"),
    (Exact, "ZREVRANGEBYLEX KEY LEXMAX LEXMIN"),
    (Exact, "ZREMRANGEBYLEX KEY LEXMIN LEXMAX"),
];

const STREAMS: &[(Order, &str)] = &[
    (Exact, "XADD KEY ID MEMBER+VALUE..."),
    (Exact, "XADD KEY ID MEMBER+VALUE..."),
    (Exact, "XADD KEY NOMKSTREAM MAXLEN 20 ID MEMBER VALUE"),
    (Exact, "XADD TAGGED ID MEMBER VALUE"),
    (Exact, "XLEN KEY"),
    (Exact, "XRANGE KEY - +"),
    (Exact, "XRANGE KEY ID + COUNT FEW"),
    (Exact, "XREVRANGE KEY + - COUNT FEW"),
    (Exact, "XDEL KEY ID..."),
    (Exact, "XTRIM KEY MAXLEN 10"),
    (Exact, "XTRIM KEY MINID ID"),
    (Exact, "XREAD STREAMS KEY 0"),
    (Exact, "XREAD COUNT 2 STREAMS TAGGED TAGGED 0 ID"),
    (Exact, "XGROUP CREATE KEY group 0 MKSTREAM"),
    (Exact, "XGROUP CREATECONSUMER KEY group MEMBER"),
    (Exact, "XGROUP DELCONSUMER KEY group MEMBER"),
    (Exact, "XGROUP SETID KEY group ID"),
    (Exact, "XGROUP DESTROY KEY group"),
    (Exact, "XREADGROUP GROUP group MEMBER COUNT 2 STREAMS KEY >"),
    (Exact, "XREADGROUP GROUP group MEMBER NOACK STREAMS KEY 0"),
    (Exact, "XACK KEY group ID..."),
    (Exact, "XPENDING KEY group"),
    (Exact, "XCLAIM KEY group MEMBER 0 ID JUSTID"),
    (Exact, "XAUTOCLAIM KEY group MEMBER 0 0 COUNT 3"),
    (Exact, "XINFO GROUPS KEY"),
    (Exact, "XSETID KEY 70-0"),
];

const HYPERLOGLOGS: &[(Order, &str)] = &[
    (Exact, "PFADD KEY MEMBER..."),
    (Exact, "PFADD TAGGED VALUE..."),
    (Exact, "PFCOUNT KEY"),
    (Exact, "PFCOUNT TAGGED..."),
    (Exact, "PFMERGE TAGGED TAGGED..."),
    (Exact, "GET KEY"),
];

const GEO: &[(Order, &str)] = &[
    (Exact, "GEOADD KEY PLACE+PLACE+MEMBER..."),
    (Exact, "GEOADD TAGGED PLACE+PLACE+MEMBER..."),
    (Exact, "GEOPOS KEY MEMBER..."),
    (Exact, "GEODIST KEY MEMBER MEMBER km"),
    (Exact, "GEOHASH KEY MEMBER..."),
    (Exact, "GEOSEARCH KEY FROMLONLAT PLACE PLACE BYRADIUS 900 km ASC WITHDIST"),
    (Exact, "GEOSEARCH KEY FROMMEMBER MEMBER BYBOX 900 900 km DESC COUNT 3 WITHCOORD"),
    (Exact, "GEOSEARCHSTORE TAGGED TAGGED FROMLONLAT PLACE PLACE BYRADIUS 900 km STOREDIST"),
    (Exact, "GEORADIUS KEY PLACE PLACE 900 km ASC"),
    (Exact, "GEORADIUS TAGGED PLACE PLACE 900 km STORE TAGGED"),
    (Exact, "GEORADIUSBYMEMBER_RO KEY MEMBER 900 km ASC"),
    (Exact, "ZRANGE KEY 0 -1 WITHSCORES"),
];

const GENERIC: &[(Order, &str)] = &[
    (Exact, "TYPE KEY"),
    (Exact, "RENAME TAGGED TAGGED"),
    (Exact, "RENAMENX TAGGED TAGGED"),
    (Exact, "COPY TAGGED TAGGED"),
    (Exact, "COPY TAGGED TAGGED REPLACE"),
    (Exact, "EXPIREAT KEY LATER"),
    (Exact, "EXPIREAT KEY LATER NX"),
    (Exact, "PEXPIREAT KEY LATER_MS GT"),
    (Exact, "EXPIREAT KEY 1"),
    (Exact, "EXPIRETIME KEY"),
    (Exact, "PEXPIRETIME KEY"),
    (Exact, "PERSIST KEY"),
    (Exact, "OBJECT ENCODING KEY"),
    (Exact, "OBJECT REFCOUNT KEY"),
    (Exact, "OBJECT FREQ KEY"),
    (Exact, "OBJECT HELP"),
    (Exact, "OBJECT NOSUCH KEY"),
    (Unordered, "KEYS string:*"),
    (Unordered, "KEYS *:[12]"),
    (Exact, "DBSIZE"),
    (Exact, "DEL KEY"),
    (Exact, "PUBLISH KEY VALUE"),
];

const SCRIPTS: &[(Order, &str)] = &[
    (Exact, "EVAL return_redis.call('GET',KEYS[1]) 1 KEY"),
    (Exact, "EVAL return_redis.call('INCRBY',KEYS[1],ARGV[1]) 1 KEY NUMBER"),
    (Exact, "EVAL return_redis.call('MSET',KEYS[1],1,KEYS[2],ARGV[1]) 2 TAGGED TAGGED VALUE"),
    (Exact, "EVAL return_redis.call('NOSUCH',KEYS[1]) 1 KEY"),
    (Exact, "EVAL return_{1,2,{ARGV[1],'x'},false,3.7} 0 VALUE"),
    (Exact, "EVAL return_redis.pcall('LPUSH',KEYS[1],ARGV[1]) 1 KEY VALUE"),
    (Exact, "EVAL return_{err='MINE_is_mine'} 1 KEY"),
    (Exact, "EVAL return_( 1 KEY"),
    (Exact, "EVAL_RO return_redis.call('EXISTS',KEYS[1]) 1 KEY"),
    (Exact, "EVAL_RO return_redis.call('SET',KEYS[1],1) 1 KEY"),
    (Exact, "EVAL return_1 x KEY"),
    (Exact, "EVAL return_1 9 KEY"),
    (Exact, "EVALSHA 0000000000000000000000000000000000000000 1 KEY"),
    (Exact, "FCALL nosuch 1 KEY"),
    (Exact, "SCRIPT LOAD return_1"),
    (Exact, "SCRIPT EXISTS 0000000000000000000000000000000000000000"),
];

const CONNECTION: &[(Order, &str)] = &[
    (Exact, "PING"),
    (Exact, "PING VALUE"),
    (Exact, "ECHO LONG"),
    (Exact, "SELECT 0"),
    (Exact, "SELECT x"),
    (Exact, "CLIENT SETNAME MEMBER"),
    (Exact, "CLIENT SETNAME VALUE"),
    (Exact, "CLIENT GETNAME"),
    (Exact, "CLIENT GETREDIR"),
    (Exact, "CLIENT NOSUCH"),
    (Exact, "ACL WHOAMI"),
    (Exact, "COMMAND GETKEYS MSET KEY VALUE KEY VALUE"),
    (Exact, "COMMAND GETKEYS EVAL x 2 KEY KEY VALUE"),
    (Exact, "COMMAND GETKEYS GET"),
    (Exact, "COMMAND GETKEYS PING"),
    (Exact, "NOSUCH KEY MEMBER"),
    (Exact, "CLUSTER INFO"),
    (Exact, "AUTH MEMBER"),
    (Exact, "AUTH MEMBER VALUE"),
    (Exact, "GET"),
    (Exact, "HSET KEY MEMBER"),
];
