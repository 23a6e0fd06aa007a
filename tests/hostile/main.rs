//! The gateway between hostile nodes and hostile clients: the real program, from outside.
//!
//! Nodes are scripted threads on loopback ports; nothing here needs a Redis server. No test depends
//! on how fast anything is: each waits for a condition, and only a broken gateway waits for long.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod believed;
mod bounds;
mod budget;
mod chaos;
mod clients;
mod held;
mod leavers;
mod life;
mod memory;
mod once;
mod order;
mod protocol;
mod redirects;
mod replies;
mod scripts;
mod split;
mod support;
mod told;
mod transactions;
mod wide;
