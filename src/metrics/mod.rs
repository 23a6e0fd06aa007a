//! What the gateway counts and under which names it tells.
//!
//! Owns the counters ([`count`], [`stats`], [`waits`]), the list of metrics ([`names`]) and their text
//! ([`exposition`]). Must not know the parts that count: whoever has figures brings them.

pub mod count;
pub mod exposition;
#[cfg(test)]
#[path = "../../tests/admin/format_check.rs"]
pub(crate) mod format_check;
pub mod names;
pub mod stats;
pub mod waits;

pub use count::Count;
pub use exposition::{Exposition, Scrape};
pub use names::{Kind, Metric, Unit, documented};
pub use stats::{Bucket, NodeStats, Outcome, WorkerStats};
pub use waits::{Wait, Waits};
