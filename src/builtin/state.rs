//! What a client has said about its connection: protocol, name, password, reply mode.
//!
//! Owns the state that commands answered by the gateway change. Must not know sockets or nodes.

use std::sync::Arc;

use super::tracking::Tracking;
use crate::clients::ClientInfo;
use crate::database::Database;
use crate::resp::Protocol;

/// The state of one client's connection.
#[derive(Debug)]
pub struct State {
    /// Which RESP it speaks.
    pub protocol: Protocol,
    /// Whether it may send commands.
    pub authenticated: bool,
    /// What becomes of its replies.
    pub replies: ReplyMode,
    /// The connection ends when everything sent has been answered.
    pub closing: bool,
    /// The database that it is in; `None` is 0.
    pub database: Option<Arc<Database>>,
    /// Its entry in the register.
    pub info: Arc<ClientInfo>,
    /// While it tracks keys: what it has asked for.
    pub tracking: Option<Box<Tracking>>,
}

impl State {
    /// Of a client that has said nothing yet.
    pub fn new(authenticated: bool, info: Arc<ClientInfo>) -> State {
        let (protocol, replies) = (Protocol::Resp2, ReplyMode::On);
        State {
            protocol,
            authenticated,
            replies,
            closing: false,
            database: None,
            info,
            tracking: None,
        }
    }
}

impl State {
    /// It may send commands.
    pub(super) fn let_in(&mut self) {
        self.authenticated = true;
        self.info.welcome();
    }

    /// It is in this database from now on; none is 0.
    pub(super) fn choose(&mut self, database: Option<Arc<Database>>) {
        self.info.note_database(database.as_ref().map_or(0, |database| database.number));
        self.database = database;
    }

    /// Begins in this database, its listener's; none is 0.
    pub fn begin_in(mut self, database: Option<Arc<Database>>) -> State {
        self.choose(database);
        self
    }

    /// It has to say its password again.
    pub(super) fn put_out(&mut self, now_s: u64) {
        self.authenticated = false;
        self.info.expect_password(now_s);
    }
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    On,
    /// No reply is sent until `CLIENT REPLY ON`.
    Off,
    /// No reply is sent to the next command.
    SkipNext,
}
