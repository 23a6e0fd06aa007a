//! Scripts and functions: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Handling, Refusal, Script};
use crate::command::table::{Row, cmd, counted};

pub(super) const ROWS: &[Row] = &[
    cmd("eval", -3, "noscript stale skip_monitor may_replicate no_mandatory_keys", "scripting")
        .keys(&[counted("RW access update", 2, 1)])
        .handled(Handling::Script(Script::Eval)),
    cmd("eval_ro", -3, "readonly noscript stale skip_monitor no_mandatory_keys", "scripting")
        .keys(&[counted("RO access", 2, 1)])
        .handled(Handling::Script(Script::Eval)),
    cmd("evalsha", -3, "noscript stale skip_monitor may_replicate no_mandatory_keys", "scripting")
        .keys(&[counted("RW access update", 2, 1)])
        .handled(Handling::Script(Script::EvalSha)),
    cmd("evalsha_ro", -3, "readonly noscript stale skip_monitor no_mandatory_keys", "scripting")
        .keys(&[counted("RO access", 2, 1)])
        .handled(Handling::Script(Script::EvalSha)),
    cmd("fcall", -3, "noscript stale skip_monitor may_replicate no_mandatory_keys", "scripting")
        .keys(&[counted("RW access update", 2, 1)])
        .handled(Handling::Script(Script::Call)),
    cmd("fcall_ro", -3, "readonly noscript stale skip_monitor no_mandatory_keys", "scripting")
        .keys(&[counted("RO access", 2, 1)])
        .handled(Handling::Script(Script::Call)),
    cmd("function", -2, "", "").refuse(Refusal::Container),
    cmd("function|delete", 3, "write noscript", "scripting")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("function|dump", 2, "noscript", "scripting"),
    cmd("function|flush", -2, "write noscript", "scripting")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("function|help", 2, "loading stale", "scripting"),
    cmd("function|kill", 2, "noscript allow_busy", "scripting")
        .tips("request_policy:all_shards response_policy:one_succeeded")
        .handled(Handling::Script(Script::KillFunction)),
    cmd("function|list", -2, "noscript", "scripting").tips("nondeterministic_output_order"),
    cmd("function|load", -3, "write denyoom noscript", "scripting")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("function|restore", -3, "write denyoom noscript", "scripting")
        .tips("request_policy:all_shards response_policy:all_succeeded"),
    cmd("function|stats", 2, "noscript allow_busy", "scripting")
        .tips("nondeterministic_output request_policy:all_shards response_policy:special"),
    cmd("script", -2, "", "").refuse(Refusal::Container),
    cmd("script|debug", 3, "noscript", "scripting").refuse(Refusal::ServerAdmin),
    cmd("script|exists", -3, "noscript", "scripting")
        .tips("request_policy:all_shards response_policy:agg_logical_and")
        .handled(Handling::Script(Script::Exists)),
    cmd("script|flush", -2, "noscript", "scripting")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .handled(Handling::Script(Script::Flush)),
    cmd("script|help", 2, "loading stale", "scripting"),
    cmd("script|kill", 2, "noscript allow_busy", "scripting")
        .tips("request_policy:all_shards response_policy:one_succeeded"),
    cmd("script|load", 3, "noscript stale", "scripting")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .handled(Handling::Script(Script::Load)),
    cmd("script|show", 3, "noscript", "scripting"),
];
