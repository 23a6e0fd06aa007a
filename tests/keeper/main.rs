//! The keeper against real nodes: forming, healing, refusing; the library and the real program.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod form;
#[path = "../admin/format_check.rs"]
mod format_check;
mod heal;
#[path = "../admin/http.rs"]
mod http;
mod nodes;
mod odd;
mod program;
mod twice;

use std::time::Duration;

/// Far longer than anything here takes; only a broken program waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
