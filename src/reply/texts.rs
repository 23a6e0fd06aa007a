//! Every error text that the gateway itself says to a client, but for the protocol's and the
//! command table's own.
//!
//! Owns the wording. An error begins with its code word; where Redis has a word for the case, that
//! is the one, so that client libraries react as they would to Redis.

/// How an error begins for which Redis has no word.
pub const OWN: &str = "ERR gateway: ";

/// What a dropped reply handle answers; a whole frame, because nothing may fail on that path.
pub const LOST_INSIDE: &[u8] =
    b"-INDETERMINATE the request was lost inside the gateway; it may or may not have been executed\r\n";

/// Keys in several slots, for a command that cannot be split. As Redis Cluster says it.
pub const CROSS_SLOT: &str = "CROSSSLOT Keys in request don't hash to the same slot";

/// The same in database 0, where there are others.
pub const CROSS_SLOT_IN_0: &str = "CROSSSLOT Keys in request don't hash to the same slot (in database \
    0; in the others, such as SELECT 1, keys are in one slot)";

/// The connection was lost after a write had been sent.
pub const INDETERMINATE: &str = "INDETERMINATE the connection to the node was lost after the \
    command had been sent; it may or may not have been executed";

/// No node serves the slot, and none came in time. As Redis Cluster says it.
pub const NOT_SERVED: &str = "CLUSTERDOWN Hash slot not served";

/// The master of the slot could not be reached in time.
pub const UNREACHABLE: &str =
    "CLUSTERDOWN The node that serves this slot cannot be reached through the gateway";

/// The node to ask has as many clients as its own setting allows.
pub const NODE_FULL: &str = "CLUSTERDOWN A node takes no connection of the gateway: its own \
    maxclients is reached";

/// The node to ask does not take the gateway's credentials.
pub const NODE_CREDENTIALS: &str = "CLUSTERDOWN A node refuses the credentials of the gateway: \
    password or password_file, and username, in [topology] of the gateway must be those of the nodes";

/// The node to ask wants a password, and the gateway has none.
pub const NODE_NO_CREDENTIALS: &str = "CLUSTERDOWN A node wants a password and the gateway has \
    none: set password or password_file in [topology] of the gateway";

/// A command over the whole keyspace while part of it is not served.
pub const NOT_COMPLETE: &str = "CLUSTERDOWN The cluster is down: some hash slots are not served, \
    so a command over all keys would leave some out";

/// A command over the whole keyspace while slots move, of which it could not be shown in time that
/// every master was asked. It did not run for certain at all of them, or told what may be wrong.
pub const SLOTS_MOVING: &str = "TRYAGAIN Hash slots are moving between nodes: the gateway could not \
    make sure in time that this command reached every key";

/// A request over all of a slot that stays on its way between two nodes.
pub const SLOT_MOVING: &str =
    "TRYAGAIN The hash slot of this database is on its way to another node";

/// A cursor of HSCAN, SSCAN or ZSCAN that another node has given: it means nothing to this one.
pub const CURSOR_OF_ANOTHER: &str = "ERR gateway: this cursor was given by another node: the key's \
    slot has moved or its master has changed since; begin again with cursor 0";

/// Too much is held for slots without a master already.
pub const HOLD_FULL: &str =
    "CLUSTERDOWN Hash slot not served, and the gateway holds as many requests as it may";

/// A request was sent from node to node too often.
pub const REDIRECTS: &str = "CLUSTERDOWN Too many redirections: the nodes disagree on who serves \
    this hash slot";

/// A redirect that cannot be followed: nobody can read where it leads.
pub const BAD_REDIRECT: &str = "CLUSTERDOWN A node redirects to a place that cannot be read";

/// A client before AUTH. As Redis says it.
pub const NO_AUTH: &str = "NOAUTH Authentication required.";

/// The end of a transaction of which nothing has run. As Redis says it.
pub const EXEC_ABORT: &str = "EXECABORT Transaction discarded because of previous errors.";

/// EXEC outside a transaction. As Redis says it.
pub const EXEC_WITHOUT_MULTI: &str = "ERR EXEC without MULTI";

/// DISCARD outside a transaction. As Redis says it.
pub const DISCARD_WITHOUT_MULTI: &str = "ERR DISCARD without MULTI";

/// MULTI within a transaction. As Redis says it.
pub const MULTI_NESTED: &str = "ERR MULTI calls can not be nested";

