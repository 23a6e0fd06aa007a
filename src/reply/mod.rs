//! Replies on their way to a client: order, merging, and what an error reply means for a retry.
//!
//! Owns everything between "bytes came from a node" and "bytes go to the client's socket". Must not
//! know how nodes are reached or where keys live.

pub mod client_writer;
pub mod close_reason;
pub mod flusher;
pub mod gather;
pub mod handle;
pub mod merge;
pub mod outgoing;
pub mod queue;
pub mod returned;
pub mod texts;

pub use client_writer::ClientWriter;
pub use close_reason::CloseReason;
pub use flusher::{Flusher, PushLimits};
pub use gather::Gather;
pub use handle::{Answered, ReplyHandle};
pub use queue::ReplyQueue;
pub use returned::{ReturnReason, ReturnedRequest};
