//! The gateway in front of a real cluster, used by real clients.
//!
//! One file per behaviour; `support` starts the clusters. Needs what `.ci/prepare tests` installs,
//! and for one test the whole workspace built, as `make test` does.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod basics;
mod bench;
mod blocking;
mod busy;
mod clients;
mod databases;
mod differential;
mod door;
mod isolation;
mod keyspace;
mod monitor;
mod moving;
mod multi_key;
mod protocol;
mod pubsub;
mod pubsub_random;
mod redirects;
mod refusals;
mod scripting;
mod settings;
mod stale;
mod support;
mod tracking;
mod transactions;
mod truth;
mod values;