/// WATCH within a transaction. As Redis says it.
pub const WATCH_IN_MULTI: &str = "ERR WATCH inside MULTI is not allowed";

/// A command that is never allowed within a transaction. As Redis says it.
pub const NO_MULTI: &str = "ERR Command not allowed inside a transaction";

/// CONFIG SET within EXEC's reply.
pub const CONFIG_SET_IN_EXEC: &str =
    "ERR CONFIG SET failed: it goes to all nodes, and a transaction is one node's";

/// Why a command over all keys, or over all nodes, cannot be queued; a clause.
pub const NOT_ONE_NODES: &str =
    "in a transaction a command must be one node's, and this one asks several";

/// Why a command that the gateway answers itself cannot be queued; a clause.
pub const OF_THE_CONNECTION: &str =
    "in a transaction it would change how the transaction's own reply is sent";

/// Why HSCAN, SSCAN and ZSCAN cannot be queued; a clause.
pub const CURSOR_IN_MULTI: &str =
    "its cursors are the gateway's, which cannot change them within EXEC's reply";

/// A transaction with more queued than is kept.
pub const TRANSACTION_TOO_LARGE: &str = "ERR gateway: the transaction is larger than the gateway \
    keeps (transaction_bytes_max in [limits] of the gateway)";

/// Why SUBSCRIBE and its like cannot be queued; a clause.
pub const SUBSCRIBE_IN_MULTI: &str = "in a transaction it would make the replies within EXEC's reply another number than the requests";

/// Why PUBLISH does not take a channel of keyspace events; a clause.
pub const EVENTS_ARE_NODES: &str = "on this channel each node tells of its own keys, and a message \
    of a client would come once from every node";

/// A request about keys of a client that monitors. As Redis says it.
pub const NOT_AS_MONITOR: &str = "ERR Replica can't interact with the keyspace";

/// Why SELECT of another database cannot be queued; a clause.
pub const SELECT_IN_MULTI: &str = "a transaction stays in one database";

/// Why MONITOR cannot be queued. As Redis says it.
pub const MONITOR_IN_MULTI: &str = "ERR MONITOR isn't allowed for DENY BLOCKING client";

/// A client with as many subscriptions as it may have.
pub const TOO_MANY_SUBSCRIPTIONS: &str = "ERR gateway: the client has as many subscriptions as it \
    may (subscriptions_max in [limits] of the gateway)";

/// Why CLIENT TRACKING cannot be queued; a clause.
pub const TRACKING_IN_MULTI: &str =
    "in a transaction it would change the connection that the transaction itself runs on";

/// Why CLIENT CACHING cannot be queued by a client that watches; a clause.
pub const CACHING_WHILE_WATCHING: &str =
    "what is read where a client watches keys is not tracked, and must not be cached";

/// A client that would track keys while as many do as may.
pub const TOO_MANY_TRACKING: &str = "ERR gateway: as many clients track keys as may \
    (tracking_clients_max in [limits] of the gateway)";

/// More prefixes than a client may track.
pub const TOO_MANY_PREFIXES: &str =
    "ERR gateway: a client may name 256 prefixes, which may have 1 MiB together";

/// A command that a client of RESP2 cannot send while it is subscribed. As Redis says it.
pub fn not_while_subscribed(name: &str) -> String {
    format!(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
         are allowed in this context"
    )
}

/// Reads of blocked clients that have been told to go on. As Redis says it.
pub const UNBLOCKED: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

/// A client that wants a node connection of its own while as many are in use as may be.
pub const NO_LEASE: &str = "ERR gateway: as many clients have a connection to this node for \
    themselves as may have (watching_clients_max, blocked_clients_max in [limits] of the gateway)";

/// One client too many. As Redis says it.
pub const MAX_CLIENTS: &[u8] = b"-ERR max number of clients reached\r\n";

/// A client from elsewhere at a listener without a password. As Redis says it in protected mode,
/// with this program's ways out.
pub const DENIED: &[u8] = b"-DENIED Slotway is running in protected mode because protected mode is \
    enabled and no client password is set. In this mode connections are only accepted from the \
    loopback interface. If you want to connect from external computers to Slotway you may adopt one \
    of the following solutions: 1) Set a client password: password_file (or password) under \
    [[listener]] in the configuration file, SLOTWAY_LISTENER_PASSWORD_FILE in the environment, or \
    the flag --client-password-file; clients then send AUTH. 2) If only programs on this machine \
    are to connect, bind to the loopback interface, such as bind = \"127.0.0.1:7010\" under \
    [[listener]] or the flag --listen 127.0.0.1:7010. 3) Disable protected mode, however MAKE SURE \
    that nobody reaches this port who may not read and change all data: protected_mode = false \
    under [[listener]], SLOTWAY_LISTENER_PROTECTED_MODE=false, or the flag --protected-mode false. \
    NOTE: You only need to do one of the above things in order for Slotway to start accepting \
    connections from the outside.\r\n";

