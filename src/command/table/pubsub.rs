//! Publish and subscribe: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Local, PubSub, Refusal, Topic};
use crate::command::table::{Row, at, cmd, range};

pub(super) const ROWS: &[Row] = &[
    cmd("psubscribe", -2, "denyoom pubsub noscript loading stale", "")
        .handled(Handling::Subscribe(Topic::Pattern)),
    cmd("publish", 3, "pubsub loading stale fast may_replicate", "")
        .handled(Handling::Publish(Topic::Channel)),
    cmd("pubsub", -2, "", "").refuse(Refusal::Container),
    cmd("pubsub|channels", -2, "pubsub loading stale", "").local(Local::PubSub(PubSub::Channels)),
    cmd("pubsub|help", 2, "loading stale", "").local(Local::PubSub(PubSub::Help)),
    cmd("pubsub|numpat", 2, "pubsub loading stale", "").local(Local::PubSub(PubSub::NumPat)),
    cmd("pubsub|numsub", -2, "pubsub loading stale", "").local(Local::PubSub(PubSub::NumSub)),
    cmd("pubsub|shardchannels", -2, "pubsub loading stale", "")
        .local(Local::PubSub(PubSub::ShardChannels)),
    cmd("pubsub|shardnumsub", -2, "pubsub loading stale", "")
        .local(Local::PubSub(PubSub::ShardNumSub)),
    cmd("punsubscribe", -1, "pubsub noscript loading stale", "")
        .handled(Handling::Unsubscribe(Topic::Pattern)),
    cmd("spublish", 3, "pubsub loading stale fast may_replicate", "")
        .keys(&[at("not_key", 1)])
        .handled(Handling::Publish(Topic::Shard)),
    cmd("ssubscribe", -2, "denyoom pubsub noscript loading stale", "")
        .keys(&[range("not_key", 1, -1, 1)])
        .handled(Handling::Subscribe(Topic::Shard)),
    cmd("subscribe", -2, "denyoom pubsub noscript loading stale", "")
        .handled(Handling::Subscribe(Topic::Channel)),
    cmd("sunsubscribe", -1, "pubsub noscript loading stale", "")
        .keys(&[range("not_key", 1, -1, 1)])
        .handled(Handling::Unsubscribe(Topic::Shard)),
    cmd("unsubscribe", -1, "pubsub noscript loading stale", "")
        .handled(Handling::Unsubscribe(Topic::Channel)),
];
