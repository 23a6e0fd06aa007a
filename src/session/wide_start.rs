//! A request with very many keys, before its bytes are the errand's.
//!
//! Owns what is known of it then. Data only.

use crate::reply::merge::Merge;
use crate::router::Asker;

/// How a request with very many keys begins.
pub(super) struct WideStart {
    pub(super) asker: Asker,
    pub(super) group_len: u32,
    pub(super) merge: Merge,
}
