//! The program from outside: real runs against a real Redis and against a peer that misbehaves.
//!
//! Nothing here depends on how fast a run is, only on what it leaves.

// A helper that cannot go on fails the test it helps, which is what a panic is for.
#![allow(clippy::unwrap_used)]

mod browser;
mod cluster;
mod diff;
mod faults;
mod figures;
mod output_files;
mod real_redis;
mod run;
mod schema;
mod scripted_server;
mod storm;
