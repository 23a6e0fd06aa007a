//! Publish and subscribe: rows of the command table, sorted by name. Data only.

use crate::command::columns::Refusal;
use crate::command::table::{Row, at, cmd, range};

pub(super) const ROWS: &[Row] = &[
    cmd("psubscribe", -2, "denyoom pubsub noscript loading stale", "")
        .refuse(Refusal::Subscription),
    cmd("publish", 3, "pubsub loading stale fast may_replicate", ""),
    cmd("pubsub", -2, "", "").refuse(Refusal::Container),
    cmd("pubsub|channels", -2, "pubsub loading stale", "").refuse(Refusal::Subscription),
    cmd("pubsub|help", 2, "loading stale", ""),
    cmd("pubsub|numpat", 2, "pubsub loading stale", "").refuse(Refusal::Subscription),
    cmd("pubsub|numsub", -2, "pubsub loading stale", "").refuse(Refusal::Subscription),
    cmd("pubsub|shardchannels", -2, "pubsub loading stale", "").refuse(Refusal::Subscription),
    cmd("pubsub|shardnumsub", -2, "pubsub loading stale", "").refuse(Refusal::Subscription),
    cmd("punsubscribe", -1, "pubsub noscript loading stale", "").refuse(Refusal::Subscription),
    cmd("spublish", 3, "pubsub loading stale fast may_replicate", "").keys(&[at("not_key", 1)]),
    cmd("ssubscribe", -2, "denyoom pubsub noscript loading stale", "")
        .keys(&[range("not_key", 1, -1, 1)])
        .refuse(Refusal::Subscription),
    cmd("subscribe", -2, "denyoom pubsub noscript loading stale", "").refuse(Refusal::Subscription),
    cmd("sunsubscribe", -1, "pubsub noscript loading stale", "")
        .keys(&[range("not_key", 1, -1, 1)])
        .refuse(Refusal::Subscription),
    cmd("unsubscribe", -1, "pubsub noscript loading stale", "").refuse(Refusal::Subscription),
];
