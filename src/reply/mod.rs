//! Replies on their way to a client: order, merging, and what an error reply means for a retry.
//!
//! Owns everything between "bytes came from a node" and "bytes go to the client's socket". Must not
//! know how nodes are reached or where keys live.

pub mod flusher;
pub mod gather;
pub mod merge;
pub mod outgoing;
pub mod outlet;
pub mod queue;
pub mod texts;
pub mod ticket;
pub mod trouble;

pub use flusher::Flusher;
pub use gather::Gather;
pub use outlet::{Cut, Outlet};
pub use queue::ReplyQueue;
pub use ticket::{Answered, Ticket};
pub use trouble::{Trouble, Why};