/// What Redis says to a cursor that is no number.
pub const SCAN_CURSOR: &str = "ERR invalid cursor";

/// A node answered SCAN with something that has no cursor the gateway could pass on.
pub const SCAN_REPLY: &str =
    "ERR gateway: a node's answer to SCAN has a cursor that cannot be told";

/// A node answered CONFIG GET with something in which passwords cannot be found.
pub const CONFIG_REPLY: &str = "ERR gateway: a node's answer to CONFIG GET is none";

/// A node answered SLOWLOG GET with something that is no slow log.
pub const SLOWLOG_REPLY: &str = "ERR gateway: a node's answer to SLOWLOG GET is none";

/// What a node sent for a script breaks off, or is no reply at all.
pub const SCRIPT_REPLY: &str = "ERR gateway: the reply to this script was not one reply";

/// A client's name, or what it says of its library, is too long to be kept.
pub const CLIENT_TEXT_LEN: &str =
    "ERR gateway: a client's name or library text has at most 1024 bytes";

/// CLIENT LIST ID with more ids than are taken.
pub const TOO_MANY_IDS: &str = "ERR gateway: at most 4096 ids are taken at a time";

/// Why CLIENT NO-EVICT ON is refused; a clause.
pub const NO_EVICT: &str = "nodes do not know the gateway's clients, and cannot spare one of them";

/// Why a script without keys is refused where that is configured; a clause.
pub const KEYLESS_SCRIPT: &str = "it names no key, and at one node of several it would see a part of \
    the keyspace for the whole (keyless_scripts in [routing] of the gateway)";

/// COMMAND INFO with more names than are taken.
pub const TOO_MANY_NAMES: &str = "ERR gateway: at most 4096 names are taken at a time";

/// COMMAND LIST FILTERBY PATTERN with a pattern that is too long.
pub const LONG_PATTERN: &str = "ERR gateway: a pattern of commands has at most 256 bytes";

/// The nodes' replies do not have the shape that can be merged.
pub const UNMERGEABLE: &str = "ERR gateway: the nodes' replies cannot be merged into one";

/// An error as a whole frame.
pub fn frame(text: &str) -> Vec<u8> {
    let mut line = Vec::with_capacity(text.len() + 3);
    crate::resp::write::error(&mut line, text);
    line
}

/// A node that was to be asked over a connection of its own did not answer; `why` says what happened.
pub fn not_asked(why: &str) -> String {
    format!("{OWN}a node has not answered: {why}")
}

/// A request that a node would end the connection for, which clients share.
pub fn too_large_for_nodes(setting: &str, bytes: usize) -> String {
    format!("{OWN}a request is larger than the nodes take ({setting} {bytes})")
}

/// A node does not say which slots it owns, so that no command over all keys can be answered; `why`
/// is what it says.
pub fn owner_unknown(why: &str) -> String {
    format!("{OWN}a node does not say which slots it owns (CLUSTER NODES): {why}")
}

/// The end of a transaction that the node declined for this reason. As Redis says it.
pub fn exec_abort(reason: &str) -> String {
    format!("EXECABORT Transaction discarded because of: {reason}")
}

/// A command that the gateway does not take; `reason` is a clause.
pub fn refused(command: &str, reason: &str) -> String {
    format!("{OWN}{} is refused: {reason}", command.replace('|', " ").to_uppercase())
}

/// A key of database 0 that would be one of another database. Says whose it is.
pub fn key_of_another_database(tag: &str, number: usize) -> String {
    format!(
        "{OWN}keys that begin with {tag} are those of database {number}: SELECT {number}, and leave that out"
    )
}

/// Why a function cannot be called in a transaction in a database with a tag; a clause.
pub const FUNCTION_IN_MULTI: &str = "in a transaction in a database other than 0 its code cannot be \
    asked for; a script (EVAL) does the same there";

/// Why what acts on keys at nodes behind the gateway's back is not for databases with a tag; a clause.
pub const NOT_IN_DATABASE: &str = "it is for database 0 only";
