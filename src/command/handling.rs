//! Who answers a command, and how: the last column of the command table.
//!
//! Owns the choices there are. What each of them does is the session's. Data only.

/// Who answers a request, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Sent on: by the slot of its keys; without keys by request policy; else to any one shard.
    Route,
    /// Waits at a node, on a connection of its own: the time-out is where this says. Sent on like any
    /// other where it has none.
    Block(TimeoutAt),
    /// WAIT: every master says how many replicas have what the client wrote.
    Wait(TimeoutAt),
    /// Of a transaction.
    Transaction(Transaction),
    /// Of scripts: sent on as [`Handling::Route`] has it, and the gateway takes note.
    Script(Script),
    /// About all keys of a database: sent on to all masters, by policy, where there is one database.
    Keyspace(Keyspace),
    /// SCAN: one cursor over all shards.
    Scan,
    /// HSCAN, SSCAN, ZSCAN: by the slot of the key, with a cursor that says whose it is.
    KeyScan,
    /// SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE: the gateway subscribes, and its clients at the gateway.
    Subscribe(Topic),
    /// Their counterparts.
    Unsubscribe(Topic),
    /// PUBLISH, SPUBLISH: to where the gateway is subscribed, so that its clients can be counted.
    Publish(Topic),
    /// MONITOR: what all clients of the gateway ask, and others at the masters.
    Monitor,
    /// INFO: one text made of several.
    Info,
    /// RANDOMKEY: a shard is drawn, and another when it is empty.
    RandomKey,
    /// CONFIG GET: what one of the masters says, without its passwords.
    ConfigGet,
    /// CONFIG RESETSTAT: to all nodes, and what the gateway tells of itself in INFO.
    ConfigResetStat,
    /// CONFIG SET: to all nodes, but for options that are denied.
    ConfigSet,
    /// Acts at nodes behind the gateway's back: refused unless the configuration allows it.
    Guarded(Way),
    /// SLOWLOG GET: the latest entries of all nodes.
    SlowlogGet,
    /// The gateway answers without asking a node.
    Local(Local),
    /// An error that names the command and says why.
    Refuse(Refusal),
}

/// How a command is carried out that is denied unless it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By the node that serves the slot of its keys.
    ByKeys,
    /// By all nodes, replicas too; the answer is one of theirs, or the first error.
    AllNodes,
}

/// Where a command that waits says for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutAt {
    /// In this argument, in seconds and parts of them.
    Seconds(u32),
    /// In the last argument, in seconds and parts of them.
    LastSeconds,
    /// In this argument, in milliseconds.
    Milliseconds(u32),
    /// Behind the option BLOCK, in milliseconds; without it nothing waits.
    Option,
}

/// What is about a whole database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as the command")]
pub enum Keyspace {
    DbSize,
    FlushDb,
    Keys,
}

/// Where a reply names keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyKeys {
    /// Nowhere.
    #[default]
    None,
    /// The first item of an array: BLPOP, LMPOP.
    First,
    /// The first item of each item of an array, or each key of a map: XREAD.
    OfItems,
}

/// What a subscriber names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// A channel, known in the whole cluster.
    Channel = 0,
    /// A pattern of such channels.
    Pattern = 1,
    /// A sharded channel, known to the nodes of its slot.
    Shard = 2,
}

impl Topic {
    /// All of them, in order.
    pub const ALL: [Topic; 3] = [Topic::Channel, Topic::Pattern, Topic::Shard];
}

/// What a client asks about subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as the subcommand")]
pub enum PubSub {
    Channels,
    Help,
    NumPat,
    NumSub,
    ShardChannels,
    ShardNumSub,
}

/// What a command says of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Its text, and runs it.
    Eval,
    /// Its SHA1, and runs it.
    EvalSha,
    /// Its text.
    Load,
    /// SHA1s, and asks whether they are known.
    Exists,
    /// That there is none any more.
    Flush,
    /// A function's name, and calls it.
    Call,
    /// Nothing: it ends the function that keeps a node busy.
    KillFunction,
}

/// The commands that make transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as the command")]
pub enum Transaction {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
}

/// A command that the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// PING
    Ping,
    /// ECHO
    Echo,
    /// QUIT
    Quit,
    /// RESET
    Reset,
    /// SELECT
    Select,
    /// HELLO
    Hello,
    /// AUTH
    Auth,
    /// ROLE: a master without replicas.
    Role,
    /// ACL WHOAMI
    AclWhoami,
    /// CLUSTER …, ASKING, READONLY, READWRITE: the error of a Redis that is no cluster.
    ClusterDisabled,
    /// CLIENT …
    Client(Client),
    /// COMMAND and its subcommands.
    Command(CommandSub),
    /// PUBSUB …
    PubSub(PubSub),
}

impl Local {
    /// What a Redis that is no cluster answers to [`Local::ClusterDisabled`].
    pub const CLUSTER_DISABLED: &'static str = "ERR This instance has cluster support disabled";
}

/// The subcommands of CLIENT that the gateway answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as the subcommand")]
pub enum Client {
    Caching,
    Capa,
    GetName,
    GetRedir,
    Help,
    Id,
    Info,
    Kill,
    List,
    NoEvict,
    NoTouch,
    Reply,
    SetInfo,
    SetName,
    Tracking,
    TrackingInfo,
    Unblock,
}

/// COMMAND and its subcommands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as the subcommand")]
pub enum CommandSub {
    /// COMMAND alone: the whole table.
    All,
    Count,
    GetKeys,
    GetKeysAndFlags,
    Help,
    Info,
    List,
}

/// Why the gateway does not take a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A command of transactions that the gateway does not know.
    Transaction,
    /// A command that waits, of which the gateway does not know for how long.
    Blocking,
    /// A command of a subscriber.
    Subscription,
    /// Commands between a primary and its replicas.
    Replication,
    /// Commands that move slots.
    ClusterAdmin,
    /// Commands that change or stop a server.
    ServerAdmin,
    /// Commands that change the state of a connection which clients share.
    ConnectionState,
    /// A command whose keys cannot be found.
    UnknownKeys,
    /// A container without its subcommand. Look-up answers before this is ever said.
    Container,
}

impl Refusal {
    /// The reason, as one clause.
    pub fn text(self) -> &'static str {
        match self {
            Refusal::Transaction => "the gateway does not know what it does to a transaction",
            Refusal::Blocking => "it waits, and the gateway does not know for how long",
            Refusal::Subscription => "the gateway does not know how it subscribes",
            Refusal::Replication => "replication is between the cluster's own nodes",
            Refusal::ClusterAdmin => "the cluster's slots are managed at its nodes, not here",
            Refusal::ServerAdmin => "servers are managed at the nodes, not through the gateway",
            Refusal::ConnectionState => {
                "it changes the state of a connection, and clients share the gateway's connections"
            }
            Refusal::UnknownKeys => "the gateway cannot tell which of its arguments are keys",
            Refusal::Container => "it needs a subcommand",
        }
    }
}
