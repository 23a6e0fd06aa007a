//! A client's own connection: rows of the command table, sorted by name. Data only.

use crate::command::handling::{Client, Local, Refusal};
use crate::command::table::{Row, cmd};

pub(super) const ROWS: &[Row] = &[
    cmd("auth", -2, "noscript loading stale fast no_auth allow_busy", "connection")
        .local(Local::Auth),
    cmd("client", -2, "", "").refuse(Refusal::Container),
    cmd("client|caching", 3, "noscript loading stale", "connection")
        .local(Local::Client(Client::Caching)),
    cmd("client|capa", -3, "noscript loading stale", "connection")
        .local(Local::Client(Client::Capa)),
    cmd("client|getname", 2, "noscript loading stale", "connection")
        .local(Local::Client(Client::GetName)),
    cmd("client|getredir", 2, "noscript loading stale", "connection")
        .local(Local::Client(Client::GetRedir)),
    cmd("client|help", 2, "loading stale", "connection").local(Local::Client(Client::Help)),
    cmd("client|id", 2, "noscript loading stale", "connection").local(Local::Client(Client::Id)),
    cmd("client|import-source", 3, "noscript loading stale", "connection")
        .refuse(Refusal::ConnectionState),
    cmd("client|info", 2, "noscript loading stale", "connection")
        .tips("nondeterministic_output")
        .local(Local::Client(Client::Info)),
    cmd("client|kill", -3, "admin noscript loading stale", "connection")
        .local(Local::Client(Client::Kill)),
    cmd("client|list", -2, "admin noscript loading stale", "connection")
        .tips("nondeterministic_output")
        .local(Local::Client(Client::List)),
    cmd("client|no-evict", 3, "admin noscript loading stale", "connection")
        .local(Local::Client(Client::NoEvict)),
    cmd("client|no-touch", 3, "noscript loading stale", "connection")
        .local(Local::Client(Client::NoTouch)),
    cmd("client|pause", -3, "admin noscript loading stale", "connection")
        .refuse(Refusal::ServerAdmin),
    cmd("client|reply", 3, "noscript loading stale", "connection")
        .local(Local::Client(Client::Reply)),
    cmd("client|setinfo", 4, "noscript loading stale", "connection")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .local(Local::Client(Client::SetInfo)),
    cmd("client|setname", 3, "noscript loading stale", "connection")
        .tips("request_policy:all_nodes response_policy:all_succeeded")
        .local(Local::Client(Client::SetName)),
    cmd("client|tracking", -3, "noscript loading stale", "connection")
        .local(Local::Client(Client::Tracking)),
    cmd("client|trackinginfo", 2, "noscript loading stale", "connection")
        .local(Local::Client(Client::TrackingInfo)),
    cmd("client|unblock", -3, "admin noscript loading stale", "connection")
        .local(Local::Client(Client::Unblock)),
    cmd("client|unpause", 2, "admin noscript loading stale", "connection")
        .refuse(Refusal::ServerAdmin),
    cmd("echo", 2, "loading stale fast", "connection").local(Local::Echo),
    cmd("hello", -1, "noscript loading stale fast no_auth allow_busy", "connection")
        .local(Local::Hello),
    cmd("ping", -1, "fast", "connection")
        .tips("request_policy:all_shards response_policy:all_succeeded")
        .local(Local::Ping),
    cmd("quit", -1, "noscript loading stale fast no_auth allow_busy", "connection")
        .local(Local::Quit),
    cmd("reset", 1, "noscript loading stale fast no_auth allow_busy", "connection")
        .local(Local::Reset),
    cmd("select", 2, "loading stale fast", "connection").local(Local::Select),
];
