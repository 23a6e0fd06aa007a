//! Replies on their way to a client: order, merging, and what an error reply means for a retry.
//!
//! Owns everything between "bytes came from a node" and "bytes go to the client's socket". Must not
//! know how nodes are reached or where keys live.

pub mod client_writer;
pub mod close_reason;
pub mod flush_list;
pub mod flusher;
pub mod gather;
pub mod handle;
pub mod merge;
pub mod outgoing;
pub mod queue;
pub mod returned;
pub mod texts;

pub use close_reason::CloseReason;
pub use flush_list::{FlushList, PushLimits};
pub use flusher::Flusher;
pub use gather::Gather;
pub use handle::{Answered, ClientWriter, ReplyHandle, ReturnedRequest};
pub use queue::ReplyQueue;
pub use returned::ReturnReason;
